//! Where a record of Kinesis belongs: its key, and its place among the shards.
//! Promises the rules and the wording of the service. Leaves which shard a hash means to `shards`.

use md5::{Digest, Md5};

use crate::service::Refusal;

/// Most characters of a partition key.
const KEY_CHARACTERS: usize = 256;

/// What decides where a record goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) partition_key: String,
    /// The place among the shards: the explicit hash key, else the MD5 of the partition key.
    pub(crate) hash: u128,
}

impl Key {
    /// A record's key as it was written.
    ///
    /// # Errors
    /// `ValidationException` where it is missing, too long, or its explicit hash is no number of 128 bits.
    pub(crate) fn of(index: usize, partition_key: Option<&str>, explicit: Option<&str>) -> Result<Self, Refusal> {
        let member = |name: &str| format!("records.{}.member.{name}", index + 1);
        let Some(partition_key) = partition_key else {
            return Err(Refusal::missing(&member("partitionKey")));
        };
        let length = partition_key.chars().count();
        if !(1..=KEY_CHARACTERS).contains(&length) {
            let bound = if length == 0 { "greater than or equal to 1" } else { "less than or equal to 256" };
            return Err(Refusal::validation(format!(
                "Value '{}' at '{}' failed to satisfy constraint: Member must have length {bound}",
                partition_key.chars().take(300).collect::<String>(),
                member("partitionKey")
            )));
        }
        let hash = match explicit {
            None => u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into()),
            Some(number) => number.parse().map_err(|_| {
                Refusal::invalid_argument(format!("Invalid ExplicitHashKey at {}", member("explicitHashKey")))
            })?,
        };
        Ok(Self { partition_key: partition_key.to_owned(), hash })
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The shard, from 0.
    pub(crate) shard: u32,
    /// Its number in the shard, from 1.
    pub(crate) number: u64,
}

impl Place {
    /// As the service writes it: 56 digits.
    pub(crate) fn sequence_number(self) -> String {
        format!("49{:054}", self.number)
    }

    /// As the service writes it.
    pub(crate) fn shard_id(self) -> String {
        format!("shardId-{:012}", self.shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_256_characters_and_a_hash_of_128_bits() {
        assert_eq!(Key::of(0, Some("abc"), None).unwrap().hash, 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72);
        assert_eq!(Key::of(0, Some("abc"), Some("17")).unwrap().hash, 17);
        assert!(Key::of(0, Some(&"\u{e4}".repeat(256)), None).is_ok());
        for (text, explicit) in [(None, None), (Some(""), None), (Some("x"), Some("x")), (Some("x"), Some("-1"))] {
            assert!(Key::of(0, text, explicit).is_err(), "{text:?} {explicit:?}");
        }
        assert!(Key::of(0, Some(&"x".repeat(257)), None).is_err());
    }
}

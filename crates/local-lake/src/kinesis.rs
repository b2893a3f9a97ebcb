//! What only Kinesis Data Streams has: partition keys, its limits, its answers, the description of a stream.
//! Promises the figures and the wording of the service.
//! Leaves which shard a key means to `shards`, and what both services share to `protocol` and `limits`.

use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::json;

use crate::protocol::{RecordFailure, Refusal, Service};
use crate::shards::{Place, Shards};

/// Most characters of a partition key.
const KEY_CHARACTERS: usize = 256;
/// Most bytes of a call, keys included, of a stream that takes records of 1 MiB, and of one that takes larger ones.
const CALL_BYTES: [usize; 2] = [5 << 20, 10 << 20];
/// Most bytes of a record, its key included, unless told otherwise.
pub(crate) const RECORD_BYTES: usize = 1 << 20;
/// Each record is billed rounded up to a multiple of so many bytes, by a stream on demand.
pub(crate) const BILLING_STEP: u64 = 1024;

/// What decides where a record goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) partition_key: String,
    /// The place among the shards: the explicit hash key, else the MD5 of the partition key.
    pub(crate) hash: u128,
}

/// A record's key as it was written.
///
/// # Errors
/// `ValidationException` where it is missing, too long, or its explicit hash is no number of 128 bits.
pub(crate) fn key(index: usize, partition_key: Option<&str>, explicit: Option<&str>) -> Result<Key, Refusal> {
    let member = |name: &str| format!("records.{}.member.{name}", index + 1);
    let Some(partition_key) = partition_key else {
        return Err(crate::protocol::missing(&member("partitionKey")));
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
    Ok(Key { partition_key: partition_key.to_owned(), hash })
}

/// Whether a call of records of these sizes and keys of those is within the limits.
///
/// # Errors
/// `ValidationException` for the number of records or the size of one, `InvalidArgumentException` for the sum.
pub(crate) fn check_sizes(sizes: &[usize], key_sizes: &[usize], largest_record: usize) -> Result<(), Refusal> {
    crate::limits::check_count(sizes.len())?;
    let whole = || sizes.iter().zip(key_sizes).map(|(data, key)| data + key);
    if let Some((index, size)) = whole().enumerate().find(|(_, size)| *size > largest_record) {
        return Err(Refusal::validation(format!(
            "Value at 'records.{}.member.data' failed to satisfy constraint: Member must have length less than or equal to \
             {largest_record}, and it has {size} with its partition key",
            index + 1
        )));
    }
    let most = CALL_BYTES[usize::from(largest_record > RECORD_BYTES)];
    if whole().sum::<usize>() > most {
        return Err(Refusal::invalid_argument(format!("Records size exceeds {} MB limit", most >> 20)));
    }
    Ok(())
}

/// The body of a 200 to `PutRecords`: one entry a record, in the order they came.
pub(crate) fn answer(places: &[Place], failures: &[Option<RecordFailure>]) -> String {
    let failed = failures.iter().flatten().count();
    let mut body = String::with_capacity(64 + failures.len() * 128);
    body.push_str(&format!("{{\"FailedRecordCount\":{failed},\"EncryptionType\":\"NONE\",\"Records\":["));
    let nowhere = Place::default();
    for (index, failure) in failures.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        let place = places.get(index).unwrap_or(&nowhere);
        match failure {
            None => body.push_str(&format!(
                "{{\"SequenceNumber\":\"{}\",\"ShardId\":\"{}\"}}",
                place.sequence_number(),
                place.shard_id()
            )),
            Some(failure) => {
                let (code, message) = failure.words(Service::Kinesis);
                body.push_str(&format!("{{\"ErrorCode\":\"{code}\",\"ErrorMessage\":\"{message}\"}}"));
            }
        }
    }
    body.push_str("]}");
    body
}

#[derive(Deserialize)]
struct Question {
    #[serde(rename = "StreamName")]
    stream: String,
}

/// The stream that a call of `DescribeStreamSummary` asks about.
///
/// # Errors
/// `SerializationException` when it names none.
pub(crate) fn asked_about(body: &[u8]) -> Result<String, Refusal> {
    let question: Question = serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()))?;
    Ok(question.stream)
}

/// The body of a 200 to `DescribeStreamSummary`.
pub(crate) fn description(stream: &str, shards: &Shards) -> String {
    let settings = shards.settings();
    json!({"StreamDescriptionSummary": {
        "StreamName": stream,
        "StreamARN": format!("arn:aws:kinesis:us-east-1:123456789012:stream/{stream}"),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": if settings.distributes_itself { "ON_DEMAND" } else { "PROVISIONED" }},
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 0.0,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
        "OpenShardCount": settings.count,
        "ConsumerCount": 0,
        "MaxRecordSizeInKiB": settings.largest_record >> 10,
        "RecordDistributionStrategy": if settings.distributes_itself { "AUTO" } else { "USER_PARTITION_KEY" },
    }})
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_256_characters_and_a_hash_of_128_bits() {
        assert_eq!(key(0, Some("abc"), None).unwrap().hash, 0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72);
        assert_eq!(key(0, Some("abc"), Some("17")).unwrap().hash, 17);
        assert!(key(0, Some(&"\u{e4}".repeat(256)), None).is_ok());
        for (text, explicit) in [(None, None), (Some(""), None), (Some("x"), Some("x")), (Some("x"), Some("-1"))] {
            assert!(key(0, text, explicit).is_err(), "{text:?} {explicit:?}");
        }
        assert!(key(0, Some(&"x".repeat(257)), None).is_err());
    }

    #[test]
    fn each_limit_holds_at_its_last_value_and_breaks_one_above() {
        let code =
            |sizes: &[usize], keys: &[usize], most| check_sizes(sizes, keys, most).err().map(|refusal| refusal.code);
        assert_eq!(code(&[], &[], RECORD_BYTES), Some("ValidationException"));
        assert_eq!(code(&[0; 500], &[1; 500], RECORD_BYTES), None);
        assert_eq!(code(&[0; 501], &[1; 501], RECORD_BYTES), Some("ValidationException"));
        assert_eq!(code(&[RECORD_BYTES - 16], &[16], RECORD_BYTES), None);
        assert_eq!(code(&[RECORD_BYTES - 16], &[17], RECORD_BYTES), Some("ValidationException"));
        assert_eq!(code(&[RECORD_BYTES], &[17], 10 << 20), None);
        assert_eq!(code(&[RECORD_BYTES - 1; 5], &[1; 5], RECORD_BYTES), None);
        assert_eq!(
            code(
                &[RECORD_BYTES - 1, RECORD_BYTES - 1, RECORD_BYTES - 1, RECORD_BYTES - 1, RECORD_BYTES - 1, 0],
                &[1; 6],
                RECORD_BYTES
            ),
            Some("InvalidArgumentException")
        );
    }
}

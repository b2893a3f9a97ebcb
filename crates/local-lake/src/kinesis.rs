//! What only Kinesis Data Streams has: its limits and its answers.
//! Promises the wording of the service.
//! Leaves keys to `key`, which shard a key means to `shards`, and what both services share to `protocol` and `limits`.

use crate::figures::KINESIS;
use crate::key::Place;
use crate::limits::check_count;
use crate::service::{RecordFailure, Refusal, Service};

/// Most bytes of a call of a stream that takes records of more than 1 MiB, keys included.
const LARGE_CALL_BYTES: usize = 10 << 20;

/// Whether a call of records of these sizes and keys of those is within the limits.
///
/// # Errors
/// `ValidationException` for the number of records or the size of one, `InvalidArgumentException` for the sum.
pub(crate) fn check_sizes(sizes: &[usize], key_sizes: &[usize], largest_record: usize) -> Result<(), Refusal> {
    check_count(sizes.len())?;
    let whole = || sizes.iter().zip(key_sizes).map(|(data, key)| data + key);
    if let Some((index, size)) = whole().enumerate().find(|(_, size)| *size > largest_record) {
        return Err(Refusal::validation(format!(
            "Value at 'records.{}.member.data' failed to satisfy constraint: Member must have length less than or equal to \
             {largest_record}, and it has {size} with its partition key",
            index + 1
        )));
    }
    let most = if largest_record > KINESIS.record_bytes { LARGE_CALL_BYTES } else { KINESIS.call_bytes };
    if whole().sum::<usize>() > most {
        return Err(Refusal::invalid_argument(format!("Records size exceeds {} MB limit", most >> 20)));
    }
    Ok(())
}

/// The body of a 200 to `PutRecords`: one entry for each record, in the order they came.
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

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD_BYTES: usize = KINESIS.record_bytes;

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

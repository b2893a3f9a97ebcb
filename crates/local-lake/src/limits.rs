//! The limits of the service: what one call may hold, and how much a stream takes a second.
//! Promises the wording of the service; plain functions that take `now`.
//! Leaves the figures to `figures`, parsing to `protocol` and the deciding of faults to `faults`.

use std::time::{Duration, Instant};

use crate::figures::{CALL_BYTES, CALL_RECORDS, RECORD_BYTES};
use crate::service::{Refusal, Service};

/// A request body longer than this is not read at all.
pub(crate) const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Which bytes the limit of a call counts. The service's documents leave it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedBytes {
    /// Bytes before base64, as the service's own agents count.
    #[default]
    Raw,
    /// Bytes after base64, a third more.
    Encoded,
}

/// Whether the stream's name is one the service could have given: 1 to 64 (Kinesis: 128) of letters, digits, `_`, `.`, `-`.
/// The names `.` and `..` keep the rule but could not be a folder, so they are refused here.
///
/// # Errors
/// `ValidationException` in the service's words.
pub(crate) fn check_stream_name(name: &str, service: Service) -> Result<(), Refusal> {
    let (longest, member) = match service {
        Service::Firehose => (64, "deliveryStreamName"),
        Service::Kinesis => (128, "streamName"),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let constraint = if name.is_empty() {
        "Member must have length greater than or equal to 1".to_owned()
    } else if name.len() > longest {
        format!("Member must have length less than or equal to {longest}")
    } else if !name.bytes().all(allowed) || name == "." || name == ".." {
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(longest + 1).collect();
    Err(Refusal::validation(format!("Value '{shown}' at '{member}' failed to satisfy constraint: {constraint}")))
}

/// Whether a call may hold this number of records.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn check_count(records: usize) -> Result<(), Refusal> {
    if records == 0 {
        return Err(Refusal::validation(
            "Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ));
    }
    if records > CALL_RECORDS {
        return Err(Refusal::validation(
            "Value at 'records' failed to satisfy constraint: Member must have length less than or equal to 500",
        ));
    }
    Ok(())
}

/// Whether a call of records of these sizes (bytes before base64) is within the limits.
///
/// # Errors
/// `ValidationException` for the number of records or the size of one, `InvalidArgumentException` for the sum.
pub(crate) fn check_sizes(sizes: &[usize], counted: CountedBytes) -> Result<(), Refusal> {
    check_count(sizes.len())?;
    if let Some((index, size)) = sizes.iter().enumerate().find(|(_, size)| **size > RECORD_BYTES) {
        return Err(Refusal::validation(format!(
            "Value 'java.nio.HeapByteBuffer[pos=0 lim={size} cap={size}]' at 'records.{}.member.data' failed to satisfy \
             constraint: Member must have length less than or equal to {RECORD_BYTES}",
            index + 1
        )));
    }
    let total: usize = match counted {
        CountedBytes::Raw => sizes.iter().sum(),
        CountedBytes::Encoded => sizes.iter().map(|size| size.div_ceil(3) * 4).sum(),
    };
    if total > CALL_BYTES {
        return Err(Refusal::invalid_argument("Records size exceeds 4 MB limit"));
    }
    Ok(())
}

/// How much one stream takes a second; `None` does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateLimit {
    /// Bytes a second before base64; records over it fail one by one inside a 200.
    pub bytes_per_second: Option<f64>,
    /// Records a second; records over it fail one by one inside a 200.
    pub records_per_second: Option<f64>,
    /// Calls a second; a call over it fails as a whole.
    pub calls_per_second: Option<f64>,
}

/// The buckets of one stream. Each holds at most one second's worth and may go into debt by one record,
/// so that a record larger than a second's worth is taken after all.
#[derive(Debug)]
pub(crate) struct Buckets {
    bytes: f64,
    records: f64,
    calls: f64,
    filled: Instant,
}

impl Buckets {
    /// Full buckets.
    pub(crate) fn new(limit: &RateLimit, now: Instant) -> Self {
        Self {
            bytes: limit.bytes_per_second.unwrap_or(0.0),
            records: limit.records_per_second.unwrap_or(0.0),
            calls: limit.calls_per_second.unwrap_or(0.0),
            filled: now,
        }
    }

    /// What dripped in since the last look.
    pub(crate) fn refill(&mut self, limit: &RateLimit, now: Instant) {
        let elapsed: Duration = now.saturating_duration_since(self.filled);
        self.filled = self.filled.max(now);
        let fill = |level: &mut f64, rate: Option<f64>| {
            let rate = rate.unwrap_or(0.0);
            *level = (*level + rate * elapsed.as_secs_f64()).min(rate);
        };
        fill(&mut self.bytes, limit.bytes_per_second);
        fill(&mut self.records, limit.records_per_second);
        fill(&mut self.calls, limit.calls_per_second);
    }

    /// Whether one more call is taken.
    pub(crate) fn take_call(&mut self, limit: &RateLimit) -> bool {
        take(&mut self.calls, limit.calls_per_second, 1.0)
    }

    /// Whether one more record of `size` bytes is taken.
    pub(crate) fn take_record(&mut self, limit: &RateLimit, size: usize) -> bool {
        let room = limit.bytes_per_second.is_none() || self.bytes > 0.0;
        if !room || !take(&mut self.records, limit.records_per_second, 1.0) {
            return false;
        }
        take(&mut self.bytes, limit.bytes_per_second, size as f64)
    }
}

/// Takes `amount` while there is anything left.
fn take(level: &mut f64, rate: Option<f64>, amount: f64) -> bool {
    if rate.is_none() {
        return true;
    }
    if *level <= 0.0 {
        return false;
    }
    *level -= amount;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_at_its_last_value_and_breaks_one_above() {
        let code = |sizes: &[usize], counted| check_sizes(sizes, counted).err().map(|refusal| refusal.code);
        assert_eq!(code(&[], CountedBytes::Raw), Some("ValidationException"));
        assert_eq!(code(&[0; 500], CountedBytes::Raw), None);
        assert_eq!(code(&[0; 501], CountedBytes::Raw), Some("ValidationException"));
        assert_eq!(code(&[RECORD_BYTES], CountedBytes::Raw), None);
        assert_eq!(code(&[RECORD_BYTES + 1], CountedBytes::Raw), Some("ValidationException"));
        let full = [RECORD_BYTES, RECORD_BYTES, RECORD_BYTES, RECORD_BYTES, CALL_BYTES - 4 * RECORD_BYTES];
        assert_eq!(code(&full, CountedBytes::Raw), None);
        assert_eq!(code(&full, CountedBytes::Encoded), Some("InvalidArgumentException"));
        let mut over = full;
        over[4] += 1;
        assert_eq!(code(&over, CountedBytes::Raw), Some("InvalidArgumentException"));
    }

    #[test]
    fn a_stream_name_is_what_the_service_allows_and_never_a_path() {
        for good in ["a", "logs-1_x.y", &"n".repeat(64)] {
            assert!(check_stream_name(good, Service::Firehose).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "..", ".", "ä", "a b", &"n".repeat(65)] {
            assert!(check_stream_name(bad, Service::Firehose).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bucket_takes_one_second_at_once_then_drips() {
        let limit = RateLimit { bytes_per_second: Some(1000.0), ..RateLimit::default() };
        let start = Instant::now();
        let mut buckets = Buckets::new(&limit, start);
        assert!(buckets.take_record(&limit, 600));
        assert!(buckets.take_record(&limit, 600), "goes into debt by one record");
        assert!(!buckets.take_record(&limit, 1));
        buckets.refill(&limit, start + Duration::from_millis(100));
        assert!(!buckets.take_record(&limit, 1), "the debt of 200 is not yet paid");
        buckets.refill(&limit, start + Duration::from_millis(300));
        assert!(buckets.take_record(&limit, 5000), "a record above the rate is taken all the same");
        buckets.refill(&limit, start + Duration::from_secs(60));
        assert!(buckets.take_record(&limit, 999));
        assert!(buckets.take_record(&limit, 1));
        assert!(!buckets.take_record(&limit, 1), "no more than one second's worth is saved up");
    }

    #[test]
    fn calls_and_records_have_their_own_buckets() {
        let limit = RateLimit { records_per_second: Some(2.0), calls_per_second: Some(1.0), bytes_per_second: None };
        let start = Instant::now();
        let mut buckets = Buckets::new(&limit, start);
        assert!(buckets.take_call(&limit));
        assert!(!buckets.take_call(&limit));
        let taken = (0..5).filter(|_| buckets.take_record(&limit, 1)).count();
        assert_eq!(taken, 2);
        buckets.refill(&limit, start + Duration::from_secs(1));
        assert!(buckets.take_call(&limit));
    }
}

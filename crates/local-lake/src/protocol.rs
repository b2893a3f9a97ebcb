//! The calls of the services as they are written: what a put says, and the answers of Firehose.
//! Promises that a body is parsed strictly and that an answer has one entry for each record, in order.
//! Leaves refusals to `service`, limits to `limits`, signatures to `signature` and the socket to `server`.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use crate::key::{Key, Place};
use crate::service::{RecordFailure, Refusal, Service};

/// Content type of requests and answers.
pub(crate) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// What every target begins with, by service.
const TARGETS: [(Service, &str); 2] =
    [(Service::Firehose, "Firehose_20150804."), (Service::Kinesis, "Kinesis_20131202.")];
/// Length of a record id; the service's are about so long, and a client pays for reading them.
const RECORD_ID: usize = 224;
/// Digits at the end of a record id that make it unique: 16 for the call, 4 for the record.
const RECORD_ID_SERIAL: usize = 20;

/// The operations that are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Many records.
    PutRecordBatch,
    /// One record.
    PutRecord,
    /// Many records of Kinesis.
    PutRecords,
    /// What a delivery stream is like.
    DescribeDeliveryStream,
    /// What a stream of Kinesis is like.
    DescribeStreamSummary,
    /// The channels that deliver it.
    ListChannels,
    /// What one of them is like.
    DescribeChannel,
}

impl Operation {
    /// The operation a target header names.
    ///
    /// # Errors
    /// `UnknownOperationException` for every other target, or none.
    pub(crate) fn of(target: Option<&str>) -> Result<Self, Refusal> {
        let target = target.unwrap_or_default();
        let named = TARGETS.into_iter().find_map(|(service, prefix)| Some((service, target.strip_prefix(prefix)?)));
        match named {
            Some((Service::Firehose, "PutRecordBatch")) => Ok(Self::PutRecordBatch),
            Some((Service::Firehose, "PutRecord")) => Ok(Self::PutRecord),
            Some((Service::Firehose, "DescribeDeliveryStream")) => Ok(Self::DescribeDeliveryStream),
            Some((Service::Kinesis, "PutRecords")) => Ok(Self::PutRecords),
            Some((Service::Kinesis, "ListChannels")) => Ok(Self::ListChannels),
            Some((Service::Kinesis, "DescribeChannel")) => Ok(Self::DescribeChannel),
            Some((Service::Kinesis, "DescribeStreamSummary")) => Ok(Self::DescribeStreamSummary),
            _ => Err(Refusal::new(400, "UnknownOperationException", "")),
        }
    }

    /// The service it is of.
    pub(crate) const fn service(self) -> Service {
        match self {
            Self::PutRecordBatch | Self::PutRecord | Self::DescribeDeliveryStream => Service::Firehose,
            Self::PutRecords | Self::DescribeStreamSummary | Self::ListChannels | Self::DescribeChannel => {
                Service::Kinesis
            }
        }
    }

    /// Whether it is a question, and not a put.
    pub(crate) const fn is_question(self) -> bool {
        !matches!(self, Self::PutRecordBatch | Self::PutRecord | Self::PutRecords)
    }
}

/// A put, decoded: the bytes of its records one after the other, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Put {
    /// The stream's name, not yet checked.
    pub(crate) stream: String,
    /// All records, decoded, end to end.
    pub(crate) payload: Vec<u8>,
    /// Bytes of each record. `sum(sizes) == payload.len()`
    pub(crate) sizes: Vec<usize>,
    /// Bytes of each record's partition key; empty for Firehose.
    pub(crate) key_sizes: Vec<usize>,
    /// The partition keys; empty for Firehose, and where a body is only scanned.
    pub(crate) keys: Vec<Key>,
    /// Where each record goes, as long as `keys`.
    pub(crate) places: Vec<Place>,
}

impl Put {
    /// Where each record lies in the payload.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.sizes.iter().scan(0, |start, size| {
            let range = *start..*start + size;
            *start = range.end;
            Some(range)
        })
    }
}

/// The body as it is written; unknown members are passed over, as the service does.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(rename = "DeliveryStreamName", alias = "StreamName", borrow)]
    stream: Cow<'a, str>,
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<WrittenRecord<'a>>>,
    #[serde(rename = "Record", borrow)]
    record: Option<WrittenRecord<'a>>,
}

/// One record as it is written.
#[derive(Deserialize)]
struct WrittenRecord<'a> {
    #[serde(rename = "Data", borrow)]
    data: Cow<'a, str>,
    #[serde(rename = "PartitionKey", borrow)]
    partition_key: Option<Cow<'a, str>>,
    #[serde(rename = "ExplicitHashKey", borrow)]
    explicit_hash_key: Option<Cow<'a, str>>,
}

/// Reads a body; `payload` is a buffer to decode into, whose memory is used again.
///
/// # Errors
/// `SerializationException` when it is not the JSON of this operation or a `Data` is not base64.
pub(crate) fn parse(operation: Operation, body: &[u8], mut payload: Vec<u8>) -> Result<Put, Refusal> {
    let written: Written<'_> =
        serde_json::from_slice(body).map_err(|error| Refusal::serialization(error.to_string()))?;
    let records = match (operation, written.records, written.record) {
        (Operation::PutRecordBatch | Operation::PutRecords, Some(records), _) => records,
        (Operation::PutRecord, _, Some(record)) => vec![record],
        (Operation::PutRecordBatch | Operation::PutRecords, None, _) => return Err(Refusal::missing("records")),
        (..) => return Err(Refusal::missing("record")),
    };
    payload.clear();
    payload.reserve(records.iter().map(|record| record.data.len() / 4 * 3).sum());
    let mut sizes = Vec::with_capacity(records.len());
    for record in &records {
        let before = payload.len();
        base64_simd::STANDARD
            .decode_append(record.data.as_bytes(), &mut payload)
            .map_err(|_| Refusal::serialization("Data is not base64"))?;
        sizes.push(payload.len() - before);
    }
    debug_assert_eq!(sizes.iter().sum::<usize>(), payload.len());
    let mut keys = Vec::new();
    if operation == Operation::PutRecords {
        for (index, record) in records.iter().enumerate() {
            keys.push(Key::of(index, record.partition_key.as_deref(), record.explicit_hash_key.as_deref())?);
        }
    }
    let key_sizes = keys.iter().map(|key| key.partition_key.len()).collect();
    Ok(Put { stream: written.stream.into_owned(), payload, sizes, key_sizes, keys, places: Vec::new() })
}

/// What record ids look like: long, and different for each record of each call.
#[derive(Debug)]
pub(crate) struct RecordIds {
    prefix: String,
}

impl RecordIds {
    /// Ids of one run of the server.
    pub(crate) fn new(random: &mut fastrand::Rng) -> Self {
        Self { prefix: (0..RECORD_ID - RECORD_ID_SERIAL).map(|_| random.alphanumeric()).collect() }
    }

    /// What the ids of all records of one call begin with.
    fn of_call(&self, call: u64) -> String {
        format!("{}{call:016x}", self.prefix)
    }

    /// The body of a 200 to `PutRecordBatch`: one entry a record, in the order they came.
    pub(crate) fn batch_answer(&self, call: u64, failures: &[Option<RecordFailure>]) -> String {
        let failed = failures.iter().flatten().count();
        let beginning = self.of_call(call);
        let mut body = String::with_capacity(96 + failures.len() * (RECORD_ID + 16));
        body.push_str("{\"FailedPutCount\":");
        body.push_str(&failed.to_string());
        body.push_str(",\"Encrypted\":false,\"RequestResponses\":[");
        for (index, failure) in failures.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            match failure {
                None => {
                    body.push_str("{\"RecordId\":\"");
                    body.push_str(&beginning);
                    for shift in [12, 8, 4, 0] {
                        body.push(hexadecimal(index >> shift));
                    }
                    body.push_str("\"}");
                }
                Some(failure) => {
                    let (code, message) = failure.words(Service::Firehose);
                    body.push_str("{\"ErrorCode\":\"");
                    body.push_str(code);
                    body.push_str("\",\"ErrorMessage\":\"");
                    body.push_str(message);
                    body.push_str("\"}");
                }
            }
        }
        body.push_str("]}");
        body
    }

    /// The body of a 200 to `PutRecord`.
    pub(crate) fn single_answer(&self, call: u64) -> String {
        format!("{{\"RecordId\":\"{}0000\",\"Encrypted\":false}}", self.of_call(call))
    }
}

/// The lowest four bits as a digit.
fn hexadecimal(value: usize) -> char {
    char::from(b"0123456789abcdef"[value & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(body: &str) -> Result<Put, Refusal> {
        parse(Operation::PutRecordBatch, body.as_bytes(), Vec::new())
    }

    #[test]
    fn a_batch_is_decoded_in_order_with_the_size_of_each_record() {
        let put =
            batch(r#"{"DeliveryStreamName":"s","Records":[{"Data":"YQo="},{"Data":""},{"Data":"YmMK"}]}"#).unwrap();
        assert_eq!((put.stream.as_str(), put.payload.as_slice()), ("s", b"a\nbc\n".as_slice()));
        assert_eq!(put.ranges().collect::<Vec<_>>(), [0..2, 2..2, 2..5]);
    }

    #[test]
    fn members_may_come_in_any_order_with_spaces_and_escapes() {
        let put =
            batch("{ \"Records\" : [ {\"Data\" :\"\\u0059Q\\/\\/\" , \"Other\":1} ] ,\"DeliveryStreamName\":\"s\"}")
                .unwrap();
        assert_eq!(put.payload, [0x61, 0x0f, 0xff]);
    }

    #[test]
    fn what_is_not_the_json_of_the_operation_is_refused_by_its_name() {
        let code = |body| batch(body).err().map(|refusal| (refusal.status, refusal.code));
        let serialization = Some((400, "SerializationException"));
        assert_eq!(code(""), serialization);
        assert_eq!(code("{"), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s","Records":[{"Data":"Y"}]}"#), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ"}]}"#), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s","Records":[{"Data":"Y Q="}]}"#), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s","Records":[{"Data":7}]}"#), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s","Records":[{}]}"#), serialization);
        assert_eq!(code(r#"{"Records":[]}"#), serialization);
        assert_eq!(code(r#"{"DeliveryStreamName":"s"}"#), Some((400, "ValidationException")));
    }

    #[test]
    fn a_single_put_is_a_batch_of_one() {
        let put = parse(Operation::PutRecord, br#"{"DeliveryStreamName":"s","Record":{"Data":"YQ=="}}"#, vec![1, 2, 3])
            .unwrap();
        assert_eq!((put.payload, put.sizes), (b"a".to_vec(), vec![1]));
    }

    #[test]
    fn an_answer_has_one_entry_a_record_and_counts_the_failed() {
        let ids = RecordIds::new(&mut fastrand::Rng::with_seed(1));
        let failures = [None, Some(RecordFailure::Throttled), Some(RecordFailure::Internal), None];
        let answer: serde_json::Value = serde_json::from_str(&ids.batch_answer(7, &failures)).unwrap();
        assert_eq!(answer["FailedPutCount"], 2);
        assert_eq!(answer["Encrypted"], false);
        let entries = answer["RequestResponses"].as_array().unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0]["RecordId"].as_str().unwrap().len(), RECORD_ID);
        assert_ne!(entries[0]["RecordId"], entries[3]["RecordId"]);
        assert_eq!(entries[1]["ErrorCode"], "ServiceUnavailableException");
        assert_eq!(entries[2]["ErrorCode"], "InternalFailure");
        assert!(entries[1].get("RecordId").is_none());
    }

    #[test]
    fn only_what_is_imitated_is_known() {
        assert_eq!(Operation::of(Some("Firehose_20150804.PutRecord")), Ok(Operation::PutRecord));
        assert_eq!(Operation::of(Some("Firehose_20150804.PutRecordBatch")), Ok(Operation::PutRecordBatch));
        assert_eq!(Operation::of(Some("Kinesis_20131202.PutRecords")), Ok(Operation::PutRecords));
        assert_eq!(Operation::of(Some("Kinesis_20131202.PutRecord")).unwrap_err().code, "UnknownOperationException");
        for other in [None, Some("Firehose_20150804.CreateDeliveryStream"), Some("PutRecord"), Some("")] {
            assert_eq!(Operation::of(other).unwrap_err().code, "UnknownOperationException");
        }
    }
}

//! Records that Firehose wants changed, by the options that the agent has too.
//! Promises one answer for each record id in the order of the event; that the lines of a record are what the agent would
//! send of them, each ended by a newline; that one failed line fails its record whole, so that it can be sent again
//! without a line twice; and that an answer never exceeds what Lambda takes.
//! Leaves what options mean to `datalake-process`.

use base64_simd::STANDARD;
use datalake_process::{FileKey, Place, Position, Processor, Reason, Verdict};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// An answer may be 6 MB; Lambda counts MB as we do not know how.
pub const LARGEST_ANSWER: usize = 5_900_000;
/// What a record may unpack to, and all records of an event: a megabyte that comes in may hold a gigabyte.
const LARGEST_UNPACKED: u64 = 64 << 20;
const LARGEST_EVENT: u64 = 256 << 20;
/// Firehose takes no larger record, neither before nor after.
pub const LARGEST_RECORD: usize = 1_024_000;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// `{"recordId":,"result":"ProcessingFailed"},` beside the id itself.
const LEAST_ENTRY: usize = 42;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
    #[serde(borrow, default)]
    delivery_stream_arn: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    record_id: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(default)]
    approximate_arrival_timestamp: u64,
}

/// Why an event is not answered.
#[derive(Debug, thiserror::Error)]
#[error("this is no transformation event of Firehose: {0}")]
pub struct BadEvent(String);

/// What became of the records of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handed back, with at least one line.
    pub kept: u64,
    /// Of which nothing was left.
    pub dropped: u64,
    /// Which Firehose keeps below the error prefix.
    pub failed: u64,
    /// Of these, those that the answer had no room for.
    pub no_room: u64,
    /// Why the first one failed.
    pub why: Option<String>,
}

enum Outcome {
    Kept,
    Dropped,
    Failed(String),
}

/// The options, at work.
#[derive(Debug)]
pub struct Transform {
    processor: Processor,
    decoded: Vec<u8>,
    unpacked: Vec<u8>,
    lines: Vec<u8>,
    /// What records of the event at hand may unpack to still.
    room: u64,
}

impl Transform {
    /// For a processor whose records may be [`LARGEST_RECORD`] long.
    #[must_use]
    pub fn new(processor: Processor) -> Self {
        Self { processor, decoded: Vec::new(), unpacked: Vec::new(), lines: Vec::new(), room: 0 }
    }

    /// The answer to an event.
    ///
    /// # Errors
    /// When it is none of Firehose's.
    pub fn answer(&mut self, event: &[u8]) -> Result<(Vec<u8>, Counts), BadEvent> {
        let event: Event<'_> = serde_json::from_slice(event).map_err(|error| BadEvent(error.to_string()))?;
        let name = event.delivery_stream_arn.rsplit('/').next().unwrap_or_default().to_owned();
        let ids: Vec<String> =
            event.records.iter().map(|record| serde_json::json!(record.record_id).to_string()).collect();
        // Room that the entries need which are still to come, should they all fail.
        let mut reserved: usize = ids.iter().map(|id| id.len() + LEAST_ENTRY).sum();
        self.room = LARGEST_EVENT;
        let mut counts = Counts::default();
        let mut out = b"{\"records\":[".to_vec();
        for (number, (record, id)) in event.records.iter().zip(&ids).enumerate() {
            reserved -= id.len() + LEAST_ENTRY;
            if number > 0 {
                out.push(b',');
            }
            let mut outcome = self.record(record, Path::new(&name));
            let entry = id.len() + LEAST_ENTRY + b",\"data\":\"\"".len() + STANDARD.encoded_length(self.lines.len());
            if matches!(outcome, Outcome::Kept) && out.len() + entry + reserved + b"]}".len() > LARGEST_ANSWER {
                counts.no_room += 1;
                outcome = Outcome::Failed("the answer would exceed 6 MB".to_owned());
            }
            out.extend_from_slice(b"{\"recordId\":");
            out.extend_from_slice(id.as_bytes());
            match outcome {
                Outcome::Kept => {
                    counts.kept += 1;
                    out.extend_from_slice(b",\"result\":\"Ok\",\"data\":\"");
                    STANDARD.encode_append(&self.lines, &mut out);
                    out.extend_from_slice(b"\"}");
                }
                Outcome::Dropped => {
                    counts.dropped += 1;
                    out.extend_from_slice(b",\"result\":\"Dropped\"}");
                }
                // Without data Firehose keeps the record as it came in, which is what is sent again.
                Outcome::Failed(why) => {
                    counts.failed += 1;
                    counts.why.get_or_insert(why);
                    out.extend_from_slice(b",\"result\":\"ProcessingFailed\"}");
                }
            }
        }
        out.extend_from_slice(b"]}");
        Ok((out, counts))
    }

    /// One record; its lines are left in `self.lines`.
    fn record(&mut self, record: &Record<'_>, name: &Path) -> Outcome {
        self.lines.clear();
        self.decoded.clear();
        let data = record.data.as_bytes();
        if STANDARD.decode_append(data, &mut self.decoded).is_err() {
            return Outcome::Failed("the record is no base64".to_owned());
        }
        let mut content = &self.decoded;
        if content.starts_with(&GZIP) {
            self.unpacked.clear();
            let most = LARGEST_UNPACKED.min(self.room);
            let mut unpacking = flate2::bufread::MultiGzDecoder::new(&content[..]).take(most + 1);
            if unpacking.read_to_end(&mut self.unpacked).is_err() {
                return Outcome::Failed("the record begins like gzip and is none".to_owned());
            }
            if self.unpacked.len() as u64 > most {
                self.room -= most;
                return Outcome::Failed(
                    "the record unpacks to more than 64 MiB, or the event to more than 256".to_owned(),
                );
            }
            self.room -= self.unpacked.len() as u64;
            content = &self.unpacked;
        }
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', content).map(|end| end + 1);
        let rest = std::iter::once(content.len()).filter(|_| content.last().is_some_and(|byte| *byte != b'\n'));
        for end in ends.chain(rest) {
            let line = &content[start..end];
            let place = Place {
                path: name,
                file: FileKey::default(),
                generation: None,
                position: Position::START,
                input: line.len() as u64,
                // When it arrived, not when it is looked at: a batch that comes again is answered alike.
                now_ms: record.approximate_arrival_timestamp,
            };
            let before = self.lines.len();
            match self.processor.process(line, &place, &mut self.lines) {
                Verdict::Kept | Verdict::KeptRaw(_) => {
                    // Records are joined as they are: without this two of them would be one line.
                    if self.lines.len() > before && !self.lines.ends_with(b"\n") {
                        self.lines.push(b'\n');
                    }
                }
                Verdict::Dropped(_) => {}
                Verdict::Failed(reason) => return Outcome::Failed(words(&reason)),
            }
            // No answer has room for it, whatever is still to come.
            if self.lines.len() > LARGEST_ANSWER {
                return Outcome::Kept;
            }
            start = end;
        }
        if self.lines.is_empty() { Outcome::Dropped } else { Outcome::Kept }
    }
}

/// The reason, without anything of the record.
fn words(reason: &Reason) -> String {
    format!("step {}: {}", reason.step() + 1, reason.cause())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_process::{Settings, Surroundings};
    use serde_json::{Value, json};
    use std::io::Write;

    /// A result with what is handed back.
    type Found<T> = Vec<(String, Option<T>)>;

    fn transform(options: &Value) -> Transform {
        let settings = Settings::parse(options).unwrap();
        let surroundings = Surroundings {
            host: String::new(),
            variables: std::collections::BTreeMap::new(),
            instance: None,
            max_record_bytes: LARGEST_RECORD,
        };
        Transform::new(Processor::new(&settings, &surroundings).unwrap())
    }

    fn event(records: &[&[u8]]) -> Vec<u8> {
        let record = |(number, data): (usize, &&[u8])| {
            json!({"recordId": format!("id \"{number}\""), "approximateArrivalTimestamp": 1_773_039_600_000_u64,
                "data": STANDARD.encode_to_string(data)})
        };
        let records: Vec<Value> = records.iter().enumerate().map(record).collect();
        let arn = "arn:aws:firehose:us-east-1:1:deliverystream/s";
        json!({"invocationId": "i", "deliveryStreamArn": arn, "region": "r", "records": records})
            .to_string()
            .into_bytes()
    }

    /// The results of an event, after what holds for every answer was held against it.
    fn answer(transform: &mut Transform, records: &[&[u8]]) -> (Found<Vec<u8>>, Counts) {
        let (bytes, counts) = transform.answer(&event(records)).unwrap();
        assert!(bytes.len() <= LARGEST_ANSWER, "{} bytes", bytes.len());
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        let answers = answer["records"].as_array().unwrap();
        assert_eq!(answers.len(), records.len());
        assert_eq!(counts.kept + counts.dropped + counts.failed, records.len() as u64);
        let one = |(number, one): (usize, &Value)| {
            assert_eq!(one["recordId"], format!("id \"{number}\""), "each id once, in order");
            let data = one["data"].as_str().map(|data| STANDARD.decode_to_vec(data).unwrap());
            let result = one["result"].as_str().unwrap().to_owned();
            assert_eq!(result == "Ok", data.as_ref().is_some_and(|data| !data.is_empty()));
            assert!(data.as_ref().is_none_or(|data| data.ends_with(b"\n")));
            (result, data)
        };
        (answers.iter().enumerate().map(one).collect(), counts)
    }

    fn results(options: Value, records: &[&[u8]]) -> Found<String> {
        let (results, _) = answer(&mut transform(&options), records);
        results.into_iter().map(|(result, data)| (result, data.map(|data| String::from_utf8(data).unwrap()))).collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn ok(text: &str) -> (String, Option<String>) {
        ("Ok".to_owned(), Some(text.to_owned()))
    }

    fn without(result: &str) -> (String, Option<String>) {
        (result.to_owned(), None)
    }

    #[test]
    fn lines_are_kept_changed_or_dropped_and_records_never_glued() {
        let options = json!([{"optionName": "FILTER", "dropWhen": {"field": "a", "equals": "no"}},
            {"optionName": "ADDFIELDS", "fields": {"b": 1}}]);
        let packed = [gzip("{\"a\":\"x\"}\n"), gzip("{\"a\":\"no\"}\n{\"a\":\"y\"}")].concat();
        let records: [&[u8]; 4] = [b"{\"a\":\"1\"}\n{\"a\":\"no\"}\n", b"{\"a\":\"2\"}", b"{\"a\":\"no\"}\n", &packed];
        assert_eq!(
            results(options, &records),
            [
                ok("{\"a\":\"1\",\"b\":1}\n"),
                ok("{\"a\":\"2\",\"b\":1}\n"),
                without("Dropped"),
                ok("{\"a\":\"x\",\"b\":1}\n{\"a\":\"y\",\"b\":1}\n"),
            ]
        );
    }

    /// Of a record that is half in the lake and half in errors/ a replay would double one half or lose the other.
    #[test]
    fn one_failed_line_fails_its_record_whole_and_no_other() {
        let options = json!([{"optionName": "ADDFIELDS", "fields": {"b": 1}}]);
        let records: [&[u8]; 3] = [b"{\"a\":1}\n", b"{\"a\":1}\nno object\n{\"a\":2}\n", b"{\"a\":3}\n"];
        let found = results(options, &records);
        assert_eq!(found, [ok("{\"a\":1,\"b\":1}\n"), without("ProcessingFailed"), ok("{\"a\":3,\"b\":1}\n")]);
    }

    #[test]
    fn an_answer_stays_below_what_lambda_takes_and_what_has_no_room_fails() {
        let line = [vec![b'x'; 60_000], b"\n".to_vec()].concat();
        let mut records: Vec<&[u8]> = vec![&line; 90];
        records.push(b"small\n");
        let (results, counts) = answer(&mut transform(&json!([])), &records);
        assert!(counts.no_room > 10 && counts.failed == counts.no_room, "{counts:?}");
        assert_eq!(results.last().unwrap().0, "Ok", "a small record finds room behind larger ones that do not");
    }

    /// A megabyte of records may unpack to gigabytes, for which a function has neither memory nor time.
    #[test]
    fn bombs_fail_and_what_is_beside_them_is_kept() {
        let bomb = gzip(&"x".repeat(63 << 20));
        let options = json!([{"optionName": "FILTER", "dropWhen": {"field": "a", "equals": "no"}}]);
        let records: [&[u8]; 8] = [&bomb, &bomb, b"{}\n", &bomb, &bomb, &bomb, &bomb, b"{}\n"];
        let mut transform = transform(&options);
        let (results, counts) = answer(&mut transform, &records);
        let words: Vec<&str> = results.iter().map(|(result, _)| result.as_str()).collect();
        assert_eq!((words[2], words[7]), ("Ok", "Ok"));
        // The first four are within the limit of an event, and fail or not by what they hold.
        assert_eq!(words[5..7], ["ProcessingFailed"; 2]);
        // Lines beyond what an answer takes are not even made.
        let many = gzip(&format!("{{\"b\":\"{}\"}}\n", "y".repeat(10_000)).repeat(3000));
        let (results, counts_of_many) = answer(&mut transform, &[&many, b"{}\n"]);
        assert_eq!((counts_of_many.no_room, results[1].0.as_str()), (1, "Ok"));
        assert!(
            counts.failed >= 2 && transform.lines.capacity() < 3 * LARGEST_ANSWER,
            "{}",
            transform.lines.capacity()
        );
    }

    #[test]
    fn no_record_breaks_an_answer_whatever_it_holds() {
        let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let options = json!([{"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "onFailure": "raw"},
            {"optionName": "ADDFIELDS", "fields": {"b": 1}}]);
        let mut transform = transform(&options);
        for _ in 0..300 {
            let one = |random: &mut fastrand::Rng| -> Vec<u8> {
                let mut bytes: Vec<u8> =
                    (0..random.usize(..60)).map(|_| *random.choice(b"\n\r{}\"a1: \x1f\x8b\xff\0").unwrap()).collect();
                if random.u8(..4) == 0 {
                    bytes = gzip(&String::from_utf8_lossy(&bytes));
                    bytes.truncate(random.usize(..=bytes.len()));
                }
                bytes
            };
            let records: Vec<Vec<u8>> = (0..random.usize(..8)).map(|_| one(&mut random)).collect();
            answer(&mut transform, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_base64_fails_alone_and_what_is_no_event_is_refused() {
        let mut transform = transform(&json!([]));
        let event =
            json!({"records": [{"recordId": "a", "data": "!!"}, {"recordId": "b", "data": "YQo="}]}).to_string();
        let (bytes, _) = transform.answer(event.as_bytes()).unwrap();
        let expected = r#"{"records":[{"recordId":"a","result":"ProcessingFailed"},{"recordId":"b","result":"Ok","data":"YQo="}]}"#;
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        for text in ["", "{}", "{\"records\": 5}", "{\"records\": [{\"recordId\": 5}]}"] {
            assert!(transform.answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}

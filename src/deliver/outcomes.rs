//! What an answer of success says about each record of its call.
//! Promises that a record counts as accepted only where the answer names it as stored, and that an answer which contradicts
//! itself or the call says nothing at all. Leaves what follows from that to the flow core.

use datalake_base::units::counted;
use serde::Deserialize;

use super::fault;
use super::said;
use super::{Answer, Outcome};

/// What reads an answer: the words of one service.
#[derive(Debug)]
pub(super) struct Reader {
    /// What stands before the outcomes: their member, with its opening bracket.
    pub(super) list: &'static str,
}

/// An answer, as both services write it.
#[derive(Deserialize)]
struct BatchAnswer {
    #[serde(rename = "FailedPutCount", alias = "FailedRecordCount")]
    failed: usize,
    #[serde(rename = "RequestResponses", alias = "Records")]
    outcomes: Vec<RecordAnswer>,
}

/// One outcome. Firehose names a stored record by its id, Kinesis by its number and shard.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    error_code: Option<String>,
    #[serde(alias = "SequenceNumber")]
    record_id: Option<String>,
}

impl Reader {
    /// One outcome per record of the call.
    ///
    /// # Errors
    /// Why the answer says nothing.
    pub(super) fn read(&self, body: &[u8], records: usize) -> Result<Answer, String> {
        if self.all_are_stored(body, records) {
            return Ok(Answer::Accepted);
        }
        let answer: BatchAnswer =
            serde_json::from_slice(body).map_err(|error| said::cut(&error.to_string()).into_owned())?;
        if answer.outcomes.len() != records {
            return Err(format!("{} for {}", counted(answer.outcomes.len(), "outcome"), counted(records, "record")));
        }
        let outcomes = answer.outcomes.into_iter().map(RecordAnswer::outcome).collect::<Result<Vec<_>, _>>()?;
        let failed = outcomes.iter().filter(|outcome| **outcome != Outcome::Delivered).count();
        if failed != answer.failed {
            return Err(format!(
                "it counts {}, and {} failed",
                counted(answer.failed, "failure"),
                counted(failed, "record")
            ));
        }
        Ok(if failed == 0 { Answer::Accepted } else { Answer::PerRecord(outcomes) })
    }

    /// The usual answer, known without taking apart five hundred ids: as many plain outcomes as records, and what is left
    /// without them counts no failure. `false` says nothing.
    fn all_are_stored(&self, body: &[u8], records: usize) -> bool {
        let head = &body[..body.len().min(256)];
        let Some(open) = memchr::memmem::find(head, self.list.as_bytes()).map(|at| at + self.list.len()) else {
            return false;
        };
        let (mut at, mut count) = (open, 0);
        let mut form = Form::default();
        while let Some(length) = form.next(&body[at..]) {
            count += 1;
            at += length;
            if body.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        if count != records || body.get(at) != Some(&b']') {
            return false;
        }
        let rest = [&body[..open], &body[at..]].concat();
        serde_json::from_slice(&rest).is_ok_and(|rest: BatchAnswer| rest.failed == 0 && rest.outcomes.is_empty())
    }
}

impl RecordAnswer {
    fn outcome(self) -> Result<Outcome, String> {
        let is_stored = self.record_id.is_some_and(|id| !id.is_empty());
        match self.error_code.filter(|code| !code.is_empty()) {
            None if is_stored => Ok(Outcome::Delivered),
            None => Err("an outcome that is neither an id nor an error".to_owned()),
            Some(_) if is_stored => Err("an outcome that is both an id and an error".to_owned()),
            Some(code) => {
                let code = said::bare_code(&code).to_owned();
                Ok(Outcome::Again { throttled: fault::is_throttle(&code), code })
            }
        }
    }
}

/// What stands between the values of an outcome that holds nothing but the identity of a stored record: that of the one
/// before it, as a service writes all of them alike. With it, an outcome takes one search for each of its values.
#[derive(Default)]
struct Form<'a> {
    /// Before each value, and after the last; none before the first outcome.
    between: Vec<&'a [u8]>,
}

impl<'a> Form<'a> {
    /// The length of such an outcome at the beginning.
    fn next(&mut self, bytes: &'a [u8]) -> Option<usize> {
        self.in_form(bytes).or_else(|| self.taken_apart(bytes))
    }

    fn in_form(&self, bytes: &[u8]) -> Option<usize> {
        let (last, before) = self.between.split_last()?;
        let mut rest = bytes;
        for between in before {
            rest = rest.strip_prefix(*between)?;
            let value = text(rest)?;
            // An id that is empty is none.
            rest = &rest[(!value.is_empty()).then_some(value.len())?..];
        }
        Some(bytes.len() - rest.strip_prefix(*last)?.len())
    }

    fn taken_apart(&mut self, bytes: &'a [u8]) -> Option<usize> {
        self.between.clear();
        let (mut at, mut from, mut has_id) = (0, 0, false);
        loop {
            let opens: &[u8] = if at == 0 { b"{\"" } else { b",\"" };
            at += bytes[at..].starts_with(opens).then_some(2)?;
            let member = text(&bytes[at..])?;
            at += member.len() + 1;
            at += bytes[at..].starts_with(b":\"").then_some(2)?;
            self.between.push(&bytes[from..at]);
            let value = text(&bytes[at..])?;
            (from, at) = (at + value.len(), at + value.len() + 1);
            match member {
                b"RecordId" | b"SequenceNumber" if !value.is_empty() => has_id = true,
                b"ShardId" | b"EncryptionType" => {}
                _ => return None,
            }
            if bytes.get(at) == Some(&b'}') {
                self.between.push(&bytes[from..=at]);
                return has_id.then_some(at + 1);
            }
        }
    }
}

/// A JSON text without escapes up to its closing quote.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr2(b'"', b'\\', bytes)?;
    (bytes[end] == b'"').then(|| &bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREHOSE: Reader = Reader { list: "\"RequestResponses\":[" };
    const KINESIS: Reader = Reader { list: "\"Records\":[" };

    fn firehose(failed: &str, outcomes: &str) -> Vec<u8> {
        format!(r#"{{"Encrypted":false,"FailedPutCount":{failed},"RequestResponses":{outcomes}}}"#).into_bytes()
    }

    fn kinesis(failed: &str, outcomes: &str) -> Vec<u8> {
        format!(r#"{{"EncryptionType":"KMS","FailedRecordCount":{failed},"Records":{outcomes}}}"#).into_bytes()
    }

    #[test]
    fn an_answer_that_names_every_record_as_stored_is_accepted_however_it_is_written() {
        let id = r#"{"RecordId":"a"}"#;
        for body in [
            firehose("0", &format!("[{id},{id}]")),
            firehose("0", &format!("[ {id} , {id} ]")),
            firehose("0", r#"[{"RecordId":"a","ErrorCode":null},{"RecordId":"\u0062","ErrorCode":""}]"#),
            format!(r#"{{"RequestResponses":[{id},{id}],"FailedPutCount" : 0}}"#).into_bytes(),
            format!(r#"{{"New":{{"RequestResponses":[{id}]}},"RequestResponses":[{id},{id}],"FailedPutCount":0}}"#)
                .into(),
        ] {
            assert_eq!(FIREHOSE.read(&body, 2), Ok(Answer::Accepted), "{}", String::from_utf8_lossy(&body));
        }
        let stored = r#"{"SequenceNumber":"49","ShardId":"shardId-0"}"#;
        let other = r#"{"ShardId":"shardId-0","SequenceNumber":"50","EncryptionType":"KMS"}"#;
        assert_eq!(KINESIS.read(&kinesis("0", &format!("[{stored},{other}]")), 2), Ok(Answer::Accepted));
    }

    #[test]
    fn the_usual_answer_takes_the_short_way_and_one_that_differs_does_not() {
        let id = format!(r#"{{"RecordId":"{}"}}"#, "x".repeat(224));
        let usual = firehose("0", &format!("[{}]", vec![id.as_str(); 500].join(",")));
        assert!(FIREHOSE.all_are_stored(&usual, 500));
        assert!(!FIREHOSE.all_are_stored(&usual, 499) && !FIREHOSE.all_are_stored(&usual, 501));
        let failed = firehose("1", &format!("[{}]", vec![id.as_str(); 500].join(",")));
        assert!(!FIREHOSE.all_are_stored(&failed, 500));
    }

    /// Each of these counted as delivered: the records were gone, and the books said that they had arrived.
    #[test]
    fn an_answer_with_too_few_too_many_or_no_outcomes_or_of_another_type_says_nothing() {
        let id = r#"{"RecordId":"a"}"#;
        let error = r#"{"ErrorCode":"InternalFailure"}"#;
        let cases = [
            ("0", "[]".to_owned()),
            ("0", "null".to_owned()),
            ("0", "{}".to_owned()),
            ("0", "\"all\"".to_owned()),
            ("0", format!("[{id}]")),
            ("0", format!("[{id},{id},{id}]")),
            ("0", format!("[{id},null]")),
            ("0", format!("[{id},{{}}]")),
            ("0", format!("[{id},1]")),
            ("0", format!(r#"[{id},{{"RecordId":""}}]"#)),
            ("0", format!(r#"[{id},{{"RecordId":null}}]"#)),
            ("0", format!(r#"[{id},{{"RecordId":7}}]"#)),
            ("0", format!(r#"[{id},{{"RecordId":"a","ErrorCode":"x"}}]"#)),
            ("0", format!("[{id},{error}]")),
            ("2", format!("[{id},{error}]")),
            ("1", format!("[{id},{id}]")),
            ("2", "[]".to_owned()),
            ("\"0\"", format!("[{id},{id}]")),
            ("null", format!("[{id},{id}]")),
            ("-1", format!("[{id},{id}]")),
            ("0.5", format!("[{id},{id}]")),
            ("true", format!("[{id},{id}]")),
            ("0", format!("[{id},{id}]]")),
        ];
        for (failed, outcomes) in &cases {
            let body = firehose(failed, outcomes);
            assert!(FIREHOSE.read(&body, 2).is_err(), "{}", String::from_utf8_lossy(&body));
            let body = kinesis(failed, &outcomes.replace("RecordId", "SequenceNumber"));
            assert!(KINESIS.read(&body, 2).is_err(), "{}", String::from_utf8_lossy(&body));
        }
        let whole = firehose("0", &format!("[{id},{id}]"));
        for length in 0..whole.len() {
            assert!(FIREHOSE.read(&whole[..length], 2).is_err(), "cut after {length} bytes");
        }
        for body in ["{}", "[]", "null", "<html>", "\u{feff}{}", r#"{"FailedPutCount":0}"#] {
            assert!(FIREHOSE.read(body.as_bytes(), 2).is_err(), "{body}");
        }
        let twice = format!(r#"{{"FailedPutCount":2,"FailedPutCount":0,"RequestResponses":[{id},{id}]}}"#);
        assert!(FIREHOSE.read(twice.as_bytes(), 2).is_err(), "{twice}");
        assert!(FIREHOSE.read(&[&whole[..], b"{}"].concat(), 2).is_err());
    }

    #[test]
    fn an_outcome_in_the_form_of_its_neighbour_that_holds_something_else_is_not_taken_for_it() {
        let usual = r#"{"RecordId":"abcdefgh0123456789"}"#;
        for other in [
            r#"{"RecordId":"abc","ErrorCode":"x"}"#,
            r#"{"RecordId":"","ErrorCode":"abcd"}"#,
            r#"{"RecordId":"abcdefgh01234567\"}"#,
            r#"{"RecordIx":"abcdefgh0123456789"}"#,
            r#"{"RecordId":"abcdefgh012345678","}"#,
            r#"{"RecordId":"abcdefgh0123456789",}"#,
            r#"{"RecordId":""}"#,
            r#"{"RecordId":"abc\"}{"}"#,
            r#"{"RecordId":"abc"}}"#,
        ] {
            let body = firehose("0", &format!("[{usual},{other},{usual}]"));
            assert!(!FIREHOSE.all_are_stored(&body, 3), "{other}");
        }
        let (first, second) = (r#"{"ShardId":"","SequenceNumber":"49"}"#, r#"{"ShardId":"x","SequenceNumber":"5"}"#);
        assert!(KINESIS.all_are_stored(&kinesis("0", &format!("[{first},{first},{second},{first}]")), 4));
        let empty = r#"{"ShardId":"49","SequenceNumber":""}"#;
        assert!(!KINESIS.all_are_stored(&kinesis("0", &format!("[{first},{empty}]")), 2));
    }

    proptest::proptest! {
        /// Whatever is done to an answer, no record that it does not name as stored counts as accepted.
        #[test]
        fn no_change_of_an_answer_makes_a_record_accepted(at in 0..120_usize, byte: u8, cut in 0..120_usize) {
            let mut body = firehose("1", r#"[{"RecordId":"a"},{"ErrorCode":"x"},{"RecordId":"b"}]"#);
            if let Some(place) = body.get_mut(at) {
                *place = byte;
            }
            body.truncate(body.len() - cut.min(3));
            proptest::prop_assert_ne!(FIREHOSE.read(&body, 3), Ok(Answer::Accepted));
        }
    }
}

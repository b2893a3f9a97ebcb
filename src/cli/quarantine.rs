//! `quarantine list` and `quarantine replay`: what was given up on purpose, and sending it again.
//! Promises that a record leaves its file only after the service accepted it, or an option dropped it on purpose; what is
//! refused again stays.
//! Leaves arguments to the command line, and the files' form to the quarantine.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use datalake_base::shown::shown;

use super::reprocess::{Prepared, Reprocess, path as path_of};
use crate::deliver::quarantine::{self, Entry, LineState, QuarantineError, QuarantineFile};
use crate::deliver::session::Target;
use crate::deliver::{Answer, Call, Fault, Meaning, Outcome, Service, retry};

/// Attempts at one record before a replay gives way to what mends itself later.
const ATTEMPTS: u32 = 5;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The quarantine cannot be read or written.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// A quarantine file or the output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The service takes nothing at the moment, whatever the record.
    #[error("the service takes no records now: {0}")]
    Unavailable(Fault),
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records that the service accepted.
    pub delivered: usize,
    /// Records that it refused again, or that the options cannot work on now either; they stay.
    pub refused: usize,
    /// Records that had not been processed and that the options of now drop.
    pub dropped: usize,
    /// Lines that are no records; they stay.
    pub damaged: usize,
    /// Files that another process is using.
    pub in_use: usize,
}

/// Prints a table of all records that wait; `stream` narrows it to one stream.
///
/// # Errors
/// When a file cannot be read or the output cannot be written.
pub fn list(state_directory: &Path, stream: Option<&str>, out: &mut (dyn Write + Send)) -> Result<usize, CommandError> {
    let mut waiting = 0;
    let header = ["FILE", "RECORD", "TIME", "STREAM", "PATH", "OFFSET", "REASON", "BYTES"];
    for path in quarantine::files(state_directory)? {
        let file = quarantine::look(&path)?;
        for line in file.lines()? {
            let line = line?;
            match &line.state {
                LineState::Waiting(entry) if stream.is_none_or(|stream| stream == entry.stream) => {
                    if waiting == 0 {
                        writeln!(out, "{}", header.join("\t"))?;
                    }
                    waiting += 1;
                    writeln!(out, "{}", row(&path, line.number, entry))?;
                }
                LineState::Damaged(reason) => {
                    writeln!(out, "{}\t{}\tdamaged: {}", shown(&path), line.number, shown(reason))?;
                }
                LineState::Waiting(_) | LineState::Delivered | LineState::Torn => {}
            }
        }
    }
    if waiting == 0 {
        writeln!(out, "no records wait in quarantine")?;
    }
    Ok(waiting)
}

fn row(path: &Path, number: usize, entry: &Entry) -> String {
    let (from, offset) = match entry.origins.first() {
        Some(origin) => (shown(&path_of(origin)).to_string(), origin.start.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let more = if entry.origins.len() > 1 { format!(" (+{})", entry.origins.len() - 1) } else { String::new() };
    let cells = [
        shown(path).to_string(),
        number.to_string(),
        entry.time.clone(),
        entry.stream.clone(),
        format!("{from}{more}"),
        offset,
        format!("{}: {}", entry.code, entry.message),
        entry.size().to_string(),
    ];
    // A tab or newline in a path or reason must not break the table.
    cells.map(|cell| shown(&cell).to_string()).join("\t")
}

/// Sends the records that wait, one at a time, to the service that each was for (the first is Firehose, the second
/// Kinesis Data Streams), and removes those that it accepts. Records that an option could not work on go through the
/// options of now first.
///
/// # Errors
/// When the service takes nothing at all, or a file or the output fails; what was delivered until then stays delivered.
pub async fn replay(
    state_directory: &Path,
    stream: Option<&str>,
    reprocess: &mut Reprocess,
    services: (&impl Service, &impl Service),
    out: &mut (dyn Write + Send),
) -> Result<Replayed, CommandError> {
    let mut replayed = Replayed::default();
    for path in quarantine::files(state_directory)? {
        let Some(file) = quarantine::open(&path)? else {
            replayed.in_use += 1;
            writeln!(out, "{}: in use by another process, left alone; try again later", shown(&path))?;
            continue;
        };
        let before = replayed.delivered + replayed.dropped;
        let ended = replay_file(&file, stream, reprocess, services, out, &mut replayed).await;
        if replayed.delivered + replayed.dropped > before {
            file.compact()?;
        }
        ended?;
    }
    let Replayed { delivered, refused, dropped, damaged, in_use } = replayed;
    writeln!(
        out,
        "{delivered} delivered, {refused} refused again, {dropped} dropped by options, {damaged} damaged, {in_use} files in use"
    )?;
    Ok(replayed)
}

async fn replay_file(
    file: &QuarantineFile,
    stream: Option<&str>,
    reprocess: &mut Reprocess,
    (firehose, kinesis): (&impl Service, &impl Service),
    out: &mut (dyn Write + Send),
    replayed: &mut Replayed,
) -> Result<(), CommandError> {
    for line in file.lines()? {
        let line = line?;
        let place = format!("{}, record {}", shown(file.path()), line.number);
        match &line.state {
            LineState::Waiting(entry) if stream.is_none_or(|stream| stream == entry.stream) => {
                let (call, destination) = match prepare(entry, reprocess)? {
                    Prepared::Call(call, destination) => (call, destination),
                    Prepared::Dropped(reason) => {
                        file.mark_delivered(&line)?;
                        replayed.dropped += 1;
                        writeln!(out, "{place}: dropped: {}", shown(&reason))?;
                        continue;
                    }
                    Prepared::Failed(reason) => {
                        replayed.refused += 1;
                        writeln!(out, "{place}: fails again: {}", shown(&reason))?;
                        continue;
                    }
                };
                let sent = match destination {
                    Target::Firehose => send(&call, firehose).await?,
                    Target::Kinesis => send(&call, kinesis).await?,
                };
                match sent {
                    Sent::Delivered => {
                        file.mark_delivered(&line)?;
                        replayed.delivered += 1;
                    }
                    Sent::Refused(fault) => {
                        replayed.refused += 1;
                        writeln!(out, "{place}: refused again: {}", shown(&fault.to_string()))?;
                    }
                }
            }
            LineState::Damaged(reason) => {
                replayed.damaged += 1;
                writeln!(out, "{place}: damaged: {}", shown(reason))?;
            }
            LineState::Waiting(_) | LineState::Delivered | LineState::Torn => {}
        }
    }
    Ok(())
}

enum Sent {
    Delivered,
    Refused(Fault),
}

/// Sends one record, again and again for a while when that may help.
async fn send(call: &Call, service: &impl Service) -> Result<Sent, CommandError> {
    let mut attempt = 1;
    loop {
        let fault = match service.put(call.clone()).await {
            Answer::Accepted => return Ok(Sent::Delivered),
            // A record that had to be cut is accepted when all its parts are.
            Answer::PerRecord(outcomes) => {
                match outcomes.into_iter().max_by_key(|outcome| *outcome != Outcome::Delivered) {
                    Some(Outcome::Delivered) => return Ok(Sent::Delivered),
                    Some(Outcome::Again { throttled, code }) => Fault {
                        meaning: if throttled { Meaning::SlowDown } else { Meaning::Unknown },
                        code,
                        message: "the record was not taken this time".to_owned(),
                    },
                    None => Fault {
                        meaning: Meaning::Unknown,
                        code: "answer".to_owned(),
                        message: "the answer has no outcome".to_owned(),
                    },
                }
            }
            Answer::Failed(fault) => fault,
        };
        match fault.meaning {
            Meaning::Suspect | Meaning::Poison => return Ok(Sent::Refused(fault)),
            Meaning::Hold => return Err(CommandError::Unavailable(fault)),
            Meaning::SlowDown | Meaning::Unknown | Meaning::NotSent if attempt >= ATTEMPTS => {
                return Err(CommandError::Unavailable(fault));
            }
            Meaning::SlowDown | Meaning::Unknown | Meaning::NotSent => {}
        }
        let wait: Duration = retry::delay(fault.meaning, attempt, fastrand::u64(..));
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

/// The call for one record: as the service refused it, or processed now.
fn prepare(entry: &Entry, reprocess: &mut Reprocess) -> Result<Prepared, CommandError> {
    if entry.unprocessed {
        return Ok(reprocess.prepare(entry));
    }
    // A record that has a key was for Kinesis.
    let destination = if entry.partition_key.is_some() { Target::Kinesis } else { Target::Firehose };
    Ok(Prepared::Call(Call { body: body(entry)?, records: 1 }, destination))
}

/// The call for one record; its data is already in base64.
fn body(entry: &Entry) -> Result<Bytes, CommandError> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(io::Error::from);
    let (stream, data) = (quoted(&entry.stream)?, quoted(&entry.data)?);
    Ok(Bytes::from(match &entry.partition_key {
        None => format!("{{\"DeliveryStreamName\":{stream},\"Records\":[{{\"Data\":{data}}}]}}"),
        Some(key) => {
            let key = quoted(key)?;
            format!("{{\"StreamName\":{stream},\"Records\":[{{\"Data\":{data},\"PartitionKey\":{key}}}]}}")
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::GivenUp;
    use crate::deliver::quarantine::Quarantine;
    use datalake_base::record::{FileKey, OriginInfo, Position};
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};

    /// Refuses records that hold `bad`; fails as the script says before that.
    #[derive(Default)]
    struct Scripted {
        failures: Mutex<Vec<Answer>>,
        seen: Mutex<Vec<String>>,
    }

    fn fault(meaning: Meaning) -> Fault {
        Fault { meaning, code: "Code".into(), message: "why".into() }
    }

    impl Service for Scripted {
        async fn put(&self, call: Call) -> Answer {
            if let Some(failure) = self.failures.lock().unwrap().pop() {
                return failure;
            }
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            let data = body["Records"][0]["Data"].as_str().unwrap();
            let text = String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap();
            let refused = text.contains("bad");
            self.seen.lock().unwrap().push(format!("{}:{text}", body["DeliveryStreamName"].as_str().unwrap()));
            if refused { Answer::Failed(fault(Meaning::Poison)) } else { Answer::Accepted }
        }
    }

    fn state(payloads: &[(&str, &str)]) -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        for (stream, payload) in payloads {
            let info = OriginInfo::new(PathBuf::from("/var/log/a\tb.log"), FileKey::default());
            let given_up = GivenUp {
                payload: payload.as_bytes().to_vec(),
                partition_key: None,
                lines: 1,
                extents: vec![(Arc::new(info), Position(5), Position(9))],
                fault: fault(Meaning::Poison),
                unprocessed: false,
            };
            Quarantine::new(state.path(), stream, "flow")
                .keep(std::slice::from_ref(&given_up), 1_795_262_400_000)
                .unwrap();
        }
        state
    }

    fn listed(state: &Path) -> String {
        let mut out = Vec::new();
        list(state, None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_list_says_what_waits_where_and_why() {
        let state = state(&[("logs", "one"), ("other", "three")]);
        let text = listed(state.path());
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(rows.iter().all(|row| row.len() == 8), "{text}");
        assert_eq!(rows[1][1..], ["1", "2026-11-21T12:00:00Z", "logs", "/var/log/a\\tb.log", "5", "Code: why", "3"]);
        let mut out = Vec::new();
        assert_eq!(list(state.path(), Some("other"), &mut out).unwrap(), 1);
    }

    #[test]
    fn an_empty_quarantine_says_so() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(listed(state.path()), "no records wait in quarantine\n");
    }

    #[tokio::test]
    async fn a_replay_delivers_what_is_taken_and_keeps_what_is_refused_again() {
        let state = state(&[("logs", "one"), ("logs", "bad"), ("other", "two")]);
        let service = Scripted::default();
        let mut out = Vec::new();
        let replayed =
            replay(state.path(), None, &mut Reprocess::default(), (&service, &service), &mut out).await.unwrap();
        assert_eq!(replayed, Replayed { delivered: 2, refused: 1, ..Replayed::default() });
        assert_eq!(*service.seen.lock().unwrap(), ["logs:one", "logs:bad", "other:two"]);
        assert!(String::from_utf8(out).unwrap().contains("2 delivered, 1 refused again"));
        assert_eq!(listed(state.path()).lines().count(), 2);
        assert_eq!(quarantine::files(state.path()).unwrap().len(), 1, "emptied files are removed");
    }

    #[tokio::test]
    async fn what_mends_itself_is_tried_again() {
        let state = state(&[("logs", "one")]);
        let again = Answer::PerRecord(vec![Outcome::Again { throttled: false, code: "InternalFailure".into() }]);
        let failures = Mutex::new(vec![Answer::Failed(fault(Meaning::SlowDown)), again]);
        let service = Scripted { failures, ..Scripted::default() };
        let replayed =
            replay(state.path(), None, &mut Reprocess::default(), (&service, &service), &mut Vec::new()).await.unwrap();
        assert_eq!(replayed.delivered, 1);
    }

    #[tokio::test]
    async fn a_service_that_takes_nothing_ends_the_replay_and_everything_stays() {
        let state = state(&[("logs", "one"), ("logs", "two")]);
        let failures = Mutex::new(vec![Answer::Failed(fault(Meaning::Hold))]);
        let service = Scripted { failures, ..Scripted::default() };
        let error = replay(state.path(), None, &mut Reprocess::default(), (&service, &service), &mut Vec::new())
            .await
            .unwrap_err();
        assert!(matches!(error, CommandError::Unavailable(_)), "{error}");
        assert_eq!(listed(state.path()).lines().count(), 3);
    }

    /// The flow `flow` of a configuration with these keys.
    fn reprocess(keys: &str, raw: bool) -> Reprocess {
        let text =
            format!(r#"{{"flows": [{{"name": "flow", "filePattern": "/a", "deliveryStream": "logs", {keys}}}]}}"#);
        let plan = crate::config::from_text(&[("agent.json", &text)]).unwrap_or_else(|report| panic!("{report}"));
        Reprocess::new(&plan.flows, raw, None).unwrap()
    }

    fn unprocessed(payloads: &[&str]) -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        let info = Arc::new(OriginInfo::new(PathBuf::from("/var/log/a.log"), FileKey::default()));
        let given_up = |payload: &&str| GivenUp {
            partition_key: None,
            payload: payload.as_bytes().to_vec(),
            lines: 1,
            extents: vec![(info.clone(), Position(5), Position(9))],
            fault: Fault { meaning: Meaning::Poison, code: "processing".into(), message: "step 1: no".into() },
            unprocessed: true,
        };
        let given_up: Vec<GivenUp> = payloads.iter().map(given_up).collect();
        Quarantine::new(state.path(), "logs", "flow").keep(&given_up, 1_795_262_400_000).unwrap();
        state
    }

    #[tokio::test]
    async fn what_options_failed_on_goes_through_the_options_of_now() {
        let state = unprocessed(&["one\n", "two words\n", "drop\n"]);
        assert!(listed(state.path()).contains("processing: step 1: no"));
        let keys = r#""dataProcessingOptions": [{"optionName": "FILTER", "exclude": "^drop"},
            {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "(\\w+)", "customFieldNames": ["w"]}]"#;
        let (service, mut out) = (Scripted::default(), Vec::new());
        let replayed =
            replay(state.path(), None, &mut reprocess(keys, false), (&service, &service), &mut out).await.unwrap();
        assert_eq!(replayed, Replayed { delivered: 1, refused: 1, dropped: 1, ..Replayed::default() });
        assert_eq!(*service.seen.lock().unwrap(), ["logs:{\"w\":\"one\"}\n"]);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("record 2: fails again: step 2: the line does not match"), "{out}");
        let replayed = replay(state.path(), None, &mut reprocess(keys, true), (&service, &service), &mut Vec::new())
            .await
            .unwrap();
        assert_eq!(replayed.delivered, 1, "as it is, when that is asked for");
        assert_eq!(service.seen.lock().unwrap()[1], "logs:two words\n");
    }

    #[tokio::test]
    async fn what_options_failed_on_stays_where_its_flow_is_gone() {
        let state = unprocessed(&["one\n"]);
        let (service, mut out) = (Scripted::default(), Vec::new());
        let replayed =
            replay(state.path(), None, &mut Reprocess::default(), (&service, &service), &mut out).await.unwrap();
        assert_eq!(replayed, Replayed { refused: 1, ..Replayed::default() });
        assert!(String::from_utf8(out).unwrap().contains("no flow `flow` any more"));
        assert_eq!(listed(state.path()).lines().count(), 2);
    }
}

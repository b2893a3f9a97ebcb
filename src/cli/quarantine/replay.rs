//! `quarantine replay`: what waits is sent again, one record at a time.
//! Promises that a record leaves its file only after the service accepted it, or an option dropped it on purpose, and that
//! what is refused again stays. Leaves processing to `reprocess`, and the files' form to the quarantine.

use super::{CommandError, Selection};
use crate::cli::output::json_lines;
use crate::cli::reprocess::{Prepared, Reprocess};
use crate::deliver::quarantine::{self, Entry, LineState, QuarantineFile};
use crate::deliver::session::Target;
use crate::deliver::{Answer, Call, Fault, Meaning, Outcome, Service, retry};
use bytes::Bytes;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Attempts at one record before a replay gives way to what passes by itself later.
const ATTEMPTS: u32 = 5;

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

impl std::ops::AddAssign for Replayed {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.refused += other.refused;
        self.dropped += other.dropped;
        self.damaged += other.damaged;
        self.in_use += other.in_use;
    }
}

impl Replayed {
    /// Whether nothing of what was meant is left in the quarantine.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused == 0 && self.damaged == 0 && self.in_use == 0
    }
}

/// What is said on the way: in words, or one JSON object a line.
struct Log<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
}

impl Log<'_> {
    /// Something about a file, or a record of it.
    fn say(&mut self, file: &Path, record: Option<usize>, event: &str, reason: &str) -> io::Result<()> {
        if self.json {
            let value = json!({"event": event, "file": file.to_string_lossy(), "record": record, "reason": reason});
            return write!(self.out, "{}", json_lines(&value, false));
        }
        let place = record.map(|number| format!(", record {number}")).unwrap_or_default();
        writeln!(self.out, "{}{place}: {event}: {}", shown(file), shown(reason))
    }
}

/// Says what replays came to.
///
/// # Errors
/// When the output cannot be written.
pub fn conclude(replayed: Replayed, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let Replayed { delivered, refused, dropped, damaged, in_use } = replayed;
    if json {
        let value = json!({
            "event": "end", "delivered": delivered, "refused": refused, "dropped": dropped, "damaged": damaged,
            "filesInUse": in_use, "complete": replayed.is_complete(),
        });
        return write!(out, "{}", json_lines(&value, false));
    }
    writeln!(
        out,
        "{delivered} delivered, {refused} refused again, {dropped} dropped by options, {damaged} damaged, {} in use",
        counted(in_use, "file")
    )
}

/// What records become on their way out, and where to.
pub struct Road<'a, F, K> {
    /// The options of now, for records that an option could not work on.
    pub reprocess: &'a mut Reprocess,
    /// Takes the records for Firehose.
    pub firehose: &'a F,
    /// Takes the records for Kinesis Data Streams.
    pub kinesis: &'a K,
}

/// Sends the records that are meant, one at a time, to the service that each was for, and removes those that it accepts.
/// Records that an option could not work on go through the options of now first.
///
/// # Errors
/// When the service takes nothing at all, or a file or the output fails; what was delivered until then stays delivered.
pub async fn replay(
    state_directory: &Path,
    selection: &Selection,
    road: &mut Road<'_, impl Service, impl Service>,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<Replayed, CommandError> {
    let (mut replayed, mut log) = (Replayed::default(), Log { out, json });
    for path in selection.files(state_directory)? {
        let Some(file) = quarantine::open(&path)? else {
            replayed.in_use += 1;
            log.say(&path, None, "in use", "another process has it, left alone; try again later")?;
            continue;
        };
        let before = replayed.delivered + replayed.dropped;
        let ended = replay_file(&file, selection, road, &mut log, &mut replayed).await;
        if replayed.delivered + replayed.dropped > before {
            file.compact()?;
        }
        ended?;
    }
    Ok(replayed)
}

async fn replay_file(
    file: &QuarantineFile,
    selection: &Selection,
    road: &mut Road<'_, impl Service, impl Service>,
    log: &mut Log<'_>,
    replayed: &mut Replayed,
) -> Result<(), CommandError> {
    for line in file.lines()? {
        let line = line?;
        match &line.state {
            LineState::Waiting(entry) if selection.holds(entry) => {
                let (call, destination) = match prepare(entry, road.reprocess)? {
                    Prepared::Call(call, destination) => (call, destination),
                    Prepared::Dropped(reason) => {
                        file.mark_delivered(&line)?;
                        replayed.dropped += 1;
                        log.say(file.path(), Some(line.number), "dropped", &reason)?;
                        continue;
                    }
                    Prepared::Failed(reason) => {
                        replayed.refused += 1;
                        log.say(file.path(), Some(line.number), "fails again", &reason)?;
                        continue;
                    }
                };
                let sent = match destination {
                    Target::Firehose => send(&call, road.firehose).await?,
                    Target::Kinesis => send(&call, road.kinesis).await?,
                };
                match sent {
                    Sent::Delivered => {
                        file.mark_delivered(&line)?;
                        replayed.delivered += 1;
                    }
                    Sent::Refused(fault) => {
                        replayed.refused += 1;
                        log.say(file.path(), Some(line.number), "refused again", &fault.to_string())?;
                    }
                }
            }
            LineState::Damaged(reason) => {
                replayed.damaged += 1;
                log.say(file.path(), Some(line.number), "damaged", reason)?;
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

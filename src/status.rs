//! How flows and files stand, as the agent tells over its socket and the commands show.
//! Promises one form for a running agent and for a stopped one, and a balance: all that was read is accounted for.
//! Leaves asking and printing to others.

/// When rotation takes away what was not read.
pub mod rotation;
/// How it was when the agent stopped.
pub mod stopped;
/// Rates, out of looks that are some seconds apart.
pub mod samples;

use crate::local::{FileBalance, PathText};
use crate::saved::Counters;
use datalake_base::accounting::Stage;
use serde::{Deserialize, Serialize};

/// How the agent stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether an agent runs; else this is from the checkpoint.
    pub running: bool,
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: Option<u32>,
    /// Its state folder.
    pub state_directory: PathText,
    /// Since when it runs, in milliseconds since 1970.
    pub started_at: Option<u64>,
    /// Positions could not be saved for this many milliseconds.
    pub unsaved_millis: Option<u64>,
    /// Its flows, in their order.
    pub flows: Vec<FlowStatus>,
}

/// What a flow does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Credentials, region and the first look at its files come first.
    Starting,
    /// It sends.
    Delivering,
    /// It has nothing to do.
    Idle,
    /// The stream takes less than there is.
    Throttled,
    /// Calls fail and are tried again.
    Retrying,
    /// It waits for the operator.
    Paused,
    /// It has something to do and does not get on: a bug.
    Stalled,
    /// No agent runs.
    #[default]
    Stopped,
}

impl State {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Delivering => "delivering",
            Self::Idle => "idle",
            Self::Throttled => "throttled",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
        }
    }
}

/// How a flow stands. Bytes are bytes of input unless said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowStatus {
    /// Its name.
    pub name: String,
    /// `Firehose` or `Kinesis`.
    pub service: String,
    /// The stream.
    pub stream: String,
    /// What it does.
    pub state: State,
    /// Why it waits, and what to do; where it does.
    pub reason: Option<String>,
    /// The newest reason there was, also where it is over.
    pub last_error: Option<LastError>,
    /// Files that it follows.
    pub files: u64,
    /// Of these, the ones that cannot be read.
    pub unreadable: u64,
    /// Bytes a second that the service accepts, over the last ten seconds.
    pub rate: f64,
    /// Bytes a second that are written to its files, over the last minute.
    pub written_rate: f64,
    /// Bytes on disk that are not settled.
    pub behind_bytes: u64,
    /// Age of the oldest byte that was read and is not settled.
    pub behind_millis: u64,
    /// What keeps it from going faster, over the last minute.
    pub limit: Option<Limit>,
    /// Where its bytes are.
    pub accounting: Balance,
    /// What was sent.
    pub sent: Sent,
    /// Milliseconds by what kept it from going faster, since the counters count.
    pub limited_by: Vec<StageTime>,
    /// Since when the counters count, in milliseconds since 1970.
    pub counted_since: u64,
    /// The content that waits longest.
    pub oldest: Option<Oldest>,
}

/// An error that may be over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// When it came, in milliseconds since 1970.
    pub at: u64,
    /// What it was, and what to do.
    pub reason: String,
}

/// What keeps a flow from going faster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The stage, as the log names it.
    pub stage: String,
    /// Its share of the last minute, in percent.
    pub percent: u8,
    /// What to do.
    pub remedy: String,
}

/// The time of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageTime {
    /// The stage, as the log names it.
    pub stage: String,
    /// Milliseconds.
    pub millis: u64,
}

/// Where the bytes are that were read: `read = delivered + pending + filtered + quarantined`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Balance {
    /// Taken from files.
    pub read: u64,
    /// Accepted by the service.
    pub delivered: u64,
    /// Read and not settled.
    pub pending: u64,
    /// Dropped because the configuration says so.
    pub filtered: u64,
    /// Kept in the quarantine, or replayed or removed from it since.
    pub quarantined: u64,
    /// Destroyed before they were read; not part of `read`.
    pub destroyed: u64,
    /// Left out on purpose: holes, archives that are not read; not part of `read`.
    pub skipped: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sent {
    /// Lines accepted.
    pub lines: u64,
    /// Records accepted.
    pub records: u64,
    /// Calls answered.
    pub calls: u64,
    /// Bytes of the accepted records before base64, compressed where the flow compresses.
    pub payload: u64,
    /// Bytes billed for them.
    pub billed: u64,
    /// Records sent again.
    pub retried: u64,
    /// Of these, the ones that may have arrived before.
    pub possibly_duplicated: u64,
    /// Records kept in the quarantine.
    pub quarantined_records: u64,
    /// Records that no option could work on.
    pub unprocessed_records: u64,
    /// The most bytes of a call.
    pub call_bytes: u64,
    /// The most records of a call.
    pub call_records: u64,
}

/// The content that waits longest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Oldest {
    /// The path by which a pattern matched it.
    pub home: PathText,
    /// Where it lies, if it lies anywhere.
    pub path: Option<PathText>,
    /// It was rotated away.
    pub rotated: bool,
    /// When its file was changed last, in milliseconds since 1970; 0 where that is not known.
    pub changed_at: u64,
}

/// How a file stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileStatus {
    /// The number of the content that it holds; one for each destination.
    pub id: u64,
    /// The flow; none where no pattern matches it any more.
    pub flow: Option<String>,
    /// The destination, as `firehose:NAME`.
    pub destination: String,
    /// The path by which a pattern matched it.
    pub home: PathText,
    /// Where it lies, if it lies anywhere.
    pub path: Option<PathText>,
    /// Other names of it.
    pub other_names: Vec<PathText>,
    /// Names that are links.
    pub links: Vec<PathText>,
    /// `reading`, `new`, `sought` or `finished`.
    pub state: String,
    /// It was rotated away.
    pub rotated: bool,
    /// It is an archive; positions count unpacked bytes.
    pub packed: bool,
    /// It cannot be read now.
    pub unreadable: bool,
    /// Everything before this is settled.
    pub position: u64,
    /// Everything before this was read.
    pub read: u64,
    /// Known and not read.
    pub unread: u64,
    /// Where its bytes are.
    pub accounting: FileBalance,
    /// Its size when it was last looked at.
    pub size: u64,
    /// When it was changed, in milliseconds since 1970; 0 where that is not known.
    pub changed_at: u64,
}

impl FlowStatus {
    /// Takes in what was counted, in this life and before, with `pending` bytes on their way.
    pub fn count(&mut self, counters: &Counters, pending: u64) {
        let Counters { delivered, filtered, quarantined, destroyed, skipped, .. } = *counters;
        let read = delivered + filtered + quarantined + pending;
        self.accounting = Balance { read, delivered, pending, filtered, quarantined, destroyed, skipped };
        self.sent = Sent {
            lines: counters.lines,
            records: counters.records,
            calls: counters.calls,
            payload: counters.payload,
            billed: counters.billed,
            retried: counters.retried,
            possibly_duplicated: counters.possibly_duplicated,
            quarantined_records: counters.quarantined_records,
            unprocessed_records: counters.unprocessed,
            ..self.sent
        };
        let times = Stage::ALL.into_iter().zip(counters.limited_by);
        self.limited_by = times.map(|(stage, millis)| StageTime { stage: stage.name().to_owned(), millis }).collect();
        self.counted_since = counters.since;
    }

    /// What the operator should know about its speed: a quota that does not do.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        const MIB: f64 = 1024.0 * 1024.0;
        let limited = self.limit.as_ref().is_some_and(|limit| limit.stage == Stage::Quota.name());
        if !limited || self.written_rate <= self.rate * 1.05 || self.written_rate < 0.05 * MIB {
            return None;
        }
        // What a stream takes is counted in bytes as they are sent, and a quarter more than is needed catches up.
        let sent = if self.accounting.delivered > 0 && self.sent.payload > 0 {
            self.sent.payload as f64 / self.accounting.delivered as f64
        } else {
            1.0
        };
        let quota = (self.written_rate * sent * 1.25 / MIB - 0.01).ceil().max(1.0);
        let (needs, gets) = (self.written_rate / MIB, self.rate / MIB);
        let quota_of = if self.service == "Kinesis" { "shards for" } else { "a quota of" };
        Some(format!("needs {} MiB/s, gets {}: ask for {quota_of} {quota:.0} MiB/s", short(needs), short(gets)))
    }
}

/// One digit behind the point where that matters.
fn short(number: f64) -> String {
    if number >= 9.95 { format!("{number:.0}") } else { format!("{number:.1}").trim_end_matches(".0").to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    #[test]
    fn all_that_was_read_is_accounted_for() {
        let mut status = FlowStatus::default();
        let counters = Counters { delivered: 10, filtered: 3, quarantined: 2, destroyed: 9, ..Counters::default() };
        status.count(&counters, 5);
        let Balance { read, delivered, pending, filtered, quarantined, destroyed, .. } = status.accounting;
        assert_eq!((read, destroyed), (20, 9));
        assert_eq!(read, delivered + pending + filtered + quarantined);
    }

    #[test]
    fn a_stream_that_takes_too_little_is_told_what_would_do() {
        let limit = Limit { stage: "quota".into(), percent: 90, remedy: String::new() };
        let flow =
            FlowStatus { rate: 5.0 * MIB, written_rate: 12.0 * MIB, limit: Some(limit), ..FlowStatus::default() };
        assert_eq!(flow.advice().unwrap(), "needs 12 MiB/s, gets 5: ask for a quota of 15 MiB/s");
        let mut packed = flow.clone();
        (packed.accounting.delivered, packed.sent.payload) = (100, 20);
        assert_eq!(packed.advice().unwrap(), "needs 12 MiB/s, gets 5: ask for a quota of 3 MiB/s");
        let enough = FlowStatus { written_rate: 5.0 * MIB, ..flow.clone() };
        assert_eq!(enough.advice(), None);
        assert_eq!(FlowStatus { limit: None, ..flow }.advice(), None, "another stage is the limit");
    }
}

//! What is done with each line: kept as it is, changed, or dropped, step by step as the flow's options say.
//! Promises that every record gets exactly one verdict, whatever its bytes, that no option sees or changes the line end
//! of a record, that nothing is allocated per record once the buffers have grown, and that a record that fails leaves no
//! trace in the output.
//! Leaves reading lines to framing, dropped and failed records to the flow, and fetching what the machine says about
//! itself to the plan.
//!
//! Nothing here reads a clock, a file or the environment: a program that is not the agent hands in what the options may
//! know, and the records.
//!
//! ```
//! use datalake_process::{FileKey, Place, Position, Processor, Settings, Surroundings, Verdict};
//! use std::path::Path;
//!
//! // As `dataProcessingOptions` of the agent's configuration.
//! let options = serde_json::json!([
//!     {"optionName": "LOGTOJSON", "logFormat": "SYSLOG"},
//!     {"optionName": "FILTER", "dropWhen": {"field": "program", "equals": "cron"}},
//!     {"optionName": "REDACT", "regex": ["user \\w+$"], "replacement": "user ?"},
//! ]);
//! let settings = Settings::parse(&options).expect("the options are valid");
//! let surroundings = Surroundings {
//!     host: "web-1".into(),
//!     variables: Default::default(),
//!     instance: None,
//!     max_record_bytes: 1_024_000,
//! };
//! let mut processor = Processor::new(&settings, &surroundings)?;
//!
//! let record = b"Mar  2 12:00:08 web-1 sshd[9]: no such user jo\n";
//! let place = Place {
//!     path: Path::new("/var/log/auth.log"),
//!     file: FileKey::default(),
//!     generation: None,
//!     position: Position::START,
//!     input: record.len() as u64,
//!     now_ms: 1_539_002_096_789,
//! };
//! let mut out = Vec::new();
//! match processor.process(record, &place, &mut out) {
//!     Verdict::Kept => assert!(out.ends_with(b"\"message\":\"no such user jo\"}\n")),
//!     Verdict::KeptRaw(reason) | Verdict::Dropped(reason) | Verdict::Failed(reason) => panic!("{reason}"),
//! }
//! # Ok::<(), datalake_process::NotReady>(())
//! ```

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "the tests read the tables of examples"))]

/// `{` and `}` around the record.
mod brackets;
/// Delimited columns to JSON.
mod csv;
/// Fields of JSON objects: added, renamed, removed.
mod fields;
/// Records kept or dropped by what is in them.
mod filter;
/// Doors for fuzzers, which the tests go through too.
#[doc(hidden)]
pub mod fuzz;
/// What the machine says about itself, added to JSON objects.
mod instance;
/// Regular expressions as Java reads them.
mod java;
/// A program of jq.
#[cfg(feature = "jq")]
mod jq;
/// JSON: written, looked through, edited in place.
mod json;
/// Log formats to JSON.
mod log;
/// The record wrapped together with constant fields.
mod metadata;
/// Numbers, compared exactly.
mod number;
/// Where a record comes from, added to JSON objects.
mod provenance;
/// Secrets replaced.
mod redact;
/// Records made canonical lines of a table.
mod schema;
/// The options as written, made into settings.
mod settings;
/// Lines of a record joined.
mod singleline;
/// Constant texts with holes for what is known only at run time.
mod template;
/// Points in time, read and written.
mod time;
/// A point in time parsed out of a field.
mod timestamp;
/// Why a record was not kept as the steps would have it.
mod verdict;

pub use datalake_schema::plan::LARGEST_FILE as LARGEST_PLAN;
pub use datalake_schema::{Decoder, Notes};
pub use java::{Pattern, PatternError};
pub use settings::{OnFailure, ReadFile, Settings, StepError};
pub use verdict::{Cause, Reason, Verdict};

pub use datalake_base::record::{FileKey, Position};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A buffer that one huge record made large is not kept at that size.
const BUFFER_KEPT: usize = 1 << 20;

/// What steps may know of the machine; gathered before a flow starts.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The host's name.
    pub host: String,
    /// The environment variables that [`Settings::variables`] asks for.
    pub variables: BTreeMap<String, String>,
    /// What is known of the instance; `None` until it has been fetched, or where there is none.
    pub instance: Option<Arc<Instance>>,
    /// The longest record that may come out, in bytes; a longer one fails.
    pub max_record_bytes: usize,
}

/// What a cloud machine says about itself. A value that is not known is not added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its address inside the network.
    pub private_ip: Option<String>,
    /// Such as `us-west-2a`.
    pub availability_zone: Option<String>,
    /// Such as `i-0abc`.
    pub instance_id: Option<String>,
    /// Such as `t3.small`.
    pub instance_type: Option<String>,
    /// Whose machine it is.
    pub account_id: Option<String>,
    /// The image that it was started from.
    pub ami_id: Option<String>,
    /// Such as `us-west-2`.
    pub region: Option<String>,
    /// When this was fetched, as it is to be written.
    pub fetched: Option<String>,
    /// Names (in lower case) and values; `None` where they could not be read.
    pub tags: Option<Vec<(String, String)>>,
    /// Of a container: names and values, added after the others.
    pub container: Vec<(String, String)>,
}

/// Where and when a record was read.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The path of its file.
    pub path: &'a Path,
    /// Which file that is.
    pub file: FileKey,
    /// Which life of the file; `None` while its first line is not whole.
    pub generation: Option<u64>,
    /// Position of its first byte in the file.
    pub position: Position,
    /// Bytes of the file that it stands for; what the agent added itself does not count.
    pub input: u64,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why steps that are valid cannot run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// An environment variable that a step names is not set.
    #[error(
        "the environment variable `{name}` is not set; set it for the agent, or give a value with `${{env:{name}:-value}}`"
    )]
    MissingVariable {
        /// Its name.
        name: String,
    },
}

/// The steps of one flow, ready to run.
#[derive(Debug)]
pub struct Processor {
    steps: Vec<Running>,
    /// What one step leaves for the next; two, because a step reads one and writes the other.
    between: [Vec<u8>; 2],
    max_record_bytes: usize,
    /// Nanoseconds for each byte of a record, in the worst case.
    cost: u64,
    /// Ends a record that was cut for its length; empty where that is a newline too.
    terminator: Vec<u8>,
}

#[derive(Debug)]
struct Running {
    work: Box<dyn Work>,
    on_failure: OnFailure,
}

/// How a step ends that does not hand on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is not wanted.
    Dropped(Cause),
    /// It is not what the step needs.
    Failed(Cause),
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self::Failed(cause)
    }
}

/// One step at work. It is given the record without its line end, so that no step can swallow one and glue two records
/// together. It appends to `out` and leaves alone what is there already; when it does not hand on a record, what it
/// appended is taken back by the caller.
trait Work: std::fmt::Debug + Send {
    fn apply(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop>;

    /// What ends the result of a record that ended in `came`. Steps that write the record anew end it in a newline.
    fn line_end<'a>(&self, came: &'a [u8]) -> &'a [u8] {
        came
    }

    /// The machine has said (again) what it is.
    fn learn(&mut self, _instance: &Arc<Instance>) {}

    /// What the operator should learn about records that were kept, if that is new.
    fn news(&mut self) -> Option<Notes> {
        None
    }
}

impl Processor {
    /// The steps of `settings`, in these surroundings.
    ///
    /// # Errors
    /// When an environment variable is missing.
    pub fn new(settings: &Settings, surroundings: &Surroundings) -> Result<Self, NotReady> {
        let steps = settings.steps.iter().map(|step| {
            let work = (step.start)(surroundings)?;
            Ok(Running { work, on_failure: step.on_failure })
        });
        Ok(Self {
            steps: steps.collect::<Result<_, _>>()?,
            between: [Vec::new(), Vec::new()],
            max_record_bytes: surroundings.max_record_bytes,
            cost: settings.cost(),
            terminator: Vec::new(),
        })
    }

    /// The same, for records that end in `terminator` where they were cut for their length. Steps do not see it either.
    #[must_use]
    pub fn with_terminator(mut self, terminator: &[u8]) -> Self {
        self.terminator = if terminator == b"\n" { Vec::new() } else { terminator.to_vec() };
        self
    }

    /// Hands on what the machine has said about itself; from now on it is added.
    pub fn learn(&mut self, instance: &Arc<Instance>) {
        for step in &mut self.steps {
            step.work.learn(instance);
        }
    }

    /// What the operator should learn about records that were kept, if that is new: what a step left out of them.
    pub fn news(&mut self) -> Option<Notes> {
        self.steps.iter_mut().find_map(|step| step.work.news())
    }

    /// Memory, in bytes, that it and what it leaves may hold from one record to the next where no record is longer than
    /// this: its buffers, and records that failed and are not kept yet.
    #[must_use]
    pub const fn memory_floor(longest_record: usize) -> u64 {
        3 * BUFFER_KEPT as u64 + 2 * longest_record as u64
    }

    /// Memory, in bytes, that a step may need besides while it works on one record: every byte may become an escape.
    #[must_use]
    pub const fn working_memory(longest_record: usize) -> u64 {
        6 * longest_record as u64
    }

    /// How long a record of this length may take, in nanoseconds and in the worst case. It depends on the options and the
    /// length alone, so that work is shared out the same way however busy the machine is.
    #[must_use]
    pub const fn cost(&self, record: usize) -> u64 {
        self.cost.saturating_mul(record as u64)
    }

    /// Takes one record, its line end included, through all steps and appends what is to be sent to `out`. Nothing is
    /// appended unless the verdict is [`Verdict::Kept`] or [`Verdict::KeptRaw`].
    pub fn process(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Verdict {
        let start = out.len();
        let ended = self.run(record, place, out);
        for buffer in &mut self.between {
            buffer.clear();
            if buffer.capacity() > BUFFER_KEPT {
                buffer.shrink_to(BUFFER_KEPT);
            }
        }
        let Err((index, stop)) = ended else { return Verdict::Kept };
        out.truncate(start);
        let (cause, on_failure) = match stop {
            Stop::Dropped(cause) => return Verdict::Dropped(Reason::new(index, cause)),
            Stop::Failed(cause) => (cause, self.steps.get(index).map(|step| step.on_failure).unwrap_or_default()),
        };
        let reason = Reason::new(index, cause);
        match on_failure {
            OnFailure::Quarantine => Verdict::Failed(reason),
            OnFailure::Drop => Verdict::Dropped(reason),
            OnFailure::Raw => {
                out.extend_from_slice(record);
                Verdict::KeptRaw(reason)
            }
        }
    }

    /// Runs the steps; where they stopped, if they did.
    fn run(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), (usize, Stop)> {
        let Self { steps, between: [input, output], max_record_bytes, terminator, .. } = self;
        let start = out.len();
        let Some(last) = steps.len().checked_sub(1) else {
            out.extend_from_slice(record);
            return Ok(());
        };
        let (record, mut end) = record.split_at(record.len() - line_end(record, terminator));
        for (index, step) in steps.iter_mut().enumerate() {
            let record = if index == 0 { record } else { input.as_slice() };
            if index == last {
                step.work.apply(record, place, out).map_err(|stop| (index, stop))?;
            } else {
                output.clear();
                step.work.apply(record, place, output).map_err(|stop| (index, stop))?;
                std::mem::swap(input, output);
            }
            end = step.work.line_end(end);
            let written = end.len() + if index == last { out.len() - start } else { input.len() };
            if written > *max_record_bytes {
                return Err((index, Stop::Failed(Cause::TooLong { limit: *max_record_bytes })));
            }
        }
        out.extend_from_slice(end);
        Ok(())
    }
}

/// How many bytes end the record: `\n`, `\r\n`, or the terminator of a record that was cut.
fn line_end(record: &[u8], terminator: &[u8]) -> usize {
    if !terminator.is_empty() && record.ends_with(terminator) {
        return terminator.len();
    }
    match record {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// The record without the byte order mark that some editors put before the first line of a file.
fn bare(record: &[u8]) -> &[u8] {
    record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(record)
}

/// The record as text; bytes that are none are replaced by U+FFFD in `scratch`.
fn as_text<'a>(record: &'a [u8], scratch: &'a mut String) -> &'a str {
    if let Ok(text) = std::str::from_utf8(record) {
        return text;
    }
    scratch.clear();
    for chunk in record.utf8_chunks() {
        scratch.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            scratch.push('\u{FFFD}');
        }
    }
    scratch
}

#[cfg(test)]
mod tests;

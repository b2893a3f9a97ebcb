//! Where the log goes, in which form, and how much of it.
//! Promises the journal where the journal reads us, plain text for a person, JSON lines for a program; and that logging
//! never waits. Leaves the forms to `entry` and `journal`, and waiting to the queue.

use super::clock;
use super::entry::Entry;
use super::journal::{Journal, SOCKET};
use super::level::{BadLevel, Levels, is_permitted};
use super::queue::Queue;
use super::stderr::{Form, Lines, Stderr};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The variable that sets the level where the command line does not.
const VARIABLE: &str = "DATALAKE_LOG";

/// The queue of this process.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The form of the log (`--log-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal if stderr is one, text if it is a terminal, else JSON lines.
    #[default]
    Auto,
    /// For a person.
    Text,
    /// One JSON object a line.
    Json,
    /// journald's own protocol with a field for each field.
    Journal,
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No such form.
    #[error("`{text}` is no log format; known are auto, text, json and journal")]
    Format {
        /// What was asked for.
        text: String,
    },
    /// Not a level.
    #[error(transparent)]
    Level(#[from] BadLevel),
    /// It was set up before.
    #[error("the log is set up already: {0}")]
    Again(#[from] TryInitError),
    /// The system gives no thread.
    #[error("the log cannot be written: {0}; the system gives no threads, see `ulimit -a` of this user")]
    Thread(#[from] io::Error),
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journal" => Ok(Self::Journal),
            _ => Err(LogError::Format { text: text.to_owned() }),
        }
    }
}

/// Sets up the log of the process, on stderr or in the journal. `level` is what the command line says; without it
/// `$DATALAKE_LOG` counts, and without that `info`. A level on the command line that is none is an error; in the
/// variable, which may be set for a thousand hosts at once, it is a warning.
///
/// # Errors
/// When the level of the command line is none, the system gives no thread, or the log was set up before.
pub fn init(format: LogFormat, level: Option<&str>) -> Result<(), LogError> {
    let (levels, misread) = match level {
        Some(level) => (level.parse()?, None),
        None => of_environment(std::env::var_os(VARIABLE).map(|text| text.to_string_lossy().into_owned())),
    };
    let queue = match resolve(format) {
        LogFormat::Journal => Queue::start(Journal::connect(Path::new(SOCKET)))?,
        LogFormat::Json => Queue::start(Lines { form: Form::Json, stderr: Stderr::default() })?,
        LogFormat::Text | LogFormat::Auto => {
            let colour =
                io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            Queue::start(Lines { form: Form::Text { colour }, stderr: Stderr::default() })?
        }
    };
    let layer = Queued(queue.clone()).with_filter(levels.into_targets());
    tracing_subscriber::registry().with(layer).try_init()?;
    QUEUE.set(queue).ok();
    if let Some(refusal) = misread {
        tracing::warn!("{VARIABLE} of the environment is not used: {refusal}; logging at `info`");
    }
    Ok(())
}

fn of_environment(variable: Option<String>) -> (Levels, Option<BadLevel>) {
    match variable.unwrap_or_default().parse() {
        Ok(levels) => (levels, None),
        Err(refusal) => (Levels::default(), Some(refusal)),
    }
}

/// Whether the log of the process was set up.
#[must_use]
pub fn is_set_up() -> bool {
    QUEUE.get().is_some()
}

/// Waits until what was logged is written, or its reader stands still: at most two seconds.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// Hands events to the queue.
struct Queued(Queue);

impl<S: Subscriber> Layer<S> for Queued {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if is_permitted(event.metadata().target(), *event.metadata().level()) {
            self.0.push(Entry::of(event, clock::now_ms()));
        }
    }
}

/// What `auto` means here.
fn resolve(format: LogFormat) -> LogFormat {
    if format != LogFormat::Auto {
        return format;
    }
    let journal = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = rustix::fs::fstat(std::io::stderr()).ok();
    if stderr.is_some_and(|stat| is_stream(&journal, stat.st_dev, stat.st_ino)) {
        LogFormat::Journal
    } else if std::io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    }
}

/// Whether `$JOURNAL_STREAM` (`device:inode`) names this descriptor; it is inherited by children whose stderr is not.
fn is_stream(variable: &str, device: u64, inode: u64) -> bool {
    variable.split_once(':').is_some_and(|(named_device, named_inode)| {
        named_device.parse() == Ok(device) && named_inode.parse() == Ok(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    #[test]
    fn the_journal_is_only_meant_when_the_variable_names_our_own_stderr() {
        assert!(is_stream("8:12345", 8, 12345));
        for variable in ["", "8", "8:", ":12345", "8:12346", "9:12345", "x:y", "8:12345:1"] {
            assert!(!is_stream(variable, 8, 12345), "{variable}");
        }
    }

    #[test]
    fn what_is_no_format_is_refused_with_what_would_do() {
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("journal"));
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
    }

    /// The other half of the tests below, in a process whose stderr and environment they choose.
    #[test]
    #[ignore = "only as a child of the other tests"]
    fn child() {
        init(std::env::var("FORMAT").unwrap_or_default().parse().unwrap_or_default(), None).unwrap();
        tracing::debug!("below the level");
        tracing::error!(flow = "orders", "held");
        flush();
    }

    fn child_stderr(variables: &[(&str, &str)]) -> String {
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::log::tests::child", "--ignored", "--nocapture"])
            .env_remove("JOURNAL_STREAM")
            .env_remove(VARIABLE)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        String::from_utf8(done.stderr).unwrap()
    }

    #[test]
    fn a_program_that_reads_our_stderr_gets_one_json_object_a_line() {
        let text = child_stderr(&[]);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(
            (&line["level"], &line["flow"], &line["message"]),
            (&"ERROR".into(), &"orders".into(), &"held".into())
        );
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_person_gets_words_without_escape_codes_where_there_are_no_colours() {
        let text = child_stderr(&[("FORMAT", "text")]);
        assert!(text.contains("ERROR held flow=orders") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn the_variable_sets_the_level() {
        assert!(child_stderr(&[(VARIABLE, "debug")]).contains("below the level"));
        assert!(!child_stderr(&[(VARIABLE, "info")]).contains("below the level"));
    }

    /// `DATALAKE_LOG=debg` turned the whole log off.
    #[test]
    fn a_typo_in_the_variable_is_a_warning_and_the_log_stays_on() {
        let text = child_stderr(&[(VARIABLE, "debg")]);
        assert!(text.contains("`debg` is no log level (did you mean `debug`?)") && text.contains("held"), "{text}");
    }

    #[test]
    fn without_a_journal_socket_the_lines_go_to_stderr_with_their_priority() {
        if UnixDatagram::unbound().and_then(|socket| socket.connect(SOCKET)).is_ok() {
            eprintln!("SKIPPED: a journald runs on this machine, its lines do not come back to us");
            return;
        }
        assert_eq!(child_stderr(&[("FORMAT", "journal")]), "<3>held flow=orders\n");
    }
}

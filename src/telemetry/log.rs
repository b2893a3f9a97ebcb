//! Where the log goes, in which form, and how much of it.
//! Promises the journal where the journal reads us, plain text for a person, JSON lines for a program.
//! Leaves the journal's protocol to `journal` and the words to whoever logs.

use super::journal::{Journal, SOCKET};
use std::io::IsTerminal;
use std::path::Path;
use std::str::FromStr;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The variable that sets the level where the command line does not.
const VARIABLE: &str = "DATALAKE_LOG";

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
    #[error(
        "`{text}` is no log level: {reason}; give one of error, warn, info, debug, trace, or such as \
         `warn,datalake_agent::source=debug`"
    )]
    Level {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was set up before.
    #[error("the log is set up already: {0}")]
    Again(#[from] TryInitError),
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
/// `$DATALAKE_LOG` counts, and without that `info`.
///
/// # Errors
/// When the level is none, or the log was set up before.
pub fn init(format: LogFormat, level: Option<&str>) -> Result<(), LogError> {
    let variable = std::env::var(VARIABLE).ok();
    let filter = filter(level.or(variable.as_deref()))?;
    tracing_subscriber::registry().with(layer(resolve(format)).with_filter(filter)).try_init()?;
    Ok(())
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

/// The layer that writes.
fn layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Journal => Journal::connect(Path::new(SOCKET)).boxed(),
        LogFormat::Json => stderr.json().flatten_event(true).boxed(),
        LogFormat::Text | LogFormat::Auto => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            stderr.with_ansi(colour).with_target(false).boxed()
        }
    }
}

/// A bare level speaks of the agent; what the libraries below it have to say is only wanted when it is alarming.
fn filter(level: Option<&str>) -> Result<EnvFilter, LogError> {
    let text = level.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("info");
    let directives = match text {
        "info" | "debug" | "trace" => format!("warn,datalake_agent={text}"),
        _ => text.to_owned(),
    };
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| LogError::Level { text: text.to_owned(), reason: error.to_string() })
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
    fn a_bare_level_is_about_the_agent_and_leaves_the_libraries_at_warnings() {
        let shown = |level| filter(level).unwrap().to_string().split(',').map(str::to_owned).collect::<Vec<_>>();
        for (level, own) in [(None, "info"), (Some("debug"), "debug"), (Some(" "), "info")] {
            let shown = shown(level);
            assert!(
                shown.contains(&format!("datalake_agent={own}")) && shown.contains(&"warn".to_owned()),
                "{shown:?}"
            );
        }
        assert_eq!(shown(Some("error")), ["error"]);
        assert_eq!(shown(Some("datalake_agent::source=trace")), ["datalake_agent::source=trace"]);
    }

    #[test]
    fn what_is_no_level_or_no_format_is_refused_with_what_would_do() {
        let refusal = filter(Some("datalake_agent=loud")).unwrap_err().to_string();
        assert!(refusal.contains("datalake_agent=loud") && refusal.contains("error, warn, info"), "{refusal}");
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
        assert!(text.contains("ERROR held flow=\"orders\"") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn the_variable_sets_the_level() {
        assert!(child_stderr(&[(VARIABLE, "debug")]).contains("below the level"));
        assert!(!child_stderr(&[(VARIABLE, "info")]).contains("below the level"));
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

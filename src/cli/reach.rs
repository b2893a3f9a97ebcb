//! How a command gets at the agent: over its socket while it runs, from its checkpoint when it does not.
//! Promises to change nothing, and to say which of the two it was.
//! Leaves what is asked to the commands.

use crate::checkpoint;
use crate::config::{self, Plan};
use crate::exit::Exit;
use crate::local::{self, Answers, Question};
use crate::regular;
use crate::saved::Remembered;
use datalake_base::shown::shown;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Where the state lies unless the configuration says something else.
const USUAL_STATE: &str = "/var/lib/datalake-agent";
/// An agent that starts or stops is asked this often, this far apart.
const ATTEMPTS: usize = 30;
const APART: Duration = Duration::from_millis(100);

/// Why a command cannot say anything, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) text: String,
    pub(super) exit: Exit,
}

impl Failed {
    pub(super) fn new(exit: Exit, text: impl std::fmt::Display) -> Self {
        Self { text: format!("datalake-agent: {text}\n"), exit }
    }
}

/// The configuration.
pub(super) fn plan(config: &Path) -> Result<Plan, Failed> {
    super::check::enter_environment_of_service(config);
    config::load(config).map_err(|report| Failed { text: report.to_string(), exit: Exit::Configuration })
}

/// The path by which a pattern would match the file: absolute, without `.` and `..`. Links are not resolved, but what `..`
/// stands for behind a link only the system knows.
pub(super) fn named(file: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(file)?;
    if !path.components().any(|component| component == Component::ParentDir) {
        return Ok(path);
    }
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => {
            Ok(folder.canonicalize().map_or_else(|_| path.clone(), |folder| folder.join(name)))
        }
        _ => Ok(path.canonicalize().unwrap_or(path)),
    }
}

/// Asks the agent that uses this state folder; `None` when none runs.
pub(super) fn ask(state: &Path, question: &Question) -> Result<Option<Answers>, Failed> {
    for _ in 0..ATTEMPTS {
        match local::ask(state, question) {
            Ok(Some(answers)) => return Ok(Some(answers)),
            Ok(None) if checkpoint::holder(state).ok().flatten().is_none() => return Ok(None),
            // It is starting, or stopping.
            Ok(None) => std::thread::sleep(APART),
            Err(error) => {
                let text = format!("the agent cannot be asked: {error}; run this as root, or as the user of the agent");
                return Err(Failed::new(Exit::InputOutput, text));
            }
        }
    }
    let text = "an agent runs and cannot be asked: its socket is gone, or it is an older version; restart it";
    Err(Failed::new(Exit::InputOutput, text))
}

/// The state folder that a configuration names which is otherwise wrong: an agent that was started before it was changed
/// runs on, and can be asked.
pub(super) fn state_folder(path: &Path) -> PathBuf {
    let text = regular::read(path, config::LARGEST_FILE as u64).map_or_else(|_| Vec::new(), |(text, _)| text);
    let named = memchr::memmem::rfind(&text, b"\"stateDirectory\"").and_then(|at| {
        let value = text[at..].splitn(5, |byte| *byte == b'"').nth(3)?;
        std::str::from_utf8(value).ok().filter(|value| value.starts_with('/'))
    });
    named.map_or_else(|| PathBuf::from(USUAL_STATE), PathBuf::from)
}

/// What the agent had saved when it stopped.
pub(super) fn remembered(plan: &Plan) -> Result<Option<Remembered>, Failed> {
    checkpoint::peek(&plan.state_directory).map_err(|error| Failed::new(Exit::InputOutput, error))
}

/// An answer that broke off.
pub(super) fn broken(error: &std::io::Error) -> Failed {
    Failed::new(Exit::InputOutput, format_args!("the agent's answer broke off: {}", shown(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_still_names_its_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.json");
        for (text, expected) in [
            ("{\"stateDirectory\" : \"/srv/state\", oops", "/srv/state"),
            ("{\"stateDirectory\": \"relative\"}", USUAL_STATE),
            ("{\"stateDirectory\"", USUAL_STATE),
            ("{}", USUAL_STATE),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(state_folder(&path), Path::new(expected), "{text}");
        }
        assert_eq!(state_folder(Path::new("/nonexistent")), Path::new(USUAL_STATE));
    }
}

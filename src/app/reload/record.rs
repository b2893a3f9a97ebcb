//! How reloads went, in a file of the state folder: written by the agent, read by the command that asked.
//! Promises that a reload which begins after the file was read has a higher number. Leaves asking to the command.

use crate::exit::Exit;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the file.
const NAME: &str = "reload.json";

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose reloads they are.
    pub pid: u32,
    /// How many have begun since that process started.
    pub begun: u64,
    /// How many of them have ended.
    pub ended: u64,
    /// How the newest of these ended.
    pub outcome: Option<Outcome>,
}

/// How a reload ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the new configuration runs; all of it or nothing.
    pub applied: bool,
    /// Flows that were started.
    pub added: Vec<String>,
    /// Flows that were stopped.
    pub removed: Vec<String>,
    /// Flows that go on in another way.
    pub changed: Vec<String>,
    /// Flows that were started again for the sake of another one to the same stream.
    pub restarted: Vec<String>,
    /// How many flows noticed nothing.
    pub unchanged: usize,
    /// Why it was not applied.
    pub reason: String,
    /// The exit code of the command that asked.
    pub exit: u8,
}

impl Outcome {
    pub(super) fn refused(reason: String, exit: Exit) -> Self {
        Self { reason, exit: exit.code(), ..Self::default() }
    }
}

/// The reloads of this process.
#[derive(Debug, Default)]
pub(in crate::app) struct Records {
    begun: u64,
}

/// One that has begun.
pub(super) struct Begun {
    path: PathBuf,
    record: Record,
}

impl Records {
    /// Another one begins.
    pub(super) async fn begin(&mut self, state: &Path) -> Begun {
        self.begun += 1;
        let (begun, pid) = (self.begun, std::process::id());
        let begun = Begun { path: state.join(NAME), record: Record { pid, begun, ended: begun - 1, outcome: None } };
        begun.write().await;
        begun
    }
}

impl Begun {
    pub(super) async fn end(mut self, outcome: Outcome) {
        self.record.ended = self.record.begun;
        self.record.outcome = Some(outcome);
        self.write().await;
    }

    /// On a thread that may wait for the disk. Where it fails, who waits for the outcome is left with the log.
    async fn write(&self) {
        let (path, record) = (self.path.clone(), self.record.clone());
        let written = tokio::task::spawn_blocking(move || write(&path, &record)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(reason = %error, "the outcome of the reload cannot be written to the state folder");
        }
    }
}

fn write(path: &Path, record: &Record) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(record).map_err(std::io::Error::other)?)?;
    drop(file);
    std::fs::rename(&new, path)
}

/// What an earlier process wrote concerns nobody any more.
pub(in crate::app) fn forget_earlier(state: &Path) {
    std::fs::remove_file(state.join(NAME)).ok();
}

impl Record {
    /// How the reloads of the process went that uses this state folder; none so far, where there is nothing to be read.
    #[must_use]
    pub fn read(state: &Path) -> Self {
        let most = 4 << 20;
        let read = crate::regular::read(&state.join(NAME), most).ok();
        read.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

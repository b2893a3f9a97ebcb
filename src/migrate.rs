//! A host of the Kinesis Agent moves over: its configuration said in our words, its saved positions made into ours.
//! Promises that nothing is written before everything was judged, and that nothing of the Kinesis Agent is ever changed.
//! Leaves asking and telling to the command.

/// The Kinesis Agent's saved positions.
pub mod checkpoints;
/// Values as it takes them.
mod java;
/// What is to be said.
pub mod notes;
/// Its files.
mod original;
/// Its file patterns.
mod pattern;
/// Which file a position is about.
pub mod place;
/// All positions of all flows among the files on disk.
pub mod positions;
/// One object of its configuration.
mod section;
/// Both agents side by side.
pub mod shadow;
/// Its keys.
mod tables;
/// Its configuration in our words.
pub mod translate;
/// The result on disk.
pub mod write;

use crate::config::{self, Plan, Report};
use notes::Notes;
use positions::Positions;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use translate::NewFile;

/// Where the Kinesis Agent keeps its positions where its configuration does not say.
const CHECKPOINTS: &str = "/var/run/aws-kinesis-agent/checkpoints";

/// What is to be moved, and where to.
#[derive(Clone, Debug)]
pub struct Request {
    /// The Kinesis Agent's folder, or its main file.
    pub from: PathBuf,
    /// Its database; `None` is where its configuration says.
    pub checkpoints: Option<PathBuf>,
    /// Moves the configuration alone.
    pub without_checkpoints: bool,
    /// Our main file.
    pub config: PathBuf,
    /// Our state folder, where it is not the usual one.
    pub state_directory: Option<PathBuf>,
}

/// Everything that moving over would do.
#[derive(Debug)]
pub struct Migration {
    /// The new files, the main file first.
    pub files: Vec<NewFile>,
    /// What is to be said about them.
    pub notes: Notes,
    /// What our own check says.
    pub verdict: Result<Plan, Report>,
    /// Where the Kinesis Agent's positions are.
    pub database: PathBuf,
    /// What became of them; `None` when they were not asked for, or there is no plan to place them by.
    pub positions: Option<Result<Positions, checkpoints::ReadError>>,
    /// The process of the Kinesis Agent, where it runs.
    pub running: Option<u32>,
}

/// Reads and judges everything; writes nothing. `now` is milliseconds since 1970.
///
/// # Errors
/// When the Kinesis Agent's main file cannot be read.
pub fn prepare(request: &Request, now: u64) -> Result<Migration, String> {
    let original = original::read(&request.from)?;
    let mut translation = translate::translate(&original.main, &original.fragments);
    let mut notes = original.notes;
    notes.extend(std::mem::take(&mut translation.notes));
    let mut files = translation.files;
    if let (Some(folder), Some(main)) = (&request.state_directory, files.first_mut()) {
        let text = folder.display().to_string();
        main.value.insert("stateDirectory".to_owned(), text.into());
    }
    let texts: Vec<(String, String)> = files.iter().map(|file| (file.name.display().to_string(), text(file))).collect();
    let borrowed: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let verdict = config::from_text(&borrowed);
    let database = request.checkpoints.clone().or(translation.checkpoint_file).unwrap_or_else(|| CHECKPOINTS.into());
    let positions = match &verdict {
        Ok(plan) if !request.without_checkpoints => {
            Some(checkpoints::read(&database).map(|old| positions::gather(&translation.flows, &plan.flows, old, now)))
        }
        _ => None,
    };
    Ok(Migration { files, notes, verdict, running: running(&database), database, positions })
}

impl Migration {
    /// What is to be saved in our checkpoint.
    #[must_use]
    pub fn update(&self) -> positions::Imported {
        match &self.positions {
            Some(Ok(positions)) => positions.update.clone(),
            _ => positions::Imported::default(),
        }
    }
}

/// The file as it is written.
#[must_use]
pub fn text(file: &NewFile) -> String {
    pretty(&file.value)
}

/// The same for eyes: without the secret.
#[must_use]
pub fn shown(file: &NewFile) -> String {
    let mut value = file.value.clone();
    if let Some(secret) = value.get_mut("awsSecretAccessKey") {
        *secret = "*****".into();
    }
    pretty(&value)
}

fn pretty(value: &Map<String, Value>) -> String {
    let text = serde_json::to_string_pretty(value).expect("an object with texts for keys can be written");
    format!("// Made from the Kinesis Agent's configuration by `datalake-agent migrate`.\n{text}\n")
}

/// The process id of the Kinesis Agent that uses this database, as far as its pid file tells.
fn running(database: &Path) -> Option<u32> {
    let folder = database.parent()?;
    let text = std::fs::read_to_string(folder.with_extension("pid")).ok()?;
    let process: u32 = text.trim().parse().ok()?;
    let command = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).into_owned();
    // The number may long be that of another program.
    (command.contains("kinesis") || command.contains("java")).then_some(process)
}

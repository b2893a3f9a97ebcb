//! `datalake-agent preview`: which flow and which input are meant, and why there is no preview.
//! Promises to touch nothing but the files it reads, and to call nobody.
//! Leaves framing, processing and showing to the parent.

use super::expect::{Comparison, Kind};
use super::{PreviewError, Sinks, Subject, Summary, preview};
use crate::app;
use crate::config::{FlowPlan, Plan};
use crate::exit::Exit;
use crate::telemetry::clock;
use datalake_base::record::FileKey;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use datalake_process::NotReady;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The flow's name; needed where more than one could be meant.
    pub flow: Option<&'a str>,
    /// The input; standard input where it is left out.
    pub file: Option<&'a Path>,
    /// The maximum number of records.
    pub records: Option<u64>,
    /// What is expected; then nothing is shown but the first difference.
    pub expect: Option<&'a Path>,
}

/// The maximum number of records to show where none is given.
const RECORDS: u64 = 100;
/// No expected text is larger.
const LARGEST_EXPECTED: u64 = 256 << 20;

/// Why the request cannot be served.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is no flow `{}`; the configuration has {known}", shown(name))]
    NoSuchFlow { name: String, known: String },
    #[error("which flow is meant? Say --flow NAME; the configuration has {known}")]
    WhichFlow { known: String },
    #[error("{} cannot be read: {source}", shown(.path))]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is a folder; name a file, or give lines on standard input", shown(.path))]
    Folder { path: PathBuf },
    #[error("the options of flow `{flow}` cannot run here: {source}")]
    NotReady { flow: String, source: NotReady },
    #[error("reading the input or writing the preview failed: {0}")]
    Io(io::Error),
}

impl Refusal {
    const fn exit(&self) -> Exit {
        match self {
            Self::NoSuchFlow { .. } | Self::WhichFlow { .. } => Exit::Usage,
            Self::Unreadable { .. } | Self::Folder { .. } | Self::Io(_) => Exit::InputOutput,
            Self::NotReady { .. } => Exit::Configuration,
        }
    }
}

/// Shows what would become of the input under the plan.
#[must_use]
pub fn run(plan: &Plan, request: Request<'_>, out: &mut dyn Write, complaints: &mut dyn Write) -> Exit {
    match show(plan, request, out) {
        Ok(exit) => exit,
        // The reader has seen enough: `| head`.
        Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(refusal) => {
            writeln!(complaints, "datalake-agent: {refusal}").ok();
            refusal.exit()
        }
    }
}

fn show(plan: &Plan, request: Request<'_>, out: &mut dyn Write) -> Result<Exit, Refusal> {
    let Some(path) = request.expect else {
        let sinks = Sinks { shown: out, sent: &mut io::sink() };
        let summary = shown_to(plan, request, request.records.unwrap_or(RECORDS), sinks)?;
        return Ok(if summary.is_all_sent() { Exit::Success } else { Exit::NotDelivered });
    };
    let (expected, _) = crate::regular::read(path, LARGEST_EXPECTED)
        .map_err(|source| Refusal::Unreadable { path: path.to_owned(), source })?;
    let (kind, mut comparison) = (Kind::of(&expected), Comparison::with(expected));
    let summary = match kind {
        Kind::Preview => {
            let sinks = Sinks { shown: &mut comparison, sent: &mut io::sink() };
            shown_to(plan, request, request.records.unwrap_or(RECORDS), sinks)?
        }
        Kind::Sent => {
            let sinks = Sinks { shown: &mut io::sink(), sent: &mut comparison };
            shown_to(plan, request, request.records.unwrap_or(u64::MAX), sinks)?
        }
    };
    let Some(difference) = comparison.end() else {
        let Summary { sent, raw, dropped, quarantined, .. } = summary;
        let records = sent + raw + dropped + quarantined;
        writeln!(out, "{}, as {} expects", counted(records, "record"), shown(path)).and_then(|()| out.flush()).ok();
        return Ok(Exit::Success);
    };
    writeln!(out, "line {} of {} differs:", difference.line, shown(path)).ok();
    difference.show(out).and_then(|()| out.flush()).ok();
    Ok(Exit::Differs)
}

/// Sends the preview of the input where it is to go.
fn shown_to(plan: &Plan, request: Request<'_>, records: u64, sinks: Sinks<'_>) -> Result<Summary, Refusal> {
    let path = request.file.filter(|path| *path != Path::new("-"));
    let path = path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let flow = choose(plan, request.flow, path.as_deref())?;
    let (mut input, key): (Box<dyn Read>, FileKey) = match &path {
        None => (Box::new(io::stdin().lock()), FileKey::default()),
        Some(path) => {
            let unreadable = |source| Refusal::Unreadable { path: path.clone(), source };
            let file = File::open(path).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                return Err(Refusal::Folder { path: path.clone() });
            }
            (Box::new(file), identity(&metadata))
        }
    };
    let subject = Subject {
        framing: &flow.framing,
        process: &flow.process,
        surroundings: &app::surroundings(flow, None),
        path: path.as_deref().unwrap_or(Path::new("-")),
        file: key,
        now_ms: clock::now_ms(),
    };
    preview(subject, &mut input, sinks, records).map_err(|error| match error {
        PreviewError::NotReady(source) => Refusal::NotReady { flow: flow.name.clone(), source },
        PreviewError::Io(error) => Refusal::Io(error),
    })
}

/// The flow of that name; else the only one that reads this file, else the only one there is.
fn choose<'a>(plan: &'a Plan, name: Option<&str>, path: Option<&Path>) -> Result<&'a FlowPlan, Refusal> {
    let known = || plan.flows.iter().map(|flow| format!("`{}`", flow.name)).collect::<Vec<_>>().join(", ");
    if let Some(name) = name {
        let found = plan.flows.iter().find(|flow| flow.name == name);
        return found.map(AsRef::as_ref).ok_or_else(|| Refusal::NoSuchFlow { name: name.to_owned(), known: known() });
    }
    let reads = |flow: &&Arc<FlowPlan>| {
        let matches = |patterns: &[crate::source::file::discover::Pattern]| {
            path.is_some_and(|path| patterns.iter().any(|pattern| pattern.matches(path)))
        };
        matches(&flow.source.include) && !matches(&flow.source.exclude)
    };
    let matching: Vec<&Arc<FlowPlan>> = plan.flows.iter().filter(reads).collect();
    match (matching.as_slice(), plan.flows.as_slice()) {
        ([only], _) => Ok(only),
        ([], [only]) => Ok(only),
        _ => Err(Refusal::WhichFlow { known: known() }),
    }
}

fn identity(metadata: &Metadata) -> FileKey {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0));
    FileKey { device: metadata.dev(), inode: metadata.ino(), born }
}

//! Configuration: files read, written, plan; every fault of every file reported at once.
//! Promises a plan that can run, or a report that is not empty; never a panic, whatever the bytes.
//! Leaves the rules of each setting to the stage that has it.

/// Addresses of services.
mod endpoint;
/// Whether a flow is configured as before.
mod fingerprint;
/// Keys of the Kinesis Agent, and what became of them.
mod foreign;
/// What a key is.
mod key;
/// The table of all keys.
pub mod keys;
/// The agent's own files.
mod own;
/// The same, proven runnable.
pub mod plan;
/// The key tables as documentation and as JSON Schema.
pub mod schema;
/// One object against its table.
mod section;
/// Single values decoded.
mod values;
/// How the value of a key is read.
mod ways;
/// As the operator wrote it.
mod written;

pub(crate) use datalake_report::json;
pub use datalake_report::report;
pub use fingerprint::Fingerprint;
pub use plan::{FlowPlan, Plan};
pub use report::Report;

use crate::regular;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use report::Kind;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file larger than this is no configuration.
pub const LARGEST_FILE: usize = 1 << 20;
/// So many fragments are read; each may hold any number of flows.
const MOST_FRAGMENTS: usize = 1000;
/// Of the hash of a configuration; enough to tell two of a fleet apart.
const HASH_BYTES: usize = 8;
/// Ends of names that editors and package managers leave behind on purpose.
const LEFT_BEHIND: [&str; 9] =
    ["~", ".bak", ".orig", ".swp", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".dpkg-new"];

/// What the environment holds under a name.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One file, or why it could not be read.
struct File {
    name: String,
    contents: Result<Vec<u8>, Unread>,
    world_readable: bool,
}

/// Why a file was not read.
enum Unread {
    /// It is larger than [`LARGEST_FILE`].
    TooLarge,
    /// What the system said.
    Refused(String),
}

/// Reads the main file and the files `agent.d/*.json` beside it, in the order of their names.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn load(main: &Path) -> Result<Plan, Report> {
    let mut report = Report::default();
    let mut files = vec![read(main)];
    let (fragments, others) = list_fragments(main, &mut files);
    files.extend(fragments.iter().map(|path| read(path)));
    let plan = judge(&files, &|name| std::env::var(name).ok(), &mut report);
    for (name, kind, message, help) in others {
        let file = report.add_source(&name, "".into());
        report.add_to_file(kind, file, message, help);
    }
    let mut plan = finish(plan, report)?;
    plan.file = Some(main.to_owned());
    plan.hash = hash(&files);
    let own = own::files(main, &plan, |name| std::env::var_os(name));
    for flow in &mut plan.flows {
        Arc::make_mut(&mut Arc::make_mut(flow).source).own = own.clone();
    }
    Ok(plan)
}

/// The beginning of the SHA-256 of what the files hold, in their order.
fn hash(files: &[File]) -> String {
    let mut hash = Sha256::new();
    for contents in files.iter().filter_map(|file| file.contents.as_ref().ok()) {
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(contents);
    }
    hash.finalize()[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same from texts with their names, the main file first; they count as readable by their owner only.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn from_text(files: &[(&str, &str)]) -> Result<Plan, Report> {
    from_text_with(files, &|_| None)
}

/// The same in an environment with these variables.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn from_text_with(files: &[(&str, &str)], variables: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Report> {
    from_files(files.iter().map(|(name, text)| (*name, text.as_bytes())), variables)
}

fn from_files<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>, variables: Lookup<'_>) -> Result<Plan, Report> {
    let files: Vec<File> = files
        .map(|(name, bytes)| File { name: name.to_owned(), contents: Ok(bytes.to_vec()), world_readable: false })
        .collect();
    let mut report = Report::default();
    let plan = judge(&files, variables, &mut report);
    finish(plan, report)
}

/// Judges any bytes, cut at NUL into a main file and fragments, and asserts what is promised for them.
///
/// # Panics
/// When a promise does not hold; that is its purpose.
pub fn fuzz(bytes: &[u8]) {
    let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let result = from_files(parts.iter().map(|part| ("fuzz.json", *part)), &|name| Some(name.to_lowercase()));
    let report = match &result {
        Ok(plan) => {
            assert!(!plan.flows.is_empty(), "a plan has flows");
            assert_eq!(plan.warnings.errors(), 0, "a plan has no errors");
            &plan.warnings
        }
        Err(report) => {
            assert!(report.errors() > 0, "no plan, so there is a reason");
            report
        }
    };
    for fault in report.faults() {
        assert!(!fault.message.is_empty() && !fault.help.is_empty(), "words are missing: {fault:?}");
        let Some(place) = fault.place else { continue };
        // Of a file that is not UTF-8, the part before the first fault is text.
        let text = parts[place.file].utf8_chunks().next().map_or("", |chunk| chunk.valid());
        assert!(text.get(place.start..place.end).is_some(), "the place is none of the text: {fault:?}");
    }
    assert!(report.to_string().len() <= (report.faults().len() + 1) * 4096, "a report stays readable");
}

/// A plan without errors keeps its warnings; everything else is the report.
fn finish(plan: Option<Plan>, mut report: Report) -> Result<Plan, Report> {
    report.join_mistyped();
    report.sort();
    match plan {
        Some(plan) if report.errors() == 0 => Ok(Plan { warnings: report, ..plan }),
        _ => Err(report),
    }
}

/// Files in, a plan out; `None` or errors in the report mean that there is none.
fn judge(files: &[File], variables: Lookup<'_>, report: &mut Report) -> Option<Plan> {
    let mut main = None;
    let mut flows = Vec::new();
    let mut whole = true;
    for (index, file) in files.iter().enumerate() {
        let Some(root) = parse(file, index == 0, variables, report) else {
            whole = false;
            continue;
        };
        if index > 0 {
            flows.extend(written::fragment(&root, report));
        } else if let Some(mut written) = written::main(&root, report) {
            flows = std::mem::take(&mut written.flows);
            main = Some(written);
        }
    }
    let proven = plan::prove_flows(&flows, report);
    let main = main?;
    if flows.is_empty() && whole && report.errors() == 0 {
        let help = "add one: \"flows\": [{\"filePattern\": \"/var/log/app/*.log\", \"deliveryStream\": \"NAME\"}]";
        report.add(Kind::NoFlows, &main.opened.at, "there is no flow, so there is nothing to do", help);
    }
    Some(plan::prove(main, proven, files[0].world_readable, report))
}

fn parse(file: &File, is_main: bool, variables: Lookup<'_>, report: &mut Report) -> Option<json::Value> {
    let bytes = match &file.contents {
        Ok(bytes) => bytes,
        Err(Unread::TooLarge) => return too_large(file, report),
        Err(Unread::Refused(reason)) => {
            let source = report.add_source(&file.name, "".into());
            let help = match is_main {
                true => "check the path given with --config, and that the agent's user may read it",
                false => "make it readable for the agent's user, or move it away",
            };
            report.add_to_file(Kind::Unreadable, source, format!("the file cannot be read: {reason}"), help);
            return None;
        }
    };
    if bytes.len() > LARGEST_FILE {
        return too_large(file, report);
    }
    let text: Arc<str> = match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(error) => {
            let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let source = report.add_source(&file.name, good.into());
            let place = report::Place { file: source, start: good.len(), end: good.len() };
            let at = report::At { place, path: String::new() };
            let message = format!("the file is not UTF-8: byte {:#04x} begins no character", bytes[good.len()]);
            report.add(Kind::NotUtf8, &at, message, "save it as UTF-8");
            return None;
        }
    };
    let source = report.add_source(&file.name, text.clone());
    json::read_with(source, &text, Some(json::Variables { of: variables, except: keys::DATA_PROCESSING.name }), report)
}

/// Says so; there is nothing to go on with.
fn too_large(file: &File, report: &mut Report) -> Option<json::Value> {
    let source = report.add_source(&file.name, "".into());
    let message = format!("the file is larger than {}", datalake_base::units::ByteSize::bytes(LARGEST_FILE as u64));
    let help = "is this the configuration? Flows can be spread over agent.d";
    report.add_to_file(Kind::TooLarge, source, message, help);
    None
}

/// Reads a file as a whole, within bounds.
fn read(path: &Path) -> File {
    let name = shown(path).to_string();
    match regular::read(path, LARGEST_FILE as u64) {
        Ok((bytes, metadata)) => {
            File { name, contents: Ok(bytes), world_readable: metadata.permissions().mode() & 0o004 != 0 }
        }
        Err(error) => {
            let too_large = error.kind() == std::io::ErrorKind::FileTooLarge;
            let unread = if too_large { Unread::TooLarge } else { Unread::Refused(error.to_string()) };
            File { name, contents: Err(unread), world_readable: false }
        }
    }
}

type Remark = (String, Kind, String, &'static str);

/// The fragments in order, and what is to be said about other files in their folder.
fn list_fragments(main: &Path, files: &mut Vec<File>) -> (Vec<PathBuf>, Vec<Remark>) {
    let folder = main.parent().unwrap_or(Path::new("")).join("agent.d");
    let (mut fragments, mut others) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (fragments, others),
        Err(error) => {
            let name = shown(&folder).to_string();
            files.push(File { name, contents: Err(Unread::Refused(error.to_string())), world_readable: false });
            return (fragments, others);
        }
    };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || LEFT_BEHIND.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        if name.ends_with(".json") {
            fragments.push(path);
        } else if path.is_file() {
            let message = "the file is not read; only names that end in .json are".to_owned();
            others.push((shown(&path).to_string(), Kind::NotRead, message, "rename it to *.json, or move it away"));
        }
    }
    fragments.sort();
    others.sort();
    if fragments.len() > MOST_FRAGMENTS {
        let message =
            format!("the folder holds {}; at most {MOST_FRAGMENTS} are read", counted(fragments.len(), "file"));
        others.push((shown(&folder).to_string(), Kind::TooLarge, message, "put more flows into each file"));
        fragments.truncate(MOST_FRAGMENTS);
    }
    (fragments, others)
}

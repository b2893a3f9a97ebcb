//! The Kinesis Agent's configuration said in our words.
//! Promises that behaviour is kept with explicit keys, and a note for every difference, however small.
//! Leaves reading and writing files to others, and the proof that the result can run to `config`.

/// One flow.
mod flow;
/// What is done with each record.
mod options;
/// Which region an endpoint means.
mod region;

use super::notes::Notes;
use super::section::{Refused, Section};
use super::tables;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A file of the Kinesis Agent's configuration, read.
#[derive(Clone, Debug)]
pub struct OldFile {
    /// Its name, for notes and for the name of the new one.
    pub name: String,
    /// What it holds.
    pub value: Value,
}

/// A file of the new configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    /// Beside the main file: `agent.json`, `agent.d/NAME.json`.
    pub name: PathBuf,
    /// What it holds.
    pub value: Map<String, Value>,
}

/// A flow that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldFlow {
    /// Its name there, by which its positions are known.
    pub id: String,
    /// The one folder in which it looked for files.
    pub folder: PathBuf,
}

/// The new configuration, and what is to be said about it.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The main file first.
    pub files: Vec<NewFile>,
    /// In the order of the flows in `files`.
    pub flows: Vec<OldFlow>,
    /// Where the Kinesis Agent keeps its positions, where it says so.
    pub checkpoint_file: Option<PathBuf>,
    /// Everything that is to be said.
    pub notes: Notes,
}

/// Destinations of the flows, for which regions must be known.
#[derive(Clone, Copy, Debug, Default)]
struct Services {
    firehose: bool,
    kinesis: bool,
}

/// Translates the main file and its fragments, in the order in which our agent reads the result.
#[must_use]
pub fn translate(main: &OldFile, fragments: &[OldFile]) -> Translation {
    let mut made = Translation { files: Vec::new(), flows: Vec::new(), checkpoint_file: None, notes: Notes::default() };
    let mut services = Services::default();
    let empty = Map::new();
    let map = main.value.as_object().unwrap_or(&empty);
    if !main.value.is_object() {
        made.notes.blocks(&main.name, "the file holds no object; the Kinesis Agent does not start with it");
    }
    let section = Section { map, file: &main.name, path: String::new() };
    section.explain(tables::TOP, tables::FLOW, "in each flow", &mut made.notes);
    let flows = flows(&section, &mut services, &mut made);
    let mut ours = top(&section, &mut made);
    // A name that can stay stays, whatever the others become.
    let names = fragments.iter().filter(|file| file.value.is_object()).map(|file| bare(&file.name));
    let mut names: BTreeSet<String> = names.filter(|name| stays(name)).collect();
    let mut parts = Vec::new();
    for fragment in fragments {
        if let Some(map) = fragment.value.as_object() {
            let section = Section { map, file: &fragment.name, path: String::new() };
            for name in map.keys().filter(|name| *name != "flows") {
                let words = "left out: of a file in agent.d the Kinesis Agent takes `flows` and nothing else";
                made.notes.same(section.place(name), words);
            }
            let name = new_name(&fragment.name, &mut names, &mut made.notes);
            parts.push((name, section));
        } else {
            made.notes.same(&fragment.name, "left out: the file holds no object, so the Kinesis Agent skipped it");
        }
    }
    // The order in which our agent reads them.
    parts.sort_by(|one, other| one.0.cmp(&other.0));
    let mut files = Vec::new();
    for (name, section) in parts {
        let flows = self::flows(&section, &mut services, &mut made);
        if !flows.is_empty() {
            let value = Map::from_iter([("flows".to_owned(), Value::Array(flows))]);
            files.push(NewFile { name: Path::new("agent.d").join(name), value });
        }
    }
    region::settle(&section, services, &mut ours, &mut made.notes);
    ours.insert("flows".to_owned(), Value::Array(flows));
    made.files.push(NewFile { name: "agent.json".into(), value: ours });
    made.files.append(&mut files);
    made
}

fn bare(name: &str) -> String {
    Path::new(name).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Whether our agent reads a fragment of this name.
fn stays(name: &str) -> bool {
    name.ends_with(".json") && !name.starts_with('.')
}

/// A name that our agent reads and that nobody has yet.
fn new_name(old: &str, taken: &mut BTreeSet<String>, notes: &mut Notes) -> String {
    let bare = bare(old);
    if stays(&bare) {
        return bare;
    }
    let stem = bare.strip_suffix(".json").unwrap_or(&bare).trim_start_matches('.');
    let numbered = |number: u32| if number == 1 { format!("{stem}.json") } else { format!("{stem}-{number}.json") };
    let mut names = (1..).map(numbered);
    let name = names.find(|name| taken.insert(name.clone())).expect("there are more numbers than fragments");
    let words = format!("becomes agent.d/{name}: only names that end in .json are read here; is it still meant?");
    notes.same(old, words);
    name
}

/// The flows of one file that can be moved.
fn flows(section: &Section<'_>, services: &mut Services, made: &mut Translation) -> Vec<Value> {
    let list = match section.value("flows") {
        Some(Value::Array(list)) => list,
        None => return Vec::new(),
        Some(_) => {
            made.notes.blocks(section.place("flows"), "it is no list; the Kinesis Agent does not take it");
            return Vec::new();
        }
    };
    let mut moved = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("flows[{index}]");
        let Some(map) = value.as_object() else {
            made.notes.blocks(section.place(&path), "it is no object; the Kinesis Agent does not start with it");
            continue;
        };
        let section = Section { map, file: section.file, path: format!("{path}.") };
        section.explain(tables::FLOW, tables::TOP, "at the top level", &mut made.notes);
        if let Ok((flow, old)) = flow::translate(&section, &mut made.notes) {
            services.firehose |= flow.contains_key("deliveryStream");
            services.kinesis |= flow.contains_key("kinesisStream");
            if made.flows.iter().any(|known| known.id == old.id) {
                let words =
                    "another flow has the same files and the same stream; the Kinesis Agent does not start with it";
                made.notes.blocks(section.place("filePattern"), words);
                continue;
            }
            made.flows.push(old);
            moved.push(Value::Object(flow));
        }
    }
    moved
}

/// The keys of the main file, without flows and regions.
fn top(section: &Section<'_>, made: &mut Translation) -> Map<String, Value> {
    let mut ours = Map::new();
    let notes = &mut made.notes;
    let text = |key: &str, notes: &mut Notes| section.text(key, notes).unwrap_or(None);
    for key in [
        "firehose.endpoint",
        "kinesis.endpoint",
        "sts.endpoint",
        "cloudwatch.endpoint",
        "cloudwatch.namespace",
        "assumeRoleARN",
        "assumeRoleExternalId",
    ] {
        if let Some(text) = text(key, notes) {
            ours.insert(key.to_owned(), text.into());
        }
    }
    match (text("awsAccessKeyId", notes), text("awsSecretAccessKey", notes)) {
        (Some(id), Some(secret)) => {
            ours.insert("awsAccessKeyId".to_owned(), id.into());
            ours.insert("awsSecretAccessKey".to_owned(), secret.into());
        }
        (None, None) => {}
        _ => notes.same(
            section.place("awsAccessKeyId"),
            "left out: of `awsAccessKeyId` and `awsSecretAccessKey` one is missing or empty, so the Kinesis Agent used neither",
        ),
    }
    if text("userDefinedCredentialsProvider.classname", notes).is_some() {
        notes.differs(
            section.place("userDefinedCredentialsProvider.classname"),
            "left out: Java classes cannot be loaded; let a program print the credentials and name it as `credential_process` of a \
             profile in the file that AWS_CONFIG_FILE of the agent names; until then the other credentials of the chain are used",
        );
    }
    for key in ["cloudwatch.emitMetrics", "cloudwatch.tagInstance"] {
        if let Ok(Some(flag)) = section.truth(key, notes) {
            ours.insert(key.to_owned(), flag.into());
        }
    }
    for (key, range) in
        [("cloudwatch.metricsBufferTimeMillis", 1_000..=3_600_000), ("shutdownTimeoutMillis", 0..=600_000)]
    {
        if let Ok(Some(millis)) = within(section, key, range, notes) {
            ours.insert(key.to_owned(), millis.into());
        }
    }
    if let Some(file) = text("checkpointFile", notes) {
        notes.same(
            section.place("checkpointFile"),
            "left out: positions are read from there now and kept in `stateDirectory`",
        );
        made.checkpoint_file = Some(file.into());
    }
    ours
}

/// A number that has another range here, brought into it.
fn within(
    section: &Section<'_>,
    key: &str,
    range: RangeInclusive<i64>,
    notes: &mut Notes,
) -> Result<Option<i64>, Refused> {
    let Some(number) = section.whole(key, i64::MIN..=i64::MAX, notes)? else { return Ok(None) };
    let (least, most) = (*range.start(), *range.end());
    if !range.contains(&number) {
        let words = format!("{number} becomes {}: here it is {least} to {most}", number.clamp(least, most));
        notes.differs(section.place(key), words);
    }
    Ok(Some(number.clamp(least, most)))
}

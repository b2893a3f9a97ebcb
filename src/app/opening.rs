//! The first words about each flow: where to, which files there are, where reading begins.
//! Promises one line a flow once it is decided where reading begins, whatever the number of files, and that nothing waits
//! for it. Leaves what comes later to the notices.

use crate::config::FlowPlan;
use crate::saved::Remembered;
use crate::source::file::InitialPosition;
use crate::source::file::access::{Obstacle, User};
use crate::source::file::survey::{Miss, Survey, survey};
use datalake_base::record::FileKey;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use datalake_core::batch::Form;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// What was known at the start: which files have a position, and which patterns were started before.
pub(super) struct Before {
    /// Hashes of stream and file: four hundred thousand of them need a few MiB, and only until the lines are written.
    positions: BTreeSet<u64>,
    started: HashMap<String, BTreeSet<String>>,
}

impl Before {
    pub(super) fn of(remembered: &Remembered) -> Self {
        let mut started: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (stream, pattern) in &remembered.started {
            started.entry(stream.clone()).or_default().insert(pattern.clone());
        }
        let files = |saved: &crate::saved::SavedContent| -> Vec<u64> {
            let key = |key: datalake_tail::FileKey| FileKey { device: key.device, inode: key.inode, born: key.born };
            saved.row.places.iter().map(|place| hash(&saved.stream, key(place.key))).collect()
        };
        let positions = remembered.contents.iter().flat_map(files).collect();
        Self { positions, started }
    }

    fn knows(&self, flow: &FlowPlan) -> bool {
        let started = self.started.get(&flow.source.stream);
        started.is_some_and(|known| flow.source.include.iter().any(|pattern| known.contains(pattern.as_str())))
    }
}

fn hash(stream: &str, file: FileKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    (stream, file).hash(&mut hasher);
    hasher.finish()
}

/// Writes a line for each flow; `regions` are those of their streams. Looks at folders, so it belongs on a thread of its own.
pub(super) fn say(flows: &[Arc<FlowPlan>], regions: &[String], before: &Before) {
    // Who may read what is said where reading fails.
    let user = User { uid: 0, groups: Vec::new() };
    for (flow, region) in flows.iter().zip(regions) {
        let what = match &flow.mqtt {
            Some(mqtt) => format!("{} of {}", counted(mqtt.topics.len(), "topic"), mqtt.broker),
            None => {
                let found = survey(&flow.source.include, &flow.source.exclude, &flow.source.own, &user);
                files(flow, &found, before)
            }
        };
        let service = if matches!(flow.batch.form, Form::Firehose) { "Firehose" } else { "Kinesis" };
        let (name, stream) = (&flow.name, &flow.batch.stream);
        tracing::info!(flow = name, stream, region, "flow {name} → {service} {stream} in {region}: {what}");
    }
}

/// How many files there are, how many of them are new, and where those are read from.
fn files(flow: &FlowPlan, found: &Survey, before: &Before) -> String {
    if found.files == 0 {
        return "no file matches yet".to_owned();
    }
    let all = format!("{}{}", counted(found.files, "file"), if found.cut { " or more" } else { "" });
    let is_new = |file: &&FileKey| !before.positions.contains(&hash(&flow.source.stream, **file));
    let new = found.keys.iter().filter(is_new).count();
    if new == 0 {
        return format!("{all}, read on from the saved positions");
    }
    let from = match (before.knows(flow), flow.source.initial_position) {
        (true, _) => "their beginning",
        (false, InitialPosition::StartOfFile) => "their beginning (initialPosition)",
        (false, InitialPosition::EndOfFile) => "their end (initialPosition)",
    };
    match new == found.files {
        true => format!("{all}, new, read from {from}"),
        false => format!("{all}, {new} of them new, read from {from}"),
    }
}

/// Why a flow has no file, for people.
pub(super) fn why_no_file(flow: &FlowPlan) -> String {
    let found = survey(&flow.source.include, &flow.source.exclude, &flow.source.own, &User::of_process());
    let closed = |obstacle: &Obstacle| format!("{} cannot be read ({})", shown(&obstacle.path), obstacle.rights());
    let reason = |(pattern, miss): &(crate::source::file::discover::Pattern, Miss)| match miss {
        Miss::NoFolder(folder) => format!("{} (the folder {} is not there)", shown(pattern.as_str()), shown(folder)),
        Miss::IsFolder(_) => format!("{} (this is a folder: write `/*` behind it)", shown(pattern.as_str())),
        Miss::NoFile => shown(pattern.as_str()).to_string(),
    };
    found.misses.iter().map(reason).chain(found.closed.iter().map(closed)).collect::<Vec<_>>().join(", ")
}

//! How flows and files stood when the agent stopped, out of its checkpoint and what the files are now.
//! Promises to open no file and to change nothing.
//! Leaves reading the checkpoint to it.

use super::{FileStatus, FlowStatus, Oldest, Status};
use crate::config::{FlowPlan, Plan};
use crate::local::{FileBalance, word_of};
use crate::saved::{Remembered, SavedContent};
use datalake_core::batch::Form;
use datalake_tail::{Row, SavedPlace, SavedState};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A content of the checkpoint, the flow that goes on with it, and what its file is now.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    saved: &'a SavedContent,
    flow: Option<usize>,
    now: Now,
}

/// Looks at the file of each content, once.
#[must_use]
pub fn look<'a>(plan: &Plan, remembered: &'a Remembered) -> Vec<Seen<'a>> {
    let seen = |saved: &'a SavedContent| Seen { saved, flow: flow_of(plan, saved), now: Now::of(&saved.row) };
    remembered.contents.iter().map(seen).collect()
}

/// The flows, without and with what the checkpoint says.
#[must_use]
pub fn status(plan: &Plan, remembered: Option<&Remembered>, seen: &[Seen<'_>]) -> Status {
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state_directory: plan.state_directory.clone().into(),
        flows: plan.flows.iter().map(|flow| flow_of_plan(flow)).collect(),
        ..Status::default()
    };
    let Some(remembered) = remembered else { return status };
    for flow in &mut status.flows {
        flow.count(&remembered.counters.get(&flow.name).copied().unwrap_or_default(), 0);
    }
    let mut oldest = vec![u64::MAX; plan.flows.len()];
    for Seen { saved, flow, now } in seen {
        let Some(number) = *flow else { continue };
        let flow = &mut status.flows[number];
        flow.files += u64::from(saved.row.state != SavedState::Finished);
        flow.behind_bytes += now.behind;
        if now.behind > 0 && saved.row.id.0 < oldest[number] {
            oldest[number] = saved.row.id.0;
            flow.oldest = Some(now.oldest(&saved.row));
        }
    }
    status
}

/// The files, of one flow or of all.
#[must_use]
pub fn files(plan: &Plan, seen: &[Seen<'_>], only: Option<&str>) -> Vec<FileStatus> {
    let there = |seen: &&Seen<'_>| {
        let row = &seen.saved.row;
        row.state != SavedState::Finished || !row.places.is_empty()
    };
    let file = |seen: &Seen<'_>| {
        let flow = seen.flow.map(|number| plan.flows[number].name.clone());
        (only.is_none() || flow.as_deref() == only).then(|| file(seen, flow))
    };
    seen.iter().filter(there).filter_map(file).collect()
}

/// The flow that goes on with a content.
#[must_use]
pub fn flow_of(plan: &Plan, saved: &SavedContent) -> Option<usize> {
    let feeds = |flow: &FlowPlan| flow.source.stream == *saved.stream;
    let home = &saved.row.home;
    let matching = plan.flows.iter().position(|flow| feeds(flow) && flow.source.matches(home));
    matching.or_else(|| plan.flows.iter().position(|flow| feeds(flow) && flow.source.matches_rotation(home)))
}

fn flow_of_plan(flow: &FlowPlan) -> FlowStatus {
    let service = if matches!(flow.batch.form, Form::Firehose) { "Firehose" } else { "Kinesis" };
    let mut status = FlowStatus {
        name: flow.name.clone(),
        service: service.to_owned(),
        stream: flow.batch.stream.clone(),
        ..FlowStatus::default()
    };
    status.sent.call_bytes = flow.batch.max_bytes as u64;
    status.sent.call_records = flow.batch.max_records as u64;
    status
}

/// What the file of a content is now.
#[derive(Clone, Copy, Debug, Default)]
struct Now {
    /// Its size, where it is there.
    size: Option<u64>,
    changed_at: u64,
    /// Bytes that are not settled.
    behind: u64,
}

impl Now {
    fn of(row: &Row) -> Self {
        let place = row.places.first();
        let status = place.and_then(|place| same_file(place, place.path.symlink_metadata().ok()?));
        let size = status.as_ref().map(MetadataExt::size);
        let changed_at = status.map_or(0, |status| u64::try_from(status.mtime()).unwrap_or(0) * 1000);
        let behind = match (row.state, row.packing) {
            (SavedState::Finished, _) => 0,
            (_, 0) => row.known.max(size.unwrap_or(0)).saturating_sub(row.position),
            // How much is in it, nobody knows.
            _ => size.unwrap_or(0),
        };
        Self { size, changed_at, behind }
    }

    fn oldest(&self, row: &Row) -> Oldest {
        let path = row.places.first().filter(|_| self.size.is_some()).map(|place| place.path.as_path());
        Oldest {
            home: row.home.clone().into(),
            path: path.map(Into::into),
            rotated: path != Some(row.home.as_path()),
            changed_at: self.changed_at,
        }
    }
}

/// The status, if it is that of the file which was there.
fn same_file(place: &SavedPlace, status: std::fs::Metadata) -> Option<std::fs::Metadata> {
    (status.is_file() && status.ino() == place.key.inode).then_some(status)
}

fn file(seen: &Seen<'_>, flow: Option<String>) -> FileStatus {
    let Seen { saved, now, .. } = seen;
    let row = &saved.row;
    let first = row.places.first();
    let others = row.places.iter().skip(1).map(|place| place.path.clone().into()).collect();
    let known = if row.packing == 0 { row.known.max(now.size.unwrap_or(0)) } else { row.position };
    FileStatus {
        id: row.id.0,
        flow,
        destination: saved.stream.to_string(),
        home: row.home.clone().into(),
        path: first.map(|place| place.path.clone().into()),
        other_names: others,
        state: word_of(row.state).to_owned(),
        rotated: first.is_none_or(|place| place.path.as_path() != Path::new(&row.home)),
        packed: row.packing != 0,
        position: row.position,
        read: row.position,
        unread: if row.state == SavedState::Finished { 0 } else { known.saturating_sub(row.position) },
        accounting: FileBalance::of(row.counted, 0),
        size: now.size.or(first.map(|place| place.size)).unwrap_or(0),
        changed_at: now.changed_at,
        ..FileStatus::default()
    }
}

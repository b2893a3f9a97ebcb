//! `datalake-agent positions`: what is saved of each file, and forgetting it on purpose.
//! Promises that a list changes nothing, that a reset needs a stopped agent and a plain yes, and that it says what follows.
//! Leaves the form of rows to the checkpoint.

use super::output::{Output, json_lines};
use super::reach::{self, Failed};
use crate::checkpoint::Store;
use crate::config::{FlowPlan, Plan};
use crate::exit::Exit;
use crate::local::{Known, PathText, word_of};
use crate::saved::{CheckpointUpdate, Remembered, SavedContent};
use crate::status::stopped;
use crate::telemetry::{bytes_in_words, clock, duration_in_words};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use datalake_tail::SavedState;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which files are forgotten.
#[derive(Clone, Debug)]
pub struct Reset<'a> {
    /// These.
    pub files: &'a [PathBuf],
    /// All of this flow.
    pub flow: Option<&'a str>,
    /// It is done, not only said.
    pub yes: bool,
}

/// Shows what is saved.
#[must_use]
pub fn list(config: &Path, as_json: bool) -> Exit {
    ended(reach::plan(config).and_then(|plan| {
        let remembered = reach::remembered(&plan)?.unwrap_or_default();
        let text = if as_json { json_lines(&json_of(&plan, &remembered), true) } else { table(&plan, &remembered) };
        Ok((text, Exit::Success))
    }))
}

/// Forgets, or says what would be forgotten.
#[must_use]
pub fn reset(config: &Path, request: &Reset<'_>) -> Exit {
    ended(reach::plan(config).and_then(|plan| forget(&plan, request)))
}

fn ended(done: Result<(String, Exit), Failed>) -> Exit {
    let mut out = Output::stdout().lasting();
    match done {
        Ok((text, exit)) => {
            out.write_all(text.as_bytes()).ok();
            out.finish(exit)
        }
        Err(failed) => {
            super::complain(&failed.text);
            out.finish(failed.exit)
        }
    }
}

fn flow_name(plan: &Plan, saved: &SavedContent) -> Option<String> {
    stopped::flow_of(plan, saved).map(|number| plan.flows[number].name.clone())
}

fn json_of(plan: &Plan, remembered: &Remembered) -> Value {
    let row = |saved: &SavedContent| {
        let known = Known::of_row(&saved.row, flow_name(plan, saved), None);
        json!({
            "destination": &*saved.stream, "flow": known.flow, "id": known.id, "file": known.home,
            "position": known.settled, "size": known.known, "state": known.state, "packed": known.packing != 0,
            "places": known.places, "savedAt": saved.saved_at,
        })
    };
    json!({
        "stateDirectory": PathText(plan.state_directory.clone()),
        "positions": remembered.contents.iter().map(row).collect::<Vec<_>>(),
    })
}

fn table(plan: &Plan, remembered: &Remembered) -> String {
    if remembered.contents.is_empty() {
        return format!("no positions are saved in {}\n", shown(&plan.state_directory));
    }
    let mut text = String::from("POSITION\tSIZE\tSAVED\tSTATE\tFLOW\tFILE\n");
    for saved in &remembered.contents {
        let row = &saved.row;
        let flow = flow_name(plan, saved).unwrap_or_else(|| format!("none ({})", saved.stream));
        let place = row.places.first().map_or(&row.home, |place| &place.path);
        let moved = if *place == row.home { String::new() } else { format!(", now {}", shown(place)) };
        let age = duration_in_words(clock::now_ms().saturating_sub(saved.saved_at));
        let size = if row.packing == 0 { row.known.to_string() } else { "archive".to_owned() };
        let (state, home) = (word_of(row.state), shown(&row.home));
        text.push_str(&format!("{}\t{size}\t{age} ago\t{state}\t{}\t{home}{moved}\n", row.position, shown(&flow)));
    }
    text
}

/// Whether a row is of what is to be forgotten.
fn is_meant(plan: &Plan, request: &Reset<'_>, files: &[PathBuf], saved: &SavedContent) -> bool {
    if request.flow.is_some_and(|flow| flow_name(plan, saved).as_deref() != Some(flow)) {
        return false;
    }
    let lies = |path: &PathBuf| saved.row.home == *path || saved.row.places.iter().any(|place| place.path == *path);
    files.is_empty() || files.iter().any(lies)
}

fn forget(plan: &Plan, request: &Reset<'_>) -> Result<(String, Exit), Failed> {
    if let Some(flow) = request.flow.filter(|flow| plan.flows.iter().all(|known| known.name != **flow)) {
        return Err(Failed::new(Exit::Usage, format_args!("there is no flow `{}`", shown(flow))));
    }
    let absolute = |path: &PathBuf| reach::named(path);
    let files = request.files.iter().map(absolute).collect::<Result<Vec<_>, _>>();
    let files = files.map_err(|error| Failed::new(Exit::InputOutput, error))?;
    let meant = |remembered: &Remembered| -> Vec<SavedContent> {
        let rows = remembered.contents.iter().filter(|saved| is_meant(plan, request, &files, saved));
        rows.cloned().collect()
    };
    if !request.yes {
        let rows = meant(&reach::remembered(plan)?.unwrap_or_default());
        let exit = if rows.is_empty() { Exit::Unknown } else { Exit::Success };
        return Ok((said(&rows) + "nothing was changed; add --yes to do it, with the agent stopped\n", exit));
    }
    if reach::remembered(plan)?.is_none() {
        return Ok(("no positions are saved\n".to_owned(), Exit::Unknown));
    }
    let pairs: Vec<_> = pairs(plan);
    let held = |error: crate::checkpoint::Error| Failed::new(Exit::CannotCreate, error);
    let (mut store, remembered) = Store::open(&plan.state_directory, &pairs, clock::now_ms()).map_err(held)?;
    let rows = meant(&remembered);
    let contents = rows.iter().map(|saved| (saved.stream.clone(), saved.row.id, None)).collect();
    let failed = |error: crate::checkpoint::Error| Failed::new(Exit::InputOutput, error);
    store.save(CheckpointUpdate { contents, ..CheckpointUpdate::default() }).map_err(failed)?;
    let exit = if rows.is_empty() { Exit::Unknown } else { Exit::Success };
    Ok((said(&rows) + &format!("{} forgotten\n", counted(rows.len(), "position")), exit))
}

fn pairs(plan: &Plan) -> Vec<(String, String)> {
    let of_flow = |flow: &Arc<FlowPlan>| -> Vec<(String, String)> {
        let patterns = flow.source.include.iter();
        patterns.map(|pattern| (flow.source.stream.clone(), pattern.as_str().to_owned())).collect()
    };
    plan.flows.iter().flat_map(of_flow).collect()
}

/// What forgetting these means.
fn said(rows: &[SavedContent]) -> String {
    if rows.is_empty() {
        return "no saved position is of these files\n".to_owned();
    }
    let mut text = String::new();
    for saved in rows {
        let (row, stream) = (&saved.row, shown(&*saved.stream));
        let place = row.places.first().map_or(&row.home, |place| &place.path);
        let what = match (place.exists(), row.state) {
            (false, _) => "it is gone, so nothing is sent again".to_owned(),
            (true, SavedState::Finished) if row.packing != 0 => {
                format!("if a pattern matches it, all of it is sent again: {}", bytes_in_words(row.position))
            }
            (true, _) => format!("its first {} are sent again", bytes_in_words(row.position)),
        };
        text.push_str(&format!("{} for {stream}: position {}; {what}\n", shown(place), row.position));
    }
    text
}

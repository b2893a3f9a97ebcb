//! Where reading goes on: what the checkpoint knows of the files that match now.
//! Promises to change and to lock nothing, also beside a running agent. Leaves reading the checkpoint to it.

use crate::checkpoint::{self, PeekError};
use crate::config::{FlowPlan, Plan};
use crate::saved::Remembered;
use crate::source::file::survey::Survey;
use crate::status::stopped;
use datalake_tail::SavedState;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// What is known of the files of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Positions {
    /// One of its patterns ran before, so files without a position are read from their beginning.
    pub(in crate::cli) started: bool,
    /// Files that match now and have a position.
    pub(in crate::cli) known: usize,
    /// Bytes of them that were not accepted yet.
    pub(in crate::cli) behind: u64,
    /// Position and size of the file that was written last, where it has a position.
    pub(in crate::cli) newest: Option<(u64, u64)>,
}

/// The positions of each flow, in the order of the plan; nothing where they may not be seen.
///
/// # Errors
/// What is wrong with them, and what to do.
pub(super) fn look(plan: &Plan, found: &[Survey]) -> Result<Option<Vec<Positions>>, (String, String)> {
    match checkpoint::peek(&plan.state_directory) {
        Ok(remembered) => Ok(Some(of_flows(plan, found, &remembered.unwrap_or_default()))),
        // Another user's business, and no fault of the configuration.
        Err(PeekError::Closed { .. }) => Ok(None),
        Err(error @ PeekError::Newer { .. }) => {
            Err((error.to_string(), "install the newer agent again: this one would not start".to_owned()))
        }
        Err(error @ PeekError::Unreadable { .. }) => {
            let help = "check the disk; at the start all matching files would be read again from their beginning";
            Err((error.to_string(), help.to_owned()))
        }
    }
}

fn of_flows(plan: &Plan, found: &[Survey], remembered: &Remembered) -> Vec<Positions> {
    let started = |flow: &FlowPlan| {
        let is_own = |(stream, pattern): &(String, String)| {
            *stream == flow.source.stream && flow.source.include.iter().any(|own| own.as_str() == pattern)
        };
        remembered.started.iter().any(is_own)
    };
    let begin = |flow: &Arc<FlowPlan>| Positions { started: started(flow), ..Positions::default() };
    let mut positions: Vec<Positions> = plan.flows.iter().map(begin).collect();
    // The file that was written last, as it is now: inode and size.
    let newest: Vec<Option<(u64, u64)>> = found
        .iter()
        .map(|found| {
            let metadata = found.newest.as_ref()?.0.metadata().ok()?;
            Some((metadata.ino(), metadata.len()))
        })
        .collect();
    for saved in &remembered.contents {
        let Some(flow) = stopped::flow_of(plan, saved) else { continue };
        let Some(place) = saved.row.places.first() else { continue };
        // Device numbers may change with every mount.
        let is_it = |key: &datalake_base::record::FileKey| key.inode == place.key.inode && key.born == place.key.born;
        if !found[flow].keys.iter().any(is_it) {
            continue;
        }
        let known = &mut positions[flow];
        known.known += 1;
        let newest = newest[flow].filter(|(inode, _)| *inode == place.key.inode);
        let size = newest.map_or(place.size.max(saved.row.known), |(_, size)| size);
        if saved.row.packing == 0 && saved.row.state != SavedState::Finished {
            known.behind += size.saturating_sub(saved.row.position);
        }
        if let (Some((_, size)), 0) = (newest, saved.row.packing) {
            known.newest = Some((saved.row.position, size));
        }
    }
    positions
}

//! Batches on their way to the disk: appended in order, synced together, given back once they are safe.
//! Promises that a batch is given back as safe only by a sync that succeeded after all of it was appended, and that a
//! failed sync takes back everything appended since the last good one. Leaves the calls to the spool.

use super::Keep;
use super::spool::{Spool, SpoolError};
use datalake_mqtt::intake::Batch;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// A batch on its way to the spool.
pub(super) struct Commit {
    pub(super) batch: Batch,
    /// Signalled when it is synced; gives the buffer back.
    pub(super) done: oneshot::Sender<Vec<u8>>,
}

/// What came of a try.
#[derive(Default)]
pub(super) struct Written {
    /// On disk for good, in order.
    pub(super) safe: Vec<Commit>,
    /// Why the others wait.
    pub(super) error: Option<String>,
}

/// Why a batch cannot be written now.
enum Stop {
    Quarantine(String),
    Spool(SpoolError),
}

/// See the head of this file. Invariant: those in front, `appended` of them, are in the spool's open segment since its last
/// sync.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Commit>,
    appended: usize,
}

impl Queue {
    pub(super) fn push(&mut self, commit: Commit) {
        self.waiting.push_back(commit);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends as much as the disk takes, and syncs that. `now` is in milliseconds since 1970.
    pub(super) fn write(&mut self, spool: &mut Spool, keep: &Keep, now: u64) -> Written {
        let mut safe = Vec::new();
        let stopped = self.append_all(spool, keep, now, &mut safe).err();
        // What was appended before the failure can be made safe all the same.
        let failed = self.sync(spool, &mut safe).err().map(Stop::Spool);
        let error = stopped.or(failed).map(|stop| match stop {
            Stop::Quarantine(reason) => format!("a refused payload cannot be kept in the quarantine: {reason}"),
            Stop::Spool(error) => error.to_string(),
        });
        Written { safe, error }
    }

    fn append_all(&mut self, spool: &mut Spool, keep: &Keep, now: u64, safe: &mut Vec<Commit>) -> Result<(), Stop> {
        while self.appended < self.waiting.len() {
            if spool.is_segment_full() {
                self.sync(spool, safe).map_err(Stop::Spool)?;
                spool.rotate();
            }
            let Some(Commit { batch, .. }) = self.waiting.get_mut(self.appended) else { break };
            if !batch.refused.is_empty() {
                keep(&batch.refused).map_err(Stop::Quarantine)?;
                batch.refused.clear();
            }
            spool.append(&batch.lines, &batch.counts, now).map_err(Stop::Spool)?;
            self.appended += 1;
        }
        Ok(())
    }

    /// Moves what was appended to what is safe, or takes it back to be appended again.
    fn sync(&mut self, spool: &mut Spool, safe: &mut Vec<Commit>) -> Result<(), SpoolError> {
        let appended = std::mem::take(&mut self.appended);
        if appended > 0 {
            spool.sync()?;
            safe.extend(self.waiting.drain(..appended));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

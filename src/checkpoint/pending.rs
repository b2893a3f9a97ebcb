//! What waits to be written: one entry a content and stream, the newest wins.
//! Promises that its size is bounded by the number of contents, however long the disk refuses.
//! Leaves writing to the store and pace to the keeper.

use super::packed::PackedRows;
use crate::saved::{CheckpointUpdate, Counters, Remembered, SavedContent};
use datalake_tail::FolderRow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Merged updates.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    /// Newest row of each content and stream.
    pub(super) rows: PackedRows,
    /// Newest list of what each folder held; `None` is one to delete.
    pub(super) folders: BTreeMap<(Arc<str>, PathBuf), Option<Vec<u64>>>,
    /// Pairs of stream and pattern.
    pub(super) started: BTreeSet<(String, String)>,
    /// The newest counters of each flow.
    pub(super) counters: BTreeMap<String, Counters>,
    /// Bytes that were settled meanwhile.
    pub(super) settled_bytes: u64,
}

impl Pending {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.folders.is_empty() && self.started.is_empty() && self.counters.is_empty()
    }

    /// Whether a pattern starts for the first time. That must be on the disk before anybody may rely on it: where it is
    /// forgotten, `initialPosition` is applied twice, and that loses what was written in between.
    pub(super) fn is_first_start(&self) -> bool {
        !self.started.is_empty()
    }

    /// Takes in a newer update.
    pub(super) fn merge(&mut self, update: CheckpointUpdate) {
        for (stream, id, row) in update.contents {
            self.rows.insert(&stream, id, row.as_ref());
        }
        for (stream, path, held) in update.folders {
            self.folders.insert((stream, path), held);
        }
        self.started.extend(update.started);
        self.counters.extend(update.counters);
        self.settled_bytes = self.settled_bytes.saturating_add(update.settled_bytes);
    }

    /// What was read from the database, with what waits to be written to it.
    pub(super) fn over(&self, mut saved: Remembered) -> Remembered {
        saved.contents.retain(|saved| !self.rows.contains(&saved.stream, saved.row.id));
        for (stream, _, row) in self.rows.iter() {
            let Some(row) = row.and_then(|columns| columns.row()) else { continue };
            saved.contents.push(SavedContent { stream: stream.clone(), row, saved_at: 0 });
        }
        saved.folders.retain(|(stream, row)| !self.folders.contains_key(&(stream.clone(), row.path.clone())));
        for ((stream, path), held) in &self.folders {
            let Some(held) = held.clone() else { continue };
            saved.folders.push((stream.clone(), FolderRow { path: path.clone(), held }));
        }
        let known: BTreeSet<(String, String)> = saved.started.iter().cloned().collect();
        saved.started.extend(self.started.difference(&known).cloned());
        saved
    }

    /// Takes back what could not be written; what was posted since then is newer and stays.
    pub(super) fn take_back(&mut self, older: Self) {
        self.rows.take_back(&older.rows);
        for (key, held) in older.folders {
            self.folders.entry(key).or_insert(held);
        }
        self.started.extend(older.started);
        for (flow, counters) in older.counters {
            self.counters.entry(flow).or_insert(counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::update;
    use super::*;

    fn positions(pending: &Pending) -> Vec<Option<u64>> {
        pending.rows.iter().map(|(_, _, row)| row.map(|row| row.position)).collect()
    }

    #[test]
    fn the_newest_row_of_a_content_wins_and_a_stream_of_its_own_is_another_row() {
        let mut pending = Pending::default();
        pending.merge(update(&[("firehose:a", 1, Some(10)), ("firehose:b", 1, Some(11))]));
        pending.merge(update(&[("firehose:a", 1, Some(20))]));
        assert_eq!(positions(&pending), [Some(20), Some(11)]);
    }

    #[test]
    fn what_is_taken_back_never_overrides_what_came_later() {
        let mut older = Pending::default();
        older.merge(update(&[("s", 1, Some(10)), ("s", 2, Some(10)), ("s", 3, Some(10))]));
        older.folders.insert(("s".into(), "/l".into()), Some(vec![1]));
        let mut newer = Pending::default();
        newer.merge(update(&[("s", 1, Some(20)), ("s", 2, None)]));
        newer.folders.insert(("s".into(), "/l".into()), None);
        newer.take_back(older);
        assert_eq!(positions(&newer), [Some(20), None, Some(10)]);
        assert_eq!(newer.folders.values().collect::<Vec<_>>(), [&None]);
    }

    /// A reload reads positions back while the disk refuses to take the newest.
    #[test]
    fn what_waits_to_be_written_counts_when_positions_are_read_back() {
        let mut saved = Pending::default();
        saved.merge(update(&[("s", 1, Some(1)), ("s", 2, Some(2)), ("t", 1, Some(3))]));
        saved.merge(CheckpointUpdate { started: vec![("s".into(), "/a".into())], ..Default::default() });
        let saved = saved.over(Remembered::default());
        let mut waiting = Pending::default();
        waiting.merge(update(&[("s", 1, Some(10)), ("s", 2, None), ("s", 3, Some(30))]));
        waiting.merge(CheckpointUpdate {
            started: vec![("s".into(), "/a".into()), ("s".into(), "/b".into())],
            ..Default::default()
        });
        let now = waiting.over(saved);
        let mut rows: Vec<(String, u64, u64)> =
            now.contents.iter().map(|saved| (saved.stream.to_string(), saved.row.id.0, saved.row.position)).collect();
        rows.sort_unstable();
        assert_eq!(rows, [("s".to_owned(), 1, 10), ("s".to_owned(), 3, 30), ("t".to_owned(), 1, 3)]);
        assert_eq!(now.started, [("s".to_owned(), "/a".to_owned()), ("s".to_owned(), "/b".to_owned())]);
    }

    #[test]
    fn a_thousand_posts_for_one_content_are_one_entry() {
        let mut pending = Pending::default();
        for position in 0..1000 {
            pending.merge(update(&[("s", 1, Some(position))]));
        }
        assert_eq!(pending.rows.iter().count(), 1);
    }
}

//! What waits to be written: one entry a file and stream, the newest wins.
//! Promises that its size is bounded by the number of files, however long the disk refuses.
//! Leaves writing to the store and pace to the keeper.

use datalake_base::record::{CheckpointUpdate, FileKey, SavedPosition};
use std::collections::{BTreeMap, BTreeSet};

/// Merged updates.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    /// Newest row of each file and stream; `None` is a row to delete.
    pub(super) rows: BTreeMap<(String, FileKey), Option<SavedPosition>>,
    /// Pairs of stream and pattern.
    pub(super) started: BTreeSet<(String, String)>,
}

impl Pending {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.started.is_empty()
    }

    /// Takes in a newer update. Within one update what is forgotten stays forgotten.
    pub(super) fn merge(&mut self, update: CheckpointUpdate) {
        for row in update.positions {
            assert!(row.frontier_end <= row.position, "the frontier lies behind the position: {row:?}");
            self.rows.insert((row.stream.clone(), row.file), Some(row));
        }
        for key in update.forgotten {
            self.rows.insert(key, None);
        }
        self.started.extend(update.started);
    }

    /// Takes back what could not be written; what was posted since then is newer and stays.
    pub(super) fn take_back(&mut self, older: Self) {
        for (key, row) in older.rows {
            self.rows.entry(key).or_insert(row);
        }
        self.started.extend(older.started);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::row;
    use super::*;
    use datalake_base::record::Position;

    fn update(positions: Vec<SavedPosition>) -> CheckpointUpdate {
        CheckpointUpdate { positions, ..CheckpointUpdate::default() }
    }

    #[test]
    fn the_newest_row_of_a_file_wins_and_a_stream_of_its_own_is_another_row() {
        let mut pending = Pending::default();
        pending.merge(update(vec![row("firehose:a", 1, 10), row("firehose:b", 1, 11)]));
        pending.merge(update(vec![row("firehose:a", 1, 20)]));
        let positions: Vec<_> = pending.rows.values().flatten().map(|row| row.position).collect();
        assert_eq!(positions, [Position(20), Position(11)]);
    }

    #[test]
    fn what_is_taken_back_never_overrides_what_came_later() {
        let mut older = Pending::default();
        older.merge(update(vec![row("s", 1, 10), row("s", 2, 10), row("s", 3, 10)]));
        let mut newer = Pending::default();
        newer.merge(update(vec![row("s", 1, 20)]));
        newer.merge(CheckpointUpdate { forgotten: vec![("s".into(), row("s", 2, 0).file)], ..Default::default() });
        newer.take_back(older);
        let positions: Vec<_> = newer.rows.values().map(|row| row.as_ref().map(|row| row.position.0)).collect();
        assert_eq!(positions, [Some(20), None, Some(10)]);
    }

    #[test]
    fn a_thousand_posts_for_one_file_are_one_entry() {
        let mut pending = Pending::default();
        for position in 0..1000 {
            pending.merge(update(vec![row("s", 1, position)]));
        }
        assert_eq!(pending.rows.len(), 1);
    }
}

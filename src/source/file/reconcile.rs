//! What was known against what is seen: which file stayed, moved, shrank, vanished or is new.
//! Promises a decision for every known and every seen file, from names, identities and sizes alone.
//! Leaves content (copies, reused identities) to the search for copies, and doing to the stream.

use super::identity::Status;
use datalake_base::record::FileKey;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A followed file, as far as names and identities go.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: u64,
    pub(super) key: FileKey,
    pub(super) path: Arc<Path>,
    /// How far it was read, in bytes of the file; 0 for archives, whose positions count other bytes.
    pub(super) read: u64,
    /// Whether it was in its folder when last looked at.
    pub(super) present: bool,
}

/// A regular file that a folder holds now.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: Arc<Path>,
    pub(super) status: Status,
    /// It was reached through a symbolic link.
    pub(super) link: bool,
    /// Position in the list of flows of the first one whose patterns match the path.
    pub(super) flow: Option<usize>,
}

/// What became of one file. Numbers are places in the list of seen files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Still there, perhaps grown, perhaps back.
    Same { id: u64, seen: usize },
    /// There under another name.
    Renamed { id: u64, seen: usize },
    /// There, but shorter than what was read of it.
    Truncated { id: u64, seen: usize },
    /// No longer where it was.
    Missing { id: u64 },
    /// Not known before.
    New { seen: usize },
}

/// Decides for all of them. `known` holds every file whose path lies in the folders looked at and every
/// file whose identity is among the seen.
pub(super) fn reconcile(known: &[Known], seen: &[Seen]) -> Vec<Decision> {
    let by_key: HashMap<FileKey, &Known> = known.iter().map(|known| (known.key, known)).collect();
    // Of several names of one file, the one known before counts, then one that matches, then the first.
    let mut chosen: HashMap<FileKey, usize> = HashMap::new();
    for (place, candidate) in seen.iter().enumerate() {
        let rank = |place: usize| {
            let candidate = &seen[place];
            let as_before = by_key.get(&candidate.status.key).is_some_and(|known| known.path == candidate.path);
            (!as_before, candidate.flow.is_none(), candidate.path.clone())
        };
        chosen
            .entry(candidate.status.key)
            .and_modify(|best| {
                if rank(place) < rank(*best) {
                    *best = place;
                }
            })
            .or_insert(place);
    }
    let mut decisions = Vec::with_capacity(known.len());
    let mut found = HashSet::with_capacity(known.len());
    for (place, candidate) in seen.iter().enumerate() {
        let key = candidate.status.key;
        if chosen.get(&key) != Some(&place) {
            continue;
        }
        decisions.push(match by_key.get(&key) {
            None => Decision::New { seen: place },
            Some(known) => {
                found.insert(known.id);
                if candidate.status.size < known.read {
                    Decision::Truncated { id: known.id, seen: place }
                } else if known.path == candidate.path {
                    Decision::Same { id: known.id, seen: place }
                } else {
                    Decision::Renamed { id: known.id, seen: place }
                }
            }
        });
    }
    let missing = known.iter().filter(|known| known.present && !found.contains(&known.id));
    decisions.extend(missing.map(|known| Decision::Missing { id: known.id }));
    decisions
}

#[cfg(test)]
mod tests {
    use super::super::identity::Kind;
    use super::*;

    fn key(inode: u64) -> FileKey {
        FileKey { device: 1, inode, born: inode * 10 }
    }

    fn known(id: u64, inode: u64, path: &str, read: u64) -> Known {
        Known { id, key: key(inode), path: Path::new(path).into(), read, present: true }
    }

    fn seen(inode: u64, path: &str, size: u64) -> Seen {
        let status = Status { key: key(inode), kind: Kind::Regular, size, changed: 0, modified: 0, names: 1 };
        Seen { path: Path::new(path).into(), status, link: false, flow: Some(0) }
    }

    #[test]
    fn rename_and_create_is_a_renamed_file_and_a_new_one() {
        let decisions = reconcile(&[known(1, 7, "/l/a", 5)], &[seen(8, "/l/a", 2), seen(7, "/l/a.1", 9)]);
        assert_eq!(decisions, [Decision::New { seen: 0 }, Decision::Renamed { id: 1, seen: 1 }]);
    }

    #[test]
    fn a_file_shorter_than_what_was_read_of_it_was_truncated_whatever_its_name() {
        assert_eq!(
            reconcile(&[known(1, 7, "/l/a", 5)], &[seen(7, "/l/a", 4)]),
            [Decision::Truncated { id: 1, seen: 0 }]
        );
        assert_eq!(reconcile(&[known(1, 7, "/l/a", 5)], &[seen(7, "/l/a", 5)]), [Decision::Same { id: 1, seen: 0 }]);
    }

    #[test]
    fn a_file_that_is_nowhere_is_missing_once() {
        let mut gone = known(1, 7, "/l/a", 5);
        assert_eq!(reconcile(&[gone.clone()], &[]), [Decision::Missing { id: 1 }]);
        gone.present = false;
        assert_eq!(reconcile(&[gone], &[]), []);
    }

    #[test]
    fn two_names_of_one_file_are_one_file_and_the_known_name_stays() {
        let both = [seen(7, "/l/a", 5), seen(7, "/l/b", 5)];
        assert_eq!(reconcile(&[], &both), [Decision::New { seen: 0 }]);
        assert_eq!(reconcile(&[known(1, 7, "/l/b", 5)], &both), [Decision::Same { id: 1, seen: 1 }]);
    }

    #[test]
    fn an_inode_with_another_birth_is_another_file() {
        let mut reused = seen(7, "/l/a", 9);
        reused.status.key.born += 1;
        assert_eq!(
            reconcile(&[known(1, 7, "/l/a", 5)], &[reused]),
            [Decision::New { seen: 0 }, Decision::Missing { id: 1 }]
        );
    }
}

//! Histories of files and rows, and where reading must go on.
//! Promises one case for each rule; times are small numbers of seconds.
//! Leaves real files and databases to tests/migrate.rs.

use super::*;
use datalake_base::record::FileKey;

const SECOND: u64 = 1_000;

/// A file that matches: born and last written to at these seconds.
fn file(path: &str, inode: u64, size: u64, born: u64, modified: u64) -> Seen {
    let nanoseconds = |seconds: u64| seconds * 1_000_000_000;
    Seen {
        file: Found {
            path: path.into(),
            key: FileKey { device: 1, inode, born: nanoseconds(born) },
            modified: nanoseconds(modified),
            size,
            packed: path.ends_with(".gz"),
        },
        matches: true,
        rotation: false,
    }
}

fn row(path: &str, inode: u64, offset: u64, updated: u64) -> OldRow {
    OldRow {
        flow: "fh:s:/l/*".to_owned(),
        path: path.into(),
        file: Some((1, inode)),
        modified: updated * SECOND,
        size: offset,
        offset,
        updated: updated * SECOND,
    }
}

/// Where each file goes on; lines are ten bytes long.
fn starts(rows: &[OldRow], seen: &[Seen]) -> (Vec<(String, Start)>, Vec<String>) {
    let placement = place(rows, seen, &|_, position| Some(position % 10 == 0));
    let name = |path: &Path| path.display().to_string();
    let placed = placement.placed.iter().map(|placed| (name(&placed.file.path), placed.start)).collect();
    (placed, placement.unplaced.iter().map(|unplaced| name(&unplaced.row.path)).collect())
}

#[track_caller]
fn assert_starts(rows: &[OldRow], seen: &[Seen], expected: &[(&str, Start)], unplaced: &[&str]) {
    let (placed, lost) = starts(rows, seen);
    let expected: Vec<(String, Start)> = expected.iter().map(|(path, start)| ((*path).to_owned(), *start)).collect();
    assert_eq!((placed, lost), (expected, unplaced.iter().map(|path| (*path).to_owned()).collect()));
}

#[test]
fn without_rows_nothing_is_decided() {
    let placement = place(&[], &[file("/l/a", 1, 100, 1, 5)], &|_, _| Some(true));
    assert_eq!(placement, Placement::default());
}

#[test]
fn a_file_is_known_by_its_identity_under_whatever_name() {
    let rows = [row("/l/a", 1, 50, 10)];
    let seen = [file("/l/a", 2, 30, 12, 13), file("/l/a.1", 1, 80, 1, 11)];
    assert_starts(&rows, &seen, &[("/l/a", Start::At(0)), ("/l/a.1", Start::At(50))], &[]);
}

#[test]
fn older_files_are_done_with_and_newer_ones_are_read_from_their_beginning() {
    let rows = [row("/l/b", 2, 50, 30)];
    let seen = [
        file("/l/a", 1, 70, 1, 9),
        file("/l/b", 2, 80, 10, 29),
        file("/l/c", 3, 40, 20, 30),
        file("/l/d", 4, 10, 40, 41),
    ];
    let expected = [("/l/a", Start::LastLine), ("/l/b", Start::At(50)), ("/l/c", Start::At(0)), ("/l/d", Start::At(0))];
    assert_starts(&rows, &seen, &expected, &[]);
}

#[test]
fn the_end_of_a_file_that_was_left_for_the_next_is_done_with_unless_it_was_written_to_later() {
    let rows = [row("/l/a", 1, 50, 10), row("/l/b", 2, 20, 30)];
    let left = [file("/l/a", 1, 70, 1, 9), file("/l/b", 2, 80, 11, 40)];
    assert_starts(&rows, &left, &[("/l/a", Start::LastLine), ("/l/b", Start::At(20))], &[]);
    let written = [file("/l/a", 1, 70, 1, 12), file("/l/b", 2, 80, 11, 40)];
    assert_starts(&rows, &written, &[("/l/a", Start::At(50)), ("/l/b", Start::At(20))], &[]);
    let unknown = [file("/l/a", 1, 70, 0, 9), file("/l/b", 2, 80, 0, 29)];
    assert_starts(&rows, &unknown, &[("/l/a", Start::At(50)), ("/l/b", Start::At(20))], &[]);
}

#[test]
fn files_that_are_written_to_at_the_same_time_go_on_where_each_was() {
    let rows = [row("/l/a", 1, 50, 30), row("/l/b", 2, 20, 31)];
    let seen = [file("/l/a", 1, 70, 1, 40), file("/l/b", 2, 80, 1, 39)];
    assert_starts(&rows, &seen, &[("/l/a", Start::At(50)), ("/l/b", Start::At(20))], &[]);
}

#[test]
fn a_reused_inode_is_another_file() {
    let rows = [row("/l/a", 1, 50, 10)];
    assert_starts(&rows, &[file("/l/a", 1, 80, 20, 21)], &[("/l/a", Start::At(0))], &["/l/a"]);
}

#[test]
fn content_that_changed_is_read_from_its_beginning() {
    let rows = [row("/l/a", 1, 55, 10)];
    assert_starts(&rows, &[file("/l/a", 1, 80, 1, 9)], &[("/l/a", Start::At(0))], &[]);
}

#[test]
fn of_a_file_that_was_cut_the_copy_goes_on() {
    let rows = [row("/l/app.log", 1, 50, 10)];
    let seen = [file("/l/app.log", 1, 20, 1, 14), file("/l/app.log.1", 2, 90, 12, 13), file("/l/other", 3, 90, 2, 3)];
    let expected = [("/l/app.log", Start::At(0)), ("/l/app.log.1", Start::At(50)), ("/l/other", Start::LastLine)];
    assert_starts(&rows, &seen, &expected, &[]);
}

#[test]
fn a_disk_with_another_number_and_a_copied_disk_are_seen_through() {
    let rows = [row("/l/a", 1, 50, 10)];
    let mut renumbered = file("/l/a", 1, 80, 1, 9);
    renumbered.file.key.device = 7;
    assert_starts(&rows, &[renumbered], &[("/l/a", Start::At(50))], &[]);
    assert_starts(&rows, &[file("/l/a", 9, 80, 0, 10)], &[("/l/a", Start::At(50))], &[]);
    assert_starts(&rows, &[file("/l/a", 9, 80, 20, 21)], &[("/l/a", Start::At(0))], &["/l/a"]);
}

#[test]
fn when_the_file_is_gone_what_came_later_is_read_and_what_was_there_is_not() {
    let rows = [row("/l/a", 1, 50, 20)];
    let seen = [file("/l/a", 3, 30, 25, 26), file("/l/a.2", 2, 80, 1, 9), file("/l/b", 4, 10, 2, 30)];
    let expected = [("/l/a", Start::At(0)), ("/l/a.2", Start::LastLine), ("/l/b", Start::At(0))];
    assert_starts(&rows, &seen, &expected, &["/l/a"]);
}

#[test]
fn archives_are_known_and_named_where_a_file_may_have_gone() {
    let rows = [row("/l/a", 1, 50, 20)];
    let seen = [file("/l/a", 3, 30, 25, 26), file("/l/a.1.gz", 2, 80, 24, 22)];
    assert_starts(&rows, &seen, &[("/l/a", Start::At(0)), ("/l/a.1.gz", Start::Known)], &["/l/a"]);
    let placement = place(&rows, &seen, &|_, _| Some(true));
    assert!(placement.unplaced[0].words.contains("/l/a.1.gz"), "{:?}", placement.unplaced);
    assert_eq!(placement.unplaced[0].weight, Weight::Differs);
}

#[test]
fn rotations_of_a_spelled_out_name_count_when_the_file_itself_was_rotated() {
    let unmatched = |mut seen: Seen| {
        (seen.matches, seen.rotation) = (false, true);
        seen
    };
    let rows = [row("/l/a", 1, 50, 20)];
    let seen = [
        file("/l/a", 4, 10, 32, 33),
        unmatched(file("/l/a.1", 3, 30, 25, 32)),
        unmatched(file("/l/a.2", 1, 80, 1, 24)),
        unmatched(file("/l/a.3", 2, 80, 1, 2)),
    ];
    let expected = [("/l/a", Start::At(0)), ("/l/a.1", Start::At(0)), ("/l/a.2", Start::At(50))];
    assert_starts(&rows, &seen, &expected, &[]);
}

#[test]
fn of_two_rows_about_one_file_the_newer_counts() {
    let rows = [row("/l/a", 1, 50, 20), row("/l/a.1", 1, 70, 25)];
    assert_starts(&rows, &[file("/l/a.1", 1, 80, 1, 24)], &[("/l/a.1", Start::At(70))], &[]);
}

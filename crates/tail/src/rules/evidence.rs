//! What proves that two files hold the same, and what proves nothing.
//! Promises for each weight of evidence the world that only it decides. Leaves when files are looked at to `looks`.

use crate::cases::read_but_for_its_end;
use crate::model::{World, pack};
use crate::proof::{Boundary, Proof, Verdict, WINDOW, Weight};
use crate::worlds::{LIVE, all, line, only_live, text};
use crate::{Again, ContentId, FileKey, Fingerprint, Notice, Part, Row, Sample, SavedState, Status};

/// Lines that stand once in each file, at its beginning.
fn count_of(world: &World, text: &[u8]) -> Vec<u32> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| world.count(line)).collect()
}

/// Bytes that do not repeat themselves, without a line end.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| b'a' + random.u8(..26)).collect()
}

/// A log in whose place another comes, which begins and ends like it and was never seen. Equal evidence of too little
/// weight once made them one: what the second held in its own right was lost.
fn replaced_while_stopped(first: &[u8], second: &[u8]) -> World {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, first);
    world.start();
    world.run_for(500);
    world.stop();
    world.fs.create(LIVE, second);
    world.start();
    world.run_for(20_000);
    world
}

/// Evidence needs two lines: a header that every file has is one.
#[test]
fn a_header_of_one_line_proves_nothing_however_long_it_is() {
    let header = [noise(1, 600), b"\n".to_vec()].concat();
    let world = replaced_while_stopped(&header, &[header.clone(), text('y', 0..5)].concat());
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
    world.expect('y', 0..5);
}

/// Lines that begin with `#` are a header, however many there are.
#[test]
fn a_header_of_comments_proves_nothing_however_many_they_are() {
    let header: Vec<u8> =
        (0..12).flat_map(|number| [b"#".to_vec(), noise(number, 60), b"\n".to_vec()].concat()).collect();
    let world = replaced_while_stopped(&header, &[header.clone(), text('y', 0..5)].concat());
    assert_eq!(count_of(&world, &header), [2; 12], "{:?}", world.notices);
    world.expect('y', 0..5);
}

/// The same line again and again may have been written any number of times.
#[test]
fn a_beginning_that_repeats_itself_proves_nothing() {
    let lines = b"GET /healthz 200, as every second\n".repeat(12);
    let world = replaced_while_stopped(&lines, &lines);
    assert_eq!(world.lines.len(), 24, "{:?}", world.notices);
}

/// A file that ends as it begins shows the same bytes at both ends, whatever is between.
#[test]
fn an_end_that_equals_the_beginning_proves_nothing() {
    let mut ends = text('a', 0..40);
    ends.truncate(1_023);
    ends.push(b'\n');
    let file = |which| [ends.clone(), text(which, 0..300), ends.clone()].concat();
    let world = replaced_while_stopped(&file('x'), &file('y'));
    world.expect('x', 0..300);
    world.expect('y', 0..300);
}

/// What is long enough is no header, be it few lines: a copy of it beside the log is a copy.
#[test]
fn a_copy_of_a_long_log_of_few_lines_is_not_sent() {
    let lines: Vec<u8> = (0..4).flat_map(|seed| [noise(seed, 20_000), b"\n".to_vec()].concat()).collect();
    let mut world = World::new(all);
    world.fs.create(LIVE, &lines);
    world.start();
    world.run_for(500);
    world.fs.copy(LIVE, "/l/a.log.copy");
    world.run_for(20_000);
    assert_eq!((world.lines.len(), world.notices.len()), (4, 0), "{:?}", world.notices);
}

/// A file that is only a header was thought a copy of a log that begins with it, as it was equal to its last byte.
#[test]
fn a_file_that_is_only_the_header_of_another_is_sent() {
    let header = format!("{}\n", "time,host,service,level,message,".repeat(20)).into_bytes();
    let mut world = World::new(all);
    world.fs.create(LIVE, &[header.clone(), text('x', 0..50)].concat());
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.other", &header);
    world.run_for(20_000);
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
}

/// Equal up to a line end within the first 4 KiB, two files may just have the same long header: both are sent whole.
#[test]
fn a_long_header_of_many_lines_is_sent_of_every_file() {
    let header = text('h', 0..30);
    let file = |which| [header.clone(), text(which, 0..100)].concat();
    let world = replaced_while_stopped(&file('x'), &file('y'));
    assert_eq!(count_of(&world, &header), [2; 30], "{:?}", world.notices);
    world.expect('x', 0..100);
    world.expect('y', 0..100);
}

/// A copy of a log that stays where it is, and goes on by itself: sent is what only the copy holds.
#[test]
fn of_a_longer_copy_beside_a_log_only_what_is_new_is_sent() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &[text('x', 0..200), text('y', 0..20)].concat());
    world.run_for(30_000);
    world.expect('x', 0..200);
    world.expect('y', 0..20);
}

/// A file that is equal to the beginning of a log is read from where that log is settled. If the agent is killed, what was
/// in flight is read again from this file, because there is no other.
#[test]
fn a_file_that_begins_like_an_unsettled_log_is_read_from_where_that_is_settled() {
    let mut world = World::new(only_live);
    // Long reads, in which boundaries lie at line ends.
    (world.settles, world.limits.read) = (false, 256 * 1024);
    world.fs.create(LIVE, &text('x', 0..400));
    world.start();
    world.run_for(500);
    world.fs.create(LIVE, &[text('x', 0..300), text('y', 0..300)].concat());
    world.run_for(20_000);
    assert!(world.rows.values().all(|row| row.position == 0), "{:?}", world.rows);
    assert!((0..300).all(|number| world.count(line('y', number).as_bytes()) > 0));
}

/// Between the look at a file and its first turn something else was written over it: that was delivered as the content that
/// had been looked at, and once more after the next start, when it turned out to be another.
#[test]
fn what_is_written_over_a_log_before_its_first_turn_is_sent_once() {
    for lines in [3, 20, 50] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &text('x', 0..50));
        (world.faults.no_room, world.faults.lost_events) = (100, 100);
        world.start();
        world.run_for(500);
        world.fs.overwrite(LIVE, &text('y', 0..lines));
        world.faults.no_room = 0;
        world.run_for(20_000);
        world.stop();
        world.start();
        world.run_for(20_000);
        world.expect('y', 0..lines);
    }
}

/// Five lines, copied before the first look, and truncated before there was room to read them. Too little is known of them to
/// compare, so name and beginning decide; the copy had been taken for what was there before.
#[test]
fn a_copy_that_was_made_before_the_first_look_is_found_by_its_name_and_its_beginning() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..5));
    world.fs.copy(LIVE, "/l/a.log.1");
    world.faults.no_room = 100;
    world.start();
    world.run_for(1_000);
    world.fs.truncate(LIVE, 0);
    world.run_for(1_000);
    world.faults.no_room = 0;
    world.run_for(30_000);
    world.expect('x', 0..5);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// A plain file goes on where an archive of it ends: a restored log.
#[test]
fn a_file_that_goes_on_where_an_archive_ends_is_read_from_there() {
    let mut world = World::new(all);
    world.fs.create("/l/a.log.1.gz", &pack(&text('x', 0..100)));
    world.start();
    world.run_for(5_000);
    world.fs.create("/l/a.log.copy", &[text('x', 0..100), text('y', 0..20)].concat());
    world.run_for(30_000);
    world.expect('x', 0..100);
    world.expect('y', 0..20);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// A tool writes the copy first: the log grows by the same lines a second later.
#[test]
fn a_copy_that_is_ahead_of_its_log_for_a_second_is_a_copy() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &text('x', 0..220));
    world.run_for(1_000);
    world.fs.append(LIVE, &text('x', 200..220));
    world.run_for(30_000);
    world.expect('x', 0..220);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// An empty log gets lines while there is no room; before one of them is read it is copied to a name that tells nothing, and
/// truncated. By its beginning, looked at while it waited, it is known.
#[test]
fn a_log_of_which_nothing_was_read_is_known_by_its_beginning() {
    let mut world = World::new(only_live);
    world.fs.folder("/l/old");
    world.start();
    world.run_for(500);
    world.fs.create(LIVE, &text('q', 0..1));
    world.run_steps(1);
    world.fs.truncate(LIVE, 0);
    world.run_for(10_000);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('z', 0..50));
    world.run_for(300);
    world.fs.append(LIVE, &text('z', 50..60));
    world.run_for(300);
    world.fs.copy(LIVE, "/l/old/some-name");
    world.fs.truncate(LIVE, 0);
    world.run_for(2_000);
    world.faults.no_room = 0;
    world.run_for(30_000);
    world.expect('z', 0..60);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// A log of few lines that is restored by a copy goes on where it was: two lines are more than a header.
#[test]
fn a_copy_of_a_log_of_three_lines_takes_its_place() {
    let lines = |numbers: std::ops::Range<u64>| -> Vec<u8> {
        numbers.flat_map(|seed| [noise(seed, 120), b"\n".to_vec()].concat()).collect()
    };
    let world = replaced_while_stopped(&lines(0..3), &lines(0..4));
    assert_eq!(count_of(&world, &lines(0..4)), [1; 4], "{:?}", world.notices);
}

/// The proof of these bytes, read in pieces that end at these positions.
pub(super) fn proof_of(bytes: &[u8], ends: &[usize]) -> Proof {
    let (mut proof, mut from) = (Proof::default(), 0);
    for end in ends.iter().copied().chain([bytes.len()]) {
        let start = from - from.min(WINDOW as usize);
        proof.advance(start as u64, from as u64, &bytes[start..end]);
        from = end;
    }
    proof
}

/// What a file with these bytes answers to all questions about the first `read` bytes.
pub(super) fn sample_of(bytes: &[u8], ranges: Vec<std::ops::Range<u64>>) -> Sample {
    let within = |position: u64| position.min(bytes.len() as u64) as usize;
    let part =
        |range: std::ops::Range<u64>| Part { bytes: bytes[within(range.start)..within(range.end)].to_vec(), range };
    let status = Status { size: bytes.len() as u64, ..Status::default() };
    Sample { status, parts: ranges.into_iter().map(part).collect(), ..Sample::default() }
}

#[test]
fn a_proof_judges_whole_files_beginnings_and_others_at_any_position() {
    let whole = text('x', 0..300);
    let other = [text('x', 0..150), text('y', 0..150)].concat();
    let proof = proof_of(&whole, &[1_000, 3_000, 6_500, 7_001, 9_999]);
    for read in [1_000, 3_000, 6_500, 7_001, 9_999, whole.len() as u64] {
        let ranges = || proof.ranges(read, 0);
        let verdict = |bytes: &[u8]| proof.against(read, &sample_of(bytes, ranges()));
        assert_eq!(verdict(&whole), Verdict::Same(Weight::Strong), "{read}");
        assert_eq!(verdict(&whole[..read as usize]), Verdict::Same(Weight::Strong), "{read}");
        assert_eq!(verdict(&text('y', 0..300)), Verdict::Other, "{read}");
        let equal = text('x', 0..150).len() as u64;
        match verdict(&other) {
            Verdict::Same(_) => assert!(read <= equal),
            Verdict::Prefix { up_to, diverged, weight } => {
                assert!(read > equal && diverged && weight == Weight::Strong);
                assert!(up_to <= equal && up_to >= 2_000 && other[up_to as usize - 1] == b'\n', "{read}: {up_to}");
            }
            verdict => panic!("{read}: {verdict:?}"),
        }
        match verdict(&whole[..900]) {
            Verdict::Prefix { up_to, diverged: false, .. } => assert!(whole[up_to as usize - 1] == b'\n'),
            verdict => assert!(read <= 900, "{read}: {verdict:?}"),
        }
    }
    for limit in [500, 1_000, 5_000, 6_600, 9_999] {
        let (end, weight) = proof.line_upto(limit, &sample_of(&whole, proof.ranges(9_999, 0))).unwrap();
        assert!(end <= limit && end * 3 > limit && whole[end as usize - 1] == b'\n', "{limit}: {end}");
        assert_eq!(weight == Weight::Strong, end >= 400, "{limit}");
    }
    assert_eq!(proof.against(9_999, &sample_of(&whole, Vec::new())), Verdict::Need(proof.ranges(9_999, 0)));
}

#[test]
fn boundaries_ascend_and_what_is_saved_of_a_proof_is_what_comes_back() {
    let lines = |lengths: &[usize]| -> Vec<u8> {
        let line = |(seed, length): (usize, &usize)| [noise(seed as u64, *length), b"\n".to_vec()].concat();
        lengths.iter().enumerate().flat_map(line).collect()
    };
    for lengths in [&[200, 5_000, 3_000, 20, 20][..], &[70; 100], &[9_000, 1], &[1; 2_000]] {
        let bytes = lines(lengths);
        let once = proof_of(&bytes, &[]);
        let proof = proof_of(&bytes, &[bytes.len() / 3]);
        assert_eq!(Proof::decode(&once.encode()), Some(once));
        assert!(proof.boundaries().windows(2).all(|pair| pair[0].end < pair[1].end));
        let encoded = proof.encode();
        assert_eq!(Proof::decode(&encoded), Some(proof.clone()));
        assert_eq!(Proof::decode(&encoded[..encoded.len() - 1]), None, "cut off");
        assert_eq!(Proof::decode(&[encoded.clone(), vec![0]].concat()), None, "too long");
        assert_eq!(Proof::decode(&[vec![2], encoded[1..].to_vec()].concat()), None, "another version");
        // Followed from its end without having been read.
        let read = bytes.len() as u64;
        let followed = Proof::from_sample(&sample_of(&bytes, vec![0..WINDOW, read.saturating_sub(WINDOW)..read]), read);
        assert_eq!(Proof::decode(&followed.encode()), Some(followed.clone()));
        assert!(followed.accepts(&bytes[bytes.len().saturating_sub(2_000)..], read));
    }
}

#[test]
fn a_row_of_the_format_before_proves_as_much_as_it_knows() {
    let bytes = text('x', 0..100);
    let weight = |end: usize, length: usize| {
        let frontier = Fingerprint::of(&bytes[end - length..end]);
        let proof = Proof::of_old_row(Fingerprint::of(&bytes[..1_024]), end as u64, frontier);
        assert_eq!(proof.head, Fingerprint::of(&bytes[..1_024]));
        let known: Vec<(u64, u16)> = proof.boundaries().iter().map(|it: &Boundary| (it.end, it.length)).collect();
        assert_eq!(known, if length > 0 && end > 0 { vec![(end as u64, length as u16)] } else { Vec::new() });
        // What it proves it proves from there on, should it be cut before that.
        let (from, windows) = (end.min(2_048) as u32, end.div_ceil(1_024));
        assert_eq!(proof.fair_from, if windows > 1 { from } else { 0 });
        assert_eq!(proof.strong_from, if windows > 2 { from } else { 0 });
        proof.weight_at(end as u64)
    };
    assert_eq!(weight(0, 0), Weight::Doubt);
    assert_eq!(weight(1_500, 0), Weight::Doubt, "nothing is known of the end");
    assert_eq!([500, 1_024].map(|end| weight(end, end.min(1_000))), [Weight::Doubt; 2]);
    assert_eq!([1_025, 2_048].map(|end| weight(end, 1_024)), [Weight::Fair; 2]);
    assert_eq!([2_049, 4_000].map(|end| weight(end, 1_024)), [Weight::Strong; 2]);
    // What no row can say: more bytes before the end than there are.
    let wrong = Proof::of_old_row(Fingerprint::of(&bytes[..1_024]), 0, Fingerprint::of(&bytes[..10]));
    assert!(wrong.boundaries().is_empty());
    // An archive was over when its end had no hash.
    let state = |position: u64, end: u64, length: usize, packing| {
        let frontier = Fingerprint::of(&bytes[..length]);
        let (id, key, head) = (ContentId(1), FileKey::default(), Fingerprint::of(&bytes[..1_024]));
        Row::of_old_row(id, key, LIVE.into(), position, head, end, frontier, 10, 1, packing).state
    };
    let gzip = Some(crate::Packing::Gzip);
    assert_eq!(state(2_000, 2_000, 0, gzip), SavedState::Finished);
    for (position, end, length, packing) in [(0, 0, 0, gzip), (2_000, 1_000, 0, gzip), (2_000, 2_000, 9, gzip)] {
        assert_eq!(state(position, end, length, packing), SavedState::Followed);
    }
    assert_eq!(state(2_000, 2_000, 0, None), SavedState::Followed);
}

/// The same beside each other: as the first file is still there, the second may be another with the same header.
#[test]
fn two_files_that_are_one_equal_line_are_both_sent() {
    let header = [noise(1, 600), b"\n".to_vec()].concat();
    let mut world = World::new(all);
    world.fs.create(LIVE, &header);
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.other", &header);
    world.run_for(20_000);
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
}

/// A file with the same first KiB and other bytes behind it is another, where no line end within the first KiB says that it
/// may be the same up to there.
#[test]
fn what_has_only_half_of_a_first_line_in_common_is_another_file() {
    let whole = [noise(1, 3_000), b"\n".to_vec(), text('x', 0..100)].concat();
    let other = [whole[..1_100].to_vec(), noise(2, 8_000)].concat();
    let proof = proof_of(&whole, &[2_000]);
    let read = whole.len() as u64;
    assert_eq!(proof.against(read, &sample_of(&other, proof.ranges(read, 0))), Verdict::Other);
}

/// A copy under any name may be on its way: what was a stranger when half of it was there is looked at again when it grows.
#[test]
fn a_copy_that_comes_in_two_parts_is_found() {
    let mut world = World::new(only_live);
    world.fs.folder("/l/old");
    read_but_for_its_end(&mut world);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(1_000);
    world.fs.create("/l/old/some-name", &text('x', 0..30));
    world.run_for(5_000);
    world.fs.append("/l/old/some-name", &text('x', 30..80));
    world.run_for(20_000);
    world.expect('x', 0..80);
    world.expect('y', 0..50);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// A log was written anew with the same beginning, and longer than before: the bytes before the position tell, which come
/// with each read.
#[test]
fn a_log_that_was_written_anew_and_longer_with_the_same_beginning_is_read_anew() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &[text('h', 0..30), text('x', 0..100)].concat());
    world.start();
    world.run_for(500);
    world.fs.overwrite(LIVE, &[text('h', 0..30), text('y', 0..200)].concat());
    world.run_for(20_000);
    world.expect('x', 0..100);
    world.expect('y', 0..200);
}

/// Of a short log that was cut nothing proves that it is still the same: it is sent again, and that is said.
#[test]
fn a_short_log_that_was_cut_is_sent_again_and_that_is_said() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..12));
    world.start();
    world.run_for(500);
    world.fs.truncate(LIVE, text('x', 0..7).len());
    world.run_for(20_000);
    let said = |notice: &Notice| matches!(notice, Notice::ReadAgain { reason: Again::CutInDoubt, .. });
    assert_eq!(world.said(said), 1, "{:?}", world.notices);
    assert_eq!(count_of(&world, &text('x', 0..12)), [2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
}

/// A copy that ends before the log does, and not where anything is remembered of that: its end is compared with the log's.
#[test]
fn a_shorter_copy_beside_a_log_is_not_sent() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &text('x', 0..150));
    world.run_for(20_000);
    world.expect('x', 0..200);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// The same under the name of a rotation: a copy that is still being made is waited for, as what there is of it could be sent
/// again.
#[test]
fn a_rotation_that_is_still_being_copied_is_waited_for() {
    let mut world = World::new(only_live);
    read_but_for_its_end(&mut world);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(300);
    world.fs.create("/l/a.log.1", &text('x', 0..30));
    for step in 3..8 {
        world.run_for(700);
        world.fs.append("/l/a.log.1", &text('x', step * 10..step * 10 + 10));
    }
    world.run_for(30_000);
    world.expect('x', 0..80);
    world.expect('y', 0..50);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

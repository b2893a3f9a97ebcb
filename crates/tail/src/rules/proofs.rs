//! What is remembered of bytes that were read, how much of it is kept, and from which byte on it proves something.
//! Promises each bound of the evidence, to the byte.
//! Leaves what an operator sees of it to `evidence`.

use super::evidence::{noise, proof_of, sample_of};
use crate::Fingerprint;
use crate::proof::{Boundary, Proof, Verdict, WINDOW, Weight};
use crate::worlds::text;

/// Lines of this length, newline included, that do not repeat themselves.
fn lines(length: usize, numbers: std::ops::Range<u64>) -> Vec<u8> {
    numbers.flat_map(|seed| [noise(seed, length - 1), b"\n".to_vec()].concat()).collect()
}

#[test]
fn two_lines_of_256_bytes_prove_something_and_of_one_byte_less_nothing() {
    for (length, expected) in [(255, Weight::Doubt), (256, Weight::Fair)] {
        let bytes = [lines(128, 0..1), lines(length - 128, 1..2)].concat();
        let (proof, end) = (proof_of(&bytes, &[]), length as u64);
        assert_eq!(proof.weight_at(end), expected);
        // Each of both alone: the bytes before the end, and the beginning.
        let upto = proof.line_upto(end, &sample_of(&bytes, proof.ranges(end, 0)));
        assert_eq!(upto, (length == 256).then_some((256, expected)).or(Some((end, Weight::Doubt))));
        assert_eq!(Proof::of_beginning(&bytes).weight_at(end), expected);
    }
}

#[test]
fn a_beginning_proves_nothing_of_what_was_read_behind_it() {
    let bytes = lines(100, 0..10);
    let proof = Proof::of_beginning(&bytes[..1_000]);
    assert_eq!([999, 1_000, 1_001].map(|read| proof.weight_at(read)), [Weight::Strong, Weight::Strong, Weight::Doubt]);
}

/// A comment begins with `#`; a line that has one somewhere does not.
#[test]
fn two_lines_and_eight_count_from_their_last_byte_on() {
    let bytes: Vec<u8> =
        (0..9).map(|number| format!("# comment {number}\nerror #{number} # twice\n")).collect::<String>().into_bytes();
    let pair = b"# comment 0\nerror #0 # twice\n".len() as u32;
    for ends in [&[][..], &[5, 20, 40, 100]] {
        let proof = proof_of(&bytes, ends);
        assert_eq!((proof.fair_from, proof.strong_from), (2 * pair, 8 * pair), "{ends:?}");
    }
}

#[test]
fn the_generation_of_a_file_is_its_first_line_with_its_end() {
    let expected = Fingerprint::of(b"first line\n").hash;
    for ends in [&[][..], &[4], &[11]] {
        assert_eq!(proof_of(b"first line\nand another\n", ends).generation, expected, "{ends:?}");
    }
    assert_eq!(proof_of(b"first line", &[4]).generation, 0, "it is not whole");
    let endless = noise(1, 3_000);
    assert_eq!(proof_of(&endless, &[]).generation, Fingerprint::of(&endless[..1_024]).hash);
}

/// Where a periodic log repeats within 8 KiB its end may be that of any period.
#[test]
fn an_end_that_stood_within_the_last_8_kib_proves_nothing() {
    for (period, expected) in [(2_000, Weight::Doubt), (7_000, Weight::Doubt), (9_000, Weight::Strong)] {
        let bytes = lines(100, 0..period / 100).repeat(2);
        assert_eq!(proof_of(&bytes, &[]).weight_at(bytes.len() as u64), expected, "{period}");
    }
}

#[test]
fn boundaries_lie_at_the_line_ends_before_powers_of_two_and_then_every_64_kib() {
    let bytes = text('x', 0..9_000);
    let line_before = |place: usize| bytes[..place].iter().rposition(|byte| *byte == b'\n').unwrap() as u64 + 1;
    let powers = (8..16).map(|power| 1 << power);
    let grid = (1..).map(|number| number * 64 * 1_024).take_while(|place| *place < bytes.len());
    let expected: Vec<u64> = powers.chain(grid).map(line_before).chain([bytes.len() as u64]).collect();
    let found: Vec<u64> = proof_of(&bytes, &[]).boundaries().iter().map(|boundary| boundary.end).collect();
    assert_eq!(found, expected);
    // Where reading ends at such a place all that is known is of the longest stretch.
    let bytes = lines(128, 0..4);
    let found: Vec<(u64, u16)> = proof_of(&bytes, &[]).boundaries().iter().map(|it| (it.end, it.length)).collect();
    assert_eq!(found, [(256, 256), (512, 512)]);
}

/// A question has sixteen ranges. Of a long log the newest are asked for, and the beginning.
#[test]
fn a_question_about_a_long_log_is_about_its_beginning_and_its_newest_bytes() {
    let bytes = text('x', 0..20_000);
    let (proof, read) = (proof_of(&bytes, &[]), bytes.len() as u64);
    let many = proof.ranges(read, 0);
    assert!(proof.boundaries().len() > 16);
    assert_eq!((many.len(), &many[0], &many[15]), (16, &(0..WINDOW), &(read - WINDOW..read)));
    let few = proof.ranges(read, 3);
    assert_eq!((few.len(), &few[0], &few[1..]), (13, &(0..WINDOW), &many[4..]));
    // What was not asked for is not asked for again: the log that is there now begins alike.
    let other = [&bytes[..1_024], &text('y', 0..20_000)].concat();
    let up_to = bytes[..1_024].iter().rposition(|byte| *byte == b'\n').unwrap() as u64 + 1;
    let expected = Verdict::Prefix { up_to, weight: Weight::Strong, diverged: true };
    assert_eq!(proof.against(read, &sample_of(&other, many.clone())), expected);
    // But without the newest nothing can be said.
    assert_eq!(proof.against(read, &sample_of(&bytes, many[..15].to_vec())), Verdict::Need(many));
}

#[test]
fn a_file_that_is_shorter_than_what_is_known_of_the_beginning_is_judged_by_256_bytes_of_it() {
    let bytes = [lines(3_000, 0..1), text('x', 0..100)].concat();
    let (proof, read) = (proof_of(&bytes, &[]), bytes.len() as u64);
    let verdict = |bytes: &[u8]| proof.against(read, &sample_of(bytes, proof.ranges(read, 0)));
    let begun = Verdict::Prefix { up_to: 0, weight: Weight::Doubt, diverged: false };
    assert_eq!([256, 600, 1_023].map(|length| verdict(&bytes[..length])), [begun.clone(), begun.clone(), begun]);
    assert_eq!(verdict(&bytes[..255]), Verdict::Other);
    assert_eq!(verdict(&noise(7, 600)), Verdict::Other);
}

/// What a log is found by must be the same while it grows: its first 256 bytes, and from 1,024 on all of these.
#[test]
fn a_log_is_found_by_a_beginning_that_does_not_grow() {
    let bytes = text('x', 0..40);
    let of = |length: usize| Some(Fingerprint::of(&bytes[..length]));
    let keys = |length: usize| proof_of(&bytes[..length], &[]).keys();
    assert_eq!(keys(255), [of(255), None]);
    assert_eq!([256, 600, 1_023].map(keys), [[None, of(256)]; 3]);
    assert_eq!([1_024, 1_500].map(keys), [[of(1_024), of(256)]; 2]);
}

/// A log is cut: of its beginning remains what there is a hash of.
#[test]
fn a_beginning_that_is_cut_is_known_by_its_first_256_bytes_or_not_at_all() {
    let bytes = text('x', 0..40);
    let head_after = |mut proof: Proof, read: u64| {
        proof.cut(read);
        (proof.head.length as usize, proof.begins(&bytes))
    };
    let whole = || proof_of(&bytes, &[]);
    assert_eq!(head_after(whole(), 1_024), (1_024, true));
    assert_eq!([1_023, 256].map(|read| head_after(whole(), read)), [(256, true); 2]);
    assert_eq!(head_after(whole(), 255), (0, true));
    // A row of the format before has no hash of the first 256.
    let old = Proof::of_old_row(Fingerprint::of(&bytes[..1_024]), 1_500, Fingerprint::of(&bytes[476..1_500]));
    assert_eq!(head_after(old, 500), (0, true));
}

/// What comes after the cut makes it certain again.
#[test]
fn a_log_that_was_cut_to_a_few_lines_and_grows_is_as_certain_as_before() {
    let bytes = lines(100, 0..20);
    let mut proof = proof_of(&bytes, &[]);
    proof.cut(300);
    assert_eq!((proof.fair_from, proof.strong_from), (200, 0));
    let other = [&bytes[..300], &lines(100, 50..70)].concat();
    proof.advance(0, 300, &other);
    // Rather too late than too early: two lines are counted of what was there.
    assert_eq!((proof.fair_from, proof.strong_from, proof.weight_at(2_300)), (200, 900, Weight::Strong));
}

/// A log that is followed from its end: its beginning and its last KiB are known, and no line counts twice.
#[test]
fn lines_at_both_ends_of_a_log_that_is_followed_from_its_end_count_once() {
    let followed = |bytes: &[u8]| {
        let read = bytes.len() as u64;
        let sample = sample_of(bytes, vec![0..WINDOW, read.saturating_sub(WINDOW)..read]);
        Proof::from_sample(&sample, read).weight_at(read)
    };
    let header = lines(3_000, 0..1);
    assert_eq!(followed(&[header.clone(), lines(100, 1..11)].concat()), Weight::Strong);
    assert_eq!(followed(&[header, lines(400, 1..4)].concat()), Weight::Fair);
    assert_eq!(followed(&lines(240, 0..5)), Weight::Fair, "four of them are in the beginning and in the end");
    let mut nothing = Proof::default();
    nothing.take_frontier(&sample_of(b"some", vec![0..WINDOW, 0..0]), 0);
    assert_eq!(nothing, Proof::default());
}

/// A proof with boundaries at these positions, and which of them are left.
fn thinned(ends: impl Iterator<Item = u64>, settled: u64, idle: bool) -> Vec<u64> {
    let boundary = |end| Boundary { end, hash: end, length: 100, unique: true, line: true };
    let boundaries = ends.map(boundary).collect();
    let mut proof = Proof::of_parts(Fingerprint::default(), 0, 0, (0, 0), 0, boundaries);
    proof.thin(settled, idle);
    proof.boundaries().iter().map(|boundary| boundary.end).collect()
}

/// Ten thousand idle logs remember eight places each, the nearer to the end the closer: a log that is cut is known by one of
/// them, and at most a third of what is left is sent again.
#[test]
fn of_what_is_settled_eight_places_are_kept_the_nearer_to_the_end_the_closer() {
    let far = [12_000, 18_000, 27_000, 41_000, 62_000, 94_000, 142_000, 214_000];
    let every = |most: u64| (1..=most).map(|number| number * 1_000);
    let kept = thinned(every(214), 214_000, true);
    assert_eq!(kept, far);
    // Few, and close to each other.
    assert_eq!(thinned([100, 200, 299, 300].into_iter(), 300, true), [100, 200, 300]);
    // While it is read, all are kept as long as there are not many.
    let all: Vec<u64> = every(48).collect();
    assert_eq!(thinned(every(48), 48_000, false), all);
    assert!(thinned(every(49), 49_000, false).len() <= 8);
}

/// What is not settled may be where the next life begins, so of that more is kept: all of it, or every second place and the
/// last.
#[test]
fn of_what_is_not_settled_every_second_place_is_kept_once_there_are_many() {
    let every = |most: u64| (1..=most).map(|number| number * 1_000);
    // Five of these are settled, and four of them are kept.
    let settled = [1_000, 2_000, 3_000, 5_000];
    let expected = |unsettled: Vec<u64>| [&settled[..], &unsettled].concat();
    let behind = |from: u64, most: u64| (from..=most).map(|number| number * 1_000).collect::<Vec<u64>>();
    assert_eq!(thinned(every(30), 5_000, true), expected(behind(6, 30)), "30 are not many");
    assert_eq!(thinned(every(49), 5_000, false), expected(behind(6, 49)), "44 and 4 are not many");
    let second = |most: u64| (7..=most).step_by(2).map(|number| number * 1_000).collect::<Vec<u64>>();
    assert_eq!(thinned(every(51), 5_000, false), expected(second(51)));
    assert_eq!(thinned(every(52), 5_000, false), expected([second(52), vec![52_000]].concat()));
}

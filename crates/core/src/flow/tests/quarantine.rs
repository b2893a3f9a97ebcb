//! Records that the service refuses for good, while the quarantine cannot keep them.

use super::*;

/// A flow that has found a bad record, and waits for the quarantine to keep it.
fn with_a_bad_record() -> Bench {
    let mut bench = Bench::firehose();
    bench.write(&lines(3, &[1]));
    bench.now += SECOND;
    bench.step(Input::Tick);
    while bench.keeping.is_empty() {
        let (id, records) = bench.calls.pop_front().unwrap();
        bench.step(Input::Answered(id, refuses_bad(&records)));
    }
    while let Some((id, _)) = bench.calls.pop_front() {
        bench.step(Input::Answered(id, Answer::Accepted));
    }
    bench
}

/// A full disk is not helped by being written to all the time, and one line in the log is enough.
#[test]
fn a_quarantine_that_fails_is_tried_less_and_less_and_reported_once() {
    let mut bench = with_a_bad_record();
    let end = bench.now + SECOND * 3_600;
    let mut attempts = 0;
    while bench.now < end {
        while let Some((id, _)) = bench.keeping.pop_front() {
            attempts += 1;
            bench.step(Input::Quarantined(id, Err("disk full".to_owned())));
        }
        bench.now = bench.core.next_deadline(bench.now).unwrap();
        bench.step(Input::Tick);
    }
    assert!((80..200).contains(&attempts), "{attempts} attempts in an hour");
    let about = |bench: &Bench| -> Vec<Notice> {
        let is_about = |it: &&Notice| matches!(it, Notice::QuarantineFailed { .. } | Notice::QuarantineWorks);
        bench.notices.iter().filter(is_about).cloned().collect()
    };
    let reason = "disk full".to_owned();
    assert_eq!(about(&bench), [Notice::QuarantineFailed { reason: reason.clone() }]);
    bench.live(SECOND * 120, |_| Answer::Accepted);
    assert_eq!(about(&bench), [Notice::QuarantineFailed { reason }, Notice::QuarantineWorks]);
    assert_eq!((bench.quarantined.concat(), bench.committed), ("bad1\n".to_owned(), bench.read));
}

/// The plan sets no memory aside for it.
#[test]
fn a_record_that_waits_for_the_quarantine_counts_as_memory_until_it_is_kept() {
    let mut bench = with_a_bad_record();
    bench.core.packer.rest();
    let held = bench.core.memory();
    assert!(held > 8, "{held}");
    assert!(!bench.core.is_drained() && bench.core.pending() == 5);
    let (id, _) = bench.keeping.pop_front().unwrap();
    bench.step(Input::Quarantined(id, Ok(())));
    bench.core.packer.rest();
    assert_eq!(bench.core.memory(), 0);
    assert!(bench.core.is_drained());
}

//! When a flow counts as one that falls behind: to the byte and to the second.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const LEAST: u64 = 8 << 20;

/// How often a flow was reported as behind whose backlog was of these sizes at the end of each minute.
fn reports(backlogs: &[u64]) -> usize {
    let mut bench = Bench::firehose();
    for bytes in backlogs {
        bench.core.set_backlog(*bytes, *bytes, 0);
        bench.step(Input::Tick);
        bench.now += MINUTE;
        bench.step(Input::Tick);
    }
    told_behind(&bench).len()
}

#[test]
fn a_flow_falls_behind_when_its_backlog_of_8_mib_or_more_grew_in_two_minutes_in_a_row() {
    for (backlogs, expected) in [
        (&[LEAST][..], 0),
        (&[LEAST, LEAST + 1], 1),
        (&[LEAST - 1, LEAST], 0),
        (&[LEAST - 1, LEAST, LEAST + 1], 1),
        (&[LEAST, LEAST, LEAST + 1], 0),
        (&[LEAST, LEAST, LEAST + 1, LEAST + 2], 1),
        (&[LEAST + 2, LEAST + 1, LEAST], 0),
    ] {
        assert_eq!(reports(backlogs), expected, "{backlogs:?}");
    }
}

/// A minute that is not over says nothing.
#[test]
fn a_backlog_is_looked_at_each_minute_and_the_flow_wakes_for_that_where_there_is_one() {
    let mut bench = Bench::firehose();
    let begin = bench.now;
    bench.core.set_backlog(LEAST - 1, 0, 0);
    assert_eq!(bench.core.next_deadline(begin), None);
    bench.core.set_backlog(LEAST, LEAST, 0);
    assert_eq!(bench.core.next_deadline(begin), Some(begin + MINUTE));
    bench.now += MINUTE - SECOND;
    bench.step(Input::Tick);
    assert_eq!(bench.core.next_deadline(bench.now), Some(begin + MINUTE));
    bench.now += SECOND;
    bench.step(Input::Tick);
    bench.core.set_backlog(LEAST + 1, LEAST + 1, 0);
    assert_eq!(bench.core.next_deadline(bench.now), Some(begin + MINUTE * 2));
    bench.now += MINUTE;
    bench.step(Input::Tick);
    assert_eq!(told_behind(&bench), [Stage::Disk]);
    // Until it has caught up, however little is left.
    bench.core.set_backlog(2 << 20, 0, 0);
    assert_eq!(bench.core.next_deadline(bench.now), Some(begin + MINUTE * 3));
    bench.core.set_backlog(0, 0, 0);
    bench.step(Input::Tick);
    assert_eq!(bench.core.next_deadline(bench.now), None);
}

/// What limits a flow may change; each is reported, but not more than once in ten minutes.
#[test]
fn another_limit_is_reported_ten_minutes_after_the_first_and_the_same_is_not() {
    let mut bench = Bench::firehose();
    let mut backlog = LEAST;
    let mut grow = |bench: &mut Bench, minutes: u32| {
        for _ in 0..minutes {
            backlog += 1;
            bench.core.set_backlog(backlog, backlog, 0);
            bench.step(Input::Tick);
            bench.now += MINUTE;
            bench.step(Input::Tick);
        }
    };
    grow(&mut bench, 2);
    assert_eq!(told_behind(&bench), [Stage::Disk]);
    // From here on a call is under way that is not answered, and the next waits for it.
    bench.write(&lines(1_500, &[]));
    grow(&mut bench, 9);
    assert_eq!(told_behind(&bench), [Stage::Disk]);
    grow(&mut bench, 1);
    assert_eq!(told_behind(&bench), [Stage::Disk, Stage::Network]);
    grow(&mut bench, 30);
    assert_eq!(told_behind(&bench), [Stage::Disk, Stage::Network]);
    let shares = bench.notices.iter().filter_map(|notice| match notice {
        Notice::Behind { share, bytes, destroyed, .. } => Some((*share, *bytes, *destroyed)),
        _ => None,
    });
    assert_eq!(shares.collect::<Vec<_>>(), [(100, LEAST + 2, 0), (100, LEAST + 12, 0)]);
}

/// The quarantine writes to the disk; without room there, the flow does not wait for memory.
#[test]
fn a_flow_that_waits_for_its_quarantine_waits_for_the_disk() {
    let options = serde_json::json!([{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}]);
    let options = datalake_process::Settings::parse_with(&options, datalake_process::OnFailure::Quarantine).unwrap();
    let surroundings = datalake_process::Surroundings {
        host: "host".to_owned(),
        variables: BTreeMap::new(),
        instance: None,
        max_record_bytes: 1_000,
    };
    let mut bench = Bench::firehose();
    bench.core = bench.core.with_processor(datalake_process::Processor::new(&options, &surroundings).unwrap());
    bench.write(&format!("{:0>899}\n", 0).repeat(300));
    assert!(!bench.core.has_room());
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert_eq!(bench.core.limits().of(Stage::Disk), SECOND);
}

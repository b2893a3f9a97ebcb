//! A thousand hosts behind one stream, by simulation: the real pace and the real retry delays against quotas as AWS sets them.
//!
//! Checked in every world, after the time in which what was sealed before the first refusal goes out:
//! * shares: Jain's index of what was accepted of the hosts that always have something to send is 0.95 at least;
//! * goodput: what is accepted is 0.9 of the quota at least;
//! * waves: no second has more than twice the mean of calls, and the calls a second have no autocorrelation above 0.25 at any
//!   lag from 5 s to 2 min, with a mean that is followed over 10 min.
//!
//! `FLEET_SEED=n` lives other worlds. `UPDATE_SIZING=1` writes the table of `docs/sizing.md`.

#![expect(clippy::print_stdout, reason = "what was measured is shown with what failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "a world starts from the clock, is chosen by the environment, and reads a document"
)]

mod fleet {
    pub(super) mod sizing;
    pub(super) mod world;
}

use fleet::sizing::{self, FIREHOSE, FIREHOSE_ELSEWHERE, Fleet, GOODPUT, SHARD};
use fleet::world::{Load, Quota, World, jain, wave};
use std::path::Path;
use std::time::Instant;

/// Lines in records that are as large as they may be, an endless supply of them.
const PACKED: Load = Load { backlog: 1e15, rate: 0.0, record: 1_024_000, records: 4, max_age: 60.0, begins: 0.0 };
/// Each line a record, ten at a time in the simulation, which is quicker.
const LINES: Load = Load { record: 1_130, records: 50, ..PACKED };
/// Aggregates for Kinesis.
const AGGREGATED: Load = Load { record: 51_200, records: 100, ..PACKED };
const LEAST_JAIN: f64 = 0.95;

fn seed() -> u64 {
    let seed = std::env::var("FLEET_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("FLEET_SEED={seed}");
    seed
}

fn world(quota: &Quota, loads: &[Load]) -> World {
    World::new(quota, loads, Instant::now(), seed())
}

/// What was seen from one second to another.
#[derive(Debug)]
struct Report {
    jain: f64,
    /// Accepted, and sent, over the quota.
    goodput: f64,
    offered: f64,
    /// The most calls of a second over the mean.
    peak: f64,
    /// The greatest autocorrelation, and its lag.
    wave: (f64, usize),
}

/// Lives on from `from` to `to`; the shares are those of these hosts.
fn observe(world: &mut World, quota: &Quota, hosts: std::ops::Range<usize>, from: usize, to: usize) -> Report {
    world.run_until(from as f64);
    let before: Vec<f64> = world.hosts[hosts.clone()].iter().map(|host| host.accepted).collect();
    world.run_until(to as f64);
    let shares: Vec<f64> = world.hosts[hosts].iter().zip(before).map(|(host, before)| host.accepted - before).collect();
    let capacity = quota.bytes * quota.shards as f64 * (to - from) as f64;
    let arrivals = &world.arrivals[from..to];
    let mean = f64::from(arrivals.iter().sum::<u32>()) / arrivals.len() as f64;
    let report = Report {
        jain: jain(&shares),
        goodput: world.taken[from..to].iter().sum::<f64>() / capacity,
        offered: world.offered[from..to].iter().sum::<f64>() / capacity,
        peak: f64::from(arrivals.iter().copied().max().unwrap_or(0)) / mean,
        wave: wave(arrivals, 5, 120),
    };
    println!("{from} s to {to} s, {mean:.0} calls a second: {report:.3?}");
    report
}

#[track_caller]
fn is_fair(report: &Report) {
    assert!(report.jain >= LEAST_JAIN, "{report:?}");
    is_used_without_waves(report);
}

#[track_caller]
fn is_used_without_waves(report: &Report) {
    assert!(report.goodput >= GOODPUT, "{report:?}");
    assert!(report.peak <= 2.0 && report.wave.0 <= 0.25, "{report:?}");
}

/// The rate that was cut by a fifth and grew by shares of itself kept whatever inequality hosts began with.
#[test]
fn a_thousand_hosts_that_come_back_at_once_share_a_delivery_stream_evenly_and_without_waves() {
    let mut world = world(&FIREHOSE, &vec![PACKED; 1_000]);
    // Each has sealed a call of 4 MB before it knew: 13 minutes of the quota.
    let report = observe(&mut world, &FIREHOSE, 0..1_000, 1_800, 5_400);
    is_fair(&report);
    assert!(report.offered < 1.5, "more is sent in vain than need be: {report:?}");
}

#[test]
fn a_thousand_hosts_share_the_small_quota_of_most_regions() {
    let mut world = world(&FIREHOSE_ELSEWHERE, &vec![LINES; 1_000]);
    is_fair(&observe(&mut world, &FIREHOSE_ELSEWHERE, 0..1_000, 1_800, 7_200));
}

#[test]
fn a_thousand_hosts_share_the_shards_of_a_stream() {
    let quota = Quota { shards: 10, ..SHARD };
    let mut world = world(&quota, &vec![AGGREGATED; 1_000]);
    is_fair(&observe(&mut world, &quota, 0..1_000, 1_200, 4_800));
}

/// A few hosts with large rates use the quota too. They are refused so seldom that their shares even out over hours only, so
/// nothing is said about those of ten.
#[test]
fn one_host_ten_and_a_hundred_use_the_quota() {
    for hosts in [1, 10, 100] {
        let mut world = world(&FIREHOSE, &vec![PACKED; hosts]);
        let report = observe(&mut world, &FIREHOSE, 0..hosts, 1_200, 4_800);
        is_used_without_waves(&report);
        assert!(hosts == 10 || report.jain >= LEAST_JAIN, "{report:?}");
    }
}

/// A bucket takes the last record whole that it has any room for, so large records have an advantage that no pace can take
/// from them: among hosts of one form shares are even, and no form goes hungry.
#[test]
fn hosts_with_records_of_every_size_get_along() {
    let forms = [PACKED, LINES, AGGREGATED, Load { record: 5_000, records: 500, ..PACKED }];
    let loads: Vec<Load> = (0..400).map(|index| forms[index / 100]).collect();
    let mut world = world(&FIREHOSE, &loads);
    is_used_without_waves(&observe(&mut world, &FIREHOSE, 0..400, 1_800, 5_400));
    let mean = world.hosts.iter().map(|host| host.accepted).sum::<f64>() / 400.0;
    for (index, hosts) in world.hosts.chunks(100).enumerate() {
        let shares: Vec<f64> = hosts.iter().map(|host| host.accepted).collect();
        let share = shares.iter().sum::<f64>() / 100.0 / mean;
        println!("form {index}: {share:.2} of an equal share, Jain {:.3}", jain(&shares));
        assert!(share > 0.3 && jain(&shares) > 0.9);
    }
}

/// Who needs less than an equal share gets it; the others share the rest.
#[test]
fn hosts_that_need_little_get_it_and_the_others_share_the_rest() {
    let light = |index: usize| Load { backlog: 0.0, rate: 750.0 + index as f64, ..PACKED };
    let loads: Vec<Load> = (0..500).map(light).chain((0..500).map(|_| PACKED)).collect();
    let mut world = world(&FIREHOSE, &loads);
    let report = observe(&mut world, &FIREHOSE, 500..1_000, 1_800, 5_400);
    is_fair(&report);
    let served: f64 = world.hosts[..500].iter().map(|host| host.accepted).sum::<f64>() / (500.0 * 1_000.0 * 5_400.0);
    assert!(served > 0.95, "{served} of what light hosts wrote was accepted");
}

/// A fleet that was taught a small rate uses a quota that was raised, and the other way round.
#[test]
fn a_quota_that_changes_is_found_again() {
    let mut world = world(&FIREHOSE, &vec![LINES; 100]);
    is_fair(&observe(&mut world, &FIREHOSE, 0..100, 900, 3_600));
    world.set_quota(&FIREHOSE_ELSEWHERE);
    is_fair(&observe(&mut world, &FIREHOSE_ELSEWHERE, 0..100, 4_500, 8_100));
    world.set_quota(&FIREHOSE);
    is_fair(&observe(&mut world, &FIREHOSE, 0..100, 9_900, 13_500));
}

/// An hour without the service: what `docs/sizing.md` promises about the time after it.
#[test]
fn an_hour_without_the_service_is_made_good_in_the_time_that_the_document_says() {
    for (hosts, each) in [(100, 35_000.0), (1_000, 3_500.0)] {
        let fleet = Fleet { hosts: hosts as f64, each };
        let expected = fleet.recovery(&FIREHOSE, 1.0);
        let load = Load { backlog: each * 3_600.0, rate: each, ..PACKED };
        let mut world = world(&FIREHOSE, &vec![load; hosts]);
        world.run_until(expected);
        let waiting: f64 = world.hosts.iter().map(|host| host.waiting()).sum();
        let usual = fleet.hosts * each * 120.0;
        println!("{hosts} hosts: after {expected:.0} s {:.1} MB wait", waiting / 1e6);
        assert!(waiting <= usual, "{hosts} hosts are not up to date after {expected} s: {waiting} bytes wait");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let live = || {
        let mut world = world(&FIREHOSE, &vec![LINES; 50]);
        world.run_until(300.0);
        (world.arrivals, world.hosts.iter().map(|host| host.accepted.to_bits()).collect::<Vec<_>>())
    };
    assert_eq!(live(), live());
}

#[test]
fn the_table_of_the_document_is_what_the_model_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sizing.md");
    let text = std::fs::read_to_string(&path).expect("the document is there");
    let (begin, end) = ("<!-- sizing: begin -->\n", "<!-- sizing: end -->");
    let from = text.find(begin).expect("the document has the mark") + begin.len();
    let to = text.find(end).expect("the document has the mark");
    let table = sizing::table();
    if std::env::var_os("UPDATE_SIZING").is_some() {
        std::fs::write(&path, [&text[..from], &table, &text[to..]].concat()).expect("the document can be written");
    } else {
        assert_eq!(&text[from..to], table, "UPDATE_SIZING=1 writes it");
    }
}

//! The real agent killed at random moments while files are written and rotated and while the service misbehaves.
//! Promises an external count of every line: none missing, and no more duplicates than what a kill may leave unsaved.
//! Leaves what single faults and single rotations do to their own suites. `KILL_ROUNDS` is the number of kills in all,
//! `SEED` repeats a run's decisions, `KILL_FAULTS=0` leaves the faults of the service out and lets lives last 0.3 to 2 s;
//! then no more than a few lines are duplicated of calls whose answer the agent had read.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;
#[path = "support/sink.rs"]
mod sink;
#[path = "support/writer.rs"]
mod writer;

use host::{Host, PATIENCE, holds_within, say};
use local_lake::FaultPlan;
use serde_json::json;
use sink::Sink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use writer::{Rotation, Writers};

/// Kills over all scenarios unless `KILL_ROUNDS` says otherwise.
const KILLS: u64 = 56;
/// Scenarios the kills are spread over.
const SCENARIOS: u64 = 8;
const STREAM: &str = "killed";
const WRITERS: usize = 3;

/// How far what a transaction saves may lag behind what the service had accepted when it was written: positions are
/// turned into rows every half second; the rest is for the answer's way back and for machines that are busy.
const SAVED_LAG: Duration = Duration::from_secs(2);

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What goes wrong in the second half of every scenario.
fn faults(seed: u64) -> FaultPlan {
    FaultPlan {
        seed,
        throttle: 0.08,
        partial: 0.15,
        partial_share: 0.4,
        reset: 0.06,
        answer_lost: 0.06,
        internal_failure: 0.05,
        bad_gateway: 0.03,
        unavailable: 0.03,
        latency: Some((Duration::ZERO, Duration::from_millis(30))),
        ..FaultPlan::default()
    }
}

/// When the newest transaction was written to the checkpoint.
fn saved_at(state: &Path) -> SystemTime {
    let changed = |name: &str| std::fs::metadata(state.join(name)).and_then(|status| status.modified()).ok();
    changed("checkpoint.db-wal").or_else(|| changed("checkpoint.db")).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Writes, rotates, kills and restarts; then waits for everything and counts.
///
/// Which lines may a kill duplicate? Those that the service had accepted and the checkpoint did not know of. Positions
/// move over the contiguous prefix only, so these are the lines from the first one on that had not been accepted (by a
/// call whose answer got through) when the newest transaction began to be made up, which is at most [`SAVED_LAG`]
/// before it was written. That holds for all that was in flight as well: up to one call of each `maxConcurrentRequests`
/// and the one that is being filled. On top of the kills, each call whose answer was lost is sent once more.
fn scenario(name: &str, rotation: Rotation, pattern: &str) {
    let seed = from_environment("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let kills = from_environment("KILL_ROUNDS").unwrap_or(KILLS).div_ceil(SCENARIOS).max(2);
    say(&format!("{name}: SEED={seed}, {kills} kills"));
    let mut random = fastrand::Rng::with_seed(seed);
    // Small records, so that a call can fail in part.
    let small = json!({"aggregatedRecordSizeBytes": 2048});
    // Without faults of the service, and with lives as long as the promise about duplicates names: for their share.
    let calm = from_environment("KILL_FAULTS") == Some(0);
    let host = Host::new().flow(pattern, STREAM, small);
    let sink = Arc::new(Sink::new(STREAM, WRITERS));
    let began = (Instant::now(), now_on_the_wall());
    let writers = Writers::start(&host.logs(), WRITERS, rotation, random.u64(..), sink.clone());
    let mut allowed = 0;
    for kill in 0..kills {
        if kill == kills / 2 && !calm {
            host.lake.faults().set(faults(seed)).unwrap();
            sink.expect_disorder();
        }
        sink.new_life(&host.lake);
        let agent = host.start();
        if kill == 0 {
            // A file that is renamed beyond the pattern before its first row is on disk was never known to anybody.
            until_first_rows(&host, &sink);
            writers.let_rotate();
        }
        let life = match random.u32(..10) {
            _ if calm => random.u64(300..2_000),
            0..3 => random.u64(..100),
            3..7 => random.u64(100..700),
            _ => random.u64(700..2_500),
        };
        sink.watch_for(&host.lake, Duration::from_millis(life));
        agent.kill();
        // Now and then for several rotations.
        let pause = if random.u32(..4) == 0 { random.u64(500..2_000) } else { random.u64(..150) };
        sink.watch_for(&host.lake, Duration::from_millis(pause));
        let since = saved_at(&host.state()).duration_since(began.1).unwrap_or_default();
        let known = began.0 + since.saturating_sub(SAVED_LAG);
        allowed += if since > SAVED_LAG { sink.accepted_beyond(known) } else { sink.distinct() };
    }
    let written = writers.stop();
    host.lake.faults().clear();
    sink.new_life(&host.lake);
    let mut agent = host.start();
    let complete = holds_within(PATIENCE, || {
        sink.update(&host.lake);
        sink.missing(&written) == 0
    });
    let missing = sink.describe_missing(&written);
    assert!(
        complete,
        "SEED={seed}: {name}: after {kills} kills {} lines are missing: {missing}",
        sink.missing(&written)
    );
    assert_eq!(agent.stop(), 0, "SEED={seed}");
    sink.update(&host.lake);
    let (lines, duplicates, lost) = (written.iter().sum::<u64>(), sink.duplicates(), sink.answers_lost());
    say(&format!(
        "{name}: SEED={seed}, {kills} kills, {lines} lines, 0 missing, {duplicates} duplicates of {} allowed, {} rotations",
        allowed + lost,
        writers.rotations()
    ));
    if calm {
        let answered = sink.repeated_though_answered();
        say(&format!("{name}: SEED={seed}, {answered} duplicates of calls whose answer had been read"));
        assert!(answered * 50 <= lines, "SEED={seed}: {name}: {answered} of {lines} lines twice though answered");
    }
    assert!(duplicates <= allowed + lost, "SEED={seed}: {name}: {duplicates} duplicates, {allowed} + {lost} allowed");
    sink.assert_order(&format!("SEED={seed}: {name}"));
}

/// Waits until rows were written that were made up after lines of the files had arrived.
fn until_first_rows(host: &Host, sink: &Sink) {
    let arrived = holds_within(PATIENCE, || {
        sink.update(&host.lake);
        sink.distinct() > 0
    });
    assert!(arrived, "nothing arrives from the very first start");
    let seen = now_on_the_wall();
    assert!(holds_within(PATIENCE, || saved_at(&host.state()) > seen + SAVED_LAG), "no position is ever saved");
}

#[expect(clippy::disallowed_methods, reason = "compared with the times that the file system gives")]
fn now_on_the_wall() -> SystemTime {
    SystemTime::now()
}

/// Two scenarios at once: most of the time each waits.
fn both(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(first);
        scope.spawn(second);
    });
}

#[test]
fn nothing_is_lost_from_files_that_only_grow_or_that_are_deleted_once_delivered() {
    both(
        || scenario("append", Rotation::None, "w*.log"),
        || scenario("delete once delivered", Rotation::DeleteDelivered, "w*.log"),
    );
}

#[test]
fn nothing_is_lost_when_files_are_renamed_and_created_anew() {
    both(
        || scenario("rename, new name matches", Rotation::Rename, "w*.log*"),
        || scenario("rename, new name does not match", Rotation::Rename, "w*.log"),
    );
}

#[test]
fn nothing_is_lost_when_files_are_copied_and_truncated() {
    both(
        || scenario("copytruncate, copy matches", Rotation::CopyTruncate, "w*.log*"),
        || scenario("copytruncate, copy does not match", Rotation::CopyTruncate, "w*.log"),
    );
}

#[test]
fn nothing_is_lost_when_files_are_renamed_and_compressed() {
    both(
        || scenario("compress, archive matches", Rotation::Compress, "w*.log*"),
        || scenario("compress, archive does not match", Rotation::Compress, "w*.log"),
    );
}

//! When the next transaction may be written: what saving costs, against what was delivered.
//! Promises that over time no more is written than a hundredth of the delivered bytes and a little besides, that saving
//! takes no more than half a hundredth of a core, that two transactions are never closer than a few milliseconds, and
//! that none waits longer than a few seconds.
//! Leaves writing and counting to the keeper.

use std::time::{Duration, Instant};

/// Least time between two transactions.
pub(super) const APART: Duration = Duration::from_millis(20);

/// The longest that a transaction is put off, whatever the ones before have cost: it bounds what a crash repeats.
pub(super) const LATEST: Duration = Duration::from_secs(15);

/// After a transaction the next one waits for this many times the processor time that it took: a flow at full speed, whose
/// calls settle every few milliseconds, spends half a hundredth on its positions.
const TIMES_ITS_COST: u32 = 200;

/// The longest wait for that reason: a transaction of many rows must not make a crash repeat more.
const LATEST_BY_COST: Duration = Duration::from_millis(250);

/// Bytes that may be written each second whatever is delivered.
const BASE: u64 = 64 << 10;

/// One byte may be written for this many delivered ones.
const DELIVERED_PER_BYTE: u64 = 100;

/// What was not used is kept up to this many bytes: after a rest the first transactions need not wait.
const MOST_SAVED_UP: i64 = 1 << 20;

/// The account of what saving may cost. Invariant: `left <= MOST_SAVED_UP`.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes that may be written now; negative when more was written than may be.
    left: i64,
    /// Delivered bytes that do not make a whole byte yet.
    rest: u64,
    /// Until when `left` is reckoned.
    reckoned: Instant,
    /// When the newest transaction was written.
    written: Option<Instant>,
    /// The least time from that one to the next.
    apart: Duration,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { left: MOST_SAVED_UP, rest: 0, reckoned: now, written: None, apart: APART }
    }

    /// This many bytes were delivered.
    pub(super) fn delivered(&mut self, bytes: u64) {
        let all = self.rest.saturating_add(bytes);
        self.rest = all % DELIVERED_PER_BYTE;
        self.earn(all / DELIVERED_PER_BYTE);
    }

    /// A transaction was written: its bytes, and the processor time it `took`. What a first start demands is not
    /// `charged`.
    pub(super) fn wrote(&mut self, bytes: u64, took: Duration, charged: bool, now: Instant) {
        self.reckon(now);
        self.written = Some(now);
        self.apart = took.saturating_mul(TIMES_ITS_COST).clamp(APART, LATEST_BY_COST);
        if charged {
            self.left = self.left.saturating_sub_unsigned(bytes);
        }
    }

    /// When the next transaction may be written.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.reckon(now);
        let Some(written) = self.written else { return now };
        let missing = self.left.min(0).unsigned_abs();
        let paid_off = now + Duration::from_millis(missing.saturating_mul(1000).div_ceil(BASE));
        paid_off.clamp(written + self.apart, written + LATEST)
    }

    fn reckon(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.reckoned);
        let earned = BASE.saturating_mul(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)) / 1_000_000;
        if earned > 0 {
            self.reckoned = now;
            self.earn(earned);
        }
    }

    fn earn(&mut self, bytes: u64) {
        self.left = self.left.saturating_add_unsigned(bytes).min(MOST_SAVED_UP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saves as often as it may for so long; returns transactions and bytes.
    fn spend(seconds: u64, each: u64, delivered_per_second: u64) -> (u64, u64) {
        let begun = Instant::now();
        let (mut pace, mut now, mut count) = (Pace::new(begun), begun, 0);
        while now < begun + Duration::from_secs(seconds) {
            pace.wrote(each, Duration::ZERO, true, now);
            count += 1;
            // What is delivered meanwhile may bring the next one forward.
            while now < pace.next(now) {
                now += Duration::from_millis(1);
                pace.delivered(delivered_per_second / 1000);
            }
        }
        (count, count * each)
    }

    #[test]
    fn small_transactions_come_twenty_milliseconds_apart() {
        assert_eq!(spend(10, 1100, 0), (500, 550_000));
    }

    #[test]
    fn over_time_no_more_is_written_than_a_hundredth_of_what_is_delivered_and_a_little() {
        for (each, delivered) in [(4_000, 0), (20_000, 0), (200_000, 10 << 20), (500_000, 100 << 20)] {
            let (count, written) = spend(60, each, delivered);
            let allowed = 60 * ((64 << 10) + delivered / 100) + (1 << 20) + each;
            assert!(written <= allowed, "{each}: {written} of {allowed}");
            let most = (60_000 / 20).min(allowed / each);
            assert!(count >= most * 9 / 10, "{each}: {count} transactions, {most} were possible");
        }
    }

    #[test]
    fn however_much_one_transaction_cost_the_next_comes_within_a_bounded_time() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.wrote(1 << 40, Duration::ZERO, true, now);
        assert_eq!(pace.next(now), now + LATEST);
        let mut first = Pace::new(now);
        first.wrote(1 << 40, Duration::ZERO, false, now);
        assert_eq!(first.next(now), now + APART, "a first start is free");
    }

    #[test]
    fn a_transaction_that_took_long_puts_the_next_one_off_and_a_very_long_one_no_further_than_a_moment() {
        let now = Instant::now();
        for (took, apart) in [(50, APART.as_micros()), (300, 60_000), (1_000, 200_000), (50_000, 250_000)] {
            let mut pace = Pace::new(now);
            pace.wrote(1100, Duration::from_micros(took), true, now);
            assert_eq!((pace.next(now) - now).as_micros(), apart, "{took} µs");
        }
    }
}

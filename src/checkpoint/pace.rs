//! When the next transaction may be written: what saving costs, against what was delivered.
//! Promises that over time no more is written than a hundredth of the delivered bytes and a little besides, that saving
//! takes no more than half a hundredth of a core and a little besides, that two transactions are never closer than a few
//! milliseconds, and that none waits longer than a few seconds.
//! Leaves writing and counting to the keeper.

use std::time::{Duration, Instant};

/// Least time between two transactions.
pub(super) const APART: Duration = Duration::from_millis(20);

/// The longest that a transaction is put off, whatever the ones before have cost: it bounds what a crash repeats.
pub(super) const LATEST: Duration = Duration::from_secs(15);

/// Over time saving takes one part in this many of a core: a flow at full speed, whose calls settle every few milliseconds,
/// spends half a hundredth on its positions.
const TIMES_ITS_COST: i64 = 200;

/// Processor time that was not used is kept up to this: calls that settle occasionally are saved as they settle, and so are
/// those of the first seconds after a start. 50 ms are some two hundred transactions.
const MOST_TIME_SAVED_UP: Duration = Duration::from_millis(50);

/// However much was saved up, the gap between two transactions is at least this many times the cost of the first: where many
/// files move at once, one that changes all their rows costs less than several that change some.
const APART_BY_COST: u32 = 60;

/// Upper bound of that gap.
const APART_AT_MOST: Duration = Duration::from_millis(100);

/// The longest wait for time that was overdrawn: a transaction of many rows must not make a crash repeat more.
const LATEST_BY_COST: Duration = Duration::from_millis(250);

/// Bytes that may be written each second whatever is delivered.
const BASE: u64 = 64 << 10;

/// One byte may be written for this many delivered ones.
const DELIVERED_PER_BYTE: u64 = 100;

/// What was not used is kept up to this many bytes: after a rest the first transactions need not wait.
const MOST_SAVED_UP: i64 = 1 << 20;

/// The accounts of what saving may cost. Invariants: `left <= MOST_SAVED_UP`, `time_left <= MOST_TIME_SAVED_UP`.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes that may be written now; negative when more was written than may be.
    left: i64,
    /// Delivered bytes that do not make a whole byte yet.
    rest: u64,
    /// Until when `left` is reckoned.
    reckoned: Instant,
    /// Nanoseconds of the processor that may be used now; negative when more were used than may be.
    time_left: i64,
    /// Until when `time_left` is reckoned.
    time_reckoned: Instant,
    /// When the newest transaction was written.
    written: Option<Instant>,
    /// How far the next one is from that at least.
    apart: Duration,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: MOST_SAVED_UP,
            rest: 0,
            reckoned: now,
            time_left: nanoseconds(MOST_TIME_SAVED_UP),
            time_reckoned: now,
            written: None,
            apart: APART,
        }
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
        self.apart = APART;
        if charged {
            self.apart = took.saturating_mul(APART_BY_COST).clamp(APART, APART_AT_MOST);
            self.left = self.left.saturating_sub_unsigned(bytes);
            // A debt that no transaction waits for is forgiven.
            let most = nanoseconds(LATEST_BY_COST) / TIMES_ITS_COST;
            self.time_left = self.time_left.saturating_sub(nanoseconds(took)).max(-most);
        }
    }

    /// When the next transaction may be written.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        self.reckon(now);
        let Some(written) = self.written else { return now };
        let missing = self.left.min(0).unsigned_abs();
        let paid_off = now + Duration::from_millis(missing.saturating_mul(1000).div_ceil(BASE));
        let owed = self.time_left.min(0).saturating_mul(TIMES_ITS_COST).unsigned_abs();
        let by_cost = (now + Duration::from_nanos(owed)).min(written + LATEST_BY_COST);
        paid_off.max(by_cost).clamp(written + self.apart, written + LATEST)
    }

    fn reckon(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.reckoned);
        let earned = BASE.saturating_mul(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)) / 1_000_000;
        if earned > 0 {
            self.reckoned = now;
            self.earn(earned);
        }
        let earned = nanoseconds(now.saturating_duration_since(self.time_reckoned)) / TIMES_ITS_COST;
        if earned > 0 {
            self.time_reckoned = now;
            self.time_left = self.time_left.saturating_add(earned).min(nanoseconds(MOST_TIME_SAVED_UP));
        }
    }

    fn earn(&mut self, bytes: u64) {
        self.left = self.left.saturating_add_unsigned(bytes).min(MOST_SAVED_UP);
    }
}

const fn nanoseconds(time: Duration) -> i64 {
    // Three centuries.
    let nanoseconds = time.as_nanos();
    if nanoseconds > i64::MAX as u128 { i64::MAX } else { nanoseconds as i64 }
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

    /// Saves as often as it may during `time`; each transaction takes `took` microseconds of the processor. Returns the number
    /// of transactions.
    fn spend_time(pace: &mut Pace, now: &mut Instant, time: Duration, took: u64) -> u64 {
        let (until, mut count) = (*now + time, 0);
        while *now < until {
            pace.wrote(0, Duration::from_micros(took), true, *now);
            count += 1;
            *now = pace.next(*now);
        }
        count
    }

    /// Each transaction made the next one wait for 200 times its cost. That of a call which settled 50 ms later waited for
    /// up to a quarter of a second, in an agent that had nothing else to do: a kill repeated all that.
    #[test]
    fn calls_that_settle_occasionally_are_saved_at_once_whatever_one_transaction_takes() {
        let begun = Instant::now();
        let (mut pace, mut now) = (Pace::new(begun), begun);
        for call in 0..10_000 {
            assert!(pace.next(now) <= now, "call {call} waits");
            pace.wrote(1100, Duration::from_micros(900), true, now);
            now += Duration::from_millis(200);
        }
        // After a rest, so are many that come closer together.
        now += Duration::from_secs(10);
        let count = spend_time(&mut pace, &mut now, Duration::from_secs(1), 300);
        assert_eq!(count, 50);
    }

    /// Two hundred files at full speed wrote fifty transactions of some rows a second as long as anything was saved up: that
    /// was a fortieth of all that the agent did.
    #[test]
    fn transactions_of_many_rows_are_further_apart_than_those_of_one_and_never_much() {
        for (took, apart) in [(10, 20_000), (333, 20_000), (500, 30_000), (1_500, 90_000), (9_000, 100_000)] {
            let now = Instant::now();
            let mut pace = Pace::new(now);
            pace.wrote(1100, Duration::from_micros(took), true, now);
            assert_eq!(pace.next(now), now + Duration::from_micros(apart), "{took}");
        }
    }

    #[test]
    fn over_time_saving_takes_half_a_hundredth_of_a_core_and_a_very_long_transaction_delays_no_more_than_a_moment() {
        let begun = Instant::now();
        let minute = Duration::from_secs(60);
        for took in [50, 300, 1_000] {
            let (mut pace, mut now) = (Pace::new(begun), begun);
            let used = Duration::from_micros(spend_time(&mut pace, &mut now, minute, took) * took);
            let allowed = minute / 200 + MOST_TIME_SAVED_UP;
            let apart = (took * u64::from(APART_BY_COST)).clamp(20_000, 100_000);
            let possible = minute.as_micros() as u64 / apart * took;
            assert!(used <= allowed + Duration::from_micros(took), "{took} µs: {used:?}");
            assert!(used * 20 / 19 >= allowed.min(Duration::from_micros(possible)), "{took} µs: only {used:?}");
        }
        let (mut pace, mut now) = (Pace::new(begun), begun);
        let count = spend_time(&mut pace, &mut now, minute, 10_000_000);
        assert_eq!(count, 60 * 4, "a quarter of a second apart");
        now += LATEST_BY_COST;
        assert!(pace.next(now) <= now, "and what was owed is forgiven");
    }
}

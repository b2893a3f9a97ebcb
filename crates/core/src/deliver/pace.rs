//! How fast a stream may be fed: the operator's limits, and a limit that follows the service's complaints.
//! Promises never to exceed the operator's rates by more than a tenth of a second and one call, and never to stall.
//! Leaves waiting to the flow's shell and the pause after a failed call to `retry`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Bytes are counted in cells of this many, because the limiter's time step is a whole nanosecond: byte by byte,
/// 5 MiB/s would run 0.4 % too fast.
const CELL: u64 = 1024;
/// What may go at once after a pause: as much as the rate allows in this time.
const BURST: Duration = Duration::from_millis(100);
/// What is left of the rate after a complaint.
const CUT: f64 = 0.8;
/// What is added to the rate in a second without complaint, as a part of the rate that was complained about.
const GROWTH: f64 = 0.04;
/// The learned limit is dropped when it has grown to this many times the rate that was complained about.
const FORGET: f64 = 2.0;
/// Complaints about calls that were under way at the last cut are not complaints about the new rate.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
/// A success counts at most this much time as free of complaint.
const LONGEST_GROWTH: Duration = Duration::from_secs(5);
/// The learned limit never holds a call back for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Memory of the measured rate.
const MEASURED_OVER: Duration = Duration::from_secs(2);

/// Upper limits that the operator set; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bytes before base64.
    pub max_bytes_per_second: Option<u64>,
    /// Records.
    pub max_records_per_second: Option<u64>,
    /// Calls.
    pub max_requests_per_second: Option<u64>,
}

/// The pace of one flow. Every call is paid for after it was sent: the next one may go when the limits have room
/// again, so that a call larger than any burst goes too, at the mean rate.
#[derive(Debug)]
pub struct Pace {
    fixed: [Option<Fixed>; 3],
    learned: Option<Learned>,
    measured: Measured,
    last_cut: Option<Instant>,
}

impl Pace {
    /// A pace that nobody has complained about yet. A limit of 0 is taken as 1.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let fixed = |limit: Option<u64>, cell| limit.map(|limit| Fixed::new(limit, cell, now));
        Self {
            fixed: [
                fixed(settings.max_bytes_per_second, CELL),
                fixed(settings.max_records_per_second, 1),
                fixed(settings.max_requests_per_second, 1),
            ],
            learned: None,
            measured: Measured { at: now, amounts: [0.0; 3] },
            last_cut: None,
        }
    }

    /// When the next call may be sent, if that is later than `now`. It does not depend on the size of the call.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let fixed = self.fixed.iter().flatten().map(|fixed| fixed.free_at).max();
        let learned = self.learned.as_ref().map(|learned| learned.free_at);
        fixed.max(learned).filter(|free_at| *free_at > now)
    }

    /// Whether it is a limit of the operator that holds the next call back, and not one that throttling has taught.
    #[must_use]
    pub fn waits_for_own_limit(&self, now: Instant) -> bool {
        let fixed = self.fixed.iter().flatten().map(|fixed| fixed.free_at).max();
        let learned = self.learned.as_ref().map(|learned| learned.free_at);
        fixed.is_some_and(|free_at| free_at > now && learned.is_none_or(|learned| learned <= free_at))
    }

    /// A call of so many payload bytes and records was sent.
    pub fn sent(&mut self, bytes: u64, records: u64, now: Instant) {
        let amounts = [bytes, records, 1];
        for (fixed, amount) in self.fixed.iter_mut().zip(amounts) {
            if let Some(fixed) = fixed {
                fixed.pay(amount, now);
            }
        }
        let amounts = amounts.map(|amount| amount as f64);
        self.measured.add(amounts, now);
        if let Some(learned) = &mut self.learned {
            learned.pay(amounts, now);
        }
    }

    /// The service complained about the rate, of a call or of some of its records.
    pub fn throttled(&mut self, now: Instant) {
        if self.last_cut.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_CUTS) {
            return;
        }
        self.last_cut = Some(now);
        let mut rates = self.measured.rates(now);
        if let Some(learned) = &self.learned {
            for (rate, learned) in rates.iter_mut().zip(learned.rates) {
                *rate = rate.min(learned);
            }
        }
        let free_at = self.learned.as_ref().map_or(now, |learned| learned.free_at);
        self.learned = Some(Learned { rates: rates.map(|rate| rate * CUT), blamed: rates, grown_at: now, free_at });
    }

    /// The service took a call without complaint.
    pub fn succeeded(&mut self, now: Instant) {
        if let Some(learned) = &mut self.learned
            && learned.grow(now)
        {
            self.learned = None;
        }
    }

    /// The limit in bytes a second that the service's complaints have taught, if there is one; for the status.
    #[must_use]
    pub fn learned_bytes_per_second(&self) -> Option<u64> {
        self.learned.as_ref().map(|learned| learned.rates[0] as u64)
    }
}

/// One limit of the operator.
#[derive(Debug)]
struct Fixed {
    limiter: RateLimiter<NotKeyed, InMemoryState, Given, NoOpMiddleware<Nanos>>,
    clock: Given,
    begin: Instant,
    burst: NonZeroU32,
    cell: u64,
    /// What was sent beyond whole cells. Invariant: `rest < cell`.
    rest: u64,
    /// When everything sent so far fits into the limit.
    free_at: Instant,
}

/// A clock that is told the time, in nanoseconds since the limiter was made.
#[derive(Clone, Debug, Default)]
struct Given(Arc<AtomicU64>);

impl Clock for Given {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

impl Fixed {
    fn new(per_second: u64, cell: u64, now: Instant) -> Self {
        let per_second = per_second.max(1);
        // Rounded up: rather a little slower than the operator allows than faster.
        let per_cell = Duration::from_nanos((cell * 1_000_000_000).div_ceil(per_second).max(1));
        let burst = u32::try_from(BURST.as_nanos() / per_cell.as_nanos()).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(per_cell).expect("a cell takes at least a nanosecond").allow_burst(burst);
        let clock = Given::default();
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { limiter, clock, begin: now, burst, cell, rest: 0, free_at: now }
    }

    /// Pays in instalments that the limiter takes, each at the first moment when it does.
    fn pay(&mut self, amount: u64, now: Instant) {
        let total = self.rest.saturating_add(amount);
        self.rest = total % self.cell;
        let mut owed = total / self.cell;
        let since = now.max(self.free_at).saturating_duration_since(self.begin);
        let mut moment = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        while let Some(instalment) = NonZeroU32::new(u32::try_from(owed).unwrap_or(u32::MAX)) {
            let instalment = instalment.min(self.burst);
            self.clock.0.store(moment, Ordering::Relaxed);
            match self.limiter.check_n(instalment) {
                Ok(Ok(())) => owed -= u64::from(instalment.get()),
                Ok(Err(not_until)) => moment = not_until.earliest_possible().as_u64(),
                // No instalment is above the burst, so this does not come up; if it did, the debt is forgiven.
                Err(_) => break,
            }
        }
        self.free_at = self.begin + Duration::from_nanos(moment);
    }
}

/// The limit that complaints have taught, for bytes, records and calls: which of them was too much, nobody says.
#[derive(Debug)]
struct Learned {
    rates: [f64; 3],
    /// The rates at the last complaint.
    blamed: [f64; 3],
    grown_at: Instant,
    free_at: Instant,
}

impl Learned {
    fn pay(&mut self, amounts: [f64; 3], now: Instant) {
        let pauses = amounts.iter().zip(self.rates).map(|(amount, rate)| amount / rate);
        let pause = pauses.fold(0.0, f64::max).min(LONGEST_PAUSE.as_secs_f64());
        let free_at = self.free_at.max(now) + Duration::from_secs_f64(pause);
        self.free_at = free_at.min(now + LONGEST_PAUSE);
    }

    /// Adds what the time since the last growth allows; answers whether the limit has become pointless.
    fn grow(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.grown_at).min(LONGEST_GROWTH).as_secs_f64();
        self.grown_at = now;
        for (rate, blamed) in self.rates.iter_mut().zip(self.blamed) {
            *rate += blamed * GROWTH * seconds;
        }
        self.rates.iter().zip(self.blamed).all(|(rate, blamed)| *rate >= blamed * FORGET)
    }
}

/// What was sent lately, older amounts fading away.
#[derive(Debug)]
struct Measured {
    at: Instant,
    amounts: [f64; 3],
}

impl Measured {
    fn add(&mut self, amounts: [f64; 3], now: Instant) {
        let faded = self.faded(now);
        self.at = now;
        for ((kept, faded), amount) in self.amounts.iter_mut().zip(faded).zip(amounts) {
            *kept = faded + amount;
        }
    }

    fn faded(&self, now: Instant) -> [f64; 3] {
        let age = now.saturating_duration_since(self.at).as_secs_f64() / MEASURED_OVER.as_secs_f64();
        self.amounts.map(|amount| amount * (-age).exp())
    }

    /// Per second. Never nothing, so that no pause becomes endless.
    fn rates(&self, now: Instant) -> [f64; 3] {
        self.faded(now).map(|amount| (amount / MEASURED_OVER.as_secs_f64()).max(f64::EPSILON))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Sends every call as soon as it may go; answers when each went.
    fn run(pace: &mut Pace, begin: Instant, calls: &[(u64, u64)]) -> Vec<Instant> {
        let mut now = begin;
        let mut times = Vec::new();
        for &(bytes, records) in calls {
            if let Some(ready_at) = pace.ready_at(now) {
                assert!(ready_at > now);
                now = ready_at;
            }
            assert_eq!(pace.ready_at(now), None, "ready when it said so");
            pace.sent(bytes, records, now);
            times.push(now);
        }
        times
    }

    fn calls() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((1_u64..4_194_304, 1_u64..=500), 1..60)
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_its_rate_and_burst_and_one_call(
            calls in calls(),
            bytes in 1_024_u64..50_000_000,
            records in 1_u64..1_000_000,
            requests in 1_u64..2_000,
        ) {
            let settings = Settings {
                max_bytes_per_second: Some(bytes),
                max_records_per_second: Some(records),
                max_requests_per_second: Some(requests),
            };
            let begin = Instant::now();
            let mut pace = Pace::new(settings, begin);
            let times = run(&mut pace, begin, &calls);
            for first in 0..calls.len() {
                let mut sums = [0_u64; 3];
                for last in first..calls.len() {
                    // The call at the end of the window is the one that is not paid for yet.
                    let window = (times[last] - times[first]).as_secs_f64();
                    for (sum, (rate, cell)) in sums.iter().zip([(bytes, CELL), (records, 1), (requests, 1)]) {
                        let burst = (rate as f64 * BURST.as_secs_f64()).max(cell as f64);
                        let most = rate as f64 * window + burst + 2.0 * cell as f64;
                        prop_assert!(*sum as f64 <= most, "{sum} > {most} within {window} s");
                    }
                    sums = [sums[0] + calls[last].0, sums[1] + calls[last].1, sums[2] + 1];
                }
            }
        }

        #[test]
        fn the_rate_that_is_allowed_is_used(calls in calls(), rate in 10_000_u64..50_000_000) {
            let settings = Settings { max_bytes_per_second: Some(rate), ..Settings::default() };
            let begin = Instant::now();
            let mut pace = Pace::new(settings, begin);
            let times = run(&mut pace, begin, &calls);
            let before_last: u64 = calls[..calls.len() - 1].iter().map(|call| call.0).sum();
            let took = (times[times.len() - 1] - begin).as_secs_f64();
            prop_assert!(took <= before_last as f64 / rate as f64 * 1.001 + 0.001, "{took} s for {before_last} bytes");
        }

        #[test]
        fn complaints_alone_never_stall_a_flow(
            events in proptest::collection::vec((0_u64..20_000, 1_u64..4_194_304, any::<bool>()), 1..200)
        ) {
            let begin = Instant::now();
            let mut pace = Pace::new(Settings::default(), begin);
            let mut now = begin;
            for (millis, bytes, throttled) in events {
                now += Duration::from_millis(millis);
                pace.sent(bytes, 1, now);
                if throttled { pace.throttled(now) } else { pace.succeeded(now) }
                let wait = pace.ready_at(now).map_or(Duration::ZERO, |ready_at| ready_at - now);
                prop_assert!(wait <= LONGEST_PAUSE, "{wait:?}");
            }
        }
    }

    #[test]
    fn there_is_no_limit_before_the_first_complaint() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), begin);
        for _ in 0..1_000 {
            pace.sent(4_000_000, 500, begin);
            pace.succeeded(begin);
            assert_eq!(pace.ready_at(begin), None);
        }
        assert_eq!(pace.learned_bytes_per_second(), None);
    }

    #[test]
    fn many_complaints_within_a_second_cut_once() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), begin);
        pace.sent(10_000_000, 10, begin);
        pace.throttled(begin);
        let once = pace.learned_bytes_per_second();
        for millis in 1..1_000 {
            pace.throttled(begin + Duration::from_millis(millis));
        }
        assert_eq!(pace.learned_bytes_per_second(), once);
        pace.throttled(begin + SECOND);
        assert!(pace.learned_bytes_per_second() < once);
    }

    #[test]
    fn without_further_complaint_the_limit_goes_away() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), begin);
        pace.sent(10_000_000, 10, begin);
        pace.throttled(begin);
        let mut now = begin;
        for _ in 0..40 {
            now += SECOND;
            pace.succeeded(now);
        }
        assert_eq!(pace.learned_bytes_per_second(), None);
        assert_eq!(pace.ready_at(now), None);
    }

    #[test]
    fn a_small_limit_passes_a_call_that_is_larger_than_its_burst() {
        let begin = Instant::now();
        let settings = Settings { max_bytes_per_second: Some(1_048_576), ..Settings::default() };
        let mut pace = Pace::new(settings, begin);
        let times = run(&mut pace, begin, &[(4_194_304, 500); 3]);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert!(gaps.iter().all(|gap| (3.85..=4.01).contains(gap)), "{gaps:?}");
    }

    /// A service that takes so many bytes a second and throttles what is above: what it took and how often it complained.
    fn against_a_service(quota: f64, call: u64, seconds: u64) -> (f64, usize) {
        let begin = Instant::now();
        let end = begin + SECOND * u32::try_from(seconds).unwrap();
        let mut pace = Pace::new(Settings::default(), begin);
        let (mut room, mut filled_at) = (quota, begin);
        let (mut taken, mut complaints) = (0.0, 0);
        let mut now = begin;
        while now < end {
            room = (room + quota * (now - filled_at).as_secs_f64()).min(quota);
            filled_at = now;
            pace.sent(call, 1, now);
            // The answer comes 20 ms later.
            now += Duration::from_millis(20);
            if room > 0.0 {
                room -= call as f64;
                taken += call as f64;
                pace.succeeded(now);
            } else {
                complaints += 1;
                pace.throttled(now);
            }
            now = pace.ready_at(now).unwrap_or(now);
        }
        (taken / seconds as f64 / quota, complaints)
    }

    #[test]
    fn under_a_quota_most_of_it_is_used_and_few_calls_are_refused() {
        for (quota, call) in
            [(1_048_576.0, 4_194_304), (1_048_576.0, 60_000), (5_242_880.0, 4_194_304), (5_242_880.0, 500_000)]
        {
            let (used, complaints) = against_a_service(quota, call, 300);
            assert!(used > 0.75, "{used} of {quota} in calls of {call}");
            assert!(complaints < 150, "{complaints} complaints at {quota} in calls of {call}");
        }
    }
}

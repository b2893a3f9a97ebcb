//! How fast a stream may be fed: the operator's limits, and a limit that follows the service's throttling.
//! Promises never to exceed the operator's rates by more than a tenth of a second and one call, never to stall, and that
//! many hosts behind one quota come to equal shares of it without calling at the same moments.
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

/// The limit that throttling has taught.
mod learned;

use learned::Learned;

/// Bytes are counted in cells of this many, because the limiter's time step is a whole nanosecond: byte by byte,
/// 5 MiB/s would run 0.4 % too fast.
const CELL: u64 = 1024;
/// What may go at once after a pause: as much as the rate allows in this time.
const BURST: Duration = Duration::from_millis(100);
/// Firehose takes 5 MiB, 500,000 records or 2,000 calls a second, so a record counts as this many bytes at least,
const LEAST_RECORD_COST: u64 = 10;
/// and a call as this many.
const LEAST_COST: u64 = 2_600;
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

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// Bytes before base64.
    pub bytes: u64,
    /// Records.
    pub records: u64,
}

impl Amounts {
    /// Bytes, records, calls.
    const fn each(self) -> [u64; 3] {
        [self.bytes, self.records, 1]
    }

    /// What counts against the learned limit. The service does not say whether bytes, records or calls were too many, so few
    /// bytes count as what the other two are worth: Firehose's quotas stand in about this ratio.
    fn cost(self) -> f64 {
        self.bytes.max(self.records.saturating_mul(LEAST_RECORD_COST)).max(LEAST_COST) as f64
    }
}

/// The pace of one flow. Every call is paid for after it was sent: the next one may go when the limits have room
/// again, so that a call larger than any burst goes too, at the mean rate.
#[derive(Debug)]
pub struct Pace {
    /// Of bytes, records and calls; absent where the operator set no limit, as most do.
    fixed: Option<Box<[Option<Fixed>; 3]>>,
    /// Absent until the stream is throttled.
    learned: Option<Box<Learned>>,
    /// What was sent lately, and what of it was accepted.
    sent: Measured,
    accepted: Measured,
    random: fastrand::Rng,
}

impl Pace {
    /// A pace that was never throttled. A limit of 0 is taken as 1; `seed` makes the jitter repeatable.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        let fixed = |limit: Option<u64>, cell| limit.map(|limit| Fixed::new(limit, cell, now));
        let limits = || {
            [
                fixed(settings.max_bytes_per_second, CELL),
                fixed(settings.max_records_per_second, 1),
                fixed(settings.max_requests_per_second, 1),
            ]
        };
        Self {
            fixed: (settings != Settings::default()).then(|| Box::new(limits())),
            learned: None,
            sent: Measured { at: now, amount: 0.0 },
            accepted: Measured { at: now, amount: 0.0 },
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// When the next call may be sent, if that is later than `now`. It does not depend on the size of the call.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let (fixed, learned) = (self.fixed_free_at(), self.learned_free_at());
        fixed.max(learned).filter(|free_at| *free_at > now)
    }

    /// Whether it is a limit of the operator that holds the next call back, and not one that throttling has taught.
    #[must_use]
    pub fn waits_for_own_limit(&self, now: Instant) -> bool {
        let (fixed, learned) = (self.fixed_free_at(), self.learned_free_at());
        fixed.is_some_and(|free_at| free_at > now && learned.is_none_or(|learned| learned <= free_at))
    }

    /// When the operator's limits have room.
    fn fixed_free_at(&self) -> Option<Instant> {
        self.fixed.iter().flat_map(|fixed| fixed.iter()).flatten().map(|fixed| fixed.free_at).max()
    }

    /// When the learned limit has room.
    fn learned_free_at(&self) -> Option<Instant> {
        self.learned.as_ref().map(|learned| learned.free_at())
    }

    /// A call was sent.
    pub fn sent(&mut self, call: Amounts, now: Instant) {
        for (fixed, amount) in self.fixed.iter_mut().flat_map(|fixed| fixed.iter_mut()).zip(call.each()) {
            if let Some(fixed) = fixed {
                fixed.pay(amount, now);
            }
        }
        self.sent.add(call.cost(), now);
        if let Some(learned) = &mut self.learned {
            learned.pay(call.cost(), self.random.f64(), now);
        }
    }

    /// The service throttled this number of the call's records, or the whole call.
    pub fn throttled(&mut self, call: Amounts, refused: u64, now: Instant) {
        let share = (refused as f64 / call.records.max(1) as f64).min(1.0);
        self.accepted.add(call.cost() * (1.0 - share), now);
        match &mut self.learned {
            Some(learned) => learned.answered(call.cost(), share, self.accepted.rate(now), now),
            None => self.learned = Some(Box::new(Learned::new(self.sent.rate(now), share, now))),
        }
    }

    /// The service took a call without throttling.
    pub fn succeeded(&mut self, call: Amounts, now: Instant) {
        self.accepted.add(call.cost(), now);
        if let Some(learned) = &mut self.learned {
            learned.answered(call.cost(), 0.0, self.accepted.rate(now), now);
            if learned.is_pointless(self.sent.rate(now), now) {
                self.learned = None;
            }
        }
    }

    /// The bytes that a call should carry at most while the stream is throttled: small calls share a quota more evenly than
    /// large ones, and less is uploaded in vain.
    #[must_use]
    pub fn call_bytes(&self) -> Option<u64> {
        self.learned.as_ref().map(|learned| learned.call_bytes())
    }

    /// The limit in bytes a second that throttling has taught, if there is one; for the status.
    #[must_use]
    pub fn learned_bytes_per_second(&self) -> Option<u64> {
        self.learned.as_ref().map(|learned| learned.bytes_per_second())
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

/// A clock that is set by hand, in nanoseconds since the limiter was made.
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

/// What was sent lately, older amounts fading away.
#[derive(Debug)]
struct Measured {
    at: Instant,
    amount: f64,
}

impl Measured {
    fn add(&mut self, amount: f64, now: Instant) {
        self.amount = self.faded(now) + amount;
        self.at = now;
    }

    fn faded(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64() / MEASURED_OVER.as_secs_f64();
        self.amount * (-age).exp()
    }

    /// Per second. Never nothing, so that no pause becomes endless.
    fn rate(&self, now: Instant) -> f64 {
        (self.faded(now) / MEASURED_OVER.as_secs_f64()).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::learned::LONGEST_PAUSE;
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
            pace.sent(Amounts { bytes, records }, now);
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
            let mut pace = Pace::new(settings, 7, begin);
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
            let mut pace = Pace::new(settings, 7, begin);
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
            let mut pace = Pace::new(Settings::default(), 7, begin);
            let mut now = begin;
            for (millis, bytes, throttled) in events {
                now += Duration::from_millis(millis);
                let call = Amounts { bytes, records: 1 };
                pace.sent(call, now);
                if throttled { pace.throttled(call, 1, now) } else { pace.succeeded(call, now) }
                let wait = pace.ready_at(now).map_or(Duration::ZERO, |ready_at| ready_at - now);
                prop_assert!(wait <= LONGEST_PAUSE, "{wait:?}");
            }
        }
    }

    #[test]
    fn there_is_no_limit_before_the_first_complaint() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), 7, begin);
        for _ in 0..1_000 {
            let call = Amounts { bytes: 4_000_000, records: 500 };
            pace.sent(call, begin);
            pace.succeeded(call, begin);
            assert_eq!(pace.ready_at(begin), None);
        }
        assert_eq!(pace.learned_bytes_per_second(), None);
    }

    const CALL: Amounts = Amounts { bytes: 10_000_000, records: 10 };

    #[test]
    fn refusals_within_a_second_halve_the_rate_at_most() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), 7, begin);
        pace.sent(CALL, begin);
        pace.throttled(CALL, 10, begin);
        let once = pace.learned_bytes_per_second().unwrap();
        for millis in 1..1_000 {
            pace.throttled(CALL, 10, begin + Duration::from_millis(millis));
        }
        assert!(pace.learned_bytes_per_second().unwrap() + 1 >= once);
        pace.throttled(CALL, 10, begin + SECOND);
        assert!(pace.learned_bytes_per_second().unwrap() < once);
    }

    #[test]
    fn a_call_that_is_refused_in_part_cuts_less_than_one_that_is_refused_whole() {
        let after = |refused| {
            let begin = Instant::now();
            let mut pace = Pace::new(Settings::default(), 7, begin);
            pace.sent(CALL, begin);
            pace.throttled(CALL, refused, begin);
            pace.throttled(CALL, refused, begin + SECOND * 2);
            pace.learned_bytes_per_second().unwrap()
        };
        assert!(after(1) > after(5) && after(5) > after(10), "{} {} {}", after(1), after(5), after(10));
    }

    #[test]
    fn without_further_throttling_the_limit_goes_away() {
        let begin = Instant::now();
        let mut pace = Pace::new(Settings::default(), 7, begin);
        pace.sent(CALL, begin);
        pace.throttled(CALL, 10, begin);
        let mut now = begin;
        let mut seconds = 0;
        while pace.learned_bytes_per_second().is_some() {
            now += SECOND;
            seconds += 1;
            pace.succeeded(CALL, now);
            assert!(seconds < 1_200, "{:?}", pace.learned_bytes_per_second());
        }
        assert_eq!(pace.ready_at(now), None);
    }

    #[test]
    fn a_small_limit_passes_a_call_that_is_larger_than_its_burst() {
        let begin = Instant::now();
        let settings = Settings { max_bytes_per_second: Some(1_048_576), ..Settings::default() };
        let mut pace = Pace::new(settings, 7, begin);
        let times = run(&mut pace, begin, &[(4_194_304, 500); 3]);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        assert!(gaps.iter().all(|gap| (3.85..=4.01).contains(gap)), "{gaps:?}");
    }

    /// A service that takes this many bytes a second and throttles what is above: what it took and how many calls it refused.
    fn against_a_service(quota: f64, call: u64, seconds: u64) -> (f64, usize) {
        let begin = Instant::now();
        let end = begin + SECOND * u32::try_from(seconds).unwrap();
        let mut pace = Pace::new(Settings::default(), 7, begin);
        let (mut room, mut filled_at) = (quota, begin);
        let (mut taken, mut refused) = (0.0, 0);
        let mut now = begin;
        while now < end {
            room = (room + quota * (now - filled_at).as_secs_f64()).min(quota);
            filled_at = now;
            let bytes = pace.call_bytes().map_or(call, |most| call.min(most));
            let amounts = Amounts { bytes, records: 1 };
            pace.sent(amounts, now);
            // The answer comes 20 ms later.
            now += Duration::from_millis(20);
            if room > 0.0 {
                room -= bytes as f64;
                taken += bytes as f64;
                pace.succeeded(amounts, now);
            } else {
                refused += 1;
                pace.throttled(amounts, 1, now);
            }
            now = pace.ready_at(now).unwrap_or(now);
        }
        (taken / seconds as f64 / quota, refused)
    }

    #[test]
    fn under_a_quota_most_of_it_is_used_and_few_calls_are_refused() {
        for (quota, call) in
            [(1_048_576.0, 4_194_304), (1_048_576.0, 60_000), (5_242_880.0, 4_194_304), (5_242_880.0, 500_000)]
        {
            let (used, refused) = against_a_service(quota, call, 300);
            println!("{used:.3} of {quota} used in calls of {call}, {refused} refused");
            assert!(used > 0.85, "{used} of {quota} in calls of {call}");
            assert!(refused < 150, "{refused} refused at {quota} in calls of {call}");
        }
    }
}

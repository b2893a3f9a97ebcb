//! Rates, the stage that limits and whether a flow gets on: out of looks that are some seconds apart.
//! Promises a fixed number of looks a flow, and answers that do not jump with each call.
//! Leaves looking in time to `app`.

use super::{Limit, State};
use crate::flow::Wait;
use datalake_base::accounting::{Accounting, Stage};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks are this far apart.
pub const EVERY: Duration = Duration::from_secs(2);
/// As many as make a minute.
const MOST: u32 = 31;
/// Acceptance is averaged over this time.
const RECENTLY: Duration = Duration::from_secs(10);
/// A flow that has something to do shows progress at least every five seconds.
const STALLED: Duration = Duration::from_secs(15);
/// A stage is named when it takes this share of the time, in percent.
const WORTH_NAMING: u64 = 10;

/// What a look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    delivered: u64,
    /// Settled, or known and not settled: all there ever was to settle.
    there: u64,
    progress: u64,
    idle: bool,
    limited_by: [u64; Stage::COUNT],
}

/// Looks in a row that saw the same, equally far apart: all looks at a flow that has nothing to do are one of these.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Instant,
    last: Instant,
    /// At least 1.
    looks: u32,
    seen: Seen,
}

impl Run {
    /// How far its looks are apart.
    fn apart(&self) -> Duration {
        self.last.saturating_duration_since(self.first) / (self.looks - 1).max(1)
    }

    /// When it first saw that, at `from` or later.
    fn first_from(&self, from: Instant) -> Instant {
        let (before, apart) = (from.saturating_duration_since(self.first), self.apart());
        if before.is_zero() || apart.is_zero() {
            return self.first;
        }
        let looks = before.as_nanos().div_ceil(apart.as_nanos());
        (self.first + apart * u32::try_from(looks).unwrap_or(u32::MAX).min(self.looks)).min(self.last)
    }
}

/// One look.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    seen: Seen,
}

/// The looks at one flow.
#[derive(Clone, Debug, Default)]
pub struct Samples(VecDeque<Run>);

impl Samples {
    /// Another look.
    pub fn look(&mut self, accounting: &Accounting, now: Instant) {
        let settled = accounting.delivered.value() + accounting.filtered.value() + accounting.quarantined.value();
        let seen = Seen {
            delivered: accounting.delivered.value(),
            there: settled + accounting.unsettled.value(),
            progress: accounting.progress.value(),
            idle: accounting.idle.value() == 1,
            limited_by: std::array::from_fn(|stage| accounting.limited_by[stage].value()),
        };
        if self.0.iter().map(|run| run.looks).sum::<u32>() == MOST {
            self.forget_oldest();
        }
        if let Some(run) = self.0.back_mut().filter(|run| run.seen == seen) {
            (run.last, run.looks) = (now, run.looks + 1);
            return;
        }
        if self.0.len() == self.0.capacity() {
            // Most of thousands of flows have one.
            self.0.reserve_exact(self.0.len().max(1));
        }
        self.0.push_back(Run { first: now, last: now, looks: 1, seen });
    }

    fn forget_oldest(&mut self) {
        let Some(run) = self.0.front_mut() else { return };
        if run.looks > 1 {
            run.first += run.apart();
            run.looks -= 1;
            return;
        }
        self.0.pop_front();
        // A flow that came to rest needs little again.
        if self.0.len() * 4 <= self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    /// The newest look, and the oldest that is at most this far before it; `None` before there are two.
    fn span(&self, most: Duration) -> Option<(Sample, Sample)> {
        let newest = self.0.back().map(|run| Sample { at: run.last, seen: run.seen })?;
        let from = newest.at.checked_sub(most);
        let is_in = |run: &&Run| from.is_none_or(|from| run.last >= from);
        let run = self.0.iter().find(is_in)?;
        let oldest = Sample { at: from.map_or(run.first, |from| run.first_from(from)), seen: run.seen };
        (newest.at > oldest.at).then_some((oldest, newest))
    }

    /// Bytes a second that were accepted lately.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.span(RECENTLY)
            .map_or(0.0, |(old, new)| per_second(new.seen.delivered.saturating_sub(old.seen.delivered), old, new))
    }

    /// Bytes a second that came into the files in the last minute.
    #[must_use]
    pub fn written_rate(&self) -> f64 {
        self.span(Duration::MAX)
            .map_or(0.0, |(old, new)| per_second(new.seen.there.saturating_sub(old.seen.there), old, new))
    }

    /// What kept the flow from going faster in the last minute, if anything did.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        let (old, new) = self.span(Duration::MAX)?;
        let since = |stage: usize| new.seen.limited_by[stage].saturating_sub(old.seen.limited_by[stage]);
        let most = (0..Stage::COUNT).max_by_key(|stage| since(*stage))?;
        let wall = u64::try_from(new.at.saturating_duration_since(old.at).as_millis()).unwrap_or(u64::MAX);
        let percent = (since(most) * 100).checked_div(wall)?.min(100);
        let stage = Stage::ALL[most];
        let limit = |percent| Limit { stage: stage.name().into(), percent, remedy: stage.remedy().into() };
        (percent >= WORTH_NAMING).then(|| limit(u8::try_from(percent).unwrap_or(100)))
    }

    /// What the flow does.
    #[must_use]
    pub fn state(&self, begun: bool, wait: Option<Wait>) -> State {
        match wait {
            Some(Wait::Paused) => return State::Paused,
            Some(Wait::Throttled) => return State::Throttled,
            Some(Wait::Retrying) => return State::Retrying,
            None => {}
        }
        let Some(newest) = self.0.back().filter(|_| begun) else { return State::Starting };
        let still = |run: &&Run| run.seen.progress == newest.seen.progress && !run.seen.idle;
        let since = self.0.iter().rev().take_while(still).last().map_or(newest.last, |run| run.first);
        if !newest.seen.idle && newest.last.saturating_duration_since(since) >= STALLED {
            return State::Stalled;
        }
        // What waits for the end of its line is nothing to do.
        if !newest.seen.idle || self.rate() > 0.0 { State::Delivering } else { State::Idle }
    }
}

fn per_second(bytes: u64, old: Sample, new: Sample) -> f64 {
    bytes as f64 / new.at.saturating_duration_since(old.at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every two seconds, before each of which `between` happens.
    fn looks(count: u32, accounting: &Accounting, mut between: impl FnMut(u32)) -> Samples {
        let (begun, mut samples) = (Instant::now(), Samples::default());
        for number in 0..count {
            between(number);
            samples.look(accounting, begun + EVERY * number);
        }
        samples
    }

    #[test]
    fn rates_are_of_the_last_ten_seconds_and_of_the_last_minute() {
        let accounting = Accounting::default();
        let samples = looks(100, &accounting, |_| {
            accounting.delivered.add(2_000);
            accounting.unsettled.add(1_000);
        });
        assert!((samples.rate() - 1_000.0).abs() < 1.0, "{}", samples.rate());
        assert!((samples.written_rate() - 1_500.0).abs() < 1.0, "{}", samples.written_rate());
        assert_eq!(samples.0.len(), MOST as usize);
        assert!(Samples::default().rate().abs() < f64::EPSILON, "nothing is known yet");
    }

    /// Thirty-one looks at each of five thousand flows that had nothing to do took 16 MB, from a minute after the start on.
    #[test]
    fn looks_that_see_the_same_take_the_place_of_one_and_count_as_many() {
        let accounting = Accounting::default();
        let mut samples = looks(1_000, &accounting, |_| accounting.idle.set(1));
        assert_eq!((samples.0.len(), samples.0.capacity()), (1, 1));
        assert_eq!(samples.0[0].looks, MOST);
        assert_eq!(samples.0[0].last - samples.0[0].first, EVERY * (MOST - 1));
        let mut now = samples.0[0].last;
        let mut look = |samples: &mut Samples, delivered| {
            now += EVERY;
            accounting.delivered.add(delivered);
            samples.look(&accounting, now);
        };
        // The rate is of the ten seconds, not of the time since the quiet was looked at last.
        look(&mut samples, 10_000);
        assert!((samples.rate() - 1_000.0).abs() < 1e-6, "{}", samples.rate());
        assert!((samples.written_rate() - 10_000.0 / 60.0).abs() < 1e-6, "{}", samples.written_rate());
        (0..40).for_each(|_| look(&mut samples, 1));
        assert_eq!(samples.0.len(), MOST as usize);
        (0..40).for_each(|_| look(&mut samples, 0));
        assert_eq!(samples.0.len(), 1);
        assert!(samples.0.capacity() <= 8, "what a time of work took is given back: {}", samples.0.capacity());
    }

    /// Runs say what looks kept one by one would have said.
    #[test]
    fn runs_of_equal_looks_give_the_answers_of_single_looks() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let (accounting, begun) = (Accounting::default(), Instant::now());
            let (mut samples, mut single) = (Samples::default(), VecDeque::new());
            for number in 0..100_u32 {
                if random.u8(..4) == 0 {
                    accounting.delivered.add(random.u64(..1_000));
                    accounting.progress.add(random.u64(..2));
                }
                let now = begun + EVERY * number;
                samples.look(&accounting, now);
                if single.len() == MOST as usize {
                    single.pop_front();
                }
                single.push_back((now, accounting.delivered.value()));
                for most in [RECENTLY, EVERY * 3 + EVERY / 2, Duration::MAX] {
                    let oldest = single.iter().find(|(at, _)| now - *at <= most).copied().unwrap();
                    let expected = (now > oldest.0).then_some(oldest);
                    let found = samples.span(most).map(|(old, _)| (old.at, old.seen.delivered));
                    assert_eq!(found, expected, "look {number} within {most:?}");
                }
            }
        }
    }

    #[test]
    fn the_stage_that_takes_most_of_the_last_minute_is_the_limit_and_little_is_none() {
        let accounting = Accounting::default();
        let samples = looks(40, &accounting, |number| {
            accounting.limited_by[Stage::Disk as usize].add(if number < 5 { 2_000 } else { 0 });
            accounting.limited_by[Stage::Quota as usize].add(1_500);
            accounting.limited_by[Stage::Network as usize].add(500);
        });
        let limit = samples.limit().unwrap();
        assert_eq!((limit.stage.as_str(), limit.percent), ("quota", 75));
        let accounting = Accounting::default();
        let samples = looks(40, &accounting, |_| accounting.limited_by[0].add(100));
        assert_eq!(samples.limit(), None);
    }

    #[test]
    fn a_flow_that_gets_on_delivers_one_without_work_is_idle_and_one_that_hangs_is_stalled() {
        let accounting = Accounting::default();
        assert_eq!(Samples::default().state(true, None), State::Starting);
        let busy = looks(20, &accounting, |_| accounting.progress.add(1));
        assert_eq!(busy.state(true, None), State::Delivering);
        assert_eq!(busy.state(false, None), State::Starting);
        assert_eq!(busy.state(true, Some(Wait::Throttled)), State::Throttled);
        let hanging = looks(9, &accounting, |_| {});
        assert_eq!(hanging.state(true, None), State::Stalled);
        assert_eq!(looks(7, &accounting, |_| {}).state(true, None), State::Delivering, "not for long enough");
        accounting.idle.set(1);
        assert_eq!(looks(20, &accounting, |_| {}).state(true, None), State::Idle);
        let woken = looks(20, &accounting, |number| accounting.idle.set(u64::from(number < 19)));
        assert_eq!(woken.state(true, None), State::Delivering, "it was idle, not hanging");
    }
}

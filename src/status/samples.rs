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
const MOST: usize = 31;
/// Acceptance is averaged over this time.
const RECENTLY: Duration = Duration::from_secs(10);
/// A flow that has something to do shows progress at least every five seconds.
const STALLED: Duration = Duration::from_secs(15);
/// A stage is named when it takes this share of the time, in percent.
const WORTH_NAMING: u64 = 10;

/// One look.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    delivered: u64,
    /// Settled, or known and not settled: all there ever was to settle.
    there: u64,
    progress: u64,
    idle: bool,
    limited_by: [u64; Stage::COUNT],
}

/// The looks at one flow.
#[derive(Clone, Debug, Default)]
pub struct Samples(VecDeque<Sample>);

impl Samples {
    /// Another look.
    pub fn look(&mut self, accounting: &Accounting, now: Instant) {
        let settled = accounting.delivered.value() + accounting.filtered.value() + accounting.quarantined.value();
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Sample {
            at: now,
            delivered: accounting.delivered.value(),
            there: settled + accounting.unsettled.value(),
            progress: accounting.progress.value(),
            idle: accounting.idle.value() == 1,
            limited_by: std::array::from_fn(|stage| accounting.limited_by[stage].value()),
        });
    }

    /// The newest look, and the oldest that is at most this far before it; `None` before there are two.
    fn span(&self, most: Duration) -> Option<(Sample, Sample)> {
        let newest = *self.0.back()?;
        let oldest = *self.0.iter().find(|sample| newest.at.saturating_duration_since(sample.at) <= most)?;
        (newest.at > oldest.at).then_some((oldest, newest))
    }

    /// Bytes a second that were accepted lately.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.span(RECENTLY).map_or(0.0, |(old, new)| per_second(new.delivered.saturating_sub(old.delivered), old, new))
    }

    /// Bytes a second that came into the files in the last minute.
    #[must_use]
    pub fn written_rate(&self) -> f64 {
        self.span(Duration::MAX).map_or(0.0, |(old, new)| per_second(new.there.saturating_sub(old.there), old, new))
    }

    /// What kept the flow from going faster in the last minute, if anything did.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        let (old, new) = self.span(Duration::MAX)?;
        let since = |stage: usize| new.limited_by[stage].saturating_sub(old.limited_by[stage]);
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
        let still = |sample: &&Sample| sample.progress == newest.progress && !sample.idle;
        let since = self.0.iter().rev().take_while(still).last().map_or(newest.at, |sample| sample.at);
        if !newest.idle && newest.at.saturating_duration_since(since) >= STALLED {
            return State::Stalled;
        }
        // What waits for the end of its line is nothing to do.
        if !newest.idle || self.rate() > 0.0 { State::Delivering } else { State::Idle }
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
        assert_eq!(samples.0.len(), MOST);
        assert!(Samples::default().rate().abs() < f64::EPSILON, "nothing is known yet");
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

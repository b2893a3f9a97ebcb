//! Why a flow is not faster: the time it could not do more, by what kept it, and whether it falls behind.
//! Promises that all time in which a flow had something to do is attributed to one stage, that falling behind and catching up
//! are reported once each, and that a flow which goes back and forth is reported rarely.
//! Leaves how far behind the flow is to the source, which measures it.

use super::{Condition, Core, Notice};
use datalake_base::accounting::Stage;
use std::time::{Duration, Instant};

/// A flow with less than this to do has not fallen behind.
const LEAST_BACKLOG: u64 = 8 << 20;
/// It has caught up with less than this.
const CAUGHT_UP: u64 = 1 << 20;
/// Whether the backlog grows is looked at this often.
const WINDOW: Duration = Duration::from_secs(60);
/// A flow has fallen behind when its backlog grew in this many windows in a row.
const WINDOWS: u32 = 2;
/// A flow that falls behind is reported at most this often.
const TELL_EVERY: Duration = Duration::from_mins(10);

/// How long a flow could not do more, by what kept it. Kept in nanoseconds: 580 years of each, and half of what a
/// `Duration` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits([u64; Stage::COUNT]);

impl Limits {
    /// The time of one stage.
    #[must_use]
    pub const fn of(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.0[stage as usize])
    }

    /// Adds to the time of one stage.
    pub fn add(&mut self, stage: Stage, time: Duration) {
        let spent = &mut self.0[stage as usize];
        *spent = spent.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The stage that took the most of the time since `before`, and its share of that time in percent.
    #[must_use]
    pub fn main_since(&self, before: &Self) -> Option<(Stage, u8)> {
        let since = |stage: Stage| self.of(stage).saturating_sub(before.of(stage));
        let all: Duration = Stage::ALL.into_iter().map(since).sum();
        let main = Stage::ALL.into_iter().max_by_key(|stage| since(*stage))?;
        let share = (since(main).as_nanos() * 100).checked_div(all.as_nanos())?;
        Some((main, u8::try_from(share).unwrap_or(100)))
    }
}

/// How far behind the flow is, and what the operator knows of that.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Bytes that are not settled, as the source measured them last.
    bytes: u64,
    /// Of these, the ones that were not read.
    unread: u64,
    /// Bytes destroyed before they were read.
    destroyed: u64,
    window: Window,
    /// The window before: right after one began there is nothing to tell from.
    before: Limits,
    grew: u32,
    /// What was reported, while the flow has not caught up.
    reported: Option<Stage>,
    reported_at: Option<Instant>,
    destroyed_reported: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    begin: Instant,
    bytes: u64,
    limits: Limits,
}

impl Backlog {
    pub(super) fn new(now: Instant) -> Self {
        let window = Window { begin: now, bytes: 0, limits: Limits::default() };
        let (before, reported) = (Limits::default(), None);
        Self {
            bytes: 0,
            unread: 0,
            destroyed: 0,
            window,
            before,
            grew: 0,
            reported,
            reported_at: None,
            destroyed_reported: 0,
        }
    }

    /// What to tell the operator now.
    fn look(&mut self, limits: &Limits, now: Instant) -> Option<Notice> {
        if now >= self.window.begin + WINDOW {
            let grows = self.bytes >= LEAST_BACKLOG && self.bytes > self.window.bytes;
            self.grew = if grows { self.grew + 1 } else { 0 };
            self.before = self.window.limits;
            self.window = Window { begin: now, bytes: self.bytes, limits: *limits };
        }
        if self.reported.is_some() && self.bytes < CAUGHT_UP {
            self.reported = None;
            return Some(Notice::CaughtUp);
        }
        let destroyed = self.destroyed > self.destroyed_reported;
        let may_tell = self.reported_at.is_none_or(|reported_at| now >= reported_at + TELL_EVERY);
        if !may_tell || self.grew < WINDOWS && !destroyed {
            return None;
        }
        let (stage, share) = limits.main_since(&self.before)?;
        if self.reported == Some(stage) && !destroyed {
            return None;
        }
        self.reported = Some(stage);
        self.reported_at = Some(now);
        let destroyed = self.destroyed - std::mem::replace(&mut self.destroyed_reported, self.destroyed);
        Some(Notice::Behind { stage, share, bytes: self.bytes, destroyed })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.bytes >= LEAST_BACKLOG || self.reported.is_some()).then(|| self.window.begin + WINDOW)
    }
}

impl Core {
    /// The same flow, with what was measured before the process started anew.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.backlog.window.limits = limits;
        self.backlog.before = limits;
        self
    }

    /// How long the flow could not do more, by what kept it.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many bytes of the source are not settled, how many of these were not even read, and how many were destroyed before
    /// they could be.
    pub const fn set_backlog(&mut self, bytes: u64, unread: u64, destroyed: u64) {
        self.backlog.bytes = bytes;
        self.backlog.unread = unread;
        self.backlog.destroyed = destroyed;
    }

    /// How long the last step took. In a flow with options that is their time.
    pub fn count_work(&mut self, time: Duration) {
        if self.processing.is_some() {
            self.worked = time;
            self.limits.add(Stage::Options, time);
        }
    }

    /// Attributes the time since the last step to what the flow has waited for.
    pub(super) fn attribute(&mut self, now: Instant) {
        let worked = std::mem::take(&mut self.worked);
        if let Some(stage) = self.waits_for {
            let waited = now.saturating_duration_since(self.stepped_at).saturating_sub(worked);
            self.limits.add(stage, waited);
        }
    }

    /// What the flow waits for now; nothing where it is up to date.
    pub(super) fn bottleneck(&self, now: Instant) -> Option<Stage> {
        if self.blocked {
            return Some(Stage::Paused);
        }
        let throttled = matches!(self.condition, Condition::Throttled { .. });
        if self.ready.is_empty() && self.search.is_empty() {
            if self.is_halfway() || self.processing.as_ref().is_some_and(|processing| processing.is_away()) {
                return Some(Stage::Options);
            }
            if self.has_room() {
                // What was read and is under way waits for nothing that could be faster, but for refused records.
                let again = if throttled { Stage::Quota } else { Stage::Network };
                let all_read = || (!self.again.is_empty()).then_some(again);
                return if self.backlog.unread > 0 { Some(Stage::Disk) } else { all_read() };
            }
            let keeping = self.giving_up.values().any(|record| record.due.is_none());
            return Some(if keeping { Stage::Disk } else { Stage::Memory });
        }
        if self.in_flight.len() >= self.settings.max_concurrent_requests {
            // Calls that are small for want of memory take as long as large ones.
            return Some(if self.short_of_memory { Stage::Memory } else { Stage::Network });
        }
        let retries = self.next_call(now).is_some_and(|(next, _)| self.waits_to_retry(next, now));
        Some(match () {
            () if retries && throttled => Stage::Quota,
            () if retries => Stage::Network,
            () if self.pace.waits_for_own_limit(now) => Stage::OwnLimit,
            () => Stage::Quota,
        })
    }

    pub(super) fn tell_backlog(&mut self, now: Instant) -> Option<Notice> {
        self.backlog.look(&self.limits, now)
    }
}

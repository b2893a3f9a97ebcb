//! How a flow stands with the service, in words, so that the log has one line per change and not one per call.
//! Promises that worse news is reported at once, that better news is reported once it has lasted, and that a service which goes back
//! and forth makes the log quieter, not longer.
//! Leaves writing the log to the shell.

use super::{Action, Core};
use crate::deliver::{Fault, Meaning};
use datalake_base::accounting::Stage;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// An improvement is reported when nothing as bad as before has come for this long: more than the learned pace waits as a
/// rule. Where it waits longer, relapses make this longer too.
const LEAST_CALM: Duration = Duration::from_secs(15);
/// The same for a flow that gets worse again and again soon after it got better: the time doubles up to this.
const MOST_CALM: Duration = Duration::from_mins(10);
/// Trouble that comes back within this time is a relapse.
const RELAPSE: Duration = Duration::from_mins(20);
/// Different reasons for a pause that are reported before the flow gets on again.
const MOST_REASONS: usize = 8;

/// How a flow stands with the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Calls are accepted, or none was made yet.
    #[default]
    Flowing,
    /// The service throttles the stream; the flow keeps to a slower pace.
    Throttled {
        /// What the service said.
        reason: String,
    },
    /// Calls fail and are tried again.
    Failing {
        /// The last failure.
        reason: String,
    },
    /// Only the operator can fix it; the flow pauses and tries again slowly.
    Paused {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The condition changed to this one.
    Changed(Condition),
    /// Records were refused for good and kept, of which this is the first since the last notice.
    Quarantined {
        /// The service's reason for the first of them.
        reason: String,
        /// Records.
        records: u64,
        /// Lines in them.
        lines: u64,
        /// Bytes of input in them.
        bytes: u64,
    },
    /// Options could not work on records, of which this is the first since the last notice.
    Unprocessed {
        /// Why the first of them.
        reason: String,
        /// Records kept in the quarantine.
        quarantined: u64,
        /// Records sent as they are.
        raw: u64,
        /// Records dropped.
        dropped: u64,
    },
    /// Fields were left out of records, or numbers made null, for the first time.
    LeftOut(datalake_process::Notes),
    /// Records that were to be given up could not be kept; the flow holds them and tries again.
    QuarantineFailed {
        /// What is wrong.
        reason: String,
    },
    /// What could not be kept before is kept now.
    QuarantineWorks,
    /// The flow falls behind, or bytes were destroyed before it could read them.
    Behind {
        /// What limits it most.
        stage: Stage,
        /// Its share of the time in which the flow had something to do, in percent.
        share: u8,
        /// Bytes that are not settled.
        bytes: u64,
        /// Bytes that were destroyed since the last notice.
        destroyed: u64,
    },
    /// It has caught up again.
    CaughtUp,
}

impl Condition {
    /// The condition that a failed call means.
    pub(super) fn from_fault(fault: &Fault) -> Self {
        let reason = fault.to_string();
        match fault.meaning {
            Meaning::SlowDown => Self::Throttled { reason },
            Meaning::Unknown | Meaning::NotSent => Self::Failing { reason },
            Meaning::Hold | Meaning::Suspect | Meaning::Poison => Self::Paused { reason },
        }
    }

    const fn severity(&self) -> u8 {
        match self {
            Self::Flowing => 0,
            Self::Throttled { .. } => 1,
            Self::Failing { .. } => 2,
            Self::Paused { .. } => 3,
        }
    }
}

/// What was reported to the operator, and what has happened since.
#[derive(Debug)]
pub(super) struct Reported {
    condition: Condition,
    /// Hashes of the reasons for pauses that were reported since the flow last went well.
    reasons: Vec<u64>,
    /// When something as bad as `condition` last happened.
    as_bad_at: Instant,
    /// The newest condition since then, where it is better.
    better: Option<Condition>,
    /// How long things must be better before that is reported.
    calm: Duration,
    /// When an improvement was last reported.
    improved_at: Option<Instant>,
}

impl Reported {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            condition: Condition::Flowing,
            reasons: Vec::new(),
            as_bad_at: now,
            better: None,
            calm: LEAST_CALM,
            improved_at: None,
        }
    }

    /// The flow came into this condition; whether to tell the operator now.
    fn enter(&mut self, condition: &Condition, now: Instant) -> bool {
        let (before, after) = (self.condition.severity(), condition.severity());
        if after < before {
            self.better = Some(condition.clone());
            return false;
        }
        self.as_bad_at = now;
        self.better = None;
        let news = self.is_news(condition);
        if after > before {
            let relapse = self.improved_at.is_some_and(|at| now < at + RELAPSE);
            self.calm = if relapse { (self.calm * 2).min(MOST_CALM) } else { LEAST_CALM };
            self.condition = condition.clone();
            return true;
        }
        news
    }

    /// Whether this reason for a pause was not reported yet. Numbers and identifiers in it do not make it another one.
    fn is_news(&mut self, condition: &Condition) -> bool {
        let Condition::Paused { reason } = condition else { return false };
        let mut hasher = DefaultHasher::new();
        let is_word = |word: &&str| word.len() <= 40 && !word.bytes().any(|byte| byte.is_ascii_digit());
        reason.split_whitespace().filter(is_word).for_each(|word| word.hash(&mut hasher));
        let hash = hasher.finish();
        if self.reasons.len() >= MOST_REASONS || self.reasons.contains(&hash) {
            return false;
        }
        self.reasons.push(hash);
        true
    }

    /// The improvement to tell now, if there is one that has lasted.
    fn improve(&mut self, now: Instant) -> Option<Condition> {
        if self.better.is_none() || now < self.as_bad_at + self.calm {
            return None;
        }
        let better = self.better.take()?;
        self.condition = better.clone();
        self.as_bad_at = now;
        self.improved_at = Some(now);
        if better == Condition::Flowing {
            self.reasons.clear();
        }
        Some(better)
    }

    /// When an improvement may be reported.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.better.as_ref().map(|_| self.as_bad_at + self.calm)
    }
}

impl Core {
    /// Enters a condition; a notice where the operator must know at once.
    pub(super) fn enter(&mut self, condition: Condition, now: Instant, actions: &mut Vec<Action>) {
        if self.reported.enter(&condition, now) {
            actions.push(Action::Notice(Notice::Changed(condition.clone())));
        }
        self.condition = condition;
    }

    /// Tells of an improvement that has lasted.
    pub(super) fn tell_improvement(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Some(better) = self.reported.improve(now) {
            actions.push(Action::Notice(Notice::Changed(better)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn throttled() -> Condition {
        Condition::Throttled { reason: "Slow down".to_owned() }
    }

    fn paused(reason: &str) -> Condition {
        Condition::Paused { reason: reason.to_owned() }
    }

    /// Lives through a day in which the condition changes once in this many seconds, and counts the lines.
    fn lines_of_a_day(period: u32) -> usize {
        let begin = Instant::now();
        let (mut reported, mut lines) = (Reported::new(begin), 0);
        for second in 0..86_400 {
            let now = begin + SECOND * second;
            lines += usize::from(reported.improve(now).is_some());
            if second % period == 0 {
                let condition = if (second / period).is_multiple_of(2) { throttled() } else { Condition::Flowing };
                lines += usize::from(reported.enter(&condition, now));
            }
        }
        lines
    }

    /// Two lines for each pair of an accepted and a partly refused call filled the log of a stream at its limit.
    #[test]
    fn accepted_and_throttled_calls_that_alternate_all_day_are_one_line() {
        assert_eq!(lines_of_a_day(1), 1);
    }

    #[test]
    fn however_slowly_a_service_goes_back_and_forth_a_day_of_it_is_few_lines() {
        for period in [3, 7, 12, 25, 60, 250] {
            let lines = lines_of_a_day(period);
            assert!(lines <= 20, "{lines} lines at one change in {period} s");
        }
    }

    #[test]
    fn an_improvement_is_told_once_it_has_lasted_and_worse_news_at_once() {
        let begin = Instant::now();
        let mut reported = Reported::new(begin);
        assert!(reported.enter(&throttled(), begin));
        assert!(!reported.enter(&Condition::Flowing, begin + SECOND));
        assert_eq!(reported.deadline(), Some(begin + LEAST_CALM));
        assert_eq!(reported.improve(begin + LEAST_CALM - SECOND), None);
        assert!(reported.enter(&paused("denied"), begin + SECOND * 2), "a pause is worse than a throttle");
        assert!(!reported.enter(&Condition::Flowing, begin + SECOND * 3));
        assert_eq!(reported.improve(begin + SECOND * 2 + LEAST_CALM), Some(Condition::Flowing));
        assert_eq!(reported.deadline(), None);
    }

    #[test]
    fn another_reason_for_a_pause_is_told_and_another_request_id_is_not() {
        let begin = Instant::now();
        let mut reported = Reported::new(begin);
        assert!(reported.enter(&paused("denied for request 11-aa"), begin));
        assert!(!reported.enter(&paused("denied for request 22-bb"), begin));
        assert!(reported.enter(&paused("no such stream"), begin));
        assert!(!reported.enter(&paused("denied for request 33-cc"), begin), "it was reported before");
        let invented = (0..1_000_u32).filter(|number| {
            let word: String = number.to_string().bytes().map(|digit| (digit + 49) as char).collect();
            reported.enter(&paused(&word), begin)
        });
        assert_eq!(invented.count(), MOST_REASONS - 2);
    }

    /// Request ids of some services are letters only; a sentence has no word that long.
    #[test]
    fn a_word_over_40_letters_is_no_news_and_one_of_40_is() {
        let now = Instant::now();
        for (letters, news) in [(40, true), (41, false)] {
            let mut reported = Reported::new(now);
            assert!(reported.enter(&paused(&format!("denied {}", "a".repeat(letters))), now));
            assert_eq!(reported.enter(&paused(&format!("denied {}", "b".repeat(letters))), now), news, "{letters}");
        }
    }

    #[test]
    fn trouble_that_comes_back_soon_makes_the_next_improvement_wait_longer_up_to_ten_minutes() {
        let mut now = Instant::now();
        let mut reported = Reported::new(now);
        let (soon, later) = (RELAPSE - SECOND, RELAPSE);
        for (well, calm) in [
            (SECOND, 15),
            (soon, 30),
            (SECOND, 60),
            (soon, 120),
            (soon, 240),
            (soon, 480),
            (soon, 600),
            (soon, 600),
            (later, 15),
            (soon, 30),
        ] {
            now += well;
            assert!(reported.enter(&throttled(), now));
            assert!(!reported.enter(&Condition::Flowing, now));
            assert_eq!(reported.deadline(), Some(now + SECOND * calm), "{well:?}");
            now += SECOND * calm;
            assert_eq!(reported.improve(now), Some(Condition::Flowing));
        }
    }

    /// Reasons are forgotten when all is well again, and not when it is only better.
    #[test]
    fn a_reason_for_a_pause_is_news_again_once_the_flow_went_well() {
        for (better, news) in [(Condition::Flowing, true), (throttled(), false)] {
            let begin = Instant::now();
            let mut reported = Reported::new(begin);
            assert!(reported.enter(&paused("denied"), begin));
            assert!(!reported.enter(&better, begin));
            assert_eq!(reported.improve(begin + LEAST_CALM), Some(better.clone()));
            assert!(reported.enter(&paused("no such stream"), begin + LEAST_CALM), "it is worse again");
            assert_eq!(reported.enter(&paused("denied"), begin + LEAST_CALM), news, "{better:?}");
        }
    }
}

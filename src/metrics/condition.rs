//! Whether CloudWatch takes what it is sent: what is worth a line in the log, and how long to wait.
//! Promises one line for each kind of trouble until it is over, and calls that become rare while they fail.
//! Leaves sending and the clock to the parent.

use std::time::Duration;

/// The longest pause between two attempts that fail, unless the period itself is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// Kinds of trouble that are remembered as said; more than there are at one place.
const MOST_SAID: usize = 8;

/// How it went so far.
#[derive(Debug, Default)]
pub(super) struct Condition {
    failures: u32,
    /// Codes that were said since it last worked.
    said: Vec<String>,
}

impl Condition {
    /// An attempt failed with this code; whether to say so.
    pub(super) fn failed(&mut self, code: &str) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.said.len() >= MOST_SAID || self.said.iter().any(|said| said == code) {
            return false;
        }
        self.said.push(code.to_owned());
        true
    }

    /// An attempt went well; whether to say so, because the opposite was said.
    pub(super) fn succeeded(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }

    /// Whether the last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// How long to wait before the next attempt: a period, twice that after each failure, 15 min at most.
    pub(super) fn pause(&self, every: Duration) -> Duration {
        let longest = LONGEST_PAUSE.max(every);
        every.saturating_mul(1 << self.failures.min(16)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_trouble_is_said_once_until_it_is_over() {
        let mut condition = Condition::default();
        assert!(!condition.succeeded(), "what goes well from the start is not worth a line");
        assert!(condition.failed("connection"));
        assert!(condition.failed("AccessDenied"), "another reason, and the operator must know it");
        assert!(!condition.failed("connection"));
        assert!(!condition.failed("AccessDenied"));
        assert!(condition.succeeded());
        assert!(!condition.succeeded());
        assert!(condition.failed("AccessDenied"));
    }

    #[test]
    fn whatever_an_endpoint_invents_the_log_stays_short() {
        let mut condition = Condition::default();
        assert_eq!((0..1000).filter(|code| condition.failed(&code.to_string())).count(), MOST_SAID);
    }

    #[test]
    fn attempts_that_fail_become_rare_and_never_rarer_than_the_limit() {
        let (mut condition, every) = (Condition::default(), Duration::from_secs(30));
        let mut pauses = vec![condition.pause(every).as_secs()];
        for _ in 0..7 {
            condition.failed("x");
            pauses.push(condition.pause(every).as_secs());
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900, 900]);
        for _ in 0..100 {
            condition.failed("x");
        }
        assert_eq!(condition.pause(Duration::from_secs(3600)), Duration::from_secs(3600), "a period is not cut");
        condition.succeeded();
        assert_eq!(condition.pause(every), every);
    }
}

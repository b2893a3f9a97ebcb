//! When to sync: one sync serves all messages that wait, so a message waits a little for others, and no longer than that.
//! Promises that no message waits longer than the interval for company, and none where the broker is known to wait too:
//! brokers stop at a number of unacknowledged messages, and then no more come. Leaves syncing to the spool.

use std::time::{Duration, Instant};

/// When the messages of one connection are handed over for syncing.
#[derive(Debug)]
pub struct Group {
    /// The longest wait for company.
    interval: Duration,
    /// When the first message that waits arrived, and when the last did.
    waiting: Option<(Instant, Instant)>,
    /// The number of unanswered messages at which the broker seems to stop.
    window: Option<usize>,
    /// A guess at that, to be confirmed when messages follow the answers at once.
    guess: Option<usize>,
    /// When the last answers were sent, until the next message arrives.
    answered: Option<Instant>,
}

impl Group {
    pub const fn new(interval: Duration) -> Self {
        Self { interval, waiting: None, window: None, guess: None, answered: None }
    }

    /// Messages arrived.
    pub fn arrived(&mut self, now: Instant) {
        if let Some(answered) = self.answered.take() {
            // Only what waited for the answers follows them at once.
            let prompt = now.saturating_duration_since(answered) < self.interval / 2;
            self.window = if prompt { self.guess.or(self.window) } else { None };
            self.guess = None;
        }
        let first = self.waiting.map_or(now, |(first, _)| first);
        self.waiting = Some((first, now));
    }

    /// When the messages that wait are due, given how many are unanswered by now.
    pub fn due(&self, unanswered: usize) -> Option<Instant> {
        let (first, last) = self.waiting?;
        Some(if self.window.is_some_and(|window| unanswered >= window) { last } else { first + self.interval })
    }

    /// They were handed over.
    pub fn taken(&mut self, unanswered: usize, now: Instant) {
        let Some((_, last)) = self.waiting.take() else { return };
        match self.window {
            Some(window) if unanswered > window => self.window = Some(unanswered),
            Some(_) => {}
            None if now.saturating_duration_since(last) >= self.interval / 2 => self.guess = Some(unanswered),
            None => {}
        }
    }

    /// Answers were sent.
    pub const fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
    }

    /// The connection is another.
    pub const fn reset(&mut self) {
        self.waiting = None;
        self.window = None;
        self.guess = None;
        self.answered = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);

    #[test]
    fn a_message_waits_no_longer_than_the_interval_whoever_comes_after_it() {
        let (start, mut group) = (Instant::now(), Group::new(INTERVAL));
        assert_eq!(group.due(0), None);
        for millis in 0..10 {
            group.arrived(start + Duration::from_millis(millis));
            assert_eq!(group.due(5), Some(start + INTERVAL));
        }
        group.taken(10, start + INTERVAL);
        assert_eq!(group.due(10), None);
    }

    /// A broker that sends `window` messages and then waits for the answers; returns the wait before each sync.
    fn waits(window: usize, pause: Duration) -> Vec<Duration> {
        let (mut now, mut group) = (Instant::now(), Group::new(INTERVAL));
        (0..5)
            .map(|_| {
                group.arrived(now);
                let due = group.due(window).unwrap().max(now);
                let wait = due - now;
                group.taken(window, due);
                group.answered(due);
                now = due + pause;
                wait
            })
            .collect()
    }

    #[test]
    fn a_broker_that_waits_for_answers_is_not_kept_waiting_for_company_that_cannot_come() {
        let waits = waits(20, Duration::from_micros(100));
        assert_eq!(waits[0], INTERVAL);
        assert!(waits[1..].iter().all(Duration::is_zero), "{waits:?}");
    }

    #[test]
    fn a_few_messages_now_and_then_wait_for_company() {
        assert!(waits(1, Duration::from_millis(100)).iter().all(|wait| *wait == INTERVAL));
    }

    #[test]
    fn a_window_that_grows_is_learned_anew() {
        let (now, mut group) = (Instant::now(), Group::new(INTERVAL));
        group.arrived(now);
        group.taken(20, now + INTERVAL);
        group.answered(now + INTERVAL);
        let now = now + INTERVAL;
        group.arrived(now);
        assert_eq!((group.due(19), group.due(20)), (Some(now + INTERVAL), Some(now)));
        group.taken(64, now);
        group.arrived(now);
        assert_eq!((group.due(63), group.due(64)), (Some(now + INTERVAL), Some(now)));
    }
}

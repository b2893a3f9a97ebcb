//! Growth that waits for more growth: a log that is written to all the time is looked at some times a second, not once for
//! each line. And opened files that wait for each other.
//! Promises that the first event after a quiet moment never waits, that none waits longer than it may, that nothing waits
//! while names change, and that anything else the thread is needed for comes at once.
//! Leaves what the events say to `watch`.
//!
//! The thread that receives the events is the one that waits, because waking it costs as much as a look at the file. While
//! it waits, the kernel makes one event of equal ones.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a change of names every event is passed on at once for so long: a rotation is several of them.
const ALERT: Duration = Duration::from_secs(1);

/// An event that comes so soon after the one before it was in the queue already, and others may stand behind it.
const QUEUED: Duration = Duration::from_micros(200);

/// Files that are opened this soon one after the other are many: at a start, all logs are. Their events say nothing, and wait
/// this long for each other; a rename behind them in the queue hardly notices.
const OPENED_TOGETHER: Duration = Duration::from_millis(4);
const OPENED_WAITS: Duration = Duration::from_millis(2);

/// After such a wait the queue is drained for this long at least, which is more than came into it meanwhile.
const OPENED_DRAINED: Duration = Duration::from_micros(500);

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Coalescing {
    state: Mutex<State>,
    interrupted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How long growth may wait.
    patience: Duration,
    /// How many callers need the thread now.
    interruptions: u32,
    /// When growth was passed on last.
    passed: Option<Instant>,
    /// When the thread was done with the last event of growth or change.
    done: Option<Instant>,
    /// When a name changed last.
    changed: Option<Instant>,
    /// When the last event of an opened or closed file came.
    opened: Option<Instant>,
    /// When the thread had waited for such events last.
    opened_waited: Option<Instant>,
}

/// Whether `now` is less than this time after the moment.
fn is_within(moment: Option<Instant>, time: Duration, now: Instant) -> bool {
    moment.is_some_and(|moment| now < moment + time)
}

impl State {
    /// Whether the thread is needed, or names change: no event waits then.
    fn must_go_on(&self, now: Instant) -> bool {
        self.interruptions > 0 || is_within(self.changed, ALERT, now)
    }

    /// Until when growth that is seen now is to wait.
    fn until(&self, now: Instant) -> Option<Instant> {
        if self.must_go_on(now) || is_within(self.done, QUEUED, now) {
            return None;
        }
        self.passed.map(|passed| passed + self.patience).filter(|until| now < *until)
    }

    /// The thread waited for opened files from one moment to the other. Growth that stands in the queue behind them does not
    /// wait again for that.
    fn has_waited(&mut self, from: Instant, to: Instant) {
        if is_within(self.done, QUEUED, from) {
            self.done = Some(to);
        }
        self.opened_waited = Some(to);
    }

    /// Until when the thread is to wait after a file was opened now.
    fn opened_until(&self, now: Instant) -> Option<Instant> {
        let together = is_within(self.opened, OPENED_TOGETHER, now);
        let queued = is_within(self.opened_waited, OPENED_DRAINED, now);
        (together && !queued && !self.must_go_on(now)).then(|| now + OPENED_WAITS)
    }
}

impl Coalescing {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Growth waits for so long at most.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.lock().patience = patience;
    }

    /// Something was written to a file. Returns when that is to be passed on.
    pub(super) fn grown(&self) {
        let mut state = self.lock();
        let mut now = Instant::now();
        while let Some(until) = state.until(now) {
            state = self.interrupted.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
            now = Instant::now();
        }
        state.passed = Some(now);
    }

    /// A file was opened, or closed: the agent's own doing, often.
    pub(super) fn opened(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(until) = state.opened_until(now) {
            let needed = |state: &mut State| state.interruptions == 0;
            state = self
                .interrupted
                .wait_timeout_while(state, until - now, needed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.has_waited(now, Instant::now());
        }
        state.opened = Some(Instant::now());
    }

    /// A name came, went or changed.
    pub(super) fn changed(&self) {
        self.lock().changed = Some(Instant::now());
    }

    /// The event was passed on.
    pub(super) fn done(&self) {
        self.lock().done = Some(Instant::now());
    }

    /// The thread is needed for something else: it does not wait as long as the answer lives.
    pub(super) fn interrupt(&self) -> Interruption<'_> {
        self.lock().interruptions += 1;
        self.interrupted.notify_all();
        Interruption(self)
    }
}

/// See [`Coalescing::interrupt`].
#[must_use]
pub(super) struct Interruption<'a>(&'a Coalescing);

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        self.0.lock().interruptions -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A log that grew at this moment, and nothing else happened for a while.
    fn grown_at(moment: Instant) -> State {
        State { patience: 50 * MS, passed: Some(moment), done: Some(moment), ..State::default() }
    }

    #[test]
    fn growth_waits_only_for_the_rest_of_the_time_since_the_last_one() {
        let start = Instant::now();
        let state = grown_at(start);
        assert_eq!(state.until(start + 10 * MS), Some(start + 50 * MS));
        assert_eq!(state.until(start + 50 * MS), None);
        assert_eq!(State { passed: None, ..state }.until(start + 10 * MS), None, "the first one");
        assert_eq!(State { patience: Duration::ZERO, ..grown_at(start) }.until(start + 10 * MS), None);
    }

    /// Many files grow in turn: after the wait, all their events are in the queue. If each of them waited, the queue would
    /// grow for ever.
    #[test]
    fn what_stands_in_the_queue_does_not_wait_again() {
        let start = Instant::now();
        let state = State { done: Some(start + 10 * MS), ..grown_at(start) };
        assert_eq!(state.until(start + 10 * MS + QUEUED / 2), None);
        assert_eq!(state.until(start + 10 * MS + QUEUED), Some(start + 50 * MS));
    }

    /// At a start with thousands of logs each of them is opened, and each event woke the thread: almost half of what the start
    /// took.
    #[test]
    fn opens_in_a_burst_wake_the_thread_once_and_a_single_one_at_once() {
        let start = Instant::now();
        let opened = || State { opened: Some(start), ..State::default() };
        assert_eq!(State::default().opened_until(start), None, "the first one");
        assert_eq!(opened().opened_until(start), Some(start + OPENED_WAITS));
        assert_eq!(opened().opened_until(start + OPENED_TOGETHER), None, "a single one");
        let queued = State { opened_waited: Some(start), ..opened() };
        assert_eq!(queued.opened_until(start + OPENED_DRAINED / 2), None, "it was in the queue");
        assert!(queued.opened_until(start + OPENED_DRAINED).is_some());
        assert_eq!(State { interruptions: 1, ..opened() }.opened_until(start + MS), None);
        let changed = State { opened: Some(start), changed: Some(start), ..State::default() };
        assert_eq!(changed.opened_until(start + MS), None, "names change");
    }

    /// Several programs open a log, write a line and close it, each time. The wait for an opened file made the growth that
    /// stood behind it in the queue wait again, by its whole patience: the thread fell minutes behind.
    #[test]
    fn growth_that_stands_behind_an_opened_file_in_the_queue_does_not_wait_again() {
        let start = Instant::now();
        let (from, to) = (start + QUEUED / 2, start + QUEUED / 2 + OPENED_WAITS);
        let mut state = grown_at(start);
        state.has_waited(from, to);
        assert_eq!(state.until(to + QUEUED / 2), None);
        assert_eq!(state.until(to + QUEUED), Some(start + 50 * MS), "what comes later waits as ever");
        let mut state = grown_at(start);
        state.has_waited(start + QUEUED, to);
        assert_eq!(state.until(to), Some(start + 50 * MS), "it was not in the queue");
    }

    #[test]
    fn nothing_waits_while_names_change() {
        let start = Instant::now();
        let state = State { changed: Some(start), patience: 10 * ALERT, ..grown_at(start) };
        assert_eq!(state.until(start + ALERT / 2), None);
        assert_eq!(state.until(start + ALERT), Some(start + 10 * ALERT));
    }

    /// A folder is added to the watcher by its own thread. With an hour of patience, this test would not end if that waited.
    #[test]
    fn who_needs_the_thread_gets_it_at_once() {
        let coalescing = std::sync::Arc::new(Coalescing::default());
        coalescing.set_patience(Duration::from_secs(3600));
        coalescing.grown();
        let waiting = coalescing.clone();
        let thread = std::thread::spawn(move || waiting.grown());
        let interruption = coalescing.interrupt();
        thread.join().unwrap();
        assert_eq!(coalescing.lock().until(Instant::now() + MS), None, "as long as it is needed");
        drop(interruption);
        assert!(coalescing.lock().until(Instant::now()).is_some());
    }
}

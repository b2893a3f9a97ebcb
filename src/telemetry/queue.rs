//! The log's queue and the thread that writes it: logging never waits for the reader of the log.
//! Promises that pushing takes no longer than a lock, that the queue has a bound, and that what was dropped is counted and
//! said as soon as there is room. Leaves where lines go to the sink.

use super::entry::{Entry, Value};
use crate::telemetry::clock;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::Level;

/// What the queue holds at most, in bytes.
const MOST: usize = 1 << 20;
/// Of that only warnings and errors may use the rest.
const MOST_FOR_ALL: usize = MOST / 4 * 3;
/// At the end of the process the writer has so long for each line, and so long for all.
const LAST_LINE: Duration = Duration::from_millis(250);
const LAST_LINES: Duration = Duration::from_secs(2);
/// Little of it is ever used; the writer formats lines.
const STACK: usize = 256 * 1024;

/// Where lines go. May block for as long as it likes.
pub(super) trait Sink: Send {
    /// Writes one event as a line.
    fn write(&mut self, entry: &Entry) -> io::Result<()>;
}

/// The end that is pushed to; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a line, or one was written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Sum of the sizes of `entries`; `<= MOST`.
    bytes: usize,
    /// Lines that nobody has read of.
    dropped: u64,
    /// Lines that the sink was given, whether it took them or not.
    written: u64,
    /// The sink is at work.
    writing: bool,
}

impl Queue {
    /// Starts the thread that writes to `sink`. It ends with the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(sink: impl Sink + 'static) -> io::Result<Self> {
        let queue = Self::default();
        let own = queue.clone();
        std::thread::Builder::new().name("log".into()).stack_size(STACK).spawn(move || own.write(sink))?;
        Ok(queue)
    }

    /// Takes the event, or counts it as dropped. Never waits for the sink.
    pub(super) fn push(&self, entry: Entry) {
        let most = if entry.level <= Level::WARN { MOST } else { MOST_FOR_ALL };
        let size = entry.size();
        let mut state = self.lock();
        if state.bytes + size > most {
            state.dropped += 1;
            return;
        }
        state.bytes += size;
        state.entries.push_back(entry);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until all is written, or the sink stands still.
    pub(super) fn flush(&self) {
        let end = Instant::now() + LAST_LINES;
        let mut state = self.lock();
        while (state.writing || !state.entries.is_empty()) && Instant::now() < end {
            let before = state.written;
            let waited = self.0.changed.wait_timeout_while(state, LAST_LINE, |state| state.written == before);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.written == before {
                return;
            }
        }
    }

    fn write(&self, mut sink: impl Sink) {
        loop {
            let entry = self.next();
            let taken = sink.write(&entry);
            let mut state = self.lock();
            state.written += 1;
            state.writing = false;
            state.dropped += u64::from(taken.is_err());
            // Said once the sink takes something again: not in the queue, which may still be full.
            let dropped = if taken.is_ok() { std::mem::take(&mut state.dropped) } else { 0 };
            state.writing = dropped > 0;
            drop(state);
            if dropped > 0 {
                let said = sink.write(&about(dropped));
                let mut state = self.lock();
                state.writing = false;
                state.dropped += if said.is_err() { dropped } else { 0 };
            }
            self.0.changed.notify_all();
        }
    }

    fn next(&self) -> Entry {
        let mut state = self.lock();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                state.bytes -= entry.size();
                state.writing = true;
                return entry;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn about(dropped: u64) -> Entry {
    let mut entry = Entry::new(
        clock::now_ms(),
        Level::WARN,
        module_path!(),
        "log lines were dropped, because the log could not be written fast enough or at all; delivery went on meanwhile",
    );
    entry.fields.push(("dropped", Value::Plain(dropped.to_string())));
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Takes a line for each permit, and passes on what it was given.
    struct Gate {
        permits: Receiver<io::Result<()>>,
        lines: SyncSender<String>,
    }

    impl Sink for Gate {
        fn write(&mut self, entry: &Entry) -> io::Result<()> {
            self.lines.send(entry.words()).ok();
            self.permits.recv().unwrap_or(Ok(()))
        }
    }

    fn gate() -> (Queue, SyncSender<io::Result<()>>, Receiver<String>) {
        let (permit, permits) = sync_channel(1 << 16);
        let (lines, seen) = sync_channel(1 << 16);
        (Queue::start(Gate { permits, lines }).unwrap(), permit, seen)
    }

    fn entry(level: Level, message: &str) -> Entry {
        Entry::new(0, level, "test", message)
    }

    /// stderr was a pipe that nobody read: the first line that did not fit stopped every flow, and the stop too.
    #[test]
    fn a_sink_that_stands_still_holds_nobody_up_and_what_was_dropped_is_said_afterwards() {
        let (queue, permit, seen) = gate();
        let long = "x".repeat(1000);
        for _ in 0..10_000 {
            queue.push(entry(Level::INFO, &long));
        }
        let held = queue.lock().bytes;
        assert!(held <= MOST_FOR_ALL && held > MOST_FOR_ALL / 2, "{held}");
        queue.push(entry(Level::ERROR, "there is room for what matters"));
        let dropped = queue.lock().dropped;
        // Returns although nobody takes anything.
        queue.flush();
        for _ in 0..10_000 {
            permit.send(Ok(())).unwrap();
        }
        queue.flush();
        let lines: Vec<String> = seen.try_iter().collect();
        assert!(lines[1].contains(&format!("dropped={dropped}")), "{}", lines[1]);
        assert_eq!(lines.last().unwrap(), "there is room for what matters");
        let ordinary = lines.iter().filter(|line| **line == long).count();
        assert_eq!(ordinary as u64 + dropped, 10_000, "each is written or counted");
    }

    /// A full disk under a redirected log.
    #[test]
    fn lines_that_the_sink_refuses_are_counted_and_said_once_it_takes_some_again() {
        let (queue, permit, seen) = gate();
        for _ in 0..3 {
            queue.push(entry(Level::INFO, "lost"));
            permit.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        }
        queue.flush();
        queue.push(entry(Level::INFO, "there again"));
        permit.send(Ok(())).unwrap();
        permit.send(Ok(())).unwrap();
        queue.flush();
        let lines: Vec<String> = seen.try_iter().collect();
        assert_eq!(lines[3], "there again");
        assert!(lines[4].ends_with("dropped=3"), "{lines:?}");
    }
}

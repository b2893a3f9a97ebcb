//! The thread that owns the store: collects updates, and writes them as soon as the pace allows.
//! Promises that posting never waits for the disk, that a failed write is tried again and not forgotten, and that what was
//! written is on the disk a second later: a crash of the agent loses no transaction, one of the machine the newest second.
//! Leaves the format to the store, and what an old checkpoint costs to the operator's judgement.

use super::pace::Pace;
use super::{Error, Store, pending::Pending};
use crate::saved::{CheckpointUpdate, Remembered};
use crate::telemetry::ids;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Time between two attempts to write while writing fails.
const RETRY: Duration = Duration::from_secs(1);
/// A transaction is on the disk, and not only with the kernel, after this at the latest.
const SYNC: Duration = Duration::from_secs(1);
/// A write that has to wait is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// So often the last write is tried while stopping.
const LAST_ATTEMPTS: u32 = 3;
/// And with so much time in between.
const LAST_PACE: Duration = Duration::from_millis(200);

/// Owns the thread. Dropping it without [`Keeper::finish`] leaves the thread to the end of the process.
#[derive(Debug)]
pub struct Keeper {
    poster: Poster,
    thread: JoinHandle<Result<(), Error>>,
}

/// Hands updates to the keeper; cheap to clone.
#[derive(Clone, Debug)]
pub struct Poster {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Pending,
    /// Who wants to know what is saved.
    asked: Vec<oneshot::Sender<Result<Remembered, Error>>>,
    stopping: bool,
    health: Health,
}

/// How the saving of positions gets on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the last write failed; `None` when it succeeded or none was needed yet.
    pub failing: Option<String>,
    /// When the newest write succeeded.
    pub last_success: Option<Instant>,
    /// Since when something waits to be written; `None` when all that was posted is on disk.
    pub unsaved_since: Option<Instant>,
}

impl Poster {
    /// Takes the update in; the newest row of a file wins. Never waits for the disk.
    pub fn post(&self, update: CheckpointUpdate) {
        let mut state = self.lock();
        let waits_already = !state.pending.is_empty();
        let urgent = !update.started.is_empty();
        state.pending.merge(update);
        if !state.pending.is_empty() {
            state.health.unsaved_since.get_or_insert_with(Instant::now);
            drop(state);
            if urgent || !waits_already {
                self.shared.changed.notify_one();
            }
        }
    }

    /// How saving gets on.
    #[must_use]
    pub fn health(&self) -> Health {
        self.lock().health.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Store) -> std::io::Result<Self> {
        let poster = Poster { shared: Arc::default() };
        let own = poster.clone();
        // The subscriber of whoever starts it: a thread of its own would only see the global one.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || tracing::dispatcher::with_default(&log, || keep(&own, store)))?;
        Ok(Self { poster, thread })
    }

    /// See [`Poster::post`].
    pub fn post(&self, update: CheckpointUpdate) {
        self.poster.post(update);
    }

    /// See [`Poster::health`].
    #[must_use]
    pub fn health(&self) -> Health {
        self.poster.health()
    }

    /// A handle for whoever posts.
    #[must_use]
    pub fn poster(&self) -> Poster {
        self.poster.clone()
    }

    /// What is saved, with what still waits to be.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn remembered(&self) -> Result<Remembered, Error> {
        let (sender, answer) = oneshot::channel();
        self.poster.lock().asked.push(sender);
        self.poster.shared.changed.notify_one();
        answer.await.unwrap_or(Err(Error::Died))
    }

    /// Writes what still waits, closes the database and frees the folder. Ends within a few seconds.
    ///
    /// # Errors
    /// When the last write failed every time: after the next start some records are sent again.
    pub fn finish(self) -> Result<(), Error> {
        self.poster.lock().stopping = true;
        self.poster.shared.changed.notify_one();
        self.thread.join().unwrap_or(Err(Error::Died))
    }
}

fn keep(poster: &Poster, mut store: Store) -> Result<(), Error> {
    let mut pace = Pace::new(Instant::now());
    let mut attempts = 0;
    // When the oldest transaction that may not be on the disk was written.
    let mut unsynced: Option<Instant> = None;
    // While writing fails: when to try again.
    let mut retry: Option<Instant> = None;
    loop {
        let (taken, stopping) = match wait(poster, &mut pace, retry, unsynced.map(|since| since + SYNC)) {
            Woken::End => break,
            Woken::Sync => {
                // A disk that cannot be synced fails the next write too, which is reported; no need to hurry.
                unsynced = store.sync().err().map(|_| Instant::now());
                continue;
            }
            Woken::Read(asked) => {
                for sender in asked {
                    let saved = store.remembered();
                    let saved = saved.map(|saved| poster.lock().pending.over(saved));
                    // Who asked may have stopped waiting.
                    sender.send(saved).ok();
                }
                continue;
            }
            Woken::Write(taken, stopping) => (taken, stopping),
        };
        let durable = taken.is_first_start();
        let before = processor_time();
        let result = store.write(&taken, durable);
        let took = processor_time().saturating_sub(before);
        note(poster, taken, &result);
        let now = Instant::now();
        match result {
            Ok(written) => {
                retry = None;
                pace.wrote(written, took, !durable, now);
                unsynced = if durable { None } else { unsynced.or(Some(now)) };
            }
            Err(error) if stopping => {
                attempts += 1;
                if attempts == LAST_ATTEMPTS {
                    return Err(error);
                }
                std::thread::sleep(LAST_PACE);
            }
            Err(_) => retry = Some(now + RETRY),
        }
    }
    if unsynced.is_some() {
        store.sync()?;
    }
    Ok(())
}

/// The processor time of this thread. Unlike the time that passed it does not grow when others keep the host busy, so that
/// positions are saved as often there as anywhere.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What there is to do.
enum Woken {
    /// This, and whether we are stopping.
    Write(Pending, bool),
    /// What was written is to be on the disk.
    Sync,
    /// These want to know what is saved.
    Read(Vec<oneshot::Sender<Result<Remembered, Error>>>),
    /// We are stopping and nothing is left.
    End,
}

/// Waits until there is something to do and it is time for it.
fn wait(poster: &Poster, pace: &mut Pace, retry: Option<Instant>, sync: Option<Instant>) -> Woken {
    let mut state = poster.lock();
    loop {
        if !state.asked.is_empty() {
            return Woken::Read(std::mem::take(&mut state.asked));
        }
        let now = Instant::now();
        pace.delivered(std::mem::take(&mut state.pending.settled_bytes));
        let due = (!state.pending.is_empty()).then(|| {
            let urgent = state.stopping || state.pending.is_first_start();
            let paced = if urgent { now } else { pace.next(now) };
            if state.stopping { now } else { paced.max(retry.unwrap_or(now)) }
        });
        if due.is_some_and(|due| due <= now) {
            return Woken::Write(std::mem::take(&mut state.pending), state.stopping);
        }
        if state.stopping {
            return Woken::End;
        }
        if sync.is_some_and(|sync| sync <= now) {
            return Woken::Sync;
        }
        // What is delivered meanwhile may bring the next write forward.
        let next = due.map(|due| due.min(now + LOOK_AGAIN)).into_iter().chain(sync).min();
        state = match next {
            Some(next) => {
                let waited = poster.shared.changed.wait_timeout(state, next - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => poster.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

/// Keeps the accounts of a write: one line when it begins to fail, one when it works again.
fn note(poster: &Poster, taken: Pending, result: &Result<u64, Error>) {
    let mut state = poster.lock();
    match result {
        Ok(_) => {
            let now = Instant::now();
            state.health.last_success = Some(now);
            state.health.unsaved_since = (!state.pending.is_empty()).then_some(now);
            if state.health.failing.take().is_some() {
                tracing::info!(message_id = ids::POSITIONS_SAVED, "positions are saved again");
            }
        }
        Err(error) => {
            state.pending.take_back(taken);
            let reason = error.to_string();
            if state.health.failing.as_ref() != Some(&reason) {
                tracing::error!(
                    message_id = ids::POSITIONS_NOT_SAVED,
                    reason,
                    "cannot save positions; delivery goes on and saving is tried every second, but a restart before \
                     it works again would send again whatever was delivered since; make room or repair the disk that \
                     holds the state folder"
                );
            }
            state.health.failing = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::update;
    use super::super::test_log::Log;
    use super::*;
    use rusqlite::Connection;
    use std::path::Path;

    fn start(folder: &Path) -> Keeper {
        Keeper::start(Store::open(folder, &[], 1).unwrap().0).unwrap()
    }

    fn position(position: u64) -> CheckpointUpdate {
        update(&[("s", 1, Some(position))])
    }

    fn saved(folder: &Path) -> Vec<u64> {
        Store::open(folder, &[], 1).unwrap().1.contents.iter().map(|saved| saved.row.position).collect()
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "in 30 s never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_newest_position_is_on_disk_after_the_end_whatever_was_posted_before() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = start(folder.path());
        for number in 0..5000 {
            keeper.post(position(number));
        }
        keeper.finish().unwrap();
        assert_eq!(saved(folder.path()), [4999]);
    }

    #[test]
    fn without_a_stop_what_is_posted_reaches_the_disk_and_the_health_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = start(folder.path());
        assert_eq!(keeper.health(), Health::default());
        keeper.post(position(7));
        until("saved", || keeper.health().unsaved_since.is_none());
        assert!(keeper.health().last_success.is_some());
        let reader = Connection::open(folder.path().join("checkpoint.db")).unwrap();
        let seen: i64 = reader.query_row("SELECT position FROM contents", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 7, "an operator can read it while the agent runs");
        drop(reader);
        keeper.finish().unwrap();
    }

    /// Positions were written once a second: a kill repeated up to a second of what had been accepted. Written as they
    /// settle, they must not cost more than the bound either.
    #[test]
    fn positions_are_written_as_they_settle_and_the_bytes_written_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = start(folder.path());
        let begun = Instant::now();
        let mut newest = 0;
        while begun.elapsed() < Duration::from_millis(600) {
            newest += 1;
            keeper.post(position(newest));
            std::thread::sleep(Duration::from_millis(1));
        }
        let log = std::fs::metadata(folder.path().join("checkpoint.db-wal")).unwrap().len();
        // Making the tables and the first transaction write a few pages, each other transaction writes one.
        let pages = log / 1048;
        let most = begun.elapsed().as_millis() as u64 / 20 + 11;
        assert!((3..=most).contains(&pages), "{pages} pages in {:?}", begun.elapsed());
        keeper.finish().unwrap();
        assert_eq!(saved(folder.path()), [newest]);
    }

    #[test]
    fn a_first_start_is_written_at_once_whatever_was_written_before() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = start(folder.path());
        for number in 0..20_000 {
            keeper.post(update(&[("s", number, Some(1))]));
        }
        until("saved", || keeper.health().unsaved_since.is_none());
        keeper.post(update(&[("s", 1, Some(2))]));
        let begun = Instant::now();
        keeper.post(CheckpointUpdate { started: vec![("s".into(), "/l/*".into())], ..Default::default() });
        until("saved", || keeper.health().unsaved_since.is_none());
        assert!(begun.elapsed() < super::super::pace::LATEST / 2, "it waited for its turn");
        keeper.finish().unwrap();
    }

    #[test]
    fn a_failing_disk_is_reported_once_holds_up_nobody_and_is_forgotten_when_it_works_again() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::default();
        let keeper = log.during(|| start(folder.path()));
        // Another process that does not let go of the database fails our writes as any other cause does.
        let blocker = Connection::open(folder.path().join("checkpoint.db")).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        keeper.post(position(1));
        until("failed", || keeper.health().failing.is_some());
        for number in 2..=1000 {
            keeper.post(position(number));
        }
        let waiting_since = keeper.health().unsaved_since;
        assert!(waiting_since.is_some() && keeper.health().last_success.is_none());
        blocker.execute_batch("ROLLBACK").unwrap();
        until("recovered", || keeper.health().failing.is_none() && keeper.health().unsaved_since.is_none());
        keeper.finish().unwrap();
        assert_eq!(saved(folder.path()), [1000]);
        let text = log.text();
        assert_eq!(text.matches("cannot save positions").count(), 1, "{text}");
        assert_eq!(text.matches("positions are saved again").count(), 1, "{text}");
    }

    #[test]
    fn a_last_write_that_fails_every_time_is_told_and_leaves_the_older_position() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = start(folder.path());
        keeper.post(position(1));
        until("saved", || keeper.health().unsaved_since.is_none());
        let blocker = Connection::open(folder.path().join("checkpoint.db")).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        keeper.post(position(2));
        assert!(matches!(keeper.finish(), Err(Error::Database { .. })));
        blocker.execute_batch("ROLLBACK").unwrap();
        drop(blocker);
        assert_eq!(saved(folder.path()), [1]);
    }
}

//! The thread that owns the store: collects updates, writes about one transaction a second.
//! Promises that posting never waits for the disk, and that a failed write is tried again and not forgotten.
//! Leaves the format to the store, and what an old checkpoint costs to the operator's judgement.

use super::{Error, Store, pending::Pending};
use datalake_base::record::{CheckpointUpdate, pace_of_saving};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Least time between two transactions, and between two attempts; less soon after the start.
const PACE: Duration = Duration::from_secs(1);
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
    ///
    /// # Panics
    /// When a row has its frontier behind its position.
    pub fn post(&self, update: CheckpointUpdate) {
        let mut state = self.lock();
        state.pending.merge(update);
        if !state.pending.is_empty() {
            state.health.unsaved_since.get_or_insert_with(Instant::now);
            drop(state);
            self.shared.changed.notify_one();
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
    let (begun, mut failed_stopping) = (Instant::now(), 0);
    while let Some((taken, stopping)) = wait(poster) {
        let result = store.write(&taken);
        note(poster, taken, &result);
        match result {
            Ok(()) if stopping => {}
            Err(error) if stopping => {
                failed_stopping += 1;
                if failed_stopping == LAST_ATTEMPTS {
                    return Err(error);
                }
                std::thread::sleep(LAST_PACE);
            }
            _ => pause(poster, pace_of_saving(begun.elapsed(), PACE)),
        }
    }
    Ok(())
}

/// What is to be written now and whether we are stopping; `None` when we are and nothing is left.
fn wait(poster: &Poster) -> Option<(Pending, bool)> {
    let idle = |state: &mut State| state.pending.is_empty() && !state.stopping;
    let waited = poster.shared.changed.wait_while(poster.lock(), idle);
    let mut state = waited.unwrap_or_else(PoisonError::into_inner);
    (!state.pending.is_empty()).then(|| (std::mem::take(&mut state.pending), state.stopping))
}

/// Lets the pace go by; a stop cuts it short.
fn pause(poster: &Poster, pace: Duration) {
    let waited = poster.shared.changed.wait_timeout_while(poster.lock(), pace, |state| !state.stopping);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}

/// Keeps the books of a write: one line when it begins to fail, one when it works again.
fn note(poster: &Poster, taken: Pending, result: &Result<(), Error>) {
    let mut state = poster.lock();
    match result {
        Ok(()) => {
            let now = Instant::now();
            state.health.last_success = Some(now);
            state.health.unsaved_since = (!state.pending.is_empty()).then_some(now);
            if state.health.failing.take().is_some() {
                tracing::info!("positions are saved again");
            }
        }
        Err(error) => {
            state.pending.take_back(taken);
            let reason = error.to_string();
            if state.health.failing.as_ref() != Some(&reason) {
                tracing::error!(
                    reason,
                    "cannot save positions; delivery goes on and saving is tried every second, but a restart before \
                     it works again would send again whatever was delivered since; make room or mend the disk that \
                     holds the state folder"
                );
            }
            state.health.failing = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::row;
    use super::super::test_log::Log;
    use super::*;
    use rusqlite::Connection;
    use std::path::Path;

    fn start(folder: &Path) -> Keeper {
        Keeper::start(Store::open(folder, &[], 1).unwrap().0).unwrap()
    }

    fn position(position: u64) -> CheckpointUpdate {
        CheckpointUpdate { positions: vec![row("s", 1, position)], ..Default::default() }
    }

    fn saved(folder: &Path) -> Vec<u64> {
        Store::open(folder, &[], 1).unwrap().1.positions.iter().map(|row| row.position.0).collect()
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
        let seen: i64 = reader.query_row("SELECT position FROM positions", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 7, "an operator can read it while the agent runs");
        drop(reader);
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

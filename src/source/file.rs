//! Tailing: wait, look, read a little from each file, hand over.
//! Promises that every byte of every matching file is handed over once per process, in order, per origin.
//! Leaves lines to framing and settling to the flow, whose watermarks it turns into checkpoint rows.

/// Who may read a file.
pub mod access;
/// Patterns, and what they match on disk now.
pub mod discover;
/// Positions that another agent has saved.
pub mod import;
/// What patterns match now.
pub mod survey;

mod archive;
mod begin;
mod changes;
mod copies;
mod identity;
mod look;
mod names;
mod opening;
mod own;
mod reader;
mod reconcile;
mod rounds;
mod rows;
mod strand;
mod stream;
mod turns;
mod verify;
mod watch;

pub use own::OwnFiles;

use datalake_base::accounting::Accounting;
use datalake_base::record::{Arrival, CheckpointUpdate, ChunkPool, Remembered, SettledFiles, Watermarks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, mpsc, watch as signal};

/// Which files a flow reads, and from where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The destination as the checkpoint names it: `firehose:NAME`.
    pub stream: String,
    /// A file is read when one of these matches its path.
    pub include: Vec<discover::Pattern>,
    /// And none of these does.
    pub exclude: Vec<discover::Pattern>,
    /// Where to begin in files that existed when the pattern was first started.
    pub initial_position: InitialPosition,
    /// Set where the files belong to the agent itself: nobody renames, cuts or copies them, so each is read from its
    /// beginning without asking whether it is a copy; and how far each is settled is told here, for its owner deletes it.
    pub owned: Option<SettledFiles>,
    /// Files of the agent that are never read as logs, whatever pattern matches them.
    pub own: OwnFiles,
}

/// Where to begin in files that existed at a pattern's very first start; later files are read from byte 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialPosition {
    /// Read them whole.
    StartOfFile,
    /// Read what is appended from now on, a line begun before included.
    #[default]
    EndOfFile,
}

/// One flow as the tailer knows it.
pub struct Input {
    /// The flow's name, for the log.
    pub flow: String,
    /// What it reads.
    pub settings: Settings,
    /// Where arrivals go.
    pub arrivals: mpsc::Sender<Arrival>,
    /// Where settled positions come from.
    pub watermarks: Watermarks,
    /// Where what was read and what was destroyed is counted.
    pub books: Arc<Accounting>,
}

/// The other end of an [`Input`], for whoever takes what was read.
pub struct Outlet {
    /// What was read.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// Where settled positions go.
    pub watermarks: Watermarks,
    /// What was read and what was destroyed.
    pub books: Arc<Accounting>,
}

/// Chunks that wait between the tailer and a flow.
const CHUNKS_WAITING: usize = 1;

impl Input {
    /// Both ends of a flow's input.
    #[must_use]
    pub fn new(flow: &str, settings: &Settings) -> (Self, Outlet) {
        let (to_flow, arrivals) = mpsc::channel(CHUNKS_WAITING);
        let (books, watermarks) = (Arc::new(Accounting::default()), Watermarks::default());
        let outlet = Outlet { arrivals, watermarks: watermarks.clone(), books: books.clone() };
        (Self { flow: flow.to_owned(), settings: settings.clone(), arrivals: to_flow, watermarks, books }, outlet)
    }

    /// Chunks enough for so many flows: each holds one while another waits for it; one more is being filled.
    #[must_use]
    pub fn pool(flows: usize) -> ChunkPool {
        ChunkPool::new(flows * (CHUNKS_WAITING + 1) + 1)
    }
}

/// Where checkpoint updates go; must not block.
pub type Save = Box<dyn Fn(CheckpointUpdate) + Send>;

/// The running tailer of all flows. It ends when [`Tailer::finish`] is called.
#[derive(Debug)]
pub struct Tailer {
    orders: Arc<Orders>,
    /// Its sender goes when the tailer has ended, however that came about.
    ended: signal::Receiver<()>,
}

/// What the tailer is asked to do.
#[derive(Debug, Default)]
struct Orders {
    /// There may be something to do.
    wake: Notify,
    stop_reading: AtomicBool,
    finish: AtomicBool,
    /// An answer: the first look is over.
    begun: AtomicBool,
    /// An answer: it ended because it was told to.
    finished: AtomicBool,
}

/// The tailer died: an invariant broke, so its promises no longer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tailing of files has ended by itself, which is a bug")]
pub struct Died;

impl Tailer {
    /// Begins to tail, beside the other tasks of this runtime: bytes are then read on the core on which they are
    /// encoded and hashed. Where a pattern lies on a filesystem of the network, which may block whoever reads from it
    /// for minutes, it is done on a thread of its own. Flows that feed the same stream share its files: the first
    /// whose patterns match reads a file.
    ///
    /// # Errors
    /// When a thread is needed and cannot be started.
    pub fn start(
        inputs: Vec<Input>,
        remembered: Remembered,
        pool: ChunkPool,
        save: Save,
        runtime: &Handle,
    ) -> std::io::Result<Self> {
        let patterns = inputs.iter().flat_map(|input| &input.settings.include);
        if patterns.into_iter().any(|pattern| pattern.trunks().iter().any(|trunk| watch::is_without_events(trunk))) {
            return Self::start_thread(inputs, remembered, pool, save);
        }
        let (tailer, alive) = Self::new();
        let orders = tailer.orders.clone();
        runtime.spawn(async move {
            rounds::run(inputs, remembered, pool, save, orders.clone()).await;
            orders.finished.store(true, Ordering::Release);
            drop(alive);
        });
        Ok(tailer)
    }

    /// The same on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_thread(
        inputs: Vec<Input>,
        remembered: Remembered,
        pool: ChunkPool,
        save: Save,
    ) -> std::io::Result<Self> {
        let (tailer, alive) = Self::new();
        let orders = tailer.orders.clone();
        let runtime = Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("tail".into()).spawn(move || {
            runtime.block_on(rounds::run(inputs, remembered, pool, save, orders.clone()));
            orders.finished.store(true, Ordering::Release);
            drop(alive);
        })?;
        Ok(tailer)
    }

    fn new() -> (Self, signal::Sender<()>) {
        let (alive, ended) = signal::channel(());
        (Self { orders: Arc::default(), ended }, alive)
    }

    /// Tells that a flow has room again, or that buffers came back. Cheap; may be called for every chunk.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let orders = self.orders.clone();
        Arc::new(move || orders.wake.notify_one())
    }

    /// Whether the first look is over and what it found was handed to `save`: where reading begins in every file that
    /// was there is decided from then on.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.orders.begun.load(Ordering::Acquire)
    }

    /// No further reading: closes the arrival channels. Watermarks are still taken.
    pub fn stop_reading(&self) {
        self.orders.stop_reading.store(true, Ordering::Release);
        self.orders.wake.notify_one();
    }

    /// Takes the last watermarks, saves what they say, and ends the tailer.
    ///
    /// # Errors
    /// When it has died before it came to that.
    pub async fn finish(&self) -> Result<(), Died> {
        self.orders.finish.store(true, Ordering::Release);
        self.orders.wake.notify_one();
        self.ended().await
    }

    /// Returns when it has ended: after [`Tailer::finish`], or because it died.
    ///
    /// # Errors
    /// When it died.
    pub async fn ended(&self) -> Result<(), Died> {
        // Nothing is ever sent: the only change is that the sender is gone.
        while self.ended.clone().changed().await.is_ok() {}
        if self.orders.finished.load(Ordering::Acquire) { Ok(()) } else { Err(Died) }
    }
}

//! Tailing: looks at folders, opens, reads and unpacks as the tail core asks for it, and hands over what it read.
//! Promises that every byte of every matching file is handed over once per process, in order, per origin, and that no step
//! is long. Leaves every decision about files to the tail core, lines to framing, and settling to the flow.

/// Who may read a file.
pub mod access;
/// Patterns, and what they match on disk now.
pub mod discover;
/// Positions that another agent has saved.
pub mod import;
/// A file as a command sees it.
pub mod specimen;
/// What patterns match now.
pub mod survey;
/// Whether a file would be opened.
pub mod way;

/// What is asked of the tailer.
pub mod inquiry;

mod answering;
mod coalescing;
mod identity;
mod listing;
mod own;
mod reading;
mod rounds;
mod share;
mod stream;
mod unpack;
mod walk;
mod watch;
mod words;

pub use own::OwnFiles;
pub use share::Share;
pub use walk::FollowLinks;

use crate::saved::{CheckpointUpdate, Remembered};
use datalake_base::accounting::Accounting;
use datalake_base::record::{Arrival, ChunkPool, Progress, SettledFiles, Watermarks};
use datalake_core::budget::Budget;
use datalake_tail::names;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, mpsc, oneshot, watch as signal};

/// Which files a flow reads, and from where.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The destination as the checkpoint names it: `firehose:NAME`.
    pub stream: String,
    /// A file is read when one of these matches its path.
    pub include: Vec<discover::Pattern>,
    /// And none of these does.
    pub exclude: Vec<discover::Pattern>,
    /// Where to begin in files that existed when the pattern was first started.
    pub initial_position: InitialPosition,
    /// Folders that rotation moves files to, besides the usual ones.
    pub rotated_to: Vec<PathBuf>,
    /// Which links are followed.
    pub follow_links: FollowLinks,
    /// What archives may cost.
    pub archives: datalake_archive::Limits,
    /// Set where the files belong to the agent itself: nobody renames, cuts or copies them, so each is read from its
    /// beginning without asking whether it is a copy; and how far each is settled is posted here, for its owner deletes it.
    pub owned: Option<SettledFiles>,
    /// Whether the first lines of each file are not sent.
    pub skips_header: bool,
    /// Files of the agent that are never read as logs, whatever pattern matches them.
    pub own: OwnFiles,
    /// How long what is written to a file may wait for more, where something was written a moment before.
    pub patience: Duration,
}

impl Settings {
    /// Whether the flow reads what has this path.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let matches = |patterns: &[discover::Pattern]| patterns.iter().any(|pattern| pattern.matches(path));
        matches(&self.include) && !matches(&self.exclude)
    }

    /// Whether it reads what has this path, or what this may be a rotation of.
    #[must_use]
    pub fn matches_rotation(&self, path: &Path) -> bool {
        self.matches(path) || self.rotation_of(path).is_some()
    }

    /// What the flow reads and this may be a rotation of, by its name.
    #[must_use]
    pub fn rotation_of(&self, path: &Path) -> Option<PathBuf> {
        let folder = discover::folder_of(path);
        let bases = names::kin(discover::name_of(path)).into_iter();
        bases.map(|base| folder.join(OsStr::from_bytes(&base))).find(|base| self.matches(base))
    }
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
    pub settings: Arc<Settings>,
    /// Where arrivals go; boxed, because a channel has memory for 32 of what it carries, however few it lets in.
    pub arrivals: mpsc::Sender<Box<Arrival>>,
    /// Where settled positions come from.
    pub watermarks: Watermarks,
    /// Where what was read and what was destroyed is counted.
    pub books: Arc<Accounting>,
}

/// The other end of an [`Input`], for the flow that takes what was read.
pub struct Outlet {
    /// What was read.
    pub arrivals: mpsc::Receiver<Box<Arrival>>,
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
    pub fn new(flow: &str, settings: &Arc<Settings>) -> (Self, Outlet) {
        let (to_flow, arrivals) = mpsc::channel(CHUNKS_WAITING);
        let (books, watermarks) = (Arc::new(Accounting::default()), Watermarks::default());
        let outlet = Outlet { arrivals, watermarks: watermarks.clone(), books: books.clone() };
        (Self { flow: flow.to_owned(), settings: settings.clone(), arrivals: to_flow, watermarks, books }, outlet)
    }

    /// Chunks enough for so many flows: each holds one while another waits for it; one more is being filled.
    #[must_use]
    pub fn pool(flows: usize) -> ChunkPool {
        ChunkPool::new(Self::buffers(flows))
    }

    const fn buffers(flows: usize) -> usize {
        flows * (CHUNKS_WAITING + 1) + 1
    }
}

/// Where checkpoint updates go; must not block.
pub type Save = Box<dyn Fn(CheckpointUpdate) + Send>;

/// What the tailer needs of the agent around it.
pub struct Means {
    /// Buffers to read into.
    pub pool: ChunkPool,
    /// Where checkpoint updates go.
    pub save: Save,
    /// The memory that decoders are charged to.
    pub budget: Option<Arc<Budget>>,
    /// Whether to read on a thread of its own, wherever the patterns lie.
    pub own_thread: bool,
}

impl Means {
    /// These, without a bound on memory but that of each decoder.
    #[must_use]
    pub fn new(pool: ChunkPool, save: Save) -> Self {
        Self { pool, save, budget: None, own_thread: false }
    }
}

/// The running tailer of all flows. It ends when [`Tailer::finish`] is called. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tailer {
    orders: Arc<Orders>,
    /// It has a thread of its own, so filesystems of the network hold up nobody.
    has_thread: bool,
    /// Its sender goes when the tailer has ended, however that came about.
    ended: signal::Receiver<()>,
}

/// What the tailer is asked to do.
#[derive(Debug, Default)]
struct Orders {
    /// There may be something to do.
    wake: Notify,
    /// Something waits for room in a flow.
    wants_room: AtomicBool,
    /// Changes of what is tailed, oldest first.
    changes: Mutex<Vec<Change>>,
    stop_reading: AtomicBool,
    finish: AtomicBool,
    /// Everything is to be read once, and no more.
    once: AtomicBool,
    /// Questions that wait for their answer.
    inquiries: Mutex<VecDeque<inquiry::Inquiry>>,
    /// An answer: where reading begins is decided for everything that was there.
    begun: AtomicBool,
    /// An answer: all that matches is read to its end and settled.
    caught_up: AtomicBool,
    /// An answer: it ended because it was asked to.
    finished: AtomicBool,
}

/// A change of what is tailed. Destinations are named as in [`Settings::stream`].
enum Change {
    /// Hands over nothing more for these.
    StopReading(BTreeSet<String>),
    /// Saves what is settled for these, forgets them, and says so.
    Leave(BTreeSet<String>, oneshot::Sender<()>),
    /// Tails for these too, with so many buffers for all; the files of the agent itself are these.
    Enter(Vec<stream::Stream>, usize, OwnFiles),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StopReading(streams) => formatter.debug_tuple("StopReading").field(streams).finish(),
            Self::Leave(streams, _) => formatter.debug_tuple("Leave").field(streams).finish(),
            Self::Enter(streams, ..) => formatter.debug_tuple("Enter").field(&streams.len()).finish(),
        }
    }
}

/// The tailer died: an invariant broke, so its promises no longer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tailing of files has ended by itself, which is a bug")]
pub struct Died;

impl Tailer {
    /// Begins to tail, beside the other tasks of this runtime: bytes are then read on the core on which they are
    /// encoded and hashed. Where a pattern lies on a filesystem of the network, which may block its reader for minutes,
    /// it is done on a thread of its own. Flows that feed the same stream share its files: the first whose patterns
    /// match reads a file.
    ///
    /// # Errors
    /// When a thread is needed and cannot be started.
    pub fn start(inputs: Vec<Input>, remembered: Remembered, means: Means, runtime: &Handle) -> std::io::Result<Self> {
        if means.own_thread || needs_thread(inputs.iter().map(|input| &*input.settings)) {
            return Self::start_thread(inputs, remembered, means);
        }
        let (tailer, alive) = Self::new(false);
        let orders = tailer.orders.clone();
        runtime.spawn(async move {
            rounds::run(inputs, remembered, means, orders.clone()).await;
            orders.finished.store(true, Ordering::Release);
            drop(alive);
        });
        Ok(tailer)
    }

    /// The same on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_thread(inputs: Vec<Input>, remembered: Remembered, means: Means) -> std::io::Result<Self> {
        let (tailer, alive) = Self::new(true);
        let orders = tailer.orders.clone();
        let runtime = Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("tail".into()).spawn(move || {
            runtime.block_on(rounds::run(inputs, remembered, means, orders.clone()));
            orders.finished.store(true, Ordering::Release);
            drop(alive);
        })?;
        Ok(tailer)
    }

    fn new(has_thread: bool) -> (Self, signal::Sender<()>) {
        let (alive, ended) = signal::channel(());
        (Self { orders: Arc::default(), has_thread, ended }, alive)
    }

    /// Whether it may tail what these settings say: a filesystem of the network needs a thread, which it has from the
    /// start or not at all.
    #[must_use]
    pub fn may_tail<'a>(&self, settings: impl Iterator<Item = &'a Settings>) -> bool {
        self.has_thread || !needs_thread(settings)
    }

    /// Hands over nothing more for these destinations: closes their arrival channels. Watermarks are still taken.
    pub fn stop_reading_for(&self, streams: BTreeSet<String>) {
        self.change(Change::StopReading(streams));
    }

    /// Takes the last watermarks of these destinations, saves what they say, and tails for them no longer.
    ///
    /// # Errors
    /// When it died.
    pub async fn leave(&self, streams: BTreeSet<String>) -> Result<(), Died> {
        let (left, answer) = oneshot::channel();
        self.change(Change::Leave(streams, left));
        tokio::select! {
            answered = answer => answered.map_err(|_| Died),
            ended = self.ended() => Err(ended.err().unwrap_or(Died)),
        }
    }

    /// Tails for these flows too, as after a start: none of their destinations may be tailed now. `flows` is how many there
    /// are in all then, and `own` are the agent's own files.
    ///
    /// # Errors
    /// When it died.
    pub async fn enter(
        &self,
        inputs: Vec<Input>,
        remembered: Remembered,
        flows: usize,
        own: OwnFiles,
    ) -> Result<(), Died> {
        // There may be four hundred thousand rows.
        let streams =
            tokio::task::spawn_blocking(move || rounds::streams(inputs, remembered)).await.map_err(|_| Died)?;
        self.orders.begun.store(false, Ordering::Release);
        self.change(Change::Enter(streams, Input::buffers(flows), own));
        Ok(())
    }

    fn change(&self, change: Change) {
        self.orders.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        self.orders.wake.notify_one();
    }

    /// Tells it what a flow has done. Cheap, and nothing at all where there is room and nobody waits for it.
    #[must_use]
    pub fn waker(&self) -> Arc<dyn Fn(Progress) + Send + Sync> {
        let orders = self.orders.clone();
        Arc::new(move |progress| {
            // What was taken before this is seen by a tailer that says only after it that it waits.
            if progress == Progress::Settled || orders.wants_room.swap(false, Ordering::SeqCst) {
                orders.wake.notify_one();
            }
        })
    }

    /// For questions about files.
    #[must_use]
    pub fn inquirer(&self) -> inquiry::Inquirer {
        inquiry::Inquirer::new(self.orders.clone())
    }

    /// Whether the first look is over and what it found was handed to `save`: where reading begins in every file that
    /// was there is decided from then on.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.orders.begun.load(Ordering::Acquire)
    }

    /// Whether everything that matches is read to its end and settled, as far as could be seen a moment ago.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.orders.caught_up.load(Ordering::Acquire)
    }

    /// Everything that matches is to be read to its end, and nothing that comes after that: a last line without a newline
    /// is then complete. [`Tailer::is_caught_up`] says when it is done and settled.
    pub fn read_once(&self) {
        self.orders.once.store(true, Ordering::Release);
        self.orders.wake.notify_one();
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

/// Whether a pattern lies where reading may block for minutes.
fn needs_thread<'a>(mut settings: impl Iterator<Item = &'a Settings>) -> bool {
    let blocks = |pattern: &discover::Pattern| pattern.trunks().iter().any(|trunk| watch::is_without_events(trunk));
    settings.any(|settings| settings.include.iter().any(blocks))
}

//! The tailing thread: wait, look, read a little from each file, hand over.
//! Promises that every byte of every matching file is handed over once per process, in order, per origin.
//! Leaves lines to framing and settling to the flow, whose watermarks it turns into checkpoint rows.

/// Patterns, and what they match on disk now.
pub mod discover;
/// Positions that another agent has saved.
pub mod import;

mod archive;
mod begin;
mod changes;
mod copies;
mod identity;
mod look;
mod names;
mod opening;
mod reader;
mod reconcile;
mod rounds;
mod rows;
mod strand;
mod stream;
mod turns;
mod verify;
mod watch;

use crate::books::Books;
use crate::record::{Arrival, CheckpointUpdate, ChunkPool, Remembered, Watermarks};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use tokio::sync::mpsc;

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

/// One flow as the tailing thread knows it.
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
    pub books: Arc<Books>,
}

/// Where checkpoint updates go; called on the tailing thread, must not block.
pub type Save = Box<dyn Fn(CheckpointUpdate) + Send>;

/// The running tailing thread; clones are the same thread. It ends when [`Tailer::finish`] is called.
#[derive(Clone, Debug)]
pub struct Tailer {
    thread: Thread,
    orders: Arc<Orders>,
    handle: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the thread is asked to do.
#[derive(Debug, Default)]
struct Orders {
    stop_reading: AtomicBool,
    finish: AtomicBool,
    /// The answer: the first look is over.
    begun: AtomicBool,
}

impl Tailer {
    /// Starts the thread. Flows that feed the same stream share its files: the first whose patterns match reads a file.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(inputs: Vec<Input>, remembered: Remembered, pool: ChunkPool, save: Save) -> std::io::Result<Self> {
        let orders = Arc::new(Orders::default());
        let for_thread = orders.clone();
        let handle = std::thread::Builder::new()
            .name("tail".into())
            .spawn(move || rounds::run(inputs, &remembered, pool, &save, &for_thread))?;
        Ok(Self { thread: handle.thread().clone(), orders, handle: Arc::new(Mutex::new(Some(handle))) })
    }

    /// Tells that a flow has room again, or that buffers came back. Cheap; may be called for every chunk.
    pub fn wake(&self) {
        self.thread.unpark();
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
        self.thread.unpark();
    }

    /// Takes the last watermarks, saves what they say, and ends the thread.
    ///
    /// # Panics
    /// When the thread has panicked: its promises no longer hold.
    pub fn finish(&self) {
        self.orders.finish.store(true, Ordering::Release);
        self.thread.unpark();
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            handle.join().expect("the tailing thread ends by returning");
        }
    }

    /// Whether the thread has ended: after [`Tailer::finish`], or because an invariant broke.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(JoinHandle::is_finished)
    }
}

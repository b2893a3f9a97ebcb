//! The tailing thread: wait, look, read a little from each file, hand over.
//! Promises that every byte of every matching file is handed over once per process, in order, per origin.
//! Leaves lines to framing and settling to the flow, whose watermarks it turns into checkpoint rows.

/// Patterns, and what they match on disk now.
pub mod discover;

use crate::books::Books;
use crate::record::{Arrival, CheckpointUpdate, ChunkPool, Remembered, Watermarks};
use std::sync::Arc;
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

/// The running tailing thread.
#[derive(Clone, Debug)]
pub struct Tailer {}

impl Tailer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(_inputs: Vec<Input>, _remembered: Remembered, _pool: ChunkPool, _save: Save) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Tells that a flow has room again. Cheap; may be called for every chunk.
    pub fn wake(&self) {}

    /// No further reading: closes the arrival channels. Watermarks are still taken.
    pub fn stop_reading(&self) {}

    /// Takes the last watermarks, saves what they say, and ends the thread.
    pub fn finish(&self) {}
}

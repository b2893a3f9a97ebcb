//! The configuration proven runnable: patterns compiled, limits checked, memory summed.

use crate::units::ByteSize;
use crate::{batch, deliver, framing, source};
use std::path::PathBuf;
use std::time::Duration;

/// Everything the agent needs to run. After this exists nothing can be misconfigured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the checkpoint, the lock and the quarantine live.
    pub state_directory: PathBuf,
    /// Where and as whom to call the service.
    pub session: deliver::session::Settings,
    /// All batches and buffers together stay below this.
    pub max_memory: ByteSize,
    /// How long a stop may take before what is unsent is left for the next start.
    pub shutdown_timeout: Duration,
    /// Accepted from the start, used later.
    pub emit_metrics: bool,
    /// At least one.
    pub flows: Vec<FlowPlan>,
}

/// One flow.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Unique, for the log: the delivery stream, with a number where several flows feed it.
    pub name: String,
    /// What is read.
    pub source: source::file::Settings,
    /// How bytes become lines.
    pub framing: framing::Settings,
    /// How lines become calls.
    pub batch: batch::Settings,
    /// How fast calls may go.
    pub pace: deliver::pace::Settings,
    /// Calls under way at the same time; 1 keeps the order of lines.
    pub max_concurrent_requests: usize,
}

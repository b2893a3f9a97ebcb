//! Prometheus: the numbers of the accounting as text, and whether the agent is well, for those who ask on this machine.
//! Promises that nobody beyond this machine is answered, that a flow never waits for who asks, and a bounded number of
//! series whatever the number of files. Leaves counting to the accounting and what is well to the telemetry.

/// Where it listens.
mod listen;
/// Asked, answered, closed.
mod server;
/// Accounting in, text out.
mod text;

pub use listen::Listen;
pub use server::{Answer, Respond, serve};
pub use text::{CONTENT_TYPE, MOST_FLOWS, Seen, Snapshot};

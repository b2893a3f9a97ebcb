//! What the operator sees: the log, the state in words, and what systemd is told.
//! Promises that each line stands for a change of condition, and that systemd is only told what is true.
//! Leaves counting to the books and deciding to the flows.

/// The one place that asks what time it is on the wall.
pub mod clock;
/// One event, taken apart, and its forms.
mod entry;
/// Which lines an operator acts on.
pub mod ids;
/// Whether the agent is well, in a word.
mod health;
/// Lines for the journal, with a field of their own for each field of an event.
mod journal;
/// Which lines are logged.
mod level;
/// Where the log goes, in which form, and how much of it.
mod log;
/// What only time brings.
mod notices;
/// What systemd is told.
mod notify;
/// Between those who log and whoever reads the log.
mod queue;
/// The lag in words.
mod status;
/// Lines on stderr.
mod stderr;
/// Whether the watchdog may be fed.
mod watchdog;

pub use health::Health;
pub use level::BadLevel;
pub use log::{LogError, LogFormat, flush, init, is_set_up};
pub use notices::{Notice, Notices};
pub use notify::Notifier;
pub use status::{FlowLook, Reporter, bytes_in_words, duration_in_words, status_words};
pub use watchdog::Watchdog;

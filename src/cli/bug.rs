//! What is said when the agent itself is at fault: a panic.
//! Promises one line, in the log where there is one, and that saying it never waits for a reader.
//! Leaves the end of the process to the caller.

use crate::telemetry::{self, ids};
use datalake_base::shown::shown;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;

/// Says it. `RUST_BACKTRACE=1` adds where it came from.
pub(super) fn report(info: &PanicHookInfo<'_>) {
    let reason = info.payload_as_str().unwrap_or("an unknown reason");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if telemetry::is_set_up() {
        tracing::error!(
            message_id = ids::BUG,
            reason,
            place,
            thread,
            backtrace,
            "this is a bug in the agent: please report it with this line"
        );
        telemetry::flush();
        return;
    }
    let mut text = format!(
        "datalake-agent: this is a bug in the agent, please report it: {} (at {place}, thread {thread})\n",
        shown(reason)
    );
    if let Some(backtrace) = backtrace {
        text.push_str(&backtrace);
    }
    std::io::stderr().write_all(text.as_bytes()).ok();
}

//! The path of a byte, decided: framing → process → ledger → batch → delivery policy, and the flow that owns it all.
//! Promises that nothing here waits, reads a clock, opens a file or holds a socket: input and `now` in, actions out.
//! Leaves reading, sending, waiting and saving to the agent's shells.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test starts from the clock and makes up the rest"))]

/// Runs in, sealed calls in their wire form out.
pub mod batch;
/// The memory that flows share.
pub mod budget;
/// What a call's answer means; pacing, retrying, giving up on purpose.
pub mod deliver;
/// One flow: input and time in, actions out.
pub mod flow;
/// Bytes in, runs of whole lines out.
pub mod framing;
/// Which bytes of which origin are settled: claims out, watermark back.
pub mod ledger;

//! MQTT without sockets: packets, what is subscribed, which line a message becomes, and which message may be acknowledged.
//! Promises that nothing here waits, reads a clock or opens a file: a connection hands in bytes and `now`.
//! Leaves the connection, TLS, signing in and the spool on disk to the agent.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test starts from the clock and makes up the rest"))]
#![expect(missing_docs, reason = "fields and variants whose name says all; documented as they are touched")]

/// Which message may be acknowledged now.
pub mod acks;
/// What came and what became of it.
pub mod counters;
/// One line for each message.
pub mod envelope;
/// Doors for fuzzers, which the tests go through too.
#[doc(hidden)]
pub mod fuzz;
/// When to sync.
pub mod group;
/// From bytes to a batch of lines.
pub mod intake;
/// What is remembered of a session.
pub mod memory;
/// The packets of MQTT.
pub mod packets;
/// The settings of a flow.
pub mod settings;
/// What is subscribed on one connection.
pub mod subscriptions;
/// Topic filters.
pub mod topics;
/// Codes as words.
pub mod words;

//! `datalake-agent`: tails log files and streams them into Amazon Data Firehose and Kinesis Data Streams, losing nothing.
//!
//! The modules, in the order in which a byte meets them:

/// Files that an operator named, read whole and safely.
pub mod regular;
/// Configuration: as the operator wrote it, then proven runnable.
pub mod config;
/// Where bytes come from: files, tailed by one thread.
pub mod source;
/// What the machine says about itself, for records that are marked with it.
pub mod machine;
/// The service: what it answers and what each answer means; pacing, retrying, giving up on purpose.
pub mod deliver;
/// One flow: the whole life of a byte decided in one place, and the shell that does as told.
pub mod flow;
/// What is saved between two starts.
pub mod saved;
/// Settled positions on disk.
pub mod checkpoint;
/// What the operator sees: journal, counters, status, systemd.
pub mod telemetry;
/// What CloudWatch is told about the books: numbers of each period, under the Kinesis Agent's names.
pub mod metrics;
/// What a flow sends, for somebody who watches.
pub mod tap;
/// The local socket: how commands ask the running agent.
pub mod local;
/// How flows and files stand, as the agent tells and the commands show.
pub mod status;
/// What Prometheus and probes on this machine are answered.
pub mod prometheus;
/// The plan, running: signals, drain, who died.
pub mod app;
/// A host of the Kinesis Agent moves over: its configuration and its saved positions.
pub mod migrate;
/// The commands.
pub mod cli;
/// The exit codes.
pub mod exit;

//! The lake that datalake-agent feeds: one schema, one canonical line, the same SQL on this machine and in Athena.
//! Promises that what is refused is refused before anything runs, with file, line and column where there is a file.
//! Leaves bringing records to the agent, and what becomes of records to the crates that it shares with the agent.

/// A time series as SVG.
pub mod chart;
/// Commands and what they print.
pub mod cli;
/// `lake.json`.
pub mod config;
/// What a lake costs.
pub mod cost;
/// What runs queries.
pub mod engine;
/// Records that a delivery stream could not deliver.
pub mod errors;
/// Files that an operator named.
pub mod files;
/// What functions on AWS are made of.
pub mod package;
/// Rules on new objects.
pub mod react;
/// `.proto` files, columns, tables.
pub mod schema;
/// A page about the lake, on loopback.
pub mod serve;
/// Queries looked through.
pub mod sql;
/// What a function of Firehose does with records.
pub mod transform;
/// The lake on AWS.
pub mod template;

use datalake_report::report::Report;
use std::fmt;

/// Why a command ends without success.
#[derive(Debug)]
pub enum Exit {
    /// Files are faulty.
    Faults(Report),
    /// Anything else, in words for the operator.
    Failed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults(report) => report.fmt(formatter),
            Self::Failed(words) => formatter.write_str(words),
        }
    }
}

impl From<String> for Exit {
    fn from(words: String) -> Self {
        Self::Failed(words)
    }
}

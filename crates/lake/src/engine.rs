//! What runs queries: DuckDB on the folder of the lake, Athena on the bucket.
//! Promises that nothing runs that the lint did not pass, and that a missing engine is reported with the one
//! command that installs it.
//! Leaves the text of queries to `sql`.

/// Athena.
pub mod athena;
/// Signed calls.
pub mod aws;
/// Programs whose answer is kept in memory, up to a limit.
pub mod bounded;
/// The external `duckdb` program.
pub mod duckdb;
/// Objects below the folder of the lake.
pub mod objects;
/// Rows of an answer.
pub mod rows;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// With lines drawn around.
    #[default]
    Table,
    /// RFC 4180; null is an empty field.
    Csv,
    /// One JSON object a row.
    Jsonl,
}

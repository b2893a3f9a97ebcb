//! From `.proto` files to what tables look like: the plan, columns, and what a change of them means.
//! Promises that what a reader of the lake cannot have is refused with file, line and column, all at once.
//! Leaves `lake.json` to `config` and records to the crate of the plan.

/// Types of columns.
pub mod columns;
/// Tables in the words of Glue, Athena and DuckDB.
pub mod ddl;
/// What became of a schema.
pub mod diff;
/// `.proto` files compiled.
pub mod protos;

use datalake_schema::Plan;
use std::collections::BTreeMap;

/// A schema that every reader of the lake can have.
#[derive(Debug)]
pub struct Schema {
    /// What records are checked by.
    pub plan: Plan,
    /// Comments, by full name of the field.
    pub comments: BTreeMap<String, String>,
}

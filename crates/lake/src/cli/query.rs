//! `datalake query`: one query, on the folder or in Athena.
//! Promises that the same text means the same in both, or is refused.
//! Leaves running it to the engine.

use super::{print, say};
use crate::config::Lake;
use crate::engine::duckdb::DuckDb;
use crate::engine::{Format, athena};
use crate::schema::protos;
use crate::sql::lint;
use crate::{Exit, files};
use clap::{Args, ValueEnum};
use datalake_react::{Hour, hour};
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

#[derive(Debug, Args)]
pub(super) struct Query {
    /// The query; `-` reads it from the standard input.
    #[arg(required_unless_present = "file")]
    query: Option<String>,
    /// A file with the query.
    #[arg(long, short, value_name = "FILE", conflicts_with = "query")]
    file: Option<PathBuf>,
    /// What runs it: DuckDB on the folder, or Athena on the bucket.
    #[arg(long, value_enum, default_value = "duckdb")]
    engine: Engine,
    /// How rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// The hour that stands for `{dt}`; else the one that it is now.
    #[arg(long, value_name = "HOUR")]
    hour: Option<String>,
    /// The `duckdb` program; else the one on PATH.
    #[arg(long, value_name = "FILE")]
    duckdb: Option<PathBuf>,
}

/// The query with hours in place of `{dt}`.
fn bound(given: Option<&str>, query: &str) -> Result<String, Exit> {
    let hour = match given {
        Some(text) => Hour::parse(text).map_err(|error| error.to_string())?,
        None => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Hour::of_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
        }
    };
    Ok(hour::bind(query, hour).map_err(|error| error.to_string())?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The external program, on the folder of the lake.
    Duckdb,
    /// On the bucket, with the credentials of the environment.
    Athena,
}

pub(super) fn run(command: &Query, lake: &Lake) -> Result<(), Exit> {
    let (name, text) = text(command)?;
    let query = lint::check(&name, &text).map_err(Exit::Faults)?;
    let query = &bound(command.hour.as_deref(), query)?;
    if command.engine == Engine::Athena {
        let answer = athena::query(lake, query, command.format)?;
        print(&answer.rows)?;
        say(&answer.cost);
        return Ok(());
    }
    let schema = protos::compile(lake)?;
    let duckdb = DuckDb::find(command.duckdb.as_deref())?;
    print(&duckdb.query(lake, &schema, query, command.format)?)
}

fn text(command: &Query) -> Result<(String, String), Exit> {
    match (&command.file, &command.query) {
        (Some(path), _) => {
            let text = files::text(path);
            let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            Ok((path.display().to_string(), text))
        }
        (None, Some(query)) if query == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(1 << 20).read_to_string(&mut text);
            read.map_err(|error| format!("cannot read the query: {error}"))?;
            Ok(("stdin".to_owned(), text))
        }
        (None, query) => Ok(("query".to_owned(), query.clone().unwrap_or_default())),
    }
}

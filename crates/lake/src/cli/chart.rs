//! `datalake chart`: the answer of a query as a picture.
//! Promises that the file is replaced whole, and only when its bytes change.
//! Leaves drawing to `chart`.

use super::{print, say};
use crate::chart;
use crate::config::Lake;
use crate::engine::duckdb::DuckDb;
use crate::engine::{Format, objects};
use crate::schema::protos;
use crate::sql::lint;
use crate::{Exit, files};
use clap::Args;
use datalake_react::{Hour, hour};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Chart {
    /// A file with the query.
    query: PathBuf,
    /// The column with the time: a text such as `2026-03-09T07:05:04Z`, or an hour such as `2026-03-09-07`.
    #[arg(long, default_value = "sent_at")]
    time: String,
    /// The column with the number.
    #[arg(long)]
    value: String,
    /// The column that names the series.
    #[arg(long)]
    series: Option<String>,
    /// What stands above the picture; else the name of the query.
    #[arg(long)]
    title: Option<String>,
    /// What the numbers are, such as `%`.
    #[arg(long)]
    unit: Option<String>,
    /// The file to write; else the standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The `duckdb` program; else the one on PATH.
    #[arg(long, value_name = "FILE")]
    duckdb: Option<PathBuf>,
}

pub(super) fn run(command: &Chart, lake: &Lake) -> Result<(), Exit> {
    let path = &command.query;
    let text = files::text(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let query = lint::check(&path.display().to_string(), &text).map_err(Exit::Faults)?;
    let schema = protos::compile(lake)?;
    let duckdb = DuckDb::find(command.duckdb.as_deref())?;
    let newest = objects::list_all(lake)?.iter().filter_map(|object| Hour::parse(&object.partition).ok()).max();
    let query = hour::bind(query, newest.unwrap_or_else(|| Hour::of_millis(0))).map_err(|error| error.to_string())?;
    let rows = duckdb.query(lake, &schema, &query, Format::Jsonl)?;
    let series = chart::points::read(&rows, &command.time, &command.value, command.series.as_deref())?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let picture =
        chart::svg(command.title.as_ref().unwrap_or(&stem), command.unit.as_deref().unwrap_or_default(), &series);
    let Some(to) = &command.to else { return print(picture.as_bytes()) };
    if std::fs::read(to).is_ok_and(|old| old == picture.as_bytes()) {
        say(&format!("{} is up to date", to.display()));
        return Ok(());
    }
    objects::write_plain(to, picture.as_bytes())?;
    say(&format!("wrote {} series to {}", series.len(), to.display()));
    Ok(())
}

//! `datalake chart`: the answer of a query as a picture.
//! Promises that the file is replaced whole, and only when its bytes change.
//! Leaves drawing to `chart`.

use super::{print, say};
use crate::Exit;
use crate::chart::{self, Series};
use crate::config::Lake;
use crate::engine::Format;
use crate::engine::duckdb::DuckDb;
use crate::schema::protos;
use crate::sql::lint;
use clap::Args;
use serde_json::Value;
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
    /// The file to write; else the standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The `duckdb` program; else the one on PATH.
    #[arg(long, value_name = "FILE")]
    duckdb: Option<PathBuf>,
}

pub(super) fn run(command: &Chart, lake: &Lake) -> Result<(), Exit> {
    let path = &command.query;
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let query = lint::check(&path.display().to_string(), &text).map_err(Exit::Faults)?;
    let schema = protos::compile(lake)?;
    let duckdb = DuckDb::find(command.duckdb.as_deref())?;
    // The time as milliseconds, whichever form it has.
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (time, value) = (quoted(&command.time), quoted(&command.value));
    let name = command.series.as_ref().map_or("''".to_owned(), |series| quoted(series));
    let wrapped = format!(
        "SELECT CAST({name} AS VARCHAR) AS series, epoch_ms(CAST(CASE WHEN length(CAST({time} AS VARCHAR)) = 13 THEN \
         substr(CAST({time} AS VARCHAR), 1, 10) || ' ' || substr(CAST({time} AS VARCHAR), 12, 2) || ':00:00' ELSE \
         CAST({time} AS VARCHAR) END AS TIMESTAMPTZ)) AS at_ms, CAST({value} AS DOUBLE) AS value FROM (\n{query}\n) \
         WHERE {time} IS NOT NULL AND {value} IS NOT NULL"
    );
    let rows = duckdb.query(lake, &schema, &wrapped, Format::Jsonl)?;
    let mut series = Series::new();
    for line in String::from_utf8_lossy(&rows).lines() {
        let row: Value = serde_json::from_str(line).map_err(|error| format!("DuckDB's answer is no JSON: {error}"))?;
        if let (Some(at), Some(value)) = (row["at_ms"].as_i64(), row["value"].as_f64()) {
            let name = row["series"].as_str().unwrap_or_default().to_owned();
            series.entry(name).or_default().push((at, value));
        }
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let picture = chart::svg(command.title.as_ref().unwrap_or(&stem), &series);
    let Some(to) = &command.to else { return print(picture.as_bytes()) };
    if std::fs::read(to).is_ok_and(|old| old == picture.as_bytes()) {
        say(&format!("{} is up to date", to.display()));
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    super::schema::write_whole(to, picture.as_bytes())?;
    say(&format!("wrote {} series to {}", series.len(), to.display()));
    Ok(())
}

//! One result: a query asked, and its answer kept as an object, drawn, or handed to a program.
//! Promises that a result is there whole or not at all, and that rows which are none of their table's are never written.
//! Leaves when to do it, and what to do when it fails, to the caller.

use super::journal;
use crate::chart;
use crate::config::{Action, Lake, Picture, Program, Reaction};
use crate::engine::duckdb::DuckDb;
use crate::engine::{Format, objects};
use crate::schema::Schema;
use datalake_base::shown::shown;
use datalake_react::{Hour, Identity, hour};
use datalake_schema::Canonical;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// What a program writes may be so long.
const LARGEST_RESULT: u64 = 1 << 30;
/// So much of what a program said is kept for the reason of its failure.
const LAST_WORDS: u64 = 2000;

/// What every result needs.
pub(super) struct Context<'a> {
    pub(super) lake: &'a Lake,
    pub(super) schema: &'a Schema,
    pub(super) duckdb: &'a DuckDb,
}

/// Where the result of a rule goes, if it leaves one for each trigger.
pub(super) fn result_key(lake: &Lake, reaction: &Reaction, hour: &Hour, identity: &Identity) -> Option<String> {
    if let Some(table) = reaction.writes() {
        let table = &lake.tables[table];
        return Some(datalake_react::result_key(&table.prefix, hour, &table.name, identity, "gz"));
    }
    match &reaction.action {
        Action::Run(Program { to: Some(to), .. }) => {
            Some(datalake_react::result_key(to, hour, &reaction.name, identity, "txt"))
        }
        _ => None,
    }
}

/// Does what a rule says for one trigger; in words what came of it.
pub(super) fn answer(
    context: &Context<'_>,
    reaction: &Reaction,
    query: &str,
    key: &str,
    hour: Hour,
    identity: &Identity,
) -> Result<String, String> {
    let begun = Instant::now();
    let query = hour::bind(query, hour).map_err(|error| error.to_string())?;
    let asked = context.duckdb.query(context.lake, context.schema, &query, Format::Jsonl);
    let rows = asked.map_err(|exit| exit.to_string())?;
    let target = result_key(context.lake, reaction, &hour, identity);
    let words = match &reaction.action {
        Action::Into(table) => {
            let lines = canonical(context.schema, table, &rows)?;
            put(context.lake, target.as_deref().unwrap_or_default(), &lines)?
        }
        Action::Run(program) => {
            let written = run(context.lake, reaction, program, &rows, key, hour, identity)?;
            match (&program.into, target) {
                (Some(table), Some(target)) => {
                    put(context.lake, &target, &canonical(context.schema, table, &written)?)?
                }
                (None, Some(target)) => {
                    let path = context.lake.root.join(&target);
                    objects::write_plain(&path, &written).map_err(|exit| exit.to_string())?;
                    format!("{target} ({} bytes)", written.len())
                }
                (_, None) => "program run".to_owned(),
            }
        }
        Action::Chart(_) => return Err("a chart is drawn for all triggers at once".to_owned()),
    };
    Ok(format!("{words} in {} ms", begun.elapsed().as_millis()))
}

/// Rows of a table, as its readers want them.
fn canonical(schema: &Schema, table: &str, rows: &[u8]) -> Result<Vec<u8>, String> {
    let mut canonical =
        Canonical::new(&schema.plan, table, true).ok_or_else(|| format!("there is no table `{table}`"))?;
    let mut lines = Vec::with_capacity(rows.len());
    for (number, row) in rows.split(|byte| *byte == b'\n').enumerate().filter(|(_, row)| !row.is_empty()) {
        canonical.write(row, &mut lines).map_err(|fault| {
            let field = canonical.path();
            let place = if field.is_empty() { String::new() } else { format!(" in `{field}`") };
            let shown: String = shown(String::from_utf8_lossy(row).as_ref()).to_string().chars().take(200).collect();
            format!("row {} is none of the table `{table}`{place}: {}: {shown}", number + 1, fault.why)
        })?;
    }
    Ok(lines)
}

fn put(lake: &Lake, key: &str, lines: &[u8]) -> Result<String, String> {
    objects::write(&lake.root.join(key), lines).map_err(|exit| exit.to_string())?;
    let rows = lines.iter().filter(|byte| **byte == b'\n').count();
    Ok(format!("{key} ({rows} rows)"))
}

/// Draws, and replaces the file only when its bytes change.
pub(super) fn draw(
    lake: &Lake,
    schema: &Schema,
    duckdb: &DuckDb,
    reaction: &Reaction,
    query: &str,
    newest: Option<Hour>,
) -> Result<String, String> {
    let Action::Chart(picture) = &reaction.action else { return Err("this is no chart".to_owned()) };
    let newest = newest.unwrap_or_else(|| Hour::of_millis(0));
    let query = hour::bind(query, newest).map_err(|error| error.to_string())?;
    let rows = duckdb.query(lake, schema, &query, Format::Jsonl).map_err(|exit| exit.to_string())?;
    let svg = picture_of(picture, &reaction.name, &rows)?;
    let path = lake.root.join(&picture.to);
    if std::fs::read(&path).is_ok_and(|old| old == svg.as_bytes()) {
        return Ok(format!("{} is up to date", picture.to));
    }
    objects::write_plain(&path, svg.as_bytes()).map_err(|exit| exit.to_string())?;
    Ok(picture.to.clone())
}

/// The picture of rows.
fn picture_of(picture: &Picture, name: &str, rows: &[u8]) -> Result<String, String> {
    let series = chart::points::read(rows, &picture.time, &picture.value, picture.series.as_deref())?;
    let title = picture.title.as_deref().unwrap_or(name);
    Ok(chart::svg(title, picture.unit.as_deref().unwrap_or_default(), &series))
}

/// Runs the program of a rule; what it wrote to the file that `LAKE_OUT` names.
fn run(
    lake: &Lake,
    reaction: &Reaction,
    program: &Program,
    rows: &[u8],
    key: &str,
    hour: Hour,
    identity: &Identity,
) -> Result<Vec<u8>, String> {
    let name = &reaction.name;
    let cannot = |what: &Path, error: std::io::Error| format!("cannot use {}: {error}", what.display());
    // Of this process alone: a program that a killed one left behind may still write.
    let file = |ending: &str| {
        let place = journal::place(&lake.root, &format!("{name}-{}.{ending}", std::process::id()));
        let path = place.map_err(|exit| exit.to_string())?;
        std::path::absolute(&path).map_err(|error| cannot(&path, error))
    };
    let (input, output, log) = (file("in")?, file("out")?, file("log")?);
    let files = Scratch([&input, &output, &log]);
    std::fs::write(&input, rows).map_err(|error| cannot(&input, error))?;
    File::create(&output).map_err(|error| cannot(&output, error))?;
    let said = File::create(&log).map_err(|error| cannot(&log, error))?;
    let also = said.try_clone().map_err(|error| cannot(&log, error))?;
    let root = std::path::absolute(&lake.root).map_err(|error| cannot(&lake.root, error))?;
    let home = std::path::absolute(&lake.home).map_err(|error| cannot(&lake.home, error))?;
    let mut command = Command::new(&program.command[0]);
    command.args(&program.command[1..]).current_dir(home);
    command.stdin(File::open(&input).map_err(|error| cannot(&input, error))?).stdout(said).stderr(also);
    command.env("LAKE_ROOT", root).env("LAKE_OUT", &output).env("LAKE_RULE", name).env("LAKE_KEY", key);
    command.env("LAKE_HOUR", hour.to_string()).env("LAKE_ID", identity.to_string());
    let status = wait(command, program)?;
    let words = || last_words(&log);
    match status {
        None => Err(format!("`{}` ran longer than {} s{}", program.command[0], program.timeout.as_secs(), words())),
        Some(status) if !status.success() => Err(format!("`{}` failed ({status}){}", program.command[0], words())),
        Some(_) => {
            let size = output.metadata().map_err(|error| cannot(&output, error))?.len();
            if size > LARGEST_RESULT {
                return Err(format!("`{}` wrote more than 1 GiB", program.command[0]));
            }
            let written = std::fs::read(&output).map_err(|error| cannot(&output, error));
            drop(files);
            written
        }
    }
}

/// Files that are removed at the end.
struct Scratch<'a>([&'a Path; 3]);

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        for path in self.0 {
            // Removed with the next run otherwise.
            drop(std::fs::remove_file(path));
        }
    }
}

/// How it ended; nothing when it had to be stopped.
fn wait(mut command: Command, program: &Program) -> Result<Option<ExitStatus>, String> {
    command.env("LAKE_TIMEOUT_SECONDS", program.timeout.as_secs().to_string());
    let mut child = command.spawn().map_err(|error| format!("cannot run `{}`: {error}", program.command[0]))?;
    let until = Instant::now() + program.timeout;
    let mut pause = Duration::from_millis(2);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(Some(status)),
            Ok(None) if Instant::now() < until => std::thread::sleep(pause),
            Ok(None) => {
                // It may have ended just now.
                drop(child.kill());
                drop(child.wait());
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot wait for `{}`: {error}", program.command[0])),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn last_words(log: &Path) -> String {
    // A program may have said more than there is memory.
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(LAST_WORDS)))?;
        let mut tail = Vec::new();
        file.take(LAST_WORDS).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let line = text.trim().lines().last().unwrap_or_default();
    if line.is_empty() { String::new() } else { format!(": {}", shown(line)) }
}

//! What is known of a lake at a moment.
//! Promises bounded work for each look: folders that did not change are not listed again, of objects only the newest is
//! opened, and of that only the beginning is read.
//! Leaves how it looks to `page`.

use crate::Exit;
use crate::config::{Action, Lake, Picture};
use crate::engine::objects::Object;
use crate::react::table::Table;
use crate::react::{Standing, standings};
use crate::schema::Schema;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A snapshot younger than this is shown again.
const FRESH: Duration = Duration::from_secs(1);
/// Newest hours that are drawn.
pub(super) const HOURS: usize = 48;
const LAST_OBJECTS: usize = 8;
const ROWS: usize = 20;
const EARLIER: usize = 5;
/// So much of the newest object is unpacked for its rows.
const ROWS_READ: u64 = 256 << 10;
const REPORT_READ: u64 = 4 << 10;

#[derive(Debug)]
pub(super) struct Hour {
    pub(super) name: String,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// The newest rows of a table that reactions write.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) key: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) more: bool,
}

#[derive(Debug)]
pub(super) struct TableSeen {
    pub(super) name: String,
    pub(super) message: String,
    pub(super) prefix: String,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) all_hours: usize,
    /// The newest ones, the newest last.
    pub(super) hours: Vec<Hour>,
    /// The newest first.
    pub(super) last: Vec<Object>,
    pub(super) rows: Option<Rows>,
}

#[derive(Debug)]
pub(super) struct RuleSeen {
    pub(super) name: String,
    pub(super) on: String,
    pub(super) does: String,
    pub(super) standing: Standing,
}

#[derive(Debug)]
pub(super) struct ChartSeen {
    pub(super) title: String,
    pub(super) key: String,
    /// Nothing before it was first drawn.
    pub(super) drawn_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct ReportSeen {
    pub(super) rule: String,
    pub(super) key: String,
    pub(super) written_ms: u64,
    pub(super) text: String,
    pub(super) is_cut: bool,
    pub(super) earlier: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) root: String,
    pub(super) now_ms: u64,
    pub(super) tables: Vec<TableSeen>,
    pub(super) rules: Vec<RuleSeen>,
    pub(super) charts: Vec<ChartSeen>,
    pub(super) reports: Vec<ReportSeen>,
}

/// Looks again and again.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    lake: &'a Lake,
    schema: &'a Schema,
    tables: BTreeMap<&'a str, Table>,
    last: Option<(Instant, Arc<Snapshot>)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(lake: &'a Lake, schema: &'a Schema) -> Self {
        let table =
            |(name, table): (&'a String, &crate::config::Table)| (name.as_str(), Table::new(&lake.root, &table.prefix));
        Self { lake, schema, tables: lake.tables.iter().map(table).collect(), last: None }
    }

    pub(super) fn look(&mut self) -> Result<Arc<Snapshot>, Exit> {
        if let Some((at, snapshot)) = &self.last
            && at.elapsed() < FRESH
        {
            return Ok(snapshot.clone());
        }
        let mut tables = Vec::new();
        for (name, watched) in &mut self.tables {
            watched.look()?;
            tables.push(seen(self.lake, self.schema, name, watched));
        }
        let rules = self.lake.reactions.iter().zip(standings(self.lake));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let snapshot = Arc::new(Snapshot {
            root: std::path::absolute(&self.lake.root).unwrap_or_else(|_| self.lake.root.clone()).display().to_string(),
            now_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            tables,
            rules: rules.map(|(reaction, standing)| rule(reaction, standing)).collect(),
            charts: charts(self.lake),
            reports: self.lake.reactions.iter().filter_map(|reaction| report(self.lake, reaction)).collect(),
        });
        self.last = Some((Instant::now(), snapshot.clone()));
        Ok(snapshot)
    }
}

fn rule(reaction: &crate::config::Reaction, standing: Standing) -> RuleSeen {
    let does = match &reaction.action {
        Action::Into(table) => format!("rows into {table}"),
        Action::Chart(picture) => format!("draws {}", picture.to),
        Action::Run(program) if reaction.is_local() => format!("runs {}", program.command.join(" ")),
        Action::Run(_) => "calls a function on AWS".to_owned(),
    };
    RuleSeen { name: reaction.name.clone(), on: reaction.on.clone(), does, standing }
}

fn seen(lake: &Lake, schema: &Schema, name: &str, watched: &Table) -> TableSeen {
    let table = &lake.tables[name];
    let mut hours: BTreeMap<&str, Hour> = BTreeMap::new();
    let (mut objects, mut bytes) = (0, 0);
    let mut last: Vec<&Object> = Vec::new();
    for object in watched.objects() {
        let hour = hours.entry(&object.partition).or_insert_with(|| Hour {
            name: object.partition.clone(),
            objects: 0,
            bytes: 0,
        });
        (hour.objects, hour.bytes) = (hour.objects + 1, hour.bytes + object.size);
        (objects, bytes) = (objects + 1, bytes + object.size);
        let place = last.partition_point(|other| other.written_ms >= object.written_ms);
        if place < LAST_OBJECTS {
            last.insert(place, object);
            last.truncate(LAST_OBJECTS);
        }
    }
    let all_hours = hours.len();
    let is_result = lake.reactions.iter().any(|reaction| reaction.writes() == Some(name));
    let newest = last.iter().max_by_key(|object| (object.written_ms, &object.partition));
    TableSeen {
        name: name.to_owned(),
        message: table.message.clone(),
        prefix: table.prefix.clone(),
        objects,
        bytes,
        all_hours,
        hours: hours.into_values().skip(all_hours.saturating_sub(HOURS)).collect(),
        rows: newest.filter(|_| is_result).and_then(|object| rows(lake, schema, name, object)),
        last: last.into_iter().cloned().collect(),
    }
}

/// The first rows of an object.
fn rows(lake: &Lake, schema: &Schema, table: &str, object: &Object) -> Option<Rows> {
    let file = BufReader::new(File::open(lake.root.join(&object.path)).ok()?);
    let mut text = Vec::new();
    // What is damaged is shown as far as it can be read.
    drop(MultiGzDecoder::new(file).take(ROWS_READ).read_to_end(&mut text));
    let plan = &schema.plan;
    let message = plan.message_of(plan.tables.get(table)?);
    let columns: Vec<String> = message.fields.iter().map(|field| field.name.clone()).collect();
    let lines = || text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let row = |line: &[u8]| -> Option<Vec<String>> {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
        let cell = |name: &String| match row.get(name) {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.chars().take(200).collect(),
            Some(other) => other.to_string().chars().take(200).collect(),
        };
        Some(columns.iter().map(cell).collect())
    };
    let rows = lines().filter_map(row).take(ROWS).collect();
    let more = lines().count() > ROWS;
    Some(Rows { key: object.path.display().to_string(), columns, rows, more })
}

fn charts(lake: &Lake) -> Vec<ChartSeen> {
    let chart = |name: &str, picture: &Picture| ChartSeen {
        title: picture.title.clone().unwrap_or_else(|| name.to_owned()),
        key: picture.to.clone(),
        drawn_ms: written_ms(&lake.root.join(&picture.to)),
    };
    let charts = lake.reactions.iter().filter_map(|reaction| match &reaction.action {
        Action::Chart(picture) => Some(chart(&reaction.name, picture)),
        _ => None,
    });
    charts.collect()
}

fn written_ms(path: &Path) -> Option<u64> {
    let written = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?;
    u64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// The newest report of a program that keeps some.
fn report(lake: &Lake, reaction: &crate::config::Reaction) -> Option<ReportSeen> {
    let Action::Run(crate::config::Program { to: Some(to), .. }) = &reaction.action else { return None };
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names
    };
    let folder = lake.root.join(to);
    let mut hours = names(&folder);
    hours.sort_unstable_by(|left, right| right.cmp(left));
    let mut found: Vec<(u64, String)> = Vec::new();
    for hour in hours.iter().take(2) {
        for name in names(&folder.join(hour)) {
            let key = format!("{to}{hour}/{name}");
            found.extend(written_ms(&lake.root.join(&key)).map(|written| (written, key)));
        }
    }
    found.sort_unstable_by(|left, right| right.cmp(left));
    let mut found = found.into_iter();
    let (written_ms, key) = found.next()?;
    let mut text = Vec::new();
    File::open(lake.root.join(&key)).ok()?.take(REPORT_READ + 1).read_to_end(&mut text).ok()?;
    let is_cut = text.len() as u64 > REPORT_READ;
    text.truncate(usize::try_from(REPORT_READ).unwrap_or(usize::MAX));
    Some(ReportSeen {
        rule: reaction.name.clone(),
        key,
        written_ms,
        text: String::from_utf8_lossy(&text).into_owned(),
        is_cut,
        earlier: found.take(EARLIER).map(|(_, key)| key).collect(),
    })
}

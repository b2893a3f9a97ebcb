//! `datalake status`: what lies in the lake, table by table, and which reactions wait for what.
//! Promises to write nothing, and to read no object that was looked at before.
//! Leaves what is in objects to `query`.

use super::print;
use crate::Exit;
use crate::config::Lake;
use crate::engine::objects;
use crate::react;
use datalake_base::shown::shown;
use std::time::SystemTime;

pub(super) fn run(lake: &Lake) -> Result<(), Exit> {
    let mut out = format!("{} in {}\n", lake.name, shown(lake.root.as_path()));
    let mut lines = vec![["table", "objects", "bytes", "hours", "newest hour", "last object"].map(str::to_owned)];
    for table in lake.tables.values() {
        let objects = objects::list(&lake.root, &table.prefix)?;
        let mut hours: Vec<&str> = objects.iter().map(|object| object.partition.as_str()).collect();
        hours.dedup();
        let newest = hours.last().map_or_else(|| "-".to_owned(), |hour| shown(hour).to_string());
        let last = objects.iter().map(|object| object.written_ms).max().map_or_else(|| "-".to_owned(), ago);
        let bytes: u64 = objects.iter().map(|object| object.size).sum();
        let name = table.name.clone();
        lines.push([name, objects.len().to_string(), bytes.to_string(), hours.len().to_string(), newest, last]);
    }
    aligned(&lines, &mut out);
    if !lake.reactions.is_empty() {
        out.push('\n');
        aligned(&reactions(lake), &mut out);
    }
    print(out.as_bytes())
}

/// What waits of each reaction, and why.
fn reactions(lake: &Lake) -> Vec<[String; 4]> {
    let mut lines = vec![["reaction", "on", "waits", "why"].map(str::to_owned)];
    for (reaction, standing) in lake.reactions.iter().zip(react::standings(lake)) {
        let why = standing.why.lines().map(|line| shown(line.trim()).to_string()).collect::<Vec<_>>().join(" ");
        let waits = standing.waits.map_or_else(|| "?".to_owned(), |waits| waits.to_string());
        lines.push([reaction.name.clone(), reaction.on.clone(), waits, why]);
    }
    lines
}

fn aligned<const N: usize>(lines: &[[String; N]], out: &mut String) {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
}

fn ago(written_ms: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let seconds = now.saturating_sub(u128::from(written_ms)) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

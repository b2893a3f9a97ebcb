//! `quarantine list` and `quarantine summary`: a line for each record that waits, and sums of them by reason.
//! Promises that nothing from a record breaks the table or steers a terminal, and that memory does not grow with the
//! number of records. Leaves which records are meant to the selection.

use super::CommandError;
use super::selection::{Found, Selection};
use crate::cli::output::json_lines;
use crate::cli::reprocess::path as path_of;
use crate::deliver::quarantine::{Entry, EntryOrigin};
use datalake_base::shown::shown;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Reasons are summed up one by one up to this number; the others together.
const MOST_REASONS: usize = 500;

/// Prints a line for each record that waits: a table, or one JSON object a line. Answers how many there are.
///
/// # Errors
/// When a file cannot be read or the output cannot be written.
pub fn list(
    state_directory: &Path,
    selection: &Selection,
    json: bool,
    out: &mut dyn Write,
) -> Result<usize, CommandError> {
    let mut waiting = 0;
    let header = ["FILE", "RECORD", "TIME", "STREAM", "PATH", "OFFSET", "REASON", "BYTES"];
    selection.each(state_directory, |path, line, found| match found {
        Found::Record(entry) => {
            if waiting == 0 && !json {
                writeln!(out, "{}", header.join("\t"))?;
            }
            waiting += 1;
            match json {
                true => write!(out, "{}", json_lines(&described(path, line.number, entry), false)),
                false => writeln!(out, "{}", row(path, line.number, entry)),
            }
        }
        Found::Damaged(reason) if json => {
            let value = json!({"file": path.to_string_lossy(), "record": line.number, "damaged": reason});
            write!(out, "{}", json_lines(&value, false))
        }
        Found::Damaged(reason) => {
            writeln!(out, "{}\t{}\tdamaged: {}", shown(path), line.number, shown(reason))
        }
    })?;
    if waiting == 0 && !json {
        writeln!(out, "no records wait in quarantine")?;
    }
    Ok(waiting)
}

fn row(path: &Path, number: usize, entry: &Entry) -> String {
    let (from, offset) = match entry.origins.first() {
        Some(origin) => (shown(&path_of(origin)).to_string(), origin.start.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let more = if entry.origins.len() > 1 { format!(" (+{})", entry.origins.len() - 1) } else { String::new() };
    let cells = [
        shown(path).to_string(),
        number.to_string(),
        entry.time.clone(),
        entry.stream.clone(),
        format!("{from}{more}"),
        offset,
        format!("{}: {}", entry.code, entry.message),
        entry.size().to_string(),
    ];
    // A tab or newline in a path or reason must not break the table.
    cells.map(|cell| shown(&cell).to_string()).join("\t")
}

/// A record for a program, without its data.
pub(super) fn described(path: &Path, number: usize, entry: &Entry) -> Value {
    let origin = |origin: &EntryOrigin| {
        let mut value = json!({"path": origin.path, "start": origin.start, "end": origin.end});
        if let Some(bytes) = &origin.path_base64 {
            value["pathBase64"] = json!(bytes);
        }
        value
    };
    let mut value = json!({
        "file": path.to_string_lossy(), "record": number, "time": entry.time, "stream": entry.stream, "flow": entry.flow,
        "code": entry.code, "message": entry.message, "lines": entry.lines, "bytes": entry.size(),
        "unprocessed": entry.unprocessed, "origins": entry.origins.iter().map(origin).collect::<Vec<_>>(),
    });
    if let Some(key) = &entry.partition_key {
        value["partitionKey"] = json!(key);
    }
    value
}

/// Records with one reason.
#[derive(Clone, Debug, Default)]
struct Sum {
    records: u64,
    lines: u64,
    bytes: u64,
    first: String,
    last: String,
    /// The message of the first of them.
    example: String,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.records += 1;
        self.lines += entry.lines as u64;
        self.bytes += entry.size() as u64;
        if self.records == 1 {
            self.example.clone_from(&entry.message);
        }
        if self.first.is_empty() || entry.time < self.first {
            self.first.clone_from(&entry.time);
        }
        if entry.time > self.last {
            self.last.clone_from(&entry.time);
        }
    }
}

/// Sums of the records that wait, by stream, flow and reason, the largest first. Answers how many records there are.
///
/// # Errors
/// As [`list`].
pub fn summary(
    state_directory: &Path,
    selection: &Selection,
    json: bool,
    out: &mut dyn Write,
) -> Result<u64, CommandError> {
    let (mut sums, mut damaged) = (BTreeMap::<[String; 4], Sum>::new(), 0_u64);
    selection.each(state_directory, |_, _, found| {
        match found {
            Found::Record(entry) => {
                let of = |reason: String| [entry.stream.clone(), entry.flow.clone(), entry.code.clone(), reason];
                let mut key = of(without_numbers(&entry.message));
                if sums.len() >= MOST_REASONS && !sums.contains_key(&key) {
                    key = ["", "", "", ""].map(str::to_owned);
                }
                sums.entry(key).or_default().add(entry);
            }
            Found::Damaged(_) => damaged += 1,
        }
        Ok(())
    })?;
    let total: u64 = sums.values().map(|sum| sum.records).sum();
    let mut sums: Vec<([String; 4], Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.records));
    if json {
        let reasons: Vec<Value> = sums.iter().map(|(key, sum)| summed(key, sum)).collect();
        write!(out, "{}", json_lines(&json!({"records": total, "damaged": damaged, "reasons": reasons}), false))?;
        return Ok(total);
    }
    if total == 0 && damaged == 0 {
        writeln!(out, "no records wait in quarantine")?;
        return Ok(0);
    }
    writeln!(out, "{}", ["RECORDS", "LINES", "BYTES", "FIRST", "LAST", "STREAM", "FLOW", "REASON"].join("\t"))?;
    for ([stream, flow, code, _], sum) in &sums {
        let reason = if code.is_empty() { "other reasons".to_owned() } else { format!("{code}: {}", sum.example) };
        let numbers = [sum.records, sum.lines, sum.bytes].map(|number| number.to_string());
        let texts = [&sum.first, &sum.last, stream, flow, &reason].map(|text| shown(text).to_string());
        writeln!(out, "{}\t{}", numbers.join("\t"), texts.join("\t"))?;
    }
    if damaged > 0 {
        writeln!(out, "{damaged}\t-\t-\t-\t-\t-\t-\tdamaged lines, which are no records")?;
    }
    Ok(total)
}

fn summed([stream, flow, code, _]: &[String; 4], sum: &Sum) -> Value {
    json!({
        "stream": stream, "flow": flow, "code": code, "example": sum.example, "records": sum.records, "lines": sum.lines,
        "bytes": sum.bytes, "first": sum.first, "last": sum.last,
    })
}

/// Messages that differ in places and sizes only are one reason.
fn without_numbers(message: &str) -> String {
    let mut kind = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            '0'..='9' if kind.ends_with('#') => {}
            '0'..='9' => kind.push('#'),
            other => kind.push(other),
        }
    }
    kind
}

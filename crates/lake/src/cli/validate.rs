//! `datalake validate`: lines beside their canonical form, and what is wrong with them.
//! Promises to end with failure when any line would be refused, however long the input is, in the memory of one line.
//! Leaves the rules to the canonical line.

use super::{print, say};
use crate::Exit;
use crate::config::Lake;
use crate::schema::protos;
use clap::Args;
use datalake_report::report::printable;
use datalake_schema::Canonical;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// A line longer than this is no record of any stream.
const LONGEST_LINE: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Of which table the lines are rows.
    table: String,
    /// The file with the lines, may be packed with gzip; else the standard input.
    file: Option<PathBuf>,
    /// Refuse lines with fields that the schema does not have.
    #[arg(long)]
    refuse_unknown: bool,
    /// Write the canonical lines and nothing else.
    #[arg(long)]
    canonical: bool,
}

pub(super) fn run(command: &Validate, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    let Some(mut canonical) = Canonical::new(&schema.plan, &command.table, command.refuse_unknown) else {
        let known = lake.tables.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Exit::Failed(format!("there is no table `{}` in lake.json; known are {known}", command.table)));
    };
    let mut input = open(command)?;
    let (mut number, mut refused, mut changed) = (0_u64, 0_u64, 0_u64);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        out.clear();
        let taken = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if taken.map_err(|error| format!("cannot read the lines: {error}"))? == 0 {
            break;
        }
        number += 1;
        // What is longer is no line of its own.
        let too_long = line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n");
        if too_long {
            skip_line(&mut *input).map_err(|error| format!("cannot read the lines: {error}"))?;
        }
        let shown = beginning(&line);
        if too_long {
            refused += 1;
            let text = format!("{number}: {shown}\n    REFUSED: longer than {} MiB", LONGEST_LINE >> 20);
            if command.canonical {
                say(&text)
            } else {
                print(format!("{text}\n").as_bytes())?
            }
            continue;
        }
        match canonical.write(&line, &mut out) {
            Ok(()) => {
                changed += u64::from(out != line);
                if command.canonical {
                    print(&out)?;
                } else {
                    print(format!("{number}: {shown}\n    {}\n", beginning(&out)).as_bytes())?;
                }
            }
            Err(fault) => {
                refused += 1;
                let field = canonical.path();
                let place = if field.is_empty() { String::new() } else { format!(" in `{field}`") };
                let text = format!("{number}: {shown}\n    REFUSED{place} at byte {}: {}", fault.at, fault.why);
                if command.canonical { say(&text) } else { print(format!("{text}\n").as_bytes())? }
            }
        }
        for name in canonical.take_notes().new_names {
            say(&format!("line {number}: the field `{}` is not in the schema and is left out", printable(&name)));
        }
    }
    say(&format!("{number} lines: {changed} get another form, {refused} are refused"));
    if refused > 0 { Err(Exit::Failed(format!("{refused} lines would be refused"))) } else { Ok(()) }
}

/// A line as a terminal shows it: nothing of it steers, and one that fills the screen is cut.
fn beginning(line: &[u8]) -> String {
    const MOST: usize = 4000;
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * MOST)]);
    let text = printable(text.trim_end());
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], line.len()),
        None => text,
    }
}

/// Reads to the end of the line at hand, and keeps nothing of it.
fn skip_line(input: &mut dyn BufRead) -> std::io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (taken, done) = end.map_or((bytes.len(), bytes.is_empty()), |end| (end + 1, true));
        input.consume(taken);
        if done {
            return Ok(());
        }
    }
}

/// The lines, unpacked where they begin like gzip.
fn open(command: &Validate) -> Result<Box<dyn BufRead>, Exit> {
    let plain: Box<dyn Read> = match &command.file {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
            Box::new(file)
        }
        None => Box::new(std::io::stdin()),
    };
    let mut plain = BufReader::new(plain);
    let packed = plain.fill_buf().is_ok_and(|begin| begin.starts_with(&[0x1f, 0x8b]));
    Ok(if packed { Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(plain))) } else { Box::new(plain) })
}

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
        let shown = printable(String::from_utf8_lossy(&line).trim_end());
        match canonical.write(&line, &mut out) {
            Ok(()) => {
                changed += u64::from(out != line);
                if command.canonical {
                    print(&out)?;
                } else {
                    print(format!("{number}: {shown}\n    {}", String::from_utf8_lossy(&out)).as_bytes())?;
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

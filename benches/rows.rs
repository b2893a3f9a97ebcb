//! The rows of the table, one module a kind.
//! Promises that every figure is taken inside this run, on this machine.
//! Leaves the choice of rows to `main`.

pub(crate) mod bulk;
pub(crate) mod delay;
pub(crate) mod exact;
pub(crate) mod gzip;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod mqtt;
mod pairs;
pub(crate) mod peers;
pub(crate) mod yardstick;

use crate::Outcome;
use crate::inputs::Inputs;
use crate::table::Table;
use std::path::PathBuf;

/// What every row works with.
pub(crate) struct Bench {
    /// Where inputs and runs are kept.
    pub(crate) data: PathBuf,
    /// Rounds of each comparison; the median is shown.
    pub(crate) rounds: usize,
    /// Shorter waits and fewer lines, for a look rather than a measurement.
    pub(crate) quick: bool,
    /// The logs.
    pub(crate) inputs: Inputs,
    /// What was measured.
    pub(crate) table: Table,
    /// What could not be measured, or went wrong while it was.
    pub(crate) failed: Vec<String>,
}

impl Bench {
    /// Does one part; if it fails, that is noted and the other parts still have their turn.
    pub(crate) fn attempt<T>(&mut self, name: &str, part: impl FnOnce(&mut Self) -> Outcome<T>) -> Option<T> {
        match part(self) {
            Ok(value) => Some(value),
            Err(trouble) => {
                println!("  FAILED: {name}: {trouble}");
                self.failed.push(name.to_owned());
                None
            }
        }
    }

    /// A fresh folder for one run of the agent, removed when dropped.
    pub(crate) fn folder(&self) -> Outcome<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("run-").tempdir_in(&self.data)?)
    }
}

/// The middle value; the mean of the two middle ones where there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert!(!sorted.is_empty(), "a figure without a measurement");
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The value below which this part of all values lies, 0 to 1 (nearest rank).
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert!(!sorted.is_empty(), "a figure without a measurement");
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Size of the agent's binary.
pub(crate) fn binary_size(bench: &mut Bench) -> Outcome<()> {
    let binary = std::fs::read(crate::processes::binary())?;
    let stripped = memchr::memmem::rfind(&binary, b"\0.symtab\0").is_none();
    let note = if stripped { "symbols stripped" } else { "symbols still in it" };
    let megabytes = binary.len() as f64 / 1e6;
    bench.table.add("release binary", megabytes, "MB", Some(16.0), note.to_owned());
    Ok(())
}

//! From the moment a line is appended to the moment its call is complete at the endpoint.
//! Promises that every line appended arrived, or an error.
//! Leaves the load to a fixed seed: a line about every 20 ms.

use super::{Bench, quantile};
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::inputs::{Input, SEED, access_line};
use crate::processes::{Agent, Beside};
use fastrand::Rng;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

/// When each line arrived, by its number.
struct Arrivals {
    at: Vec<Option<Instant>>,
}

impl Observe for Arrivals {
    fn call(&mut self, arrived: Instant, records: &[Vec<u8>]) {
        for line in records.iter().flat_map(|record| record.split_inclusive(|byte| *byte == b'\n')) {
            let place = Input::sequence_of(line).and_then(|(_, number)| self.at.get_mut(usize::try_from(number).ok()?));
            if let Some(place) = place {
                place.get_or_insert(arrived);
            }
        }
    }
}

/// A log that grows by a line about every 20 ms, and when each was written.
struct Appended {
    output: File,
    lines: Rng,
    gaps: Rng,
    age: Duration,
    at: Vec<Instant>,
}

impl Appended {
    /// The log is created. Its lines may wait for `age` milliseconds.
    fn to(log: &Path, age: u64) -> Outcome<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let (lines, gaps) = (Rng::with_seed(SEED ^ age), Rng::with_seed(SEED + age));
        Ok(Self { output, lines, gaps, age: Duration::from_millis(age), at: Vec::new() })
    }

    /// One line, at once.
    fn line(&mut self) -> Outcome<()> {
        let mut line = Vec::new();
        access_line(&mut line, &mut self.lines, 0, self.at.len() as u64)?;
        self.at.push(Instant::now());
        self.output.write_all(&line)?;
        Ok(())
    }

    /// This many, each after a gap.
    fn lines(&mut self, count: usize) -> Outcome<()> {
        for _ in 0..count {
            std::thread::sleep(Duration::from_micros(self.gaps.u64(10_000..30_000)));
            self.line()?;
        }
        Ok(())
    }

    /// Milliseconds beyond their age until they arrived, one for each line; below 0 where a line met an older batch.
    fn beyond_age(&self, arrivals: &Arrivals) -> Vec<f64> {
        let late = |(at, arrived): (&Instant, &Option<Instant>)| {
            arrived.map(|arrived| (arrived - *at).as_secs_f64() * 1e3 - self.age.as_secs_f64() * 1e3)
        };
        self.at.iter().zip(&arrivals.at).filter_map(late).collect()
    }
}

/// The 99th percentile beyond the buffer's age, for a short and a longer age.
pub(crate) fn beyond_age(bench: &mut Bench) -> Outcome<()> {
    for age in [10_u64, 100] {
        let lines = if bench.quick { 250 } else { 1500 };
        println!("append to arrival: maxBufferAgeMillis {age}, {lines} lines");
        let part = format!("append to arrival, {age} ms");
        let Some(beyond) = bench.attempt(&part, |bench| measure(bench, age, lines)) else { continue };
        let note =
            format!("median {:.1} ms, most {:.1} ms, {lines} lines", quantile(&beyond, 0.5), quantile(&beyond, 1.0));
        let name = format!("append to arrival beyond {age} ms, p99");
        bench.table.add(&name, quantile(&beyond, 0.99), "ms", Some(15.0), note);
    }
    Ok(())
}

/// Milliseconds beyond `age`, one for each line; below 0 where a line met an older batch.
fn measure(bench: &Bench, age: u64, lines: usize) -> Outcome<Vec<f64>> {
    let folder = bench.folder()?;
    // One line more: the first opens the connection and is not counted.
    Ok(late(folder.path(), age, 0, lines, Beside::default(), || Ok(()))?.0)
}

/// Runs the agent over a log in this folder: one line, `before` more, what is to be done `meanwhile`, and the lines of which it
/// returns by how many milliseconds each came beyond `age`; and the most bytes of memory of that run.
pub(super) fn late(
    folder: &Path,
    age: u64,
    before: usize,
    lines: usize,
    beside: Beside,
    meanwhile: impl FnOnce() -> Outcome<()>,
) -> Outcome<(Vec<f64>, u64)> {
    let log = folder.join("app.log");
    let collector = Collector::start(Arrivals { at: vec![None; 1 + before + lines] })?;
    let mut appended = Appended::to(&log, age)?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: log,
        folder: folder.to_owned(),
        flow: [("maxBufferAgeMillis".to_owned(), age.into())].into_iter().collect(),
        beside,
    };
    let mut program = agent.start()?;
    appended.line()?;
    program.wait_until("the first line", DEADLINE, || Ok(collector.observed().at[0].is_some()))?;
    appended.lines(before)?;
    meanwhile()?;
    appended.lines(lines)?;
    program.wait_until("the last line", DEADLINE, || Ok(collector.observed().at.iter().all(Option::is_some)))?;
    let memory = program.peak_memory()?;
    program.stop(DEADLINE)?;
    let late = appended.beyond_age(&collector.observed());
    Ok((late[1 + before..].to_vec(), memory))
}

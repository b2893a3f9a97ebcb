//! From the moment a line is appended to the moment its call is complete at the endpoint.
//! Promises that every line appended arrived, or an error.
//! Leaves the load to a fixed seed: a line about every 20 ms.

use super::{Bench, quantile};
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::inputs::{Input, SEED, access_line};
use crate::processes::Agent;
use fastrand::Rng;
use std::fs::OpenOptions;
use std::io::Write;
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
    let log = folder.path().join("app.log");
    // One line more: the first opens the connection and is not counted.
    let collector = Collector::start(Arrivals { at: vec![None; lines + 1] })?;
    let mut output = OpenOptions::new().create(true).append(true).open(&log)?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: log,
        folder: folder.path().to_owned(),
        flow: [("maxBufferAgeMillis".to_owned(), age.into())].into_iter().collect(),
    };
    let mut program = agent.start()?;
    let mut rng = Rng::with_seed(SEED ^ age);
    let mut line = Vec::new();
    let mut append = |number: usize| -> Outcome<Instant> {
        line.clear();
        access_line(&mut line, &mut rng, 0, number as u64)?;
        let before = Instant::now();
        output.write_all(&line)?;
        Ok(before)
    };
    append(0)?;
    program.wait_until("the first line", DEADLINE, || Ok(collector.observed().at[0].is_some()))?;
    let mut gaps = Rng::with_seed(SEED + age);
    let mut appended = Vec::with_capacity(lines);
    for number in 1..=lines {
        std::thread::sleep(Duration::from_micros(gaps.u64(10_000..30_000)));
        appended.push(append(number)?);
    }
    program.wait_until("the last line", DEADLINE, || Ok(collector.observed().at.iter().all(Option::is_some)))?;
    program.stop(DEADLINE)?;
    let arrivals: Vec<Instant> = collector.observed().at.iter().skip(1).flatten().copied().collect();
    Ok(appended
        .iter()
        .zip(arrivals)
        .map(|(appended, arrived)| (arrived - *appended).as_secs_f64() * 1e3 - age as f64)
        .collect())
}

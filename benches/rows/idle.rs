//! Ten thousand files that the agent knows: how soon it ships after a start, and what it costs while nothing happens.
//! Promises that all files were shipped once and each line appended later exactly once, or an error.
//! Leaves busy files to the other rows.

use super::{Bench, median, mib};
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::inputs::{SEED, access_line};
use crate::processes::{Agent, Beside, Program};
use fastrand::Rng;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const FILES: u64 = 10_000;
/// Subfolders they are spread over, as logs of many services are.
const FOLDERS: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(120);

/// How much arrived and when the last of it did.
#[derive(Default)]
struct Seen {
    payload: u64,
    last: Option<Instant>,
}

impl Observe for Seen {
    fn call(&mut self, arrived: Instant, records: &[Vec<u8>]) {
        self.payload += records.iter().map(|record| record.len() as u64).sum::<u64>();
        self.last = Some(arrived);
    }
}

/// The rows of ten thousand files.
pub(crate) fn ten_thousand(bench: &mut Bench) -> Outcome<()> {
    println!("{FILES} files: making them known");
    let folder = bench.folder()?;
    let logs = folder.path().join("logs");
    let mut expected = make(&logs)?;
    let collector = Collector::start(Seen::default())?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: logs.join("service-*/app-*.log"),
        folder: folder.path().to_owned(),
        // Else a single line would wait for its age and nothing else would be seen.
        flow: [("maxBufferAgeMillis".to_owned(), 10.into())].into_iter().collect(),
        beside: Beside::default(),
    };
    let first = agent.start()?;
    let mut running = all_arrived(first, &collector, expected)?;
    let rounds = bench.rounds.max(3);
    let mut waits = Vec::new();
    for round in 0..rounds as u64 {
        running.stop(DEADLINE)?;
        let line = append(&logs, round * 977 % FILES, round)?;
        expected += line;
        let start = Instant::now();
        running = all_arrived(agent.start()?, &collector, expected)?;
        let arrived = collector.observed().last.ok_or("nothing arrived")?;
        waits.push((arrived - start).as_secs_f64());
        println!("  start {}: first byte after {:.3} s", round + 1, waits[waits.len() - 1]);
    }
    let note = format!("process start to complete call, median of {rounds}, maxBufferAgeMillis 10");
    bench.table.add("start with 10,000 known files", median(&waits), "s", Some(0.5), note);
    idle(bench, &running)?;
    running.stop(DEADLINE)?;
    if collector.observed().payload != expected {
        let payload = collector.observed().payload;
        return Err(format!("{payload} bytes arrived, {expected} are in the files").into());
    }
    Ok(())
}

fn idle(bench: &mut Bench, program: &Program) -> Outcome<()> {
    let (settle, watch) = if bench.quick { (3, 10) } else { (10, 60) };
    println!("{FILES} files, nothing happens: {settle} s to settle, {watch} s watched");
    std::thread::sleep(Duration::from_secs(settle));
    let (start, before) = (Instant::now(), program.cpu()?);
    std::thread::sleep(Duration::from_secs(watch));
    let used = (program.cpu()? - before).as_secs_f64();
    let part = used / start.elapsed().as_secs_f64() * 100.0;
    let note = format!("{:.1} ms of CPU in {watch} s", used * 1e3);
    bench.table.add("10,000 idle files, CPU", part, "%", Some(0.1), note);
    let note = format!("resident now; most since its start {:.1}", mib(program.peak_memory()?));
    bench.table.add("10,000 idle files, memory", mib(program.memory()?), "MiB", Some(17.0), note);
    Ok(())
}

fn all_arrived(mut program: Program, collector: &Collector<Seen>, expected: u64) -> Outcome<Program> {
    program.wait_until("all bytes of 10,000 files", DEADLINE, || Ok(collector.observed().payload >= expected))?;
    Ok(program)
}

fn make(logs: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for folder in 0..FOLDERS {
        fs::create_dir_all(logs.join(format!("service-{folder:02}")))?;
    }
    for file in 0..FILES {
        bytes += append(logs, file, 0)?;
    }
    Ok(bytes)
}

fn append(logs: &Path, file: u64, number: u64) -> Outcome<u64> {
    let path = logs.join(format!("service-{:02}/app-{file:05}.log", file % FOLDERS));
    let mut line = Vec::new();
    access_line(&mut line, &mut Rng::with_seed(SEED ^ (file << 20) ^ number), file, number)?;
    OpenOptions::new().create(true).append(true).open(path)?.write_all(&line)?;
    Ok(line.len() as u64)
}

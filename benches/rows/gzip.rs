//! Compressed records: CPU time of the agent against compressing the same buffers alone.
//! Promises that what arrives, decompressed, is the file byte by byte, or an error.
//! Leaves the choice of compressor to the agent; the yardstick is libdeflate at level 1.

use super::exact::SameBytes;
use super::pairs::{Pairs, Run, run_limit};
use super::{Bench, median};
use crate::Outcome;
use crate::collector::Collector;
use crate::inputs::Input;
use crate::limit::Mode;
use crate::processes::{Agent, Beside};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(300);

/// Both single files.
pub(crate) fn against_compressing_alone(bench: &mut Bench) -> Outcome<()> {
    for number in 0..2 {
        let name = [bench.inputs.access.name, bench.inputs.json.name][number];
        bench.attempt(&format!("gzip, {name}"), |bench| compare(bench, number));
    }
    Ok(())
}

fn compare(bench: &mut Bench, number: usize) -> Outcome<()> {
    let input = [&bench.inputs.access, &bench.inputs.json][number];
    println!("gzip, HTTP, {}: {} bytes", input.name, input.bytes);
    input.warm()?;
    let mut pairs = Pairs::default();
    let mut smaller = Vec::new();
    for _ in 0..bench.rounds {
        let limit = run_limit(bench, Mode::Compress, "-", None, input)?;
        let (agent, ratio) = run_agent(bench, input)?;
        pairs.add(input, &limit, &agent);
        smaller.push(ratio);
    }
    let title = format!("gzip level 1, HTTP, {}", input.name);
    let note = format!("{}; records {:.2} times smaller", pairs.note(), median(&smaller));
    bench.table.add(&title, median(&pairs.ratios), "x", Some(1.20), note);
    Ok(())
}

/// The run, and how many times smaller the records were than the lines in them.
fn run_agent(bench: &Bench, input: &Input) -> Outcome<(Run, f64)> {
    let [file] = input.files.as_slice() else { return Err("this row takes one file".into()) };
    let folder = bench.folder()?;
    let collector = Collector::start(SameBytes::as_in(file, true)?)?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: input.pattern.clone(),
        folder: folder.path().to_owned(),
        flow: serde_json::from_str("{\"compression\": {\"type\": \"gzip\", \"level\": 1}}")?,
        beside: Beside::default(),
    };
    let mut program = agent.start()?;
    program.wait_until("all bytes at the endpoint", DEADLINE, || Ok(collector.observed().content >= input.bytes))?;
    let run = Run { cpu: program.cpu()?.as_secs_f64(), memory: program.peak_memory()? };
    program.stop(DEADLINE)?;
    let seen = collector.observed();
    seen.must_be_same(input.bytes)?;
    println!("  agent: {} bytes in {} records", seen.payload, seen.records);
    Ok((run, seen.content as f64 / seen.payload as f64))
}

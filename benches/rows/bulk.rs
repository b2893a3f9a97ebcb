//! CPU time of the agent against the limit program, both shipping the same files to the same endpoint in turn.
//! Promises that as many bytes arrived as the files have, from either program, or an error.
//! Leaves the endpoint to local-lake in its counting mode.

use super::pairs::{Pairs, Peaks, Run, run_limit};
use super::{Bench, median, mib};
use crate::Outcome;
use crate::inputs::Input;
use crate::lake::{Counts, Lake, Way};
use crate::limit::{FRAME_BYTES, Mode, line_frame};
use crate::processes::{Agent, Beside};
use std::time::Duration;

/// Nothing that works takes longer.
const DEADLINE: Duration = Duration::from_secs(180);

/// What is compared.
#[derive(Clone, Copy)]
struct Comparison {
    name: &'static str,
    way: Way,
    /// What the limit program does.
    mode: Mode,
    /// Keys of the agent's flow, as JSON.
    flow: &'static str,
    required: f64,
}

const PACKED: Comparison =
    Comparison { name: "packed", way: Way::Http, mode: Mode::Packed, flow: "{}", required: 1.12 };
const LINES: Comparison = Comparison {
    name: "one line per record",
    way: Way::Http,
    mode: Mode::Lines,
    flow: "{\"aggregatedRecordSizeBytes\": 0}",
    required: 1.20,
};
const KINESIS: Comparison = Comparison {
    name: "aggregated for Kinesis",
    way: Way::Http,
    mode: Mode::Kinesis,
    flow: "{\"kinesisStream\": \"bench\"}",
    required: 1.35,
};

/// Packed records, all inputs, HTTP and TLS; and the most memory the agent held.
pub(crate) fn packed(bench: &mut Bench) -> Outcome<()> {
    let mut memory = 0;
    let (mut limit_memory, mut runs) = (0, 0);
    for way in [Way::Http, Way::Tls] {
        for number in 0..3 {
            if let Some(peaks) = compare(bench, Comparison { way, ..PACKED }, number) {
                memory = peaks.agent.max(memory);
                limit_memory = peaks.limit.max(limit_memory);
                runs += bench.rounds;
            }
        }
    }
    if runs == 0 {
        return Err("no packed run to take the memory of".into());
    }
    let note = format!("most of {runs} packed runs; the limit program held {:.1}", mib(limit_memory));
    bench.table.add("peak memory, one flow, defaults", mib(memory), "MiB", Some(32.0), note);
    Ok(())
}

/// One record a line, HTTP and TLS.
pub(crate) fn lines(bench: &mut Bench) -> Outcome<()> {
    for way in [Way::Http, Way::Tls] {
        for number in 0..2 {
            compare(bench, Comparison { way, ..LINES }, number);
        }
    }
    Ok(())
}

/// Lines aggregated as the Kinesis Producer Library does, HTTP and TLS.
pub(crate) fn kinesis(bench: &mut Bench) -> Outcome<()> {
    for way in [Way::Http, Way::Tls] {
        for number in 0..2 {
            compare(bench, Comparison { way, ..KINESIS }, number);
        }
    }
    Ok(())
}

/// One comparison over the input with this number; `None` where it failed, which is noted.
fn compare(bench: &mut Bench, comparison: Comparison, number: usize) -> Option<Peaks> {
    let input = [&bench.inputs.access, &bench.inputs.json, &bench.inputs.many][number];
    let title = format!("{}, {}, {}", comparison.name, comparison.way.word(), input.name);
    println!("{title}: {} bytes, {} lines", input.bytes, input.lines);
    let pairs = bench.attempt(&title, |bench| rounds(bench, comparison, number))?;
    bench.table.add(&title, median(&pairs.ratios), "x", Some(comparison.required), pairs.note());
    Some(pairs.peaks)
}

fn rounds(bench: &Bench, comparison: Comparison, number: usize) -> Outcome<Pairs> {
    let input = [&bench.inputs.access, &bench.inputs.json, &bench.inputs.many][number];
    input.warm()?;
    let frames = match comparison.mode {
        Mode::Kinesis => line_frames(input)?,
        _ => 0,
    };
    let expected = Expected { lines: input.bytes + frames, record: if frames > 0 { FRAME_BYTES as u64 } else { 0 } };
    let folder = bench.folder()?;
    let lake = Lake::start(folder.path(), comparison.way)?;
    let mut pairs = Pairs::default();
    for _ in 0..bench.rounds {
        let before = lake.counts()?;
        let limit = run_limit(bench, comparison.mode, &lake.endpoint, lake.authority.as_deref(), input)?;
        expected.must_be_whole("limit program", &lake.counts()?.since(&before))?;
        let agent = run_agent(bench, &lake, comparison, input, &expected)?;
        pairs.add(input, &limit, &agent);
    }
    Ok(pairs)
}

/// The agent over one input, with an empty state.
fn run_agent(bench: &Bench, lake: &Lake, comparison: Comparison, input: &Input, expected: &Expected) -> Outcome<Run> {
    let folder = bench.folder()?;
    let before = lake.counts()?;
    let agent = Agent {
        endpoint: lake.endpoint.clone(),
        authority: lake.authority.clone(),
        pattern: input.pattern.clone(),
        folder: folder.path().to_owned(),
        flow: serde_json::from_str(comparison.flow)?,
        beside: Beside::default(),
    };
    let mut program = agent.start()?;
    program.wait_until("all bytes at the endpoint", DEADLINE, || {
        Ok(expected.has_arrived(&lake.counts()?.since(&before)))
    })?;
    let run = Run { cpu: program.cpu()?.as_secs_f64(), memory: program.peak_memory()? };
    program.stop(DEADLINE)?;
    // Asked again: a second copy of something would have come until now.
    expected.must_be_whole("agent", &lake.counts()?.since(&before))?;
    Ok(run)
}

/// What must have arrived.
struct Expected {
    /// Bytes of all lines, with whatever is around each.
    lines: u64,
    /// Bytes around each record.
    record: u64,
}

impl Expected {
    fn bytes(&self, counts: &Counts) -> u64 {
        self.lines + self.record * counts.records
    }

    fn has_arrived(&self, counts: &Counts) -> bool {
        counts.payload >= self.bytes(counts)
    }

    fn must_be_whole(&self, who: &str, counts: &Counts) -> Outcome<()> {
        println!("  {who}: {} bytes in {} records, {} calls", counts.payload, counts.records, counts.calls);
        if counts.payload == self.bytes(counts) {
            return Ok(());
        }
        Err(format!("{who}: {} bytes arrived, {} were expected", counts.payload, self.bytes(counts)).into())
    }
}

/// Bytes around the lines of the input in aggregated records.
fn line_frames(input: &Input) -> Outcome<u64> {
    let mut frames = 0;
    for file in &input.files {
        let text = std::fs::read(file)?;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &text) {
            frames += line_frame(newline + 1 - start) as u64;
            start = newline + 1;
        }
    }
    Ok(frames)
}

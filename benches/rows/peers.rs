//! Inputs for which others publish figures, and one log that grows at 10 MB/s.
//! Promises that every line arrived once, or an error, and that a figure of others stands only in a note, named as theirs.
//! Leaves comparing to the reader: theirs were taken on another machine, in wall time of one thread.

use super::{Bench, median, mib};
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::inputs::{Input, PeerInputs, SEED, plain_512};
use crate::processes::{Agent, Beside, Program};
use fastrand::Rng;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(300);

/// What is measured, and what LoongCollector's benchmark report (32 vCPU, one processing thread, wall time) says of the
/// same kind of input.
struct Peer {
    name: &'static str,
    /// Keys of the agent's flow, as JSON.
    flow: &'static str,
    /// Megabytes a second.
    published: f64,
    /// The bytes arrive as they are; else a JSON object a line.
    unchanged: bool,
    input: fn(&PeerInputs) -> &Input,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "one flow of plain lines",
        flow: "{}",
        published: 546.0,
        unchanged: true,
        input: |inputs| &inputs.plain,
    },
    Peer {
        name: "multi-line by pattern",
        flow: r#"{"multiLineStartPattern": "\\[\\d+-\\d+-\\w+:\\d+:\\d+.\\d+]\\s+\\["}"#,
        published: 238.0,
        unchanged: true,
        input: |inputs| &inputs.traces,
    },
    Peer {
        name: "LOGTOJSON by pattern",
        flow: r#"{"dataProcessingOptions": [{"optionName": "LOGTOJSON", "logFormat": "SYSLOG",
            "matchPattern": "(\\S+) - (\\S+) \\[([^\\]]+)\\] \"(\\S+) (\\S+) ([^\"]+)\" (\\d+) (\\d+) \"([^\"]*)\" \"([^\"]*)\" rt=(\\S+) uct=\"([^\"]*)\" uht=\"([^\"]*)\" urt=\"([^\"]*)\" sid=(\\S+) uagent_hash=(\\S+) request_id=(\\S+)",
            "customFieldNames": ["ip", "user", "time", "method", "url", "protocol", "status", "length", "referer", "agent",
                "rt", "uct", "uht", "urt", "sid", "uagent_hash", "request_id"]}]}"#,
        published: 68.0,
        unchanged: false,
        input: |inputs| &inputs.plain,
    },
];

/// What arrived.
#[derive(Default)]
struct Seen {
    payload: u64,
    lines: u64,
    /// Lines that are no object of JSON; counted where they should be.
    plain: u64,
}

impl Observe for Seen {
    fn call(&mut self, _arrived: Instant, records: &[Vec<u8>]) {
        for record in records {
            self.payload += record.len() as u64;
            self.lines += bytecount::count(record, b'\n') as u64;
            self.plain += u64::from(!record.starts_with(b"{\"ip\":\""));
        }
    }
}

/// Megabytes of input for each second of CPU time, all threads and sending included.
pub(crate) fn published(bench: &mut Bench) -> Outcome<()> {
    let inputs = PeerInputs::prepare(&bench.data, if bench.quick { 64 << 20 } else { 1 << 30 })?;
    for peer in &PEERS {
        bench.attempt(peer.name, |bench| {
            let input = (peer.input)(&inputs);
            println!("{}: {} bytes, {} lines", peer.name, input.bytes, input.lines);
            input.warm()?;
            let mut rates = Vec::new();
            for round in 0..bench.rounds {
                rates.push(rate(bench, peer, input)?);
                println!("  round {}: {:.0} MB/CPU s", round + 1, rates[round]);
            }
            let title = format!("{}, MB a CPU second", peer.name);
            let note = format!("published by LoongCollector, another machine, wall time: {} MB/s", peer.published);
            bench.table.add_at_least(&title, median(&rates), "MB/CPU s", peer.published, note);
            Ok(())
        });
    }
    bench.attempt("10 MB/s of one log", steady);
    Ok(())
}

fn rate(bench: &Bench, peer: &Peer, input: &Input) -> Outcome<f64> {
    let folder = bench.folder()?;
    let collector = Collector::start(Seen::default())?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: input.pattern.clone(),
        folder: folder.path().to_owned(),
        flow: serde_json::from_str(peer.flow)?,
        beside: Beside::default(),
    };
    let mut program = agent.start()?;
    program.wait_until("all lines at the endpoint", DEADLINE, || Ok(collector.observed().lines >= input.lines))?;
    let cpu = program.cpu()?.as_secs_f64();
    program.stop(DEADLINE)?;
    let seen = collector.observed();
    if seen.lines != input.lines {
        return Err(format!("{} lines arrived, the file has {}", seen.lines, input.lines).into());
    }
    if peer.unchanged && seen.payload != input.bytes {
        return Err(format!("{} bytes arrived, the file has {}", seen.payload, input.bytes).into());
    }
    if !peer.unchanged && seen.plain > 0 {
        return Err(format!("{} records are not what the pattern makes", seen.plain).into());
    }
    Ok(input.bytes as f64 / 1e6 / cpu)
}

/// Bytes a second that the log grows by.
const SPEED: u64 = 10_000_000;
/// Times a second that something is appended.
const APPENDS: u64 = 100;

/// CPU and memory while one log grows at 10 MB/s in lines of 512 bytes.
fn steady(bench: &mut Bench) -> Outcome<()> {
    let seconds = if bench.quick { 10 } else { 60 };
    println!("10 MB/s of one log, {seconds} s");
    let folder = bench.folder()?;
    let log = folder.path().join("app.log");
    let collector = Collector::start(Seen::default())?;
    let mut output = OpenOptions::new().create(true).append(true).open(&log)?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: log,
        folder: folder.path().to_owned(),
        flow: serde_json::Map::new(),
        beside: Beside::default(),
    };
    let program = agent.start()?;
    let mut rng = Rng::with_seed(SEED);
    let mut written = 0;
    // Two seconds are not measured: the start, and the connection.
    grow(&mut output, &mut rng, &mut written, 2)?;
    let before = program.cpu()?;
    let began = Instant::now();
    grow(&mut output, &mut rng, &mut written, seconds)?;
    let part = (program.cpu()? - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    let peak = program.peak_memory()?;
    finish(program, &collector, written)?;
    let note = format!("of one core over {seconds} s; published by LoongCollector, another machine: 3.40 %");
    bench.table.add("10 MB/s of one log, CPU", part, "%", Some(1.7), note);
    let note = "most; published by LoongCollector: 29 MB".to_owned();
    bench.table.add("10 MB/s of one log, memory", mib(peak), "MiB", Some(22.0), note);
    Ok(())
}

/// Appends for this many seconds, and counts the bytes.
fn grow(output: &mut impl Write, rng: &mut Rng, written: &mut u64, seconds: u64) -> Outcome<()> {
    let (began, start, mut lines) = (Instant::now(), *written, Vec::new());
    for append in 1..=seconds * APPENDS {
        lines.clear();
        while *written + (lines.len() as u64) < start + append * SPEED / APPENDS {
            plain_512(&mut lines, rng, 0, *written)?;
        }
        output.write_all(&lines)?;
        *written += lines.len() as u64;
        std::thread::sleep(
            (began + Duration::from_millis(append * 1000 / APPENDS)).saturating_duration_since(Instant::now()),
        );
    }
    Ok(())
}

fn finish(mut program: Program, collector: &Collector<Seen>, bytes: u64) -> Outcome<()> {
    program.wait_until("all bytes of the log", DEADLINE, || Ok(collector.observed().payload >= bytes))?;
    program.stop(DEADLINE)?;
    let payload = collector.observed().payload;
    if payload == bytes { Ok(()) } else { Err(format!("{payload} bytes arrived, the log has {bytes}").into()) }
}

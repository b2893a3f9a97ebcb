//! `cargo bench --bench ship`: the release agent beside a program that does only what physics asks.
//! Promises one table of figures, each taken in this run; fails only if bytes are missing, doubled or out of order.
//! Leaves judging the figures to the reader: see docs/benchmarks.md.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what this program is for")]

mod collector;
#[path = "../tests/support/hostile.rs"]
mod hostile;
mod inputs;
mod lake;
mod limit;
mod processes;
mod rows;
mod table;

use inputs::Inputs;
use rows::Bench;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use table::Table;

/// Any trouble ends the run; its text is all anyone needs.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Both programs call as the same user.
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const REGION: &str = "us-east-1";
/// And name the same stream.
pub(crate) const STREAM: &str = "bench";

/// A name to choose rows by, and the rows.
type Row = (&'static str, fn(&mut Bench) -> Outcome<()>);

const ROWS: [Row; 14] = [
    ("yardstick", rows::yardstick::alone),
    ("packed", rows::bulk::packed),
    ("lines", rows::bulk::lines),
    ("kinesis", rows::bulk::kinesis),
    ("gzip", rows::gzip::against_compressing_alone),
    ("idle", rows::idle::ten_thousand),
    ("latency", rows::latency::beyond_age),
    ("delay", rows::delay::of_another_flow),
    ("hostile", rows::delay::of_hostile_lines),
    ("mqtt", rows::mqtt::messages),
    ("peers", rows::peers::published),
    ("exact", rows::exact::bytes_and_price),
    ("order", rows::exact::order),
    ("size", rows::binary_size),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == "limit" => limit::main(rest),
        Some((first, rest)) if first == "lake" => lake::main(rest),
        _ => bench(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Outcome<()> {
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty() && value != "0");
    let quick = arguments.iter().any(|argument| argument == "--quick") || setting("SHIP_QUICK").is_some();
    let rounds = match setting("SHIP_ROUNDS") {
        Some(text) => text.parse().map_err(|_| "SHIP_ROUNDS is a number from 1")?,
        None => 3,
    };
    let chosen: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = chosen.iter().find(|name| ROWS.iter().all(|(known, _)| known != *name)) {
        let known: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no row `{unknown}`; there are {}", known.join(", ")).into());
    }
    let data =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("the target folder has no parent")?.join("bench-data");
    fs::create_dir_all(&data)?;
    println!("{}", surroundings(quick, rounds));
    let inputs = Inputs::prepare(&data, if quick { 64 << 20 } else { 1 << 30 })?;
    let mut bench = Bench { data, rounds, quick, inputs, table: Table::default(), failed: Vec::new() };
    for (name, row) in ROWS {
        if !chosen.is_empty() && !chosen.iter().any(|wanted| *wanted == name) {
            continue;
        }
        println!("\n[{name}]");
        bench.attempt(name, row);
    }
    println!("\n{}", bench.table.render());
    if bench.failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", bench.failed.join(", ")).into()) }
}

/// What the figures depend on.
fn surroundings(quick: bool, rounds: usize) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name").map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        })
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo").lines().next().map(str::to_owned).unwrap_or_default();
    let said_by = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    format!(
        "machine: {cores} x {processor}; {memory}; kernel {}; load {}\nversions: {}; {}\nseed {}; {rounds} rounds{}",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").trim(),
        said_by(&processes::binary(), "--version"),
        said_by("rustc".as_ref(), "--version"),
        inputs::SEED,
        if quick { "; QUICK: 64 MiB inputs, figures are for a look only" } else { "" },
    )
}

//! The limit program by itself: that it ships what it read, and what that costs on this machine.
//! Promises an error if one byte it ships differs from the file.
//! Leaves the agent out; no figure here is required of anyone.

use super::exact::SameBytes;
use super::pairs::run_limit;
use super::{Bench, median, mib};
use crate::Outcome;
use crate::collector::Collector;
use crate::inputs::Input;
use crate::lake::Lake;
use crate::limit::Mode;

/// All its modes over both single files.
pub(crate) fn alone(bench: &mut Bench) -> Outcome<()> {
    for number in 0..2 {
        let input = [&bench.inputs.access, &bench.inputs.json][number];
        input.warm()?;
        for mode in [Mode::Packed, Mode::Lines] {
            ships_the_file(bench, mode, input)?;
        }
        for (mode, tls) in [
            (Mode::Packed, false),
            (Mode::Packed, true),
            (Mode::Lines, false),
            (Mode::Lines, true),
            (Mode::Compress, false),
        ] {
            cost(bench, mode, tls, number)?;
        }
    }
    Ok(())
}

fn ships_the_file(bench: &Bench, mode: Mode, input: &Input) -> Outcome<()> {
    let [file] = input.files.as_slice() else { return Err("this row takes one file".into()) };
    let collector = Collector::start(SameBytes::as_in(file, false)?)?;
    run_limit(bench, mode, &collector.endpoint, None, input)?;
    let seen = collector.observed();
    seen.must_be_same(input.bytes).map_err(|trouble| format!("limit program, {}: {trouble}", mode.word()))?;
    println!("  {} of {}: the file's bytes, in {} records", mode.word(), input.name, seen.records);
    Ok(())
}

fn cost(bench: &mut Bench, mode: Mode, tls: bool, number: usize) -> Outcome<()> {
    let input = [&bench.inputs.access, &bench.inputs.json][number];
    let folder = bench.folder()?;
    let lake = Lake::start(folder.path(), tls)?;
    let (mut costs, mut memory) = (Vec::new(), 0);
    for _ in 0..bench.rounds {
        let run = run_limit(bench, mode, &lake.endpoint, lake.authority.as_deref(), input)?;
        costs.push(run.cpu / (input.bytes as f64 / f64::from(1 << 30)));
        memory = run.memory.max(memory);
    }
    let way = match (mode, tls) {
        (Mode::Compress, _) => "no sending",
        (_, false) => "HTTP",
        (_, true) => "TLS",
    };
    let name = format!("limit program, {}, {way}, {}", mode.word(), input.name);
    bench.table.add(&name, median(&costs), "CPU s/GiB", None, format!("{:.1} MiB of memory", mib(memory)));
    Ok(())
}

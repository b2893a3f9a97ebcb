//! The limit program by itself: that it ships what it read, and what that costs on this machine.
//! Promises an error if one byte it ships differs from the file.
//! Leaves the agent out; no figure here is required of anyone.

use super::exact::SameBytes;
use super::pairs::run_limit;
use super::{Bench, median, mib};
use crate::Outcome;
use crate::collector::Collector;
use crate::inputs::Input;
use crate::lake::{Lake, Way};
use crate::limit::Mode;

/// All its modes over both single files.
pub(crate) fn alone(bench: &mut Bench) -> Outcome<()> {
    for number in 0..2 {
        let input = [&bench.inputs.access, &bench.inputs.json][number];
        input.warm()?;
        for mode in [Mode::Packed, Mode::Lines] {
            ships_the_file(bench, mode, input)?;
        }
        signs_well(bench, input)?;
        for (mode, way) in [
            (Mode::Packed, Way::Http),
            (Mode::Packed, Way::Tls),
            (Mode::Lines, Way::Http),
            (Mode::Lines, Way::Tls),
            (Mode::Compress, Way::Http),
        ] {
            cost(bench, mode, way, number)?;
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

fn signs_well(bench: &Bench, input: &Input) -> Outcome<()> {
    let folder = bench.folder()?;
    let lake = Lake::start(folder.path(), Way::Verified)?;
    // An answer that is not an acceptance ends the limit program.
    run_limit(bench, Mode::Packed, &lake.endpoint, None, input)?;
    println!("  packed of {}: {} signatures verified", input.name, lake.counts()?.calls);
    Ok(())
}

fn cost(bench: &mut Bench, mode: Mode, way: Way, number: usize) -> Outcome<()> {
    let input = [&bench.inputs.access, &bench.inputs.json][number];
    let folder = bench.folder()?;
    let lake = Lake::start(folder.path(), way)?;
    let (mut costs, mut memory) = (Vec::new(), 0);
    for _ in 0..bench.rounds {
        let run = run_limit(bench, mode, &lake.endpoint, lake.authority.as_deref(), input)?;
        costs.push(run.cpu / (input.bytes as f64 / f64::from(1 << 30)));
        memory = run.memory.max(memory);
    }
    let way = if mode == Mode::Compress { "no sending" } else { way.word() };
    let name = format!("limit program, {}, {way}, {}", mode.word(), input.name);
    bench.table.add(&name, median(&costs), "CPU s/GiB", None, format!("{:.1} MiB of memory", mib(memory)));
    Ok(())
}

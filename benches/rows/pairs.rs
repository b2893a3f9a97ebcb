//! Two programs doing the same work in turn, and what their CPU time says.
//! Promises the median of the ratios of neighbouring runs, so that a slow minute of the machine meets both.
//! Leaves to each row which runs make a pair.

use super::{Bench, median, mib};
use crate::Outcome;
use crate::inputs::Input;
use crate::limit::{Mode, Report};
use crate::processes::Program;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// One program's run over one input.
pub(crate) struct Run {
    /// CPU seconds when its work was done.
    pub(crate) cpu: f64,
    /// Most bytes of memory by then.
    pub(crate) memory: u64,
}

/// The most bytes of memory either program held.
#[derive(Clone, Copy, Default)]
pub(crate) struct Peaks {
    pub(crate) agent: u64,
    pub(crate) limit: u64,
}

/// All rounds of one comparison.
#[derive(Default)]
pub(crate) struct Pairs {
    limits: Vec<f64>,
    agents: Vec<f64>,
    /// Agent over limit program, a round each.
    pub(crate) ratios: Vec<f64>,
    /// Over all rounds.
    pub(crate) peaks: Peaks,
}

impl Pairs {
    /// One more round.
    pub(crate) fn add(&mut self, input: &Input, limit: &Run, agent: &Run) {
        let gib = input.bytes as f64 / f64::from(1 << 30);
        println!(
            "  round {}: limit {:.3} CPU s/GiB in {:.1} MiB; agent {:.3} CPU s/GiB in {:.1} MiB; ratio {:.3}",
            self.ratios.len() + 1,
            limit.cpu / gib,
            mib(limit.memory),
            agent.cpu / gib,
            mib(agent.memory),
            agent.cpu / limit.cpu
        );
        self.limits.push(limit.cpu / gib);
        self.agents.push(agent.cpu / gib);
        self.ratios.push(agent.cpu / limit.cpu);
        self.peaks = Peaks { agent: self.peaks.agent.max(agent.memory), limit: self.peaks.limit.max(limit.memory) };
    }

    /// The figures behind the ratio.
    pub(crate) fn note(&self) -> String {
        let least = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "{:.2} against {:.2} CPU s/GiB; rounds {least:.2} to {most:.2}",
            median(&self.agents),
            median(&self.limits)
        )
    }
}

/// The limit program over one input, as a process of its own: this program again, as a child.
pub(crate) fn run_limit(
    bench: &Bench,
    mode: Mode,
    endpoint: &str,
    authority: Option<&Path>,
    input: &Input,
) -> Outcome<Run> {
    let folder = bench.folder()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("limit").arg(mode.word()).arg(endpoint);
    command.arg(authority.unwrap_or_else(|| "-".as_ref())).args(&input.files);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program::start(&mut command, &folder.path().join("limit.log"))?;
    let mut line = String::new();
    BufReader::new(program.take_output()?).read_line(&mut line)?;
    let report: Report =
        serde_json::from_str(&line).map_err(|trouble| format!("limit program: {trouble}; {}", program.log_end()))?;
    let run = Run { cpu: program.cpu()?.as_secs_f64(), memory: program.peak_memory()? };
    if report.read != input.bytes {
        return Err(format!("the limit program read {} bytes of {}", report.read, input.bytes).into());
    }
    if report.compressed > 0 {
        let smaller = report.read as f64 / report.compressed as f64;
        println!("  limit program: compressed to {} bytes, {smaller:.2} times smaller", report.compressed);
    }
    drop(program.take_input()?);
    Ok(run)
}

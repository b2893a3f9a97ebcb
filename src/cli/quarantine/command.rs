//! What was typed behind `quarantine`: which records are meant, where the output goes, and how it ends.
//! Promises that nothing is dropped unless `--yes` is given, and that the exit code says whether all was done.
//! Leaves the work to its siblings.

use super::replay::{Replayed, Road, conclude};
use super::{CommandError, Selection, export, list, replay, summary};
use crate::app;
use crate::cli::arguments::QuarantineAct;
use crate::cli::complain;
use crate::cli::output::Output;
use crate::cli::reprocess::Reprocess;
use crate::config::{self, Plan};
use crate::deliver::session::{SessionError, Settings};
use crate::exit::Exit;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Does what is asked for, with the state folder and the flows of the configuration.
pub(in crate::cli) fn run(config: &Path, act: QuarantineAct) -> Exit {
    let plan = match config::load(config) {
        Ok(plan) => plan,
        Err(report) => {
            complain(&report.to_string());
            return Exit::Configuration;
        }
    };
    let state = &plan.state_directory;
    match act {
        QuarantineAct::List { selection, json } => {
            let mut out = Output::stdout();
            let listed = list(state, &selection, json, &mut out).map(|_waiting| Exit::Success);
            out.finish(ended(listed))
        }
        QuarantineAct::Summary { selection, json } => {
            let mut out = Output::stdout();
            let summed = summary(state, &selection, json, &mut out).map(|_waiting| Exit::Success);
            out.finish(ended(summed))
        }
        QuarantineAct::Export { selection, json, file } => ended(exported(state, &selection, json, file)),
        QuarantineAct::Drop { selection, damaged, yes } => {
            let mut out = Output::stdout().lasting();
            let dropped = dropped(state, &selection, damaged, yes, &mut out);
            out.finish(ended(dropped))
        }
        QuarantineAct::Replay { selection, raw, json } => {
            let mut out = Output::stdout().lasting();
            let exit = replayed(&plan, &selection, raw, json, &mut out);
            out.finish(exit)
        }
    }
}

fn exported(state: &Path, selection: &Selection, json: bool, file: Option<PathBuf>) -> Result<Exit, CommandError> {
    let exported = match &file {
        Some(path) => {
            let mut file = io::BufWriter::new(export::make(path)?);
            let exported = export::export(state, selection, json, &mut file);
            let whole = exported.and_then(|exported| Ok(file.get_ref().sync_all().map(|()| exported)?));
            // Half of it would be taken for all of it.
            whole.inspect_err(|_| std::fs::remove_file(path).unwrap_or_default())?
        }
        None if json => export::export(state, selection, json, &mut Output::stdout())?,
        None if io::stdout().is_terminal() => {
            complain(
                "datalake-agent: records may hold anything, so they are not written to a terminal; name a file, or give --json\n",
            );
            return Ok(Exit::Usage);
        }
        None => export::export(state, selection, json, &mut export::raw_stdout())?,
    };
    let to = file.map(|path| format!(" to {}", shown(&path))).unwrap_or_default();
    let export::Exported { records, bytes, damaged } = exported;
    let left_out = if damaged > 0 { format!("; left out {}", counted(damaged, "damaged line")) } else { String::new() };
    let (records, bytes) = (counted(records, "record"), counted(bytes, "byte"));
    complain(&format!("exported {records}, {bytes}{to}{left_out}; nothing was taken out of the quarantine\n"));
    Ok(if damaged > 0 { Exit::NotDelivered } else { Exit::Success })
}

fn dropped(
    state: &Path,
    selection: &Selection,
    damaged: bool,
    yes: bool,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let done = export::drop(state, selection, damaged, yes, out)?;
    let export::Dropped { records, lines, bytes, damaged, in_use } = done;
    let no_records = if damaged > 0 { format!(" and {}", counted(damaged, "damaged line")) } else { String::new() };
    let amount =
        format!("{} ({}, {}){no_records}", counted(records, "record"), counted(lines, "line"), counted(bytes, "byte"));
    match yes {
        true => writeln!(out, "dropped {amount} for good")?,
        false => writeln!(out, "would drop {amount} for good; nothing was dropped: add --yes to do it")?,
    }
    Ok(if in_use > 0 { Exit::NotDelivered } else { Exit::Success })
}

/// What is sent again, and as whom: all at once, or stream by stream where flows have regions or roles of their own.
fn replays(plan: &Plan, selection: &Selection) -> Vec<(Settings, Selection)> {
    if plan.flows.iter().all(|flow| plan.session_of(flow) == plan.session) {
        return vec![(plan.session.clone(), selection.clone())];
    }
    let mut replays: Vec<(Settings, Selection)> = Vec::new();
    let meant = |stream: &String| selection.stream.as_ref().is_none_or(|only| only == stream);
    for flow in plan.flows.iter().filter(|flow| meant(&flow.batch.stream)) {
        let stream = Some(flow.batch.stream.clone());
        if !replays.iter().any(|(_, known)| known.stream == stream) {
            replays.push((plan.session_of(flow), Selection { stream, ..selection.clone() }));
        }
    }
    replays
}

/// Sends what waits again, as the plan says.
fn replayed(plan: &Plan, selection: &Selection, raw: bool, json: bool, out: &mut (dyn Write + Send)) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(CommandError::Io(error))),
    };
    let mut reprocess = match runtime.block_on(Reprocess::prepared(&plan.flows, raw)) {
        Ok(reprocess) => reprocess,
        Err(error) => {
            complain(&format!("datalake-agent: {error}; or replay with --raw\n"));
            return Exit::Configuration;
        }
    };
    ended(runtime.block_on(async {
        let failed = |error: SessionError| io::Error::other(error.to_string());
        let mut sum = Replayed::default();
        for (settings, selection) in replays(plan, selection) {
            let firehose = app::firehose(&settings).await.map_err(failed)?;
            let kinesis = app::kinesis(&settings).await.map_err(failed)?;
            let mut road = Road { reprocess: &mut reprocess, firehose: &firehose, kinesis: &kinesis };
            sum += replay(&plan.state_directory, &selection, &mut road, json, out).await?;
        }
        conclude(sum, json, out)?;
        Ok(if sum.is_complete() { Exit::Success } else { Exit::NotDelivered })
    }))
}

/// The exit code of a command about the quarantine. A reader who hung up has seen enough.
fn ended(done: Result<Exit, CommandError>) -> Exit {
    match done {
        Ok(exit) => exit,
        Err(CommandError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            complain(&format!("datalake-agent: {error}\n"));
            if matches!(error, CommandError::Unavailable(_)) { Exit::NotDelivered } else { Exit::InputOutput }
        }
    }
}

//! `datalake-agent migrate`: shows what moving over from the Kinesis Agent would do, and does it when asked to.
//! Promises that without `--write` nothing is written, and that each end has its exit code and says what to do.
//! Leaves the work to `migrate`.

use crate::config::Report;
use crate::exit::Exit;
use crate::migrate::notes::Weight;
use crate::migrate::positions::{FlowPositions, Positions};
use crate::migrate::{self, Migration, Request, shadow, write};
use crate::telemetry::clock;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

/// What to do with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// Writes configuration and positions.
    pub write: bool,
    /// Writes although some flows cannot move.
    pub leave_out: bool,
    /// Reads beside the Kinesis Agent for so long.
    pub shadow: Option<Duration>,
}

/// Prepares, tells, and does what is asked for. A reader that hangs up does not change it.
#[must_use]
pub fn migrate(request: &Request, act: Act, out: &mut dyn Write) -> Exit {
    let mut say = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    let migration = match migrate::prepare(request, clock::now_ms()) {
        Ok(migration) => migration,
        Err(reason) => {
            say(&format!("{reason}\n"));
            return Exit::Configuration;
        }
    };
    if let Some(patience) = act.shadow {
        let (text, exit) = side_by_side(&migration, patience);
        say(&text);
        return exit;
    }
    say(&describe(request, &migration));
    let (text, exit) = conclude(request, act, &migration);
    say(&text);
    exit
}

/// The new files and everything there is to say.
fn describe(request: &Request, migration: &Migration) -> String {
    let mut text = String::new();
    let folder = request.config.parent().unwrap_or(std::path::Path::new(""));
    for (index, file) in migration.files.iter().enumerate() {
        let path = if index == 0 { request.config.clone() } else { folder.join(&file.name) };
        push(&mut text, format_args!("==> {}\n{}\n", shown(&path), migrate::shown(file)));
    }
    push(&mut text, format_args!("==> what differs, and what was left out\n"));
    let mut notes: Vec<_> = migration.notes.all().iter().collect();
    notes.sort_by_key(|note| note.weight);
    for note in &notes {
        push(&mut text, format_args!("{note}\n"));
    }
    if notes.is_empty() {
        push(&mut text, format_args!("nothing\n"));
    }
    if let Err(report) = &migration.verdict {
        push(&mut text, format_args!("\n==> this agent's own check refuses the result\n{report}"));
    }
    push(&mut text, format_args!("\n==> saved positions, from {}\n", shown(&migration.database)));
    match &migration.positions {
        None => push(&mut text, format_args!("not looked at\n")),
        Some(Err(error)) => push(&mut text, format_args!("{error}\n")),
        Some(Ok(positions)) => describe_positions(positions, &mut text),
    }
    text
}

fn describe_positions(positions: &Positions, text: &mut String) {
    for flow in &positions.flows {
        push(text, format_args!("{}  (here: {})\n", flow.id, flow.name));
        describe_flow(flow, text);
    }
    for (flow, rows) in &positions.foreign {
        push(
            text,
            format_args!("{flow}\n  {} of a flow that is not configured; not taken over\n", counted(*rows, "position")),
        );
    }
    for reason in &positions.odd {
        push(text, format_args!("not understood: {reason}\n"));
    }
}

fn describe_flow(flow: &FlowPositions, text: &mut String) {
    if !flow.placement.started {
        push(
            text,
            format_args!("  no position was saved: `initialPosition` decides at the first start, as it did there\n"),
        );
    }
    for placed in &flow.placement.placed {
        let mark = if placed.weight == Weight::Same { ' ' } else { '!' };
        push(text, format_args!("{mark} {}\n      {}\n", shown(&placed.file.path), placed.words));
    }
    for unplaced in &flow.placement.unplaced {
        let mark = if unplaced.weight == Weight::Same { ' ' } else { '!' };
        let (path, offset) = (shown(&unplaced.row.path), unplaced.row.offset);
        push(text, format_args!("{mark} {path}: could not be placed (byte {offset})\n      {}\n", unplaced.words));
    }
}

/// Whether something stands in the way of writing, and what.
fn obstacle(act: Act, migration: &Migration) -> Option<(String, Exit)> {
    let unreadable = |positions: &Positions| {
        let unplaced = positions.flows.iter().flat_map(|flow| &flow.placement.unplaced);
        unplaced.filter(|unplaced| unplaced.weight == Weight::Blocks).count()
    };
    if migration.verdict.is_err() {
        let text = "nothing was written: the new configuration cannot run; correct what is named above in the old files, and run this again\n";
        return Some((text.to_owned(), Exit::Configuration));
    }
    if migration.notes.any_blocks() && !act.leave_out {
        let text = "nothing was written: something cannot move (see `cannot move` above); correct it, or write the rest with --leave-out \
                    and keep those flows with the Kinesis Agent\n";
        return Some((text.to_owned(), Exit::Configuration));
    }
    match &migration.positions {
        Some(Err(_)) => {
            let text = "nothing was written: without the saved positions nobody knows how far the files were sent; name the database \
                        with --checkpoints, or go on without it with --without-checkpoints (then `initialPosition` decides)\n";
            Some((text.to_owned(), Exit::InputOutput))
        }
        Some(Ok(positions)) if unreadable(positions) > 0 => {
            let text = "nothing was written: some files cannot be read (see above); run this as a user who may\n";
            Some((text.to_owned(), Exit::InputOutput))
        }
        _ => migration.running.map(|process| {
            let text = format!(
                "nothing was written: the Kinesis Agent is running (pid {process}), so its positions still move; stop it and keep it \
                 stopped: `systemctl disable --now aws-kinesis-agent`\n"
            );
            (text, Exit::CannotCreate)
        }),
    }
}

fn conclude(request: &Request, act: Act, migration: &Migration) -> (String, Exit) {
    let hint = if act.write { "" } else { " (a dry run)" };
    if let Some((text, exit)) = obstacle(act, migration) {
        // A dry run may find the agent running.
        let exit = if exit == Exit::CannotCreate && !act.write { Exit::Success } else { exit };
        return (format!("\n{}", text.replacen(':', &format!("{hint}:"), 1)), exit);
    }
    let Ok(plan) = &migration.verdict else { return (String::new(), Exit::Configuration) };
    if !act.write {
        return (
            "\nnothing was written (a dry run): run it again with --write when all of this is right\n".to_owned(),
            Exit::Success,
        );
    }
    match write::write(migration, plan, &request.config, clock::now_ms()) {
        Ok(written) => {
            let mut text = format!("\n{}\n", written.acts.join("\n"));
            match crate::config::load(&request.config) {
                Ok(_) => {
                    push(&mut text, format_args!("next: `systemctl enable --now datalake-agent`\n"));
                    (text, Exit::Success)
                }
                Err(report) => (text + &refused(&report), Exit::Configuration),
            }
        }
        Err(error) => {
            let exit = match error {
                write::WriteError::State(_) => Exit::CannotCreate,
                write::WriteError::File { .. } => Exit::InputOutput,
            };
            (format!("\n{error}\n"), exit)
        }
    }
}

fn refused(report: &Report) -> String {
    format!(
        "{report}\nthe new files were written, but together with others in the same folder they cannot run; see above\n"
    )
}

fn side_by_side(migration: &Migration, patience: Duration) -> (String, Exit) {
    let (Ok(plan), Some(Ok(positions))) = (&migration.verdict, &migration.positions) else {
        let text = "there is nothing to compare: run `datalake-agent migrate` without --shadow, which says why\n";
        return (text.to_owned(), Exit::Configuration);
    };
    match shadow::run(plan, positions, &migration.database, patience) {
        Err(reason) => (format!("{reason}\n"), Exit::InputOutput),
        Ok(standings) => {
            let mut text = String::new();
            for standing in &standings {
                let ours = standing.ours.map_or_else(|| "-".to_owned(), |ours| ours.to_string());
                push(&mut text, format_args!("{}\n  {}\n", standing.flow, shown(&standing.path)));
                push(
                    &mut text,
                    format_args!("  Kinesis Agent {}, this agent {ours}: {}\n", standing.theirs, standing.words()),
                );
                if !standing.moved {
                    push(&mut text, format_args!("  the Kinesis Agent has saved nothing new meanwhile\n"));
                }
            }
            let differing = standings.iter().filter(|standing| !standing.agrees()).count();
            let exit = if differing == 0 { Exit::Success } else { Exit::Differs };
            let silent = positions.flows.len() - standings.len();
            push(
                &mut text,
                format_args!(
                    "{} compared, {differing} with a difference, {silent} without a saved position; nothing was sent or written\n",
                    counted(standings.len(), "flow")
                ),
            );
            (text, exit)
        }
    }
}

/// Writing to a text cannot fail.
fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).ok();
}

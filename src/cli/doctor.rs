//! `doctor`: what `check` says, and what only the outside can: names, connections, the clock, credentials, streams.
//! Promises that each probe ends by itself, that one which fails hides no other, and that no record is sent.
//! Leaves the questions to `deliver::probe`, and what follows from the answers about a stream to `stream`.

/// What the kernel allows.
mod inotify;
/// The probes of a service.
mod outside;
/// What rotation keeps.
mod retention;
/// What a stream says about itself.
mod stream;

use super::check::machine::{self, Findings};
use super::check::of_config;
use super::output::json_lines;
use crate::checkpoint;
use crate::config::{self, Plan};
use crate::exit::Exit;
use crate::telemetry::clock;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Path,
    /// Warnings are failures.
    pub deny_warnings: bool,
    /// As one JSON object.
    pub json: bool,
}

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// Not asked, or not allowed to; nothing follows from it.
    Skipped,
    /// The agent works, and something is not as it was meant.
    Warning,
    /// The agent does not work.
    Failed,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) outcome: Outcome,
    /// Stable, for text searches.
    pub(super) probe: &'static str,
    /// What was found, and about what.
    pub(super) message: String,
    /// What to do; empty where nothing is.
    pub(super) help: String,
}

impl Line {
    pub(super) fn ok(probe: &'static str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, probe, message: message.into(), help: String::new() }
    }

    pub(super) fn skipped(probe: &'static str, message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, ..Self::ok(probe, message) }
    }

    pub(super) fn warning(probe: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, help: help.into(), ..Self::ok(probe, message) }
    }

    pub(super) fn failed(probe: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, ..Self::warning(probe, message, help) }
    }
}

/// Asks everything, and prints a line for each answer.
#[must_use]
pub fn doctor(request: Request<'_>, out: &mut dyn Write) -> Exit {
    let plan = match config::load(request.config) {
        Ok(plan) => plan,
        Err(report) => return without_plan(&report, request, out),
    };
    let service = of_config(request.config);
    let findings = machine::look(&plan, service.as_ref());
    let mut lines = inside(&plan, &findings);
    lines.extend(on_this_machine(&plan, &findings));
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            lines.extend(runtime.block_on(outside::look(&plan)));
            // A lookup of a name that does not end would keep its thread.
            runtime.shutdown_background();
        }
        Err(error) => lines.push(Line::failed("system", error.to_string(), "see `ulimit -a` of this user")),
    }
    let exit = verdict(&lines, request.deny_warnings);
    let mut text = Vec::new();
    print(&lines, exit, request.json, &mut text);
    // What came from the environment into the configuration may be a secret.
    let text = plan.warnings.without_values(String::from_utf8_lossy(&text).into_owned());
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    exit
}

/// A configuration that cannot run is all there is to say.
fn without_plan(report: &config::Report, request: Request<'_>, out: &mut dyn Write) -> Exit {
    if request.json {
        let lines = [Line::failed("config", report.to_string(), "correct the configuration; `check` shows where")];
        print(&lines, Exit::Configuration, true, out);
    } else {
        out.write_all(report.to_string().as_bytes()).and_then(|()| out.flush()).ok();
    }
    Exit::Configuration
}

/// The configuration, and what `check` finds on this machine.
fn inside(plan: &Plan, findings: &Findings) -> Vec<Line> {
    let mut lines = Vec::new();
    for fault in plan.warnings.faults() {
        lines.push(Line::warning("config", plan.warnings.one_line(fault), fault.help.clone()));
    }
    for finding in &findings.all {
        lines.push(Line::warning(finding.code, finding.message.clone(), finding.help.clone()));
    }
    if lines.is_empty() {
        let count = plan.flows.len();
        let files: usize = findings.flows.iter().map(|found| found.files).sum();
        let (flows, files) = (counted(count, "flow"), counted(files, "file"));
        lines.push(Line::ok("config", format!("{flows}, {files}, as user {}", findings.user)));
    }
    if let Err(error) = crate::app::prove_certificates(&plan.session) {
        lines.push(Line::failed("certificates", error.to_string(), "correct or remove the file of certificates"));
    }
    lines
}

/// What the kernel allows, and what rotation keeps.
fn on_this_machine(plan: &Plan, findings: &Findings) -> Vec<Line> {
    let folders = findings.flows.iter().map(|found| found.folders as u64).sum();
    let is_running = checkpoint::holder(&plan.state_directory).is_ok_and(|agent| agent.is_some());
    let looked = inotify::look(Path::new("/proc"), findings.uid, folders, is_running);
    let mut lines = vec![match looked {
        Ok(words) => Line::ok("inotify", words),
        Err((message, help)) => Line::warning("inotify", message, help),
    }];
    match checkpoint::peek(&plan.state_directory) {
        Ok(remembered) => lines.extend(retention::look(plan, &findings.flows, remembered.as_ref(), clock::now_ms())),
        Err(error) => lines.push(Line::skipped("retention", error.to_string())),
    }
    lines
}

fn verdict(lines: &[Line], deny_warnings: bool) -> Exit {
    let worst = |outcome| lines.iter().any(|line| line.outcome == outcome);
    if worst(Outcome::Failed) || deny_warnings && worst(Outcome::Warning) { Exit::Unavailable } else { Exit::Success }
}

fn print(lines: &[Line], exit: Exit, json: bool, out: &mut dyn Write) {
    let mut text = String::new();
    if json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({"outcome": line.outcome.word().to_lowercase(), "probe": line.probe, "message": line.message, "help": line.help})
            })
            .collect();
        let value = json!({"good": exit == Exit::Success, "exitCode": exit.code(), "probes": lines});
        text = json_lines(&value, true);
    } else {
        for Line { outcome, probe, message, help } in lines {
            let help = if help.is_empty() || message.ends_with(help.as_str()) {
                String::new()
            } else {
                format!("; {}", shown(help))
            };
            text += &format!("{:8} {probe:12} {}{help}\n", outcome.word(), shown(message));
        }
    }
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_it_and_warnings_only_where_they_are_denied() {
        let ok = Line::ok("dns", "x");
        let (skipped, warning) = (Line::skipped("sts", "y"), Line::warning("stream", "z", "do"));
        let failed = Line::failed("tls", "w", "do");
        assert_eq!(verdict(&[ok.clone(), skipped.clone()], true), Exit::Success);
        assert_eq!(verdict(&[ok.clone(), warning.clone()], false), Exit::Success);
        assert_eq!(verdict(&[ok.clone(), warning.clone()], true), Exit::Unavailable);
        assert_eq!(verdict(&[failed, ok, warning, skipped], false), Exit::Unavailable);
    }

    #[test]
    fn each_probe_is_one_line_whatever_it_was_answered() {
        let lines = [Line::failed("stream", "line\nFAILED forged\u{1b}[2J", "do\nthis"), Line::ok("dns", "fine")];
        let mut out = Vec::new();
        print(&lines, Exit::Unavailable, false, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "FAILED   stream       line\\nFAILED forged\\x1b[2J; do\\nthis\nok       dns          fine\n");
    }
}

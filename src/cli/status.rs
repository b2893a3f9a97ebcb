//! `datalake-agent status`: how flows and files stand, from a running agent or from the checkpoint of a stopped one.
//! Promises an exit code for scripts, one JSON object for programs, and nothing that steers a terminal.
//! Leaves the numbers to the agent.

/// For people.
mod table;

use super::output::{Output, json_lines};
use super::reach::{self, Failed};
use crate::config::Plan;
use crate::exit::Exit;
use crate::local::Question;
use crate::status::rotation::{Loss, Rotated};
use crate::status::{FileStatus, FlowStatus, Oldest, State, Status, stopped};
use crate::telemetry::clock;
use datalake_base::prices::FIREHOSE_INGESTION;
use datalake_base::shown::shown;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Between two pictures of `--watch`.
const AGAIN: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The configuration.
    pub config: &'a Path,
    /// Only this flow.
    pub flow: Option<&'a str>,
    /// Files too.
    pub files: bool,
    /// As JSON.
    pub json: bool,
    /// Again and again.
    pub watch: bool,
}

/// What is shown.
pub(super) struct Picture {
    pub(super) status: Status,
    pub(super) files: Option<Vec<FileStatus>>,
    /// Of each flow: when unread bytes are deleted.
    pub(super) losses: Vec<Loss>,
    /// The configuration was changed since, and is wrong: the agent runs on, and would not start again.
    pub(super) configuration_is_wrong: bool,
}

/// Shows it, once or again and again.
#[must_use]
pub fn status(request: &Request<'_>) -> Exit {
    let plan = reach::plan(request.config);
    loop {
        let picture = match look(&plan, request) {
            Ok(picture) => picture,
            Err(failed) => {
                super::complain(&failed.text);
                return failed.exit;
            }
        };
        let mut out = Output::stdout();
        if request.watch && !request.json && std::io::stdout().is_terminal() {
            out.clear_screen();
        }
        let text = if request.json { json_lines(&as_json(&picture), !request.watch) } else { table::table(&picture) };
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let exit = out.finish(verdict(&picture.status));
        if !request.watch || written.is_err() {
            return exit;
        }
        std::thread::sleep(AGAIN);
    }
}

/// Asks the agent, or looks at what it left. An agent that runs is asked even where its configuration has become wrong.
fn look(plan: &Result<Plan, Failed>, request: &Request<'_>) -> Result<Picture, Failed> {
    let state = match plan {
        Ok(plan) => plan.state_directory.clone(),
        Err(_) => reach::state_folder(request.config),
    };
    let asked = reach::ask(&state, &Question::Status);
    let (mut status, files) = match (asked, plan) {
        (Ok(Some(mut answers)), _) => {
            let status: Option<Status> = answers.line().map_err(|error| reach::broken(&error))?;
            let files = if request.files { Some(running_files(&state, request.flow)?) } else { None };
            (status.unwrap_or_default(), files)
        }
        (Ok(None), Ok(plan)) => {
            let remembered = reach::remembered(plan)?;
            let seen = remembered.as_ref().map_or_else(Vec::new, |known| stopped::look(plan, known));
            let files = request.files.then(|| stopped::files(plan, &seen, request.flow));
            (stopped::status(plan, remembered.as_ref(), &seen), files)
        }
        (_, Err(failed)) => return Err(failed.clone()),
        (Err(failed), _) => return Err(failed),
    };
    if let Some(flow) = request.flow.filter(|flow| status.flows.iter().all(|known| known.name != **flow)) {
        return Err(Failed::new(Exit::Usage, format_args!("there is no flow `{}`", shown(flow))));
    }
    status.flows.retain(|flow| request.flow.is_none_or(|only| flow.name == only));
    let losses = status.flows.iter().map(|flow| loss(plan.as_ref().ok(), &state, flow)).collect();
    Ok(Picture { status, files, losses, configuration_is_wrong: plan.is_err() })
}

fn running_files(state: &Path, flow: Option<&str>) -> Result<Vec<FileStatus>, Failed> {
    let mut files = Vec::new();
    // It may have stopped just now.
    let question = Question::Files { flow: flow.map(str::to_owned) };
    let Some(mut answers) = reach::ask(state, &question)? else { return Ok(files) };
    while let Some(page) = answers.line::<Vec<FileStatus>>().map_err(|error| reach::broken(&error))? {
        files.extend(page);
    }
    Ok(files)
}

/// When rotation deletes what the flow has not sent.
fn loss(plan: Option<&Plan>, state: &Path, flow: &FlowStatus) -> Loss {
    // Nobody rotates the spool of messages.
    let waits = |oldest: &&Oldest| flow.behind_bytes > 0 && !oldest.home.0.starts_with(state);
    let Some(oldest) = flow.oldest.as_ref().filter(waits) else { return Loss::Nothing };
    let planned = plan.and_then(|plan| plan.flows.iter().find(|planned| planned.name == flow.name));
    let rotated = Rotated::of(&oldest.home.0, planned.map_or(&[], |flow| flow.source.rotated_to.as_slice()));
    rotated.loss(if oldest.rotated { oldest.changed_at } else { 0 }, clock::now_ms())
}

/// 0: nothing needs the operator. 1: a flow does. 3: no agent runs.
fn verdict(status: &Status) -> Exit {
    let needs = |flow: &FlowStatus| matches!(flow.state, State::Paused | State::Stalled);
    match () {
        () if !status.running => Exit::NotRunning,
        () if status.flows.iter().any(needs) => Exit::NotYet,
        () => Exit::Success,
    }
}

/// How full records and calls are, and what a GB of input costs.
pub(super) struct Fill {
    /// Bytes of an average record.
    pub(super) record: f64,
    /// Bytes of an average call against the most, in percent.
    pub(super) call_percent: f64,
    /// Dollars for each GB of input; none where the service does not bill by it.
    pub(super) dollars_a_gb: Option<f64>,
}

impl Fill {
    /// None where nothing was sent.
    pub(super) fn of(flow: &FlowStatus) -> Option<Self> {
        let sent = &flow.sent;
        if sent.records == 0 || sent.calls == 0 || flow.accounting.delivered == 0 {
            return None;
        }
        let billed = sent.billed as f64 / flow.accounting.delivered as f64;
        Some(Self {
            record: sent.payload as f64 / sent.records as f64,
            call_percent: 100.0 * sent.payload as f64 / sent.calls as f64 / sent.call_bytes.max(1) as f64,
            dollars_a_gb: (flow.service == "Firehose").then_some(billed * FIREHOSE_INGESTION[0].usd_per_gib),
        })
    }
}

/// The object that programs get. Files are many, so they are written as they are.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    rest: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [FileStatus]>,
}

fn as_json(picture: &Picture) -> Whole<'_> {
    let mut object = serde_json::to_value(&picture.status).unwrap_or_default();
    let flows = object["flows"].as_array_mut().into_iter().flatten();
    for ((json, flow), loss) in flows.zip(&picture.status.flows).zip(&picture.losses) {
        json["advice"] = json!(flow.advice());
        json["lossInSeconds"] = match loss {
            Loss::In(time) => json!(time.as_secs()),
            Loss::Nothing | Loss::Unknown => Value::Null,
        };
        json["lossKnown"] = json!(*loss != Loss::Unknown);
        if let Some(fill) = Fill::of(flow) {
            json["averageRecordBytes"] = json!(fill.record.round());
            json["callFillPercent"] = json!((fill.call_percent * 10.0).round() / 10.0);
            json["dollarsPerGb"] = json!(fill.dollars_a_gb.map(|dollars| (dollars * 10_000.0).round() / 10_000.0));
        }
    }
    object["configurationIsWrong"] = json!(picture.configuration_is_wrong);
    object["exitCode"] = json!(verdict(&picture.status).code());
    Whole { rest: object, files: picture.files.as_deref() }
}

#[cfg(test)]
mod tests;

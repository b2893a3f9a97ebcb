//! What commands may see of the running flows: looks at their accounting, some seconds apart.
//! Promises that looking takes nothing from a flow, and that counters of earlier lives are added to those of this one.
//! Leaves the socket to `local`, and files to the tailer.

use super::Look;
use crate::checkpoint::Poster;
use crate::config::FlowPlan;
use crate::flow::Wait;
use crate::saved::{CheckpointUpdate, Counters};
use crate::source::file::inquiry::Inquirer;
use crate::status::samples::Samples;
use crate::status::{FlowStatus, LastError, Status};
use crate::tap::Tap;
use crate::telemetry::clock;
use datalake_core::batch::Form;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// See the head of this file.
pub(super) struct Board {
    state_directory: PathBuf,
    started_at: u64,
    poster: Poster,
    /// Of earlier lives, by flow.
    before: BTreeMap<String, Counters>,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    flows: Vec<Line>,
    tailer: Option<Inquirer>,
    begun: bool,
}

/// A flow.
struct Line {
    status: FlowStatus,
    look: Option<Look>,
    samples: Samples,
    /// What was handed to the checkpoint last.
    saved: Counters,
}

impl Board {
    /// Of flows that are about to start.
    pub(super) fn new(
        state_directory: &Path,
        planned: &[FlowPlan],
        before: BTreeMap<String, Counters>,
        poster: Poster,
    ) -> Self {
        let board = Self {
            state_directory: state_directory.to_owned(),
            started_at: clock::now_ms(),
            poster,
            before,
            shown: Mutex::default(),
        };
        board.lock().flows = planned.iter().map(|flow| Line::new(flow, None)).collect();
        board
    }

    /// These flows run now, and this tailer reads for them.
    pub(super) fn run(&self, planned: &[FlowPlan], looks: &[Look], tailer: Inquirer) {
        let look = |flow: &FlowPlan| looks.iter().find(|look| look.name() == flow.name).cloned();
        let mut shown = self.lock();
        shown.flows = planned.iter().map(|flow| Line::new(flow, look(flow))).collect();
        shown.tailer = Some(tailer);
    }

    /// Where reading begins is decided and saved.
    pub(super) fn begin(&self) {
        self.lock().begun = true;
    }

    /// The tailer, once it runs.
    pub(super) fn tailer(&self) -> Option<Inquirer> {
        self.lock().tailer.clone()
    }

    /// Where a flow shows what it sends, if it runs.
    pub(super) fn tap(&self, flow: &str) -> Option<Tap> {
        Some(self.lock().flows.iter().find(|line| line.status.name == flow)?.look.as_ref()?.tap.clone())
    }

    /// Whether there is a flow of this name.
    pub(super) fn has(&self, flow: &str) -> bool {
        self.lock().flows.iter().any(|line| line.status.name == flow)
    }

    /// The state folder.
    pub(super) fn state_directory(&self) -> &Path {
        &self.state_directory
    }

    /// Looks at all flows.
    pub(super) fn sample(&self, now: Instant) {
        for line in &mut self.lock().flows {
            if let Some(look) = &line.look {
                line.samples.look(look.books(), now);
            }
        }
    }

    /// Hands the counters that changed to the checkpoint.
    pub(super) fn save(&self) {
        let mut update = CheckpointUpdate::default();
        for line in &mut self.lock().flows {
            let Some(counters) = self.counters(line) else { continue };
            if counters != line.saved {
                line.saved = counters;
                update.counters.push((line.status.name.clone(), counters));
            }
        }
        if !update.is_empty() {
            self.poster.post(update);
        }
    }

    /// Of all lives.
    fn counters(&self, line: &Line) -> Option<Counters> {
        let now = Counters { since: self.started_at, ..Counters::of(line.look.as_ref()?.books()) };
        Some(self.before.get(&line.status.name).map_or(now, |before| before.plus(&now)))
    }

    /// How everything stands, but for the content that waits longest.
    pub(super) fn status(&self) -> Status {
        let health = self.poster.health();
        let unsaved = health.failing.and(health.unsaved_since).map(|since| since.elapsed());
        let shown = self.lock();
        Status {
            running: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: Some(std::process::id()),
            state_directory: self.state_directory.clone().into(),
            started_at: Some(self.started_at),
            unsaved_millis: unsaved.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            flows: shown.flows.iter().map(|line| self.flow(line, shown.begun)).collect(),
        }
    }

    fn flow(&self, line: &Line, begun: bool) -> FlowStatus {
        let mut status = line.status.clone();
        let Some(look) = &line.look else {
            status.count(&self.before.get(&status.name).copied().unwrap_or_default(), 0);
            return status;
        };
        let accounting = look.books();
        let wait = look.wait();
        status.state = line.samples.state(begun, wait.as_ref().map(|(wait, _)| *wait));
        status.reason = wait.map(|(_, reason)| reason);
        status.last_error = look.standing.last().map(|(at, reason)| LastError { at, reason });
        status.files = accounting.files.value();
        status.unreadable = accounting.denials.value();
        status.rate = line.samples.rate();
        status.written_rate = line.samples.written_rate();
        status.behind_bytes = accounting.unsettled.value();
        status.behind_millis = match accounting.oldest_unsettled.value() {
            0 => 0,
            oldest => clock::now_ms().saturating_sub(oldest),
        };
        status.limit = line.samples.limit();
        // First what was settled: what is settled between the two looks is then counted as pending, and not missed.
        let counters = self.counters(line).unwrap_or_default();
        let own = Counters::of(accounting);
        let pending = accounting.read.value().saturating_sub(own.delivered + own.filtered + own.quarantined);
        status.count(&counters, pending);
        status
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new(flow: &FlowPlan, look: Option<Look>) -> Self {
        let service = if matches!(flow.batch.form, Form::Firehose) { "Firehose" } else { "Kinesis" };
        let mut status = FlowStatus {
            name: flow.name.clone(),
            service: service.to_owned(),
            stream: flow.batch.stream.clone(),
            state: crate::status::State::Starting,
            ..FlowStatus::default()
        };
        status.sent.call_bytes = flow.batch.max_bytes as u64;
        status.sent.call_records = flow.batch.max_records as u64;
        Self { status, look, samples: Samples::default(), saved: Counters::default() }
    }
}

impl Look {
    /// What it waits for on purpose, and why.
    fn wait(&self) -> Option<(Wait, String)> {
        let trouble = || Some((Wait::Paused, self.messages.as_ref()?.trouble()?));
        self.standing.wait().or_else(trouble)
    }
}

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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// See the head of this file.
pub(super) struct Board {
    state_directory: PathBuf,
    started_at: u64,
    poster: Poster,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    flows: Vec<Line>,
    /// Of earlier lives, by flow; a reload ends the life of those that it changes.
    before: BTreeMap<String, Counters>,
    tailer: Option<Inquirer>,
    begun: bool,
}

/// A flow.
struct Line {
    /// Shared: what does not change is looked up when somebody asks.
    plan: Arc<FlowPlan>,
    look: Option<Look>,
    samples: Samples,
    /// What was handed to the checkpoint last.
    saved: Counters,
}

impl Board {
    /// Of flows that are about to start.
    pub(super) fn new(
        state_directory: &Path,
        planned: &[Arc<FlowPlan>],
        before: BTreeMap<String, Counters>,
        poster: Poster,
    ) -> Self {
        let board = Self {
            state_directory: state_directory.to_owned(),
            started_at: clock::now_ms(),
            poster,
            shown: Mutex::default(),
        };
        let flows = planned.iter().map(|flow| Line::new(flow, None)).collect();
        *board.lock() = Shown { flows, before, ..Shown::default() };
        board
    }

    /// These flows run now, and this tailer reads for them.
    pub(super) fn run(&self, looks: &[Look], tailer: Option<Inquirer>) {
        let mut shown = self.lock();
        shown.flows = looks.iter().map(|look| Line::new(&look.plan, Some(look.clone()))).collect();
        shown.tailer = tailer;
    }

    /// After a reload these run; what the others counted until they ended stays.
    pub(super) fn change(&self, looks: &[Look]) {
        self.save();
        let mut shown = self.lock();
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        for line in std::mem::take(&mut shown.flows) {
            lines.insert(line.plan.name.clone(), line);
        }
        for look in looks {
            let runs_on = |line: &Line| line.look.as_ref().is_some_and(|known| Arc::ptr_eq(&known.books, &look.books));
            let line = match lines.remove(look.name()) {
                Some(line) if runs_on(&line) => line,
                ended => {
                    shown.end(ended, self.started_at);
                    Line::new(&look.plan, Some(look.clone()))
                }
            };
            shown.flows.push(line);
        }
        for (_, line) in lines {
            shown.end(Some(line), self.started_at);
        }
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
        Some(self.lock().flows.iter().find(|line| line.plan.name == flow)?.look.as_ref()?.tap.clone())
    }

    /// Whether there is a flow of this name.
    pub(super) fn has(&self, flow: &str) -> bool {
        self.lock().flows.iter().any(|line| line.plan.name == flow)
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
        let mut shown = self.lock();
        let Shown { flows, before, .. } = &mut *shown;
        for line in flows {
            let Some(counters) = line.counters(before, self.started_at) else { continue };
            if counters != line.saved {
                line.saved = counters;
                update.counters.push((line.plan.name.clone(), counters));
            }
        }
        drop(shown);
        if !update.is_empty() {
            self.poster.post(update);
        }
    }

    /// Adds to positions that are about to be saved what was counted up to them: in one transaction, so that a kill parts
    /// neither from the other.
    pub(super) fn save_with(&self, update: &mut CheckpointUpdate) {
        if update.contents.is_empty() {
            return;
        }
        let mut shown = self.lock();
        let Shown { flows, before, .. } = &mut *shown;
        for line in flows {
            let Some(counters) = line.counters(before, self.started_at) else { continue };
            // Time alone goes with the next that is saved for its own sake.
            if counters.bytes() != line.saved.bytes() {
                line.saved = counters;
                update.counters.push((line.plan.name.clone(), counters));
            }
        }
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
            flows: shown.flows.iter().map(|line| self.flow(line, &shown)).collect(),
        }
    }

    fn flow(&self, line: &Line, shown: &Shown) -> FlowStatus {
        let mut status = status_of(&line.plan);
        let Some(look) = &line.look else {
            status.count(&shown.before.get(&status.name).copied().unwrap_or_default(), 0);
            return status;
        };
        let accounting = look.books();
        let wait = look.wait();
        status.state = line.samples.state(shown.begun, wait.as_ref().map(|(wait, _)| *wait));
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
        let counters = line.counters(&shown.before, self.started_at).unwrap_or_default();
        let own = Counters::of(accounting);
        let pending = accounting.read.value().saturating_sub(own.delivered + own.filtered + own.quarantined);
        status.count(&counters, pending);
        status
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    /// The flow of this line has ended; what it counted counts as an earlier life.
    fn end(&mut self, line: Option<Line>, started_at: u64) {
        let Some(line) = line else { return };
        if let Some(counters) = line.counters(&self.before, started_at) {
            self.before.insert(line.plan.name.clone(), counters);
        }
    }
}

impl Line {
    /// Of all lives.
    fn counters(&self, before: &BTreeMap<String, Counters>, started_at: u64) -> Option<Counters> {
        let now = Counters { since: started_at, ..Counters::of(self.look.as_ref()?.books()) };
        Some(before.get(&self.plan.name).map_or(now, |before| before.plus(&now)))
    }

    fn new(plan: &Arc<FlowPlan>, look: Option<Look>) -> Self {
        Self { plan: plan.clone(), look, samples: Samples::default(), saved: Counters::default() }
    }
}

/// The status of a flow of which nothing was seen yet.
fn status_of(flow: &FlowPlan) -> FlowStatus {
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
    status
}

impl Look {
    /// What it waits for on purpose, and why.
    fn wait(&self) -> Option<(Wait, String)> {
        let trouble = || Some((Wait::Paused, self.messages.as_ref()?.trouble()?));
        self.standing.wait().or_else(trouble)
    }
}

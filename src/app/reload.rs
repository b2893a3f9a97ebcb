//! Another configuration while the agent runs.
//! Promises that the whole of it is applied or none, that a faulty one leaves the running one alone, that only flows whose
//! destination is concerned stop, and that a kill at any moment is a kill like any other. Leaves what a flow does to the flow.
//!
//! Flows to the same stream share the positions of its files, so they stop and start together: as a restart of the agent
//! would, for that stream alone.

/// What is different.
mod change;
/// How it went, for the command that asked.
mod record;

pub use record::{Outcome, Record};
pub(super) use record::{Records, forget_earlier};

use super::watching::{BEGUN_EVERY, until_begun};
use super::{Look, Running, StartError, destinations, ends, opening};
use crate::checkpoint::Keeper;
use crate::config::plan::set_aside;
use crate::config::{self, FlowPlan, Plan, Report};
use crate::exit::Exit;
use crate::saved::Remembered;
use crate::source::file::Tailer;
use crate::telemetry::{Notifier, ids};
use change::Change;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

/// Faults that get a line each; the others are counted.
const FAULTS_LOGGED: usize = 20;

/// Why a configuration is not applied.
enum Refused {
    /// It is wrong.
    Faults(Box<Report>),
    /// It changes what only a start can change.
    NeedsRestart(Vec<&'static str>),
    /// It is right and cannot run here.
    CannotRun(String),
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        Self::CannotRun(error.to_string())
    }
}

/// A reload does not end well in one of two ways.
enum Failed {
    /// Nothing was changed.
    Refused(Refused),
    /// A part died; the agent ends, and the next start applies the configuration.
    Died(Exit),
}

impl<E: Into<Refused>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Running {
    /// Reads the configuration again, and runs what it says from now on.
    ///
    /// # Errors
    /// How to end, because a part has died.
    pub(super) async fn reload(&mut self, tailer: &Tailer, keeper: &Keeper) -> Result<(), Exit> {
        // Who waits for the start hears of that first.
        while !self.health.has_begun() {
            tokio::time::sleep(BEGUN_EVERY).await;
        }
        let mut notifier = Notifier::new();
        notifier.reloading();
        let record = self.record.begin(&self.plan.state_directory).await;
        let outcome = match self.try_reload(tailer, keeper).await {
            Ok(change) => change.outcome(self.looks.all().len()),
            Err(Failed::Refused(refused)) => say_refused(&refused),
            Err(Failed::Died(exit)) => return Err(exit),
        };
        self.looks.reloaded(!outcome.applied);
        notifier.ready();
        record.end(outcome).await;
        Ok(())
    }

    async fn try_reload(&mut self, tailer: &Tailer, keeper: &Keeper) -> Result<Change, Failed> {
        let new = self.checked(tailer).await?;
        let change = Change::between(&self.plan, &new);
        let targets =
            destinations::connect(&new, &change.start).await.map_err(|error| Refused::CannotRun(error.to_string()))?;
        let flows = destinations::fitted(&change.start, &targets).await;
        let regions: Vec<String> = targets.iter().map(|target| target.region().to_owned()).collect();
        let ready = self.ready(&new, flows.clone(), targets)?;
        if !change.streams.is_empty() {
            // If positions cannot be read back, that must show before anything is stopped.
            keeper.remembered().await.map_err(|error| Refused::CannotRun(error.to_string()))?;
        }
        // Nothing of the configuration can fail any more.
        tracing::info!(
            added = names(&change.added),
            removed = names(&change.removed),
            changed = names(&change.changed),
            restarted = names(&change.beside),
            "applying the new configuration"
        );
        let saved = self.stop_flows(&change, tailer, keeper).await?;
        for warning in new.warnings.faults() {
            tracing::warn!("{}", new.warnings.one_line(warning));
        }
        self.budget.resize(new.max_memory.as_u64(), set_aside(&new.flows));
        let before = opening::Before::of(&saved);
        if !change.streams.is_empty() {
            // Spools are repaired before anyone reads them.
            self.receivers.start(&new, &flows, ready.signers);
            let (inputs, outlets) = ends(&flows);
            let own = new.flows.first().map(|flow| flow.source.own.clone()).unwrap_or_default();
            tailer.enter(inputs, saved, new.flows.len(), own).await.map_err(|_| died("the tailer"))?;
            self.spawn(&new, ready.flows, outlets);
        }
        self.looks.replace(self.looks.all().to_vec(), &new.hash);
        self.board.change(&self.looks.all());
        self.plan = Arc::new(new);
        let plan = self.plan.clone();
        self.beside(&plan).await;
        until_begun(tailer, keeper).await;
        // Looks at folders, and nobody waits for it.
        let _lines = tokio::task::spawn_blocking(move || opening::say(&flows, &regions, &before));
        tracing::info!(message_id = ids::RELOADED, flows = self.plan.flows.len(), "the new configuration is applied");
        Ok(change)
    }

    /// The new configuration, if it is right and needs no restart.
    async fn checked(&self, tailer: &Tailer) -> Result<Plan, Failed> {
        let Some(file) = self.plan.file.clone() else {
            return Err(Refused::CannotRun("the agent runs without a file of configuration".to_owned()).into());
        };
        let read = tokio::task::spawn_blocking(move || config::load(&file)).await;
        let new = match read {
            Ok(read) => read.map_err(|report| Refused::Faults(Box::new(report)))?,
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        };
        let mut keys = Vec::new();
        if new.state_directory != self.plan.state_directory {
            keys.push("`stateDirectory` is another");
        }
        if !tailer.may_tail(new.flows.iter().map(|flow| &*flow.source)) {
            keys.push("`filePattern` leads to a filesystem of the network for the first time, which needs a thread of its own");
        }
        if keys.is_empty() { Ok(new) } else { Err(Refused::NeedsRestart(keys).into()) }
    }

    /// Stops the flows of the destinations that are concerned, and says what is saved of these.
    async fn stop_flows(&mut self, change: &Change, tailer: &Tailer, keeper: &Keeper) -> Result<Remembered, Failed> {
        if change.streams.is_empty() {
            return Ok(Remembered::default());
        }
        self.receivers.stop_those_of(&change.stop).await.map_err(|_| died("a receiver"))?;
        tailer.stop_reading_for(change.streams.clone());
        for stream in &change.streams {
            if let Some(stop) = self.stops.remove(stream) {
                stop.send(true).ok();
            }
        }
        self.drained(change.stop.clone()).await?;
        tailer.leave(change.streams.clone()).await.map_err(|_| died("the tailer"))?;
        let (ended, staying): (Vec<Look>, Vec<Look>) =
            self.looks.all().iter().cloned().partition(|look| change.stop.contains(look.name()));
        self.looks.replace(staying, &self.plan.hash);
        if let Some(telling) = &self.telling {
            ended.iter().for_each(|look| telling.ended(look));
        }
        let mut saved = keeper.remembered().await.map_err(|error| {
            tracing::error!(
                reason = %error,
                "the positions cannot be read back in the middle of a reload; stopping, so that systemd starts the agent \
                 again with the new configuration; nothing is lost"
            );
            Failed::Died(Exit::CannotCreate)
        })?;
        saved.contents.retain(|content| change.streams.contains(&*content.stream));
        saved.folders.retain(|(stream, _)| change.streams.contains(&**stream));
        saved.started.retain(|(stream, _)| change.streams.contains(stream));
        Ok(saved)
    }

    /// Waits for these flows, for as long as a stop may take.
    async fn drained(&mut self, mut flows: BTreeSet<String>) -> Result<(), Failed> {
        let deadline = Instant::now() + self.plan.shutdown_timeout;
        let mut aborted = false;
        while !flows.is_empty() {
            let ended = tokio::select! {
                ended = self.flows.join_next() => ended,
                () = tokio::time::sleep_until(deadline), if !aborted => {
                    aborted = true;
                    tracing::warn!(
                        flows = names(&flows.iter().cloned().collect::<Vec<_>>()),
                        "not all was delivered within `shutdownTimeoutMillis`; the rest is read again"
                    );
                    self.aborts.iter().filter(|(name, _)| flows.contains(*name)).for_each(|(_, flow)| flow.abort());
                    continue;
                }
            };
            let name = match ended {
                Some(Ok((name, _))) => name.to_string(),
                Some(Err(error)) if error.is_cancelled() => {
                    let is_it = |(_, flow): &(&String, &tokio::task::AbortHandle)| flow.id() == error.id();
                    self.aborts.iter().find(is_it).map(|(name, _)| name.clone()).unwrap_or_default()
                }
                _ => return Err(died("a flow")),
            };
            self.aborts.remove(&name);
            if !flows.remove(&name) {
                return Err(died("a flow"));
            }
        }
        Ok(())
    }
}

/// Says that a part died.
fn died(what: &str) -> Failed {
    tracing::error!(
        message_id = ids::PART_DIED,
        "{what} ended by itself during a reload, which is a bug; stopping, so that systemd starts the agent again; nothing \
         is lost"
    );
    Failed::Died(Exit::Software)
}

/// Says why nothing was changed.
fn say_refused(refused: &Refused) -> Outcome {
    let goes_on = "the new configuration is not applied, and the agent goes on with the one it has";
    match refused {
        Refused::Faults(report) => {
            for fault in report.faults().iter().take(FAULTS_LOGGED) {
                tracing::error!(message_id = ids::RELOAD_REFUSED, reason = report.one_line(fault), "{goes_on}");
            }
            let more = report.faults().len().saturating_sub(FAULTS_LOGGED);
            if more > 0 {
                tracing::error!(more, "the new configuration has further faults; see `datalake-agent check`");
            }
            Outcome::refused(report.to_string(), Exit::Configuration)
        }
        Refused::NeedsRestart(keys) => {
            let reason = format!("{}: restart the agent to apply it", keys.join("; "));
            tracing::error!(message_id = ids::RELOAD_REFUSED, reason, "{goes_on}");
            Outcome::refused(reason, Exit::NotDelivered)
        }
        Refused::CannotRun(reason) => {
            tracing::error!(message_id = ids::RELOAD_REFUSED, reason, "{goes_on}");
            Outcome::refused(reason.clone(), Exit::Configuration)
        }
    }
}

/// Names for a field of the log: some, and how many more.
fn names(names: &[String]) -> Option<String> {
    const NAMED: usize = 20;
    if names.is_empty() {
        return None;
    }
    let mut words = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        words = format!("{words} and {} more", names.len() - NAMED);
    }
    Some(words)
}

/// The flows of a plan, by name.
fn named<'a>(plan: &'a Plan, name: &str) -> Option<&'a FlowPlan> {
    plan.flows.iter().find(|flow| flow.name == name).map(|flow| &**flow)
}

//! The receiving halves of MQTT flows: opened before anyone tails their spools, stopped before reading stops.
//! Promises that a receiver that ends by itself is noticed. Leaves receiving to the source.

use super::StartError;
use crate::config::{FlowPlan, Plan};
use crate::deliver::session::Identity;
use crate::deliver::{Fault, GivenUp, Meaning};
use crate::source::mqtt::{Counters, Keep, LeftBehind, Receiver, RefusedPayload, Settings, Signer, left_behind};
use datalake_base::record::{FileKey, OriginInfo, Position};
use datalake_base::shown::shown;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// The receivers, running.
pub(super) struct Receivers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Of each flow of the plan that has one.
    counters: Vec<(String, Arc<Counters>)>,
}

impl Receivers {
    /// Opens the spools and begins to receive. A spool that cannot be opened stops its own flow alone.
    ///
    /// # Errors
    /// When credentials cannot be asked for.
    pub(super) fn start(plan: &Plan) -> Result<Self, StartError> {
        let receiving: Vec<(&str, &Settings)> =
            plan.flows.iter().filter_map(|flow| Some((flow.name.as_str(), flow.mqtt.as_ref()?))).collect();
        tell(&left_behind(&plan.state_directory, &receiving));
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut counters) = (JoinSet::new(), Vec::new());
        for flow in &plan.flows {
            let (Some(settings), Some(settled)) = (&flow.mqtt, &flow.source.owned) else { continue };
            let receiver = Receiver::open(
                flow.name.clone(),
                settings.clone(),
                &plan.state_directory,
                settled.clone(),
                signer(plan, flow, settings)?,
                keep(plan, flow),
            );
            counters.push((flow.name.clone(), receiver.counters()));
            tasks.spawn(receiver.run(stopped.clone()));
        }
        Ok(Self { tasks, stop, counters })
    }

    /// Whether no flow receives.
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// What can be seen of the receiver of this flow, where it has one.
    pub(super) fn counters(&self, flow: &str) -> Option<Arc<Counters>> {
        self.counters.iter().find(|(name, _)| name == flow).map(|(_, counters)| counters.clone())
    }

    /// Waits until one ends by itself; for ever where there is none.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Receives no more; what was received is synced and acknowledged, then the brokers are left.
    pub(super) async fn stop(&mut self) {
        self.stop.send(true).ok();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(died) = ended {
                tracing::error!(reason = %died, "a receiver died while it was stopping");
            }
        }
    }
}

/// What nobody goes on with.
fn tell(left: &LeftBehind) {
    for folder in &left.spools {
        tracing::warn!(
            folder = %shown(folder),
            "this spool belongs to no flow that receives now: what in it was not delivered yet stays there; configure \
             the flow again under the folder's name, or delete the folder"
        );
    }
    for (file, memory) in &left.sessions {
        tracing::warn!(
            file = %shown(file),
            client_id = %shown(&memory.client_id),
            broker = %shown(&memory.broker),
            topics = memory.topics.len(),
            "no connection of this configuration goes on with a session that the broker keeps, so messages gather in it \
             until it expires: configure this `clientId` again to receive them, or end the session at the broker and delete \
             the file"
        );
    }
}

/// The agent's AWS credentials for addresses that are signed; asked for only there.
fn signer(plan: &Plan, flow: &FlowPlan, settings: &Settings) -> Result<Signer, StartError> {
    let Some(region) = &settings.sign_for else {
        return Ok(Arc::new(|| Box::pin(async { Err("this address is not to be signed".to_owned()) })));
    };
    let identity = Arc::new(Identity::of(&plan.session_of(flow), region)?);
    Ok(Arc::new(move || {
        let identity = identity.clone();
        Box::pin(async move { identity.credentials().await })
    }))
}

/// Keeps payloads that could not be lines in the quarantine of their flow.
fn keep(plan: &Plan, flow: &FlowPlan) -> Keep {
    let keep = super::flows::keep(plan, flow);
    Arc::new(move |refused: &[RefusedPayload]| keep(refused.iter().map(given_up).collect()))
}

fn given_up(refused: &RefusedPayload) -> GivenUp {
    let RefusedPayload { topic, payload, reason } = refused;
    let origin = OriginInfo::new(PathBuf::from(format!("mqtt:{topic}")), FileKey::default());
    GivenUp {
        payload: payload.clone(),
        lines: 1,
        extents: vec![(Arc::new(origin), Position::START, Position(payload.len() as u64))],
        fault: Fault { meaning: Meaning::Poison, code: "payload".to_owned(), message: reason.clone() },
        // As it came over the wire; no option has seen it.
        unprocessed: true,
        partition_key: None,
    }
}

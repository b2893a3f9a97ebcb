//! The receiving halves of MQTT flows: opened before anyone tails their spools, stopped before reading stops.
//! Promises that a receiver that ends by itself is noticed. Leaves receiving to the source.

use super::StartError;
use crate::config::{FlowPlan, Plan};
use crate::deliver::session::Identity;
use crate::deliver::{Fault, GivenUp, Meaning};
use crate::source::mqtt::{Counters, Keep, LeftBehind, Receiver, RefusedPayload, Settings, Signer, left_behind};
use datalake_base::record::{FileKey, OriginInfo, Position};
use datalake_base::shown::shown;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

/// The receivers, running.
#[derive(Default)]
pub(super) struct Receivers {
    /// Each ends with the name of its flow.
    tasks: JoinSet<String>,
    running: Vec<Running>,
}

/// That of one flow.
struct Running {
    flow: String,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
}

/// A receiver ended although nobody stopped it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedByItself;

/// Who signs for each flow of a plan that receives.
pub(super) type Signers = HashMap<String, Signer>;

impl Receivers {
    /// Who signs for these flows.
    ///
    /// # Errors
    /// When credentials cannot be asked for.
    pub(super) fn signers(plan: &Plan, flows: &[Arc<FlowPlan>]) -> Result<Signers, StartError> {
        let receiving = flows.iter().filter_map(|flow| Some((flow, flow.mqtt.as_deref()?)));
        receiving.map(|(flow, settings)| Ok((flow.name.clone(), signer(plan, flow, settings)?))).collect()
    }

    /// Opens the spools of these flows of the plan and begins to receive. A spool that cannot be opened stops its own flow
    /// alone.
    pub(super) fn start(&mut self, plan: &Plan, flows: &[Arc<FlowPlan>], mut signers: Signers) {
        let receiving: Vec<(&str, &Settings)> =
            plan.flows.iter().filter_map(|flow| Some((flow.name.as_str(), flow.mqtt.as_deref()?))).collect();
        tell(&left_behind(&plan.state_directory, &receiving));
        for flow in flows {
            let (Some(settings), Some(settled)) = (&flow.mqtt, &flow.source.owned) else { continue };
            let Some(signer) = signers.remove(&flow.name) else { continue };
            let receiver = Receiver::open(
                flow.name.clone(),
                Settings::clone(settings),
                &plan.state_directory,
                settled.clone(),
                signer,
                keep(plan, flow),
            );
            let (flow, counters) = (flow.name.clone(), receiver.counters());
            let (stop, stopped) = watch::channel(false);
            let name = flow.clone();
            self.tasks.spawn(async move {
                receiver.run(stopped).await;
                name
            });
            self.running.push(Running { flow, counters, stop });
        }
    }

    /// Whether no flow receives.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What can be seen of the receiver of this flow, where it has one.
    pub(super) fn counters(&self, flow: &str) -> Option<Arc<Counters>> {
        self.running.iter().find(|running| running.flow == flow).map(|running| running.counters.clone())
    }

    /// Waits until one ends by itself; for ever where there is none.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended.map(drop),
            None => std::future::pending().await,
        }
    }

    /// Those of these flows receive no more; what they received is synced and acknowledged. That takes as long as their disk
    /// does: nobody else may open a spool that is still being written to.
    ///
    /// # Errors
    /// When one of them died, or another one ended by itself.
    pub(super) async fn stop_those_of(&mut self, flows: &BTreeSet<String>) -> Result<(), EndedByItself> {
        let mut going = BTreeSet::new();
        for running in self.running.extract_if(.., |running| flows.contains(&running.flow)) {
            running.stop.send(true).ok();
            going.insert(running.flow);
        }
        while !going.is_empty() {
            match self.tasks.join_next().await {
                Some(Ok(name)) if going.remove(&name) => {}
                _ => return Err(EndedByItself),
            }
        }
        Ok(())
    }

    /// Receives no more; what was received is synced and acknowledged, then the brokers are left.
    pub(super) async fn stop(&mut self) {
        self.running.iter().for_each(|running| _ = running.stop.send(true));
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

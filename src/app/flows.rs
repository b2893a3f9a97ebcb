//! A flow's parts out of its plan: its decisions, its processing, its quarantine.
//! Promises that what can only be known on this machine (variables, the host's name) is looked up once, before the start.
//! Leaves running them to the parent.

use super::StartError;
use crate::config::{FlowPlan, Plan};
use crate::deliver::GivenUp;
use crate::deliver::quarantine::Quarantine;
use crate::flow::Keep;
use crate::telemetry::clock;
use datalake_core::budget::{Budget, Lease};
use datalake_core::flow::{Core, Settings};
use datalake_process::{Instance, Processor, Surroundings};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

pub(super) fn core(flow: &FlowPlan, budget: &Arc<Budget>) -> Result<Core, StartError> {
    let settings = Settings {
        framing: flow.framing.clone(),
        batch: flow.batch.clone(),
        pace: flow.pace,
        max_concurrent_requests: flow.max_concurrent_requests,
    };
    let lease = Lease::new(budget.clone(), flow.batch.memory_floor());
    let core = Core::new(settings, lease, fastrand::u64(..), Instant::now().into_std());
    if flow.process.is_empty() {
        return Ok(core);
    }
    let surroundings = surroundings(flow, None);
    let processor = Processor::new(&flow.process, &surroundings)
        .map_err(|error| StartError::NotReady { flow: flow.name.clone(), error })?;
    Ok(core.with_processor(processor))
}

/// What the options of a flow may know of this machine.
#[must_use]
pub fn surroundings(flow: &FlowPlan, instance: Option<Arc<Instance>>) -> Surroundings {
    let set = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    Surroundings {
        host: host_name(),
        variables: flow.process.variables().filter_map(set).collect(),
        instance,
        max_record_bytes: flow.longest_record(),
    }
}

/// The name of this machine as the kernel has it.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) fn keep(plan: &Plan, flow: &FlowPlan) -> Keep {
    let quarantine = Quarantine::new(&plan.state_directory, &flow.batch.stream, &flow.name);
    let quarantine = Mutex::new(quarantine);
    Arc::new(move |given_up: Vec<GivenUp>| {
        let mut quarantine = quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        quarantine.keep(&given_up, clock::now_ms()).map_err(|error| error.to_string())
    })
}

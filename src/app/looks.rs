//! What can be seen of the flows from outside, while they run and after.
//! Promises the flows that run now, also after a reload. Leaves what is made of it to who looks.

use crate::config::FlowPlan;
use crate::flow::Standing;
use crate::source::mqtt::Counters;
use crate::tap::Tap;
use crate::telemetry::FlowLook;
use datalake_base::accounting::Accounting;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can be seen of a flow from outside, while it runs and after.
#[derive(Clone, Debug)]
pub struct Look {
    pub(super) plan: Arc<FlowPlan>,
    pub(super) books: Arc<Accounting>,
    pub(super) standing: Standing,
    pub(super) messages: Option<Arc<Counters>>,
    pub(super) tap: Tap,
}

impl Look {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The stream that it feeds.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.plan.batch.stream
    }

    /// What it read and what became of that.
    #[must_use]
    pub fn books(&self) -> &Accounting {
        &self.books
    }

    /// Why it waits on purpose, where it does.
    #[must_use]
    pub fn holding(&self) -> Option<String> {
        self.standing.reason().or_else(|| self.messages.as_ref()?.trouble())
    }

    /// What messages came, where it receives some.
    #[must_use]
    pub fn messages(&self) -> Option<&Counters> {
        self.messages.as_deref()
    }

    /// For the telemetry; `reason` is why it holds.
    pub(super) fn with<'a>(&'a self, reason: Option<&'a str>) -> FlowLook<'a> {
        FlowLook { flow: self.name(), books: &self.books, holding: reason }
    }
}

/// The flows that run now; shared between who starts them and who looks at them.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks(Arc<Mutex<Current>>);

#[derive(Clone, Debug, Default)]
struct Current {
    flows: Arc<[Look]>,
    configuration: String,
    changes: u64,
    reload_failed: bool,
}

impl Looks {
    /// All of them, in the order of the configuration.
    pub(super) fn all(&self) -> Arc<[Look]> {
        self.lock().flows.clone()
    }

    /// How often they have changed.
    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// The hash of the configuration that runs.
    pub(super) fn configuration(&self) -> String {
        self.lock().configuration.clone()
    }

    /// Whether the newest reload was refused.
    pub(super) fn reload_failed(&self) -> bool {
        self.lock().reload_failed
    }

    /// These run from now on, as this configuration says.
    pub(super) fn replace(&self, flows: Vec<Look>, configuration: &str) {
        let mut current = self.lock();
        current.flows = flows.into();
        configuration.clone_into(&mut current.configuration);
        current.changes += 1;
    }

    /// How a reload ended.
    pub(super) fn reloaded(&self, failed: bool) {
        self.lock().reload_failed = failed;
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

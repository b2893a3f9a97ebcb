//! What the machine says about itself, learned beside the flows that want to know.
//! Promises one who asks however many flows want it, also after a reload. Leaves asking to `machine`.

use crate::config::Plan;
use crate::machine::Sources;
use datalake_process::Instance;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The task, running where a flow wants to know; it ends when this is dropped.
pub(super) struct Learning {
    learned: watch::Sender<Option<Arc<Instance>>>,
    task: JoinSet<()>,
    /// How long what was learned counts, as the plan has it.
    stays_true: Option<Duration>,
}

impl Default for Learning {
    fn default() -> Self {
        Self { learned: watch::channel(None).0, task: JoinSet::new(), stays_true: None }
    }
}

impl Learning {
    /// Learns for the flows of this plan, and says what is known.
    pub(super) fn follow(&mut self, plan: &Plan) -> watch::Receiver<Option<Arc<Instance>>> {
        let stays_true = plan.flows.iter().filter_map(|flow| flow.process.instance()).min();
        if self.stays_true != stays_true {
            self.stays_true = stays_true;
            self.task.abort_all();
            if let Some(stays_true) = stays_true {
                let sources = Sources::from_environment(|name| std::env::var(name).ok());
                self.task.spawn(sources.keep_learning(self.learned.clone(), stays_true));
            }
        }
        let mut learned = self.learned.subscribe();
        // What was learned before a flow started is news to it.
        learned.mark_changed();
        learned
    }
}

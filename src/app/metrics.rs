//! Metrics beside the flows: one task that looks at the books and tells CloudWatch.
//! Promises that neither start nor stop wait for it longer than a moment, and that no flow ever does.
//! Leaves what is told to the metrics.

use super::looks::{Look, Looks};
use crate::config::{FlowPlan, Plan};
use crate::deliver::cloudwatch::CloudWatch;
use crate::deliver::session;
use crate::machine::Sources;
use crate::metrics::{Counted, Metrics, Settings};
use datalake_base::accounting::Accounting;
use datalake_core::batch::Form;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A stop gives the last numbers so long, if it has the time.
const LAST_WORD: Duration = Duration::from_secs(2);

/// More flows than end between two looks; where nobody looks, because there is no way to CloudWatch, no more are kept.
const MOST_ENDED: usize = 1000;

/// The task, running.
pub(super) struct Telling {
    task: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Flows that have ended and whose last numbers were not taken yet.
    ended: Arc<Mutex<Counted>>,
    /// What it was started with.
    with: (Option<Settings>, session::Settings),
}

impl Telling {
    /// Begins, where the plan says so. `begun`: what was counted so far was sent by one before.
    pub(super) fn start(plan: &Plan, looks: &Looks, begun: bool) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut task, ended) = (JoinSet::new(), Arc::new(Mutex::new(Counted::new())));
        let with = (plan.metrics.clone(), plan.session.clone());
        if let (Some(settings), session) = with.clone() {
            let (looks, ended) = (looks.clone(), ended.clone());
            let running = move || looks.all().iter().map(counted).collect::<Counted>();
            task.spawn(async move {
                let to = match CloudWatch::connect(&session, settings.endpoint.as_deref()).await {
                    Ok(to) => to,
                    Err(error) => {
                        tracing::warn!("no metrics are sent to CloudWatch: {error}");
                        return;
                    }
                };
                let instance = if settings.tag_instance { Some(instance().await) } else { None };
                let metrics = Metrics::new(&settings.namespace, instance, running());
                let metrics = if begun { metrics.from_now_on() } else { metrics };
                let flows = || (running(), std::mem::take(&mut *ended.lock().unwrap_or_else(PoisonError::into_inner)));
                metrics.keep_sending(to, settings.every, stopped, flows).await;
            });
        }
        Self { task, stop, ended, with }
    }

    /// This flow has ended, and its numbers are the last.
    pub(super) fn ended(&self, look: &Look) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.task.is_empty() && ended.len() < MOST_ENDED {
            ended.push(counted(look));
        }
    }

    /// Whether another plan wants it started anew.
    pub(super) fn is_as(&self, plan: &Plan) -> bool {
        self.with.0 == plan.metrics && self.with.1 == plan.session
    }

    /// Everything is over: has the last numbers sent, and waits for that until `deadline`, or a moment.
    pub(super) async fn finish(mut self, deadline: Instant) {
        self.stop.send(true).ok();
        let deadline = deadline.min(Instant::now() + LAST_WORD);
        match tokio::time::timeout_at(deadline, self.task.join_next()).await {
            Ok(Some(Err(died))) => tracing::error!(reason = %died, "the metrics ended by themselves, which is a bug"),
            Ok(_) => {}
            Err(_) => tracing::debug!("the last metrics are left out: CloudWatch takes its time"),
        }
    }
}

fn counted(look: &Look) -> (String, Arc<Accounting>) {
    (destination(&look.plan), look.books.clone())
}

/// The stream, as the Kinesis Agent calls it here.
fn destination(flow: &FlowPlan) -> String {
    let kind = match flow.batch.form {
        Form::Firehose => "DeliveryStream",
        Form::Kinesis(_) => "KinesisStream",
    };
    format!("{kind}:{}", flow.batch.stream)
}

/// What this machine is called: by EC2, else by itself.
async fn instance() -> String {
    let known = Sources::from_environment(|name| std::env::var(name).ok()).fetch().await;
    known.ok().and_then(|known| known.instance_id).unwrap_or_else(super::flows::host_name)
}

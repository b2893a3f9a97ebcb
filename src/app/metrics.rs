//! Metrics beside the flows: one task that looks at the books and tells CloudWatch.
//! Promises that neither start nor stop wait for it longer than a moment, and that no flow ever does.
//! Leaves what is told to the metrics.

use super::Look;
use crate::config::{FlowPlan, Plan};
use crate::deliver::cloudwatch::CloudWatch;
use crate::machine::Sources;
use crate::metrics::Metrics;
use datalake_core::batch::Form;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A stop gives the last numbers so long, if it has the time.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The task, running.
pub(super) struct Telling {
    task: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Telling {
    /// Begins, where the plan says so.
    pub(super) fn start(plan: &Plan, looks: &[Look]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut task = JoinSet::new();
        if let Some(settings) = plan.metrics.clone() {
            let (session, looks) = (plan.session.clone(), looks.to_vec());
            let destinations: Vec<String> = plan.flows.iter().map(destination).collect();
            task.spawn(async move {
                let to = match CloudWatch::connect(&session, settings.endpoint.as_deref()).await {
                    Ok(to) => to,
                    Err(error) => {
                        tracing::warn!("no metrics are sent to CloudWatch: {error}");
                        return;
                    }
                };
                let instance = if settings.tag_instance { Some(instance().await) } else { None };
                let books = looks.into_iter().map(|look| look.books);
                let metrics = Metrics::new(&settings.namespace, instance, destinations.into_iter().zip(books));
                metrics.keep_sending(to, settings.every, stopped).await;
            });
        }
        Self { task, stop }
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

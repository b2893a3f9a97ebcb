//! Where the calls of each flow go: one connection for all flows with the same service, region and role.
//! Promises that a service which does not answer holds up the start for no longer than one question may take.
//! Leaves sessions, credentials and questions to the delivery.

use super::signals::Signals;
use crate::config::{FlowPlan, Plan};
use crate::deliver::connector;
use crate::deliver::firehose::Firehose;
use crate::deliver::kinesis::Kinesis;
use crate::deliver::session::{self, Session, SessionError, Target};
use crate::deliver::{Destination, PATIENCE};
use datalake_core::batch::Form;
use datalake_core::batch::kinesis::RECORD_BYTES;
use std::sync::Arc;
use std::time::Duration;

/// How often the instance is asked for its region while it does not answer.
const REGION_AGAIN: Duration = Duration::from_secs(5);

/// Firehose as these settings say; connections are made by calls.
///
/// # Errors
/// When no endpoint can be made out of the settings and the environment.
pub async fn firehose(settings: &session::Settings) -> Result<Firehose, SessionError> {
    Ok(Firehose::new(session::connect(settings, Target::Firehose).await?, PATIENCE))
}

/// Kinesis Data Streams as these settings say.
///
/// # Errors
/// As [`firehose`].
pub async fn kinesis(settings: &session::Settings) -> Result<Kinesis, SessionError> {
    Ok(Kinesis::new(session::connect(settings, Target::Kinesis).await?, PATIENCE))
}

/// A service under each of the settings it was asked for.
struct Shared<T> {
    target: Target,
    make: fn(Session, Duration) -> T,
    connected: Vec<(session::Settings, T)>,
}

impl<T: Clone> Shared<T> {
    const fn new(target: Target, make: fn(Session, Duration) -> T) -> Self {
        Self { target, make, connected: Vec::new() }
    }

    async fn under(&mut self, settings: session::Settings) -> Result<T, SessionError> {
        if let Some((_, connected)) = self.connected.iter().find(|(known, _)| *known == settings) {
            return Ok(connected.clone());
        }
        let connected = (self.make)(session::connect(&settings, self.target).await?, PATIENCE);
        self.connected.push((settings, connected.clone()));
        Ok(connected)
    }
}

/// As [`connect`], and again until the instance names its region, where nothing else does. `None`: a stop was asked for.
pub(super) async fn wait(plan: &Plan, signals: &mut Signals) -> Result<Option<Vec<Destination>>, SessionError> {
    let mut said = false;
    loop {
        match connect(plan, &plan.flows).await {
            Err(error @ SessionError::RegionNotAnswered) => {
                if !std::mem::replace(&mut said, true) {
                    tracing::error!("{error}; waiting, and asking again every {REGION_AGAIN:?}");
                }
            }
            ended => return ended.map(Some),
        }
        tokio::select! {
            () = tokio::time::sleep(REGION_AGAIN) => {}
            () = signals.stop() => return Ok(None),
        }
    }
}

/// The destination of each of these flows of the plan, in their order.
pub(super) async fn connect(plan: &Plan, flows: &[Arc<FlowPlan>]) -> Result<Vec<Destination>, SessionError> {
    for variable in connector::misread_proxies() {
        tracing::warn!(
            variable,
            "no address of a proxy, so none is used; write http://HOST:PORT, or remove the variable"
        );
    }
    let (mut firehose, mut kinesis) =
        (Shared::new(Target::Firehose, Firehose::new), Shared::new(Target::Kinesis, Kinesis::new));
    let mut destinations = Vec::with_capacity(flows.len());
    for flow in flows {
        let settings = plan.session_of(flow);
        destinations.push(match &flow.batch.form {
            Form::Firehose => Destination::Firehose(firehose.under(settings).await?),
            Form::Kinesis(form) => {
                let kinesis = kinesis.under(settings).await?;
                Destination::Kinesis(if form.kpl { kinesis.aggregating(&flow.batch.stream) } else { kinesis })
            }
        });
    }
    Ok(destinations)
}

/// The flows as their streams allow them, all of them asked at once.
pub(super) async fn fitted(flows: &[Arc<FlowPlan>], destinations: &[Destination]) -> Vec<Arc<FlowPlan>> {
    let flows = flows.iter().zip(destinations);
    futures_util::future::join_all(flows.map(|(flow, destination)| fit(flow.clone(), destination))).await
}

/// Larger records than usual only where the stream says that it takes them; every other flow is as it was planned.
async fn fit(flow: Arc<FlowPlan>, destination: &Destination) -> Arc<FlowPlan> {
    let asked = flow.batch.form.record_bytes();
    let Destination::Kinesis(kinesis) = destination else { return flow };
    if asked <= RECORD_BYTES {
        return flow;
    }
    let taken = kinesis.largest_record(&flow.batch.stream).await.unwrap_or(RECORD_BYTES);
    if taken < asked {
        let (stream, flow) = (&flow.batch.stream, &flow.name);
        tracing::warn!(flow, stream, asked, taken, "the stream takes smaller records; longer lines are cut");
    }
    FlowPlan::clone(&flow).within(taken).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each flow's plan was copied for what runs, and parts of it for the packer and the tailer: of 5,000 flows, 10 MB.
    #[tokio::test]
    async fn a_flow_that_runs_as_it_was_planned_shares_its_plan() {
        let text = r#"{"firehose.endpoint": "http://127.0.0.1:9", "region": "eu-west-1", "awsAccessKeyId": "AKIDEXAMPLE",
            "awsSecretAccessKey": "x", "flows": [{"filePattern": "/l/a", "deliveryStream": "a"}]}"#;
        let plan = crate::config::from_text(&[("agent.json", text)]).unwrap();
        let destinations = connect(&plan, &plan.flows).await.unwrap();
        let flows = fitted(&plan.flows, &destinations).await;
        assert!(Arc::ptr_eq(&flows[0], &plan.flows[0]));
        let (input, _outlet) = crate::source::file::Input::new(&flows[0].name, &flows[0].source);
        assert!(Arc::ptr_eq(&input.settings, &plan.flows[0].source));
        assert_eq!(plan.flows.capacity(), 1);
    }

    /// Sizes are of 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_flow_without_work_is_small() {
        for (what, size, most) in
            [("Flow", size_of::<crate::flow::Flow<Destination>>(), 1_900), ("FlowPlan", size_of::<FlowPlan>(), 280)]
        {
            assert!(size <= most, "{what} takes {size} bytes, more than {most}");
        }
    }
}

//! What CloudWatch is told, out of the keys `cloudwatch.*`.
//! Promises that nothing is sent beyond this machine where the records stay on it, unless an endpoint says so.
//! Leaves sending to the metrics.

use super::FlowPlan;
use super::access::prove_endpoint;
use crate::config::endpoint;
use crate::config::keys::Written;
use crate::config::report::{Kind, Placed, Report, quoted};
use crate::deliver::session;
use crate::metrics::Settings;
use datalake_core::batch::Form;
use std::time::Duration;

pub(super) fn prove(
    written: &Written,
    session: &session::Settings,
    flows: &[FlowPlan],
    report: &mut Report,
) -> Option<Settings> {
    let endpoint = written.metrics_endpoint.as_ref().and_then(|given| prove_endpoint(given, report));
    let settings = Settings {
        namespace: prove_namespace(&written.metrics_namespace, report),
        every: Duration::from_millis(written.metrics_period_millis),
        endpoint,
        tag_instance: written.tag_instance,
    };
    // Who tries the agent out against an endpoint of his own does not expect it to look for AWS.
    let stays_here = flows.iter().all(|flow| {
        let endpoint = match flow.batch.form {
            Form::Firehose => &session.firehose_endpoint,
            Form::Kinesis(_) => &session.kinesis_endpoint,
        };
        endpoint.as_ref().is_some_and(|url| endpoint::parse(url).is_ok_and(|endpoint| endpoint.local))
    });
    (written.emit_metrics && (settings.endpoint.is_some() || !stays_here)).then_some(settings)
}

fn prove_namespace(given: &Placed<String>, report: &mut Report) -> String {
    let name = &given.value;
    let plain = |byte: u8| (0x20..0x7f).contains(&byte);
    let good = (1..=255).contains(&name.len()) && name.bytes().all(plain) && name.trim() == name;
    if !good || name.starts_with("AWS/") || name.starts_with(':') {
        let message = format!("`{}` is {}, which is no namespace", given.at.path, quoted(name));
        let help = "write 1 to 255 printable ASCII characters; names that begin with `AWS/` are Amazon's own";
        report.add(Kind::BadName, &given.at, message, help);
    }
    name.clone()
}

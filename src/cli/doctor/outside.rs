//! What is asked of the services: their names, a connection, the clock, who we are, what the streams are like.
//! Promises a time limit on each question, and that those of one service wait for no other service.
//! Leaves words about streams to `stream`.

use super::{Line, Outcome, stream};
use crate::config::{FlowPlan, Plan};
use crate::deliver::probe::{Probe, identify};
use crate::deliver::session::{Settings, Target};
use crate::deliver::{Fault, Meaning};
use crate::telemetry::duration_in_words;
use datalake_base::shown::shown;
use datalake_core::batch::Form;
use futures_util::future::join_all;
use serde_json::Value;
use std::time::Duration;

/// How long a name may take to be looked up, and a broker to be connected to.
const NAME_PATIENCE: Duration = Duration::from_secs(5);
/// How long one question may take, with what it needs before it is asked: credentials, a region.
const PATIENCE: Duration = Duration::from_secs(40);
/// A difference to the service's clock below this does not matter.
const TOLERANCE: u64 = 60;
/// From this difference on a signature is refused.
const REFUSED: u64 = 300;
/// Streams of one service that are asked about; the account has five questions a second.
const MOST_STREAMS: usize = 20;

/// A service under one set of settings, and the flows that use it.
struct Served<'a> {
    settings: Settings,
    target: Target,
    flows: Vec<&'a FlowPlan>,
}

/// Asks everything, all services at once. The lines are in the order of the configuration.
pub(super) async fn look(plan: &Plan) -> Vec<Line> {
    let mut served: Vec<Served<'_>> = Vec::new();
    for flow in &plan.flows {
        let (settings, target) = (plan.session_of(flow), target(flow));
        match served.iter_mut().find(|known| known.target == target && known.settings == settings) {
            Some(known) => known.flows.push(flow),
            None => served.push(Served { settings, target, flows: vec![flow] }),
        }
    }
    let services = join_all(served.iter().map(Served::look));
    let brokers = join_all(plan.flows.iter().filter_map(|flow| Some(broker(flow, flow.mqtt.as_deref()?))));
    let (services, brokers) = futures_util::future::join(services, brokers).await;
    services.into_iter().flatten().chain(brokers).collect()
}

fn target(flow: &FlowPlan) -> Target {
    match flow.batch.form {
        Form::Firehose => Target::Firehose,
        Form::Kinesis(_) => Target::Kinesis,
    }
}

const fn name(target: Target) -> &'static str {
    match target {
        Target::Firehose => "Firehose",
        Target::Kinesis => "Kinesis",
    }
}

impl Served<'_> {
    async fn look(&self) -> Vec<Line> {
        let service = name(self.target);
        let probe = match within(PATIENCE, Box::pin(Probe::connect(&self.settings, self.target))).await {
            Some(Ok(probe)) => probe,
            Some(Err(error)) => return vec![Line::failed("session", format!("{service}: {error}"), "")],
            None => return vec![timed_out("session", service)],
        };
        let mut lines = Vec::new();
        if let Some(proxy) = probe.proxy() {
            lines.push(Line::ok("proxy", format!("{service} is called through {proxy}")));
        }
        let (dns, reached, credentials) = futures_util::future::join3(
            resolve(&probe),
            within(PATIENCE, probe.reach()),
            Box::pin(self.credentials(&probe)),
        )
        .await;
        // What has no address cannot be connected to, and says so twice.
        let is_unknown = dns.outcome == Outcome::Failed;
        let reached = reached.filter(|reached| !(is_unknown && reached.is_err()));
        let in_the_way = match (is_unknown, matches!(reached, Some(Ok(_))), credentials.outcome) {
            (true, ..) | (false, false, _) => Some("is not reached"),
            (false, true, Outcome::Failed) => Some("is not asked without credentials"),
            _ => None,
        };
        lines.push(dns);
        if !is_unknown || reached.is_some() {
            lines.extend(connection(&probe, service, reached));
        }
        lines.push(credentials);
        if let Some(reason) = in_the_way {
            lines.push(Line::skipped("stream", format!("{service} {reason}, so nothing is known of its streams")));
            return lines;
        }
        let mut asked: Vec<&str> = Vec::new();
        for flow in &self.flows {
            let stream = flow.batch.stream.as_str();
            if asked.len() >= MOST_STREAMS && !asked.contains(&stream) {
                lines.push(Line::skipped(
                    "stream",
                    format!("{service} {stream}: {MOST_STREAMS} others were asked about"),
                ));
                continue;
            }
            asked.push(stream);
            lines.extend(self.stream(&probe, flow).await);
        }
        lines
    }

    /// Who the credentials belong to.
    async fn credentials(&self, probe: &Probe) -> Line {
        let local = probe.first_hop().is_some_and(|(host, _)| host == "localhost" || host.starts_with("127."));
        if local && self.settings.sts_endpoint.is_none() {
            return Line::skipped("credentials", "the service is on this machine, so AWS is not asked who is calling");
        }
        match within(PATIENCE, Box::pin(identify(&self.settings, probe.region()))).await {
            None => timed_out("credentials", "STS"),
            Some(Ok(known)) => Line::ok("credentials", format!("{} (account {})", known.arn, known.account)),
            // Who calls is only of interest; that there are credentials is not.
            Some(Err(refused)) if is_of_the_way(&refused.code) || refused.code.starts_with("AccessDenied") => {
                Line::warning(
                    "credentials",
                    format!("STS does not say who is calling: {}", refused.message),
                    "the agent needs STS only for roles (`assumeRoleARN`)",
                )
            }
            Some(Err(refused)) => Line::failed("credentials", refused.message, ""),
        }
    }

    /// What the stream says about itself.
    async fn stream(&self, probe: &Probe, flow: &FlowPlan) -> Vec<Line> {
        let about = format!("{} {} (flow {})", name(self.target), flow.batch.stream, flow.name);
        let described = match within(PATIENCE, probe.describe(&flow.batch.stream)).await {
            None => return vec![timed_out("stream", &about)],
            Some(Ok(described)) => described,
            Some(Err(fault)) => return vec![unanswered(&about, fault)],
        };
        let misfits = match self.target {
            Target::Firehose => stream::of_delivery_stream(flow, &described),
            Target::Kinesis => {
                let channels = channels(probe, &described).await;
                if let Err(fault) = &channels {
                    let message = format!("{about} has channels, and what they take cannot be seen: {}", fault.message);
                    return vec![Line::warning(
                        "stream",
                        message,
                        "allow `kinesis:ListChannels` and `kinesis:DescribeChannel`",
                    )];
                }
                stream::of_stream(flow, &described, &channels.unwrap_or_default())
            }
        };
        if misfits.is_empty() {
            return vec![Line::ok("stream", format!("{about} is there and takes what the flow sends"))];
        }
        let line = |(message, help): (String, String)| Line::warning("stream", format!("{about}: {message}"), help);
        misfits.into_iter().map(line).collect()
    }
}

/// The channels of a stream, which are asked for only where there are some.
async fn channels(probe: &Probe, described: &Value) -> Result<Vec<Value>, Fault> {
    let some = described["ChannelCount"].as_u64().is_some_and(|count| count > 0);
    match described["StreamARN"].as_str().filter(|_| some) {
        Some(arn) => within(PATIENCE, probe.channels(arn)).await.unwrap_or_else(|| {
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(Fault { meaning: Meaning::Unknown, code: "timeout".to_owned(), message })
        }),
        None => Ok(Vec::new()),
    }
}

async fn resolve(probe: &Probe) -> Line {
    let Some((host, port)) = probe.first_hop() else {
        return Line::skipped("dns", format!("{} has no name to look up", probe.endpoint()));
    };
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Line::ok("dns", format!("{host} is an address and needs no lookup"));
    }
    match within(NAME_PATIENCE, tokio::net::lookup_host((host.as_str(), port))).await {
        None => timed_out("dns", &host),
        Some(Err(error)) => Line::failed(
            "dns",
            format!("{host} cannot be resolved: {error}"),
            "check /etc/resolv.conf, and the endpoint or proxy in the configuration",
        ),
        Some(Ok(found)) => {
            let addresses: Vec<String> = found.take(3).map(|address| address.ip().to_string()).collect();
            Line::ok("dns", format!("{host} is {}", addresses.join(", ")))
        }
    }
}

/// The connection, and by it the clock.
fn connection(probe: &Probe, service: &str, reached: Option<Result<Option<i64>, Fault>>) -> Vec<Line> {
    let endpoint = probe.endpoint();
    let behind = match reached {
        None => return vec![timed_out("connect", endpoint)],
        Some(Err(fault)) => {
            let probe = match fault.code.as_str() {
                "tls" => "tls",
                "proxy" => "proxy",
                code if code.starts_with("http") => "proxy",
                _ => "connect",
            };
            return vec![Line::failed(probe, format!("{service}: {}", fault.message), "")];
        }
        Some(Ok(behind)) => behind,
    };
    let secured =
        if endpoint.starts_with("https") { "reached, and its certificate is trusted" } else { "reached, without TLS" };
    let mut lines = vec![Line::ok(
        if endpoint.starts_with("https") { "tls" } else { "connect" },
        format!("{endpoint} is {secured}"),
    )];
    let Some(seconds) = behind else {
        lines.push(Line::skipped("clock", format!("{endpoint} does not say what time it is")));
        return lines;
    };
    let (apart, direction) = (seconds.unsigned_abs(), if seconds >= 0 { "behind" } else { "ahead of" });
    let words = duration_in_words(apart.saturating_mul(1000));
    lines.push(match apart {
        0..TOLERANCE => Line::ok("clock", format!("within {} s of {service}'s", apart.max(1))),
        TOLERANCE..REFUSED => {
            Line::warning("clock", format!("{words} {direction} {service}'s"), "set the clock of this machine (NTP)")
        }
        _ => Line::failed(
            "clock",
            format!("{words} {direction} {service}'s; signatures are refused from {} min on", REFUSED / 60),
            "set the clock of this machine (NTP)",
        ),
    });
    lines
}

/// A question about a stream that was not answered.
fn unanswered(about: &str, fault: Fault) -> Line {
    match fault.code.as_str() {
        code if code.starts_with("AccessDenied") || matches!(code, "NotAuthorized" | "UnauthorizedOperation") => {
            Line::skipped(
                "stream",
                format!(
                    "{about}: the credentials may not ask about it, which the agent does not need (`iam-policy --doctor` allows it)"
                ),
            )
        }
        "UnknownOperationException" | "http 404" => {
            Line::skipped("stream", format!("{about}: the endpoint does not answer questions about streams"))
        }
        _ if fault.meaning == Meaning::SlowDown => {
            Line::skipped("stream", format!("{about}: AWS throttles questions; ask again later"))
        }
        _ => Line::failed("stream", format!("{about}: {}", fault.message), ""),
    }
}

/// Whether a code is about the way to the service, not about what it answers.
fn is_of_the_way(code: &str) -> bool {
    matches!(code, "dns" | "tls" | "connect" | "connect timeout" | "timeout" | "proxy" | "connection" | "sts")
        || code.starts_with("http ")
}

/// Whether the broker takes connections.
async fn broker(flow: &FlowPlan, mqtt: &crate::source::mqtt::Settings) -> Line {
    let about = format!("{} (flow {})", mqtt.broker, flow.name);
    let address = (mqtt.broker.host.as_str(), mqtt.broker.port);
    match within(NAME_PATIENCE, tokio::net::TcpStream::connect(address)).await {
        None => timed_out("broker", &about),
        Some(Ok(_)) => Line::ok("broker", format!("{about} takes connections")),
        Some(Err(error)) => Line::failed(
            "broker",
            format!("{about} cannot be reached: {}", shown(&error.to_string())),
            "check host, port, firewall, and whether the broker runs",
        ),
    }
}

fn timed_out(probe: &'static str, about: &str) -> Line {
    Line::failed(probe, format!("{about}: no answer in time"), "check network and firewall")
}

async fn within<T>(patience: Duration, asked: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, asked).await.ok()
}

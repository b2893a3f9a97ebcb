//! What the agent would do, flow by flow, for a person and for a program.
//! Promises that no secret is in it. Leaves finding things out to the machine.

use super::machine::Findings;
use super::positions::Positions;
use crate::config::{FlowPlan, Plan};
use crate::source::file::InitialPosition;
use crate::source::file::discover::Pattern;
use crate::source::file::survey::Survey;
use crate::telemetry::{bytes_in_words, clock, duration_in_words};
use datalake_base::shown::shown;
use datalake_base::units::{ByteSize, counted};
use datalake_core::batch::{Compression, Form};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// What the agent would do, in a few lines.
pub(super) fn describe(plan: &Plan, findings: &Findings) -> String {
    let count = plan.flows.len();
    let mut text = format!("configuration is good: {}\n\n", counted(count, "flow"));
    let most: u64 = plan.flows.iter().map(|flow| flow.most_memory().as_u64()).sum();
    let rows = [
        ("state", findings.state.clone()),
        ("endpoint", endpoints(plan)),
        ("region", findings.region.clone()),
        ("keys", findings.credentials.clone()),
        ("memory", memory(most, plan.max_memory)),
        ("user", findings.user.clone()),
    ];
    let rows = rows.into_iter().chain(findings.environment.clone().map(|names| ("variables", names)));
    for (name, value) in rows {
        push(&mut text, format_args!("  {name:9} {value}\n"));
    }
    for (number, (flow, found)) in (0..).zip(plan.flows.iter().zip(&findings.flows)) {
        push(&mut text, format_args!("\n  {}\n", flow.name));
        for (name, value) in describe_flow(flow, found, findings.positions_of(number)) {
            push(&mut text, format_args!("    {name:9} {value}\n"));
        }
    }
    text
}

/// Where the calls go, of each service that is used.
fn endpoints(plan: &Plan) -> String {
    let own = || "the region's own".to_owned();
    let is_to_firehose = |flow: &Arc<FlowPlan>| matches!(flow.batch.form, Form::Firehose);
    let firehose = plan.flows.iter().any(is_to_firehose);
    let kinesis = !plan.flows.iter().all(is_to_firehose);
    let of = |endpoint: &Option<String>| endpoint.clone().unwrap_or_else(own);
    match (firehose, kinesis) {
        (true, true) => {
            format!("{}; for Kinesis, {}", of(&plan.session.firehose_endpoint), of(&plan.session.kinesis_endpoint))
        }
        (false, true) => of(&plan.session.kinesis_endpoint),
        _ => of(&plan.session.firehose_endpoint),
    }
}

/// Writing to a text cannot fail.
fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).ok();
}

fn memory(most: u64, budget: ByteSize) -> String {
    let mib = ByteSize::mib(most.div_ceil(1 << 20));
    if most <= budget.as_u64() {
        format!("{mib} when every flow is busy, of {budget}")
    } else {
        format!("{budget}, shared; with {mib} every flow could be busy at once")
    }
}

fn describe_flow(flow: &FlowPlan, found: &Survey, positions: Option<&Positions>) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let patterns = |patterns: &[Pattern]| {
        patterns.iter().map(|pattern| pattern.as_str().escape_debug().to_string()).collect::<Vec<_>>().join(", ")
    };
    match &flow.mqtt {
        None => {
            rows.push(("files", patterns(&flow.source.include)));
            rows.push(("now", matches(found)));
            rows.extend(positions.filter(|known| known.known > 0).map(|known| ("goes on", goes_on(found, known))));
            rows.push(("begins", begins(flow, positions)));
        }
        Some(mqtt) => {
            let topics: Vec<&str> = mqtt.topics.iter().map(|topic| topic.written.as_str()).collect();
            rows.push(("messages", format!("{} of {}", topics.join(", ").escape_debug(), mqtt.broker)));
            rows.push((
                "session",
                format!("{} over {}", mqtt.client_id.escape_debug(), counted(mqtt.connections, "connection")),
            ));
            rows.push((
                "spool",
                format!("up to {}, synced within {} ms", mqtt.max_spool, mqtt.sync_interval.as_millis()),
            ));
        }
    }
    if !flow.source.exclude.is_empty() {
        rows.push(("but not", patterns(&flow.source.exclude)));
    }
    let (service, kpl, ordered) = match &flow.batch.form {
        Form::Firehose => ("", false, false),
        Form::Kinesis(settings) => (" (Kinesis Data Streams)", settings.kpl, settings.ordered),
    };
    rows.push(("stream", format!("{}{service}", flow.batch.stream)));
    let packing = match flow.batch.aggregated_record_bytes {
        Some(bytes) if kpl => {
            format!(
                "lines packed into records of up to {} in the form of the Kinesis Producer Library",
                counted(bytes, "byte")
            )
        }
        Some(bytes) => format!("lines packed into records of up to {}", counted(bytes, "byte")),
        None => "each line a record".to_owned(),
    };
    let compression = match flow.batch.compression {
        Compression::None => String::new(),
        Compression::Gzip { level } => format!(", gzip level {level}"),
    };
    if !flow.process.is_empty() {
        rows.push(("options", flow.process.names().collect::<Vec<_>>().join(", ")));
        let variables: Vec<&str> = flow.process.variables().collect();
        if !variables.is_empty() {
            rows.push(("reads", format!("{} from the environment of the agent", variables.join(", "))));
        }
    }
    let order = if ordered { "; in order within each partition key" } else { "" };
    rows.push(("records", packing + &compression + order));
    let batch = &flow.batch;
    rows.push((
        "calls",
        format!(
            "after {} ms, {} or {}; {} at a time",
            batch.max_age.as_millis(),
            counted(batch.max_bytes, "byte"),
            counted(batch.max_records, "record"),
            flow.max_concurrent_requests
        ),
    ));
    rows
}

/// What the patterns match now.
fn matches(found: &Survey) -> String {
    let files = counted(found.files, "file");
    let more = if found.cut { " at least; there are too many to look at all" } else { "" };
    match &found.newest {
        None => format!("{files}{more}"),
        Some((path, changed)) => {
            let age = duration_in_words(clock::now_ms().saturating_sub(*changed));
            format!("{files}, {}{more}; the newest is {}, written {age} ago", bytes_in_words(found.bytes), shown(path))
        }
    }
}

/// Where reading goes on in files with a saved position.
fn goes_on(found: &Survey, known: &Positions) -> String {
    let newest = known.newest.map_or_else(String::new, |(position, size)| match position >= size {
        true => format!("; the newest was read to its end, byte {position}"),
        false => format!("; the newest was read up to byte {position} of {size}"),
    });
    let files = counted(found.files, "file");
    format!("at the saved positions of {} of {files}, {} behind{newest}", known.known, bytes_in_words(known.behind))
}

/// Where reading begins in files without a saved position.
fn begins(flow: &FlowPlan, positions: Option<&Positions>) -> String {
    if positions.is_some_and(|known| known.started) {
        return "at the beginning of files without a saved position: the pattern ran before".to_owned();
    }
    match flow.source.initial_position {
        InitialPosition::StartOfFile => "at the beginning of every file".to_owned(),
        InitialPosition::EndOfFile => {
            "at the end of the files that are there at the first start (initialPosition), at the beginning of later ones".to_owned()
        }
    }
}

/// A flow for a program.
pub(super) fn flow_json(flow: &FlowPlan, found: &Survey, positions: Option<&Positions>) -> Value {
    let patterns =
        |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect::<Vec<_>>();
    let service = if matches!(flow.batch.form, Form::Firehose) { "firehose" } else { "kinesis" };
    let mut value = json!({"name": flow.name, "service": service, "stream": flow.batch.stream});
    match &flow.mqtt {
        Some(mqtt) => {
            value["broker"] = json!(mqtt.broker.to_string());
            value["topics"] = mqtt.topics.iter().map(|topic| json!(topic.written)).collect();
        }
        None => {
            let newest = found.newest.as_ref().map(|(path, _)| shown(path).to_string());
            let own: Vec<String> = found.own.iter().map(|path| shown(path).to_string()).collect();
            value["filePattern"] = json!(patterns(&flow.source.include));
            value["exclude"] = json!(patterns(&flow.source.exclude));
            value["positions"] = positions.map_or(Value::Null, |known| {
                let (position, size) = known.newest.unzip();
                json!({
                    "files": known.known, "behindBytes": known.behind, "started": known.started,
                    "newestPosition": position, "newestBytes": size,
                })
            });
            value["files"] = json!({"count": found.files, "bytes": found.bytes, "newest": newest, "own": own, "complete": !found.cut});
        }
    }
    value
}

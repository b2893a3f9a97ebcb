//! The configuration as the operator wrote it, with the place of every value.
//! Promises that each value lies in its own range; what is left out has its default.
//! Leaves what values mean together, and everything that must compile, to `plan`.

/// The `mqtt` object.
pub(super) mod mqtt;

use super::json::{Node, Value};
use super::keys;
use super::report::{At, Kind, Report};
use super::section::{Level, Placed, Section, subject};
use super::values;
use datalake_core::batch::Compression;
use datalake_process::OnFailure;

/// The main file without its flows.
#[derive(Debug)]
pub(super) struct Written {
    /// Its opening brace, for faults about what is not there.
    pub(super) at: At,
    pub(super) state_directory: Placed<String>,
    pub(super) region: Option<Placed<String>>,
    pub(super) firehose_endpoint: Option<Placed<String>>,
    pub(super) kinesis_endpoint: Option<Placed<String>>,
    pub(super) kinesis_region: Option<Placed<String>>,
    pub(super) sts_endpoint: Option<Placed<String>>,
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
    pub(super) ca_bundle: Option<Placed<String>>,
    pub(super) role: WrittenRole,
    pub(super) access_key_id: Option<Placed<String>>,
    pub(super) secret_access_key: Option<Placed<String>>,
    pub(super) emit_metrics: bool,
    pub(super) metrics_endpoint: Option<Placed<String>>,
    pub(super) metrics_namespace: Placed<String>,
    pub(super) metrics_period_millis: u64,
    pub(super) tag_instance: bool,
    pub(super) max_memory: Option<Placed<u64>>,
    pub(super) shutdown_timeout_millis: u64,
}

/// One flow.
#[derive(Debug)]
pub(super) struct WrittenFlow {
    pub(super) file_pattern: Vec<Placed<String>>,
    pub(super) mqtt: Option<mqtt::WrittenMqtt>,
    /// Keys that mean something for files only, where they are given.
    pub(super) of_files: Vec<At>,
    pub(super) exclude: Vec<Placed<String>>,
    /// Its opening brace, for faults about what is not there.
    pub(super) at: At,
    /// Whether it has a key for a stream, with whatever value.
    pub(super) names_a_stream: bool,
    pub(super) delivery_stream: Option<Placed<String>>,
    pub(super) kinesis_stream: Option<Placed<String>>,
    pub(super) partition_key: Option<Placed<WrittenKey>>,
    pub(super) aggregation: Option<Placed<&'static str>>,
    pub(super) ordered: Option<Placed<bool>>,
    pub(super) region: Option<Placed<String>>,
    pub(super) role: WrittenRole,
    pub(super) max_record_size: Option<Placed<u64>>,
    pub(super) name: Option<Placed<String>>,
    pub(super) from_start: bool,
    pub(super) max_buffer_age_millis: u64,
    pub(super) max_buffer_size: Option<Placed<u64>>,
    pub(super) max_buffer_records: u64,
    pub(super) aggregated_size: Option<Placed<u64>>,
    pub(super) max_lines_per_record: Option<Placed<u64>>,
    pub(super) compression: Compression,
    pub(super) compression_at: At,
    pub(super) multi_line_start: Option<Placed<String>>,
    pub(super) multi_line_timeout: Option<Placed<u64>>,
    pub(super) multi_line_timeout_millis: u64,
    pub(super) skip_header_lines: u64,
    pub(super) terminator: Placed<String>,
    pub(super) truncate: bool,
    pub(super) processing: Option<Placed<Value>>,
    pub(super) on_failure: OnFailure,
    /// Where that is written, if it is.
    pub(super) on_failure_at: Option<At>,
    pub(super) max_concurrent_requests: Placed<u64>,
    pub(super) max_bytes_per_second: Option<u64>,
    pub(super) max_records_per_second: Option<u64>,
    pub(super) max_requests_per_second: Option<u64>,
}

/// A role to assume.
#[derive(Debug)]
pub(super) struct WrittenRole {
    pub(super) arn: Option<Placed<String>>,
    pub(super) external_id: Option<Placed<String>>,
}

/// Where partition keys come from.
#[derive(Debug)]
pub(super) enum WrittenKey {
    Random,
    Deterministic,
    Field(String),
    Path(Placed<String>),
}

impl WrittenFlow {
    /// The name of its stream, whichever service it is of.
    pub(super) fn stream(&self) -> Option<&Placed<String>> {
        self.delivery_stream.as_ref().or(self.kinesis_stream.as_ref())
    }

    /// Whether that is Kinesis Data Streams.
    pub(super) fn is_to_kinesis(&self) -> bool {
        self.delivery_stream.is_none() && self.kinesis_stream.is_some()
    }
}

/// Decodes the main file; its flows come beside it.
pub(super) fn main(root: &Value, report: &mut Report) -> Option<(Written, Vec<WrittenFlow>)> {
    let section = Section::open(Level::Main, root, "", report)?;
    let written = Written {
        at: section.at.clone(),
        state_directory: section.text_or_default(&keys::STATE_DIRECTORY, report),
        region: section.nonempty_text(&keys::REGION, report),
        firehose_endpoint: section.nonempty_text(&keys::FIREHOSE_ENDPOINT, report),
        kinesis_endpoint: section.nonempty_text(&keys::KINESIS_ENDPOINT, report),
        kinesis_region: section.nonempty_text(&keys::KINESIS_REGION, report),
        sts_endpoint: section.nonempty_text(&keys::STS_ENDPOINT, report),
        fips: section.boolean(&keys::FIPS, report),
        dual_stack: section.boolean(&keys::DUAL_STACK, report),
        ca_bundle: section.nonempty_text(&keys::CA_BUNDLE, report),
        role: WrittenRole {
            arn: section.nonempty_text(&keys::ASSUME_ROLE, report),
            external_id: section.nonempty_text(&keys::EXTERNAL_ID, report),
        },
        access_key_id: section
            .nonempty_text(&keys::ACCESS_KEY_ID, report)
            .map(|id| at_its_key(id, &section, &keys::ACCESS_KEY_ID)),
        secret_access_key: section
            .nonempty_text(&keys::SECRET_ACCESS_KEY, report)
            .map(|secret| at_its_key(secret, &section, &keys::SECRET_ACCESS_KEY)),
        emit_metrics: section.boolean(&keys::EMIT_METRICS, report),
        metrics_endpoint: section.nonempty_text(&keys::METRICS_ENDPOINT, report),
        metrics_namespace: section.text_or_default(&keys::METRICS_NAMESPACE, report),
        metrics_period_millis: section.number_or_default(&keys::METRICS_PERIOD, report).value,
        tag_instance: section.boolean(&keys::TAG_INSTANCE, report),
        max_memory: section.number(&keys::MAX_MEMORY, report),
        shutdown_timeout_millis: section.number_or_default(&keys::SHUTDOWN_TIMEOUT, report).value,
    };
    let flows = flows(&section, report);
    Some((written, flows))
}

/// Decodes a file of `agent.d`.
pub(super) fn fragment(root: &Value, report: &mut Report) -> Vec<WrittenFlow> {
    let Some(section) = Section::open(Level::Fragment, root, "", report) else { return Vec::new() };
    if section.value(&keys::FLOWS).is_none() {
        let help = "add a list `flows`, or remove the file";
        report.add(Kind::Missing, &section.at, format!("{} has no `flows`", subject("")), help);
    }
    flows(&section, report)
}

/// The value, but pointing at its key: what is wrong about credentials is never what they say.
fn at_its_key(text: Placed<String>, section: &Section<'_>, key: &keys::Key) -> Placed<String> {
    Placed { at: section.key_at(key), ..text }
}

fn flows(section: &Section<'_>, report: &mut Report) -> Vec<WrittenFlow> {
    let Some((value, at)) = section.value(&keys::FLOWS) else { return Vec::new() };
    let Node::List(values) = &value.node else {
        let message = format!("`flows` is {}, not a list", values::describe(value));
        values::wrong_type(value, &at, message, "write a list of objects: [ { … } ]", report);
        return Vec::new();
    };
    let each = values.iter().enumerate();
    each.filter_map(|(index, value)| flow(value, &format!("flows[{index}]"), report)).collect()
}

fn flow(value: &Value, path: &str, report: &mut Report) -> Option<WrittenFlow> {
    let section = Section::open(Level::Flow, value, path, report)?;
    let multi_line_timeout = section.number_or_default(&keys::MULTI_LINE_TIMEOUT, report);
    let given = section.value(&keys::MULTI_LINE_TIMEOUT).is_some();
    let mqtt_given = section.value(&keys::MQTT);
    let file_pattern = section.texts(&keys::FILE_PATTERN, report).unwrap_or_default();
    source_is_one(&section, report);
    let of_files = [&keys::EXCLUDE, &keys::INITIAL_POSITION, &keys::SKIP_HEADER_LINES, &keys::MULTI_LINE_START];
    Some(WrittenFlow {
        mqtt: mqtt_given.and_then(|(value, at)| mqtt::mqtt(value, &at, report)),
        of_files: of_files.into_iter().filter_map(|key| section.value(key).map(|_| section.key_at(key))).collect(),
        file_pattern,
        exclude: section.texts(&keys::EXCLUDE, report).unwrap_or_default(),
        at: section.at.clone(),
        names_a_stream: [&keys::DELIVERY_STREAM, &keys::KINESIS_STREAM].iter().any(|key| section.value(key).is_some()),
        delivery_stream: section.text(&keys::DELIVERY_STREAM, report),
        kinesis_stream: section.text(&keys::KINESIS_STREAM, report),
        partition_key: partition_key(&section, report),
        aggregation: section.given_choice(&keys::AGGREGATION, report),
        ordered: section.given_boolean(&keys::ORDERED, report),
        region: section.nonempty_text(&keys::FLOW_REGION, report),
        role: WrittenRole {
            arn: section.nonempty_text(&keys::FLOW_ROLE, report),
            external_id: section.nonempty_text(&keys::FLOW_EXTERNAL_ID, report),
        },
        max_record_size: section.number(&keys::MAX_RECORD_SIZE, report),
        name: section.text(&keys::NAME, report),
        from_start: section.choice(&keys::INITIAL_POSITION, report) == "START_OF_FILE",
        max_buffer_age_millis: section.number_or_default(&keys::MAX_BUFFER_AGE, report).value,
        max_buffer_size: section.number(&keys::MAX_BUFFER_SIZE, report),
        max_buffer_records: section.number_or_default(&keys::MAX_BUFFER_RECORDS, report).value,
        aggregated_size: section.number(&keys::AGGREGATED_SIZE, report),
        max_lines_per_record: section.number(&keys::MAX_LINES_PER_RECORD, report),
        compression: compression(&section, report),
        compression_at: section.value(&keys::COMPRESSION).map_or_else(|| section.at.clone(), |(_, at)| at),
        multi_line_start: section.nonempty_text(&keys::MULTI_LINE_START, report),
        multi_line_timeout_millis: multi_line_timeout.value,
        multi_line_timeout: given.then_some(multi_line_timeout),
        skip_header_lines: section.number_or_default(&keys::SKIP_HEADER_LINES, report).value,
        terminator: section.text_or_default(&keys::TERMINATOR, report),
        truncate: section.choice(&keys::LONG_LINES, report) == "truncate",
        processing: section.value(&keys::DATA_PROCESSING).map(|(value, at)| Placed { value: value.clone(), at }),
        on_failure: OnFailure::from_word(section.choice(&keys::ON_FAILURE, report)).unwrap_or_default(),
        on_failure_at: section.value(&keys::ON_FAILURE).map(|_| section.key_at(&keys::ON_FAILURE)),
        max_concurrent_requests: section.number_or_default(&keys::MAX_CONCURRENT_REQUESTS, report),
        max_bytes_per_second: section.number(&keys::MAX_BYTES_PER_SECOND, report).map(|limit| limit.value),
        max_records_per_second: section.number(&keys::MAX_RECORDS_PER_SECOND, report).map(|limit| limit.value),
        max_requests_per_second: section.number(&keys::MAX_REQUESTS_PER_SECOND, report).map(|limit| limit.value),
    })
}

/// A flow reads files or receives topics.
fn source_is_one(section: &Section<'_>, report: &mut Report) {
    match (section.value(&keys::FILE_PATTERN), section.value(&keys::MQTT)) {
        (None, None) => {
            let message = format!("{} has neither `filePattern` nor `mqtt`", subject(&section.at.path));
            let help = format!("add \"filePattern\": {}", keys::FILE_PATTERN.meaning);
            report.add(Kind::Missing, &section.at, message, help);
        }
        (Some(_), Some((_, at))) => {
            let message = format!("`{}` stands beside `filePattern`; a flow has one source", at.path);
            report.add(Kind::Conflict, &at, message, "make two flows of it: both may feed the same stream");
        }
        _ => {}
    }
}

/// `"none"`, `"gzip"` or an object with a type and a level.
fn compression(section: &Section<'_>, report: &mut Report) -> Compression {
    let Some((value, at)) = section.value(&keys::COMPRESSION) else { return Compression::None };
    let gzip = |level: u64| Compression::Gzip { level: u8::try_from(level).unwrap_or(1) };
    match &value.node {
        Node::Object(_) => {
            let Some(inner) = Section::open(Level::Compression, value, &at.path, report) else {
                return Compression::None;
            };
            let level = inner.number_or_default(&keys::COMPRESSION_LEVEL, report);
            let is_gzip = inner.choice(&keys::COMPRESSION_TYPE, report) == "gzip";
            if !is_gzip && inner.value(&keys::COMPRESSION_LEVEL).is_some() {
                let message = format!("`{}` has no effect without compression", level.at.path);
                report.add(Kind::NoEffect, &level.at, message, "remove it, or set \"type\": \"gzip\"");
            }
            if is_gzip { gzip(level.value) } else { Compression::None }
        }
        Node::Text(_) => match values::choice(value, &at, &keys::COMPRESSION_TYPE, report) {
            Some("gzip") => gzip(1),
            _ => Compression::None,
        },
        _ => {
            let message = format!("`{}` is {}, not a kind of compression", at.path, values::describe(value));
            let help = "write \"none\", \"gzip\" or {\"type\": \"gzip\", \"level\": 6}";
            values::wrong_type(value, &at, message, help, report);
            Compression::None
        }
    }
}

/// `"RANDOM"`, `"DETERMINISTIC"`, or an object with a field or a pattern for the path.
fn partition_key(section: &Section<'_>, report: &mut Report) -> Option<Placed<WrittenKey>> {
    const HELP: &str = "write \"RANDOM\", \"DETERMINISTIC\", {\"field\": \"name\"} or {\"path\": \"/apps/([^/]+)/\"}";
    let (value, at) = section.value(&keys::PARTITION_KEY_OPTION)?;
    let key = match &value.node {
        Node::Object(_) => {
            let inner = Section::open(Level::PartitionKey, value, &at.path, report)?;
            let field = inner.nonempty_text(&keys::KEY_FIELD, report);
            let path = inner.nonempty_text(&keys::KEY_PATH, report);
            match (field, path) {
                (Some(field), None) => WrittenKey::Field(field.value),
                (None, Some(path)) => WrittenKey::Path(path),
                (None, None) => {
                    report.add(Kind::Missing, &at, format!("`{}` names neither a field nor a path", at.path), HELP);
                    return None;
                }
                (Some(_), Some(path)) => {
                    let message = format!("`{}` stands beside `field`", path.at.path);
                    report.add(Kind::Conflict, &path.at, message, "keep one of the two");
                    return None;
                }
            }
        }
        Node::Text(text) if text == "RANDOM" => WrittenKey::Random,
        Node::Text(text) if text == "DETERMINISTIC" => WrittenKey::Deterministic,
        Node::Text(_) => {
            let message = format!("`{}` is {}, which is no kind of key", at.path, values::describe(value));
            report.add(Kind::UnknownChoice, &at, message, HELP);
            return None;
        }
        _ => {
            let message = format!("`{}` is {}, not a kind of key", at.path, values::describe(value));
            values::wrong_type(value, &at, message, HELP, report);
            return None;
        }
    };
    Some(Placed { value: key, at })
}

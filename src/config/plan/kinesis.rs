//! What a flow to Kinesis Data Streams may say: keys, aggregation, order, and which of them go together.
//! Promises that what only Kinesis has is pointed out in a flow to Firehose.
//! Leaves sizes, and all that both services have, to `flows`.

use crate::config::json::Node;
use crate::config::keys::{PARTITION_KEY_HELP, WrittenFlow, WrittenPartitionKey};
use crate::config::report::{At, Kind, Placed, Report, printable, quoted};
use crate::config::values;
use crate::config::ways::Form as Written;
use datalake_base::units::ByteSize;
use datalake_core::batch::{Compression, Form, PartitionKey, firehose, kinesis};

/// A service by its name.
pub(super) const fn service(form: &Form) -> &'static str {
    match form {
        Form::Firehose => "Firehose",
        Form::Kinesis(_) => "Kinesis Data Streams",
    }
}

/// The form of the flow's calls, and how many bytes of lines are packed into a record unless the flow says so itself; 0
/// where each line is one.
pub(super) fn prove_form(written: &WrittenFlow, compression: Compression, report: &mut Report) -> (Form, usize) {
    if !written.is_to_kinesis() {
        refuse_keys_of_kinesis(written, report);
        return (Form::Firehose, firehose::RECORD_BYTES);
    }
    if let (true, Some(given)) = (compression != Compression::None, &written.compression) {
        let message = format!("`{}` is for Firehose: consumers of a Kinesis stream expect lines", given.at.path);
        report.add(Kind::Conflict, &given.at, message, "remove it");
    }
    let partition_key = prove_key(written.partition_key.as_ref(), report);
    let aggregation = prove_aggregation(written, &partition_key, report);
    let ordered = written.ordered.as_ref().filter(|ordered| ordered.value);
    if let Some(ordered) = ordered {
        prove_order(written, ordered, &partition_key, report);
    }
    let record_bytes = written.max_record_size.as_ref().map(|size| ByteSize::bytes(size.value).as_usize());
    let settings = kinesis::Settings {
        partition_key,
        kpl: aggregation == "kpl",
        ordered: ordered.is_some(),
        record_bytes: record_bytes.unwrap_or(kinesis::RECORD_BYTES),
    };
    (Form::Kinesis(settings), if aggregation == "none" { 0 } else { kinesis::AGGREGATE_BYTES })
}

fn refuse_keys_of_kinesis(written: &WrittenFlow, report: &mut Report) {
    let keys: [Option<&At>; 4] = [
        written.partition_key.as_ref().map(|key| &key.at),
        written.aggregation.as_ref().map(|aggregation| &aggregation.at),
        written.ordered.as_ref().map(|ordered| &ordered.at),
        written.max_record_size.as_ref().map(|size| &size.at),
    ];
    for at in keys.into_iter().flatten() {
        let message = format!("`{}` has no effect in a flow to Firehose", at.path);
        report.add(
            Kind::NoEffect,
            at,
            message,
            "remove it, or name a `kinesisStream` in place of the `deliveryStream`",
        );
    }
}

fn prove_key(written: Option<&Placed<Written<WrittenPartitionKey>>>, report: &mut Report) -> PartitionKey {
    let Some(Placed { value: given, at }) = written else { return PartitionKey::Random };
    let object = match given {
        Written::Object(object) => object,
        Written::Text(value) => match &value.node {
            Node::Text(text) if text == "RANDOM" => return PartitionKey::Random,
            Node::Text(text) if text == "DETERMINISTIC" => return PartitionKey::Deterministic,
            _ => {
                let message = format!("`{}` is {}, which is no kind of key", at.path, values::describe(value));
                report.add(Kind::UnknownChoice, at, message, PARTITION_KEY_HELP);
                return PartitionKey::Random;
            }
        },
    };
    match (&object.field, &object.path) {
        (Some(field), None) => PartitionKey::Field(field.value.clone()),
        (None, Some(pattern)) => prove_path_key(pattern, report),
        (None, None) => {
            let message = format!("`{}` names neither a field nor a path", at.path);
            report.add(Kind::Missing, at, message, PARTITION_KEY_HELP);
            PartitionKey::Random
        }
        (Some(_), Some(path)) => {
            let message = format!("`{}` stands beside `field`", path.at.path);
            report.add(Kind::Conflict, &path.at, message, "keep one of the two");
            PartitionKey::Random
        }
    }
}

fn prove_path_key(pattern: &Placed<String>, report: &mut Report) -> PartitionKey {
    match regex::Regex::new(&pattern.value) {
        Ok(compiled) => PartitionKey::Path(compiled),
        Err(error) => {
            let message =
                format!("`{}` is {}, which is no regular expression", pattern.at.path, quoted(&pattern.value));
            // The compiler draws the pattern over several lines; what is wrong stands last.
            let reason = error.to_string();
            let reason = reason.rsplit("error: ").next().unwrap_or_default();
            report.add(
                Kind::BadRegex,
                &pattern.at,
                message,
                format!("correct the pattern: {}", printable(reason.trim())),
            );
            PartitionKey::Random
        }
    }
}

/// How lines become records: as the flow says, else packed wherever lines can share a key.
fn prove_aggregation(written: &WrittenFlow, key: &PartitionKey, report: &mut Report) -> &'static str {
    let alone = written.aggregated_size.as_ref().filter(|size| size.value == 0);
    let Some(given) = &written.aggregation else {
        let shares = matches!(key, PartitionKey::Random | PartitionKey::Path(_));
        let packed = written.aggregated_size.is_some() && !matches!(key, PartitionKey::Deterministic);
        return if alone.is_none() && (shares || packed) { "kpl" } else { "none" };
    };
    let (path, value) = (&given.at.path, given.value);
    match (value, alone, &written.aggregated_size) {
        ("none", None, Some(size)) => {
            let message = format!("`{}` has no effect when each line is a record", size.at.path);
            report.add(Kind::NoEffect, &size.at, message, "remove it, or choose another `aggregation`");
        }
        ("kpl" | "lines", Some(_), _) => {
            let message = format!("`{path}` is \"{value}\", but `aggregatedRecordSizeBytes` is 0");
            report.add(Kind::Conflict, &given.at, message, "write \"none\", or leave `aggregatedRecordSizeBytes` out");
        }
        _ => {}
    }
    if value != "none" && matches!(key, PartitionKey::Deterministic) {
        let message = format!("`{path}` is \"{value}\", but with `DETERMINISTIC` keys each line has a key of its own");
        report.add(Kind::Conflict, &given.at, message, "write \"none\", or take another `partitionKeyOption`");
    }
    value
}

fn prove_order(written: &WrittenFlow, ordered: &Placed<bool>, key: &PartitionKey, report: &mut Report) {
    let path = &ordered.at.path;
    if matches!(key, PartitionKey::Random | PartitionKey::Deterministic) {
        let message = format!("`{path}` needs lines with one key, and here each record has another");
        let help = "set \"partitionKeyOption\": {\"path\": \".*\"} for the order within each file, or {\"field\": …}";
        report.add(Kind::Conflict, &ordered.at, message, help);
    }
    let requests = &written.max_concurrent_requests;
    if requests.value > 1 {
        let message = format!("`{}` is {}, but `{path}` needs one call at a time", requests.at.path, requests.value);
        report.add(Kind::Conflict, &requests.at, message, "leave the key out, or `ordered`");
    }
}

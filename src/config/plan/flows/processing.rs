//! `dataProcessingOptions` and `onFailure` of a flow, made into the settings of the processing.
//! Promises that each fault of an option is told at its place in the file, with what would do.
//! Leaves what the options mean to the processing.

use super::shortened;
use crate::config::fingerprint::Reading;
use crate::config::json::{Node, Value};
use crate::config::keys::{self, WrittenFlow};
use crate::config::report::{At, Kind, Placed, Report, printable, quoted};
use crate::config::section::Object;
use crate::regular;
use datalake_process::{OnFailure, Settings, StepError};
use serde_json::{Map, Number};
use std::path::Path;

/// What is done with each record; nothing, where the options are faulty.
pub(super) fn prove(
    written: &WrittenFlow,
    on_failure: OnFailure,
    longest_record: usize,
    reading: &Reading,
    report: &mut Report,
) -> Settings {
    let on_failure_at = written.key_at(&keys::ON_FAILURE);
    let Some(options) = &written.processing else {
        if let Some(at) = on_failure_at.filter(|_| written.mqtt.is_none()) {
            let message = format!("`{}` has no effect without `dataProcessingOptions`", at.path);
            report.add(Kind::NoEffect, at, message, "remove it, or say what is done with each record");
        }
        return Settings::default();
    };
    let Some(value) = plain(&options.value, &options.at, report) else { return Settings::default() };
    let reading = reading.clone();
    let read = move |path: &str| read(path, &reading);
    let settings = Settings::parse_reading(&value, on_failure, &read).unwrap_or_else(|errors| {
        for error in errors {
            tell(Kind::BadOption, &error, options, on_failure_at, report);
        }
        Settings::default()
    });
    for error in settings.too_large_for(longest_record) {
        tell(Kind::BadOption, &error, options, on_failure_at, report);
    }
    for warning in settings.warnings() {
        tell(Kind::SlowPattern, &warning, options, on_failure_at, report);
    }
    settings
}

/// A file that an option names.
fn read(path: &str, reading: &Reading) -> Result<Vec<u8>, String> {
    if !path.starts_with('/') {
        return Err("this is not an absolute path".to_owned());
    }
    let most = datalake_process::LARGEST_PLAN as u64;
    let (bytes, _) = regular::read(Path::new(path), most).map_err(|error| error.to_string())?;
    reading.file(&bytes);
    Ok(bytes)
}

/// Adds a fault at the place that the error's pointer leads to, or as near to it as there is something.
fn tell(kind: Kind, error: &StepError, options: &Placed<Value>, on_failure: Option<&At>, report: &mut Report) {
    let mut at = options.at.clone();
    let mut value = &options.value;
    for segment in error.path.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        match &value.node {
            Node::List(items) => {
                let Some((index, item)) =
                    segment.parse().ok().and_then(|index: usize| Some((index, items.get(index)?)))
                else {
                    break;
                };
                at = At { place: item.place, path: format!("{}[{index}]", at.path) };
                value = item;
            }
            Node::Object(members) => {
                let Some(member) = members.iter().find(|member| member.name == segment) else {
                    // What is missing in the option is that of the flow.
                    if let Some(of_flow) = on_failure.filter(|_| segment == "onFailure") {
                        return add(kind, error, of_flow, report);
                    }
                    break;
                };
                let place = if error.at_name { member.name_place } else { member.value.place };
                at = At { place, path: format!("{}.{}", at.path, printable(&member.name)) };
                value = &member.value;
            }
            // A single value stands for a list of one.
            _ => break,
        }
    }
    // An object that lacks something is shown by its opening brace.
    if matches!(value.node, Node::Object(_)) && !error.at_name {
        at.place.end = at.place.start + 1;
    }
    add(kind, error, &at, report);
}

fn add(kind: Kind, error: &StepError, at: &At, report: &mut Report) {
    let message = format!("`{}`: {}", at.path, shortened(&one_line(&error.message)));
    report.add(kind, at, message, shortened(&one_line(&error.help)));
}

/// Some compilers of patterns draw over several lines.
fn one_line(words: &str) -> String {
    printable(&words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The value without its places; `None` where something in it is faulty, which the report then says.
fn plain(value: &Value, at: &At, report: &mut Report) -> Option<serde_json::Value> {
    use serde_json::Value as Plain;
    Some(match &value.node {
        Node::Null => Plain::Null,
        Node::Boolean(flag) => Plain::Bool(*flag),
        Node::Text(text) => Plain::String(text.clone()),
        Node::Number(text) => Plain::Number(number(text, value, at, report)?),
        Node::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let at = At { place: item.place, path: format!("{}[{index}]", at.path) };
                list.push(plain(item, &at, report)?);
            }
            Plain::Array(list)
        }
        Node::Object(members) => {
            let mut object = Map::new();
            for member in members {
                let path = format!("{}.{}", at.path, printable(&member.name));
                let item = plain(&member.value, &At { place: member.value.place, path: path.clone() }, report)?;
                if object.insert(member.name.clone(), item).is_some() {
                    let at = At { place: member.name_place, path };
                    let message = format!("`{}` stands here a second time", at.path);
                    report.add(Kind::DuplicateKey, &at, message, "keep one of the two");
                    return None;
                }
            }
            Plain::Object(object)
        }
        Node::Faulty => return None,
    })
}

fn number(text: &str, value: &Value, at: &At, report: &mut Report) -> Option<Number> {
    let number = serde_json::from_str::<Number>(text).ok();
    if number.is_none() {
        let at = At { place: value.place, path: at.path.clone() };
        let message = format!("`{}` is {}, which is no number of JSON", at.path, quoted(text));
        report.add(Kind::BadNumber, &at, message, "write it decimal and without a leading zero, such as 500 or 0.5");
    }
    number
}

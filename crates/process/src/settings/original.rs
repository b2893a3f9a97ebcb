//! What the options of the Kinesis Agent mean.
//! Promises that what works there works here without a change, and says what cannot.
//! Leaves the options of our own to more.

use super::Step;
use super::reader::Reader;
use crate::brackets::Brackets;
use crate::csv::{Csv, Delimiter};
use crate::instance::InstanceFields;
use crate::java::Pattern;
use crate::json::Shape;
use crate::json::print::Format;
use crate::log::{KnownLog, LogFormat, OwnLog};
use crate::metadata::Metadata;
use crate::singleline::SingleLine;
use crate::template::Template;
use datalake_base::units::counted;
use serde_json::Value;
use std::time::Duration;

/// More columns are nobody's log.
const MOST_COLUMNS: usize = 10_000;

pub(super) fn singleline(reader: &mut Reader<'_>) -> Option<Step> {
    let mut step = SingleLine::default();
    for (index, word) in reader.texts("parseOptions").unwrap_or_default().iter().enumerate() {
        match word.as_str() {
            "NO_TRIM" => step.no_trim = true,
            "ESCAPE_NEW_LINE" => step.escape_new_line = true,
            _ => reader.error(
                &format!("parseOptions/{index}"),
                format!("`{word}` is not known here"),
                "known are NO_TRIM and ESCAPE_NEW_LINE",
            ),
        }
    }
    Some(Step::plain("SINGLELINE", move || step))
}

pub(super) fn brackets(_: &mut Reader<'_>) -> Option<Step> {
    Some(Step::plain("ADDBRACKETS", || Brackets))
}

fn names(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    let names = reader.texts("customFieldNames")?;
    if names.len() > MOST_COLUMNS {
        reader.error("customFieldNames", format!("there are more than {MOST_COLUMNS} names"), "leave some out");
        return None;
    }
    Some(names)
}

pub(super) fn csv(reader: &mut Reader<'_>) -> Option<Step> {
    let format = reader.format();
    let delimiter_text = reader.text("delimiter").unwrap_or_else(|| ",".to_owned());
    let quotes = reader.choice("quotes", &[("standard", true), ("none", false)]).unwrap_or(true);
    let names = match names(reader) {
        None if reader.value("customFieldNames").is_none() => {
            reader.error("customFieldNames", "`customFieldNames` is missing", "list the names of the columns");
            return None;
        }
        names => names?,
    };
    let delimiter = match Delimiter::new(&delimiter_text) {
        Ok(delimiter) if delimiter.matches_nothing() => {
            let help = "it is a regular expression: write \"\\\\|\" for a bar, \"\\\\.\" for a point";
            reader.error("delimiter", format!("`{delimiter_text}` also matches between any two characters"), help);
            return None;
        }
        Ok(delimiter) => delimiter,
        Err(error) => {
            let help = "in JSON each backslash of a pattern is written twice";
            reader.error("delimiter", format!("this is no regular expression: {error}"), help);
            return None;
        }
    };
    if let Delimiter::Pattern(pattern) = &delimiter {
        reader.knows("delimiter", pattern);
    }
    let shape = Shape::new(&names, format);
    Some(Step::plain("CSVTOJSON", move || Csv::new(shape.clone(), names.len(), delimiter.clone(), quotes)))
}

pub(super) fn log(reader: &mut Reader<'_>) -> Option<Step> {
    let layout = reader.format();
    let names = names(reader);
    let pattern_is_there = reader.value("matchPattern").is_some();
    let pattern = reader.pattern("matchPattern", Pattern::whole);
    if reader.value("logFormat").is_none() {
        let known = LogFormat::NAMES.map(|(name, _)| name).join(", ");
        let help = format!("write one of {known}; beside `matchPattern` it says whether `-` stands for nothing");
        reader.error("logFormat", "`logFormat` is missing", help);
        return None;
    }
    let format = reader.choice("logFormat", &LogFormat::NAMES)?;
    let Some(pattern) = pattern else {
        if pattern_is_there {
            return None;
        }
        let known = format.fields();
        if let Some(names) = &names
            && names.len() != known.len()
        {
            let message = format!(
                "{} has {}, but there {} {}",
                format.name(),
                counted(known.len(), "field"),
                if names.len() == 1 { "is" } else { "are" },
                counted(names.len(), "name")
            );
            reader.error("customFieldNames", message, format!("name all of {}", known.join(", ")));
            return None;
        }
        let shape = match names {
            Some(names) => Shape::new(&names, layout),
            None => Shape::new(known, layout),
        };
        return Some(Step::plain("LOGTOJSON", move || KnownLog::new(format, shape.clone())));
    };
    let Some(names) = names else {
        reader.error("customFieldNames", "`customFieldNames` is missing", "name what each group captures");
        return None;
    };
    if names.len() != pattern.groups() {
        let message = format!(
            "the pattern has {}, but there {} {}",
            counted(pattern.groups(), "group"),
            if names.len() == 1 { "is" } else { "are" },
            counted(names.len(), "name")
        );
        let help = "name each group, also named and nested ones; `(?:…)` groups without capturing";
        reader.error("customFieldNames", message, help);
        return None;
    }
    let shape = Shape::new(&names, layout);
    Some(Step::plain("LOGTOJSON", move || OwnLog::new(pattern.clone(), format, shape.clone())))
}

pub(super) fn metadata(reader: &mut Reader<'_>) -> Option<Step> {
    let format = reader.format();
    let timestamp = reader.flag("timestamp").unwrap_or(false);
    let path_pattern = reader.pattern("pathPattern", Pattern::anywhere);
    let null = Value::Null;
    let value = reader.constant("metadata").unwrap_or(&null);
    let template = template(reader, "metadata", value, path_pattern.as_ref(), format, 1)?;
    let variables = template.variables().map(str::to_owned).collect();
    let step = Step::with_surroundings("ADDMETADATA", move |surroundings| {
        Ok(Metadata::new(template.settle(surroundings)?, path_pattern.clone(), timestamp, format))
    });
    Some(Step { variables, ..step })
}

/// A constant that may have holes.
pub(super) fn template(
    reader: &mut Reader<'_>,
    key: &str,
    value: &Value,
    path_pattern: Option<&Pattern>,
    format: Format,
    depth: usize,
) -> Option<Template> {
    match Template::new(value, path_pattern, format, depth) {
        Ok(template) => Some(template),
        Err(error) => {
            let help = "known are ${env:NAME}, ${env:NAME:-value}, ${path:group}, ${host} and ${file}";
            reader.error(key, error, help);
            None
        }
    }
}

pub(super) fn instance(reader: &mut Reader<'_>) -> Option<Step> {
    const DEFAULT: u64 = 3600;
    let format = reader.format();
    // The original wants a format of logs here and never looks at it.
    reader.ignore(&["logFormat", "matchPattern", "customFieldNames"]);
    let seconds = match reader.text("metadataTTL") {
        None => DEFAULT,
        Some(text) => match text.parse() {
            Ok(seconds @ 1..=31_536_000) => seconds,
            _ => {
                reader.error(
                    "metadataTTL",
                    "this is no number of seconds from 1 to 31536000",
                    "write 3600 or leave it out",
                );
                return None;
            }
        },
    };
    let step = Step::with_surroundings("ADDEC2METADATA", move |surroundings| {
        Ok(InstanceFields::new(format, surroundings.instance.as_ref()))
    });
    Some(Step { instance: Some(Duration::from_secs(seconds)), ..step })
}

pub(super) fn plugin(reader: &mut Reader<'_>) -> Option<Step> {
    let class = reader.text("className").unwrap_or_else(|| "the class".to_owned());
    let nearest =
        if cfg!(feature = "jq") { "the option JQ" } else { "the option JQ (of a build with the feature `jq`)" };
    reader.error(
        "optionName",
        format!("USINGPLUGGIN loads `{class}` into a Java virtual machine, and there is none here"),
        format!(
            "LOGTOJSON with `matchPattern`, FILTER, REDACT, ADDFIELDS and TIMESTAMP do what most such classes do; for the rest, {nearest} runs a program on each record"
        ),
    );
    None
}

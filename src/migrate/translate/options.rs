//! `dataProcessingOptions` of the Kinesis Agent said in our words.
//! Promises that what became of a record that could not be worked on becomes of it here too.
//! Leaves whether the options can run to `process`.

use crate::migrate::java;
use crate::migrate::notes::Notes;
use crate::migrate::section::{Refused, Section};
use crate::migrate::tables;
use datalake_base::nearest::nearest;
use serde_json::{Map, Value};

const KEY: &str = "dataProcessingOptions";

/// Adds the options and what becomes of failures.
pub(super) fn translate(
    section: &Section<'_>,
    ours: &mut Map<String, Value>,
    notes: &mut Notes,
) -> Result<(), Refused> {
    let list = match section.value(KEY) {
        None => return Ok(()),
        Some(Value::Array(list)) if list.is_empty() => return Ok(()),
        Some(Value::Array(list)) => list,
        Some(Value::Object(_)) => {
            let words = "left out: it is an object and not a list, so the Kinesis Agent ignored it and sent lines as they are; if \
                         it is meant, put it into brackets: [{…}]";
            notes.same(section.place(KEY), words);
            return Ok(());
        }
        Some(_) => {
            notes.same(section.place(KEY), "left out: it is no list, so the Kinesis Agent ignored it");
            return Ok(());
        }
    };
    let mut made = Vec::with_capacity(list.len());
    let mut refused = false;
    for (index, option) in list.iter().enumerate() {
        let path = format!("{}{KEY}[{index}]", section.path);
        match option.as_object() {
            Some(map) => {
                let section = Section { map, file: section.file, path: format!("{path}.") };
                match one(&section, notes) {
                    Ok(option) => made.push(Value::Object(option)),
                    Err(Refused) => refused = true,
                }
            }
            None => {
                notes.blocks(
                    format!("{}: {path}", section.file),
                    "it is no object; the Kinesis Agent does not start with it",
                );
                refused = true;
            }
        }
    }
    if refused {
        return Err(Refused);
    }
    let parses = made.iter().any(|option| option["optionName"] == "LOGTOJSON");
    let words = match parses {
        true => {
            "a record that LOGTOJSON does not match is dropped, and one that another option cannot work on is sent as it is, as \
                 before; `\"onFailure\": \"quarantine\"` keeps both where you can look at them"
        }
        false => {
            "a record that an option cannot work on is sent as it is, as before; `\"onFailure\": \"quarantine\"` keeps it where \
                  you can look at it"
        }
    };
    notes.same(section.place(KEY), words);
    ours.insert(KEY.to_owned(), Value::Array(made));
    ours.insert("onFailure".to_owned(), "raw".into());
    Ok(())
}

fn one(section: &Section<'_>, notes: &mut Notes) -> Result<Map<String, Value>, Refused> {
    let names: Vec<&'static str> = tables::OPTIONS.iter().map(|(name, _)| *name).collect();
    let Some(name) = section.choice("optionName", &names, notes)? else {
        notes.blocks(section.place("optionName"), "it is missing; the Kinesis Agent does not start without it");
        return Err(Refused);
    };
    if name == "USINGPLUGGIN" {
        let words = "it loads a Java class, and there is no Java here; LOGTOJSON with `matchPattern`, FILTER, REDACT or ADDFIELDS do \
                     what most such classes do, and JQ the rest; until then this flow stays with the Kinesis Agent";
        notes.blocks(section.place("optionName"), words);
        return Err(Refused);
    }
    let known = tables::OPTIONS.iter().find(|(option, _)| *option == name).map_or(&[][..], |(_, keys)| keys);
    let mut ours = Map::from_iter([("optionName".to_owned(), Value::from(name))]);
    for (key, value) in section.map.iter().filter(|(key, value)| *key != "optionName" && !value.is_null()) {
        if !known.contains(&key.as_str()) {
            let meant = match nearest(key, known.iter().copied()) {
                Some(meant) => format!("; was `{meant}` meant? Then add it under that name"),
                None => String::new(),
            };
            let words = format!("left out: {name} has no such key, and the Kinesis Agent ignored it{meant}");
            notes.same(section.place(key), words);
        } else if let Some(value) = translated(section, key, value, notes) {
            ours.insert(key.clone(), value);
        }
    }
    match name {
        "LOGTOJSON" => drop(ours.insert("onFailure".to_owned(), "drop".into())),
        // Quotes meant nothing there.
        "CSVTOJSON" => drop(ours.insert("quotes".to_owned(), "none".into())),
        _ => {}
    }
    Ok(ours)
}

/// The value of one key; `None` where it had no effect.
fn translated(section: &Section<'_>, key: &str, value: &Value, notes: &mut Notes) -> Option<Value> {
    match key {
        "parseOptions" => {
            let words = value.as_array().into_iter().flatten();
            let (known, others): (Vec<Value>, Vec<Value>) =
                words.cloned().partition(|word| matches!(word.as_str(), Some("NO_TRIM" | "ESCAPE_NEW_LINE")));
            if !others.is_empty() || !value.is_array() {
                let words = format!("{value} becomes {}: the rest had no effect", Value::from(known.clone()));
                notes.same(section.place(key), words);
            }
            (!known.is_empty()).then(|| known.into())
        }
        "timestamp" => {
            if value.is_boolean() {
                let words = "without quotes the Kinesis Agent does not start with it; here it is taken as it is meant";
                notes.same(section.place(key), words);
            }
            Some(java::text(value).is_some_and(|text| text.eq_ignore_ascii_case("true")).into())
        }
        "metadataTTL" => match java::whole(value) {
            Some(whole) if whole.number > 0 => Some(whole.number.into()),
            _ => {
                notes.same(
                    section.place(key),
                    "left out: it is no number of seconds, so the Kinesis Agent took 3600, as here",
                );
                None
            }
        },
        "metadata" => {
            let literal = literal(value);
            if literal != *value {
                notes.same(section.place(key), "`${` is written `$${` now: alone it names a variable here");
            }
            Some(literal)
        }
        _ => Some(value.clone()),
    }
}

/// With each `${` standing for itself.
fn literal(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace("${", "$${").into(),
        Value::Array(values) => values.iter().map(literal).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), literal(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

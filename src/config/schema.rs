//! The key tables as documentation and as JSON Schema.
//! Promises that both name every key with the type, range and default that reading really uses.
//! Leaves writing them to files to whoever asks.

use super::keys::{
    COMPRESSION_KEYS, Default, FLOW_KEYS, Key, Kind, MQTT_KEYS, PARTITION_KEY_KEYS, TOP_KEYS, TOPIC_KEYS,
};
use super::report::quoted;
use super::section::SCHEMA;
use datalake_base::units::ByteSize;
use serde_json::{Map, Value, json};

/// The tables of keys for the documentation, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for (title, keys) in [
        ("Keys of the main file", TOP_KEYS),
        ("Keys of a flow", FLOW_KEYS),
        ("Keys of `mqtt`", MQTT_KEYS),
        ("Keys of a topic as an object", TOPIC_KEYS),
        ("Keys of `compression` as an object", COMPRESSION_KEYS),
        ("Keys of `partitionKeyOption` as an object", PARTITION_KEY_KEYS),
    ] {
        text.push_str(&format!("### {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"));
        for key in keys {
            let default = match (&key.default, key.written_default()) {
                (_, Some(written)) => format!("`{written}`"),
                (Default::Required, None) => "**required**".to_owned(),
                (Default::Unset(words), None) => (*words).to_owned(),
                (_, None) => String::new(),
            };
            let meaning = key.meaning.replace('|', "\\|");
            text.push_str(&format!("| `{}` | {} | {default} | {meaning} |\n", key.name, kind_in_words(&key.kind)));
        }
        text.push('\n');
    }
    text
}

fn kind_in_words(kind: &Kind) -> String {
    let range = |min: u64, max: u64, show: fn(u64) -> String| match max {
        u64::MAX => format!("{} or more", show(min)),
        // What 32 bits hold is no limit that anybody meets.
        max if max == u64::from(u32::MAX) => format!("{} or more", show(min)),
        max => format!("{} to {}", show(min), show(max)),
    };
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Texts => "text or list of texts".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Integer { min, max } => format!("whole number, {}", range(*min, *max, grouped)),
        Kind::Size { min, max } => format!("size, {}", range(*min, *max, size_in_words)),
        Kind::Choice(choices) => {
            choices.iter().map(|choice| format!("`{}`", quoted(choice))).collect::<Vec<_>>().join(" or ")
        }
        Kind::Compression => "`\"none\"`, `\"gzip\"` or an object".to_owned(),
        Kind::Mqtt => "object".to_owned(),
        Kind::Topics => "text, object or a list of them".to_owned(),
        Kind::PartitionKey => "`\"RANDOM\"`, `\"DETERMINISTIC\"` or an object".to_owned(),
        Kind::Options => "list of objects".to_owned(),
        Kind::Flows => "list of flows".to_owned(),
    }
}

/// 4194304 as `4,194,304`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

fn size_in_words(bytes: u64) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1024) { ByteSize::bytes(bytes).to_string() } else { grouped(bytes) }
}

/// The JSON Schema (draft 2020-12) of the main file, for editors. Comments are allowed although no schema can say so.
#[must_use]
pub fn schema() -> String {
    let mut top = properties(TOP_KEYS);
    top.insert(SCHEMA.to_owned(), json!({"type": "string", "description": "The schema of this file, for editors."}));
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agent.json of datalake-agent",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
        "$defs": {
            "flow": {
                "type": "object",
                "additionalProperties": false,
                "required": required(FLOW_KEYS),
                "allOf": [
                    {"oneOf": [{"required": ["filePattern"]}, {"required": ["mqtt"]}]},
                    {"oneOf": [
                        {"required": ["deliveryStream"]}, {"required": ["deliveryStreams"]}, {"required": ["kinesisStream"]},
                    ]},
                ],
                "properties": properties(FLOW_KEYS),
            },
        },
    });
    format!("{schema:#}\n")
}

fn required(keys: &[&Key]) -> Vec<&'static str> {
    keys.iter().filter(|key| matches!(key.default, Default::Required)).map(|key| key.name).collect()
}

fn properties(keys: &[&Key]) -> Map<String, Value> {
    keys.iter().map(|key| (key.name.to_owned(), property(key))).collect()
}

fn property(key: &Key) -> Value {
    let text = json!({"type": "string"});
    let mut property = match &key.kind {
        Kind::Text => text,
        Kind::Texts => {
            let text = json!({"type": "string", "minLength": 1});
            json!({"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]})
        }
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => integer(*min, *max),
        Kind::Size { min, max } => {
            json!({"anyOf": [integer(*min, *max), {"type": "string", "pattern": "^[0-9]+ *([KkMmGg]([Ii]?[Bb])?|[Bb])?$"}]})
        }
        Kind::Choice(choices) => json!({"enum": choices}),
        Kind::Mqtt => object(MQTT_KEYS),
        Kind::Topics => {
            let topic = json!({"anyOf": [{"type": "string", "minLength": 1}, object(TOPIC_KEYS)]});
            json!({"anyOf": [topic, {"type": "array", "minItems": 1, "items": topic}]})
        }
        Kind::Compression => json!({"anyOf": [{"enum": ["none", "gzip"]}, {
            "type": "object",
            "additionalProperties": false,
            "required": required(COMPRESSION_KEYS),
            "properties": properties(COMPRESSION_KEYS),
        }]}),
        Kind::PartitionKey => json!({"anyOf": [{"enum": ["RANDOM", "DETERMINISTIC"]}, {
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": properties(PARTITION_KEY_KEYS),
        }]}),
        Kind::Options => json!({"type": "array", "items": {
            "type": "object",
            "required": ["optionName"],
            "properties": {
                "optionName": {"enum": datalake_process::Settings::OPTION_NAMES},
                "onFailure": {"enum": ["quarantine", "raw", "drop"]},
            },
        }}),
        Kind::Flows => json!({"type": "array", "items": {"$ref": "#/$defs/flow"}}),
    };
    property["description"] = json!(key.meaning);
    match key.default {
        Default::Required | Default::Unset(_) => {}
        Default::Text(text) => property["default"] = json!(text),
        Default::Number(number) => property["default"] = json!(number),
        Default::Boolean(flag) => property["default"] = json!(flag),
    }
    property
}

fn object(keys: &[&Key]) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required(keys),
        "properties": properties(keys),
    })
}

fn integer(min: u64, max: u64) -> Value {
    if max == u64::MAX {
        json!({"type": "integer", "minimum": min})
    } else {
        json!({"type": "integer", "minimum": min, "maximum": max})
    }
}

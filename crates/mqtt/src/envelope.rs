//! One line for each message, whatever its payload: JSON compacted, text and bytes wrapped, with or without an envelope.
//! Promises exactly one line of valid JSON without a line break inside, or the payload's own bytes where `raw` is asked
//! for; a payload that cannot be that is refused with the reason. Leaves what becomes of refused ones to `session`.

use super::packets::{CONTENT_TYPE, Publish};
use super::topics::Topic;
use datalake_schema::Decoder;
use datalake_schema::binary::NotAMessage;
use std::collections::HashMap;
use std::io::Write;

/// What a payload is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PayloadFormat {
    /// JSON where it is JSON, else text or bytes, wrapped.
    #[default]
    Auto,
    /// The bytes as they are, as one line.
    Raw,
}

/// How a line is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What payloads are taken for.
    pub format: PayloadFormat,
    /// Whether topic, quality, time and so on are added.
    pub envelope: bool,
}

/// Why a message is no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the payload begins like JSON, or is called so, and is none: {reason}")]
    NotJson { reason: String },
    #[error("the payload holds a line break, and `payloadFormat` is \"raw\"")]
    LineBreak,
    #[error("the payload is no message of the table: {0}")]
    NotAMessage(#[from] NotAMessage),
    #[error("its line takes {bytes} bytes, and a record of the flow holds {longest}")]
    TooLong { bytes: usize, longest: usize },
}

/// What a message is given at its receipt.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// When, as RFC 3339 in UTC.
    pub at: &'a str,
    /// Tells this run of the agent from all others.
    pub run: u64,
    /// Counts the messages of the run.
    pub serial: u64,
}

/// Appends the line of the message, line break included. On refusal nothing is appended.
pub fn append(
    settings: Settings,
    message: &Publish<'_>,
    topic: Option<&Topic>,
    receipt: Receipt<'_>,
    line: &mut Vec<u8>,
) -> Result<(), Refused> {
    if settings.format == PayloadFormat::Raw {
        let payload = message.payload.strip_suffix(b"\n").unwrap_or(message.payload);
        if memchr::memchr2(b'\n', b'\r', payload).is_some() {
            return Err(Refused::LineBreak);
        }
        line.extend_from_slice(payload);
        line.push(b'\n');
        return Ok(());
    }
    let value = value(message)?;
    wrap(settings, message, topic, receipt, value, line);
    Ok(())
}

/// The same for a message that is binary protobuf; `json` is a buffer.
pub fn append_binary(
    settings: Settings,
    decoder: &Decoder,
    message: &Publish<'_>,
    topic: Option<&Topic>,
    receipt: Receipt<'_>,
    json: &mut Vec<u8>,
    line: &mut Vec<u8>,
) -> Result<(), Refused> {
    json.clear();
    decoder.decode(message.payload, json)?;
    let text = std::str::from_utf8(json).expect("the decoder writes JSON");
    wrap(settings, message, topic, receipt, Value::Json(text), line);
    Ok(())
}

/// The same for a refused message that is to go on all the same: its bytes as text or base64.
pub fn append_refused(
    settings: Settings,
    message: &Publish<'_>,
    topic: Option<&Topic>,
    receipt: Receipt<'_>,
    line: &mut Vec<u8>,
) {
    wrap(settings, message, topic, receipt, text_or_bytes(message.payload), line);
}

enum Value<'a> {
    Json(&'a str),
    Text(&'a str),
    Bytes(&'a [u8]),
}

fn text_or_bytes(payload: &[u8]) -> Value<'_> {
    std::str::from_utf8(payload).map_or(Value::Bytes(payload), Value::Text)
}

fn value<'a>(message: &Publish<'a>) -> Result<Value<'a>, Refused> {
    let first = message.payload.iter().find(|byte| !byte.is_ascii_whitespace());
    let called_json = || message.properties.text(CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
    let meant_as_json = matches!(first, Some(b'{' | b'[')) || called_json();
    let refused = |reason: String| Refused::NotJson { reason };
    match std::str::from_utf8(message.payload) {
        Ok(text) => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(Value::Json(text)),
            Err(error) if meant_as_json => Err(refused(error.to_string())),
            Err(_) => Ok(Value::Text(text)),
        },
        Err(error) if meant_as_json => Err(refused(error.to_string())),
        Err(_) => Ok(Value::Bytes(message.payload)),
    }
}

fn wrap(
    settings: Settings,
    message: &Publish<'_>,
    topic: Option<&Topic>,
    receipt: Receipt<'_>,
    value: Value<'_>,
    line: &mut Vec<u8>,
) {
    let fields = || topic.into_iter().flat_map(|topic| topic.fields(message.topic));
    if let (false, Value::Json(json)) = (settings.envelope, &value) {
        if fields().next().is_none() {
            compact(json, line);
            line.push(b'\n');
            return;
        }
        let start = line.len();
        compact(json, line);
        if line[start] == b'{' {
            add_fields(fields(), start, line);
            line.push(b'\n');
            return;
        }
        line.truncate(start);
    }
    line.push(b'{');
    if settings.envelope {
        line.extend_from_slice(b"\"topic\":");
        quote(message.topic, line);
        let infallible = "a vector takes what is written";
        write!(line, ",\"qos\":{},\"retained\":{}", message.quality.number(), message.retained).expect(infallible);
        write!(line, ",\"receivedAt\":\"{}\"", receipt.at).expect(infallible);
        write!(line, ",\"messageId\":\"{:016x}-{:x}\",", receipt.run, receipt.serial).expect(infallible);
        user_properties(message, line);
    }
    for (name, level) in fields() {
        field(name, level, line);
        line.push(b',');
    }
    line.extend_from_slice(b"\"payload\":");
    match value {
        Value::Json(json) => compact(json, line),
        Value::Text(text) => quote(text, line),
        Value::Bytes(bytes) => {
            line.push(b'"');
            line.extend_from_slice(base64_simd::STANDARD.encode_to_string(bytes).as_bytes());
            line.extend_from_slice(b"\",\"base64\":true");
        }
    }
    line.extend_from_slice(b"}\n");
}

/// Puts fields in front of the object that begins at `start`; what it holds under the same name stays alone.
fn add_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>, start: usize, line: &mut Vec<u8>) {
    let object = line.split_off(start);
    line.push(b'{');
    for (name, level) in fields.filter(|(name, _)| !has_key(&object, name)) {
        field(name, level, line);
        line.push(b',');
    }
    if object == b"{}" && line.len() > start + 1 {
        line.pop();
    }
    line.extend_from_slice(&object[1..]);
}

/// Whether the compacted object has this key.
fn has_key(object: &[u8], name: &str) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = object.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let begin = at + 1;
                at = end_of_text(object, begin);
                if depth == 1 && object.get(at + 1) == Some(&b':') && &object[begin..at] == name.as_bytes() {
                    return true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// Where the quote stands that ends the text.
fn end_of_text(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', &json[at.min(json.len())..]) {
        at += found;
        if json[at] == b'"' {
            return at;
        }
        at += 2;
    }
    json.len()
}

/// Of a name that is there several times the values are joined, as HTTP joins headers.
fn user_properties(message: &Publish<'_>, line: &mut Vec<u8>) {
    let (mut joined, mut places): (Vec<(&str, String)>, HashMap<&str, usize>) = Default::default();
    for (name, value) in message.properties.pairs() {
        // A packet has room for a hundred thousand of them, so the known ones are not gone through.
        let place = *places.entry(name).or_insert(joined.len());
        match joined.get_mut(place) {
            Some((_, values)) => {
                values.push_str(", ");
                values.push_str(value);
            }
            None => joined.push((name, value.to_owned())),
        }
    }
    if joined.is_empty() {
        return;
    }
    line.extend_from_slice(b"\"userProperties\":{");
    for (name, value) in &joined {
        field(name, value, line);
        line.push(b',');
    }
    line.pop();
    line.extend_from_slice(b"},");
}

fn field(name: &str, value: &str, line: &mut Vec<u8>) {
    quote(name, line);
    line.push(b':');
    quote(value, line);
}

fn quote(text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0..0x20 | 0x7f => write!(line, "\\u{byte:04x}").expect("a vector takes what is written"),
            _ => line.push(byte),
        }
    }
    line.push(b'"');
}

/// Valid JSON without the white space between its parts. Texts hold no line break: JSON forbids it.
fn compact(json: &str, line: &mut Vec<u8>) {
    let json = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                let end = end_of_text(json, at + 1);
                line.extend_from_slice(&json[at..(end + 1).min(json.len())]);
                at = end;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            _ => line.push(*byte),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::packets::{Properties, Quality};
    use super::*;
    use proptest::prelude::*;

    const AUTO: Settings = Settings { format: PayloadFormat::Auto, envelope: false };
    const ENVELOPE: Settings = Settings { format: PayloadFormat::Auto, envelope: true };
    const RAW: Settings = Settings { format: PayloadFormat::Raw, envelope: false };

    fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
        Publish {
            quality: Quality::AtLeastOnce,
            retained: false,
            duplicate: false,
            topic,
            packet: 1,
            properties: Properties::default(),
            payload,
        }
    }

    fn line(settings: Settings, filter: &str, topic: &str, payload: &[u8]) -> Result<String, Refused> {
        let filter = Topic::parse(filter, Quality::AtLeastOnce).unwrap();
        let receipt = Receipt { at: "2026-11-21T15:00:00.000Z", run: 255, serial: 16 };
        let mut line = Vec::new();
        append(settings, &message(topic, payload), Some(&filter), receipt, &mut line)?;
        Ok(String::from_utf8(line).unwrap())
    }

    #[test]
    fn json_becomes_one_compact_line() {
        let pretty = b"{ \"a\" : [1, 2],\r\n \"b\" : \"x \\\" y\\n\" }\n";
        assert_eq!(line(AUTO, "#", "t", pretty).unwrap(), "{\"a\":[1,2],\"b\":\"x \\\" y\\n\"}\n");
        assert_eq!(line(AUTO, "#", "t", b" 21.5 ").unwrap(), "21.5\n");
    }

    #[test]
    fn text_and_bytes_are_wrapped_and_bytes_say_so() {
        assert_eq!(line(AUTO, "#", "t", b"21.5 C\n").unwrap(), "{\"payload\":\"21.5 C\\n\"}\n");
        assert_eq!(line(AUTO, "#", "t", b"").unwrap(), "{\"payload\":\"\"}\n");
        assert_eq!(line(AUTO, "#", "t", &[0, 0xff]).unwrap(), "{\"payload\":\"AP8=\",\"base64\":true}\n");
    }

    #[test]
    fn the_envelope_adds_what_only_the_receipt_knows() {
        assert_eq!(
            line(ENVELOPE, "devices/{device_id}/ping", "devices/a\"7/ping", b"{\"battery\": 80}").unwrap(),
            "{\"topic\":\"devices/a\\\"7/ping\",\"qos\":1,\"retained\":false,\"receivedAt\":\"2026-11-21T15:00:00.000Z\",\
             \"messageId\":\"00000000000000ff-10\",\"device_id\":\"a\\\"7\",\"payload\":{\"battery\":80}}\n"
        );
    }

    #[test]
    fn named_levels_become_fields_of_an_object_unless_it_has_them() {
        let filter = "devices/{device_id}/{kind}";
        for (payload, expected) in [
            (&b"{\"a\":1}"[..], "{\"device_id\":\"d\",\"kind\":\"ping\",\"a\":1}\n"),
            (b"{}", "{\"device_id\":\"d\",\"kind\":\"ping\"}\n"),
            (b"{\"kind\":5,\"in\":{\"device_id\":1}}", "{\"device_id\":\"d\",\"kind\":5,\"in\":{\"device_id\":1}}\n"),
            (b"{\"device_id\":1,\"kind\":2}", "{\"device_id\":1,\"kind\":2}\n"),
            (b"[1]", "{\"device_id\":\"d\",\"kind\":\"ping\",\"payload\":[1]}\n"),
            (b"hot", "{\"device_id\":\"d\",\"kind\":\"ping\",\"payload\":\"hot\"}\n"),
        ] {
            assert_eq!(line(AUTO, filter, "devices/d/ping", payload).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_meant_as_json_and_is_none_is_refused_and_can_go_on_as_text() {
        for payload in [&b"{\"a\":"[..], b"[1,]", b"{\"a\":1}x", b"{\"a\":\"\xff\"}"] {
            assert!(matches!(line(AUTO, "#", "t", payload), Err(Refused::NotJson { .. })), "{payload:?}");
        }
        let mut out = Vec::new();
        let receipt = Receipt { at: "", run: 0, serial: 0 };
        append_refused(AUTO, &message("t", b"{\"a\":\n"), None, receipt, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"payload\":\"{\\\"a\\\":\\n\"}\n");
    }

    #[test]
    fn raw_bytes_are_a_line_as_they_are_or_refused() {
        assert_eq!(line(RAW, "#", "t", b"{\"a\": 1}").unwrap(), "{\"a\": 1}\n");
        assert_eq!(line(RAW, "#", "t", b"a\n").unwrap(), "a\n");
        assert_eq!(line(RAW, "#", "t", b"a\nb"), Err(Refused::LineBreak));
    }

    #[test]
    fn a_binary_message_becomes_json_by_the_plan_and_other_bytes_are_refused() {
        let plan = br#"{"format": "datalake-plan-1", "tables": {"ping": {"message": 0}}, "enums": [], "messages": [
            {"name": "Ping", "fields": [
                {"name": "device_id", "jsonName": "deviceId", "number": 1, "kind": {"scalar": "string"}},
                {"name": "level", "jsonName": "level", "number": 2, "kind": {"scalar": "uint32"}}]}]}"#;
        let plan = datalake_schema::Plan::parse(plan).unwrap();
        let decoder = Decoder::new(std::sync::Arc::new(plan), "ping").unwrap();
        let filter = Topic::parse("devices/{device_id}", Quality::AtLeastOnce).unwrap();
        let receipt = Receipt { at: "", run: 0, serial: 0 };
        let made = |payload: &[u8]| {
            let (mut json, mut line) = (Vec::new(), Vec::new());
            let message = message("devices/d7", payload);
            append_binary(AUTO, &decoder, &message, Some(&filter), receipt, &mut json, &mut line)?;
            Ok::<_, Refused>(String::from_utf8(line).unwrap())
        };
        // What the message says itself goes before what the topic says.
        assert_eq!(made(&[0x10, 80]).unwrap(), "{\"device_id\":\"d7\",\"level\":80}\n");
        assert_eq!(made(&[0x0a, 1, b'x', 0x10, 80]).unwrap(), "{\"device_id\":\"x\",\"level\":80}\n");
        assert!(matches!(made(b"{\"level\":80}"), Err(Refused::NotAMessage(_))));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn any_payload_is_one_line_of_json_or_refused(payload: Vec<u8>, topic in "[a-z/\"\\\\]{1,20}", envelope: bool) {
            let settings = Settings { envelope, ..AUTO };
            if let Ok(line) = line(settings, "{first}/#", &topic, &payload) {
                prop_assert_eq!(line.matches(['\n', '\r']).count(), 1);
                prop_assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
            }
        }

        #[test]
        fn compacting_changes_no_value(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let compacted = line(AUTO, "#", "t", pretty.as_bytes()).unwrap();
            prop_assert_eq!(compacted.matches('\n').count(), 1);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&compacted).unwrap(), value);
        }
    }
}

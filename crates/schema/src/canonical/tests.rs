//! Canonical lines of a small plan, form by form.

use super::*;
use crate::plan::{Enum, FORMAT, Field, Message, Table};

pub(crate) fn field(name: &str, number: u32, kind: Kind) -> Field {
    let mut json_name = String::new();
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            _ if std::mem::take(&mut upper) => json_name.push(character.to_ascii_uppercase()),
            _ => json_name.push(character),
        }
    }
    let presence = !matches!(kind, Kind::Scalar(_) | Kind::Enum(_) | Kind::Null);
    Field { name: name.into(), json_name, number, kind, shape: Shape::One, presence, oneof: None }
}

/// Everything there is, once.
pub(crate) fn plan() -> Plan {
    let scalar = |name, number, kind| field(name, number, Kind::Scalar(kind));
    let position = Message {
        name: "t.Position".into(),
        fields: vec![scalar("lat", 1, Scalar::Double), scalar("lon_deg", 2, Scalar::Float)],
    };
    let list = |field: Field| Field { shape: Shape::List, presence: false, ..field };
    let map = |field: Field, key| Field { shape: Shape::Map(key), presence: false, ..field };
    let one = |field: Field| Field { oneof: Some(0), presence: true, ..field };
    let all = Message {
        name: "t.All".into(),
        fields: vec![
            scalar("device_id", 1, Scalar::String),
            scalar("battery_level", 2, Scalar::Double),
            scalar("count", 3, Scalar::Int32),
            scalar("big", 4, Scalar::Int64),
            scalar("huge", 5, Scalar::Uint64),
            scalar("charging", 6, Scalar::Bool),
            scalar("payload", 7, Scalar::Bytes),
            field("state", 8, Kind::Enum(0)),
            field("position", 9, Kind::Message(0)),
            list(scalar("levels", 10, Scalar::Sint32)),
            map(scalar("labels", 11, Scalar::String), Scalar::String),
            map(field("by_number", 12, Kind::Message(0)), Scalar::Int64),
            field("sent_at", 13, Kind::Timestamp),
            field("uptime", 14, Kind::Duration),
            field("extra", 15, Kind::Struct),
            field("anything", 16, Kind::Value),
            field("items", 17, Kind::ListValue),
            field("detail", 18, Kind::Any),
            field("mask", 19, Kind::FieldMask),
            field("maybe", 20, Kind::Wrapper(Scalar::Int64)),
            one(scalar("text_choice", 21, Scalar::String)),
            one(scalar("number_choice", 22, Scalar::Uint32)),
            list(field("positions", 23, Kind::Message(0))),
            list(field("states", 24, Kind::Enum(0))),
        ],
    };
    let state = Enum {
        name: "t.State".into(),
        values: vec![("UNKNOWN".into(), 0), ("ON".into(), 1), ("RUNNING".into(), 1), ("OFF".into(), -1)],
    };
    let table = |message| Table { message, timestamp_digits: 3 };
    let tables = [("all".to_owned(), table(1)), ("position".to_owned(), table(0))];
    Plan { format: FORMAT.into(), tables: tables.into(), messages: vec![position, all], enums: vec![state] }
}

fn line(record: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    Canonical::new(&plan(), "all", false).unwrap().write(record.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

/// The members that differ from those of an empty record.
fn given(record: &str) -> Result<String, Refusal> {
    let line = line(record).map_err(|fault| fault.why)?;
    let read = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap();
    let empty = read(&self::line("{}").unwrap());
    let all = read(&line);
    let changed: serde_json::Map<_, _> =
        all.into_iter().filter(|(name, value)| empty.get(name) != Some(value)).collect();
    Ok(serde_json::to_string(&changed).unwrap())
}

#[test]
fn an_empty_record_has_all_defaults_and_nothing_that_may_be_unset() {
    assert_eq!(
        line("{}").unwrap(),
        "{\"device_id\":\"\",\"battery_level\":0,\"count\":0,\"big\":0,\"huge\":0,\"charging\":false,\"payload\":\"\",\
         \"state\":\"UNKNOWN\",\"levels\":[],\"labels\":{},\"by_number\":{},\"positions\":[],\"states\":[]}\n"
    );
}

#[test]
fn both_naming_styles_any_order_and_any_blanks_give_one_line() {
    let wanted = line(r#"{"device_id":"a","battery_level":80.5,"position":{"lat":1,"lon_deg":2}}"#).unwrap();
    for record in [
        " { \"batteryLevel\" : 80.5 ,\n \"position\":{\"lonDeg\":2, \"lat\":1},\t\"deviceId\":\"a\" } \r\n",
        r#"{"device\u005fid":"\u0061","battery_level":"80.5","position":{"lat":"1","lon_deg":2}}"#,
        "\u{feff}{\"deviceId\":\"a\",\"batteryLevel\":80.5,\"position\":{\"lat\":1,\"lonDeg\":2},\"count\":null}",
    ] {
        assert_eq!(line(record).as_deref(), Ok(wanted.as_str()), "{record}");
    }
    assert_eq!(line(&wanted).as_deref(), Ok(wanted.as_str()), "a canonical line stays as it is");
}

#[test]
fn values_are_taken_in_every_form_of_protobuf_and_written_in_one() {
    for (record, written) in [
        (r#"{"big":"9223372036854775807"}"#, r#"{"big":9223372036854775807}"#),
        (r#"{"big":-9223372036854775808}"#, r#"{"big":-9223372036854775808}"#),
        (r#"{"huge":"18446744073709551615"}"#, r#"{"huge":18446744073709551615}"#),
        (r#"{"count":1.50e2}"#, r#"{"count":150}"#),
        (r#"{"count":"-12"}"#, r#"{"count":-12}"#),
        (r#"{"count":2147483647.0}"#, r#"{"count":2147483647}"#),
        (r#"{"count":-0}"#, "{}"),
        (r#"{"count":-0.0e5}"#, "{}"),
        (r#"{"payload":"-_8"}"#, r#"{"payload":"+/8="}"#),
        (r#"{"payload":"+\/8="}"#, r#"{"payload":"+/8="}"#),
        (r#"{"payload":"QUJDRA"}"#, r#"{"payload":"QUJDRA=="}"#),
        (r#"{"state":1}"#, r#"{"state":"ON"}"#),
        (r#"{"state":"RUNNING"}"#, r#"{"state":"ON"}"#),
        (r#"{"state":7}"#, r#"{"state":"7"}"#),
        (r#"{"state":"7"}"#, r#"{"state":"7"}"#),
        (r#"{"state":-1}"#, r#"{"state":"OFF"}"#),
        (r#"{"states":["ON",1,0]}"#, r#"{"states":["ON","ON","UNKNOWN"]}"#),
        (r#"{"sentAt":"2026-03-09T08:05:04+01:00"}"#, r#"{"sent_at":"2026-03-09T07:05:04.000Z"}"#),
        (r#"{"uptime":"3.5s"}"#, r#"{"uptime":"3.500s"}"#),
        (r#"{"extra":{"a" : [1, {"b":"x\"\\\n"}]}}"#, r#"{"extra":"{\"a\":[1,{\"b\":\"x\\\"\\\\\\n\"}]}"}"#),
        (r#"{"extra":"{\"a\": 1}"}"#, r#"{"extra":"{\"a\":1}"}"#),
        (r#"{"anything":null}"#, r#"{"anything":"null"}"#),
        (r#"{"anything":[ 1 , "a b" ]}"#, r#"{"anything":"[1,\"a b\"]"}"#),
        (r#"{"items":[]}"#, r#"{"items":"[]"}"#),
        (r#"{"maybe":"0"}"#, r#"{"maybe":0}"#),
        (r#"{"maybe":null}"#, "{}"),
        (r#"{"labels":{"b":"1","a":"2"}}"#, r#"{"labels":{"b":"1","a":"2"}}"#),
        (r#"{"byNumber":{"5.0":{}}}"#, r#"{"by_number":{"5":{"lat":0,"lon_deg":0}}}"#),
        (r#"{"numberChoice":0,"textChoice":null}"#, r#"{"number_choice":0}"#),
        (r#"{"battery_level":"NaN"}"#, r#"{"battery_level":null}"#),
        (r#"{"device_id":"\ud83d\ude00\/"}"#, "{\"device_id\":\"\u{1f600}/\"}"),
    ] {
        assert_eq!(given(record).as_deref(), Ok(written), "{record}");
    }
}

#[test]
fn what_no_reader_of_the_lake_would_take_alike_is_refused() {
    let not_a = |wanted| Refusal::NotA { wanted };
    for (record, why) in [
        ("[]", Refusal::Json(json::Fault::NotAnObject)),
        ("{\"count\":1}x", Refusal::Json(json::Fault::Syntax { at: 11 })),
        (r#"{"count":01}"#, Refusal::Json(json::Fault::Syntax { at: 10 })),
        (r#"{"count":2147483648}"#, Refusal::OutOfRange { kind: "int32" }),
        (r#"{"count":1e999999999999999999999}"#, Refusal::OutOfRange { kind: "int32" }),
        (r#"{"count":1e-999999999999999999999}"#, Refusal::NotWhole),
        (r#"{"count":1.5}"#, Refusal::NotWhole),
        (r#"{"count":" 1"}"#, not_a("a whole number")),
        (r#"{"count":true}"#, not_a("a whole number")),
        (r#"{"huge":-1}"#, Refusal::OutOfRange { kind: "uint64" }),
        (r#"{"battery_level":1e400}"#, Refusal::OutOfRange { kind: "double" }),
        (r#"{"position":{"lonDeg":1e39}}"#, Refusal::OutOfRange { kind: "float" }),
        (r#"{"battery_level":"nan"}"#, not_a("a number")),
        (r#"{"charging":"true"}"#, not_a("true or false")),
        (r#"{"payload":"a"}"#, not_a("base64")),
        (r#"{"payload":"a b="}"#, not_a("base64")),
        (r#"{"state":"NO_SUCH"}"#, Refusal::NoSuchValue),
        (r#"{"levels":[1,null]}"#, Refusal::NullInside),
        (r#"{"labels":{"a":null}}"#, Refusal::NullInside),
        (r#"{"labels":{"a":"1","\u0061":"2"}}"#, Refusal::Twice),
        (r#"{"byNumber":{"1":{},"1.0":{}}}"#, Refusal::Twice),
        (r#"{"deviceId":"a","device_id":"b"}"#, Refusal::Twice),
        (r#"{"textChoice":"a","numberChoice":1}"#, Refusal::OneofTwice),
        (r#"{"device_id":"\ud800"}"#, Refusal::LoneSurrogate),
        (r#"{"position":[]}"#, not_a("an object")),
        (r#"{"extra":[]}"#, not_a("an object")),
        (r#"{"extra":"[]"}"#, not_a("an object or list, or a text that holds one")),
        (r#"{"sent_at":"yesterday"}"#, not_a("a time such as \"2026-03-09T07:05:04.123Z\"")),
    ] {
        assert_eq!(given(record), Err(why), "{record}");
    }
}

#[test]
fn a_refusal_names_the_field_and_the_byte() {
    let mut canonical = Canonical::new(&plan(), "all", false).unwrap();
    let mut out = b"before".to_vec();
    let fault = canonical.write(br#"{"position":{"lat":1,"lonDeg":[]}}"#, &mut out).unwrap_err();
    assert_eq!((fault.at, canonical.path().as_str()), (30, "position.lon_deg"));
    assert_eq!(out, b"before");
}

#[test]
fn unknown_fields_are_left_out_counted_and_named_once() {
    let mut canonical = Canonical::new(&plan(), "position", false).unwrap();
    let mut out = Vec::new();
    for _ in 0..3 {
        canonical.write(br#"{"lat":1,"color":{"a":[1,"}"]},"lonDeg":2}"#, &mut out).unwrap();
    }
    assert_eq!(out, b"{\"lat\":1,\"lon_deg\":2}\n".repeat(3));
    let notes = canonical.take_notes();
    assert_eq!((notes.unknown, notes.new_names), (3, vec!["color".to_owned()]));
    canonical.write(br#"{"color":"NaN","lat":"NaN"}"#, &mut out).unwrap();
    let notes = canonical.take_notes();
    assert_eq!((notes.unknown, notes.not_numbers, notes.new_names.len()), (1, 1, 0));
    let mut strict = Canonical::new(&plan(), "position", true).unwrap();
    assert_eq!(strict.write(br#"{"color":1}"#, &mut out).unwrap_err().why, Refusal::Unknown);
}

#[test]
fn a_plan_comes_back_from_its_file_and_a_damaged_one_does_not() {
    let plan = plan();
    assert_eq!(Plan::parse(&plan.to_file()).as_ref(), Ok(&plan));
    let file = String::from_utf8(plan.to_file()).unwrap();
    for (from, to) in [
        ("datalake-plan-1", "datalake-plan-2"),
        ("\"message\": 0", "\"message\": 7"),
        ("\"device_id\"", "\"device id\""),
        ("\"big\"", "\"count\""),
        ("\"shape\"", "\"shapes\""),
        ("\"timestampDigits\": 3", "\"timestampDigits\": 4"),
    ] {
        assert!(file.contains(from), "{from}");
        assert!(Plan::parse(file.replace(from, to).as_bytes()).is_err(), "{from} -> {to}");
    }
    let mut turned = plan.clone();
    turned.messages.reverse();
    assert!(Plan::parse(&turned.to_file()).is_err(), "messages that hold later ones may recurse");
}

proptest::proptest! {
    #[test]
    fn any_text_is_refused_or_becomes_one_line_of_json_that_stays(text in "[\\[\\]{}:, \"\\\\a-c_0-9.eEtruefalsnNI\\-]{0,60}", name in 0_usize..24) {
        let record = format!("{{\"{}\":{text}}}", plan().messages[1].fields[name].name);
        let mut canonical = Canonical::new(&plan(), "all", false).unwrap();
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        if canonical.write(record.as_bytes(), &mut once).is_ok() {
            proptest::prop_assert!(serde_json::from_slice::<serde_json::Value>(&once).is_ok());
            proptest::prop_assert_eq!(once.iter().filter(|byte| **byte == b'\n').count(), 1);
            canonical.write(&once, &mut twice).unwrap();
            // A text in a Value is a value of its own.
            let is_value = record.starts_with("{\"anything\"");
            proptest::prop_assert!(once == twice || is_value, "not the same again: {}", record);
        } else {
            proptest::prop_assert!(once.is_empty());
        }
    }
}

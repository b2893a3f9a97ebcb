//! The canonical line against protobuf's own JSON: random messages made by Python, in both naming styles and in binary,
//! and back through DuckDB, value for value.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use datalake_schema::{Canonical, Decoder};
use house::{House, tool};
use serde_json::{Map, Value};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MESSAGES: usize = 10_000;
const LAKE: &str = r#"{"name": "t", "protos": ["schema"],
    "tables": {"rows": {"message": "t.v1.All", "prefix": "raw/v0/rows/", "timestampDigits": 9}}}"#;

/// One message in each of its forms.
struct Forms {
    camel: String,
    proto: String,
    binary: Vec<u8>,
    full: Map<String, Value>,
}

fn random_messages(house: &House, python: &Path) -> Vec<Forms> {
    let seed: u32 = std::env::var("LAKE_SEED").map_or_else(|_| fastrand::u32(..), |seed| seed.parse().unwrap());
    println!("LAKE_SEED={seed}");
    let mut compiler = protox::Compiler::new([house.path().join("schema")]).unwrap();
    compiler.include_imports(true).open_file(house.path().join("schema/t.proto")).unwrap();
    let set = house.path().join("set");
    std::fs::write(&set, compiler.encode_file_descriptor_set()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/random_messages.py");
    let output = Command::new(python)
        .arg(script)
        .arg(set)
        .args(["t.v1.All", &MESSAGES.to_string(), &seed.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let forms = text.lines().map(|line| {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        let mut text = |key: &str| line.remove(key).unwrap().as_str().unwrap().to_owned();
        let (camel, proto) = (text("camel"), text("proto"));
        let binary = base64_simd::STANDARD.decode_to_vec(text("binary")).unwrap();
        let Value::Object(full) = line.remove("full").unwrap() else { panic!("an object") };
        Forms { camel, proto, binary, full }
    });
    forms.collect()
}

/// What a canonical line must hold, by the rules of the table in the documentation, from protobuf's JSON with defaults.
fn expected(full: &Map<String, Value>) -> Map<String, Value> {
    // A wrapper that holds no number is null, and null is not written where unset means it.
    let all = full.iter().map(|(name, value)| (name.clone(), converted(name, value)));
    all.filter(|(name, value)| name != "wrapped_double" || !value.is_null()).collect()
}

fn converted(name: &str, value: &Value) -> Value {
    match (name, value) {
        ("extra" | "anything" | "items", value) => Value::String(value.to_string()),
        ("sent_at", Value::String(text)) => Value::String(nine_digits(text)),
        ("moments", Value::Array(texts)) => {
            texts.iter().map(|text| Value::String(nine_digits(text.as_str().unwrap()))).collect()
        }
        (
            "an_int64" | "a_sint64" | "a_sfixed64" | "a_uint64" | "a_fixed64" | "number_choice" | "wrapped_number",
            Value::String(text),
        ) => Value::Number(serde_json::from_str(text).unwrap()),
        ("many_numbers", Value::Array(items)) => {
            items.iter().map(|text| Value::Number(serde_json::from_str(text.as_str().unwrap()).unwrap())).collect()
        }
        ("state", Value::Number(number)) => Value::String(number.to_string()),
        ("many_states", Value::Array(items)) => {
            items.iter().map(|item| if item.is_number() { item.to_string().into() } else { item.clone() }).collect()
        }
        (
            "labels" | "many_texts" | "device_id" | "text_choice" | "maybe_text" | "wrapped_text" | "some_bytes",
            value,
        ) => value.clone(),
        (_, Value::String(text)) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => Value::Null,
        (_, Value::Array(items)) => items.iter().map(|item| converted("", item)).collect(),
        (_, Value::Object(members)) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), converted("", value))).collect())
        }
        (_, value) => value.clone(),
    }
}

fn nine_digits(text: &str) -> String {
    let bare = text.strip_suffix('Z').unwrap();
    let (seconds, fraction) = bare.split_once('.').unwrap_or((bare, ""));
    format!("{seconds}.{fraction:0<9}Z")
}

/// Equal values; numbers by value, texts that hold JSON by what they hold.
fn same(name: &str, left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) if matches!(name, "extra" | "anything" | "items") => {
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            same("", &read(left), &read(right))
        }
        (Value::Number(left), Value::Number(right)) => {
            left == right
                || left.as_f64() == right.as_f64() && (left.is_f64() || right.is_f64())
                || left.as_f64().map(|left| left as f32) == right.as_f64().map(|right| right as f32) && name == "float"
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same("", left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| {
                    let name = if key.contains("float") || key == "longitude" { "float" } else { key };
                    right.get(key).is_some_and(|other| same(name, value, other))
                })
        }
        (left, right) => left == right,
    }
}

#[test]
fn random_messages_in_every_form_become_one_line_that_holds_what_protobuf_says() {
    let Some(python) = tool("python3") else { return };
    let proto = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/all.proto")).unwrap();
    let house = House::new(LAKE, &proto);
    let (lake, schema) = house.lake();
    let has_protobuf = Command::new(&python).args(["-c", "import google.protobuf"]).status().unwrap().success();
    if !has_protobuf {
        println!("SKIPPED: {} has no protobuf", python.display());
        return;
    }
    let mut canonical = Canonical::new(&schema.plan, "rows", true).unwrap();
    let decoder = Decoder::new(Arc::new(schema.plan.clone()), "rows").unwrap();
    let mut lines = Vec::new();
    let mut line = |record: &[u8]| {
        let mut out = Vec::new();
        canonical.write(record, &mut out).unwrap_or_else(|fault| {
            panic!("{fault} in `{}`: {}", canonical.path(), String::from_utf8_lossy(record));
        });
        out
    };
    let messages = random_messages(&house, &python);
    for forms in &messages {
        let (camel, proto) = (line(forms.camel.as_bytes()), line(forms.proto.as_bytes()));
        assert_eq!(camel, proto, "both naming styles: {}", forms.camel);
        let mut json = Vec::new();
        decoder.decode(&forms.binary, &mut json).unwrap();
        let read = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap();
        let (from_json, from_binary) = (read(&camel), read(&line(&json)));
        assert!(same("", &from_json, &from_binary), "binary:\n{from_json}\n{from_binary}");
        let expected = Value::Object(expected(&forms.full));
        assert!(same("", &from_json, &expected), "protobuf:\n{from_json}\n{expected}");
        if !forms.full.contains_key("anything") {
            assert_eq!(line(&camel), camel, "a canonical line stays, unless a Value holds a text");
        }
        lines.extend_from_slice(&camel);
    }
    back_through_duckdb(&house, &lake, &schema, &lines);
}

/// Reads the lines as strictly as DuckDB can, and compares each value.
fn back_through_duckdb(house: &House, lake: &datalake::config::Lake, schema: &datalake::schema::Schema, lines: &[u8]) {
    let Some(duckdb) = tool("duckdb") else { return };
    house.object("raw/v0/rows/", "2026-03-01-00", "rows-1.gz", lines);
    let view = datalake::schema::ddl::duckdb(schema, &lake.tables["rows"], true);
    assert!(view.contains("ignore_errors=true"));
    let script = view.replace("ignore_errors=true", "ignore_errors=false")
        + "SELECT * EXCLUDE (dt) REPLACE (CAST(a_uint64 AS UBIGINT) AS a_uint64, CAST(a_fixed64 AS UBIGINT) AS a_fixed64, \
           CAST(number_choice AS UBIGINT) AS number_choice) FROM rows;\n";
    let path = house.path().join("script.sql");
    std::fs::write(&path, script).unwrap();
    let output = Command::new(duckdb)
        .args(["-no-init", "-bail", "-jsonlines"])
        .stdin(std::fs::File::open(path).unwrap())
        .current_dir(&lake.root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(rows.lines().count(), lines.len());
    for (row, line) in rows.lines().zip(lines) {
        let row = without_nulls(serde_json::from_str(row).unwrap());
        let line = without_nulls(serde_json::from_slice(line).unwrap());
        for (name, value) in line.as_object().unwrap() {
            let other = &row[name];
            let name = if name.contains("float") { "float" } else { name };
            assert!(equal(name, value, other), "{name}: {value} became {other}");
        }
    }
}

/// As `same`; what DuckDB prints as a text because it is wider than a double is compared as what it says.
fn equal(name: &str, left: &Value, right: &Value) -> bool {
    if let (Value::Number(left), Value::String(right)) = (left, right) {
        return left.to_string() == *right;
    }
    same(name, left, right)
}

/// Absent and null are one thing in a table.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

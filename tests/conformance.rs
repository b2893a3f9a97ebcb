//! The processing of records, held against tables of options, input and outcome.
//! Promises that each row of `tests/corpus/process/*.json` comes out exactly as written there.
//! Leaves what no row says to the property tests of the parts.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use datalake_base::record::{FileKey, Position};
use datalake_process::{Instance, Place, Processor, Settings, Surroundings, Verdict};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes as a row writes them: a text, `{"hex": "ff0a"}`, `{"repeat": "a", "times": 5}`, or a list of such.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        Value::Object(part) if part.contains_key("hex") => {
            let digits: Vec<u8> = part["hex"].as_str().unwrap().bytes().filter(u8::is_ascii_hexdigit).collect();
            let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.chunks(2).map(pair).collect()
        }
        Value::Object(part) => bytes(&part["repeat"]).repeat(part["times"].as_u64().unwrap() as usize),
        other => panic!("{other} is no bytes"),
    }
}

fn instance() -> Arc<Instance> {
    Arc::new(Instance {
        private_ip: Some("10.0.0.5".into()),
        availability_zone: Some("us-west-2a".into()),
        instance_id: Some("i-0abc".into()),
        instance_type: Some("t3.small".into()),
        account_id: Some("111122223333".into()),
        ami_id: Some("ami-1".into()),
        region: Some("us-west-2".into()),
        fetched: Some("2017-10-04T09:15:00+0000".into()),
        tags: Some(vec![("Name".into(), "web".into())]),
        container: Vec::new(),
    })
}

fn surroundings(row: &Value) -> Surroundings {
    Surroundings {
        host: "web-1".into(),
        variables: [("STAGE".to_owned(), row["stage"].as_str().unwrap_or("prod \"x\"").to_owned())].into(),
        instance: (row["instance"] != Value::Bool(false)).then(instance),
        max_record_bytes: row["max_record_bytes"].as_u64().unwrap_or(8 << 20) as usize,
    }
}

/// What is wrong with a row, if anything.
fn fault(row: &Value) -> Result<(), String> {
    let options = if row["options"].is_null() { &row["option"] } else { &row["options"] };
    let options = if options.is_array() { options.clone() } else { Value::Array(vec![options.clone()]) };
    let settings = Settings::parse(&options);
    if let Some(expected) = row.get("refused") {
        let errors = settings.err().ok_or("the options were taken")?;
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for part in expected.as_array().unwrap() {
            let part = part.as_str().unwrap();
            if !said.iter().any(|error| error.contains(part)) {
                return Err(format!("refused with {said:#?}, which does not say {part:?}"));
            }
        }
        return Ok(());
    }
    let settings = settings.map_err(|errors| format!("refused: {errors:#?}"))?;
    let input = bytes(&row["input"]);
    let mut processor = Processor::new(&settings, &surroundings(row)).map_err(|error| error.to_string())?;
    let place = Place {
        path: Path::new(row["path"].as_str().unwrap_or("/var/log/pods/shop_cart-7/app.log")),
        file: FileKey { device: 0x801, inode: 0x2a, born: 0x1f },
        generation: Some(0x51),
        position: Position(row["offset"].as_u64().unwrap_or(1000)),
        input: input.len() as u64,
        now_ms: 1_539_002_096_789,
    };
    // Twice, behind something else: a verdict must not depend on what came before, nor touch it.
    for round in 0..2 {
        let mut out = b"before".to_vec();
        let verdict = processor.process(&input, &place, &mut out);
        let out = out.strip_prefix(b"before").ok_or("what was there before is gone")?;
        compare(row, verdict, out, &input).map_err(|error| format!("round {round}: {error}"))?;
    }
    Ok(())
}

fn compare(row: &Value, verdict: Verdict, out: &[u8], input: &[u8]) -> Result<(), String> {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
    let said = |expected: &Value, reason: String| {
        let expected = expected.as_str().unwrap();
        if reason.contains(expected) { Ok(()) } else { Err(format!("{reason:?} does not say {expected:?}")) }
    };
    if !matches!(verdict, Verdict::Kept | Verdict::KeptRaw(_)) && !out.is_empty() {
        return Err(format!("{verdict:?}, but {:?} was written", shown(out)));
    }
    match verdict {
        Verdict::Kept => {
            let expected = row.get("kept").ok_or_else(|| format!("kept as {:?}", shown(out)))?;
            let expected = bytes(expected);
            if out == expected {
                Ok(())
            } else {
                Err(format!("expected {:?}\n     got {:?}", shown(&expected), shown(out)))
            }
        }
        Verdict::KeptRaw(reason) => {
            if out != input {
                return Err("what is sent raw is not what came in".to_owned());
            }
            said(row.get("raw").ok_or_else(|| format!("raw: {reason}"))?, reason.to_string())
        }
        Verdict::Dropped(reason) => {
            said(row.get("dropped").ok_or_else(|| format!("dropped: {reason}"))?, reason.to_string())
        }
        Verdict::Failed(reason) => {
            said(row.get("failed").ok_or_else(|| format!("failed: {reason}"))?, reason.to_string())
        }
    }
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/process");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    files.sort();
    files
}

#[test]
fn every_row_of_the_tables_comes_out_as_written() {
    let (mut rows, mut faults) = (0, Vec::new());
    for file in corpus() {
        let table: Value = serde_json::from_slice(&std::fs::read(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for row in table.as_array().unwrap() {
            let keys = row.as_object().unwrap().keys();
            const KNOWN: [&str; 14] = [
                "name",
                "option",
                "options",
                "input",
                "kept",
                "raw",
                "dropped",
                "failed",
                "refused",
                "path",
                "offset",
                "instance",
                "max_record_bytes",
                "feature",
            ];
            for key in keys {
                assert!(KNOWN.contains(&key.as_str()), "{}: {row} has the key {key}", file.display());
            }
            if row["feature"] == "jq" && !cfg!(feature = "jq") {
                continue;
            }
            rows += 1;
            if let Err(error) = fault(row) {
                faults.push(format!("{}: {}: {error}", file.file_stem().unwrap().display(), row["name"]));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {rows} rows:\n{}", faults.len(), faults.join("\n"));
    assert!(rows > 100, "only {rows} rows");
}

/// Blocks of a document: what stands behind the fence, and the text between.
fn blocks(document: &str) -> Vec<(&str, String)> {
    let (mut blocks, mut open): (Vec<(&str, String)>, bool) = (Vec::new(), false);
    for line in document.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(label), false) => {
                blocks.push((label, String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let text = &mut blocks.last_mut().unwrap().1;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_manual_comes_out_as_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/processing.md");
    let document = std::fs::read_to_string(path).unwrap();
    let blocks = blocks(&document);
    let (mut examples, mut faults) = (0, Vec::new());
    for (index, (_, option)) in blocks.iter().enumerate().filter(|(_, (label, _))| *label == "json option") {
        let option: Value = serde_json::from_str(option).unwrap_or_else(|error| panic!("{error}: {option}"));
        if option["optionName"] == "JQ" && !cfg!(feature = "jq") {
            continue;
        }
        let [(input_label, input), (fate, expected)] = &blocks[index + 1..index + 3] else { panic!("{option} alone") };
        assert_eq!(*input_label, "text input", "{option}");
        let key = match *fate {
            "text output" => "kept",
            "text quarantined" => "failed",
            "text dropped" => "dropped",
            other => panic!("{option}: what is `{other}`?"),
        };
        let expected = if key == "kept" { expected.as_str() } else { expected.trim_end() };
        let row = serde_json::json!({"option": option, "input": input, key: expected, "stage": "prod"});
        examples += 1;
        if let Err(error) = fault(&row) {
            faults.push(format!("{option}: {error}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(examples >= 18, "only {examples} examples");
}

//! The option SCHEMA and `payloadFormat` `protobuf` as an operator writes them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use datalake_agent::config;
use std::path::Path;

const PLAN: &str = r#"{"format": "datalake-plan-1", "tables": {"ping": {"message": 0}}, "enums": [], "messages": [
    {"name": "Ping", "fields": [
        {"name": "device_id", "jsonName": "deviceId", "number": 1, "kind": {"scalar": "string"}}]}]}"#;

/// What is wrong with a flow; `PLAN` in it is the path of a plan file.
fn faults(flow: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("lake.plan.json");
    std::fs::write(&plan, PLAN).unwrap();
    std::fs::write(folder.path().join("broken.json"), "{\"format\": \"datalake-plan-9\"}").unwrap();
    let flow = flow.replace("PLAN", plan.to_str().unwrap()).replace("HERE", folder.path().to_str().unwrap());
    let main = folder.path().join("agent.json");
    std::fs::write(&main, format!("{{\"flows\": [{flow}]}}")).unwrap();
    match config::load(Path::new(&main)) {
        Ok(plan) => plan.warnings.to_string(),
        Err(report) => report.to_string(),
    }
}

#[test]
fn a_flow_names_plan_and_table_and_binary_messages_need_nothing_more() {
    let option = r#"[{"optionName": "SCHEMA", "plan": "PLAN", "table": "ping"}]"#;
    let files = format!(r#"{{"filePattern": "/x/*.log", "deliveryStream": "s", "dataProcessingOptions": {option}}}"#);
    assert_eq!(faults(&files), "");
    let mqtt = r#"{"broker": "mqtt://localhost", "topics": "devices/{device_id}", "payloadFormat": "protobuf"}"#;
    let messages = format!(r#"{{"mqtt": {mqtt}, "deliveryStream": "s", "dataProcessingOptions": {option}}}"#);
    assert_eq!(faults(&messages), "");
}

#[test]
fn what_is_wrong_with_plan_or_table_is_told_at_its_key() {
    for (option, words) in [
        (r#"{"optionName": "SCHEMA", "plan": "PLAN", "table": "pong"}"#, "the plan has no table `pong`; did you mean"),
        (r#"{"optionName": "SCHEMA", "plan": "lake.plan.json", "table": "ping"}"#, "this is not an absolute path"),
        (r#"{"optionName": "SCHEMA", "plan": "HERE/none.json", "table": "ping"}"#, "No such file"),
        (r#"{"optionName": "SCHEMA", "plan": "HERE/broken.json", "table": "ping"}"#, "datalake-plan-9"),
        (
            r#"{"optionName": "SCHEMA", "plan": "PLAN", "table": "ping", "onUnknown": "drop"}"#,
            "`drop` is not known here",
        ),
    ] {
        let flow =
            format!(r#"{{"filePattern": "/x/*.log", "deliveryStream": "s", "dataProcessingOptions": [{option}]}}"#);
        let told = faults(&flow);
        let first = words.split("; ").next().unwrap();
        assert!(told.contains(first) && told.contains("agent.json:1:"), "{words:?} is missing in:\n{told}");
    }
}

#[test]
fn binary_messages_without_a_schema_are_a_fault() {
    let mqtt = r#"{"broker": "mqtt://localhost", "topics": "devices/+", "payloadFormat": "protobuf"}"#;
    for options in ["", r#", "dataProcessingOptions": [{"optionName": "ADDBRACKETS"}]"#] {
        let told = faults(&format!(r#"{{"mqtt": {mqtt}, "deliveryStream": "s"{options}}}"#));
        assert!(told.contains("binary messages need the option SCHEMA"), "{told}");
    }
}

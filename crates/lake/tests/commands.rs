//! The commands on a lake as an operator has it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use house::{House, tool, words};
use std::path::Path;

const LAKE: &str = r#"{"name": "farm", "agent": "agent.json", "protos": ["schema"], "tables": {
    "ping": {"message": "t.v1.All", "stream": "ping", "prefix": "raw/v0/ping/"}}}"#;

fn all_proto() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/all.proto")).unwrap()
}

#[test]
fn every_kind_of_field_has_its_column_in_glue_athena_and_duckdb() {
    let house = House::new(LAKE, &all_proto());
    let shown = |dialect: &str| words(&house.run(&["schema", "ping", "--as", dialect], ""));
    let glue: serde_json::Value = serde_json::from_str(&shown("glue")).unwrap();
    let columns = glue["StorageDescriptor"]["Columns"].as_array().unwrap();
    let (athena, duckdb) = (shown("athena"), shown("duckdb"));
    let position = "struct<latitude:double,longitude:float,floor_number:int>";
    let own = "STRUCT(\"latitude\" DOUBLE, \"longitude\" FLOAT, \"floor_number\" INTEGER)";
    for (name, hive, duck) in [
        ("device_id", "string", "VARCHAR"),
        ("a_float", "float", "FLOAT"),
        ("a_sfixed32", "int", "INTEGER"),
        ("a_fixed32", "bigint", "BIGINT"),
        ("a_fixed64", "decimal(20,0)", "DECIMAL(20,0)"),
        ("a_bool", "boolean", "BOOLEAN"),
        ("some_bytes", "string", "VARCHAR"),
        ("state", "string", "VARCHAR"),
        ("position", position, own),
        ("many_positions", &format!("array<{position}>"), &format!("{own}[]")),
        ("labels", "map<string,string>", "MAP(VARCHAR, VARCHAR)"),
        ("by_number", &format!("map<bigint,{position}>"), &format!("MAP(BIGINT, {own})")),
        ("by_flag", "map<boolean,double>", "MAP(BOOLEAN, DOUBLE)"),
        ("number_choice", "decimal(20,0)", "DECIMAL(20,0)"),
        ("sent_at", "string", "VARCHAR"),
        ("extra", "string", "VARCHAR"),
        ("wrapped_number", "bigint", "BIGINT"),
        ("wrapped_flag", "boolean", "BOOLEAN"),
    ] {
        let column = columns.iter().find(|column| column["Name"] == name).unwrap();
        assert_eq!(column["Type"], hive, "{name}");
        assert!(athena.contains(&format!("`{name}` {hive}")), "{name}: {athena}");
        assert!(duckdb.contains(&format!("'{name}': '{duck}'")), "{name}: {duckdb}");
    }
    assert_eq!(columns[0]["Comment"], "Which device.");
    assert_eq!(glue["Parameters"]["storage.location.template"], "s3://BUCKET/raw/v0/ping/dt=${dt}/");
}

#[test]
fn what_no_reader_can_have_is_refused_all_at_once_with_file_line_and_column() {
    let proto = r#"syntax = "proto3";
package t.v1;
import "google/protobuf/empty.proto";
message All {
  string dt = 1;
  Nothing nothing = 4;
  google.protobuf.Empty empty = 5;
  A a = 6;
}
message Nothing {}
message A { map<string, B> b = 1; }
message B { repeated A again = 1; }
"#;
    let printed = words(&House::new(LAKE, proto).run(&["schema"], ""));
    for place in [
        "schema/t.proto:5:10",
        "the column `dt` has the name of the partition",
        "schema/t.proto:10:9",
        "`t.v1.Nothing` has no fields",
        "schema/t.proto:7:25",
        "is an Empty",
        "schema/t.proto:12:24",
        "t.v1.A -> t.v1.B -> t.v1.A",
    ] {
        assert!(printed.contains(place), "{place:?} is missing in:\n{printed}");
    }
}

#[test]
fn a_fault_of_the_grammar_is_told_where_it_stands_in_each_file() {
    let house = House::new(LAKE, "syntax = \"proto3\";\npackage t.v1;\nmessage All {\n  strin device_id = 1;\n}\n");
    std::fs::write(house.path().join("schema/u.proto"), "edition = \"2023\";\n").unwrap();
    let printed = words(&house.run(&["schema"], ""));
    assert!(printed.contains("schema/t.proto:4:3") && printed.contains("schema/u.proto:1:1"), "{printed}");
    assert!(printed.contains("editions are not supported yet"), "{printed}");
}

#[test]
fn a_plan_is_compiled_and_what_breaks_old_objects_is_called_so() {
    let house = House::new(LAKE, &all_proto());
    assert!(house.run(&["schema", "compile"], "").status.success());
    let plan = house.path().join("lake.plan.json");
    let first = std::fs::read(&plan).unwrap();
    datalake_schema::Plan::parse(&first).unwrap();
    let same = house.run(&["schema", "diff", "lake.plan.json"], "");
    assert!(same.status.success() && same.stdout.is_empty(), "{}", words(&same));
    let proto = all_proto()
        .replace("int32 an_int32 = 4;", "int64 an_int32 = 4;")
        .replace("string device_id = 1;", "string device_name = 1;")
        .replace("bool a_bool = 14;", "string a_bool = 14;")
        .replace("bytes some_bytes = 15;", "bytes some_bytes = 15; string brand_new = 99;")
        .replace("  OFF = -1;", "  AWAY = -1;");
    std::fs::write(house.path().join("schema/t.proto"), proto).unwrap();
    let output = house.run(&["schema", "diff", "lake.plan.json"], "");
    let printed = words(&output);
    assert!(!output.status.success(), "{printed}");
    for words in [
        "safe  ping.an_int32: was int, is bigint",
        "BREAKS ping.device_id: renamed to `device_name`",
        "BREAKS ping.a_bool: was boolean, is string",
        "safe  ping.brand_new: a new column (string)",
        "BREAKS ping.state: the value OFF = -1 is gone",
    ] {
        assert!(printed.contains(words), "{words:?} is missing in:\n{printed}");
    }
}

#[test]
fn lines_are_shown_beside_their_canonical_form_and_what_is_wrong() {
    let house = House::new(LAKE, &all_proto());
    let lines =
        "{\"deviceId\":\"a\",\"aDouble\":\"1.5\",\"colour\":1}\n{\"position\":{\"latitude\":\"north\"}}\n\u{1b}[31m\n";
    let output = house.run(&["validate", "ping"], lines);
    let printed = words(&output);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("{\"device_id\":\"a\",\"a_double\":1.5,"), "{printed}");
    assert!(printed.contains("REFUSED in `position.latitude` at byte 24: not a number"), "{printed}");
    assert!(printed.contains("line 1: the field `colour` is not in the schema"), "{printed}");
    assert!(printed.contains("3 lines: 1 get another form, 2 are refused") && !printed.contains('\u{1b}'), "{printed}");
    let output = house.run(&["validate", "ping", "--canonical"], "{\"deviceId\":\"a\"}\n");
    assert!(output.status.success() && output.stdout.starts_with(b"{\"device_id\":\"a\""), "{}", words(&output));
}

#[test]
fn a_new_lake_checks_out_and_answers_with_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_datalake"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    assert!(run(&["init"]).status.success());
    let again = run(&["init"]);
    assert!(!again.status.success() && words(&again).contains("is there already"), "{}", words(&again));
    assert!(run(&["schema", "compile"]).status.success());
    assert!(words(&run(&["status"])).contains("deviceping     0"), "{}", words(&run(&["status"])));
    let Some(duckdb) = tool("duckdb") else { return };
    let duckdb = duckdb.display().to_string();
    let checked = run(&["check", "--duckdb", &duckdb]);
    assert!(
        checked.status.success() && words(&checked).contains("2 tables and 4 queries and 3 reactions are good"),
        "{}",
        words(&checked)
    );
    let output = run(&["query", "--file", "sql/devicebattery.sql", "--format", "csv", "--duckdb", &duckdb]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "device_id,sent_at,battery_level,charging\n",
        "{}",
        words(&output)
    );
}

#[test]
fn the_document_about_costs_has_the_table_that_the_program_prints() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lake-costs.md");
    let document = std::fs::read_to_string(document).unwrap();
    let house = House::new(LAKE, &all_proto());
    for arguments in [
        ["cost"].as_slice(),
        &["cost", "--interval", "900"],
        &["cost", "--reaction-hours", "720", "--report-days", "0"],
    ] {
        let output = house.run(arguments, "");
        let table = String::from_utf8(output.stdout).unwrap();
        let row = table.lines().find(|line| line.starts_with("| a report")).unwrap();
        assert!(document.contains(row), "{arguments:?}: {row}");
        assert!(arguments.len() > 1 || document.contains(&table), "{table}");
    }
    assert!(!house.run(&["cost", "--gzip", "0"], "").status.success());
    assert!(!house.run(&["cost", "-5"], "").status.success());
}

#[test]
fn the_agents_configuration_is_compared_with_the_tables() {
    let house = House::new(LAKE, &all_proto());
    let agent = r#"{"flows": [{"filePattern": "/x/*.log", "deliveryStream": "pings", "dataProcessingOptions":
        [{"optionName": "SCHEMA", "plan": "/x", "table": "pong"}]}]}"#;
    std::fs::write(house.path().join("agent.json"), agent).unwrap();
    let output = house.run(&["check"], "");
    let printed = words(&output);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("sends to the stream `ping`") && printed.contains("did you mean \"pings\"?"), "{printed}");
    assert!(printed.contains("lake.json has no table `pong`"), "{printed}");
}

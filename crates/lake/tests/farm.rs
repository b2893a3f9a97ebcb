//! The example that `datalake init` writes, whole: signs of life by the hour, the current battery of all devices after
//! each object, the chart of the week, and a step in Python.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;

use house::{duckdb, tool, tree, unpacked, words};
use std::path::Path;
use std::process::{Command, Output};

fn datalake(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datalake"));
    command.args(arguments).current_dir(home).env("XDG_CACHE_HOME", home.join("cache")).output().unwrap()
}

fn text(folder: &Path) -> String {
    tree(folder).into_values().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn the_current_battery_of_all_devices_is_kept_drawn_and_worked_on_after_each_object() {
    let (Some(duckdb), Some(_)) = (duckdb(), tool("python3")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    assert!(datalake(home, &["init"]).status.success());
    assert!(datalake(home, &["schema", "compile"]).status.success());
    let react = || {
        let output = datalake(home, &["react", "--once", "--duckdb", &duckdb.display().to_string()]);
        assert!(output.status.success(), "{}", words(&output));
    };
    let object = |hour: &str, lines: &str| {
        let folder = home.join(format!("lake/raw/v0/deviceping/dt={hour}"));
        datalake::engine::objects::write(&folder.join("deviceping-1.gz"), lines.as_bytes()).unwrap();
    };
    let battery = |hour: &str| {
        let found = tree(&home.join(format!("lake/processed/v0/devicebattery/dt={hour}")));
        assert_eq!(found.len(), 1, "one result for one object");
        unpacked(found.values().next().unwrap())
    };
    object(
        "2026-03-09-07",
        "{\"device_id\":\"barn\",\"sent_at\":\"2026-03-09T07:05:00.000Z\",\"battery_level\":15.5,\"charging\":false}\n\
         {\"device_id\":\"gate\",\"sent_at\":\"2026-03-09T07:10:00.000Z\",\"battery_level\":90,\"charging\":true}\n",
    );
    react();
    // A ping without time or level, and a line that is no JSON, stopped the reports for ever.
    // The barn says nothing in the second hour, and is in its report all the same.
    object(
        "2026-03-09-08",
        "{\"device_id\":\"gate\",\"sent_at\":\"2026-03-09T08:10:00.000Z\",\"battery_level\":88,\"charging\":false}\n\
         {\"device_id\":\"gate\",\"sent_at\":\"2026-03-09T08:05:00.000Z\",\"battery_level\":89,\"charging\":false}\n\
         {\"device_id\":\"gate\",\"sent_at\":\"2026-03-09T08:20:00.000Z\",\"battery_level\":null,\"charging\":false}\n\
         {\"device_id\":\"new\",\"battery_level\":5,\"charging\":false}\nno JSON at all\n",
    );
    react();
    assert_eq!(
        battery("2026-03-09-08"),
        "{\"device_id\":\"barn\",\"sent_at\":\"2026-03-09T07:05:00.000Z\",\"battery_level\":15.5,\"charging\":false}\n\
         {\"device_id\":\"gate\",\"sent_at\":\"2026-03-09T08:10:00.000Z\",\"battery_level\":88.0,\"charging\":false}\n"
    );
    assert!(battery("2026-03-09-07").contains("\"gate\",\"sent_at\":\"2026-03-09T07:10"));
    let chart = std::fs::read_to_string(home.join("lake/charts/battery.svg")).unwrap();
    assert!(chart.contains("<title>barn") && chart.contains("<title>gate") && chart.contains("100%"), "{chart}");
    let report = text(&home.join("lake/reports/low/dt=2026-03-09-08"));
    assert_eq!(report, "1 of 2 devices are below 20 %\nbarn: 15.5 % at 2026-03-09T07:05:00.000Z\n");
    let before = tree(home);
    react();
    assert_eq!(tree(home), before, "without news no byte is written");
    let checked = datalake(home, &["check", "--duckdb", &duckdb.display().to_string()]);
    assert!(words(&checked).contains("2 tables and 4 queries and 3 reactions are good"), "{}", words(&checked));
}

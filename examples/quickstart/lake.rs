//! The lake behind the quick start: a schema, its plan for the agent, and SQL on what arrived.
//! Promises that everything but the answers works without DuckDB, and to say the one command that brings it.
//! Leaves the work to `datalake`, which is built when it is not there yet: the quick start itself stays without it.

use crate::Outcome;
use crate::words::say;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The stream and the table.
pub(crate) const TABLE: &str = "ping";

const LAKE: &str = r#"{
  "name": "quickstart",
  "protos": ["schema"],
  "folder": "lake",
  "tables": {"ping": {"message": "farm.v1.DevicePing", "stream": "ping", "prefix": "raw/v0/ping/"}}
}
"#;
const PROTO: &str = r#"syntax = "proto3";
package farm.v1;

// One sign of life of a device.
message DevicePing {
  // Out of the topic.
  string device_id = 1;
  // In percent.
  double battery = 2;
  bool charging = 3;
}
"#;
const QUERIES: [(&str, &str); 2] = [
    (
        "battery.sql",
        "SELECT device_id, count(*) AS pings, min(battery) AS lowest, max(battery) AS highest\nFROM ping\n\
         WHERE device_id IS NOT NULL\nGROUP BY device_id\nORDER BY device_id\n",
    ),
    (
        "hours.sql",
        "SELECT dt, count(*) AS pings, count(DISTINCT device_id) AS devices\nFROM ping\nGROUP BY dt\nORDER BY dt\n",
    ),
];

/// The program, and where the lake's files are.
pub(crate) struct Sql {
    program: PathBuf,
    home: PathBuf,
}

impl Sql {
    /// Writes the lake's files below the folder, and compiles the plan.
    pub(crate) fn prepare(home: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(home.join("schema"))?;
        std::fs::create_dir_all(home.join("sql"))?;
        std::fs::write(home.join("lake.json"), LAKE)?;
        std::fs::write(home.join("schema/farm.proto"), PROTO)?;
        for (name, query) in QUERIES {
            std::fs::write(home.join("sql").join(name), query)?;
        }
        let sql = Self { program: program()?, home: home.to_owned() };
        let (success, words) = sql.run(&["schema", "compile"])?;
        if !success {
            return Err(format!("the schema cannot be compiled:\n{words}").into());
        }
        say("schema: quickstart-data/schema/farm.proto, compiled into the plan that the agent checks messages by");
        Ok(sql)
    }

    /// What the agent does with each message.
    pub(crate) fn options(&self) -> Outcome<Value> {
        let plan = self.home.join("lake.plan.json");
        let plan = plan.to_str().ok_or("the name of this folder is not UTF-8; start it in another one")?;
        Ok(json!([{"optionName": "SCHEMA", "plan": plan, "table": TABLE}]))
    }

    /// Asks the queries and shows the answers.
    pub(crate) fn show(&self) -> Outcome<()> {
        let (_, words) = self.run(&["status"])?;
        say("");
        say(words.trim_end());
        for (name, query) in QUERIES {
            let path = format!("sql/{name}");
            let (success, words) = self.run(&["query", "--file", &path])?;
            say("");
            if !success {
                say(words.trim_end());
                break;
            }
            say(query.trim_end());
            say(words.trim_end());
        }
        say("");
        say("try your own");
        say(format_args!(
            "  (cd {} && {} query \"SELECT * FROM {TABLE} LIMIT 5\")",
            self.home.display(),
            self.program.display()
        ));
        Ok(())
    }

    /// Whether it succeeded, and all that it said.
    fn run(&self, arguments: &[&str]) -> Outcome<(bool, String)> {
        let output =
            Command::new(&self.program).args(arguments).current_dir(&self.home).stdin(Stdio::null()).output()?;
        let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), words))
    }
}

/// `DATALAKE` names it; else it lies beside this program's folder, where cargo is asked to put it.
fn program() -> Outcome<PathBuf> {
    if let Some(given) = std::env::var_os("DATALAKE") {
        return Ok(given.into());
    }
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(Path::parent).ok_or("this program lies in no folder")?;
    let program = folder.join("datalake");
    if !program.is_file() {
        say("building `datalake`, once; about a minute");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "datalake"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err("`datalake` cannot be built; the lines above say why".into());
        }
    }
    Ok(program)
}

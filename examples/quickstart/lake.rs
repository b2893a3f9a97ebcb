//! The lake behind the quick start: a schema, its plan for the agent, SQL on what arrived, and reactions on it.
//! Promises that everything but the answers works without DuckDB, and to say the one command that brings it.
//! Leaves the work to `datalake`, which is built when it is not there yet: the quick start itself stays without it.

use crate::Outcome;
use crate::words::say;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The stream and the table.
pub(crate) const TABLE: &str = "deviceping";

/// What `datalake init` writes: the example of docs/lake.md.
const FILES: [(&str, &str); 6] = [
    ("lake.json", include_str!("../../crates/lake/farm/lake.json")),
    ("schema/farm.proto", include_str!("../../crates/lake/farm/schema/farm.proto")),
    ("sql/devicebattery.sql", include_str!("../../crates/lake/farm/sql/devicebattery.sql")),
    ("sql/week.sql", include_str!("../../crates/lake/farm/sql/week.sql")),
    ("sql/low.sql", include_str!("../../crates/lake/farm/sql/low.sql")),
    ("steps/low.py", include_str!("../../crates/lake/farm/steps/low.py")),
];
const QUERIES: [&str; 2] = [
    "SELECT device_id, count(*) AS pings, min(battery_level) AS lowest, max(battery_level) AS highest\nFROM deviceping\n\
     WHERE device_id IS NOT NULL\nGROUP BY device_id\nORDER BY device_id",
    "SELECT dt, count(*) AS pings, count(DISTINCT device_id) AS devices\nFROM deviceping\nGROUP BY dt\nORDER BY dt",
];

/// The program, and where the lake's files are.
pub(crate) struct Sql {
    program: PathBuf,
    home: PathBuf,
}

impl Sql {
    /// Writes the lake's files below the folder, and compiles the plan.
    pub(crate) fn prepare(home: &Path) -> Outcome<Self> {
        for (name, text) in FILES {
            let path = home.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(home))?;
            std::fs::write(path, text)?;
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
        let mut answers = true;
        for query in QUERIES {
            let (success, words) = self.run(&["query", query])?;
            say("");
            if !success {
                say(words.trim_end());
                answers = false;
                break;
            }
            say(query);
            say(words.trim_end());
        }
        if answers {
            self.react()?;
        }
        let (_, words) = self.run(&["status"])?;
        say("");
        say(words.trim_end());
        say("");
        say("try your own");
        say(format_args!(
            "  (cd {} && {} query \"SELECT * FROM {TABLE} LIMIT 5\")",
            self.home.display(),
            self.program.display()
        ));
        Ok(())
    }

    /// The reactions on what arrived: the current battery of all devices, the chart of the week, a step in Python.
    fn react(&self) -> Outcome<()> {
        say("");
        say("reactions on the new objects, as lake.json has them (`datalake react` waits for more)");
        let (_, words) = self.run(&["react", "--once"])?;
        say(words.trim_end());
        let query = "SELECT device_id, max(sent_at) AS sent_at, max_by(battery_level, sent_at) AS battery_level\n\
             FROM devicebattery\nGROUP BY device_id\nORDER BY device_id";
        let (_, words) = self.run(&["query", query])?;
        say("");
        say(query);
        say(words.trim_end());
        say("");
        say(format_args!("the chart of the week: {}", self.home.join("lake/charts/battery.svg").display()));
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

//! `bootstrap`: the program of both functions. `DATALAKE_ROLE` says which: `transform` (with `DATALAKE_TABLE`) or `react`.
//! lake.json, the plan and the queries lie beside it, in `LAMBDA_TASK_ROOT`.

use datalake::config::{self, Lake};
use datalake::transform;
use datalake_lambda::react::React;
use datalake_lambda::runtime::Api;
use datalake_lambda::transform::{LARGEST_RECORD, Transform};
use datalake_process::{Processor, Surroundings};
use datalake_schema::Plan;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let Ok(host) = std::env::var("AWS_LAMBDA_RUNTIME_API") else {
        say("AWS_LAMBDA_RUNTIME_API is not set: this program is started by AWS Lambda");
        return ExitCode::from(2);
    };
    let mut api = Api::new(&host);
    let root = PathBuf::from(std::env::var_os("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".into()));
    let role = std::env::var("DATALAKE_ROLE").unwrap_or_default();
    let started =
        config::load(&root.join("lake.json")).map_err(|exit| exit.to_string()).and_then(|lake| match role.as_str() {
            "transform" => start_transform(&lake).map(Role::Transform),
            "react" => react(in_the_stack(lake)).map(|(runtime, react)| Role::React(runtime, Box::new(react))),
            other => Err(format!("DATALAKE_ROLE is `{other}`; write transform or react")),
        });
    let ended = match started {
        Ok(mut role) => role.run(&mut api),
        Err(reason) => {
            say(&reason);
            api.fail_start("Datalake.Configuration", &reason)
        }
    };
    if let Err(error) = ended {
        say(&error.to_string());
    }
    ExitCode::FAILURE
}

fn say(text: &str) {
    // Nobody is left to tell when the log is gone.
    drop(writeln!(std::io::stderr().lock(), "{}", text.trim_end()));
}

enum Role {
    Transform(Transform),
    React(tokio::runtime::Runtime, Box<React>),
}

fn start_transform(lake: &Lake) -> Result<Transform, String> {
    let name = std::env::var("DATALAKE_TABLE").unwrap_or_default();
    let table =
        lake.tables.get(&name).ok_or_else(|| format!("DATALAKE_TABLE is `{name}`, which is no table of lake.json"))?;
    let settings = transform::settings(lake, table)?;
    let settings = settings.ok_or_else(|| format!("the table `{name}` has no `transform`"))?;
    let surroundings = Surroundings {
        host: String::new(),
        variables: BTreeMap::new(),
        instance: None,
        max_record_bytes: LARGEST_RECORD,
    };
    let processor = Processor::new(&settings, &surroundings).map_err(|error| error.to_string())?;
    Ok(Transform::new(processor))
}

/// The stack says where its lake is; lake.json need not.
fn in_the_stack(mut lake: Lake) -> Lake {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    lake.athena.bucket = given("DATALAKE_BUCKET").or(lake.athena.bucket);
    lake.athena.workgroup = given("DATALAKE_WORKGROUP").or(lake.athena.workgroup);
    // The function is where its stack is.
    lake.athena.region = given("AWS_REGION").or(lake.athena.region);
    lake
}

fn react(lake: Lake) -> Result<(tokio::runtime::Runtime, React), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let plan = read_plan(&lake.plan)?;
    let react = runtime.block_on(React::start(lake, plan))?;
    Ok((runtime, react))
}

fn read_plan(path: &Path) -> Result<Plan, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Plan::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Role {
    /// Events, one after another, until the service cannot be reached.
    fn run(&mut self, api: &mut Api) -> std::io::Result<()> {
        loop {
            let invocation = api.wait()?;
            let answered = match self.answer(&invocation.body, invocation.deadline_ms) {
                Ok(body) => api.respond(&invocation.id, &body),
                Err(reason) => {
                    say(&reason);
                    api.fail(&invocation.id, "Datalake.Failed", &reason)
                }
            };
            // An answer that was not taken is an event that comes again.
            if let Err(error) = answered {
                say(&error.to_string());
            }
        }
    }

    fn answer(&mut self, event: &[u8], deadline_ms: u64) -> Result<Vec<u8>, String> {
        match self {
            Self::Transform(transform) => {
                let (answer, counts) = transform.answer(event).map_err(|error| error.to_string())?;
                if let Some(why) = &counts.why {
                    let all = counts.kept + counts.dropped + counts.failed;
                    say(&format!(
                        "{} of {all} records failed, {} of them for want of room; the first: {why}",
                        counts.failed, counts.no_room
                    ));
                }
                Ok(answer)
            }
            Self::React(runtime, react) => {
                let event = serde_json::from_slice(event).map_err(|error| format!("the event is no JSON: {error}"))?;
                let now = now_ms();
                let left = Duration::from_millis(deadline_ms.saturating_sub(now));
                let outcome = runtime.block_on(react.answer(&event, now, left))?;
                outcome.done.iter().for_each(|line| say(line));
                match outcome.failed.as_slice() {
                    [] => Ok(serde_json::json!({"done": outcome.done.len()}).to_string().into_bytes()),
                    failed => Err(failed.join("\n")),
                }
            }
        }
    }
}

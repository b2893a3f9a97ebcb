//! `cargo run --example quickstart -- [FILES…]`: the whole way of a line without an AWS account.
//! Promises the agent's own parts and the real SDK between the files and a Firehose endpoint on loopback, and that
//! running it again sends only what is new. Leaves the given files as they are; it writes in `quickstart-data/` only.

#[path = "quickstart/devices.rs"]
mod devices;
#[path = "quickstart/inputs.rs"]
mod inputs;
#[path = "quickstart/lake.rs"]
mod lake;
#[path = "quickstart/objects.rs"]
mod objects;
#[path = "quickstart/progress.rs"]
mod progress;
#[path = "quickstart/samples.rs"]
mod samples;
#[path = "quickstart/words.rs"]
mod words;

use datalake_agent::app::{self, Look};
use datalake_agent::config::{self, Plan};
use datalake_agent::exit::Exit;
use datalake_agent::telemetry::{self, LogFormat};
use devices::Devices;
use inputs::Inputs;
use local_lake::{Lake, Mode, Stats};
use objects::Listing;
use progress::{Goal, Totals};
use samples::Samples;
use serde_json::{Value, json};
use std::cell::{OnceCell, RefCell};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use words::{amount, count, grouped, say};

/// Any trouble ends the run; its text says what to do.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Everything that this program writes lies below this folder.
const DATA: &str = "quickstart-data";
/// How long sample logs grow unless somebody stops them sooner; `QUICKSTART_SECONDS` says otherwise.
const SAMPLES_GROW: Duration = Duration::from_secs(20);

const USAGE: &str = "\
Ships log files through the agent into a data lake in a folder; no AWS account, no network.

usage: cargo run --example quickstart -- [FILES… | --mqtt | --lake]

  FILES   logs to ship, such as /var/log/dpkg.log /var/log/*.log
          none: sample logs that grow and are rotated for 20 s
  --mqtt  simulated devices that report over MQTT for 20 s, through the mosquitto of this machine
          or, where there is none, a small broker in this program
  --lake  the same with a schema from a .proto file, SQL on what arrived, and reactions on it:
          the current battery of all devices, a chart of the week, a step in Python

Objects go to quickstart-data/lake, positions to quickstart-data/state. Ctrl-C stops at any time;
running it again goes on where it stopped.
";

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).skip_while(|argument| argument == "--");
    match quickstart(&arguments.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            writeln!(std::io::stderr().lock(), "quickstart: {trouble}").ok();
            ExitCode::FAILURE
        }
    }
}

fn quickstart(arguments: &[OsString]) -> Outcome<()> {
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        say(USAGE.trim_end());
        return Ok(());
    }
    telemetry::init(LogFormat::Text, Some("warn"))?;
    match arguments {
        [] => grow_samples(),
        [only] if only == "--mqtt" => receive_messages(false),
        [only] if only == "--lake" => receive_messages(true),
        files => ship_files(files),
    }
}

/// Ships the files that were named, and ends when they are delivered.
fn ship_files(arguments: &[OsString]) -> Outcome<()> {
    let inputs = Inputs::choose(arguments)?;
    for reason in &inputs.skipped {
        say(format_args!("skipped: {reason}"));
    }
    let data = Data::prepare("quickstart")?;
    say(format_args!("shipping {} to {DATA}/lake", count(inputs.files.len() as u64, "file")));
    let run = data.run(&json!({"filePattern": inputs.patterns()}), &Goal::Delivered(&inputs))?;
    run.tell();
    data.show(&run)
}

/// Ships logs that grow and are rotated meanwhile, and ends after a while.
fn grow_samples() -> Outcome<()> {
    let data = Data::prepare("samples")?;
    say(format_args!("shipping sample logs that grow and are rotated, {DATA}/logs, to {DATA}/lake; Ctrl-C stops"));
    let folder = data.root.join("logs");
    let pattern = format!("{}/*.log", inputs::pattern(&folder)?);
    let samples = Samples::start(&folder)?;
    let run = data.run(&json!({"filePattern": pattern}), &Goal::Grown(&samples, how_long()))?;
    let written = samples.finish()?;
    say(format_args!("written {}, rotated {}", count(written.lines, "line"), count(written.rotations, "time")));
    run.tell();
    data.show(&run)
}

fn how_long() -> Duration {
    let seconds = std::env::var("QUICKSTART_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(SAMPLES_GROW, Duration::from_secs)
}

/// Receives what simulated devices publish, and ends after a while.
fn receive_messages(with_sql: bool) -> Outcome<()> {
    let data = Data::prepare(if with_sql { lake::TABLE } else { "messages" })?;
    let sql = if with_sql { Some(lake::Sql::prepare(&data.root)?) } else { None };
    let devices = Devices::start(&data.root.join("broker"))?;
    say(format_args!("devices publish to devices/…/ping; their messages go to {DATA}/lake; Ctrl-C stops"));
    let mqtt = json!({
        "broker": format!("mqtt://127.0.0.1:{}", devices.port),
        "topics": "devices/{device_id}/ping",
        "clientId": "quickstart",
    });
    let mut source = json!({"mqtt": mqtt});
    if let Some(sql) = &sql {
        source["mqtt"]["envelope"] = json!(false);
        source["dataProcessingOptions"] = sql.options()?;
    }
    let run = data.run(&source, &Goal::Published(&devices, how_long()))?;
    let published = devices.finish()?;
    say(format_args!("published {}", count(published, "message")));
    run.tell();
    data.show(&run)?;
    sql.map_or(Ok(()), |sql| sql.show())
}

/// The folder of this program, and the stream of this run.
struct Data {
    root: PathBuf,
    stream: &'static str,
    /// Whether an earlier run left positions.
    resumes: bool,
}

/// What came of running the agent.
struct Run {
    totals: Totals,
    lake: Stats,
    took: Duration,
    /// It ended because all was done, not because of Ctrl-C.
    complete: bool,
    /// The objects of earlier runs.
    before: Listing,
    resumed: bool,
}

impl Data {
    fn prepare(stream: &'static str) -> Outcome<Self> {
        let root = std::env::current_dir()?.join(DATA);
        std::fs::create_dir_all(&root).map_err(|error| {
            format!("cannot make {}: {error}; start it in a folder that you may write to", root.display())
        })?;
        let resumes = root.join("state/checkpoint.db").exists();
        if resumes {
            say(format_args!("resuming: {DATA}/state knows what earlier runs delivered; remove {DATA} to begin anew"));
        }
        Ok(Self { root, stream, resumes })
    }

    /// Runs lake and agent until the goal is reached or a signal comes.
    fn run(&self, source: &Value, goal: &Goal<'_>) -> Outcome<Run> {
        let root = self.root.join("lake");
        let before = Listing::of(&root)?;
        let lake = Lake::builder().mode(Mode::Lake).root(&root).start_blocking();
        let lake = lake.map_err(|error| format!("cannot start the lake in {}: {error}", root.display()))?;
        let plan = self.plan(source, &lake)?;
        let (begun, looks, reached) = (Instant::now(), OnceCell::new(), RefCell::new(None));
        let exit = app::run_until(plan, |flows: Vec<Look>| {
            let flows = looks.get_or_init(|| flows);
            async {
                let end = progress::follow(flows, &lake, goal).await;
                *reached.borrow_mut() = Some(end);
            }
        });
        let took = begun.elapsed();
        progress::end_line();
        let totals = Totals::of(looks.get().map_or(&[], Vec::as_slice));
        let lake = lake.stop_blocking().map_err(|error| format!("an object could not be written: {error}"))?;
        if exit != Exit::Success {
            return Err(format!("the agent ended with exit code {}; the lines above say why", exit.code()).into());
        }
        let complete = reached.into_inner().transpose()?.is_some();
        Ok(Run { totals, lake, took, complete, before, resumed: self.resumes })
    }

    /// The plan as the daemon would make it out of its configuration file.
    fn plan(&self, source: &Value, lake: &Lake) -> Outcome<Plan> {
        let state = self.root.join("state");
        let state = state.to_str().ok_or("the name of this folder is not UTF-8; start it in another one")?;
        let mut flow = json!({"deliveryStream": self.stream, "maxBufferAgeMillis": 500});
        for (key, value) in source.as_object().into_iter().flatten() {
            flow[key] = value.clone();
        }
        if flow["mqtt"].is_null() {
            flow["initialPosition"] = json!("START_OF_FILE");
        }
        let text = json!({
            "stateDirectory": state,
            "region": "us-east-1",
            "firehose.endpoint": lake.endpoint(),
            "cloudwatch.emitMetrics": false,
            "awsAccessKeyId": "quickstart",
            "awsSecretAccessKey": "any will do, the lake knows nobody",
            "flows": [flow],
        });
        Ok(config::from_text(&[("quickstart.json", &text.to_string())]).map_err(|report| report.to_string())?)
    }

    /// Shows what lies in the lake now, and what may be tried next.
    fn show(&self, run: &Run) -> Outcome<()> {
        let lake = self.root.join("lake");
        let listing = Listing::of(&lake)?;
        say("");
        listing.print_tree(Path::new(DATA).join("lake").as_path());
        if let Some(newest) = listing.newest(self.stream, &run.before) {
            say("");
            say(format_args!("the first lines of {}", Path::new(DATA).join("lake").join(newest).display()));
            objects::print_first_lines(&lake.join(newest))?;
        }
        let this = "cargo run --example quickstart";
        say("");
        say("try next");
        say(format_args!("  {this} -- /var/log/*.log   logs of this machine"));
        say(format_args!("  {this} -- --mqtt           messages of simulated devices"));
        say(format_args!("  {this} -- --lake           the same with a schema, SQL and reactions on what arrived"));
        say("  the same command again: it resumes, and sends only what is new");
        say("  the real thing: agent.json.example has every key, docs/configuration.md explains them;");
        say("  `datalake-agent check --config agent.json` says what the agent would do, `run` does it");
        Ok(())
    }
}

impl Run {
    /// What was delivered, and what was not.
    fn tell(&self) {
        let Totals { lines, delivered, records, calls, destroyed, quarantined, .. } = self.totals;
        if self.complete && lines == 0 && self.resumed {
            say("0 new lines; everything was delivered before");
        } else {
            say(format_args!(
                "delivered {} ({}) in {:.1} s: {}, {}, {}",
                count(lines, "new line"),
                amount(delivered),
                self.took.as_secs_f64(),
                count(records, "record"),
                count(calls, "call"),
                count(self.lake.objects, "object"),
            ));
        }
        let begun = self.totals.held();
        if self.complete && begun > 0 {
            say(format_args!("{} at the end of files wait for the newline that completes their line", amount(begun)));
        }
        if !self.complete {
            say("stopped before the end; run it again to go on from here");
        }
        for (bytes, what) in [(destroyed, "destroyed before they could be read"), (quarantined, "in quarantine")] {
            if bytes > 0 {
                say(format_args!("{} bytes {what}", grouped(bytes)));
            }
        }
    }
}

//! The commands: what the operator types, and which part answers.
//! Promises that every way to end has an exit code of `exit`.
//! Leaves the work to config, app and the command's own file.

/// What is said when the agent itself is at fault.
mod bug;

/// Says whether a configuration can run.
pub mod check;

/// Moves a host of the Kinesis Agent over.
pub mod migrate;

/// What a command prints.
mod output;

/// Shows what would be sent of an input, and why the rest would not.
pub mod preview;

/// Shows and sends again what was given up on purpose.
pub mod quarantine;

/// What options could not work on, processed once more.
pub mod reprocess;

use crate::deliver::session::SessionError;
use crate::deliver::session::Settings;
use crate::exit::Exit;
use crate::migrate::Request;
use crate::telemetry::{self, LogFormat};
use crate::{app, config};
use clap::{Parser, Subcommand};
use datalake_base::shown::{shown, steers};
use output::Output;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the configuration lies unless said otherwise.
const CONFIGURATION: &str = "/etc/datalake/agent.json";

/// Tails log files and streams them into Amazon Data Firehose and Kinesis Data Streams, losing nothing.
#[derive(Debug, Parser)]
#[command(name = "datalake-agent", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the agent until SIGTERM or SIGINT.
    Run {
        /// The configuration; `agent.d/*.json` beside it is read too.
        #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
        config: PathBuf,
        /// How the log is written: `auto`, `text`, `json` or `journal`.
        #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = str::parse::<LogFormat>)]
        log_format: LogFormat,
        /// What is logged: `error`, `warn`, `info`, `debug`; `$DATALAKE_LOG` where it is not given.
        #[arg(long, value_name = "LEVEL")]
        log_level: Option<String>,
    },
    /// Shows or sends again what the service refused for good, and what no option could work on.
    Quarantine {
        #[command(subcommand)]
        act: QuarantineAct,
    },
    /// Moves a host of the Kinesis Agent over: configuration and saved positions. Writes nothing without --write.
    Migrate(Migrate),
    /// Shows lines beside what would be sent of them, and why the rest would not; sends nothing.
    Preview {
        /// The configuration; `agent.d/*.json` beside it is read too.
        #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
        config: PathBuf,
        /// The flow whose options are applied; needed where the file does not tell.
        #[arg(long, value_name = "NAME")]
        flow: Option<String>,
        /// So many records are shown.
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        records: u64,
        /// The lines; standard input where it is left out or `-`.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Says whether the configuration can run, and what it would do; touches nothing.
    Check {
        /// The configuration; `agent.d/*.json` beside it is read too.
        #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Migrate {
    /// The Kinesis Agent's folder, or its main file; `agent.d` beside that is read too.
    #[arg(long, value_name = "PATH", default_value = "/etc/aws-kinesis")]
    from: PathBuf,
    /// The Kinesis Agent's database of positions, where its configuration does not name it.
    #[arg(long, value_name = "FILE", conflicts_with = "without_checkpoints")]
    checkpoints: Option<PathBuf>,
    /// Moves the configuration alone; `initialPosition` then decides where reading begins.
    #[arg(long)]
    without_checkpoints: bool,
    /// Where the new configuration goes; fragments go into `agent.d` beside it.
    #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
    config: PathBuf,
    /// A state folder other than the usual one.
    #[arg(long, value_name = "FOLDER")]
    state_directory: Option<PathBuf>,
    /// Writes the configuration and the positions.
    #[arg(long)]
    write: bool,
    /// With --write: writes although some flows cannot move; those stay with the Kinesis Agent.
    #[arg(long, requires = "write")]
    leave_out: bool,
    /// Reads beside the running Kinesis Agent and compares positions; sends and writes nothing.
    #[arg(long, conflicts_with = "write")]
    shadow: bool,
    /// How long --shadow reads at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u32,
}

#[derive(Debug, Subcommand)]
enum QuarantineAct {
    /// Lists the records that wait.
    List {
        /// The configuration, for the state folder.
        #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
        config: PathBuf,
        /// Only those for this stream.
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
    },
    /// Sends the records that wait again and removes those that are accepted.
    Replay {
        /// The configuration, for the state folder, the endpoint and the credentials.
        #[arg(long, value_name = "FILE", default_value = CONFIGURATION)]
        config: PathBuf,
        /// Only those for this stream.
        #[arg(long, value_name = "NAME")]
        stream: Option<String>,
        /// Sends records that an option could not work on as they came in, instead of processing them once more.
        #[arg(long)]
        raw: bool,
    },
}

/// Does what the command line says. A panic is a bug: it is said in one line and ends with an exit code of its own.
#[must_use]
pub fn main() -> Exit {
    std::panic::set_hook(Box::new(bug::report));
    std::panic::catch_unwind(dispatch).unwrap_or(Exit::Software)
}

fn dispatch() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error),
    };
    match arguments.command {
        Command::Run { config, log_format, log_level } => run(&config, log_format, log_level.as_deref()),
        Command::Check { config } => {
            let mut out = Output::new(io::stdout());
            let exit = check::check(&config, &mut out);
            out.finish(exit)
        }
        Command::Preview { config, flow, records, file } => {
            let request = preview::Request { flow: flow.as_deref(), file: file.as_deref(), records };
            show(&config, request)
        }
        Command::Quarantine { act } => quarantine(act),
        Command::Migrate(arguments) => moved(arguments),
    }
}

/// Help that was asked for, or what is wrong with the command line.
fn answer(error: &clap::Error) -> Exit {
    let text = without_forgery(error.render().to_string(), std::env::args_os());
    if error.use_stderr() {
        complain(&text);
        return Exit::Usage;
    }
    let mut out = Output::new(io::stdout());
    out.write_all(text.as_bytes()).ok();
    out.finish(Exit::Success)
}

/// The text with each argument that it repeats made safe to print, newlines included.
fn without_forgery(mut text: String, arguments: impl Iterator<Item = OsString>) -> String {
    for argument in arguments {
        let whole = argument.to_string_lossy();
        for part in [Some(&*whole), whole.split_once('=').map(|(_, value)| value)].into_iter().flatten() {
            if part.chars().any(steers) {
                text = text.replace(part, &shown(part).to_string());
            }
        }
    }
    text
}

/// Says on stderr what stands in the way.
fn complain(text: &str) {
    let mut out = Output::new(io::stderr());
    out.write_all(text.as_bytes()).ok();
    // Nobody is left to be told when stderr is gone too.
    let _exit = out.finish(Exit::Success);
}

fn show(config: &Path, request: preview::Request<'_>) -> Exit {
    match config::load(config) {
        Ok(plan) => {
            let (mut out, mut complaints) = (Output::new(io::stdout()), Output::new(io::stderr()));
            let exit = preview::run(&plan, request, &mut out, &mut complaints);
            let _said = complaints.finish(exit);
            out.finish(exit)
        }
        Err(report) => {
            complain(&report.to_string());
            Exit::Configuration
        }
    }
}

fn run(config: &Path, format: LogFormat, level: Option<&str>) -> Exit {
    if let Err(error) = telemetry::init(format, level) {
        complain(&format!("datalake-agent: {error}\n"));
        return Exit::Usage;
    }
    app::keep_to_ourselves();
    let exit = match config::load(config) {
        Ok(plan) => app::run(&plan),
        Err(report) => {
            complain(&report.to_string());
            Exit::Configuration
        }
    };
    telemetry::flush();
    exit
}

/// What is sent again, and as whom: all at once, or stream by stream where flows have regions or roles of their own.
fn replays(plan: &config::Plan, only: Option<String>) -> Vec<(Settings, Option<String>)> {
    if plan.flows.iter().all(|flow| plan.session_of(flow) == plan.session) {
        return vec![(plan.session.clone(), only)];
    }
    let mut replays: Vec<(Settings, Option<String>)> = Vec::new();
    for flow in plan.flows.iter().filter(|flow| only.as_ref().is_none_or(|only| *only == flow.batch.stream)) {
        let stream = Some(flow.batch.stream.clone());
        if !replays.iter().any(|(_, known)| *known == stream) {
            replays.push((plan.session_of(flow), stream));
        }
    }
    replays
}

fn moved(arguments: Migrate) -> Exit {
    let act = migrate::Act {
        write: arguments.write,
        leave_out: arguments.leave_out,
        shadow: arguments.shadow.then(|| Duration::from_secs(arguments.patience.into())),
    };
    let request = Request {
        from: arguments.from,
        checkpoints: arguments.checkpoints,
        without_checkpoints: arguments.without_checkpoints,
        config: arguments.config,
        state_directory: arguments.state_directory,
    };
    let mut out = Output::lasting(io::stdout());
    let exit = migrate::migrate(&request, act, &mut out);
    out.finish(exit)
}

fn quarantine(act: QuarantineAct) -> Exit {
    let (QuarantineAct::List { ref config, .. } | QuarantineAct::Replay { ref config, .. }) = act;
    let plan = match config::load(config) {
        Ok(plan) => plan,
        Err(report) => {
            complain(&report.to_string());
            return Exit::Configuration;
        }
    };
    match act {
        QuarantineAct::List { stream, .. } => {
            let mut out = Output::new(io::stdout());
            let listed = quarantine::list(&plan.state_directory, stream.as_deref(), &mut out).map(|_waiting| ());
            out.finish(ended(listed))
        }
        QuarantineAct::Replay { stream, raw, .. } => {
            let mut out = Output::lasting(io::stdout());
            let exit = replay(&plan, stream, raw, &mut out);
            out.finish(exit)
        }
    }
}

/// Sends what waits again, as the plan says.
fn replay(plan: &config::Plan, stream: Option<String>, raw: bool, out: &mut (dyn Write + Send)) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(quarantine::CommandError::Io(error))),
    };
    let mut reprocess = match runtime.block_on(reprocess::Reprocess::prepared(&plan.flows, raw)) {
        Ok(reprocess) => reprocess,
        Err(error) => {
            complain(&format!("datalake-agent: {error}; or replay with --raw\n"));
            return Exit::Configuration;
        }
    };
    ended(runtime.block_on(async {
        let failed = |error: SessionError| io::Error::other(error.to_string());
        for (settings, stream) in replays(plan, stream) {
            let firehose = app::firehose(&settings).await.map_err(failed)?;
            let kinesis = app::kinesis(&settings).await.map_err(failed)?;
            let services = (&firehose, &kinesis);
            quarantine::replay(&plan.state_directory, stream.as_deref(), &mut reprocess, services, out).await?;
        }
        Ok(())
    }))
}

/// The exit code of a command about the quarantine. A reader who hung up has seen enough.
fn ended(done: Result<(), quarantine::CommandError>) -> Exit {
    match done {
        Ok(()) => Exit::Success,
        Err(quarantine::CommandError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => {
            complain(&format!("datalake-agent: {error}\n"));
            Exit::InputOutput
        }
    }
}

//! The command line: what can be typed, and the help about it.
//! Promises that every option is described where it is, with examples, exit codes, files and the environment.
//! Leaves doing it to the commands.

use super::quarantine::Selection;
use crate::telemetry::LogFormat;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Where the configuration lies unless something else is said.
pub(super) const CONFIGURATION: &str = "/etc/datalake/agent.json";
/// The variable that says something else.
const CONFIGURATION_VARIABLE: &str = "DATALAKE_CONFIG";

/// Version, and what it was built from.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:   ",
    env!("DATALAKE_COMMIT"),
    "\ndate:     ",
    env!("DATALAKE_DATE"),
    "\ntarget:   ",
    env!("DATALAKE_TARGET"),
    "\nfeatures: ",
    env!("DATALAKE_FEATURES"),
);

const AFTER_HELP: &str = "\
Examples:
  datalake-agent check                         is the configuration right, and which files does it match?
  datalake-agent doctor                        and does all that it needs work: DNS, TLS, credentials, streams?
  datalake-agent run                           run in the foreground; systemd starts it in the same way
  datalake-agent status                        is it delivering, how far behind is it, what is there to do?
  datalake-agent preview /var/log/app/a.log    what would be sent of these lines?
  datalake-agent quarantine summary            what did the service refuse, and why?";

const AFTER_LONG_HELP: &str = "\
Examples:
  datalake-agent check                         is the configuration right, and which files does it match?
  datalake-agent doctor                        and does all that it needs work: DNS, TLS, credentials, streams?
  datalake-agent run                           run in the foreground; systemd starts it in the same way
  datalake-agent status                        is it delivering, how far behind is it, what is there to do?
  datalake-agent preview /var/log/app/a.log    what would be sent of these lines?
  datalake-agent quarantine summary            what did the service refuse, and why?

Exit codes:
   0  done, or stopped as asked
   1  status: a flow needs the operator; shipped: not yet
   2  shipped, explain, positions reset: the agent does not know this file
   3  status: no agent runs
  64  the command line is wrong
  65  what was compared differs (migrate --shadow, preview --expect)
  69  something that the agent needs does not work (doctor)
  70  a bug in the agent; systemd starts it again
  73  the state folder cannot be made or used, or another agent holds it
  74  positions could not be saved at the stop, or a command could not read its input or write its output
  75  not everything was accepted (run --once, quarantine replay), or would be sent (preview); or nothing was reloaded
  78  the configuration is wrong

Files:
  /etc/datalake/agent.json      the configuration; agent.d/*.json beside it adds flows
  /etc/datalake/agent.env       the environment of the service
  /var/lib/datalake-agent       positions, quarantine and spools (`stateDirectory`)

Environment:
  DATALAKE_CONFIG    the configuration, where --config is not given
  DATALAKE_LOG       what is logged, where --log-level is not given
  DATALAKE_TAILER    `thread`: reads files on a thread of its own, as it does by itself on network filesystems; for disks
                     that block for seconds
  NO_COLOR           no colours, whatever its value
  AWS_*              credentials, region, profile and certificates, as every AWS SDK reads them
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY
                     the proxy on the way to the service

Documentation: /usr/share/doc/datalake-agent";

/// Streams log files and MQTT messages into Amazon Data Firehose and Kinesis Data Streams, losing nothing.
#[derive(Debug, Parser)]
#[command(
    name = "datalake-agent",
    bin_name = "datalake-agent",
    version,
    long_version = LONG_VERSION,
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP
)]
pub(super) struct Arguments {
    /// The configuration; `agent.d/*.json` beside it is read too.
    #[arg(long, global = true, value_name = "FILE", env = CONFIGURATION_VARIABLE, hide_env_values = true, default_value = CONFIGURATION)]
    pub(super) config: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the agent until SIGTERM, SIGINT or SIGQUIT.
    #[command(after_help = "\
Examples:
  datalake-agent run --config agent.json --log-level debug
  DATALAKE_LOG=warn,datalake_agent::source=debug datalake-agent run")]
    Run {
        /// The form of the log: `auto`, `text`, `json` or `journal`.
        #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = str::parse::<LogFormat>)]
        log_format: LogFormat,
        /// What is logged: `error`, `warn`, `info`, `debug`; without it, what `$DATALAKE_LOG` says.
        #[arg(long, value_name = "LEVEL")]
        log_level: Option<String>,
        /// Reads everything that matches to its end, delivers it, and ends: 0 when all was accepted.
        #[arg(long)]
        once: bool,
    },
    /// Says whether the configuration can run, and what it would do; touches nothing.
    #[command(after_help = "\
Examples:
  datalake-agent check
  datalake-agent check new.json --deny-warnings && mv new.json /etc/datalake/agent.json
  datalake-agent check --json | jq '.flows[].files'")]
    Check(Check),
    /// Checks, and asks the outside: DNS, TLS, proxy, clock, credentials, streams; sends no record.
    #[command(after_help = "\
Examples:
  datalake-agent doctor
  datalake-agent doctor --json | jq '.probes[] | select(.outcome != \"ok\")'

Ends with 69 when something that the agent needs does not work.")]
    Doctor(Check),
    /// Says how flows and files stand: from the running agent, or from what a stopped one saved.
    #[command(after_help = "\
Exit codes:
   0  the agent runs, and no flow needs you
   1  a flow is paused or stalled: its line says why and what to do
   3  no agent runs
  74  it cannot be asked, or what it saved cannot be read

Examples:
  datalake-agent status --watch
  datalake-agent status --files --flow app
  datalake-agent status --json | jq '.flows[] | {name, state, behindBytes}'")]
    Status(Status),
    /// Has the running agent read its configuration again, waits, and says what became of it.
    #[command(after_help = "\
All of the new configuration is applied, or nothing: 78 when it is wrong, 75 when it needs a restart, when no agent runs or
when there is no outcome in time.

Examples:
  datalake-agent check && datalake-agent reload
  systemctl reload datalake-agent")]
    Reload {
        /// Maximum time to wait for the outcome, in seconds; the reload goes on without us.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        wait: u32,
    },
    /// Says whether everything that files hold was accepted, so that they may be rotated or deleted.
    ///
    /// The bytes of each file are compared with those that were sent: a rotated file, a copy and an archive count as the
    /// file that was read. Records that the service refuses for good, and that are kept in the quarantine, count as accepted,
    /// as do those that the options drop.
    #[command(after_help = "\
Exit codes:
   0  every byte that the files had at the call was accepted
   1  not yet
   2  the agent does not read one of the files, or it is not there
  74  the agent cannot be asked, or a file cannot be read

Examples:
  datalake-agent shipped /var/log/app/app.log.1 && rm /var/log/app/app.log.1
  datalake-agent shipped --wait 60 /var/log/app/*.log
  datalake-agent shipped --all --wait 20 --whole-lines      before a node goes away")]
    Shipped(Shipped),
    /// Says why a file is read or not, how far, and what became of it.
    #[command(after_help = "\
Exit codes:
   0  a flow reads it
   2  none does

Example:
  datalake-agent explain /var/log/app/app.log")]
    Explain {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Shows what is saved of each file, or forgets it.
    Positions {
        #[command(subcommand)]
        act: PositionsAct,
    },
    /// Shows what a flow sends now, until Ctrl-C. Calls that come too fast are counted, not shown.
    #[command(after_help = "\
Examples:
  datalake-agent tap app
  datalake-agent tap app --records 10")]
    Tap {
        /// The flow.
        #[arg(value_name = "FLOW")]
        flow: String,
        /// Ends after this number of records.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        records: Option<u64>,
    },
    /// Shows lines beside what would be sent of them, and why the rest would not; sends nothing.
    #[command(after_help = "\
Examples:
  datalake-agent preview --flow app /var/log/app/today.log
  tail -n 5 /var/log/app/today.log | datalake-agent preview --flow app
  datalake-agent preview --flow app samples.log > expected.txt    and then, whenever options change:
  datalake-agent preview --flow app samples.log --expect expected.txt

Ends with 75 when a record would not be sent, with 65 when --expect finds a difference.")]
    Preview {
        /// The flow whose options are applied; needed where the file does not tell.
        #[arg(long, value_name = "NAME")]
        flow: Option<String>,
        /// The maximum number of records to show; 100, or all with --expect.
        #[arg(long, value_name = "COUNT")]
        records: Option<u64>,
        /// Compares instead of showing: with what this command printed before, or with the lines that are to be sent.
        #[arg(long, value_name = "FILE")]
        expect: Option<PathBuf>,
        /// The lines; standard input where it is left out or `-`.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Shows, exports, drops or sends again what the service refused for good, and what no option could work on.
    Quarantine {
        #[command(subcommand)]
        act: QuarantineAct,
    },
    /// Says what flows or files cost a month: each line a record, packed, compressed; sends nothing.
    #[command(after_help = "\
Examples:
  datalake-agent estimate                          all flows, by the size and age of their files
  datalake-agent estimate --minutes 10 app         one flow, by what is written in ten minutes
  datalake-agent estimate --hosts 200 app
  datalake-agent estimate /var/log/app/today.log   a file, with or without a configuration

Ends with 74 when there was no line to estimate from.")]
    Estimate(Estimate),
    /// Prints the least IAM policy that the configuration needs.
    #[command(after_help = "\
Examples:
  datalake-agent iam-policy --account 111122223333 > policy.json
  aws iam put-role-policy --role-name log-hosts --policy-name agent --policy-document file://policy.json")]
    IamPolicy {
        /// The policy of a role that flows assume, instead of that of the agent's own credentials.
        #[arg(long, value_name = "ARN")]
        role: Option<String>,
        /// The account of the streams; any account, where it is left out and no role names it.
        #[arg(long, value_name = "ID", value_parser = account)]
        account: Option<String>,
        /// Allows what `doctor` asks too.
        #[arg(long)]
        doctor: bool,
    },
    /// Moves a host of the Kinesis Agent over: configuration and saved positions. Writes nothing without --write.
    #[command(after_help = "\
Examples:
  datalake-agent migrate            a dry run: the new configuration, and what differs
  datalake-agent migrate --shadow   read beside the running Kinesis Agent and compare
  datalake-agent migrate --write    write the configuration and the positions")]
    Migrate(Migrate),
    /// Prints the completions of the command line for a shell.
    #[command(after_help = "\
Example:
  datalake-agent completions bash > /usr/share/bash-completion/completions/datalake-agent")]
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    #[command(after_help = "\
Example:
  datalake-agent man > datalake-agent.1 && man ./datalake-agent.1")]
    Man,
}

/// How the configuration is judged.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The configuration, in place of --config.
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Fails on warnings too.
    #[arg(long)]
    pub(super) deny_warnings: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// What is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// Only this flow.
    #[arg(long, value_name = "NAME")]
    pub(super) flow: Option<String>,
    /// Each file too: position, size, age, links.
    #[arg(long)]
    pub(super) files: bool,
    /// Prints one JSON object; with --watch, one a line.
    #[arg(long)]
    pub(super) json: bool,
    /// Shows it every two seconds, until Ctrl-C.
    #[arg(long)]
    pub(super) watch: bool,
}

/// What an estimate is made of.
#[derive(Debug, clap::Args)]
pub(super) struct Estimate {
    /// Names of flows, or files; all flows, where it is left out.
    #[arg(value_name = "FLOW|FILE")]
    pub(super) of: Vec<PathBuf>,
    /// Watches what is written for this long, instead of going by the age of the files.
    #[arg(long, value_name = "N", value_parser = minutes)]
    pub(super) minutes: Option<Duration>,
    /// The number of hosts that write as much as this one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) hosts: u32,
    /// Prints one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// A number of minutes, whole or not, up to a day.
fn minutes(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map(|minutes| minutes * 60.0).ok().filter(|it| (0.1..=86_400.0).contains(it));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write a number of minutes, such as 10, up to 1440".to_owned())
}

/// The number of an AWS account.
fn account(text: &str) -> Result<String, String> {
    let good = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if good { Ok(text.to_owned()) } else { Err("an AWS account is a number of 12 digits".to_owned()) }
}

/// Which files, and how long "not yet" is no answer.
#[derive(Debug, clap::Args)]
pub(super) struct Shipped {
    /// The files.
    #[arg(value_name = "FILE", required_unless_present = "all", conflicts_with = "all")]
    pub(super) files: Vec<PathBuf>,
    /// Every file that the agent follows.
    #[arg(long)]
    pub(super) all: bool,
    /// Only for this flow.
    #[arg(long, value_name = "NAME")]
    pub(super) flow: Option<String>,
    /// Waits for this time until all is accepted.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(super) wait: u32,
    /// A last line without its end does not count; without this it is "not yet".
    #[arg(long)]
    pub(super) whole_lines: bool,
}

/// What to do with saved positions.
#[derive(Debug, Subcommand)]
pub(super) enum PositionsAct {
    /// Lists them.
    List {
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Forgets them, so that the files are read again from their beginning. Says what that means; changes nothing without
    /// --yes, for which the agent must be stopped.
    #[command(after_help = "\
Exit codes:
   0  done, or said
   2  nothing is saved of these files
  73  an agent runs: stop it first

Example:
  systemctl stop datalake-agent && datalake-agent positions reset /var/log/app/app.log --yes")]
    Reset {
        /// Those of these files.
        #[arg(value_name = "FILE", required_unless_present = "flow")]
        files: Vec<PathBuf>,
        /// All of this flow, or only those of its files that are named.
        #[arg(long, value_name = "NAME")]
        flow: Option<String>,
        /// Does it.
        #[arg(long)]
        yes: bool,
    },
}

/// How a host moves over.
#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// The Kinesis Agent's folder, or its main file; `agent.d` beside that is read too.
    #[arg(long, value_name = "PATH", default_value = "/etc/aws-kinesis")]
    pub(super) from: PathBuf,
    /// The Kinesis Agent's database of positions, where its configuration does not name it.
    #[arg(long, value_name = "FILE", conflicts_with = "without_checkpoints")]
    pub(super) checkpoints: Option<PathBuf>,
    /// Moves the configuration alone; `initialPosition` then decides where reading begins.
    #[arg(long)]
    pub(super) without_checkpoints: bool,
    /// A state folder other than the usual one.
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_directory: Option<PathBuf>,
    /// Writes the configuration (to --config) and the positions.
    #[arg(long)]
    pub(super) write: bool,
    /// With --write: writes although some flows cannot move; those stay with the Kinesis Agent.
    #[arg(long, requires = "write")]
    pub(super) leave_out: bool,
    /// Reads beside the running Kinesis Agent and compares positions; sends and writes nothing.
    #[arg(long, conflicts_with = "write")]
    pub(super) shadow: bool,
    /// The maximum time that --shadow reads.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(super) patience: u32,
}

/// What to do with quarantined records.
#[derive(Debug, Subcommand)]
pub(super) enum QuarantineAct {
    /// Lists the records that wait, one a line.
    List {
        #[command(flatten)]
        selection: Selection,
        /// Prints one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Sums up the records that wait by stream, flow and reason.
    Summary {
        #[command(flatten)]
        selection: Selection,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Copies the records that wait into a file or to standard output, byte for byte; they stay.
    #[command(after_help = "\
Examples:
  datalake-agent quarantine export --code processing bad-lines.log
  datalake-agent quarantine export --code processing | datalake-agent preview --flow app
  datalake-agent quarantine export --json | jq -r .data | base64 -d")]
    Export {
        #[command(flatten)]
        selection: Selection,
        /// Writes one JSON object a line, with origin, reason, and the data in base64.
        #[arg(long)]
        json: bool,
        /// A file that does not exist yet; standard output where it is left out.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Removes records that wait, for good; says only what it would remove, unless --yes is given.
    #[command(after_help = "\
Examples:
  datalake-agent quarantine drop --stream logs --code InvalidArgumentException
  datalake-agent quarantine drop --stream logs --code InvalidArgumentException --yes")]
    Drop {
        #[command(flatten)]
        selection: Selection,
        /// Removes damaged lines too, which are no records any more.
        #[arg(long)]
        damaged: bool,
        /// Does it.
        #[arg(long)]
        yes: bool,
    },
    /// Sends the records that wait again and removes those that are accepted; ends with 75 when some are left.
    Replay {
        #[command(flatten)]
        selection: Selection,
        /// Sends records that an option could not work on as they came in, instead of processing them once more.
        #[arg(long)]
        raw: bool,
        /// Prints one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

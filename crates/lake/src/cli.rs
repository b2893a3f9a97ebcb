//! The commands of `datalake`.
//! Promises exit code 0 for success, 1 for what failed, 2 for a command line that is none; results on the standard
//! output and everything else on the standard error; nothing in either that steers a terminal.
//! Leaves the work to the other modules.

/// `datalake chart`.
mod chart;
/// `datalake check`.
mod check;
/// `datalake cost`.
mod cost;
/// `datalake errors`.
mod errors;
/// `datalake init`.
mod init;
/// `datalake package`.
mod package;
/// `datalake query`.
mod query;
/// `datalake react`.
mod react;
/// `datalake schema`.
mod schema;
/// `datalake serve`.
mod serve;
/// `datalake status`.
mod status;
/// `datalake template`.
mod template;
/// `datalake validate`.
mod validate;

use crate::{Exit, config};
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The lake that datalake-agent feeds: one schema, the same SQL on this machine and in Athena.
#[derive(Debug, Parser)]
#[command(name = "datalake", version, about, disable_help_subcommand = true)]
struct Arguments {
    /// The lake's configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = "lake.json")]
    lake: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a lake to begin with: lake.json, a schema, queries and reactions on new objects.
    Init {
        /// Where.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Show the tables as Glue, Athena or DuckDB have them; compile the plan for the agent; compare two plans.
    Schema(schema::Schema),
    /// Draw the answer of a query over time, as SVG.
    Chart(chart::Chart),
    /// Say whether lake.json, the schema, the queries and the agent's configuration fit together.
    Check(check::Check),
    /// Say what a lake costs in a month.
    Cost(cost::Cost),
    /// Show records that could not be delivered, and send them again.
    Errors(errors::Errors),
    /// Write the zip of the functions on AWS.
    Package(package::Package),
    /// Run one query on the folder of the lake, or in Athena.
    Query(query::Query),
    /// Do what the reactions of lake.json say, on each new object.
    React(react::React),
    /// Show tables, reactions, reports and charts on a page on this machine.
    Serve(serve::Serve),
    /// Show what lies in the lake, table by table, and which reactions wait for what.
    Status,
    /// Print the lake on AWS as one CloudFormation template.
    Template(template::Template),
    /// Show lines beside their canonical form, and what is wrong with them.
    Validate(validate::Validate),
}

/// In whose words.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dialect {
    /// The `TableInput` of Glue's CreateTable.
    Glue,
    /// CREATE EXTERNAL TABLE.
    Athena,
    /// CREATE VIEW over the folder of the lake.
    Duckdb,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let wanted = !error.use_stderr();
            // Nobody is left to tell when the terminal is gone.
            drop(error.print());
            return if wanted { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let done = match arguments.command {
        Command::Init { folder } => init::run(&folder),
        Command::Schema(command) => config::load(&arguments.lake).and_then(|lake| schema::run(&command, &lake)),
        Command::Chart(command) => config::load(&arguments.lake).and_then(|lake| chart::run(&command, &lake)),
        Command::Check(command) => config::load(&arguments.lake).and_then(|lake| check::run(&command, &lake)),
        Command::Cost(command) => cost::run(&command),
        Command::Errors(command) => config::load(&arguments.lake).and_then(|lake| errors::run(&command, &lake)),
        Command::Package(command) => {
            config::load(&arguments.lake).and_then(|lake| package::run(&command, &arguments.lake, &lake))
        }
        Command::Query(command) => config::load(&arguments.lake).and_then(|lake| query::run(&command, &lake)),
        Command::React(command) => config::load(&arguments.lake).and_then(|lake| react::run(&command, &lake)),
        Command::Serve(command) => config::load(&arguments.lake).and_then(|lake| serve::run(&command, &lake)),
        Command::Status => config::load(&arguments.lake).and_then(|lake| status::run(&lake)),
        Command::Template(command) => config::load(&arguments.lake).and_then(|lake| template::run(&command, &lake)),
        Command::Validate(command) => config::load(&arguments.lake).and_then(|lake| validate::run(&command, &lake)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            say(&exit.to_string());
            ExitCode::from(1)
        }
    }
}

/// A line for the operator, on the standard error.
fn say(text: &str) {
    // Nobody is left to tell when the standard error is gone.
    drop(writeln!(std::io::stderr().lock(), "{}", text.trim_end()));
}

/// A result, on the standard output; its reader may have stopped reading.
fn print(bytes: &[u8]) -> Result<(), Exit> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Exit::Failed(format!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}

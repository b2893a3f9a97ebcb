//! The commands: what the operator types, and which part answers.
//! Promises that every way to end has an exit code of `exit`.
//! Leaves the work to config, app and the command's own file.

/// What can be typed.
mod arguments;

/// What is said when the agent itself is at fault.
mod bug;

/// Says whether a configuration can run.
pub mod check;

/// Asks the outside too.
pub mod doctor;

/// What flows and files will cost.
pub mod estimate;

/// Moves a host of the Kinesis Agent over.
pub mod migrate;

/// The manual page and completions.
mod manual;

/// What a command prints.
mod output;

/// Why a file is read or not.
pub mod explain;

/// What is saved of each file.
pub mod positions;

/// How a command gets at the agent.
mod reach;

/// Whether a file was accepted as a whole.
pub mod shipped;

/// What a flow sends now.
pub mod tap;

/// How flows and files stand.
pub mod status;

/// What AWS must allow.
pub mod policy;

/// Shows what would be sent of an input, and why the rest would not.
pub mod preview;

/// Shows and sends again what was given up on purpose.
pub mod quarantine;

/// Asks the running agent to read its configuration again.
pub mod reload;

/// What options could not work on, processed once more.
pub mod reprocess;

use crate::exit::Exit;
use crate::migrate::Request;
use crate::telemetry::{self, LogFormat};
use crate::{app, config};
use arguments::{Arguments, Command, PositionsAct};
use clap::Parser;
use datalake_base::shown::{shown, steers};
use output::Output;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Does what the command line says. A panic is a bug: it is said in one line and ends the process, on whatever thread it
/// came up, with an exit code of its own. What a daemon is without one of its tasks, nobody has tried; started again, it
/// goes on from the positions that are saved.
#[must_use]
pub fn main() -> Exit {
    guarded(dispatch)
}

#[expect(clippy::disallowed_methods, reason = "the one place where destructors are to be left out")]
fn guarded(command: fn() -> Exit) -> Exit {
    std::panic::set_hook(Box::new(|info| {
        bug::report(info);
        std::process::exit(Exit::Software.code().into());
    }));
    command()
}

fn dispatch() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error),
    };
    let config = arguments.config;
    match arguments.command {
        Command::Run { log_format, log_level, once } => run(&config, log_format, log_level.as_deref(), once),
        Command::Check(asked) => {
            let config = asked.file.unwrap_or(config);
            check::enter_environment_of_service(&config);
            let request = check::Request { config: &config, deny_warnings: asked.deny_warnings, json: asked.json };
            printed(|out| check::check(request, out))
        }
        Command::Status(asked) => status::status(&status::Request {
            config: &config,
            flow: asked.flow.as_deref(),
            files: asked.files,
            json: asked.json,
            watch: asked.watch,
        }),
        Command::Reload { wait } => {
            let patience = Duration::from_secs(wait.into());
            printed(|out| reload::reload(&config, patience, out))
        }
        Command::Shipped(asked) => shipped::shipped(&shipped::Request {
            config: &config,
            files: &asked.files,
            all: asked.all,
            flow: asked.flow.as_deref(),
            wait: Duration::from_secs(asked.wait.into()),
            whole_lines: asked.whole_lines,
        }),
        Command::Explain { file } => explain::explain(&config, &file),
        Command::Positions { act } => match act {
            PositionsAct::List { json } => positions::list(&config, json),
            PositionsAct::Reset { files, flow, yes } => {
                positions::reset(&config, &positions::Reset { files: &files, flow: flow.as_deref(), yes })
            }
        },
        Command::Tap { flow, records } => tap::tap(&config, &flow, records),
        Command::Doctor(asked) => {
            let config = asked.file.unwrap_or(config);
            check::enter_environment_of_service(&config);
            let request = doctor::Request { config: &config, deny_warnings: asked.deny_warnings, json: asked.json };
            printed(|out| doctor::doctor(request, out))
        }
        Command::Preview { flow, records, expect, file } => {
            let (flow, file, expect) = (flow.as_deref(), file.as_deref(), expect.as_deref());
            let request = preview::Request { flow, file, records, expect };
            with_plan(&config, |plan, out, complaints| preview::run(plan, request, out, complaints))
        }
        Command::Estimate(asked) => {
            let request =
                estimate::Request { of: asked.of, watch: asked.minutes, hosts: asked.hosts, json: asked.json };
            complaining(|out, complaints| estimate::run(&config, &request, out, complaints))
        }
        Command::IamPolicy { role, account, doctor } => {
            let request = policy::Request { role, account, doctor };
            let variable = |name: &str| std::env::var(name).ok();
            with_plan(&config, |plan, out, complaints| policy::run(plan, &request, variable, out, complaints))
        }
        Command::Quarantine { act } => quarantine::run(&config, act),
        Command::Migrate(asked) => moved(asked, config),
        Command::Completions { shell } => printed(|out| manual::completions(shell, out)),
        Command::Man => printed(manual::man),
    }
}

/// Prints, and ends with the exit code that is right for what became of the output.
fn printed(print: impl FnOnce(&mut dyn Write) -> Exit) -> Exit {
    let mut out = Output::stdout();
    let exit = print(&mut out);
    out.finish(exit)
}

/// Help that was asked for, or what is wrong with the command line.
fn answer(error: &clap::Error) -> Exit {
    let text = without_forgery(error.render().to_string(), std::env::args_os());
    if error.use_stderr() {
        complain(&text);
        return Exit::Usage;
    }
    printed(|out| {
        out.write_all(text.as_bytes()).ok();
        Exit::Success
    })
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
    let mut out = Output::stderr();
    out.write_all(text.as_bytes()).ok();
    // Nobody is left to be told when stderr is gone too.
    let _exit = out.finish(Exit::Success);
}

/// Prints, and complains beside it.
fn complaining(act: impl FnOnce(&mut dyn Write, &mut dyn Write) -> Exit) -> Exit {
    let (mut out, mut complaints) = (Output::stdout(), Output::stderr());
    let exit = act(&mut out, &mut complaints);
    let _said = complaints.finish(exit);
    out.finish(exit)
}

/// The same for a command that needs a configuration that can run.
fn with_plan(config: &Path, act: impl FnOnce(&config::Plan, &mut dyn Write, &mut dyn Write) -> Exit) -> Exit {
    match config::load(config) {
        Ok(plan) => complaining(|out, complaints| act(&plan, out, complaints)),
        Err(report) => {
            complain(&report.to_string());
            Exit::Configuration
        }
    }
}

fn run(config: &Path, format: LogFormat, level: Option<&str>, once: bool) -> Exit {
    if let Err(error) = telemetry::init(format, level) {
        complain(&format!("datalake-agent: {error}\n"));
        return Exit::Usage;
    }
    app::keep_to_ourselves();
    let exit = match config::load(config) {
        Ok(plan) if once => app::run_once(plan),
        Ok(plan) => app::run(plan),
        Err(report) => {
            complain(&report.to_string());
            Exit::Configuration
        }
    };
    telemetry::flush();
    exit
}

fn moved(arguments: arguments::Migrate, config: PathBuf) -> Exit {
    let act = migrate::Act {
        write: arguments.write,
        leave_out: arguments.leave_out,
        shadow: arguments.shadow.then(|| Duration::from_secs(arguments.patience.into())),
    };
    let request = Request {
        from: arguments.from,
        checkpoints: arguments.checkpoints,
        without_checkpoints: arguments.without_checkpoints,
        config,
        state_directory: arguments.state_directory,
    };
    let mut out = Output::stdout().lasting();
    let exit = migrate::migrate(&request, act, &mut out);
    out.finish(exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The other half of the test below, in a process of its own: the hook is the process's.
    #[test]
    #[ignore = "only as a child of the other test"]
    fn child() {
        guarded(|| panic!("no such thing\n\u{1b}[2J"));
    }

    #[test]
    #[ignore = "only as a child of the other test"]
    fn child_with_a_thread() {
        guarded(|| {
            let task = std::thread::spawn(|| panic!("no such thing\n\u{1b}[2J"));
            while !task.is_finished() {
                std::thread::yield_now();
            }
            Exit::Success
        });
    }

    /// A task whose panic nobody waited for was gone, and the agent went on without it: no metrics, no answers to `status`.
    #[test]
    fn a_panic_on_any_thread_ends_with_70_and_one_line_that_is_safe_to_print() {
        for child in ["child", "child_with_a_thread"] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &format!("cli::tests::{child}"), "--ignored", "--nocapture"])
                .env_remove("RUST_BACKTRACE")
                .stdout(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8(child.stderr).unwrap();
            assert_eq!(child.status.code(), Some(70), "{said}");
            assert!(said.starts_with("datalake-agent: this is a bug in the agent, please report it: "), "{said}");
            assert!(said.contains(r"no such thing\n\x1b[2J") && said.lines().count() == 1, "{said}");
        }
    }

    #[test]
    fn what_was_typed_cannot_forge_a_line_of_the_complaint() {
        let typed = "x\n2026 ERROR forged";
        let text = without_forgery(format!("error: {typed} is unknown"), [OsString::from(typed)].into_iter());
        assert_eq!(text, "error: x\\n2026 ERROR forged is unknown");
        let text = without_forgery("error: a\tb".to_owned(), [OsString::from("--flow=a\tb")].into_iter());
        assert_eq!(text, "error: a\\tb");
    }
}

//! `datalake react`: the rules of lake.json on new objects, until it is stopped, or once.
//! Promises that it may be killed at any time.
//! Leaves the rules to `react`.

use super::say;
use crate::Exit;
use crate::config::Lake;
use crate::engine::duckdb::DuckDb;
use crate::react::Runner;
use crate::schema::protos;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct React {
    /// Answer what waits now, and end.
    #[arg(long)]
    once: bool,
    /// The `duckdb` program; else the one on PATH.
    #[arg(long, value_name = "FILE")]
    duckdb: Option<PathBuf>,
}

pub(super) fn run(command: &React, lake: &Lake) -> Result<(), Exit> {
    if lake.reactions.is_empty() {
        return Err(Exit::Failed("lake.json has no `reactions`; see docs/lake.md".to_owned()));
    }
    for reaction in lake.reactions.iter().filter(|reaction| !reaction.is_local()) {
        say(&format!("{}: left to its function on AWS; add `run` to have a program do it here", reaction.name));
    }
    let schema = protos::compile(lake)?;
    let duckdb = DuckDb::find(command.duckdb.as_deref())?;
    let runner = Runner::new(lake, &schema, duckdb)?;
    if command.once {
        let round = runner.once(&say)?;
        say(&format!("{} done, {} failed", round.done, round.failed));
        return match round.failed {
            0 => Ok(()),
            _ => Err(Exit::Failed("what failed waits; the lines above say why".to_owned())),
        };
    }
    say(&format!("{} reactions wait for new objects in {}; Ctrl-C stops", runner.rules(), lake.root.display()));
    runner.forever(&say);
    Ok(())
}

//! `datalake errors`: records that were not delivered, shown and sent again.
//! Promises that what was not taken stays.
//! Leaves sending to `errors`.

use super::{print, say};
use crate::Exit;
use crate::config::Lake;
use crate::engine::aws::Aws;
use crate::errors::{self, Found};
use clap::{Args, Subcommand};
use datalake_base::shown::shown;

/// This many objects that stay are reported with their reason.
const MOST_REASONS: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Errors {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Show objects below errors/ with their records and reasons.
    List {
        /// Only this table.
        table: Option<String>,
    },
    /// Send the records again to the stream of their table, and move their objects to errors/.replayed/.
    Replay {
        /// Only this table.
        table: Option<String>,
    },
}

pub(super) fn run(command: &Errors, lake: &Lake) -> Result<(), Exit> {
    let (Sub::List { table } | Sub::Replay { table }) = &command.command;
    if let Some(name) = table
        && !lake.tables.contains_key(name)
    {
        let known = lake.tables.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Exit::Failed(format!("there is no table `{name}` in lake.json; known are {known}")));
    }
    let found = errors::find(lake, table.as_deref());
    match command.command {
        Sub::List { .. } => list(lake, &found),
        Sub::Replay { .. } => replay(lake, &found),
    }
}

fn list(lake: &Lake, found: &[Found]) -> Result<(), Exit> {
    let (mut records, mut unread) = (0, 0);
    for one in found {
        let failed = match errors::read(&lake.root, one) {
            Ok(failed) => failed,
            // The others are listed all the same.
            Err(exit) => {
                say(&exit.to_string());
                unread += 1;
                continue;
            }
        };
        records += failed.records.len();
        let name = shown(failed.path.as_path());
        print(format!("{name}: {} records of `{}`\n", failed.records.len(), failed.table).as_bytes())?;
        for (reason, count) in &failed.reasons {
            print(format!("  {count} x {}\n", shown(reason.as_str())).as_bytes())?;
        }
        if failed.unreadable > 0 {
            print(format!("  {} lines are none of Firehose's\n", failed.unreadable).as_bytes())?;
        }
    }
    say(&format!("{records} records in {} objects", found.len() - unread));
    match unread {
        0 => Ok(()),
        _ => Err(Exit::Failed(format!("{unread} objects cannot be read; restore them, or move them away"))),
    }
}

fn replay(lake: &Lake, found: &[Found]) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let aws = Aws::connect(lake.athena.region.as_deref()).await?;
        let (mut sent, mut left) = (0, Vec::new());
        for one in found {
            let done = match errors::read(&lake.root, one) {
                Ok(failed) => errors::replay(&aws, lake, &failed).await,
                Err(exit) => Err(exit),
            };
            match done {
                Ok(records) => sent += records,
                Err(exit) => left.push(exit.to_string()),
            }
        }
        say(&format!("{sent} records of {} objects sent again", found.len() - left.len()));
        if left.is_empty() {
            return Ok(());
        }
        // Most likely they all say the same.
        let more = left.len().saturating_sub(MOST_REASONS);
        left.truncate(MOST_REASONS);
        if more > 0 {
            left.push(format!("and {more} more"));
        }
        Err(Exit::Failed(left.join("\n")))
    })
}

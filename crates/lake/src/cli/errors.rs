//! `datalake errors`: records that were not delivered, shown and sent again.
//! Promises that what was not taken stays.
//! Leaves sending to `errors`.

use super::{print, say};
use crate::config::Lake;
use crate::engine::aws::Aws;
use crate::{Exit, errors};
use clap::{Args, Subcommand};
use datalake_base::shown::shown;

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
        return Err(Exit::Failed(format!("there is no table `{name}` in lake.json")));
    }
    let found = errors::list(lake, table.as_deref())?;
    let records: usize = found.iter().map(|failed| failed.records.len()).sum();
    match command.command {
        Sub::List { .. } => {
            for failed in &found {
                print(
                    format!(
                        "{}: {} records of `{}`\n",
                        shown(failed.path.as_path()),
                        failed.records.len(),
                        failed.table
                    )
                    .as_bytes(),
                )?;
                for (reason, count) in &failed.reasons {
                    print(format!("  {count} x {}\n", shown(reason.as_str())).as_bytes())?;
                }
                if failed.unreadable > 0 {
                    print(format!("  {} lines are none of Firehose's\n", failed.unreadable).as_bytes())?;
                }
            }
            say(&format!("{records} records in {} objects", found.len()));
            Ok(())
        }
        Sub::Replay { .. } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
            runtime.block_on(async {
                let aws = Aws::connect(lake.athena.region.as_deref()).await?;
                let mut sent = 0;
                for failed in &found {
                    sent += errors::replay(&aws, lake, failed).await?;
                }
                say(&format!("{sent} records of {} objects sent again", found.len()));
                Ok(())
            })
        }
    }
}

//! `datalake schema`: tables shown, the plan compiled, plans compared.
//! Promises that a plan file is replaced whole or not at all, and that a change which breaks old objects fails.
//! Leaves all meaning to the schema.

use super::{Dialect, print, say};
use crate::config::Lake;
use crate::schema::{ddl, diff, protos};
use crate::{Exit, files};
use clap::{Args, Subcommand};
use datalake_schema::Plan;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Schema {
    /// Only this table.
    table: Option<String>,
    /// In whose words.
    #[arg(long = "as", value_enum, default_value = "athena")]
    dialect: Dialect,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Write the plan file that the agent reads.
    Compile {
        /// Where; else `plan` of lake.json.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Say what changed since a plan file was compiled; fails when old objects could not be read any more.
    Diff {
        /// The plan file of before.
        old: PathBuf,
        /// The plan file of after; else the schema as it is now.
        new: Option<PathBuf>,
    },
}

pub(super) fn run(command: &Schema, lake: &Lake) -> Result<(), Exit> {
    match &command.command {
        None => show(command, lake),
        Some(Sub::Compile { to }) => {
            let schema = protos::compile(lake)?;
            let path = to.as_ref().unwrap_or(&lake.plan);
            write_whole(path, &schema.plan.to_file())?;
            say(&format!("{} tables compiled into {}", schema.plan.tables.len(), path.display()));
            Ok(())
        }
        Some(Sub::Diff { old, new }) => {
            let old = read(old)?;
            let new = match new {
                Some(path) => read(path)?,
                None => protos::compile(lake)?.plan,
            };
            let changes = diff::compare(&old, &new);
            for change in &changes {
                print(format!("{} {}\n", if change.safe { "safe " } else { "BREAKS" }, change.text).as_bytes())?;
            }
            match changes.iter().filter(|change| !change.safe).count() {
                0 => Ok(()),
                count => {
                    Err(Exit::Failed(format!("{count} of {} changes break objects written before", changes.len())))
                }
            }
        }
    }
}

fn show(command: &Schema, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    if let Some(name) = &command.table
        && !lake.tables.contains_key(name)
    {
        let known = lake.tables.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Exit::Failed(format!("there is no table `{name}` in lake.json; known are {known}")));
    }
    let wanted = lake.tables.values().filter(|table| command.table.as_ref().is_none_or(|name| *name == table.name));
    for table in wanted {
        let text = match command.dialect {
            Dialect::Athena => ddl::athena(lake, &schema, table),
            Dialect::Duckdb => ddl::duckdb(&schema, table, true),
            Dialect::Glue => {
                serde_json::to_string_pretty(&ddl::glue(lake, &schema, table)).map_err(|error| error.to_string())?
                    + "\n"
            }
        };
        print(text.as_bytes())?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Plan, Exit> {
    let bytes = files::read(path, files::LARGEST_DOCUMENT)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Plan::parse(&bytes).map_err(|error| Exit::Failed(format!("{}: {error}", path.display())))
}

/// Writes a file beside the old one and puts it in its place.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| Exit::Failed(format!("cannot write {}: {error}", path.display())))
}

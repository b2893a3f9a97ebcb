//! `datalake package`: the zip of the functions on AWS.
//! Promises that everything in it was looked through.
//! Leaves the zip itself to `package`.

use super::say;
use crate::config::Lake;
use crate::engine::objects;
use crate::package::{Entry, zip};
use crate::schema::protos;
use crate::{Exit, react, transform};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger zips are not taken from a file by the template's command, and a function starts later by them.
const LARGEST: usize = 50 << 20;

#[derive(Debug, Args)]
pub(super) struct Package {
    /// The program of the functions; else `bootstrap` beside this program.
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
    /// The zip.
    #[arg(long, value_name = "FILE", default_value = "lake.zip")]
    to: PathBuf,
}

pub(super) fn run(command: &Package, path: &Path, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    for table in lake.tables.values() {
        transform::settings(lake, table)?;
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("lake.json".to_owned(), read(path)?);
    files.insert(name_of(lake, &lake.plan)?, schema.plan.to_file());
    for reaction in &lake.reactions {
        react::read_query(reaction)?;
        files.insert(name_of(lake, &reaction.query)?, read(&reaction.query)?);
    }
    let beside = || std::env::current_exe().ok().map(|program| program.with_file_name("bootstrap"));
    let program = command.bootstrap.clone().or_else(beside).filter(|program| program.is_file());
    let program = program.ok_or_else(|| {
        "there is no `bootstrap`, the program of the functions; build it with `cargo build --release --package datalake-lambda`, \
         or name it with --bootstrap FILE"
            .to_owned()
    })?;
    let bootstrap = read(&program)?;
    let mut entries = vec![Entry { name: "bootstrap", bytes: &bootstrap, runs: true }];
    entries.extend(files.iter().map(|(name, bytes)| Entry { name, bytes, runs: false }));
    let bytes = zip(&entries)?;
    if bytes.len() > LARGEST {
        return Err(Exit::Failed(format!("the zip has {} bytes, more than Lambda takes from a file", bytes.len())));
    }
    objects::write_plain(&command.to, &bytes)?;
    say(&format!("{} files, {} bytes in {}", entries.len(), bytes.len(), command.to.display()));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    std::fs::read(path).map_err(|error| Exit::Failed(format!("cannot read {}: {error}", path.display())))
}

/// Where a file lies below the folder of lake.json: functions find it there too.
fn name_of(lake: &Lake, path: &Path) -> Result<String, Exit> {
    let inside = path.strip_prefix(&lake.home).ok().filter(|inside| {
        inside.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
    });
    let name = inside.and_then(Path::to_str).map(|name| name.trim_start_matches("./").to_owned());
    name.ok_or_else(|| {
        Exit::Failed(format!("{} does not lie below the folder of lake.json, as functions need it", path.display()))
    })
}

//! `datalake template`: the lake on AWS as one CloudFormation template.
//! Promises to check the schema and every query before a byte is printed.
//! Leaves deploying to the AWS CLI.

use super::{print, say};
use crate::config::Lake;
use crate::schema::protos;
use crate::sql::lint;
use crate::template::{self, Options, faults};
use crate::{Exit, files, transform};
use clap::{Args, ValueEnum};
use datalake_react::hour;

#[derive(Debug, Args)]
pub(super) struct Template {
    /// Leave these out.
    #[arg(long, value_enum, value_name = "PART")]
    without: Vec<Part>,
    /// Put a stream of Kinesis before each delivery stream.
    #[arg(long)]
    kinesis: bool,
    /// Encrypt with a key of the lake's own.
    #[arg(long)]
    kms: bool,
    /// Run the functions on arm64.
    #[arg(long)]
    arm64: bool,
    /// Have Firehose convert the objects of this table to Parquet.
    #[arg(long, value_name = "TABLE")]
    parquet: Vec<String>,
    /// Make rows of this table out of messages of AWS IoT.
    #[arg(long, value_name = "TABLE=TOPIC FILTER")]
    iot: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Queries kept in Athena.
    NamedQueries,
    /// CloudWatch alarms.
    Alarms,
}

pub(super) fn run(command: &Template, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    let mut queries = Vec::new();
    for path in super::check::queries_of(lake) {
        let text = files::text(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let query = lint::check(&path.display().to_string(), &text).map_err(Exit::Faults)?;
        // Athena has nothing that stands for the hour of an object.
        if hour::has_placeholders(query) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        queries.push((name, query.to_owned()));
    }
    for table in lake.tables.values() {
        transform::settings(lake, table)?;
    }
    let iot = command.iot.iter().map(|text| {
        let (table, filter) = text.split_once('=').unwrap_or((text, ""));
        (table.to_owned(), filter.to_owned())
    });
    let options = Options {
        without_named_queries: command.without.contains(&Part::NamedQueries),
        without_alarms: command.without.contains(&Part::Alarms),
        kinesis: command.kinesis,
        kms: command.kms,
        arm64: command.arm64,
        parquet: command.parquet.clone(),
        iot: iot.collect(),
    };
    let template = template::template(lake, &schema, &queries, &options)?;
    let found = faults::of(&template);
    if !found.is_empty() {
        return Err(Exit::Failed(found.join("\n")));
    }
    for reaction in lake.reactions.iter().filter(|reaction| !reaction.is_on_aws()) {
        say(&format!(
            "{}: left to `datalake react`; add `function`, a Lambda function that does what `run` does, to have it on AWS",
            reaction.name
        ));
    }
    let text = serde_json::to_string_pretty(&template).map_err(|error| error.to_string())?;
    print((text + "\n").as_bytes())
}

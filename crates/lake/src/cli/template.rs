//! `datalake template`: the lake on AWS as one CloudFormation template.
//! Promises to check the schema and every query before a byte is printed.
//! Leaves deploying to the AWS CLI.

use super::print;
use crate::Exit;
use crate::config::Lake;
use crate::schema::protos;
use crate::sql::lint;
use crate::template::{self, Without};
use clap::{Args, ValueEnum};
use datalake_react::hour;

#[derive(Debug, Args)]
pub(super) struct Template {
    /// Leave these out.
    #[arg(long, value_enum, value_name = "PART")]
    without: Vec<Part>,
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
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let query = lint::check(&path.display().to_string(), &text).map_err(Exit::Faults)?;
        // Athena has nothing that stands for the hour of an object.
        if hour::has_placeholders(query) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        queries.push((name, query.to_owned()));
    }
    let without = Without {
        named_queries: command.without.contains(&Part::NamedQueries),
        alarms: command.without.contains(&Part::Alarms),
    };
    let template = template::template(lake, &schema, &queries, without);
    let text = serde_json::to_string_pretty(&template).map_err(|error| error.to_string())?;
    print((text + "\n").as_bytes())
}

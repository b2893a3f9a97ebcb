//! `datalake check`: lake.json, the schema, the queries and the agent's configuration against each other.
//! Promises every fault at once, each with file, line and column; what could not be checked is said.
//! Leaves the rules to the modules that have them.

use super::say;
use crate::config::{Action, Lake, Reaction, Table};
use crate::engine::duckdb::DuckDb;
use crate::schema::{Schema, protos};
use crate::sql::lint;
use crate::template::faults;
use crate::{Exit, files, transform};
use clap::Args;
use datalake_react::{Hour, hour};
use datalake_report::json::{self, Node, Value};
use datalake_report::report::{At, Kind, Report};
use datalake_schema::Plan;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The `duckdb` program; else the one on PATH.
    #[arg(long, value_name = "FILE")]
    duckdb: Option<PathBuf>,
    /// A CloudFormation template that is looked through for what no linter sees.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Queries that are checked too; else all *.sql files in the folder `sql` beside lake.json.
    queries: Vec<PathBuf>,
}

pub(super) fn run(command: &Check, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    let mut report = lake.report.clone();
    plan(lake, &schema, &mut report);
    agent(lake, &schema, &mut report);
    report.sort();
    if report.errors() + report.warnings() > 0 {
        say(&report.to_string());
    }
    let queries = queries(command, lake);
    let duckdb = match DuckDb::find(command.duckdb.as_deref()) {
        Ok(duckdb) => Some(duckdb),
        Err(error) => {
            say(&format!("SKIPPED: queries were looked through, but not tried on empty tables: {error}"));
            None
        }
    };
    let mut failed: Vec<String> =
        lake.tables.values().filter_map(|table| transform::settings(lake, table).err()).collect();
    if let Some(path) = &command.template {
        failed.extend(template_faults(path));
    }
    let judge = Judge { lake, schema: &schema, duckdb: duckdb.as_ref() };
    failed.extend(queries.iter().filter_map(|path| judge.query(path).err()));
    if command.queries.is_empty() {
        failed.extend(lake.reactions.iter().filter_map(|reaction| judge.reaction(reaction, &queries).err()));
    }
    for words in &failed {
        say(words);
    }
    match report.errors() + failed.len() {
        0 => {
            let mut good = format!("{} tables and {} queries", lake.tables.len(), queries.len());
            if !lake.reactions.is_empty() {
                good = format!("{good} and {} reactions", lake.reactions.len());
            }
            say(&format!("{good} are good"));
            Ok(())
        }
        faults => Err(Exit::Failed(format!("{faults} to put right"))),
    }
}

/// What is wrong with a template, by whatever hand.
fn template_faults(path: &Path) -> Vec<String> {
    let bytes = files::read(path, files::LARGEST_DOCUMENT).map_err(|error| error.to_string());
    let template =
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| format!("it is no JSON: {error}")));
    match template {
        Ok(template) => faults::of(&template).into_iter().map(|fault| format!("{}: {fault}", path.display())).collect(),
        Err(error) => vec![format!("cannot read {}: {error}", path.display())],
    }
}

/// What queries are looked through with.
struct Judge<'a> {
    lake: &'a Lake,
    schema: &'a Schema,
    duckdb: Option<&'a DuckDb>,
}

impl Judge<'_> {
    /// The columns of a query, where there is somebody to ask for them.
    fn query(&self, path: &Path) -> Result<Vec<String>, String> {
        let text = files::text(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let query = lint::check(&path.display().to_string(), &text).map_err(|report| report.to_string())?;
        let hour = Hour::parse(&self.lake.first_hour).map_err(|error| error.to_string())?;
        let query = hour::bind(query, hour).map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(duckdb) = self.duckdb else { return Ok(Vec::new()) };
        let columns = duckdb.bind(self.lake, self.schema, &query);
        let columns = columns.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(columns.into_iter().map(|(name, _)| name).collect())
    }

    /// Whether a reaction's query can be asked, and gives what is done with the answer.
    fn reaction(&self, reaction: &Reaction, known: &[PathBuf]) -> Result<(), String> {
        let of = |words: String| format!("the reaction `{}`: {words}", reaction.name);
        let columns = match self.query(&reaction.query) {
            Ok(columns) => columns,
            // Said already.
            Err(_) if known.contains(&reaction.query) => return Ok(()),
            Err(words) => return Err(of(words)),
        };
        if columns.is_empty() {
            return Ok(());
        }
        let has = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        let list = || columns.join(", ");
        match &reaction.action {
            Action::Into(table) => {
                let plan = &self.schema.plan;
                let Some(table) = plan.tables.get(table) else { return Ok(()) };
                let message = plan.message_of(table);
                let none = |column: &&String| !message.fields.iter().any(|field| field.name == **column);
                match columns.iter().find(none) {
                    None => Ok(()),
                    Some(column) => {
                        Err(of(format!("`{}` has no column `{column}`; the query gives {}", message.name, list())))
                    }
                }
            }
            Action::Chart(picture) => {
                let wanted = [Some(&picture.time), Some(&picture.value), picture.series.as_ref()];
                match wanted.into_iter().flatten().find(|name| !has(name)) {
                    None => Ok(()),
                    Some(name) => Err(of(format!("the query gives no column `{name}`, but {}", list()))),
                }
            }
            Action::Run(_) => Ok(()),
        }
    }
}

fn queries(command: &Check, lake: &Lake) -> Vec<PathBuf> {
    if !command.queries.is_empty() {
        return command.queries.clone();
    }
    queries_of(lake)
}

/// All *.sql files in the folder `sql` beside lake.json.
pub(super) fn queries_of(lake: &Lake) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lake.home.join("sql")).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sql"));
    paths.sort();
    paths
}

/// Whether the plan file that the agent reads is the schema's.
fn plan(lake: &Lake, schema: &Schema, report: &mut Report) {
    let Ok(bytes) = files::read(&lake.plan, files::LARGEST_DOCUMENT) else { return };
    let file = report.add_source(&lake.plan.display().to_string(), "".into());
    match Plan::parse(&bytes) {
        Err(error) => report.add_to_file(Kind::BadOption, file, error.to_string(), "run `datalake schema compile`"),
        Ok(plan) if plan != schema.plan => {
            let message = "the plan is not that of the schema as it is now";
            let help = "see `datalake schema diff` for what changed, then run `datalake schema compile`";
            report.add_to_file(Kind::Conflict, file, message, help);
        }
        Ok(_) => {}
    }
}

/// Whether each table's stream is one that the agent sends to, and by this plan.
fn agent(lake: &Lake, schema: &Schema, report: &mut Report) {
    let Some((path, at)) = &lake.agent else { return };
    let text = match files::text(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("the agent's configuration cannot be read: {error}");
            report.add(Kind::Unreadable, at, message, "name it as the agent has it, or leave `agent` out");
            return;
        }
    };
    let text: std::sync::Arc<str> = text.into();
    let file = report.add_source(&path.display().to_string(), text.clone());
    let Some(root) = json::read(file, &text, report) else { return };
    let flows = match member(&root, "flows").map(|flows| &flows.node) {
        Some(Node::List(flows)) => flows.as_slice(),
        _ => &[],
    };
    let streams: Vec<&str> = flows.iter().filter_map(stream_of).collect();
    for table in lake.tables.values() {
        let Some(stream) = &table.stream else { continue };
        if !streams.contains(&stream.as_str()) {
            let message = format!("no flow of {} sends to the stream `{stream}`", path.display());
            let help = match datalake_base::nearest::nearest(stream, streams.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "add a flow, or leave `stream` out where something else brings the rows".to_owned(),
            };
            report.add(Kind::Conflict, &table.stream_at, message, help);
        }
    }
    for flow in flows {
        schema_option(lake, schema, flow, report);
    }
}

fn stream_of(flow: &Value) -> Option<&str> {
    ["deliveryStream", "kinesisStream"].iter().find_map(|key| text(flow, key))
}

/// The option SCHEMA of a flow names a table whose stream is the flow's.
fn schema_option(lake: &Lake, schema: &Schema, flow: &Value, report: &mut Report) {
    let Some(Node::List(options)) = member(flow, "dataProcessingOptions").map(|options| &options.node) else { return };
    for option in options.iter().filter(|option| text(option, "optionName") == Some("SCHEMA")) {
        let (Some(value), Some(name)) = (member(option, "table"), text(option, "table")) else { continue };
        let at = At { place: value.place, path: "table".to_owned() };
        let Some(table) = lake.tables.get(name) else {
            let help = format!("known are {}", lake.tables.keys().cloned().collect::<Vec<_>>().join(", "));
            report.add(Kind::UnknownChoice, &at, format!("lake.json has no table `{name}`"), help);
            continue;
        };
        if let (Some(stream), Some(sent_to)) = (&table.stream, stream_of(flow))
            && stream != sent_to
        {
            let message = format!("rows of `{name}` go to the stream `{sent_to}`, but the table's is `{stream}`");
            report.add(Kind::Conflict, &at, message, "name the table of this flow's stream");
        }
        in_an_envelope(flow, table, schema, report);
    }
}

/// A message of MQTT comes as `{"topic": …, "payload": {…}}` unless the flow says otherwise: of a table without such a field
/// every row would hold defaults.
fn in_an_envelope(flow: &Value, table: &Table, schema: &Schema, report: &mut Report) {
    let Some(mqtt) = member(flow, "mqtt") else { return };
    let chosen = member(mqtt, "envelope").map(|value| matches!(value.node, Node::Boolean(true)));
    // Binary messages have no envelope of their own accord, raw ones none at all.
    let has_envelope = chosen.unwrap_or_else(|| text(mqtt, "payloadFormat").is_none_or(|format| format == "auto"))
        && text(mqtt, "payloadFormat") != Some("raw");
    let plan = &schema.plan;
    let message = plan.tables.get(&table.name).map(|table| plan.message_of(table));
    if has_envelope && message.is_some_and(|message| message.fields.iter().all(|field| field.name != "payload")) {
        let at = At { place: mqtt.place, path: "mqtt".to_owned() };
        let message = format!(
            "messages come in an envelope, `{{\"topic\": …, \"payload\": {{…}}}}`, but `{}` has no field `payload`: all rows would hold defaults",
            table.message
        );
        report.add(Kind::Conflict, &at, message, "add \"envelope\": false to `mqtt`");
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Node::Object(members) = &value.node else { return None };
    members.iter().find(|member| member.name == name).map(|member| &member.value)
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match &member(value, name)?.node {
        Node::Text(text) => Some(text),
        _ => None,
    }
}

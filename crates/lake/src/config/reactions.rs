//! `reactions` of `lake.json`: what is done when a table gets a new object.
//! Promises that each rule names tables that exist, does one thing, writes where it may, and leads in no circle.
//! Leaves what is in queries to the lint, and doing it to `react`.

use super::function::{Function, LONGEST_WAIT};
use super::object::{self, Object};
use super::{CHARTS, REPORTS, Table, identifier};
use datalake_base::nearest::nearest;
use datalake_react::{Hour, Version, order};
use datalake_report::json::{Node, Value};
use datalake_report::report::{At, Kind, Report, quoted};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const KEYS: [&str; 10] = ["name", "on", "query", "into", "chart", "run", "function", "to", "timeoutSeconds", "from"];
const CHART_KEYS: [&str; 7] = ["query", "time", "value", "series", "title", "unit", "to"];
/// A program that runs longer than this is stopped, unless its rule says otherwise.
const TIMEOUT: u64 = 300;
/// Maximum number of rules; each has a thread of its own.
const MOST: usize = 64;

/// One rule.
#[derive(Clone, Debug)]
pub struct Reaction {
    /// Its name.
    pub name: String,
    /// Where it begins in the file.
    pub at: At,
    /// The table whose new objects set it off.
    pub on: String,
    /// The file with its query.
    pub query: PathBuf,
    /// Where that stands.
    pub query_at: At,
    /// What is done with the answer.
    pub action: Action,
    /// Objects of earlier hours set nothing off.
    pub from: Option<Hour>,
}

/// What is done with the answer of a rule's query.
#[derive(Clone, Debug)]
pub enum Action {
    /// Its rows become an object of this table.
    Into(String),
    /// It becomes a picture.
    Chart(Picture),
    /// A program gets it.
    Run(Program),
}

/// A chart.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The column with the time.
    pub time: String,
    /// The column with the number.
    pub value: String,
    /// The column that names the series.
    pub series: Option<String>,
    /// What stands above it; else the name of the rule.
    pub title: Option<String>,
    /// What the numbers are, such as `%`.
    pub unit: Option<String>,
    /// Its key, such as `charts/battery.svg`.
    pub to: String,
}

/// A program that gets rows on its standard input and may write a file.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments; it runs in the folder of lake.json. Empty where the rule is for AWS alone.
    /// Invariant: there is a command or a function.
    pub command: Vec<String>,
    /// On AWS: the function that is called instead. Without it the rule is for `datalake react` alone.
    pub function: Option<Function>,
    /// The table whose rows the written file holds.
    pub into: Option<String>,
    /// Else the prefix below which it is kept.
    pub to: Option<String>,
    /// It is stopped after this time.
    pub timeout: Duration,
}

impl Reaction {
    /// Whether `datalake react` does it; else a function on AWS does.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !matches!(&self.action, Action::Run(program) if program.command.is_empty())
    }

    /// Whether it is done on AWS; else `datalake react` alone does it.
    #[must_use]
    pub fn is_on_aws(&self) -> bool {
        !matches!(&self.action, Action::Run(program) if program.function.is_none())
    }

    /// The table that gets new objects by it.
    #[must_use]
    pub fn writes(&self) -> Option<&str> {
        match &self.action {
            Action::Into(table) => Some(table),
            Action::Run(program) => program.into.as_deref(),
            Action::Chart(_) => None,
        }
    }

    /// What it is as it stands now. The program is not part of it: on AWS a function takes its place.
    #[must_use]
    pub fn version(&self, query: &str) -> Version {
        let target = match &self.action {
            Action::Into(table) => format!("into:{table}"),
            Action::Chart(picture) => format!(
                "chart:{}:{}:{}:{}",
                picture.to,
                picture.time,
                picture.value,
                picture.series.as_deref().unwrap_or_default()
            ),
            Action::Run(Program { into: Some(table), .. }) => format!("run-into:{table}"),
            Action::Run(Program { to, .. }) => format!("run:{}", to.as_deref().unwrap_or_default()),
        };
        Version::of(query, &target)
    }
}

/// Reads all rules.
pub(super) fn read(
    object: &Object<'_>,
    home: &Path,
    tables: &BTreeMap<String, Table>,
    report: &mut Report,
) -> Vec<Reaction> {
    let Some((value, at)) = object.value("reactions") else { return Vec::new() };
    let Node::List(items) = &value.node else {
        object::wrong_type(value, &at, "write a list: [{\"name\": …, \"on\": …}]", report);
        return Vec::new();
    };
    if items.len() > MOST {
        report.add(
            Kind::OutOfRange,
            &at,
            format!("there are {} reactions", items.len()),
            format!("{MOST} are the most"),
        );
    }
    let mut reactions: Vec<Reaction> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}[{index}]", at.path);
        let Some(reaction) = one(item, &path, home, tables, report) else { continue };
        if reactions.iter().any(|earlier| earlier.name == reaction.name) {
            let message = format!("there is another reaction `{}`", reaction.name);
            report.add(Kind::Conflict, &reaction.at, message, "results carry the name; choose another one");
        }
        if let Action::Chart(picture) = &reaction.action
            && reactions.iter().any(|earlier| matches!(&earlier.action, Action::Chart(other) if other.to == picture.to))
        {
            let message = format!("another reaction draws {} too", picture.to);
            report.add(Kind::Conflict, &reaction.at, message, "give each chart a file of its own");
        }
        reactions.push(reaction);
    }
    no_circle(&reactions, report);
    reactions
}

fn no_circle(reactions: &[Reaction], report: &mut Report) {
    let edges: Vec<order::Edge<'_>> =
        reactions.iter().map(|reaction| order::Edge { on: &reaction.on, into: reaction.writes() }).collect();
    let Err(circle) = order::sorted(&edges) else { return };
    let closing = reactions.iter().find(|reaction| {
        circle.windows(2).any(|pair| reaction.on == pair[0] && reaction.writes() == Some(pair[1].as_str()))
    });
    if let Some(reaction) = closing {
        let message = format!("the reactions lead in a circle: {}", circle.join(" -> "));
        let help = "each object would set off another one for ever; write into a table that none of them reads";
        report.add(Kind::Conflict, &reaction.at, message, help);
    }
}

fn one(
    item: &Value,
    path: &str,
    home: &Path,
    tables: &BTreeMap<String, Table>,
    report: &mut Report,
) -> Option<Reaction> {
    let inner = Object::open(item, path, &KEYS, report)?;
    let name = inner.required_text("name", "such as \"battery\"", report);
    if let Some((name, at)) = &name {
        identifier(name, at, report);
    }
    let on = inner.required_text("on", "the table whose new objects set it off", report);
    let on = on.and_then(|(table, at)| known(table, &at, tables, report));
    let from = inner.text("from", report).and_then(|(text, at)| match Hour::parse(&text) {
        Ok(hour) => Some(hour),
        Err(error) => {
            report.add(Kind::BadNumber, &at, format!("`{}`: {error}", at.path), "write it like \"2026-03-01-00\"");
            None
        }
    });
    let (action, query) = action(&inner, home, tables, report)?;
    Some(Reaction { name: name?.0, at: inner.at.clone(), on: on?, query: query.0, query_at: query.1, action, from })
}

type Query = (PathBuf, At);

fn action(
    inner: &Object<'_>,
    home: &Path,
    tables: &BTreeMap<String, Table>,
    report: &mut Report,
) -> Option<(Action, Query)> {
    let chart = inner.value("chart");
    let run = inner.value("run");
    let is_step = run.is_some() || inner.value("function").is_some();
    let into = inner.text("into", report).and_then(|(table, at)| known(table, &at, tables, report));
    if chart.is_none() && !is_step && inner.value("into").is_none() {
        let help = "\"into\": a table for the rows, \"chart\": a picture of them, or \"run\" or \"function\": a program that gets them";
        report.add(Kind::Missing, &inner.at, format!("`{}` does nothing", inner.at.path), format!("add {help}"));
        return None;
    }
    if chart.is_some() && (is_step || inner.value("into").is_some()) {
        let message = format!("`{}` does more than one thing", inner.at.path);
        report.add(Kind::Conflict, &inner.at, message, "make one reaction of each; they may be on the same table");
        return None;
    }
    if !is_step {
        for key in ["to", "timeoutSeconds"] {
            if let Some((_, at)) = inner.value(key) {
                let message = format!("`{}` is for a program, and there is no `run` or `function`", at.path);
                report.add(Kind::Conflict, &at, message, "remove it");
            }
        }
    }
    if let Some((value, at)) = chart {
        let object = Object::open(value, &at.path, &CHART_KEYS, report)?;
        let query = query(&object, home, report);
        if let Some((_, at)) = inner.value("query") {
            report.add(Kind::Conflict, &at, format!("`{}` stands outside of `chart`", at.path), "move it inside");
        }
        return Some((Action::Chart(picture(&object, report)?), query?));
    }
    let query = query(inner, home, report);
    if is_step {
        let command = run.map_or_else(|| Some(Vec::new()), |(value, at)| command(inner, value, &at, report));
        return Some((Action::Run(program(inner, command?, into, report)?), query?));
    }
    Some((Action::Into(into?), query?))
}

fn query(object: &Object<'_>, home: &Path, report: &mut Report) -> Option<Query> {
    let (path, at) = object.required_text("query", "a file such as \"sql/battery.sql\"", report)?;
    Some((home.join(path), at))
}

fn picture(object: &Object<'_>, report: &mut Report) -> Option<Picture> {
    let mut text = |key: &str| object.text(key, report).map(|(text, _)| text);
    let (time, series, title, unit) = (text("time"), text("series"), text("title"), text("unit"));
    let value = object.required_text("value", "the column with the number", report);
    let to = object.required_text("to", "such as \"charts/battery.svg\"", report);
    let (to, at) = to?;
    if !to.starts_with(CHARTS) || !to.ends_with(".svg") || !is_key(&to) {
        let message = format!("`{}` is {}", at.path, quoted(&to));
        report.add(Kind::BadPath, &at, message, format!("write a name like \"{CHARTS}battery.svg\""));
    }
    let time = time.unwrap_or_else(|| "sent_at".to_owned());
    Some(Picture { time, value: value?.0, series, title, unit, to })
}

fn command(inner: &Object<'_>, value: &Value, at: &At, report: &mut Report) -> Option<Vec<String>> {
    let help = "write the program and its arguments: [\"python3\", \"steps/low.py\"]";
    let Node::List(items) = &value.node else {
        object::wrong_type(value, at, help, report);
        return None;
    };
    let command = inner.texts("run", help, report).into_iter().map(|(text, _)| text).collect::<Vec<_>>();
    (command.len() >= items.len().max(1)).then_some(command)
}

fn program(inner: &Object<'_>, command: Vec<String>, into: Option<String>, report: &mut Report) -> Option<Program> {
    let to = inner.text("to", report).map(|(to, at)| {
        if !to.starts_with(REPORTS) || !to.ends_with('/') || !is_key(to.trim_end_matches('/')) {
            let message = format!("`{}` is {}", at.path, quoted(&to));
            report.add(Kind::BadPath, &at, message, format!("write a prefix like \"{REPORTS}low/\""));
        }
        to
    });
    if let (Some(_), Some((_, at))) = (&into, inner.value("to")) {
        let message = format!("`{}` stands beside `into`", at.path);
        report.add(Kind::Conflict, &at, message, "what the program writes goes to one place; keep one of the two");
    }
    let called = inner.value("function").is_some();
    let longest = if called { LONGEST_WAIT } else { 86_400 };
    let seconds = inner.number("timeoutSeconds", report).map_or(TIMEOUT, |(seconds, at)| {
        if !(1..=longest).contains(&seconds) {
            let why = if called { ": a function waits no longer for another one" } else { "" };
            let help = format!("write 1 to {longest}{why}");
            report.add(Kind::OutOfRange, &at, format!("`{}` is {seconds}", at.path), help);
        }
        seconds
    });
    let function = inner.text("function", report).and_then(|(text, at)| Function::parse(text, at, report));
    if called && function.is_none() {
        return None;
    }
    Some(Program { command, function, into, to, timeout: Duration::from_secs(seconds) })
}

/// A table that exists.
fn known(table: String, at: &At, tables: &BTreeMap<String, Table>, report: &mut Report) -> Option<String> {
    if tables.contains_key(&table) {
        return Some(table);
    }
    let help = match nearest(&table, tables.keys().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known are {}", tables.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    report.add(Kind::UnknownChoice, at, format!("`{}` is {}, which is no table", at.path, quoted(&table)), help);
    None
}

/// A key that is a plain path below the lake.
fn is_key(key: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
    key.bytes().all(good) && key.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

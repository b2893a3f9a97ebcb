//! `lake.json`: the tables of a lake, where their schema is and where their rows come from.
//! Promises that every fault is reported with file, line and column, all at once, as the agent does it.
//! Leaves the protos to `schema`, and comparing with the agent's configuration to `check`.

/// The function that stands for a program on AWS.
mod function;
/// One object of the file, key by key.
mod object;
/// `reactions`.
mod reactions;

use crate::{Exit, files};
use datalake_report::json::{self, Node, Value};
use datalake_report::report::{At, Kind, Report, quoted};
pub use function::Function;
use object::Object;
pub use reactions::{Action, Picture, Program, Reaction};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pictures.
pub const CHARTS: &str = "charts/";
/// What programs wrote that is no table.
pub const REPORTS: &str = "reports/";
/// Where rows lie for functions that stand for programs, and what these write, for a week.
pub const STEPS: &str = "athena-results/steps/";
/// Prefixes that belong to the lake itself.
const RESERVED: [&str; 4] = ["athena-results/", "errors/", CHARTS, REPORTS];
/// The partition of every table: the hour.
pub const PARTITION: &str = "dt";

/// Which of Athena's readers a table is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serde {
    /// Takes a bad line for a row of nulls.
    OpenX,
    /// Fails the query at a bad line.
    Hive,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name, in lower case.
    pub name: String,
    /// Where its object begins in the file.
    pub at: At,
    /// The full name of the message of its rows.
    pub message: String,
    /// Where that stands.
    pub message_at: At,
    /// The stream that brings its rows, if one does.
    pub stream: Option<String>,
    /// Where that stands.
    pub stream_at: At,
    /// Below the bucket or folder, ending in a slash.
    pub prefix: String,
    /// Where that stands.
    pub prefix_at: At,
    /// Digits of seconds in timestamps.
    pub timestamp_digits: u8,
    /// Its reader in Athena.
    pub serde: Serde,
    /// `dataProcessingOptions` that Firehose has a function apply, if it does.
    pub transform: Option<serde_json::Value>,
    /// Where that stands.
    pub transform_at: At,
}

/// Where the lake is on AWS.
#[derive(Clone, Debug, Default)]
pub struct Athena {
    /// The bucket of the objects.
    pub bucket: Option<String>,
    /// The region; else the environment's.
    pub region: Option<String>,
    /// The workgroup.
    pub workgroup: Option<String>,
    /// The Glue database; else the lake's name.
    pub database: Option<String>,
}

/// The whole file.
#[derive(Debug)]
pub struct Lake {
    /// Its name.
    pub name: String,
    /// The folder of the file, which paths are relative to.
    pub home: PathBuf,
    /// The agent's configuration, if it was named.
    pub agent: Option<(PathBuf, At)>,
    /// Files and folders of the schema.
    pub protos: Vec<(PathBuf, At)>,
    /// Where objects lie on this machine.
    pub root: PathBuf,
    /// Where the plan for the agent goes.
    pub plan: PathBuf,
    /// The first hour that there is data of, such as `2026-03-01-00`.
    pub first_hour: String,
    /// In the order of their names.
    pub tables: BTreeMap<String, Table>,
    /// On AWS.
    pub athena: Athena,
    /// What is done when a table gets a new object.
    pub reactions: Vec<Reaction>,
    /// What was noticed; no errors as long as this is returned.
    pub report: Report,
}

impl Lake {
    /// What the template calls the stack's workgroup, and begins the names of what is global with.
    #[must_use]
    pub fn workgroup(&self) -> String {
        self.name.replace('_', "-")
    }
}

/// Reads the file.
///
/// # Errors
/// A report of everything that is wrong.
pub fn load(path: &Path) -> Result<Lake, Exit> {
    let mut report = Report::default();
    let name = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(reason) => {
            let file = report.add_source(&name, "".into());
            let help = "name another with --lake FILE, or make one with `datalake init`";
            report.add_to_file(Kind::Unreadable, file, format!("the file cannot be read: {reason}"), help);
            return Err(Exit::Faults(report));
        }
    };
    let home = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    from_text(&name, &text, home, report)
}

fn read(path: &Path) -> Result<String, String> {
    files::text(path).map_err(|error| error.to_string())
}

/// The same from a text.
///
/// # Errors
/// A report of everything that is wrong.
pub fn from_text(name: &str, text: &str, home: &Path, mut report: Report) -> Result<Lake, Exit> {
    let text: std::sync::Arc<str> = text.into();
    let file = report.add_source(name, text.clone());
    let lake = json::read(file, &text, &mut report).and_then(|root| whole(&root, home, &mut report));
    report.sort();
    match lake {
        Some(lake) if report.errors() == 0 => Ok(Lake { report, ..lake }),
        _ => Err(Exit::Faults(report)),
    }
}

const KEYS: [&str; 9] = ["name", "agent", "protos", "folder", "plan", "firstHour", "tables", "athena", "reactions"];
const TABLE_KEYS: [&str; 6] = ["message", "stream", "prefix", "timestampDigits", "serde", "transform"];
const ATHENA_KEYS: [&str; 4] = ["bucket", "region", "workgroup", "database"];

fn whole(root: &Value, home: &Path, report: &mut Report) -> Option<Lake> {
    let object = Object::open(root, "", &KEYS, report)?;
    let name = object.required_text("name", "such as \"farm\"", report);
    if let Some((name, at)) = &name {
        identifier(name, at, report);
    }
    let protos = object.texts("protos", "such as [\"schema\"]", report);
    let first_hour = object.text("firstHour", report);
    if let Some((hour, at)) = &first_hour
        && datalake_react::Hour::parse(hour).is_err()
    {
        let message = format!("`{}` is {}, which is no hour", at.path, quoted(hour));
        report.add(Kind::BadNumber, at, message, "write it as in the object names: \"2026-03-01-00\"");
    }
    let tables = tables(&object, report);
    overlaps(&tables, report);
    let path = |key: &str, otherwise: &str, report: &mut Report| {
        home.join(object.text(key, report).map_or_else(|| otherwise.to_owned(), |(path, _)| path))
    };
    let (root, plan) = (path("folder", "lake", report), path("plan", "lake.plan.json", report));
    let agent = object.text("agent", report).map(|(path, at)| (home.join(path), at));
    let athena = athena(&object, report);
    let reactions = reactions::read(&object, home, &tables, report);
    let lake = Lake {
        name: name?.0,
        home: home.to_owned(),
        agent,
        protos: protos.into_iter().map(|(path, at)| (home.join(path), at)).collect(),
        root,
        plan,
        first_hour: first_hour.map_or_else(|| "2026-01-01-00".to_owned(), |(hour, _)| hour),
        tables,
        athena,
        reactions,
        report: Report::default(),
    };
    functions(&lake, report);
    Some(lake)
}

/// Functions that a rule cannot call, or must not.
fn functions(lake: &Lake, report: &mut Report) {
    for reaction in &lake.reactions {
        let Action::Run(Program { function: Some(function), .. }) = &reaction.action else { continue };
        let own = lake.workgroup();
        if function.name() == format!("{own}-react") || function.name().starts_with(&format!("{own}-transform-")) {
            let message = format!("`{}` is a function of the lake itself", function.at.path);
            let help =
                format!("name one of your own; those of the stack begin with `{own}-react` and `{own}-transform-`");
            report.add(Kind::Conflict, &function.at, message, help);
        }
        if let (Some(theirs), Some(ours)) = (function.region(), &lake.athena.region)
            && theirs != ours
        {
            let message = format!("`{}` lies in {}, the lake in {}", function.at.path, quoted(theirs), quoted(ours));
            report.add(Kind::Conflict, &function.at, message, "name a function of the region that the lake is in");
        }
    }
}

fn athena(object: &Object<'_>, report: &mut Report) -> Athena {
    let Some((value, at)) = object.value("athena") else { return Athena::default() };
    let Some(inner) = Object::open(value, &at.path, &ATHENA_KEYS, report) else { return Athena::default() };
    // They become part of host names, of SQL and of the template.
    let mut name = |key: &str, longest: usize, more: &[u8]| {
        let (text, at) = inner.text(key, report)?;
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte);
        if text.len() > longest || !text.bytes().all(good) {
            let message = format!("`{}` is {}, which AWS has no {key} named", at.path, quoted(&text));
            report.add(Kind::BadName, &at, message, "write it as the console shows it");
        }
        Some(text)
    };
    Athena {
        bucket: name("bucket", 63, b"-."),
        region: name("region", 40, b"-"),
        workgroup: name("workgroup", 128, b"-._ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        database: name("database", 255, b"_"),
    }
}

fn tables(object: &Object<'_>, report: &mut Report) -> BTreeMap<String, Table> {
    let mut tables = BTreeMap::new();
    let Some((value, at)) = object.value("tables") else {
        object.missing("tables", "such as {\"deviceping\": {\"message\": …}}", report);
        return tables;
    };
    let Node::Object(members) = &value.node else {
        object::wrong_type(value, &at, "write {\"deviceping\": {\"message\": …}}", report);
        return tables;
    };
    if members.is_empty() {
        report.add(Kind::Empty, &at, "there is no table", "add one: \"deviceping\": {\"message\": …}");
    }
    for member in members {
        let path = format!("{}.{}", at.path, member.name);
        identifier(&member.name, &At { place: member.name_place, path: path.clone() }, report);
        let Some(inner) = Object::open(&member.value, &path, &TABLE_KEYS, report) else { continue };
        if let Some(table) = table(&member.name, &inner, report)
            && tables.insert(member.name.clone(), table).is_some()
        {
            let at = At { place: member.name_place, path };
            report.add(Kind::DuplicateKey, &at, "the table stands here a second time", "keep one of the two");
        }
    }
    tables
}

fn table(name: &str, object: &Object<'_>, report: &mut Report) -> Option<Table> {
    let message = object.required_text("message", "the full name, such as \"farm.v1.DevicePing\"", report);
    let prefix = object.text("prefix", report).unwrap_or_else(|| (format!("raw/v0/{name}/"), object.at.clone()));
    check_prefix(&prefix.0, &prefix.1, report);
    let digits = object.number("timestampDigits", report).map_or(3, |(number, at)| {
        if !matches!(number, 3 | 6 | 9) {
            let message = format!("`{}` is {number}", at.path);
            report.add(Kind::OutOfRange, &at, message, "write 3, 6 or 9");
        }
        u8::try_from(number).unwrap_or(3)
    });
    let serde = object.text("serde", report).map_or(Serde::OpenX, |(word, at)| match word.as_str() {
        "openx" => Serde::OpenX,
        "hive" => Serde::Hive,
        _ => {
            let message = format!("`{}` is {}", at.path, quoted(&word));
            report.add(Kind::UnknownChoice, &at, message, "write \"openx\" or \"hive\"");
            Serde::OpenX
        }
    });
    let stream = object.text("stream", report);
    let transform = object.value("transform");
    if let (Some((_, at)), None) = (&transform, &stream) {
        let message = format!("`{}` is for what a stream brings, and the table has no `stream`", at.path);
        report.add(Kind::Conflict, at, message, "remove it, or name the stream");
    }
    let (message, message_at) = message?;
    Some(Table {
        name: name.to_owned(),
        at: object.at.clone(),
        message,
        message_at,
        stream_at: stream.as_ref().map_or_else(|| object.at.clone(), |(_, at)| at.clone()),
        stream: stream.map(|(stream, _)| stream),
        prefix: prefix.0,
        prefix_at: prefix.1,
        timestamp_digits: digits,
        serde,
        transform_at: transform.as_ref().map_or_else(|| object.at.clone(), |(_, at)| at.clone()),
        transform: transform.map(|(value, _)| plain(value)),
    })
}

/// A value without its places.
fn plain(value: &Value) -> serde_json::Value {
    match &value.node {
        Node::Null | Node::Faulty => serde_json::Value::Null,
        Node::Boolean(flag) => (*flag).into(),
        Node::Number(text) => serde_json::from_str(text).unwrap_or_default(),
        Node::Text(text) => text.clone().into(),
        Node::List(items) => items.iter().map(plain).collect(),
        Node::Object(members) => serde_json::Value::Object(
            members.iter().map(|member| (member.name.clone(), plain(&member.value))).collect(),
        ),
    }
}

fn check_prefix(prefix: &str, at: &At, report: &mut Report) {
    let mut wrong = |what: &str, help: &str| {
        report.add(Kind::BadPath, at, format!("the prefix {} {what}", quoted(prefix)), help);
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
    if !prefix.ends_with('/') || prefix.starts_with('/') {
        wrong("does not end in a slash, or begins with one", "write it like \"raw/v0/deviceping/\"");
    } else if prefix.contains('=') || prefix.contains("!{") {
        wrong("names a partition", "leave `dt=…` out: it is added, and must be the same everywhere");
    } else if prefix.split('/').rev().skip(1).any(|part| part.is_empty() || part.starts_with('.')) {
        wrong("has a part that is empty or begins with a dot", "write it like \"raw/v0/deviceping/\"");
    } else if !prefix.bytes().all(allowed) {
        wrong("holds other characters than letters, digits, `_`, `-` and `.`", "write it like \"raw/v0/deviceping/\"");
    } else if let Some(reserved) = RESERVED.iter().find(|reserved| prefix.starts_with(**reserved)) {
        wrong(&format!("lies in {reserved}, which belongs to the lake itself"), "put tables below raw/ or processed/");
    }
}

/// No table below another: one would read the other's objects.
fn overlaps(tables: &BTreeMap<String, Table>, report: &mut Report) {
    for table in tables.values() {
        for other in tables.values().filter(|other| other.name != table.name) {
            let same = table.prefix == other.prefix && table.name > other.name;
            if same || (table.prefix != other.prefix && table.prefix.starts_with(&other.prefix)) {
                let message = format!("the objects of `{}` would be rows of `{}` too", table.name, other.name);
                let help = format!("{} reads everything below {}; choose prefixes apart", other.name, other.prefix);
                report.add(Kind::Conflict, &table.prefix_at, message, help);
            }
        }
    }
}

fn identifier(name: &str, at: &At, report: &mut Report) {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(good) || name.as_bytes()[0].is_ascii_digit() {
        let message = format!("`{}` is no name that Athena and DuckDB take alike", at.path);
        let help = "use lower-case letters, digits and `_`, and begin with a letter";
        report.add(Kind::BadName, at, message, help);
    }
}

#[cfg(test)]
mod tests;

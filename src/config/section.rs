//! One object of the configuration against its table of keys: which keys it has, and their values decoded.
//! Promises that every key is accounted for: decoded by its table, or reported with what would do.
//! Leaves what values mean together to `plan`.

use super::foreign::Foreign;
use super::json::{Member, Node, Value};
use super::key::{Default, Key};
use super::report::{At, Kind, Place, Placed, Report, printable, quoted};
use super::values;
use datalake_base::nearest::nearest;
use std::collections::HashMap;

/// Which object it is, and what is said about keys that do not belong there.
pub(super) struct Level {
    /// Its keys.
    pub(super) table: &'static [&'static Key],
    /// Keys of somebody else that people write here.
    pub(super) foreign: &'static [Foreign],
    /// The object in words.
    pub(super) words: &'static str,
    /// Where a key belongs that people write here, and what would do; the likeliest first.
    pub(super) elsewhere: &'static [(&'static Level, &'static str)],
    /// The one key of the table that may be here, and what is said about the others.
    pub(super) only: Option<(&'static str, &'static str)>,
    /// What is said about a value that is neither this object nor a text in its place.
    pub(super) instead: Option<Words>,
}

/// What is said about a value that is none of those allowed.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// What it is not.
    pub(super) what: &'static str,
    /// What would do.
    pub(super) help: &'static str,
    /// What would do instead of an empty list.
    pub(super) empty: &'static str,
}

/// An object whose keys were read.
pub(super) trait Object: Sized {
    /// Its level.
    fn level() -> &'static Level;
    /// Where it stands.
    fn opened(&self) -> &Opened;
    /// Reads its keys.
    fn read(section: &Section<'_>, report: &mut Report) -> Self;

    /// Where the name of a key stands, if it is there.
    fn key_at(&self, key: &Key) -> Option<&At> {
        self.opened().given.iter().find(|given| given.key == key.name).map(|given| &given.name)
    }
}

/// Where an object stands, and which of its keys are there.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its opening brace, for faults about what is not there.
    pub(super) at: At,
    given: Vec<Given>,
}

/// A key that is there.
#[derive(Debug)]
struct Given {
    key: &'static str,
    /// Where its name stands.
    name: At,
}

/// A key that a file may have and that means nothing to the agent.
pub(super) const SCHEMA: &str = "$schema";

/// The known keys of one object.
pub(super) struct Section<'a> {
    pub(super) at: At,
    fields: HashMap<&'static str, &'a Member>,
}

impl<'a> Section<'a> {
    /// Sorts the members of an object; what does not belong there is reported.
    pub(super) fn open(level: &'static Level, value: &'a Value, path: &str, report: &mut Report) -> Option<Self> {
        let at = At { place: value.place, path: path.to_owned() };
        let Node::Object(members) = &value.node else {
            let message = format!("{} is {}, not an object", subject(path), values::describe(value));
            values::wrong_type(value, &at, message, "write an object: { … }", report);
            return None;
        };
        // The opening brace stands for the object when something is missing in it.
        let brace = Place { end: value.place.start + 1, ..value.place };
        let mut section = Self { at: At { place: brace, ..at }, fields: HashMap::new() };
        let mut seen: HashMap<&str, &Member> = HashMap::new();
        for member in members {
            let at = section.name_at(member);
            if let Some(first) = seen.insert(&member.name, member) {
                let message = format!("`{}` stands here a second time", at.path);
                let help = format!("keep one of the two; the first is at {}", report.spot(first.name_place));
                report.add(Kind::DuplicateKey, &at, message, help);
                seen.insert(&first.name, first);
                continue;
            }
            // For editors, which read the schema that it names.
            if path.is_empty() && member.name == SCHEMA {
                continue;
            }
            match (level.table.iter().find(|key| key.name == member.name), level.only) {
                (Some(key), Some((only, help))) if key.name != only => {
                    let message = format!("`{}` is a key of the main file", at.path);
                    report.add(Kind::WrongPlace, &at, message, help);
                }
                (Some(key), _) => {
                    section.fields.insert(key.name, member);
                }
                (None, _) if report.is_full() => report.add(Kind::UnknownKey, &at, "", ""),
                (None, _) => unknown(level, member, &at, report),
            }
        }
        Some(section)
    }

    fn name_at(&self, member: &Member) -> At {
        At { place: member.name_place, path: self.path_of(&printable(&member.name)) }
    }

    fn path_of(&self, name: &str) -> String {
        let dot = if self.at.path.is_empty() { "" } else { "." };
        format!("{}{dot}{name}", self.at.path)
    }

    /// Where the value of a key stands, or where it could.
    pub(super) fn at(&self, key: &Key) -> At {
        let place = self.fields.get(key.name).map_or(self.at.place, |member| member.value.place);
        At { place, path: self.path_of(key.name) }
    }

    /// The value of a key as it was written.
    pub(super) fn value(&self, key: &Key) -> Option<(&'a Value, At)> {
        self.fields.get(key.name).map(|member| (&member.value, self.at(key)))
    }

    /// Where a key's name stands.
    pub(super) fn key_at(&self, key: &Key) -> At {
        self.fields.get(key.name).map_or_else(|| self.at.clone(), |member| self.name_at(member))
    }

    /// Where it stands, and which keys are there.
    pub(super) fn opened(&self) -> Opened {
        let name = |member: &Member| self.name_at(member);
        let given = self.fields.iter().map(|(key, member)| Given { key, name: name(member) }).collect();
        Opened { at: self.at.clone(), given }
    }

    /// The value of a key, decoded; `None` when it is left out or faulty. One that must be there is a fault.
    pub(super) fn decode<T>(
        &self,
        key: &'static Key,
        report: &mut Report,
        decode: impl FnOnce(&Value, &At, &'static Key, &mut Report) -> Option<T>,
    ) -> Option<Placed<T>> {
        let Some((value, at)) = self.value(key) else {
            if matches!(key.default, Default::Required) {
                let message = format!("{} has no `{}`", subject(&self.at.path), key.name);
                let help = format!("add \"{}\": {}", key.name, key.meaning);
                report.add(Kind::Missing, &self.at, message, help);
            }
            return None;
        };
        decode(value, &at, key, report).map(|value| Placed { value, at })
    }
}

/// `flows[2]`, or the file.
pub(super) fn subject(path: &str) -> String {
    if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") }
}

/// The names that are known there, ours and others'.
fn names(level: &Level) -> impl Iterator<Item = &'static str> + use<> {
    level.table.iter().map(|key| key.name).chain(level.foreign.iter().map(|foreign| foreign.name))
}

/// Reports a key that the table does not have.
fn unknown(level: &Level, member: &Member, at: &At, report: &mut Report) {
    let (name, path) = (member.name.as_str(), &at.path);
    if let Some(foreign) = level.foreign.iter().find(|foreign| foreign.name == name) {
        let message = match foreign.kind {
            Kind::NotSupported => format!("`{path}` is a key of the Kinesis Agent that this version does not support"),
            Kind::Renamed => format!("`{path}` is not the name this agent uses"),
            _ => format!("`{path}` has no effect in this agent"),
        };
        return report.add(foreign.kind, at, message, foreign.help);
    }
    let belongs = level.elsewhere.iter().find_map(|(elsewhere, help)| {
        let known = names(elsewhere).find(|known| known.eq_ignore_ascii_case(name))?;
        Some((known, elsewhere.words, help))
    });
    if let Some((known, words, help)) = belongs {
        let message = format!("`{known}` is a key of {words}, not of {}", level.words);
        return report.add(Kind::WrongPlace, at, message, *help);
    }
    let message = format!("{} is not a key of {}", quoted(name).replace('"', "`"), level.words);
    let prefix = format!("{name}.");
    let help = if let Some(known) = names(level).find(|known| known.starts_with(&prefix)) {
        format!("the dot is part of the name: write \"{known}\": … instead of nested braces")
    } else if let Some(known) = nearest(name, names(level)) {
        format!("did you mean `{known}`?")
    } else if let Some((known, words)) =
        level.elsewhere.iter().find_map(|(elsewhere, _)| Some((nearest(name, names(elsewhere))?, elsewhere.words)))
    {
        format!("did you mean `{known}`? It is a key of {words}")
    } else {
        "remove it; docs/configuration.md lists all keys".to_owned()
    };
    report.add(Kind::UnknownKey, at, message, help);
}

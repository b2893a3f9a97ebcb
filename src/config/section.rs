//! One object of the configuration against its table of keys: which keys it has, and their values decoded.
//! Promises that every key is accounted for: decoded by its table, or reported with what would do.
//! Leaves what values mean together to `plan`.

use super::foreign::{self, Foreign};
use super::json::{Member, Node, Value};
use super::keys::{self, Default, Key};
use super::report::{At, Kind, Place, Report, printable, quoted};
use super::values;
use datalake_base::nearest::nearest;
use std::collections::HashMap;

/// A decoded value and where it stands; for a default, where the object stands that lacks the key.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// Which object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Main,
    Fragment,
    Flow,
    Compression,
    Mqtt,
    Topic,
    PartitionKey,
}

impl Level {
    fn table(self) -> &'static [&'static Key] {
        match self {
            Self::Main | Self::Fragment => keys::TOP_KEYS,
            Self::Flow => keys::FLOW_KEYS,
            Self::Compression => keys::COMPRESSION_KEYS,
            Self::Mqtt => keys::MQTT_KEYS,
            Self::Topic => keys::TOPIC_KEYS,
            Self::PartitionKey => keys::PARTITION_KEY_KEYS,
        }
    }

    fn foreign(self) -> &'static [Foreign] {
        match self {
            Self::Main | Self::Fragment => foreign::TOP,
            Self::Flow => foreign::FLOW,
            Self::Compression | Self::PartitionKey | Self::Mqtt | Self::Topic => &[],
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Main => "the top level",
            Self::Fragment => "a fragment",
            Self::Flow => "a flow",
            Self::Compression => "`compression`",
            Self::Mqtt => "`mqtt`",
            Self::Topic => "a topic",
            Self::PartitionKey => "`partitionKeyOption`",
        }
    }
}

/// The known keys of one object.
pub(super) struct Section<'a> {
    pub(super) at: At,
    fields: HashMap<&'static str, &'a Member>,
}

impl<'a> Section<'a> {
    /// Sorts the members of an object; what does not belong there is reported.
    pub(super) fn open(level: Level, value: &'a Value, path: &str, report: &mut Report) -> Option<Self> {
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
            match level.table().iter().find(|key| key.name == member.name) {
                Some(key) if level == Level::Fragment && key.name != keys::FLOWS.name => {
                    let message = format!("`{}` is a key of the main file", at.path);
                    report.add(Kind::WrongPlace, &at, message, "a file in agent.d holds `flows` and nothing else");
                }
                Some(key) => {
                    section.fields.insert(key.name, member);
                }
                None if report.is_full() => report.add(Kind::UnknownKey, &at, "", ""),
                None => unknown(level, member, &at, report),
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
    fn at(&self, key: &Key) -> At {
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

    fn decode<T>(
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

    /// A text; `None` when it is left out or faulty.
    pub(super) fn text(&self, key: &'static Key, report: &mut Report) -> Option<Placed<String>> {
        self.decode(key, report, values::text)
    }

    /// A text that is not empty; an empty one is the same as left out.
    pub(super) fn nonempty_text(&self, key: &'static Key, report: &mut Report) -> Option<Placed<String>> {
        self.text(key, report).filter(|text| !text.value.is_empty())
    }

    /// One or several texts, each at its place; `None` when they are left out or faulty.
    pub(super) fn texts(&self, key: &'static Key, report: &mut Report) -> Option<Vec<Placed<String>>> {
        self.decode(key, report, values::texts).map(|texts| texts.value)
    }

    /// A whole number or a size in its range.
    pub(super) fn number(&self, key: &'static Key, report: &mut Report) -> Option<Placed<u64>> {
        self.decode(key, report, values::number)
    }

    /// The same; its default when it is left out or faulty.
    pub(super) fn number_or_default(&self, key: &'static Key, report: &mut Report) -> Placed<u64> {
        let Default::Number(number) = key.default else { unreachable!("{} has a number as default", key.name) };
        self.number(key, report).unwrap_or_else(|| Placed { value: number, at: self.at(key) })
    }

    /// A text; its default when it is left out or faulty.
    pub(super) fn text_or_default(&self, key: &'static Key, report: &mut Report) -> Placed<String> {
        let Default::Text(text) = key.default else { unreachable!("{} has a text as default", key.name) };
        self.text(key, report).unwrap_or_else(|| Placed { value: text.to_owned(), at: self.at(key) })
    }

    /// One of the texts the table allows; its default when it is left out or faulty, or the first if it has none.
    pub(super) fn choice(&self, key: &'static Key, report: &mut Report) -> &'static str {
        let keys::Kind::Choice(choices) = key.kind else { unreachable!("{} is a choice", key.name) };
        let fallback = if let Default::Text(text) = key.default { text } else { choices[0] };
        self.decode(key, report, values::choice).map_or(fallback, |choice| choice.value)
    }

    /// The same, only if it is there.
    pub(super) fn given_choice(&self, key: &'static Key, report: &mut Report) -> Option<Placed<&'static str>> {
        self.decode(key, report, values::choice)
    }

    /// True or false, only if it is there.
    pub(super) fn given_boolean(&self, key: &'static Key, report: &mut Report) -> Option<Placed<bool>> {
        self.decode(key, report, values::boolean)
    }

    /// True or false; its default when it is left out or faulty.
    pub(super) fn boolean(&self, key: &'static Key, report: &mut Report) -> bool {
        // Where it depends on others what holds without the key, whoever asks looks whether it is there.
        let flag = matches!(key.default, Default::Boolean(true) | Default::Unset(_));
        self.decode(key, report, values::boolean).map_or(flag, |flag| flag.value)
    }
}

/// `flows[2]`, or the file.
pub(super) fn subject(path: &str) -> String {
    if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") }
}

/// Reports a key that the table does not have.
fn unknown(level: Level, member: &Member, at: &At, report: &mut Report) {
    let (name, path) = (member.name.as_str(), &at.path);
    if let Some(foreign) = level.foreign().iter().find(|foreign| foreign.name == name) {
        let message = match foreign.kind {
            Kind::NotSupported => format!("`{path}` is a key of the Kinesis Agent that this version does not support"),
            Kind::Renamed => format!("`{path}` is not the name this agent uses"),
            _ => format!("`{path}` has no effect in this agent"),
        };
        return report.add(foreign.kind, at, message, foreign.help);
    }
    let elsewhere = match level {
        Level::Main | Level::Fragment => Level::Flow,
        Level::Flow => Level::Main,
        Level::Compression | Level::PartitionKey | Level::Mqtt => Level::Flow,
        Level::Topic => Level::Mqtt,
    };
    let names = |level: Level| level.table().iter().map(|key| key.name).chain(level.foreign().iter().map(|f| f.name));
    if let Some(known) = names(elsewhere).find(|known| known.eq_ignore_ascii_case(name)) {
        let help = match level {
            Level::Main | Level::Fragment => "move it into each flow that needs it; there is no default for all flows",
            Level::Mqtt => "move it out of the braces, beside `mqtt`",
            Level::Topic => "move it out of the topic, beside `topics`",
            Level::Flow if keys::MQTT_KEYS.iter().any(|key| key.name == known) => "move it into `mqtt`",
            Level::Flow => "move it to the top level of the main file; it holds for all flows",
            Level::Compression | Level::PartitionKey => "move it out of the braces, into the flow",
        };
        let message = format!("`{known}` is a key of {}, not of {}", elsewhere.words(), level.words());
        return report.add(Kind::WrongPlace, at, message, help);
    }
    let message = format!("{} is not a key of {}", quoted(name).replace('"', "`"), level.words());
    let prefix = format!("{name}.");
    let help = if let Some(known) = names(level).find(|known| known.starts_with(&prefix)) {
        format!("the dot is part of the name: write \"{known}\": … instead of nested braces")
    } else if let Some(known) = nearest(name, names(level)) {
        format!("did you mean `{known}`?")
    } else if let Some(known) = nearest(name, names(elsewhere)) {
        format!("did you mean `{known}`? It is a key of {}", elsewhere.words())
    } else {
        "remove it; docs/configuration.md lists all keys".to_owned()
    };
    report.add(Kind::UnknownKey, at, message, help);
}

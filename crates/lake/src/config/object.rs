//! One object of `lake.json`, key by key.
//! Promises that a key which nobody asked for is a fault, reported with the nearest one that is known.
//! Leaves what values mean to the caller.

use datalake_base::nearest::nearest;
use datalake_report::json::{Member, Node, Value};
use datalake_report::report::{At, Kind, Place, Report, printable};

pub(super) struct Object<'a> {
    /// Its opening brace.
    pub(super) at: At,
    members: Vec<&'a Member>,
}

/// Reports that a value is of another kind.
pub(super) fn wrong_type(value: &Value, at: &At, help: &str, report: &mut Report) {
    let found = match &value.node {
        Node::Null => "null",
        Node::Boolean(_) => "true or false",
        Node::Number(_) => "a number",
        Node::Text(_) => "a text",
        Node::List(_) => "a list",
        Node::Object(_) => "an object",
        Node::Faulty => return,
    };
    let subject = if at.path.is_empty() { "the file".to_owned() } else { format!("`{}`", at.path) };
    report.add(Kind::WrongType, at, format!("{subject} is {found}"), help);
}

impl<'a> Object<'a> {
    pub(super) fn open(value: &'a Value, path: &str, known: &[&str], report: &mut Report) -> Option<Self> {
        let at = At { place: value.place, path: path.to_owned() };
        let Node::Object(members) = &value.node else {
            wrong_type(value, &at, "write an object: { … }", report);
            return None;
        };
        let brace = Place { end: value.place.start + 1, ..value.place };
        let object = Self { at: At { place: brace, ..at }, members: members.iter().collect() };
        for (index, member) in members.iter().enumerate() {
            let at = At { place: member.name_place, path: object.path_of(&printable(&member.name)) };
            if members[..index].iter().any(|earlier| earlier.name == member.name) {
                report.add(Kind::DuplicateKey, &at, format!("`{}` stands here a second time", at.path), "keep one");
            } else if !known.contains(&member.name.as_str()) {
                let help = match nearest(&member.name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", known.join(", ")),
                };
                report.add(Kind::UnknownKey, &at, format!("`{}` is not a key of this object", at.path), help);
            }
        }
        Some(object)
    }

    fn path_of(&self, name: &str) -> String {
        if self.at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at.path) }
    }

    pub(super) fn value(&self, key: &str) -> Option<(&'a Value, At)> {
        let member = self.members.iter().find(|member| member.name == key)?;
        Some((&member.value, At { place: member.value.place, path: self.path_of(key) }))
    }

    pub(super) fn missing(&self, key: &str, help: &str, report: &mut Report) {
        let subject = if self.at.path.is_empty() { "the file".to_owned() } else { format!("`{}`", self.at.path) };
        report.add(Kind::Missing, &self.at, format!("{subject} has no `{key}`"), format!("add it: {help}"));
    }

    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<(String, At)> {
        let (value, at) = self.value(key)?;
        match &value.node {
            Node::Text(text) if text.is_empty() => {
                report.add(Kind::Empty, &at, format!("`{}` is empty", at.path), "write something, or leave it out");
                None
            }
            Node::Text(text) => Some((text.clone(), at)),
            _ => {
                wrong_type(value, &at, "write a text in double quotes", report);
                None
            }
        }
    }

    pub(super) fn required_text(&self, key: &str, help: &str, report: &mut Report) -> Option<(String, At)> {
        if self.value(key).is_none() {
            self.missing(key, help, report);
        }
        self.text(key, report)
    }

    pub(super) fn number(&self, key: &str, report: &mut Report) -> Option<(u64, At)> {
        let (value, at) = self.value(key)?;
        if let Node::Number(text) = &value.node
            && let Ok(number) = text.parse()
        {
            return Some((number, at));
        }
        wrong_type(value, &at, "write a whole number", report);
        None
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(&self, key: &str, help: &str, report: &mut Report) -> Vec<(String, At)> {
        let Some((value, at)) = self.value(key) else {
            self.missing(key, help, report);
            return Vec::new();
        };
        let single = std::slice::from_ref(value);
        let items = if let Node::List(items) = &value.node { items.as_slice() } else { single };
        let mut texts = Vec::new();
        for item in items {
            let at = At { place: item.place, path: at.path.clone() };
            match &item.node {
                Node::Text(text) if !text.is_empty() => texts.push((text.clone(), at)),
                _ => wrong_type(item, &at, help, report),
            }
        }
        if items.is_empty() {
            report.add(Kind::Empty, &at, format!("`{}` is an empty list", at.path), help);
        }
        texts
    }
}

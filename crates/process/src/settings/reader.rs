//! The keys of one option, read one by one.
//! Promises that a key which nobody asked for is a fault that names the nearest key that was asked for.
//! Leaves what the values mean to the options.

use super::{ReadFile, StepError};
use crate::java::{Pattern, PatternError};
use crate::json::print::Format;
use datalake_base::nearest::nearest;
use serde_json::{Map, Value};

/// Deeper constants are a mistake, and would be cut off by the readers of the lake.
const DEPTH: usize = 32;

/// One option being read.
pub(super) struct Reader<'a> {
    index: usize,
    keys: &'a Map<String, Value>,
    asked: Vec<&'static str>,
    /// The patterns that were read, with their places.
    patterns: Vec<(String, Pattern)>,
    read: &'a ReadFile,
    errors: &'a mut Vec<StepError>,
}

impl<'a> Reader<'a> {
    /// For the option of this number; `None` (and a fault) where it is no object.
    pub(super) fn new(
        index: usize,
        option: &'a Value,
        read: &'a ReadFile,
        errors: &'a mut Vec<StepError>,
    ) -> Option<Self> {
        let Value::Object(keys) = option else {
            let (message, help) = ("an option is an object".to_owned(), "write {\"optionName\": …}".to_owned());
            errors.push(StepError { path: format!("/{index}"), at_name: false, message, help });
            return None;
        };
        Some(Self { index, keys, asked: Vec::new(), patterns: Vec::new(), read, errors })
    }

    /// Reports a fault at a key; deeper places are written `key/0`.
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let path = format!("/{}/{key}", self.index);
        self.errors.push(StepError { path, at_name: false, message: message.into(), help: help.into() });
    }

    /// The value of a key, if it is there and not null.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// The bytes of a file that a key names.
    pub(super) fn read_file(&self, path: &str) -> Result<Vec<u8>, String> {
        (self.read)(path)
    }

    /// Keys that may be there and mean nothing.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.asked.extend_from_slice(keys);
    }

    /// A text; a number or a truth value counts as its text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => {
                self.error(key, "this is not a text", "write it in quotes");
                None
            }
        }
    }

    pub(super) fn required_text(&mut self, key: &'static str, help: &str) -> Option<String> {
        if self.value(key).is_none() {
            self.error(key, format!("`{key}` is missing"), help);
            return None;
        }
        self.text(key)
    }

    /// A truth value, or its text in any case.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => {
                self.error(key, "this is neither true nor false", "write true or false");
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known = words.iter().map(|(word, _)| *word);
            let help = match nearest(&text, known.clone()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known are {}", known.collect::<Vec<_>>().join(", ")),
            };
            self.error(key, format!("`{text}` is not known here"), help);
        }
        found.map(|(_, meaning)| *meaning)
    }

    pub(super) fn format(&mut self) -> Format {
        let words = [("COMPACT", Format::Compact), ("PRETTYPRINT", Format::PrettyPrint)];
        self.choice("jsonFormat", &words).unwrap_or_default()
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        match self.value(key)? {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => {
                let mut texts = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    match item {
                        Value::String(text) => texts.push(text.clone()),
                        Value::Number(number) => texts.push(number.to_string()),
                        Value::Bool(flag) => texts.push(flag.to_string()),
                        _ => {
                            self.error(&format!("{key}/{index}"), "this is not a text", "write it in quotes");
                            return None;
                        }
                    }
                }
                Some(texts)
            }
            _ => {
                self.error(key, "this is not a list of texts", "write [\"…\", \"…\"]");
                None
            }
        }
    }

    /// An object; its values may be anything of bounded depth.
    pub(super) fn object(&mut self, key: &'static str) -> Option<&'a Map<String, Value>> {
        match self.constant(key)? {
            Value::Object(members) => Some(members),
            _ => {
                self.error(key, "this is not an object", "write {\"name\": …}");
                None
            }
        }
    }

    /// Any value of bounded depth.
    pub(super) fn constant(&mut self, key: &'static str) -> Option<&'a Value> {
        let value = self.value(key)?;
        if deeper_than(value, DEPTH) {
            self.error(key, format!("this is nested deeper than {DEPTH} levels"), "write it flatter");
            return None;
        }
        Some(value)
    }

    /// A regular expression, compiled by `compile`.
    pub(super) fn pattern<E: std::fmt::Display>(
        &mut self,
        key: &'static str,
        compile: impl Fn(&str) -> Result<Pattern, E>,
    ) -> Option<Pattern> {
        let text = self.text(key)?;
        self.compiled(key, &text, compile)
    }

    /// Several of them.
    pub(super) fn patterns(
        &mut self,
        key: &'static str,
        compile: fn(&str) -> Result<Pattern, PatternError>,
    ) -> Vec<Pattern> {
        let texts = self.texts(key).unwrap_or_default();
        let compiled = texts
            .iter()
            .enumerate()
            .filter_map(|(index, text)| self.compiled(&format!("{key}/{index}"), text, compile));
        compiled.collect()
    }

    pub(super) fn compiled<E: std::fmt::Display>(
        &mut self,
        place: &str,
        text: &str,
        compile: impl Fn(&str) -> Result<Pattern, E>,
    ) -> Option<Pattern> {
        match compile(text) {
            Ok(pattern) => {
                self.knows(place, &pattern);
                Some(pattern)
            }
            Err(error) => {
                let help = "in JSON each backslash of a pattern is written twice";
                self.error(place, format!("this is no regular expression: {error}"), help);
                None
            }
        }
    }

    /// Notes a pattern that was read at this place.
    pub(super) fn knows(&mut self, place: &str, pattern: &Pattern) {
        self.patterns.push((format!("/{}/{place}", self.index), pattern.clone()));
    }

    /// Reports the keys that nobody asked for; the patterns that were read.
    pub(super) fn finish(self) -> Vec<(String, Pattern)> {
        for key in self.keys.keys().filter(|key| !self.asked.contains(&key.as_str())).cloned().collect::<Vec<_>>() {
            let help = match nearest(&key, self.asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("this option knows {}", self.asked.join(", ")),
            };
            let escaped = key.replace('~', "~0").replace('/', "~1");
            let path = format!("/{}/{escaped}", self.index);
            let message = format!("the key `{key}` is unknown here");
            self.errors.push(StepError { path, at_name: true, message, help });
        }
        self.patterns
    }
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(members) => levels == 0 || members.values().any(|item| deeper_than(item, levels - 1)),
        _ => false,
    }
}

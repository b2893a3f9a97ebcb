//! One object of the Kinesis Agent's configuration against the table of its keys.
//! Promises a note for each key that it ignored, misspelt ones and those at the wrong level included.
//! Leaves what a value becomes to the translation.

use super::java;
use super::notes::Notes;
use super::tables::{self, Fate, OldKey};
use datalake_base::nearest::nearest;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The value keeps the Kinesis Agent from starting; a note says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// An object and where it stands.
pub(super) struct Section<'a> {
    pub(super) map: &'a Map<String, Value>,
    /// The name of the file.
    pub(super) file: &'a str,
    /// The keys that lead here, with a point behind; empty at the top.
    pub(super) path: String,
}

impl<'a> Section<'a> {
    pub(super) fn place(&self, key: &str) -> String {
        format!("{}: {}{key}", self.file, self.path)
    }

    /// The value, unless it is null or not there.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Notes for all keys without effect; `other` is the table of the level that a key may have been meant for.
    pub(super) fn explain(
        &self,
        table: &'static [OldKey],
        other: &'static [OldKey],
        elsewhere: &str,
        notes: &mut Notes,
    ) {
        for (name, _) in self.map {
            let place = self.place(name);
            match tables::find(table, name).map(|key| key.fate) {
                Some(Fate::Read) => {}
                Some(Fate::Gone(why)) => notes.same(place, format!("left out: {why}")),
                Some(Fate::Dead) => notes.same(place, "left out: the Kinesis Agent reads it and does nothing with it"),
                None if tables::find(other, name).is_some() => notes.same(
                    place,
                    format!(
                        "left out: at this level the Kinesis Agent ignored it; it belongs {elsewhere}, if it is meant"
                    ),
                ),
                None => {
                    let known = table.iter().map(|key| key.name);
                    let meant = match nearest(name, known) {
                        Some(meant) => format!("; was `{meant}` meant? Then add it under that name"),
                        None => String::new(),
                    };
                    notes.same(place, format!("left out: the Kinesis Agent knows no such key and ignored it{meant}"));
                }
            }
        }
    }

    /// A text; empty and null are the same as left out.
    pub(super) fn text(&self, key: &str, notes: &mut Notes) -> Result<Option<String>, Refused> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match java::text(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => {
                notes.blocks(self.place(key), "it is no text; the Kinesis Agent does not start with it");
                Err(Refused)
            }
        }
    }

    /// A whole number in its range there.
    pub(super) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        notes: &mut Notes,
    ) -> Result<Option<i64>, Refused> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let place = self.place(key);
        let Some(whole) = java::whole(value) else {
            notes.blocks(place, format!("{value} is no whole number; the Kinesis Agent does not start with it"));
            return Err(Refused);
        };
        let number = whole.number;
        if let Some(odd) = whole.odd {
            notes
                .same(&place, format!("{value} was read as {odd}: it is written {number} now, which is what it meant"));
        }
        if !range.contains(&number) {
            let (low, high) = range.into_inner();
            notes.blocks(
                place,
                format!("{number} is not within {low} to {high}; the Kinesis Agent does not start with it"),
            );
            return Err(Refused);
        }
        Ok(Some(number))
    }

    /// A truth value.
    pub(super) fn truth(&self, key: &str, notes: &mut Notes) -> Result<Option<bool>, Refused> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let truth = java::truth(value);
        if truth.is_none() {
            notes.blocks(
                self.place(key),
                format!("{value} is neither true nor false; the Kinesis Agent does not start with it"),
            );
        }
        truth.map(Some).ok_or(Refused)
    }

    /// One of several words, exactly; null is the same as left out.
    pub(super) fn choice(
        &self,
        key: &str,
        choices: &[&'static str],
        notes: &mut Notes,
    ) -> Result<Option<&'static str>, Refused> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let hit = choices.iter().copied().find(|choice| value.as_str() == Some(choice));
        if hit.is_none() {
            let known = choices.join(", ");
            notes.blocks(
                self.place(key),
                format!("{value} is none of {known}; the Kinesis Agent does not start with it"),
            );
        }
        hit.map(Some).ok_or(Refused)
    }
}

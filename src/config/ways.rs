//! How the value of a key is read into a field: one type for each way, named in the table of keys.
//! Promises that a value is decoded within its key's range, or its default is taken, or a fault is reported.
//! Leaves single values to `values`, and what they mean together to `plan`.

use super::json::{Node, Value};
use super::key::{self, Default, Key};
use super::report::{At, Kind, Placed, Report};
use super::section::{Object, Section};
use super::values;
use std::fmt::Debug;
use std::marker::PhantomData;

/// A way of reading.
pub(super) trait Way {
    /// What it makes of a value.
    type Written: Debug;

    /// Reads the value of the key.
    fn read(section: &Section<'_>, key: &'static Key, report: &mut Report) -> Self::Written;
}

macro_rules! ways {
    ($($(#[doc = $words:literal])+ $way:ident $(<$kind:ident>)? -> $written:ty = |$section:ident, $key:ident, $report:ident| $read:expr;)+) => {
        $(
            $(#[doc = $words])+
            pub(super) struct $way $(<$kind>(PhantomData<$kind>))?;

            impl $(<$kind: Object + Debug>)? Way for $way $(<$kind>)? {
                type Written = $written;

                fn read($section: &Section<'_>, $key: &'static Key, $report: &mut Report) -> Self::Written {
                    $read
                }
            }
        )+
    };
}

ways! {
    /// A text.
    Text -> Option<Placed<String>> = |section, key, report| section.decode(key, report, values::text);
    /// A text; an empty one is the same as left out.
    NonEmpty -> Option<Placed<String>> = |section, key, report| Text::read(section, key, report).filter(|text| !text.value.is_empty());
    /// The same, but pointing at its key: what is wrong about credentials is never what they say.
    Credential -> Option<Placed<String>> = |section, key, report| {
        NonEmpty::read(section, key, report).map(|text| Placed { at: section.key_at(key), ..text })
    };
    /// A text, or its default.
    TextOrDefault -> Placed<String> = |section, key, report| {
        let Default::Text(text) = key.default else { unreachable!("{} has a text as default", key.name) };
        Text::read(section, key, report).unwrap_or_else(|| Placed { value: text.to_owned(), at: section.at(key) })
    };
    /// One or several texts, each at its place.
    Texts -> Vec<Placed<String>> = |section, key, report| {
        section.decode(key, report, values::texts).map(|texts| texts.value).unwrap_or_default()
    };
    /// A whole number or a size in its range.
    Number -> Option<Placed<u64>> = |section, key, report| section.decode(key, report, values::number);
    /// The same, or its default.
    NumberOrDefault -> Placed<u64> = |section, key, report| {
        let Default::Number(number) = key.default else { unreachable!("{} has a number as default", key.name) };
        Number::read(section, key, report).unwrap_or_else(|| Placed { value: number, at: section.at(key) })
    };
    /// The same without its place.
    Amount -> u64 = |section, key, report| NumberOrDefault::read(section, key, report).value;
    /// One of the texts that the table allows, if it is there.
    GivenChoice -> Option<Placed<&'static str>> = |section, key, report| section.decode(key, report, values::choice);
    /// The same; its default where it is left out or faulty, or the first if it has none.
    Choice -> &'static str = |section, key, report| {
        let key::Kind::Choice(choices) = key.kind else { unreachable!("{} is a choice", key.name) };
        let fallback = if let Default::Text(text) = key.default { text } else { choices[0] };
        GivenChoice::read(section, key, report).map_or(fallback, |choice| choice.value)
    };
    /// True or false, if it is there.
    GivenFlag -> Option<Placed<bool>> = |section, key, report| section.decode(key, report, values::boolean);
    /// True or false, or its default.
    Flag -> bool = |section, key, report| {
        let otherwise = matches!(key.default, Default::Boolean(true));
        GivenFlag::read(section, key, report).map_or(otherwise, |flag| flag.value)
    };
    /// A value as it stands.
    Raw -> Option<Placed<Value>> = |section, key, _report| section.value(key).map(|(value, at)| Placed { value: value.clone(), at });
    /// An object.
    Nested<T> -> Option<T> = |section, key, report| section.value(key).and_then(|(value, at)| open(value, &at, report));
    /// A text, or an object in its place.
    TextOr<T> -> Option<Placed<Form<T>>> = |section, key, report| {
        section.value(key).and_then(|(value, at)| Some(Placed { value: form(value, &at, report)?, at }))
    };
    /// A text or an object, or a list of both. It must be there.
    Several<T> -> Vec<Placed<Form<T>>> = |section, key, report| {
        let read = |value: &Value, at: &At, _key: &'static Key, report: &mut Report| Some(several(value, at, report));
        section.decode(key, report, read).map(|forms| forms.value).unwrap_or_default()
    };
    /// A list of objects.
    Each<T> -> Vec<T> = |section, key, report| section.value(key).map_or_else(Vec::new, |(value, at)| each(value, &at, report));
}

/// A text or an object in its place.
#[derive(Debug)]
pub(super) enum Form<T> {
    /// The text as a value, for its meaning differs.
    Text(Value),
    /// The object.
    Object(T),
}

fn open<T: Object>(value: &Value, at: &At, report: &mut Report) -> Option<T> {
    let section = Section::open(T::level(), value, &at.path, report)?;
    Some(T::read(&section, report))
}

fn form<T: Object>(value: &Value, at: &At, report: &mut Report) -> Option<Form<T>> {
    match &value.node {
        Node::Text(_) => Some(Form::Text(value.clone())),
        Node::Object(_) => open(value, at, report).map(Form::Object),
        _ => {
            let words =
                T::level().instead.unwrap_or_else(|| unreachable!("a text may stand in place of {}", T::level().words));
            let message = format!("`{}` is {}, not {}", at.path, values::describe(value), words.what);
            values::wrong_type(value, at, message, words.help, report);
            None
        }
    }
}

fn several<T: Object>(value: &Value, at: &At, report: &mut Report) -> Vec<Placed<Form<T>>> {
    let Node::List(values) = &value.node else {
        return form(value, at, report).map(|value| Placed { value, at: at.clone() }).into_iter().collect();
    };
    if values.is_empty() {
        let help = T::level().instead.map_or("", |words| words.empty);
        report.add(Kind::Empty, at, format!("`{}` is an empty list", at.path), help);
    }
    let mut forms = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let at = At { place: value.place, path: format!("{}[{index}]", at.path) };
        forms.extend(form(value, &at, report).map(|value| Placed { value, at }));
    }
    forms
}

fn each<T: Object>(value: &Value, at: &At, report: &mut Report) -> Vec<T> {
    let Node::List(values) = &value.node else {
        let message = format!("`{}` is {}, not a list", at.path, values::describe(value));
        values::wrong_type(value, at, message, "write a list of objects: [ { … } ]", report);
        return Vec::new();
    };
    let mut objects = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let at = At { place: value.place, path: format!("{}[{index}]", at.path) };
        objects.extend(open::<T>(value, &at, report));
    }
    objects
}

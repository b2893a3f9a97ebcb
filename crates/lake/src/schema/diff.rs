//! What became of a schema, and whether objects written before can still be read.
//! Promises that a change which makes an old object unreadable, or silently other, is called so.
//! Leaves what to do about it to the operator.

use super::columns;
use datalake_schema::plan::{Field, Kind, Message, Plan, Scalar, Shape};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whether old objects can be read as before.
    pub safe: bool,
    /// Where and what.
    pub text: String,
}

/// All changes from `old` to `new`, in the order of tables and columns.
#[must_use]
pub fn compare(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut say = |safe: bool, text: String| changes.push(Change { safe, text });
    for (name, table) in &old.tables {
        let Some(now) = new.tables.get(name) else {
            say(false, format!("{name}: the table is gone; its objects stay, and nobody reads them"));
            continue;
        };
        if table.timestamp_digits != now.timestamp_digits {
            let text = "timestamps have other digits; texts of before and after do not sort together";
            say(false, format!("{name}: {text}"));
        }
        messages(name, (old, old.message_of(table)), (new, new.message_of(now)), &mut say);
    }
    for name in new.tables.keys().filter(|name| !old.tables.contains_key(*name)) {
        say(true, format!("{name}: a new table"));
    }
    changes
}

fn messages(
    place: &str,
    (old, was): (&Plan, &Message),
    (new, is): (&Plan, &Message),
    say: &mut dyn FnMut(bool, String),
) {
    for field in &was.fields {
        let place = format!("{place}.{}", field.name);
        let Some(now) = is.fields.iter().find(|now| now.name == field.name) else {
            match is.fields.iter().find(|now| now.number == field.number) {
                Some(now) => {
                    let text = format!("renamed to `{}`: a new column, null in every old object", now.name);
                    say(false, format!("{place}: {text}"));
                }
                None => say(true, format!("{place}: removed; old objects keep it, nobody reads it")),
            }
            continue;
        };
        if now.number != field.number {
            let text = format!(
                "the number was {}, is {}; binary messages of before mean something else",
                field.number, now.number
            );
            say(false, format!("{place}: {text}"));
        }
        field_change(&place, (old, field), (new, now), say);
    }
    let is_new =
        |field: &&Field| was.fields.iter().all(|known| known.name != field.name && known.number != field.number);
    for field in is.fields.iter().filter(is_new) {
        say(
            true,
            format!("{place}.{}: a new column ({}), null in every old object", field.name, columns::hive(new, field)),
        );
    }
}

fn field_change(
    place: &str,
    (old, was): (&Plan, &Field),
    (new, is): (&Plan, &Field),
    say: &mut dyn FnMut(bool, String),
) {
    if let (Kind::Message(inner) | Kind::Group(inner), Kind::Message(now) | Kind::Group(now)) = (was.kind, is.kind)
        && was.shape == is.shape
    {
        return messages(place, (old, &old.messages[inner]), (new, &new.messages[now]), say);
    }
    let (before, after) = (columns::hive(old, was), columns::hive(new, is));
    if before != after {
        let wider = was.shape == is.shape && widens(was.kind, is.kind);
        let what = if wider { "reads old objects too" } else { "old objects cannot be read so" };
        say(wider, format!("{place}: was {before}, is {after}: {what}"));
    } else if meaning(was) != meaning(is) {
        say(
            false,
            format!("{place}: the text has another meaning than in old objects ({} → {})", meaning(was), meaning(is)),
        );
    }
    if let (Kind::Enum(was), Kind::Enum(is)) = (was.kind, is.kind) {
        for (name, number) in &old.enums[was].values {
            if !new.enums[is].values.iter().any(|(known, now)| known == name && now == number) {
                say(false, format!("{place}: the value {name} = {number} is gone or has another number"));
            }
        }
    }
    if was.presence != is.presence && was.shape == Shape::One {
        let text =
            if is.presence { "absent is null now, was the default" } else { "absent is the default now, was null" };
        say(true, format!("{place}: {text}"));
    }
}

/// Whether every value of the one is one of the other.
fn widens(from: Kind, to: Kind) -> bool {
    let scalar = |kind: Kind| match kind {
        Kind::Scalar(scalar) | Kind::Wrapper(scalar) => Some(scalar),
        _ => None,
    };
    let rank = |scalar: Scalar| match scalar {
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => Some((0, 1)),
        Scalar::Uint32 | Scalar::Fixed32 => Some((0, 2)),
        Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => Some((0, 3)),
        Scalar::Float => Some((1, 1)),
        Scalar::Double => Some((1, 2)),
        _ => None,
    };
    match (scalar(from).and_then(rank), scalar(to).and_then(rank)) {
        (Some((family, narrow)), Some((other, wide))) => family == other && narrow <= wide,
        _ => false,
    }
}

/// What a column of texts holds.
fn meaning(field: &Field) -> &'static str {
    match field.kind {
        Kind::Scalar(Scalar::Bytes) | Kind::Wrapper(Scalar::Bytes) => "base64",
        Kind::Scalar(_) | Kind::Wrapper(_) => "plain",
        Kind::Enum(_) => "the name of an enum's value",
        Kind::Timestamp => "a time",
        Kind::Duration => "a duration",
        Kind::FieldMask => "a field mask",
        Kind::Struct | Kind::ListValue | Kind::Value | Kind::Any => "JSON",
        Kind::Null => "null",
        Kind::Message(_) | Kind::Group(_) => "an object",
    }
}

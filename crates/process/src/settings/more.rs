//! What the options mean that the Kinesis Agent does not have.
//! Promises that each refuses what it could not do at run time.
//! Leaves the options of the Kinesis Agent to original.

use super::Step;
use super::original::template;
use super::reader::Reader;
use crate::fields::{AddFields, Constant, FixedEdits};
use crate::filter::{Condition, Filter, Rules, Test, Wanted};
use crate::java::Pattern;
use crate::json::edit::{Act, Edits, Tree, path};
use crate::json::print::Format;
use crate::json::quoted;
use crate::number::Number;
use crate::provenance::Provenance;
use crate::redact::detect::Kinds;
use crate::redact::{self, Redact};
use crate::time::parse::{self, TimeFormat};
use crate::timestamp::Timestamp;
use serde_json::Value;

pub(super) fn provenance(reader: &mut Reader<'_>) -> Option<Step> {
    let prefix = reader.text("prefix").unwrap_or_else(|| "source_".to_owned());
    Some(Step::with_surroundings("ADDPROVENANCE", move |surroundings| Ok(Provenance::new(&prefix, &surroundings.host))))
}

/// The inside of a name of JSON.
fn name(text: &str) -> Vec<u8> {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_vec()
}

pub(super) fn filter(reader: &mut Reader<'_>) -> Option<Step> {
    let mut rules = Rules {
        include: reader.patterns("include", Pattern::anywhere),
        exclude: reader.patterns("exclude", Pattern::anywhere),
        ..Rules::default()
    };
    let mut names: Vec<String> = Vec::new();
    rules.keep_when = tests(reader, "keepWhen", &mut names);
    rules.drop_when = tests(reader, "dropWhen", &mut names);
    for (index, name) in names.iter().enumerate() {
        rules.fields.insert(&path(name), index);
    }
    rules.field_count = names.len();
    if rules.include.is_empty() && rules.exclude.is_empty() && names.is_empty() {
        let help = "give `include`, `exclude`, `keepWhen` or `dropWhen`";
        reader.error("optionName", "this FILTER would keep everything", help);
        return None;
    }
    Some(Step::plain("FILTER", move || Filter::new(rules.clone())))
}

/// The tests of a list; the fields that they look at are added to `names`.
fn tests(reader: &mut Reader<'_>, key: &'static str, names: &mut Vec<String>) -> Vec<Test> {
    let Some(value) = reader.constant(key) else { return Vec::new() };
    let one = [value.clone()];
    let list = value.as_array().map_or(one.as_slice(), Vec::as_slice);
    let mut tests = Vec::new();
    for (index, test) in list.iter().enumerate() {
        let place = format!("{key}/{index}");
        match condition(reader, &place, test) {
            Ok((name, condition)) => {
                let field = names.iter().position(|known| *known == name).unwrap_or(names.len());
                if field == names.len() {
                    names.push(name);
                }
                tests.push(Test { field, condition });
            }
            Err(Some(message)) => {
                let help =
                    "write {\"field\": \"level\", …} with one of \"equals\", \"matches\", \"exists\" or \"range\"";
                reader.error(&place, message, help);
            }
            Err(None) => {}
        }
    }
    tests
}

/// The field and the condition of one test; an error without a text was reported.
fn condition(reader: &mut Reader<'_>, place: &str, test: &Value) -> Result<(String, Condition), Option<String>> {
    let keys = test.as_object().ok_or("a test is an object".to_owned())?;
    let field = keys.get("field").and_then(Value::as_str).ok_or("the test names no `field`".to_owned())?;
    let mut conditions = keys.iter().filter(|(key, _)| *key != "field");
    let (Some((kind, value)), None) = (conditions.next(), conditions.next()) else {
        return Err(Some("a test has one condition".to_owned()));
    };
    let condition = match (kind.as_str(), value) {
        ("exists", Value::Bool(wanted)) => Condition::Exists(*wanted),
        ("matches", Value::String(text)) => {
            let pattern = reader.compiled(&format!("{place}/matches"), text, Pattern::anywhere);
            Condition::Matches(pattern.ok_or(None)?)
        }
        ("equals", value) => {
            let one = std::slice::from_ref(value);
            let values = value.as_array().map_or(one, Vec::as_slice).iter().map(wanted);
            let help = "`equals` compares with texts, numbers, true, false and null";
            Condition::Equals(values.collect::<Option<_>>().ok_or(help.to_owned())?)
        }
        ("range", Value::Object(bounds)) => {
            let bound = |key: &str| bounds.get(key).map(|bound| Number::new(bound.as_number()?));
            let only = bounds.keys().all(|key| matches!(key.as_str(), "from" | "to")) && !bounds.is_empty();
            let help = "a range is {\"from\": 400, \"to\": 599}, or one of the two";
            let (from, to) = match (bound("from"), bound("to")) {
                (Some(None), _) | (_, Some(None)) => return Err(Some(help.to_owned())),
                (from, to) => (from.flatten(), to.flatten()),
            };
            let upside_down = from.as_ref().zip(to.as_ref()).is_some_and(|(from, to)| from.decimal() > to.decimal());
            if !only || upside_down {
                return Err(Some(help.to_owned()));
            }
            Condition::Range(from, to)
        }
        _ => return Err(Some(format!("`{kind}` is no condition, or not of this kind"))),
    };
    Ok((field.to_owned(), condition))
}

/// A value that a field may equal; `None` for objects and lists.
fn wanted(value: &Value) -> Option<Wanted> {
    Some(match value {
        Value::String(text) => Wanted::Text(text.clone()),
        Value::Number(number) => Wanted::Number(Number::new(number)?),
        Value::Bool(true) => Wanted::Word("true"),
        Value::Bool(false) => Wanted::Word("false"),
        Value::Null => Wanted::Word("null"),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

pub(super) fn redact(reader: &mut Reader<'_>) -> Option<Step> {
    let mut kinds = Kinds::default();
    for (index, word) in reader.texts("patterns").unwrap_or_default().iter().enumerate() {
        match word.as_str() {
            "CARD_NUMBER" => kinds.card_number = true,
            "EMAIL" => kinds.email = true,
            "BEARER_TOKEN" => kinds.bearer_token = true,
            _ => reader.error(
                &format!("patterns/{index}"),
                format!("`{word}` is no ready-made pattern"),
                "known are CARD_NUMBER, EMAIL and BEARER_TOKEN; patterns of your own go into `regex`",
            ),
        }
    }
    let patterns = reader.patterns("regex", Pattern::repeated);
    let fields = reader.texts("fields").unwrap_or_default();
    let replacement = reader.text("replacement").unwrap_or_else(|| "[REDACTED]".to_owned());
    if kinds == Kinds::default() && patterns.is_empty() && fields.is_empty() {
        let help = "give `patterns`, `regex` or `fields`";
        reader.error("optionName", "this REDACT would replace nothing", help);
        return None;
    }
    let mut edits = Edits::default();
    for field in &fields {
        let act = Act::Replace(quoted(&replacement).into());
        let path = path(field);
        if path.len() == 1 { edits.anywhere.insert(&path, act) } else { edits.paths.insert(&path, act) }
    }
    let fields = (!fields.is_empty()).then_some(edits);
    let rules = redact::Rules { kinds, patterns, fields, replacement };
    Some(Step::with_surroundings("REDACT", move |surroundings| {
        Ok(Redact::new(rules.clone(), surroundings.max_record_bytes))
    }))
}

pub(super) fn add_fields(reader: &mut Reader<'_>) -> Option<Step> {
    let replace = reader.choice("ifPresent", &[("replace", true), ("keep", false)]).unwrap_or(true);
    let path_pattern = reader.pattern("pathPattern", Pattern::anywhere);
    let Some(fields) = reader.object("fields") else {
        reader.error("fields", "`fields` is missing", "write {\"name\": value, …}");
        return None;
    };
    let mut constants = Vec::new();
    for (field, value) in fields {
        let place = format!("fields/{}", field.replace('~', "~0").replace('/', "~1"));
        let value = template(reader, &place, value, path_pattern.as_ref(), Format::Compact, 1)?;
        constants.push(Constant { name: name(field), value });
    }
    let variables = constants.iter().flat_map(|constant| constant.value.variables()).map(str::to_owned).collect();
    let step = Step::with_surroundings("ADDFIELDS", move |surroundings| {
        let settle = |constant: &Constant| {
            Ok(Constant { name: constant.name.clone(), value: constant.value.settle(surroundings)? })
        };
        let constants = constants.iter().map(settle).collect::<Result<_, _>>()?;
        Ok(AddFields::new(constants, path_pattern.clone(), replace))
    });
    Some(Step { variables, ..step })
}

pub(super) fn rename_fields(reader: &mut Reader<'_>) -> Option<Step> {
    let Some(fields) = reader.object("fields") else {
        reader.error("fields", "`fields` is missing", "write {\"old\": \"new\", …}");
        return None;
    };
    let mut paths = Tree::default();
    for (old, new) in fields {
        let Value::String(new) = new else {
            reader.error("fields", format!("the new name of `{old}` is no text"), "write {\"old\": \"new\"}");
            return None;
        };
        paths.insert(&path(old), Act::Rename(quoted(new).into()));
    }
    let edits = Edits { paths, anywhere: Tree::default() };
    Some(Step::plain("RENAMEFIELDS", move || FixedEdits::new(edits.clone())))
}

pub(super) fn remove_fields(reader: &mut Reader<'_>) -> Option<Step> {
    let Some(fields) = reader.texts("fields") else {
        reader.error("fields", "`fields` is missing", "write [\"name\", \"outer.inner\"]");
        return None;
    };
    let mut paths = Tree::default();
    for field in &fields {
        paths.insert(&path(field), Act::Remove);
    }
    let edits = Edits { paths, anywhere: Tree::default() };
    Some(Step::plain("REMOVEFIELDS", move || FixedEdits::new(edits.clone())))
}

pub(super) fn timestamp(reader: &mut Reader<'_>) -> Option<Step> {
    let field = reader.required_text("field", "name the field that holds the time, such as \"datetime\"");
    let into = reader.text("into");
    let zone_text = reader.text("timeZone").unwrap_or_else(|| "Z".to_owned());
    let named = parse::NAMED.map(|(name, _)| name).join(", ");
    let help = format!("write one of {named}, or a format such as \"%d/%b/%Y:%H:%M:%S %z\"");
    let format = reader.required_text("format", &help)?;
    let mut rest = zone_text.as_bytes();
    let Some(zone) = parse::zone(&mut rest).filter(|_| rest.is_empty()) else {
        reader.error("timeZone", format!("`{zone_text}` is no distance from UTC"), "write it like \"+01:00\"");
        return None;
    };
    let format = match TimeFormat::new(&format, zone) {
        Ok(format) => format,
        Err(error) => {
            reader.error("format", format!("this is no format: {error}"), help);
            return None;
        }
    };
    let path = path(&field?);
    let into = match (into, path.as_slice()) {
        (Some(into), _) => name(&into),
        (None, [only]) => name(only),
        (None, _) => {
            reader.error("into", "`into` is missing", "name the field of the record that is to hold the time");
            return None;
        }
    };
    Some(Step::plain("TIMESTAMP", move || Timestamp::new(format.clone(), &path, into.clone())))
}

/// In a build without it.
#[cfg(not(feature = "jq"))]
pub(super) fn jq(reader: &mut Reader<'_>) -> Option<Step> {
    reader.ignore(&["program", "maxResults", "maxSteps"]);
    let help = "install a build with the feature `jq`, or use FILTER, ADDFIELDS, RENAMEFIELDS and REMOVEFIELDS";
    reader.error("optionName", "this build has no jq in it", help);
    None
}

/// In a build with it.
#[cfg(feature = "jq")]
pub(super) fn jq(reader: &mut Reader<'_>) -> Option<Step> {
    use crate::jq::{Jq, Program};
    let program = reader.required_text("program", "write a program of jq, such as \".message |= ascii_downcase\"");
    let mut number = |key: &'static str, otherwise: usize, most: usize| match reader.text(key) {
        None => Some(otherwise),
        Some(text) => match text.parse() {
            Ok(number) if (1..=most).contains(&number) => Some(number),
            _ => {
                reader.error(key, format!("this is no number from 1 to {most}"), "leave it out");
                None
            }
        },
    };
    let (results, steps) = (number("maxResults", 100, 10_000), number("maxSteps", 100_000, 10_000_000));
    match Program::new(&program?, results?, steps?) {
        // What one step of a program takes is not known.
        Ok(program) => Some(Step { cost: u64::MAX, ..Step::plain("JQ", move || Jq::new(program.clone())) }),
        Err(error) => {
            reader.error("program", format!("this program cannot run: {error}"), "see the manual of jq 1.7");
            None
        }
    }
}

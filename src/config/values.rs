//! Single values decoded: texts, numbers, sizes, truth and choices, as the Kinesis Agent takes them, but never guessed.
//! Promises that a value is either decoded within its key's range or reported once.
//! Leaves keys to `section`.

use super::json::{Node, Value};
use super::key::{self, Default, Key};
use super::report::{At, Kind, Placed, Report, printable, quoted};
use datalake_base::nearest::nearest;
use datalake_base::units::ByteSize;

/// What a value is, in words: `the number 5`.
pub(super) fn describe(value: &Value) -> String {
    match &value.node {
        Node::Null => "null".to_owned(),
        Node::Boolean(flag) => flag.to_string(),
        Node::Number(text) => format!("the number {}", quoted(text).trim_matches('"')),
        Node::Text(text) => format!("the text {}", quoted(text)),
        Node::List(_) => "a list".to_owned(),
        Node::Object(_) => "an object".to_owned(),
        Node::Faulty => "faulty".to_owned(),
    }
}

/// A number as it was written, with or without quotes.
fn plain(value: &Value) -> String {
    let (Node::Number(text) | Node::Text(text)) = &value.node else { return describe(value) };
    quoted(text).trim_matches('"').to_owned()
}

/// Reports a value of the wrong type, unless it was reported already.
pub(super) fn wrong_type(value: &Value, at: &At, message: String, help: &str, report: &mut Report) {
    match value.node {
        Node::Faulty => {}
        Node::Null => report.add(Kind::WrongType, at, message, format!("{help}, or leave the key out")),
        _ => report.add(Kind::WrongType, at, message, help),
    }
}

pub(super) fn text(value: &Value, at: &At, _key: &'static Key, report: &mut Report) -> Option<String> {
    match &value.node {
        Node::Text(text) | Node::Number(text) => Some(text.clone()),
        Node::Boolean(flag) => Some(flag.to_string()),
        _ => {
            let message = format!("`{}` is {}, not a text", at.path, describe(value));
            wrong_type(value, at, message, "write a text in double quotes", report);
            None
        }
    }
}

pub(super) fn texts(value: &Value, at: &At, _key: &'static Key, report: &mut Report) -> Option<Vec<Placed<String>>> {
    let single = std::slice::from_ref(value);
    let values = if let Node::List(values) = &value.node { values.as_slice() } else { single };
    if values.is_empty() {
        report.add(
            Kind::Empty,
            at,
            format!("`{}` is an empty list", at.path),
            "name at least one, or leave the key out",
        );
        return None;
    }
    let is_list = matches!(value.node, Node::List(_));
    let mut texts = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let path = if is_list { format!("{}[{index}]", at.path) } else { at.path.clone() };
        let at = At { place: value.place, path };
        match &value.node {
            Node::Text(text) if text.is_empty() => {
                report.add(Kind::Empty, &at, format!("`{}` is empty", at.path), "write an absolute path, or remove it");
            }
            Node::Text(text) => texts.push(Placed { value: text.clone(), at }),
            _ => {
                let message = format!("`{}` is {}, not a text", at.path, describe(value));
                wrong_type(value, &at, message, "write a text in double quotes, or a list of texts", report);
            }
        }
    }
    // Of a list that is faulty in part, the good part is judged too.
    (!texts.is_empty()).then_some(texts)
}

pub(super) fn boolean(value: &Value, at: &At, _key: &'static Key, report: &mut Report) -> Option<bool> {
    let text = match &value.node {
        Node::Boolean(flag) => return Some(*flag),
        Node::Text(text) | Node::Number(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    match text.as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => {
            let message = format!("`{}` is {}, neither true nor false", at.path, describe(value));
            wrong_type(value, at, message, "write true or false, without quotes", report);
            None
        }
    }
}

pub(super) fn choice(value: &Value, at: &At, key: &'static Key, report: &mut Report) -> Option<&'static str> {
    let key::Kind::Choice(choices) = key.kind else { unreachable!("{} is a choice", key.name) };
    let listed = choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or ");
    let Node::Text(text) = &value.node else {
        let message = format!("`{}` is {}, not a text", at.path, describe(value));
        wrong_type(value, at, message, &format!("write {listed}"), report);
        return None;
    };
    let hit = choices.iter().copied().find(|choice| choice == text);
    if hit.is_none() {
        let help = match nearest(text, choices.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write {listed}"),
        };
        report.add(Kind::UnknownChoice, at, format!("`{}` is {}, not {listed}", at.path, quoted(text)), help);
    }
    hit
}

/// A whole number or a size, within the range of its key.
pub(super) fn number(value: &Value, at: &At, key: &'static Key, report: &mut Report) -> Option<u64> {
    let (min, max, is_size) = match key.kind {
        key::Kind::Integer { min, max } => (min, max, false),
        key::Kind::Size { min, max } => (min, max, true),
        _ => unreachable!("{} is a number", key.name),
    };
    let max = if key.is_bounded_by_service() { u64::MAX } else { max };
    let parsed = match &value.node {
        Node::Number(text) => whole_number(text),
        Node::Text(text) if is_size => size(text),
        Node::Text(text) => whole_number(text),
        _ => {
            let message = format!("`{}` is {}, not a number", at.path, describe(value));
            let help =
                if is_size { "write a number of bytes, or a text such as \"4MiB\"" } else { "write a whole number" };
            wrong_type(value, at, message, help, report);
            return None;
        }
    };
    let shown = |number: u64| if is_size { with_unit(number) } else { number.to_string() };
    let range =
        if max == u64::MAX { format!("at least {}", shown(min)) } else { format!("{} to {}", shown(min), shown(max)) };
    match parsed {
        Ok(number) if (i128::from(min)..=i128::from(max)).contains(&number) => u64::try_from(number).ok(),
        Ok(number) => {
            let default = match key.default {
                Default::Number(default) => format!(", or leave the key out for {}", shown(default)),
                _ => String::new(),
            };
            let help = match number < i128::from(min) {
                true => format!("write at least {}{default}", shown(min)),
                false if max == u64::MAX => "leave the key out for no limit".to_owned(),
                false => format!("write at most {}{default}", shown(max)),
            };
            report.add(Kind::OutOfRange, at, format!("`{}` is {}; it can be {range}", at.path, plain(value)), help);
            None
        }
        Err(help) => {
            let what = if is_size { "size" } else { "whole number" };
            report.add(Kind::BadNumber, at, format!("`{}` is {}, which is no {what}", at.path, describe(value)), help);
            None
        }
    }
}

pub(super) fn with_unit(bytes: u64) -> String {
    if bytes < 1024 {
        bytes.to_string()
    } else {
        ByteSize::bytes(bytes).to_string().trim_end_matches('B').to_owned() + "B"
    }
}

/// A whole decimal number, with a sign if it likes; else what would do.
fn whole_number(text: &str) -> Result<i128, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal && (digits == "0" || !digits.starts_with('0')) {
        // More digits than fit are out of every range, on the side that the sign says.
        let limit = if text.starts_with('-') { i128::MIN } else { i128::MAX };
        return Ok(text.parse().unwrap_or(limit));
    }
    if is_decimal {
        let decimal = match digits.trim_start_matches('0') {
            "" => "0",
            decimal => decimal,
        };
        let octal = i128::from_str_radix(digits, 8);
        return Err(match octal {
            Ok(octal) => format!(
                "the Kinesis Agent takes a leading zero for octal: write {octal} for what it read, or {decimal}"
            ),
            Err(_) => format!("write {decimal}, without the leading zero"),
        });
    }
    let hexadecimal =
        digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).or_else(|| digits.strip_prefix('#'));
    if let Some(number) = hexadecimal.and_then(|hexadecimal| u64::from_str_radix(hexadecimal, 16).ok()) {
        return Err(format!("write it decimal: {number}"));
    }
    if text.trim() != text && whole_number(text.trim()).is_ok() {
        return Err("remove the spaces around it".to_owned());
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e15 => Err(format!("write it in full: {number:.0}")),
        Ok(number) if number.is_finite() && number.abs() < 1e15 => {
            Err(format!("write it without a fraction: {:.0}", number.round()))
        }
        _ => Err("write a whole decimal number, such as 500".to_owned()),
    }
}

/// A size with or without a unit; else what would do.
fn size(text: &str) -> Result<i128, String> {
    let plain = match whole_number(text) {
        Ok(number) => return Ok(number),
        Err(help) => help,
    };
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic() || character == ' ');
    let is_decimal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if number.len() == text.len() || !is_decimal {
        let fraction = number.len() < text.len() && number.contains('.');
        let whole = "write a whole number and a smaller unit, such as \"1536KiB\" for 1.5 MiB";
        return Err(if fraction {
            whole.to_owned()
        } else {
            format!("{plain}; sizes are written 4194304 or \"4MiB\"")
        });
    }
    if number.len() > 1 && number.starts_with('0') {
        return Err("write it without the leading zero".to_owned());
    }
    match text.parse::<ByteSize>() {
        Ok(size) => Ok(i128::from(size.as_u64())),
        Err(datalake_base::units::ByteSizeError::TooLarge { .. }) => Ok(i128::MAX),
        Err(error) => Err(format!("{}; write for example 4194304 or \"4MiB\"", printable(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_decimal_and_never_guessed() {
        for (text, number) in [("0", 0), ("500", 500), ("+7", 7), ("-7", -7), ("-0", 0)] {
            assert_eq!(whole_number(text), Ok(number), "{text}");
        }
        assert_eq!(whole_number(&"9".repeat(100)), Ok(i128::MAX));
        assert_eq!(whole_number(&format!("-{}", "9".repeat(100))), Ok(i128::MIN));
        for (text, help) in [
            ("010", "write 8 for what it read, or 10"),
            ("09", "write 9,"),
            ("0x10", "decimal: 16"),
            ("#ff", "decimal: 255"),
            ("1e3", "in full: 1000"),
            ("1000.0", "in full: 1000"),
            ("1.5", "without a fraction: 2"),
            (" 5", "remove the spaces"),
            ("", "such as 500"),
            ("five", "such as 500"),
            ("NaN", "such as 500"),
        ] {
            assert!(whole_number(text).is_err_and(|found| found.contains(help)), "{text}: {:?}", whole_number(text));
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [("4096", 4096), ("4KiB", 4096), ("4 MiB", 4 << 20), ("0", 0), ("7B", 7)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("99999999999GiB"), Ok(i128::MAX));
        for (text, help) in [
            ("010KiB", "without the leading zero"),
            ("1.5MiB", "1536KiB"),
            ("4 parsecs", "`parsecs` is no unit"),
            ("MiB", "sizes are written"),
            ("0x10", "decimal: 16"),
        ] {
            assert!(size(text).is_err_and(|found| found.contains(help)), "{text}: {:?}", size(text));
        }
    }
}

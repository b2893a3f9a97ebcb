//! Values as the Kinesis Agent takes them: its whole numbers, its truth values, its JSON with comments.
//! Promises to take what it took, in the meaning it had there, and to say where that surprises.
//! Leaves keys to the tables and what becomes of a value to the translation.

use serde_json::Value;

/// A whole number, and whether it was written in a way that hides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) number: i64,
    /// Octal or hexadecimal.
    pub(super) odd: Option<&'static str>,
}

/// A whole number in the form of Java's `decode`: a sign, then decimal, `0x`, `#` or, after a leading zero, octal.
pub(super) fn whole(value: &Value) -> Option<Whole> {
    let text = text(value)?;
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    let hexadecimal = ["0x", "0X", "#"].iter().find_map(|mark| digits.strip_prefix(mark));
    let (digits, radix, odd) = match hexadecimal {
        Some(digits) => (digits, 16, Some("hexadecimal")),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8, Some("octal, for its leading zero")),
        None => (digits, 10, None),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let number = i64::try_from(if negative { -magnitude } else { magnitude }).ok()?;
    Some(Whole { number, odd })
}

/// A truth value, in words and numbers too.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A text; numbers and truth values count as theirs.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The first JSON value of a file, comments left out; what follows it is ignored, as there.
///
/// # Errors
/// Why it cannot be read, with line and column.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = decode(bytes)?;
    let plain = without_comments(text.strip_prefix('\u{feff}').unwrap_or(&text));
    match serde_json::Deserializer::from_str(&plain).into_iter::<Value>().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the file is empty".to_owned()),
    }
}

/// The text of the file: UTF-8, or UTF-16 where it says so in its first bytes.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let units = |order: fn([u8; 2]) -> u16| {
        let pairs = bytes[2..].chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
        String::from_utf16(&pairs.collect::<Vec<u16>>()).map_err(|_| "the file is not UTF-16".to_owned())
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).map_err(|error| {
            format!("the file is not UTF-8 (at byte {}); save it as UTF-8", error.utf8_error().valid_up_to())
        }),
    }
}

/// The same text with blanks for comments, so that lines and columns stay.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map_or(rest.len(), |end| end + 4)
        } else if first == '"' {
            let end = end_of_text(rest);
            plain.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        plain.extend(rest[..length].chars().map(|letter| if letter == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    plain
}

/// Behind the closing quote of a text that begins here.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_mean_what_they_meant_there() {
        for (value, number) in [
            (json!(500), Some(500)),
            (json!("500"), Some(500)),
            (json!("010"), Some(8)),
            (json!("-010"), Some(-8)),
            (json!("0x1F"), Some(31)),
            (json!("#ff"), Some(255)),
            (json!("0"), Some(0)),
            (json!("+7"), Some(7)),
            (json!("09"), None),
            (json!(" 5"), None),
            (json!("1e3"), None),
            (json!(1000.0), None),
            (json!("5-"), None),
            (json!(""), None),
            (json!(null), None),
            (json!("99999999999999999999"), None),
            (json!("0x-5"), None),
        ] {
            assert_eq!(whole(&value).map(|whole| whole.number), number, "{value}");
        }
        assert!(whole(&json!("010")).is_some_and(|whole| whole.odd.is_some()));
        assert_eq!((truth(&json!("Y")), truth(&json!(0)), truth(&json!("on"))), (Some(true), Some(false), None));
    }

    #[test]
    fn comments_and_what_follows_the_object_are_left_out() {
        let text = "\u{feff}// one\n{/* two */ \"a//b\": \"/* \\\" */\", // three\n \"n\": 1} trailing { nonsense";
        assert_eq!(parse(text.as_bytes()), Ok(json!({"a//b": "/* \" */", "n": 1})));
        assert_eq!(parse(br#"{"a": 1, "a": 2}"#), Ok(json!({"a": 2})), "the last of two keys counts");
        let wide: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(parse(&wide), Ok(json!({"a": 1})));
        for bad in [&b""[..], b"{", b"{\"a\": 1,}", b"{'a': 1}", b"\xff\xff", b"/* open", b"\"open", b"// only"] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}

//! JSON: written, looked through, edited in place.
//! Promises that whatever bytes go in, a string that comes out is valid JSON in UTF-8 on one line.
//! Leaves the meaning of fields to the steps.

/// Members changed, added and removed; the rest left as it is.
pub(super) mod edit;
/// Values written anew, compact or for people.
pub(super) mod print;
/// Values looked through, byte by byte, without building anything.
pub(super) mod scan;

pub(super) use datalake_base::json::text::escape_utf8;
use print::Format;

/// Appends `text` as the inside of a JSON string. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn escape(out: &mut Vec<u8>, text: &[u8]) {
    match std::str::from_utf8(text) {
        Ok(_) => escape_utf8(out, text),
        Err(_) => {
            for chunk in text.utf8_chunks() {
                escape_utf8(out, chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice("\u{FFFD}".as_bytes());
                }
            }
        }
    }
}

/// `text` as a JSON string, quotes included.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    let mut out = vec![b'"'];
    escape_utf8(&mut out, text.as_bytes());
    out.push(b'"');
    out
}

/// A value of one field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Field<'a> {
    /// `null`.
    #[default]
    Null,
    /// UTF-8 without quotes, backslashes and control characters.
    Plain(&'a [u8]),
    /// Any UTF-8.
    Text(&'a [u8]),
    /// Two pieces of UTF-8, one behind the other.
    Joined(&'a [u8], &'a [u8]),
}

/// An object whose names are known before the first record: what stands before each value is written once.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// What stands before a value, and which value that is.
    ///
    /// Invariant: of columns with the same name only the place of the first and the value of the last are here.
    heads: Vec<(Box<[u8]>, usize)>,
    tail: Box<[u8]>,
}

impl Shape {
    pub(super) fn new<S: AsRef<str>>(names: &[S], format: Format) -> Self {
        let mut heads: Vec<(Box<[u8]>, usize)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let name = name.as_ref();
            if let Some(place) = seen.iter().position(|earlier| *earlier == name) {
                heads[place].1 = index;
                continue;
            }
            let mut head = Vec::new();
            head.extend_from_slice(match (format, seen.is_empty()) {
                (Format::Compact, true) => b"{".as_slice(),
                (Format::Compact, false) => b",",
                (Format::PrettyPrint, true) => b"{\n  ",
                (Format::PrettyPrint, false) => b",\n  ",
            });
            head.extend_from_slice(&quoted(name));
            head.extend_from_slice(if format == Format::Compact { b":" } else { b" : " });
            seen.push(name);
            heads.push((head.into(), index));
        }
        let tail: &[u8] = match (format, heads.is_empty()) {
            (Format::Compact, true) => b"{}",
            (Format::Compact, false) => b"}",
            (Format::PrettyPrint, true) => b"{ }",
            (Format::PrettyPrint, false) => b"\n}",
        };
        Self { heads, tail: tail.into() }
    }

    /// Appends the object; `value` says what stands in the column of that number.
    pub(super) fn write<'a>(&self, out: &mut Vec<u8>, value: impl Fn(usize) -> Field<'a>) {
        for (head, index) in &self.heads {
            out.extend_from_slice(head);
            match value(*index) {
                Field::Null => out.extend_from_slice(b"null"),
                Field::Plain(text) => {
                    out.push(b'"');
                    out.extend_from_slice(text);
                    out.push(b'"');
                }
                Field::Text(text) => {
                    out.push(b'"');
                    escape_utf8(out, text);
                    out.push(b'"');
                }
                Field::Joined(first, second) => {
                    out.push(b'"');
                    escape_utf8(out, first);
                    escape_utf8(out, second);
                    out.push(b'"');
                }
            }
        }
        out.extend_from_slice(&self.tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_quotes_and_backslashes_are_escaped_and_nothing_else() {
        let mut out = Vec::new();
        escape(&mut out, b"a\"b\\c/\x08\t\n\x0C\r\x01\x1f\x7f\xC3\xA9");
        assert_eq!(out, b"a\\\"b\\\\c/\\b\\t\\n\\f\\r\\u0001\\u001F\x7f\xC3\xA9");
    }

    #[test]
    fn bytes_that_are_no_text_become_the_replacement_character() {
        let mut out = Vec::new();
        escape(&mut out, b"a\xFFb\xE2\x82");
        assert_eq!(String::from_utf8(out).unwrap(), "a\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn of_equal_names_the_last_value_stands_in_the_place_of_the_first() {
        let mut out = Vec::new();
        let values = [Field::Plain(b"1"), Field::Null, Field::Plain(b"3")];
        Shape::new(&["a", "b", "a"], Format::Compact).write(&mut out, |index| values[index]);
        assert_eq!(out, b"{\"a\":\"3\",\"b\":null}");
    }
}

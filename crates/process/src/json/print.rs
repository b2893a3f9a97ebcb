//! JSON values written anew: compact, or for people.
//! Promises order, number text and duplicates as they came; escapes in the one form that the format describes, a lone
//! surrogate (which has no other form) as it came.
//! Leaves choosing what to write to the steps.

use super::scan::{self, Members, blanks};
use super::{Field, escape_utf8};
use crate::Cause;
use datalake_base::json::text::unescape;

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// On one line without blanks.
    #[default]
    Compact,
    /// On several lines, two blanks a level.
    PrettyPrint,
}

/// Appends the value at `at`, which lies `depth` objects deep, and returns where it ended. Objects and arrays are
/// `inside` others for the limit of nesting.
pub(crate) fn value(
    text: &[u8],
    at: usize,
    format: Format,
    depth: usize,
    inside: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Cause> {
    if inside >= scan::DEPTH {
        return Err(Cause::TooDeep { limit: scan::DEPTH });
    }
    match text.get(at) {
        Some(b'{') => {
            let mut object = Object::begin(format, depth, out);
            let mut members = Members::new(at);
            loop {
                match members.next(text)? {
                    Ok(member) => {
                        object.member(out);
                        string(&text[member.start + 1..member.name_end - 1], out);
                        object.colon(out);
                        members.ended(value(text, member.value, format, depth + 1, inside + 1, out)?);
                    }
                    Err(end) => {
                        object.end(out);
                        return Ok(end);
                    }
                }
            }
        }
        Some(b'[') => array(text, at, format, depth, inside, out),
        Some(b'"') => {
            let end = scan::string(text, at + 1)?;
            string(&text[at + 1..end - 1], out);
            Ok(end)
        }
        _ => {
            let end = scan::value(text, at, inside)?;
            out.extend_from_slice(&text[at..end]);
            Ok(end)
        }
    }
}

fn array(
    text: &[u8],
    at: usize,
    format: Format,
    depth: usize,
    inside: usize,
    out: &mut Vec<u8>,
) -> Result<usize, Cause> {
    let blank = format == Format::PrettyPrint;
    let gap = |out: &mut Vec<u8>| out.extend_from_slice(if blank { b" " } else { b"" });
    out.push(b'[');
    gap(out);
    let mut at = blanks(text, at + 1);
    if text.get(at) == Some(&b']') {
        out.push(b']');
        return Ok(at + 1);
    }
    loop {
        at = blanks(text, value(text, at, format, depth, inside + 1, out)?);
        match text.get(at) {
            Some(b',') => {
                out.push(b',');
                gap(out);
                at = blanks(text, at + 1);
            }
            Some(b']') => {
                gap(out);
                out.push(b']');
                return Ok(at + 1);
            }
            _ => return Err(Cause::NotJson { at }),
        }
    }
}

/// Appends a string, given its inside as it stands between the quotes of valid JSON.
pub(crate) fn string(inside: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = inside;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        let (used, character) = unescape(&rest[place..]);
        match character {
            Some(character) => escape_utf8(out, character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.extend_from_slice(&rest[place..place + used]),
        }
        rest = &rest[place + used..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends the text that a string stands for, given its inside. A lone surrogate becomes U+FFFD.
pub(crate) fn decode(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(place) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..place]);
        let (used, character) = unescape(&rest[place..]);
        let character = character.unwrap_or('\u{FFFD}');
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[place + used..];
    }
    out.extend_from_slice(rest);
}

/// An object being written member by member.
#[derive(Debug)]
pub(crate) struct Object {
    format: Format,
    depth: usize,
    empty: bool,
}

impl Object {
    pub(crate) fn begin(format: Format, depth: usize, out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { format, depth, empty: true }
    }

    /// Before a name.
    pub(crate) fn member(&mut self, out: &mut Vec<u8>) {
        if !self.empty {
            out.push(b',');
        }
        self.empty = false;
        self.new_line(self.depth + 1, out);
    }

    /// Between a name and its value.
    pub(crate) fn colon(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.format == Format::Compact { b":" } else { b" : " });
    }

    pub(crate) fn end(self, out: &mut Vec<u8>) {
        match (self.format, self.empty) {
            (Format::PrettyPrint, true) => out.push(b' '),
            _ => self.new_line(self.depth, out),
        }
        out.push(b'}');
    }

    fn new_line(&self, depth: usize, out: &mut Vec<u8>) {
        if self.format == Format::PrettyPrint {
            out.push(b'\n');
            out.resize(out.len() + 2 * depth, b' ');
        }
    }
}

/// The text of a value that was read from the configuration, laid out `depth` objects deep.
pub(crate) fn constant(constant: &serde_json::Value, format: Format, depth: usize) -> Vec<u8> {
    let text = serde_json::to_vec(constant).expect("a value that was parsed can be written");
    let mut out = Vec::new();
    value(&text, 0, format, depth, depth, &mut out).expect("what was written as JSON is JSON of bounded depth");
    out
}

/// For callers that hold a value as a field.
impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, format: Format) -> String {
        let mut out = Vec::new();
        assert_eq!(value(text.as_bytes(), 0, format, 0, 0, &mut out), Ok(text.len()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_layout_for_people_is_the_one_that_is_described() {
        let text = r#"{"a":1,"b":{},"c":[],"d":[1,{"e":"f"}],"g":{"h":null}}"#;
        let expected = "{\n  \"a\" : 1,\n  \"b\" : { },\n  \"c\" : [ ],\n  \"d\" : [ 1, {\n    \"e\" : \"f\"\n  } ],\n  \"g\" : {\n    \"h\" : null\n  }\n}";
        assert_eq!(printed(text, Format::PrettyPrint), expected);
        assert_eq!(printed(expected, Format::Compact), text);
    }

    #[test]
    fn numbers_keep_their_text_and_escapes_get_their_one_form() {
        let text = "{ \"n\" : 1.10e0 , \"s\":\"\\/\\u0041\\u00e9\\ud83d\\ude00\\u0001\\n\" }";
        assert_eq!(printed(text, Format::Compact), "{\"n\":1.10e0,\"s\":\"/Aé😀\\u0001\\n\"}");
    }

    #[test]
    fn a_lone_surrogate_stays_an_escape() {
        assert_eq!(printed(r#""a\ud800b\udc00\ud800\u0041""#, Format::Compact), r#""a\ud800b\udc00\ud800A""#);
        let mut out = Vec::new();
        decode(br"a\ud800b", &mut out);
        assert_eq!(out, "a\u{FFFD}b".as_bytes());
    }
}

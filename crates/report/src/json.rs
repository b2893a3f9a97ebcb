//! Reads JSON with comments and keeps the place of every key and value.
//! Promises to end on any text without a panic, at most `DEEPEST` levels deep, in space proportional to the text.
//! Leaves what the keys mean to `written`; a text that cannot be read to its end gives faults and no value.

/// Texts in double quotes and their escapes.
mod string;
/// What the environment puts into texts.
mod variables;

use crate::report::{At, Kind, Place, Report, printable, quoted};
use std::sync::Arc;

/// Lists and objects may be nested so deeply; nothing in a configuration needs half of it.
pub const DEEPEST: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Value {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub node: Node,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// As it was written, so that no digit is lost.
    Number(String),
    /// In double quotes.
    Text(String),
    /// In square brackets.
    List(Vec<Value>),
    /// In braces, in the order of the file.
    Object(Vec<Member>),
    /// Something that was reported already.
    Faulty,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Member {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub name_place: Place,
    /// What is behind its colon.
    pub value: Value,
}

/// Where variables in texts come from.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    /// What the environment holds under a name.
    pub of: &'a dyn Fn(&str) -> Option<String>,
    /// The key below which texts stay as they are.
    pub except: &'a str,
}

/// Reads one file. `None` when the text breaks off or cannot be understood; the report then says where.
pub fn read(file: usize, text: &Arc<str>, report: &mut Report) -> Option<Value> {
    read_with(file, text, None, report)
}

/// The same with variables in the texts: `${NAME}`.
pub fn read_with(file: usize, text: &Arc<str>, variables: Option<Variables<'_>>, report: &mut Report) -> Option<Value> {
    let mut reader = Reader { text, at: 0, file, path: String::new(), depth: 0, secret: false, variables, report };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    reader.document().ok()
}

/// The reader cannot go on; why is in the report.
struct Stopped;

struct Reader<'a> {
    text: &'a str,
    /// Always on a character border, never behind the end.
    at: usize,
    file: usize,
    path: String,
    depth: usize,
    /// What is read now must not be quoted.
    secret: bool,
    variables: Option<Variables<'a>>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Value, Stopped> {
        self.blank()?;
        if self.peek().is_none() {
            return Err(self.stop(self.at, self.at, "the file is empty", "it needs at least `{\"flows\": [ … ]}`"));
        }
        let value = self.value()?;
        self.blank()?;
        if self.peek().is_some() {
            let help = "a file holds one object; is a closing bracket too early?";
            return Err(self.stop(self.at, self.after_one(), "something follows after the end of the object", help));
        }
        Ok(value)
    }

    fn value(&mut self) -> Result<Value, Stopped> {
        let start = self.at;
        let node = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => {
                let text = self.string()?;
                Node::Text(self.expanded(text, start))
            }
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.word(),
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Value { place: self.place(start, self.at), node })
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Node, Stopped>) -> Result<Node, Stopped> {
        if self.depth == DEEPEST {
            let at = self.here(self.at, self.at + 1);
            let message = format!("lists and objects are nested more than {DEEPEST} deep");
            self.report.add(
                Kind::TooDeep,
                &at,
                message,
                "no configuration nests so deep; look for a bracket that is not closed",
            );
            return Err(Stopped);
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }

    fn object(&mut self) -> Result<Node, Stopped> {
        let opened = self.at;
        self.at += 1;
        let mut members = Vec::new();
        self.blank()?;
        let mut more = !self.take(b'}');
        while more {
            let name_start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key in double quotes"));
            }
            let name = self.string()?;
            let name_place = self.place(name_start, self.at);
            let outer = self.path.len();
            self.path.push_str(if outer == 0 { "" } else { "." });
            self.path.push_str(&printable(&name));
            self.blank()?;
            if !self.take(b':') {
                return Err(self.unexpected("a colon and a value"));
            }
            self.blank()?;
            let value = self.member_value(&name)?;
            self.path.truncate(outer);
            let ended = value.place.end;
            members.push(Member { name, name_place, value });
            more = self.separator(b'}', opened, ended)?;
        }
        Ok(Node::Object(members))
    }

    /// The value of a key; that of a secret is hidden from the report before it is looked at.
    fn member_value(&mut self, name: &str) -> Result<Value, Stopped> {
        let secret = name.to_ascii_lowercase().contains("secret");
        if secret {
            let line_end = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length);
            self.report.hide(self.place(self.at, line_end));
        }
        let outer = self.secret;
        self.secret |= secret;
        let value = self.value()?;
        self.secret = outer;
        if secret && !matches!(value.node, Node::Faulty) {
            self.report.hide_only_until(self.file, value.place.end);
        }
        Ok(value)
    }

    /// The text in the style of code, unless it is secret.
    fn code(&self, text: &str) -> String {
        let quoted = if self.secret { "*****".to_owned() } else { quoted(text) };
        format!("`{}`", quoted.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(&quoted))
    }

    fn list(&mut self) -> Result<Node, Stopped> {
        let opened = self.at;
        self.at += 1;
        let mut values = Vec::new();
        self.blank()?;
        let mut more = !self.take(b']');
        while more {
            let outer = self.path.len();
            self.path.push_str(&format!("[{}]", values.len()));
            let value = self.value()?;
            self.path.truncate(outer);
            let ended = value.place.end;
            values.push(value);
            more = self.separator(b']', opened, ended)?;
        }
        Ok(Node::List(values))
    }

    /// Behind a value: a comma and more to come, or the closing bracket.
    fn separator(&mut self, close: u8, opened: usize, ended: usize) -> Result<bool, Stopped> {
        self.blank()?;
        let comma = self.at;
        if self.take(b',') {
            self.blank()?;
            if self.take(close) {
                let at = self.here(comma, comma + 1);
                let message = format!("a comma stands before the closing `{}`", char::from(close));
                self.report.add(Kind::TrailingComma, &at, message, "remove the comma; JSON does not allow one there");
                return Ok(false);
            }
            return Ok(true);
        }
        if self.take(close) {
            return Ok(false);
        }
        match self.peek() {
            None => {
                let bracket = &self.text[opened..=opened];
                let help = format!("close it with `{}`", char::from(close));
                Err(self.stop(opened, opened + 1, format!("this `{bracket}` is never closed"), help))
            }
            Some(b'"' | b'{' | b'[' | b'0'..=b'9' | b'-') => {
                // What was meant is plain, so the rest of the file can be judged as well.
                let before = self.text[..ended].char_indices().next_back().map_or(0, |(start, _)| start);
                let at = self.here(before, ended);
                self.report.add(Kind::Syntax, &at, "a comma is missing behind this", "put a comma here");
                Ok(true)
            }
            Some(_) => Err(self.unexpected(&format!("a comma or `{}`", char::from(close)))),
        }
    }

    fn number(&mut self) -> Node {
        let start = self.at;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_');
        self.at += self.text.as_bytes()[start..].iter().take_while(|byte| is_part(byte)).count();
        let text = &self.text[start..self.at];
        if is_json_number(text) {
            return Node::Number(text.to_owned());
        }
        let at = self.here(start, self.at);
        let digits = text.trim_start_matches(['+', '-']);
        let help = if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            "write it without the leading zero, which some programs take for octal".to_owned()
        } else if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !digits.starts_with("0x") {
            format!("with a unit it needs quotes: \"{text}\"")
        } else {
            "write a whole decimal number".to_owned()
        };
        let help = if self.secret { "put it into double quotes".to_owned() } else { help };
        self.report.add(Kind::BadNumber, &at, format!("{} is no number in JSON", self.code(text)), help);
        Node::Faulty
    }

    fn word(&mut self) -> Node {
        let start = self.at;
        self.at += self.word_length();
        match &self.text[start..self.at] {
            "true" => Node::Boolean(true),
            "false" => Node::Boolean(false),
            "null" => Node::Null,
            other => {
                let message = format!("{} needs quotes", self.code(other));
                let help = match other.to_ascii_lowercase().as_str() {
                    lower @ ("true" | "false" | "null") => format!("in JSON it is written `{lower}`"),
                    _ => "put texts into double quotes".to_owned(),
                };
                let at = self.here(start, self.at);
                self.report.add(Kind::Syntax, &at, message, help);
                Node::Faulty
            }
        }
    }

    /// Spaces, line breaks and comments.
    fn blank(&mut self) -> Result<(), Stopped> {
        loop {
            let rest = &self.text[self.at..];
            if let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(length) = comment.find("*/") else {
                    return Err(self.stop(self.at, self.at + 2, "this comment is never closed", "close it with `*/`"));
                };
                self.at += length + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn unexpected(&mut self, wanted: &str) -> Stopped {
        let (start, end) = (self.at, self.after_one());
        let Some(found) = self.text[start..].chars().next() else {
            return self.stop(start, end, format!("the file ends where {wanted} is expected"), "is the file complete?");
        };
        let help = match found {
            '\'' => "texts and keys stand in double quotes",
            '#' | '/' => "a comment begins with `//` or stands between `/*` and `*/`",
            ',' => "one comma between two, none before the first",
            '\u{201c}' | '\u{201d}' | '\u{201e}' => "use the plain double quote \"",
            letter if letter.is_ascii_alphabetic() => "texts and keys stand in double quotes",
            _ => "look for a bracket or a quote that is missing before this",
        };
        let end = end.max(start + self.word_length());
        let found = self.code(&self.text[start..end]);
        self.stop(start, end, format!("{wanted} is expected here, not {found}"), help)
    }

    fn stop(&mut self, start: usize, end: usize, message: impl Into<String>, help: impl Into<String>) -> Stopped {
        let at = self.here(start, end);
        self.report.add(Kind::Syntax, &at, message, help);
        Stopped
    }

    /// The length of what somebody may have meant as a word: letters, digits, and what joins them.
    fn word_length(&self) -> usize {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        self.text.as_bytes()[self.at..].iter().take_while(|byte| is_part(byte)).count()
    }

    /// The end of the character at hand.
    fn after_one(&self) -> usize {
        self.at + self.text[self.at..].chars().next().map_or(0, char::len_utf8)
    }

    fn take(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place { file: self.file, start, end }
    }

    fn here(&self, start: usize, end: usize) -> At {
        At { place: self.place(start, end), path: self.path.clone() }
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests;

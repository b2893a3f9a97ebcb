//! Text from outside, printed so that a terminal, a log and its reader take it for text: paths, reasons, topics.
//! Promises that nothing printed through it can move a cursor, end a line, reorder a line or hide in it, and that text
//! which is printed twice looks as if printed once. Leaves quoting and cutting to the caller.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes from outside, for `{}`. Controls, invisible marks and bytes that are not UTF-8 appear as escapes
/// (`\n`, `\x1b`, `\u{202e}`, `\xff`); everything else as it is. A backslash stays single, so that text that was
/// escaped once can pass through again unchanged.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    bytes: &'a [u8],
    tabs: bool,
}

/// What can be shown.
pub trait Outside {
    /// Its bytes, whatever they mean.
    fn outside(&self) -> &[u8];
}

impl Outside for [u8] {
    fn outside(&self) -> &[u8] {
        self
    }
}

impl<T: Outside + ?Sized> Outside for &T {
    fn outside(&self) -> &[u8] {
        (**self).outside()
    }
}

impl Outside for Vec<u8> {
    fn outside(&self) -> &[u8] {
        self
    }
}

impl Outside for str {
    fn outside(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Outside for String {
    fn outside(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Outside for OsStr {
    fn outside(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Outside for Path {
    fn outside(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }
}

impl Outside for std::path::PathBuf {
    fn outside(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }
}

/// The text, safe to print. See [`Shown`].
#[must_use]
pub fn shown<T: Outside + ?Sized>(text: &T) -> Shown<'_> {
    Shown { bytes: text.outside(), tabs: false }
}

impl<'a> Shown<'a> {
    /// The same with tabs as they are, for text that is laid out with them.
    #[must_use]
    pub const fn with_tabs(self) -> Self {
        Self { tabs: true, ..self }
    }

    /// The same, the first `bytes` of it at most, cut between two characters.
    #[must_use]
    pub fn cut(self, bytes: usize) -> Self {
        let mut end = bytes.min(self.bytes.len());
        // The beginning of a character is at most three bytes before any of its bytes.
        while end > 0 && end < self.bytes.len() && bytes - end < 3 && self.bytes[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        Self { bytes: &self.bytes[..end], ..self }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.bytes.utf8_chunks() {
            let mut plain = chunk.valid();
            while let Some((at, character)) =
                plain.char_indices().find(|(_, c)| steers(*c) && !(self.tabs && *c == '\t'))
            {
                formatter.write_str(&plain[..at])?;
                write_escape(formatter, character)?;
                plain = &plain[at + character.len_utf8()..];
            }
            formatter.write_str(plain)?;
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The character as an escape that prints as itself.
fn write_escape(formatter: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '\n' => formatter.write_str("\\n"),
        '\r' => formatter.write_str("\\r"),
        '\t' => formatter.write_str("\\t"),
        other if other.is_ascii() => write!(formatter, "\\x{:02x}", u32::from(other)),
        other => write!(formatter, "\\u{{{:x}}}", u32::from(other)),
    }
}

/// Whether a terminal or a reader could be misled by the character: controls (C0, DEL, C1), line and paragraph separators,
/// and the format characters of Unicode, among them the marks that reverse the direction of what follows.
#[must_use]
pub fn steers(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(character,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// The text as a JSON string, quotes included: the value is unchanged for a program, and no raw control or mark reaches a
/// terminal that the JSON is printed on.
pub fn write_json(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            steering if steers(steering) => {
                for unit in steering.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").ok();
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_language_is_printed_as_it_is() {
        for text in ["/var/log/app.log", "ünïcode 日本語 עברית 🚀", r"C:\logs \d+", ""] {
            assert_eq!(shown(text).to_string(), text);
        }
    }

    /// A file name with a newline and an escape sequence forged whole lines in the text log and in `quarantine list`.
    #[test]
    fn what_could_forge_a_line_or_steer_a_terminal_is_an_escape() {
        let text = "a\nb\r\t\u{7}\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{2028}\u{202e}gol\u{feff}\u{e0041}";
        let expected = r"a\nb\r\t\x07\x1b[2J\x7f\u{85}\u{9b}31m\u{2028}\u{202e}gol\u{feff}\u{e0041}";
        assert_eq!(shown(text).to_string(), expected);
        assert_eq!(shown(&b"caf\xe9 \xff\xc3"[..]).to_string(), r"caf\xe9 \xff\xc3", "bytes of another encoding");
        assert_eq!(shown("a\tb\n").with_tabs().to_string(), "a\tb\\n");
    }

    #[test]
    fn every_byte_and_every_character_comes_out_without_a_control_and_unchanged_the_second_time() {
        let bytes: Vec<u8> = (0..=255).collect();
        let once = shown(&bytes).to_string();
        assert!(!once.chars().any(steers), "{once}");
        assert_eq!(shown(&once).to_string(), once);
        let all: String = (0..=0x10_ffff_u32).filter_map(char::from_u32).collect();
        assert!(!shown(&all).to_string().chars().any(|c| c.is_control() || steers(c)));
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(shown("日本語").cut(7).to_string(), "日本");
        assert_eq!(shown("日本語").cut(9).to_string(), "日本語");
        assert_eq!(shown("abc").cut(100).to_string(), "abc");
        assert_eq!(shown(&[0x80; 10][..]).cut(5).to_string(), r"\x80\x80", "no characters at all still end");
    }

    #[test]
    fn json_keeps_its_value_and_shows_no_raw_mark() {
        let text = "q\" b\\ n\n e\u{1b} c\u{9b} r\u{202e} tag\u{e0041} 🚀";
        let mut json = String::new();
        write_json(&mut json, text);
        assert_eq!(json, r#""q\" b\\ n\n e\u001b c\u009b r\u202e tag\udb40\udc41 🚀""#);
    }
}

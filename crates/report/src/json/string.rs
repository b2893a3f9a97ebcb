//! Texts in double quotes and their escapes.
//! Promises that every escape that stands for nothing is reported where it stands, and that reading goes on behind it.
//! Leaves everything outside the quotes to the reader.

use super::{Reader, Stopped};
use crate::report::{Kind, printable};

impl Reader<'_> {
    /// A text in double quotes. Escapes that mean nothing are reported and kept as they are.
    pub(super) fn string(&mut self) -> Result<String, Stopped> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let from = self.at;
            let plain = self.text.as_bytes()[from..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=31));
            self.at += plain.count();
            text.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text),
                Some(b'\n' | b'\r') | None => {
                    let help = "close it with a double quote on the same line; a line break inside is written \\n";
                    return Err(self.stop(start, self.at, "this text is not closed", help));
                }
                Some(control) => {
                    let at = self.here(self.at, self.at + 1);
                    let message = format!("a control character (byte {control}) stands inside a text");
                    let help = if control == b'\t' {
                        "write it as \\t".into()
                    } else {
                        format!("write it as \\u{control:04x}")
                    };
                    self.report.add(Kind::Syntax, &at, message, help);
                    text.push(char::from(control));
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        self.at += 1;
        let Some(letter) = self.text[self.at..].chars().next() else { return };
        let plain = match letter {
            '"' | '\\' | '/' => letter,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => return self.unicode_escape(start, text),
            // The end of the line: the string is not closed, and says so itself.
            control if control.is_control() => return,
            other => {
                self.at += other.len_utf8();
                let at = self.here(start, self.at);
                let letter = if self.secret { "*".to_owned() } else { printable(&other.to_string()) };
                let help = format!("write `\\\\{letter}` for a backslash before `{letter}`");
                self.report.add(Kind::Syntax, &at, format!("`\\{letter}` is no escape of JSON"), help);
                text.push('\\');
                text.push(other);
                return;
            }
        };
        self.at += letter.len_utf8();
        text.push(plain);
    }

    fn unicode_escape(&mut self, start: usize, text: &mut String) {
        self.at += 1;
        let unit = self.four_hex();
        let low = match unit {
            Some(0xd800..=0xdbff) if self.text[self.at..].starts_with("\\u") => {
                let before = self.at;
                self.at += 2;
                let low = self.four_hex().filter(|low| (0xdc00..=0xdfff).contains(low));
                if low.is_none() {
                    self.at = before;
                }
                low
            }
            _ => None,
        };
        let code = match (unit, low) {
            (Some(high), Some(low)) => Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
            (unit, _) => unit,
        };
        if let Some(character) = code.and_then(char::from_u32) {
            text.push(character);
            return;
        }
        let at = self.here(start, self.at);
        let help =
            "write \\u and four hex digits; characters above ffff are a pair from d800 and dc00, or stand as they are";
        self.report.add(Kind::Syntax, &at, "this escape stands for no character", help);
        text.push('\u{fffd}');
    }

    fn four_hex(&mut self) -> Option<u32> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

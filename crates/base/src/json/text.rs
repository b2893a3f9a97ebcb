//! The insides of JSON strings, escaped and decoded.
//! Promises that what is escaped is the inside of a valid string, and that decoding never fails on a valid one.
//! Leaves finding where strings end to the scanner.

use super::special;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends UTF-8 as the inside of a JSON string.
pub fn escape_utf8(out: &mut Vec<u8>, text: &[u8]) {
    let (mut clean_from, mut at) = (0, 0);
    loop {
        at = special(text, at);
        let Some(byte) = text.get(at) else { break };
        out.extend_from_slice(&text[clean_from..at]);
        escape_byte(out, *byte);
        at += 1;
        clean_from = at;
    }
    out.extend_from_slice(&text[clean_from..]);
}

/// A byte that cannot stand in a string as it is.
fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0C => b'f',
        b'\r' => b'r',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The escape at the beginning of `text`: its length and what it stands for, which a lone surrogate does for nothing.
#[must_use]
pub fn unescape(text: &[u8]) -> (usize, Option<char>) {
    let code = |at: usize| -> Option<u32> {
        let four = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(four).ok()?, 16).ok()
    };
    let character = match text.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = code(0).unwrap_or(0xFFFD);
            if let (0xD800..0xDC00, Some(second @ 0xDC00..0xE000)) = (first, code(6)) {
                return (12, char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)));
            }
            return (6.min(text.len()), char::from_u32(first));
        }
        Some(other) => char::from(*other),
        None => return (1, None),
    };
    (2, Some(character))
}

//! JSON values looked through, byte by byte, without building anything.
//! Promises to accept exactly the grammar of RFC 8259 in UTF-8 (a lone surrogate may stand as an escape), to look no
//! deeper than `DEPTH`, and to use no memory but the stack of one bit a level.
//! Leaves changing and printing to the crates that do so.

/// The insides of strings, escaped and decoded.
pub mod text;

/// Why bytes are not the JSON that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The grammar is broken.
    #[error("not valid JSON at byte {at}")]
    Syntax {
        /// Where it stops being valid.
        at: usize,
    },
    /// Deeper than is looked at.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("not valid UTF-8")]
    NotText,
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
}

/// How deep values may be nested. Deeper input is not JSON that anyone can query.
pub const DEPTH: usize = 128;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the next byte stands, from `from` on, that is a quote, a backslash or a control character; the length where
/// none does.
#[inline]
pub fn special(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes are eight bytes"));
        let (quote, backslash) = (word ^ (LOW * 0x22), word ^ (LOW * 0x5C));
        // The lowest byte that is marked is right; those above it may be marked by a borrow.
        let marks = (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(LOW * 0x20) & !word);
        if marks & HIGH != 0 {
            return at + ((marks & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < text.len() && !matches!(text[at], b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    at
}

/// From `at`, the first place that holds no blank.
#[inline]
pub fn blanks(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The end of the string whose inside begins at `at`: the place behind its closing quote.
#[inline]
pub fn string(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        at = special(text, at);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match text.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') if text.get(at + 2..at + 6).is_some_and(|four| four.iter().all(u8::is_ascii_hexdigit)) => {
                    at += 6;
                }
                _ => return Err(Fault::Syntax { at }),
            },
            _ => return Err(Fault::Syntax { at }),
        }
    }
}

fn digits(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    let start = at;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    if at == start { Err(Fault::Syntax { at }) } else { Ok(at) }
}

/// The end of the number that begins at `at`.
#[inline]
pub fn number(text: &[u8], mut at: usize) -> Result<usize, Fault> {
    at += usize::from(text.get(at) == Some(&b'-'));
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(text, at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at = digits(text, at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-'))))?;
    }
    Ok(at)
}

/// The end of the word (`true`, `false`, `null`) that is to begin at `at`.
#[inline]
pub fn word(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    if text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
        Ok(at + word.len())
    } else {
        Err(Fault::Syntax { at })
    }
}

/// Which brackets are open: one bit each, 1 for an object.
#[derive(Default)]
struct Open {
    bits: u128,
    count: usize,
}

impl Open {
    fn push(&mut self, object: bool, depth: usize) -> Result<(), Fault> {
        if self.count + depth >= DEPTH {
            return Err(Fault::TooDeep { limit: DEPTH });
        }
        self.bits = (self.bits << 1) | u128::from(object);
        self.count += 1;
        Ok(())
    }

    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.count -= 1;
    }
}

/// The end of the value that begins at `at` (not with a blank), which lies inside `depth` others.
pub fn value(text: &[u8], mut at: usize, depth: usize) -> Result<usize, Fault> {
    let mut open = Open::default();
    loop {
        // At the beginning of a value.
        at = match text.get(at) {
            Some(b'"') => string(text, at + 1)?,
            Some(b'-' | b'0'..=b'9') => number(text, at)?,
            Some(b't') => word(text, at, b"true")?,
            Some(b'f') => word(text, at, b"false")?,
            Some(b'n') => word(text, at, b"null")?,
            Some(b'{') => {
                open.push(true, depth)?;
                at = blanks(text, at + 1);
                if text.get(at) == Some(&b'}') {
                    open.pop();
                    at + 1
                } else {
                    at = name(text, at)?.1;
                    continue;
                }
            }
            Some(b'[') => {
                open.push(false, depth)?;
                at = blanks(text, at + 1);
                if text.get(at) == Some(&b']') {
                    open.pop();
                    at + 1
                } else {
                    continue;
                }
            }
            _ => return Err(Fault::Syntax { at }),
        };
        // Behind a value.
        loop {
            if open.count == 0 {
                return Ok(at);
            }
            at = blanks(text, at);
            match (text.get(at), open.in_object()) {
                (Some(b','), true) => {
                    at = name(text, blanks(text, at + 1))?.1;
                    break;
                }
                (Some(b','), false) => {
                    at = blanks(text, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    open.pop();
                    at += 1;
                }
                _ => return Err(Fault::Syntax { at }),
            }
        }
    }
}

/// The name that begins at `at` and its colon: where the name ends (behind its quote) and where the value begins.
#[inline]
pub fn name(text: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    if text.get(at) != Some(&b'"') {
        return Err(Fault::Syntax { at });
    }
    let end = string(text, at + 1)?;
    let colon = blanks(text, end);
    if text.get(colon) != Some(&b':') {
        return Err(Fault::Syntax { at: colon });
    }
    Ok((end, blanks(text, colon + 1)))
}

/// The text of a record that is one JSON value and nothing else: where the value begins and where it ends.
pub fn document(text: &[u8]) -> Result<(usize, usize), Fault> {
    let start = blanks(text, begin(text));
    let end = value(text, start, 0)?;
    let rest = blanks(text, end);
    if rest < text.len() {
        return Err(Fault::Syntax { at: rest });
    }
    if std::str::from_utf8(text).is_err() {
        return Err(Fault::NotText);
    }
    Ok((start, end))
}

/// The same for a record that is to be an object.
pub fn object(text: &[u8]) -> Result<(usize, usize), Fault> {
    let (start, end) = document(text)?;
    if text[start] == b'{' { Ok((start, end)) } else { Err(Fault::NotAnObject) }
}

/// Behind the byte order mark, if there is one.
fn begin(text: &[u8]) -> usize {
    if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 }
}

/// One member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Where the opening quote of its name stands.
    pub start: usize,
    /// Behind the closing quote of its name.
    pub name_end: usize,
    /// Where its value begins.
    pub value: usize,
}

/// Walks the members of the object whose `{` stands at `at`, one after the other: call [`Members::next`], look at the
/// value, say where it ended.
#[derive(Debug)]
pub struct Members {
    at: usize,
    first: bool,
}

impl Members {
    /// See [`Members`].
    #[inline]
    pub fn new(at: usize) -> Self {
        Self { at: at + 1, first: true }
    }

    /// The next member, or where the object ended (behind its `}`).
    ///
    /// # Errors
    /// When the grammar is broken.
    #[inline]
    pub fn next(&mut self, text: &[u8]) -> Result<Result<Member, usize>, Fault> {
        self.at = blanks(text, self.at);
        match text.get(self.at) {
            Some(b'}') => return Ok(Err(self.at + 1)),
            Some(b',') if !self.first => self.at = blanks(text, self.at + 1),
            _ if self.first => {}
            _ => return Err(Fault::Syntax { at: self.at }),
        }
        self.first = false;
        let start = self.at;
        let (name_end, value) = name(text, start)?;
        Ok(Ok(Member { start, name_end, value }))
    }

    /// The value of the member ended here.
    #[inline]
    pub fn ended(&mut self, at: usize) {
        self.at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_special_byte_is_found_wherever_it_stands() {
        for length in 0..40 {
            for place in 0..=length {
                for byte in [b'"', b'\\', 0, 0x1F] {
                    let mut text = vec![b'a'; length];
                    if place < length {
                        text[place] = byte;
                    }
                    for after in place + 1..length {
                        text[after] = [0x21, 0x23, 0x5D, 0x01, 0xFF, b'"'][after % 6];
                    }
                    assert_eq!(special(&text, 0), place.min(length), "{text:?}");
                }
            }
        }
        assert_eq!(special("é ~\u{7f}#![]ÿ".as_bytes(), 0), "é ~\u{7f}#![]ÿ".len());
    }

    #[test]
    fn nesting_is_followed_to_the_limit_and_no_further() {
        let nested = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert_eq!(document(&nested(DEPTH)), Ok((0, 2 * DEPTH)));
        assert_eq!(document(&nested(DEPTH + 1)), Err(Fault::TooDeep { limit: DEPTH }));
        assert_eq!(document(&vec![b'['; 1 << 20]), Err(Fault::TooDeep { limit: DEPTH }));
    }

    fn agree(text: &[u8]) -> Result<(), proptest::test_runner::TestCaseError> {
        let other = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() && std::str::from_utf8(text).is_ok();
        proptest::prop_assert_eq!(document(text).is_ok(), other, "{:?}", String::from_utf8_lossy(text));
        Ok(())
    }

    proptest::proptest! {
        #[test]
        fn what_another_reader_accepts_is_accepted_and_nothing_else(text in "[\\[\\]{}:, \"\\\\u0e1.+tnrue\\-]{0,24}") {
            agree(text.as_bytes())?;
        }

        #[test]
        fn a_valid_text_with_one_byte_changed_is_judged_alike(place in 0_usize..60, byte: u8) {
            let mut text = br#"{"a":[1,-2.5e+3,{"b":null}],"c\u00e9\"":"x\\y","d":true, "e" : {}}"#.to_vec();
            agree(&text)?;
            let place = place.min(text.len() - 1);
            text[place] = byte;
            agree(&text)?;
        }
    }
}

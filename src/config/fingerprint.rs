//! Whether a flow is configured as before: a hash of what the operator wrote of it, and of the files that it names.
//! Promises that spaces, line ends, comments and the place in the file make no difference, and everything else does.
//! Leaves what is done about a difference to the reload.

use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::rc::Rc;

/// The hash of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// What a flow is made of, hashed as it is read.
#[derive(Clone)]
pub(super) struct Reading(Rc<RefCell<Sha256>>);

impl Reading {
    /// Begins with the object that `text` begins with.
    pub(super) fn of(text: &str) -> Self {
        Self(Rc::new(RefCell::new(Sha256::new_with_prefix(bare(text)))))
    }

    /// Adds a file that it names.
    pub(super) fn file(&self, bytes: &[u8]) {
        let mut hash = self.0.borrow_mut();
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }

    /// The hash of all of it.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.0.borrow().clone().finalize().into())
    }
}

/// The object that the text begins with, without what means nothing: spaces, line ends and comments outside of texts.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '"' => text_end(rest),
            '/' if rest.starts_with("//") => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest[2..].find("*/").map_or("", |end| &rest[end + 4..]);
                continue;
            }
            _ => character.len_utf8(),
        };
        if !character.is_whitespace() {
            bare.push_str(&rest[..length]);
        }
        rest = &rest[length..];
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    bare
}

/// Where the text ends that begins here, its quotes included.
fn text_end(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(text: &str) -> Fingerprint {
        Reading::of(text).fingerprint()
    }

    #[test]
    fn what_means_nothing_makes_no_difference_and_everything_else_does() {
        let plain = r#"{"a": "x // y", "b": [1, {"c": "\"}"}]}"#;
        for same in [
            "{\n  \"a\": \"x // y\", // why\n  \"b\":[1,{ \"c\" : \"\\\"}\" }]}",
            r#"{"a": "x // y", /* { */ "b": [1, {"c": "\"}"}]}, {"another": "flow"}"#,
        ] {
            assert_eq!(fingerprint(plain), fingerprint(same), "{same}");
        }
        for other in [
            r#"{"a": "x  // y", "b": [1, {"c": "\"}"}]}"#,
            r#"{"a": "x // y", "b": [2, {"c": "\"}"}]}"#,
            r#"{"a": "x // y", "b": [1, {"c": "\"}"}], "d": 1}"#,
            r#"{"a": "x /* y */", "b": [1, {"c": "\"}"}]}"#,
        ] {
            assert_ne!(fingerprint(plain), fingerprint(other), "{other}");
        }
        let reading = Reading::of(plain);
        reading.file(b"schema");
        assert_ne!(fingerprint(plain), reading.fingerprint());
    }

    #[test]
    fn a_text_that_never_ends_is_read_to_its_end() {
        for text in ["", "{", "{\"a", "{\"\\", "{//", "{/*", "{/*/", "}", "é"] {
            assert_eq!(fingerprint(text), fingerprint(text));
        }
    }
}

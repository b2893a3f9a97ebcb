//! One name of a pattern, or a whole pattern with classes or alternatives, ready to be compared.
//! Promises that a plain pattern needs no more memory than its text: ten thousand flows have ten thousand patterns, and a
//! compiled one takes some 8 KiB. Leaves the way through folders to the parent.

use super::PatternError;
use globset::GlobBuilder;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;

/// What a name is compared with. Copies share it: each would else have memory of its own to search in.
#[derive(Clone, Debug)]
pub(super) enum Name {
    /// `*` is any number of bytes, `?` is one, all others stand for themselves.
    Plain(Arc<[u8]>),
    /// With classes, alternatives or escapes.
    Compiled(Arc<Regex>),
}

impl Name {
    pub(super) fn is_match(&self, name: &[u8]) -> bool {
        match self {
            Self::Plain(pattern) => is_like(pattern, name),
            Self::Compiled(regex) => regex.is_match(name),
        }
    }
}

/// Whether nothing in the pattern means anything but `*` and `?`.
pub(super) fn is_plain(glob: &str) -> bool {
    !glob.contains(['[', '{', '}', '\\'])
}

/// Compiles by hand what `GlobMatcher` would compile, because that ends the process over a pattern that is nested too
/// deeply or too large. A plain `glob` is one name.
pub(super) fn compile(glob: &str, text: &str) -> Result<Name, PatternError> {
    if is_plain(glob) {
        return Ok(Name::Plain(glob.as_bytes().into()));
    }
    let refused = |reason: String| PatternError::Syntax { text: text.to_owned(), reason };
    let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    let glob = glob.map_err(|error| refused(error.kind().to_string()))?;
    let regex = RegexBuilder::new(glob.regex()).dot_matches_new_line(true).build();
    regex
        .map(|regex| Name::Compiled(Arc::new(regex)))
        .map_err(|_| refused("it is nested too deeply or too large; write several patterns".to_owned()))
}

/// Where a byte does not fit, the last `*` takes one more: an earlier one would take no other bytes. So the work is at most
/// the product of both lengths.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    let (mut expected, mut at) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(expected) {
            Some(b'*') => {
                expected += 1;
                again = Some((expected, at));
            }
            Some(byte) if *byte == b'?' || *byte == name[at] => (expected, at) = (expected + 1, at + 1),
            _ => {
                let Some((behind, from)) = again else { return false };
                (again, expected, at) = (Some((behind, from + 1)), behind, from + 1);
            }
        }
    }
    pattern[expected..].iter().all(|byte| *byte == b'*')
}

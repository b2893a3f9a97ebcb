//! SINGLELINE: the lines of a record made one.
//! Promises the original's way of joining, with nothing between the lines unless `ESCAPE_NEW_LINE` is set.
//! Leaves finding where a record of several lines begins to framing.

use super::{Place, Stop, Work};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SingleLine {
    /// Lines keep the blanks at their ends.
    pub(super) no_trim: bool,
    /// Where lines met stands a backslash, a backslash and an `n`.
    pub(super) escape_new_line: bool,
}

impl Work for SingleLine {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        // Empty lines at the end count for nothing, those in between do.
        let used = record.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
        let mut rest = &record[..used];
        loop {
            let newline = memchr::memchr(b'\n', rest);
            let line = &rest[..newline.unwrap_or(rest.len())];
            out.extend_from_slice(if self.no_trim { line } else { trimmed(line) });
            let Some(newline) = newline else { break };
            if self.escape_new_line {
                out.extend_from_slice(b"\\\\n");
            }
            rest = &rest[newline + 1..];
        }
        Ok(())
    }

    fn line_end<'a>(&self, came: &'a [u8]) -> &'a [u8] {
        // Where lines are trimmed, a carriage return is a blank like any other.
        if self.no_trim && !came.is_empty() { came } else { b"\n" }
    }
}

/// Without blanks and control characters at both ends.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| *byte > b' ';
    match (line.iter().position(is_kept), line.iter().rposition(is_kept)) {
        (Some(first), Some(last)) => &line[first..=last],
        _ => &[],
    }
}

//! A preview held against what is expected of it, line by line.
//! Promises that the first line that differs is named, and that memory holds the expected text and one line.
//! Leaves reading the expected text to the command.

use datalake_base::shown::shown;
use std::io::{self, Write};

/// What the first line of every preview begins with.
const FIRST_WORDS: &[u8] = b"record 1, offset ";
/// Longer lines are cut where they are shown.
const SHOWN_BYTES: usize = 500;

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text of a preview, reasons included.
    Preview,
    /// The lines that are to be sent.
    Sent,
}

impl Kind {
    /// Which of them the text is.
    pub(super) fn of(expected: &[u8]) -> Self {
        // A preview without a record has its last line alone.
        let is_preview = expected.starts_with(FIRST_WORDS) || expected.starts_with(b"0 records: ");
        if is_preview { Self::Preview } else { Self::Sent }
    }
}

/// Takes lines and compares them.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    expected: Vec<u8>,
    /// How much of it was met.
    at: usize,
    /// Lines that were met.
    lines: usize,
    /// A line without its end yet.
    line: Vec<u8>,
    difference: Option<Difference>,
}

/// The first line that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Its number, from 1.
    pub(super) line: usize,
    /// What was expected; nothing, if no line was.
    pub(super) expected: Option<Vec<u8>>,
    /// What there is; nothing, if there is no line.
    pub(super) found: Option<Vec<u8>>,
}

impl Comparison {
    pub(super) fn with(expected: Vec<u8>) -> Self {
        Self { expected, ..Self::default() }
    }

    fn next_expected(&self) -> Option<&[u8]> {
        let rest = &self.expected[self.at..];
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        (end > 0).then(|| &rest[..end])
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let expected = self.next_expected();
        if expected == Some(&line[..]) {
            self.at += line.len();
            self.lines += 1;
        } else {
            let expected = expected.map(<[u8]>::to_vec);
            self.difference = Some(Difference { line: self.lines + 1, expected, found: Some(line) });
        }
    }

    /// The first difference, if there is one.
    pub(super) fn end(mut self) -> Option<Difference> {
        if self.difference.is_none() && !self.line.is_empty() {
            self.end_line();
        }
        let missing = self.next_expected().map(<[u8]>::to_vec);
        let missing = missing.map(|line| Difference { line: self.lines + 1, expected: Some(line), found: None });
        self.difference.or(missing)
    }
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.difference.is_some() {
                break;
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Difference {
    /// Shows both lines.
    pub(super) fn show(&self, out: &mut dyn Write) -> io::Result<()> {
        for (mark, line, nothing) in
            [('-', &self.expected, "nothing more was expected"), ('+', &self.found, "there is nothing more")]
        {
            match line {
                None => writeln!(out, "  {mark} ({nothing})")?,
                Some(line) => {
                    let (text, end) = line.strip_suffix(b"\n").map_or((&line[..], " (no line end)"), |text| (text, ""));
                    let cut = if text.len() > SHOWN_BYTES { "…" } else { "" };
                    writeln!(out, "  {mark} {}{cut}{end}", shown(text).cut(SHOWN_BYTES).with_tabs())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(expected: &str, found: &str) -> Option<(usize, Option<String>, Option<String>)> {
        let whole = |pieces: &[&str]| {
            let mut comparison = Comparison::with(expected.as_bytes().to_vec());
            pieces.iter().for_each(|piece| comparison.write_all(piece.as_bytes()).unwrap());
            comparison.end()
        };
        let at_once = whole(&[found]);
        for split in 0..=found.len() {
            assert_eq!(whole(&[&found[..split], &found[split..]]), at_once, "split at {split}");
        }
        let text = |line: Option<Vec<u8>>| line.map(|line| String::from_utf8(line).unwrap());
        at_once.map(|difference| (difference.line, text(difference.expected), text(difference.found)))
    }

    #[test]
    fn the_first_line_that_differs_is_named_wherever_the_pieces_end() {
        let some = |text: &str| Some(text.to_owned());
        for (expected, found, difference) in [
            ("", "", None),
            ("a\nb\n", "a\nb\n", None),
            ("a\nb", "a\nb", None),
            ("a\nb\n", "a\nc\nd\n", Some((2, some("b\n"), some("c\n")))),
            ("a\nb\n", "a\nb", Some((2, some("b\n"), some("b")))),
            ("a\n", "a\nb\n", Some((2, None, some("b\n")))),
            ("a\nb\n", "a\n", Some((2, some("b\n"), None))),
            ("a\n", "", Some((1, some("a\n"), None))),
        ] {
            assert_eq!(compared(expected, found), difference, "{expected:?} {found:?}");
        }
    }
}

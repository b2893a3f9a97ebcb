//! Places in a line, moved forward by what is expected there.
//! Promises to look at each byte a bounded number of times and never behind the end.
//! Leaves the order of things in a line to the formats.

use super::{Cell, Expected};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Whether the byte is one of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A line and a place in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) line: &'a [u8],
    /// Invariant: `at <= line.len()`.
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Expected> {
        Err(Expected { what, at: self.at })
    }

    /// One byte that must be there.
    #[inline]
    pub(super) fn byte(&mut self, byte: u8, what: &'static str) -> Result<(), Expected> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.wrong(what)
        }
    }

    /// A text that may be there.
    pub(super) fn skip(&mut self, text: &[u8]) -> bool {
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    /// As many bytes as hold the condition.
    #[inline]
    fn run(&mut self, condition: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.at < self.line.len() && condition(self.line[self.at]) {
            self.at += 1;
        }
        self.at - start
    }

    /// One word of anything that can be seen and is no quote.
    #[inline]
    pub(super) fn visible(&mut self, what: &'static str) -> Result<Cell, Expected> {
        let start = self.at;
        if self.run(|byte| byte > b' ' && byte != b'"' && byte != 0x7F) == 0 {
            return self.wrong(what);
        }
        Ok(Cell::Span(start, self.at))
    }

    /// The digits from here on: none where there are none.
    pub(super) fn digits(&mut self) -> usize {
        self.run(|byte| byte.is_ascii_digit())
    }

    /// A whole number with or without a sign.
    pub(super) fn integer(&mut self) -> Result<(), Expected> {
        let start = self.at;
        self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
        if self.digits() == 0 {
            self.at = start;
            return self.wrong("a whole number");
        }
        Ok(())
    }

    /// A whole number, or `-` where there is none.
    #[inline]
    pub(super) fn integer_or_dash(&mut self) -> Result<Cell, Expected> {
        let start = self.at;
        if self.integer().is_err() {
            self.byte(b'-', "a whole number or `-`")?;
        }
        Ok(Cell::Span(start, self.at))
    }

    /// One or more blanks.
    fn blanks(&mut self) -> Result<(), Expected> {
        if self.run(|byte| matches!(byte, b' ' | 0x09..=0x0D)) == 0 { self.wrong("a blank") } else { Ok(()) }
    }

    /// A number of one or two digits.
    fn small(&mut self, range: std::ops::RangeInclusive<u8>, what: &'static str) -> Result<usize, Expected> {
        let digit = |at: usize| self.line.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
        let (length, number) = match (digit(self.at), digit(self.at + 1)) {
            (Some(tens), Some(ones)) => (2, tens * 10 + ones),
            (Some(ones), None) => (1, ones),
            _ => return self.wrong(what),
        };
        if !range.contains(&number) {
            return self.wrong(what);
        }
        self.at += length;
        Ok(length)
    }

    /// One of `names`, in full or its first three letters.
    fn name(&mut self, names: &[&str], what: &'static str) -> Result<(), Expected> {
        let start = self.at;
        self.run(is_word);
        let word = &self.line[start..self.at];
        let known = word.len() >= 3
            && names.iter().any(|name| name.as_bytes() == word || (word.len() == 3 && name.as_bytes()[..3] == *word));
        if known {
            Ok(())
        } else {
            self.at = start;
            self.wrong(what)
        }
    }

    fn month(&mut self) -> Result<(), Expected> {
        self.name(&MONTHS, "the English name of a month")
    }

    fn day(&mut self) -> Result<usize, Expected> {
        self.small(1..=31, "a day of the month")
    }

    fn year(&mut self) -> Result<(), Expected> {
        if self.peek() == Some(b'0') || self.digits() == 0 { self.wrong("a year") } else { Ok(()) }
    }

    /// `hh:mm:ss`, with or without a fraction.
    fn clock(&mut self) -> Result<(), Expected> {
        self.small(0..=23, "an hour")?;
        self.byte(b':', "`:` after the hour")?;
        let minute = self.at;
        if self.small(0..=59, "a minute of two digits")? != 2 {
            return Err(Expected { what: "a minute of two digits", at: minute });
        }
        self.byte(b':', "`:` after the minute")?;
        self.small(0..=60, "a second")?;
        let behind = self.at;
        if matches!(self.peek(), Some(b':' | b'.' | b',')) {
            self.at += 1;
            if self.digits() == 0 {
                self.at = behind;
            }
        }
        Ok(())
    }

    /// `10/Oct/2000:13:55:36 -0700`
    #[inline]
    pub(super) fn apache_time(&mut self) -> Result<Cell, Expected> {
        let start = self.at;
        self.day()?;
        self.byte(b'/', "`/` after the day")?;
        self.month()?;
        self.byte(b'/', "`/` after the month")?;
        self.year()?;
        self.byte(b':', "`:` after the year")?;
        self.clock()?;
        match self.peek() {
            Some(b' ' | 0x09..=0x0D) => self.at += 1,
            _ => return self.wrong("a blank before the time zone"),
        }
        self.integer()?;
        Ok(Cell::Span(start, self.at))
    }

    /// `Wed Oct 11 14:32:52.123456 2023`
    pub(super) fn error_time(&mut self) -> Result<Cell, Expected> {
        let start = self.at;
        self.name(&WEEKDAYS, "the English name of a weekday")?;
        self.blanks()?;
        self.month()?;
        self.blanks()?;
        self.day()?;
        self.blanks()?;
        self.clock()?;
        self.blanks()?;
        self.year()?;
        Ok(Cell::Span(start, self.at))
    }

    /// `Mar  2 12:00:08`
    pub(super) fn syslog_time(&mut self) -> Result<Cell, Expected> {
        let start = self.at;
        self.month()?;
        self.blanks()?;
        self.day()?;
        self.blanks()?;
        self.clock()?;
        Ok(Cell::Span(start, self.at))
    }

    /// `2016-04-22T10:11:12.123456+00:00`
    pub(super) fn rfc3339_time(&mut self) -> Result<Cell, Expected> {
        let start = self.at;
        for (index, expected) in b"0000-00-00T00:00:00".iter().enumerate() {
            let found = self.line.get(self.at + index).copied().unwrap_or_default();
            let right = if *expected == b'0' { found.is_ascii_digit() } else { found == *expected };
            if !right {
                return Err(Expected { what: "a time like 2016-04-22T10:11:12Z", at: self.at + index });
            }
        }
        self.at += 19;
        if self.skip(b".") && self.digits() == 0 {
            return self.wrong("digits after the point");
        }
        if self.skip(b"Z") {
            return Ok(Cell::Span(start, self.at));
        }
        if !matches!(self.peek(), Some(b'+' | b'-')) {
            return self.wrong("a time zone: `Z` or like `+01:00`");
        }
        self.at += 1;
        let digits = |cursor: &mut Self| {
            let there = cursor.rest().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_digit));
            cursor.at += if there { 2 } else { 0 };
            if there { Ok(()) } else { cursor.wrong("a time zone like `+01:00`") }
        };
        digits(self)?;
        self.skip(b":");
        digits(self)?;
        Ok(Cell::Span(start, self.at))
    }
}

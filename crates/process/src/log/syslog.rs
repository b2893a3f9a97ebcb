//! The two formats of syslog, which differ in their time.
//! Promises host and message for every line with a time and a host; a line that names no program has none.
//! Leaves the numeric priority of the wire, which files do not hold, out.

use super::cursor::Cursor;
use super::{COLUMNS, Cell, Expected};

/// Names of programs that hold blanks are believed up to this length.
const LONGEST_SPACED: usize = 48;

/// `time host program[1]: message`
pub(super) fn parse(
    line: &[u8],
    cells: &mut [Cell; COLUMNS],
    time: impl Fn(&mut Cursor<'_>) -> Result<Cell, Expected>,
) -> Result<(), Expected> {
    let mut cursor = Cursor::new(line);
    cells[0] = time(&mut cursor)?;
    cursor.byte(b' ', "a space after the time")?;
    priority(&mut cursor);
    cells[1] = cursor.visible("the host")?;
    cursor.byte(b' ', "a space after the host")?;
    let message = program(cursor, cells).unwrap_or(cursor.at);
    cells[4] = Cell::Text(message, line.len());
    Ok(())
}

/// `<1.2> `, if it is there.
fn priority(cursor: &mut Cursor<'_>) {
    let mut ahead = *cursor;
    let there = ahead.skip(b"<") && ahead.digits() > 0 && {
        ahead.at = (ahead.at + 1).min(ahead.line.len());
        ahead.digits() > 0 && ahead.skip(b"> ")
    };
    if there {
        *cursor = ahead;
    }
}

/// The program and its process, if the text begins with them; where the message begins.
fn program(cursor: Cursor<'_>, cells: &mut [Cell; COLUMNS]) -> Option<usize> {
    let rest = cursor.rest();
    let mut from = 0;
    let colon = loop {
        let colon = from + memchr::memchr(b':', &rest[from..])?;
        match rest.get(colon + 1) {
            None | Some(b' ') => break colon,
            Some(_) => from = colon + 1,
        }
    };
    let (name, process) = split(&rest[..colon]);
    let spaced = memchr::memchr(b' ', name).is_some();
    let believed = !name.is_empty()
        && if spaced {
            let part = |byte: &u8| byte.is_ascii_alphanumeric() || b" _./%()@+-".contains(byte) || *byte >= 0x80;
            colon <= LONGEST_SPACED && !name.starts_with(b" ") && name.iter().all(part)
        } else {
            name.iter().all(|byte| *byte > b' ' && *byte != b'"')
        };
    if !believed {
        return None;
    }
    cells[2] = Cell::Span(cursor.at, cursor.at + name.len());
    if let Some(process) = process {
        let start = cursor.at + name.len() + 1;
        cells[3] = Cell::Span(start, start + process.len());
    }
    Some((cursor.at + colon + 2).min(cursor.line.len()))
}

/// `program[1]`, apart.
fn split(head: &[u8]) -> (&[u8], Option<&[u8]>) {
    let parts = head.strip_suffix(b"]").and_then(|inner| {
        let open = memchr::memrchr(b'[', inner)?;
        let process = &inner[open + 1..];
        (!process.is_empty() && process.iter().all(u8::is_ascii_digit)).then_some((&inner[..open], Some(process)))
    });
    parts.unwrap_or((head, None))
}

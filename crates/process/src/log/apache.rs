//! The three formats of Apache.
//! Promises the fields that Apache wrote, also where it wrote an escaped or empty quote, no process or no client.
//! Leaves `-`, which stands for nothing, to the writing of fields.

use super::cursor::Cursor;
use super::{COLUMNS, Cell, Expected};

/// `host ident user [time] "request" status bytes`; returns what is left.
#[inline]
pub(super) fn common<'a>(line: &'a [u8], cells: &mut [Cell; COLUMNS]) -> Result<Cursor<'a>, Expected> {
    let mut cursor = Cursor::new(line);
    cells[0] = cursor.visible("the client")?;
    cursor.byte(b' ', "a space after the client")?;
    cells[1] = cursor.visible("the remote name")?;
    cursor.byte(b' ', "a space after the remote name")?;
    user_and_time(&mut cursor, cells)?;
    cursor.byte(b' ', "a space after the time")?;
    quoted(cursor, &mut cells[4..], |mut cursor, cells| {
        cursor.byte(b' ', "a space after the request")?;
        cells[0] = cursor.integer_or_dash()?;
        cursor.byte(b' ', "a space after the status")?;
        cells[1] = cursor.integer_or_dash()?;
        Ok(cursor)
    })
}

/// `user [time]`. Apache writes an empty user as `""`, and any other as the client sent it, blanks included: it ends
/// where a time in brackets begins.
#[inline]
fn user_and_time(cursor: &mut Cursor<'_>, cells: &mut [Cell; COLUMNS]) -> Result<(), Expected> {
    let start = *cursor;
    let time = |cursor: &mut Cursor<'_>| {
        cursor.byte(b'[', "`[` before the time")?;
        let time = cursor.apache_time()?;
        cursor.byte(b']', "`]` after the time")?;
        Ok(time)
    };
    let mut word = || {
        let user = cursor.visible("the user")?;
        cursor.byte(b' ', "a space after the user")?;
        Ok((user, time(cursor)?))
    };
    let expected = match word() {
        Ok((user, time)) => {
            (cells[2], cells[3]) = (user, time);
            return Ok(());
        }
        Err(expected) => expected,
    };
    let (line, mut from) = (start.line, start.at);
    // A column too many, such as a virtual host in front, leaves the remote name where a user with blanks would begin.
    let shifted = line[start.at..].starts_with(b"- ");
    while let Some(place) = memchr::memmem::find(&line[from..], b" [").filter(|_| !shifted) {
        let end = from + place;
        let mut ahead = Cursor { line, at: end + 1 };
        if let Ok(time) = time(&mut ahead) {
            let empty = line[start.at..end] == *b"\"\"";
            cells[2] = if empty { Cell::Text(end, end) } else { Cell::Text(start.at, end) };
            cells[3] = time;
            *cursor = ahead;
            return Ok(());
        }
        from = end + 1;
    }
    Err(expected)
}

/// The same with `"referer" "agent"`.
pub(super) fn combined(line: &[u8], cells: &mut [Cell; COLUMNS]) -> Result<(), Expected> {
    let mut cursor = common(line, cells)?;
    cursor.byte(b' ', "a space after the size")?;
    quoted(cursor, &mut cells[7..], |mut cursor, cells| {
        cursor.byte(b' ', "a space after the referer")?;
        quoted(cursor, cells, |cursor, _| Ok(cursor))
    })?;
    Ok(())
}

/// A text in quotes, and what must follow. Apache writes a quote inside as `\"`, so the first quote without a
/// backslash closes the text; where what follows is not what must, it is tried whether the very first one does.
#[inline]
fn quoted<'a>(
    mut cursor: Cursor<'a>,
    cells: &mut [Cell],
    follows: impl Fn(Cursor<'a>, &mut [Cell]) -> Result<Cursor<'a>, Expected>,
) -> Result<Cursor<'a>, Expected> {
    cursor.byte(b'"', "a quote")?;
    let (line, start) = (cursor.line, cursor.at);
    let unclosed = Expected { what: "a closing quote", at: line.len() };
    let first = start + memchr::memchr(b'"', cursor.rest()).ok_or(unclosed)?;
    let mut closed_by = |close: usize| {
        let (cell, after) = cells.split_first_mut().expect("each quoted text has a column");
        *cell = Cell::Span(start, close);
        follows(Cursor { line, at: close + 1 }, after)
    };
    match unescaped(line, start, first) {
        Some(close) if close == first => closed_by(close),
        Some(close) => closed_by(close).or_else(|error| closed_by(first).map_err(|_| error)),
        None => closed_by(first),
    }
}

/// From the quote at `quote` on, the first that has no backslash before it (an even number of them is none).
fn unescaped(line: &[u8], start: usize, mut quote: usize) -> Option<usize> {
    loop {
        let backslashes = line[start..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes.is_multiple_of(2) {
            return Some(quote);
        }
        quote += 1 + memchr::memchr(b'"', &line[quote + 1..])?;
    }
}

/// `[time] [module:severity] [pid 1:tid 2] [client 1.2.3.4:5] message`; of the brackets after the severity any may be
/// missing, and an error number with its text may stand before the client.
pub(super) fn error(line: &[u8], cells: &mut [Cell; COLUMNS]) -> Result<(), Expected> {
    let mut cursor = Cursor::new(line);
    cursor.byte(b'[', "`[` before the time")?;
    cells[0] = cursor.error_time()?;
    cursor.byte(b']', "`]` after the time")?;
    cursor.byte(b' ', "a space after the time")?;
    cursor.byte(b'[', "`[` before the severity")?;
    severity(&mut cursor, cells)?;
    if cursor.rest().is_empty() {
        cells[6] = Cell::Text(line.len(), line.len());
        return Ok(());
    }
    cursor.byte(b' ', "a space after the severity")?;
    process(&mut cursor, cells);
    let number_at = cursor.at;
    if cursor.skip(b"(")
        && cursor.digits() > 0
        && cursor.skip(b")")
        && let Some(place) = memchr::memmem::find(cursor.rest(), b": [client ")
    {
        cursor.at += place + 2;
        let text = (number_at, cursor.at);
        if client(&mut cursor, cells) {
            cells[6] = Cell::Around(text, (cursor.at, line.len()));
            return Ok(());
        }
    }
    cursor.at = number_at;
    client(&mut cursor, cells);
    cells[6] = Cell::Text(cursor.at, line.len());
    Ok(())
}

fn severity(cursor: &mut Cursor<'_>, cells: &mut [Cell; COLUMNS]) -> Result<(), Expected> {
    let start = cursor.at;
    let close = memchr::memchr(b']', cursor.rest()).ok_or(Expected { what: "`]` after the severity", at: start })?;
    let inside = &cursor.rest()[..close];
    let colon = memchr::memchr(b':', inside);
    let word = |text: &[u8]| text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (module, severity) = colon.map_or((&inside[..0], inside), |colon| (&inside[..colon], &inside[colon + 1..]));
    if severity.is_empty() || !word(module) || !word(severity) {
        return Err(Expected { what: "a severity", at: start });
    }
    if !module.is_empty() {
        cells[1] = Cell::Span(start, start + module.len());
    }
    cells[2] = Cell::Span(start + close - severity.len(), start + close);
    cursor.at = start + close + 1;
    Ok(())
}

/// `[pid 1:tid 2] `, if it is there.
fn process(cursor: &mut Cursor<'_>, cells: &mut [Cell; COLUMNS]) {
    let mut ahead = *cursor;
    let mut number = |ahead: &mut Cursor<'_>, column: usize| {
        let start = ahead.at;
        let there = ahead.digits() > 0;
        cells[column] = if there { Cell::Span(start, ahead.at) } else { Cell::Absent };
        there
    };
    let whole = ahead.skip(b"[pid ")
        && number(&mut ahead, 3)
        && (!ahead.skip(b":tid ") || number(&mut ahead, 4))
        && ahead.skip(b"]")
        && (ahead.skip(b" ") || ahead.rest().is_empty());
    if whole {
        *cursor = ahead;
    } else {
        cells[3] = Cell::Absent;
        cells[4] = Cell::Absent;
    }
}

/// `[client 1.2.3.4:5] `, if it is there; whether it was.
fn client(cursor: &mut Cursor<'_>, cells: &mut [Cell; COLUMNS]) -> bool {
    let mut ahead = *cursor;
    if !ahead.skip(b"[client ") {
        return false;
    }
    let rest = ahead.rest();
    // An address may stand in brackets of its own.
    let close = memchr::memmem::find(rest, b"] ").or_else(|| rest.ends_with(b"]").then(|| rest.len() - 1));
    let Some(close) = close.filter(|close| *close > 0 && memchr::memchr(b' ', &rest[..*close]).is_none()) else {
        return false;
    };
    cells[5] = Cell::Text(ahead.at, ahead.at + close);
    ahead.at += close + 1;
    ahead.skip(b" ");
    *cursor = ahead;
    true
}

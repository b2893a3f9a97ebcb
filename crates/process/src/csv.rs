//! CSVTOJSON: delimited columns become the fields of an object.
//! Promises the original's splitting (empty columns at the end are null, surplus ones are gone) and, on top of it,
//! quoted columns, delimiters and quotes inside them included.
//! Leaves the first line of a file, where it holds names, to `skipHeaderLines`.

use super::java::{Pattern, PatternError};
use super::json::scan::special;
use super::json::{Field, Shape};
use super::{Place, Stop, Work, as_text, bare};

/// What stands between columns.
#[derive(Clone, Debug)]
pub(super) enum Delimiter {
    /// One byte.
    Byte(u8),
    /// Several.
    Literal(Box<[u8]>),
    /// Whatever matches.
    Pattern(Pattern),
}

#[derive(Debug)]
pub(super) struct Csv {
    shape: Shape,
    columns: usize,
    delimiter: Delimiter,
    quotes: bool,
    /// Invariant: at most `columns`.
    cells: Vec<Cell>,
    /// What quoted columns with quotes inside stand for.
    unquoted: Vec<u8>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// From here to there in the line.
    Line(usize, usize),
    /// From here to there in `unquoted`.
    Unquoted(usize, usize),
}

impl Delimiter {
    /// The delimiter that a regular expression of Java stands for; without special signs it is that text.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let mut literal = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => match rest.next() {
                    Some('t') => literal.push('\t'),
                    Some(sign) if sign.is_ascii_punctuation() => literal.push(sign),
                    _ => return Pattern::repeated(text).map(Self::Pattern),
                },
                '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => {
                    return Pattern::repeated(text).map(Self::Pattern);
                }
                _ => literal.push(character),
            }
        }
        Ok(match literal.as_bytes() {
            [] => Self::Pattern(Pattern::repeated("")?),
            [byte] => Self::Byte(*byte),
            bytes => Self::Literal(bytes.into()),
        })
    }

    /// Whether it matches between any two characters, which splits everything into single ones.
    pub(super) fn matches_nothing(&self) -> bool {
        matches!(self, Self::Pattern(pattern) if pattern.clone().is_match("").unwrap_or(true))
    }

    /// Before the first search through a line.
    fn begin(&mut self, line: &str) {
        if let Self::Pattern(pattern) = self {
            pattern.begin(line);
        }
    }

    /// The first delimiter at `from` or later: begin and end.
    #[inline]
    fn find(&mut self, text: &str, from: usize) -> Result<Option<(usize, usize)>, Stop> {
        let bytes = &text.as_bytes()[from..];
        Ok(match self {
            Self::Byte(byte) => memchr::memchr(*byte, bytes).map(|place| (from + place, from + place + 1)),
            Self::Literal(literal) => {
                memchr::memmem::find(bytes, literal).map(|place| (from + place, from + place + literal.len()))
            }
            Self::Pattern(pattern) => {
                let mut search = from;
                loop {
                    match pattern.find(text, search)? {
                        // A match of nothing separates nothing at the ends of a column.
                        Some((begin, end)) if begin == end && (begin == from || begin == text.len()) => {
                            let Some(next) = text[begin..].chars().next() else { break None };
                            search = begin + next.len_utf8();
                        }
                        found => break found,
                    }
                }
            }
        })
    }
}

impl Csv {
    pub(super) fn new(shape: Shape, columns: usize, delimiter: Delimiter, quotes: bool) -> Self {
        let cells = Vec::with_capacity(columns);
        Self { shape, columns, delimiter, quotes, cells, unquoted: Vec::new(), text: String::new() }
    }
}

impl Work for Csv {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { shape, columns, delimiter, quotes, cells, unquoted, text } = self;
        let line = as_text(bare(record), text);
        cells.clear();
        unquoted.clear();
        delimiter.begin(line);
        split(line, *columns, delimiter, *quotes, cells, unquoted)?;
        let line = line.as_bytes();
        let plain = special(line, 0) == line.len();
        shape.write(out, |index| match cells.get(index) {
            None => Field::Null,
            Some(Cell::Line(start, end)) if plain => Field::Plain(&line[*start..*end]),
            Some(Cell::Line(start, end)) => Field::Text(&line[*start..*end]),
            Some(Cell::Unquoted(start, end)) => Field::Text(&unquoted[*start..*end]),
        });
        Ok(())
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }
}

/// Splits the line into at most `columns` cells, of which none is an empty one at the end of the line.
fn split(
    line: &str,
    columns: usize,
    delimiter: &mut Delimiter,
    quotes: bool,
    cells: &mut Vec<Cell>,
    unquoted: &mut Vec<u8>,
) -> Result<(), Stop> {
    // Cells before this are not at an empty end.
    let mut lasting = 0;
    let (mut start, mut count) = (0, 0);
    loop {
        let quoted = if quotes { quoted_cell(line, start, delimiter, unquoted)? } else { None };
        let (cell, delimiter_at) = match quoted {
            Some((cell, delimiter_at)) => (cell, delimiter_at),
            None => {
                let found = delimiter.find(line, start)?;
                (Cell::Line(start, found.map_or(line.len(), |(begin, _)| begin)), found)
            }
        };
        count += 1;
        let empty = matches!(cell, Cell::Line(from, to) if from == to) && quoted.is_none();
        if cells.len() < columns {
            cells.push(cell);
        }
        if !empty {
            lasting = count;
            if count > columns || cells.len() == columns {
                break;
            }
        }
        match delimiter_at {
            Some((_, end)) => start = end,
            // A line without any delimiter is one column, also when it is empty.
            None if count == 1 => {
                lasting = 1;
                break;
            }
            None => break,
        }
    }
    cells.truncate(lasting);
    Ok(())
}

/// A cell, and the delimiter behind it unless the line ends there.
type CellAndDelimiter = (Cell, Option<(usize, usize)>);

/// The quoted cell that begins at `start`. `None` where there is none: no quote, none that closes, or something between
/// the closing one and the delimiter; such a cell is taken as it stands.
#[inline]
fn quoted_cell(
    line: &str,
    start: usize,
    delimiter: &mut Delimiter,
    unquoted: &mut Vec<u8>,
) -> Result<Option<CellAndDelimiter>, Stop> {
    let bytes = line.as_bytes();
    if bytes.get(start) != Some(&b'"') {
        return Ok(None);
    }
    let (mut at, mut doubled) = (start + 1, false);
    let close = loop {
        let Some(place) = memchr::memchr(b'"', &bytes[at..]) else { return Ok(None) };
        at += place;
        if bytes.get(at + 1) != Some(&b'"') {
            break at;
        }
        doubled = true;
        at += 2;
    };
    let behind = if close + 1 == bytes.len() {
        None
    } else {
        match delimiter.find(line, close + 1)? {
            Some((begin, end)) if begin == close + 1 && end > begin => Some((begin, end)),
            _ => return Ok(None),
        }
    };
    if !doubled {
        return Ok(Some((Cell::Line(start + 1, close), behind)));
    }
    let from = unquoted.len();
    let mut rest = &bytes[start + 1..close];
    while let Some(place) = memchr::memchr(b'"', rest) {
        unquoted.extend_from_slice(&rest[..=place]);
        rest = &rest[place + 2..];
    }
    unquoted.extend_from_slice(rest);
    Ok(Some((Cell::Unquoted(from, unquoted.len()), behind)))
}

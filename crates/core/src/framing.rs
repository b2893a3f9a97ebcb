//! Bytes in, runs of whole lines out; "need more" is a value, not a wait.
//! Promises that no byte is lost, doubled or reordered, and that no line, however long, makes memory grow beyond
//! one line's limit.
//! Leaves packing of runs into records to batch, and what to do with a line to process.

/// Single lines: newline, header lines, lines over the limit.
mod lines;
/// Lines joined into records by a start pattern.
mod multiline;

pub use multiline::{StartPattern, StartPatternError};

use datalake_base::record::Position;
use std::time::{Duration, Instant};

/// One long line must not pin its buffer, beyond these 64 KiB, for as long as its file lives.
const BUFFER_KEPT: usize = 65_536;

/// How a flow's bytes become lines.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The longest line, its newline included, in bytes. At least one more than `terminator` has.
    pub max_line_bytes: usize,
    /// What happens to a longer one.
    pub long_lines: LongLines,
    /// What ends a line that was cut, or whose file ended without a newline.
    pub terminator: Vec<u8>,
    /// This many lines at the start of each file are not shipped.
    pub skip_header_lines: u32,
    /// Lines are joined into records that start with a match; boxed, because few flows do that.
    pub multi_line: Option<Box<MultiLine>>,
}

impl Settings {
    /// The longest line, its newline included, that is neither split nor truncated.
    #[must_use]
    pub fn longest_whole_line(&self) -> usize {
        (self.max_line_bytes + 1).saturating_sub(self.terminator.len().max(1))
    }
}

/// What happens to a line that is longer than a record may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongLines {
    /// It becomes several lines, each ended by the terminator; no byte is lost.
    #[default]
    Split,
    /// Its beginning is kept and ended by the terminator; the rest is counted as filtered.
    Truncate,
}

/// Joining of lines.
#[derive(Clone, Debug)]
pub struct MultiLine {
    /// A line that matches begins a new record.
    pub start: StartPattern,
    /// A record whose next line does not come for so long is complete.
    pub timeout: Duration,
}

/// How much the next run may hold.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes.
    pub bytes: usize,
    /// Lines, at least 1.
    pub lines: usize,
}

/// Bytes of one chunk that were not framed yet; `position` is where the first of them stands.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What is left.
    pub bytes: &'a [u8],
    /// Position of `bytes[0]` in the origin.
    pub position: Position,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        self.position = self.position + count;
        taken
    }
}

/// Whole lines that need no further work one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// The lines as they are to be sent; each ends in a newline or the terminator. Never empty.
    pub bytes: &'a [u8],
    /// Bytes of input that are in it; fewer than `bytes` has where a terminator was added.
    pub input: u64,
    /// The position after the run.
    pub end: Position,
    /// Lines in it (records, where lines are joined).
    pub lines: usize,
}

/// What the next stretch of input turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// Whole lines.
    Run(Run<'a>),
    /// Input that is not shipped: header lines, the end of a truncated line.
    Filtered {
        /// The position after it; `None` while what comes before it is still held.
        end: Option<Position>,
        /// How many bytes.
        bytes: u64,
    },
    /// The next line is longer than the room but not longer than the limit: make room and ask again.
    NoRoom,
    /// The input is used up.
    NeedMore,
}

/// The framing of one origin.
#[derive(Debug)]
pub struct Framer {
    lines: lines::Lines,
    /// Boxed: few origins have one, and thousands are open.
    joiner: Option<Box<multiline::Joiner>>,
}

impl Framer {
    /// For an origin whose reading begins at `start`; header lines are skipped only from the very beginning.
    #[must_use]
    pub fn new(settings: &Settings, start: Position) -> Self {
        Self {
            lines: lines::Lines::new(settings, start),
            joiner: settings
                .multi_line
                .as_ref()
                .map(|join| Box::new(multiline::Joiner::new(settings, MultiLine::clone(join), start))),
        }
    }

    /// The next run of the input that fits into the room. Call until it says `NeedMore`.
    pub fn next<'a, 'b: 'a>(&'a mut self, input: &mut Input<'b>, room: Room, now: Instant) -> Framed<'a> {
        match &mut self.joiner {
            None => self.lines.next(input, room),
            Some(joiner) => joiner.next(&mut self.lines, input, room, now),
        }
    }

    /// Whole lines at the beginning of the input, of this many bytes at most, that are to be sent as they stand, for a caller
    /// that tells them apart itself and takes as many as it likes with [`Framer::took`]. Empty where the next line needs
    /// more than that: then ask [`Framer::next`].
    pub fn whole_lines<'b>(&mut self, input: &Input<'b>, bytes: usize) -> &'b [u8] {
        match &self.joiner {
            None => self.lines.peek(input, bytes),
            Some(_) => &[],
        }
    }

    /// The caller took this many bytes of [`Framer::whole_lines`].
    ///
    /// # Panics
    /// When they do not end with a line.
    pub fn took(&mut self, input: &mut Input<'_>, bytes: usize) {
        self.lines.took(input, bytes);
    }

    /// When a held record is complete because nothing followed it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.joiner.as_ref().and_then(|joiner| joiner.deadline())
    }

    /// The held record, if its time has come.
    pub fn overdue(&mut self, now: Instant) -> Option<Run<'_>> {
        self.joiner.as_mut().and_then(|joiner| joiner.overdue(now))
    }

    /// The origin has ended: what is held is complete. Call until it says `None`.
    pub fn finish(&mut self) -> Option<Run<'_>> {
        match &mut self.joiner {
            None => self.lines.finish(),
            Some(joiner) => joiner.finish(&mut self.lines),
        }
    }

    /// Bytes held back: the beginning of a line, lines waiting to be joined.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lines.held() + self.joiner.as_ref().map_or(0, |joiner| joiner.held())
    }
}

/// Frames any bytes under settings taken from the first few of them, and asserts what is promised: no run is larger
/// than its room, positions grow, every byte of input is in a run or was reported as filtered.
pub fn fuzz(bytes: &[u8], now: Instant) {
    let (Some(knobs), Some(text)) = (bytes.get(..4), bytes.get(4..)) else { return };
    let settings = Settings {
        max_line_bytes: 2 + usize::from(knobs[0]),
        long_lines: if knobs[1] & 1 == 0 { LongLines::Split } else { LongLines::Truncate },
        terminator: b"\n".to_vec(),
        skip_header_lines: u32::from(knobs[1] >> 6),
        multi_line: (knobs[1] & 2 == 2).then(|| {
            Box::new(MultiLine {
                start: StartPattern::parse("A").expect("a letter is a pattern"),
                timeout: Duration::from_secs(1),
            })
        }),
    };
    let small = Room { bytes: usize::from(knobs[2]), lines: 1 + usize::from(knobs[3] >> 4) };
    let (mut framer, mut room) = (Framer::new(&settings, Position::START), small);
    let (mut accounted, mut end, mut position) = (0, Position::START, Position::START);
    for chunk in text.chunks(1 + usize::from(knobs[3])) {
        let mut input = Input { bytes: chunk, position };
        position = position + chunk.len();
        loop {
            // Sometimes half of the whole lines are taken by the caller.
            let whole = if knobs[1] & 4 == 4 { framer.whole_lines(&input, room.bytes) } else { &[] };
            if let Some(middle) = memchr::memrchr(b'\n', &whole[..whole.len().div_ceil(2)]) {
                framer.took(&mut input, middle + 1);
                (accounted, end) = (accounted + middle as u64 + 1, input.position);
                assert!(middle < settings.max_line_bytes);
            }
            match framer.next(&mut input, room, now) {
                Framed::Run(run) => {
                    assert!(!run.bytes.is_empty() && run.bytes.len() <= room.bytes && run.lines <= room.lines);
                    assert!(run.end > end && run.end <= position);
                    (accounted, end, room) = (accounted + run.input, run.end, small);
                }
                Framed::Filtered { bytes, .. } => accounted += bytes,
                Framed::NoRoom => {
                    assert!(room.bytes < settings.max_line_bytes, "the longest line does not fit into its own room");
                    room = Room { bytes: settings.max_line_bytes, lines: 1 };
                }
                Framed::NeedMore => break,
            }
        }
        assert!(framer.held() <= 3 * settings.max_line_bytes, "a line grew beyond its limit");
    }
    while let Some(run) = framer.finish() {
        accounted += run.input;
    }
    let header = if settings.skip_header_lines > 0 { text.len() as u64 } else { 0 };
    assert!(accounted <= text.len() as u64 && accounted + header >= text.len() as u64, "bytes went missing");
}

#[cfg(test)]
mod tests;

//! Single lines: newline, header lines, lines over the limit.
//! Promises that lines are never looked at one by one where a whole run will do: one reverse search decides.
//! Leaves joining of lines to multiline.

use super::{BUFFER_KEPT, Framed, Input, LongLines, Room, Run, Settings};
use datalake_base::record::Position;

/// The line framing of one origin.
#[derive(Debug)]
pub(super) struct Lines {
    /// The longest line without its newline. A longer one is cut here and ended by the terminator, so that
    /// `content_limit + terminator.len() <= max_line_bytes`.
    content_limit: usize,
    long_lines: LongLines,
    terminator: Vec<u8>,
    /// The beginning of a line whose newline has not come, or a line ready to be handed out.
    /// Invariant while a line is open: `held.len() <= content_limit`.
    held: Vec<u8>,
    /// Bytes of input in `held`; what we added ourselves does not count.
    held_input: u64,
    /// Where the input consumed so far ends.
    end: Position,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Header lines are skipped. Nothing is reported before the last of them has ended, so that a restart in the
    /// middle of the header begins with the header again.
    Header { left: u32, bytes: u64 },
    /// Lines are shipped.
    Body,
    /// `held` is the kept beginning of a line over the limit; its rest is being dropped.
    Cutting,
    /// `held` is a whole line that waits for room.
    Ready,
    /// `held` was handed out and is to be emptied.
    HandedOut,
}

impl Lines {
    pub(super) fn new(settings: &Settings, start: Position) -> Self {
        let terminator_bytes = settings.terminator.len().max(1);
        assert!(settings.max_line_bytes > terminator_bytes, "a cut line must hold more than its terminator");
        let left = settings.skip_header_lines;
        let in_header = left > 0 && start == Position::START;
        Self {
            content_limit: settings.max_line_bytes - terminator_bytes,
            long_lines: settings.long_lines,
            terminator: settings.terminator.clone(),
            held: Vec::new(),
            held_input: 0,
            end: start,
            state: if in_header { State::Header { left, bytes: 0 } } else { State::Body },
        }
    }

    pub(super) fn next<'a, 'b: 'a>(&'a mut self, input: &mut Input<'b>, room: Room) -> Framed<'a> {
        self.forget_handed_out();
        if self.state == State::Ready {
            let step = self.ready(room);
            return self.framed(step, self.end);
        }
        if input.bytes.is_empty() {
            return Framed::NeedMore;
        }
        let step = match self.state {
            State::Header { left, bytes } => self.skip_header(input, left, bytes),
            State::Cutting => self.drop_rest(input),
            _ if self.held.is_empty() => return self.whole_lines(input, room),
            _ => self.complete_held(input, room),
        };
        self.framed(step, input.position)
    }

    /// See [`super::Framer::whole_lines`].
    pub(super) fn peek<'b>(&mut self, input: &Input<'b>, bytes: usize) -> &'b [u8] {
        self.forget_handed_out();
        if self.state != State::Body || !self.held.is_empty() {
            return &[];
        }
        // No line in a window of this size is over the limit.
        let window = &input.bytes[..input.bytes.len().min(self.content_limit + 1).min(bytes)];
        memchr::memrchr(b'\n', window).map_or(&[], |last| &window[..=last])
    }

    /// See [`super::Framer::took`].
    pub(super) fn took(&mut self, input: &mut Input<'_>, bytes: usize) {
        let taken = input.take(bytes);
        assert!(self.held.is_empty() && taken.ends_with(b"\n"), "something else than whole lines was taken");
        self.end = input.position;
    }

    fn framed(&mut self, step: Step, end: Position) -> Framed<'_> {
        self.end = end;
        match step {
            Step::Header(bytes) => Framed::Filtered { end: Some(end), bytes },
            Step::Filtered(bytes) => Framed::Filtered { end: None, bytes },
            Step::NoRoom => Framed::NoRoom,
            Step::NeedMore => Framed::NeedMore,
            Step::HandOut => Framed::Run(self.hand_out()),
        }
    }

    pub(super) fn finish(&mut self) -> Option<Run<'_>> {
        self.forget_handed_out();
        if self.held.is_empty() {
            return None;
        }
        if self.state == State::Body {
            self.held.extend_from_slice(&self.terminator);
        }
        Some(self.hand_out())
    }

    pub(super) fn held(&self) -> usize {
        if self.state == State::HandedOut { 0 } else { self.held.len() }
    }

    fn whole_lines<'a, 'b: 'a>(&'a mut self, input: &mut Input<'b>, room: Room) -> Framed<'a> {
        let line_limit = self.content_limit + 1;
        let window = &input.bytes[..input.bytes.len().min(line_limit).min(room.bytes)];
        let last = if room.lines == 1 { memchr::memchr(b'\n', window) } else { memchr::memrchr(b'\n', window) };
        if let Some(last) = last {
            let (length, lines) = fit_lines(&window[..=last], room.lines);
            let bytes = input.take(length);
            self.end = input.position;
            return Framed::Run(Run { bytes, input: length as u64, end: input.position, lines });
        }
        if input.bytes.len() >= line_limit {
            if window.len() < line_limit {
                return Framed::NoRoom;
            }
            let step = self.begin_long(input, room);
            return self.framed(step, input.position);
        }
        if memchr::memchr(b'\n', &input.bytes[window.len()..]).is_some() {
            return Framed::NoRoom;
        }
        self.hold(input, input.bytes.len());
        self.end = input.position;
        Framed::NeedMore
    }

    fn complete_held(&mut self, input: &mut Input<'_>, room: Room) -> Step {
        let left = self.content_limit + 1 - self.held.len();
        let window = &input.bytes[..input.bytes.len().min(left)];
        match memchr::memchr(b'\n', window) {
            Some(newline) => {
                self.hold(input, newline + 1);
                self.ready(room)
            }
            None if window.len() < left => {
                self.hold(input, window.len());
                Step::NeedMore
            }
            None => self.begin_long(input, room),
        }
    }

    /// Cuts the line that has just turned out to be over the limit.
    fn begin_long(&mut self, input: &mut Input<'_>, room: Room) -> Step {
        self.hold(input, self.content_limit - self.held.len());
        self.held.extend_from_slice(&self.terminator);
        match self.long_lines {
            LongLines::Split => self.ready(room),
            LongLines::Truncate => {
                self.state = State::Cutting;
                Step::Filtered(0)
            }
        }
    }

    /// The held line is whole.
    fn ready(&mut self, room: Room) -> Step {
        self.state = State::Ready;
        if self.held.len() > room.bytes { Step::NoRoom } else { Step::HandOut }
    }

    fn drop_rest(&mut self, input: &mut Input<'_>) -> Step {
        let bytes = match memchr::memchr(b'\n', input.bytes) {
            Some(newline) => {
                self.state = State::Ready;
                input.take(newline + 1).len()
            }
            None => input.take(input.bytes.len()).len(),
        };
        Step::Filtered(bytes as u64)
    }

    fn skip_header(&mut self, input: &mut Input<'_>, left: u32, bytes: u64) -> Step {
        let Some(newline) = memchr::memchr(b'\n', input.bytes) else {
            let skipped = input.take(input.bytes.len()).len() as u64;
            self.state = State::Header { left, bytes: bytes + skipped };
            return Step::NeedMore;
        };
        let bytes = bytes + input.take(newline + 1).len() as u64;
        if left > 1 {
            self.state = State::Header { left: left - 1, bytes };
            return Step::Filtered(0);
        }
        self.state = State::Body;
        Step::Header(bytes)
    }

    fn hold(&mut self, input: &mut Input<'_>, count: usize) {
        self.held.extend_from_slice(input.take(count));
        self.held_input += count as u64;
    }

    fn hand_out(&mut self) -> Run<'_> {
        self.state = State::HandedOut;
        Run { bytes: &self.held, input: self.held_input, end: self.end, lines: 1 }
    }

    fn forget_handed_out(&mut self) {
        if self.state == State::HandedOut {
            self.state = State::Body;
            self.held_input = 0;
            self.held.clear();
            self.held.shrink_to(BUFFER_KEPT);
        }
    }
}

/// What a step found, without a borrow of the held line.
enum Step {
    /// The whole header, this many bytes.
    Header(u64),
    /// This many bytes of a line whose beginning is still held.
    Filtered(u64),
    NoRoom,
    NeedMore,
    HandOut,
}

/// How many bytes and lines of `run`, which ends in a newline, are at most `most` lines.
fn fit_lines(run: &[u8], most: usize) -> (usize, usize) {
    if most == 1 {
        return (run.len(), 1);
    }
    let lines = bytecount::count(run, b'\n');
    if lines <= most {
        return (run.len(), lines);
    }
    let end = memchr::memchr_iter(b'\n', run).nth(most - 1).expect("there are more newlines than that");
    (end + 1, most)
}

//! The framing against a naive model: whatever the cuts between chunks and whatever the room, the same lines.

use super::*;
use proptest::prelude::*;

fn settings() -> Settings {
    Settings {
        max_line_bytes: 40,
        long_lines: LongLines::Split,
        terminator: b"\n".to_vec(),
        skip_header_lines: 0,
        multi_line: None,
    }
}

fn joined(pattern: &str) -> Settings {
    let start = StartPattern::parse(pattern).unwrap();
    let join = MultiLine { start, timeout: Duration::from_millis(500) };
    Settings { multi_line: Some(Box::new(join)), ..settings() }
}

/// What came out of a framer.
#[derive(Debug, Default, PartialEq)]
struct Output {
    runs: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    input: u64,
    filtered: u64,
    end: u64,
}

impl Output {
    fn push(&mut self, run: Run<'_>) {
        assert!(run.end.0 >= self.end, "positions grow");
        self.runs.push(run.bytes.to_vec());
        self.bytes.extend_from_slice(run.bytes);
        self.input += run.input;
        self.end = run.end.0;
    }
}

/// Frames the chunks; where there is no room, the full room of a fresh record is offered, as the core does.
fn frame(settings: &Settings, chunks: &[&[u8]], room: Room) -> Output {
    let now = Instant::now();
    let mut framer = Framer::new(settings, Position::START);
    let mut output = Output::default();
    let mut position = Position::START;
    for chunk in chunks {
        let mut input = Input { bytes: chunk, position };
        position = position + chunk.len();
        let mut offered = room;
        loop {
            match framer.next(&mut input, offered, now) {
                Framed::Run(run) => {
                    assert!(run.bytes.len() <= offered.bytes && run.lines <= offered.lines && !run.bytes.is_empty());
                    output.push(run);
                    offered = room;
                }
                Framed::Filtered { bytes, .. } => output.filtered += bytes,
                Framed::NoRoom => {
                    assert!(offered.bytes < settings.max_line_bytes, "a full room must be room enough");
                    offered = Room { bytes: settings.max_line_bytes, ..room };
                }
                Framed::NeedMore => break,
            }
        }
        assert!(framer.held() <= 2 * settings.max_line_bytes, "a line grew beyond its limit");
    }
    while let Some(run) = framer.finish() {
        output.push(run);
    }
    output
}

const WIDE: Room = Room { bytes: 1000, lines: usize::MAX };

#[test]
fn a_chunk_of_whole_lines_is_one_run() {
    let output = frame(&settings(), &[b"one\ntwo\nthree\n"], WIDE);
    assert_eq!(output.runs, [b"one\ntwo\nthree\n".to_vec()]);
}

/// A record may hold fewer lines than a chunk has: none more goes in than there is room for.
#[test]
fn a_run_has_no_more_lines_than_its_room() {
    for most in 1..=6 {
        let output = frame(&settings(), &[b"1\n2\n3\n4\n5\n6\n7\n"], Room { lines: most, ..WIDE });
        let longest = output.runs.iter().map(|run| run.iter().filter(|byte| **byte == b'\n').count()).max();
        assert_eq!((output.bytes.as_slice(), longest), (&b"1\n2\n3\n4\n5\n6\n7\n"[..], Some(most)));
    }
}

/// What a framer holds counts as memory, until it is handed out.
#[test]
fn a_framer_holds_the_line_that_is_not_whole() {
    let mut framer = Framer::new(&settings(), Position::START);
    let mut input = Input { bytes: b"one\ntwo", position: Position::START };
    assert!(matches!(framer.next(&mut input, WIDE, Instant::now()), Framed::Run(_)));
    assert!(matches!(framer.next(&mut input, WIDE, Instant::now()), Framed::NeedMore));
    assert_eq!(framer.held(), 3);
    assert!(framer.finish().is_some());
    assert_eq!(framer.held(), 0);
}

#[test]
fn the_longest_whole_line_is_neither_split_nor_truncated_and_a_longer_one_is() {
    for terminator in [&b""[..], b"\n", b"\r\n", b"-end-"] {
        let settings = Settings { terminator: terminator.to_vec(), ..settings() };
        let longest = settings.longest_whole_line();
        for (length, runs) in [(longest, 1), (longest + 1, 2)] {
            let line = [vec![b'x'; length - 1], b"\n".to_vec()].concat();
            let output = frame(&settings, &[&line], WIDE);
            let lines = output.bytes.iter().filter(|byte| **byte == b'\n').count().max(output.runs.len());
            assert_eq!(lines, runs, "{length} bytes, {terminator:?}: {:?}", output.runs);
        }
    }
}

#[test]
fn a_line_cut_by_a_chunk_border_is_put_together() {
    let output = frame(&settings(), &[b"on", b"", b"e\ntw", b"o\n"], WIDE);
    assert_eq!(output.bytes, b"one\ntwo\n");
}

#[test]
fn a_last_line_without_newline_is_ended_by_the_terminator_when_its_file_ends() {
    let output = frame(&settings(), &[b"one\ntwo"], WIDE);
    assert_eq!((output.bytes.as_slice(), output.input, output.end), (b"one\ntwo\n".as_slice(), 7, 7));
}

#[test]
fn empty_lines_carriage_returns_and_nul_bytes_pass_unchanged() {
    let text = b"\n\r\n\0\xff\n";
    assert_eq!(frame(&settings(), &[text], WIDE).bytes, text);
}

#[test]
fn a_line_over_the_limit_is_split_without_losing_a_byte() {
    let line = [b'x'; 100];
    let output = frame(&settings(), &[&line, b"\nrest\n"], WIDE);
    let without_newlines: Vec<u8> = output.bytes.iter().copied().filter(|byte| *byte == b'x').collect();
    assert_eq!((without_newlines.len(), output.filtered), (100, 0));
    assert!(output.runs.iter().all(|run| run.len() <= 40) && output.bytes.ends_with(b"\nrest\n"));
}

#[test]
fn a_line_over_the_limit_is_truncated_and_its_rest_is_counted() {
    let cut = Settings { long_lines: LongLines::Truncate, ..settings() };
    let line = [b'x'; 100];
    let output = frame(&cut, &[&line[..30], &line[30..], b"xx\nnext\n"], WIDE);
    assert_eq!(output.runs[0].len(), 40);
    assert_eq!((output.filtered, output.input), (102 - 39 + 1, 39 + 5));
    assert_eq!(output.end, 108);
}

#[test]
fn header_lines_are_skipped_only_at_the_beginning_of_a_file() {
    let skipping = Settings { skip_header_lines: 2, ..settings() };
    let output = frame(&skipping, &[b"a,b\nc", b",d\n1,2\n"], WIDE);
    assert_eq!((output.bytes.as_slice(), output.filtered), (b"1,2\n".as_slice(), 8));
    let mut resumed = Framer::new(&skipping, Position(4));
    let mut input = Input { bytes: b"1,2\n", position: Position(4) };
    assert!(matches!(resumed.next(&mut input, WIDE, Instant::now()), Framed::Run(_)));
}

#[test]
fn lines_are_joined_until_the_next_start() {
    let output = frame(&joined(r"\d{4}-"), &[b"2026-a\n at x\n a", b"t y\n2026-b\n"], WIDE);
    assert_eq!(output.runs, [b"2026-a\n at x\n at y\n".to_vec(), b"2026-b\n".to_vec()]);
}

#[test]
fn a_record_that_nothing_follows_is_complete_after_the_timeout() {
    let now = Instant::now();
    let mut framer = Framer::new(&joined("A"), Position::START);
    let mut input = Input { bytes: b"A1\n b\n", position: Position::START };
    assert_eq!(framer.next(&mut input, WIDE, now), Framed::NeedMore);
    let due = framer.deadline().unwrap();
    assert_eq!(due, now + Duration::from_millis(500));
    assert_eq!(framer.overdue(now), None);
    assert_eq!(framer.overdue(due).unwrap().bytes, b"A1\n b\n");
    assert_eq!(framer.overdue(due), None);
    assert_eq!(framer.deadline(), None);
}

#[test]
fn a_joined_record_never_grows_over_the_limit() {
    let output = frame(&joined("A"), &[b"A\n", &b" continued\n".repeat(20)], WIDE);
    assert!(output.runs.iter().all(|run| run.len() <= 40), "{:?}", output.runs);
    assert_eq!(output.bytes.len(), 2 + 220);
}

#[test]
fn java_patterns_with_quoting_classes_and_look_around_are_understood() {
    assert!(StartPattern::parse(r"\Q[x]\E\p{Alpha}+").unwrap().matches(b"[x]abc"));
    assert!(StartPattern::parse(r"(?!\s)").unwrap().matches(b"no indent"));
    assert!(!StartPattern::parse(r"(?!\s)").unwrap().matches(b" indent"));
    assert!(!StartPattern::parse("b").unwrap().matches(b"ab"), "a start pattern matches at the start");
    assert!(StartPattern::parse("(").is_err());
}

/// A log whose lines are longer than the window would be read one line at a time: slower by half.
#[test]
fn whole_lines_are_offered_up_to_the_longest_and_only_where_a_line_begins() {
    let mut framer = Framer::new(&settings(), Position::START);
    let longest = [&[b'x'; 39][..], b"\n"].concat();
    assert_eq!(framer.whole_lines(&Input { bytes: &longest, position: Position::START }, 1000), longest);
    assert_eq!(framer.whole_lines(&Input { bytes: b"a\nb\nc", position: Position::START }, 1000), b"a\nb\n");
    assert_eq!(framer.whole_lines(&Input { bytes: b"a\nb\nc", position: Position::START }, 3), b"a\n");
    // The rest of a line that is held is none.
    let mut input = Input { bytes: b"begin", position: Position::START };
    assert_eq!(framer.next(&mut input, WIDE, Instant::now()), Framed::NeedMore);
    assert_eq!(framer.whole_lines(&Input { bytes: b"end\nb\n", position: input.position }, 1000), b"");
    // A header is not to be sent.
    let skipping = Settings { skip_header_lines: 1, ..settings() };
    let mut framer = Framer::new(&skipping, Position::START);
    assert_eq!(framer.whole_lines(&Input { bytes: b"a,b\n1,2\n", position: Position::START }, 1000), b"");
    // Nor is the rest of a line that was cut.
    let cut = Settings { long_lines: LongLines::Truncate, ..settings() };
    let mut framer = Framer::new(&cut, Position::START);
    let mut input = Input { bytes: &[b'x'; 50], position: Position::START };
    while framer.next(&mut input, WIDE, Instant::now()) != Framed::NeedMore {}
    assert_eq!(framer.whole_lines(&Input { bytes: b"end\nb\n", position: input.position }, 1000), b"");
}

/// What is held must count, or the flow takes in more than its memory: the record, what comes behind it, and half a line.
#[test]
fn all_that_a_joining_framer_holds_counts_as_held() {
    let now = Instant::now();
    let mut framer = Framer::new(&joined("A"), Position::START);
    let mut input = Input { bytes: b"A1\n b\nA2345\nA3", position: Position::START };
    let Framed::Run(run) = framer.next(&mut input, WIDE, now) else { panic!("a record is complete") };
    assert_eq!(run.bytes, b"A1\n b\n");
    // The first was handed out; the line that ended it is held, and is complete when its time has come.
    assert_eq!((framer.held(), framer.deadline()), (6, Some(now + Duration::from_millis(500))));
    let Framed::Run(run) = framer.next(&mut Input { bytes: b"A3\n", ..input }, WIDE, now) else { panic!("so is this") };
    assert_eq!(run.bytes, b"A2345\n");
    assert_eq!(framer.held(), 3);
    assert_eq!(framer.next(&mut Input { bytes: b" c\n d", position: Position(16) }, WIDE, now), Framed::NeedMore);
    assert_eq!(framer.held(), 6 + 2, "joined lines and the beginning of a line");
    assert_eq!(framer.overdue(now + Duration::from_millis(500)).map(|run| run.bytes), Some(&b"A3\n c\n"[..]));
    assert_eq!((framer.held(), framer.deadline()), (2, None));
}

/// A flow steps for many reasons; only bytes of the file put a record off.
#[test]
fn a_look_at_no_bytes_does_not_put_a_joined_record_off() {
    let now = Instant::now();
    let mut framer = Framer::new(&joined("A"), Position::START);
    let mut input = Input { bytes: b"A1\n", position: Position::START };
    assert_eq!(framer.next(&mut input, WIDE, now), Framed::NeedMore);
    let due = framer.deadline().unwrap();
    assert_eq!(framer.next(&mut input, WIDE, now + Duration::from_millis(400)), Framed::NeedMore);
    assert_eq!(framer.deadline(), Some(due));
    let mut input = Input { bytes: b" b\n", position: Position(3) };
    assert_eq!(framer.next(&mut input, WIDE, now + Duration::from_millis(400)), Framed::NeedMore);
    assert_eq!(framer.deadline(), Some(due + Duration::from_millis(400)));
    assert!(framer.overdue(due + Duration::from_millis(399)).is_none());
    assert!(framer.overdue(due + Duration::from_millis(401)).is_some(), "also when it is looked at late");
}

/// The plan warns of patterns that are slow, and a step ends in time because it knows what a pattern takes.
#[test]
fn a_start_pattern_says_what_it_costs_and_which_part_of_it_is_slow() {
    let plain = StartPattern::parse(r"\d{4}-\d{2}").unwrap();
    assert_eq!((plain.cost(), plain.slow_part()), (20, None));
    let fast = StartPattern::parse(r"(?!\s)").unwrap();
    assert!(fast.cost() > 20 && fast.slow_part().is_none());
    let slow = StartPattern::parse(r"(\w+) \1").unwrap();
    assert_eq!(slow.slow_part().as_deref(), Some(r"\1"));
}

#[test]
fn of_a_line_the_first_8_kib_tell_whether_it_begins_a_record() {
    let pattern = StartPattern::parse("(?-u:a*)x").unwrap();
    let line = |letters: usize| [vec![b'a'; letters], b"x\n".to_vec()].concat();
    assert!(pattern.matches(&line(8 * 1024 - 1)));
    assert!(!pattern.matches(&line(8 * 1024)));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'A'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..400)
}

/// What the naive model says single lines are: split at newlines, cut at the limit.
fn model_lines(text: &[u8], content_limit: usize) -> Vec<u8> {
    let mut expected = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let mut pieces = content.chunks(content_limit).peekable();
        if pieces.peek().is_none() {
            expected.push(b'\n');
        }
        for piece in pieces {
            expected.extend_from_slice(piece);
            expected.push(b'\n');
        }
    }
    expected
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn neither_chunk_borders_nor_room_change_what_comes_out(
        text in text(),
        cuts in prop::collection::vec(0..400_usize, 0..8),
        bytes in 1..60_usize,
        lines in 1..5_usize,
        join: bool,
    ) {
        let settings = if join { joined("A") } else { settings() };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let output = frame(&settings, &chunks, Room { bytes, lines });
        let whole = frame(&settings, &[&text], WIDE);
        prop_assert_eq!(&output.bytes, &whole.bytes);
        prop_assert_eq!(&output.bytes, &model_lines(&text, 39));
        prop_assert_eq!(output.input + output.filtered, text.len() as u64);
        if join {
            prop_assert_eq!(output.runs, whole.runs);
        }
    }
}

//! Shows input beside what would be sent of it, with the reason for each record that would not be.
//! Promises to frame and process exactly as a flow does, and to send nothing.
//! Leaves the command line, the configuration and opening the input to the command.

/// The command.
mod command;
/// What is expected of a preview.
mod expect;

pub use command::{Request, run};

use datalake_base::record::{FileKey, OriginInfo, Position};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use datalake_core::framing::{self, Framed, Framer, Input, Room, Run};
use datalake_process::{NotReady, Place, Processor, Reason, Settings, Surroundings, Verdict};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

/// Longer texts are cut where they are shown; what is sent is not.
const SHOWN_BYTES: usize = 4000;
/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// What is previewed: how a flow works, and which file its input passes for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// How bytes become records.
    pub framing: &'a framing::Settings,
    /// What is done with each.
    pub process: &'a Settings,
    /// What is known of the machine.
    pub surroundings: &'a Surroundings,
    /// The path that the records are said to come from.
    pub path: &'a Path,
    /// The identity of that file.
    pub file: FileKey,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What became of the records that were shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Would be sent as processed.
    pub sent: u64,
    /// Would be sent as they came in, because a step failed and `onFailure` is `raw`.
    pub raw: u64,
    /// Would be dropped and counted.
    pub dropped: u64,
    /// Would be kept in the quarantine.
    pub quarantined: u64,
    /// Bytes that framing leaves out: header lines, cut-off ends.
    pub filtered_bytes: u64,
}

impl Summary {
    /// Whether every record would be sent.
    #[must_use]
    pub const fn is_all_sent(&self) -> bool {
        self.dropped == 0 && self.quarantined == 0
    }
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The steps cannot run here.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// The input could not be read, or the output not written.
    #[error("reading the input or writing the preview failed: {0}")]
    Io(#[from] io::Error),
}

/// Where a preview goes.
pub struct Sinks<'a> {
    /// Records beside what becomes of them.
    pub shown: &'a mut dyn Write,
    /// The bytes that would be sent, as they are.
    pub sent: &'a mut dyn Write,
}

/// Shows the first `limit` records of `input`: a line `<` for what comes in, `>` for what would be sent, `!` for why
/// something is not.
///
/// # Errors
/// When an environment variable is missing, the input cannot be read, or the output not be written.
pub fn preview(
    subject: Subject<'_>,
    input: &mut dyn Read,
    sinks: Sinks<'_>,
    limit: u64,
) -> Result<Summary, PreviewError> {
    let processor = Processor::new(subject.process, subject.surroundings)?;
    let processor = processor.with_terminator(&subject.framing.terminator);
    let mut show = Show {
        subject,
        processor,
        out: sinks.shown,
        sent_to: sinks.sent,
        sent: Vec::new(),
        shown: 0,
        read: Position::START,
        origin: OriginInfo::new(subject.path.to_owned(), subject.file),
        summary: Summary::default(),
    };
    let mut framer = Framer::new(subject.framing, Position::START);
    let room = Room { bytes: subject.framing.max_line_bytes, lines: 1 };
    let (mut buffer, mut position) = (vec![0; READ_BYTES], Position::START);
    'reading: while show.shown < limit {
        let count = match input.read(&mut buffer) {
            Ok(0) => {
                while let Some(run) = framer.finish().filter(|_| show.shown < limit) {
                    show.record(&run)?;
                }
                break;
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let mut chunk = Input { bytes: &buffer[..count], position };
        if position == Position::START {
            show.origin.note_generation(&buffer[..count]);
        }
        position = position + count;
        loop {
            match framer.next(&mut chunk, room, Instant::now()) {
                Framed::Run(run) => show.record(&run)?,
                Framed::Filtered { bytes, end } => {
                    show.summary.filtered_bytes += bytes;
                    show.read = end.unwrap_or(show.read);
                }
                Framed::NeedMore | Framed::NoRoom => break,
            }
            if show.shown >= limit {
                break 'reading;
            }
        }
    }
    show.end()
}

/// A preview under way.
struct Show<'a> {
    subject: Subject<'a>,
    processor: Processor,
    out: &'a mut dyn Write,
    sent_to: &'a mut dyn Write,
    sent: Vec<u8>,
    shown: u64,
    origin: OriginInfo,
    /// Everything before this has become of a record, or was left out.
    read: Position,
    summary: Summary,
}

impl Show<'_> {
    fn record(&mut self, run: &Run<'_>) -> io::Result<()> {
        let Subject { path, file, now_ms, .. } = self.subject;
        let start = std::mem::replace(&mut self.read, run.end);
        let generation = self.origin.generation.get().copied();
        let place = Place { path, file, generation, position: start, input: run.input, now_ms };
        self.sent.clear();
        let verdict = self.processor.process(run.bytes, &place, &mut self.sent);
        self.shown += 1;
        writeln!(self.out, "record {}, offset {start}, {}", self.shown, counted(run.input, "byte"))?;
        text(self.out, '<', run.bytes)?;
        match verdict {
            Verdict::Kept => {
                self.summary.sent += 1;
                self.would_be_sent()
            }
            Verdict::KeptRaw(reason) => {
                self.summary.raw += 1;
                self.reason("sent as it is", reason)?;
                self.would_be_sent()
            }
            Verdict::Dropped(reason) => {
                self.summary.dropped += 1;
                self.reason("dropped", reason)
            }
            Verdict::Failed(reason) => {
                self.summary.quarantined += 1;
                self.reason("quarantined", reason)
            }
        }
    }

    fn would_be_sent(&mut self) -> io::Result<()> {
        self.sent_to.write_all(&self.sent)?;
        text(self.out, '>', &self.sent)
    }

    fn reason(&mut self, outcome: &str, reason: Reason) -> io::Result<()> {
        let name = self.subject.process.name(reason.step());
        writeln!(
            self.out,
            "  ! {outcome} by step {} ({name}): {}",
            reason.step() + 1,
            shown(&reason.cause().to_string())
        )
    }

    fn end(self) -> Result<Summary, PreviewError> {
        let Summary { sent, raw, dropped, quarantined, filtered_bytes } = self.summary;
        write!(self.out, "{}: {sent} sent, ", counted(self.shown, "record"))?;
        if raw > 0 {
            write!(self.out, "{raw} sent as they are, ")?;
        }
        write!(self.out, "{dropped} dropped, {quarantined} quarantined")?;
        if filtered_bytes > 0 {
            write!(self.out, "; {} of header lines and cut-off ends left out", counted(filtered_bytes, "byte"))?;
        }
        writeln!(self.out, "; nothing was sent")?;
        self.out.flush()?;
        Ok(self.summary)
    }
}

/// A record behind its mark, one line for each of its lines; what a terminal would obey is shown instead. A record
/// without a line end says so: the next one would continue its line.
fn text(out: &mut dyn Write, mark: char, bytes: &[u8]) -> io::Result<()> {
    let (bytes, end) = match bytes.strip_suffix(b"\n") {
        Some(bytes) => (bytes, ""),
        None => (bytes, " (no line end)"),
    };
    let mut left = SHOWN_BYTES;
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        write!(out, "  {mark} {}", shown(line).cut(left).with_tabs())?;
        if line.len() > left {
            return writeln!(out, "… ({} bytes){end}", bytes.len());
        }
        writeln!(out, "{}", if lines.peek().is_none() { end } else { "" })?;
        left -= line.len();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(options: &serde_json::Value, input: &[u8], limit: u64) -> (String, Summary) {
        let framing = framing::Settings {
            max_line_bytes: 1000,
            long_lines: framing::LongLines::Split,
            terminator: b"\n".to_vec(),
            skip_header_lines: 1,
            multi_line: None,
        };
        let surroundings =
            Surroundings { host: "h".into(), variables: [].into(), instance: None, max_record_bytes: 1000 };
        let subject = Subject {
            framing: &framing,
            process: &Settings::parse(options).unwrap(),
            surroundings: &surroundings,
            path: Path::new("/var/log/app.log"),
            file: FileKey::default(),
            now_ms: 0,
        };
        let mut out = Vec::new();
        let sinks = Sinks { shown: &mut out, sent: &mut io::sink() };
        let summary = preview(subject, &mut &input[..], sinks, limit).unwrap();
        (String::from_utf8(out).unwrap(), summary)
    }

    #[test]
    fn each_record_stands_beside_what_becomes_of_it() {
        let options = json!([
            {"optionName": "LOGTOJSON", "logFormat": "SYSLOG"},
            {"optionName": "FILTER", "exclude": "\"cron\""},
            {"optionName": "ADDPROVENANCE", "prefix": ""},
        ]);
        let input =
            b"head\nMar  2 12:00:08 a sshd[9]: hi\nhello \x1b[31m\nMar  2 12:00:08 a cron: x\nMar  2 12:00:09 a b: end";
        let (text, summary) = shown(&options, input, 100);
        let expected = r#"record 1, offset 5, 30 bytes
  < Mar  2 12:00:08 a sshd[9]: hi
  > {"timestamp":"Mar  2 12:00:08","hostname":"a","program":"sshd","processid":"9","message":"hi","host":"h","file":"/var/log/app.log","file_id":"0-0-0","generation":"8b28fa4672c2734b","offset":5,"length":30}
record 2, offset 35, 12 bytes
  < hello \x1b[31m
  ! quarantined by step 1 (LOGTOJSON): the line is not SYSLOG: the English name of a month was expected at byte 0
record 3, offset 47, 26 bytes
  < Mar  2 12:00:08 a cron: x
  ! dropped by step 2 (FILTER): pattern 1 of `exclude` matches
record 4, offset 73, 24 bytes
  < Mar  2 12:00:09 a b: end
  > {"timestamp":"Mar  2 12:00:09","hostname":"a","program":"b","processid":null,"message":"end","host":"h","file":"/var/log/app.log","file_id":"0-0-0","generation":"8b28fa4672c2734b","offset":73,"length":24}
4 records: 2 sent, 1 dropped, 1 quarantined; 5 bytes of header lines and cut-off ends left out; nothing was sent
"#;
        assert_eq!(text, expected);
        assert_eq!(summary, Summary { sent: 2, raw: 0, dropped: 1, quarantined: 1, filtered_bytes: 5 });
    }

    #[test]
    fn no_more_is_shown_than_was_asked_for_and_long_records_are_cut() {
        let options = json!([{"optionName": "CSVTOJSON", "customFieldNames": ["a"]}]);
        let input = [b"head\n".to_vec(), b"x\ny\n".repeat(50_000)].concat();
        let (text, summary) = shown(&options, &input, 3);
        assert_eq!((summary.sent, text.lines().count()), (3, 10), "{text}");
        let long = "é".repeat(3000);
        let mut out = Vec::new();
        super::text(&mut out, '<', long.as_bytes()).unwrap();
        assert!(out.ends_with("é… (6000 bytes) (no line end)\n".as_bytes()));
    }

    #[test]
    fn a_preview_shows_the_line_ends_that_are_sent_and_those_that_are_missing() {
        // A pattern that swallowed the line end used to look as if nothing had happened.
        let options = json!([{"optionName": "REDACT", "regex": ["p=[^&]+"], "replacement": "X"}]);
        let (text, _) = shown(&options, b"head\na&p=1\nb&p=2\r\n", 100);
        assert!(text.contains("  < a&p=1\n  > a&X\n") && text.contains("  < b&p=2\\r\n  > b&X\\r\n"), "{text}");
        let mut out = Vec::new();
        super::text(&mut out, '>', b"glued").unwrap();
        assert_eq!(out, b"  > glued (no line end)\n");
    }

    #[test]
    fn a_record_that_was_cut_keeps_the_terminator_whatever_the_options_do() {
        let framing = framing::Settings {
            max_line_bytes: 8,
            long_lines: framing::LongLines::Split,
            terminator: b"~".to_vec(),
            skip_header_lines: 0,
            multi_line: None,
        };
        let options = json!([{"optionName": "REDACT", "regex": "[^&]+$", "replacement": "X"}]);
        let surroundings =
            Surroundings { host: "h".into(), variables: [].into(), instance: None, max_record_bytes: 1000 };
        let subject = Subject {
            framing: &framing,
            process: &Settings::parse(&options).unwrap(),
            surroundings: &surroundings,
            path: Path::new("/a"),
            file: FileKey::default(),
            now_ms: 0,
        };
        let mut out = Vec::new();
        let sinks = Sinks { shown: &mut out, sent: &mut io::sink() };
        preview(subject, &mut &b"1234567abc\n"[..], sinks, 9).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("  < 1234567~ (no line end)\n  > X~ (no line end)\n"), "{text}");
        assert!(text.contains("  < abc\n  > X\n"), "{text}");
    }
}

//! What a command prints: on standard output, and complaints on standard error.
//! Promises that no raw control reaches a terminal, that a reader who hangs up is no failure, and that a device which takes
//! nothing is one. Leaves the words to the commands.

use crate::exit::Exit;
use datalake_base::shown::shown;
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

/// What is kept before it is written.
const GATHERED: usize = 64 * 1024;

/// A standard stream with the promises above. Dropping it loses what was not flushed: end with [`Output::finish`].
pub(super) struct Output<W> {
    to: W,
    /// Whole lines, safe to print, that are not written yet.
    gathered: Vec<u8>,
    /// A line without its end yet.
    line: Vec<u8>,
    /// Why nothing is written any more.
    failed: Option<io::ErrorKind>,
    /// Whether a reader who hung up ends the command early.
    ends_with_reader: bool,
    /// Whether labels and carets are coloured.
    colour: bool,
    /// Whether standard error says that nothing could be written.
    complains: bool,
}

impl Output<io::Stdout> {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let colour = wants_colour(stdout.is_terminal(), |name| std::env::var_os(name));
        Self { colour, complains: true, ..Self::new(stdout) }
    }
}

impl Output<io::Stderr> {
    /// Standard error.
    pub(super) fn stderr() -> Self {
        let stderr = io::stderr();
        let colour = wants_colour(stderr.is_terminal(), |name| std::env::var_os(name));
        Self { colour, ..Self::new(stderr) }
    }
}

/// Colours are for terminals that know some, and for people who do not forbid them.
fn wants_colour(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let forbidden = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !forbidden && variable("TERM").is_some_and(|term| term != "dumb")
}

impl<W: Write> Output<W> {
    /// For a command that has no more to do when nobody reads.
    pub(super) const fn new(to: W) -> Self {
        Self {
            to,
            gathered: Vec::new(),
            line: Vec::new(),
            failed: None,
            ends_with_reader: true,
            colour: false,
            complains: false,
        }
    }

    /// For a command that does more than print: it goes on whatever becomes of its output.
    pub(super) fn lasting(self) -> Self {
        Self { ends_with_reader: false, ..self }
    }

    /// Begins a new picture on a terminal.
    pub(super) fn clear_screen(&mut self) {
        self.gathered.extend_from_slice(b"\x1b[H\x1b[2J\x1b[3J");
    }

    /// Writes what is left. The exit code is `exit`, unless that is a success and the output could not be written.
    pub(super) fn finish(mut self, exit: Exit) -> Exit {
        self.flush().ok();
        match self.failed {
            None | Some(io::ErrorKind::BrokenPipe) => exit,
            Some(kind) => {
                if self.complains {
                    super::complain(&format!("datalake-agent: the output cannot be written: {kind}\n"));
                }
                if exit == Exit::Success { Exit::InputOutput } else { exit }
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let ended = line.strip_suffix(b"\n");
        let safe = shown(ended.unwrap_or(&line)).with_tabs().to_string();
        match self.colour {
            true => self.gathered.extend_from_slice(painted(&safe).as_bytes()),
            false => self.gathered.extend_from_slice(safe.as_bytes()),
        }
        if ended.is_some() {
            self.gathered.push(b'\n');
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.failed.is_none()
            && let Err(error) = self.to.write_all(&self.gathered).and_then(|()| self.to.flush())
        {
            self.failed = Some(error.kind());
        }
        self.gathered.clear();
        match self.failed {
            Some(kind) if self.ends_with_reader => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

/// A value as JSON, indented or on one line, with every mark that could steer a terminal as an escape: the value is the
/// same.
pub(super) fn json_lines(value: &impl serde::Serialize, indented: bool) -> String {
    let json = if indented { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let json = json.unwrap_or_default() + "\n";
    // Nearly all of it is.
    if json.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => text.push('\n'),
            steering if datalake_base::shown::steers(steering) => {
                for unit in steering.encode_utf16(&mut [0; 2]) {
                    std::fmt::Write::write_fmt(&mut text, format_args!("\\u{unit:04x}")).ok();
                }
            }
            other => text.push(other),
        }
    }
    text
}

/// The line with its label, or the carets below a place, in colour. It is safe to print, so nothing in it ends a colour.
fn painted(line: &str) -> Cow<'_, str> {
    const LABELS: [(&str, &str); 5] =
        [("error", "1;31"), ("datalake-agent:", "1;31"), ("warning", "1;33"), ("= help:", "1;36"), ("! ", "1;33")];
    let text = line.trim_start();
    let indent = &line[..line.len() - text.len()];
    if let Some(carets) =
        text.strip_prefix('|').filter(|rest| rest.contains('^') && rest.trim_matches([' ', '^']).is_empty())
    {
        return Cow::Owned(format!("{indent}|\x1b[1;31m{carets}\x1b[0m"));
    }
    for (label, colour) in LABELS {
        let Some(rest) = text.strip_prefix(label) else { continue };
        // `error[code]:` and `error:`, but not `errors`.
        let code =
            rest.find(':').filter(|end| rest[..*end].is_empty() || rest.starts_with('[')).map_or(0, |end| end + 1);
        if code == 0 && !label.ends_with([':', ' ']) {
            continue;
        }
        let (label, rest) = text.split_at(label.len() + code);
        return Cow::Owned(format!("{indent}\x1b[{colour}m{label}\x1b[0m{rest}"));
    }
    Cow::Borrowed(line)
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() > GATHERED {
                self.end_line();
            }
        }
        if self.gathered.len() > GATHERED {
            self.pass_on()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_line();
        self.pass_on()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(io::ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_and_tabs_stay_and_what_steers_a_terminal_is_shown() {
        let mut written = Vec::new();
        let mut output = Output::new(&mut written);
        // Written in pieces that cut a character and a sequence.
        for byte in "a\tb\n\u{1b}[2Jü\r\n\u{202e}end".bytes() {
            output.write_all(&[byte]).unwrap();
        }
        assert_eq!(output.finish(Exit::Success), Exit::Success);
        assert_eq!(String::from_utf8(written).unwrap(), "a\tb\n\\x1b[2Jü\\r\n\\u{202e}end");
    }

    /// `check >/dev/full` ended with 0 although nobody could read its verdict.
    #[test]
    fn a_full_device_is_a_failure_and_a_reader_who_hung_up_is_none() {
        for (kind, exit) in
            [(io::ErrorKind::StorageFull, Exit::InputOutput), (io::ErrorKind::BrokenPipe, Exit::Success)]
        {
            let mut output = Output::new(Fails(kind));
            output.write_all(b"verdict\n").unwrap();
            assert_eq!(output.finish(Exit::Success), exit);
            let mut output = Output::new(Fails(kind));
            output.write_all(b"verdict\n").unwrap();
            assert_eq!(output.finish(Exit::Configuration), Exit::Configuration, "the verdict is not changed by it");
        }
    }

    #[test]
    fn a_command_that_only_prints_ends_with_its_reader_and_one_that_does_more_goes_on() {
        let mut printing = Output::new(Fails(io::ErrorKind::BrokenPipe));
        let endless = (0..).find(|_| printing.write_all(&[b'x'; 1000]).is_err());
        assert!(endless.is_some());
        let mut working = Output::new(Fails(io::ErrorKind::BrokenPipe)).lasting();
        for _ in 0..1000 {
            working.write_all(&[b'x'; 1000]).unwrap();
        }
        working.flush().unwrap();
        assert_eq!(working.finish(Exit::Success), Exit::Success);
    }

    #[test]
    fn labels_and_carets_are_coloured_and_nothing_else_is() {
        for (line, expected) in [
            ("error[unknown-key]: what", "\x1b[1;31merror[unknown-key]:\x1b[0m what"),
            ("error: what: why", "\x1b[1;31merror:\x1b[0m what: why"),
            ("warning[no-match]: x", "\x1b[1;33mwarning[no-match]:\x1b[0m x"),
            ("  = help: do", "  \x1b[1;36m= help:\x1b[0m do"),
            ("   |   ^^^", "   |\x1b[1;31m   ^^^\x1b[0m"),
            ("datalake-agent: no", "\x1b[1;31mdatalake-agent:\x1b[0m no"),
            ("errors are counted", "errors are counted"),
            ("warnings: 3", "warnings: 3"),
            ("3 | \"a\": 5", "3 | \"a\": 5"),
        ] {
            assert_eq!(painted(line), expected);
        }
    }

    #[test]
    fn colours_are_for_terminals_that_know_them_and_people_who_want_them() {
        let variables = |given: &'static [(&str, &str)]| {
            move |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        assert!(wants_colour(true, variables(&[("TERM", "xterm")])));
        assert!(wants_colour(true, variables(&[("TERM", "xterm"), ("NO_COLOR", "")])));
        assert!(!wants_colour(false, variables(&[("TERM", "xterm")])));
        assert!(!wants_colour(true, variables(&[("TERM", "dumb")])) && !wants_colour(true, variables(&[])));
        assert!(!wants_colour(true, variables(&[("TERM", "xterm"), ("NO_COLOR", "1")])));
    }
}

//! What a command prints: on standard output, and complaints on standard error.
//! Promises that no raw control reaches a terminal, that a reader who hangs up is no failure, and that a device which takes
//! nothing is one. Leaves the words to the commands.

use crate::exit::Exit;
use datalake_base::shown::shown;
use std::io::{self, Write};

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
}

impl<W: Write> Output<W> {
    /// For a command that has no more to do when nobody reads.
    pub(super) const fn new(to: W) -> Self {
        Self { to, gathered: Vec::new(), line: Vec::new(), failed: None, ends_with_reader: true }
    }

    /// For a command that does more than print: it goes on whatever becomes of its output.
    pub(super) fn lasting(to: W) -> Self {
        Self { ends_with_reader: false, ..Self::new(to) }
    }

    /// Writes what is left. The exit code is `exit`, unless that is a success and the output could not be written.
    pub(super) fn finish(mut self, exit: Exit) -> Exit {
        self.flush().ok();
        match self.failed {
            None | Some(io::ErrorKind::BrokenPipe) => exit,
            Some(_) if exit == Exit::Success => Exit::InputOutput,
            Some(_) => exit,
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let ended = line.strip_suffix(b"\n");
        let safe = shown(ended.unwrap_or(&line)).with_tabs().to_string();
        self.gathered.extend_from_slice(safe.as_bytes());
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
        let mut working = Output::lasting(Fails(io::ErrorKind::BrokenPipe));
        for _ in 0..1000 {
            working.write_all(&[b'x'; 1000]).unwrap();
        }
        working.flush().unwrap();
        assert_eq!(working.finish(Exit::Success), Exit::Success);
    }
}

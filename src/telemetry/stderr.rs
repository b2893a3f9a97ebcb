//! Lines on stderr, without the lock of the standard library: a writer that waits for a reader holds nobody else up.
//! Promises that a line which could not be written whole does not run into the next one. Leaves waiting to the queue.

use super::entry::Entry;
use super::queue::Sink;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For a person, with colours or without.
    Text {
        /// Whether levels are coloured.
        colour: bool,
    },
    /// For a program.
    Json,
}

/// Writes lines to stderr in one form.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) form: Form,
    pub(super) stderr: Stderr,
}

impl Sink for Lines {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match self.form {
            Form::Text { colour } => self.stderr.put(&entry.text(colour)),
            Form::Json => self.stderr.put(&entry.json()),
        }
    }
}

/// The descriptor 2.
#[derive(Debug, Default)]
pub(super) struct Stderr {
    /// The last line lacks its end.
    torn: bool,
}

impl Stderr {
    /// Writes a line that has its end.
    pub(super) fn put(&mut self, line: &str) -> io::Result<()> {
        if self.torn {
            write_all(b"\n").map_err(|(error, _)| error)?;
            self.torn = false;
        }
        write_all(line.as_bytes()).map_err(|(error, begun)| {
            self.torn = begun;
            error
        })
    }
}

/// What failed, and whether anything was written before.
type Failure = (io::Error, bool);

fn write_all(bytes: &[u8]) -> Result<(), Failure> {
    let stderr = io::stderr();
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(stderr.as_fd(), rest) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), rest.len() < bytes.len())),
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            // Somebody who shares the descriptor made it so.
            Err(Errno::AGAIN) => {
                let mut wait = [PollFd::new(&stderr, PollFlags::OUT)];
                poll(&mut wait, None).ok();
            }
            Err(error) => return Err((error.into(), rest.len() < bytes.len())),
        }
    }
    Ok(())
}

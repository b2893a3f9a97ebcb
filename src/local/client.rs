//! The commands' end of the local socket.
//! Promises an end: an agent that does not answer in time is an error, and a line has a longest length.
//! Leaves what the answer means to the command.

use super::server::address_of;
use super::{Ask, PathText, Question, places_to_ask};
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An agent that runs answers within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A line of an answer is no longer than this.
const LONGEST_LINE: u64 = 64 << 20;

/// The lines of an answer.
#[derive(Debug)]
pub struct Answers(BufReader<UnixStream>);

/// Asks the agent that uses this state folder; `None` when none listens.
///
/// # Errors
/// When one listens and cannot be asked: it is another user's, or it does not answer.
pub fn ask(state: &Path, question: &Question) -> io::Result<Option<Answers>> {
    let line = serde_json::to_string(&Ask { state: Some(PathText(state.to_owned())), ask: question.clone() })?;
    let mut refused = None;
    for place in places_to_ask(state, |name| std::env::var_os(name)) {
        let connected = address_of(&place).and_then(|(address, _folder)| UnixStream::connect(address));
        let mut stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                    refused.get_or_insert(io::Error::new(error.kind(), format!("{}: {error}", place.display())));
                }
                continue;
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(line.as_bytes())?;
        stream.write_all(b"\n")?;
        let mut answers = Answers(BufReader::new(stream));
        // An agent with another state folder says nothing.
        if answers.0.fill_buf()?.is_empty() {
            continue;
        }
        return Ok(Some(answers));
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(None),
    }
}

impl Answers {
    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the agent does not answer, or says why it does not.
    pub fn line<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        (&mut self.0).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Refusal {
            error: String,
        }
        if let Ok(Refusal { error }) = serde_json::from_slice(&line) {
            return Err(io::Error::other(error));
        }
        serde_json::from_slice(&line).map(Some).map_err(Into::into)
    }

    /// Lines may be any time apart from here on, as in an answer that goes on until we leave.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait_for_ever(&self) -> io::Result<()> {
        self.0.get_ref().set_read_timeout(None)
    }
}

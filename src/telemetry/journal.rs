//! Lines for the journal in its native protocol: `journalctl FLOW=orders`, `journalctl FILE=/var/log/a.log`.
//! Promises that the fields can be searched and that the line which `journalctl` shows has them too.
//! Leaves choosing the journal to `log`, waiting for it to the queue, and rotation and limits to journald.

use super::entry::Entry;
use super::queue::Sink;
use super::stderr::Stderr;
use datalake_base::shown::shown;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use tracing::Level;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// The name that the lines carry, for `journalctl -t`.
const IDENTIFIER: &str = "datalake-agent";

/// Writes events to the journal, or to stderr in the form that journald understands there. Waits for a journal that is
/// busy: the queue is what others push to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None`: its socket does not open.
    socket: Option<UnixDatagram>,
    stderr: Stderr,
}

impl Journal {
    /// Connects to the socket; where that fails, lines go to stderr with a `<N>` in front.
    pub(super) fn connect(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: connect(path).ok(), stderr: Stderr::default() }
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let error = match socket.send(datagram) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // A journal that was started anew may listen on another socket of the same name.
        let fresh = connect(&self.path).map_err(|_| error)?;
        let sent = fresh.send(datagram).map(drop);
        self.socket = Some(fresh);
        sent
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

impl Sink for Journal {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let words = entry.words();
        match self.send(&datagram(entry, &words)) {
            Ok(()) => Ok(()),
            // Each line needs the prefix, or it counts as information.
            Err(_) => self.stderr.put(&format!("<{}>{words}\n", priority(entry.level))),
        }
    }
}

/// The syslog priority of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The entry in journald's native protocol.
fn datagram(entry: &Entry, words: &str) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(512);
    put(&mut datagram, "PRIORITY", &priority(entry.level).to_string());
    put(&mut datagram, "SYSLOG_IDENTIFIER", IDENTIFIER);
    put(&mut datagram, "TARGET", entry.target);
    put(&mut datagram, "MESSAGE", words);
    if let Some(id) = &entry.id {
        put(&mut datagram, "MESSAGE_ID", id);
    }
    for (name, value) in &entry.fields {
        // `journalctl -o cat` and `--output-fields` print values as they are.
        put(&mut datagram, &field_name(name), &shown(value.as_str()).to_string());
    }
    datagram
}

/// A field name as journald takes it: capitals, digits, underscores, no underscore or digit in front, at most 64;
/// and none of those that journald or we give a meaning of its own.
fn field_name(name: &str) -> String {
    let upper = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    let upper: String = upper.skip_while(|c| !c.is_ascii_uppercase()).take(60).collect();
    match upper.as_str() {
        "" | "PRIORITY" | "MESSAGE" | "MESSAGE_ID" | "TARGET" | "SYSLOG_IDENTIFIER" | "ERRNO" => format!("F_{upper}"),
        _ => upper,
    }
}

/// Name, newline, length as 64 bits little-endian, value, newline: safe for whatever the value holds.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::entry::{LONGEST_VALUE, Value};
    use super::super::queue::Queue;
    use super::*;
    use std::collections::BTreeMap;

    /// What journald would make of a datagram.
    fn parse(mut datagram: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while let Some(end) = datagram.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(datagram[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(datagram[end + 1..end + 9].try_into().unwrap()) as usize;
            let value = String::from_utf8(datagram[end + 9..end + 9 + length].to_vec()).unwrap();
            assert_eq!(datagram[end + 9 + length], b'\n');
            assert!(fields.insert(name, value).is_none(), "a name came twice");
            datagram = &datagram[end + 10 + length..];
        }
        assert!(datagram.is_empty());
        fields
    }

    fn entry(level: Level, message: &str, fields: &[(&'static str, &str)]) -> Entry {
        let mut entry = Entry::new(0, level, "datalake_agent::test", message);
        entry.fields = fields.iter().map(|(name, value)| (*name, Value::Text((*value).to_owned()))).collect();
        entry
    }

    fn journaled(entry: &Entry) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        Journal::connect(&path).write(entry).unwrap();
        journald.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 18];
        let length = journald.recv(&mut buffer).unwrap();
        parse(&buffer[..length])
    }

    #[test]
    fn an_event_arrives_with_searchable_fields_and_a_line_that_tells_all_of_it() {
        let fields = [("flow", "orders"), ("file", "/var/log/a b.log"), ("lost_bytes", "7")];
        let fields = journaled(&entry(Level::WARN, "lines were destroyed", &fields));
        assert_eq!(fields["MESSAGE"], "lines were destroyed flow=orders file=\"/var/log/a b.log\" lost_bytes=7");
        assert_eq!((fields["FLOW"].as_str(), fields["FILE"].as_str()), ("orders", "/var/log/a b.log"));
        assert_eq!((fields["LOST_BYTES"].as_str(), fields["PRIORITY"].as_str()), ("7", "4"));
        assert_eq!(fields["SYSLOG_IDENTIFIER"], "datalake-agent");
        assert_eq!(fields["TARGET"], "datalake_agent::test");
    }

    #[test]
    fn a_line_with_an_id_can_be_searched_by_it_and_does_not_repeat_it() {
        let mut line = entry(Level::ERROR, "flow paused", &[("flow", "orders")]);
        assert!(!journaled(&line).contains_key("MESSAGE_ID"));
        line.id = Some(super::super::ids::FLOW_PAUSED.to_owned());
        let fields = journaled(&line);
        assert_eq!(fields["MESSAGE_ID"], super::super::ids::FLOW_PAUSED);
        assert_eq!(fields["MESSAGE"], "flow paused flow=orders");
    }

    #[test]
    fn nothing_in_an_event_reaches_the_terminal_of_a_reader_of_the_journal_raw() {
        let fields = journaled(&entry(Level::ERROR, "a\nb\u{1b}c", &[("file", "/d\n\u{202e}e")]));
        assert_eq!(fields["MESSAGE"], "a\\nb\\x1bc file=/d\\n\\u{202e}e");
        assert_eq!(fields["FILE"], "/d\\n\\u{202e}e");
    }

    #[test]
    fn an_endless_value_is_cut_so_that_the_line_still_arrives() {
        let reason = "ä".repeat(LONGEST_VALUE / 2);
        let fields = journaled(&entry(Level::ERROR, "refused", &[("reason", &reason)]));
        assert_eq!(fields["REASON"].len(), LONGEST_VALUE);
        assert!(fields["MESSAGE"].starts_with("refused reason=ä") && fields["MESSAGE"].len() <= LONGEST_VALUE);
    }

    /// journald that does not read its socket stopped every flow once the socket was full.
    #[test]
    fn a_journal_that_stands_still_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let queue = Queue::start(Journal::connect(&path)).unwrap();
        for _ in 0..20_000 {
            queue.push(entry(Level::INFO, &"x".repeat(200), &[]));
        }
        // Both return although nothing is read.
        queue.flush();
    }

    #[test]
    fn a_journal_that_was_started_anew_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::connect(&path);
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = UnixDatagram::bind(&path).unwrap();
        journal.write(&entry(Level::INFO, "after", &[])).unwrap();
        let length = second.recv(&mut [0; 4096]).unwrap();
        assert!(length > 0);
    }

    #[test]
    fn names_that_journald_refuses_or_that_mean_something_else_are_made_acceptable() {
        for (name, accepted) in
            [("flow", "FLOW"), ("http.status", "HTTP_STATUS"), ("_pid", "PID"), ("priority", "F_PRIORITY"), ("", "F_")]
        {
            assert_eq!(field_name(name), accepted);
        }
    }
}

//! Lines for the journal in its native protocol: `journalctl FLOW=orders`, `journalctl FILE=/var/log/a.log`.
//! Promises that the fields can be searched and that the line which `journalctl` shows has them too.
//! Leaves choosing the journal to `log`, and rotation and limits to journald.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// The name that the lines carry, for `journalctl -t`.
const IDENTIFIER: &str = "datalake-agent";
/// A value is cut here, so that every line fits into one datagram.
const LONGEST_VALUE: usize = 16 * 1024;

/// Writes events to the journal, or to stderr in the form that journald understands there.
#[derive(Debug)]
pub(super) struct Journal {
    /// `None`: journald reads our stderr, but its socket does not open.
    socket: Option<UnixDatagram>,
}

impl Journal {
    /// Connects to the socket; where that fails, lines go to stderr with a `<N>` in front.
    pub(super) fn connect(path: &Path) -> Self {
        let connected = UnixDatagram::unbound().and_then(|socket| {
            socket.connect(path)?;
            // A journal that stands still must not make the agent stand still.
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Self { socket: connected.ok() }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let priority = priority(*event.metadata().level());
        let sent = self.socket.as_ref().is_some_and(|socket| {
            let datagram = entry.datagram(priority, event.metadata().target());
            socket.send(&datagram).is_ok_and(|length| length == datagram.len())
        });
        if !sent {
            // Nobody is left to be told when stderr is gone too.
            io::stderr().lock().write_all(entry.prefixed(priority).as_bytes()).ok();
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

/// One event taken apart.
#[derive(Debug, Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let mut text = String::new();
        text.write_fmt(value).ok();
        text.truncate(text.floor_char_boundary(LONGEST_VALUE));
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }

    /// What a person reads: the message, then the fields as `name=value`.
    fn line(&self) -> String {
        let mut line = self.message.clone();
        for (name, value) in &self.fields {
            let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c.is_control());
            let written = if plain { write!(line, " {name}={value}") } else { write!(line, " {name}={value:?}") };
            written.ok();
        }
        line.truncate(line.floor_char_boundary(LONGEST_VALUE));
        line
    }

    /// The entry in journald's native protocol.
    fn datagram(&self, priority: u8, target: &str) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(512);
        put(&mut datagram, "PRIORITY", &priority.to_string());
        put(&mut datagram, "SYSLOG_IDENTIFIER", IDENTIFIER);
        put(&mut datagram, "TARGET", target);
        put(&mut datagram, "MESSAGE", &self.line());
        for (name, value) in &self.fields {
            put(&mut datagram, &field_name(name), value);
        }
        datagram
    }

    /// The entry for a stderr that journald reads: each line needs the prefix, or it counts as information.
    fn prefixed(&self, priority: u8) -> String {
        self.line().lines().map(|line| format!("<{priority}>{line}\n")).collect()
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }
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
    use super::*;
    use std::collections::BTreeMap;
    use tracing_subscriber::layer::SubscriberExt;

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

    fn journaled(log: impl FnOnce()) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::connect(&path));
        tracing::subscriber::with_default(subscriber, log);
        journald.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 1 << 18];
        let length = journald.recv(&mut buffer).unwrap();
        parse(&buffer[..length])
    }

    #[test]
    fn an_event_arrives_with_searchable_fields_and_a_line_that_tells_all_of_it() {
        let fields = journaled(|| {
            tracing::warn!(flow = "orders", file = %"/var/log/a b.log", lost_bytes = 7, "lines were\ndestroyed");
        });
        assert_eq!(fields["MESSAGE"], "lines were\ndestroyed flow=orders file=\"/var/log/a b.log\" lost_bytes=7");
        assert_eq!((fields["FLOW"].as_str(), fields["FILE"].as_str()), ("orders", "/var/log/a b.log"));
        assert_eq!((fields["LOST_BYTES"].as_str(), fields["PRIORITY"].as_str()), ("7", "4"));
        assert_eq!(fields["SYSLOG_IDENTIFIER"], "datalake-agent");
        assert!(fields["TARGET"].starts_with("datalake_agent::"));
    }

    #[test]
    fn an_endless_value_is_cut_so_that_the_line_still_arrives() {
        let fields = journaled(|| tracing::error!(reason = "ä".repeat(1 << 20), "refused"));
        assert_eq!(fields["REASON"].len(), LONGEST_VALUE);
        assert!(fields["MESSAGE"].starts_with("refused reason=ä") && fields["MESSAGE"].len() <= LONGEST_VALUE);
    }

    #[test]
    fn names_that_journald_refuses_or_that_mean_something_else_are_made_acceptable() {
        for (name, accepted) in
            [("flow", "FLOW"), ("http.status", "HTTP_STATUS"), ("_pid", "PID"), ("priority", "F_PRIORITY"), ("", "F_")]
        {
            assert_eq!(field_name(name), accepted);
        }
    }

    #[test]
    fn on_stderr_every_line_of_an_event_carries_its_priority() {
        let entry = Entry { message: "two\nlines".into(), fields: vec![("flow", "a".into())] };
        assert_eq!(entry.prefixed(priority(Level::ERROR)), "<3>two\n<3>lines flow=a\n");
    }
}

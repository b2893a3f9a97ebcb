//! What systemd is told: ready, stopping, the state in words, still alive.
//! Promises to say nothing twice and to do nothing at all where no systemd asked to be told.
//! Leaves what is true to whoever calls.

use datalake_base::shown::shown;
use sd_notify::NotifyState;
use std::time::Duration;

/// The longest status that is sent, in bytes.
const LONGEST_STATUS: usize = 1024;

/// Speaks to the service manager that `$NOTIFY_SOCKET` names, if any.
#[derive(Debug, Default)]
pub struct Notifier {
    /// What was sent last.
    status: String,
    /// Whether the last message failed, so that it is logged once.
    failing: bool,
}

impl Notifier {
    /// Nothing said so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All flows run.
    pub fn ready(&mut self) {
        self.send(&[NotifyState::Ready]);
    }

    /// A reload begins; [`Notifier::ready`] ends it, however it went.
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            // Older managers do without the time.
            Err(_) => self.send(&[NotifyState::Reloading]),
        }
    }

    /// No longer reading; what was read is being delivered.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// The state in words; sent only when it is not what was sent last.
    pub fn status(&mut self, words: &str) {
        let mut line = shown(words).to_string();
        line.truncate(line.floor_char_boundary(LONGEST_STATUS));
        if line != self.status {
            self.send(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// Still alive. Only to be called when [`super::Watchdog::look`] found nobody stuck.
    pub fn watchdog(&mut self) {
        self.send(&[NotifyState::Watchdog]);
    }

    /// How often to look, when systemd wants to hear from this process: half of what it allows.
    #[must_use]
    pub fn watchdog_interval() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|allowed| allowed / 2).filter(|interval| !interval.is_zero())
    }

    fn send(&mut self, state: &[NotifyState<'_>]) {
        match sd_notify::notify(state) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(
                    reason = %error,
                    "cannot reach the service manager; if it keeps waiting for this unit, see that the unit has \
                     Type=notify and NotifyAccess=main"
                );
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Stdio};

    /// The other half of the tests below, in a process whose environment they choose.
    #[test]
    #[ignore = "only as a child of the other tests"]
    fn child() {
        let mut notifier = Notifier::new();
        notifier.ready();
        notifier.status("1 flow,\n1 file");
        notifier.status("1 flow,\n1 file");
        if let Some(interval) = Notifier::watchdog_interval() {
            notifier.status(&format!("{} ms", interval.as_millis()));
            notifier.watchdog();
        }
        notifier.stopping();
    }

    fn run_child(variables: &[(&str, &str)]) {
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "telemetry::notify::tests::child", "--ignored"])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
    }

    fn heard(watchdog: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut variables = vec![("NOTIFY_SOCKET", path.to_str().unwrap())];
        variables.extend(watchdog);
        run_child(&variables);
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let messages = std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        messages.map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn systemd_hears_ready_each_status_once_and_on_one_line_and_stopping() {
        assert_eq!(heard(&[]), ["READY=1\n", "STATUS=1 flow,\\n1 file\n", "STOPPING=1\n"]);
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_systemd_asks() {
        let messages = heard(&[("WATCHDOG_USEC", "30000000")]);
        assert_eq!(messages[2..4], ["STATUS=15000 ms\n", "WATCHDOG=1\n"]);
        assert_eq!(heard(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")]).len(), 3, "meant for another");
    }

    #[test]
    fn without_systemd_and_with_a_socket_that_is_gone_life_goes_on() {
        run_child(&[]);
        run_child(&[("NOTIFY_SOCKET", "/nowhere/notify")]);
    }
}

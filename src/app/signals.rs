//! What the process is asked by signals, heard on a thread of its own.
//! Promises that a request to stop is heard and obeyed whatever stands still, that no other signal ends the process without
//! a word, and that before an abort the states of the flows are in the log. Leaves the drain to the parent.

use super::looks::{Look, Looks};
use crate::exit::Exit;
use crate::telemetry;
use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A drain may take `shutdownTimeoutMillis`; what follows it may take this, then the process ends where it stands.
const LAST_RESORT: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };
/// Little of it is ever used.
const STACK: usize = 512 * 1024;

/// Signals that ask to stop.
const STOP: [(&str, i32); 3] = [("SIGTERM", libc::SIGTERM), ("SIGINT", libc::SIGINT), ("SIGQUIT", libc::SIGQUIT)];
/// What systemd sends when nobody fed the watchdog, and a person who wants to know where the agent hangs.
const ABORT: (&str, i32) = ("SIGABRT", libc::SIGABRT);
/// A reload, or the terminal is gone.
const HANG_UP: (&str, i32) = ("SIGHUP", libc::SIGHUP);
/// Signals that would end the process and mean nothing here. Real-time signals come on top of these.
const OTHER: [(&str, i32); 11] = [
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGALRM", libc::SIGALRM),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGPROF", libc::SIGPROF),
    ("SIGIO", libc::SIGIO),
    ("SIGPWR", libc::SIGPWR),
    ("SIGSTKFLT", libc::SIGSTKFLT),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGXCPU", libc::SIGXCPU),
    // Ignoring it makes a write beyond the limit an error, which is handled where the write is.
    ("SIGXFSZ", libc::SIGXFSZ),
];

/// How far the process is, as the thread has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The drain has begun and may take so long.
    Stopping(Duration),
}

/// The listening thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    /// How often a stop was asked for.
    requests: watch::Receiver<u32>,
    /// How often a reload was asked for.
    reloads: watch::Receiver<u32>,
    phase: watch::Sender<Phase>,
    looks: Arc<OnceLock<Looks>>,
}

impl Signals {
    /// From here on signals are heard.
    ///
    /// # Errors
    /// When the system gives no thread, or no handler for the signals that stop.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signals = install(&runtime)?;
        let (request, requests) = watch::channel(0);
        let (reload, reloads) = watch::channel(0);
        let (phase, phases) = watch::channel(Phase::Running);
        let looks = Arc::new(OnceLock::new());
        let ears = Ears { signals, request, reload, phases, looks: looks.clone(), on_terminal: is_on_terminal() };
        // The subscriber of the caller: a thread of its own would only see the global one.
        let log = tracing::dispatcher::get_default(Clone::clone);
        let listen = move || tracing::dispatcher::with_default(&log, || runtime.block_on(ears.listen()));
        std::thread::Builder::new().name("signals".into()).stack_size(STACK).spawn(listen)?;
        Ok(Self { requests, reloads, phase, looks })
    }

    /// The flows whose states are logged before an abort.
    pub(super) fn watch(&self, looks: Looks) {
        self.looks.set(looks).ok();
    }

    /// Waits for the next request to stop; one that came before nobody waited counts too.
    pub(super) async fn stop(&mut self) {
        // The thread lives as long as this does.
        if self.requests.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Requests to reload the configuration; several that came while nobody waited are one.
    pub(super) fn reloads(&self) -> watch::Receiver<u32> {
        self.reloads.clone()
    }

    /// The drain has begun and may take so long; not long after, the process ends wherever it stands.
    pub(super) fn stopping(&self, patience: Duration) {
        self.phase.send_replace(Phase::Stopping(patience));
    }
}

/// The handlers. Without one for a signal that is of no use the process still runs.
fn install(runtime: &Runtime) -> io::Result<Vec<(String, i32, Signal)>> {
    let _inside = runtime.enter();
    let mut signals = Vec::new();
    for (name, number) in STOP.into_iter().chain([HANG_UP, ABORT]) {
        signals.push((name.to_owned(), number, signal(SignalKind::from_raw(number))?));
    }
    let real_time = (libc::SIGRTMIN()..=libc::SIGRTMAX()).map(|number| (format!("signal {number}"), number));
    let others = OTHER.into_iter().map(|(name, number)| (name.to_owned(), number)).chain(real_time);
    signals
        .extend(others.filter_map(|(name, number)| Some((name, number, signal(SignalKind::from_raw(number)).ok()?))));
    Ok(signals)
}

fn is_on_terminal() -> bool {
    io::stderr().is_terminal() || io::stdin().is_terminal()
}

/// What the thread has.
struct Ears {
    signals: Vec<(String, i32, Signal)>,
    request: watch::Sender<u32>,
    reload: watch::Sender<u32>,
    phases: watch::Receiver<Phase>,
    looks: Arc<OnceLock<Looks>>,
    on_terminal: bool,
}

impl Ears {
    async fn listen(mut self) {
        let mut deadline = None;
        loop {
            let over = async move {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (name, number) = next(&mut self.signals) => self.heard(&name, number),
                changed = self.phases.changed() => {
                    let Ok(()) = changed else { return };
                    if let Phase::Stopping(patience) = *self.phases.borrow_and_update() {
                        deadline = Some(tokio::time::Instant::now() + patience + LAST_RESORT);
                    }
                }
                () = over => self.give_up(),
            }
        }
    }

    fn heard(&self, name: &str, number: i32) {
        let is = |(_, known): (&str, i32)| known == number;
        if STOP.into_iter().any(is) || (is(HANG_UP) && self.on_terminal && !is_on_terminal()) {
            self.request.send_modify(|requests| *requests += 1);
        } else if is(HANG_UP) {
            self.reload.send_modify(|requests| *requests += 1);
        } else if is(ABORT) {
            tracing::error!(signal = name, "aborting; the states of the flows follow");
            self.log_states();
            telemetry::flush();
            std::process::abort();
        } else {
            tracing::info!(signal = name, "this signal has no meaning here; SIGTERM stops the agent");
        }
    }

    fn log_states(&self) {
        if let Some(looks) = self.looks.get() {
            log_states(looks.all().iter());
        }
    }

    #[expect(clippy::disallowed_methods, reason = "main does not return: something in the process stands still")]
    fn give_up(&self) {
        tracing::error!(
            "the stop does not end, because something stands still; ending here, after the next start some records are \
             sent again, nothing is lost"
        );
        self.log_states();
        telemetry::flush();
        std::process::exit(Exit::InputOutput.code().into());
    }
}

/// The next signal.
async fn next(signals: &mut [(String, i32, Signal)]) -> (String, i32) {
    std::future::poll_fn(|context| {
        for (name, number, signal) in signals.iter_mut() {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready((name.clone(), *number));
            }
        }
        Poll::Pending
    })
    .await
}

/// One line for each flow: how far it is, and what it waits for.
pub(super) fn log_states<'a>(looks: impl IntoIterator<Item = &'a Look>) {
    for look in looks {
        let books = look.books();
        let settled = books.delivered.value() + books.filtered.value() + books.quarantined.value();
        tracing::error!(
            flow = look.name(),
            steps = books.progress.value(),
            idle = books.idle.value() == 1,
            waiting_for = look.holding(),
            files = books.files.value(),
            read = books.read.value(),
            settled,
            unsettled = books.unsettled.value(),
            calls = books.calls.value(),
            retried = books.retried.value(),
            "state of the flow"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The other half of the test below, in a process of its own.
    #[test]
    #[ignore = "only as a child of the other test"]
    fn child() {
        let signals = Signals::listen().unwrap();
        signals.stopping(Duration::ZERO);
        // Something stands still: a disk, a filesystem of the network, a step without an end.
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn a_stop_ends_whatever_stands_still() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "app::signals::tests::child", "--ignored"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert_eq!(child.unwrap().code(), Some(Exit::InputOutput.code().into()));
    }
}

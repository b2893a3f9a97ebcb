//! Live progress: one line that is rewritten on a terminal, a line every second otherwise; and when it is enough.
//! Promises to end only when what was there is delivered, or when nothing moves any more.
//! Leaves stopping the agent to its caller.

use crate::Outcome;
use crate::devices::Devices;
use crate::inputs::Inputs;
use crate::samples::Samples;
use crate::words::{amount, count, grouped, say};
use datalake_agent::app::Look;
use datalake_base::accounting::{Accounting, Gauge};
use local_lake::Lake;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the numbers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A line so often where no terminal shows it.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Numbers that stood still for so long are final: positions are taken over every half second.
const STILL: Duration = Duration::from_millis(1200);
/// Files that others write to are followed for so long after all that was there is read.
const FOLLOW: Duration = Duration::from_secs(3);
/// With no more than this unread, the agent keeps up with the writers.
const NEARLY_NOTHING: u64 = 64 * 1024;
/// When nothing moved for so long although something is behind, nothing will.
const STUCK: Duration = Duration::from_secs(60);

/// When to end.
pub(crate) enum Goal<'a> {
    /// All that the files hold is delivered.
    Delivered(&'a Inputs),
    /// The samples grew for so long, and what they hold is delivered.
    Grown(&'a Samples, Duration),
    /// The devices published for so long, and what they published is delivered.
    Published(&'a Devices, Duration),
}

/// The numbers of all flows together.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) files: u64,
    pub(crate) read: u64,
    pub(crate) delivered: u64,
    /// Delivered, or given up on purpose.
    pub(crate) settled: u64,
    pub(crate) behind: u64,
    pub(crate) lines: u64,
    pub(crate) records: u64,
    pub(crate) calls: u64,
    pub(crate) destroyed: u64,
    pub(crate) quarantined: u64,
    /// No flow has anything to send.
    pub(crate) idle: bool,
}

impl Totals {
    pub(crate) fn of(flows: &[Look]) -> Self {
        let sum = |gauge: fn(&Accounting) -> &Gauge| flows.iter().map(|look| gauge(look.books()).value()).sum::<u64>();
        let (delivered, quarantined) =
            (sum(|accounting| &accounting.delivered), sum(|accounting| &accounting.quarantined));
        Self {
            files: sum(|accounting| &accounting.files),
            read: sum(|accounting| &accounting.read),
            delivered,
            settled: delivered + quarantined + sum(|accounting| &accounting.filtered),
            behind: sum(|accounting| &accounting.unsettled),
            lines: sum(|accounting| &accounting.lines),
            records: sum(|accounting| &accounting.records),
            calls: sum(|accounting| &accounting.calls),
            destroyed: sum(|accounting| &accounting.destroyed),
            quarantined,
            idle: flows.iter().all(|look| look.books().idle.value() == 1),
        }
    }

    /// Bytes that were read and are not settled: lines that were begun, once nothing is under way.
    pub(crate) fn held(&self) -> u64 {
        self.read - self.settled
    }

    /// Whether nothing is behind but lines that were begun. Only to be asked while nothing moves.
    fn all_delivered(&self) -> bool {
        self.files > 0 && self.idle && self.behind == self.held()
    }
}

/// Shows how far the agent got until the goal is reached.
///
/// # Errors
/// When nothing moves although something is behind.
pub(crate) async fn follow(flows: &[Look], lake: &Lake, goal: &Goal<'_>) -> Outcome<()> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let (mut still, mut shown) = (Still::since(begun), begun);
    let mut caught_up = CaughtUp::default();
    loop {
        ticks.tick().await;
        let (totals, now) = (Totals::of(flows), Instant::now());
        still.look(totals, now);
        if std::io::stdout().is_terminal() || now >= shown + LINE_EVERY {
            shown = now;
            show(&totals, lake.stats().objects, flows);
        }
        let done = match goal {
            Goal::Delivered(inputs) => {
                still.is_at_rest(now) && totals.all_delivered() || caught_up.look(&totals, inputs, now)
            }
            Goal::Grown(samples, during) => {
                let grown = now >= begun + *during;
                if grown {
                    samples.stop();
                }
                grown && still.is_at_rest(now) && totals.all_delivered()
            }
            Goal::Published(devices, during) => {
                if flows.iter().filter_map(Look::messages).any(|messages| messages.connected() > 0) {
                    devices.go();
                }
                let over = now >= begun + *during && {
                    let published = devices.stop();
                    devices.is_over() && totals.lines >= published
                };
                over && still.is_at_rest(now) && totals.all_delivered()
            }
        };
        if done {
            return Ok(());
        }
        if still.for_long(now) {
            let behind = amount(totals.behind);
            return Err(format!("{behind} are behind and nothing moves; warnings above may say why").into());
        }
    }
}

/// Since when the numbers stand still.
struct Still {
    last: Totals,
    since: Instant,
}

impl Still {
    fn since(now: Instant) -> Self {
        Self { last: Totals::default(), since: now }
    }

    fn look(&mut self, totals: Totals, now: Instant) {
        if totals != self.last {
            (self.last, self.since) = (totals, now);
        }
    }

    fn is_at_rest(&self, now: Instant) -> bool {
        now >= self.since + STILL
    }

    fn for_long(&self, now: Instant) -> bool {
        now >= self.since + STUCK
    }
}

/// Files that somebody goes on writing to are never at rest: it is enough when all that was there is read, because
/// what is read is delivered before the agent ends.
#[derive(Default)]
struct CaughtUp {
    /// Since when, and the size of the files then.
    since: Option<(Instant, u64)>,
}

impl CaughtUp {
    fn look(&mut self, totals: &Totals, inputs: &Inputs, now: Instant) -> bool {
        let unread = totals.behind.saturating_sub(totals.held());
        if self.since.is_none() && (totals.read == 0 || unread > NEARLY_NOTHING) {
            return false;
        }
        let (since, size) = *self.since.get_or_insert_with(|| (now, inputs.size()));
        now >= since + FOLLOW && inputs.size() > size
    }
}

fn show(totals: &Totals, objects: u64, flows: &[Look]) {
    let mut line = format!(
        "{}, read {}, {} behind, {} and {} delivered, {}",
        count(totals.files, "file"),
        amount(totals.read),
        amount(totals.behind),
        count(totals.lines, "line"),
        count(totals.records, "record"),
        count(objects, "object"),
    );
    if totals.destroyed > 0 {
        line.push_str(&format!(", {} bytes destroyed unread", grouped(totals.destroyed)));
    }
    if let Some(reason) = flows.iter().find_map(Look::holding) {
        line.push_str(&format!("; waiting: {reason}"));
    }
    if std::io::stdout().is_terminal() {
        let mut terminal = std::io::stdout().lock();
        write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush()).ok();
    } else {
        say(line);
    }
}

/// What follows begins on a line of its own.
pub(crate) fn end_line() {
    if std::io::stdout().is_terminal() {
        say("");
    }
}

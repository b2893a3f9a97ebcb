//! The lag in words, for `systemctl status` and for one line in the log now and then.
//! Promises words that a person can act on, and silence while nothing happens.
//! Leaves the numbers to the books.

use datalake_base::accounting::{Accounting, Gauge};
use datalake_base::units::counted;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// One flow as it shows from outside.
#[derive(Clone, Copy, Debug)]
pub struct FlowLook<'a> {
    /// Its name.
    pub flow: &'a str,
    /// Its books.
    pub books: &'a Accounting,
    /// Why it waits, where it does so on purpose (no credentials, no such stream, throttled).
    pub holding: Option<&'a str>,
}

/// So many flows that hold are named in the status; the others are counted.
const NAMED: usize = 3;

/// The state of the agent in one line, such as
/// `2 flows, 3 files, 1.2 MiB behind, oldest 4 s; holding: orders (no credentials)`.
///
/// `now` is milliseconds since 1970. `unsaved` is since when positions cannot be saved, where they cannot.
#[must_use]
pub fn status_words(flows: &[FlowLook<'_>], unsaved: Option<Duration>, now: u64) -> String {
    let sum = |gauge: fn(&Accounting) -> &Gauge| flows.iter().map(|look| gauge(look.books).value()).sum::<u64>();
    let behind = sum(|books| &books.unsettled);
    let mut words = format!(
        "{}, {}, {}",
        counted(flows.len() as u64, "flow"),
        counted(sum(|books| &books.files), "file"),
        if behind == 0 { "nothing behind".to_owned() } else { format!("{} behind", bytes_in_words(behind)) },
    );
    let oldest = flows.iter().map(|look| look.books.oldest_unsettled.value()).filter(|read_at| *read_at > 0).min();
    if let Some(oldest) = oldest {
        append(&mut words, format_args!(", oldest {}", duration_in_words(now.saturating_sub(oldest))));
    }
    let lost: Vec<_> =
        [("destroyed unread", sum(|books| &books.destroyed)), ("in quarantine", sum(|b| &b.quarantined))]
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
    for (what, bytes) in lost {
        append(&mut words, format_args!(", {} {what}", bytes_in_words(bytes)));
    }
    let unfit = sum(|books| &books.unprocessed);
    if unfit > 0 {
        append(&mut words, format_args!(", {} unfit for the options", counted(unfit, "record")));
    }
    let holding: Vec<_> = flows.iter().filter_map(|look| Some((look.flow, look.holding?))).collect();
    for (index, (flow, reason)) in holding.iter().take(NAMED).enumerate() {
        append(&mut words, format_args!("{} {flow} ({reason})", if index == 0 { "; holding:" } else { "," }));
    }
    if holding.len() > NAMED {
        append(&mut words, format_args!(" and {} more", holding.len() - NAMED));
    }
    if let Some(since) = unsaved {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        append(&mut words, format_args!("; positions not saved for {}", duration_in_words(since)));
    }
    words
}

fn append(words: &mut String, more: std::fmt::Arguments<'_>) {
    words.write_fmt(more).expect("writing to a string only fails where memory ends");
}

/// Rounded to what a person compares: `812 B`, `1.2 MiB`, `37 GiB`.
#[must_use]
pub fn bytes_in_words(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1023.5 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    if unit == "B" || amount >= 9.95 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// Rounded down to the largest unit that fits: `0 s`, `59 s`, `3 min`, `5 h`, `2 d`.
#[must_use]
pub fn duration_in_words(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Decides when the log gets a line about how far the agent got: at most one a minute, none while nothing happens.
#[derive(Debug)]
pub struct Reporter {
    every: Duration,
    next: Instant,
    last: Totals,
}

/// What the line tells, over all flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    read: u64,
    delivered: u64,
    lines: u64,
    records: u64,
    calls: u64,
    retried: u64,
    quarantined: u64,
    destroyed: u64,
}

impl Totals {
    fn of(flows: &[FlowLook<'_>]) -> Self {
        let sum = |gauge: fn(&Accounting) -> &Gauge| flows.iter().map(|look| gauge(look.books).value()).sum();
        Self {
            read: sum(|books| &books.read),
            delivered: sum(|books| &books.delivered),
            lines: sum(|books| &books.lines),
            records: sum(|books| &books.records),
            calls: sum(|books| &books.calls),
            retried: sum(|books| &books.retried),
            quarantined: sum(|books| &books.quarantined),
            destroyed: sum(|books| &books.destroyed),
        }
    }
}

impl Reporter {
    /// The first line is due a minute after `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let every = Duration::from_secs(60);
        Self { every, next: now + every, last: Totals::default() }
    }

    /// The line about what happened since the last one, when it is due and anything did.
    pub fn report(&mut self, flows: &[FlowLook<'_>], now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + self.every;
        let (last, totals) = (std::mem::replace(&mut self.last, Totals::of(flows)), Totals::of(flows));
        if totals == last {
            return None;
        }
        let mut line = format!(
            "read {}, delivered {} ({}, {}, {})",
            bytes_in_words(totals.read.saturating_sub(last.read)),
            bytes_in_words(totals.delivered.saturating_sub(last.delivered)),
            counted(totals.lines.saturating_sub(last.lines), "line"),
            counted(totals.records.saturating_sub(last.records), "record"),
            counted(totals.calls.saturating_sub(last.calls), "call"),
        );
        if totals.retried > last.retried {
            append(&mut line, format_args!(", sent again {}", counted(totals.retried - last.retried, "record")));
        }
        for (what, bytes) in [
            ("quarantined", totals.quarantined.saturating_sub(last.quarantined)),
            ("destroyed before it was read", totals.destroyed.saturating_sub(last.destroyed)),
        ] {
            if bytes > 0 {
                append(&mut line, format_args!(", {} {what}", bytes_in_words(bytes)));
            }
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look<'a>(flow: &'a str, books: &'a Accounting, holding: Option<&'a str>) -> FlowLook<'a> {
        FlowLook { flow, books, holding }
    }

    #[test]
    fn the_status_sums_the_flows_and_names_the_oldest_byte_and_who_holds_and_why() {
        let (first, second) = (Accounting::default(), Accounting::default());
        first.files.set(2);
        first.unsettled.set(1_200_000);
        first.oldest_unsettled.set(96_000);
        second.files.set(1);
        second.unsettled.set(58_000);
        second.oldest_unsettled.set(98_000);
        let flows = [look("orders", &first, Some("no credentials")), look("web", &second, None)];
        assert_eq!(
            status_words(&flows, None, 100_000),
            "2 flows, 3 files, 1.2 MiB behind, oldest 4 s; holding: orders (no credentials)"
        );
    }

    #[test]
    fn a_flow_that_is_up_to_date_says_so() {
        let books = Accounting::default();
        books.files.set(1);
        assert_eq!(status_words(&[look("a", &books, None)], None, 5), "1 flow, 1 file, nothing behind");
    }

    #[test]
    fn what_is_lost_or_set_aside_or_unsaved_is_never_left_out() {
        let books = Accounting::default();
        books.destroyed.set(1024);
        books.quarantined.set(5);
        books.unprocessed.set(2);
        let words = status_words(&[look("a", &books, None)], Some(Duration::from_secs(300)), 0);
        assert_eq!(
            words,
            "1 flow, 0 files, nothing behind, 1.0 KiB destroyed unread, 5 B in quarantine, \
             2 records unfit for the options; positions not saved for \
             5 min"
        );
    }

    #[test]
    fn a_hundred_holding_flows_make_no_endless_line() {
        let books = Accounting::default();
        let flows = vec![look("flow", &books, Some("throttled")); 100];
        let words = status_words(&flows, None, 0);
        assert!(words.ends_with("flow (throttled) and 97 more"), "{words}");
    }

    #[test]
    fn amounts_are_rounded_to_what_a_person_compares() {
        for (bytes, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (40 << 30, "40 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
        for (milliseconds, words) in
            [(999, "0 s"), (119_999, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (172_800_000, "2 d")]
        {
            assert_eq!(duration_in_words(milliseconds), words);
        }
    }

    #[test]
    fn a_report_comes_once_a_minute_and_only_when_something_happened() {
        let (books, start) = (Accounting::default(), Instant::now());
        let mut reporter = Reporter::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        books.read.add(2048);
        books.delivered.add(1024);
        books.lines.add(10);
        books.records.add(1);
        books.calls.add(2);
        books.retried.add(1);
        assert_eq!(reporter.report(&[look("a", &books, None)], at(59)), None);
        let line = reporter.report(&[look("a", &books, None)], at(60)).unwrap();
        assert_eq!(line, "read 2.0 KiB, delivered 1.0 KiB (10 lines, 1 record, 2 calls), sent again 1 record");
        assert_eq!(reporter.report(&[look("a", &books, None)], at(120)), None, "nothing happened");
        books.delivered.add(1024);
        let line = reporter.report(&[look("a", &books, None)], at(180)).unwrap();
        assert_eq!(line, "read 0 B, delivered 1.0 KiB (0 lines, 0 records, 0 calls)", "only what is new");
    }
}

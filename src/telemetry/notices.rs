//! Lines about the course of a flow that only time brings: the first acceptance, no file after a minute, a pause that lasts.
//! Promises each of them once, and the reminder of a long pause once an hour.
//! Leaves the words about conditions that change to the flow, and writing to the log.

use super::FlowLook;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A flow without a file is spoken of after this.
const NO_FILE_FOR: Duration = Duration::from_secs(60);
/// A pause is spoken of again after this.
const PAUSED_FOR: Duration = Duration::from_secs(3600);

/// What there is to say about a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service has accepted records of this flow for the first time since the start.
    FirstAccepted,
    /// Its patterns have matched no file since the start.
    NoFile,
    /// It has been paused for this long.
    StillPaused(Duration),
}

/// Remembers what was said.
#[derive(Debug)]
pub struct Notices {
    begun: Instant,
    flows: BTreeMap<String, Said>,
}

#[derive(Debug, Default)]
struct Said {
    accepted: bool,
    had_files: bool,
    no_file: bool,
    /// Since when it is paused, and when that was said last.
    paused: Option<(Instant, Instant)>,
}

impl Notices {
    /// Nothing said so far.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { begun: now, flows: BTreeMap::new() }
    }

    /// What there is to say now; `reads_files` tells whether the flow at this place should have files.
    pub fn look<'a>(
        &mut self,
        flows: &[FlowLook<'a>],
        reads_files: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Vec<(&'a str, Notice)> {
        let mut notices = Vec::new();
        // What a reload removed may come back, and is new then.
        if self.flows.len() > flows.len() {
            self.flows.retain(|name, _| flows.iter().any(|look| look.flow == name));
        }
        for (place, look) in flows.iter().enumerate() {
            let said = self.flows.entry(look.flow.to_owned()).or_default();
            if look.books.lines.value() > 0 && !std::mem::replace(&mut said.accepted, true) {
                notices.push((look.flow, Notice::FirstAccepted));
            }
            said.had_files |= look.books.files.value() > 0 || !reads_files(place);
            if !said.had_files && now - self.begun >= NO_FILE_FOR && !std::mem::replace(&mut said.no_file, true) {
                notices.push((look.flow, Notice::NoFile));
            }
            match (look.holding.is_some(), &mut said.paused) {
                (false, paused) => *paused = None,
                (true, None) => said.paused = Some((now, now)),
                (true, Some((since, last))) if now - *last >= PAUSED_FOR => {
                    *last = now;
                    notices.push((look.flow, Notice::StillPaused(now - *since)));
                }
                (true, Some(_)) => {}
            }
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_base::accounting::Accounting;

    fn after(seconds: u64, begun: Instant) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn a_flow_without_a_file_is_spoken_of_once_after_a_minute_and_never_when_it_had_one() {
        let (begun, accounting) = (Instant::now(), Accounting::default());
        let look = FlowLook { flow: "a", books: &accounting, holding: None };
        let mut notices = Notices::new(begun);
        assert_eq!(notices.look(&[look], |_| true, after(59, begun)), []);
        assert_eq!(notices.look(&[look], |_| true, after(60, begun)), [("a", Notice::NoFile)]);
        assert_eq!(notices.look(&[look], |_| true, after(600, begun)), []);
        let mut notices = Notices::new(begun);
        assert_eq!(notices.look(&[look], |_| false, after(60, begun)), [], "it receives messages");
        let mut notices = Notices::new(begun);
        accounting.files.set(1);
        assert_eq!(notices.look(&[look], |_| true, begun), []);
        accounting.files.set(0);
        assert_eq!(notices.look(&[look], |_| true, after(90, begun)), [], "it had one");
    }

    #[test]
    fn the_first_acceptance_is_said_once() {
        let (begun, accounting) = (Instant::now(), Accounting::default());
        let look = FlowLook { flow: "a", books: &accounting, holding: None };
        let mut notices = Notices::new(begun);
        assert_eq!(notices.look(&[look], |_| true, begun), []);
        accounting.lines.add(3);
        assert_eq!(notices.look(&[look], |_| true, begun), [("a", Notice::FirstAccepted)]);
        accounting.lines.add(3);
        assert_eq!(notices.look(&[look], |_| true, begun), []);
    }

    #[test]
    fn a_long_pause_is_repeated_once_an_hour_until_it_ends() {
        let (begun, accounting) = (Instant::now(), Accounting::default());
        accounting.files.set(1);
        let paused = FlowLook { flow: "a", books: &accounting, holding: Some("no credentials") };
        let mut notices = Notices::new(begun);
        assert_eq!(notices.look(&[paused], |_| true, begun), []);
        assert_eq!(notices.look(&[paused], |_| true, after(3599, begun)), []);
        let hour = |hours: u64| Notice::StillPaused(Duration::from_secs(3600 * hours));
        assert_eq!(notices.look(&[paused], |_| true, after(3600, begun)), [("a", hour(1))]);
        assert_eq!(notices.look(&[paused], |_| true, after(3601, begun)), []);
        assert_eq!(notices.look(&[paused], |_| true, after(7200, begun)), [("a", hour(2))]);
        let running = FlowLook { holding: None, ..paused };
        assert_eq!(notices.look(&[running], |_| true, after(7300, begun)), []);
        assert_eq!(notices.look(&[paused], |_| true, after(20_000, begun)), [], "another pause begins");
    }
}

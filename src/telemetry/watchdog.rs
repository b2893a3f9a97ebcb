//! Whether the watchdog may be fed: only while every flow gets on, has nothing to do, or says why it waits.
//! Promises that one flow that hangs is enough to be restarted, however busy the others are.
//! Leaves asking in time to the shell and killing to systemd.

use super::FlowLook;
use std::collections::BTreeMap;

/// Remembers how far each flow was at the last look.
#[derive(Debug, Default)]
pub struct Watchdog {
    progress: BTreeMap<String, u64>,
}

impl Watchdog {
    /// A watchdog that has seen nothing yet; at the first look every flow counts as having got on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at all flows and returns those that neither got on since the last look, nor are idle, nor hold for a
    /// stated reason. Feed the watchdog only when there are none.
    pub fn look<'a>(&mut self, flows: &[FlowLook<'a>]) -> Vec<&'a str> {
        let mut stuck = Vec::new();
        for look in flows {
            let now = look.books.progress.value();
            let before = self.progress.insert(look.flow.to_owned(), now);
            if before == Some(now) && look.books.idle.value() == 0 && look.holding.is_none() {
                stuck.push(look.flow);
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_base::accounting::Accounting;

    fn look<'a>(flow: &'a str, books: &'a Accounting) -> FlowLook<'a> {
        FlowLook { flow, books, holding: None }
    }

    #[test]
    fn a_flow_that_gets_on_is_alive_and_one_that_stands_still_is_not() {
        let (mut watchdog, books) = (Watchdog::new(), Accounting::default());
        assert!(watchdog.look(&[look("a", &books)]).is_empty(), "nothing is known at the first look");
        books.progress.add(1);
        assert!(watchdog.look(&[look("a", &books)]).is_empty());
        assert_eq!(watchdog.look(&[look("a", &books)]), ["a"]);
        books.progress.add(1);
        assert!(watchdog.look(&[look("a", &books)]).is_empty(), "it may recover");
    }

    #[test]
    fn a_flow_with_nothing_to_do_or_with_a_stated_reason_to_wait_is_alive() {
        let (mut watchdog, books) = (Watchdog::new(), Accounting::default());
        watchdog.look(&[look("a", &books)]);
        books.idle.set(1);
        assert!(watchdog.look(&[look("a", &books)]).is_empty());
        books.idle.set(0);
        let holding = FlowLook { holding: Some("no credentials"), ..look("a", &books) };
        assert!(watchdog.look(&[holding]).is_empty());
        assert_eq!(watchdog.look(&[look("a", &books)]), ["a"], "but not once the reason is gone");
    }

    #[test]
    fn one_flow_that_hangs_is_not_hidden_by_one_that_is_busy() {
        let (mut watchdog, busy, hanging) = (Watchdog::new(), Accounting::default(), Accounting::default());
        watchdog.look(&[look("busy", &busy), look("hanging", &hanging)]);
        busy.progress.add(1000);
        assert_eq!(watchdog.look(&[look("busy", &busy), look("hanging", &hanging)]), ["hanging"]);
    }
}

//! Whether the agent is well, in a word, for probes.
//! Promises that a flow that waits for a stated reason is never taken for one that hangs. Leaves who asks to the caller.

use super::{FlowLook, duration_in_words};
use datalake_base::shown::shown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known beside the flows; shared between who finds it out and who is asked.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    phase: Phase,
    stuck: Vec<String>,
    unsaved: Option<Duration>,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Where reading begins is not decided, or not saved yet.
    #[default]
    Starting,
    Running,
    Stopping,
}

/// What is said to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Whether a restart would not help, so none is wanted.
    pub well: bool,
    /// A word, and a line for each flow that it is about.
    pub text: String,
}

/// Flows that are named; the others are counted.
const NAMED: usize = 20;

impl Health {
    /// Where reading begins is decided and saved.
    pub fn begun(&self) {
        self.lock().phase = Phase::Running;
    }

    /// Whether that has happened.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.lock().phase != Phase::Starting
    }

    /// The agent drains.
    pub fn stopping(&self) {
        self.lock().phase = Phase::Stopping;
    }

    /// What the newest look found: flows that stand still, and for how long positions cannot be saved.
    pub fn found(&self, stuck: &[String], unsaved: Option<Duration>) {
        let mut known = self.lock();
        known.stuck = stuck.to_vec();
        known.unsaved = unsaved;
    }

    /// For how long positions cannot be saved, where they cannot.
    #[must_use]
    pub fn unsaved(&self) -> Option<Duration> {
        self.lock().unsaved
    }

    /// Is the agent alive? `paused` are those of the flows that wait for the operator.
    #[must_use]
    pub fn liveness(&self, flows: &[FlowLook<'_>], paused: &[&str]) -> Words {
        let known = self.lock();
        let word = match known.phase {
            _ if !known.stuck.is_empty() => "stalled",
            Phase::Starting => "starting",
            Phase::Stopping => "stopping",
            Phase::Running if !paused.is_empty() => "paused",
            Phase::Running => "delivering",
        };
        let mut lines = vec![word.to_owned()];
        lines.extend(known.stuck.iter().take(NAMED).map(|flow| format!("{}: stands still", shown(flow.as_str()))));
        let waiting = || flows.iter().filter_map(|look| Some((look.flow, look.holding?)));
        lines.extend(waiting().take(NAMED).map(|(flow, why)| format!("{}: waits: {}", shown(flow), shown(why))));
        let others = known.stuck.len().saturating_sub(NAMED) + waiting().count().saturating_sub(NAMED);
        lines.extend((others > 0).then(|| format!("and {others} more")));
        lines.extend(known.unsaved.map(|since| {
            let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            format!("positions not saved for {}", duration_in_words(since))
        }));
        Words { well: known.stuck.is_empty(), text: lines.join("\n") + "\n" }
    }

    /// May who writes logs begin? From then on what is written is shipped.
    #[must_use]
    pub fn readiness(&self) -> Words {
        let (well, text) = match self.lock().phase {
            Phase::Starting => (false, "starting: where reading begins is not saved yet\n"),
            Phase::Running => (true, "ready\n"),
            Phase::Stopping => (false, "stopping\n"),
        };
        Words { well, text: text.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_base::accounting::Accounting;

    #[test]
    fn a_probe_hears_a_word_and_what_it_is_about_and_only_a_flow_that_hangs_is_not_well() {
        let (health, books) = (Health::default(), Accounting::default());
        let look = FlowLook { flow: "orders", books: &books, holding: None };
        let words = |well, text: &str| Words { well, text: text.to_owned() };
        assert_eq!(health.liveness(&[look], &[]), words(true, "starting\n"));
        assert!(!health.readiness().well);
        health.begun();
        assert_eq!(health.liveness(&[look], &[]), words(true, "delivering\n"));
        assert_eq!(health.readiness(), words(true, "ready\n"));
        let throttled = FlowLook { holding: Some("slow\ndown"), ..look };
        assert_eq!(health.liveness(&[throttled], &[]), words(true, "delivering\norders: waits: slow\\ndown\n"));
        assert_eq!(health.liveness(&[throttled], &["orders"]).text.lines().next(), Some("paused"));
        health.found(&["other".to_owned()], Some(Duration::from_secs(3)));
        let text = "stalled\nother: stands still\npositions not saved for 3 s\n";
        assert_eq!(health.liveness(&[look], &[]), words(false, text));
        assert!(health.readiness().well, "what was promised to who writes still holds");
        health.found(&[], None);
        health.stopping();
        assert_eq!(health.liveness(&[look], &[]), words(true, "stopping\n"));
        assert!(!health.readiness().well);
    }

    #[test]
    fn a_thousand_flows_that_wait_are_counted() {
        let (health, books) = (Health::default(), Accounting::default());
        let looks = vec![FlowLook { flow: "a", books: &books, holding: Some("no credentials") }; 1000];
        assert!(health.liveness(&looks, &[]).text.ends_with("and 980 more\n"));
    }
}

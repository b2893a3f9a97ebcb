//! What is different between two configurations, flow by flow.
//! Promises that a flow whose destination is not concerned is not named. Leaves applying it to the parent.

use super::named;
use super::record::Outcome;
use crate::config::{FlowPlan, Plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Flows that were not there.
    pub(super) added: Vec<String>,
    /// Flows that are there no longer.
    pub(super) removed: Vec<String>,
    /// Flows that are configured otherwise.
    pub(super) changed: Vec<String>,
    /// Flows that are as before and start again, because they share a stream with one of the others.
    pub(super) beside: Vec<String>,
    /// The destinations of all of them, of then and of now.
    pub(super) streams: BTreeSet<String>,
    /// Running flows that stop.
    pub(super) stop: BTreeSet<String>,
    /// Flows that start.
    pub(super) start: Vec<Arc<FlowPlan>>,
}

impl Change {
    pub(super) fn between(old: &Plan, new: &Plan) -> Self {
        let mut change = Self::default();
        let (before, after) = (by_stream(old), by_stream(new));
        for stream in before.keys().chain(after.keys()) {
            let none = Vec::new();
            let (before, after) = (before.get(stream).unwrap_or(&none), after.get(stream).unwrap_or(&none));
            let alike = before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| is_same(old, before, new, after));
            if !alike {
                change.streams.insert((*stream).to_owned());
            }
        }
        let concerned = |flow: &&Arc<FlowPlan>| change.streams.contains(&flow.source.stream);
        change.stop = old.flows.iter().filter(concerned).map(|flow| flow.name.clone()).collect();
        change.start = new.flows.iter().filter(concerned).cloned().collect();
        change.removed = change.stop.iter().filter(|name| named(new, name).is_none()).cloned().collect();
        for flow in &change.start {
            let list = match named(old, &flow.name) {
                None => &mut change.added,
                Some(before) if is_same(old, before, new, flow) => &mut change.beside,
                Some(_) => &mut change.changed,
            };
            list.push(flow.name.clone());
        }
        change
    }

    /// In words, with `all` flows running now.
    pub(super) fn outcome(self, all: usize) -> Outcome {
        let unchanged = all - self.start.len();
        let Self { added, removed, changed, beside: restarted, .. } = self;
        Outcome { applied: true, added, removed, changed, restarted, unchanged, reason: String::new(), exit: 0 }
    }
}

/// The flows of each destination, in their order: the first whose patterns match reads a file.
fn by_stream(plan: &Plan) -> BTreeMap<&str, Vec<&FlowPlan>> {
    let mut streams: BTreeMap<&str, Vec<&FlowPlan>> = BTreeMap::new();
    for flow in &plan.flows {
        streams.entry(&flow.source.stream).or_default().push(flow);
    }
    streams
}

/// Whether the flow goes on as it is.
fn is_same(old: &Plan, before: &FlowPlan, new: &Plan, after: &FlowPlan) -> bool {
    before.name == after.name
        && before.fingerprint == after.fingerprint
        && before.source.stream == after.source.stream
        && old.session_of(before) == new.session_of(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn plan(top: &str, flows: &[&str]) -> Plan {
        let text = format!("{{{top} \"region\": \"eu-west-1\", \"flows\": [{}]}}", flows.join(",\n"));
        config::from_text(&[("agent.json", &text)]).unwrap()
    }

    const A: &str = r#"{"filePattern": "/l/a", "deliveryStream": "a"}"#;
    const B: &str = r#"{"filePattern": "/l/b", "deliveryStream": "b"}"#;
    const B_TOO: &str = r#"{"name": "too", "filePattern": "/l/c", "deliveryStream": "b"}"#;

    fn words(old: &Plan, new: &Plan) -> String {
        let Change { added, removed, changed, beside, streams, stop, start } = Change::between(old, new);
        let start: Vec<&str> = start.iter().map(|flow| flow.name.as_str()).collect();
        format!("+{added:?} -{removed:?} ~{changed:?} ={beside:?} {streams:?} {stop:?} {start:?}").replace('"', "")
    }

    #[test]
    fn flows_of_other_destinations_are_not_concerned() {
        let old = plan("", &[A, B]);
        for (flows, expected) in [
            (&[A, B][..], "+[] -[] ~[] =[] {} {} []"),
            (&[B, A], "+[] -[] ~[] =[] {} {} []"),
            (&[A], "+[] -[b] ~[] =[] {firehose:b} {b} []"),
            (&[A, B, B_TOO], "+[too] -[] ~[] =[b] {firehose:b} {b} [b, too]"),
            (
                &[A, r#"{"filePattern": "/l/b", "deliveryStream": "b", "maxBufferAgeMillis": 10}"#],
                "+[] -[] ~[b] =[] {firehose:b} {b} [b]",
            ),
            (
                &[A, r#"{"name": "b", "filePattern": "/l/b", "deliveryStream": "c"}"#],
                "+[] -[] ~[b] =[] {firehose:b, firehose:c} {b} [b]",
            ),
            (
                &[A, "{ \"filePattern\": \"/l/b\", // the same\n \"deliveryStream\": \"b\" }"],
                "+[] -[] ~[] =[] {} {} []",
            ),
        ] {
            assert_eq!(words(&old, &plan("", flows)), expected, "{flows:?}");
        }
    }

    #[test]
    fn where_and_as_whom_to_call_concerns_every_flow_that_has_no_own() {
        let old = plan(
            "",
            &[
                A,
                r#"{"filePattern": "/l/b", "deliveryStream": "b", "assumeRoleARN": "arn:aws:iam::111122223333:role/x"}"#,
            ],
        );
        let new = plan(
            r#""assumeRoleARN": "arn:aws:iam::111122223333:role/y","#,
            &[
                A,
                r#"{"filePattern": "/l/b", "deliveryStream": "b", "assumeRoleARN": "arn:aws:iam::111122223333:role/x"}"#,
            ],
        );
        assert!(words(&old, &new).starts_with("+[] -[] ~[a] =[] {firehose:a}"), "{}", words(&old, &new));
        // The time a stop may take concerns none.
        assert_eq!(words(&old, &plan("\"shutdownTimeoutMillis\": 1,", &[A])), "+[] -[b] ~[] =[] {firehose:b} {b} []");
    }

    #[test]
    fn the_order_within_a_stream_counts_because_the_first_that_matches_reads_a_file() {
        let (old, new) = (plan("", &[A, B, B_TOO]), plan("", &[A, B_TOO, B]));
        assert_eq!(words(&old, &new), "+[] -[] ~[] =[too, b] {firehose:b} {b, too} [too, b]");
    }
}

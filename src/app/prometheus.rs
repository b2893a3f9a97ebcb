//! The running agent as Prometheus and probes see it.
//! Promises that what is answered is how things are when it is asked. Leaves listening and the text to `prometheus`.

use super::Look;
use crate::config::Plan;
use crate::prometheus::{Answer, CONTENT_TYPE, Respond, Seen, Snapshot, serve};
use crate::telemetry::{FlowLook, Health, clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Begins to listen, where the plan says so.
pub(super) fn start(plan: &Plan, looks: &[Look], health: &Health, background: &mut JoinSet<()>) {
    let Some(listen) = plan.prometheus.clone() else { return };
    let (looks, health, configuration, begun) = (looks.to_vec(), health.clone(), plan.hash.clone(), clock::now_ms());
    let respond: Respond = Arc::new(move |path| match path {
        "/metrics" => {
            let flows = looks.iter().map(seen).collect();
            let unsaved_seconds = health.unsaved().as_ref().map_or(0.0, Duration::as_secs_f64);
            let configuration = configuration.clone();
            let snapshot = Snapshot { flows, now: clock::now_ms(), begun, configuration, unsaved_seconds };
            Answer { status: 200, content_type: CONTENT_TYPE, body: snapshot.text() }
        }
        "/healthz" => {
            let reasons: Vec<Option<String>> = looks.iter().map(Look::holding).collect();
            let each = looks.iter().zip(&reasons);
            let shown: Vec<FlowLook<'_>> = each
                .map(|(look, reason)| FlowLook { flow: &look.name, books: &look.books, holding: reason.as_deref() })
                .collect();
            let paused: Vec<&str> =
                looks.iter().filter(|look| look.standing.is_paused()).map(|look| look.name.as_str()).collect();
            let words = health.liveness(&shown, &paused);
            Answer::text(if words.well { 200 } else { 503 }, words.text)
        }
        "/readyz" => {
            let words = health.readiness();
            Answer::text(if words.well { 200 } else { 503 }, words.text)
        }
        _ => Answer::text(404, "ask for /metrics, /healthz or /readyz\n"),
    });
    background.spawn(serve(listen, respond));
}

fn seen(look: &Look) -> Seen {
    Seen {
        flow: look.name.clone(),
        stream: look.stream.clone(),
        books: look.books.clone(),
        messages: look.messages.clone(),
        paused: look.standing.is_paused(),
    }
}

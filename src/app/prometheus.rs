//! The running agent as Prometheus and probes see it.
//! Promises that what is answered is how things are when it is asked. Leaves listening and the text to `prometheus`.

use super::looks::{Look, Looks};
use crate::prometheus::{Answer, CONTENT_TYPE, Listen, Respond, Seen, Snapshot, serve};
use crate::telemetry::{FlowLook, Health, clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The server, running, where there is one; it ends when this is dropped.
#[derive(Default)]
pub(super) struct Serving {
    listen: Option<Listen>,
    task: JoinSet<()>,
}

impl Serving {
    /// Listens here from now on, or nowhere. `begun` is when the process began, in milliseconds since 1970.
    pub(super) async fn listen(&mut self, listen: Option<&Listen>, looks: &Looks, health: &Health, begun: u64) {
        if self.listen.as_ref() == listen {
            return;
        }
        // The old address is free before the new one is taken: it may be the same socket.
        self.task.shutdown().await;
        self.listen = listen.cloned();
        if let Some(listen) = listen {
            self.task.spawn(serve(listen.clone(), respond(looks.clone(), health.clone(), begun)));
        }
    }
}

fn respond(looks: Looks, health: Health, begun: u64) -> Respond {
    Arc::new(move |path| match path {
        "/metrics" => {
            let snapshot = Snapshot {
                flows: looks.all().iter().map(seen).collect(),
                now: clock::now_ms(),
                begun,
                configuration: looks.configuration(),
                reload_failed: looks.reload_failed(),
                unsaved_seconds: health.unsaved().as_ref().map_or(0.0, Duration::as_secs_f64),
            };
            Answer { status: 200, content_type: CONTENT_TYPE, body: snapshot.text() }
        }
        "/healthz" => {
            let flows = looks.all();
            let reasons: Vec<Option<String>> = flows.iter().map(Look::holding).collect();
            let shown: Vec<FlowLook<'_>> =
                flows.iter().zip(&reasons).map(|(look, reason)| look.with(reason.as_deref())).collect();
            let paused: Vec<&str> = flows.iter().filter(|look| look.standing.is_paused()).map(Look::name).collect();
            let words = health.liveness(&shown, &paused);
            Answer::text(if words.well { 200 } else { 503 }, words.text)
        }
        "/readyz" => {
            let words = health.readiness();
            Answer::text(if words.well { 200 } else { 503 }, words.text)
        }
        _ => Answer::text(404, "ask for /metrics, /healthz or /readyz\n"),
    })
}

fn seen(look: &Look) -> Seen {
    Seen {
        flow: look.name().to_owned(),
        stream: look.stream().to_owned(),
        books: look.books.clone(),
        messages: look.messages.clone(),
        paused: look.standing.is_paused(),
    }
}

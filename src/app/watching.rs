//! What goes on beside the running flows: systemd, the log and the health are kept up to date.
//! Promises that READY comes when starting positions are saved, that the watchdog is fed only while every flow gets on, and
//! that a reload changes what is looked at. Leaves the words to the telemetry, and supervision to the parent.

use super::board::Board;
use super::looks::{Look, Looks};
use super::{loaded, memory, opening, signals};
use crate::checkpoint::Keeper;
use crate::config::FlowPlan;
use crate::source::file::Tailer;
use crate::telemetry::{
    FlowLook, Health, Notice, Notices, Notifier, Reporter, Watchdog, bytes_in_words, clock, duration_in_words, ids,
    status_words,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the state in words is made anew.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look whether a flow stands still, where systemd does not ask.
const STUCK_EVERY: Duration = Duration::from_secs(30);
/// How often to ask whether everything has begun.
pub(super) const BEGUN_EVERY: Duration = Duration::from_millis(2);

/// What the first lines are about.
pub(super) struct Opening {
    pub(super) flows: Vec<Arc<FlowPlan>>,
    pub(super) regions: Vec<String>,
    pub(super) before: opening::Before,
    pub(super) board: Arc<Board>,
}

/// Returns once a crash can no longer make this start look like one that never was: where reading begins is decided and
/// saved, or saving fails and the log says so. Who waits for us may write from then on.
pub(super) async fn until_begun(tailer: &Tailer, keeper: &Keeper) {
    let saved = || {
        let health = keeper.health();
        health.unsaved_since.is_none() || health.failing.is_some()
    };
    // Over within a few milliseconds, once in a life.
    while !(tailer.has_begun() && saved()) {
        tokio::time::sleep(BEGUN_EVERY).await;
    }
}

/// Tells systemd and the log how things are, for ever.
pub(super) async fn keep_watch(looks: Looks, tailer: &Tailer, keeper: &Keeper, opening: Opening, health: &Health) {
    let mut notifier = Notifier::new();
    until_begun(tailer, keeper).await;
    notifier.ready();
    health.begun();
    opening.board.begin();
    tracing::info!(
        message_id = ids::STARTED,
        version = env!("CARGO_PKG_VERSION"),
        flows = looks.all().len(),
        "running"
    );
    let mut aside = JoinSet::new();
    aside.spawn_blocking(move || opening::say(&opening.flows, &opening.regions, &opening.before));
    let watch_every = Notifier::watchdog_interval();
    let_go_of_what_is_over();
    let mut rest = memory::Rest::default();
    let (mut watchdog, mut reporter) = (Watchdog::new(), Reporter::new(Instant::now().into_std()));
    let mut notices = Notices::new(Instant::now().into_std());
    let (mut watched, mut stuck): (_, Vec<String>) = (Instant::now(), Vec::new());
    let mut ticks = tokio::time::interval(watch_every.map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = looks.changes();
    loop {
        ticks.tick().await;
        let flows = looks.all();
        if changes != looks.changes() {
            changes = looks.changes();
            // A flow that was started again counts its steps from the beginning.
            watchdog = Watchdog::new();
        }
        let reasons: Vec<Option<String>> = flows.iter().map(Look::holding).collect();
        let looks: Vec<FlowLook<'_>> =
            flows.iter().zip(&reasons).map(|(look, reason)| look.with(reason.as_deref())).collect();
        let now = Instant::now();
        let read = flows.iter().map(|look| look.books.read.value()).sum();
        if rest.look(read, flows.iter().all(|look| look.books.idle.value() == 1)) {
            let_go_of_what_is_over();
        }
        let saving = keeper.health();
        let unsaved = saving.failing.and(saving.unsaved_since).map(|since| since.elapsed());
        notifier.status(&status_words(&looks, unsaved, clock::now_ms()));
        if let Some(line) = reporter.report(&looks, now.into_std()) {
            tracing::info!("{line}");
        }
        let reads_files = |place: usize| flows[place].plan.mqtt.is_none();
        let mut without_file = Vec::new();
        for (name, notice) in notices.look(&looks, reads_files, now.into_std()) {
            tell(&flows, name, notice, &mut without_file);
        }
        if !without_file.is_empty() {
            // Looks at folders, which may take its time. All of them on one thread: there may be thousands at the same moment,
            // and what as many threads use at the same time stays with the process.
            aside.spawn_blocking(move || without_file.iter().for_each(|plan| tell_no_file(plan)));
        }
        while aside.try_join_next().is_some() {}
        if now - watched >= watch_every.unwrap_or(STUCK_EVERY) {
            watched = now;
            stuck = watchdog.look(&looks).into_iter().map(str::to_owned).collect();
            if !stuck.is_empty() {
                tracing::error!(
                    message_id = ids::PART_STANDS_STILL,
                    flows = stuck.join(", "),
                    "a flow stands still; the watchdog of systemd is not notified"
                );
                let is_stuck = |look: &&Look| stuck.iter().any(|name| name == look.name());
                signals::log_states(flows.iter().filter(is_stuck));
            } else if watch_every.is_some() {
                notifier.watchdog();
            }
        }
        health.found(&stuck, unsaved);
    }
}

/// The memory that the start took, or the work that is over.
fn let_go_of_what_is_over() {
    memory::give_back();
    loaded::let_go();
}

/// Says that a flow had no file. Nothing, where all that was missing is something in it: an empty log is none that is read.
fn tell_no_file(plan: &FlowPlan) {
    let patterns = opening::why_no_file(plan);
    if patterns.is_empty() {
        return;
    }
    tracing::warn!(
        message_id = ids::NO_FILE,
        flow = plan.name,
        patterns,
        "no file of this flow was there since the start; correct `filePattern`, unless the files are still to come"
    );
}

/// Writes what only time brings to light; but a flow without a file is put among the others, for [`tell_no_file`].
fn tell(looks: &[Look], name: &str, notice: Notice, without_file: &mut Vec<Arc<FlowPlan>>) {
    let Some(look) = looks.iter().find(|look| look.name() == name) else { return };
    let plan = &look.plan;
    match notice {
        Notice::FirstAccepted => {
            tracing::info!(flow = name, stream = plan.batch.stream, "the service accepts records of this flow");
        }
        Notice::NoFile => without_file.push(plan.clone()),
        Notice::StillPaused(since) => {
            let reason = look.holding();
            let behind = bytes_in_words(look.books.unsettled.value());
            tracing::warn!(
                message_id = ids::FLOW_STILL_PAUSED,
                flow = name,
                stream = plan.batch.stream,
                paused = duration_in_words(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
                behind,
                reason,
                "the flow is still paused; nothing is lost as long as its files are kept: rotation that deletes unread files loses them"
            );
        }
    }
}

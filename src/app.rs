//! The plan, running: builds the parts in the order of dependence, waits for a signal or a death, drains, ends.
//! Promises that correctness never depends on a clean end: a stop is a crash with manners.
//! Leaves what a flow does to the flow.

use crate::checkpoint::{self, Keeper, Store};
use crate::config::plan::set_aside;
use crate::config::{FlowPlan, Plan};
use crate::deliver::Destination;
use crate::deliver::session::SessionError;
use crate::exit::Exit;
use crate::flow::{Ended, Flow, Standing};
use crate::machine::Sources;
use crate::source::file::{self, Outlet, Tailer};
use crate::source::mqtt::Counters;
use crate::tap::Tap;
use crate::telemetry::{
    FlowLook, Health, Notice, Notices, Notifier, Reporter, Watchdog, bytes_in_words, clock, duration_in_words,
    status_words,
};
use board::Board;
use datalake_base::accounting::Accounting;
use datalake_core::budget::Budget;
use datalake_process::NotReady;
use local::Local;
use receivers::Receivers;
use signals::Signals;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// What commands may see of the flows.
mod board;
/// Where calls go.
mod destinations;
/// A flow's parts out of its plan.
mod flows;
/// Everything once, and no more.
mod once;
/// What commands are answered.
mod local;
/// When freed memory goes back to the system.
mod memory;
/// What CloudWatch is told meanwhile.
mod metrics;
/// The first words about each flow.
mod opening;
/// Keeping what the process knows to its user.
mod private;
/// What Prometheus and probes are answered.
mod prometheus;
/// The receiving halves of MQTT flows.
mod receivers;
/// What the process is asked by signals.
mod signals;

pub use crate::deliver::connector::prove_certificates;
pub use destinations::{firehose, kinesis};
pub use flows::surroundings;
pub use private::keep_to_ourselves;

/// How often the state in words is made anew.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look whether a flow stands still, where systemd does not ask.
const STUCK_EVERY: Duration = Duration::from_secs(30);
/// What was received is synced and acknowledged within this, however short the time to send it: else it comes twice.
const LEAST_FAREWELL: Duration = Duration::from_secs(10);
/// How often to ask whether everything has begun.
const BEGUN_EVERY: Duration = Duration::from_millis(2);

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    State(#[from] checkpoint::Error),
    #[error("cannot start: {0}; the system gives no threads or descriptors, see `ulimit -a` of this user")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the options of flow `{flow}` cannot run here: {error}")]
    NotReady { flow: String, error: NotReady },
}

impl StartError {
    const fn exit(&self) -> Exit {
        match self {
            Self::State(_) => Exit::CannotCreate,
            Self::System(_) => Exit::Software,
            Self::Session(_) | Self::NotReady { .. } => Exit::Configuration,
        }
    }
}

/// Runs the plan until a signal asks to stop.
#[must_use]
pub fn run(plan: &Plan) -> Exit {
    run_until(plan, |_| std::future::pending())
}

/// Reads everything that matches to its end, delivers it, and says what was not accepted.
#[must_use]
pub fn run_once(plan: &Plan) -> Exit {
    run_as(plan, true, |_| std::future::pending())
}

/// The same, or until the future ends that `watch` makes out of the running flows. It may look at them meanwhile,
/// and at their books even afterwards; when a signal comes first it is dropped.
#[must_use]
pub fn run_until<F: Future<Output = ()>>(plan: &Plan, watch: impl FnOnce(Vec<Look>) -> F) -> Exit {
    run_as(plan, false, watch)
}

fn run_as<F: Future<Output = ()>>(plan: &Plan, once: bool, watch: impl FnOnce(Vec<Look>) -> F) -> Exit {
    for warning in plan.warnings.faults() {
        tracing::warn!("{}", plan.warnings.one_line(warning));
    }
    memory::take_over();
    match start(plan, once, watch) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

fn start<F: Future<Output = ()>>(
    plan: &Plan,
    once: bool,
    watch: impl FnOnce(Vec<Look>) -> F,
) -> Result<Exit, StartError> {
    let mut signals = Signals::listen()?;
    let pairs: Vec<(String, String)> = plan
        .flows
        .iter()
        .flat_map(|flow| {
            let patterns = flow.source.include.iter();
            patterns.map(|pattern| (flow.source.stream.clone(), pattern.as_str().to_owned()))
        })
        .collect();
    let (store, remembered) = Store::open(&plan.state_directory, &pairs, clock::now_ms())?;
    let keeper = Keeper::start(store)?;
    // One thread for the tailer and all flows: each waits most of the time, and handing bytes to another core costs more
    // than it saves. It reads, hashes and sends some 600 MiB a second, two orders of magnitude above what a delivery
    // stream takes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let board = Board::new(&plan.state_directory, &plan.flows, remembered.counters.clone(), keeper.poster());
    let (exit, board) = runtime.block_on(async {
        let local = Local::start(board);
        let board = local.board.clone();
        let Some(destinations) = destinations::wait(plan, &mut signals).await? else {
            return Ok((Exit::Success, board));
        };
        let flows = destinations::fitted(plan, &destinations).await;
        let regions = destinations.iter().map(|destination| destination.region().to_owned()).collect();
        let before = opening::Before::of(&remembered);
        let running = Running::build(plan, &flows, destinations, remembered, &keeper)?;
        signals.watch(running.looks.clone());
        board.run(&flows, &running.looks, running.tailer.inquirer());
        let until = watch(running.looks.clone());
        let opening = Opening { flows, regions, before, board: board.clone() };
        let (patience, signals) = (plan.shutdown_timeout, &mut signals);
        let exit = running.supervise(&keeper, patience, once, opening, signals, until).await;
        Ok::<_, StartError>((exit, board))
    })?;
    board.save();
    // Calls that were still under way at the deadline are dropped with the runtime.
    runtime.shutdown_background();
    Ok(match keeper.finish() {
        Ok(()) => exit,
        Err(error) => {
            tracing::error!("{error}; after the next start some records are sent again, nothing is lost");
            if exit == Exit::Success { Exit::InputOutput } else { exit }
        }
    })
}

/// What the first lines are about.
struct Opening {
    flows: Vec<FlowPlan>,
    regions: Vec<String>,
    before: opening::Before,
    board: Arc<Board>,
}

/// The parts, running.
struct Running {
    flows: JoinSet<Ended>,
    receivers: Receivers,
    looks: Vec<Look>,
    tailer: Tailer,
    health: Health,
    stop: watch::Sender<bool>,
    telling: metrics::Telling,
    /// What goes on beside the flows and ends with them.
    _background: JoinSet<()>,
}

/// What can be seen of a flow from outside, while it runs and after.
#[derive(Clone, Debug)]
pub struct Look {
    name: String,
    stream: String,
    books: Arc<Accounting>,
    standing: Standing,
    messages: Option<Arc<Counters>>,
    tap: Tap,
}

impl Look {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it read and what became of that.
    #[must_use]
    pub fn books(&self) -> &Accounting {
        &self.books
    }

    /// Why it waits on purpose, where it does.
    #[must_use]
    pub fn holding(&self) -> Option<String> {
        self.standing.reason().or_else(|| self.messages.as_ref()?.trouble())
    }

    /// What messages came, where it receives some.
    #[must_use]
    pub fn messages(&self) -> Option<&Counters> {
        self.messages.as_deref()
    }
}

impl Running {
    fn build(
        plan: &Plan,
        planned: &[FlowPlan],
        destinations: Vec<Destination>,
        remembered: crate::saved::Remembered,
        keeper: &Keeper,
    ) -> Result<Self, StartError> {
        let budget = Budget::new(plan.max_memory.as_u64(), set_aside(planned));
        let (stop, stopped) = watch::channel(false);
        // Spools are mended before anyone reads them.
        let receivers = Receivers::start(plan)?;
        let (learned, instance) = watch::channel(None);
        let mut background = JoinSet::new();
        if let Some(stays_true) = plan.flows.iter().filter_map(|flow| flow.process.instance()).min() {
            let sources = Sources::from_environment(|name| std::env::var(name).ok());
            background.spawn(sources.keep_learning(learned, stays_true));
        }
        let (mut inputs, mut parts) = (Vec::new(), Vec::new());
        for flow in planned {
            let (input, outlet) = file::Input::new(&flow.name, &flow.source);
            inputs.push(input);
            parts.push((flow, outlet));
        }
        let pool = file::Input::pool(plan.flows.len());
        let poster = keeper.poster();
        let save = Box::new(move |update| poster.post(update));
        let means = file::Means { budget: Some(budget.clone()), ..file::Means::new(pool, save) };
        let tailer = Tailer::start(inputs, remembered, means, &tokio::runtime::Handle::current())?;
        let (mut flows, mut looks) = (JoinSet::new(), Vec::new());
        for ((flow, Outlet { arrivals, watermarks, books }), destination) in parts.into_iter().zip(destinations) {
            let standing = Standing::default();
            let messages = receivers.counters(&flow.name);
            let (name, stream, tap) = (flow.name.clone(), flow.batch.stream.clone(), Tap::default());
            looks.push(Look {
                name,
                stream,
                books: books.clone(),
                standing: standing.clone(),
                messages,
                tap: tap.clone(),
            });
            flows.spawn(
                Flow {
                    name: flow.name.clone(),
                    stream: flow.batch.stream.clone(),
                    core: flows::core(flow, &budget)?,
                    arrivals,
                    watermarks,
                    service: Arc::new(destination),
                    keep: flows::keep(plan, flow),
                    wake: tailer.waker(),
                    books,
                    standing,
                    tap,
                    instance: instance.clone(),
                    stop: stopped.clone(),
                }
                .run(),
            );
        }
        let telling = metrics::Telling::start(plan, &looks);
        let health = Health::default();
        prometheus::start(plan, &looks, &health, &mut background);
        Ok(Self { flows, receivers, looks, tailer, health, stop, telling, _background: background })
    }

    /// Waits for a signal, for `until`, or for a flow that ends by itself, then drains.
    async fn supervise(
        mut self,
        keeper: &Keeper,
        patience: Duration,
        once: bool,
        opening: Opening,
        signals: &mut Signals,
        until: impl Future<Output = ()>,
    ) -> Exit {
        let mut notifier = Notifier::new();
        let exit = tokio::select! {
            () = look_after(&self.looks, &self.tailer, keeper, opening, &self.health, &mut notifier) => Exit::Success,
            () = signals.stop() => Exit::Success,
            () = until => Exit::Success,
            () = once::until_delivered(&self.looks, &self.tailer, patience), if once => Exit::Success,
            died = self.flows.join_next() => {
                tracing::error!(
                    reason = died.and_then(Result::err).map(|died| died.to_string()),
                    "a flow ended by itself, which is a bug; stopping, so that systemd starts the agent again"
                );
                Exit::Software
            }
            died = self.receivers.ended() => {
                tracing::error!(
                    reason = died.err().map(|died| died.to_string()),
                    "a receiver ended by itself, which is a bug; stopping, so that systemd starts the agent again"
                );
                Exit::Software
            }
            died = self.tailer.ended() => {
                tracing::error!(
                    reason = died.err().map(|died| died.to_string()),
                    "stopping, so that systemd starts the agent again; nothing is lost"
                );
                Exit::Software
            }
        };
        notifier.stopping();
        self.health.stopping();
        tracing::info!(patience = ?patience, "stopping: delivering what was read");
        let farewell = if self.receivers.is_empty() { Duration::ZERO } else { patience.max(LEAST_FAREWELL) };
        signals.stopping(farewell + patience);
        tokio::select! {
            _ = tokio::time::timeout(patience.max(LEAST_FAREWELL), self.receivers.stop()) => {}
            () = signals.stop() => {}
        }
        self.tailer.stop_reading();
        self.stop.send(true).ok();
        let deadline = Instant::now() + patience;
        let drained = tokio::select! {
            drained = tokio::time::timeout(patience, self.drain()) => drained.ok(),
            () = signals.stop() => None,
        };
        let exit = match self.tailer.finish().await {
            Ok(()) => exit,
            Err(file::Died) => Exit::Software,
        };
        let exit = if once && exit == Exit::Success { once::verdict(&self.looks) } else { exit };
        let sum = |gauge: fn(&Accounting) -> u64| self.looks.iter().map(|look| gauge(&look.books)).sum::<u64>();
        let (lines, bytes) = (sum(|books| books.lines.value()), sum(|books| books.delivered.value()));
        if drained == Some(Ended::Settled) {
            tracing::info!(lines, bytes, "stopped; everything that was read is delivered");
        } else {
            let message = match drained {
                Some(_) => "stopped while paused; the rest is read again at the next start",
                None => "stopped before all was delivered; the rest is read again at the next start",
            };
            let left = sum(|books| {
                let settled = books.delivered.value() + books.filtered.value() + books.quarantined.value();
                books.read.value().saturating_sub(settled)
            });
            tracing::warn!(lines, bytes, left, "{message}");
        }
        tokio::select! {
            () = self.telling.finish(deadline) => {}
            () = signals.stop() => {}
        }
        exit
    }

    /// Waits for all flows; paused if one of them is.
    async fn drain(&mut self) -> Ended {
        let mut all = Ended::Settled;
        while let Some(ended) = self.flows.join_next().await {
            match ended {
                Ok(Ended::Settled) => {}
                Ok(Ended::Paused) => all = Ended::Paused,
                Err(died) => tracing::error!(reason = %died, "a flow died while it was stopping"),
            }
        }
        all
    }
}

/// Writes what only time brings to light.
fn tell(planned: &Arc<Vec<FlowPlan>>, looks: &[Look], name: &str, notice: Notice, aside: &mut JoinSet<()>) {
    let Some((plan, look)) = planned.iter().zip(looks).find(|(plan, _)| plan.name == name) else { return };
    match notice {
        Notice::FirstAccepted => {
            tracing::info!(flow = name, stream = plan.batch.stream, "the service accepts records of this flow");
        }
        Notice::NoFile => {
            let (planned, name) = (planned.clone(), name.to_owned());
            // Looks at folders, which may take its time.
            aside.spawn_blocking(move || {
                let Some(plan) = planned.iter().find(|plan| plan.name == name) else { return };
                tracing::warn!(
                    flow = name,
                    patterns = opening::why_no_file(plan),
                    "no file of this flow was there since the start; correct `filePattern`, unless the files are still to come"
                );
            });
        }
        Notice::StillPaused(since) => {
            let reason = look.holding();
            let behind = bytes_in_words(look.books.unsettled.value());
            tracing::warn!(
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

/// Returns once a crash can no longer make this start look like one that never was: where reading begins is decided and
/// saved, or saving fails and the log says so. Whoever waits for us may write from then on.
async fn until_begun(tailer: &Tailer, keeper: &Keeper) {
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
async fn look_after(
    flows: &[Look],
    tailer: &Tailer,
    keeper: &Keeper,
    opening: Opening,
    health: &Health,
    notifier: &mut Notifier,
) {
    until_begun(tailer, keeper).await;
    notifier.ready();
    health.begun();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), flows = flows.len(), "running");
    let Opening { flows: planned, regions, before, board } = opening;
    board.begin();
    let planned = Arc::new(planned);
    let mut aside = JoinSet::new();
    let said = planned.clone();
    aside.spawn_blocking(move || opening::say(&said, &regions, &before));
    let watch_every = Notifier::watchdog_interval();
    memory::give_back();
    let mut rest = memory::Rest::default();
    let (mut watchdog, mut reporter) = (Watchdog::new(), Reporter::new(Instant::now().into_std()));
    let mut notices = Notices::new(Instant::now().into_std());
    let (mut watched, mut stuck): (_, Vec<String>) = (Instant::now(), Vec::new());
    let mut ticks = tokio::time::interval(watch_every.map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reasons: Vec<Option<String>> = flows.iter().map(Look::holding).collect();
        let looks: Vec<FlowLook<'_>> = flows
            .iter()
            .zip(&reasons)
            .map(|(look, reason)| FlowLook { flow: &look.name, books: &look.books, holding: reason.as_deref() })
            .collect();
        let now = Instant::now();
        let read = flows.iter().map(|look| look.books.read.value()).sum();
        if rest.look(read, flows.iter().all(|look| look.books.idle.value() == 1)) {
            memory::give_back();
        }
        let saving = keeper.health();
        let unsaved = saving.failing.and(saving.unsaved_since).map(|since| since.elapsed());
        notifier.status(&status_words(&looks, unsaved, clock::now_ms()));
        if let Some(line) = reporter.report(&looks, now.into_std()) {
            tracing::info!("{line}");
        }
        let reads_files = |name: &str| planned.iter().any(|flow| flow.name == name && flow.mqtt.is_none());
        for (name, notice) in notices.look(&looks, reads_files, now.into_std()) {
            tell(&planned, flows, name, notice, &mut aside);
        }
        while aside.try_join_next().is_some() {}
        if now - watched >= watch_every.unwrap_or(STUCK_EVERY) {
            watched = now;
            stuck = watchdog.look(&looks).into_iter().map(str::to_owned).collect();
            if !stuck.is_empty() {
                tracing::error!(flows = stuck.join(", "), "a flow stands still; systemd is not told that all is well");
                let is_stuck = |look: &&Look| stuck.contains(&look.name);
                signals::log_states(flows.iter().filter(is_stuck));
            } else if watch_every.is_some() {
                notifier.watchdog();
            }
        }
        health.found(&stuck, unsaved);
    }
}

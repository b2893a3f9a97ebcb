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
use crate::saved::Remembered;
use crate::source::file::{self, Outlet, Tailer};
use crate::tap::Tap;
use crate::telemetry::{Health, Notifier, clock, ids};
use board::Board;
use datalake_base::accounting::Accounting;
use datalake_core::budget::Budget;
use datalake_core::flow::Core;
use datalake_process::NotReady;
use local::Local;
use looks::Looks;
use receivers::Receivers;
use signals::Signals;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use watching::{Opening, keep_watch};

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
/// What only the loader needed.
mod loaded;
/// When freed memory goes back to the system.
mod memory;
/// What the machine says about itself.
mod instance;
/// What can be seen of the flows.
mod looks;
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
/// Another configuration while it runs.
mod reload;
/// What the process is asked by signals.
mod signals;
/// What goes on beside the flows.
mod watching;

pub use crate::deliver::connector::prove_certificates;
pub use destinations::{firehose, kinesis};
pub use flows::surroundings;
pub use looks::Look;
pub use private::keep_to_ourselves;
pub use reload::{Outcome, Record};

/// The variable that says where files are read: `thread` is a thread of its own, as on filesystems of the network.
const TAILER: &str = "DATALAKE_TAILER";

/// What was received is synced and acknowledged within this, however short the time to send it: else it comes twice.
const LEAST_FAREWELL: Duration = Duration::from_secs(10);

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
pub fn run(plan: Plan) -> Exit {
    run_until(plan, |_| std::future::pending())
}

/// Reads everything that matches to its end, delivers it, and says what was not accepted.
#[must_use]
pub fn run_once(plan: Plan) -> Exit {
    run_as(plan, true, |_| std::future::pending())
}

/// The same, or until the future ends that `watch` makes out of the running flows. It may look at them meanwhile,
/// and at their books even afterwards; when a signal comes first it is dropped.
#[must_use]
pub fn run_until<F: Future<Output = ()>>(plan: Plan, watch: impl FnOnce(Vec<Look>) -> F) -> Exit {
    run_as(plan, false, watch)
}

fn run_as<F: Future<Output = ()>>(plan: Plan, once: bool, watch: impl FnOnce(Vec<Look>) -> F) -> Exit {
    for warning in plan.warnings.faults() {
        tracing::warn!("{}", plan.warnings.one_line(warning));
    }
    memory::take_over();
    loaded::let_go();
    match start(&Arc::new(plan), once, watch) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

fn start<F: Future<Output = ()>>(
    plan: &Arc<Plan>,
    once: bool,
    watch: impl FnOnce(Vec<Look>) -> F,
) -> Result<Exit, StartError> {
    let mut signals = Signals::listen()?;
    let pairs: BTreeSet<(String, String)> = plan
        .flows
        .iter()
        .flat_map(|flow| {
            let patterns = flow.source.include.iter();
            patterns.map(|pattern| (flow.source.stream.clone(), pattern.as_str().to_owned()))
        })
        .collect();
    let pairs: Vec<(String, String)> = pairs.into_iter().collect();
    let (store, remembered) = Store::open(&plan.state_directory, &pairs, clock::now_ms())?;
    let keeper = Keeper::start(store)?;
    reload::forget_earlier(&plan.state_directory);
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
        let flows = destinations::fitted(&plan.flows, &destinations).await;
        let regions = destinations.iter().map(|destination| destination.region().to_owned()).collect();
        let before = opening::Before::of(&remembered);
        let mut running = Running::build(plan, &keeper, board.clone());
        let ready = running.ready(plan, flows.clone(), destinations)?;
        running.begin(plan, ready, remembered)?;
        let tailer = running.tailer.as_ref().map(Tailer::inquirer);
        // Before anything is waited for: positions are saved with what the board has counted.
        board.run(&running.looks.all(), tailer);
        running.beside(plan).await;
        signals.watch(running.looks.clone());
        let until = watch(running.looks.all().to_vec());
        let opening = Opening { flows, regions, before, board: board.clone() };
        let exit = running.supervise(&keeper, once, opening, &mut signals, until).await;
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

/// The parts, running.
struct Running {
    /// What runs. Its flows are as the operator wrote them.
    plan: Arc<Plan>,
    /// Each ends with its name.
    flows: JoinSet<(Arc<str>, Ended)>,
    /// What ends a flow that does not end in time, by its name.
    aborts: BTreeMap<String, AbortHandle>,
    /// The switches that stop the flows of each destination.
    stops: BTreeMap<String, watch::Sender<bool>>,
    receivers: Receivers,
    looks: Looks,
    budget: Arc<Budget>,
    poster: checkpoint::Poster,
    /// Runs as soon as there is a flow.
    tailer: Option<Tailer>,
    health: Health,
    instance: instance::Learning,
    telling: Option<metrics::Telling>,
    serving: prometheus::Serving,
    record: reload::Records,
    /// When the process began, in milliseconds since 1970.
    begun: u64,
    /// What commands see.
    board: Arc<Board>,
}

/// Flows whose parts are there, so that nothing about them can fail any more.
struct Ready {
    flows: Vec<(Arc<FlowPlan>, Destination, Core)>,
    signers: receivers::Signers,
}

impl Running {
    fn build(plan: &Arc<Plan>, keeper: &Keeper, board: Arc<Board>) -> Self {
        Self {
            plan: plan.clone(),
            flows: JoinSet::new(),
            aborts: BTreeMap::new(),
            stops: BTreeMap::new(),
            receivers: Receivers::default(),
            looks: Looks::default(),
            budget: Budget::new(plan.max_memory.as_u64(), set_aside(&plan.flows)),
            poster: keeper.poster(),
            tailer: None,
            health: Health::default(),
            instance: instance::Learning::default(),
            telling: None,
            serving: prometheus::Serving::default(),
            record: reload::Records::default(),
            begun: clock::now_ms(),
            board,
        }
    }

    /// Whatever can fail about flows of this plan. `flows` are as their streams allow them.
    fn ready(
        &self,
        plan: &Plan,
        flows: Vec<Arc<FlowPlan>>,
        destinations: Vec<Destination>,
    ) -> Result<Ready, StartError> {
        let signers = Receivers::signers(plan, &flows)?;
        let with_core = |(flow, destination): (Arc<FlowPlan>, Destination)| {
            let core = flows::core(&flow, &self.budget)?;
            Ok((flow, destination, core))
        };
        let flows = flows.into_iter().zip(destinations).map(with_core).collect::<Result<_, StartError>>()?;
        Ok(Ready { flows, signers })
    }

    /// Starts the first flows.
    fn begin(&mut self, plan: &Plan, ready: Ready, remembered: Remembered) -> Result<(), StartError> {
        let flows: Vec<Arc<FlowPlan>> = ready.flows.iter().map(|(flow, ..)| flow.clone()).collect();
        // Spools are repaired before anyone reads them.
        self.receivers.start(plan, &flows, ready.signers);
        let (inputs, outlets) = ends(&flows);
        let (poster, board) = (self.poster.clone(), self.board.clone());
        let save = Box::new(move |mut update| {
            board.save_with(&mut update);
            poster.post(update);
        });
        let pool = file::Input::pool(plan.flows.len());
        let own_thread = std::env::var_os(TAILER).is_some_and(|wanted| wanted == "thread");
        let means = file::Means { budget: Some(self.budget.clone()), own_thread, ..file::Means::new(pool, save) };
        self.tailer = Some(Tailer::start(inputs, remembered, means, &tokio::runtime::Handle::current())?);
        self.spawn(plan, ready.flows, outlets);
        Ok(())
    }

    /// Runs flows whose files are tailed.
    fn spawn(&mut self, plan: &Plan, flows: Vec<(Arc<FlowPlan>, Destination, Core)>, outlets: Vec<Outlet>) {
        let Some(tailer) = &self.tailer else { return };
        let mut looks: Vec<Look> = self.looks.all().to_vec();
        let instance = self.instance.follow(plan);
        for ((flow, destination, core), outlet) in flows.into_iter().zip(outlets) {
            let Outlet { arrivals, watermarks, books } = outlet;
            let (standing, tap) = (Standing::default(), Tap::default());
            let messages = self.receivers.counters(&flow.name);
            let keep = flows::keep(plan, &flow);
            let stop = self.stops.entry(flow.source.stream.clone()).or_insert_with(|| watch::channel(false).0);
            let stop = stop.subscribe();
            looks.push(Look {
                plan: flow.clone(),
                books: books.clone(),
                standing: standing.clone(),
                messages,
                tap: tap.clone(),
            });
            let name: Arc<str> = flow.name.as_str().into();
            let running = Box::new(Flow {
                name: flow.name.clone(),
                stream: flow.batch.stream.clone(),
                core,
                arrivals,
                watermarks,
                service: Arc::new(destination),
                keep,
                wake: tailer.waker(),
                books,
                standing,
                tap,
                instance: instance.clone(),
                stop,
            });
            let aborts = self.flows.spawn(async move { (name, running.run().await) });
            self.aborts.insert(flow.name.clone(), aborts);
        }
        let place = |look: &Look| plan.flows.iter().position(|flow| flow.name == look.name());
        looks.sort_by_key(place);
        self.looks.replace(looks, &plan.hash);
    }

    /// What goes on beside the flows.
    async fn beside(&mut self, plan: &Plan) {
        if !self.telling.as_ref().is_some_and(|telling| telling.is_as(plan)) {
            let earlier = self.telling.take();
            let begun = earlier.is_some();
            if let Some(earlier) = earlier {
                earlier.finish(Instant::now() + plan.shutdown_timeout).await;
            }
            self.telling = Some(metrics::Telling::start(plan, &self.looks, begun));
        }
        self.serving.listen(plan.prometheus.as_ref(), &self.looks, &self.health, self.begun).await;
    }

    /// Waits for a signal, for `until`, or for a flow that ends by itself, then drains. Reloads meanwhile.
    async fn supervise(
        mut self,
        keeper: &Keeper,
        once: bool,
        opening: Opening,
        signals: &mut Signals,
        until: impl Future<Output = ()>,
    ) -> Exit {
        let Some(tailer) = self.tailer.clone() else { return Exit::Software };
        let mut reloads = signals.reloads();
        let health = self.health.clone();
        let mut caring = pin!(keep_watch(self.looks.clone(), &tailer, keeper, opening, &health));
        let mut until = pin!(until);
        let exit = loop {
            let looks = self.looks.all();
            let reload = tokio::select! {
                () = &mut caring => Err(Exit::Success),
                () = signals.stop() => Err(Exit::Success),
                () = &mut until => Err(Exit::Success),
                () = once::until_delivered(&looks, &tailer, self.plan.shutdown_timeout), if once => Err(Exit::Success),
                asked = reloads.changed() => asked.map_err(|_| Exit::Software),
                died = self.death(&tailer) => Err(died),
            };
            if let Err(exit) = reload {
                break exit;
            }
            if once {
                tracing::info!("`run --once` reads its configuration at the start only; the next run has the new one");
                continue;
            }
            let reloaded = tokio::select! {
                () = &mut caring => Err(Exit::Success),
                () = signals.stop() => Err(Exit::Success),
                () = &mut until => Err(Exit::Success),
                reloaded = self.reload(&tailer, keeper) => reloaded,
            };
            if let Err(exit) = reloaded {
                break exit;
            }
        };
        let patience = self.plan.shutdown_timeout;
        let mut notifier = Notifier::new();
        notifier.stopping();
        self.health.stopping();
        tracing::info!(patience = ?patience, "stopping: delivering what was read");
        let farewell = if self.receivers.is_empty() { Duration::ZERO } else { patience.max(LEAST_FAREWELL) };
        signals.stopping(farewell + patience);
        tokio::select! {
            _ = tokio::time::timeout(patience.max(LEAST_FAREWELL), self.receivers.stop()) => {}
            () = signals.stop() => {}
        }
        tailer.stop_reading();
        self.stops.values().for_each(|stop| _ = stop.send(true));
        let deadline = Instant::now() + patience;
        let drained = tokio::select! {
            drained = tokio::time::timeout(patience, self.drain()) => drained.ok(),
            () = signals.stop() => None,
        };
        let exit = match tailer.finish().await {
            Ok(()) => exit,
            Err(file::Died) => Exit::Software,
        };
        let looks = self.looks.all();
        let exit = if once && exit == Exit::Success { once::verdict(&looks) } else { exit };
        let sum = |gauge: fn(&Accounting) -> u64| looks.iter().map(|look| gauge(&look.books)).sum::<u64>();
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
            tracing::warn!(message_id = ids::STOPPED_EARLY, lines, bytes, left, "{message}");
        }
        if let Some(telling) = self.telling.take() {
            tokio::select! {
                () = telling.finish(deadline) => {}
                () = signals.stop() => {}
            }
        }
        exit
    }

    /// Waits until a part ends by itself, and says so.
    async fn death(&mut self, tailer: &Tailer) -> Exit {
        let (what, reason) = tokio::select! {
            died = self.flows.join_next(), if !self.flows.is_empty() => {
                ("a flow", died.and_then(Result::err).map(|died| died.to_string()))
            }
            died = self.receivers.ended() => ("a receiver", died.err().map(|died| died.to_string())),
            died = tailer.ended() => ("the tailer", died.err().map(|died| died.to_string())),
        };
        tracing::error!(
            message_id = ids::PART_DIED,
            reason,
            "{what} ended by itself, which is a bug; stopping, so that systemd starts the agent again; nothing is lost"
        );
        Exit::Software
    }

    /// Waits for all flows; paused if one of them is.
    async fn drain(&mut self) -> Ended {
        let mut all = Ended::Settled;
        while let Some(ended) = self.flows.join_next().await {
            match ended {
                Ok((_, Ended::Settled)) => {}
                Ok((_, Ended::Paused)) => all = Ended::Paused,
                Err(died) => tracing::error!(reason = %died, "a flow died while it was stopping"),
            }
        }
        all
    }
}

/// Both ends of what each flow reads.
fn ends(flows: &[Arc<FlowPlan>]) -> (Vec<file::Input>, Vec<Outlet>) {
    flows.iter().map(|flow| file::Input::new(&flow.name, &flow.source)).unzip()
}

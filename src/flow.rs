//! One flow: the whole life of a byte decided in one place (`core`), and the shell that does as told (here).
//! Promises that the shell never waits for more than one thing at a time and that no arm of its select can lose a
//! value: only receivers, `join_next`, `changed` and a timer stand in it.
//! Leaves every decision to the core.

use crate::deliver::{Answer, Call, GivenUp, Service};
use crate::tap::Tap;
use crate::telemetry::{clock, ids};
use datalake_base::accounting::{Accounting, Stage};
use datalake_base::record::{Arrival, Progress, Watermarks};
use datalake_base::shown::shown;
use datalake_core::flow::{Action, BatchId, Condition, Core, Input, Job, Notice, Processed, Tally};
use datalake_process::Instance;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Keeps records that were given up, all or none; called on a thread that may wait for the disk.
pub type Keep = Arc<dyn Fn(Vec<GivenUp>) -> Result<(), String> + Send + Sync>;

/// Called when the flow has taken something from its channel, or has settled something. Cheap.
pub type Wake = Arc<dyn Fn(Progress) + Send + Sync>;

/// One flow, ready to run.
pub struct Flow<S> {
    /// Its name, for the log.
    pub name: String,
    /// The delivery stream, for the log.
    pub stream: String,
    /// All its decisions.
    pub core: Core,
    /// What the source hands over.
    pub arrivals: mpsc::Receiver<Box<Arrival>>,
    /// Where settled positions go.
    pub watermarks: Watermarks,
    /// Where calls go.
    pub service: Arc<S>,
    /// Where records go that the service will never take.
    pub keep: Keep,
    /// Tells the source.
    pub wake: Wake,
    /// The numbers that others look at.
    pub books: Arc<Accounting>,
    /// Why it holds, in words, for others to look at.
    pub standing: Standing,
    /// Where those who watch see what it sends.
    pub tap: Tap,
    /// What the machine says about itself, for the options that add it.
    pub instance: watch::Receiver<Option<Arc<Instance>>>,
    /// Becomes true when the flow is to stop.
    pub stop: watch::Receiver<bool>,
}

/// Why a flow waits on purpose; empty while it does not.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Reasons>>);

/// Why a flow waits, by who makes it wait.
#[derive(Debug, Default)]
struct Reasons {
    service: Option<(Wait, String)>,
    quarantine: Option<String>,
    /// The newest of them, and when it began, in milliseconds since 1970; kept when it is over.
    last: Option<(u64, String)>,
}

/// What a flow that waits on purpose waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The pace that the stream takes.
    Throttled,
    /// The next attempt of calls that failed.
    Retrying,
    /// The operator.
    Paused,
}

impl Standing {
    /// The reason, if there is one.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.wait().map(|(_, reason)| reason)
    }

    /// What it waits for, and the reason, if it does.
    #[must_use]
    pub fn wait(&self) -> Option<(Wait, String)> {
        let reasons = self.lock();
        reasons.service.clone().or_else(|| Some((Wait::Paused, reasons.quarantine.clone()?)))
    }

    /// The newest reason there was, and since when, in milliseconds since 1970.
    #[must_use]
    pub fn last(&self) -> Option<(u64, String)> {
        self.lock().last.clone()
    }

    /// Whether it waits for the operator.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        matches!(self.wait(), Some((Wait::Paused, _)))
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a flow ended that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that it held is settled.
    Settled,
    /// What it held waits for the operator, and is read again at the next start.
    Paused,
}

/// A flow that waits shows that it is alive at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Records up to this length need no memory to speak of, and run at once.
const COUNTED_BYTES: usize = 64 * 1024;
/// One permit for each longer record that may be worked on at the same time, of all flows.
static ELSEWHERE: Semaphore = Semaphore::const_new(Job::AT_A_TIME);

/// What a task of the flow came back with.
enum Done {
    Answered(BatchId, Answer),
    Kept(BatchId, Result<(), String>),
    Processed(BatchId, Box<Processed>),
}

impl<S: Service> Flow<S> {
    /// Runs until it was stopped, by the switch or because the source closed its channel, and everything held has been
    /// delivered or waits for the operator. Boxed: a task that awaits it would hold it three times over, as what it was
    /// given, as what it passes on, and as what runs.
    pub async fn run(mut self: Box<Self>) -> Ended {
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut actions = Vec::new();
        let mut stopping = false;
        let mut shown_last = Condition::default();
        loop {
            let now = now();
            let wake_at = self.core.next_deadline(now).map_or(now + HEARTBEAT, |at| at.min(now + HEARTBEAT));
            let idle = self.core.is_drained();
            self.books.idle.set(u64::from(idle));
            let input = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop), if !stopping => Input::Stop,
                Some(done) = tasks.join_next(), if !tasks.is_empty() => match done {
                    Ok(Done::Answered(id, answer)) => Input::Answered(id, answer),
                    Ok(Done::Kept(id, kept)) => Input::Quarantined(id, kept),
                    Ok(Done::Processed(id, processed)) => Input::Processed(id, processed),
                    Err(died) => std::panic::resume_unwind(died.into_panic()),
                },
                arrival = self.arrivals.recv(), if self.core.has_room() => {
                    (self.wake)(Progress::Taken);
                    arrival.map_or(Input::Stop, |arrival| Input::Arrived(*arrival))
                }
                // Others have their turn first.
                () = tokio::task::yield_now(), if self.core.is_halfway() => Input::Tick,
                () = tokio::time::sleep_until(wake_at.into()), if !idle || self.core.next_deadline(now).is_some() => {
                    Input::Tick
                }
            };
            stopping |= matches!(input, Input::Stop);
            if self.core.processes_records() {
                if self.instance.has_changed().unwrap_or(false)
                    && let Some(instance) = self.instance.borrow_and_update().as_ref()
                {
                    self.core.learn(instance);
                }
                self.core.set_wall_clock(clock::now_ms());
            }
            let began = self::now();
            let Accounting { unsettled, unread, destroyed, .. } = &*self.books;
            self.core.set_backlog(unsettled.value(), unread.value(), destroyed.value());
            self.core.step(input, began, &mut actions);
            if self.core.processes_records() {
                self.core.count_work(self::now().saturating_duration_since(began));
            }
            self.show(&mut shown_last);
            // Before the watermarks: who sees a position sees what was counted up to it.
            self.publish();
            let mut settled = false;
            for action in actions.drain(..) {
                settled |= matches!(action, Action::Commit(..));
                match action {
                    Action::Send(id, body, records) => self.send(&mut tasks, id, Call { body, records }),
                    Action::Commit(origin, watermark) => self.watermarks.post(origin, watermark),
                    Action::Quarantine(id, given_up) => {
                        let keep = self.keep.clone();
                        tasks.spawn_blocking(move || Done::Kept(id, keep(given_up)));
                    }
                    Action::Process(id, job) => {
                        tasks.spawn(process(id, *job));
                    }
                    Action::Notice(notice) => self.tell(notice),
                    Action::Finish { settled } => {
                        return if settled { Ended::Settled } else { Ended::Paused };
                    }
                }
            }
            if settled {
                // A position is saved as soon as it is settled.
                (self.wake)(Progress::Settled);
            }
        }
    }

    fn send(&self, tasks: &mut JoinSet<Done>, id: BatchId, call: Call) {
        self.tap.show(&call.body, call.records);
        let service = self.service.clone();
        tasks.spawn(async move { Done::Answered(id, service.put(call).await) });
    }

    /// One line per change of condition.
    fn tell(&self, notice: Notice) {
        let (flow, stream) = (self.name.as_str(), self.stream.as_str());
        match notice {
            Notice::Changed(condition) => match &condition {
                Condition::Flowing => {
                    tracing::info!(message_id = ids::FLOW_RECOVERED, flow, stream, "the stream accepts records again")
                }
                Condition::Throttled { reason } => tracing::warn!(
                    message_id = ids::STREAM_THROTTLED,
                    flow,
                    stream,
                    reason,
                    "the stream is throttled; sending more slowly, nothing is lost; ask for a higher \
                         quota if this stays"
                ),
                Condition::Failing { reason } => {
                    tracing::warn!(
                        message_id = ids::CALLS_FAIL,
                        flow,
                        stream,
                        reason,
                        "calls fail and are tried again; nothing is lost"
                    );
                }
                Condition::Paused { reason } => tracing::error!(
                    message_id = ids::FLOW_PAUSED,
                    flow,
                    stream,
                    reason,
                    "flow paused; fix the cause, it retries by itself; nothing is lost"
                ),
            },
            Notice::Quarantined { reason, records, lines, bytes } => tracing::warn!(
                message_id = ids::RECORDS_QUARANTINED,
                flow,
                stream,
                reason,
                records,
                lines,
                bytes,
                "the service rejects records for good; they are kept: see `datalake-agent quarantine list`"
            ),
            Notice::Unprocessed { reason, quarantined, raw, dropped } => tracing::warn!(
                message_id = ids::RECORDS_UNPROCESSED,
                flow,
                stream,
                reason,
                quarantined,
                raw,
                dropped,
                "records do not fit `dataProcessingOptions`; see what they look like with `datalake-agent preview` or \
                 `datalake-agent quarantine list`, fix the options, and replay"
            ),
            Notice::LeftOut(notes) => tracing::warn!(
                flow,
                stream,
                fields = %shown(notes.new_names.join(", ").as_str()),
                unknown = notes.unknown,
                not_numbers = notes.not_numbers,
                "records hold fields that the schema does not have (left out, each named once) or numbers that are none \
                 (sent as null); extend the schema, or set `onUnknown` of SCHEMA to `fail`"
            ),
            Notice::QuarantineFailed { reason } => {
                tracing::error!(
                    message_id = ids::QUARANTINE_FAILS,
                    flow,
                    stream,
                    reason,
                    "records cannot be kept in the quarantine; the flow holds them and tries again"
                );
                let mut reasons = self.standing.lock();
                reasons.last = Some((clock::now_ms(), reason.clone()));
                reasons.quarantine = Some(reason);
            }
            Notice::Behind { stage, share, bytes, destroyed: 0 } => tracing::warn!(
                message_id = ids::FLOW_BEHIND,
                flow,
                stream,
                limit = stage.name(),
                share,
                bytes,
                "the flow falls behind; {}",
                stage.remedy()
            ),
            Notice::Behind { stage, share, bytes, destroyed } => tracing::error!(
                message_id = ids::BYTES_DESTROYED,
                flow,
                stream,
                limit = stage.name(),
                share,
                bytes,
                destroyed,
                "bytes were destroyed before the flow could read them; {}",
                stage.remedy()
            ),
            Notice::CaughtUp => tracing::info!(flow, stream, "the flow has caught up"),
            Notice::QuarantineWorks => {
                tracing::info!(flow, stream, "the quarantine keeps records again");
                self.standing.lock().quarantine = None;
            }
        }
    }

    /// Shows how the flow stands with the service, where that has changed.
    fn show(&self, shown: &mut Condition) {
        if self.core.condition() != shown {
            shown.clone_from(self.core.condition());
            let service = match shown {
                Condition::Flowing => None,
                Condition::Throttled { reason } => Some((Wait::Throttled, reason.clone())),
                Condition::Failing { reason } => Some((Wait::Retrying, reason.clone())),
                Condition::Paused { reason } => Some((Wait::Paused, reason.clone())),
            };
            let mut reasons = self.standing.lock();
            if let Some((_, reason)) = &service {
                reasons.last = Some((clock::now_ms(), reason.clone()));
            }
            reasons.service = service;
        }
    }

    fn publish(&mut self) {
        let answered = self.core.take_answered();
        let Tally {
            delivered,
            filtered,
            quarantined,
            unprocessed,
            lines,
            records,
            payload,
            billed,
            calls,
            quarantined_records,
            retried,
            ..
        } = self.core.tally();
        let books = &self.books;
        books.delivered.set(delivered);
        books.filtered.set(filtered);
        books.quarantined.set(quarantined);
        books.unprocessed.set(unprocessed);
        books.lines.set(lines);
        books.records.set(records);
        books.payload.set(payload);
        books.billed.set(billed);
        books.calls.set(calls);
        books.answered.add(&answered);
        books.quarantined_records.set(quarantined_records);
        books.retried.set(retried);
        books.possibly_duplicated.set(self.core.tally().possibly_duplicated);
        for (stage, gauge) in Stage::ALL.into_iter().zip(&books.limited_by) {
            gauge.set(self.core.limits().of(stage).as_millis() as u64);
        }
        let age = self.core.oldest().map(|oldest| now().saturating_duration_since(oldest).as_millis() as u64);
        books.oldest_unsettled.set(age.map_or(0, |age| clock::now_ms().saturating_sub(age)));
        books.progress.add(1);
    }
}

/// Takes a record through the options on a thread of its own. A stop does not wait for it.
async fn process(id: BatchId, job: Job) -> Done {
    let permit = if job.bytes() > COUNTED_BYTES { ELSEWHERE.acquire().await.ok() } else { None };
    let done = tokio::task::spawn_blocking(move || Done::Processed(id, Box::new(job.run()))).await;
    drop(permit);
    done.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic()))
}

/// The runtime's clock, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

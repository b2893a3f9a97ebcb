//! The whole life of a byte: input and time in, actions out. Every decision of a flow is made here.
//! Promises that every byte handed in is delivered, filtered or quarantined before its watermark passes, that the
//! window and the memory lease are never exceeded, and that the accounting balances after every step.
//! Leaves waiting, sending and writing to the shell, which does as asked.

/// What a flow does with an answer.
mod answers;
/// Records that are given up on purpose.
mod giving_up;
/// What a flow does with arrivals.
mod intake;
/// What keeps a flow from going faster.
mod limits;
/// A record that is processed elsewhere.
mod job;
/// What a flow does with records one by one.
mod processing;
/// Which record a refused call is refused for.
mod search;
/// How a flow stands with the service, in words.
mod condition;

pub use condition::{Condition, Notice};
pub use job::{Job, Processed};
pub use limits::Limits;

use self::condition::Reported;
use self::giving_up::{Quarantining, Refused};
use self::limits::Backlog;
use self::processing::Processing;
use self::search::{Search, Suspicion};
use crate::batch::{self, Packer, Sealed};
use crate::budget::Lease;
use crate::deliver::pace::{self, Pace};
use crate::deliver::{Answer, GivenUp};
use crate::framing::{self, Framer};
use crate::ledger::Ledger;
use bytes::Bytes;
use datalake_base::accounting::{Calls, Stage};
use datalake_base::record::{Arrival, Chunk, Origin, OriginInfo, Watermark};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What records may take together in one step, in nanoseconds of the worst case. A record that may take more is
/// processed elsewhere.
const STEP_COST: u64 = 10_000_000;

/// How a flow works; proven by the plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How bytes become lines.
    pub framing: framing::Settings,
    /// How lines become calls.
    pub batch: Arc<batch::Settings>,
    /// How fast calls may go.
    pub pace: pace::Settings,
    /// Calls under way at the same time; 1 keeps the order of lines.
    pub max_concurrent_requests: usize,
}

/// Names a batch while it is out of the core's hands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(u64);

/// What has happened to the flow.
#[derive(Debug)]
pub enum Input {
    /// The source handed something over. Only while [`Core::has_room`].
    Arrived(Arrival),
    /// The service answered.
    Answered(BatchId, Answer),
    /// The quarantine has kept the record, or could not.
    Quarantined(BatchId, Result<(), String>),
    /// A record is processed.
    Processed(BatchId, Box<Processed>),
    /// Time has passed.
    Tick,
    /// Nothing more will arrive: send what is held, then finish.
    Stop,
}

/// What the shell must now do.
#[derive(Debug)]
pub enum Action {
    /// Send this body of this many records.
    Send(BatchId, Bytes, usize),
    /// Everything before the watermark is settled.
    Commit(Origin, Watermark),
    /// Keep these records, which the service will never take or no option can work on, for ever on disk; all or none.
    Quarantine(BatchId, Vec<GivenUp>),
    /// Take this record through the options where that delays nobody; the flow takes in nothing more until it is back.
    Process(BatchId, Box<Job>),
    /// Tell the operator.
    Notice(Notice),
    /// Nothing is left to do after `Stop`.
    Finish {
        /// Whether all that was read is settled; else the flow is paused, and what is left is read again at the next start.
        settled: bool,
    },
}

/// What became of the input so far. In bytes of input unless said.
///
/// Invariant after every step: `arrived == delivered + filtered + quarantined + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Handed over by the source.
    pub arrived: u64,
    /// Accepted by the service.
    pub delivered: u64,
    /// Dropped because the settings say so.
    pub filtered: u64,
    /// Given up on purpose and kept.
    pub quarantined: u64,
    /// Records that an option could not work on, whatever became of them.
    pub unprocessed: u64,
    /// Lines accepted.
    pub lines: u64,
    /// Records accepted.
    pub records: u64,
    /// Bytes of accepted records before base64.
    pub payload: u64,
    /// Bytes billed for them.
    pub billed: u64,
    /// Calls answered.
    pub calls: u64,
    /// Records given up on purpose and kept.
    pub quarantined_records: u64,
    /// Records sent again.
    pub retried: u64,
    /// Records sent again after an answer that left open whether they had arrived.
    pub possibly_duplicated: u64,
}

impl Tally {
    /// What arrived and is pending no more.
    const fn settled(&self) -> u64 {
        self.delivered + self.filtered + self.quarantined
    }
}

/// One flow.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    origins: BTreeMap<Origin, Stream>,
    ledger: Ledger,
    /// Absent where records are sent as they are: then nothing looks at them one by one.
    processing: Option<Box<Processing>>,
    packer: Packer,
    lease: Lease,
    pace: Pace,
    random: fastrand::Rng,
    /// What arrived last and is not used up: while there is any, the flow has no room.
    inbox: Option<Arrived>,
    /// Origins whose framer holds a record that becomes complete by waiting.
    joining: BTreeSet<Origin>,
    /// Sealed, to be sent next, in order. The core reads on only while this is empty, so it holds a few at most.
    ready: VecDeque<Outbound>,
    /// Invariant: `in_flight.len() <= settings.max_concurrent_requests`.
    in_flight: BTreeMap<BatchId, Outbound>,
    /// Records that were refused for now, in the batches they came in.
    again: Vec<Again>,
    /// Parts of calls that were refused for their content.
    search: Search,
    /// Records on their way to the quarantine.
    giving_up: BTreeMap<BatchId, Quarantining>,
    /// Whether the quarantine could not keep what it was given last.
    quarantine_fails: bool,
    /// Records that were refused for good and kept.
    refused: Refused,
    commits: BTreeMap<Origin, Watermark>,
    next_batch: u64,
    stopping: bool,
    /// When a flow that is paused does not wait any longer for the answers to calls under way; set by `Stop`.
    leave_at: Option<Instant>,
    finished: bool,
    condition: Condition,
    reported: Reported,
    /// Whether the newest answer says that only the operator can fix what is wrong.
    blocked: bool,
    seen_refusals: u64,
    last_active: Instant,
    stepped_at: Instant,
    /// What the records of this step may take so far, in nanoseconds of the worst case.
    cost: u64,
    /// What the flow waits for since then.
    waits_for: Option<Stage>,
    /// Whether the last batch was sealed early because memory was short.
    short_of_memory: bool,
    /// How long the options took in the last step.
    worked: Duration,
    limits: Limits,
    backlog: Backlog,
    tally: Tally,
    /// Call by call, until it is taken.
    answered: Calls,
}

/// One open origin.
#[derive(Debug)]
struct Stream {
    info: Arc<OriginInfo>,
    framer: Framer,
    /// The partition key of its lines, where keys come from paths.
    key: Option<Arc<str>>,
    /// No more bytes will come, and none are held.
    ended: bool,
}

#[derive(Debug)]
enum Arrived {
    /// A chunk, of which this many bytes are used.
    Chunk(Chunk, usize),
    /// An origin whose held bytes are to be flushed.
    Ending(Origin),
}

/// A batch that is to be sent, or is under way.
#[derive(Debug)]
struct Outbound {
    sealed: Sealed,
    attempts: u32,
    not_before: Option<Instant>,
    /// Its last refusal, where a call with these records was refused for its content.
    suspicion: Option<Suspicion>,
}

impl Outbound {
    const fn new(sealed: Sealed) -> Self {
        Self { sealed, attempts: 0, not_before: None, suspicion: None }
    }

    /// When it may be sent again, if that is later than `now`.
    fn held_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|not_before| *not_before > now)
    }
}

/// Records of an answered batch that go into a later one.
#[derive(Debug)]
struct Again {
    sealed: Sealed,
    indexes: VecDeque<usize>,
    due: Instant,
}

/// A flow that has been quiet for so long gives its buffers back to the system.
const REST_AFTER: Duration = Duration::from_secs(5);
/// A paused flow that is to stop waits this long for the answers to calls under way: leaving them would repeat records.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

impl Core {
    /// A flow that has read nothing yet. `seed` makes its jitter repeatable.
    #[must_use]
    pub fn new(settings: Settings, lease: Lease, seed: u64, now: Instant) -> Self {
        assert!(settings.max_concurrent_requests > 0, "a flow without calls would never end");
        assert!(settings.framing.max_line_bytes <= settings.batch.longest_line(), "a line must fit into a record");
        let in_turn = !settings.batch.form.is_ordered() || settings.max_concurrent_requests == 1;
        assert!(in_turn, "order is kept by one call at a time");
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            origins: BTreeMap::new(),
            ledger: Ledger::default(),
            processing: None,
            packer: Packer::new(settings.batch.clone(), random.fork()),
            pace: Pace::new(settings.pace, random.u64(..), now),
            random,
            inbox: None,
            joining: BTreeSet::new(),
            ready: VecDeque::new(),
            in_flight: BTreeMap::new(),
            again: Vec::new(),
            search: Search::default(),
            giving_up: BTreeMap::new(),
            quarantine_fails: false,
            refused: Refused::default(),
            commits: BTreeMap::new(),
            next_batch: 0,
            stopping: false,
            leave_at: None,
            finished: false,
            condition: Condition::Flowing,
            reported: Reported::new(now),
            blocked: false,
            seen_refusals: lease.refusals(),
            lease,
            last_active: now,
            stepped_at: now,
            cost: 0,
            waits_for: None,
            short_of_memory: false,
            worked: Duration::ZERO,
            limits: Limits::default(),
            backlog: Backlog::new(now),
            tally: Tally::default(),
            answered: Calls::default(),
            settings,
        }
    }

    /// Something has happened at `now`: decides what follows from it and appends it to `actions`.
    pub fn step(&mut self, input: Input, now: Instant, actions: &mut Vec<Action>) {
        self.attribute(now);
        self.stepped_at = now;
        self.cost = 0;
        match input {
            Input::Arrived(arrival) => self.arrive(arrival, now),
            Input::Answered(id, answer) => self.answered(id, answer, now, actions),
            Input::Quarantined(id, kept) => self.quarantined(id, kept, now, actions),
            Input::Processed(id, processed) => self.processed(id, *processed),
            Input::Tick => {}
            Input::Stop => self.stop(now),
        }
        self.advance(now, actions);
        let commits = std::mem::take(&mut self.commits);
        actions.extend(commits.into_iter().map(|(origin, watermark)| Action::Commit(origin, watermark)));
        self.lease.shrink(self.memory());
        self.check();
        self.waits_for = self.bottleneck(now);
        actions.extend(self.tell_backlog(now).map(Action::Notice));
        let settled = self.is_drained();
        if self.stopping && !self.finished && (settled || self.is_paused(now)) {
            self.finished = true;
            self.tell_refused(None, actions);
            self.tell_unprocessed(None, actions);
            actions.push(Action::Finish { settled });
        }
    }

    /// Whether the shell may hand in another arrival.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let busy = |processing: &Processing| processing.is_waiting() || processing.is_away();
        self.inbox.is_none() && !self.stopping && !self.processing.as_ref().is_some_and(|it| busy(it))
    }

    /// What the records of the last step may have taken, in nanoseconds of the worst case.
    #[must_use]
    pub const fn step_cost(&self) -> u64 {
        self.cost
    }

    /// Whether the last step ended because it had worked long enough: others are to have their turn, then another step
    /// goes on.
    #[must_use]
    pub fn is_halfway(&self) -> bool {
        self.cost >= STEP_COST && !self.stopping
    }

    /// When to step again even if nothing happens.
    #[must_use]
    pub fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let may_pack = self.may_pack();
        let sealing = if may_pack { self.packer.due() } else { None };
        let joining = if may_pack {
            self.joining.iter().filter_map(|origin| self.origins[origin].framer.deadline()).min()
        } else {
            None
        };
        let again = if may_pack { self.again.iter().map(|again| again.due).min() } else { None };
        let quarantine = self.giving_up.values().filter_map(|record| record.due).min();
        let sending = if self.in_flight.len() < self.settings.max_concurrent_requests {
            self.next_call(now).and_then(|(_, at)| at)
        } else {
            None
        };
        let resting = (self.is_drained() && self.memory() > 0).then(|| self.last_active + REST_AFTER);
        // Another flow may be short of memory that this one's open batch holds.
        let yielding = (self.packer.memory() > self.lease.floor()).then(|| now + Duration::from_secs(1));
        // What was due at the last step and is due still waits for something else to happen, not for time.
        let telling = self.processing.as_ref().and_then(|processing| processing.tell_at());
        let telling =
            [telling, self.refused.tell_at(), self.reported.deadline(), self.leave_at, self.backlog.deadline()]
                .into_iter()
                .flatten()
                .min();
        let deadlines =
            [sealing, joining, again, quarantine, sending, resting, yielding, telling].into_iter().flatten();
        deadlines.filter(|deadline| *deadline > self.stepped_at).min()
    }

    /// The numbers so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// What the calls carried that were answered since this was last asked for.
    pub fn take_answered(&mut self) -> Calls {
        std::mem::take(&mut self.answered)
    }

    /// How the flow stands with the service.
    #[must_use]
    pub const fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Whether nothing is held, waiting or under way.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.inbox.is_none()
            && self.packer.is_empty()
            && self.ready.is_empty()
            && self.in_flight.is_empty()
            && self.again.is_empty()
            && self.search.is_empty()
            && self.giving_up.is_empty()
            && self.processing.as_ref().is_none_or(|processing| processing.is_drained())
    }

    /// Bytes of input that are held and not settled.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.tally.arrived - self.tally.settled()
    }

    /// When the oldest byte that waits to be sent was read.
    #[must_use]
    pub fn oldest(&self) -> Option<Instant> {
        let ready = self.ready.front().map(|outbound| outbound.sealed.oldest());
        let flying = self.in_flight.values().map(|outbound| outbound.sealed.oldest()).min();
        let again = self.again.iter().map(|again| again.sealed.oldest()).min();
        let searched = self.search.parts().map(|part| part.sealed.oldest()).min();
        let open = self.packer.due().map(|due| due - self.settings.batch.max_age);
        [ready, flying, again, searched, open].into_iter().flatten().min()
    }

    /// Memory that the flow holds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let outbound = self.ready.iter().chain(self.in_flight.values()).chain(self.search.parts());
        let outbound = outbound.map(|outbound| outbound.sealed.memory());
        let again = self.again.iter().map(|again| again.sealed.memory());
        // What is held by the processing is set aside by the plan.
        let giving_up = self.giving_up.values().map(|record| record.held.memory());
        self.packer.memory() + outbound.chain(again).chain(giving_up).sum::<usize>()
    }

    /// Takes every step that can be taken now.
    fn advance(&mut self, now: Instant, actions: &mut Vec<Action>) {
        loop {
            self.readopt(now);
            self.digest(now);
            self.seal_what_is_due(now);
            // What was sent has made room.
            if !self.send(now, actions) {
                break;
            }
        }
        self.process_elsewhere(actions);
        self.give_up_failed(actions);
        self.retry_quarantine(now, actions);
        self.tell_refused(Some(now), actions);
        self.tell_unprocessed(Some(now), actions);
        self.tell_improvement(now, actions);
        if self.is_drained() {
            if now >= self.last_active + REST_AFTER {
                self.packer.rest();
            }
        } else {
            self.last_active = now;
        }
    }

    fn seal_what_is_due(&mut self, now: Instant) {
        if !self.may_pack() || self.packer.is_empty() {
            return;
        }
        let due = self.packer.due().is_some_and(|due| due <= now);
        let refusals = self.lease.refusals();
        let yielding = !due && refusals != self.seen_refusals && self.packer.memory() > self.lease.floor();
        self.seen_refusals = refusals;
        if due || yielding || self.stopping || self.packer.is_full() || self.holds_a_call() {
            self.short_of_memory = yielding;
            self.seal_batch();
        }
    }

    fn seal_batch(&mut self) {
        for sealed in self.packer.seal().into_iter().flatten() {
            self.ready.push_back(Outbound::new(sealed));
        }
    }

    /// Sends what may be sent; whether anything was.
    fn send(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        let mut sent = false;
        while self.in_flight.len() < self.settings.max_concurrent_requests {
            let Some((next, None)) = self.next_call(now) else { break };
            let outbound = self.take_next(next);
            self.pace.sent(Self::amounts(&outbound.sealed), now);
            let id = self.new_id();
            actions.push(Action::Send(id, outbound.sealed.body(), outbound.sealed.count()));
            self.in_flight.insert(id, outbound);
            sent = true;
        }
        sent
    }

    /// `None` when the batch may be sent now, else when to ask again.
    fn may_send(&self, outbound: &Outbound, now: Instant) -> Option<Instant> {
        outbound.held_until(now).or_else(|| self.pace.ready_at(now))
    }

    fn new_id(&mut self) -> BatchId {
        self.next_batch += 1;
        BatchId(self.next_batch)
    }

    fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.leave_at.get_or_insert(now + LAST_ANSWERS);
        // What is read but not packed is read again at the next start.
        self.inbox = None;
        if let Some(processing) = &mut self.processing {
            processing.abandon();
        }
    }

    /// Whether all that is left waits for the operator, so that a stop need not wait for it.
    fn is_paused(&self, now: Instant) -> bool {
        let over = self.leave_at.is_some_and(|leave_at| leave_at <= now);
        let keeping = self.giving_up.values().any(|record| record.due.is_none());
        let to_send = !self.ready.is_empty()
            || !self.again.is_empty()
            || !self.search.is_empty()
            || !self.packer.is_empty()
            || !self.in_flight.is_empty();
        // Records that failed while the quarantine could not keep others are read again, as those are.
        let paused = self.blocked || !to_send;
        paused && !keeping && (self.in_flight.is_empty() || over)
    }

    fn check(&self) {
        assert!(self.in_flight.len() <= self.settings.max_concurrent_requests, "the window was exceeded");
        assert!(self.tally.settled() <= self.tally.arrived, "more was settled than arrived: {:?}", self.tally);
    }
}

#[cfg(test)]
mod tests;

//! What a flow does with records one by one: processing, between framing and packing.
//! Promises that a record is packed, dropped or on its way to the quarantine before the next one is looked at, also where
//! it is processed elsewhere because it may take long; that a step works on records for about ten milliseconds at most,
//! counted by what they may take; and that what is held stays within what the plan has set aside, however many fail.
//! Leaves what the options do to process, which room there is to intake, and running what takes long to the shell.

use super::giving_up::{Failure, Held, Quarantining, TELL_EVERY};
use super::intake::pack;
use super::job::{Job, Processed};
use super::{Action, BatchId, Core, Notice, STEP_COST, Stream};
use crate::framing::{Framed, Input as FramerInput, Room, Run};
use datalake_base::record::{Chunk, Origin, OriginInfo, Position};
use datalake_process::{Instance, Place, Processor, Reason, Verdict};
use std::sync::Arc;
use std::time::Instant;

/// Records that failed are held for the quarantine up to this number of bytes; then intake waits until they are kept.
const FAILED_BYTES: usize = 256 * 1024;
/// What a failed record takes beside its bytes.
const FAILED_OVERHEAD: usize = 256;

/// A longer record is processed elsewhere, whatever the options.
const LONGEST_HERE: usize = 64 * 1024;

/// A record that is processed elsewhere. Nothing is taken in before it is back.
#[derive(Debug)]
struct Away {
    id: BatchId,
    record: Taken,
    /// Not handed to the shell yet.
    job: Option<Job>,
}

/// A record that was framed: what the ledger and the packer need of it.
#[derive(Clone, Debug)]
struct Taken {
    origin: Origin,
    key: Option<Arc<str>>,
    start: Position,
    end: Position,
    input: u64,
    read_at: Instant,
}

/// The processing of one flow.
#[derive(Debug)]
pub(super) struct Processing {
    /// Out of the house while a record is processed elsewhere.
    processor: Option<Processor>,
    away: Option<Away>,
    /// What was learnt meanwhile.
    learnt: Option<Arc<Instance>>,
    /// The wall clock in milliseconds since 1970, as the shell gave it last.
    wall_ms: u64,
    /// What the record at hand has become.
    out: Vec<u8>,
    /// The record whose result is `out` and has found no room yet. Nothing is taken in before it is packed.
    waiting: Option<Taken>,
    /// Failed, and not given to the quarantine yet.
    failed: Vec<Failure>,
    /// Bytes of `failed`.
    gathered: usize,
    /// Bytes that the quarantine is at. One act at a time: what fails meanwhile goes with the next.
    keeping: usize,
    unreported: Untold,
    reported_at: Option<Instant>,
}

/// Records that an option could not work on, since the operator was last informed.
#[derive(Clone, Copy, Debug, Default)]
struct Untold {
    reason: Option<Reason>,
    quarantined: u64,
    raw: u64,
    dropped: u64,
}

impl Processing {
    pub(super) fn new(processor: Processor) -> Self {
        Self {
            processor: Some(processor),
            away: None,
            learnt: None,
            wall_ms: 0,
            out: Vec::new(),
            waiting: None,
            failed: Vec::new(),
            gathered: 0,
            keeping: 0,
            unreported: Untold::default(),
            reported_at: None,
        }
    }

    /// Whether a record waits to be packed.
    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a record is processed elsewhere.
    pub(super) const fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether nothing is held, but for what failed: between two steps that waits for what the quarantine is at.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_none() && self.away.is_none()
    }

    /// The flow stops: what is processed elsewhere is read again at the next start, and nothing waits for it.
    pub(super) fn abandon(&mut self) {
        self.away = None;
    }

    /// When to inform the operator about records that could not be processed.
    pub(super) fn tell_at(&self) -> Option<Instant> {
        self.reported_at.filter(|_| self.unreported.reason.is_some()).map(|reported_at| reported_at + TELL_EVERY)
    }

    const fn is_full(&self) -> bool {
        self.gathered + self.keeping >= FAILED_BYTES
    }

    /// Notes that a record could not be processed.
    fn note(&mut self, reason: Reason, count: fn(&mut Untold) -> &mut u64) {
        self.unreported.reason.get_or_insert(reason);
        *count(&mut self.unreported) += 1;
    }
}

impl Core {
    /// The same flow, with each record processed before it is packed.
    #[must_use]
    pub fn with_processor(mut self, processor: Processor) -> Self {
        let processor = processor.with_terminator(&self.settings.framing.terminator);
        self.processing = Some(Box::new(Processing::new(processor)));
        self
    }

    /// Whether records are looked at one by one.
    #[must_use]
    pub const fn processes_records(&self) -> bool {
        self.processing.is_some()
    }

    /// Hands on what the machine has said about itself.
    pub fn learn(&mut self, instance: &Arc<Instance>) {
        let Some(processing) = &mut self.processing else { return };
        match &mut processing.processor {
            Some(processor) => processor.learn(instance),
            None => processing.learnt = Some(instance.clone()),
        }
    }

    /// Says what time it is on the wall, in milliseconds since 1970: records may be marked with it.
    pub fn set_wall_clock(&mut self, now_ms: u64) {
        if let Some(processing) = &mut self.processing {
            processing.wall_ms = now_ms;
        }
    }

    /// Takes records of a chunk through the steps; whether the input was used up.
    pub(super) fn process_lines(
        &mut self,
        chunk: &Chunk,
        stream: &mut Stream,
        input: &mut FramerInput<'_>,
        now: Instant,
    ) -> bool {
        let room = Room { bytes: self.settings.framing.max_line_bytes, lines: 1 };
        while self.may_process() {
            match stream.framer.next(input, room, now) {
                Framed::Run(run) => {
                    self.process(chunk.origin, &stream.info, stream.key.as_ref(), &run, chunk.read_at);
                }
                Framed::Filtered { end, bytes } => {
                    self.tally.filtered += bytes;
                    if let Some(end) = end {
                        self.discard(chunk.origin, end);
                    }
                }
                Framed::NeedMore => return true,
                Framed::NoRoom => unreachable!("the room is that of the longest line"),
            }
        }
        false
    }

    /// Whether another record may be taken through the steps now.
    pub(super) fn may_process(&self) -> bool {
        let may = |processing: &Processing| {
            !processing.is_waiting() && processing.processor.is_some() && !processing.is_full()
        };
        self.may_pack() && self.cost < STEP_COST && self.processing.as_ref().is_none_or(|processing| may(processing))
    }

    /// Takes one record through the steps. Only while [`Core::may_process`].
    pub(super) fn process(
        &mut self,
        origin: Origin,
        info: &Arc<OriginInfo>,
        key: Option<&Arc<str>>,
        run: &Run<'_>,
        read_at: Instant,
    ) {
        let track = self.ledger.track(origin).expect("opened with the origin");
        let start = track.read();
        let record = Taken { origin, key: key.cloned(), start, end: run.end, input: run.input, read_at };
        let processing = self.processing.as_mut().expect("asked by the caller");
        let processor = processing.processor.as_mut().expect("asked by the caller");
        let cost = processor.cost(run.bytes.len());
        if cost > STEP_COST || run.bytes.len() > LONGEST_HERE {
            return self.send_away(record, info, run.bytes);
        }
        self.cost += cost;
        let place = Place {
            path: &info.path,
            file: info.file,
            generation: info.generation.get().copied(),
            position: start,
            input: run.input,
            now_ms: processing.wall_ms,
        };
        processing.out.clear();
        let verdict = processor.process(run.bytes, &place, &mut processing.out);
        self.conclude(record, run.bytes, verdict);
    }

    /// Prepares a record for being processed elsewhere.
    fn send_away(&mut self, record: Taken, info: &Arc<OriginInfo>, bytes: &[u8]) {
        let id = self.new_id();
        let processing = self.processing.as_mut().expect("asked by the caller");
        let processor = processing.processor.take().expect("asked by the caller");
        let job = Job {
            processor,
            record: bytes.to_vec(),
            info: info.clone(),
            generation: info.generation.get().copied(),
            position: record.start,
            input: record.input,
            now_ms: processing.wall_ms,
        };
        processing.away = Some(Away { id, record, job: Some(job) });
    }

    /// Hands the shell what is to be processed elsewhere.
    pub(super) fn process_elsewhere(&mut self, actions: &mut Vec<Action>) {
        let Some(away) = self.processing.as_mut().and_then(|processing| processing.away.as_mut()) else { return };
        let id = away.id;
        actions.extend(away.job.take().map(|job| Action::Process(id, Box::new(job))));
    }

    /// A record is back from where it was processed.
    pub(super) fn processed(&mut self, id: BatchId, processed: Processed) {
        let Some(processing) = &mut self.processing else { return };
        let Processed { mut processor, record: bytes, out, verdict } = processed;
        if let Some(instance) = processing.learnt.take() {
            processor.learn(&instance);
        }
        // After a stop nothing more is taken in.
        let Some(Away { record, .. }) = processing.away.take_if(|away| away.id == id) else { return };
        processing.processor = Some(processor);
        processing.out = out;
        self.conclude(record, &bytes, verdict);
    }

    /// What follows from the verdict on a record whose result is in `out`.
    fn conclude(&mut self, record: Taken, bytes: &[u8], verdict: Verdict) {
        let processing = self.processing.as_mut().expect("it processed the record");
        match verdict {
            Verdict::Kept => {}
            Verdict::KeptRaw(reason) => {
                self.tally.unprocessed += 1;
                processing.note(reason, |unreported| &mut unreported.raw);
            }
            Verdict::Dropped(reason) => {
                if reason.is_failure() {
                    self.tally.unprocessed += 1;
                    processing.note(reason, |unreported| &mut unreported.dropped);
                }
                return self.filter(&record);
            }
            Verdict::Failed(reason) => {
                self.tally.unprocessed += 1;
                processing.note(reason, |unreported| &mut unreported.quarantined);
                let Taken { origin, end, input, .. } = record;
                let claim = self.ledger.track(origin).expect("opened with the origin").admit_input(end, input);
                processing.gathered += bytes.len() + FAILED_OVERHEAD;
                processing.failed.push(Failure { claim, payload: bytes.to_vec(), input, reason });
                return;
            }
        }
        // A step may leave nothing of a record, and a service takes no empty one.
        if processing.out.is_empty() {
            return self.filter(&record);
        }
        processing.waiting = Some(record);
        self.pack_waiting();
    }

    fn filter(&mut self, record: &Taken) {
        self.tally.filtered += record.input;
        self.discard(record.origin, record.end);
    }

    /// Packs the record that waits, if there is one; `false` while there is no room for it.
    pub(super) fn pack_waiting(&mut self) -> bool {
        let Some(processing) = &self.processing else { return true };
        let bytes = processing.out.len();
        let Some(Taken { origin, key, end, input, read_at, .. }) = processing.waiting.clone() else { return true };
        if !self.make_room_for_result(bytes) {
            return false;
        }
        let processing = self.processing.as_mut().expect("looked at just now");
        processing.waiting = None;
        let track = self.ledger.track(origin).expect("opened with the origin");
        let run = Run { bytes: &processing.out, input, end, lines: 1 };
        let before = pack(&mut self.packer, track, &run, key.as_deref(), read_at);
        // One huge result must not pin its buffer for as long as the flow lives.
        let usual = self.settings.batch.longest_line();
        processing.out.clear();
        processing.out.shrink_to(usual);
        self.queue(before);
        self.seal_full();
        true
    }

    /// Makes room for this number of bytes in the open record; `false` when that must wait until a batch has gone.
    fn make_room_for_result(&mut self, bytes: usize) -> bool {
        if !self.may_pack() {
            return false;
        }
        if self.packer.packing_space().bytes < bytes {
            self.seal_open_record();
            if self.packer.space().bytes < bytes {
                self.seal_batch();
            }
            if !self.may_pack() {
                return false;
            }
        }
        if self.lease_covers(bytes) {
            return true;
        }
        if !self.packer.is_empty() {
            self.short_of_memory = true;
            self.seal_batch();
            return false;
        }
        self.packer.rest();
        self.lease_covers(bytes)
    }

    /// Gives records that failed to the quarantine, all that were gathered while it kept those before.
    pub(super) fn give_up_failed(&mut self, actions: &mut Vec<Action>) {
        let Some(processing) = &mut self.processing else { return };
        if processing.failed.is_empty() || processing.keeping > 0 {
            return;
        }
        processing.keeping = std::mem::take(&mut processing.gathered);
        let held = Held::Unprocessed(std::mem::take(&mut processing.failed));
        let id = self.new_id();
        actions.push(Action::Quarantine(id, held.given_up(&self.origins)));
        self.giving_up.insert(id, Quarantining { held, attempts: 0, due: None });
    }

    /// The quarantine has kept what it was given.
    pub(super) fn failed_are_kept(&mut self, failed: Vec<Failure>) {
        if let Some(processing) = &mut self.processing {
            processing.keeping = 0;
        }
        self.tally.quarantined += failed.iter().map(|failure| failure.input).sum::<u64>();
        self.tally.quarantined_records += failed.len() as u64;
        failed.iter().for_each(|failure| self.ledger.note_quarantined(&failure.claim));
        self.settle(failed.into_iter().map(|failure| failure.claim));
    }

    /// Tells about records that could not be processed: the first at once, then in sums; all of them at the end, when there
    /// is no time.
    pub(super) fn tell_unprocessed(&mut self, now: Option<Instant>, actions: &mut Vec<Action>) {
        let Some(processing) = &mut self.processing else { return };
        if let Some(notes) = processing.processor.as_mut().and_then(Processor::news) {
            actions.push(Action::Notice(Notice::LeftOut(notes)));
        }
        let Untold { reason: Some(reason), quarantined, raw, dropped } = processing.unreported else { return };
        if let (Some(now), Some(reported_at)) = (now, processing.reported_at)
            && now < reported_at + TELL_EVERY
        {
            return;
        }
        processing.unreported = Untold::default();
        processing.reported_at = now;
        let reason = reason.to_string();
        actions.push(Action::Notice(Notice::Unprocessed { reason, quarantined, raw, dropped }));
    }
}

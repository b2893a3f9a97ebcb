//! What a flow does with arrivals: framing, admission to the ledger, packing.
//! Promises that nothing is packed that the ledger does not know, and that intake stops before the memory lease is
//! exceeded.
//! Leaves sending to the core, answers to answers.

use super::{Arrived, Core, Outbound, STEP_COST, Stream};
use crate::batch::{Lines, Packer, Sealed};
use crate::framing::{Framed, Framer, Input as FramerInput, Room, Run};
use crate::ledger::Track;
use datalake_base::record::{Arrival, Chunk, Origin, OriginInfo, Position};
use std::sync::Arc;
use std::time::Instant;

/// Smaller pieces of a chunk are not worth a step, however little a call is to carry.
const LEAST_PIECE: usize = 16 * 1024;

/// Where the next line is tried to be put. A line that does not go into the open record begins the next; one that is
/// longer than a packed record should be is a record of its own; one that does not even go into the rest of the call
/// begins the next call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    OpenRecord,
    FreshRecord,
    RecordOfItsOwn,
}

impl Core {
    pub(super) fn arrive(&mut self, arrival: Arrival, now: Instant) {
        assert!(self.has_room(), "an arrival was handed in where there was no room");
        self.last_active = now;
        match arrival {
            Arrival::Opened { origin, info, start } => {
                let framer = Framer::new(&self.settings.framing, start);
                self.ledger.open(origin, start);
                let key = self.packer.key_of_path(&info.path).map(Arc::from);
                self.origins.insert(origin, Stream { info, framer, key, ended: false });
            }
            Arrival::Read(chunk) => {
                self.tally.arrived += chunk.bytes.len() as u64;
                self.inbox = Some(Arrived::Chunk(chunk, 0));
            }
            Arrival::Ended { origin } => self.inbox = Some(Arrived::Ending(origin)),
            Arrival::Closed { origins } => origins.into_iter().for_each(|origin| self.close(origin)),
        }
    }

    /// Takes in as much as there is room for. Intake goes on only while nothing sealed waits to be sent, so that the
    /// flow holds one open batch beside those under way.
    pub(super) fn digest(&mut self, now: Instant) {
        if !self.pack_waiting() {
            return;
        }
        self.flush_overdue(now);
        while self.may_pack() {
            match self.inbox.take() {
                None => return,
                Some(Arrived::Chunk(chunk, used)) => {
                    if let Some(further) = self.digest_chunk(&chunk, used, now) {
                        self.inbox = Some(Arrived::Chunk(chunk, further));
                        if further == used {
                            return;
                        }
                    }
                }
                Some(Arrived::Ending(origin)) => {
                    if !self.digest_ending(origin, now) {
                        self.inbox = Some(Arrived::Ending(origin));
                        return;
                    }
                }
            }
        }
    }

    /// Takes in the chunk from byte `used` on; `None` when all of it went in, with every line that it completes,
    /// else from where to go on.
    fn digest_chunk(&mut self, chunk: &Chunk, used: usize, now: Instant) -> Option<usize> {
        // The origin's state is taken out for the time of the chunk: one look-up instead of one a line.
        let mut stream = self.origins.remove(&chunk.origin).expect("a source opens an origin before it reads from it");
        let left = &chunk.bytes[used..];
        // What a record becomes, and so which memory it takes, is known only after processing: asked record by record.
        let affordable = match self.processing {
            None => self.affordable(left.len(), stream.framer.held()).min(left.len()),
            Some(_) => left.len(),
        };
        // A throttled stream is called with less at a time: see `pace`.
        let affordable = match self.pace.call_bytes() {
            Some(most) => affordable.min((most as usize).saturating_sub(self.packer.gathered()).max(LEAST_PIECE)),
            None => affordable,
        };
        // Looking for the beginnings of records takes time too.
        let cost = self.settings.framing.multi_line.as_ref().map_or(0, |join| join.start.cost());
        let in_time = STEP_COST.saturating_sub(self.cost).checked_div(cost).map_or(usize::MAX, |bytes| bytes as usize);
        let (affordable, is_cut) = (affordable.min(in_time), in_time < affordable);
        let mut input = FramerInput { bytes: &left[..affordable], position: chunk.start + used };
        let packed = match self.processing {
            None => (affordable > 0 || left.is_empty()) && self.pack_lines(chunk, &mut stream, &mut input, now),
            Some(_) => self.process_lines(chunk, &mut stream, &mut input, now),
        };
        let taken = affordable - input.bytes.len();
        self.cost += taken as u64 * cost;
        if is_cut && input.bytes.is_empty() {
            self.cost = self.cost.max(STEP_COST);
        }
        let used = used + taken;
        let done = packed && used == chunk.bytes.len();
        if stream.framer.deadline().is_some() {
            self.joining.insert(chunk.origin);
        } else {
            self.joining.remove(&chunk.origin);
        }
        self.origins.insert(chunk.origin, stream);
        (!done).then_some(used)
    }

    /// Packs lines; whether the input was used up before a batch was complete.
    fn pack_lines(&mut self, chunk: &Chunk, stream: &mut Stream, input: &mut FramerInput<'_>, now: Instant) -> bool {
        let mut target = Target::OpenRecord;
        while self.may_pack() {
            if self.pack_each(chunk, stream, input) {
                self.seal_full();
                continue;
            }
            let room = match target {
                Target::OpenRecord | Target::FreshRecord => self.packer.packing_space(),
                Target::RecordOfItsOwn => self.packer.space(),
            };
            let room = Room { bytes: room.bytes, lines: if target == Target::RecordOfItsOwn { 1 } else { room.lines } };
            match stream.framer.next(input, room, now) {
                Framed::Run(run) => {
                    let track = self.ledger.track(chunk.origin).expect("opened with the origin");
                    let before = pack(&mut self.packer, track, &run, stream.key.as_deref(), chunk.read_at);
                    self.queue(before);
                    self.seal_full();
                    target = Target::OpenRecord;
                }
                Framed::Filtered { end, bytes } => {
                    self.tally.filtered += bytes;
                    if let Some(end) = end {
                        self.discard(chunk.origin, end);
                    }
                }
                Framed::NeedMore => return true,
                Framed::NoRoom => match target {
                    Target::OpenRecord => {
                        self.seal_open_record();
                        target = Target::FreshRecord;
                    }
                    Target::FreshRecord => target = Target::RecordOfItsOwn,
                    Target::RecordOfItsOwn => self.seal_batch(),
                },
            }
        }
        false
    }

    /// Where each line is a record: packs as many as stand there whole, under one claim; whether there were any.
    fn pack_each(&mut self, chunk: &Chunk, stream: &mut Stream, input: &mut FramerInput<'_>) -> bool {
        let space = self.packer.space_for_each();
        let lines = stream.framer.whole_lines(input, space);
        if lines.is_empty() {
            return false;
        }
        let track = self.ledger.track(chunk.origin).expect("opened with the origin");
        let taken = self.packer.append_each(lines, chunk.read_at, |count, bytes| {
            let records = u32::try_from(count).expect("a batch has few records");
            track.admit_spread(input.position + bytes, records)
        });
        stream.framer.took(input, taken);
        true
    }

    /// Flushes what the framer of an ended origin holds; whether all of it went in.
    fn digest_ending(&mut self, origin: Origin, now: Instant) -> bool {
        let Some(mut stream) = self.origins.remove(&origin) else { return true };
        let mut done = false;
        while !done && self.may_take_a_line() {
            match stream.framer.finish() {
                Some(run) => self.take_line(origin, &stream.info, stream.key.as_ref(), &run, now),
                None => done = true,
            }
        }
        if done {
            self.joining.remove(&origin);
            stream.ended = true;
        }
        self.origins.insert(origin, stream);
        self.close_if_settled(origin);
        done
    }

    /// Packs records that became complete because nothing followed them.
    fn flush_overdue(&mut self, now: Instant) {
        let due = |core: &Self, origin: &Origin| {
            core.origins[origin].framer.deadline().is_some_and(|deadline| deadline <= now)
        };
        let overdue: Vec<Origin> = self.joining.iter().filter(|origin| due(self, origin)).copied().collect();
        for origin in overdue {
            if !self.may_take_a_line() {
                return;
            }
            let mut stream = self.origins.remove(&origin).expect("a joining origin is open");
            if let Some(run) = stream.framer.overdue(now) {
                self.take_line(origin, &stream.info, stream.key.as_ref(), &run, now);
            }
            if stream.framer.deadline().is_none() {
                self.joining.remove(&origin);
            }
            self.origins.insert(origin, stream);
        }
    }

    /// Whether a single line of any length may be taken in now.
    fn may_take_a_line(&mut self) -> bool {
        match self.processing {
            None => self.make_room_for_line(),
            Some(_) => self.may_process(),
        }
    }

    /// Takes in a single line. Only while [`Core::may_take_a_line`].
    fn take_line(
        &mut self,
        origin: Origin,
        info: &Arc<OriginInfo>,
        key: Option<&Arc<str>>,
        run: &Run<'_>,
        now: Instant,
    ) {
        if self.processing.is_some() {
            return self.process(origin, info, key, run, now);
        }
        let track = self.ledger.track(origin).expect("opened with the origin");
        let before = pack(&mut self.packer, track, run, key.map(AsRef::as_ref), now);
        self.queue(before);
        self.seal_full();
    }

    /// Makes the open record take the longest line; `false` when that must wait until a batch has gone.
    fn make_room_for_line(&mut self) -> bool {
        let longest = self.settings.framing.max_line_bytes;
        if self.may_pack() && self.packer.packing_space().bytes < longest {
            self.seal_open_record();
            if self.packer.space().bytes < longest {
                self.seal_batch();
            }
        }
        self.may_pack() && self.affordable(longest, 0) >= longest
    }

    /// How many of `wanted` bytes the lease covers taking in, beside those that a framer holds. Where it does not
    /// cover them all, what is open is sealed, so that it gives memory back; with nothing held at all, the floor
    /// covers a line.
    fn affordable(&mut self, wanted: usize, held: usize) -> usize {
        if self.lease_covers(wanted + held) {
            return wanted.max(1);
        }
        if !self.packer.is_empty() {
            self.short_of_memory = true;
            self.seal_batch();
            return 0;
        }
        self.packer.rest();
        let line = self.settings.framing.max_line_bytes.saturating_sub(held).max(1);
        if self.lease_covers(wanted.min(line) + held) { wanted.min(line) } else { 0 }
    }

    pub(super) fn lease_covers(&mut self, bytes: usize) -> bool {
        let growth = self.packer.memory_with(bytes) - self.packer.memory();
        self.lease.covers(self.memory() + growth)
    }

    /// Seals what takes no further line.
    pub(super) fn seal_full(&mut self) {
        if self.packer.record_is_full() {
            self.seal_open_record();
        }
        if self.packer.is_full() || self.holds_a_call() {
            self.short_of_memory = false;
            self.seal_batch();
        }
    }

    /// Whether the batch holds as much as the stream should be called with at a time while it is throttled.
    pub(super) fn holds_a_call(&self) -> bool {
        self.pace.call_bytes().is_some_and(|most| self.packer.gathered() as u64 >= most)
    }

    pub(super) fn seal_open_record(&mut self) {
        let overflow = self.packer.seal_record();
        self.queue(overflow);
    }

    /// A batch that had to be completed before what comes now.
    pub(super) fn queue(&mut self, before: Option<Sealed>) {
        self.ready.extend(before.map(Outbound::new));
    }

    pub(super) fn discard(&mut self, origin: Origin, end: Position) {
        let track = self.ledger.track(origin).expect("opened with the origin");
        if track.discard(end).is_some() {
            self.commit(origin);
        }
    }

    /// The watermark of the origin has moved.
    pub(super) fn commit(&mut self, origin: Origin) {
        self.commits.extend(self.ledger.watermark(origin).map(|watermark| (origin, watermark)));
    }

    /// Nothing more comes of an origin, and nothing of it is held.
    fn close(&mut self, origin: Origin) {
        if let Some(stream) = self.origins.get_mut(&origin) {
            debug_assert_eq!(stream.framer.held(), 0, "what is held is not settled");
            stream.ended = true;
            self.joining.remove(&origin);
            self.close_if_settled(origin);
        }
    }

    /// Forgets an origin that has ended and of which nothing is open.
    pub(super) fn close_if_settled(&mut self, origin: Origin) {
        let ended = self.origins.get(&origin).is_some_and(|stream| stream.ended);
        if ended && self.ledger.is_settled(origin) {
            self.ledger.close(origin);
            self.origins.remove(&origin);
        }
    }
}

/// Packs a run: the ledger lets the open record's newest claim stand for it, or gives another.
#[must_use]
pub(super) fn pack(
    packer: &mut Packer,
    track: &mut Track,
    run: &Run<'_>,
    key: Option<&str>,
    read_at: Instant,
) -> Option<Sealed> {
    let lines = Lines { bytes: run.bytes, input: run.input, count: run.lines, read_at, key };
    packer.append(lines, |newest| {
        let stretched = newest.is_some_and(|claim| track.stretch_input(claim, run.end, run.input));
        (!stretched).then(|| track.admit_input(run.end, run.input))
    })
}

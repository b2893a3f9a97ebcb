//! Turns: one bounded read from one file, checked against the evidence, handed to its flow.
//! Promises that bytes handed over follow what was handed over before, whatever was done to the file meanwhile.
//! Leaves the order of turns to the loop, and what a broken promise of a file means to the stream.

use super::copies::is_unseen;
use super::discover::folder_of;
use super::identity;
use super::reader::{self, TURN};
use super::strand::{Id, Role, Source, Standing, Strand, holds_evidence};
use super::stream::{Stream, World};
use datalake_base::record::{Arrival, Chunk, Fingerprint, Origin, OriginInfo, Position};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;

/// How long a candidate may hold back the files after it.
const HOLD_BACK: Duration = Duration::from_secs(30);

/// How long a file of which nothing was seen before it vanished may hold back the files after it.
const HOLD_BACK_UNSEEN: Duration = Duration::from_secs(3);

/// How many blocks of an archive one turn unpacks only to skip them.
const SKIPS: usize = 8;

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something was read or found out.
    Done,
    /// The strand has to wait for another; the next may have its turn.
    HeldBack,
    /// No room in the flow's channel, no buffer or no descriptor: no turn can succeed now.
    Blocked,
    /// No strand of the flow wants a turn.
    Nothing,
}

impl Stream {
    /// Gives a turn to the strand of the flow that waited longest.
    pub(super) fn turn(&mut self, flow: usize, world: &mut World) -> Turn {
        if self.flows[flow].arrivals.is_none() {
            return Turn::Nothing;
        }
        let Some(id) = self.flows[flow].ready.pop_front() else { return Turn::Nothing };
        let Some(strand) = self.strands.get_mut(&id) else { return Turn::Done };
        strand.queued = false;
        if !strand.wants_turn() {
            return Turn::Done;
        }
        let begins = strand.read == 0 && strand.origin.is_none();
        if begins && self.due.contains_key(folder_of(&strand.place.path)) {
            // The folder changed: perhaps something older came to light that is to be read first.
            self.enqueue(id);
            return Turn::HeldBack;
        }
        if let Some(before) = strand.after {
            if self.holds_back(before, world) {
                self.enqueue(id);
                return Turn::HeldBack;
            }
            if let Some(strand) = self.strands.get_mut(&id) {
                strand.after = None;
            }
        }
        let turn = self.turn_of(id, flow, world);
        if turn == Turn::Blocked {
            // It keeps its place in the line.
            if let Some(strand) = self.strands.get_mut(&id)
                && strand.wants_turn()
                && !std::mem::replace(&mut strand.queued, true)
            {
                self.flows[flow].ready.push_front(id);
                if strand.source.is_none() {
                    self.unheld.insert(id);
                }
            }
        }
        turn
    }

    /// Whether what comes after this strand has to wait for it.
    fn holds_back(&self, id: Id, world: &World) -> bool {
        let Some(strand) = self.strands.get(&id) else { return false };
        match (strand.role, strand.standing) {
            (Role::Candidate { since, .. }, _) => {
                (strand.place.packing.is_none() || self.worth_verifying(id)) && world.now < since + HOLD_BACK
            }
            (Role::Twin, _) => strand.after.is_some_and(|before| self.holds_back(before, world)),
            (Role::Log, Standing::Lost { sought, since, .. }) if is_unseen(strand) => {
                // It may be in one of the archives that are still to be unpacked, or in none.
                !sought || (!self.candidates.is_empty() && world.now < since + HOLD_BACK_UNSEEN)
            }
            (Role::Log, Standing::Lost { sought, .. }) => !sought || strand.unread() > 0,
            (Role::Log, _) => strand.wants_turn() && !strand.denied,
        }
    }

    fn turn_of(&mut self, id: Id, flow: usize, world: &mut World) -> Turn {
        match self.ensure_open(id, world) {
            Ok(()) => {}
            Err(turn) => return turn,
        }
        let Some(strand) = self.strands.get_mut(&id) else { return Turn::Done };
        if !strand.confirmed {
            match confirm(strand) {
                Ok(true) => {
                    strand.confirmed = true;
                    strand.sure = strand.place.size;
                    strand.holds_its_content();
                    self.enqueue(id);
                    return Turn::Done;
                }
                Ok(false) => return self.found_truncated(id, world),
                Err(error) => return self.denied(id, &error),
            }
        }
        if strand.ended {
            if strand.settled < strand.read {
                return Turn::Done; // Once the last line is settled, what came after it begins a new origin.
            }
            strand.ended = false;
            if let Some(origin) = strand.origin.take() {
                self.by_origin.remove(&origin);
            }
        }
        let Some(sender) = self.flows[flow].arrivals.clone() else { return Turn::Nothing };
        let mut permit = match sender.try_reserve() {
            Ok(permit) => permit,
            Err(error) => return self.no_room(flow, &error),
        };
        let Some(strand) = self.strands.get_mut(&id) else { return Turn::Done };
        let origin = match strand.origin {
            Some(origin) => origin,
            None => {
                let origin = Origin::new(world.next_origin);
                world.next_origin += 1;
                let info = Arc::new(OriginInfo::new(strand.place.path.to_path_buf(), strand.place.key));
                strand.info = Some(info.clone());
                permit.send(Arrival::Opened { origin, info, start: Position(strand.read) });
                strand.origin = Some(origin);
                self.by_origin.insert(origin, id);
                permit = match sender.try_reserve() {
                    Ok(permit) => permit,
                    Err(error) => return self.no_room(flow, &error),
                };
                origin
            }
        };
        let Some(mut buffer) = world.pool.lend() else {
            self.flows[flow].blocked = true;
            return Turn::Blocked;
        };
        let read = self.read(id, &mut buffer, world);
        if read.is_ok() {
            self.readable(id);
        }
        match read {
            Ok(Read::Bytes { start, count }) => {
                tracing::debug!(file = %self.strands[&id].place.path.display(), id, start, bytes = count, "read");
                self.flows[flow].books.read.add(count as u64);
                let first = buffer.len() - count;
                let bytes = world.pool.wrap(buffer, first);
                permit.send(Arrival::Read(Chunk { origin, start: Position(start), bytes, read_at: world.now }));
                self.recount(id);
                self.enqueue(id);
                self.tick_later(id);
                Turn::Done
            }
            Ok(Read::Nothing) => {
                world.pool.give_back(buffer);
                if self.strands.get(&id).is_some_and(|strand| strand.finished) {
                    self.mark_dirty(id);
                }
                self.recount(id);
                self.enqueue_unless_at_end(id);
                self.tick_later(id);
                Turn::Done
            }
            Ok(Read::OtherContent) => {
                world.pool.give_back(buffer);
                self.found_truncated(id, world)
            }
            Err(error) => {
                world.pool.give_back(buffer);
                self.denied(id, &error)
            }
        }
    }

    /// An archive whose beginning is being skipped goes on; a plain file waits for more.
    fn enqueue_unless_at_end(&mut self, id: Id) {
        if self.strands.get(&id).is_some_and(|strand| strand.place.packing.is_some()) {
            self.enqueue(id);
        }
    }

    fn no_room(&mut self, flow: usize, error: &TrySendError<()>) -> Turn {
        if matches!(error, TrySendError::Closed(())) {
            // The flow has ended; nobody will take what is read for it.
            self.flows[flow].arrivals = None;
            return Turn::Nothing;
        }
        self.flows[flow].blocked = true;
        Turn::Blocked
    }

    pub(super) fn found_truncated(&mut self, id: Id, world: &World) -> Turn {
        let Some(strand) = self.strands.get_mut(&id) else { return Turn::Done };
        let status = match &strand.source {
            Some(Source::Plain { file, .. }) => identity::of_file(file),
            _ => identity::of_path(&strand.place.path),
        };
        let Ok(status) = status else { return Turn::Done };
        if strand.standing != Standing::Present {
            // Deleted and truncated: its old content cannot come back, what is there now is read from its beginning.
            strand.standing = Standing::Present;
        }
        self.truncated(id, &status, world);
        Turn::Done
    }

    fn read(&mut self, id: Id, buffer: &mut Vec<u8>, world: &World) -> io::Result<Read> {
        let Some(strand) = self.strands.get_mut(&id) else { return Ok(Read::Nothing) };
        let start = strand.read;
        let (end, frontier) = strand.frontier();
        let count = match &mut strand.source {
            None => return Ok(Read::Nothing),
            Some(Source::Plain { file, .. }) => {
                let count = reader::read_turn(file, start, strand.place.size, buffer)?;
                // Looked at after the read: as it holds now, the bytes read before belong behind it.
                let before = identity::bytes_before(file, start)?;
                if end == start && !identity::ends_with(&before, frontier) {
                    return Ok(Read::OtherContent);
                }
                if start < Fingerprint::LONGEST as u64 && !grow_head(&mut strand.head, file)? {
                    return Ok(Read::OtherContent);
                }
                if count == 0 {
                    let size = identity::of_file(file)?.size;
                    if size < start {
                        return Ok(Read::OtherContent);
                    }
                    strand.place.size = size.max(start);
                    return Ok(Read::Nothing);
                }
                if let Some(info) = &strand.info {
                    info.note_generation(&identity::head_bytes(file)?);
                    strand.info.take_if(|info| info.generation.get().is_some());
                }
                strand.holds_its_content();
                strand.advance(start + count as u64, frontier_of(&before, &buffer[buffer.len() - count..]), world.now);
                strand.place.size = strand.place.size.max(strand.read);
                count
            }
            Some(Source::Archive { decoder, at, .. }) => {
                for _ in 0..SKIPS {
                    if *at == start {
                        break;
                    }
                    let most = usize::try_from(start - *at).unwrap_or(TURN).min(TURN);
                    let skipped = decoder.read_into(buffer, most)?;
                    note_beginning(strand.info.as_ref(), *at, buffer);
                    buffer.clear();
                    if skipped == 0 {
                        break;
                    }
                    *at += skipped as u64;
                }
                let at_start = *at == start;
                let count = decoder.read_into(buffer, TURN)?;
                note_beginning(strand.info.as_ref(), *at, buffer);
                *at += count as u64;
                if count == 0 {
                    strand.finished = true;
                    strand.source = None;
                    return Ok(Read::Nothing);
                }
                if !at_start {
                    let unwanted = start.saturating_sub(*at - count as u64).min(count as u64);
                    buffer.drain(..unwanted as usize);
                    if buffer.is_empty() {
                        return Ok(Read::Nothing);
                    }
                }
                let count = buffer.len();
                strand.holds_its_content();
                strand.advance(start + count as u64, frontier_of(&[], buffer), world.now);
                count
            }
        };
        Ok(Read::Bytes { start, count })
    }
}

/// What one read gave.
enum Read {
    /// So many bytes at the end of the buffer, the first of them at this position.
    Bytes { start: u64, count: usize },
    /// The end, for now.
    Nothing,
    /// The file no longer holds what was read of it.
    OtherContent,
}

/// Bytes came out of an archive at `at`; from its beginning they tell which life of the file it is.
fn note_beginning(info: Option<&Arc<OriginInfo>>, at: u64, bytes: &[u8]) {
    if let (0, Some(info)) = (at, info) {
        info.note_generation(bytes);
    }
}

/// The fingerprint of the last bytes of `before` and `bytes` together.
fn frontier_of(before: &[u8], bytes: &[u8]) -> Fingerprint {
    let longest = Fingerprint::LONGEST;
    if bytes.len() >= longest {
        return Fingerprint::of(&bytes[bytes.len() - longest..]);
    }
    let kept = before.len().min(longest - bytes.len());
    Fingerprint::of(&[&before[before.len() - kept..], bytes].concat())
}

pub(super) fn take_head(strand: &mut Strand) {
    if let Some(Source::Plain { file, .. }) = &strand.source
        && let Ok(bytes) = identity::head_bytes(file)
    {
        strand.head = Fingerprint::of(&bytes);
        strand.sure = strand.place.size;
    }
}

/// Takes the hash of more first bytes once there are more. `false` when they are not those of before.
fn grow_head(head: &mut Fingerprint, file: &File) -> io::Result<bool> {
    if head.length as usize == Fingerprint::LONGEST {
        return Ok(identity::begins_with(&identity::head_bytes(file)?, *head));
    }
    let bytes = identity::head_bytes(file)?;
    if !identity::begins_with(&bytes, *head) {
        return Ok(false);
    }
    *head = Fingerprint::of(&bytes);
    Ok(true)
}

/// Compares the whole evidence with the open file.
pub(super) fn confirm(strand: &mut Strand) -> io::Result<bool> {
    let Some(Source::Plain { file, .. }) = &strand.source else { return Ok(true) };
    if !holds_evidence(strand, file)? {
        return Ok(false);
    }
    let (end, _) = strand.frontier();
    if end < strand.read {
        let before = Fingerprint::of(&identity::bytes_before(file, strand.read)?);
        strand.evidence.push_back((strand.read, before));
    }
    Ok(true)
}

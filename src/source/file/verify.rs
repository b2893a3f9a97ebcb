//! Unpacking archives to see whether they are whole, and whether their content is known.
//! Promises bounded work a step and bounded memory; an archive that is still being written is tried again.
//! Leaves shipping what is in them to the turns.

use super::archive::Decoder;
use super::copies::{Verdict, is_unseen};
use super::discover::folder_of;
use super::identity;
use super::names::Packing;
use super::reader::{Closed, Slot, TURN};
use super::strand::{Id, Role, Standing};
use super::stream::{Stream, World};
use datalake_base::record::Fingerprint;
use std::io;
use std::path::Path;
use std::time::Duration;

/// An archive that did not change for so long may be whole.
pub(super) const SETTLED: Duration = Duration::from_millis(500);

/// How often an archive that does not unpack is tried before only a change makes it worth another try.
const MOST_ATTEMPTS: u8 = 6;

/// An archive being unpacked for comparison.
pub(super) struct Verify {
    pub(super) id: Id,
    decoder: Decoder,
    _slot: Slot,
    /// Unpacked bytes so far.
    at: u64,
    /// The first bytes, at most the longest fingerprint.
    head: Vec<u8>,
    /// The newest block, with the bytes before it that fingerprints may reach back to.
    window: Vec<u8>,
    /// Where the last line before the window ended.
    line_end: u64,
    boundaries: Vec<Boundary>,
}

/// A read boundary of a strand whose content the archive may hold.
struct Boundary {
    strand: Id,
    end: u64,
    before: Fingerprint,
    holds: bool,
    /// Where the last line at or before it ended, and the bytes before that; found when it holds.
    line: (u64, Fingerprint),
}

impl Stream {
    /// Begins to unpack the archive.
    pub(super) fn begin_verifying(&mut self, id: Id, world: &mut World) {
        if self.verifying.iter().any(|verify| verify.id == id) {
            return;
        }
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let Some(packing) = strand.place.packing else { return };
        strand.attempts += 1;
        let (path, key) = (strand.place.path.clone(), strand.place.key);
        match world.descriptors.open(&path, world.now) {
            Ok((file, status, slot)) if status.key == key => match start(packing, file) {
                Ok((decoder, head)) => {
                    let boundaries = self.boundaries(id, &path, &head);
                    let (at, window) = (head.len() as u64, head.clone());
                    let mut verify = Verify { id, decoder, _slot: slot, at, head, window, line_end: 0, boundaries };
                    verify.check(0);
                    self.verifying.push_back(verify);
                }
                Err(error) => self.not_whole(id, &error),
            },
            Ok(_) | Err(Closed::Elsewhere) => self.folder_touched(folder_of(&path), world.now),
            Err(Closed::NoDescriptor) => {}
            Err(Closed::Denied(error)) => self.not_whole(id, &error),
        }
    }

    /// Unpacks a little of the archive whose turn it is. Returns whether there was anything to do.
    pub(super) fn verify_step(&mut self, world: &mut World) -> bool {
        let Some(mut verify) = self.verifying.pop_front() else { return false };
        if let Some(strand) = self.strands.get_mut(&verify.id)
            && let Role::Candidate { since, .. } = &mut strand.role
        {
            *since = world.now;
        }
        match verify.step() {
            Ok(true) => self.verifying.push_front(verify),
            Ok(false) => {
                let id = verify.id;
                let verdict = self.verdict(&verify, world);
                if let Some(strand) = self.strands.get_mut(&id) {
                    strand.head = Fingerprint::of(&verify.head);
                }
                if verdict == Verdict::Unclear
                    && let Some(strand) = self.strands.get_mut(&id)
                {
                    strand.attempts = strand.attempts.saturating_sub(1);
                }
                if let Verdict::Copy(original) = verdict {
                    self.note_copy(id, original, verify.at, verify.tail());
                }
                self.act(id, verdict, world);
                if let Verdict::Home(lost) = verdict
                    && let Some(strand) = self.strands.get_mut(&lost)
                    && strand.read >= verify.at
                {
                    strand.finished = true;
                    self.recount(lost);
                }
            }
            Err(error) => self.not_whole(verify.id, &error),
        }
        true
    }

    fn not_whole(&mut self, id: Id, error: &io::Error) {
        if let Some(strand) = self.strands.get(&id)
            && strand.attempts == MOST_ATTEMPTS
        {
            tracing::warn!(
                file = %strand.place.path.display(), reason = %error,
                "the archive cannot be unpacked; it is tried again when it changes"
            );
        }
    }

    /// Whether another try to unpack it makes sense now.
    pub(super) fn worth_verifying(&self, id: Id) -> bool {
        self.strands.get(&id).is_some_and(|strand| strand.attempts < MOST_ATTEMPTS)
    }

    /// The boundaries of all strands whose content may be in this archive.
    fn boundaries(&self, id: Id, path: &Path, head: &[u8]) -> Vec<Boundary> {
        let family = super::stream::family_of(path);
        let mut boundaries: Vec<Boundary> = self
            .strands
            .iter()
            .filter(|(other, strand)| {
                **other != id
                    && !matches!(strand.role, Role::Candidate { .. })
                    && (strand.family == family
                        || (self.lost.contains(other) && folder_of(&strand.place.path) == folder_of(path)))
                    && strand.head.length > 0
                    && identity::begins_with(head, strand.head)
            })
            .flat_map(|(other, strand)| {
                let all = strand.evidence.iter().copied().chain(strand.evidence.is_empty().then(Default::default));
                // A boundary without a hash (a finished archive's row) is no evidence.
                let evident = all.filter(|(end, before)| *end == 0 || before.length > 0);
                evident.map(|(end, before)| {
                    let line = Default::default();
                    Boundary { strand: *other, end, before, holds: false, line }
                })
            })
            .collect();
        boundaries.sort_by_key(|boundary| boundary.end);
        boundaries
    }

    /// What the whole archive is.
    fn verdict(&mut self, verify: &Verify, world: &mut World) -> Verdict {
        let held: Vec<(Id, u64)> = verify
            .boundaries
            .iter()
            .filter(|boundary| boundary.holds)
            .map(|boundary| (boundary.strand, boundary.end))
            .collect();
        let at_frontier = |id: &Id, end: u64, stream: &Self| {
            stream.strands.get(id).is_some_and(|strand| strand.read <= verify.at && strand.frontier().0 == end)
        };
        let mut homes: Vec<(bool, u64, Id)> = Vec::new();
        for (id, end) in &held {
            let Some(strand) = self.strands.get(id).filter(|strand| strand.role == Role::Log) else { continue };
            let homeless = match strand.standing {
                Standing::Lost { .. } => true,
                Standing::Absent { .. } => strand.source.is_none(),
                Standing::Present => false,
            };
            if homeless && strand.is_evident() && at_frontier(id, *end, self) {
                homes.push((matches!(strand.standing, Standing::Lost { .. }), strand.read, *id));
            }
        }
        if let Some((_, _, id)) = homes.into_iter().max() {
            return Verdict::Home(id);
        }
        let mut strands: Vec<Id> = verify.boundaries.iter().map(|boundary| boundary.strand).collect();
        strands.dedup();
        for id in strands {
            let Some(strand) = self.strands.get(&id) else { continue };
            let ends_there = held.contains(&(id, verify.at)) && strand.read == verify.at;
            if ends_there {
                return Verdict::Copy(id);
            }
            let has_content = strand.standing == Standing::Present || strand.source.is_some();
            if strand.place.packing.is_none() && has_content {
                match self.same_content(id, &verify.head, verify.tail(), verify.at, world) {
                    Verdict::Growing(original) => return Verdict::Copy(original),
                    Verdict::Unclear => return Verdict::Unclear,
                    _ => {}
                }
            }
        }
        // Shorter than what was read of something that is gone: shipped from the last boundary both have.
        let gone = |id: &Id| self.strands.get(id).is_some_and(|strand| strand.standing != Standing::Present);
        let shared = verify
            .boundaries
            .iter()
            .rev()
            .find(|boundary| boundary.holds && boundary.end > 0 && gone(&boundary.strand));
        if let Some(boundary) = shared {
            // From where a line begins: the other's line may have gone on differently.
            let (start, before) = boundary.line;
            return if start > 0 { Verdict::From(start, before) } else { Verdict::Fresh };
        }
        let family = self.strands.get(&verify.id).map(|strand| strand.family);
        let unseen = |id: &&Id| {
            let lost = self.strands.get(*id);
            lost.is_some_and(|lost| is_unseen(lost) && lost.place.size == verify.at && Some(lost.family) == family)
        };
        if let Some(id) = self.lost.iter().find(unseen) {
            return Verdict::Home(*id);
        }
        Verdict::Fresh
    }
}

/// Opens the archive and unpacks its first bytes.
fn start(packing: Packing, file: std::fs::File) -> io::Result<(Decoder, Vec<u8>)> {
    let mut decoder = Decoder::new(packing, file)?;
    let mut head = Vec::new();
    decoder.read_into(&mut head, Fingerprint::LONGEST)?;
    Ok((decoder, head))
}

impl Verify {
    /// Unpacks one block. Returns whether there may be more.
    fn step(&mut self) -> io::Result<bool> {
        let gone = self.window.len() - self.window.len().min(Fingerprint::LONGEST);
        if let Some(newline) = memchr::memrchr(b'\n', &self.window[..gone]) {
            self.line_end = self.at - self.window.len() as u64 + newline as u64 + 1;
        }
        self.window.drain(..gone);
        let count = self.decoder.read_into(&mut self.window, TURN)?;
        self.at += count as u64;
        if count > 0 {
            self.check(count);
        }
        Ok(count > 0)
    }

    /// Checks the boundaries within the newest `count` bytes; all in the window at the beginning.
    fn check(&mut self, count: usize) {
        let start = self.at - self.window.len() as u64;
        let from = if count == 0 { 0 } else { self.at - count as u64 + 1 };
        for boundary in self.boundaries.iter_mut().filter(|boundary| (from..=self.at).contains(&boundary.end)) {
            let window = &self.window[..(boundary.end - start) as usize];
            boundary.holds = identity::ends_with(last_of(window), boundary.before);
            boundary.line = match memchr::memrchr(b'\n', window) {
                Some(newline) => {
                    let line = &window[..=newline];
                    (start + line.len() as u64, Fingerprint::of(last_of(line)))
                }
                // The line began before the window: its end is known, the bytes before it are gone.
                None => (self.line_end, Fingerprint::default()),
            };
        }
    }

    fn tail(&self) -> &[u8] {
        last_of(&self.window)
    }
}

/// As many of the last bytes as a fingerprint is taken of.
fn last_of(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(Fingerprint::LONGEST)..]
}

//! An archive from its first byte on: members, frames to skip, padding, and what follows the last of them.
//! Promises bounded work a step, a reason for giving up, and that a member cut off at the end of the file is not an end.
//! Leaves the packed bytes to the caller, who may bring more of them at any time: an archive may still be written.

use crate::kind::{Format, Kind, recognise};
use crate::member::{Member, Obstacle, ZSTD_BESIDES};
use crate::{Failure, Limits};

/// Members that one step begins at most.
const MEMBERS_A_STEP: u32 = 16;

/// The longest beginning of a member that is needed to know what it takes: a frame header of zstd.
const LONGEST_HEADER: usize = 18;

/// Why a step came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// All input was taken, and all that it holds was given.
    Hungry,
    /// There is more to do with the same input.
    More,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of input that were taken, from the beginning of the slice.
    pub taken: usize,
    /// Bytes of output that were given, at the beginning of the slice.
    pub given: usize,
    /// Whether it needs more input.
    pub pause: Pause,
}

/// Where in the archive it is.
enum Place {
    /// Before a member; these are the bytes of it so far.
    Before(Vec<u8>),
    /// Within a frame that is skipped: this many bytes are left of it.
    Skipping(u64),
    Within(Box<Within>),
    /// Behind the last member: what follows is no member and is ignored, as the tools do.
    Behind,
}

/// A member being unpacked.
struct Within {
    member: Member,
    /// Bytes of it that were taken already, to be used before the input.
    held: Vec<u8>,
    /// It took all and gave all; without more input there is nothing to ask it for.
    drained: bool,
}

/// Unpacks an archive.
pub struct Decoder {
    format: Format,
    limits: Limits,
    place: Place,
    /// Packed bytes taken.
    taken: u64,
    /// Bytes given.
    given: u64,
    /// The size of the archive, when that is more than was taken.
    packed_size: u64,
    members: u64,
    /// Cost since the last byte of output.
    barren: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("format", &self.format)
            .field("taken", &self.taken)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Begins at the first byte of an archive of this format.
    #[must_use]
    pub const fn new(format: Format, limits: Limits) -> Self {
        let place = Place::Before(Vec::new());
        Self { format, limits, place, taken: 0, given: 0, packed_size: 0, members: 0, barren: 0 }
    }

    /// Packed bytes that were taken so far.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of content that were given so far.
    #[must_use]
    pub const fn given(&self) -> u64 {
        self.given
    }

    /// The size of the archive as it is known, which decides how much may come out of it.
    pub const fn set_packed_size(&mut self, size: u64) {
        self.packed_size = size;
    }

    /// Whether the archive may end here: behind a whole member. Right only after a step that ended [`Pause::Hungry`].
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        match &self.place {
            Place::Before(bytes) => bytes.is_empty() && self.taken > 0,
            Place::Skipping(left) => *left == 0,
            Place::Within(_) => false,
            Place::Behind => true,
        }
    }

    /// Unpacks a little: takes at most the input, fills at most the output, begins at most a few members.
    ///
    /// # Errors
    /// When the archive is not to be unpacked further. What `output` holds is then not content.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Failure> {
        let (mut taken, mut given, mut begun) = (0, 0, 0);
        loop {
            let rest = &input[taken..];
            let out_before = given;
            let hungry = match &mut self.place {
                Place::Behind => {
                    taken = input.len();
                    self.taken += rest.len() as u64;
                    true
                }
                Place::Skipping(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= skipped as u64;
                    taken += skipped;
                    self.taken += skipped as u64;
                    self.barren = self.barren.saturating_add(skipped as u64);
                    if *left == 0 {
                        self.place = Place::Before(Vec::new());
                    }
                    taken == input.len()
                }
                Place::Before(_) => {
                    let (count, hungry) = self.before(rest)?;
                    taken += count;
                    self.taken += count as u64;
                    begun += u32::from(!hungry);
                    hungry
                }
                Place::Within(_) => {
                    let (count, filled, hungry) = self.within(rest, &mut output[given..])?;
                    taken += count;
                    given += filled;
                    hungry
                }
            };
            if given > out_before {
                self.barren = 0;
            } else if self.barren > self.limits.barren {
                return Err(Failure::Barren { input: self.barren });
            }
            let pause = if hungry { Some(Pause::Hungry) } else { None };
            let full = given == output.len() && matches!(self.place, Place::Within(_));
            if let Some(pause) = pause.or((full || begun >= MEMBERS_A_STEP).then_some(Pause::More)) {
                return Ok(Step { taken, given, pause });
            }
        }
    }

    /// Collects the beginning of a member until it is clear what to do. Returns how many bytes were taken, and whether
    /// more are needed.
    fn before(&mut self, input: &[u8]) -> Result<(usize, bool), Failure> {
        let Place::Before(bytes) = &mut self.place else { return Ok((0, false)) };
        for (place, byte) in input.iter().enumerate() {
            if bytes.is_empty() && self.members > 0 && *byte == 0 {
                self.barren = self.barren.saturating_add(1);
                continue; // Padding.
            }
            bytes.push(*byte);
            let opening = opening(self.format, bytes);
            let memory = self.limits.memory;
            let damaged = |reason: String, at: u64| Failure::Damaged { at, reason };
            match opening {
                Opening::Unclear => {}
                Opening::Skip(length) => {
                    self.members += 1;
                    self.barren = self.barren.saturating_add(Limits::MEMBER);
                    self.place = Place::Skipping(length);
                    return Ok((place + 1, false));
                }
                Opening::Member { needs } if needs > memory => {
                    return Err(Failure::Memory { needed: needs, allowed: memory });
                }
                Opening::Member { .. } => {
                    let bytes = std::mem::take(bytes);
                    let member = Member::new(self.format, memory).map_err(|obstacle| self.failure(obstacle, memory))?;
                    self.members += 1;
                    self.barren = self.barren.saturating_add(Limits::MEMBER);
                    self.place = Place::Within(Box::new(Within { member, held: bytes, drained: false }));
                    return Ok((place + 1, false));
                }
                Opening::None if self.members > 0 => {
                    self.place = Place::Behind;
                    return Ok((place + 1, false));
                }
                Opening::None => return Err(damaged(format!("this is not {}", self.format.name()), self.taken)),
            }
        }
        Ok((input.len(), true))
    }

    /// Lets the member work. Returns bytes taken from the input, bytes given, and whether it needs more input.
    fn within(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize, bool), Failure> {
        let Place::Within(within) = &mut self.place else { return Ok((0, 0, false)) };
        let from_held = !within.held.is_empty();
        let source: &[u8] = if from_held { &within.held } else { input };
        if output.is_empty() || (within.drained && source.is_empty()) {
            return Ok((0, 0, !output.is_empty()));
        }
        let moved = match within.member.run(source, output) {
            Ok(moved) => moved,
            Err(obstacle) => return Err(self.failure(obstacle, self.limits.memory)),
        };
        if moved.taken == 0 && moved.given == 0 && !moved.ended && !source.is_empty() {
            return Err(Failure::Damaged { at: self.taken, reason: "its decoder stands still".to_owned() });
        }
        within.drained = moved.taken == source.len() && moved.given < output.len();
        let hungry = within.drained && (!from_held || input.is_empty());
        let taken = if from_held {
            within.held.drain(..moved.taken);
            0
        } else {
            moved.taken
        };
        self.taken += taken as u64;
        self.given += moved.given as u64;
        self.barren = self.barren.saturating_add(moved.taken as u64);
        if moved.ended {
            // A header is never longer than its member, so nothing of it is left.
            self.place = Place::Before(Vec::new());
        }
        let packed = self.taken.max(self.packed_size);
        let allowed = self.limits.grace.saturating_add(packed.saturating_mul(self.limits.ratio));
        if self.given > allowed {
            return Err(Failure::Output { allowed });
        }
        Ok((taken, moved.given, hungry && !moved.ended))
    }

    fn failure(&self, obstacle: Obstacle, allowed: u64) -> Failure {
        match obstacle {
            Obstacle::Memory(needed) => Failure::Memory { needed, allowed },
            Obstacle::Damage(reason) => Failure::Damaged { at: self.taken, reason },
        }
    }
}

/// What begins with these bytes.
enum Opening {
    /// More are needed.
    Unclear,
    /// A frame to be skipped, of this many further bytes.
    Skip(u64),
    /// A member whose decoder takes so much memory, as far as its beginning says.
    Member { needs: u64 },
    /// None of this format.
    None,
}

fn opening(format: Format, bytes: &[u8]) -> Opening {
    match recognise(bytes) {
        Kind::Packed(found) if found == format => {}
        Kind::Undecided if format.may_begin_with(bytes[0]) => return Opening::Unclear,
        _ => return Opening::None,
    }
    match format {
        Format::Gzip | Format::Xz => Opening::Member { needs: 0 },
        Format::Bzip2 => {
            let level = u64::from(bytes[3] - b'0');
            Opening::Member { needs: 100_000 + 400_000 * level }
        }
        Format::Zstd if bytes[1] == 0x2a => match bytes.get(4..8) {
            Some(length) => Opening::Skip(u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]))),
            None => Opening::Unclear,
        },
        Format::Zstd => zstd_frame(bytes),
    }
}

/// How large a window the frame asks for: RFC 8878, section 3.1.1.1. The whole header is collected before the decoder
/// gets any of it: given a header in two pieces, libzstd takes the second for the beginning of the frame, and where that
/// looks like a whole frame of its own, for instance one to skip, it ends the one that has just begun.
fn zstd_frame(bytes: &[u8]) -> Opening {
    debug_assert!(bytes.len() <= LONGEST_HEADER, "a header is short");
    let Some(descriptor) = bytes.get(4) else { return Opening::Unclear };
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let start = 5 + usize::from(!single_segment) + dictionary;
    let Some(field) = bytes.get(start..start + length) else { return Opening::Unclear };
    let window = if single_segment {
        let size = field.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        if length == 2 { size + 256 } else { size }
    } else {
        let base = 1_u64 << (10 + (bytes[5] >> 3));
        base + base / 8 * u64::from(bytes[5] & 7)
    };
    Opening::Member { needs: window.saturating_add(ZSTD_BESIDES) }
}

#[cfg(test)]
mod tests;

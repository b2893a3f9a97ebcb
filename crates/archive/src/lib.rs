//! Archives of logs: recognised by their first bytes, unpacked a bounded step at a time.
//! Promises that a step is bounded in input, output and members, that a decoder stays within its memory, and that an
//! archive which costs far more than it gives is given up with a reason.
//! Leaves reading files, and what unpacked bytes mean, to the caller.

mod decoder;
/// A door for fuzzers.
pub mod fuzz;
mod kind;
mod member;

pub use decoder::{Decoder, Pause, Step};
pub use kind::{ENOUGH, Format, Kind, Unsupported, recognise};

/// What an archive may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that its decoder may take.
    pub memory: u64,
    /// Input without any output before it is given up, in bytes; an empty member counts as [`Limits::MEMBER`].
    pub barren: u64,
    /// Bytes of output for each byte of input.
    pub ratio: u64,
    /// Bytes of output besides.
    pub grace: u64,
}

impl Limits {
    /// What a member costs besides its bytes: making a decoder ready takes as long as unpacking about this many bytes.
    pub const MEMBER: u64 = 4096;
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 16 << 20, barren: 64 << 20, ratio: 1000, grace: 1 << 30 }
    }
}

/// Why an archive is not unpacked further. None of these goes away by trying again with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its decoder would take too much memory.
    #[error("unpacking it needs {} MiB of memory, {} MiB are allowed", needed.div_ceil(1 << 20), allowed >> 20)]
    Memory {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that it may take.
        allowed: u64,
    },
    /// It goes on and on and holds nothing.
    #[error("{input} packed bytes in a row hold no content")]
    Barren {
        /// Packed bytes since the last byte of content.
        input: u64,
    },
    /// It unpacks to more than an archive of its size may.
    #[error("it unpacks to more than {allowed} bytes, which is more than an archive of its size may")]
    Output {
        /// The most that it may unpack to.
        allowed: u64,
    },
    /// It is damaged, or no such archive after all.
    #[error("it is damaged at packed byte {at}: {reason}")]
    Damaged {
        /// Packed bytes before the damage, roughly.
        at: u64,
        /// What the decoder says.
        reason: String,
    },
}

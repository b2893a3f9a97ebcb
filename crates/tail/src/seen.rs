//! What the shell has seen and tells the core.
//! Promises that every question of a `ToDo` has exactly one kind of answer, and that an error is never an answer about
//! content.
//! Leaves what follows from it to the core.

use datalake_base::record::{FileKey, Origin, Position};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A point in time: microseconds since some moment before the start. Never goes back; says nothing about the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// This many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0 + milliseconds * 1_000)
    }

    /// Milliseconds since the other.
    #[must_use]
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

/// A flow by its place in [`crate::Settings::flows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u16);

/// A folder that the core asked to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderId(pub u32);

/// Which question an answer belongs to. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An open file. The core chooses the number; it may be used again after [`crate::ToDo::Close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What the filesystem says about a regular file, links followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Which file.
    pub key: FileKey,
    /// Its size in bytes; for archives the packed size.
    pub size: u64,
    /// Change time (ctime), nanoseconds since 1970. Only ever compared for equality.
    pub changed: u64,
    /// How many names it has; 0 when only descriptors hold it.
    pub names: u32,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its folder.
    pub name: Box<[u8]>,
    /// `None` when the name is there and nothing can be said about its file now (a link that leads nowhere, ESTALE, no
    /// permission): what was known of it stays.
    pub status: Option<Status>,
    /// The flow whose patterns match the path (and no exclusion does).
    pub flow: Option<FlowId>,
    /// Where no pattern matches: the flow for which it may be a rotation, see [`crate::names::kin`].
    pub kin: Option<FlowId>,
    /// The path matches a pattern that was never started before, and its flow begins at the end of what is there then.
    /// Believed only until [`crate::ToDo::Begun`].
    pub skip: bool,
    /// For a symbolic link: the absolute path of each hop's target, the last of them the file itself.
    pub hops: Vec<PathBuf>,
}

/// Some bytes of a file. In archives positions count unpacked bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The range that was asked for.
    pub range: Range<u64>,
    /// The bytes from its start on; fewer than asked for only where the content ends.
    pub bytes: Vec<u8>,
}

/// What a file holds at the places that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Taken from the open file, after its bytes were read.
    pub status: Status,
    /// One for each range that was asked for, in their order.
    pub parts: Vec<Part>,
    /// Whether it was asked for as an archive.
    pub packed: bool,
    /// What the first bytes are (for archives: the first unpacked ones); `Plain` where they were not asked for.
    pub kind: Kind,
    /// For archives: how long the content is, when its end was reached.
    pub end: Option<u64>,
}

/// How a file is packed; known by its first bytes, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packing {
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Something else that is packed: never read, never shipped as lines.
    Other,
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Lines, as far as anybody can tell.
    #[default]
    Plain,
    /// An archive.
    Packed(Packing),
    /// All bytes there are, are the beginning of an archive's mark: more are needed.
    Undecided,
}

/// Why an archive cannot be read now, or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFault {
    /// It ends in the middle: it may still be written.
    NotWhole,
    /// Its bytes are wrong.
    Corrupt,
    /// The format is known and not read (zip, lz4, ...), or it needs something that is not there.
    Unsupported,
    /// Its decoder needs more memory than the flow allows.
    Memory {
        /// What it needs, in bytes.
        needs: u64,
    },
    /// So much input and no output.
    NoOutput {
        /// Packed bytes that were read.
        input: u64,
    },
    /// It unpacks to more than the flow allows.
    TooLong {
        /// Unpacked bytes so far.
        output: u64,
    },
}

/// Why something could not be done. None of these says anything about content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No descriptor or no memory is free (EMFILE, ENFILE, ENOMEM).
    NoResource,
    /// Both decoders are in use, or the budget for them is.
    NoDecoder,
    /// ENOENT, ENOTDIR, ELOOP: the name is not there now. The folder is looked at again.
    Missing,
    /// ESTALE, EIO on the network, ETIMEDOUT: later.
    Stale,
    /// EACCES, EPERM.
    Denied,
    /// Not a regular file, or a link or file that the rules of trust refuse; the shell says which.
    Refused,
    /// Any other error of the system.
    System {
        /// Its number.
        errno: i32,
    },
    /// The archive cannot be unpacked.
    Archive(ArchiveFault),
}

/// Everything the core learns. Unless a variant says otherwise it may come at any time.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A folder in which files that match may lie. All of them before [`Seen::Start`], new ones when they come.
    Folder {
        /// Its absolute path.
        path: &'a Path,
    },
    /// No pattern leads to this folder any more, or it is gone. What is followed in it is still followed where it is.
    FolderGone {
        /// Its absolute path.
        path: &'a Path,
    },
    /// All folders and all rows are in: begin.
    Start,
    /// Answers [`crate::ToDo::Watch`]; may come again when that changes.
    Watching {
        /// The folder.
        folder: FolderId,
        /// Whether events tell what happens in it. Without them it is listed every second.
        events: bool,
    },
    /// A part of a listing: any number of parts of at most [`crate::Limits::entries`] each, the last marked.
    Listed {
        /// Which listing.
        ticket: Ticket,
        /// The names of this part.
        entries: Vec<Entry>,
        /// Whether nothing more comes.
        last: bool,
    },
    /// An event concerned this name, or [`crate::ToDo::Look`] asked about it; this is what is there now. Not sent when the
    /// look failed for another reason than that nothing is there: then [`Seen::Unsure`].
    Changed {
        /// The folder.
        folder: FolderId,
        /// The name in it.
        name: &'a [u8],
        /// What is there now.
        entry: Option<Entry>,
    },
    /// Something happened in this folder, or the folder itself may be gone; what, is not known.
    Unsure {
        /// The folder.
        folder: FolderId,
    },
    /// Events were lost: anything may have happened anywhere.
    EventsLost,
    /// Answers [`crate::ToDo::Open`].
    Opened {
        /// Which question.
        ticket: Ticket,
        /// What was opened (`fstat`).
        status: Status,
    },
    /// Answers [`crate::ToDo::Sample`].
    Sampled {
        /// Which question.
        ticket: Ticket,
        /// What was found.
        sample: Sample,
    },
    /// Answers [`crate::ToDo::Read`].
    Read {
        /// Which question.
        ticket: Ticket,
        /// The bytes from the position that was asked for on; empty at the end.
        bytes: &'a [u8],
        /// Taken from the open file, after the bytes were read.
        status: Status,
        /// For archives: whether the content ends with these bytes.
        end: bool,
    },
    /// Answers [`crate::ToDo::Read`] where the file has a hole of at least 64 KiB at the position that was asked for
    /// (without overlap): what is before `end` was never written.
    Hole {
        /// Which question.
        ticket: Ticket,
        /// The first position that may hold something.
        end: u64,
    },
    /// Answers [`crate::ToDo::Read`] when the flow has no room or there is no buffer. Nothing was read.
    NoRoom {
        /// Which question.
        ticket: Ticket,
    },
    /// Any question may be answered by this.
    Failed {
        /// Which question.
        ticket: Ticket,
        /// Why.
        failure: Failure,
    },
    /// The flow has room again, or buffers came back.
    Room {
        /// The flow.
        flow: FlowId,
    },
    /// The flow takes nothing any more.
    Closed {
        /// The flow.
        flow: FlowId,
    },
    /// Everything before this is settled (a watermark).
    Settled {
        /// The origin as the core named it.
        origin: Origin,
        /// How far.
        position: Position,
        /// Bytes that the settings drop, among those that are settled now and were not before.
        filtered: u64,
        /// The same of bytes that are kept in the quarantine.
        quarantined: u64,
    },
    /// Nothing but that time went by: [`crate::Tail::deadline`] is reached.
    Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that went back has let no time pass.
    #[test]
    fn moments_are_microseconds_and_what_lies_between_them_milliseconds() {
        let moment = Moment(1_500);
        assert_eq!(moment.plus_ms(3), Moment(4_500));
        assert_eq!((Moment(9_499).ms_since(moment), Moment(9_500).ms_since(moment)), (7, 8));
        assert_eq!(moment.ms_since(Moment(9_500)), 0);
    }
}

//! What the core wants done, in this order, and what is to be said.
//! Promises that what is asked for is bounded, and that what is handed over was proven.
//! Leaves doing it to the shell.

use crate::row::{ContentId, FolderRow, Row};
use crate::seen::{ArchiveFault, Failure, FlowId, FolderId, Packing, Slot, Ticket};
use datalake_base::record::{FileKey, Origin, Position};
use std::ops::Range;
use std::path::PathBuf;

/// One thing to do. Questions carry a ticket and are answered once, sooner or later; the others are done and forgotten.
#[derive(Clone, Debug, PartialEq)]
pub enum ToDo {
    /// Watch a folder, and tell with its number what happens in it. Answered by `Seen::Watching`.
    Watch {
        /// Its number from now on.
        folder: FolderId,
        /// Its absolute path.
        path: PathBuf,
    },
    /// Nothing of this folder is of interest any more. Its number is not used again.
    Unwatch {
        /// Its number.
        folder: FolderId,
    },
    /// List the folder. Answered by parts of `Seen::Listed`, or `Failed`: `Missing` for a folder that is not there.
    List {
        /// Goes with every part.
        ticket: Ticket,
        /// Which folder.
        folder: FolderId,
        /// Whether every regular file and link is wanted; else those with a flow or kin.
        everything: bool,
    },
    /// Look at one name. Answered by `Seen::Changed`, or `Seen::Unsure`.
    Look {
        /// The folder.
        folder: FolderId,
        /// The name in it.
        name: Box<[u8]>,
    },
    /// Open a file and keep it open in this slot. Answered by `Opened` or `Failed`.
    Open {
        /// Which question.
        ticket: Ticket,
        /// Where it is kept; free until now.
        slot: Slot,
        /// Which file.
        path: PathBuf,
        /// How it is packed: the slot then holds a decoder at position 0.
        packing: Option<Packing>,
    },
    /// Close it, with all that belongs to it. Questions about it that are not answered yet need no answer.
    Close {
        /// The slot; free from now on.
        slot: Slot,
    },
    /// Read these ranges: at most sixteen, ascending, 1,024 bytes each at most. Answered by `Sampled` or `Failed`.
    Sample {
        /// Which question.
        ticket: Ticket,
        /// The open file, where it is open.
        slot: Option<Slot>,
        /// The file: to be opened for this, and closed, when it has no slot.
        path: PathBuf,
        /// How it is packed: ranges then count unpacked bytes. With a slot, the decoder goes back to its beginning when a
        /// range is before what it has unpacked.
        packing: Option<Packing>,
        /// What to read.
        ranges: Vec<Range<u64>>,
    },
    /// Read from an open file. Answered by `Read`, `Hole`, `NoRoom` or `Failed`.
    Read {
        /// Which question.
        ticket: Ticket,
        /// Whose room is needed: the answer may be followed at once by a `HandOver`, with a `Begin` before it.
        flow: FlowId,
        /// The open file.
        slot: Slot,
        /// From here. The decoder of an archive unpacks and drops what comes before, a bounded part at a time, for as long
        /// as that takes; it begins anew when it is past it.
        from: u64,
        /// The number of bytes at the front that were read before; they prove that the rest follows them.
        overlap: u32,
        /// The maximum number of bytes, the overlap included.
        most: u32,
    },
    /// A new origin: `Arrival::Opened`.
    Begin {
        /// Whose.
        flow: FlowId,
        /// The origin.
        origin: Origin,
        /// What it is called.
        path: PathBuf,
        /// Its file, for provenance.
        file: FileKey,
        /// Where reading begins.
        start: Position,
        /// The hash of the content's first line, when it is known by now.
        generation: Option<u64>,
    },
    /// The first line of an origin is known now: `OriginInfo::generation`.
    Generation {
        /// The origin.
        origin: Origin,
        /// The hash of its first line.
        generation: u64,
    },
    /// The bytes of the `Read` that this step was called with, from `skip` on: `Arrival::Read`. Only in the answer to
    /// that step; a read that is not handed over is dropped.
    HandOver {
        /// Whose.
        flow: FlowId,
        /// The origin.
        origin: Origin,
        /// Position of the first byte that is handed over.
        start: Position,
        /// The number of bytes of the answer to leave out: the overlap.
        skip: usize,
    },
    /// No further byte comes from this origin: `Arrival::Ended`.
    End {
        /// Whose.
        flow: FlowId,
        /// The origin.
        origin: Origin,
    },
    /// Insert or replace the row. All rows of one step belong into one transaction.
    Save(Box<Row>),
    /// Delete the row.
    Forget(ContentId),
    /// Insert or replace what a folder held. That it held nothing is worth knowing, too.
    SaveFolder(Box<FolderRow>),
    /// Delete what is known of this folder.
    ForgetFolder(PathBuf),
    /// Where reading begins in every file that was there at the start is decided, and the rows before this one say so.
    Begun,
    /// Say it to the operator.
    Say(Notice),
}

/// Why bytes were destroyed before they could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The file was cut or written anew, and no copy of what it held was found.
    Truncated,
    /// The file was deleted, and no copy of what it held was found.
    Deleted,
    /// The unread end of the file was cut off.
    EndCut,
    /// The only copy that was found is an archive that cannot be unpacked.
    Archive,
}

/// Why something that begins like something known is read from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Again {
    /// The file holds other content than what was read of it.
    Rewritten,
    /// It was cut, and what is left could have been written twice.
    CutInDoubt,
    /// It is equal to something that was read, and could have been written twice.
    EqualInDoubt,
    /// It is equal to something that was read up to a place, and goes on from there.
    EqualUpTo {
        /// The place.
        position: u64,
    },
}

/// A message to the operator, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A followed file is read from its beginning (or from a place before what was read).
    ReadAgain {
        /// Whose.
        flow: FlowId,
        /// The file.
        path: PathBuf,
        /// How much had been read of what it is taken for or was before.
        bytes: u64,
        /// Why.
        reason: Again,
    },
    /// Bytes were destroyed before they could be read. Counted once, here: add `bytes` to the accounting.
    Destroyed {
        /// Whose.
        flow: FlowId,
        /// Where the content was last.
        path: PathBuf,
        /// How many are known of.
        bytes: u64,
        /// Why.
        reason: Loss,
    },
    /// Content that was counted as destroyed has come to light and is read after all: take `bytes` off the accounting.
    Recovered {
        /// Whose.
        flow: FlowId,
        /// Where it is.
        path: PathBuf,
        /// How many had been counted.
        bytes: u64,
    },
    /// A hole was skipped.
    Hole {
        /// Whose.
        flow: FlowId,
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// An archive is not read (any further).
    ArchiveSkipped {
        /// Whose.
        flow: FlowId,
        /// The archive.
        path: PathBuf,
        /// Its packed size.
        bytes: u64,
        /// Why.
        fault: ArchiveFault,
    },
    /// A file cannot be read; it is tried again.
    Unreadable {
        /// Whose.
        flow: FlowId,
        /// The file.
        path: PathBuf,
        /// Why.
        failure: Failure,
    },
    /// It can be read now.
    ReadableAgain {
        /// The file.
        path: PathBuf,
    },
    /// A folder cannot be listed; it is tried again, and what is followed in it is as it was.
    FolderUnreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        failure: Failure,
    },
    /// It can be listed now.
    FolderReadableAgain {
        /// The folder.
        path: PathBuf,
    },
    /// No descriptor is free; nothing is lost, everything is tried again.
    NoResource,
    /// Files can be opened again.
    ResourcesAgain,
}

//! One quarantine file: its lines, and marking those that were delivered after all.
//! Promises that a torn or damaged line hides no other, and that a crash while marking loses nothing.
//! Leaves making files and their bounds to the parent.

use datalake_base::units::counted;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::deliver::GivenUp;

/// The first byte of a line that was delivered after all, in place of its `{`.
const DELIVERED: u8 = b'#';
/// No record is longer when encoded; what is longer is damage.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// A record as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was given up (RFC 3339, UTC).
    pub time: String,
    /// The stream it was for.
    pub stream: String,
    /// Its partition key; a record that has one was for a stream of Kinesis Data Streams, the others for Firehose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
    /// The flow that gave it up.
    pub flow: String,
    /// Where its bytes come from.
    pub origins: Vec<EntryOrigin>,
    /// The service's error code, or `processing`.
    pub code: String,
    /// The reason in words.
    pub message: String,
    /// Lines in it.
    pub lines: usize,
    /// Its bytes in base64: as the service takes them, or, where it is unprocessed, as they came in.
    pub data: String,
    /// Whether the flow's options, and its compression, are still to be applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unprocessed: bool,
}

/// A stretch of a file that a record came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryOrigin {
    /// The path when the file was opened; what is not UTF-8 in it is replaced.
    pub path: String,
    /// The path in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    /// Device the file lies on.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its birth time in nanoseconds since 1970, 0 where unknown.
    pub born: u64,
    /// Which life of the file: the hash of its first line, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Position of the first byte.
    pub start: u64,
    /// Position after the last byte.
    pub end: u64,
}

impl Entry {
    /// The entry for a record that is given up at `time`.
    pub(super) fn new(given_up: &GivenUp, stream: &str, flow: &str, time: &str) -> Self {
        let encode = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
        let origin = |path: &OsStr| match path.to_str() {
            Some(path) => (path.to_owned(), None),
            None => (path.to_string_lossy().into_owned(), Some(encode(path.as_bytes()))),
        };
        let origins = given_up.extents.iter().map(|(info, start, end)| {
            let (path, path_base64) = origin(info.path.as_os_str());
            let file = info.file;
            let (device, inode, born) = (file.device, file.inode, file.born);
            let generation = info.generation.get().copied();
            EntryOrigin { path, path_base64, device, inode, born, generation, start: start.0, end: end.0 }
        });
        Self {
            time: time.to_owned(),
            stream: stream.to_owned(),
            partition_key: given_up.partition_key.clone(),
            flow: flow.to_owned(),
            origins: origins.collect(),
            code: given_up.fault.code.clone(),
            message: given_up.fault.message.clone(),
            lines: given_up.lines,
            data: encode(&given_up.payload),
            unprocessed: given_up.unprocessed,
        }
    }

    /// Bytes of the record before base64.
    #[must_use]
    pub fn size(&self) -> usize {
        let padding = self.data.bytes().rev().take_while(|byte| *byte == b'=').count();
        (self.data.len() / 4 * 3).saturating_sub(padding)
    }
}

/// A line of a file: its number, from 1, where it begins, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// Where it begins in the file.
    pub offset: u64,
    /// What it is.
    pub state: LineState,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineState {
    /// A record that still waits.
    Waiting(Box<Entry>),
    /// A record that was delivered by a replay.
    Delivered,
    /// No record: changed by someone, with the reason.
    Damaged(String),
    /// The end of the file, without a newline: its record never counted as kept, and was sent or kept again.
    Torn,
}

/// An open quarantine file.
#[derive(Debug)]
pub struct QuarantineFile {
    path: PathBuf,
    file: File,
}

impl QuarantineFile {
    pub(super) fn new(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn from(&self, position: u64) -> io::Result<Reading> {
        Ok(Reading { file: self.file.try_clone()?, position })
    }

    /// Its lines, one at a time in memory.
    ///
    /// # Errors
    /// When the file cannot be read; each line says for itself when it cannot be understood.
    pub fn lines(&self) -> io::Result<impl Iterator<Item = io::Result<Line>> + use<>> {
        let mut reader = BufReader::new(self.from(0)?);
        let (mut number, mut offset) = (0, 0);
        Ok(std::iter::from_fn(move || {
            let (length, text) = match next_line(&mut reader) {
                Ok((0, _)) => return None,
                Ok(read) => read,
                Err(error) => return Some(Err(error)),
            };
            number += 1;
            let line = Line { number, offset, state: state(&text, length) };
            offset += length;
            Some(Ok(line))
        }))
    }

    /// Marks a line as delivered: one byte, synced, so that a crash at any moment leaves it either marked or waiting.
    ///
    /// # Errors
    /// When the disk refuses; the record would then be sent once more by the next replay.
    pub fn mark_delivered(&self, line: &Line) -> io::Result<()> {
        self.file.write_all_at(&[DELIVERED], line.offset)?;
        self.file.sync_data()
    }

    /// Rewrites the file without delivered and torn lines, or removes it when nothing else is in it.
    /// Answers how many lines stay.
    ///
    /// # Errors
    /// When the disk refuses; the file is then as it was.
    pub fn compact(self) -> io::Result<usize> {
        self.retain(|state| matches!(state, LineState::Waiting(_) | LineState::Damaged(_)))
    }

    /// Rewrites the file with the lines that are kept alone, or removes it when there are none. Answers how many stay.
    ///
    /// # Errors
    /// When the disk refuses; the file is then as it was.
    pub fn retain(self, mut keep: impl FnMut(&LineState) -> bool) -> io::Result<usize> {
        let temporary = self.path.with_extension("compacting");
        // The folder belongs to the agent, and this may be root: what the agent could have put there is not followed.
        let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
        let mut writer = BufWriter::new(options.open(&temporary)?);
        let mut stay = 0;
        for line in self.lines()? {
            let line = line?;
            if keep(&line.state) {
                copy_line(&mut BufReader::new(self.from(line.offset)?), &mut writer)?;
                stay += 1;
            }
        }
        writer.flush()?;
        // The file stays the agent's, also when root runs the command.
        let (own, made) = (self.file.metadata()?, writer.get_ref().metadata()?);
        if (own.uid(), own.gid()) != (made.uid(), made.gid()) {
            std::os::unix::fs::fchown(writer.get_ref(), Some(own.uid()), Some(own.gid()))?;
        }
        writer.get_ref().sync_all()?;
        if stay == 0 {
            fs::remove_file(&temporary)?;
            fs::remove_file(&self.path)?;
        } else {
            fs::rename(&temporary, &self.path)?;
        }
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(stay)
    }
}

/// Reads with a position of its own: clones of a file share theirs.
#[derive(Debug)]
struct Reading {
    file: File,
    position: u64,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// The length of the next line, with its newline, and its text as far as it can be a record's; nothing at the end.
fn next_line(reader: &mut impl BufRead) -> io::Result<(u64, Vec<u8>)> {
    let mut text = Vec::new();
    let mut length = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)? as u64;
    if length == LONGEST_LINE && !text.ends_with(b"\n") {
        // The rest of an endless line is passed over, not kept.
        length += copy_line(reader, &mut io::sink())?;
        text.clear();
        text.push(b'\n');
    }
    Ok((length, text))
}

/// Copies up to and with the next newline; answers how many bytes that were.
fn copy_line(reader: &mut impl BufRead, writer: &mut impl Write) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(copied);
        }
        let newline = memchr::memchr(b'\n', piece);
        let length = newline.map_or(piece.len(), |at| at + 1);
        writer.write_all(&piece[..length])?;
        reader.consume(length);
        copied += length as u64;
        if newline.is_some() {
            return Ok(copied);
        }
    }
}

fn state(text: &[u8], length: u64) -> LineState {
    if length > LONGEST_LINE {
        return LineState::Damaged(format!("{} long", counted(length, "byte")));
    }
    match text.split_last() {
        Some((b'\n', [DELIVERED, ..])) => LineState::Delivered,
        Some((b'\n', record)) => match serde_json::from_slice(record) {
            Ok(entry) => LineState::Waiting(Box::new(entry)),
            Err(error) => LineState::Damaged(error.to_string()),
        },
        _ => LineState::Torn,
    }
}

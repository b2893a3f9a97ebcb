//! The limit program: what physics asks of a shipper and nothing else, as a process of its own.
//! Promises to read the files, cut them at newlines, and ship (or only compress) every byte in order.
//! Leaves out what makes a shipper: positions, watching, retries, faults.

mod aggregate;
mod body;
mod connection;
mod signing;

use crate::{ACCESS_KEY, Outcome, REGION, SECRET_KEY, STREAM};
use aggregate::Aggregate;
pub(crate) use aggregate::{FRAME_BYTES, line_frame};
use body::Body;
use connection::Connection;
use sha2::{Digest, Sha256};
use signing::{FIREHOSE, KINESIS, Operation, Signer};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

/// Bytes of a call before base64: 4 MiB less 1 KiB, as the agent has it.
const CALL_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// Records of a call.
const CALL_RECORDS: usize = 500;
/// Bytes of a packed record.
const RECORD_BYTES: usize = 1_024_000;
/// Bytes of a call to Kinesis before base64, keys included.
const KINESIS_CALL_BYTES: usize = 5 * 1024 * 1024;
/// Bytes of an aggregated record, its key included.
const AGGREGATE_BYTES: usize = 51_200;
/// Bytes of a read where lines go out one by one: stays in the processor's cache.
const LINE_READ_BYTES: usize = 256 * 1024;
/// gzip level of the yardstick.
const GZIP_LEVEL: i32 = 1;

/// What the program does with the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Packs them into records of about 1,000 KiB and ships those.
    Packed,
    /// Ships each as a record of its own.
    Lines,
    /// Aggregates them as the Kinesis Producer Library does and ships that to Kinesis.
    Kinesis,
    /// Compresses them about 4 MiB at a time and ships nothing.
    Compress,
}

impl Mode {
    /// As it is written on the command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Lines => "lines",
            Self::Kinesis => "kinesis",
            Self::Compress => "compress",
        }
    }
}

/// What was done, for the line the program prints at its end.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Report {
    /// Bytes read.
    pub(crate) read: u64,
    /// Calls made.
    pub(crate) calls: u64,
    /// Bytes after compression; 0 where nothing was compressed.
    pub(crate) compressed: u64,
}

/// `limit MODE ENDPOINT CERTIFICATE FILE…`: works, prints its [`Report`] as one line of JSON, then stays until its input
/// closes, so that its parent can still read its CPU time and memory from the outside.
pub(crate) fn main(arguments: &[String]) -> Outcome<()> {
    let [mode, endpoint, authority, files @ ..] = arguments else {
        return Err("limit MODE ENDPOINT CERTIFICATE FILE…".into());
    };
    let mode = [Mode::Packed, Mode::Lines, Mode::Kinesis, Mode::Compress]
        .into_iter()
        .find(|known| known.word() == mode)
        .ok_or("the mode is packed, lines, kinesis or compress")?;
    let input = Input::new(files.iter().map(PathBuf::from).collect());
    let report = match mode {
        Mode::Compress => compress(input)?,
        Mode::Packed => ship_packed(input, Shipment::open(FIREHOSE, endpoint, authority)?)?,
        Mode::Lines => ship_lines(input, Shipment::open(FIREHOSE, endpoint, authority)?)?,
        Mode::Kinesis => ship_aggregated(input, Shipment::open(KINESIS, endpoint, authority)?)?,
    };
    let mut output = std::io::stdout();
    writeln!(output, "{}", serde_json::to_string(&report)?)?;
    output.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Several files read as one, through one buffer.
struct Input {
    /// In reverse: the next one is the last.
    waiting: Vec<PathBuf>,
    open: Option<File>,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet used; `start <= end <= buffer.len()`.
    start: usize,
    end: usize,
    read: u64,
}

impl Input {
    fn new(mut files: Vec<PathBuf>) -> Self {
        files.reverse();
        Self { waiting: files, open: None, buffer: Vec::new(), start: 0, end: 0, read: 0 }
    }

    /// Moves what is left to the front and reads until `target` bytes are there or the last file has ended.
    fn fill(&mut self, target: usize) -> Outcome<()> {
        if self.buffer.len() < target {
            self.buffer.resize(target, 0);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < target {
            let Some(file) = &mut self.open else {
                let Some(path) = self.waiting.pop() else { break };
                self.open = Some(File::open(path)?);
                continue;
            };
            let count = file.read(&mut self.buffer[self.end..target])?;
            if count == 0 {
                self.open = None;
            }
            self.end += count;
            self.read += count as u64;
        }
        Ok(())
    }

    /// The whole lines in the buffer; they count as used.
    fn whole_lines(&mut self) -> &[u8] {
        let start = self.start;
        let length = memchr::memrchr(b'\n', &self.buffer[start..self.end]).map_or(0, |at| at + 1);
        self.start += length;
        &self.buffer[start..start + length]
    }
}

/// The call being written and the way out.
struct Shipment {
    body: Body,
    connection: Connection,
    signer: Signer,
    calls: u64,
}

impl Shipment {
    fn open(operation: Operation, endpoint: &str, authority: &str) -> Outcome<Self> {
        let authority = PathBuf::from(authority);
        let connection = Connection::open(operation, endpoint, Some(&authority))?;
        let signer = Signer::new(operation, ACCESS_KEY, SECRET_KEY, REGION, &connection.host);
        let kinesis = operation.target == KINESIS.target;
        let (member, bytes) =
            if kinesis { ("StreamName", KINESIS_CALL_BYTES) } else { ("DeliveryStreamName", CALL_BYTES) };
        Ok(Self { body: Body::new(member, STREAM, bytes, CALL_RECORDS), connection, signer, calls: 0 })
    }

    fn room(&self) -> usize {
        CALL_BYTES - self.body.payload
    }

    fn send(&mut self) -> Outcome<()> {
        if self.body.records == 0 {
            return Ok(());
        }
        let body = self.body.seal();
        let length = body.len();
        let hash = Sha256::digest(body).into();
        #[expect(clippy::disallowed_methods, reason = "a signature carries the time of day")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let signature = self.signer.sign(hash, now);
        let head = self.connection.head(&signature.date, &signature.authorization, length);
        self.connection.call(self.body.with_head(head.as_bytes()))?;
        self.body.clear();
        self.calls += 1;
        Ok(())
    }
}

fn ship_packed(mut input: Input, mut shipment: Shipment) -> Outcome<Report> {
    loop {
        input.fill(shipment.room().min(RECORD_BYTES))?;
        let lines = input.whole_lines();
        if !lines.is_empty() {
            shipment.body.push(lines);
        } else if shipment.body.records > 0 {
            shipment.send()?;
        } else {
            break;
        }
    }
    Ok(Report { read: input.read, calls: shipment.calls, compressed: 0 })
}

/// Each of some whole lines.
fn each(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', lines).map(move |newline| &lines[std::mem::replace(&mut start, newline + 1)..=newline])
}

fn ship_lines(mut input: Input, mut shipment: Shipment) -> Outcome<Report> {
    loop {
        input.fill(LINE_READ_BYTES)?;
        let lines = input.whole_lines();
        if lines.is_empty() {
            break;
        }
        for line in each(lines) {
            if shipment.body.records == CALL_RECORDS || line.len() > shipment.room() {
                shipment.send()?;
            }
            shipment.body.push(line);
        }
    }
    shipment.send()?;
    Ok(Report { read: input.read, calls: shipment.calls, compressed: 0 })
}

fn ship_aggregated(mut input: Input, mut shipment: Shipment) -> Outcome<Report> {
    let mut aggregate = Aggregate::new(&mut fastrand::Rng::with_seed(crate::inputs::SEED));
    let mut random = fastrand::Rng::with_seed(crate::inputs::SEED);
    let mut ship = |aggregate: &mut Aggregate, shipment: &mut Shipment| {
        if shipment.body.payload + aggregate.size() > KINESIS_CALL_BYTES {
            shipment.send()?;
        }
        let key = aggregate.key().to_owned();
        shipment.body.push_keyed(aggregate.seal(), &key);
        aggregate.begin(&mut random);
        Outcome::Ok(())
    };
    loop {
        input.fill(LINE_READ_BYTES)?;
        let lines = input.whole_lines();
        if lines.is_empty() {
            break;
        }
        for line in each(lines) {
            if aggregate.size_with(line) > AGGREGATE_BYTES {
                ship(&mut aggregate, &mut shipment)?;
            }
            aggregate.push(line);
        }
    }
    ship(&mut aggregate, &mut shipment)?;
    shipment.send()?;
    Ok(Report { read: input.read, calls: shipment.calls, compressed: 0 })
}

fn compress(mut input: Input) -> Outcome<Report> {
    let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).map_err(|_| "no such compression level")?;
    let mut compressor = libdeflater::Compressor::new(level);
    let mut packed = vec![0; compressor.gzip_compress_bound(CALL_BYTES)];
    let mut report = Report::default();
    loop {
        input.fill(CALL_BYTES)?;
        let lines = input.whole_lines();
        if lines.is_empty() {
            break;
        }
        report.compressed += compressor.gzip_compress(lines, &mut packed)? as u64;
    }
    report.read = input.read;
    Ok(report)
}

//! What arrives against what is in the files: every byte, every line's place, and what it is billed as.
//! Promises an error if one byte differs or one line comes out of order.
//! Leaves faults to the tests: here nothing fails.

use super::Bench;
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::inputs::Input;
use crate::processes::{Agent, Beside};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(180);
/// Each record is billed rounded up to a multiple of this.
const BILLING_STEP: u64 = 5 * 1024;

/// Compares what arrives with one file, byte by byte.
pub(crate) struct SameBytes {
    expected: BufReader<File>,
    buffer: Vec<u8>,
    inflated: Vec<u8>,
    /// For records that are one gzip member each.
    inflate: Option<libdeflater::Decompressor>,
    /// Bytes of the file that arrived.
    pub(crate) content: u64,
    /// Bytes of the records.
    pub(crate) payload: u64,
    billed: u64,
    /// Records.
    pub(crate) records: u64,
    /// Where in the file the first record that differs began.
    differs_at: Option<u64>,
}

impl SameBytes {
    /// Expects the bytes of this file, compressed record by record or not.
    pub(crate) fn as_in(file: &Path, compressed: bool) -> Outcome<Self> {
        Ok(Self {
            expected: BufReader::with_capacity(1 << 20, File::open(file)?),
            buffer: Vec::new(),
            inflated: Vec::new(),
            inflate: compressed.then(libdeflater::Decompressor::new),
            content: 0,
            payload: 0,
            billed: 0,
            records: 0,
            differs_at: None,
        })
    }

    /// An error unless all `bytes` of the file arrived in their order and nothing else did.
    pub(crate) fn must_be_same(&self, bytes: u64) -> Outcome<()> {
        if let Some(at) = self.differs_at {
            return Err(format!("the bytes differ from the file in the record that began at {at}").into());
        }
        if self.content != bytes {
            return Err(format!("{} bytes arrived, the file has {bytes}", self.content).into());
        }
        Ok(())
    }
}

impl Observe for SameBytes {
    fn call(&mut self, _arrived: Instant, records: &[Vec<u8>]) {
        for record in records {
            let bytes = match &mut self.inflate {
                None => Some(record.as_slice()),
                Some(inflate) => gunzip(inflate, record, &mut self.inflated),
            };
            let length = bytes.map_or(0, <[u8]>::len);
            self.buffer.resize(length, 0);
            let same = self.expected.read_exact(&mut self.buffer).is_ok() && bytes == Some(&self.buffer);
            if !same && self.differs_at.is_none() {
                self.differs_at = Some(self.content);
            }
            self.content += length as u64;
            self.payload += record.len() as u64;
            self.billed += (record.len() as u64).next_multiple_of(BILLING_STEP);
            self.records += 1;
        }
    }
}

/// One gzip member; its last four bytes say how long its content is.
fn gunzip<'a>(inflate: &mut libdeflater::Decompressor, member: &[u8], content: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(*member.last_chunk()?);
    content.resize(length as usize, 0);
    let written = inflate.gzip_decompress(member, content).ok()?;
    Some(&content[..written])
}

/// Looks at the number of each line of each file.
struct InOrder {
    /// The number the next line of each file must have.
    next: Vec<u64>,
    payload: u64,
    lines: u64,
    out_of_order: u64,
}

impl Observe for InOrder {
    fn call(&mut self, _arrived: Instant, records: &[Vec<u8>]) {
        for record in records {
            self.payload += record.len() as u64;
            for line in record.split_inclusive(|byte| *byte == b'\n') {
                self.lines += 1;
                let expected = Input::sequence_of(line)
                    .and_then(|(file, number)| Some((self.next.get_mut(usize::try_from(file).ok()?)?, number)));
                match expected {
                    Some((next, number)) if *next == number => *next += 1,
                    _ => self.out_of_order += 1,
                }
            }
        }
    }
}

/// One file: bytes and their price.
pub(crate) fn bytes_and_price(bench: &mut Bench) -> Outcome<()> {
    let input = &bench.inputs.access;
    let [file] = input.files.as_slice() else { return Err("the access log is one file".into()) };
    println!("bytes as in the file: {} bytes", input.bytes);
    let collector = Collector::start(SameBytes::as_in(file, false)?)?;
    ship(bench, &collector, input, |seen| seen.payload)?;
    let seen = collector.observed();
    seen.must_be_same(input.bytes)?;
    let note = format!("{} bytes compared", seen.payload);
    let billed = seen.billed as f64 / seen.payload as f64;
    let records = seen.records;
    bench.table.add("bytes that differ from the file", 0.0, "", Some(0.0), note);
    let note = format!("{records} records, each rounded up to 5 KiB");
    bench.table.add("billed over payload, busy flow", billed, "x", Some(1.01), note);
    Ok(())
}

/// Many files: the order of each file's lines.
pub(crate) fn order(bench: &mut Bench) -> Outcome<()> {
    let input = &bench.inputs.many;
    println!("order of lines: {} files, {} lines", input.files.len(), input.lines);
    // Files are numbered from 1.
    let next = vec![0; input.files.len() + 1];
    let collector = Collector::start(InOrder { next, payload: 0, lines: 0, out_of_order: 0 })?;
    ship(bench, &collector, input, |seen| seen.payload)?;
    let seen = collector.observed();
    if seen.out_of_order > 0 || seen.lines != input.lines {
        let (wrong, lines) = (seen.out_of_order, seen.lines);
        return Err(
            format!("{wrong} of {lines} lines were not the next of their file; {} expected", input.lines).into()
        );
    }
    let note = format!("{} lines of {} files", seen.lines, input.files.len());
    bench.table.add("lines out of order", 0.0, "", Some(0.0), note);
    Ok(())
}

fn ship<O: Observe>(
    bench: &Bench,
    collector: &Collector<O>,
    input: &Input,
    payload: impl Fn(&O) -> u64,
) -> Outcome<()> {
    let folder = bench.folder()?;
    let agent = Agent {
        endpoint: collector.endpoint.clone(),
        authority: None,
        pattern: input.pattern.clone(),
        folder: folder.path().to_owned(),
        flow: serde_json::Map::new(),
        beside: Beside::default(),
    };
    let mut program = agent.start()?;
    program.wait_until("all bytes at the endpoint", DEADLINE, || Ok(payload(&collector.observed()) >= input.bytes))?;
    program.stop(DEADLINE)
}

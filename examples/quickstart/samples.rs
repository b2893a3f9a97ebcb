//! Sample logs: three files that grow, each rotated in its own way, so that there is something to see.
//! Promises that each line says which log it belongs to, which run wrote it, and its number in both.
//! Leaves shipping them to the agent.

use crate::Outcome;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use datalake_agent::telemetry::clock;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines come in bursts.
const BURST: u64 = 40;
/// With this pause between them.
const PAUSE: Duration = Duration::from_millis(50);
/// Rotated files that are kept of each log.
const GENERATIONS: u32 = 3;

/// The logs: name, how it is rotated, and after how many bursts.
const LOGS: [(&str, Rotation, u64); 3] =
    [("orders", Rotation::Rename, 40), ("web", Rotation::CopyTruncate, 50), ("worker", Rotation::Compress, 60)];

/// What happens to a log when it is rotated.
#[derive(Clone, Copy)]
enum Rotation {
    /// It gets another name, and a new file takes its place.
    Rename,
    /// It is copied, then cut to nothing.
    CopyTruncate,
    /// It gets another name and is packed at once.
    Compress,
}

/// How much was written.
#[derive(Clone, Copy, Default)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    pub(crate) rotations: u64,
}

/// The thread that writes.
pub(crate) struct Samples {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Written>>,
}

impl Samples {
    /// Begins to write into the folder.
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let run = clock::now_ms();
        let mut logs = Vec::new();
        for (name, rotation, after) in LOGS {
            logs.push(Log::open(folder, name, rotation, after, run)?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::Builder::new().name("samples".into()).spawn(move || {
            let mut written = Written::default();
            while !asked.load(Ordering::Relaxed) {
                for log in &mut logs {
                    log.burst(&mut written)?;
                }
                std::thread::sleep(PAUSE);
            }
            Ok(written)
        })?;
        Ok(Self { stop, thread })
    }

    /// No further line.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The same, and what was written.
    pub(crate) fn finish(self) -> Outcome<Written> {
        self.stop();
        let written = self.thread.join().map_err(|_| "the thread that writes sample logs died")?;
        Ok(written.map_err(|error| format!("the sample logs could not be written: {error}"))?)
    }
}

/// One log that grows.
struct Log {
    name: &'static str,
    path: PathBuf,
    file: File,
    rotation: Rotation,
    rotate_after: u64,
    run: u64,
    lines: u64,
    bursts: u64,
}

impl Log {
    fn open(folder: &Path, name: &'static str, rotation: Rotation, rotate_after: u64, run: u64) -> io::Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let file = append_to(&path)?;
        Ok(Self { name, path, file, rotation, rotate_after, run, lines: 0, bursts: 0 })
    }

    fn burst(&mut self, written: &mut Written) -> io::Result<()> {
        self.write_lines(BURST)?;
        self.bursts += 1;
        written.lines += BURST;
        if self.bursts.is_multiple_of(self.rotate_after) {
            self.rotate()?;
            written.rotations += 1;
        }
        Ok(())
    }

    fn write_lines(&mut self, lines: u64) -> io::Result<()> {
        let time = DateTime::from_millis(clock::now_ms() as i64).fmt(Format::DateTime).unwrap_or_default();
        let mut text = String::new();
        for _ in 0..lines {
            let (name, run, line) = (self.name, self.run, self.lines);
            let (customer, took) = (fastrand::u32(1..5000), fastrand::u32(1..400));
            text.push_str(&format!(
                "{{\"time\":\"{time}\",\"log\":\"{name}\",\"run\":{run},\"line\":{line},\"customer\":{customer},\"ms\":{took}}}\n"
            ));
            self.lines += 1;
        }
        self.file.write_all(text.as_bytes())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let ending = if matches!(self.rotation, Rotation::Compress) { ".gz" } else { "" };
        let generation = |number: u32| PathBuf::from(format!("{}.{number}{ending}", self.path.display()));
        for number in (1..GENERATIONS).rev() {
            if generation(number).exists() {
                fs::rename(generation(number), generation(number + 1))?;
            }
        }
        match self.rotation {
            Rotation::Rename => {
                fs::rename(&self.path, generation(1))?;
                self.file = append_to(&self.path)?;
            }
            Rotation::CopyTruncate => {
                fs::copy(&self.path, generation(1))?;
                self.file.set_len(0)?;
            }
            Rotation::Compress => {
                let (unpacked, packed) = (PathBuf::from(format!("{}.1", self.path.display())), generation(1));
                fs::rename(&self.path, &unpacked)?;
                self.file = append_to(&self.path)?;
                pack(&unpacked, &packed)?;
                fs::remove_file(unpacked)?;
            }
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn pack(from: &Path, to: &Path) -> io::Result<()> {
    let mut packer = GzEncoder::new(File::create(to)?, Compression::fast());
    io::copy(&mut File::open(from)?, &mut packer)?;
    packer.finish().map(drop)
}

//! Programs that write numbered lines to log files and rotate them as logrotate and logging libraries do.
//! Promises that every line that was counted as written is on disk, whole, in exactly one place that is reachable.
//! Leaves counting what arrives to the sink.

use crate::sink::{Sink, line};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How a writer's file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Not at all.
    None,
    /// `w.log` becomes `w.log.1`, `w.log.1` becomes `w.log.2`, and so on; the writer goes on in the old file for a while.
    Rename,
    /// `w.log` is copied to `w.log.1` and cut to nothing. The writer pauses: what is written in between would be lost
    /// by the rotation itself, whoever reads.
    CopyTruncate,
    /// As `Rename`; then `w.log.1` becomes `w.log.1.gz`.
    Compress,
    /// As `Rename`; a rotated file is deleted as soon as all of it was delivered.
    DeleteDelivered,
}

/// The running writers.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    may_rotate: Arc<AtomicBool>,
    rotations: Arc<AtomicU64>,
    threads: std::cell::RefCell<Vec<JoinHandle<u64>>>,
}

impl Writers {
    /// They write from now on, and rotate once that is allowed: what is rotated away before anybody looked for the very
    /// first time is nobody's.
    pub(crate) fn start(folder: &Path, count: usize, rotation: Rotation, seed: u64, sink: Arc<Sink>) -> Self {
        let (stop, may_rotate) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let rotations = Arc::new(AtomicU64::new(0));
        let threads = (0..count).map(|index| {
            let writer = Writer {
                index,
                live: folder.join(format!("w{index}.log")),
                rotation,
                random: fastrand::Rng::with_seed(seed ^ (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                number: 0,
                generation: 0,
                rotated: VecDeque::new(),
                sink: sink.clone(),
            };
            let (stop, may_rotate, rotations) = (stop.clone(), may_rotate.clone(), rotations.clone());
            std::thread::spawn(move || writer.run(&stop, &may_rotate, &rotations))
        });
        let threads = std::cell::RefCell::new(threads.collect());
        Self { stop, may_rotate, rotations, threads }
    }

    /// From now on files are rotated.
    pub(crate) fn let_rotate(&self) {
        self.may_rotate.store(true, Ordering::Relaxed);
    }

    /// No more lines; returns how many each has written.
    pub(crate) fn stop(&self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.borrow_mut().drain(..).map(|thread| thread.join().unwrap()).collect()
    }

    /// How often files were rotated.
    pub(crate) fn rotations(&self) -> u64 {
        self.rotations.load(Ordering::Relaxed)
    }
}

struct Writer {
    index: usize,
    live: PathBuf,
    rotation: Rotation,
    random: fastrand::Rng,
    /// Of the next line.
    number: u64,
    generation: u64,
    /// The lines of each rotated file, newest first: `.1` is at index 0.
    rotated: VecDeque<Range<u64>>,
    sink: Arc<Sink>,
}

impl Writer {
    fn run(mut self, stop: &AtomicBool, may_rotate: &AtomicBool, rotations: &AtomicU64) -> u64 {
        let mut file = self.open();
        let mut begun = self.number;
        while !stop.load(Ordering::Relaxed) {
            let until = Instant::now() + Duration::from_millis(self.random.u64(250..1_200));
            while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                self.write(&mut file);
                std::thread::sleep(Duration::from_millis(self.random.u64(1..25)));
            }
            self.delete_delivered();
            if self.rotation != Rotation::None && may_rotate.load(Ordering::Relaxed) {
                self.rotate(&mut file, &mut begun);
                rotations.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.number
    }

    fn open(&self) -> File {
        File::options().create(true).append(true).open(&self.live).unwrap()
    }

    /// Some lines at once, now and then one that comes in two pieces.
    fn write(&mut self, file: &mut File) {
        let mut text = String::new();
        for _ in 0..self.random.u64(1..25) {
            text.push_str(&line(self.index, self.number, self.generation, self.random.usize(..120)));
            self.number += 1;
        }
        let cut = if self.random.u32(..8) == 0 { self.random.usize(..text.len()) } else { 0 };
        let (first, second) = text.as_bytes().split_at(cut);
        file.write_all(first).unwrap();
        if cut > 0 {
            std::thread::sleep(Duration::from_millis(self.random.u64(..15)));
        }
        file.write_all(second).unwrap();
    }

    fn name(&self, age: usize, archive: bool) -> PathBuf {
        let end = if archive { ".gz" } else { "" };
        self.live.with_file_name(format!("w{}.log.{age}{end}", self.index))
    }

    /// Makes room for a new `.1`.
    fn shift(&self) {
        for age in (1..=self.rotated.len()).rev() {
            for archive in [false, true] {
                if self.name(age, archive).exists() {
                    std::fs::rename(self.name(age, archive), self.name(age + 1, archive)).unwrap();
                }
            }
        }
    }

    fn rotate(&mut self, file: &mut File, begun: &mut u64) {
        self.shift();
        if self.rotation == Rotation::CopyTruncate {
            std::fs::copy(&self.live, self.name(1, false)).unwrap();
            file.set_len(0).unwrap();
        } else {
            std::fs::rename(&self.live, self.name(1, false)).unwrap();
            // Until it is told, the writer goes on with the file it has.
            for _ in 0..self.random.u32(..4) {
                self.write(file);
            }
            *file = self.open();
        }
        self.rotated.push_front(*begun..self.number);
        *begun = self.number;
        self.generation += 1;
        if self.rotation == Rotation::Compress {
            // As `logrotate` does, while the writer is at it again.
            self.write(file);
            self.compress(file);
        }
    }

    /// What `gzip` does: a file beside the old one, with its time, then the old one goes.
    fn compress(&mut self, file: &mut File) {
        let (plain, archive) = (self.name(1, false), self.name(1, true));
        let content = std::fs::read(&plain).unwrap();
        let changed: SystemTime = std::fs::metadata(&plain).and_then(|status| status.modified()).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(File::create(&archive).unwrap(), flate2::Compression::fast());
        let (first, second) = content.split_at(self.random.usize(..=content.len()));
        encoder.write_all(first).unwrap();
        self.write(file);
        encoder.write_all(second).unwrap();
        encoder.finish().unwrap().set_modified(changed).unwrap();
        std::fs::remove_file(plain).unwrap();
    }

    fn delete_delivered(&mut self) {
        while self.rotation == Rotation::DeleteDelivered
            && self.rotated.back().is_some_and(|lines| self.sink.has_all(self.index, lines.clone()))
        {
            std::fs::remove_file(self.name(self.rotated.len(), false)).unwrap();
            self.rotated.pop_back();
        }
    }
}

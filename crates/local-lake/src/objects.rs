//! Records into objects: a buffer a stream, closed by size or age, written as one file laid out like the bucket.
//! Promises that an object appears whole or not at all, and that what could not be written is kept and tried again.
//! Leaves which records to take to `server`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use md5::{Digest, Md5};

use crate::function::{self, Function};
use crate::prefix::{self, Prefix};
use crate::transform::{Record, Transformed, transform};

/// Where an object stands until it is whole; no listing of the bucket's folders meets it.
const UNFINISHED: &str = ".unfinished";
/// What every gzip member begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Maximum number of full buffers that wait for a slow disk; beyond it calls are throttled.
const WAITING: usize = 4;

/// Which records are gzip already and are written as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PassThrough {
    /// Those that begin with gzip's two bytes; they and the others come into separate objects.
    #[default]
    Detect,
    /// All.
    Always,
    /// None: every object is compressed here.
    Never,
}

/// How objects are made.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) prefix: Prefix,
    pub(crate) zone: TimeZone,
    /// A buffer is closed before it would hold more than this, in bytes before compression.
    pub(crate) flush_bytes: usize,
    /// A buffer is closed this long after its first record; zero closes it after every call.
    pub(crate) flush_interval: Duration,
    pub(crate) pass_through: PassThrough,
    pub(crate) extension: String,
    /// What every record goes through before it is written.
    pub(crate) transform: Option<Arc<Function>>,
    /// What hears of every new object.
    pub(crate) notify: Option<Arc<Function>>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: u64,
}

/// The buffers of all streams.
#[derive(Debug)]
pub(crate) struct Objects {
    settings: Settings,
    /// By stream, and whether its records are gzip already.
    open: BTreeMap<(String, bool), Buffer>,
    /// Closed, and not yet on disk.
    closed: Vec<Object>,
    written: Written,
    random: fastrand::Rng,
}

/// An object that still grows.
#[derive(Debug)]
struct Buffer {
    content: Content,
    /// Bytes before compression.
    bytes: usize,
    /// Arrival of its first record.
    oldest: Timestamp,
    since: Instant,
}

#[derive(Debug)]
enum Content {
    Compressing(Box<GzEncoder<Vec<u8>>>),
    AsIs(Vec<u8>),
    /// To be transformed when the buffer is closed.
    Records(Vec<Record>),
}

/// An object ready to be written.
#[derive(Debug)]
struct Object {
    key: String,
    content: Vec<u8>,
}

impl Objects {
    /// Makes the root folder, and the place for unfinished objects in it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(settings: Settings) -> io::Result<Self> {
        fs::create_dir_all(settings.root.join(UNFINISHED))?;
        Ok(Self {
            settings,
            open: BTreeMap::new(),
            closed: Vec::new(),
            written: Written::default(),
            random: fastrand::Rng::new(),
        })
    }

    /// Whether there is room for another call.
    pub(crate) fn has_room(&self) -> bool {
        self.closed.len() < WAITING
    }

    /// Takes one record that arrived at `now`, which is `at` on the calendar.
    pub(crate) fn append(&mut self, stream: &str, record: &[u8], at: Timestamp, now: Instant) {
        let as_is = match self.settings.pass_through {
            // What comes out of a function is lines.
            _ if self.settings.transform.is_some() => false,
            PassThrough::Detect => record.starts_with(&GZIP),
            PassThrough::Always => true,
            PassThrough::Never => false,
        };
        let key = (stream.to_owned(), as_is);
        if self.open.get(&key).is_some_and(|buffer| buffer.bytes + record.len() > self.settings.flush_bytes) {
            self.close(&key);
        }
        let buffer = self.open.entry(key).or_insert_with(|| Buffer {
            content: if self.settings.transform.is_some() {
                Content::Records(Vec::new())
            } else if as_is {
                Content::AsIs(Vec::new())
            } else {
                Content::Compressing(Box::new(GzEncoder::new(Vec::new(), Compression::fast())))
            },
            bytes: 0,
            oldest: at,
            since: now,
        });
        buffer.bytes += record.len();
        match &mut buffer.content {
            Content::AsIs(content) => content.extend_from_slice(record),
            Content::Compressing(encoder) => {
                encoder.write_all(record).expect("a vector takes all that is written to it");
            }
            Content::Records(records) => records.push(Record { data: record.to_vec(), at }),
        }
    }

    /// Closes what is full or old enough at `now` and writes what is closed.
    pub(crate) fn flush_due(&mut self, now: Instant) {
        let due: Vec<_> = self
            .open
            .iter()
            .filter(|(_, buffer)| {
                buffer.bytes >= self.settings.flush_bytes
                    || now.saturating_duration_since(buffer.since) >= self.settings.flush_interval
            })
            .map(|(key, _)| key.clone())
            .collect();
        due.iter().for_each(|key| self.close(key));
        self.write_closed();
    }

    /// Closes and writes everything.
    ///
    /// # Errors
    /// The first write that failed; what it held is kept.
    pub(crate) fn flush_all(&mut self) -> io::Result<()> {
        let open: Vec<_> = self.open.keys().cloned().collect();
        open.iter().for_each(|key| self.close(key));
        self.write_closed().map_or(Ok(()), Err)
    }

    /// What was written so far.
    pub(crate) fn written(&self) -> Written {
        self.written
    }

    /// No more records into this buffer.
    fn close(&mut self, key: &(String, bool)) {
        let Some(buffer) = self.open.remove(key) else { return };
        let oldest = buffer.oldest.to_zoned(self.settings.zone.clone());
        let content = match buffer.content {
            Content::AsIs(content) => content,
            Content::Compressing(encoder) => encoder.finish().expect("a vector takes all that is written to it"),
            Content::Records(records) => {
                let Some(function) = &self.settings.transform else { return };
                let Transformed { kept, failed } = transform(function, &key.0, &records);
                if !failed.is_empty() {
                    let folder = errors().evaluate(&key.0, &oldest, &mut self.random);
                    let key = format!("{folder}{}-1-{}-{}", key.0, prefix::name_time(&oldest), uuid(&mut self.random));
                    self.closed.push(Object { key, content: failed });
                }
                if kept.is_empty() {
                    return;
                }
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&kept).expect("a vector takes all that is written to it");
                encoder.finish().expect("a vector takes all that is written to it")
            }
        };
        let folder = self.settings.prefix.evaluate(&key.0, &oldest, &mut self.random);
        let name = prefix::name_time(&oldest);
        let key = format!("{folder}{}-1-{name}-{}{}", key.0, uuid(&mut self.random), self.settings.extension);
        self.closed.push(Object { key, content });
    }

    /// Writes what is closed; answers with the first failure.
    fn write_closed(&mut self) -> Option<io::Error> {
        let mut first = None;
        for object in mem::take(&mut self.closed) {
            match self.write(&object) {
                Ok(()) => {
                    self.written.objects += 1;
                    self.written.bytes += object.content.len() as u64;
                    self.notify(&object);
                }
                Err(error) => {
                    self.written.failures += 1;
                    self.closed.push(object);
                    first.get_or_insert(error);
                }
            }
        }
        first
    }

    /// Tells the function of a new object, once: what it does with it is its own affair.
    fn notify(&self, object: &Object) {
        if let Some(function) = &self.settings.notify {
            let etag: String = Md5::digest(&object.content).iter().map(|byte| format!("{byte:02x}")).collect();
            let event = function::created("local-lake", &object.key, &etag, object.content.len() as u64);
            drop(function.invoke(event.to_string().as_bytes()));
        }
    }

    /// Under another name first, so that no reader sees half an object.
    fn write(&self, object: &Object) -> io::Result<()> {
        let path = self.settings.root.join(&object.key);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let unfinished = self.settings.root.join(UNFINISHED).join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&unfinished, &object.content)?;
        fs::rename(&unfinished, &path)
    }
}

/// Where records go that a function failed.
fn errors() -> Prefix {
    Prefix::parse("errors/<stream>/processing-failed/dt=!{timestamp:yyyy-MM-dd-HH}/").expect("the prefix is valid")
}

/// A random identifier in the usual form (version 4).
fn uuid(random: &mut fastrand::Rng) -> String {
    let value = (random.u128(..) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let text = format!("{value:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read as _;
    use std::path::Path;

    fn settings(root: &Path) -> Settings {
        Settings {
            root: root.to_owned(),
            prefix: Prefix::parse("raw/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/").unwrap(),
            zone: TimeZone::UTC,
            flush_bytes: 100,
            flush_interval: Duration::from_secs(5),
            pass_through: PassThrough::Detect,
            extension: ".gz".to_owned(),
            transform: None,
            notify: None,
        }
    }

    fn objects(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    let key = entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    let mut plain = Vec::new();
                    MultiGzDecoder::new(fs::File::open(entry.path()).unwrap()).read_to_end(&mut plain).unwrap();
                    found.push((key, plain));
                }
            }
        }
        found.sort();
        found
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn an_object_is_named_after_the_arrival_of_its_oldest_record() {
        let root = tempfile::tempdir().unwrap();
        let mut lake = Objects::new(settings(root.path())).unwrap();
        let now = Instant::now();
        lake.append("logs", b"one\n", at("2026-01-02T03:59:59Z"), now);
        lake.append("logs", b"two\n", at("2026-01-02T04:00:01Z"), now);
        lake.flush_all().unwrap();
        let found = objects(root.path());
        assert_eq!(found.len(), 1);
        let (key, plain) = &found[0];
        assert!(key.starts_with("raw/logs/dt=2026-01-02-03/logs-1-2026-01-02-03-59-59-"), "{key}");
        assert_eq!(key.len(), "raw/logs/dt=2026-01-02-03/logs-1-2026-01-02-03-59-59-".len() + 36 + ".gz".len());
        assert!(key.ends_with(".gz"));
        assert_eq!(plain, b"one\ntwo\n");
        assert_eq!(lake.written().objects, 1);
    }

    #[test]
    fn a_buffer_is_closed_by_size_and_by_age_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let mut lake = Objects::new(settings(root.path())).unwrap();
        let (start, clock) = (Instant::now(), at("2026-01-02T03:00:00Z"));
        lake.append("a", &[b'x'; 60], clock, start);
        lake.flush_due(start + Duration::from_millis(4999));
        assert_eq!(lake.written().objects, 0);
        lake.append("a", &[b'y'; 60], clock, start + Duration::from_secs(4));
        lake.flush_due(start + Duration::from_secs(4));
        assert_eq!(lake.written().objects, 1, "the first would have grown over its size");
        lake.flush_due(start + Duration::from_secs(5));
        assert_eq!(lake.written().objects, 1, "the second is one second old");
        lake.flush_due(start + Duration::from_secs(9));
        assert_eq!(lake.written().objects, 2);
        lake.append("a", &[b'z'; 100], clock, start);
        lake.flush_due(start);
        assert_eq!(lake.written().objects, 3, "a full one does not wait");
    }

    #[test]
    fn gzip_records_are_joined_as_they_are_and_kept_apart_from_the_others() {
        let root = tempfile::tempdir().unwrap();
        let mut lake = Objects::new(settings(root.path())).unwrap();
        let (now, clock) = (Instant::now(), at("2026-01-02T03:00:00Z"));
        lake.append("a", &gzip(b"1\n"), clock, now);
        lake.append("a", b"plain\n", clock, now);
        lake.append("a", &gzip(b"2\n"), clock, now);
        lake.flush_all().unwrap();
        let mut plain: Vec<Vec<u8>> = objects(root.path()).into_iter().map(|(_, plain)| plain).collect();
        plain.sort();
        assert_eq!(plain, [b"1\n2\n".to_vec(), b"plain\n".to_vec()]);
    }

    #[test]
    fn told_never_to_pass_through_it_compresses_gzip_again() {
        let root = tempfile::tempdir().unwrap();
        let mut lake = Objects::new(Settings { pass_through: PassThrough::Never, ..settings(root.path()) }).unwrap();
        let member = gzip(b"1\n");
        lake.append("a", &member, at("2026-01-02T03:00:00Z"), Instant::now());
        lake.flush_all().unwrap();
        assert_eq!(objects(root.path())[0].1, member);
    }

    #[test]
    fn what_the_disk_does_not_take_is_kept_and_written_later() {
        let root = tempfile::tempdir().unwrap();
        let mut lake = Objects::new(settings(root.path())).unwrap();
        let (now, clock) = (Instant::now(), at("2026-01-02T03:00:00Z"));
        // A file where the folder should be.
        fs::write(root.path().join("raw"), b"").unwrap();
        for _ in 0..WAITING {
            assert!(lake.has_room());
            lake.append("a", &[b'x'; 100], clock, now);
            lake.flush_due(now);
        }
        assert!(!lake.has_room());
        assert!(lake.flush_all().is_err());
        fs::remove_file(root.path().join("raw")).unwrap();
        lake.flush_all().unwrap();
        assert_eq!(objects(root.path()).len(), WAITING);
        assert!(lake.has_room());
    }

    #[test]
    fn identifiers_have_the_usual_form() {
        let text = uuid(&mut fastrand::Rng::with_seed(5));
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]), "{text}");
        assert_ne!(text, uuid(&mut fastrand::Rng::with_seed(6)));
    }
}

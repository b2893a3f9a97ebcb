//! What is remembered of reactions besides their results: etags of objects, what was done without leaving an object,
//! what fails. It lies in `.reactions/` in the folder of the lake.
//! Promises that a line which was cut by a kill counts as never written, that only one program works on a lake, and that
//! all of it may be removed: then objects are hashed again, charts drawn and programs without a result run again.
//! Leaves whether a result is there to the results.

use crate::Exit;
use crate::engine::objects::Object;
use datalake_react::Identity;
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Below the folder of the lake; a hidden name, which no table reads.
const FOLDER: &str = ".reactions";
/// Ends every line that was written whole.
const WHOLE: &str = " .";
/// This many lines that say nothing any more are left before the file is written anew.
const MOST_DEAD: usize = 10_000;

/// What a rule fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: String,
    /// How many times in a row.
    pub tries: u32,
}

/// Held by the program that is at work on a lake.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[derive(Clone, Debug)]
struct Known {
    size: u64,
    written_ms: u64,
    etag: String,
}

/// What was done, and what objects hold.
#[derive(Debug)]
pub struct Journal {
    /// Nothing where it is only looked at.
    file: Option<File>,
    etags: HashMap<PathBuf, Known>,
    done: HashMap<String, HashSet<Identity>>,
}

/// A path in the folder, which is made.
pub(super) fn place(root: &Path, name: &str) -> Result<PathBuf, Exit> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    Ok(folder.join(name))
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// When another program has it.
    pub fn take(root: &Path) -> Result<Self, Exit> {
        let path = place(root, "lock")?;
        let cannot = |error: std::io::Error| format!("cannot open {}: {error}", path.display());
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(_) => Err(Exit::Failed(format!(
                "another `datalake react` is at work on {}; stop it first, or let it go on",
                root.display()
            ))),
        }
    }

    /// Whether a program has it.
    #[must_use]
    pub fn is_taken(root: &Path) -> bool {
        File::open(root.join(FOLDER).join("lock")).is_ok_and(|file| file.try_lock_shared().is_err())
    }
}

impl Journal {
    /// Reads what was written, and goes on writing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(root: &Path) -> Result<Self, Exit> {
        let path = place(root, "journal")?;
        let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let mut journal = Self::look(root);
        let text = std::fs::read(&path).unwrap_or_default();
        let live = journal.etags.len() + journal.done.values().map(HashSet::len).sum::<usize>();
        if text.split(|byte| *byte == b'\n').count() > live + MOST_DEAD {
            let beside = place(root, "journal.new")?;
            std::fs::write(&beside, journal.lines()).and_then(|()| std::fs::rename(&beside, &path)).map_err(cannot)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(cannot)?;
        if text.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n").map_err(cannot)?;
        }
        journal.file = Some(file);
        Ok(journal)
    }

    /// Reads what was written, and writes nothing.
    #[must_use]
    pub fn look(root: &Path) -> Self {
        let text = std::fs::read(root.join(FOLDER).join("journal")).unwrap_or_default();
        let mut journal = Self { file: None, etags: HashMap::new(), done: HashMap::new() };
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            let Some(line) = line.strip_suffix(WHOLE) else { continue };
            match line.split_once(' ') {
                Some(("done", rest)) => {
                    if let Some((identity, rule)) = rest.split_once(' ')
                        && let Some(identity) = Identity::parse(identity)
                    {
                        journal.done.entry(rule.to_owned()).or_default().insert(identity);
                    }
                }
                Some(("etag", rest)) => {
                    if let Some((path, known)) = read_etag(rest) {
                        journal.etags.insert(path, known);
                    }
                }
                _ => {}
            }
        }
        journal
    }

    fn lines(&self) -> String {
        let etags = self.etags.iter().filter_map(|(path, known)| etag_line(path, known));
        let done = self.done.iter().flat_map(|(rule, all)| all.iter().map(move |one| done_line(rule, one)));
        etags.chain(done).collect()
    }

    /// What S3 would call the etag of an object: the MD5 of its bytes. An object is read again when its size or time changed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn etag(&mut self, root: &Path, object: &Object) -> std::io::Result<String> {
        if let Some(etag) = self.known_etag(object) {
            return Ok(etag.to_owned());
        }
        let etag = md5(&root.join(&object.path))?;
        let known = Known { size: object.size, written_ms: object.written_ms, etag: etag.clone() };
        // What cannot be written down is hashed again after the next start.
        if let (Some(file), Some(line)) = (&mut self.file, etag_line(&object.path, &known)) {
            drop(file.write_all(line.as_bytes()));
        }
        self.etags.insert(object.path.clone(), known);
        Ok(etag)
    }

    /// The etag of an object that was hashed before and has not changed since.
    #[must_use]
    pub fn known_etag(&self, object: &Object) -> Option<&str> {
        let known = self.etags.get(&object.path)?;
        (known.size == object.size && known.written_ms == object.written_ms).then_some(known.etag.as_str())
    }

    /// Whether it was done.
    #[must_use]
    pub fn is_done(&self, rule: &str, identity: &Identity) -> bool {
        self.done.get(rule).is_some_and(|done| done.contains(identity))
    }

    /// Writes down that it was done.
    ///
    /// # Errors
    /// When that is impossible; then it counts as not done.
    pub fn done(&mut self, rule: &str, identities: &[Identity]) -> Result<(), Exit> {
        let done = self.done.entry(rule.to_owned()).or_default();
        let lines: String =
            identities.iter().filter(|one| !done.contains(*one)).map(|one| done_line(rule, one)).collect();
        if let Some(file) = &mut self.file {
            file.write_all(lines.as_bytes())
                .map_err(|error| format!("cannot write the journal of reactions: {error}"))?;
        }
        done.extend(identities);
        Ok(())
    }
}

fn read_etag(rest: &str) -> Option<(PathBuf, Known)> {
    let mut parts = rest.splitn(4, ' ');
    let etag = parts.next()?.to_owned();
    let (size, written_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((PathBuf::from(parts.next()?), Known { size, written_ms, etag }))
}

fn done_line(rule: &str, identity: &Identity) -> String {
    format!("done {identity} {rule}{WHOLE}\n")
}

/// None for a path that would not be one line.
fn etag_line(path: &Path, known: &Known) -> Option<String> {
    let path = path.to_str().filter(|path| !path.contains('\n'))?;
    Some(format!("etag {} {} {} {path}{WHOLE}\n", known.etag, known.size, known.written_ms))
}

fn md5(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut hash, mut buffer) = (Md5::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Removes what programs of rules were given, and left, when a kill ended the run.
pub(super) fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root.join(FOLDER)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ["in", "out", "log"].iter().any(|known| ending == *known)) {
            // It is in nobody's way.
            drop(std::fs::remove_file(path));
        }
    }
}

/// Keeps what fails now, for `datalake status`.
pub(super) fn write_failures(root: &Path, failures: &BTreeMap<String, Failure>) {
    let path = root.join(FOLDER).join("failures.json");
    if failures.is_empty() {
        // There need not be any.
        drop(std::fs::remove_file(path));
        return;
    }
    let entry = |(name, failure): (&String, &Failure)| {
        (name.clone(), json!({"reason": failure.reason, "tries": failure.tries}))
    };
    let all: Map<String, Value> = failures.iter().map(entry).collect();
    let beside = path.with_extension("new");
    // What fails was said already; this is only for those who look later.
    drop(std::fs::write(&beside, Value::Object(all).to_string()).and_then(|()| std::fs::rename(&beside, &path)));
}

/// What failed when the program wrote it last.
#[must_use]
pub fn failures(root: &Path) -> BTreeMap<String, Failure> {
    let bytes = std::fs::read(root.join(FOLDER).join("failures.json")).unwrap_or_default();
    let all: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    let entry = |(name, value): (String, Value)| {
        let tries = value["tries"].as_u64().and_then(|tries| u32::try_from(tries).ok()).unwrap_or(1);
        (name, Failure { reason: value["reason"].as_str().unwrap_or_default().to_owned(), tries })
    };
    all.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_react::Version;

    fn identity(key: &str) -> Identity {
        Identity::of("r", &Version::of("q", "t"), key, "e")
    }

    #[test]
    fn what_was_done_is_known_again_and_a_line_cut_anywhere_counts_as_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        journal.done("r", &[identity("a")]).unwrap();
        let whole = std::fs::read(folder.path().join(".reactions/journal")).unwrap();
        for cut in 0..whole.len() - 1 {
            std::fs::write(folder.path().join(".reactions/journal"), &whole[..cut]).unwrap();
            let mut journal = Journal::open(folder.path()).unwrap();
            assert!(!journal.is_done("r", &identity("a")), "cut at {cut}");
            journal.done("r", &[identity("b")]).unwrap();
            let journal = Journal::open(folder.path()).unwrap();
            assert!(journal.is_done("r", &identity("b")) && !journal.is_done("r", &identity("a")), "cut at {cut}");
        }
    }

    #[test]
    fn an_object_is_hashed_once_and_again_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("o"), "abc").unwrap();
        let object = |written_ms| Object { path: "o".into(), partition: "h".into(), size: 3, written_ms };
        let mut journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.etag(folder.path(), &object(1)).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        std::fs::write(folder.path().join("o"), "abd").unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.etag(folder.path(), &object(1)).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
        assert_ne!(journal.etag(folder.path(), &object(2)).unwrap(), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn only_one_program_works_on_a_lake_and_everyone_sees_that_it_does() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Lock::is_taken(folder.path()));
        let lock = Lock::take(folder.path()).unwrap();
        assert!(Lock::is_taken(folder.path()) && Lock::take(folder.path()).is_err());
        drop(lock);
        assert!(!Lock::is_taken(folder.path()) && Lock::take(folder.path()).is_ok());
    }
}

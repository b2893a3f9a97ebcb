//! What the tail core wants said, in words: one line each, with the file, the bytes, and what to do.
//! Promises that a line names cause and cure. Leaves when to say something to the tail core.

use super::access;
use crate::telemetry::ids;
use datalake_base::shown::shown;
use datalake_tail::{Again, ArchiveFault, Failure, FlowId, Loss, Notice};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Refusals that are remembered, so that each is said once.
const MOST_REFUSALS: usize = 1_000;

/// After a shortage that comes and goes, the end of it is said when it has lasted so long.
const LASTING: Duration = Duration::from_secs(30);

/// Says it.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// What was refused, and why.
    refusals: HashMap<PathBuf, String>,
    /// What cannot be read, and why.
    closed: HashMap<PathBuf, Closed>,
    /// Descriptors are short, and the log says so; since when there are some again.
    shortage: Option<Option<Instant>>,
}

/// Why something cannot be read.
#[derive(Debug)]
struct Closed {
    reason: String,
    /// Whether the log says so; else it says the same of something else.
    said: bool,
}

impl Words {
    /// It cannot be read: the reason, unless the log gave it for something else already. A folder that is closed closes all
    /// that lies in it.
    fn close(&mut self, path: &Path, failure: &Failure) -> Option<String> {
        let reason = of_failure(failure, path);
        if self.closed.len() >= MOST_REFUSALS {
            self.closed.clear();
        }
        let shared =
            matches!(failure, Failure::Denied) && access::obstacle(path, &access::User::of_process()).is_some();
        let said = !(shared && self.closed.values().any(|closed| closed.said && closed.reason == reason));
        self.closed.insert(path.to_owned(), Closed { reason: reason.clone(), said });
        said.then_some(reason)
    }

    /// It can be read now; whether that is worth a line, as the opposite was.
    fn open(&mut self, path: &Path) -> bool {
        self.closed.remove(path).is_none_or(|closed| closed.said)
    }

    /// The file or folder is refused for this reason: said once, and again only when the reason is another.
    pub(super) fn refuse(&mut self, path: &Path, reason: &str) {
        if self.refusals.get(path).is_some_and(|said| said == reason) {
            return;
        }
        if self.refusals.len() >= MOST_REFUSALS {
            self.refusals.clear();
        }
        self.refusals.insert(path.to_owned(), reason.to_owned());
        tracing::warn!(
            message_id = ids::FILE_REFUSED,
            file = %shown(path), reason,
            "the file is not read; its position is kept, and it is read from there as soon as it may be"
        );
    }

    /// The file is not refused now.
    pub(super) fn accept(&mut self, path: &Path) {
        if !self.refusals.is_empty() && self.refusals.remove(path).is_some() {
            tracing::info!(file = %shown(path), "the file is read now");
        }
    }

    /// A file that is read from its beginning starts with the byte order mark of UTF-16.
    #[expect(clippy::unused_self, reason = "all words come from here")]
    pub(super) fn wide(&self, flow: &str, path: &Path) {
        tracing::warn!(
            flow, file = %shown(path),
            "the file is UTF-16: its bytes are sent as they are, cut at each byte of a line feed, and neither options nor \
             queries will understand them; have the program write UTF-8"
        );
    }

    /// Says it; `flow` gives the name of a flow.
    pub(super) fn say<'a>(&mut self, notice: &Notice, now: Instant, flow: impl Fn(FlowId) -> &'a str) {
        match notice {
            Notice::ReadAgain { flow: id, path, bytes, reason: Again::EqualUpTo { position } } => tracing::info!(
                flow = flow(*id), file = %shown(path), bytes, position,
                "the file is read from a place within it: up to there it is equal to content that was read, and then it \
                 goes on differently"
            ),
            Notice::ReadAgain { flow: id, path, bytes, reason } => tracing::warn!(
                message_id = ids::FILE_READ_AGAIN,
                flow = flow(*id), file = %shown(path), bytes, reason = again(reason),
                "the file is read from its beginning; lines may arrive a second time"
            ),
            Notice::Destroyed { flow: id, path, bytes, reason } => tracing::warn!(
                message_id = ids::BYTES_DESTROYED,
                flow = flow(*id), file = %shown(path), bytes, reason = loss(*reason),
                "bytes were destroyed before they could be read; keep rotated files longer, rotate by rename, or name \
                 the folder that rotation moves files to in `rotatedTo`"
            ),
            Notice::Recovered { flow: id, path, bytes } => tracing::info!(
                flow = flow(*id), file = %shown(path), bytes,
                "bytes that were taken for destroyed have been found and are read"
            ),
            Notice::Hole { flow: id, path, bytes } => tracing::warn!(
                flow = flow(*id), file = %shown(path), bytes,
                "skipped a hole in the file: these bytes were never written"
            ),
            Notice::ArchiveSkipped { flow: id, path, bytes, fault } => {
                tracing::warn!(
                    message_id = ids::ARCHIVE_SKIPPED,
                    flow = flow(*id), file = %shown(path), bytes, reason = of_archive(fault),
                    "the archive is not read any further; what it still holds is not sent"
                );
            }
            Notice::Unreadable { flow: id, path, failure } => {
                let Some(reason) = self.close(path, failure) else { return };
                tracing::warn!(
                    message_id = ids::FILE_UNREADABLE,
                    flow = flow(*id), file = %shown(path), reason,
                    "the file cannot be read; its position is kept, and it is read from there as soon as it can be"
                );
            }
            Notice::ReadableAgain { path } => {
                if self.open(path) {
                    tracing::info!(file = %shown(path), "the file can be read now");
                }
            }
            Notice::FolderUnreadable { path, failure } => {
                let Some(reason) = self.close(path, failure) else { return };
                tracing::warn!(
                    folder = %shown(path), reason,
                    "the folder cannot be listed; it is tried again, and files known in it are still read"
                );
            }
            Notice::FolderReadableAgain { path } => {
                if self.open(path) {
                    tracing::info!(folder = %shown(path), "the folder can be listed now");
                }
            }
            Notice::NoResource => {
                if self.shortage.replace(None).is_none() {
                    tracing::warn!(
                        message_id = ids::NO_DESCRIPTORS,
                        "no file or folder can be opened; nothing is lost, but raise LimitNOFILE of the service or \
                         fs.file-max"
                    );
                }
            }
            Notice::ResourcesAgain => self.shortage = self.shortage.map(|_| Some(now)),
        }
    }

    /// Says what is true only once it has lasted for a while.
    pub(super) fn time(&mut self, now: Instant) {
        if self.shortage.flatten().is_some_and(|since| now >= since + LASTING) {
            self.shortage = None;
            tracing::info!("files can be opened again");
        }
    }
}

fn again(reason: &Again) -> String {
    match reason {
        Again::Rewritten => "it holds other content than what was read of it".to_owned(),
        Again::CutInDoubt => "it was cut, and what is left could have been written anew".to_owned(),
        Again::EqualInDoubt => {
            "it is equal to content that was read, and could have been written a second time".to_owned()
        }
        Again::EqualUpTo { position } => format!("it is equal to content that was read up to byte {position}"),
    }
}

const fn loss(reason: Loss) -> &'static str {
    match reason {
        Loss::Truncated => "the file was truncated or written anew, and no copy of what it held was found",
        Loss::Deleted => "the file was deleted, and no copy of what it held was found",
        Loss::EndCut => "the unread end of the file was cut off",
        Loss::Archive => "the only copy that was found is an archive that cannot be unpacked",
    }
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Why an archive is not read.
fn of_archive(fault: &ArchiveFault) -> String {
    match fault {
        ArchiveFault::NotWhole => "it ends in the middle".to_owned(),
        ArchiveFault::Corrupt => "it is damaged".to_owned(),
        ArchiveFault::Unsupported => {
            "archives of this kind are not read; gzip, zstd, bzip2 and xz are, with lines in them".to_owned()
        }
        ArchiveFault::Memory { needs } => format!(
            "unpacking it needs {0} MiB of memory; set \"maxArchiveMemoryBytes\": \"{0} MiB\" in the flow to allow that",
            mib(*needs)
        ),
        ArchiveFault::NoOutput { input } => format!("{} MiB of it in a row hold no content", mib(*input)),
        ArchiveFault::TooLong { output } => format!(
            "it gave {} MiB, more than an archive of its size may; raise `maxArchiveOutputBytes` of the flow if that is \
             as it should be",
            mib(*output)
        ),
    }
}

fn of_failure(failure: &Failure, path: &Path) -> String {
    match failure {
        Failure::NoResource => "no descriptor or memory is free".to_owned(),
        Failure::NoDecoder => "as many archives as may be are being unpacked".to_owned(),
        Failure::Missing => "it is not there now".to_owned(),
        Failure::Stale => "the filesystem does not answer for it now".to_owned(),
        Failure::Denied => match access::obstacle(path, &access::User::of_process()) {
            Some(obstacle) => format!(
                "permission denied at {} ({}); {}",
                shown(&obstacle.path),
                obstacle.rights(),
                obstacle.cures(&access::user_of_process())
            ),
            None => "permission denied; give the agent's user the right to read it".to_owned(),
        },
        Failure::Refused => "it is no regular file".to_owned(),
        Failure::System { errno } => std::io::Error::from_raw_os_error(*errno).to_string(),
        Failure::Archive(fault) => of_archive(fault),
    }
}

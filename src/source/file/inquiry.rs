//! What others ask the tailer while it runs: how files stand, what a file is, which content waits longest.
//! Promises that questions are bounded in number, and wake the tailer.
//! Leaves the answers to `answering`, and giving up on a tailer that has ended to the asker.

use super::Orders;
use datalake_base::record::FileKey;
use datalake_tail::{FileAbout, Inspected};
use std::sync::{Arc, PoisonError};
use tokio::sync::oneshot;

/// Questions that wait at the same time; more are not answered.
const MOST_WAITING: usize = 64;

/// Where to go on: the stream, and the number of the content in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(super) stream: usize,
    pub(super) number: u32,
}

/// A content, and whose it is.
#[derive(Clone, Debug)]
pub struct FileSeen {
    /// The destination.
    pub stream: Arc<str>,
    /// The flow, by name.
    pub flow: Option<String>,
    /// What there is to see.
    pub content: Inspected,
}

/// What a destination knows of a file.
#[derive(Clone, Debug)]
pub struct FileKnown {
    /// The destination.
    pub stream: Arc<str>,
    /// What it is, and what it may hold.
    pub about: FileAbout,
    /// The flow of each of these contents, by name.
    pub flows: Vec<Option<String>>,
}

/// A page, and where to go on.
pub(super) type Page = (Vec<FileSeen>, Option<Cursor>);

/// A question.
#[derive(Debug)]
pub(super) enum Inquiry {
    Page { from: Cursor, reply: oneshot::Sender<Page> },
    File { key: FileKey, beginning: Vec<u8>, reply: oneshot::Sender<Vec<FileKnown>> },
    Oldest { from: Cursor, found: Vec<Option<(u64, u32)>>, all: Vec<FileSeen>, reply: oneshot::Sender<Vec<FileSeen>> },
}

/// Asks the tailer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Inquirer(Arc<Orders>);

impl Inquirer {
    pub(super) const fn new(orders: Arc<Orders>) -> Self {
        Self(orders)
    }

    /// A page of all contents; `None` when the tailer has ended, or too much is asked at the same time.
    pub async fn page(&self, from: Cursor) -> Option<Page> {
        let (reply, answer) = oneshot::channel();
        self.ask(Inquiry::Page { from, reply });
        answer.await.ok()
    }

    /// What each destination knows of the file of this identity and with this beginning.
    pub async fn file(&self, key: FileKey, beginning: Vec<u8>) -> Option<Vec<FileKnown>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Inquiry::File { key, beginning, reply });
        answer.await.ok()
    }

    /// The content of each flow that waits longest; none for a flow where nothing waits.
    pub async fn oldest(&self) -> Option<Vec<FileSeen>> {
        let (reply, answer) = oneshot::channel();
        self.ask(Inquiry::Oldest { from: Cursor::default(), found: Vec::new(), all: Vec::new(), reply });
        answer.await.ok()
    }

    fn ask(&self, inquiry: Inquiry) {
        let mut waiting = self.0.inquiries.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_WAITING {
            waiting.push_back(inquiry);
            self.0.wake.notify_one();
        }
    }
}

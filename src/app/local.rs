//! Answers to commands: what they ask over the local socket, out of the board and the tailer.
//! Promises that an answer is cut into pages, and that without a socket everything else goes on.
//! Leaves connections and their bounds to the socket.

use super::board::Board;
use crate::local::{About, Ask, Bytes, Call, FileBalance, Known, Lines, Question, Respond, Server, places_to_listen};
use crate::source::file::inquiry::{Cursor, FileKnown, FileSeen, Inquirer};
use crate::status::samples;
use crate::status::{FileStatus, Oldest, Status};
use crate::tap::Glimpse;
use datalake_base::shown::shown;
use datalake_tail::{FileStanding, Inspected, SavedState};
use serde_json::json;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, timeout};

/// The tailer answers within this time, or it has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// Calls are shown this far apart; those between are counted.
const CALLS_APART: Duration = Duration::from_millis(250);
/// Counters are saved once in this many looks.
const SAVE_EVERY: u32 = 5;

/// The socket and the looks; both end with this.
pub(super) struct Local {
    pub(super) board: Arc<Board>,
    _tasks: JoinSet<()>,
}

impl Local {
    /// Begins to look and to listen. Inside the runtime.
    pub(super) fn start(board: Board) -> Self {
        let board = Arc::new(board);
        let mut tasks = JoinSet::new();
        tasks.spawn(look(board.clone()));
        let places = places_to_listen(board.state_directory(), |name| std::env::var_os(name));
        match Server::listen(&places) {
            Ok(server) => {
                tracing::debug!(socket = %shown(server.path()), "commands are answered here");
                tasks.spawn(server.serve(Arc::new(Answers(board.clone()))));
            }
            Err(error) => tracing::warn!(
                reason = %error,
                folder = %shown(board.state_directory()),
                "cannot listen for commands: `datalake-agent status` and its siblings see the checkpoint only; delivery goes on"
            ),
        }
        Self { board, _tasks: tasks }
    }
}

/// Looks at the flows, and saves what was counted, for ever.
async fn look(board: Arc<Board>) {
    let mut ticks = tokio::time::interval(samples::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        ticks.tick().await;
        board.sample(Instant::now().into_std());
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(SAVE_EVERY) {
            board.save();
        }
    }
}

/// Finds answers.
struct Answers(Arc<Board>);

impl Respond for Answers {
    async fn respond(&self, ask: Ask, mut to: Lines) -> io::Result<()> {
        if ask.state.is_some_and(|state| !is_same(&state.0, self.0.state_directory())) {
            return Ok(());
        }
        match ask.ask {
            Question::Status => to.send(&self.status().await).await,
            Question::Files { flow } => {
                if let Some(flow) = flow.as_ref().filter(|flow| !self.0.has(flow)) {
                    return to.send(&json!({"error": format!("there is no flow `{flow}`")})).await;
                }
                self.files(flow.as_deref(), to).await
            }
            Question::File { key, beginning } => {
                let tailer = self.tailer()?;
                let known = timeout(PATIENCE, tailer.file(key.into(), beginning.0)).await?.ok_or_else(ended)?;
                let about: Vec<About> = known.into_iter().map(about).collect();
                to.send(&about).await
            }
            Question::Tap { flow } => {
                let Some(tap) = self.0.tap(&flow) else {
                    return to.send(&json!({"error": format!("no flow `{flow}` runs")})).await;
                };
                let Some(calls) = tap.watch() else {
                    return to.send(&json!({"error": "enough others watch this flow"})).await;
                };
                watch(calls, to).await
            }
        }
    }
}

impl Answers {
    fn tailer(&self) -> io::Result<Inquirer> {
        self.0.tailer().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    async fn status(&self) -> Status {
        let mut status = self.0.status();
        let Some(tailer) = self.0.tailer() else { return status };
        let Ok(Some(oldest)) = timeout(PATIENCE, tailer.oldest()).await else { return status };
        for seen in oldest {
            let flow = status.flows.iter_mut().find(|flow| Some(&flow.name) == seen.flow.as_ref());
            if let Some(flow) = flow {
                flow.oldest = Some(oldest_of(&seen.content));
            }
        }
        status
    }

    async fn files(&self, flow: Option<&str>, mut to: Lines) -> io::Result<()> {
        let tailer = self.tailer()?;
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from {
            let (page, next) = timeout(PATIENCE, tailer.page(cursor)).await?.ok_or_else(ended)?;
            let wanted = |seen: &FileSeen| flow.is_none_or(|flow| seen.flow.as_deref() == Some(flow)) && is_there(seen);
            let files: Vec<FileStatus> = page.into_iter().filter(wanted).map(file).collect();
            to.send(&files).await?;
            from = next;
        }
        Ok(())
    }
}

/// Shows call after call, until the client goes.
async fn watch(mut calls: mpsc::Receiver<Glimpse>, mut to: Lines) -> io::Result<()> {
    to.send(&Call::default()).await?;
    loop {
        let Glimpse { body, records, cut, missed } = tokio::select! {
            () = to.gone() => return Ok(()),
            call = calls.recv() => match call {
                Some(call) => call,
                None => return Ok(()),
            },
        };
        to.send(&Call { body: Bytes(body), records, cut, missed }).await?;
        tokio::time::sleep(CALLS_APART).await;
    }
}

fn ended() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// The same folder by whatever name.
fn is_same(one: &std::path::Path, other: &std::path::Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// What was read to its end and is gone is no file any more.
fn is_there(seen: &FileSeen) -> bool {
    !seen.content.names.is_empty() || seen.content.state != SavedState::Finished
}

fn millis(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

/// A name that is no link, where there is one.
fn path_of(content: &Inspected) -> Option<PathBuf> {
    let plain = content.names.iter().find(|(_, is_link)| !is_link);
    plain.or_else(|| content.names.first()).map(|(path, _)| path.clone())
}

fn oldest_of(content: &Inspected) -> Oldest {
    Oldest {
        home: content.home.clone().into(),
        path: path_of(content).map(Into::into),
        rotated: content.is_rotated || content.names.is_empty(),
        changed_at: millis(content.changed),
    }
}

fn file(seen: FileSeen) -> FileStatus {
    let content = seen.content;
    let path = path_of(&content);
    let others = |wanted: bool| {
        let names = content.names.iter().filter(|(name, is_link)| *is_link == wanted && Some(name) != path.as_ref());
        names.map(|(name, _)| name.clone().into()).collect()
    };
    FileStatus {
        id: content.id.0,
        flow: seen.flow,
        destination: seen.stream.to_string(),
        other_names: others(false),
        links: others(true),
        home: content.home.clone().into(),
        path: path.clone().map(Into::into),
        state: crate::local::word_of(content.state).to_owned(),
        rotated: content.is_rotated,
        packed: content.is_packed,
        unreadable: content.is_refused,
        position: content.settled,
        read: content.read,
        unread: content.known.saturating_sub(content.read),
        accounting: FileBalance::of(content.counted, content.read - content.settled),
        size: content.size,
        changed_at: millis(content.changed),
    }
}

fn about(known: FileKnown) -> About {
    let standing = known.about.standing.map(|standing| match standing {
        FileStanding::Ignored => "ignored",
        FileStanding::Comparing => "comparing",
        FileStanding::Holds => "holds",
        FileStanding::Skipped => "skipped",
    });
    let contents = known.about.contents.into_iter().zip(known.flows);
    let contents = contents.map(|(content, flow)| Known::of_row(&content.row, flow, Some(content.read)));
    About {
        stream: known.stream.to_string(),
        standing: standing.map(str::to_owned),
        refused: known.about.is_refused,
        contents: contents.collect(),
    }
}

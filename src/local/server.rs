//! The agent's end of the local socket: makes it, lets in whom it may, reads one question, has it answered.
//! Promises bounds: clients at a time, clients in a second, bytes of a question, time for it, time for each write.
//! Leaves the answer to its `Respond`.

use super::Ask;
use datalake_base::shown::shown;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::Serialize;
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Clients that are answered at the same time; others wait in the kernel.
const MOST_CLIENTS: usize = 16;
/// After a client, the next is let in this much later: at most 200 of them in a second.
const APART: Duration = Duration::from_millis(5);
/// A question is no longer than this.
const LONGEST_QUESTION: u64 = 64 * 1024;
/// A client asks within this time.
const TO_ASK: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(1) };
/// It takes each line within this time.
const TO_TAKE: Duration = Duration::from_secs(5);
/// What the system says about a socket that cannot be served is waited out for this long.
const AGAIN: Duration = Duration::from_secs(1);
/// The owner alone.
const MODE: u32 = 0o600;

/// Answers questions.
pub trait Respond: Send + Sync + 'static {
    /// Writes the answer, line by line.
    ///
    /// # Errors
    /// When the client is gone or does not take what it asked for; it needs no line in the log.
    fn respond(&self, ask: Ask, to: Lines) -> impl Future<Output = io::Result<()>> + Send;
}

/// Where lines of an answer go.
#[derive(Debug)]
pub struct Lines(UnixStream);

impl Lines {
    /// Writes a line.
    ///
    /// # Errors
    /// When the client is gone, or did not take it in time.
    pub async fn send(&mut self, line: &(impl Serialize + Sync)) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        timeout(TO_TAKE, self.0.write_all(&bytes)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Returns when the client has gone, or says more than it may.
    pub async fn gone(&mut self) {
        // A byte more than the question is as good as an end.
        let _ended = self.0.read_u8().await;
    }
}

/// The socket, until it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket: a later one of the same name is not ours to remove.
    identity: Option<(u64, u64)>,
}

impl Server {
    /// Makes the socket at the first of these places where that is possible. One that nobody listens on is replaced.
    ///
    /// # Errors
    /// Why the last place cannot be used.
    pub fn listen(places: &[PathBuf]) -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for path in places {
            match bind(path) {
                Ok(listener) => {
                    let identity = identity(path);
                    return Ok(Self { listener, path: path.clone(), identity });
                }
                Err(error) => {
                    tracing::debug!(socket = %shown(path), reason = %error, "cannot listen here");
                    refused = error;
                }
            }
        }
        Err(refused)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Answers clients, for ever.
    pub async fn serve(self, respond: Arc<impl Respond>) {
        let places = Arc::new(Semaphore::new(MOST_CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((client, _)) if may_ask(&client) => {
                    let respond = respond.clone();
                    clients.spawn(async move {
                        let _place = place;
                        if let Err(error) = answer(client, &*respond).await {
                            tracing::debug!(reason = %error, "a client of the local socket was not answered to its end");
                        }
                    });
                }
                Ok((client, _)) => drop(client),
                Err(error) => {
                    tracing::debug!(reason = %error, "no client can be let in");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            while clients.try_join_next().is_some() {}
            tokio::time::sleep(APART).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|status| (status.dev(), status.ino()))
}

/// Makes the socket, for its owner alone.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let (address, _folder) = address_of(path)?;
    let listener = match UnixListener::bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = path.symlink_metadata()?.file_type().is_socket();
            // One that is listened on belongs to another agent; anything else is not ours.
            if !is_socket || std::os::unix::net::UnixStream::connect(&address).is_ok() {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(&address)?
        }
        bound => bound?,
    };
    std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// An address of a socket has about a hundred bytes: a longer path is reached through its folder. That stays open meanwhile.
pub(super) fn address_of(path: &Path) -> io::Result<(PathBuf, Option<std::os::fd::OwnedFd>)> {
    const LONGEST: usize = 100;
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.to_owned(), None));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().unwrap_or_default();
    Ok((Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name), Some(folder)))
}

/// Whether the client is root or the agent's own user, whatever the rights of the socket and its folder.
fn may_ask(client: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    client.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

/// Reads a question and has it answered.
async fn answer(mut client: UnixStream, respond: &impl Respond) -> io::Result<()> {
    let question = timeout(TO_ASK, read_question(&mut client)).await??;
    let mut lines = Lines(client);
    match serde_json::from_slice::<Ask>(&question) {
        Ok(ask) => respond.respond(ask, lines).await,
        Err(error) => {
            let reason = format!("this is no question that this version of the agent knows: {error}");
            lines.send(&serde_json::json!({"error": reason})).await
        }
    }
}

async fn read_question(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = client.read(&mut part).await?;
        question.extend_from_slice(&part[..count]);
        if let Some(end) = memchr::memchr(b'\n', &question) {
            question.truncate(end);
            return Ok(question);
        }
        if count == 0 || question.len() as u64 > LONGEST_QUESTION {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
}

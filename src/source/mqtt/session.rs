//! One connection to the broker, again and again: sign in, subscribe, receive, answer what is synced, ping.
//! Promises that it never stops pinging while the pipeline is full, that nothing is answered before it is synced, and that
//! it comes back by itself after any failure. Leaves decisions about answers to `acks`, and disks to the spool.

/// One connection, from its first word to its last.
mod conversation;

use super::Commit;
use super::presign::{Signer, encoded};
use super::transport::{Transport, TransportError, secret};
use crate::telemetry::ids;
use bytes::BytesMut;
use conversation::{Conversation, Ended};
use datalake_base::shown::shown;
use datalake_mqtt::acks::{Acks, Mark};
use datalake_mqtt::counters::Counters;
use datalake_mqtt::group::Group;
use datalake_mqtt::intake::Intake;
use datalake_mqtt::packets::{self, Malformed, Version};
use datalake_mqtt::settings::Settings;
use datalake_mqtt::subscriptions::Verdict;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Connecting, TLS and signing in together may take this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The first wait before another attempt is at most this; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A connection that stood for so long was a good one: the next failure waits briefly again.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// A stop waits this long for the last sync and the last answers.
const FAREWELL: Duration = Duration::from_secs(5);
/// Messages that a broker may send before the first is answered; many take fewer for their own limit.
const RECEIVE_MAXIMUM: u16 = 4096;

/// Maximum number of messages that can wait for their answers: each has a packet identifier, and 0 is none.
const MOST_OWED: usize = u16::MAX as usize;
/// No more is shown of what a broker says.
const LONGEST_WORDS: usize = 1 << 10;
/// Bytes of a text in a packet of MQTT.
const LONGEST_TEXT: usize = u16::MAX as usize;

/// Why a connection is not there, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the broker closed the connection")]
    Closed,
    #[error(
        "the broker closed the connection without a word while we signed in: some do that where their rules forbid it, \
         or where TLS or another `version` is expected"
    )]
    ClosedAtSignIn,
    #[error(
        "the broker closed the connection when it was asked for the topics: some do that where their rules forbid one"
    )]
    ClosedAtSubscribe,
    #[error("the broker does not answer: it was asked {asked:?} ago and said nothing")]
    Silent { asked: Duration },
    #[error("the broker does not answer: it was asked for the topics {asked:?} ago")]
    Unanswered { asked: Duration },
    #[error("signing in took more than {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error("{0}")]
    Told(String),
    #[error("the broker breaks the protocol: {0}")]
    Malformed(#[from] Malformed),
    #[error("the broker breaks the protocol: {error}")]
    Topic { error: Malformed, topic: String },
    #[error("the broker breaks the protocol: it sends a message of a topic that was not subscribed")]
    Foreign { topic: String },
    #[error("the broker breaks the protocol: it answers what was not asked")]
    Unasked,
    #[error("the broker breaks the protocol: more messages wait for an answer than there are packet identifiers")]
    Flood,
}

impl SessionError {
    /// How MQTT 5 calls what the broker did, where it is the one that broke the protocol.
    const fn code(&self) -> Option<u8> {
        match self {
            Self::Malformed(error) | Self::Topic { error, .. } => Some(error.code()),
            Self::Foreign { .. } | Self::Unasked => Some(packets::PROTOCOL_ERROR),
            Self::Flood => Some(packets::RECEIVE_MAXIMUM_EXCEEDED),
            _ => None,
        }
    }

    /// The topic it is about, safe to print.
    fn topic(&self) -> Option<&str> {
        match self {
            Self::Topic { topic, .. } | Self::Foreign { topic } => Some(topic),
            _ => None,
        }
    }
}

/// One of the connections of a flow.
pub(super) struct Session {
    pub(super) flow: String,
    /// From 0 on.
    pub(super) number: u16,
    pub(super) settings: Arc<Settings>,
    pub(super) signer: Signer,
    pub(super) counters: Arc<Counters>,
    pub(super) commits: mpsc::Sender<Commit>,
    /// Where it is remembered what was subscribed in the session that the broker keeps.
    pub(super) memory: PathBuf,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) acks: Acks,
    pub(super) group: Group,
    pub(super) intake: Intake,
    /// What is being synced, and up to where that is all this connection received.
    pub(super) under_way: Option<(Mark, oneshot::Receiver<Vec<u8>>)>,
    /// Whether the log says that messages come.
    pub(super) announced: bool,
    /// Whether the broker broke the protocol, until a connection has stood for a while.
    pub(super) breached: bool,
    /// What was logged last of each topic, by place in the settings, and of the session's life at the broker.
    pub(super) verdicts: BTreeMap<usize, Verdict>,
    pub(super) expiry: Option<Duration>,
    /// A buffer to be used again.
    pub(super) spare: Vec<u8>,
}

impl Session {
    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while !*self.stop.borrow() {
            let mut stood = None;
            let mut stop = self.stop.clone();
            let connected = tokio::select! {
                connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()) => connected,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let ended = match connected {
                Err(_) => Ended::Failed(SessionError::Timeout),
                Ok(Err(error)) => Ended::Failed(error),
                Ok(Ok((transport, buffer, welcome))) => {
                    let welcomed = Instant::now();
                    let ended = Conversation::new(&mut self, transport, buffer, welcome).hold().await;
                    stood = Some(welcomed.elapsed());
                    ended
                }
            };
            match ended {
                Ended::Stopped => return,
                Ended::Failed(error) => {
                    self.breached |= error.code().is_some();
                    self.lost(&error);
                }
            }
            failures = failures_after(failures, stood);
            self.wait(wait_before(failures, fastrand::f64())).await;
        }
        self.rescue(Instant::now() + FAREWELL).await;
    }

    /// A connection, signed in; with it what came after the broker's welcome.
    async fn connect(&self) -> Result<(Transport, BytesMut, Welcome), SessionError> {
        let mut transport = Transport::connect(&self.settings, &self.signer).await?;
        let Identity { client_id, username, password } = self.identity()?;
        let mut out = Vec::new();
        let settings = &self.settings;
        packets::connect(
            &packets::Connect {
                version: settings.version,
                client_id: &client_id,
                keep_alive_seconds: u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX),
                session_expiry_seconds: u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX),
                receive_maximum: RECEIVE_MAXIMUM,
                username: username.as_deref(),
                password: password.as_deref(),
            },
            &mut out,
        );
        transport.write(&out).await.map_err(SessionError::Broken)?;
        let mut buffer = BytesMut::new();
        loop {
            match packets::read(&buffer, settings.version, settings.max_packet.as_usize())? {
                packets::Read::Whole(packets::Packet::Connected { session_present, code, properties }, length) => {
                    if code != 0 {
                        let reason = datalake_mqtt::words::refused(settings.version, code);
                        return Err(SessionError::Told(reason + &in_its_words(properties)));
                    }
                    let keep_alive = properties.number(packets::SERVER_KEEP_ALIVE);
                    let keep_alive =
                        keep_alive.map_or(settings.keep_alive, |seconds| Duration::from_secs(seconds.into()));
                    let expiry = properties.number(packets::SESSION_EXPIRY);
                    let expiry = expiry.map(|seconds| Duration::from_secs(seconds.into()));
                    bytes::Buf::advance(&mut buffer, length);
                    return Ok((transport, buffer, Welcome { session_present, keep_alive, expiry, client_id }));
                }
                packets::Read::Whole(..) | packets::Read::TooLarge(..) => return Err(SessionError::Unasked),
                packets::Read::Partial(_) => {
                    if transport.read(&mut buffer).await.map_err(SessionError::Broken)? == 0 {
                        return Err(SessionError::ClosedAtSignIn);
                    }
                }
            }
        }
    }

    /// Client id, user name and password, the secrets read anew.
    fn identity(&self) -> Result<Identity, SessionError> {
        let settings = &self.settings;
        let client_id = settings.client_id_of(self.number);
        let line = |what, path| -> Result<Vec<u8>, TransportError> {
            let mut bytes = secret(what, path)?;
            // Editors and `echo` end a file with a line break, which is no part of a secret.
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if bytes.len() > LONGEST_TEXT { Err(too_long(what, path)) } else { Ok(bytes) }
        };
        let password = settings.password_file.as_ref().map(|path| line("passwordFile", path)).transpose()?;
        let token = settings.token_file.as_ref().map(|path| line("tokenFile", path)).transpose()?;
        let username = settings.username.as_ref().map(|name| match &token {
            Some(token) => name.replace("{token}", &encoded(&String::from_utf8_lossy(token))),
            None => name.clone(),
        });
        if let (Some(path), Some(_)) =
            (&settings.token_file, username.as_ref().filter(|name| name.len() > LONGEST_TEXT))
        {
            return Err(too_long("tokenFile", path).into());
        }
        // In 3.1.1 a password must not come without a name.
        let lonely = settings.version == Version::V311 && password.is_some();
        let username = username.or_else(|| lonely.then(String::new));
        Ok(Identity { client_id, username, password })
    }

    /// One line for each change.
    fn lost(&self, error: &SessionError) {
        let (flow, connection) = (self.flow.as_str(), self.number + 1);
        let reason = error.to_string();
        if self.counters.stands(self.number.into(), false, Some(&reason)) {
            tracing::warn!(
                message_id = ids::BROKER_AWAY,
                flow, connection, broker = %self.settings.broker, topic = error.topic(), reason,
                "no connection to the broker; trying again, and what was not acknowledged comes again"
            );
        }
    }

    /// Waits, and hands over meanwhile what was received before the connection was lost: it is kept although nobody can
    /// be answered, for a broker that lost its session does not send it again.
    async fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        self.group.reset();
        loop {
            self.hand_over().await;
            let mut stop = self.stop.clone();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                _ = stop.wait_for(|stop| *stop) => return,
                () = Self::synced(&mut self.under_way, &mut self.acks, &mut self.spare) => {}
            }
        }
    }

    /// Syncs what is left, as far as that can be done in time.
    async fn rescue(&mut self, deadline: Instant) {
        while self.under_way.is_some() || self.intake.batch.is_due {
            self.hand_over().await;
            let synced = Self::synced(&mut self.under_way, &mut self.acks, &mut self.spare);
            if tokio::time::timeout_at(deadline, synced).await.is_err() {
                return;
            }
        }
    }

    /// Hands the batch over for syncing, unless one is under way.
    async fn hand_over(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        self.group.taken(self.acks.owed(), Instant::now().into_std());
        if !self.intake.batch.is_due {
            return;
        }
        let batch = std::mem::take(&mut self.intake.batch);
        self.intake.batch.lines = std::mem::take(&mut self.spare);
        let (done, synced) = oneshot::channel();
        self.under_way = Some((self.acks.mark(), synced));
        // There is a place for each connection, and each has one batch under way; without a spool the flow is ending.
        self.commits.send(Commit { batch, done }).await.ok();
    }

    /// Waits until what is under way is synced; for ever when nothing is.
    async fn synced(under_way: &mut Option<(Mark, oneshot::Receiver<Vec<u8>>)>, acks: &mut Acks, spare: &mut Vec<u8>) {
        let Some((mark, synced)) = under_way else { return std::future::pending().await };
        let synced = synced.await;
        if let Ok(buffer) = synced {
            acks.synced(*mark);
            *spare = buffer;
        }
        *under_way = None;
    }
}

/// What the broker itself says to it, where it says something.
fn in_its_words(properties: packets::Properties<'_>) -> String {
    let said = |property| properties.text(property).map(|text| shown(text).cut(LONGEST_WORDS).to_string());
    let reason = said(packets::REASON);
    let other = said(packets::SERVER_REFERENCE).map(|other| format!("use {other}"));
    let said: Vec<String> = reason.into_iter().chain(other).collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

fn too_long(what: &'static str, path: &Path) -> TransportError {
    let reason = format!("a packet takes no text longer than {LONGEST_TEXT} bytes; is it the right file?");
    TransportError::File { what, path: path.to_owned(), reason }
}

/// As whom to sign in.
struct Identity {
    client_id: String,
    username: Option<String>,
    password: Option<Vec<u8>>,
}

/// What the broker said when it let us in.
pub(super) struct Welcome {
    session_present: bool,
    keep_alive: Duration,
    /// How long it keeps the session, where that is not as long as it was asked to.
    expiry: Option<Duration>,
    client_id: String,
}

/// Failures in a row after another connection, which stood for so long, or never did: a broker that takes its time to
/// refuse is busy, and no good one.
fn failures_after(failures: u32, stood: Option<Duration>) -> u32 {
    if stood.is_some_and(|stood| stood >= GOOD_AFTER) { 0 } else { failures.saturating_add(1) }
}

/// How long to wait after this number of failures in a row; `chance` is from 0 to 1.
fn wait_before(failures: u32, chance: f64) -> Duration {
    let most = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    // Many agents that lost one broker must not come back at the same moment; and none at once.
    most.div_f64(10.0) + most.mul_f64(0.9 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_stood_for_a_while_makes_the_next_wait_short_again() {
        assert_eq!(failures_after(7, None), 8, "however long it took to come to nothing");
        assert_eq!(failures_after(7, Some(Duration::ZERO)), 8);
        assert_eq!(failures_after(7, Some(GOOD_AFTER)), 0);
    }

    #[test]
    fn the_wait_grows_to_a_limit_and_is_never_none() {
        for (failures, least, most) in [(0, 50, 500), (1, 50, 500), (2, 100, 1000), (4, 400, 4000), (50, 3000, 30_000)]
        {
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            assert_eq!((wait_before(failures, 0.0), wait_before(failures, 1.0)), (least, most));
        }
    }
}

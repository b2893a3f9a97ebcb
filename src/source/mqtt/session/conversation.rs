//! One connection from the broker's welcome to its end: a loop that reads, hands over, answers, pings.
//! Promises to wait for several things at once and lose none: only a read that takes nothing when given up, a sync,
//! a timer and the switch stand in its select. Leaves coming back to the session.

/// What the log and the next start learn of it.
mod standing;

use super::{FAREWELL, GOOD_AFTER, MOST_OWED, Session, SessionError, Transport, Welcome, in_its_words};
use crate::telemetry::clock;
use bytes::{Buf, BytesMut};
use datalake_base::shown::shown;
use datalake_mqtt::intake::Taken;
use datalake_mqtt::packets::{self, Malformed, Packet, Read, Version};
use datalake_mqtt::subscriptions::{self, Link, Subscriptions};
use datalake_mqtt::words;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A broker that does not take what is sent for so long is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A broker that got our DISCONNECT hangs up within this, having read everything before it. A busy one takes its time, and
/// answers that it did not read are messages that come twice.
const HANG_UP: Duration = Duration::from_secs(5);

/// A broker that is left because it breaks the protocol has this long to read why.
const DISMISSAL: Duration = Duration::from_secs(1);
/// No more of a topic is shown.
const SHOWN_TOPIC: usize = 256;

/// A topic from outside, for the log.
fn shown_topic(topic: Option<&[u8]>) -> String {
    topic.map(|topic| shown(topic).cut(SHOWN_TOPIC).to_string()).unwrap_or_default()
}

/// Writes a file that only its owner may read.
fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// How a conversation ended.
pub(super) enum Ended {
    /// As it was asked to; everything received is synced and answered, or left to the broker.
    Stopped,
    Failed(SessionError),
}

pub(super) struct Conversation<'a> {
    session: &'a mut Session,
    transport: Transport,
    buffer: BytesMut,
    /// How many of the next bytes belong to a message that is stepped over.
    skip: usize,
    out: Vec<u8>,
    subscriptions: Subscriptions,
    keep_alive: Duration,
    client_id: String,
    /// Whether the broker goes on with the session of an earlier connection.
    session_present: bool,
    last_sent: Instant,
    /// When the broker was pinged, until it says anything.
    pinged: Option<Instant>,
    /// Since when nothing came and the broker owes an answer to what it was asked about topics.
    asked: Option<Instant>,
    /// Whether this connection was logged.
    told: bool,
    /// When a broker that broke the protocol before is believed to be well.
    believed_at: Option<Instant>,
    /// Whether there is room for what the next packet holds.
    room: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(session: &'a mut Session, transport: Transport, buffer: BytesMut, welcome: Welcome) -> Self {
        // A clean session of 3.1.1 ends with its connection, whatever the broker says.
        let settings = &session.settings;
        let is_clean = settings.version == Version::V311 && settings.session_expiry.is_zero();
        let session_present = welcome.session_present && !is_clean;
        session.acks.connected(session_present);
        session.group.reset();
        // The first messages may have come with the welcome.
        session.intake.read_at(clock::now_ms());
        let mut conversation = Self {
            session,
            transport,
            buffer,
            skip: 0,
            out: Vec::new(),
            subscriptions: Subscriptions::default(),
            keep_alive: welcome.keep_alive,
            client_id: welcome.client_id,
            session_present,
            last_sent: Instant::now(),
            pinged: None,
            asked: None,
            told: false,
            believed_at: None,
            room: true,
        };
        conversation.tell_expiry(welcome.expiry);
        let memory = if session_present { conversation.recall() } else { None };
        let known = match &memory {
            _ if !session_present => subscriptions::Session::New,
            None => subscriptions::Session::Unknown,
            Some(memory) => subscriptions::Session::Known(memory),
        };
        let settings = &conversation.session.settings;
        let link = Link { number: conversation.session.number, version: settings.version, session: known };
        conversation.subscriptions = Subscriptions::connected(&settings.topics, link);
        conversation.session.intake.connected(conversation.subscriptions.past().clone());
        if !session_present {
            std::fs::remove_file(&conversation.session.memory).ok();
        }
        if conversation.subscriptions.is_settled() {
            conversation.settled();
        }
        conversation
    }

    /// Holds it until it ends.
    pub(super) async fn hold(mut self) -> Ended {
        let mut stop = self.session.stop.clone();
        loop {
            if let Err(error) = self.step().await {
                self.dismiss(&error).await;
                return Ended::Failed(error);
            }
            let due = self.due();
            let session = &mut *self.session;
            let session_synced = Session::synced(&mut session.under_way, &mut session.acks, &mut session.spare);
            let read = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = session_synced => continue,
                read = self.transport.read(&mut self.buffer), if self.room => read,
                () = tokio::time::sleep_until(due) => continue,
            };
            match read {
                Ok(0) if self.subscriptions.is_settled() => return Ended::Failed(SessionError::Closed),
                Ok(0) => return Ended::Failed(SessionError::ClosedAtSubscribe),
                Ok(_) => {
                    self.pinged = None;
                    self.session.intake.read_at(clock::now_ms());
                }
                Err(error) => return Ended::Failed(SessionError::Broken(error)),
            }
        }
        self.farewell().await
    }

    /// Everything that can be done without waiting for more than the socket to take what is sent.
    async fn step(&mut self) -> Result<(), SessionError> {
        let had_room = self.room;
        self.take_in()?;
        if !self.room && self.session.under_way.is_none() {
            self.session.hand_over().await;
            self.take_in()?;
        }
        let now = Instant::now();
        if self.room && !had_room {
            // Its answer may lie unread since long ago.
            self.pinged = self.pinged.map(|_| now);
        }
        self.answer(now);
        self.believe(now);
        let session = &mut *self.session;
        if session.group.due(session.acks.owed()).is_some_and(|due| due <= now.into_std()) {
            session.hand_over().await;
        }
        if self.subscriptions.is_due(now.into_std()) {
            self.remember();
        }
        let topics = &self.session.settings.topics;
        self.subscriptions.write(topics, self.session.settings.version, now.into_std(), &mut self.out);
        self.demand(now, had_room)?;
        self.ping(now)?;
        self.flush(now).await
    }

    /// When there is something to do even if nothing happens.
    fn due(&self) -> Instant {
        let session = &*self.session;
        let ping = match self.pinged {
            Some(pinged) if self.room => pinged + self.patience(),
            _ => self.last_sent + self.ping_after(),
        };
        let group = session.group.due(session.acks.owed()).filter(|_| session.under_way.is_none());
        let answer = self.asked.filter(|_| self.room).map(|asked| asked + self.patience());
        let others = [group, self.subscriptions.due()].into_iter().flatten().map(Instant::from_std);
        others.chain(answer).chain(self.believed_at).fold(ping, Instant::min)
    }

    /// Takes in all whole packets for which there is room.
    fn take_in(&mut self) -> Result<(), SessionError> {
        let settings = self.session.settings.clone();
        self.room = true;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut arrived = false;
        let taken = loop {
            let stepped = self.skip.min(buffer.len());
            buffer.advance(stepped);
            self.skip -= stepped;
            if self.session.acks.owed() > MOST_OWED {
                break Err(SessionError::Flood);
            }
            match packets::read(&buffer, settings.version, settings.max_packet.as_usize()) {
                Err(error @ (Malformed::Text | Malformed::Nul | Malformed::Wildcard)) => {
                    break Err(SessionError::Topic { error, topic: shown_topic(packets::topic(&buffer)) });
                }
                Err(error) => break Err(error.into()),
                Ok(Read::Partial(_)) => break Ok(()),
                Ok(Read::TooLarge(message, length)) => {
                    let Some(is_first) = self.session.intake.refuse_large(&message, &mut self.session.acks) else {
                        break Err(SessionError::Foreign { topic: shown_topic(Some(message.topic.as_bytes())) });
                    };
                    if is_first {
                        tracing::warn!(
                            flow = self.session.flow, topic = shown_topic(Some(message.topic.as_bytes())), bytes = length, limit = %settings.max_packet,
                            "a message is larger than `maxPacketBytes` and was left out; later ones of this subscription \
                             are only counted"
                        );
                    }
                    arrived = true;
                    self.skip = length;
                }
                Ok(Read::Whole(Packet::Publish(message), length)) => {
                    match self.session.intake.take(&message, &mut self.session.acks) {
                        Taken::Yes => {}
                        Taken::NoRoom => {
                            self.room = false;
                            break Ok(());
                        }
                        Taken::Foreign => {
                            let topic = shown_topic(Some(message.topic.as_bytes()));
                            break Err(SessionError::Foreign { topic });
                        }
                    }
                    arrived = true;
                    buffer.advance(length);
                }
                Ok(Read::Whole(packet, length)) => {
                    if let Err(error) = self.hear(packet) {
                        break Err(error);
                    }
                    buffer.advance(length);
                }
            }
        };
        self.buffer = buffer;
        if arrived {
            self.session.group.arrived(Instant::now().into_std());
        }
        if arrived || self.skip > 0 || !self.buffer.is_empty() {
            // The answer may stand behind many messages, or a long one.
            self.asked = None;
        }
        taken
    }

    fn hear(&mut self, packet: Packet<'_>) -> Result<(), SessionError> {
        match packet {
            Packet::Pong => {}
            Packet::Release { packet } => {
                let ack = self.session.acks.released(packet);
                packets::acknowledge(ack, &mut self.out);
            }
            Packet::Subscribed { packet, codes } => {
                let topics = &self.session.settings.topics;
                let verdicts = self.subscriptions.subscribed(topics, packet, codes, Instant::now().into_std());
                let verdicts = verdicts.map_err(|_| SessionError::Unasked)?;
                self.tell_verdicts(&verdicts);
                if self.subscriptions.is_settled() {
                    self.settled();
                }
            }
            Packet::Unsubscribed { packet } => {
                self.subscriptions.unsubscribed(packet).map_err(|_| SessionError::Unasked)?;
                if self.subscriptions.is_settled() {
                    self.settled();
                }
            }
            Packet::Disconnect { code, properties } => {
                return Err(SessionError::Told(words::disconnected(code) + &in_its_words(properties)));
            }
            Packet::Connected { .. } | Packet::Publish(_) => return Err(SessionError::Unasked),
        }
        Ok(())
    }

    /// Appends the answers that may be sent.
    fn answer(&mut self, now: Instant) {
        let mut answered = false;
        while let Some((ack, subscription)) = self.session.acks.next_due() {
            packets::acknowledge(ack, &mut self.out);
            self.session.counters.subscriptions[subscription].acknowledged.add(1);
            answered = true;
        }
        if answered {
            self.session.group.answered(now.into_std());
        }
    }

    /// Pings after silence, and finds out that nobody is there.
    fn ping(&mut self, now: Instant) -> Result<(), SessionError> {
        match self.pinged {
            // While there is no room nothing is read, so nothing can be heard.
            Some(pinged) if now >= pinged + self.patience() && self.room => {
                Err(SessionError::Silent { asked: now - pinged })
            }
            Some(_) if self.room || now < self.last_sent + self.ping_after() => Ok(()),
            None if now < self.last_sent + self.ping_after() => Ok(()),
            _ => {
                packets::ping(&mut self.out);
                self.pinged = Some(now);
                Ok(())
            }
        }
    }

    /// Finds out that the broker does not answer what it was asked about topics, though it may answer pings.
    fn demand(&mut self, now: Instant, had_room: bool) -> Result<(), SessionError> {
        if !self.subscriptions.awaits() || !had_room {
            self.asked = None;
        }
        if self.subscriptions.awaits() && self.room {
            let asked = now - *self.asked.get_or_insert(now);
            if asked >= self.patience() {
                return Err(SessionError::Unanswered { asked });
            }
        }
        Ok(())
    }

    /// Well before the keep-alive is over.
    fn ping_after(&self) -> Duration {
        if self.keep_alive.is_zero() { Duration::from_secs(3600) } else { self.keep_alive.mul_f64(0.75) }
    }

    /// How long an answer to a ping may take.
    fn patience(&self) -> Duration {
        self.keep_alive.clamp(Duration::from_secs(1), Duration::from_secs(30))
    }

    async fn flush(&mut self, now: Instant) -> Result<(), SessionError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = tokio::time::timeout(WRITE_TIMEOUT, self.transport.write(&self.out)).await;
        match written {
            Err(_) => return Err(SessionError::Silent { asked: WRITE_TIMEOUT }),
            Ok(written) => written.map_err(SessionError::Broken)?,
        }
        self.out.clear();
        self.last_sent = now;
        Ok(())
    }

    /// Leaves a broker that breaks the protocol, and says why where the protocol has a word for it. What came before was
    /// right: it is synced and answered first, or it would come again with every connection.
    async fn dismiss(&mut self, error: &SessionError) {
        let Some(code) = error.code() else { return };
        let deadline = Instant::now() + FAREWELL;
        self.session.rescue(deadline).await;
        let now = Instant::now();
        self.answer(now);
        if self.session.settings.version == Version::V5 {
            packets::dismiss(code, &mut self.out);
        }
        let leave = async {
            self.flush(now).await.ok();
            self.transport.close().await.ok();
        };
        tokio::time::timeout(DISMISSAL, leave).await.ok();
    }

    /// Syncs and answers what was received, then leaves so that the answers arrive. What was not taken in is the broker's.
    async fn farewell(mut self) -> Ended {
        let deadline = Instant::now() + FAREWELL;
        self.session.rescue(deadline).await;
        let now = Instant::now();
        self.answer(now);
        packets::disconnect(&mut self.out);
        let leave = async {
            self.flush(now).await.ok();
            self.transport.close().await.ok();
        };
        tokio::time::timeout(HANG_UP, leave).await.ok();
        Ended::Stopped
    }
}

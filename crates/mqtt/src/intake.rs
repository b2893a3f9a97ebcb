//! From bytes to a batch of lines: what a connection has received and not handed over for syncing yet.
//! Promises a bounded batch, that every message in it has its claim in the acks, and that what is left out is counted.
//! Leaves syncing to the spool and answering to `session`.

use super::acks::{Acks, Arrived};
use super::counters::{Counters, Subscription};
use super::envelope::{self, Receipt, Refused};
use super::memory::Past;
use super::packets::{Publish, Quality};
use super::settings::{OnFailure, Settings};
use datalake_base::calendar;
use std::sync::Arc;

/// What a group of messages adds to the accounting: how many came of each subscription.
pub type Counts = Vec<u64>;

/// A batch takes no further message at this size. The one that reaches it may be as large as the packet limit allows.
const BATCH_BYTES: usize = 512 << 10;

/// A payload that could not be a line and is to be kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPayload {
    /// The topic of the message.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Why it is no line.
    pub reason: String,
}

/// What was received and is to be synced.
#[derive(Debug, Default)]
pub struct Batch {
    pub lines: Vec<u8>,
    pub counts: Counts,
    pub refused: Vec<RefusedPayload>,
    /// What the refused payloads take of memory together.
    refused_bytes: usize,
    /// Whether anything wants an answer or is to be kept.
    pub is_due: bool,
}

/// What to do after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// There is no room; the message is to be offered again.
    NoRoom,
    /// Its topic was never subscribed in this session.
    Foreign,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Intake {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    pub batch: Batch,
    /// Of the whole process, so that no two messages bear the same.
    run: u64,
    serial: u64,
    /// When the bytes at hand were read.
    at: String,
    past: Past,
    /// What a binary payload became.
    json: Vec<u8>,
}

impl Intake {
    pub fn new(settings: Arc<Settings>, counters: Arc<Counters>, run: u64) -> Self {
        let (batch, past) = (Batch::default(), Past::Unknown);
        Self { settings, counters, batch, run, serial: 0, at: String::new(), past, json: Vec::new() }
    }

    /// What comes next comes on another connection; these topics may come beside those of the settings.
    pub fn connected(&mut self, past: Past) {
        self.past = past;
    }

    /// What comes next was read at `now`, milliseconds since 1970.
    pub fn read_at(&mut self, now: u64) {
        let mut at = Vec::new();
        calendar::write_millis(now, &mut at);
        self.at = String::from_utf8(at).unwrap_or_default();
    }

    /// Takes a message, or leaves it where there is no room.
    pub fn take(&mut self, message: &Publish<'_>, acks: &mut Acks) -> Taken {
        let Some(place) = self.place(message.topic) else { return Taken::Foreign };
        if self.batch.lines.len() + self.batch.refused_bytes >= BATCH_BYTES {
            if message.quality > Quality::AtMostOnce || self.counters.full.value() == 0 {
                return Taken::NoRoom;
            }
            self.receive(place, message);
            self.counters.subscriptions[place].dropped.add(1);
            return Taken::Yes;
        }
        self.receive(place, message);
        self.batch.is_due = true;
        if acks.arrived(message.quality, message.packet, message.duplicate, place) == Arrived::Again {
            return Taken::Yes;
        }
        self.serial += 1;
        let receipt = Receipt { at: &self.at, run: self.run, serial: self.serial };
        let (line, topic) = (self.settings.line, self.settings.topics.get(place));
        let lines = &mut self.batch.lines;
        let start = lines.len();
        let made = match &self.settings.decoder {
            None => envelope::append(line, message, topic, receipt, lines),
            Some(decoder) => envelope::append_binary(line, decoder, message, topic, receipt, &mut self.json, lines),
        };
        let made = made.and_then(|()| {
            let (bytes, longest) = (lines.len() - start, self.settings.longest_line);
            if bytes > longest { Err(Refused::TooLong { bytes, longest }) } else { Ok(()) }
        });
        if let Err(reason) = made {
            self.counters.subscriptions[place].refused.add(1);
            match self.settings.on_failure {
                // Framing cuts it into several lines.
                OnFailure::Raw if matches!(reason, Refused::TooLong { .. }) => {}
                OnFailure::Raw => envelope::append_refused(line, message, topic, receipt, lines),
                OnFailure::Quarantine => {
                    lines.truncate(start);
                    let (topic, payload) = (message.topic.to_owned(), message.payload.to_vec());
                    // What it takes to hold it: a flood of the shortest would else be no limit to memory.
                    self.batch.refused_bytes += size_of::<RefusedPayload>() + topic.len() + payload.len();
                    self.batch.refused.push(RefusedPayload { topic, payload, reason: reason.to_string() });
                }
                OnFailure::Drop => {
                    lines.truncate(start);
                    self.counters.subscriptions[place].dropped.add(1);
                    return Taken::Yes;
                }
            }
        }
        self.batch.counts.resize(self.counters.subscriptions.len(), 0);
        self.batch.counts[place] += 1;
        Taken::Yes
    }

    /// A message over the limit: it is counted and answered, and its payload stepped over. Returns whether that is the
    /// first of its subscription; `None` where its topic was never subscribed.
    pub fn refuse_large(&mut self, message: &Publish<'_>, acks: &mut Acks) -> Option<bool> {
        let place = self.place(message.topic)?;
        self.receive(place, message);
        let dropped = &self.counters.subscriptions[place].dropped;
        dropped.add(1);
        self.batch.is_due = true;
        acks.arrived(message.quality, message.packet, message.duplicate, place);
        Some(dropped.value() == 1)
    }

    /// The subscription that the message counts for; the last for those of earlier settings.
    fn place(&self, topic: &str) -> Option<usize> {
        let topics = &self.settings.topics;
        let known = topics.iter().position(|wanted| wanted.matches(topic));
        known.or_else(|| self.past.covers(topic).then_some(topics.len()))
    }

    fn receive(&self, place: usize, message: &Publish<'_>) {
        let Subscription { received, redelivered, .. } = &self.counters.subscriptions[place];
        received.add(1);
        redelivered.add(u64::from(message.duplicate));
    }
}

#[cfg(test)]
mod tests {
    use super::super::packets::{Properties, Version};
    use super::super::settings::Broker;
    use super::super::topics::Topic;
    use super::*;
    use datalake_base::units::ByteSize;
    use std::time::Duration;

    fn intake(longest_line: usize, on_failure: OnFailure) -> Intake {
        let topics = vec![Topic::parse("t", Quality::AtMostOnce).unwrap()];
        let counters = Arc::new(Counters::new(&topics, 1));
        let settings = Settings {
            broker: Broker::parse("mqtt://localhost").unwrap(),
            topics,
            version: Version::V5,
            client_id: String::new(),
            session_expiry: Duration::ZERO,
            keep_alive: Duration::from_secs(60),
            username: None,
            password_file: None,
            token_file: None,
            ca_file: None,
            certificate_file: None,
            private_key_file: None,
            alpn: None,
            sign_for: None,
            connections: 1,
            max_packet: ByteSize::bytes(1 << 20),
            sync_interval: Duration::ZERO,
            max_spool: ByteSize::bytes(1 << 30),
            line: envelope::Settings { format: envelope::PayloadFormat::Auto, envelope: false },
            decoder: None,
            longest_line,
            on_failure,
        };
        Intake::new(Arc::new(settings), counters, 0)
    }

    fn message(payload: &[u8]) -> Publish<'_> {
        Publish {
            quality: Quality::AtMostOnce,
            retained: false,
            duplicate: false,
            topic: "t",
            packet: 0,
            properties: Properties::default(),
            payload,
        }
    }

    #[test]
    fn a_message_longer_than_a_record_goes_where_on_failure_says() {
        // It used to become two lines that were not JSON. The line takes the payload's bytes and a newline.
        let (fits, too_long) = (b"[\"1234567\"]".as_slice(), b"[\"12345678\"]".as_slice());
        for (on_failure, lines, kept, dropped) in [
            (OnFailure::Quarantine, "[\"1234567\"]\n", 1, 0),
            (OnFailure::Drop, "[\"1234567\"]\n", 0, 1),
            (OnFailure::Raw, "[\"1234567\"]\n[\"12345678\"]\n", 0, 0),
        ] {
            let mut intake = intake(12, on_failure);
            for payload in [fits, too_long] {
                assert_eq!(intake.take(&message(payload), &mut Acks::default()), Taken::Yes);
            }
            assert_eq!((intake.batch.lines.as_slice(), intake.batch.refused.len()), (lines.as_bytes(), kept));
            let counted = &intake.counters.subscriptions[0];
            assert_eq!((counted.refused.value(), counted.dropped.value()), (1, dropped));
            for refused in &intake.batch.refused {
                assert_eq!(refused.payload, too_long);
                assert_eq!(refused.reason, "its line takes 13 bytes, and a record of the flow holds 12");
            }
        }
    }

    #[test]
    fn the_shortest_payloads_that_are_refused_fill_a_batch_too() {
        let mut intake = intake(1 << 20, OnFailure::Quarantine);
        let message = message(b"{");
        let mut acks = Acks::default();
        let taken = (0..BATCH_BYTES).take_while(|_| intake.take(&message, &mut acks) == Taken::Yes).count();
        assert!(taken * size_of::<RefusedPayload>() <= BATCH_BYTES, "{taken} of them");
    }
}

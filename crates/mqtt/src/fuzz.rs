//! Doors for fuzzers: each takes any bytes and panics where a promise is broken.
//! Promises that what holds for all input is written down once, for the fuzzer and for the tests.
//! Leaves making up input to its callers.

use super::acks::Acks;
use super::counters::Counters;
use super::envelope::{PayloadFormat, Settings as LineSettings};
use super::intake::{Intake, Taken};
use super::memory::{Memory, Past};
use super::packets::{self, CONTENT_TYPE, Packet, Publish, Quality, REASON, Read, Version};
use super::settings::{Broker, OnFailure, Settings};
use super::subscriptions::{Link, Session, Subscriptions};
use super::topics::Topic;
use datalake_base::units::ByteSize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a broker may send at most, where the first byte chooses.
const LIMITS: [usize; 4] = [16, 200, 1 << 12, 1 << 20];

/// Packets, one after the other: what is read does not depend on where the bytes are cut.
pub fn packets(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    let version = if mode & 1 == 0 { Version::V5 } else { Version::V311 };
    let limit = LIMITS[usize::from(mode >> 1) % LIMITS.len()];
    let mut rest = bytes;
    while !rest.is_empty() {
        let read = packets::read(rest, version, limit);
        match read {
            Ok(Read::Whole(packet, length)) => {
                assert!(0 < length && length <= rest.len() && length <= limit);
                assert_eq!(packets::read(&rest[..length], version, limit), read, "what follows matters");
                for end in [1, 2, length / 2, length - 1].into_iter().filter(|end| *end < length) {
                    let Ok(Read::Partial(needed)) = packets::read(&rest[..end], version, limit) else {
                        panic!("{end} of {length} bytes are taken for more than a part");
                    };
                    assert!(end < needed && needed <= length.max(end + 1));
                }
                whole(packet, &rest[..length], version);
                rest = &rest[length..];
            }
            Ok(Read::TooLarge(message, length)) => {
                assert!(length > limit && is_topic(message.topic) && message.payload.is_empty());
                assert_eq!(packets::topic(rest), Some(message.topic.as_bytes()));
                rest = rest.get(length..).unwrap_or_default();
            }
            Ok(Read::Partial(needed)) => {
                assert!(needed > rest.len());
                return;
            }
            Err(error) => {
                assert!(error.code() >= 0x80 && !error.to_string().is_empty());
                let more = [rest, &[0; 16]].concat();
                assert_eq!(packets::read(&more, version, limit), Err(error), "more bytes make it right");
                return;
            }
        }
    }
}

fn is_topic(topic: &str) -> bool {
    !topic.contains(['\0', '+', '#'])
}

/// What holds of a packet in these bytes.
fn whole(packet: Packet<'_>, bytes: &[u8], version: Version) {
    let properties = match packet {
        Packet::Publish(message) => {
            assert!(is_topic(message.topic) && !message.topic.is_empty());
            assert_eq!(message.packet == 0, message.quality == Quality::AtMostOnce);
            assert_eq!(packets::topic(bytes), Some(message.topic.as_bytes()));
            assert!(bytes.ends_with(message.payload));
            message.properties
        }
        Packet::Connected { properties, .. } | Packet::Disconnect { properties, .. } => properties,
        Packet::Subscribed { packet, .. } | Packet::Unsubscribed { packet } | Packet::Release { packet } => {
            return assert!(packet > 0);
        }
        Packet::Pong => return,
    };
    let texts = properties.pairs().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        + properties.text(CONTENT_TYPE).map_or(0, str::len)
        + properties.text(REASON).map_or(0, str::len);
    assert!(texts <= bytes.len() && (version == Version::V5 || texts == 0));
}

fn settings(version: Version, format: PayloadFormat, envelope: bool, on_failure: OnFailure) -> Settings {
    let filters = ["t", "a/{x}/{y}", "$share/g/s/+", "b/#"];
    Settings {
        broker: Broker::parse("mqtt://localhost").expect("an address"),
        topics: filters.map(|filter| Topic::parse(filter, Quality::ExactlyOnce).expect("a filter")).into(),
        version,
        client_id: "agent".to_owned(),
        session_expiry: Duration::from_secs(1),
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
        max_packet: ByteSize::bytes(1 << 12),
        sync_interval: Duration::ZERO,
        max_spool: ByteSize::bytes(1 << 30),
        line: LineSettings { format, envelope },
        decoder: None,
        longest_line: 1_024_000,
        on_failure,
    }
}

/// A connection that a broker fills with any bytes: each message is one line, or kept, or counted; it is answered once, in
/// order, after its line was handed over.
pub fn session(bytes: &[u8], now: Instant) {
    let Some((mode, mut rest)) = bytes.split_first() else { return };
    let version = if mode & 1 == 0 { Version::V5 } else { Version::V311 };
    let format = if mode & 2 == 0 { PayloadFormat::Auto } else { PayloadFormat::Raw };
    let on_failure = [OnFailure::Quarantine, OnFailure::Raw, OnFailure::Drop][usize::from(mode >> 3) % 3];
    let settings = Arc::new(settings(version, format, format == PayloadFormat::Auto && mode & 4 == 0, on_failure));
    let topics = &settings.topics;
    let counters = Arc::new(Counters::new(topics, 1));
    let (mut acks, mut out) = (Acks::default(), Vec::new());
    let mut intake = Intake::new(settings.clone(), counters.clone(), 7);
    let link = Link { number: 0, version, session: if mode & 0x40 == 0 { Session::New } else { Session::Unknown } };
    let mut subscriptions = Subscriptions::connected(topics, link);
    acks.connected(mode & 0x40 != 0);
    intake.connected(subscriptions.past().clone());
    subscriptions.write(topics, version, now, &mut out);
    let (mut sum, mut owed) = (Sum::default(), Vec::new());
    loop {
        match packets::read(rest, version, settings.max_packet.as_usize()) {
            Ok(Read::Whole(Packet::Publish(message), length)) => {
                match intake.take(&message, &mut acks) {
                    Taken::Yes => owe(&message, &mut owed),
                    Taken::Foreign => {
                        assert!(!topics.iter().any(|topic| topic.matches(message.topic)));
                        assert_eq!(link_knows(&subscriptions), Some(0), "a session of unknown age may hold any topic");
                        break;
                    }
                    Taken::NoRoom => {
                        hand_over(&mut intake, &mut acks, format, &mut sum);
                        assert_eq!(intake.take(&message, &mut acks), Taken::Yes, "an empty batch has room");
                        owe(&message, &mut owed);
                    }
                }
                rest = &rest[length..];
            }
            Ok(Read::TooLarge(message, length)) => {
                if intake.refuse_large(&message, &mut acks).is_none() {
                    break;
                }
                owe(&message, &mut owed);
                rest = rest.get(length..).unwrap_or_default();
            }
            Ok(Read::Whole(packet, length)) => {
                match packet {
                    Packet::Release { packet } => assert_eq!(acks.released(packet).packet, packet),
                    Packet::Subscribed { packet, codes } => {
                        let verdicts = subscriptions.subscribed(topics, packet, codes, now);
                        assert!(verdicts.is_err() || subscriptions.refused().len() <= topics.len());
                    }
                    Packet::Unsubscribed { packet } => assert!(subscriptions.unsubscribed(packet).is_err()),
                    _ => {}
                }
                rest = &rest[length..];
            }
            Ok(Read::Partial(_)) | Err(_) => break,
        }
    }
    hand_over(&mut intake, &mut acks, format, &mut sum);
    assert_eq!(sum.answered, owed, "answers in the order of receipt");
    let received = counters.sum(|subscription| &subscription.received);
    assert!(sum.lines + sum.kept <= received, "{sum:?} of {received}");
    let memory = subscriptions.memory(topics, "agent", "mqtt://localhost:1883".to_owned(), true);
    assert_eq!(Memory::read(&memory.text()), Some(memory));
}

/// The number of filters of the past that are known, where they are.
fn link_knows(subscriptions: &Subscriptions) -> Option<usize> {
    match subscriptions.past() {
        Past::Unknown => None,
        Past::Filters(filters) => Some(filters.len()),
    }
}

fn owe(message: &Publish<'_>, owed: &mut Vec<u16>) {
    if message.quality > Quality::AtMostOnce {
        owed.push(message.packet);
    }
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Sum {
    lines: u64,
    kept: u64,
    answered: Vec<u16>,
}

/// Takes the batch as the spool does, says that it is synced, and collects the answers.
fn hand_over(intake: &mut Intake, acks: &mut Acks, format: PayloadFormat, sum: &mut Sum) {
    assert_eq!(acks.next_due(), None, "nothing is answered before it is handed over and synced");
    let batch = std::mem::take(&mut intake.batch);
    let count = memchr::memchr_iter(b'\n', &batch.lines).count() as u64;
    assert!(batch.lines.is_empty() || batch.lines.ends_with(b"\n"));
    assert_eq!(batch.counts.iter().sum::<u64>(), count + batch.refused.len() as u64);
    if format == PayloadFormat::Auto {
        for line in batch.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
            assert!(is_json, "{:?}", line.escape_ascii().to_string());
        }
    }
    (sum.lines, sum.kept) = (sum.lines + count, sum.kept + batch.refused.len() as u64);
    acks.synced(acks.mark());
    sum.answered.extend(std::iter::from_fn(|| acks.next_due()).map(|(ack, _)| ack.packet));
}

/// A filter and the topic of a message: what the standard says of them, said another way.
pub fn topics(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (filter, topic) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(parsed) = Topic::parse(filter, Quality::AtLeastOnce) else { return };
    let again = Topic::parse(&parsed.filter, Quality::AtLeastOnce).expect("what the broker is asked is a filter");
    assert_eq!(again.filter, parsed.filter);
    assert_eq!(again.is_shared(), parsed.is_shared());
    if topic.is_empty() || !is_topic(topic) {
        return;
    }
    let plain = match parsed.filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').expect("proven by parse").1,
        None => &parsed.filter,
    };
    let (wanted, had): (Vec<&str>, Vec<&str>) = (plain.split('/').collect(), topic.split('/').collect());
    let hidden = topic.starts_with('$') && plain.starts_with(['+', '#']);
    assert_eq!(parsed.matches(topic), !hidden && fits(&wanted, &had), "{filter:?} {topic:?}");
}

fn fits(wanted: &[&str], had: &[&str]) -> bool {
    match (wanted, had) {
        (["#"], _) | ([], []) => true,
        (["+", wanted @ ..], [_, had @ ..]) => fits(wanted, had),
        ([first, wanted @ ..], [same, had @ ..]) => first == same && fits(wanted, had),
        _ => false,
    }
}

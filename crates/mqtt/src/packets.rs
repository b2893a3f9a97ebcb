//! The packets of MQTT 5 and 3.1.1 that a subscriber meets: bytes in, borrowed packets out, and the other way round.
//! Promises that malformed bytes are an error and never a panic, and that a packet over the limit can be stepped over:
//! it is acknowledged and counted, where a reconnect would only bring it again. Leaves the connection to `session`.

/// What is sent.
mod write;

pub use write::{
    Ack, Answer, Connect, Filter, Retained, acknowledge, connect, disconnect, dismiss, ping, subscribe, unsubscribe,
};

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5.
    #[default]
    V5,
}

/// How often a message arrives: 0 at most once, 1 at least once, 2 exactly once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    /// Never acknowledged.
    AtMostOnce,
    /// Acknowledged with PUBACK.
    #[default]
    AtLeastOnce,
    /// Acknowledged with PUBREC, then PUBCOMP.
    ExactlyOnce,
}

impl Quality {
    /// 0, 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The other way round.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Why bytes are no packet. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a packet says it is longer than MQTT allows")]
    Length,
    #[error("a packet of type {0} was not asked for, or comes only from clients")]
    Type(u8),
    #[error("a packet ends before what it must hold")]
    Short,
    #[error("a topic or a property is not UTF-8")]
    Text,
    #[error("the topic of a message holds a NUL character")]
    Nul,
    #[error("the topic of a message holds a wildcard")]
    Wildcard,
    #[error("a packet has a property that MQTT 5 does not know")]
    Property,
    #[error("a message has an impossible quality of service or packet identifier")]
    Quality,
    #[error("a message names its topic by an alias, which was not agreed on")]
    Alias,
    #[error("a packet that holds no message is over `maxPacketBytes`")]
    TooLarge,
}

impl Malformed {
    /// How MQTT 5 calls it when the connection is ended for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Length | Self::Short | Self::Text | Self::Nul | Self::Property | Self::Quality => MALFORMED_PACKET,
            Self::Type(_) | Self::Wildcard => PROTOCOL_ERROR,
            Self::Alias => 0x94,
            Self::TooLarge => 0x95,
        }
    }
}

/// Bytes that are no packet.
const MALFORMED_PACKET: u8 = 0x81;
/// A packet that must not come now.
pub const PROTOCOL_ERROR: u8 = 0x82;
/// More messages than may wait for their answers.
pub const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub quality: Quality,
    pub retained: bool,
    pub duplicate: bool,
    pub topic: &'a str,
    /// 0 where the quality is at most once.
    pub packet: u16,
    pub properties: Properties<'a>,
    pub payload: &'a [u8],
}

/// A packet from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Connected {
        session_present: bool,
        code: u8,
        properties: Properties<'a>,
    },
    Publish(Publish<'a>),
    /// Codes in the order of the filters.
    Subscribed {
        packet: u16,
        codes: &'a [u8],
    },
    Unsubscribed {
        packet: u16,
    },
    Release {
        packet: u16,
    },
    Pong,
    Disconnect {
        code: u8,
        properties: Properties<'a>,
    },
}

/// What the bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A packet, and how many bytes it takes.
    Whole(Packet<'a>, usize),
    /// A message over the limit: everything but properties and payload, and how many bytes to step over.
    TooLarge(Publish<'a>, usize),
    /// At least this many bytes are needed to say more.
    Partial(usize),
}

/// Reads the packet that the bytes begin with. `limit` is the largest packet that is taken, header included.
///
/// # Errors
/// When this is no packet that a broker may send.
pub fn read(bytes: &[u8], version: Version, limit: usize) -> Result<Read<'_>, Malformed> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(Read::Partial(2)) };
    let Some((length, header)) = variable_number(rest)? else { return Ok(Read::Partial(bytes.len() + 1)) };
    let (kind, flags, header) = (first >> 4, first & 0x0f, header + 1);
    let total = header + length;
    if total > limit {
        return if kind == 3 { too_large(bytes, flags, header, total) } else { Err(Malformed::TooLarge) };
    }
    let Some(body) = bytes.get(header..total) else { return Ok(Read::Partial(total)) };
    Ok(Read::Whole(packet(kind, flags, Cursor(body), version)?, total))
}

fn packet(kind: u8, flags: u8, mut body: Cursor<'_>, version: Version) -> Result<Packet<'_>, Malformed> {
    Ok(match kind {
        2 => {
            let (flags, code) = (body.byte()?, body.byte()?);
            let properties = body.optional_properties(version)?;
            Packet::Connected { session_present: flags & 1 == 1, code, properties }
        }
        3 => {
            let mut publish = beginning(flags, &mut body)?;
            publish.properties = if version == Version::V5 { body.properties()? } else { Properties::default() };
            if publish.topic.is_empty() || publish.properties.number(TOPIC_ALIAS).is_some() {
                return Err(Malformed::Alias);
            }
            publish.payload = body.0;
            Packet::Publish(publish)
        }
        6 => Packet::Release { packet: body.packet_identifier()? },
        9 => {
            let packet = body.packet_identifier()?;
            if version == Version::V5 {
                body.properties()?;
            }
            Packet::Subscribed { packet, codes: body.0 }
        }
        11 => Packet::Unsubscribed { packet: body.packet_identifier()? },
        13 => Packet::Pong,
        14 if version == Version::V5 => {
            let code = if body.0.is_empty() { 0 } else { body.byte()? };
            Packet::Disconnect { code, properties: body.optional_properties(version)? }
        }
        // Acknowledgements of what a subscriber never sends, and what only clients send.
        other => return Err(Malformed::Type(other)),
    })
}

/// Topic and packet identifier of a message.
fn beginning<'a>(flags: u8, body: &mut Cursor<'a>) -> Result<Publish<'a>, Malformed> {
    let quality = Quality::from_number((flags >> 1) & 3).ok_or(Malformed::Quality)?;
    let topic = body.text()?;
    match memchr::memchr3(0, b'+', b'#', topic.as_bytes()) {
        Some(place) if topic.as_bytes()[place] == 0 => return Err(Malformed::Nul),
        Some(_) => return Err(Malformed::Wildcard),
        None => {}
    }
    let packet = if quality == Quality::AtMostOnce { 0 } else { body.packet_identifier()? };
    Ok(Publish {
        quality,
        retained: flags & 1 == 1,
        duplicate: flags & 8 == 8,
        topic,
        packet,
        properties: Properties::default(),
        payload: &[],
    })
}

fn too_large(bytes: &[u8], flags: u8, header: usize, total: usize) -> Result<Read<'_>, Malformed> {
    let body = &bytes[header.min(bytes.len())..total.min(bytes.len())];
    let longest =
        header + 2 + body.get(..2).map_or(0, |length| usize::from(length[0]) << 8 | usize::from(length[1])) + 2;
    if body.len() < 2 || bytes.len() < longest.min(total) {
        return Ok(Read::Partial(longest.min(total).max(header + 2)));
    }
    Ok(Read::TooLarge(beginning(flags, &mut Cursor(body))?, total))
}

/// The topic of the message that the bytes begin with, whatever it holds; for the log.
#[must_use]
pub fn topic(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first >> 4 == 3)?;
    let (_, header) = variable_number(rest).ok()??;
    let mut body = Cursor(&rest[header..]);
    let length = body.short().ok()?;
    body.take(length.into()).ok()
}

/// A number of one to four bytes and how many it took; `None` while more are needed.
fn variable_number(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut number = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((number, place + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::Length) }
}

/// What is left to be read of a packet.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn packet_identifier(&mut self) -> Result<u16, Malformed> {
        self.short().and_then(|packet| if packet == 0 { Err(Malformed::Quality) } else { Ok(packet) })
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.short()?;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| Malformed::Text)
    }

    fn number(&mut self) -> Result<usize, Malformed> {
        let (number, length) = variable_number(self.0)?.ok_or(Malformed::Short)?;
        self.take(length)?;
        Ok(number)
    }

    /// The properties of a packet of MQTT 5, proven readable.
    fn properties(&mut self) -> Result<Properties<'a>, Malformed> {
        let length = self.number()?;
        let properties = Properties(self.take(length)?);
        let mut cursor = Cursor(properties.0);
        while !cursor.0.is_empty() {
            cursor.property()?;
        }
        Ok(properties)
    }

    /// The same, where a packet may end before them.
    fn optional_properties(&mut self, version: Version) -> Result<Properties<'a>, Malformed> {
        if version == Version::V311 || self.0.is_empty() { Ok(Properties::default()) } else { self.properties() }
    }

    fn property(&mut self) -> Result<(u8, Property<'a>), Malformed> {
        let identifier = self.byte()?;
        let value = match identifier {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => Property::Number(self.byte()?.into()),
            0x13 | 0x21..=0x23 => Property::Number(self.short()?.into()),
            0x02 | 0x11 | 0x18 | 0x27 => {
                let bytes = self.take(4)?;
                Property::Number(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            0x0b => Property::Number(u32::try_from(self.number()?).map_err(|_| Malformed::Length)?),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Property::Text(self.text()?),
            0x09 | 0x16 => {
                let length = self.short()?;
                self.take(length.into())?;
                Property::Binary
            }
            0x26 => Property::Pair(self.text()?, self.text()?),
            _ => return Err(Malformed::Property),
        };
        Ok((identifier, value))
    }
}

enum Property<'a> {
    Number(u32),
    Text(&'a str),
    Binary,
    Pair(&'a str, &'a str),
}

const TOPIC_ALIAS: u8 = 0x23;
/// The keep-alive in seconds that the broker wants.
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
/// Why, in the broker's words.
pub const REASON: u8 = 0x1f;
/// Another broker to be used, in the broker's words.
pub const SERVER_REFERENCE: u8 = 0x1c;
/// How long the broker keeps the session, in seconds, where that is not as long as it was asked to.
pub const SESSION_EXPIRY: u8 = 0x11;
/// What the payload is, as a media type.
pub const CONTENT_TYPE: u8 = 0x03;

/// The properties of a packet of MQTT 5, as they came; none in 3.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    fn iter(self) -> impl Iterator<Item = (u8, Property<'a>)> {
        let mut cursor = Cursor(self.0);
        // They were read once before, so what cannot be read is their end.
        std::iter::from_fn(move || cursor.property().ok())
    }

    pub fn number(self, wanted: u8) -> Option<u32> {
        self.iter().find_map(|(identifier, value)| match value {
            Property::Number(number) if identifier == wanted => Some(number),
            _ => None,
        })
    }

    pub fn text(self, wanted: u8) -> Option<&'a str> {
        self.iter().find_map(|(identifier, value)| match value {
            Property::Text(text) if identifier == wanted => Some(text),
            _ => None,
        })
    }

    /// The pairs that the publisher gave the message.
    pub fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|(_, value)| match value {
            Property::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;

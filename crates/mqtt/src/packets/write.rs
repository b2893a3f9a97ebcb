//! The packets that a subscriber sends, appended to a buffer.
//! Promises packets within MQTT's own limits for what fits them: texts are at most 65,535 bytes, as the plan proves.
//! Leaves when to send them to `session`.

use super::{Quality, Version};

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// PUBACK: a message at least once.
    Acknowledged,
    /// PUBREC: a message exactly once, first half.
    Received,
    /// PUBCOMP: the second half.
    Complete,
}

/// An answer to one packet identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub answer: Answer,
    pub packet: u16,
}

/// How to sign in.
pub struct Connect<'a> {
    pub version: Version,
    pub client_id: &'a str,
    pub keep_alive_seconds: u16,
    /// How long the broker keeps the session after the connection; 0 ends it with the connection.
    pub session_expiry_seconds: u32,
    /// Messages that the broker may send before the first is acknowledged.
    pub receive_maximum: u16,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// A topic filter and the quality asked for.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    pub text: &'a str,
    pub quality: Quality,
    pub retained: Retained,
}

/// Which retained messages a subscription brings. MQTT 5 alone can ask; in 3.1.1 every subscription brings all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retained {
    /// All that match, where the session has no such subscription yet.
    IfNew,
    /// None.
    Never,
}

/// CONNECT.
pub fn connect(connect: &Connect<'_>, out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(128);
    text("MQTT", &mut body);
    let v5 = connect.version == Version::V5;
    body.push(if v5 { 5 } else { 4 });
    let mut flags = 0;
    // In MQTT 5 the session's life is its expiry; before, a clean session ends with the connection.
    if !v5 && connect.session_expiry_seconds == 0 {
        flags |= 0x02;
    }
    flags |= if connect.password.is_some() { 0x40 } else { 0 };
    flags |= if connect.username.is_some() { 0x80 } else { 0 };
    body.push(flags);
    body.extend_from_slice(&connect.keep_alive_seconds.to_be_bytes());
    if v5 {
        // Session expiry (0x11) and receive maximum (0x21). No maximum packet size: what a broker leaves out because of
        // it is lost without a trace, while what comes and is too large is counted.
        body.push(5 + 3);
        body.push(0x11);
        body.extend_from_slice(&connect.session_expiry_seconds.to_be_bytes());
        body.push(0x21);
        body.extend_from_slice(&connect.receive_maximum.to_be_bytes());
    }
    text(connect.client_id, &mut body);
    connect.username.into_iter().for_each(|name| text(name, &mut body));
    connect.password.into_iter().for_each(|password| binary(password, &mut body));
    packet(0x10, &body, out);
}

/// SUBSCRIBE.
pub fn subscribe(version: Version, id: u16, filters: &[Filter<'_>], out: &mut Vec<u8>) {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    for filter in filters {
        text(filter.text, &mut body);
        let options = match (version, filter.retained) {
            (Version::V311, _) => 0,
            // The flag of a retained message (0x08) is passed on as it was published.
            (Version::V5, Retained::IfNew) => 0x10 | 0x08,
            (Version::V5, Retained::Never) => 0x20 | 0x08,
        };
        body.push(filter.quality.number() | options);
    }
    packet(0x82, &body, out);
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str], out: &mut Vec<u8>) {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    filters.iter().for_each(|filter| text(filter, &mut body));
    packet(0xa2, &body, out);
}

/// PUBACK, PUBREC or PUBCOMP: success has the same four bytes in both versions.
pub fn acknowledge(ack: Ack, out: &mut Vec<u8>) {
    let kind = match ack.answer {
        Answer::Acknowledged => 0x40,
        Answer::Received => 0x50,
        Answer::Complete => 0x70,
    };
    out.extend_from_slice(&[kind, 2]);
    out.extend_from_slice(&ack.packet.to_be_bytes());
}

/// PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// DISCONNECT; the session stays as long as was agreed on.
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xe0, 0]);
}

/// DISCONNECT because of what the other side did; MQTT 5 alone has a word for it.
pub fn dismiss(code: u8, out: &mut Vec<u8>) {
    // The length of the properties may be left out; not every reader knows.
    out.extend_from_slice(&[0xe0, 2, code, 0]);
}

fn text(text: &str, out: &mut Vec<u8>) {
    binary(text.as_bytes(), out);
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("the plan proves that texts fit into a packet");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut length = body.len();
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

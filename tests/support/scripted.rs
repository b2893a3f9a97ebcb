//! The broker's side of a connection, scripted step by step: over TCP, TLS or a WebSocket.
//! Promises that a wait for the agent ends with a panic rather than never.
//! Leaves what is said to the tests.

use async_tungstenite::tungstenite::handshake::server::{Request, Response};
use async_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Connect(Vec<u8>),
    /// Packet identifier and number of filters.
    Subscribe(u16, usize),
    Unsubscribe(u16),
    Acknowledged(u16),
    Received(u16),
    Complete(u16),
    Ping,
    Disconnect,
    /// DISCONNECT with a reason.
    Dismissed(u8),
}

/// A place to connect to.
pub(crate) struct Script {
    listener: TcpListener,
    pub(crate) port: u16,
}

impl Script {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    fn stream(&self) -> TcpStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(_) => assert!(Instant::now() < deadline, "the agent does not connect"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Peer {
        Peer::over(Wire::Plain(self.stream()))
    }

    /// The next, over TLS.
    pub(crate) fn accept_tls(&self, config: Arc<rustls::ServerConfig>) -> Peer {
        let connection = rustls::ServerConnection::new(config).unwrap();
        Peer::over(Wire::Tls(Box::new(rustls::StreamOwned::new(connection, self.stream()))))
    }

    /// The next, over a WebSocket; what was asked for is noted down.
    pub(crate) fn accept_web_socket(&self, asked: &Asked) -> Peer {
        web_socket(Box::new(self.stream()), asked)
    }

    /// The next, over a WebSocket over TLS.
    pub(crate) fn accept_tls_web_socket(&self, config: Arc<rustls::ServerConfig>, asked: &Asked) -> Peer {
        let connection = rustls::ServerConnection::new(config).unwrap();
        web_socket(Box::new(rustls::StreamOwned::new(connection, self.stream())), asked)
    }
}

/// What an agent asked for when it opened a WebSocket.
pub(crate) type Asked = Arc<Mutex<BTreeMap<String, String>>>;

/// What a WebSocket may lie upon.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

#[expect(clippy::result_large_err, reason = "the library's own type")]
fn web_socket(stream: Box<dyn Stream>, asked: &Asked) -> Peer {
    let note = |request: &Request, mut response: Response| {
        let protocol = request.headers().get("Sec-WebSocket-Protocol").cloned();
        let mut asked = asked.lock().unwrap();
        asked.insert("uri".to_owned(), request.uri().to_string());
        if let Some(protocol) = protocol {
            asked.insert("protocol".to_owned(), protocol.to_str().unwrap().to_owned());
            response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        }
        Ok(response)
    };
    Peer::over(Wire::Socket(Box::new(accept_hdr(stream, note).unwrap())))
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>),
    Socket(Box<WebSocket<Box<dyn Stream>>>),
}

/// The agent, as the broker sees it.
pub(crate) struct Peer {
    wire: Wire,
    bytes: Vec<u8>,
    v5: bool,
}

impl Peer {
    fn over(wire: Wire) -> Self {
        Self { wire, bytes: Vec::new(), v5: true }
    }

    /// Speaks this version of MQTT.
    pub(crate) fn speaking(mut self, version: &str) -> Self {
        self.v5 = version == "5";
        self
    }

    /// What was agreed on during the TLS handshake.
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        let Wire::Tls(stream) = &self.wire else { return None };
        stream.conn.alpn_protocol().map(<[u8]>::to_vec)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(bytes).unwrap(),
            Wire::Tls(stream) => {
                stream.write_all(bytes).unwrap();
                stream.flush().unwrap();
            }
            Wire::Socket(socket) => socket.send(Message::Binary(bytes.to_vec().into())).unwrap(),
        }
    }

    /// The same; whether the agent is still there.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        let Wire::Plain(stream) = &mut self.wire else { panic!("over TCP alone") };
        stream.write_all(bytes).is_ok()
    }

    /// More bytes; `false` at the end.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let count = match &mut self.wire {
            Wire::Plain(stream) => stream.read(&mut buffer),
            Wire::Tls(stream) => stream.read(&mut buffer),
            Wire::Socket(socket) => match socket.read() {
                Ok(Message::Binary(bytes)) => {
                    self.bytes.extend_from_slice(&bytes);
                    return true;
                }
                Ok(_) => return true,
                Err(_) => return false,
            },
        };
        match count {
            Ok(count) => {
                self.bytes.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) => {
                assert!(error.kind() != std::io::ErrorKind::WouldBlock, "the agent says nothing");
                false
            }
        }
    }

    /// The next thing that the agent says.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Heard {
        self.try_hear().expect("the agent closed the connection")
    }

    /// The same, or nothing when the agent closed the connection.
    pub(crate) fn try_hear(&mut self) -> Option<Heard> {
        loop {
            if let Some((first, header, length)) = self.header()
                && self.bytes.len() >= header + length
            {
                let packet: Vec<u8> = self.bytes.drain(..header + length).collect();
                return Some(self.understand(first, &packet[header..]));
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn header(&self) -> Option<(u8, usize, usize)> {
        let (first, rest) = self.bytes.split_first()?;
        let mut length = 0;
        for (place, byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some((*first, place + 2, length));
            }
        }
        None
    }

    fn understand(&self, first: u8, body: &[u8]) -> Heard {
        let packet = || u16::from_be_bytes([body[0], body[1]]);
        match first {
            0x10 => Heard::Connect(body.to_vec()),
            0x40 => Heard::Acknowledged(packet()),
            0x50 => Heard::Received(packet()),
            0x70 => Heard::Complete(packet()),
            0x82 => {
                let (mut rest, mut filters) = (&body[if self.v5 { 3 } else { 2 }..], 0);
                while !rest.is_empty() {
                    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                    rest = &rest[length + 3..];
                    filters += 1;
                }
                Heard::Subscribe(packet(), filters)
            }
            0xa2 => Heard::Unsubscribe(packet()),
            0xc0 => Heard::Ping,
            0xe0 if !body.is_empty() => Heard::Dismissed(body[0]),
            0xe0 => Heard::Disconnect,
            other => panic!("the agent says {other:#04x} {body:x?}"),
        }
    }

    /// CONNECT, and CONNACK.
    #[track_caller]
    pub(crate) fn welcome(&mut self, session_present: bool) {
        assert!(matches!(self.hear(), Heard::Connect(_)));
        let present = u8::from(session_present);
        if self.v5 { self.send(&[0x20, 3, present, 0, 0]) } else { self.send(&[0x20, 2, present, 0]) }
    }

    /// SUBSCRIBE, and SUBACK with the quality for every filter.
    #[track_caller]
    pub(crate) fn grant(&mut self, quality: u8) {
        let Heard::Subscribe(packet, filters) = self.hear() else { panic!("no SUBSCRIBE") };
        self.subscribed(packet, &vec![quality; filters]);
    }

    pub(crate) fn subscribed(&mut self, packet: u16, codes: &[u8]) {
        let mut body = packet.to_be_bytes().to_vec();
        if self.v5 {
            body.push(0);
        }
        body.extend_from_slice(codes);
        self.packet(0x90, &body);
    }

    pub(crate) fn publish(&mut self, quality: u8, packet: u16, duplicate: bool, topic: &str, payload: &[u8]) {
        self.message(quality, packet, duplicate, topic.as_bytes(), payload);
    }

    /// A message of a topic that is none.
    pub(crate) fn publish_raw(&mut self, quality: u8, packet: u16, topic: &[u8], payload: &[u8]) {
        self.message(quality, packet, false, topic, payload);
    }

    fn message(&mut self, quality: u8, packet: u16, duplicate: bool, topic: &[u8], payload: &[u8]) {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        if quality > 0 {
            body.extend_from_slice(&packet.to_be_bytes());
        }
        if self.v5 {
            body.push(0);
        }
        body.extend_from_slice(payload);
        self.packet(0x30 | quality << 1 | u8::from(duplicate) << 3, &body);
    }

    /// A message of MQTT 5 with these properties.
    pub(crate) fn publish_with(&mut self, quality: u8, packet: u16, topic: &str, properties: &[u8], payload: &[u8]) {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&packet.to_be_bytes());
        write_length(properties.len(), &mut body);
        body.extend_from_slice(properties);
        body.extend_from_slice(payload);
        self.packet(0x30 | quality << 1, &body);
    }

    /// DISCONNECT of MQTT 5.
    pub(crate) fn disconnect(&mut self, code: u8, properties: &[u8]) {
        let mut body = vec![code];
        write_length(properties.len(), &mut body);
        body.extend_from_slice(properties);
        self.packet(0xe0, &body);
    }

    /// UNSUBSCRIBE, and UNSUBACK.
    #[track_caller]
    pub(crate) fn unsubscribed(&mut self) {
        let Heard::Unsubscribe(packet) = self.hear() else { panic!("no UNSUBSCRIBE") };
        let mut body = packet.to_be_bytes().to_vec();
        if self.v5 {
            body.extend_from_slice(&[0, 0]);
        }
        self.packet(0xb0, &body);
    }

    /// PUBREL.
    pub(crate) fn release(&mut self, packet: u16) {
        self.packet(0x62, &packet.to_be_bytes());
    }

    fn packet(&mut self, first: u8, body: &[u8]) {
        let mut bytes = vec![first];
        write_length(body.len(), &mut bytes);
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    /// Waits until the agent closes the connection.
    pub(crate) fn ends(&mut self) {
        while self.try_hear().is_some() {}
    }
}

/// As MQTT writes lengths: seven bits a byte.
fn write_length(mut length: usize, bytes: &mut Vec<u8>) {
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
}

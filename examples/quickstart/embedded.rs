//! A broker for one program: it passes messages from publishers to subscribers, at most or at least once.
//! Promises that a publisher is answered only after the message was written to every subscriber. It keeps no session and
//! nothing on disk: it stands in for a real broker where there is none, and shows nothing about one.

use bytes::BytesMut;
use mqtt5::mqttbytes::v5::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode};
use mqtt5::mqttbytes::{Error, QoS};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

type Subscribers = Arc<Mutex<Vec<(TcpStream, u16)>>>;

pub(super) struct Embedded {
    pub(super) port: u16,
}

impl Embedded {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let subscribers = Subscribers::default();
        // It ends with the program.
        std::thread::Builder::new().name("broker".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let subscribers = subscribers.clone();
                std::thread::spawn(move || serve(stream, &subscribers));
            }
        })?;
        Ok(Self { port })
    }
}

/// One client. Its CONNECT gives its version; publishers of 3.1.1 are answered in the bytes that both share.
fn serve(mut stream: TcpStream, subscribers: &Subscribers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = BytesMut::new();
    // The level of the protocol stands behind the length and the name.
    while bytes.len() < 9 {
        more(&mut stream, &mut bytes)?;
    }
    let is_v5 = bytes[8] == 5;
    if !is_v5 {
        return publisher(stream, bytes, subscribers);
    }
    loop {
        let answer = match next(&mut stream, &mut bytes)? {
            Packet::Connect(..) => {
                let code = ConnectReturnCode::Success;
                Packet::ConnAck(ConnAck { session_present: false, code, properties: None })
            }
            Packet::Subscribe(subscribe) => {
                let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
                let return_codes = vec![granted; subscribe.filters.len()];
                let own = stream.try_clone()?;
                subscribers.lock().unwrap_or_else(PoisonError::into_inner).push((own, 0));
                Packet::SubAck(SubAck { pkid: subscribe.pkid, return_codes, properties: None })
            }
            Packet::PingReq => {
                stream.write_all(&[0xd0, 0])?;
                continue;
            }
            Packet::Disconnect(_) => return Ok(()),
            // What was acknowledged needs nothing more: nothing is kept.
            _ => continue,
        };
        write(&mut stream, answer)?;
    }
}

fn publisher(mut stream: TcpStream, mut bytes: BytesMut, subscribers: &Subscribers) -> io::Result<()> {
    loop {
        while bytes.len() < 2 || bytes.len() < 2 + usize::from(bytes[1]) {
            more(&mut stream, &mut bytes)?;
        }
        let length = usize::from(bytes[1]);
        let packet = bytes.split_to(2 + length);
        match packet[0] >> 4 {
            1 => stream.write_all(&[0x20, 2, 0, 0])?,
            3 => {
                let end = 4 + usize::from(packet[3]);
                let topic = String::from_utf8_lossy(&packet[4..end]).into_owned();
                pass_on(&topic, &packet[end + 2..], subscribers);
                let mut answer = BytesMut::new();
                let identifier = u16::from_be_bytes([packet[end], packet[end + 1]]);
                Packet::PubAck(PubAck::new(identifier, None)).write(&mut answer, None).map_err(broken)?;
                // The short form is the same in both versions.
                stream.write_all(&[&answer[..1], &[2], &identifier.to_be_bytes()].concat())?;
            }
            _ => return Ok(()),
        }
    }
}

fn pass_on(topic: &str, payload: &[u8], subscribers: &Subscribers) {
    let mut subscribers = subscribers.lock().unwrap_or_else(PoisonError::into_inner);
    subscribers.retain_mut(|(stream, last)| {
        *last = if *last == u16::MAX { 1 } else { *last + 1 };
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload.to_vec(), None);
        publish.pkid = *last;
        write(stream, Packet::Publish(publish)).is_ok()
    });
}

fn next(stream: &mut TcpStream, bytes: &mut BytesMut) -> io::Result<Packet> {
    loop {
        match Packet::read(bytes, None) {
            Ok(packet) => return Ok(packet),
            Err(Error::InsufficientBytes(_)) => more(stream, bytes)?,
            Err(error) => return Err(broken(error)),
        }
    }
}

fn more(stream: &mut TcpStream, bytes: &mut BytesMut) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.extend_from_slice(&buffer[..count]);
    Ok(())
}

fn write(stream: &mut TcpStream, packet: Packet) -> io::Result<()> {
    let mut out = BytesMut::new();
    packet.write(&mut out, None).map_err(broken)?;
    stream.write_all(&out)
}

fn broken(error: Error) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

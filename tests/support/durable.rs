//! A broker whose sessions nothing can lose: it owes a message until the agent has answered for it, whatever is killed.
//! Promises to send again what it owes after every connection, in order and as MQTT demands, and to count the answers.
//! Leaves kills, and counting what arrives, to the tests.

use bytes::BytesMut;
use mqtt5::mqttbytes::v5::{ConnAck, ConnectReturnCode, Packet, PubRel, Publish, SubAck, SubscribeReasonCode};
use mqtt5::mqttbytes::{Error, QoS};
use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A message that was sent and not answered for.
struct Owed {
    packet: u16,
    number: u64,
    /// Exactly once, and its first half is answered.
    released: bool,
}

/// What outlives a connection.
struct Session {
    owed: VecDeque<Owed>,
    /// The number of the next message.
    next: u64,
    /// The next packet identifier that may be free.
    packet: u16,
}

/// What the test and the broker share.
struct Shared {
    /// How many messages are to be sent.
    count: u64,
    quality: u8,
    /// Messages under way at most.
    window: usize,
    cut: AtomicBool,
    over: AtomicBool,
    answered: AtomicU64,
    connections: AtomicU64,
    session: Mutex<Session>,
}

/// See the head of this file.
pub(crate) struct DurableBroker {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl DurableBroker {
    /// One that has `count` messages of this quality for the only client that comes: the topic `t`, the number as payload.
    pub(crate) fn start(count: u64, quality: u8, window: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let session = Mutex::new(Session { owed: VecDeque::new(), next: 0, packet: 1 });
        let shared = Arc::new(Shared {
            count,
            quality,
            window,
            cut: AtomicBool::new(false),
            over: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            session,
        });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            while !serving.over.load(Ordering::Relaxed) {
                match listener.accept() {
                    // A connection that breaks is what the tests are about.
                    Ok((stream, _)) => drop(serving.hold(stream)),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    /// Breaks the connection wherever it is, as a broker does that is killed.
    pub(crate) fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
    }

    /// Messages that the agent answered for.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The numbers that it still owes.
    pub(crate) fn owed(&self) -> BTreeSet<u64> {
        self.shared.session.lock().unwrap().owed.iter().map(|owed| owed.number).collect()
    }
}

impl Drop for DurableBroker {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// One connection from beginning to end.
    fn hold(&self, mut stream: TcpStream) -> Result<()> {
        self.cut.store(false, Ordering::Relaxed);
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_millis(2)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let (mut bytes, mut out, mut welcomed) = (BytesMut::new(), BytesMut::new(), false);
        while !self.over.load(Ordering::Relaxed) && !self.cut.load(Ordering::Relaxed) {
            loop {
                match Packet::read(&mut bytes, None) {
                    Ok(Packet::Connect(..)) => {
                        self.welcome(&mut out);
                        welcomed = true;
                    }
                    Ok(Packet::Disconnect(_)) => return Ok(()),
                    Ok(packet) => self.hear(packet, &mut out),
                    Err(Error::InsufficientBytes(_)) => break,
                    Err(error) => panic!("the agent breaks the protocol: {error:?}"),
                }
            }
            if welcomed {
                self.fill(&mut out);
            }
            stream.write_all(&out)?;
            out.clear();
            let mut more = [0; 16 << 10];
            match stream.read(&mut more) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&more[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// CONNACK, and everything that is owed once more.
    fn welcome(&self, out: &mut BytesMut) {
        let session_present = self.connections.fetch_add(1, Ordering::Relaxed) > 0;
        let welcome = ConnAck { session_present, code: ConnectReturnCode::Success, properties: None };
        Packet::ConnAck(welcome).write(out, None).unwrap();
        for owed in &self.session.lock().unwrap().owed {
            if owed.released {
                Packet::PubRel(PubRel::new(owed.packet, None)).write(out, None).unwrap();
            } else {
                self.publish(owed, true, out);
            }
        }
    }

    fn hear(&self, packet: Packet, out: &mut BytesMut) {
        match packet {
            Packet::Subscribe(asked) => {
                let granted = SubscribeReasonCode::Success(quality(self.quality));
                let return_codes = vec![granted; asked.filters.len()];
                let answer = SubAck { pkid: asked.pkid, return_codes, properties: None };
                Packet::SubAck(answer).write(out, None).unwrap();
            }
            Packet::PubAck(answer) => self.settle(answer.pkid, 1),
            Packet::PubRec(answer) => {
                let mut session = self.session.lock().unwrap();
                let known = session.owed.iter_mut().find(|owed| owed.packet == answer.pkid);
                known.expect("an answer to what was sent").released = true;
                Packet::PubRel(PubRel::new(answer.pkid, None)).write(out, None).unwrap();
            }
            Packet::PubComp(answer) => self.settle(answer.pkid, 2),
            Packet::PingReq => {
                Packet::PingResp.write(out, None).unwrap();
            }
            other => panic!("the agent says {other:?}"),
        }
    }

    fn settle(&self, packet: u16, of_quality: u8) {
        assert_eq!(of_quality, self.quality, "the wrong answer for this quality of service");
        let mut session = self.session.lock().unwrap();
        let place = session.owed.iter().position(|owed| owed.packet == packet).expect("an answer to what was sent");
        let owed = session.owed.remove(place).unwrap();
        assert_eq!(owed.released, of_quality == 2);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// New messages, as many as may be under way.
    fn fill(&self, out: &mut BytesMut) {
        let mut session = self.session.lock().unwrap();
        while session.owed.len() < self.window && session.next < self.count {
            while session.owed.iter().any(|owed| owed.packet == session.packet) || session.packet == 0 {
                session.packet = session.packet.wrapping_add(1);
            }
            let owed = Owed { packet: session.packet, number: session.next, released: false };
            session.packet = session.packet.wrapping_add(1);
            session.next += 1;
            self.publish(&owed, false, out);
            session.owed.push_back(owed);
        }
    }

    fn publish(&self, owed: &Owed, again: bool, out: &mut BytesMut) {
        let mut publish = Publish::new("t", quality(self.quality), owed.number.to_string(), None);
        (publish.pkid, publish.dup) = (owed.packet, again);
        Packet::Publish(publish).write(out, None).unwrap();
    }
}

const fn quality(number: u8) -> QoS {
    match number {
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

//! A real mosquitto in a folder of its own, and somebody who publishes and insists on acknowledgements.
//! Promises that no broker outlives its test, and that a missing mosquitto is said aloud.
//! Leaves what the agent does with it to the tests.

use crate::host::{skipped, until};
use bytes::BytesMut;
use mqtt5::mqttbytes::v5::{Connect, ConnectAuth, Packet, Publish};
use mqtt5::mqttbytes::{Error, QoS};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program, installed by the script beside this file where that can be done.
fn program() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mosquitto.sh");
    Command::new("sh").arg(script).status().ok();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    places.find_map(|folder: PathBuf| Some(folder.join("mosquitto")).filter(|path| path.is_file()))
}

/// Connects to a broker on this machine. Where nobody listens, the system may give a connection the very port that it leads
/// to: then it is connected to itself, and keeps the broker from coming back.
fn reach(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    let itself = stream.local_addr()? == stream.peer_addr()?;
    if itself { Err(std::io::ErrorKind::ConnectionRefused.into()) } else { Ok(stream) }
}

/// The broker.
pub(crate) struct Mosquitto {
    program: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Arc<Mutex<Option<Child>>>,
}

impl Mosquitto {
    /// Starts one with a listener for anybody and these lines more; `None`, said aloud, where there is no mosquitto.
    pub(crate) fn start(more: &str) -> Option<Self> {
        let Some(program) = program() else {
            skipped("a real broker: there is no mosquitto on this machine, and it cannot be installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let store = folder.path().display();
        // It saves every second, or when it is asked to; it would write its store as another user when it is root.
        let text = format!(
            "per_listener_settings true\nuser root\npersistence true\npersistence_location {store}/\n\
             autosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 200\n\
             listener {port} 127.0.0.1\nallow_anonymous true\n{more}\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { program, folder, port, child: Arc::default() };
        broker.go();
        Some(broker)
    }

    /// Starts it, again, and waits until it listens.
    pub(crate) fn go(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let start = || {
            Command::new(&self.program)
                .arg("-c")
                .arg(self.folder.path().join("mosquitto.conf"))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log.try_clone().unwrap())
                .spawn()
                .unwrap()
        };
        // Until it listens nobody may signal it: it does not know the signal yet.
        let mut running = self.child.lock().unwrap();
        let port = self.port;
        until("mosquitto listens", || {
            // It ends where somebody's connection has its port at this moment.
            let alive = running.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
            if !alive {
                *running = Some(start());
            }
            reach(port).is_ok()
        });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        // Others that signal it meanwhile wait: its number may be another's afterwards.
        let mut running = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = running.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Stops it as an administrator does, and starts it again.
    pub(crate) fn restart(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            child.wait().unwrap();
        }
        self.go();
    }

    /// Where it keeps what must outlive it.
    pub(crate) fn store(&self) -> Store {
        Store { path: self.folder.path().join("mosquitto.db"), child: self.child.clone() }
    }

    /// The address of the listener for anybody.
    pub(crate) fn address(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            crate::host::say(&format!("the broker's log ends with:\n{}", &log[log.len().saturating_sub(2000)..]));
        }
    }
}

/// The file in which a broker keeps its sessions. It answers publishers first and saves later, with one thread for both:
/// a save that ends after an answer came, and was asked for after that, holds what was answered.
pub(crate) struct Store {
    path: PathBuf,
    child: Arc<Mutex<Option<Child>>>,
}

impl Store {
    /// Which save this is; another after each.
    pub(crate) fn save(&self) -> Option<(u64, i64, i64)> {
        let status = std::fs::metadata(&self.path).ok()?;
        Some((status.ino(), status.mtime(), status.mtime_nsec()))
    }

    /// Asks the broker to save now, if it runs.
    pub(crate) fn ask(&self) {
        if let Some(child) = &*self.child.lock().unwrap() {
            let id = Pid::from_child(child);
            kill_process(id, Signal::USR1).unwrap();
        }
    }
}

/// Publishes at least once, and knows what the broker has acknowledged.
pub(crate) struct Publisher {
    port: u16,
    stream: Option<TcpStream>,
    /// Whether the broker is to keep the last message of each topic for new subscribers.
    pub(crate) retain: bool,
}

impl Publisher {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, stream: None, retain: false }
    }

    /// Publishes all of them, and returns once the broker has taken each; tries for ever, as the broker may be killed.
    pub(crate) fn publish(&mut self, quality: u8, messages: &[(String, Vec<u8>)]) {
        let mut rest = messages;
        loop {
            match self.try_publish(quality, &mut rest) {
                Ok(()) => return,
                Err(_) => {
                    self.stream = None;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// Leaves what the broker did not take.
    fn try_publish(&mut self, quality: u8, rest: &mut &[(String, Vec<u8>)]) -> std::io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(self.port)?),
        };
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(quality)];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(100));
            let mut out = BytesMut::new();
            for (place, (topic, payload)) in part.iter().enumerate() {
                let mut publish = Publish::new(topic.as_str(), qos, payload.clone(), None);
                publish.retain = self.retain;
                publish.pkid = if quality == 0 { 0 } else { u16::try_from(place + 1).unwrap() };
                Packet::Publish(publish).write(&mut out, None).unwrap();
            }
            stream.write_all(&out)?;
            let (mut open, mut bytes) = (if quality == 0 { 0 } else { part.len() }, BytesMut::new());
            while open > 0 {
                match next(stream, &mut bytes)? {
                    Packet::PubAck(_) | Packet::PubComp(_) => open -= 1,
                    Packet::PubRec(received) => {
                        let mut out = BytesMut::new();
                        let release = mqtt5::mqttbytes::v5::PubRel::new(received.pkid, None);
                        Packet::PubRel(release).write(&mut out, None).unwrap();
                        stream.write_all(&out)?;
                    }
                    _ => {}
                }
            }
            *rest = behind;
        }
        Ok(())
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = reach(port)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let connect = Connect { keep_alive: 0, client_id: String::new(), clean_start: true, properties: None };
    let mut out = BytesMut::new();
    Packet::Connect(connect, None, ConnectAuth::None).write(&mut out, None).unwrap();
    stream.write_all(&out)?;
    let mut bytes = BytesMut::new();
    match next(&mut stream, &mut bytes)? {
        Packet::ConnAck(_) => Ok(stream),
        other => Err(std::io::Error::other(format!("{other:?}"))),
    }
}

fn next(stream: &mut TcpStream, bytes: &mut BytesMut) -> std::io::Result<Packet> {
    loop {
        match Packet::read(bytes, None) {
            Ok(packet) => return Ok(packet),
            Err(Error::InsufficientBytes(_)) => {}
            Err(error) => return Err(std::io::Error::other(format!("{error:?}"))),
        }
        let mut more = [0; 4096];
        match stream.read(&mut more)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&more[..count]),
        }
    }
}

//! Simulated devices that report their battery over MQTT, and the broker between them and the agent.
//! Promises that a message counts as published only once the broker has taken it, and that the broker ends with us.
//! Leaves receiving to the agent.

#[path = "embedded.rs"]
mod embedded;

use crate::Outcome;
use crate::words::say;
use embedded::Embedded;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many devices report.
const DEVICES: u8 = 5;
/// Each so often.
const PAUSE: Duration = Duration::from_millis(20);
/// Their clocks run fast: so much later is each message than the one before, from a week ago on. In 20 s a week goes by.
const STEP_MS: u64 = 10 * 60_000;
const DAY_MS: u64 = 24 * 3_600_000;
/// How long a broker may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stands between devices and agent.
enum Broker {
    /// Found on this machine.
    Mosquitto(Child),
    /// In this program: no sessions, nothing kept.
    Embedded { _thread: Embedded },
}

/// The devices, and their broker.
pub(crate) struct Devices {
    broker: Broker,
    pub(crate) port: u16,
    /// Whether somebody listens.
    go: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Devices {
    /// Starts a broker, whose files go into the folder.
    pub(crate) fn start(folder: &Path) -> Outcome<Self> {
        let (broker, port) = match mosquitto() {
            Some(program) => start_mosquitto(&program, folder)?,
            None => {
                let embedded = Embedded::start()?;
                let port = embedded.port;
                (Broker::Embedded { _thread: embedded }, port)
            }
        };
        say(match broker {
            Broker::Mosquitto(_) => "the broker is the mosquitto of this machine",
            Broker::Embedded { .. } => "there is no mosquitto here; a small broker in this program takes its place",
        });
        let go = Arc::<AtomicBool>::default();
        let (stop, published) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (begin, stopping, count) = (go.clone(), stop.clone(), published.clone());
        let report = move || {
            report(port, &begin, &stopping, &count).map_err(|error| format!("the devices cannot publish: {error}"))
        };
        let thread = std::thread::Builder::new().name("devices".into()).spawn(report)?;
        Ok(Self { broker, port, go, stop, published, thread })
    }

    /// Somebody has subscribed, so that what is published reaches the lake.
    pub(crate) fn go(&self) {
        self.go.store(true, Ordering::Relaxed);
    }

    /// No further message. Returns how many the broker has taken.
    pub(crate) fn stop(&self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.published.load(Ordering::Relaxed)
    }

    /// Whether the last message is counted.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// The same, and the broker ends.
    pub(crate) fn finish(self) -> Outcome<u64> {
        self.stop();
        let ended = self.thread.join().map_err(|_| "the thread of the devices died")?;
        if let Broker::Mosquitto(mut child) = self.broker {
            child.kill().ok();
            child.wait().ok();
        }
        ended?;
        Ok(self.published.load(Ordering::Relaxed))
    }
}

/// `QUICKSTART_BROKER=embedded` does without it.
fn mosquitto() -> Option<PathBuf> {
    if std::env::var_os("QUICKSTART_BROKER").is_some_and(|broker| broker == "embedded") {
        return None;
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.find_map(|folder: PathBuf| Some(folder.join("mosquitto")).filter(|path| path.is_file()))
}

fn start_mosquitto(program: &Path, folder: &Path) -> Outcome<(Broker, u16)> {
    std::fs::create_dir_all(folder)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (config, log) = (folder.join("mosquitto.conf"), std::fs::File::create(folder.join("mosquitto.log"))?);
    let text = format!(
        "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
         autosave_interval 1\nmax_queued_messages 0\n",
        folder.display()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline || child.try_wait()?.is_some() {
            child.kill().ok();
            return Err(format!("mosquitto does not start; see {}", folder.join("mosquitto.log").display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((Broker::Mosquitto(child), port))
}

/// Publishes until asked to stop, at least once each, one at a time.
fn report(port: u16, go: &AtomicBool, stop: &AtomicBool, published: &AtomicU64) -> std::io::Result<()> {
    while !go.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // CONNECT of MQTT 3.1.1: a clean session, no keep-alive, a client id of eight characters.
    stream.write_all(b"\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08devices1")?;
    stream.read_exact(&mut [0; 4])?;
    let mut batteries = [(100.0_f64, false); DEVICES as usize];
    let begin = datalake_agent::telemetry::clock::now_ms() - 7 * DAY_MS;
    let mut passed = 0;
    while !stop.load(Ordering::Relaxed) {
        passed += STEP_MS;
        for (device, (battery, charging)) in batteries.iter_mut().enumerate() {
            let drained = fastrand::f64() * 0.06 * (device + 1) as f64;
            *battery = (*battery + if *charging { 2.0 } else { -drained }).clamp(0.0, 100.0);
            *charging = if *charging { *battery < 95.0 } else { *battery < 8.0 };
            // One device is out of reach for a day, and one breaks.
            let days = passed as f64 / DAY_MS as f64;
            if device == 1 && (2.0..3.0).contains(&days) || device == 4 && days > 3.5 {
                continue;
            }
            let mut sent_at = Vec::new();
            datalake_base::calendar::write_millis(begin + passed, &mut sent_at);
            let sent_at = String::from_utf8_lossy(&sent_at);
            let topic = format!("devices/sensor-{device}/ping");
            let payload =
                format!("{{ \"sent_at\": \"{sent_at}\", \"battery_level\": {battery:.1}, \"charging\": {charging} }}");
            let mut body = vec![0, u8::try_from(topic.len()).unwrap_or(0)];
            body.extend_from_slice(topic.as_bytes());
            body.extend_from_slice(&[0, 1]);
            body.extend_from_slice(payload.as_bytes());
            let mut packet = vec![0x32, u8::try_from(body.len()).unwrap_or(0)];
            packet.extend_from_slice(&body);
            stream.write_all(&packet)?;
            stream.read_exact(&mut [0; 4])?;
            published.fetch_add(1, Ordering::Relaxed);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

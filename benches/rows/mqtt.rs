//! MQTT messages from a broker to the endpoint: CPU and memory under full load, latency, and what a restart costs.
//! Promises that every message that the broker's side sent arrived, or an error; and counts those that came twice.
//! Leaves real brokers to the tests: here the broker's side is a feeder that costs little and sends as fast as it may.

use super::{Bench, mib, quantile};
use crate::Outcome;
use crate::collector::{Collector, Observe};
use crate::processes::{Agent, Beside};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(300);
/// Payload of a message, in bytes.
const PAYLOAD: usize = 200;
/// Messages that the broker sends before the first is acknowledged.
const WINDOW: usize = 1000;

/// When each message arrived, and how often.
#[derive(Default)]
struct Arrivals {
    seen: Vec<(u32, Option<Instant>)>,
    distinct: usize,
    twice: usize,
}

impl Observe for Arrivals {
    fn call(&mut self, arrived: Instant, records: &[Vec<u8>]) {
        for line in records.iter().flat_map(|record| record.split_inclusive(|byte| *byte == b'\n')) {
            let number = memchr::memmem::find(line, b"\"n\":").map_or(usize::MAX, |at| {
                let digits = line[at + 4..].iter().take_while(|byte| byte.is_ascii_digit());
                digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
            });
            let Some((times, first)) = self.seen.get_mut(number) else { continue };
            *times += 1;
            first.get_or_insert(arrived);
            self.distinct += usize::from(*times == 1);
            self.twice += usize::from(*times == 2);
        }
    }
}

/// The broker's side: one client, one session, messages in order.
struct Feeder {
    listener: TcpListener,
    stream: Option<TcpStream>,
    /// Sent and not acknowledged, in order.
    open: VecDeque<u64>,
    next: u64,
    known: bool,
    heard: Vec<u8>,
}

impl Feeder {
    fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (stream, open, heard) = (None, VecDeque::new(), Vec::new());
        Ok(Self { listener, stream, open, next: 0, known: false, heard })
    }

    fn port(&self) -> Outcome<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Takes the agent's next connection, and sends again what it did not acknowledge.
    fn accept(&mut self) -> Outcome<()> {
        let (mut stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        let mut heard = vec![0; 4096];
        let _connect = stream.read(&mut heard)?;
        // CONNACK, and SUBACK for the first SUBSCRIBE, whose packet identifier is 1.
        stream.write_all(&[0x20, 3, u8::from(self.known), 0, 0])?;
        if !self.known {
            let _subscribe = stream.read(&mut heard)?;
            stream.write_all(&[0x90, 4, 0, 1, 0, 1])?;
            self.known = true;
        }
        self.heard.clear();
        let again: Vec<u8> = self.open.iter().flat_map(|number| packet(*number, true)).collect();
        stream.write_all(&again)?;
        stream.set_nonblocking(true)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends up to the given number, as far as the window lets it; takes acknowledgements. `false` when the agent left.
    #[expect(clippy::disallowed_methods, reason = "it does something else when the socket takes no more")]
    fn feed(&mut self, until: u64) -> Outcome<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let mut out = Vec::new();
        while self.next < until && self.open.len() < WINDOW && out.len() < 64 << 10 {
            out.extend(packet(self.next, false));
            self.open.push_back(self.next);
            self.next += 1;
        }
        let mut sent = 0;
        let mut idle = out.is_empty();
        loop {
            if sent < out.len() {
                match stream.write(&out[sent..]) {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => idle = true,
                    Err(_) => break,
                }
            }
            let mut buffer = [0; 16 << 10];
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.heard.extend_from_slice(&buffer[..count]);
                    idle = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            while self.heard.len() >= 2 && self.heard.len() >= 2 + usize::from(self.heard[1]) {
                let length = 2 + usize::from(self.heard[1]);
                if self.heard[0] == 0x40 {
                    self.open.pop_front();
                }
                self.heard.drain(..length);
            }
            if sent == out.len() {
                if idle {
                    std::thread::sleep(Duration::from_micros(200));
                }
                return Ok(true);
            }
            if idle {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.stream = None;
        Ok(false)
    }
}

/// A PUBLISH at least once; the packet identifier follows from the number, never used twice within a window.
fn packet(number: u64, duplicate: bool) -> Vec<u8> {
    let identifier = u16::try_from(number % 60_000 + 1).unwrap_or(1);
    let mut payload = format!("{{\"n\":{number},\"text\":\"");
    while payload.len() < PAYLOAD - 2 {
        payload.push('x');
    }
    payload.push_str("\"}");
    let topic = b"devices/sensor/ping";
    let length = 2 + topic.len() + 2 + 1 + payload.len();
    let mut packet = vec![if duplicate { 0x3a } else { 0x32 }, (length % 128) as u8 | 0x80, (length / 128) as u8, 0];
    packet.push(topic.len() as u8);
    packet.extend_from_slice(topic);
    packet.extend_from_slice(&identifier.to_be_bytes());
    packet.push(0);
    packet.extend_from_slice(payload.as_bytes());
    packet
}

fn agent(bench: &Bench, feeder: &Feeder, endpoint: String, age: u64) -> Outcome<(Agent, tempfile::TempDir)> {
    let folder = bench.folder()?;
    let mqtt = serde_json::json!({
        "broker": format!("mqtt://127.0.0.1:{}", feeder.port()?), "topics": "devices/+/ping", "clientId": "bench",
    });
    let flow = [("maxBufferAgeMillis".to_owned(), age.into()), ("mqtt".to_owned(), mqtt)].into_iter().collect();
    let agent = Agent {
        endpoint,
        authority: None,
        pattern: "".into(),
        folder: folder.path().to_owned(),
        flow,
        beside: Beside::default(),
    };
    Ok((agent, folder))
}

/// The rows of messages.
pub(crate) fn messages(bench: &mut Bench) -> Outcome<()> {
    let count: u64 = if bench.quick { 200_000 } else { 2_000_000 };
    load(bench, count)?;
    latency(bench, if bench.quick { 100 } else { 1000 })?;
    restart(bench, count / 10)
}

fn collector(count: u64) -> Outcome<Collector<Arrivals>> {
    let seen = vec![(0, None); usize::try_from(count)?];
    Collector::start(Arrivals { seen, ..Arrivals::default() })
}

fn load(bench: &mut Bench, count: u64) -> Outcome<()> {
    println!("{count} messages of {PAYLOAD} bytes at QoS 1, durable, window {WINDOW}");
    let (mut feeder, collector) = (Feeder::start()?, collector(count)?);
    let (agent, _folder) = agent(bench, &feeder, collector.endpoint.clone(), 1000)?;
    let mut program = agent.start()?;
    feeder.accept()?;
    std::thread::sleep(Duration::from_secs(if bench.quick { 1 } else { 5 }));
    let idle = program.memory()?;
    let (begun, before) = (Instant::now(), program.cpu()?);
    while feeder.next < count || !feeder.open.is_empty() {
        if !feeder.feed(count)? {
            return Err(format!("the agent left; {}", program.log_end()).into());
        }
    }
    program.wait_until("all messages", DEADLINE, || Ok(collector.observed().distinct as u64 >= count))?;
    let (used, took) = (program.cpu()? - before, begun.elapsed());
    let rate = count as f64 / used.as_secs_f64();
    let note = format!(
        "{rate:.0} messages per CPU-second (60,000 required), {:.0} per second",
        count as f64 / took.as_secs_f64()
    );
    bench.table.add("MQTT, CPU a message", used.as_secs_f64() * 1e6 / count as f64, "us", Some(1e6 / 60_000.0), note);
    let note = format!("the most since its start, {count} messages");
    bench.table.add("MQTT, memory at load", mib(program.peak_memory()?), "MiB", Some(24.0), note);
    bench.table.add(
        "MQTT, memory idle",
        mib(idle),
        "MiB",
        Some(16.0),
        "connected and subscribed, before any message".to_owned(),
    );
    let twice = collector.observed().twice;
    bench.table.add("MQTT, duplicates at load", twice as f64, "", Some(0.0), String::new());
    program.stop(DEADLINE)
}

fn latency(bench: &mut Bench, count: u64) -> Outcome<()> {
    const AGE: u64 = 10;
    println!("receipt to arrival: maxBufferAgeMillis {AGE}, {count} messages");
    let (mut feeder, collector) = (Feeder::start()?, collector(count + 1)?);
    let (agent, _folder) = agent(bench, &feeder, collector.endpoint.clone(), AGE)?;
    let mut program = agent.start()?;
    feeder.accept()?;
    feeder.feed(1)?;
    program.wait_until("the first message", DEADLINE, || Ok(collector.observed().distinct >= 1))?;
    let mut gaps = fastrand::Rng::with_seed(crate::inputs::SEED);
    let mut sent = Vec::new();
    for number in 1..=count {
        let gap = Instant::now() + Duration::from_micros(gaps.u64(10_000..30_000));
        sent.push(Instant::now());
        feeder.feed(number + 1)?;
        while Instant::now() < gap {
            feeder.feed(number + 1)?;
        }
    }
    program.wait_until("the last message", DEADLINE, || {
        feeder.feed(count + 1)?;
        Ok(collector.observed().distinct as u64 > count)
    })?;
    let observed = collector.observed();
    let arrived = observed.seen.iter().skip(1).filter_map(|(_, first)| *first);
    let beyond: Vec<f64> =
        sent.iter().zip(arrived).map(|(sent, arrived)| (arrived - *sent).as_secs_f64() * 1e3 - AGE as f64).collect();
    drop(observed);
    let note = format!("median {:.1} ms, most {:.1} ms", quantile(&beyond, 0.5), quantile(&beyond, 1.0));
    bench.table.add("MQTT, receipt to arrival beyond age, p99", quantile(&beyond, 0.99), "ms", Some(50.0), note);
    program.stop(DEADLINE)
}

fn restart(bench: &mut Bench, count: u64) -> Outcome<()> {
    const RESTARTS: u64 = 5;
    println!("{count} messages, {RESTARTS} clean restarts among them");
    let (mut feeder, collector) = (Feeder::start()?, collector(count)?);
    let (agent, _folder) = agent(bench, &feeder, collector.endpoint.clone(), 100)?;
    let mut program = agent.start()?;
    feeder.accept()?;
    for part in 1..=RESTARTS {
        while feeder.next < count * part / (RESTARTS + 1) {
            feeder.feed(count)?;
        }
        let stopping = std::thread::spawn(move || program.stop(DEADLINE).map_err(|error| error.to_string()));
        while feeder.feed(count)? {}
        stopping.join().map_err(|_| "the stop panicked")??;
        program = agent.start()?;
        feeder.accept()?;
    }
    while feeder.next < count || !feeder.open.is_empty() {
        feeder.feed(count)?;
    }
    program.wait_until("all messages", DEADLINE, || Ok(collector.observed().distinct as u64 >= count))?;
    program.stop(DEADLINE)?;
    let twice = collector.observed().twice;
    let note = format!("{RESTARTS} restarts, {count} messages, all arrived");
    bench.table.add("MQTT, duplicates after clean restarts", twice as f64, "", Some(0.0), note);
    Ok(())
}

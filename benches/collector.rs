//! A Firehose endpoint inside this process that looks at each call at the moment it is complete.
//! Promises that the time taken is that of the call's last byte, and that each call is shown before it is answered.
//! Leaves limits, signatures, faults and counting in bulk to local-lake.

use crate::Outcome;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What the rows want to know of the calls, fed in the order in which they are complete.
pub(crate) trait Observe: Send + 'static {
    /// A complete call: its records, decoded.
    fn call(&mut self, arrived: Instant, records: &[Vec<u8>]);
}

/// A running endpoint. Its threads end with the process.
pub(crate) struct Collector<O> {
    /// `http://127.0.0.1:port`
    pub(crate) endpoint: String,
    observer: Arc<Mutex<O>>,
}

impl<O: Observe> Collector<O> {
    /// Listens on loopback.
    pub(crate) fn start(observer: O) -> Outcome<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let observer = Arc::new(Mutex::new(observer));
        let shared = Arc::clone(&observer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    if let Err(trouble) = serve(stream, &shared) {
                        eprintln!("collector: {trouble}");
                    }
                });
            }
        });
        Ok(Self { endpoint, observer })
    }

    /// What was observed so far.
    pub(crate) fn observed(&self) -> MutexGuard<'_, O> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(serde::Deserialize)]
struct Call<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<Record<'a>>,
}

#[derive(serde::Deserialize)]
struct Record<'a> {
    #[serde(rename = "Data")]
    data: &'a str,
}

fn serve<O: Observe>(stream: TcpStream, observer: &Mutex<O>) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::with_capacity(1 << 16, stream);
    let mut body = Vec::new();
    loop {
        let Some(length) = read_head(&mut input)? else { return Ok(()) };
        body.resize(length, 0);
        input.read_exact(&mut body)?;
        let arrived = Instant::now();
        let call: Call<'_> = serde_json::from_slice(&body)?;
        let mut records = Vec::with_capacity(call.records.len());
        for record in &call.records {
            records.push(
                base64_simd::STANDARD.decode_to_vec(record.data.as_bytes()).map_err(|_| "a record is not base64")?,
            );
        }
        observer.lock().unwrap_or_else(PoisonError::into_inner).call(arrived, &records);
        output.write_all(&answer(records.len()))?;
    }
}

/// Reads a request's head; `None` when the connection ends before one.
fn read_head(input: &mut impl BufRead) -> Outcome<Option<usize>> {
    let mut length = None;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            return Ok(Some(length.ok_or("a call without content-length")?));
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse()?);
        }
    }
}

/// All accepted, with record ids as long as the service's.
fn answer(records: usize) -> Vec<u8> {
    let entry = format!("{{\"RecordId\":\"{}\"}}", "r".repeat(224));
    let body = format!(
        "{{\"Encrypted\":false,\"FailedPutCount\":0,\"RequestResponses\":[{}]}}",
        vec![entry; records].join(",")
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-requestid: bench\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

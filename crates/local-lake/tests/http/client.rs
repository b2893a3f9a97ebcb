//! A client of a few lines over a plain socket: puts records, signs when asked to, reads one answer.
//! Promises to send exactly the bytes it is given.
//! Leaves trying again to nobody.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The error's code; header and body must agree on it.
    pub(crate) fn code(&self) -> String {
        let code = self.json()["__type"].as_str().unwrap().to_owned();
        assert_eq!(self.header("x-amzn-errortype"), Some(code.as_str()));
        assert!(self.header("x-amzn-requestid").is_some());
        code
    }
}

/// One kept-alive connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // Only so that a broken server fails a test instead of holding it up.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        self.stream.flush()
    }

    /// Reads one answer with a content length.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
        self.unread.drain(..end + 4);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.more()?;
        }
        answer.body = String::from_utf8(self.unread.drain(..length).collect()).unwrap();
        Ok(answer)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.unread.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    }

    pub(crate) fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.answer()
    }

    /// Puts records, unsigned but for the form.
    pub(crate) fn put(&mut self, stream: &str, records: &[&[u8]]) -> io::Result<Answer> {
        self.call(&request("PutRecordBatch", &batch(stream, records), &shaped()))
    }
}

/// The body of a batch.
pub(crate) fn batch(stream: &str, records: &[&[u8]]) -> String {
    let records: Vec<_> = records
        .iter()
        .map(|record| serde_json::json!({ "Data": base64_simd::STANDARD.encode_to_string(record) }))
        .collect();
    serde_json::json!({ "DeliveryStreamName": stream, "Records": records }).to_string()
}

/// A whole request.
pub(crate) fn request(operation: &str, body: &str, authorization: &[(String, String)]) -> Vec<u8> {
    let mut head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: \
         Firehose_20150804.{operation}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in authorization {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

/// `yyyymmddThhmmssZ`
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Headers that have the form of a signature.
pub(crate) fn shaped() -> Vec<(String, String)> {
    authorization(&now(), &"0".repeat(64))
}

/// Headers with the true signature of this request.
pub(crate) fn signed(operation: &str, body: &str, secret: &str) -> Vec<(String, String)> {
    let moment = now();
    let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:localhost\nx-amz-date:{moment}\nx-amz-target:\
         Firehose_20150804.{operation}\n\ncontent-type;host;x-amz-date;x-amz-target\n{}",
        hash(body.as_bytes())
    );
    let scope = format!("{}/us-east-1/firehose/aws4_request", &moment[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{moment}\n{scope}\n{}", hash(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [&moment[..8], "us-east-1", "firehose", "aws4_request", &to_sign] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    authorization(&moment, &hex(&key))
}

fn authorization(moment: &str, signature: &str) -> Vec<(String, String)> {
    let day = &moment[..8];
    vec![
        ("x-amz-date".to_owned(), moment.to_owned()),
        (
            "authorization".to_owned(),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/firehose/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}"
            ),
        ),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! A service on loopback that answers every request as its test says.
//! Promises an answer to each, with the length it has. Leaves what the answer means to the tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request: its method, the operation that it names, the time that it is signed with (`20150101T000000Z`), its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) signed: String,
    pub(crate) body: String,
}

/// An answer: its status, its headers without their length, and its body.
#[derive(Clone, Debug)]
pub(crate) struct Said(pub(crate) u16, pub(crate) Vec<(&'static str, String)>, pub(crate) String);

impl Said {
    /// A batch of one record that is stored.
    pub(crate) fn stored() -> Self {
        let stored = r#"{"FailedPutCount":0,"RequestResponses":[{"RecordId":"1"}]}"#;
        Self(200, vec![("content-type", "application/x-amz-json-1.1".to_owned())], stored.to_owned())
    }

    /// An error of AWS.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let headers =
            vec![("x-amzn-errortype", code.to_owned()), ("content-type", "application/x-amz-json-1.1".to_owned())];
        Self(status, headers, serde_json::json!({"__type": code, "message": message}).to_string())
    }

    /// The same at this time of the service.
    pub(crate) fn at(mut self, date: &str) -> Self {
        self.1.push(("date", date.to_owned()));
        self
    }
}

type Answering = Arc<dyn Fn(&Asked) -> Said + Send + Sync>;

/// The service; it ends with the process.
pub(crate) struct Answers {
    port: u16,
}

impl Answers {
    pub(crate) fn with(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer: Answering = Arc::new(answer);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || serve(&connection, &answer));
            }
        });
        Self { port }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn serve(connection: &TcpStream, answer: &Answering) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut line, mut length, mut asked) = (String::new(), 0, Asked::default());
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        asked.method = line.split(' ').next()?.to_owned();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "x-amz-target" => asked.target = value.trim().to_owned(),
                "x-amz-date" => asked.signed = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8_lossy(&body).into_owned();
        let Said(status, headers, body) = answer(&asked);
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} -\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let mut writer = connection;
        writer.write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}

//! Events from the Lambda service: its Runtime API, which is plain HTTP/1.1 on this machine.
//! Promises one answer for each event, bounded heads and bodies, and to go on after a connection that broke.
//! Leaves what events mean to the caller.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// No event of Lambda is larger than 6 MB.
const LARGEST_EVENT: u64 = 16 << 20;
const LONGEST_LINE: u64 = 16 << 10;
const MOST_HEADERS: usize = 100;
const VERSION: &str = "/2018-06-01/runtime";

/// The service, as `AWS_LAMBDA_RUNTIME_API` names it.
#[derive(Debug)]
pub struct Api {
    host: String,
    connection: Option<BufReader<TcpStream>>,
}

/// One event.
#[derive(Debug)]
pub struct Invocation {
    /// Its id, which the answer names.
    pub id: String,
    /// When it has to be answered, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// The event.
    pub body: Vec<u8>,
}

struct Answer {
    status: u16,
    id: String,
    deadline_ms: u64,
    body: Vec<u8>,
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Runtime API answers {what}"))
}

impl Api {
    /// Connects with the first request.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), connection: None }
    }

    /// Waits for an event.
    ///
    /// # Errors
    /// When the service cannot be reached or answers nonsense.
    pub fn wait(&mut self) -> io::Result<Invocation> {
        let answer = self.exchange("GET", "/invocation/next", &[], b"")?;
        if answer.status != 200 || answer.id.is_empty() {
            return Err(invalid(&format!("status {} and no event", answer.status)));
        }
        Ok(Invocation { id: answer.id, deadline_ms: answer.deadline_ms, body: answer.body })
    }

    /// Answers an event.
    ///
    /// # Errors
    /// When the service cannot be reached, or does not take it.
    pub fn respond(&mut self, id: &str, body: &[u8]) -> io::Result<()> {
        self.post(&format!("/invocation/{id}/response"), &[], body)
    }

    /// Refuses an event: Lambda sends it again, or to where dead letters go.
    ///
    /// # Errors
    /// As [`Api::respond`].
    pub fn fail(&mut self, id: &str, kind: &str, message: &str) -> io::Result<()> {
        self.post(
            &format!("/invocation/{id}/error"),
            &[("lambda-runtime-function-error-type", kind)],
            &error(kind, message),
        )
    }

    /// Says that no event can be taken at all.
    ///
    /// # Errors
    /// As [`Api::respond`].
    pub fn fail_start(&mut self, kind: &str, message: &str) -> io::Result<()> {
        self.post("/init/error", &[("lambda-runtime-function-error-type", kind)], &error(kind, message))
    }

    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        match self.exchange("POST", path, headers, body)?.status {
            200..=299 => Ok(()),
            // Too late, too large, or answered before: nothing that another try would change.
            status => Err(invalid(&format!("status {status} to {path}"))),
        }
    }

    /// A request on the connection at hand, and once on a new one where that was closed meanwhile.
    fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut request =
            format!("{method} {VERSION}{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.host, body.len());
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let is_old = self.connection.is_some();
        let first = self.try_exchange(request.as_bytes(), body);
        if first.is_err() {
            self.connection = None;
        }
        match first {
            Err(error) if is_old && error.kind() != io::ErrorKind::InvalidData => {
                let again = self.try_exchange(request.as_bytes(), body);
                if again.is_err() {
                    self.connection = None;
                }
                again
            }
            other => other,
        }
    }

    fn try_exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(&self.host)?;
                stream.set_nodelay(true)?;
                self.connection.insert(BufReader::with_capacity(64 << 10, stream))
            }
        };
        connection.get_mut().write_all(head)?;
        connection.get_mut().write_all(body)?;
        let (answer, closes) = read_answer(connection)?;
        if closes {
            self.connection = None;
        }
        Ok(answer)
    }
}

fn error(kind: &str, message: &str) -> Vec<u8> {
    serde_json::json!({"errorType": kind, "errorMessage": message, "stackTrace": []}).to_string().into_bytes()
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.by_ref().take(LONGEST_LINE).read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// An answer, and whether the connection ends with it.
fn read_answer(input: &mut impl BufRead) -> io::Result<(Answer, bool)> {
    let status = line(input)?;
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| invalid("no HTTP"))?;
    let mut answer = Answer { status, id: String::new(), deadline_ms: 0, body: Vec::new() };
    let (mut length, mut is_chunked, mut closes) = (None, false, false);
    for number in 0.. {
        let header = line(input)?;
        if header.is_empty() {
            break;
        }
        if number > MOST_HEADERS {
            return Err(invalid("too many headers"));
        }
        let (name, value) = header.split_once(':').ok_or_else(|| invalid("a header that is none"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse().map_err(|_| invalid("no length"))?),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            "lambda-runtime-aws-request-id" => answer.id = value.to_owned(),
            "lambda-runtime-deadline-ms" => answer.deadline_ms = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    if is_chunked {
        loop {
            let size = line(input)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| invalid("a chunk that is none"))?;
            if size == 0 {
                while !line(input)?.is_empty() {}
                break;
            }
            read_body(input, size, &mut answer.body)?;
            line(input)?;
        }
    } else {
        read_body(input, length.unwrap_or(0), &mut answer.body)?;
    }
    Ok((answer, closes))
}

fn read_body(input: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    let before = body.len() as u64;
    if before.saturating_add(length) > LARGEST_EVENT {
        return Err(invalid("more than 16 MiB"));
    }
    input.take(length).read_to_end(body)?;
    if body.len() as u64 == before + length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<(Answer, bool)> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn answers_are_read_with_a_length_and_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a-1\r\nLambda-Runtime-Deadline-Ms: 5\r\n";
        for body in [
            "Content-Length: 6\r\n\r\n{\"a\":1",
            "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\n{\"\r\n4\r\na\":1\r\n0\r\n\r\n",
        ] {
            let (answer, closes) = read(&format!("{head}{body}")).unwrap();
            assert_eq!((answer.status, answer.id.as_str(), answer.deadline_ms, closes), (200, "a-1", 5, false));
            assert_eq!(answer.body, b"{\"a\":1");
        }
        assert!(read("HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n").unwrap().1);
    }

    #[test]
    fn what_is_no_answer_or_is_cut_anywhere_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "nonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200))).is_err());
        assert!(read(&format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(20_000))).is_err());
    }
}

//! MiniStack, which stands in for AWS on loopback.
#![allow(dead_code, clippy::allow_attributes, reason = "each test takes what it needs")]

use crate::house::{House, tool};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer holds the words, or for too long; the last answer.
pub(crate) fn until(words: &str, mut ask: impl FnMut() -> String) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.contains(words) || Instant::now() > deadline {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends with the test.
pub(crate) struct MiniStack {
    child: Child,
    pub(crate) port: u16,
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl MiniStack {
    /// Starts it; nothing where it is not installed, which is said.
    pub(crate) fn start() -> Option<Self> {
        let program = tool("ministack")?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string());
        command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0").env("S3_PERSIST", "0");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stack = Self { child, port };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "MiniStack does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(stack)
    }

    /// One request; the scope of a signature that nobody checks names the service.
    pub(crate) fn call(&self, service: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let answer = String::from_utf8_lossy(&self.send(service, method, path, headers, body)).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        answer
    }

    /// The body of an answer.
    pub(crate) fn body(&self, service: &str, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let answer = self.send(service, method, path, "", body);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let (head, mut rest) = (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
        if !head.contains("transfer-encoding: chunked") {
            return rest.to_vec();
        }
        let mut whole = Vec::new();
        loop {
            let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap().trim(), 16).unwrap();
            if size == 0 {
                return whole;
            }
            whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
            rest = &rest[end + 4 + size..];
        }
    }

    /// The whole answer, whatever its status.
    pub(crate) fn send(&self, service: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\
             authorization: AWS4-HMAC-SHA256 Credential=test/20260309/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=x\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    pub(crate) fn glue(&self, operation: &str, body: &serde_json::Value) {
        let headers = format!("x-amz-target: AWSGlue.{operation}\r\ncontent-type: application/x-amz-json-1.1\r\n");
        self.call("glue", "POST", "/", &headers, body.to_string().as_bytes());
    }

    /// Runs `datalake query` against it.
    pub(crate) fn query(&self, house: &House, query: &str, format: &str) -> Output {
        Command::new(crate::house::ours("datalake"))
            .args(["query", query, "--engine", "athena", "--format", format])
            .current_dir(house.path())
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap()
    }
}

//! `datalake query --engine athena` against MiniStack, which stands in for S3, Glue and Athena on loopback: the table is the
//! one that `datalake schema --as glue` prints, and the answers are those of the folder.

#[path = "support/house.rs"]
mod house;

use house::{House, tool, words};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LAKE: &str = r#"{"name": "t", "protos": ["schema"], "athena": {"bucket": "farm-lake", "region": "us-east-1"},
    "tables": {"ping": {"message": "t.Ping", "prefix": "raw/v0/ping/"}}}"#;
const PROTO: &str =
    "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; int64 n = 3; }";
const LINES: &[u8] =
    b"{\"device_id\":\"a\",\"level\":80.5,\"n\":9007199254740993}\n{\"device_id\":\"b,\\\"\",\"level\":20,\"n\":1}\n";
const PATIENCE: Duration = Duration::from_secs(60);

struct MiniStack {
    child: Child,
    port: u16,
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl MiniStack {
    fn start() -> Option<Self> {
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

    /// One request; the service is told by the scope of a signature that nobody checks.
    fn call(&self, service: &str, method: &str, path: &str, headers: &str, body: &[u8]) {
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
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }

    fn glue(&self, operation: &str, body: &serde_json::Value) {
        let headers = format!("x-amz-target: AWSGlue.{operation}\r\ncontent-type: application/x-amz-json-1.1\r\n");
        self.call("glue", "POST", "/", &headers, body.to_string().as_bytes());
    }

    fn query(&self, house: &House, query: &str, format: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_datalake"))
            .args(["query", query, "--engine", "athena", "--format", format])
            .current_dir(house.path())
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .unwrap()
    }
}

#[test]
fn athena_answers_as_the_folder_does_and_says_what_it_scanned() {
    let Some(stack) = MiniStack::start() else { return };
    let house = House::new(LAKE, PROTO);
    let object = house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", LINES);
    let packed = std::fs::read(object).unwrap();
    stack.call("s3", "PUT", "/farm-lake", "", b"");
    let path = "/farm-lake/raw/v0/ping/dt%3D2026-03-09-07/a.gz";
    stack.call("s3", "PUT", path, "content-encoding: gzip\r\n", &packed);
    stack.glue("CreateDatabase", &serde_json::json!({"DatabaseInput": {"Name": "t"}}));
    let shown = house.run(&["schema", "ping", "--as", "glue"], "");
    let table: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    stack.glue("CreateTable", &serde_json::json!({"DatabaseName": "t", "TableInput": table}));

    let query = "SELECT device_id, level, n FROM ping WHERE dt = '2026-03-09-07' ORDER BY device_id";
    let output = stack.query(&house, query, "jsonl");
    let expected = "{\"device_id\":\"a\",\"level\":80.5,\"n\":9007199254740993}\n\
                    {\"device_id\":\"b,\\\"\",\"level\":20.0,\"n\":1}\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", words(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("scanned ") && told.contains("at $5 a TB"), "{told}");
    let output = stack.query(&house, query, "csv");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "device_id,level,n\na,80.5,9007199254740993\n\"b,\"\"\",20.0,1\n"
    );

    if let Some(duckdb) = tool("duckdb") {
        let duckdb = duckdb.display().to_string();
        let folder = house.run(&["query", query, "--format", "jsonl", "--duckdb", &duckdb], "");
        assert_eq!(String::from_utf8_lossy(&folder.stdout), expected, "{}", words(&folder));
    }

    let output = stack.query(&house, "SELECT no_such_column FROM ping", "csv");
    assert!(!output.status.success() && words(&output).contains("the query failed"), "{}", words(&output));
    let output = stack.query(&house, "SELECT 1; DROP TABLE ping", "csv");
    assert!(!output.status.success() && words(&output).contains("a second statement"), "{}", words(&output));
}

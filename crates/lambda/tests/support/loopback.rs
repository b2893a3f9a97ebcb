//! Athena, S3 and Lambda on loopback, as far as reactions use them: every query has the same rows, objects are kept in
//! memory, and a function is what the test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) type Objects = BTreeMap<String, Vec<u8>>;
/// Gets its event and the objects, which it may change; gives status, what kind of failure, and body.
pub(crate) type Called = dyn FnMut(&Value, &mut Objects) -> (u16, Option<&'static str>, Value) + Send;

pub(crate) struct State {
    pub(crate) objects: Objects,
    /// The names that were called, with their events.
    pub(crate) calls: Vec<(String, Value)>,
    function: Box<Called>,
}

pub(crate) struct Loopback {
    pub(crate) endpoint: String,
    pub(crate) state: Arc<Mutex<State>>,
}

/// A function that does what it is asked: its output is the text.
pub(crate) fn writes(text: &'static str) -> Box<Called> {
    Box::new(move |event, objects| {
        let key = event["output"]["key"].as_str().unwrap_or_default();
        objects.insert(key.to_owned(), text.as_bytes().to_vec());
        (200, None, Value::Null)
    })
}

impl Loopback {
    /// `rows` are texts of the columns `device_id` and `level`.
    pub(crate) fn start(rows: &'static [(&'static str, &'static str)], function: Box<Called>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { objects: Objects::new(), calls: Vec::new(), function }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), rows, &state));
            }
        });
        Self { endpoint, state }
    }

    pub(crate) fn becomes(&self, function: Box<Called>) {
        self.state.lock().unwrap().function = function;
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls.len()
    }

    /// Keys below a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(crate) fn object(&self, key: &str) -> Vec<u8> {
        self.state.lock().unwrap().objects[key].clone()
    }
}

fn serve(mut stream: TcpStream, rows: &[(&str, &str)], state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let found =
            head.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert!(header("authorization").is_some_and(|signed| signed.starts_with("AWS4-HMAC-SHA256 ")), "{head:?}");
    let mut words = head[0].split(' ');
    let (method, path) = (words.next().unwrap(), decoded(words.next().unwrap()));
    let (status, more, answer) = if let Some(target) = header("x-amz-target") {
        (200, None, athena(&target, rows, &serde_json::from_slice(&body).unwrap()).to_string().into_bytes())
    } else if let Some(name) = path.strip_prefix("/2015-03-31/functions/") {
        assert_eq!(header("x-amz-invocation-type").as_deref(), Some("RequestResponse"));
        let event: Value = serde_json::from_slice(&body).unwrap();
        let mut state = state.lock().unwrap();
        state.calls.push((name.trim_end_matches("/invocations").to_owned(), event.clone()));
        let State { objects, function, .. } = &mut *state;
        let (status, failed, answer) = function(&event, objects);
        (status, failed, answer.to_string().into_bytes())
    } else {
        let (status, answer) = s3(method, &path, header("if-none-match").is_some(), body, state);
        (status, None, answer)
    };
    let more = more.map_or_else(String::new, |kind| format!("x-amz-function-error: {kind}\r\n"));
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n", answer.len());
    let answer = if method == "HEAD" { Vec::new() } else { answer };
    // Who does not wait any more does not get it.
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer)).ok();
}

fn athena(target: &str, rows: &[(&str, &str)], request: &Value) -> Value {
    match target.rsplit('.').next().unwrap() {
        "StartQueryExecution" => json!({"QueryExecutionId": request["ClientRequestToken"]}),
        "GetQueryExecution" => json!({"QueryExecution": {"Status": {"State": "SUCCEEDED"}, "Statistics": {}}}),
        "GetQueryResults" => {
            let row = |(id, level): &(&str, &str)| json!({"Data": [{"VarCharValue": id}, {"VarCharValue": level}]});
            let all: Vec<Value> = [("device_id", "level")].iter().chain(rows).map(row).collect();
            let columns = json!([{"Name": "device_id", "Type": "varchar"}, {"Name": "level", "Type": "double"}]);
            json!({"ResultSet": {"Rows": all, "ResultSetMetadata": {"ColumnInfo": columns}}})
        }
        other => panic!("{other}"),
    }
}

fn s3(method: &str, path: &str, only_new: bool, body: Vec<u8>, state: &Mutex<State>) -> (u16, Vec<u8>) {
    let key = path.strip_prefix("/farm-lake/").unwrap().to_owned();
    let objects = &mut state.lock().unwrap().objects;
    match method {
        "PUT" if only_new && objects.contains_key(&key) => (412, Vec::new()),
        "PUT" => {
            objects.insert(key, body);
            (200, Vec::new())
        }
        _ => objects.get(&key).map_or((404, Vec::new()), |body| (200, body.clone())),
    }
}

fn decoded(path: &str) -> String {
    let (bytes, mut out, mut at) = (path.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&path[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

//! Where credentials come from, on loopback: STS, the endpoint of a container, the metadata of an instance.
//! Promises to answer as the documentation of each says, and to remember what it was asked.
//! Leaves whether the credentials are any good to the lake.

use aws_smithy_types::date_time::{DateTime, Format};
use datalake_agent::telemetry::clock;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it gives out.
pub(crate) const KEY: (&str, &str) = ("ASIAROLE", "secretOfTheRole");
/// What roles ask for.
pub(crate) const EXTERNAL_ID: &str = "us & them";

/// How it answers, and what it was asked.
#[derive(Debug)]
pub(crate) struct State {
    /// How long what it gives out holds.
    pub(crate) holds: Duration,
    /// Refuses every role.
    pub(crate) denies: bool,
    /// `AssumeRole` for this ARN by the owner of this access key.
    pub(crate) roles: Vec<(String, String)>,
    /// Paths that were asked for.
    pub(crate) paths: Vec<String>,
}

/// The server; it ends with the process.
#[derive(Clone)]
pub(crate) struct Authority {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Authority {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holds = Duration::from_secs(3600);
        let state = State { holds, denies: false, roles: Vec::new(), paths: Vec::new() };
        let authority = Self { port, state: Arc::new(Mutex::new(state)) };
        let own = authority.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.serve(&connection));
            }
        });
        authority
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// The roles that were asked for, in order, refusals included.
    pub(crate) fn roles(&self) -> Vec<String> {
        self.state.lock().unwrap().roles.iter().map(|(role, _)| role.clone()).collect()
    }

    /// With whose keys.
    pub(crate) fn callers(&self) -> Vec<String> {
        self.state.lock().unwrap().roles.iter().map(|(_, caller)| caller.clone()).collect()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.state.lock().unwrap().paths.clone()
    }

    fn serve(&self, connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        loop {
            let (mut line, mut length, mut caller) = (String::new(), 0, String::new());
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let mut words = line.split(' ').map(str::to_owned);
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            loop {
                let mut header = String::new();
                if reader.read_line(&mut header).unwrap_or(0) == 0 {
                    return;
                }
                let Some((name, value)) = header.trim_end().split_once(':') else { break };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    "authorization" => {
                        let key = value.split_once("Credential=").map_or("", |(_, rest)| rest);
                        caller = key.split('/').next().unwrap_or_default().to_owned();
                    }
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let (status, kind, text) = self.answer(&method, &path, &String::from_utf8_lossy(&body), caller);
            // The last header belongs to the token of an instance; others do not mind it.
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
                 x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
            );
            let mut writer = connection;
            if writer.write_all(format!("{head}{text}").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &str, caller: String) -> (u16, &'static str, String) {
        let mut state = self.state.lock().unwrap();
        state.paths.push(path.to_owned());
        let ends = clock::now_ms() / 1000 + state.holds.as_secs();
        let expiration = DateTime::from_secs(ends.cast_signed()).fmt(Format::DateTime).unwrap();
        let (id, secret) = KEY;
        let json = format!(
            r#"{{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"t","Expiration":"{expiration}"}}"#
        );
        match (method, path) {
            ("POST", "/") => {
                let field = |name: &str| {
                    let value = body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
                    unescaped(value.unwrap_or_default())
                };
                if field("Action") == "GetCallerIdentity" && !state.denies {
                    let text = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                                <Arn>arn:aws:sts::111122223333:assumed-role/logs/host</Arn><UserId>A:host</UserId>\
                                <Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
                    return (200, "text/xml", text.to_owned());
                }
                state.roles.push((field("RoleArn"), caller));
                if state.denies || field("ExternalId") != EXTERNAL_ID || field("Action") != "AssumeRole" {
                    let text = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                                <Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
                    return (403, "text/xml", text.to_owned());
                }
                let text = format!(
                    "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
                     <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
                     <SessionToken>t</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
                     </AssumeRoleResult></AssumeRoleResponse>"
                );
                (200, "text/xml", text)
            }
            ("GET", "/container") => (200, "application/json", json),
            ("PUT", "/latest/api/token") => (200, "text/plain", "token".to_owned()),
            ("GET", "/latest/meta-data/iam/security-credentials/") => (200, "text/plain", "instance-role".to_owned()),
            ("GET", "/latest/meta-data/iam/security-credentials/instance-role") => (200, "application/json", json),
            _ => (404, "text/plain", String::new()),
        }
    }
}

/// A value of a form.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' if tail.len() >= 2 => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                rest = &tail[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

//! PutRecordBatch of Firehose.
//! Promises one attempt a call and an end to every call.
//! Leaves the exchange to `caller`, which is that of Kinesis too.

use std::time::Duration;

use super::caller::{Caller, Dialect};
use super::fault;
use super::outcomes::Reader;
use super::session::Session;
use super::{Answer, Call, Service};

static DIALECT: Dialect = Dialect {
    stream_name: "\"DeliveryStreamName\":\"",
    reader: Reader { list: "\"RequestResponses\":[" },
    words: &fault::FIREHOSE,
};

/// Sends calls to Firehose. Cheap to clone; all clones share connections and credentials.
#[derive(Clone, Debug)]
pub struct Firehose(Caller);

impl Firehose {
    /// A service that calls through this session; `patience` is the time to wait for an answer, beside the time for sending
    /// the body.
    #[must_use]
    pub fn new(session: Session, patience: Duration) -> Self {
        Self(Caller::new(session, &DIALECT, patience))
    }

    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.region()
    }
}

impl Service for Firehose {
    async fn put(&self, call: Call) -> Answer {
        self.0.put(call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::session::{Settings, Target, connect};
    use crate::deliver::{Meaning, Outcome};
    use bytes::{Bytes, BytesMut};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    /// What the scripted server does with one request.
    enum Act {
        /// Answers with this status line, these headers and this body.
        Say(&'static str, &'static str, String),
        /// Closes the connection after reading the request.
        Hang,
        /// Reads and never answers.
        Silence,
        /// Says that it will answer, so often, before the next act answers.
        Interim(usize),
    }

    /// Head and body of each.
    type Requests = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

    /// A server on loopback that follows a script, one act a request, and keeps what it was sent.
    struct Server {
        address: String,
        requests: Requests,
        connections: Arc<Mutex<usize>>,
    }

    fn server(script: Vec<Act>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, connections) = (Requests::default(), Arc::new(Mutex::new(0)));
        let (seen, count) = (requests.clone(), connections.clone());
        std::thread::spawn(move || {
            let mut script = script.into_iter();
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                *count.lock().unwrap() += 1;
                while let Some(request) = request(&mut stream) {
                    seen.lock().unwrap().push(request);
                    let mut act = script.next();
                    while let Some(Act::Interim(count)) = act {
                        let said = (0..count).all(|_| stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok());
                        act = if said { script.next() } else { None };
                    }
                    match act {
                        Some(Act::Say(status, headers, body)) => {
                            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
                            stream.write_all(head.as_bytes()).unwrap();
                            stream.write_all(body.as_bytes()).unwrap();
                        }
                        Some(Act::Hang | Act::Interim(_)) | None => break,
                        Some(Act::Silence) => {
                            silent.push(stream);
                            break;
                        }
                    }
                }
            }
        });
        Server { address, requests, connections }
    }

    /// Reads one request; `None` at the end of the connection.
    fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut piece = [0; 65_536];
        loop {
            let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
            let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            while bytes.len() < end + 4 + length {
                let read = stream.read(&mut piece).ok().filter(|&read| read > 0)?;
                bytes.extend_from_slice(&piece[..read]);
            }
            return Some((head, bytes.split_off(end + 4)));
        }
    }

    async fn firehose(endpoint: &str) -> Firehose {
        patient(endpoint, Duration::from_millis(500)).await
    }

    async fn patient(endpoint: &str, patience: Duration) -> Firehose {
        let settings = Settings {
            region: Some("eu-west-1".into()),
            firehose_endpoint: Some(endpoint.to_owned()),
            access_key: Some(("AKIDEXAMPLE".into(), "secret".into())),
            ..Settings::default()
        };
        Firehose::new(connect(&settings, Target::Firehose).await.unwrap(), patience)
    }

    fn call(records: usize) -> Call {
        let body = format!(
            "{{\"DeliveryStreamName\":\"logs\",\"Records\":[{}]}}",
            vec!["{\"Data\":\"YQo=\"}"; records].join(",")
        );
        Call { body: Bytes::from(body), records }
    }

    fn accepted(records: usize) -> Act {
        let id = format!("{{\"RecordId\":\"{}\"}}", "x".repeat(224));
        let body = format!(
            "{{\"Encrypted\":false,\"FailedPutCount\":0,\"RequestResponses\":[{}]}}",
            vec![id; records].join(",")
        );
        Act::Say("200 OK", "", body)
    }

    async fn answer(act: Act, records: usize) -> Answer {
        let server = server(vec![act]);
        firehose(&server.address).await.put(call(records)).await
    }

    fn failed(answer: &Answer) -> (Meaning, &str) {
        match answer {
            Answer::Failed(fault) => (fault.meaning, &fault.code),
            other => panic!("not failed: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_body_arrives_as_it_stands_and_signed() {
        let server = server(vec![accepted(3)]);
        let sent = call(3);
        assert_eq!(firehose(&server.address).await.put(sent.clone()).await, Answer::Accepted);
        let requests = server.requests.lock().unwrap();
        let (head, body) = &requests[0];
        assert_eq!(body, &sent.body);
        assert!(head.starts_with("post / http/1.1\r\n"), "{head}");
        for expected in [
            "x-amz-target: firehose_20150804.putrecordbatch",
            "content-type: application/x-amz-json-1.1",
            "x-amz-date: ",
            "authorization: aws4-hmac-sha256 credential=akidexample/",
            "/eu-west-1/firehose/aws4_request, signedheaders=",
            "signature=",
        ] {
            assert!(head.contains(expected), "{expected} is not in {head}");
        }
    }

    #[tokio::test]
    async fn once_it_is_answered_the_body_belongs_to_the_caller_alone() {
        let server = server(vec![accepted(1), accepted(1)]);
        let firehose = firehose(&server.address).await;
        for length in [100, 5_600_000] {
            let kept = BytesMut::from(&vec![b'a'; length][..]).freeze();
            assert_eq!(firehose.put(Call { body: kept.clone(), records: 1 }).await, Answer::Accepted);
            assert!(kept.try_into_mut().is_ok(), "{length} bytes are still shared");
        }
        assert_eq!(*server.connections.lock().unwrap(), 1, "the connection is kept");
    }

    #[tokio::test]
    async fn a_full_answer_is_accepted_and_its_connection_used_again() {
        let server = server(vec![accepted(500), accepted(500), accepted(500)]);
        let firehose = firehose(&server.address).await;
        for _ in 0..3 {
            assert_eq!(firehose.put(call(500)).await, Answer::Accepted);
        }
        assert_eq!(*server.connections.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_partial_failure_names_each_record() {
        let body = r#"{"Encrypted":false,"FailedPutCount":3,"RequestResponses":[{"RecordId":"a"},
            {"ErrorCode":"ServiceUnavailableException","ErrorMessage":"Slow down."},
            {"ErrorCode":"InternalFailure","ErrorMessage":"x"},{"ErrorCode":"NeverHeardOf","ErrorMessage":"y"}]}"#;
        let again = |throttled, code: &str| Outcome::Again { throttled, code: code.to_owned() };
        assert_eq!(
            answer(Act::Say("200 OK", "", body.to_owned()), 4).await,
            Answer::PerRecord(vec![
                Outcome::Delivered,
                again(true, "ServiceUnavailableException"),
                again(false, "InternalFailure"),
                again(false, "NeverHeardOf"),
            ])
        );
    }

    /// The short look at the beginning of an answer took each of these for delivered.
    #[tokio::test]
    async fn an_answer_that_does_not_name_every_record_as_stored_leaves_open_what_happened() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"FailedPutCount":0,"RequestResponses":[]}"#,
            r#"{"FailedPutCount":0,"RequestResponses":null}"#,
            r#"{"FailedPutCount":0,"RequestResponses":[{"RecordId":"a"}]}"#,
            r#"{"FailedPutCount":0,"RequestResponses":[{"RecordId":"a"},{"RecordId":"b"},{"RecordId":"c"}]}"#,
            r#"{"FailedPutCount":0,"RequestResponses":[{"RecordId":"a"},{"RecordId":"b"}]"#,
            r#"{"FailedPutCount":1,"RequestResponses":[{"ErrorCode":"x"}]}"#,
            r#"{"FailedPutCount":1,"RequestResponses":[{"RecordId":"a"},{"RecordId":"b"}]}"#,
        ] {
            let answer = answer(Act::Say("200 OK", "", body.to_owned()), 2).await;
            assert_eq!(failed(&answer), (Meaning::Unknown, "answer"), "{body}");
        }
        let late = r#"{"RequestResponses":[{"RecordId":"a"}],"FailedPutCount" : 0}"#;
        assert_eq!(answer(Act::Say("200 OK", "", late.to_owned()), 1).await, Answer::Accepted);
    }

    #[tokio::test]
    async fn three_megabytes_of_a_reason_become_one_kilobyte() {
        let reason = "é".repeat(3 << 19);
        for body in [format!(r#"{{"__type":"AccessDeniedException","message":"{reason}"}}"#), reason.clone()] {
            let Answer::Failed(fault) = answer(Act::Say("400 x", "", body), 1).await else { panic!("not failed") };
            assert!(fault.message.len() < 1_500 && fault.code.len() <= 128, "{} bytes", fault.message.len());
        }
        let body = format!(r#"{{"FailedPutCount":1,"RequestResponses":[{{"ErrorCode":"{}"}}]}}"#, "x".repeat(1 << 20));
        let Answer::PerRecord(outcomes) = answer(Act::Say("200 OK", "", body), 1).await else { panic!("not answered") };
        assert!(matches!(&outcomes[0], Outcome::Again { code, .. } if code.len() == 128));
    }

    #[tokio::test]
    async fn a_throttled_call_keeps_its_connection() {
        let slow = || {
            let body = r#"{"__type":"ServiceUnavailableException","message":"Slow down."}"#;
            Act::Say("500 Internal Server Error", "", body.to_owned())
        };
        let server = server(vec![slow(), slow(), accepted(1)]);
        let firehose = firehose(&server.address).await;
        for _ in 0..2 {
            assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::SlowDown, "ServiceUnavailableException"));
        }
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        assert_eq!(*server.connections.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn refusals_are_told_by_header_or_body() {
        let say = |status, headers, body: &str| Act::Say(status, headers, body.to_owned());
        for (act, meaning, code) in [
            (say("500 x", "", "{}"), Meaning::Unknown, "http 500"),
            (say("503 x", "", "<html>busy</html>"), Meaning::Unknown, "http 503"),
            (
                say("400 x", "x-amzn-ErrorType: AccessDeniedException:http://internal/\r\n", r#"{"Message":"no"}"#),
                Meaning::Hold,
                "AccessDeniedException",
            ),
            (
                say("400 x", "", r#"{"__type":"com.amazonaws.firehose#ResourceNotFoundException","message":"no"}"#),
                Meaning::Hold,
                "ResourceNotFoundException",
            ),
            (
                say(
                    "400 x",
                    "",
                    r#"{"__type":"InvalidKMSResourceException","code":"DisabledException","message":"no"}"#,
                ),
                Meaning::Hold,
                "InvalidKMSResourceException",
            ),
            (say("400 x", "", r#"{"__type":"ExpiredTokenException"}"#), Meaning::Hold, "ExpiredTokenException"),
            (
                say("400 x", "", r#"{"__type":"InvalidArgumentException","message":"bad record"}"#),
                Meaning::Suspect,
                "InvalidArgumentException",
            ),
            (say("413 x", "", ""), Meaning::Hold, "http 413"),
        ] {
            assert_eq!(failed(&answer(act, 1).await), (meaning, code));
        }
    }

    #[tokio::test]
    async fn the_words_name_the_stream() {
        let act = Act::Say("400 x", "", r#"{"__type":"ResourceNotFoundException"}"#.to_owned());
        let Answer::Failed(fault) = answer(act, 1).await else { panic!("not failed") };
        assert!(fault.message.contains("`logs`") && fault.message.contains("eu-west-1"), "{}", fault.message);
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown() {
        assert_eq!(failed(&answer(Act::Hang, 1).await), (Meaning::Unknown, "connection"));
        assert_eq!(failed(&answer(Act::Silence, 1).await), (Meaning::Unknown, "timeout"));
    }

    /// A server that said `100 Continue` without end cost 16 seconds of CPU until the call was given up.
    #[tokio::test]
    async fn a_service_that_promises_an_answer_without_end_is_left_and_one_that_promises_it_twice_is_not() {
        let endless = server(vec![Act::Interim(usize::MAX), accepted(1)]);
        // Longer than any test may take: it must not be time that ends this.
        let firehose = patient(&endless.address, Duration::from_secs(3600)).await;
        let Answer::Failed(fault) = firehose.put(call(1)).await else { panic!("not failed") };
        assert_eq!((fault.meaning, fault.code.as_str()), (Meaning::Unknown, "connection"), "{fault}");
        assert!(fault.message.contains("100 Continue"), "{fault}");
        // The connection was closed, for only then the server takes another.
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        let polite = server(vec![Act::Interim(2), accepted(1), Act::Interim(1), accepted(1)]);
        let firehose = patient(&polite.address, Duration::from_secs(3600)).await;
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        assert_eq!(*polite.connections.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn without_a_listener_nothing_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(failed(&firehose(&address).await.put(call(1)).await), (Meaning::NotSent, "connect"));
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_resolved_holds() {
        let firehose = firehose("http://no-such-host.invalid").await;
        assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::Hold, "dns"));
    }

    #[tokio::test]
    async fn a_server_that_does_not_speak_tls_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
                let mut rest = Vec::new();
                let _ended = stream.read_to_end(&mut rest);
            }
        });
        assert_eq!(failed(&firehose(&endpoint).await.put(call(1)).await), (Meaning::Hold, "tls"));
    }

    #[tokio::test]
    async fn a_wrong_clock_is_corrected_with_the_services_own_time() {
        let skewed = || {
            let body = r#"{"__type":"InvalidSignatureException","message":"Signature expired"}"#;
            Act::Say("403 x", "Date: Sat, 21 Nov 2037 12:00:00 GMT\r\n", body.to_owned())
        };
        let server = server(vec![skewed(), accepted(1)]);
        let firehose = firehose(&server.address).await;
        assert_eq!(failed(&firehose.put(call(1)).await), (Meaning::NotSent, "InvalidSignatureException"));
        assert_eq!(firehose.put(call(1)).await, Answer::Accepted);
        let requests = server.requests.lock().unwrap();
        assert!(requests[1].0.contains("x-amz-date: 20371121t1"), "{}", requests[1].0);
    }
}

//! The endpoint over real sockets: what is put is kept, and each refusal and fault looks on the wire as it should.
//! Promises that no case here depends on time passing, only on conditions coming true.
//! Leaves the process and its signals to the suite of the binary.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod client;

use std::io::{self, Read};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, batch, request, shaped, signed};
use flate2::read::MultiGzDecoder;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use local_lake::{CALL_RECORDS, CountedBytes, Fault, FaultPlan, Lake, Mode, RECORD_BYTES, RateLimit};

fn collecting() -> Lake {
    Lake::builder().mode(Mode::Collect).start_blocking().unwrap()
}

/// Polls for a condition, for at most ten seconds.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_put_is_kept_in_order_and_answered_one_by_one() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    let answer = client.put("logs", &[b"a\n", b"", b"b\nc\n"]).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["FailedPutCount"], 0);
    assert_eq!(answer.json()["Encrypted"], false);
    assert_eq!(answer.json()["RequestResponses"].as_array().unwrap().len(), 3);
    assert!(client.put("logs", &[b"d\n"]).is_ok());
    assert!(client.put("other", &[b"x"]).is_ok());
    assert_eq!(lake.records("logs"), [b"a\n".as_slice(), b"", b"b\nc\n", b"d\n"]);
    assert_eq!(lake.payload("logs"), b"a\nb\nc\nd\n");
    assert_eq!(lake.streams(), ["logs", "other"]);
    let stats = lake.stats();
    assert_eq!((stats.connections, stats.calls, stats.records), (1, 3, 5));
    assert_eq!((stats.bytes, stats.lines, stats.billed_bytes), (9, 4, 4 * 5120));
    assert_eq!(stats.streams["logs"].bytes, 8);
    let calls: Vec<_> =
        lake.calls().into_iter().map(|seen| (seen.call, seen.records, seen.bytes, seen.answer)).collect();
    assert_eq!(calls, [(1, 3, 6, "Ok".into()), (2, 1, 2, "Ok".into()), (3, 1, 1, "Ok".into())]);
    assert_eq!(lake.take("logs").len(), 4);
    assert!(lake.records("logs").is_empty());
}

#[test]
fn a_single_put_is_answered_with_one_record_id() {
    let lake = collecting();
    let body = r#"{"DeliveryStreamName":"s","Record":{"Data":"aGkK"}}"#;
    let mut client = Client::connect(lake.address());
    let answer = client.call(&request("PutRecord", body, &shaped())).unwrap();
    assert_eq!(answer.json()["RecordId"].as_str().unwrap().len(), 224);
    assert_eq!(lake.records("s"), [b"hi\n".as_slice()]);
    lake.faults().next([Fault::Partial { indices: vec![0] }]);
    let answer = client.call(&request("PutRecord", body, &shaped())).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (500, "ServiceUnavailableException"));
}

#[test]
fn a_request_signed_with_the_known_secret_is_taken_and_a_flipped_byte_is_not() {
    let lake = Lake::builder().mode(Mode::Collect).credentials("AKIDEXAMPLE", "secret").start_blocking().unwrap();
    let mut client = Client::connect(lake.address());
    let body = batch("s", &[b"hello\n"]);
    let mut whole = request("PutRecordBatch", &body, &signed("PutRecordBatch", &body, "secret"));
    assert_eq!(client.call(&whole).unwrap().status, 200);
    let letter = whole.iter().rposition(|byte| *byte == b'G').unwrap();
    whole[letter] ^= 1;
    let answer = client.call(&whole).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "InvalidSignatureException"));
    let answer = client.call(&request("PutRecordBatch", &body, &signed("PutRecordBatch", &body, "guess"))).unwrap();
    assert_eq!(answer.code(), "InvalidSignatureException");
    assert_eq!(lake.records("s").len(), 1);
}

#[test]
fn each_refusal_names_itself_as_the_service_does() {
    let lake = Lake::builder().mode(Mode::Collect).streams(["s"]).start_blocking().unwrap();
    let mut client = Client::connect(lake.address());
    let mut refused = |operation: &str, body: &str, authorization: &[(String, String)]| {
        let answer = client.call(&request(operation, body, authorization)).unwrap();
        (answer.status, answer.code())
    };
    let good = batch("s", &[b"x"]);
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(refused("StartDeliveryStreamEncryption", &good, &shaped()), is(400, "UnknownOperationException"));
    assert_eq!(refused("PutRecordBatch", &good, &[]), is(403, "MissingAuthenticationTokenException"));
    assert_eq!(refused("PutRecordBatch", "{", &shaped()), is(400, "SerializationException"));
    let bad = good.replace("eA==", "e");
    assert_eq!(refused("PutRecordBatch", &bad, &shaped()), is(400, "SerializationException"));
    assert_eq!(refused("PutRecordBatch", &batch("s", &[]), &shaped()), is(400, "ValidationException"));
    assert_eq!(refused("PutRecordBatch", &batch("a/b", &[b"x"]), &shaped()), is(400, "ValidationException"));
    assert_eq!(refused("PutRecordBatch", &batch("t", &[b"x"]), &shaped()), is(400, "ResourceNotFoundException"));
    let many: Vec<&[u8]> = vec![b"x"; CALL_RECORDS + 1];
    assert_eq!(refused("PutRecordBatch", &batch("s", &many), &shaped()), is(400, "ValidationException"));
    let large = vec![b'x'; RECORD_BYTES + 1];
    assert_eq!(refused("PutRecordBatch", &batch("s", &[&large]), &shaped()), is(400, "ValidationException"));
    let full = &large[..RECORD_BYTES];
    let five = batch("s", &[full, full, full, full, full]);
    assert_eq!(refused("PutRecordBatch", &five, &shaped()), is(400, "InvalidArgumentException"));
    let four = batch("s", &[full, full, full, full]);
    assert_eq!(client.call(&request("PutRecordBatch", &four, &shaped())).unwrap().status, 200);
    let stats = lake.stats();
    assert_eq!(stats.connections, 1, "no refusal costs the connection");
    assert_eq!(stats.records, 4);
    assert_eq!(stats.refused["ValidationException"], 4);
}

#[test]
fn a_body_too_long_to_be_a_call_is_not_read() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    let head = request("PutRecordBatch", "", &shaped());
    let head = String::from_utf8(head).unwrap().replace("content-length: 0", "content-length: 99999999999");
    assert_eq!(client.call(head.as_bytes()).unwrap().status, 413);
}

#[test]
fn encoded_bytes_are_counted_when_asked_for() {
    let lake = Lake::builder().mode(Mode::Collect).counted_bytes(CountedBytes::Encoded).start_blocking().unwrap();
    let full = vec![b'x'; RECORD_BYTES];
    let answer = Client::connect(lake.address()).put("s", &[&full, &full, &full, &full]).unwrap();
    assert_eq!(answer.code(), "InvalidArgumentException");
}

#[test]
fn a_dictated_fault_meets_its_call_and_the_connection_lives_on() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    let expected = [
        (Fault::Throttle, 500, "ServiceUnavailableException"),
        (Fault::InternalFailure, 500, "InternalFailure"),
        (Fault::AccessDenied, 400, "AccessDeniedException"),
        (Fault::ResourceNotFound, 400, "ResourceNotFoundException"),
        (Fault::ExpiredToken, 400, "ExpiredTokenException"),
        (Fault::InvalidKms, 400, "InvalidKMSResourceException"),
        (Fault::InvalidArgument, 400, "InvalidArgumentException"),
        (Fault::Throttling, 400, "ThrottlingException"),
    ];
    lake.faults().next(expected.iter().map(|(fault, ..)| fault.clone()));
    for (fault, status, code) in expected {
        let answer = client.put("s", &[b"x"]).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{fault:?}");
    }
    lake.faults().next([Fault::BadGateway, Fault::Unavailable]);
    for status in [502, 503] {
        let answer = client.put("s", &[b"x"]).unwrap();
        assert_eq!((answer.status, answer.header("x-amzn-errortype")), (status, None));
    }
    assert!(lake.records("s").is_empty());
    assert_eq!(client.put("s", &[b"x"]).unwrap().status, 200);
    assert_eq!(lake.stats().connections, 1);
    assert!(lake.calls().iter().all(|seen| seen.stream == "s" && seen.records == 1), "{:?}", lake.calls());
}

#[test]
fn a_partial_failure_keeps_the_others_and_says_which() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    lake.faults().next([Fault::Partial { indices: vec![1] }, Fault::PartialInternal { indices: vec![0, 2] }]);
    let answer = client.put("s", &[b"0", b"1", b"2"]).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["FailedPutCount"], 1);
    assert_eq!(answer.json()["RequestResponses"][1]["ErrorCode"], "ServiceUnavailableException");
    let answer = client.put("s", &[b"3", b"4", b"5"]).unwrap();
    assert_eq!(answer.json()["FailedPutCount"], 2);
    assert_eq!(answer.json()["RequestResponses"][2]["ErrorCode"], "InternalFailure");
    assert_eq!(lake.payload("s"), b"024");
    assert_eq!(lake.stats().failed_records, 3);
}

#[test]
fn a_reset_comes_before_the_body_is_read_and_a_lost_answer_after_it_is_stored() {
    let lake = collecting();
    lake.faults().next([Fault::Reset, Fault::AnswerLost, Fault::Delay(Duration::from_millis(1))]);
    let large = vec![b'x'; RECORD_BYTES];
    let error = Client::connect(lake.address()).put("s", &[&large, &large]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
    assert!(lake.records("s").is_empty());
    let error = Client::connect(lake.address()).put("s", &[b"y"]).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{error}");
    assert_eq!(lake.records("s"), [b"y".as_slice()]);
    assert_eq!(Client::connect(lake.address()).put("s", &[b"z"]).unwrap().status, 200);
    let stats = lake.stats();
    assert_eq!((stats.resets, stats.answers_lost, stats.connections), (1, 1, 3));
}

#[test]
fn a_hanging_call_is_never_answered_and_does_not_hold_up_the_stop() {
    let lake = collecting();
    lake.faults().next([Fault::Hang]);
    let mut client = Client::connect(lake.address());
    client.send(&request("PutRecordBatch", &batch("s", &[b"x"]), &shaped())).unwrap();
    eventually("the call hangs", || lake.stats().hung == 1);
    let stats = lake.stop_blocking().unwrap();
    assert_eq!(stats.records, 0);
    assert!(client.answer().is_err());
}

#[test]
fn what_stands_for_one_stream_leaves_the_others_alone() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    lake.faults().always_for("a", Some(Fault::AccessDenied));
    assert_eq!(client.put("a", &[b"x"]).unwrap().code(), "AccessDeniedException");
    assert_eq!(client.put("b", &[b"x"]).unwrap().status, 200);
    lake.faults().always_for("a", None);
    assert_eq!(client.put("a", &[b"x"]).unwrap().status, 200);
}

#[test]
fn a_poisonous_record_spoils_its_whole_call() {
    for mode in [Mode::Collect, Mode::Count] {
        let plan = FaultPlan { poison: Some(b"POISON".to_vec()), ..FaultPlan::default() };
        let lake = Lake::builder().mode(mode).faults(plan).start_blocking().unwrap();
        let mut client = Client::connect(lake.address());
        assert_eq!(client.put("s", &[b"good", b"bad POISON bad"]).unwrap().code(), "InvalidArgumentException");
        assert_eq!(client.put("s", &[b"half POI", b"SON of it"]).unwrap().status, 200);
        assert_eq!(lake.stats().records, 2);
    }
}

#[test]
fn a_rate_fails_the_records_above_it() {
    let rate = RateLimit { bytes_per_second: Some(0.001), ..RateLimit::default() };
    let lake = Lake::builder()
        .mode(Mode::Collect)
        .faults(FaultPlan { rate, ..FaultPlan::default() })
        .start_blocking()
        .unwrap();
    let answer = Client::connect(lake.address()).put("s", &[b"first", b"second", b"third"]).unwrap();
    assert_eq!(answer.json()["FailedPutCount"], 2);
    assert_eq!(lake.payload("s"), b"first");
}

#[test]
fn counting_agrees_with_collecting() {
    let records: Vec<Vec<u8>> = (0..40).map(|size| vec![b'\n'; size * size * 7]).collect();
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let totals = |mode, lines| {
        let lake = Lake::builder().mode(mode).count_lines(lines).start_blocking().unwrap();
        assert_eq!(Client::connect(lake.address()).put("s", &records).unwrap().status, 200);
        lake.stats()
    };
    let collected = totals(Mode::Collect, false);
    assert!(collected.lines > 1000);
    assert_eq!(totals(Mode::Count, true), collected);
    assert_eq!(totals(Mode::Count, false).billed_bytes, collected.billed_bytes);
    assert_eq!(totals(Mode::Count, false).bytes, collected.bytes);
    assert_eq!(totals(Mode::Count, false).wire_bytes, collected.wire_bytes);
}

#[test]
fn a_call_under_way_is_answered_when_the_lake_stops() {
    let lake = collecting();
    lake.faults().next([Fault::Delay(Duration::from_secs(600))]);
    let mut client = Client::connect(lake.address());
    client.send(&request("PutRecordBatch", &batch("s", &[b"x"]), &shaped())).unwrap();
    eventually("the record is stored", || lake.records("s").len() == 1);
    let stopped = std::thread::spawn(move || lake.stop_blocking());
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(stopped.join().unwrap().unwrap().records, 1);
}

#[test]
fn a_killed_lake_answers_nobody_and_its_port_can_be_taken_again() {
    let lake = collecting();
    lake.faults().next([Fault::Delay(Duration::from_secs(600))]);
    let address = lake.address();
    let mut client = Client::connect(address);
    client.send(&request("PutRecordBatch", &batch("s", &[b"x"]), &shaped())).unwrap();
    eventually("the record is stored", || lake.records("s").len() == 1);
    lake.kill().unwrap();
    assert!(client.answer().is_err());
    let again = Lake::builder().mode(Mode::Collect).port(address.port()).start_blocking().unwrap();
    assert_eq!(Client::connect(again.address()).put("s", &[b"y"]).unwrap().status, 200);
}

#[test]
fn the_totals_can_be_read_over_http() {
    let lake = collecting();
    let mut client = Client::connect(lake.address());
    client.put("s", &[b"x"]).unwrap();
    let answer = client.call(b"GET /local-lake/stats HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(answer.json()["records"], 1);
    assert_eq!(client.call(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap().status, 404);
}

/// A client that trusts nothing but what is in `file`.
fn tls_client(lake: &Lake, file: &Path) -> io::Result<Client<StreamOwned<ClientConnection, TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(lake.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(Client::over(StreamOwned::new(connection, stream)))
}

#[test]
fn the_written_certificate_is_all_a_tls_client_needs() {
    let folder = tempfile::tempdir().unwrap();
    let start = |name: &str| {
        let builder = Lake::builder().mode(Mode::Collect).tls(true);
        builder.certificate_file(folder.path().join(name)).start_blocking().unwrap()
    };
    let (lake, other) = (start("lake.pem"), start("other.pem"));
    assert!(lake.endpoint().starts_with("https://127.0.0.1:"));
    let mut client = tls_client(&lake, lake.certificate_path().unwrap()).unwrap();
    let large = vec![b'x'; RECORD_BYTES];
    assert_eq!(client.put("s", &[&large, b"small"]).unwrap().status, 200);
    assert_eq!(lake.records("s").len(), 2);
    let error = tls_client(&lake, other.certificate_path().unwrap()).unwrap().put("s", &[b"x"]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    eventually("the failed handshake is counted", || lake.stats().failed_handshakes == 1);
    lake.faults().next([Fault::Reset]);
    assert!(client.put("s", &[&large]).is_err());
    assert_eq!(lake.records("s").len(), 2);
}

/// Keys and contents below a folder, unfinished ones left out.
fn objects(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let mut plain = String::new();
                MultiGzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut plain).unwrap();
                found.push((path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned(), plain));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_lake_writes_objects_by_age_by_size_and_when_told_to() {
    let root = tempfile::tempdir().unwrap();
    let builder = Lake::builder().root(root.path()).prefix("p/<stream>/d=!{timestamp:yyyy}/");
    let lake = builder.clone().flush_interval(Duration::from_millis(30)).start_blocking().unwrap();
    let mut client = Client::connect(lake.address());
    client.put("aged", &[b"a\n", b"b\n"]).unwrap();
    eventually("the interval closes the object", || lake.stats().objects == 1);
    lake.stop_blocking().unwrap();

    let lake = builder.flush_interval(Duration::from_secs(3600)).flush_bytes(4).start_blocking().unwrap();
    let mut client = Client::connect(lake.address());
    client.put("sized", &[b"1\n", b"2\n", b"3\n"]).unwrap();
    assert_eq!(lake.stats().objects, 1, "the third record did not fit the first object");
    lake.flush_blocking().unwrap();
    assert_eq!(lake.stats().objects, 2);
    client.put("stopped", &[b"x\n"]).unwrap();
    let stats = lake.stop_blocking().unwrap();
    assert_eq!((stats.objects, stats.failed_writes), (3, 0));

    let found = objects(root.path());
    let of = |stream: &str| {
        let found = found.iter().filter(|(key, _)| key.starts_with(&format!("p/{stream}/d=20")));
        let mut plain: Vec<&str> = found.map(|(_, plain)| plain.as_str()).collect();
        plain.sort();
        plain
    };
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(of("aged"), ["a\nb\n"]);
    assert_eq!(of("sized"), ["1\n2\n", "3\n"]);
    assert_eq!(of("stopped"), ["x\n"]);
}

#[test]
fn a_lake_that_is_dropped_still_writes_what_it_accepted() {
    let root = tempfile::tempdir().unwrap();
    let lake = Lake::builder().root(root.path()).flush_interval(Duration::from_secs(3600)).start_blocking().unwrap();
    Client::connect(lake.address()).put("s", &[b"x\n"]).unwrap();
    drop(lake);
    assert_eq!(objects(root.path()).len(), 1);
}

#[test]
fn under_every_fault_what_was_answered_is_stored_exactly_as_answered() {
    let seed = fastrand::u64(..);
    let plan = FaultPlan {
        seed,
        throttle: 0.1,
        partial: 0.3,
        partial_share: 0.5,
        reset: 0.1,
        answer_lost: 0.1,
        internal_failure: 0.05,
        bad_gateway: 0.05,
        latency: Some((Duration::ZERO, Duration::from_millis(1))),
        ..FaultPlan::default()
    };
    let lake = Lake::builder().mode(Mode::Collect).faults(plan).start_blocking().unwrap();
    let mut client = Client::connect(lake.address());
    let (mut certain, mut possible) = (Vec::new(), 0);
    for call in 0..300 {
        let records: Vec<Vec<u8>> = (0..5).map(|index| format!("{call}-{index}\n").into_bytes()).collect();
        match client.put("s", &records.iter().map(Vec::as_slice).collect::<Vec<_>>()) {
            Ok(answer) if answer.status == 200 => {
                let answer = answer.json();
                let entries = answer["RequestResponses"].as_array().unwrap();
                let kept = records.into_iter().zip(entries).filter(|(_, entry)| entry.get("RecordId").is_some());
                certain.extend(kept.map(|(record, _)| record));
            }
            Ok(_) => {}
            Err(_) => {
                possible += records.len();
                client = Client::connect(lake.address());
            }
        }
    }
    let mut stored = lake.records("s").into_iter();
    for record in &certain {
        assert!(stored.any(|stored| stored == *record), "seed {seed}: {record:?} is missing or out of order");
    }
    assert!(lake.records("s").len() <= certain.len() + possible, "seed {seed}");
    let stats = lake.stats();
    assert!(stats.answers_lost > 0 && stats.resets > 0 && stats.failed_records > 0, "seed {seed}: {stats:?}");
    assert_eq!(stats.calls, 300, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn a_test_with_a_paused_clock_can_use_it() {
    let lake = Lake::builder().mode(Mode::Collect).start().await.unwrap();
    let address = lake.address();
    let answer = tokio::task::spawn_blocking(move || Client::connect(address).put("s", &[b"x"]).unwrap().status).await;
    assert_eq!(answer.unwrap(), 200);
    lake.flush().await.unwrap();
    assert_eq!(lake.stop().await.unwrap().records, 1);
}

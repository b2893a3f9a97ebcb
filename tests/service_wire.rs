//! The delivery table over real sockets: the SDK's credentials, signature, TLS and connections against a local lake.
//! Promises one test for each thing that a service, or the network before it, can answer.
//! Leaves what the flow does with an answer to the flow's own tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use std::time::Duration;

use bytes::Bytes;
use datalake_agent::deliver::firehose::Firehose;
use datalake_agent::deliver::session::{Settings, Target, connect};
use datalake_agent::deliver::{Answer, Call, Meaning, Outcome, PATIENCE, Service};
use local_lake::{Fault, FaultPlan, Lake, Mode};

const KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");

async fn lake() -> Lake {
    Lake::builder().mode(Mode::Collect).credentials(KEY.0, KEY.1).start().await.unwrap()
}

fn settings(endpoint: &str, secret: &str) -> Settings {
    Settings {
        region: Some("eu-west-1".to_owned()),
        firehose_endpoint: Some(endpoint.to_owned()),
        access_key: Some((KEY.0.to_owned(), secret.to_owned())),
        ..Settings::default()
    }
}

async fn firehose(lake: &Lake) -> Firehose {
    let session = connect(&settings(&lake.endpoint(), KEY.1), Target::Firehose).await.unwrap();
    Firehose::new(session, Duration::from_millis(700))
}

fn call(records: &[&[u8]]) -> Call {
    let encoded = |record: &&[u8]| format!("{{\"Data\":\"{}\"}}", base64_simd::STANDARD.encode_to_string(record));
    let data: Vec<String> = records.iter().map(encoded).collect();
    let body = format!("{{\"DeliveryStreamName\":\"logs\",\"Records\":[{}]}}", data.join(","));
    Call { body: Bytes::from(body), records: records.len() }
}

/// What one call is answered while this goes wrong, and how many records were stored.
async fn under(fault: Fault) -> (Answer, usize) {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    lake.faults().next([fault]);
    let answer = firehose.put(call(&[b"one\n", b"two\n", b"three\n"])).await;
    (answer, lake.records("logs").len())
}

async fn failure_under(fault: Fault) -> (Meaning, String, usize) {
    match under(fault).await {
        (Answer::Failed(fault), stored) => (fault.meaning, fault.code, stored),
        (answer, _) => panic!("not failed: {answer:?}"),
    }
}

#[tokio::test]
async fn accepted_records_arrive_with_a_verified_signature_and_byte_for_byte() {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(firehose.put(call(&[&all, b"", b"\n"])).await, Answer::Accepted);
    assert_eq!(lake.records("logs"), [&all[..], b"", b"\n"]);
}

#[tokio::test]
async fn five_hundred_records_and_full_calls_pass_over_one_connection() {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    assert_eq!(firehose.put(call(&[&b"line\n"[..]; 500])).await, Answer::Accepted);
    let large = vec![b'x'; 1_024_000];
    assert_eq!(firehose.put(call(&[&large[..]; 4])).await, Answer::Accepted);
    let stats = lake.stats();
    assert_eq!((stats.records, stats.connections), (504, 1));
}

#[tokio::test]
async fn a_throttled_call_says_slow_down_and_keeps_its_connection() {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    lake.faults().next([Fault::Throttle, Fault::Throttling, Fault::Throttle]);
    for code in ["ServiceUnavailableException", "ThrottlingException", "ServiceUnavailableException"] {
        match firehose.put(call(&[b"x"])).await {
            Answer::Failed(fault) => assert_eq!((fault.meaning, fault.code.as_str()), (Meaning::SlowDown, code)),
            answer => panic!("not failed: {answer:?}"),
        }
    }
    assert_eq!(firehose.put(call(&[b"x"])).await, Answer::Accepted);
    assert_eq!(lake.stats().connections, 1);
}

#[tokio::test]
async fn only_the_records_that_failed_are_to_be_sent_again() {
    let again = |throttled, code: &str| Outcome::Again { throttled, code: code.to_owned() };
    let (answer, stored) = under(Fault::Partial { indices: vec![1] }).await;
    let throttled = again(true, "ServiceUnavailableException");
    assert_eq!((answer, stored), (Answer::PerRecord(vec![Outcome::Delivered, throttled, Outcome::Delivered]), 2));
    let (answer, stored) = under(Fault::PartialInternal { indices: vec![0, 1, 2] }).await;
    let failed = || again(false, "InternalFailure");
    assert_eq!((answer, stored), (Answer::PerRecord(vec![failed(), failed(), failed()]), 0));
}

#[tokio::test]
async fn what_leaves_open_whether_the_records_arrived_is_unknown() {
    for (fault, code, stored) in [
        (Fault::AnswerLost, "connection", 3),
        (Fault::Reset, "connection", 0),
        (Fault::Hang, "timeout", 0),
        (Fault::InternalFailure, "InternalFailure", 0),
        (Fault::BadGateway, "http 502", 0),
        (Fault::Unavailable, "http 503", 0),
    ] {
        let label = format!("{fault:?}");
        assert_eq!(failure_under(fault).await, (Meaning::Unknown, code.to_owned(), stored), "{label}");
    }
}

/// A proxy's 413 counted as the fault of the records, and emptied a log into the quarantine.
#[tokio::test]
async fn what_something_in_the_way_answers_is_no_records_fault_and_names_the_endpoint() {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    lake.faults().next([Fault::TooLarge]);
    let Answer::Failed(fault) = firehose.put(call(&[b"one\n"])).await else { panic!("not failed") };
    assert_eq!((fault.meaning, fault.code.as_str()), (Meaning::Hold, "http 413"), "{fault}");
    let words = [&lake.endpoint(), "no answer of Firehose", "Request Entity Too Large", "`maxBufferSizeBytes`"];
    assert!(words.iter().all(|word| fault.message.contains(word)), "{fault}");
}

#[tokio::test]
async fn what_the_operator_must_fix_holds() {
    for (fault, code) in [
        (Fault::AccessDenied, "AccessDeniedException"),
        (Fault::ResourceNotFound, "ResourceNotFoundException"),
        (Fault::ExpiredToken, "ExpiredTokenException"),
        (Fault::InvalidKms, "InvalidKMSResourceException"),
    ] {
        let label = format!("{fault:?}");
        assert_eq!(failure_under(fault).await, (Meaning::Hold, code.to_owned(), 0), "{label}");
    }
}

#[tokio::test]
async fn content_that_is_refused_is_suspect() {
    assert_eq!(
        failure_under(Fault::InvalidArgument).await,
        (Meaning::Suspect, "InvalidArgumentException".to_owned(), 0)
    );
    let lake = Lake::builder()
        .mode(Mode::Collect)
        .faults(FaultPlan { poison: Some(b"bad".to_vec()), ..FaultPlan::default() })
        .start()
        .await
        .unwrap();
    let firehose = firehose(&lake).await;
    assert!(
        matches!(firehose.put(call(&[b"good", b"a bad one"])).await, Answer::Failed(fault) if fault.meaning == Meaning::Suspect)
    );
    assert_eq!(firehose.put(call(&[b"good"])).await, Answer::Accepted);
}

#[tokio::test]
async fn a_record_over_the_limit_is_poison() {
    let lake = lake().await;
    let over = vec![b'x'; 1_024_001];
    let answer = firehose(&lake).await.put(call(&[&over])).await;
    assert!(matches!(&answer, Answer::Failed(fault) if fault.meaning == Meaning::Poison), "{answer:?}");
}

#[tokio::test]
async fn a_wrong_secret_holds_and_says_so() {
    let lake = lake().await;
    let firehose =
        Firehose::new(connect(&settings(&lake.endpoint(), "wrong"), Target::Firehose).await.unwrap(), PATIENCE);
    match firehose.put(call(&[b"x"])).await {
        Answer::Failed(fault) => {
            assert_eq!(fault.meaning, Meaning::Hold, "{fault}");
            assert!(fault.message.contains("secret access key"), "{fault}");
        }
        answer => panic!("not failed: {answer:?}"),
    }
    assert_eq!(lake.stats().records, 0);
}

#[tokio::test]
async fn a_service_that_is_gone_was_not_sent_anything() {
    let lake = lake().await;
    let firehose = firehose(&lake).await;
    lake.stop().await.unwrap();
    let answer = firehose.put(call(&[b"x"])).await;
    assert!(matches!(&answer, Answer::Failed(fault) if fault.meaning == Meaning::NotSent), "{answer:?}");
}

#[tokio::test]
async fn a_service_that_comes_back_is_reached_again() {
    let first = lake().await;
    let port = first.address().port();
    let firehose = firehose(&first).await;
    assert_eq!(firehose.put(call(&[b"x"])).await, Answer::Accepted);
    first.stop().await.unwrap();
    assert!(matches!(firehose.put(call(&[b"x"])).await, Answer::Failed(_)));
    let second = Lake::builder().mode(Mode::Collect).port(port).credentials(KEY.0, KEY.1).start().await.unwrap();
    assert_eq!(firehose.put(call(&[b"y"])).await, Answer::Accepted);
    assert_eq!(second.records("logs"), [&b"y"[..]]);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_holds() {
    let lake = Lake::builder().mode(Mode::Collect).tls(true).start().await.unwrap();
    let answer = firehose(&lake).await.put(call(&[b"x"])).await;
    match answer {
        Answer::Failed(fault) => {
            assert_eq!((fault.meaning, fault.code.as_str()), (Meaning::Hold, "tls"), "{fault}");
            assert!(fault.message.contains("AWS_CA_BUNDLE"), "{fault}");
        }
        answer => panic!("not failed: {answer:?}"),
    }
}

/// The environment of a running process cannot be changed safely, so another one is started.
#[tokio::test]
async fn a_certificate_in_the_environment_is_trusted() {
    let lake = Lake::builder().mode(Mode::Collect).tls(true).credentials(KEY.0, KEY.1).start().await.unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_a_certificate_in_the_environment", "--ignored"])
        .env("AWS_CA_BUNDLE", lake.certificate_path().unwrap())
        .env("LAKE_ENDPOINT", lake.endpoint())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(lake.records("logs"), [&b"over tls"[..]]);
}

#[tokio::test]
#[ignore = "started by the test above, with an environment of its own"]
async fn with_a_certificate_in_the_environment() {
    let endpoint = std::env::var("LAKE_ENDPOINT").unwrap();
    let firehose = Firehose::new(connect(&settings(&endpoint, KEY.1), Target::Firehose).await.unwrap(), PATIENCE);
    assert_eq!(firehose.put(call(&[b"over tls"])).await, Answer::Accepted);
}

/// The keys come out of the environment, and nothing of this machine's own configuration gets in the way.
#[tokio::test]
async fn keys_and_region_in_the_environment_are_found() {
    let lake = Lake::builder().mode(Mode::Collect).credentials(KEY.0, KEY.1).start().await.unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_keys_in_the_environment", "--ignored"])
        .env("AWS_ACCESS_KEY_ID", KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", KEY.1)
        .env("AWS_REGION", "eu-north-1")
        .env("AWS_ENDPOINT_URL_FIREHOSE", lake.endpoint())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(lake.records("logs"), [&b"by environment"[..]]);
}

#[tokio::test]
#[ignore = "started by the test above, with an environment of its own"]
async fn with_keys_in_the_environment() {
    let session = connect(&Settings::default(), Target::Firehose).await.unwrap();
    assert_eq!(session.region(), "eu-north-1");
    assert_eq!(Firehose::new(session, PATIENCE).put(call(&[b"by environment"])).await, Answer::Accepted);
}

/// No key anywhere and no instance to ask: the flow holds with words that help.
#[tokio::test]
async fn without_keys_a_call_holds() {
    let lake = lake().await;
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_no_keys_in_the_environment", "--ignored"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("LAKE_ENDPOINT", lake.endpoint())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

#[tokio::test]
#[ignore = "started by the test above, with an environment of its own"]
async fn with_no_keys_in_the_environment() {
    let endpoint = std::env::var("LAKE_ENDPOINT").unwrap();
    let settings = Settings { access_key: None, ..settings(&endpoint, "") };
    match Firehose::new(connect(&settings, Target::Firehose).await.unwrap(), PATIENCE).put(call(&[b"x"])).await {
        Answer::Failed(fault) => {
            assert_eq!((fault.meaning, fault.code.as_str()), (Meaning::Hold, "credentials"), "{fault}");
            assert!(fault.message.contains("awsAccessKeyId"), "{fault}");
        }
        answer => panic!("not failed: {answer:?}"),
    }
}

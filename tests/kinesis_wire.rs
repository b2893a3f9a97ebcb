//! The delivery table for Kinesis Data Streams over real sockets, against a local lake that checks signatures.
//! Promises one test for each thing that only this service answers.
//! Leaves what both services share (TLS, keys, timeouts, lost connections) to `service_wire`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

use bytes::Bytes;
use datalake_agent::deliver::kinesis::Kinesis;
use datalake_agent::deliver::session::{Settings, Target, connect};
use datalake_agent::deliver::{Answer, Call, Meaning, Outcome, Service};
use local_lake::{Builder, Fault, Lake, Mode};
use std::time::Duration;

const KEY: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");

fn builder() -> Builder {
    Lake::builder().mode(Mode::Collect).credentials(KEY.0, KEY.1)
}

async fn kinesis(lake: &Lake) -> Kinesis {
    let settings = Settings {
        region: Some("eu-west-1".to_owned()),
        kinesis_endpoint: Some(lake.endpoint()),
        access_key: Some((KEY.0.to_owned(), KEY.1.to_owned())),
        ..Settings::default()
    };
    Kinesis::new(connect(&settings, Target::Kinesis).await.unwrap(), Duration::from_millis(700))
}

fn call(records: &[(&str, &[u8])]) -> Call {
    let encoded = |(key, data): &(&str, &[u8])| {
        format!("{{\"Data\":\"{}\",\"PartitionKey\":\"{key}\"}}", base64_simd::STANDARD.encode_to_string(data))
    };
    let data: Vec<String> = records.iter().map(encoded).collect();
    let body = format!("{{\"StreamName\":\"logs\",\"Records\":[{}]}}", data.join(","));
    Call { body: Bytes::from(body), records: records.len() }
}

async fn under(fault: Fault) -> (Answer, usize) {
    let lake = builder().start().await.unwrap();
    let kinesis = kinesis(&lake).await;
    lake.faults().next([fault]);
    let answer = kinesis.put(call(&[("a", b"one\n"), ("b", b"two\n"), ("a", b"three\n")])).await;
    (answer, lake.records("logs").len())
}

#[tokio::test]
async fn accepted_records_arrive_with_a_verified_signature_under_their_keys_and_in_their_shards() {
    let lake = builder().start().await.unwrap();
    let kinesis = kinesis(&lake).await;
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(kinesis.put(call(&[("a", &all), ("b", b""), ("a", b"\n")])).await, Answer::Accepted);
    assert_eq!(kinesis.put(call(&[("a", b"later\n")])).await, Answer::Accepted);
    assert_eq!(lake.records("logs"), [&all[..], b"", b"\n", b"later\n"]);
    let shard_of_a = lake.arrived("logs")[0].shard.unwrap();
    let of_a: Vec<_> = lake.shard("logs", shard_of_a).into_iter().map(|arrived| arrived.data).collect();
    assert_eq!(of_a, [&all[..], b"\n", b"later\n"]);
    assert_eq!(lake.stats().connections, 1);
}

#[tokio::test]
async fn every_limit_of_the_service_is_reached_and_not_passed() {
    let lake = builder().start().await.unwrap();
    let kinesis = kinesis(&lake).await;
    assert_eq!(kinesis.put(call(&[("k", &b"line\n"[..]); 500])).await, Answer::Accepted);
    let largest = vec![b'x'; (1 << 20) - 1];
    assert_eq!(kinesis.put(call(&[("k", &largest[..]); 5])).await, Answer::Accepted);
    // Only where the service names the record is that one to blame.
    let full = [("k", &largest[..]), ("k", &largest), ("k", &largest), ("k", &largest), ("k", &largest), ("k", b"")];
    for (over, meaning) in [
        (call(&[("k", &b"line\n"[..]); 501]), Meaning::Suspect),
        (call(&[("kk", &largest[..])]), Meaning::Poison),
        (call(&full), Meaning::Suspect),
    ] {
        let answer = kinesis.put(over).await;
        assert!(matches!(&answer, Answer::Failed(fault) if fault.meaning == meaning), "{answer:?}");
    }
    assert_eq!(lake.stats().records, 505);
}

#[tokio::test]
async fn only_the_records_that_failed_are_to_be_sent_again() {
    let again = |throttled, code: &str| Outcome::Again { throttled, code: code.to_owned() };
    let (answer, stored) = under(Fault::Partial { indices: vec![1] }).await;
    let throttled = again(true, "ProvisionedThroughputExceededException");
    assert_eq!((answer, stored), (Answer::PerRecord(vec![Outcome::Delivered, throttled, Outcome::Delivered]), 2));
    let (answer, stored) = under(Fault::PartialInternal { indices: vec![0, 1, 2] }).await;
    let failed = || again(false, "InternalFailure");
    assert_eq!((answer, stored), (Answer::PerRecord(vec![failed(), failed(), failed()]), 0));
}

#[tokio::test]
async fn a_shard_that_takes_no_more_throttles_its_records_and_no_others() {
    let lake = builder().shard_limits(true).start().await.unwrap();
    let kinesis = kinesis(&lake).await;
    let half = vec![b'x'; 1 << 19];
    // Two keys in different shards: one shard is full after two of these, the other is not.
    let answer = kinesis.put(call(&[("a", &half), ("a", &half), ("a", &half), ("a", &half), ("b", &half)])).await;
    let Answer::PerRecord(outcomes) = answer else { panic!("all were taken") };
    assert_eq!((&outcomes[0], &outcomes[4]), (&Outcome::Delivered, &Outcome::Delivered));
    let code = "ProvisionedThroughputExceededException".to_owned();
    assert_eq!(outcomes[3], Outcome::Again { throttled: true, code });
}

#[tokio::test]
async fn a_call_that_fails_as_a_whole_has_its_meaning() {
    use Meaning::{Hold, SlowDown, Suspect, Unknown};
    for (fault, meaning, code, stored) in [
        (Fault::Throttle, SlowDown, "ProvisionedThroughputExceededException", 0),
        (Fault::Throttling, SlowDown, "ThrottlingException", 0),
        (Fault::InternalFailure, Unknown, "InternalFailureException", 0),
        (Fault::AnswerLost, Unknown, "connection", 3),
        (Fault::Hang, Unknown, "timeout", 0),
        (Fault::AccessDenied, Hold, "AccessDeniedException", 0),
        (Fault::ResourceNotFound, Hold, "ResourceNotFoundException", 0),
        (Fault::ExpiredToken, Hold, "ExpiredTokenException", 0),
        (Fault::InvalidKms, Hold, "KMSDisabledException", 0),
        (Fault::InvalidArgument, Suspect, "InvalidArgumentException", 0),
    ] {
        let label = format!("{fault:?}");
        match under(fault).await {
            (Answer::Failed(fault), kept) => {
                assert_eq!((fault.meaning, fault.code.as_str(), kept), (meaning, code, stored), "{label}");
                assert!(!fault.message.contains("delivery stream"), "{label}: {}", fault.message);
            }
            (answer, _) => panic!("{label}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn aggregates_go_only_to_a_stream_that_does_not_distribute_by_itself() {
    for (itself, expected) in [(false, Answer::Accepted), (true, Answer::Accepted)] {
        let lake = builder().distributes_itself(itself).start().await.unwrap();
        let kinesis = kinesis(&lake).await;
        assert_eq!(kinesis.put(call(&[("a", b"x")])).await, expected, "lines go to any stream");
        match kinesis.aggregating("logs").put(call(&[("a", b"x")])).await {
            Answer::Failed(fault) => {
                assert!(itself && fault.meaning == Meaning::Hold && fault.code == "aggregation", "{fault}");
                assert!(fault.message.contains("`logs`") && fault.message.contains("\"lines\""), "{fault}");
            }
            answer => assert!(!itself && answer == Answer::Accepted, "{answer:?}"),
        }
        assert_eq!(lake.records("logs").len(), if itself { 1 } else { 2 });
    }
}

#[tokio::test]
async fn a_question_that_is_not_allowed_does_not_hold_and_one_that_fails_is_asked_again() {
    let lake = builder().start().await.unwrap();
    lake.faults().describing(Some(Fault::AccessDenied));
    assert_eq!(kinesis(&lake).await.aggregating("logs").put(call(&[("a", b"x")])).await, Answer::Accepted);
    let flow = kinesis(&lake).await.aggregating("logs");
    for (fault, meaning) in [
        (Fault::InternalFailure, Meaning::NotSent),
        (Fault::Throttling, Meaning::SlowDown),
        (Fault::ResourceNotFound, Meaning::Hold),
    ] {
        lake.faults().describing(Some(fault));
        let answer = flow.put(call(&[("a", b"x")])).await;
        assert!(matches!(&answer, Answer::Failed(fault) if fault.meaning == meaning), "{answer:?}");
    }
    assert_eq!(lake.records("logs").len(), 1);
    lake.faults().describing(None);
    assert_eq!(flow.put(call(&[("a", b"x")])).await, Answer::Accepted);
    // It is not asked a second time.
    lake.faults().describing(Some(Fault::ResourceNotFound));
    assert_eq!(flow.put(call(&[("a", b"x")])).await, Answer::Accepted);
}

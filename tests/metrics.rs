//! Metrics as CloudWatch gets them: the real agent, and an endpoint on loopback that checks signatures and keeps forms.
//! Promises that what arrives adds up to what was delivered, and that no trouble with CloudWatch touches delivery.
//! Leaves what follows from which books to the unit tests.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use host::{Host, until};
use local_lake::Fault;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

const STREAM: &str = "logs";
/// A period that is over soon; the shortest that there is.
const SOON: u64 = 1_000;
/// A period that is never over in a test: only a stop sends.
const NEVER: u64 = 3_600_000;

/// What the endpoint does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Take,
    Deny,
    /// Reads it and never answers.
    Ignore,
}

/// A request as it arrived.
struct Request {
    headers: BTreeMap<String, String>,
    body: String,
}

/// CloudWatch on loopback.
struct CloudWatch {
    address: String,
    act: Arc<Mutex<Act>>,
    taken: Arc<Mutex<Vec<Request>>>,
    denied: Arc<Mutex<usize>>,
}

impl CloudWatch {
    fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let new = Self { address, act: Arc::new(Mutex::new(act)), taken: Arc::default(), denied: Arc::default() };
        let (act, taken, denied) = (new.act.clone(), new.taken.clone(), new.denied.clone());
        std::thread::spawn(move || {
            // One connection at a time is all that the agent makes.
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                while let Some(request) = read(&mut stream) {
                    let (status, answer) = match *act.lock().unwrap() {
                        Act::Take => {
                            taken.lock().unwrap().push(request);
                            ("200 OK", "<PutMetricDataResponse><ResponseMetadata/></PutMetricDataResponse>")
                        }
                        Act::Deny => {
                            *denied.lock().unwrap() += 1;
                            (
                                "403 Forbidden",
                                "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User is not \
                                 authorized to perform: cloudwatch:PutMetricData</Message></Error></ErrorResponse>",
                            )
                        }
                        Act::Ignore => {
                            *denied.lock().unwrap() += 1;
                            continue;
                        }
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
                    if stream.write_all(head.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        new
    }

    /// A machine whose agent tells this endpoint, every so many milliseconds.
    fn host(&self, every: u64) -> Host {
        Host::new()
            .top("cloudwatch.emitMetrics", json!(true))
            .top("cloudwatch.endpoint", json!(format!("http://{}", self.address)))
            .top("cloudwatch.metricsBufferTimeMillis", json!(every))
            .flow("*.log", STREAM, json!({}))
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    /// The sum of a metric over everything taken.
    fn sum(&self, metric: &str) -> f64 {
        self.data().iter().filter(|datum| datum["MetricName"] == metric).map(|datum| number(datum, "Sum")).sum()
    }

    /// Every datum taken, in order, by the names of its fields.
    fn data(&self) -> Vec<BTreeMap<String, String>> {
        let mut all = Vec::new();
        for request in self.taken.lock().unwrap().iter() {
            let mut data: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
            for (name, value) in fields(&request.body) {
                let Some(rest) = name.strip_prefix("MetricData.member.") else { continue };
                let (index, field) = rest.split_once('.').unwrap();
                data.entry(index.parse().unwrap()).or_default().insert(field.to_owned(), value);
            }
            assert_eq!(data.keys().copied().collect::<Vec<_>>(), (1..=data.len()).collect::<Vec<_>>());
            all.extend(data.into_values());
        }
        all
    }
}

fn number(datum: &BTreeMap<String, String>, statistic: &str) -> f64 {
    datum[&format!("StatisticValues.{statistic}")].parse().unwrap()
}

/// Names and values of a form.
fn fields(form: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, more @ ..] = rest {
            if let (b'%', [high, low, ..]) = (first, more) {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = &more[2..];
            } else {
                bytes.push(*first);
                rest = more;
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let pairs = form.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// Reads one request; `None` at the end of the connection.
fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        let had = stream.read(&mut piece).ok().filter(|had| *had > 0)?;
        bytes.extend_from_slice(&piece[..had]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let headers: BTreeMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers["content-length"].parse().unwrap();
        if bytes.len() >= end + 4 + length {
            let body = String::from_utf8(bytes.split_off(end + 4)).unwrap();
            return Some(Request { headers, body });
        }
    }
}

/// The signature that the SDK's signer makes of this request with the keys of the test's machine.
fn signature(address: &str, request: &Request) -> String {
    let date = &request.headers["x-amz-date"];
    let (day, time) = date.split_at(8);
    let readable =
        format!("{}-{}-{}T{}:{}:{}Z", &day[..4], &day[4..6], &day[6..], &time[1..3], &time[3..5], &time[5..7]);
    let moment = DateTime::from_str(&readable, Format::DateTime).unwrap();
    let identity = Identity::from(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"));
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("monitoring")
        .time(SystemTime::try_from(moment).unwrap())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{address}/");
    let headers = [("content-type", request.headers["content-type"].as_str())].into_iter();
    let body = SignableBody::Bytes(request.body.as_bytes());
    let signable = SignableRequest::new("POST", &uri, headers, body).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    instructions.headers().find(|(name, _)| *name == "authorization").unwrap().1.to_owned()
}

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

#[test]
fn what_flows_counted_before_a_reload_ended_them_is_sent_once() {
    let cloudwatch = CloudWatch::start(Act::Take);
    let host = cloudwatch.host(SOON);
    let mut agent = host.run();
    let config = host.root().join("etc/agent.json");
    let mut text = String::new();
    for round in 0..4 {
        let more = lines(100);
        let mut file = std::fs::File::options().create(true).append(true).open(host.log("a.log")).unwrap();
        file.write_all(more.as_bytes()).unwrap();
        text.push_str(&more);
        host.arrived(STREAM, text.len());
        let mut written: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
        written["flows"][0]["maxBufferAgeMillis"] = json!(60 + round);
        if round == 2 {
            // Those that send are other ones from here on.
            written["cloudwatch.metricsBufferTimeMillis"] = json!(2 * SOON);
        }
        std::fs::write(&config, written.to_string()).unwrap();
        let reload = host.program().args(["reload", "--config", config.to_str().unwrap()]).output().unwrap();
        assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
    }
    assert_eq!(agent.stop(), 0);
    assert_eq!(cloudwatch.sum("RecordsSent"), host.lake.records(STREAM).len() as f64);
    assert_eq!(cloudwatch.sum("BytesSent"), text.len() as f64);
    assert_eq!(cloudwatch.sum("RecordsQuarantined"), 0.0);
}

#[test]
fn at_a_stop_everything_is_told_once_more_signed_and_under_the_original_names() {
    let cloudwatch = CloudWatch::start(Act::Take);
    let host = cloudwatch.host(NEVER).top("cloudwatch.tagInstance", json!(true));
    let text = lines(1000);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    host.arrived(STREAM, text.len());
    assert_eq!(agent.stop(), 0);

    assert_eq!(cloudwatch.taken(), 1, "the period was never over: only the stop tells");
    let requests = cloudwatch.taken.lock().unwrap();
    assert_eq!(requests[0].headers["authorization"], signature(&cloudwatch.address, &requests[0]));
    let fields: BTreeMap<String, String> = fields(&requests[0].body).into_iter().collect();
    drop(requests);
    assert_eq!((fields["Action"].as_str(), fields["Version"].as_str()), ("PutMetricData", "2010-08-01"));
    assert_eq!(fields["Namespace"], "AWSKinesisAgent");
    let data = cloudwatch.data();
    let told: BTreeMap<&str, (&str, f64)> = data
        .iter()
        .map(|datum| (datum["MetricName"].as_str(), (datum["Unit"].as_str(), number(datum, "Sum"))))
        .collect();
    let records = host.lake.records(STREAM).len() as f64;
    assert_eq!(host.lake.stats().calls, 1, "one call: its numbers are sum and extremes at once");
    for datum in &data {
        let [sum, minimum, maximum] = ["Sum", "Minimum", "Maximum"].map(|statistic| number(datum, statistic));
        assert_eq!((number(datum, "SampleCount"), minimum, maximum), (1.0, sum, sum), "{datum:?}");
    }
    let expected = BTreeMap::from([
        ("RecordSendAttempts", ("Count", records)),
        ("RecordsSent", ("Count", records)),
        ("RecordSendErrors", ("Count", 0.0)),
        ("BytesSent", ("Bytes", text.len() as f64)),
        ("ServiceErrors", ("Count", 0.0)),
        ("BytesBehind", ("Bytes", 0.0)),
        ("SecondsBehind", ("Seconds", 0.0)),
        ("RecordsQuarantined", ("Count", 0.0)),
        ("BytesDestroyedUnread", ("Bytes", 0.0)),
        ("ConsecutiveProcessingErrors", ("Count", 0.0)),
    ]);
    assert_eq!(told, expected);
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for datum in &data {
        assert_eq!(datum["Dimensions.member.1.Name"], "Destination");
        let alone = datum["MetricName"] == "ConsecutiveProcessingErrors";
        let dimension = if alone { STREAM.to_owned() } else { format!("DeliveryStream:{STREAM}") };
        assert_eq!(datum["Dimensions.member.1.Value"], dimension);
        assert_eq!(
            (&datum["Dimensions.member.2.Name"], &datum["Dimensions.member.2.Value"]),
            (&"Instance".into(), &name)
        );
    }
}

#[test]
fn what_is_told_period_by_period_adds_up_to_what_was_delivered() {
    let cloudwatch = CloudWatch::start(Act::Take);
    let host = cloudwatch.host(SOON);
    let text = lines(500);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    until("the first file is told", || cloudwatch.sum("BytesSent") == text.len() as f64);
    // Other lines: a file that holds the same as one that was read is a copy of it, and not sent.
    let more = text.replace('1', "x");
    std::fs::write(host.log("b.log"), &more).unwrap();
    until("the second is told, and the first not again", || cloudwatch.sum("BytesSent") == 2.0 * text.len() as f64);
    assert_eq!(agent.stop(), 0);
    assert_eq!(cloudwatch.sum("BytesSent"), 2.0 * text.len() as f64);
    assert_eq!(cloudwatch.sum("RecordsSent"), host.lake.records(STREAM).len() as f64);
    assert!(agent.logged("CloudWatch").is_empty(), "what goes well is not worth a line");
}

#[test]
fn the_extremes_told_are_those_of_single_calls_also_of_calls_that_were_not_taken_at_first() {
    let cloudwatch = CloudWatch::start(Act::Deny);
    // Each line is a record, so that calls carry as many records as there were lines to read.
    let keys = json!({"aggregatedRecordSizeBytes": 0});
    let host = cloudwatch.host(SOON).without_flows().flow("*.log", STREAM, keys);
    let (few, many) = (lines(3), lines(40));
    std::fs::write(host.log("a.log"), &few).unwrap();
    let mut agent = host.run();
    host.arrived(STREAM, few.len());
    let denied = || *cloudwatch.denied.lock().unwrap();
    let before = denied();
    until("the first call was refused by CloudWatch", || denied() >= before + 2);
    host.lake.faults().next([Fault::Throttle, Fault::Partial { indices: vec![0, 2, 4, 6] }]);
    std::fs::write(host.log("b.log"), &many).unwrap();
    host.arrived(STREAM, few.len() + many.len());
    *cloudwatch.act.lock().unwrap() = Act::Take;
    let told = |metric: &str| {
        let mut data = cloudwatch.data();
        data.retain(|datum| datum["MetricName"] == metric);
        let numbers = |statistic: &str| data.iter().map(|datum| number(datum, statistic)).collect::<Vec<_>>();
        let least = numbers("Minimum").into_iter().reduce(f64::min);
        let most = numbers("Maximum").into_iter().reduce(f64::max);
        let sum = |statistic: &str| numbers(statistic).into_iter().sum::<f64>();
        (sum("SampleCount"), sum("Sum"), least, most)
    };
    until("all is told", || told("RecordsSent").1 >= 43.0);
    assert_eq!(agent.stop(), 0);
    // Accepted, throttled, partly refused, the rest: 3, 40, 40 and 4 records.
    assert_eq!(told("RecordSendAttempts"), (4.0, 87.0, Some(3.0), Some(40.0)));
    assert_eq!(told("RecordsSent"), (4.0, 43.0, Some(0.0), Some(36.0)));
    assert_eq!(told("RecordSendErrors"), (3.0, 4.0, Some(0.0), Some(4.0)));
    assert_eq!(told("ServiceErrors"), (4.0, 1.0, Some(0.0), Some(1.0)));
    let (calls, bytes, least, most) = told("BytesSent");
    assert_eq!((calls, bytes, least), (4.0, (few.len() + many.len()) as f64, Some(0.0)));
    assert!(most > Some(few.len() as f64) && most < Some(many.len() as f64), "{most:?}");
}

#[test]
fn a_file_that_cannot_be_read_counts_as_errors_in_a_row_until_it_can() {
    use std::os::unix::fs::PermissionsExt;
    let cloudwatch = CloudWatch::start(Act::Take);
    let host = cloudwatch.host(SOON).unprivileged();
    let (closed, open) = (host.log("closed.log"), host.log("open.log"));
    let text = lines(10);
    std::fs::write(&closed, &text).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::write(&open, &text).unwrap();
    let mut agent = host.run();
    let newest = || {
        let data = cloudwatch.data();
        let told = data.iter().rfind(|datum| datum["MetricName"] == "ConsecutiveProcessingErrors");
        told.map(|datum| number(datum, "Maximum"))
    };
    host.arrived(STREAM, text.len());
    until("the other file does not hide it", || newest() >= Some(1.0));
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o644)).unwrap();
    host.arrived(STREAM, 2 * text.len());
    until("it is over", || newest() == Some(0.0));
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_denied_permission_is_said_once_and_what_was_not_taken_is_told_later() {
    let cloudwatch = CloudWatch::start(Act::Deny);
    let host = cloudwatch.host(SOON);
    let text = lines(500);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    until("metrics are denied twice", || *cloudwatch.denied.lock().unwrap() >= 2);
    host.arrived(STREAM, text.len());
    let said = agent.logged("metrics cannot be sent");
    assert_eq!(said.len(), 1, "{said:?}");
    let reason = said[0]["reason"].as_str().unwrap();
    assert!(reason.contains("AccessDenied") && reason.contains("allow `cloudwatch:PutMetricData`"), "{reason}");
    *cloudwatch.act.lock().unwrap() = Act::Take;
    agent.wait_for("CloudWatch takes metrics again");
    assert_eq!(agent.stop(), 0);
    assert_eq!(cloudwatch.sum("BytesSent"), text.len() as f64);
}

#[test]
fn nobody_there_or_nobody_answering_holds_up_neither_delivery_nor_a_stop() {
    let silent = CloudWatch::start(Act::Ignore);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = silent.host(SOON).top("cloudwatch.endpoint", json!(format!("http://{free}")));
    for (host, silence) in [(silent.host(SOON), true), (nobody, false)] {
        let text = lines(500);
        let mut agent = host.run();
        if silence {
            until("metrics wait for an answer", || *silent.denied.lock().unwrap() >= 1);
        } else {
            agent.wait_for("metrics cannot be sent");
        }
        std::fs::write(host.log("a.log"), &text).unwrap();
        host.arrived(STREAM, text.len());
        assert_eq!(agent.stop(), 0);
        assert_eq!(host.payload(STREAM), text.as_bytes());
    }
}

#[test]
fn without_credentials_it_says_what_to_do_and_sends_nothing() {
    let cloudwatch = CloudWatch::start(Act::Take);
    let mut host = cloudwatch.host(SOON);
    host.environment =
        vec![("AWS_ACCESS_KEY_ID".into(), String::new()), ("AWS_SECRET_ACCESS_KEY".into(), String::new())];
    let mut agent = host.run();
    let line = agent.wait_for("metrics cannot be sent");
    assert!(line["reason"].as_str().unwrap().contains("give the agent credentials"), "{line}");
    assert_eq!(agent.stop(), 0);
    assert_eq!(cloudwatch.taken(), 0);
}

#[test]
fn switched_off_nothing_is_sent() {
    let cloudwatch = CloudWatch::start(Act::Take);
    let host = cloudwatch.host(SOON).top("cloudwatch.emitMetrics", json!(false));
    let text = lines(500);
    std::fs::write(host.log("a.log"), &text).unwrap();
    let mut agent = host.run();
    host.arrived(STREAM, text.len());
    // A stop tells everything once more, whatever the period: after it there is nothing to wait for.
    assert_eq!(agent.stop(), 0);
    assert_eq!(cloudwatch.taken(), 0);
}

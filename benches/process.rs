//! What processing costs: bytes of input a second of CPU time, and the ratio to moving the same bytes.
//! Promises to time every option beside a plain copy and plain base64 of the same lines, in one run.
//! Leaves judging to the reader; the budgets are printed beside the figures.
//!
//! `cargo bench --bench process`

#![expect(clippy::print_stdout, reason = "this program is its output")]
#![expect(clippy::unwrap_used, reason = "where something is missing there is nothing to measure")]

use datalake_base::record::{FileKey, Position};
use datalake_process::{Place, Processor, Settings, Surroundings, Verdict};
use serde_json::{Value, json};
use std::fmt::Write;
use std::hint::black_box;
use std::path::Path;

/// Bytes of each input: larger than any cache of a core, as a log is.
const INPUT_BYTES: usize = 32 << 20;
/// Rounds of which the fastest counts.
const ROUNDS: usize = 3;

/// Seconds that this process has been on a core.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The least CPU time of some rounds. The kernel may bring the figure up to date a few milliseconds late, so each round
/// repeats the work, the faster it is the more often.
fn fastest(mut work: impl FnMut()) -> f64 {
    const LEAST: f64 = 0.15;
    let mut round = |_| {
        let (before, mut times) = (cpu_seconds(), 0.0);
        loop {
            work();
            times += 1.0;
            let spent = cpu_seconds() - before;
            if spent > LEAST {
                return spent / times;
            }
        }
    };
    (0..ROUNDS).map(&mut round).fold(f64::INFINITY, f64::min)
}

fn lines(mut line: impl FnMut(&mut String, u64)) -> String {
    let mut text = String::with_capacity(INPUT_BYTES + 4096);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    while text.len() < INPUT_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        line(&mut text, state);
    }
    text
}

const PATHS: [&str; 4] = ["/", "/index.html", "/api/v1/orders/4711/items?sort=name&page=2", "/static/img/logo.png"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5",
];

fn combined() -> String {
    lines(|text, random| {
        let (path, agent) = (PATHS[random as usize % 4], AGENTS[(random >> 8) as usize % 3]);
        let (a, b) = (random >> 16 & 255, random >> 24 & 255);
        let referer = if random >> 60 & 1 == 0 { "-" } else { "https://www.example.com/start" };
        let (second, size) = (random >> 32 & 31, random >> 40 & 0xFFFF);
        writeln!(
            text,
            "10.0.{a}.{b} - - [10/Oct/2023:13:55:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 {size} \"{referer}\" \"{agent}\""
        )
        .unwrap();
    })
}

fn csv() -> String {
    lines(|text, random| {
        let (a, b, c) = (random & 0xFFFF, random >> 16 & 0xFF, random >> 24 & 0xFFFFF);
        writeln!(text, "{a},2023-10-10T13:55:36Z,web-{b},order placed,{c}.50,EUR,,the quick brown fox,{b}").unwrap();
    })
}

fn json_lines() -> String {
    lines(|text, random| {
        let (a, b, c) = (random & 0xFFFF, random >> 16 & 0xFF, random >> 24 & 0xFFFFF);
        writeln!(
            text,
            "{{\"time\":\"2023-10-10T13:55:36.{b:03}Z\",\"level\":\"INFO\",\"logger\":\"com.example.orders.OrderService\",\"message\":\"order {a} placed by customer {c} with 3 items, total 42.50 EUR\",\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"status\":200,\"duration\":{b}.25,\"tags\":[\"shop\",\"eu\"]}}"
        )
        .unwrap();
    })
}

/// A ping of a device, about 300 bytes: in protobuf's own JSON, with camel case and quoted 64-bit integers.
fn pings() -> String {
    lines(|text, random| {
        let (a, b, c) = (random & 0xFFFF, random >> 16 & 0xFF, random >> 24 & 0xFFFFF);
        writeln!(
            text,
            "{{\"deviceId\":\"sensor-{a}\",\"sentAt\":\"2026-03-09T07:05:04.{b:03}Z\",\"batteryLevel\":{b}.25,\"charging\":true,\"sequence\":\"{random}\",\"position\":{{\"latitude\":52.51{c},\"longitude\":13.37{a}}},\"firmware\":\"v2.14.{b}-stable\",\"state\":\"ON\",\"labels\":{{\"field\":\"north-{b}\",\"crop\":\"winter wheat\"}},\"levels\":[{a},{b},{c}],\"message\":\"all good\"}}"
        )
        .unwrap();
    })
}

/// The plan of their table.
fn plan() -> Vec<u8> {
    let scalar = |name: &str, json: &str, number: u32, kind: &str| json!({"name": name, "jsonName": json, "number": number, "kind": {"scalar": kind}});
    let mut fields = vec![
        scalar("device_id", "deviceId", 1, "string"),
        json!({"name": "sent_at", "jsonName": "sentAt", "number": 2, "kind": "timestamp", "presence": true}),
        scalar("battery_level", "batteryLevel", 3, "double"),
        scalar("charging", "charging", 4, "bool"),
        scalar("sequence", "sequence", 5, "uint64"),
        json!({"name": "position", "jsonName": "position", "number": 6, "kind": {"message": 0}, "presence": true}),
        scalar("firmware", "firmware", 7, "string"),
        json!({"name": "state", "jsonName": "state", "number": 8, "kind": {"enum": 0}}),
        json!({"name": "labels", "jsonName": "labels", "number": 9, "kind": {"scalar": "string"}, "shape": {"map": "string"}}),
        json!({"name": "levels", "jsonName": "levels", "number": 10, "kind": {"scalar": "int32"}, "shape": "list"}),
    ];
    fields.push(scalar("message", "message", 11, "string"));
    let position = [scalar("latitude", "latitude", 1, "double"), scalar("longitude", "longitude", 2, "double")];
    let plan = json!({
        "format": "datalake-plan-1",
        "tables": {"ping": {"message": 1}},
        "messages": [{"name": "Position", "fields": position}, {"name": "Ping", "fields": fields}],
        "enums": [{"name": "State", "values": [["UNKNOWN", 0], ["ON", 1]]}],
    });
    plan.to_string().into_bytes()
}

/// MB (10^6 bytes) of input a second of CPU time, and bytes that came out.
fn rate(options: &Value, input: &str) -> (f64, usize) {
    let settings = Settings::parse_reading(options, Default::default(), &|_| Ok(plan())).unwrap();
    let surroundings = Surroundings {
        host: "ip-10-0-0-5.eu-central-1.compute.internal".into(),
        variables: Default::default(),
        instance: None,
        max_record_bytes: 1 << 20,
    };
    let mut processor = Processor::new(&settings, &surroundings).unwrap();
    let mut place = Place {
        path: Path::new("/var/log/pods/shop_cart-7/app.log"),
        file: FileKey { device: 0x801, inode: 42, born: 1_700_000_000_000_000_000 },
        generation: Some(7),
        position: Position::START,
        input: 0,
        now_ms: 1_539_002_096_789,
    };
    let mut out = Vec::new();
    let mut written = 0;
    let seconds = fastest(|| {
        (written, place.position) = (0, Position::START);
        let mut rest = input.as_bytes();
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let (line, left) = rest.split_at(newline + 1);
            rest = left;
            place.input = line.len() as u64;
            assert_eq!(processor.process(line, &place, &mut out), Verdict::Kept);
            place.position = place.position + line.len();
            // As a batch does: what is full goes out.
            if out.len() > 1 << 20 {
                written += out.len();
                black_box(&out);
                out.clear();
            }
        }
        written += out.len();
        out.clear();
    });
    (input.len() as f64 / seconds / 1e6, written)
}

fn main() {
    let (access, table, json, pings) = (combined(), csv(), json_lines(), pings());
    let columns = ["id", "time", "host", "event", "amount", "currency", "note", "text", "shard"];
    let all = ["CARD_NUMBER", "EMAIL", "BEARER_TOKEN"];
    let cases: [(&str, &str, Value, f64); 19] = [
        ("SCHEMA", &pings, json!([{"optionName": "SCHEMA", "plan": "/", "table": "ping"}]), 150.0),
        (
            "LOGTOJSON COMBINEDAPACHELOG",
            &access,
            json!([{"optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG"}]),
            250.0,
        ),
        ("CSVTOJSON", &table, json!([{"optionName": "CSVTOJSON", "customFieldNames": columns}]), 300.0),
        ("ADDMETADATA on JSON", &json, json!([{"optionName": "ADDMETADATA", "metadata": {"app": "shop"}}]), 800.0),
        (
            "ADDMETADATA on text",
            &access,
            json!([{"optionName": "ADDMETADATA", "metadata": {"app": "shop"}, "timestamp": "true"}]),
            800.0,
        ),
        ("ADDPROVENANCE on JSON", &json, json!([{"optionName": "ADDPROVENANCE"}]), 800.0),
        ("ADDFIELDS on JSON", &json, json!([{"optionName": "ADDFIELDS", "fields": {"env": "prod"}}]), 800.0),
        ("REDACT ready-made, on JSON", &json, json!([{"optionName": "REDACT", "patterns": all}]), 200.0),
        ("REDACT ready-made, on text", &access, json!([{"optionName": "REDACT", "patterns": all}]), 200.0),
        ("REDACT fields, on JSON", &json, json!([{"optionName": "REDACT", "fields": ["trace", "password"]}]), 200.0),
        ("FILTER exclude, on text", &access, json!([{"optionName": "FILTER", "exclude": ["GET /health"]}]), 0.0),
        (
            "FILTER dropWhen, on JSON",
            &json,
            json!([{"optionName": "FILTER", "dropWhen": {"field": "level", "equals": "DEBUG"}}]),
            0.0,
        ),
        (
            "REDACT regex, digits on JSON",
            &json,
            json!([{"optionName": "REDACT", "regex": [r"\b\d{3}-\d{2}-\d{4}\b"]}]),
            0.0,
        ),
        ("REDACT regex, literal on text", &access, json!([{"optionName": "REDACT", "regex": ["password=[^&]+"]}]), 0.0),
        ("REDACT regex, many hits", &access, json!([{"optionName": "REDACT", "regex": [r"\d+"]}]), 0.0),
        (
            "LOGTOJSON matchPattern",
            &access,
            json!([{
                "optionName": "LOGTOJSON", "logFormat": "SYSLOG",
                "matchPattern": r#"(\S+) (\S+) (\S+) \[([^\]]+)\] "([^"]*)" (\d+) (\d+) .*"#,
                "customFieldNames": ["host", "ident", "user", "time", "request", "status", "bytes"],
            }]),
            0.0,
        ),
        (
            "CSVTOJSON, look-ahead",
            &table,
            json!([{
                "optionName": "CSVTOJSON", "customFieldNames": columns, "quotes": "none",
                "delimiter": r#",(?=(?:[^"]*"[^"]*")*[^"]*$)"#,
            }]),
            0.0,
        ),
        ("FILTER look-around", &access, json!([{"optionName": "FILTER", "exclude": [r"^(?!10\.)"]}]), 0.0),
        (
            "LOGTOJSON + ADDPROVENANCE",
            &access,
            json!([{"optionName": "LOGTOJSON", "logFormat": "COMBINEDAPACHELOG"}, {"optionName": "ADDPROVENANCE"}]),
            0.0,
        ),
    ];
    println!(
        "{:<30} {:>9} {:>8} {:>7} {:>11} {:>13}",
        "option", "MB/s", "budget", "growth", "x of a copy", "x of base64"
    );
    for (name, input, options, budget) in cases {
        let bytes = input.as_bytes();
        let mut copy = vec![0; bytes.len()];
        let copied = bytes.len() as f64 / 1e6 / fastest(|| copy.copy_from_slice(black_box(bytes)));
        let mut text = vec![0; base64_simd::STANDARD.encoded_length(bytes.len())];
        let encoded = bytes.len() as f64
            / 1e6
            / fastest(|| {
                black_box(base64_simd::STANDARD.encode(black_box(bytes), base64_simd::Out::from_slice(&mut text)));
            });
        let (rate, written) = rate(&options, input);
        let verdict = if rate < budget { "  BELOW" } else { "" };
        let growth = written as f64 / bytes.len() as f64;
        println!(
            "{name:<30} {rate:>9.0} {budget:>8.0} {growth:>7.2} {:>11.1} {:>13.1}{verdict}",
            copied / rate,
            encoded / rate
        );
    }
}

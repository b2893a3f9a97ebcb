//! The program as Lambda starts it: events from a Runtime API on loopback, records through local-lake, reactions against
//! MiniStack, and MiniStack itself running the zip.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "../../lake/tests/support/house.rs"]
mod house;
#[path = "../../lake/tests/support/ministack.rs"]
mod ministack;

use base64_simd::STANDARD;
use house::{House, ours, tree, unpacked, words};
use local_lake::{Function, Lake, Mode, created};
use ministack::MiniStack;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROTO: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; }";
const LAKE: &str = r#"{"name": "t", "protos": ["schema"], "athena": {"bucket": "farm-lake", "region": "us-east-1"},
    "tables": {
        "ping": {"message": "t.Ping", "stream": "ping", "prefix": "raw/v0/ping/",
            "transform": [{"optionName": "FILTER", "dropWhen": {"field": "device_id", "equals": "test"}},
                {"optionName": "SCHEMA", "plan": "lake.plan.json", "table": "ping"}]},
        "battery": {"message": "t.Ping", "prefix": "processed/v0/battery/"}},
    "reactions": [
        {"name": "battery", "on": "ping", "query": "sql/battery.sql", "into": "battery"},
        {"name": "week", "on": "ping",
            "chart": {"query": "sql/week.sql", "time": "dt", "value": "level", "series": "device_id", "to": "charts/week.svg"}}]}"#;
const PATIENCE: Duration = Duration::from_secs(60);

/// A lake with its plan, as the zip has it.
fn lake() -> House {
    let house = House::new(LAKE, PROTO);
    house.file(
        "sql/battery.sql",
        "SELECT device_id, max(level) AS level FROM ping WHERE dt = '{dt}' GROUP BY device_id ORDER BY device_id\n",
    );
    house.file("sql/week.sql", "SELECT device_id, dt, level FROM ping WHERE dt <= '{dt}'\n");
    let (_, schema) = house.lake();
    std::fs::write(house.path().join("lake.plan.json"), schema.plan.to_file()).unwrap();
    house
}

fn function(house: &House, role: &str, more: &[(&str, &str)]) -> Function {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.env("DATALAKE_ROLE", role).env("DATALAKE_TABLE", "ping").env("LAMBDA_TASK_ROOT", house.path());
    command.envs(more.iter().copied());
    Function::start(command, PATIENCE).unwrap()
}

fn event(records: &[&str]) -> Vec<u8> {
    let record = |(number, text): (usize, &&str)| json!({"recordId": number.to_string(), "approximateArrivalTimestamp": 1_773_039_600_000_u64, "data": STANDARD.encode_to_string(text)});
    let records: Vec<Value> = records.iter().enumerate().map(record).collect();
    json!({"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:r:1:deliverystream/ping", "region": "r", "records": records})
        .to_string()
        .into_bytes()
}

/// Result and data of each record.
fn results(answer: &[u8]) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_slice(answer).unwrap();
    let one = |one: &Value| {
        let data = one["data"].as_str().map(|data| String::from_utf8(STANDARD.decode_to_vec(data).unwrap()).unwrap());
        (one["result"].as_str().unwrap().to_owned(), data.unwrap_or_default())
    };
    answer["records"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn the_program_answers_event_after_event_and_says_why_it_cannot_start() {
    let house = lake();
    let function = function(&house, "transform", &[]);
    for _ in 0..3 {
        let answer =
            function.invoke(&event(&["{\"deviceId\":\"a\"}\n", "{\"device_id\":\"test\"}\n", "no\n"])).unwrap();
        let found = results(&answer);
        assert_eq!(found[0], ("Ok".to_owned(), "{\"device_id\":\"a\",\"level\":0}\n".to_owned()));
        assert_eq!((found[1].0.as_str(), found[2].0.as_str()), ("Dropped", "ProcessingFailed"));
    }
    assert!(function.invoke(b"no event").unwrap_err().contains("no transformation event"));
    assert!(function.invoke(&event(&[])).is_ok(), "a bad event ends nothing");
    let wrong = self::function(&house, "nothing", &[]);
    assert!(wrong.invoke(&event(&[])).unwrap_err().contains("DATALAKE_ROLE is `nothing`"));
    house.file("lake.json", &LAKE.replace("FILTER", "FILTRE"));
    let wrong = self::function(&house, "transform", &[]);
    assert!(wrong.invoke(&event(&[])).unwrap_err().contains("did you mean"));
}

/// What would be sent of lines, by the agent itself.
fn previewed(agent: &Path, house: &House, options: &Value, lines: &str) -> Vec<String> {
    let flow =
        json!({"name": "f", "filePattern": "/x/*.log", "deliveryStream": "ping", "dataProcessingOptions": options});
    house.file("agent.json", &json!({"flows": [flow], "stateDirectory": house.path().join("state")}).to_string());
    house.file("lines.log", lines);
    let mut command = Command::new(agent);
    command.args(["preview", "--config", "agent.json", "--flow", "f", "--records", "1000", "lines.log"]);
    let output = command.current_dir(house.path()).output().unwrap();
    // It fails where a record would be quarantined, which is no failure here.
    assert!(words(&output).contains(" quarantined"), "{}", words(&output));
    let shown = String::from_utf8(output.stdout).unwrap();
    shown.lines().filter_map(|line| line.trim_start().strip_prefix("> ")).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn the_lines_are_byte_for_byte_what_the_agent_would_send() {
    let agent = ours("datalake-agent");
    if !agent.is_file() {
        println!("SKIPPED: {} is not built; `cargo test --workspace` builds it", agent.display());
        return;
    }
    let house = lake();
    let plan = house.path().join("lake.plan.json").display().to_string();
    let lines = "{\"deviceId\":\"a\",\"level\":\"5\",\"color\":\"red\"}\n{\"device_id\":\"test\"}\n{\"level\":1e2,\"device_id\":\"\u{e9}\\u0001\"}\n\
                 {\"device_id\":\"b\",\"level\":12345678.9}\n{\"device_id\":\"c\"}\n";
    for options in [
        json!([{"optionName": "SCHEMA", "plan": plan, "table": "ping"}]),
        json!([{"optionName": "FILTER", "dropWhen": {"field": "device_id", "equals": "test"}}, {"optionName": "ADDFIELDS", "fields": {"x": {"y": [1, null]}}}]),
        json!([{"optionName": "RENAMEFIELDS", "fields": {"device_id": "d"}}, {"optionName": "REMOVEFIELDS", "fields": ["color"]}]),
        json!([{"optionName": "ADDMETADATA", "metadata": {"stage": "prod"}}]),
        json!([{"optionName": "REDACT", "regex": ["\\d+"], "replacement": "#"}]),
    ] {
        let expected = previewed(&agent, &house, &options, lines);
        let text = LAKE.replace(
            &LAKE[LAKE.find("\"transform\": ").unwrap()..LAKE.find("},\n        \"battery\"").unwrap()],
            &format!("\"transform\": {options}"),
        );
        house.file("lake.json", &text);
        let function = function(&house, "transform", &[]);
        let records: Vec<&str> = lines.split_inclusive('\n').collect();
        let found: Vec<String> = results(&function.invoke(&event(&records)).unwrap())
            .into_iter()
            .filter_map(|(result, data)| (result == "Ok").then_some(data))
            .collect();
        assert_eq!(found, expected, "{options}");
        assert!(found.len() >= 3, "{found:?}");
    }
}

fn datalake(house: &House, endpoint: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(ours("datalake"));
    command.args(arguments).current_dir(house.path()).env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1");
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    words(&command.output().unwrap())
}

fn rows(house: &House) -> Vec<String> {
    let objects = tree(&house.path().join("lake/raw/v0/ping")).into_values().map(|bytes| unpacked(&bytes));
    let mut rows: Vec<String> = objects.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    rows.sort();
    rows
}

#[test]
fn records_go_through_the_function_into_the_lake_and_failed_ones_come_back_by_a_replay() {
    if !ours("datalake").is_file() {
        println!("SKIPPED: {} is not built; `cargo test --workspace` builds it", ours("datalake").display());
        return;
    }
    let house = lake();
    // Records to begin with, as Firehose keeps what it could not deliver.
    let records = [
        "{\"deviceId\":\"a\",\"level\":1}\n{\"deviceId\":\"b\"}\n",
        "{\"device_id\":\"c\"}\n{\"device_id\":\"d\",\"level\":\"low\"}\n",
    ];
    let line = |record: &&str| {
        json!({"errorCode": "x", "errorMessage": "y", "rawData": STANDARD.encode_to_string(record)}).to_string() + "\n"
    };
    house.file(
        "lake/errors/ping/processing-failed/dt=2026-03-09-07/first",
        &records.iter().map(line).collect::<String>(),
    );
    let start = |function: Function| {
        let lake = Lake::builder().mode(Mode::Lake).root(house.path().join("lake")).flush_interval(Duration::ZERO);
        lake.transform(Arc::new(function)).start_blocking().unwrap()
    };
    let lake = start(function(&house, "transform", &[]));
    let printed = datalake(&house, &lake.endpoint(), &["errors", "list"]);
    assert!(printed.contains("2 records of `ping`") && printed.contains("2 x x: y"), "{printed}");
    let printed = datalake(&house, &lake.endpoint(), &["errors", "replay"]);
    assert!(printed.contains("2 records of 1 objects sent again"), "{printed}");
    lake.stop_blocking().unwrap();
    let first = ["{\"device_id\":\"a\",\"level\":1}", "{\"device_id\":\"b\",\"level\":0}"];
    assert_eq!(rows(&house), first, "one failed line keeps its whole record back");
    let printed = datalake(&house, "http://127.0.0.1:9", &["errors", "list"]);
    assert!(printed.contains("1 records in 1 objects") && printed.contains("ProcessingFailed"), "{printed}");

    // The options are changed so that the record passes; it comes back whole, once.
    house.file("lake.json", &LAKE.replace("\"table\": \"ping\"}]", "\"table\": \"ping\", \"onFailure\": \"drop\"}]"));
    let lake = start(function(&house, "transform", &[]));
    let printed = datalake(&house, &lake.endpoint(), &["errors", "replay", "ping"]);
    assert!(printed.contains("1 records of 1 objects sent again"), "{printed}");
    lake.stop_blocking().unwrap();
    assert_eq!(rows(&house), [first[0], first[1], "{\"device_id\":\"c\",\"level\":0}"]);
    assert!(datalake(&house, "http://127.0.0.1:9", &["errors", "list"]).contains("0 records in 0 objects"));
}

/// The bucket and the tables on MiniStack, with one object of pings; its etag.
fn on_aws(stack: &MiniStack, house: &House) -> String {
    let (lake, schema) = house.lake();
    stack.call("s3", "PUT", "/farm-lake", "", b"");
    let lines = b"{\"device_id\":\"a\",\"level\":5}\n{\"device_id\":\"b\",\"level\":7}\n";
    let packed = std::fs::read(house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", lines)).unwrap();
    stack.call("s3", "PUT", "/farm-lake/raw/v0/ping/dt%3D2026-03-09-07/a.gz", "content-encoding: gzip\r\n", &packed);
    stack.glue("CreateDatabase", &json!({"DatabaseInput": {"Name": "t"}}));
    for table in lake.tables.values() {
        let input = datalake::schema::ddl::glue(&lake, &schema, table);
        stack.glue("CreateTable", &json!({"DatabaseName": "t", "TableInput": input}));
    }
    "0123456789abcdef0123456789abcdef".to_owned()
}

#[test]
fn a_new_object_in_the_bucket_makes_its_result_once_however_often_the_event_comes() {
    let Some(stack) = MiniStack::start() else { return };
    let house = lake();
    let etag = on_aws(&stack, &house);
    let endpoint = format!("http://127.0.0.1:{}", stack.port);
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let function = function(&house, "react", &environment);
    let key = "raw/v0/ping/dt=2026-03-09-07/a.gz";
    let event = created("farm-lake", key, &etag, 5).to_string();
    let answer = function.invoke(event.as_bytes()).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "{\"done\":2}");
    // The name that a laptop gives it.
    let (lake, _) = house.lake();
    let reaction = &lake.reactions[0];
    let version = reaction.version(&datalake::react::read_query(reaction).unwrap());
    let identity = datalake_react::Identity::of("battery", &version, key, &etag);
    let result = format!("/farm-lake/processed/v0/battery/dt%3D2026-03-09-07/battery-{}.gz", identity.short());
    let object = stack.body("s3", "GET", &result, b"");
    // Engines write a whole double with a point, or without.
    let found = unpacked(&object).replace(".0}", "}");
    assert_eq!(found, "{\"device_id\":\"a\",\"level\":5}\n{\"device_id\":\"b\",\"level\":7}\n");
    let chart = String::from_utf8(stack.body("s3", "GET", "/farm-lake/charts/week.svg", b"")).unwrap();
    assert!(chart.contains("<title>a"), "{chart}");
    let listed = |stack: &MiniStack| {
        stack.call("s3", "GET", "/farm-lake?list-type=2&prefix=processed/", "", b"").matches("<Key>").count()
    };
    assert_eq!(listed(&stack), 1);
    for _ in 0..3 {
        function.invoke(event.as_bytes()).unwrap();
    }
    assert_eq!(listed(&stack), 1, "the same event leads to the same object");
    function.invoke(br#"{"Records": [{"Sns": {"Message": "{\"Event\": \"s3:TestEvent\"}"}}]}"#).unwrap();
    assert!(function.invoke(b"{}").is_err());
    let gone = created("farm-lake", "raw/v0/ping/dt=yesterday/a.gz", &etag, 5).to_string();
    assert!(function.invoke(gone.as_bytes()).unwrap_err().contains("`yesterday` is no hour"));
}

/// The zip as `datalake package` makes it, of the program without what it holds for a debugger.
fn packaged(house: &House) -> Option<Vec<u8>> {
    let bootstrap = house.path().join("bootstrap");
    let stripped = Command::new("strip").args(["-o"]).arg(&bootstrap).arg(env!("CARGO_BIN_EXE_bootstrap")).status();
    if !stripped.is_ok_and(|status| status.success()) {
        println!(
            "SKIPPED: there is no `strip`, and the program is too large for a call with what it holds for a debugger"
        );
        return None;
    }
    if !ours("datalake").is_file() {
        println!("SKIPPED: {} is not built; `cargo test --workspace` builds it", ours("datalake").display());
        return None;
    }
    let package = ["package", "--bootstrap", "bootstrap", "--to", "lake.zip"];
    let printed = words(&house.run(&package, ""));
    let zip = std::fs::read(house.path().join("lake.zip")).unwrap_or_else(|error| panic!("{error}: {printed}"));
    house.run(&package, "");
    assert!(std::fs::read(house.path().join("lake.zip")).unwrap() == zip, "the same files make the same zip");
    Some(zip)
}

#[test]
fn the_zip_runs_in_a_lambda_service() {
    let Some(stack) = MiniStack::start() else { return };
    let house = lake();
    let Some(zip) = packaged(&house) else { return };
    let create = json!({
        "FunctionName": "transform", "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": "arn:aws:iam::000000000000:role/r",
        "Timeout": 30, "Code": {"ZipFile": STANDARD.encode_to_string(&zip)},
        "Environment": {"Variables": {"DATALAKE_ROLE": "transform", "DATALAKE_TABLE": "ping"}},
    });
    stack.send(
        "lambda",
        "POST",
        "/2015-03-31/functions",
        "content-type: application/json\r\n",
        create.to_string().as_bytes(),
    );
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = stack.body(
            "lambda",
            "POST",
            "/2015-03-31/functions/transform/invocations",
            &event(&["{\"deviceId\":\"a\"}\n"]),
        );
        if answer.starts_with(b"{\"records\"") || Instant::now() > deadline {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(500));
    };
    let shown = String::from_utf8_lossy(&answer).into_owned();
    if shown.to_ascii_lowercase().contains("docker") {
        println!("SKIPPED: this MiniStack runs no zip: {shown}");
        return;
    }
    assert_eq!(results(&answer)[0], ("Ok".to_owned(), "{\"device_id\":\"a\",\"level\":0}\n".to_owned()), "{shown}");
}

/// A call of CloudFormation; the answer.
fn cloudformation(stack: &MiniStack, pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let form = pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join("&");
    let headers = "content-type: application/x-www-form-urlencoded\r\n";
    let answer = stack.send("cloudformation", "POST", "/", headers, form.as_bytes());
    String::from_utf8_lossy(&answer).into_owned()
}

fn status_becomes(stack: &MiniStack, wanted: &str) {
    let pairs = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", "t")];
    let printed = ministack::until(wanted, || cloudformation(stack, &pairs));
    assert!(printed.contains(wanted), "{wanted}: {printed}");
}

#[test]
fn the_stack_is_created_transforms_and_reacts_and_is_updated_and_deleted() {
    let Some(stack) = MiniStack::start() else { return };
    let house = lake();
    let Some(zip) = packaged(&house) else { return };
    stack.call("s3", "PUT", "/code", "", b"");
    stack.call("s3", "PUT", "/code/lake.zip", "", &zip);
    let output = house.run(&["template", "--without", "named-queries"], "");
    let mut template: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", words(&output)));
    // In AWS the function finds the services by itself.
    let endpoint = format!("http://127.0.0.1:{}", stack.port);
    template["Resources"]["React"]["Properties"]["Environment"]["Variables"]["AWS_ENDPOINT_URL"] = endpoint.into();
    let text = template.to_string();
    let parameters =
        [("Parameters.member.1.ParameterKey", "CodeBucket"), ("Parameters.member.1.ParameterValue", "code")];
    let change = |action: &str, text: &str| {
        let own = [("Action", action), ("Version", "2010-05-15"), ("StackName", "t"), ("TemplateBody", text)];
        let printed = cloudformation(&stack, &[&own[..], &parameters[..]].concat());
        assert!(printed.starts_with("HTTP/1.1 200"), "{printed}");
    };
    change("CreateStack", &text);
    status_becomes(&stack, "CREATE_COMPLETE");

    // Firehose hands records to the function, and writes what it makes of them.
    let put = json!({"DeliveryStreamName": "ping", "Record": {"Data": STANDARD.encode_to_string("{\"deviceId\":\"a\",\"level\":\"5\"}\n")}});
    let headers = "x-amz-target: Firehose_20150804.PutRecord\r\ncontent-type: application/x-amz-json-1.1\r\n";
    stack.call("firehose", "POST", "/", headers, put.to_string().as_bytes());
    let bucket = "/t-000000000000-us-east-1";
    let listed = |prefix: &str| stack.call("s3", "GET", &format!("{bucket}?list-type=2&prefix={prefix}"), "", b"");
    let printed = ministack::until("<Key>", || listed("raw/"));
    let key =
        printed.split("<Key>").nth(1).unwrap_or_else(|| panic!("{printed}")).split("</Key>").next().unwrap().to_owned();
    let object = stack.body("s3", "GET", &format!("{bucket}/{}", key.replace('=', "%3D")), b"");
    assert_eq!(String::from_utf8_lossy(&object), "{\"device_id\":\"a\",\"level\":5}\n", "{key}");

    // S3 tells the topic, the topic the other function. (This Firehose does not compress, so its objects are no rows.)
    let path = house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", b"{\"device_id\":\"b\",\"level\":7}\n");
    let packed = std::fs::read(path).unwrap();
    stack.call(
        "s3",
        "PUT",
        &format!("{bucket}/raw/v0/ping/dt%3D2026-03-09-07/a.gz"),
        "content-encoding: gzip\r\n",
        &packed,
    );
    let printed = ministack::until("<Key>", || listed("processed/"));
    assert!(printed.contains("processed/v0/battery/dt=2026-03-09-07/battery-"), "{printed}");
    let printed = ministack::until("<Key>", || listed("charts/"));
    assert!(printed.contains("charts/week.svg"), "{printed}");

    // The same again is an update of nothing, another lifecycle one of the bucket; what was delivered stays.
    let other = text.replace("\"TransitionInDays\":30", "\"TransitionInDays\":60");
    assert_ne!(text, other);
    change("UpdateStack", &other);
    status_becomes(&stack, "UPDATE_COMPLETE");
    assert!(listed("processed/").contains("<Key>"));
    cloudformation(&stack, &[("Action", "DeleteStack"), ("Version", "2010-05-15"), ("StackName", "t")]);
    let gone =
        || cloudformation(&stack, &[("Action", "DescribeStackEvents"), ("Version", "2010-05-15"), ("StackName", "t")]);
    let printed = ministack::until("DELETE_COMPLETE", gone);
    assert!(printed.contains("DELETE_COMPLETE") || printed.contains("does not exist"), "{printed}");
    assert!(listed("processed/").contains("<Key>"), "the bucket outlives its stack");
}

//! The template: the same bytes each time, clean under cfn-lint, created on MiniStack, and at one with the schema.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "in a test a panic is an answer, and what is skipped is said"
)]

#[path = "support/house.rs"]
mod house;
#[path = "support/ministack.rs"]
mod ministack;

use house::{House, tool, words};
use ministack::MiniStack;
use serde_json::Value;
use std::process::Command;

const LAKE: &str = r#"{"name": "farm", "protos": ["schema"], "tables": {
    "ping": {"message": "t.Ping", "stream": "deviceping", "prefix": "raw/v0/deviceping/"},
    "report": {"message": "t.Ping", "prefix": "processed/v0/report/", "serde": "hive"}}}"#;
/// The same with both functions.
const WHOLE: &str = r#"{"name": "farm", "protos": ["schema"], "tables": {
    "ping": {"message": "t.Ping", "stream": "deviceping", "prefix": "raw/v0/deviceping/",
        "transform": [{"optionName": "SCHEMA", "plan": "lake.plan.json", "table": "ping"}]},
    "log": {"message": "t.Ping", "stream": "logs", "prefix": "raw/v0/logs/"},
    "report": {"message": "t.Ping", "prefix": "processed/v0/report/"}},
    "reactions": [
        {"name": "report", "on": "ping", "query": "sql/levels.sql", "into": "report"},
        {"name": "week", "on": "report", "chart": {"query": "sql/levels.sql", "time": "dt", "value": "level", "to": "charts/week.svg"}},
        {"name": "local", "on": "ping", "query": "sql/levels.sql", "run": ["true"], "to": "reports/local/"},
        {"name": "both", "on": "ping", "query": "sql/levels.sql", "run": ["true"], "function": "farm-low", "to": "reports/low/"},
        {"name": "mail", "on": "report", "query": "sql/levels.sql",
            "function": "arn:aws:lambda:us-east-1:000000000000:function:mail:live"}]}"#;
const PROTO: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double level = 2; }";
/// Every combination that says something else.
const OPTIONS: [&[&str]; 5] = [
    &[],
    &["--kms", "--arm64"],
    &["--kinesis", "--without", "alarms"],
    &["--parquet", "log", "--iot", "log=devices/+/ping", "--iot", "log=more/#"],
    &["--kms", "--kinesis", "--parquet", "log", "--without", "named-queries"],
];

fn house() -> House {
    with(LAKE)
}

fn with(lake: &str) -> House {
    let house = House::new(lake, PROTO);
    let (_, schema) = house.lake();
    std::fs::write(house.path().join("lake.plan.json"), schema.plan.to_file()).unwrap();
    std::fs::create_dir(house.path().join("sql")).unwrap();
    std::fs::write(house.path().join("sql/levels.sql"), "SELECT device_id, avg(level) FROM ping GROUP BY device_id;\n")
        .unwrap();
    house
}

#[test]
fn the_same_lake_gives_the_same_bytes_and_prefix_and_projection_are_one() {
    let house = house();
    let (first, second) = (house.run(&["template"], ""), house.run(&["template"], ""));
    assert!(first.status.success(), "{}", words(&first));
    assert_eq!(first.stdout, second.stdout);
    let template: Value = serde_json::from_slice(&first.stdout).unwrap();
    let resources = &template["Resources"];
    let destination = &resources["StreamPing"]["Properties"]["ExtendedS3DestinationConfiguration"];
    assert_eq!(destination["Prefix"], "raw/v0/deviceping/dt=!{timestamp:yyyy-MM-dd-HH}/");
    assert!(destination["ErrorOutputPrefix"].as_str().unwrap().starts_with("errors/ping/"));
    let table = &resources["TablePing"]["Properties"]["TableInput"];
    let projected = &table["Parameters"]["storage.location.template"]["Fn::Sub"];
    assert_eq!(*projected, "s3://${LakeBucket}/raw/v0/deviceping/dt=${!dt}/");
    assert_eq!(
        resources["QueryLevels"]["Properties"]["QueryString"],
        "SELECT device_id, avg(level) FROM ping GROUP BY device_id"
    );
    assert!(resources["StreamReport"].is_null(), "a table without a stream has no delivery");
    let output = house.run(&["template", "--without", "named-queries", "--without", "alarms"], "");
    let template: Value = serde_json::from_slice(&output.stdout).unwrap();
    let types: Vec<&str> =
        template["Resources"].as_object().unwrap().values().filter_map(|resource| resource["Type"].as_str()).collect();
    assert!(!types.iter().any(|kind| kind.contains("NamedQuery") || kind.contains("Alarm")), "{types:?}");
}

#[test]
fn cfn_lint_finds_nothing_whatever_is_chosen() {
    let Some(lint) = tool("cfn-lint") else { return };
    let house = with(WHOLE);
    let mut command = Command::new(lint);
    command.args(["--non-zero-exit-code", "informational"]);
    for (number, options) in OPTIONS.iter().enumerate() {
        let path = house.path().join(format!("{number}.template.json"));
        let output = house.run(&[&["template"], *options].concat(), "");
        assert!(output.status.success(), "{options:?}: {}", words(&output));
        assert_eq!(house.run(&[&["template"], *options].concat(), "").stdout, output.stdout, "the same bytes");
        std::fs::write(&path, output.stdout).unwrap();
        command.arg(path);
    }
    let path = house.path().join("plain.template.json");
    std::fs::write(&path, self::house().run(&["template"], "").stdout).unwrap();
    let output = command.arg(path).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
}

fn template_of(house: &House, options: &[&str]) -> Value {
    let output = house.run(&[&["template"], options].concat(), "");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", words(&output)))
}

#[test]
fn functions_have_what_they_need_and_programs_without_one_stay_on_the_laptop() {
    let house = with(WHOLE);
    let template = template_of(&house, &[]);
    let resources = &template["Resources"];
    let triggers =
        resources["LakeBucket"]["Properties"]["NotificationConfiguration"]["TopicConfigurations"].as_array().unwrap();
    let prefix = |entry: &Value| entry["Filter"]["S3Key"]["Rules"][0]["Value"].as_str().unwrap().to_owned();
    assert_eq!(triggers.iter().map(prefix).collect::<Vec<_>>(), ["raw/v0/deviceping/dt=", "processed/v0/report/dt="]);
    let processors =
        &resources["StreamPing"]["Properties"]["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"];
    assert_eq!(processors["Processors"][0]["Parameters"][0]["ParameterValue"]["Fn::GetAtt"][0], "TransformPing");
    assert!(
        resources["StreamLog"]["Properties"]["ExtendedS3DestinationConfiguration"]["ProcessingConfiguration"].is_null()
    );
    assert_eq!(resources["React"]["Properties"]["DeadLetterConfig"]["TargetArn"]["Fn::GetAtt"][0], "DeadLetters");
    // Writing is allowed where a reaction writes, and nowhere else.
    let statements = resources["ReactRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].to_string();
    let write = statements.split("s3:PutObject").nth(1).unwrap().split("Effect").next().unwrap();
    assert!(write.contains("processed/v0/report/") && write.contains("charts/") && !write.contains("raw/"), "{write}");
    // Functions that stand for programs: each may be called, and none else; what they write goes where nothing reads rows.
    let all = resources["ReactRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
    let call: Vec<&Value> = all.iter().filter(|one| one["Action"].to_string().contains("lambda:")).collect();
    let by_name = "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:farm-low";
    let expected = serde_json::json!([{"Effect": "Allow", "Action": ["lambda:InvokeFunction"],
        "Resource": ["arn:aws:lambda:us-east-1:000000000000:function:mail:live", {"Fn::Sub": by_name}]}]);
    assert_eq!(serde_json::json!(call), expected);
    assert!(write.contains("reports/low/") && !write.contains("reports/local/"), "{write}");
    let steps = resources["StepPolicy"]["Properties"]["PolicyDocument"]["Statement"].to_string();
    let put = steps.split("s3:PutObject").nth(1).unwrap();
    assert!(put.contains("athena-results/steps/*") && put.matches("LakeBucket").count() == 1, "{put}");
    assert_eq!(resources["React"]["Properties"]["Timeout"], 900);
    assert_eq!(template_of(&self::house(), &[])["Resources"]["StepPolicy"], Value::Null);
    let said = words(&house.run(&["template"], ""));
    assert!(said.contains("local: left to `datalake react`; add `function`") && !said.contains("both: left"), "{said}");
    for (options, reason) in [
        (["--parquet", "ping"].as_slice(), "reads or writes objects of `ping`"),
        (&["--parquet", "nothing"], "no table `nothing` with a stream"),
        (&["--iot", "report=a"], "no table `report` with a stream"),
        (&["--iot", "log"], "names no topic filter"),
        (&["--iot", "log=a'b"], "names no topic filter"),
        (&["--iot", "log=a", "--kinesis"], "leave --kinesis out"),
    ] {
        let output = house.run(&[&["template"], options].concat(), "");
        assert!(!output.status.success() && words(&output).contains(reason), "{options:?}: {}", words(&output));
    }
    house.file(
        "lake.json",
        &WHOLE.replace("\"SCHEMA\", \"plan\": \"lake.plan.json\", \"table\": \"ping\"", "\"ADDPROVENANCE\""),
    );
    let output = house.run(&["template"], "");
    assert!(
        !output.status.success() && words(&output).contains("adds what only the agent knows"),
        "{}",
        words(&output)
    );
}

/// Each of these deploys, and then does not work.
#[test]
fn what_no_linter_sees_is_refused() {
    let house = with(WHOLE);
    for options in OPTIONS {
        let template = template_of(&house, options);
        assert_eq!(datalake::template::faults::of(&template), Vec::<String>::new(), "{options:?}");
    }
    let good = template_of(&house, &[]);
    let destination = "/Resources/StreamPing/Properties/ExtendedS3DestinationConfiguration";
    let table = "/Resources/TablePing/Properties/TableInput";
    let topics = "/Resources/LakeBucket/Properties/NotificationConfiguration/TopicConfigurations";
    let rule = format!("{topics}/0/Filter/S3Key/Rules/0/Value");
    for (place, value, reason) in [
        (format!("{destination}/ErrorOutputPrefix"), Value::Null, "wants an ErrorOutputPrefix"),
        (format!("{destination}/ErrorOutputPrefix"), "raw/v0/deviceping/bad/".into(), "would be rows of it"),
        (
            format!("{destination}/Prefix"),
            "raw/v0/deviceping/hour=!{timestamp:yyyy-MM-dd-HH}/".into(),
            "would find no rows",
        ),
        (format!("{destination}/Prefix"), "raw/v0/deviceping/dt=!{timestamp:yyyy-MM-dd}/".into(), "would find no rows"),
        (
            format!("{destination}/Prefix"),
            "raw/v0/deviceping/dt=!{timestamp:yyyy-MM-dd-HH}".into(),
            "would find no rows",
        ),
        (format!("{table}/Parameters/projection.dt.format"), "yyyy-MM-dd".into(), "has not the form of"),
        (format!("{table}/Parameters/projection.dt.range"), "2026-01-01,NOW".into(), "has not the form of"),
        (format!("{table}/Parameters/projection.dt.interval.unit"), "HOUR".into(), "interval.unit is `HOUR`"),
        (format!("{table}/Parameters/projection.dt.type"), "time".into(), "projection.dt.type is `time`"),
        (
            format!("{table}/Parameters/storage.location.template"),
            "s3://${LakeBucket}/raw/v0/deviceping/dt=/".into(),
            "lacks ${dt}",
        ),
        (format!("{table}/StorageDescriptor/Columns/1/Type"), "text".into(), "`text` is no type"),
        (format!("{table}/StorageDescriptor/Columns/1/Name"), "dt".into(), "two columns `dt`"),
        (format!("{table}/StorageDescriptor/Columns/1/Name"), "Level".into(), "in lower case"),
        (
            "/Resources/WorkGroup/Properties/WorkGroupConfiguration/ResultConfiguration/OutputLocation".to_owned(),
            serde_json::json!({"Fn::Sub": "s3://${LakeBucket}/raw/v0/deviceping/results/"}),
            "would be rows of it",
        ),
        (rule.clone(), "processed/".into(), "overlap, which S3 refuses"),
        (rule.clone(), "errors/".into(), "objects below errors/ set something off"),
        (rule, "".into(), "set something off"),
        ("/Resources/LakeBucket/DependsOn".to_owned(), Value::Null, "add DependsOn"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(&place).unwrap_or_else(|| panic!("{place}")) = value;
        let path = house.path().join("bad.json");
        std::fs::write(&path, bad.to_string()).unwrap();
        let printed = words(&house.run(&["check", "--template", "bad.json"], ""));
        assert!(printed.contains(reason), "{place}: {printed}");
    }
}

#[test]
fn the_stack_is_created_and_takes_records_and_queries() {
    let Some(stack) = MiniStack::start() else { return };
    let house = house();
    let template = house.run(&["template", "--without", "named-queries"], "").stdout;
    let template = String::from_utf8(template).unwrap();
    let form = |pairs: &[(&str, &str)]| -> String {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        pairs.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect::<Vec<_>>().join("&")
    };
    let headers = "content-type: application/x-www-form-urlencoded\r\n";
    let create = form(&[
        ("Action", "CreateStack"),
        ("Version", "2010-05-15"),
        ("StackName", "farm"),
        ("TemplateBody", &template),
    ]);
    stack.call("cloudformation", "POST", "/", headers, create.as_bytes());
    let describe = form(&[("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", "farm")]);
    let printed =
        ministack::until("CREATE_COMPLETE", || stack.call("cloudformation", "POST", "/", headers, describe.as_bytes()));
    assert!(printed.contains("CREATE_COMPLETE"), "{printed}");
    let headers =
        "x-amz-target: Firehose_20150804.DescribeDeliveryStream\r\ncontent-type: application/x-amz-json-1.1\r\n";
    let printed = stack.call("firehose", "POST", "/", headers, br#"{"DeliveryStreamName": "deviceping"}"#);
    assert!(printed.contains("raw/v0/deviceping/dt=!{timestamp:yyyy-MM-dd-HH}/"), "{printed}");
    // The workgroup is the stack's, which knows where results go.
    let output = stack.query(&house, "SELECT count(*) AS n FROM ping WHERE dt = '2026-03-09-07'", "csv");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n0\n", "{}", words(&output));
}

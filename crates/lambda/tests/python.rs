//! The function in Python that docs/lake.md shows, as it stands there, in a Lambda service: called by the reactions of the
//! lake, with its rows in the bucket, and its result where a laptop would have put it.

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
use datalake::package::{Entry, zip};
use house::House;
use local_lake::{Function, created};
use ministack::MiniStack;
use serde_json::json;
use std::process::Command;
use std::time::Duration;

const PROTO: &str = "syntax = \"proto3\"; package t; message Ping { string device_id = 1; double battery_level = 2; }";
const LAKE: &str = r#"{"name": "t", "protos": ["schema"], "athena": {"bucket": "farm-lake", "region": "us-east-1"},
    "tables": {"ping": {"message": "t.Ping", "stream": "ping", "prefix": "raw/v0/ping/"}},
    "reactions": [{"name": "low", "on": "ping", "query": "q.sql", "function": "farm-low", "to": "reports/low/"}]}"#;
const KEY: &str = "raw/v0/ping/dt=2026-03-09-07/a.gz";
const PATIENCE: Duration = Duration::from_secs(60);

/// AWS's own module has more; the function of the documents uses this much of it.
const BOTO3: &str = r#"
import io, os, urllib.parse, urllib.request
class S3:
    def call(self, method, Bucket, Key, Body=None):
        url = f"{os.environ['AWS_ENDPOINT_URL']}/{Bucket}/{urllib.parse.quote(Key)}"
        return urllib.request.urlopen(urllib.request.Request(url, data=Body, method=method)).read()
    def get_object(self, Bucket, Key):
        return {"Body": io.BytesIO(self.call("GET", Bucket, Key))}
    def put_object(self, Bucket, Key, Body):
        self.call("PUT", Bucket, Key, Body)
def client(name):
    assert name == "s3"
    return S3()
"#;

/// The block of docs/lake.md that begins with this line.
fn documented(first: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lake.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, block) = text.split_once(&format!("```{first}\n")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

#[test]
fn the_function_of_the_documents_stands_for_a_program() {
    let Some(stack) = MiniStack::start() else { return };
    let house = House::new(LAKE, PROTO);
    house.file("q.sql", "SELECT device_id, battery_level FROM ping WHERE dt = '{dt}'\n");
    let (lake, schema) = house.lake();
    std::fs::write(house.path().join("lake.plan.json"), schema.plan.to_file()).unwrap();
    let lines = b"{\"device_id\":\"barn\",\"battery_level\":15.5}\n{\"device_id\":\"gate\",\"battery_level\":90}\n";
    let packed = std::fs::read(house.object("raw/v0/ping/", "2026-03-09-07", "a.gz", lines)).unwrap();
    stack.call("s3", "PUT", "/farm-lake", "", b"");
    stack.call("s3", "PUT", "/farm-lake/raw/v0/ping/dt%3D2026-03-09-07/a.gz", "content-encoding: gzip\r\n", &packed);
    stack.glue("CreateDatabase", &json!({"DatabaseInput": {"Name": "t"}}));
    let input = datalake::schema::ddl::glue(&lake, &schema, &lake.tables["ping"]);
    stack.glue("CreateTable", &json!({"DatabaseName": "t", "TableInput": input}));

    let endpoint = format!("http://127.0.0.1:{}", stack.port);
    let handler = documented("python low_function.py");
    let files = [("low_function.py", handler.as_str()), ("boto3.py", BOTO3)];
    let entries = files.map(|(name, text)| Entry { name, bytes: text.as_bytes(), runs: false });
    let create = json!({
        "FunctionName": "farm-low", "Runtime": "python3.12", "Handler": "low_function.handler",
        "Role": "arn:aws:iam::000000000000:role/r", "Timeout": 30,
        "Code": {"ZipFile": STANDARD.encode_to_string(zip(&entries).unwrap())},
        "Environment": {"Variables": {"AWS_ENDPOINT_URL": endpoint}},
    });
    let headers = "content-type: application/json\r\n";
    stack.send("lambda", "POST", "/2015-03-31/functions", headers, create.to_string().as_bytes());

    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command.env("DATALAKE_ROLE", "react").env("LAMBDA_TASK_ROOT", house.path());
    command.env("AWS_ENDPOINT_URL", &endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let react = Function::start(command, PATIENCE).unwrap();
    let event = created("farm-lake", KEY, "0123456789abcdef0123456789abcdef", 5).to_string();
    // A new function is not ready at once; the event comes again until it is.
    let answer = ministack::until("{\"done\":1}", || match react.invoke(event.as_bytes()) {
        Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
        Err(reason) => reason,
    });
    if answer.to_ascii_lowercase().contains("docker") {
        println!("SKIPPED: this MiniStack runs no functions: {answer}");
        return;
    }
    assert_eq!(answer, "{\"done\":1}");
    let listed = stack.call("s3", "GET", "/farm-lake?list-type=2&prefix=reports/", "", b"");
    let key = listed.split("<Key>").nth(1).unwrap_or_else(|| panic!("{listed}")).split("</Key>").next().unwrap();
    assert!(key.starts_with("reports/low/dt=2026-03-09-07/low-"), "{key}");
    let report = stack.body("s3", "GET", &format!("/farm-lake/{}", key.replace('=', "%3D")), b"");
    assert_eq!(String::from_utf8_lossy(&report), "1 of 2 devices are below 20 %\nbarn: 15.5 %\n");
}

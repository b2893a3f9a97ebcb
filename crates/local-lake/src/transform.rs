//! What a function makes of the records of an object, as Firehose asks it.
//! Promises one outcome for each record: in the object, dropped, or among the failed, whatever the function answers.
//! Leaves where the failed go to `objects`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::function::Function;

/// Before base64; Firehose's default is 1 MB.
const BATCH: usize = 1 << 20;
/// Firehose asks three times more.
const TRIES: usize = 4;

/// One record, and when it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: Vec<u8>,
    pub(crate) at: Timestamp,
}

/// What became of the records of an object.
#[derive(Debug, Default)]
pub(crate) struct Transformed {
    pub(crate) kept: Vec<u8>,
    /// Lines of JSON, as Firehose writes them below the error prefix.
    pub(crate) failed: Vec<u8>,
}

/// Hands records to the function, batch by batch.
pub(crate) fn transform(function: &Arc<Function>, stream: &str, records: &[Record]) -> Transformed {
    let mut out = Transformed::default();
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            bytes += record.data.len();
            bytes <= BATCH
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (batch, after) = rest.split_at(count);
        one_batch(function, stream, batch, &mut out);
        rest = after;
    }
    out
}

fn one_batch(function: &Arc<Function>, stream: &str, batch: &[Record], out: &mut Transformed) {
    let record = |(number, record): (usize, &Record)| {
        json!({
            "recordId": id(number),
            "approximateArrivalTimestamp": record.at.as_millisecond(),
            "data": base64_simd::STANDARD.encode_to_string(&record.data),
        })
    };
    let event = json!({
        "invocationId": "local",
        "deliveryStreamArn": format!("arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}"),
        "region": "us-east-1",
        "records": batch.iter().enumerate().map(record).collect::<Vec<_>>(),
    });
    let event = event.to_string().into_bytes();
    let mut answer = function.invoke(&event);
    for _ in 1..TRIES {
        if answer.is_ok() {
            break;
        }
        answer = function.invoke(&event);
    }
    let answer: Result<Value, String> =
        answer.and_then(|answer| serde_json::from_slice(&answer).map_err(|error| error.to_string()));
    let answers = match &answer {
        Ok(answer) => by_id(answer),
        Err(reason) => {
            batch.iter().for_each(|record| fail(record, "Lambda.FunctionError", reason, out));
            return;
        }
    };
    for (number, record) in batch.iter().enumerate() {
        let id = id(number);
        match answers.get(id.as_str()).map(Vec::as_slice) {
            None | Some([]) => fail(record, "Lambda.MissingRecordId", "the answer has no such record", out),
            Some([one]) => place(record, one, out),
            Some(_) => fail(record, "Lambda.DuplicatedRecordId", "the answer has the record twice", out),
        }
    }
}

fn id(number: usize) -> String {
    format!("4966{number:050}0000")
}

fn by_id(answer: &Value) -> HashMap<&str, Vec<&Value>> {
    let mut answers: HashMap<&str, Vec<&Value>> = HashMap::new();
    for one in answer["records"].as_array().into_iter().flatten() {
        answers.entry(one["recordId"].as_str().unwrap_or_default()).or_default().push(one);
    }
    answers
}

fn place(record: &Record, answer: &Value, out: &mut Transformed) {
    let data = answer["data"].as_str().unwrap_or_default();
    match answer["result"].as_str() {
        Some("Dropped") => {}
        Some("Ok") if !data.is_empty() => match base64_simd::STANDARD.decode_to_vec(data) {
            Ok(data) => out.kept.extend_from_slice(&data),
            Err(_) => fail(record, "Lambda.InvalidData", "the data is no base64", out),
        },
        Some("Ok") => fail(record, "Lambda.InvalidData", "an Ok record has no data", out),
        Some("ProcessingFailed") => {
            fail(record, "Lambda.FunctionError", "The Lambda function returned ProcessingFailed", out);
        }
        _ => fail(record, "Lambda.InvalidResult", "the result is neither Ok, Dropped nor ProcessingFailed", out),
    }
}

fn fail(record: &Record, code: &str, message: &str, out: &mut Transformed) {
    let millis = record.at.as_millisecond();
    let line = json!({
        "attemptsMade": TRIES,
        "arrivalTimestamp": millis,
        "errorCode": code,
        "errorMessage": message,
        "attemptEndingTimestamp": millis,
        "rawData": base64_simd::STANDARD.encode_to_string(&record.data),
        "lambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:local",
    });
    out.failed.extend_from_slice(line.to_string().as_bytes());
    out.failed.push(b'\n');
}

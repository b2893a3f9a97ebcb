//! A function of the operator that stands for a program on AWS: its rows put into the bucket, the function called with
//! an event that names them, and what it wrote fetched.
//! Promises that only what this very call was asked to write counts, so that nothing of an earlier, failed one is taken
//! for a result; that waiting ends; and the function's own words where it fails.
//! Leaves what becomes of the result, and when to call, to `react`.

use crate::store::{Bucket, encoded};
use datalake::config::{Function, STEPS};
use datalake::engine::aws::Call;
use datalake_base::shown::shown;
use datalake_react::{Created, Hour, Identity};
use serde_json::{Value, json};
use std::time::Duration;

/// The form of the event; another number is another form.
const VERSION: u64 = 1;
/// This much of what a function said is kept for the reason of its failure, in characters.
const LAST_WORDS: usize = 1000;

/// One call of a function.
#[derive(Debug)]
pub struct Step<'a> {
    /// The name of the rule.
    pub rule: &'a str,
    /// Which reaction this is.
    pub identity: &'a Identity,
    /// What set it off.
    pub created: &'a Created,
    /// The hour of that.
    pub hour: Hour,
    /// JSON lines: the answer of the rule's query.
    pub rows: Vec<u8>,
    /// Whether it is to write something.
    pub writes: bool,
    /// When it is called; tells one call from another.
    pub now_ms: u64,
}

/// The object that says of a reaction without a result that it is done. It goes away after a week, as all that lies there.
#[must_use]
pub fn done_key(rule: &str, identity: &Identity) -> String {
    format!("{STEPS}{rule}-{}.done", identity.short())
}

impl Step<'_> {
    /// What the function is called with.
    fn event(&self, bucket: &str, rows: &str, output: Option<&str>) -> Value {
        let count = self.rows.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()).count();
        let object = |key: &str| json!({"bucket": bucket, "key": key});
        json!({
            "version": VERSION,
            "rule": self.rule,
            "id": self.identity.to_string(),
            "hour": self.hour.to_string(),
            "trigger": {"bucket": self.created.bucket, "key": self.created.key, "etag": self.created.etag},
            "rows": {"bucket": bucket, "key": rows, "count": count},
            "output": output.map(object),
        })
    }

    /// Calls the function; what it wrote, if it was to write something.
    ///
    /// # Errors
    /// When it cannot be called, fails, takes longer than `patience`, or does not write what it was to write.
    pub async fn call(
        self,
        bucket: Bucket<'_>,
        function: &Function,
        patience: Duration,
    ) -> Result<Option<Vec<u8>>, String> {
        let stem = format!("{STEPS}{}-{}", self.rule, self.identity.short());
        let rows = format!("{stem}.jsonl");
        let output = self.writes.then(|| format!("{stem}-{}.out", self.now_ms));
        let event = self.event(bucket.name, &rows, output.as_deref());
        bucket.put(&rows, "application/x-ndjson", self.rows, false).await?;
        invoke(bucket, function, &event, patience).await?;
        let Some(output) = output else { return Ok(None) };
        let written = bucket.get(&output).await?;
        let missing = || {
            format!(
                "the function `{}` succeeded, but wrote nothing to {output}, the `output` of its event",
                function.text
            )
        };
        written.map(Some).ok_or_else(missing)
    }
}

async fn invoke(bucket: Bucket<'_>, function: &Function, event: &Value, patience: Duration) -> Result<(), String> {
    let aws = bucket.aws;
    if let Some(region) = function.region().filter(|region| *region != aws.region()) {
        return Err(format!("the function `{}` lies in {region}, the lake in {}", function.text, aws.region()));
    }
    let host = aws.endpoint("lambda").unwrap_or_else(|| format!("https://lambda.{}.{}", aws.region(), aws.suffix()));
    let call = Call {
        service: "lambda",
        method: "POST",
        uri: format!("{host}/2015-03-31/functions/{}/invocations", encoded(&function.text)),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-amz-invocation-type", "RequestResponse".to_owned()),
        ],
        body: event.to_string().into_bytes(),
    };
    let answer =
        aws.call_within(call, patience).await.map_err(|exit| format!("the function `{}`: {exit}", function.text))?;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = |keys: &[&str]| {
        let found = keys.iter().find_map(|key| body[*key].as_str()).unwrap_or("no reason given");
        shown(&found.chars().take(LAST_WORDS).collect::<String>()).to_string()
    };
    if answer.function_error.is_some() {
        return Err(format!("the function `{}` failed: {}", function.text, text(&["errorMessage", "errorType"])));
    }
    match answer.status {
        200..=299 => Ok(()),
        status => Err(format!(
            "Lambda refuses to call the function `{}` (HTTP {status}): {}",
            function.text,
            text(&["message", "Message"])
        )),
    }
}

//! Reactions on new objects of the bucket: the rules of lake.json, asked in Athena, with the identities that they have on
//! a laptop too.
//! Promises that an event which comes twice, late or in another order leads to the same object or to nothing, and that
//! a rule which fails does not keep the others of the event from being done.
//! Leaves what a rule is to lake.json.

use datalake::config::{Action, Lake, Picture, Reaction};
use datalake::engine::aws::{Answer, Aws, Call};
use datalake::engine::{Format, athena, rows};
use datalake::{chart, react};
use datalake_react::{Created, Hour, Identity, Version, hour, notice, partition, result_key};
use datalake_schema::{Canonical, Plan};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

/// Left of a function's time for what comes after the query.
const MARGIN: Duration = Duration::from_secs(10);

struct Rule {
    reaction: Reaction,
    query: String,
    version: Version,
}

/// The rules, ready to run.
pub struct React {
    lake: Lake,
    plan: Plan,
    rules: Vec<Rule>,
    aws: Aws,
}

/// What came of an event, one line each.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done.
    pub done: Vec<String>,
    /// What failed, and is tried again with the event.
    pub failed: Vec<String>,
}

impl React {
    /// Reads the queries.
    ///
    /// # Errors
    /// When one cannot be read or is refused, or there are no credentials.
    pub async fn start(lake: Lake, plan: Plan) -> Result<Self, String> {
        let mut rules = Vec::new();
        for reaction in &lake.reactions {
            let query = react::read_query(reaction).map_err(|exit| exit.to_string())?;
            rules.push(Rule { reaction: reaction.clone(), version: reaction.version(&query), query });
        }
        let aws = Aws::connect(lake.athena.region.as_deref()).await.map_err(|exit| exit.to_string())?;
        Ok(Self { lake, plan, rules, aws })
    }

    /// Does what the rules say to the objects of a notification; `left` is how long that may take.
    ///
    /// # Errors
    /// When it is no notification.
    pub async fn answer(&self, event: &Value, now_ms: u64, left: Duration) -> Result<Outcome, String> {
        let patience = left.saturating_sub(MARGIN).max(Duration::from_secs(1));
        let mut outcome = Outcome::default();
        for created in notice::created(event).map_err(|error| error.to_string())? {
            for rule in &self.rules {
                let prefix = &self.lake.tables[&rule.reaction.on].prefix;
                let Some(hour) = partition(prefix, &created.key) else { continue };
                let done = self.one(rule, &created, hour, now_ms, patience).await;
                let name = format!("{}: {}", rule.reaction.name, created.key);
                match done {
                    Ok(words) => outcome.done.push(format!("{name} -> {words}")),
                    Err(reason) => outcome.failed.push(format!("{name}: {reason}")),
                }
            }
        }
        Ok(outcome)
    }

    async fn one(
        &self,
        rule: &Rule,
        created: &Created,
        hour: &str,
        now_ms: u64,
        patience: Duration,
    ) -> Result<String, String> {
        let hour = Hour::parse(hour).map_err(|error| error.to_string())?;
        if rule.reaction.from.is_some_and(|from| hour < from) {
            return Ok("before its time".to_owned());
        }
        let identity = Identity::of(&rule.reaction.name, &rule.version, &created.key, &created.etag);
        match &rule.reaction.action {
            Action::Into(table) => {
                let table = &self.lake.tables[table];
                let key = result_key(&table.prefix, &hour, &table.name, &identity, "gz");
                if self.object("HEAD", &created.bucket, &key, Vec::new(), Vec::new()).await?.status == 200 {
                    return Ok(format!("{key} is there"));
                }
                let rows = self.ask(&rule.query, hour, &identity, patience).await?;
                let lines = self.canonical(&table.name, &rows)?;
                let mut packed = GzEncoder::new(Vec::new(), Compression::default());
                let packed =
                    packed.write_all(&lines).and_then(|()| packed.finish()).map_err(|error| error.to_string())?;
                self.put(&created.bucket, &key, "application/gzip", packed, true).await
            }
            // The newest hour, that this function knows: a late object does not bring an old week back.
            Action::Chart(picture) => {
                let newest = hour.max(Hour::of_millis(now_ms));
                self.draw(rule, picture, &created.bucket, newest, &identity, patience).await
            }
            Action::Run(_) => Ok("programs are run by `datalake react` alone".to_owned()),
        }
    }

    async fn draw(
        &self,
        rule: &Rule,
        picture: &Picture,
        bucket: &str,
        newest: Hour,
        identity: &Identity,
        patience: Duration,
    ) -> Result<String, String> {
        let rows = self.ask(&rule.query, newest, identity, patience).await?;
        let series = chart::points::read(&rows, &picture.time, &picture.value, picture.series.as_deref())?;
        let title = picture.title.as_deref().unwrap_or(&rule.reaction.name);
        let svg = chart::svg(title, picture.unit.as_deref().unwrap_or_default(), &series);
        let old = self.object("GET", bucket, &picture.to, Vec::new(), Vec::new()).await?;
        if old.status == 200 && old.body == svg.as_bytes() {
            return Ok(format!("{} is up to date", picture.to));
        }
        self.put(bucket, &picture.to, "image/svg+xml", svg.into_bytes(), false).await
    }

    /// JSON lines.
    async fn ask(&self, query: &str, at: Hour, identity: &Identity, patience: Duration) -> Result<Vec<u8>, String> {
        let query = hour::bind(query, at).map_err(|error| error.to_string())?;
        let token = identity.to_string();
        let (rows, _) = athena::ask(&self.aws, &self.lake, &query, Some(&token), patience)
            .await
            .map_err(|exit| exit.to_string())?;
        Ok(rows::write(&rows, Format::Jsonl))
    }

    fn canonical(&self, table: &str, rows: &[u8]) -> Result<Vec<u8>, String> {
        let mut canonical =
            Canonical::new(&self.plan, table, true).ok_or_else(|| format!("the plan has no table `{table}`"))?;
        let mut lines = Vec::new();
        for (number, row) in rows.split(|byte| *byte == b'\n').enumerate().filter(|(_, row)| !row.is_empty()) {
            canonical.write(row, &mut lines).map_err(|fault| {
                format!("row {} is none of the table `{table}` in `{}`: {}", number + 1, canonical.path(), fault.why)
            })?;
        }
        Ok(lines)
    }

    async fn put(&self, bucket: &str, key: &str, kind: &str, body: Vec<u8>, only_new: bool) -> Result<String, String> {
        let mut headers = vec![("content-type", kind.to_owned())];
        if only_new {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let size = body.len();
        match self.object("PUT", bucket, key, headers, body).await?.status {
            200 => Ok(format!("{key} ({size} bytes)")),
            // Another run of the same reaction was faster.
            412 => Ok(format!("{key} is there")),
            status => Err(format!("S3 refuses to keep {key} (HTTP {status})")),
        }
    }

    async fn object(
        &self,
        method: &str,
        bucket: &str,
        key: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let host = match self.aws.endpoint("s3") {
            Some(address) => format!("{address}/{bucket}"),
            None => format!("https://{bucket}.s3.{}.{}", self.aws.region(), self.aws.suffix()),
        };
        let uri = format!("{host}/{}", encoded(key));
        let answer =
            self.aws.call(Call { service: "s3", method, uri, headers, body }).await.map_err(|exit| exit.to_string())?;
        match answer.status {
            200 | 412 => Ok(answer),
            // Without the right to list, S3 says of what is not there that it is forbidden.
            403 | 404 if method != "PUT" => Ok(answer),
            409 if method == "PUT" => Err(format!("another run writes {key} at this moment")),
            status => Err(format!("S3 refuses {method} of {key} (HTTP {status})")),
        }
    }
}

/// A key as a path.
fn encoded(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a text takes what is written");
        }
    }
    out
}

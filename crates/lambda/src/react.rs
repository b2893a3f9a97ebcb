//! Reactions on new objects of the bucket: the rules of lake.json, asked in Athena, with the identities that they have on
//! a laptop too.
//! Promises that an event which comes twice, late or in another order leads to the same object or to nothing, and that
//! a rule which fails does not keep the others of the event from being done.
//! Leaves what a rule is to lake.json.

use crate::step::{self, Step};
use crate::store::Bucket;
use datalake::config::{Action, Function, Lake, Picture, Program, Reaction};
use datalake::engine::aws::Aws;
use datalake::engine::{Format, athena, rows};
use datalake::{chart, react};
use datalake_react::{Created, Hour, Identity, Version, hour, notice, partition, result_key};
use datalake_schema::{Canonical, Plan};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant};

/// Left of a function's time for what comes after the query.
const MARGIN: Duration = Duration::from_secs(10);

struct Rule {
    reaction: Reaction,
    query: String,
    version: Version,
}

/// One rule meets one object.
struct Meeting<'a> {
    rule: &'a Rule,
    created: &'a Created,
    now_ms: u64,
    /// Nothing is begun after this moment.
    until: Instant,
}

impl Meeting<'_> {
    /// What is left of the event's time. Done rules are passed over when it comes again, so it gets further each time.
    fn left(&self) -> Result<Duration, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err("no time is left for it; it is tried with the event again".to_owned())
        } else {
            Ok(left)
        }
    }
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
        for reaction in lake.reactions.iter().filter(|reaction| reaction.is_on_aws()) {
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
        let until = Instant::now() + left.saturating_sub(MARGIN);
        let mut outcome = Outcome::default();
        for created in notice::created(event).map_err(|error| error.to_string())? {
            for rule in &self.rules {
                let prefix = &self.lake.tables[&rule.reaction.on].prefix;
                let Some(hour) = partition(prefix, &created.key) else { continue };
                let meeting = Meeting { rule, created: &created, now_ms, until };
                let done = self.one(&meeting, hour).await;
                let name = format!("{}: {}", rule.reaction.name, created.key);
                match done {
                    Ok(words) => outcome.done.push(format!("{name} -> {words}")),
                    Err(reason) => outcome.failed.push(format!("{name}: {reason}")),
                }
            }
        }
        Ok(outcome)
    }

    async fn one(&self, meeting: &Meeting<'_>, hour: &str) -> Result<String, String> {
        let Meeting { rule, created, now_ms, .. } = meeting;
        let hour = Hour::parse(hour).map_err(|error| error.to_string())?;
        if rule.reaction.from.is_some_and(|from| hour < from) {
            return Ok("before its time".to_owned());
        }
        let identity = Identity::of(&rule.reaction.name, &rule.version, &created.key, &created.etag);
        let bucket = Bucket { aws: &self.aws, name: &created.bucket };
        match &rule.reaction.action {
            Action::Into(table) => {
                let key = self.key_in(table, &hour, &identity);
                if bucket.has(&key).await? {
                    return Ok(format!("{key} is there"));
                }
                let rows = self.ask(meeting, hour, &identity).await?;
                self.keep_rows(bucket, table, &key, &rows).await
            }
            // The newest hour, that this function knows: a late object does not bring an old week back.
            Action::Chart(picture) => {
                let newest = hour.max(Hour::of_millis(*now_ms));
                self.draw(meeting, picture, bucket, newest, &identity).await
            }
            Action::Run(program) => {
                let function = program.function.as_ref().ok_or("the rule has no `function`")?;
                self.step(meeting, program, function, hour, &identity).await
            }
        }
    }

    /// A function of the operator, in place of a program.
    async fn step(
        &self,
        meeting: &Meeting<'_>,
        program: &Program,
        function: &Function,
        hour: Hour,
        identity: &Identity,
    ) -> Result<String, String> {
        let Meeting { rule, created, now_ms, .. } = meeting;
        let name = &rule.reaction.name;
        let bucket = Bucket { aws: &self.aws, name: &created.bucket };
        let key = match (&program.into, &program.to) {
            (Some(table), _) => self.key_in(table, &hour, identity),
            (None, Some(to)) => result_key(to, &hour, name, identity, "txt"),
            (None, None) => step::done_key(name, identity),
        };
        if bucket.has(&key).await? {
            return Ok(format!("{key} is there"));
        }
        let rows = self.ask(meeting, hour, identity).await?;
        let writes = program.into.is_some() || program.to.is_some();
        let step = Step { rule: name, identity, created, hour, rows, writes, now_ms: *now_ms };
        let written = step.call(bucket, function, program.timeout.min(meeting.left()?)).await?;
        match (&program.into, written) {
            (Some(table), Some(rows)) => self.keep_rows(bucket, table, &key, &rows).await,
            (None, Some(report)) => bucket.put(&key, "text/plain; charset=utf-8", report, true).await,
            (_, None) => {
                bucket.put(&key, "text/plain", Vec::new(), false).await?;
                Ok(format!("function `{}` called", function.text))
            }
        }
    }

    fn key_in(&self, table: &str, hour: &Hour, identity: &Identity) -> String {
        let table = &self.lake.tables[table];
        result_key(&table.prefix, hour, &table.name, identity, "gz")
    }

    /// Rows as an object of a table.
    async fn keep_rows(&self, bucket: Bucket<'_>, table: &str, key: &str, rows: &[u8]) -> Result<String, String> {
        let lines = self.canonical(table, rows)?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packed.write_all(&lines).and_then(|()| packed.finish()).map_err(|error| error.to_string())?;
        bucket.put(key, "application/gzip", packed, true).await
    }

    async fn draw(
        &self,
        meeting: &Meeting<'_>,
        picture: &Picture,
        bucket: Bucket<'_>,
        newest: Hour,
        identity: &Identity,
    ) -> Result<String, String> {
        let rows = self.ask(meeting, newest, identity).await?;
        let series = chart::points::read(&rows, &picture.time, &picture.value, picture.series.as_deref())?;
        let title = picture.title.as_deref().unwrap_or(&meeting.rule.reaction.name);
        let svg = chart::svg(title, picture.unit.as_deref().unwrap_or_default(), &series);
        if bucket.get(&picture.to).await?.is_some_and(|old| old == svg.as_bytes()) {
            return Ok(format!("{} is up to date", picture.to));
        }
        bucket.put(&picture.to, "image/svg+xml", svg.into_bytes(), false).await
    }

    /// JSON lines.
    async fn ask(&self, meeting: &Meeting<'_>, at: Hour, identity: &Identity) -> Result<Vec<u8>, String> {
        let query = hour::bind(&meeting.rule.query, at).map_err(|error| error.to_string())?;
        let token = identity.to_string();
        let (rows, _) = athena::ask(&self.aws, &self.lake, &query, Some(&token), meeting.left()?)
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
}

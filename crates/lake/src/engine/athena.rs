//! Athena: a query started, waited for, its rows read, and what it cost.
//! Promises bounded waiting, that a query which nobody waits for any more is stopped, and the service's own words where
//! it refuses.
//! Leaves credentials, TLS and signing to `aws`.

use super::Format;
use super::aws::Aws;
use super::rows::{self, Rows};
use crate::Exit;
use crate::config::Lake;
use datalake_base::prices::{ATHENA_LEAST_BYTES, ATHENA_USD_PER_TB};
use serde_json::{Value, json};
use std::time::Duration;

/// A query is waited for so long; Athena's own limit is 30 minutes.
const PATIENCE: Duration = Duration::from_secs(31 * 60);
/// The first look whether it is done, and how far looks get apart.
const FIRST_LOOK: Duration = Duration::from_millis(300);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Rows beyond this, or bytes of their values, are for files, not for a terminal.
const MOST_ROWS: usize = 1_000_000;
const MOST_BYTES: usize = 256 << 20;

/// What a query gave.
#[derive(Debug)]
pub struct Answer {
    /// In the format asked for.
    pub rows: Vec<u8>,
    /// For the operator: time, bytes scanned, price.
    pub cost: String,
}

struct Client<'a> {
    aws: &'a Aws,
}

/// Runs a query that passed the lint.
///
/// # Errors
/// When there are no credentials, nobody answers, or Athena refuses.
pub fn query(lake: &Lake, query: &str, format: Format) -> Result<Answer, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let aws = Aws::connect(lake.athena.region.as_deref()).await?;
        let (rows, cost) = ask(&aws, lake, query, None, PATIENCE).await?;
        Ok(Answer { rows: rows::write(&rows, format), cost })
    })
}

/// The rows of a query, and what it cost. Of two questions with the same token Athena runs one.
///
/// # Errors
/// When nobody answers, Athena refuses, or the query takes longer than `patience`.
pub async fn ask(
    aws: &Aws,
    lake: &Lake,
    query: &str,
    token: Option<&str>,
    patience: Duration,
) -> Result<(Rows, String), Exit> {
    let client = Client { aws };
    let id = client.start(lake, query, token).await?;
    let ended = tokio::select! {
        ended = tokio::time::timeout(patience, client.wait(&id)) => match ended {
            Ok(ended) => ended,
            Err(_) => Err(Exit::Failed(format!("the query did not end within {} s", patience.as_secs()))),
        },
        _ = tokio::signal::ctrl_c() => Err(Exit::Failed("interrupted; the query was stopped".to_owned())),
    };
    let execution = match ended {
        Ok(execution) => execution,
        Err(exit) => {
            // It goes on and costs otherwise; when stopping fails too, the first reason is the one to tell.
            drop(client.call("StopQueryExecution", &json!({"QueryExecutionId": id})).await);
            return Err(exit);
        }
    };
    let rows = client.results(&id).await?;
    Ok((rows, cost(&execution)))
}

impl Client<'_> {
    /// The query's id.
    async fn start(&self, lake: &Lake, query: &str, token: Option<&str>) -> Result<String, Exit> {
        let mut request = json!({
            "QueryString": query,
            "QueryExecutionContext": {"Database": lake.athena.database.as_ref().unwrap_or(&lake.name)},
        });
        if let Some(token) = token {
            request["ClientRequestToken"] = token.into();
        }
        match (&lake.athena.workgroup, &lake.athena.bucket) {
            (Some(workgroup), _) => request["WorkGroup"] = workgroup.clone().into(),
            // Never below a table's location: results would become rows.
            (None, Some(bucket)) => {
                request["ResultConfiguration"] = json!({"OutputLocation": format!("s3://{bucket}/athena-results/")});
            }
            // That of `datalake template`, which knows where results go; the primary one does not.
            (None, None) => request["WorkGroup"] = lake.workgroup().into(),
        }
        let answer = self.call("StartQueryExecution", &request).await?;
        let id = answer["QueryExecutionId"].as_str().map(str::to_owned);
        id.ok_or_else(|| Exit::Failed("Athena gave no id for the query".to_owned()))
    }

    async fn wait(&self, id: &str) -> Result<Value, Exit> {
        let mut pause = FIRST_LOOK;
        loop {
            let answer = self.call("GetQueryExecution", &json!({"QueryExecutionId": id})).await?;
            let execution = answer["QueryExecution"].clone();
            let status = &execution["Status"];
            match status["State"].as_str() {
                Some("SUCCEEDED") => return Ok(execution),
                Some(state @ ("FAILED" | "CANCELLED")) => {
                    let reason = status["StateChangeReason"].as_str().unwrap_or("Athena gave no reason");
                    let reason = datalake_base::shown::shown(reason).to_string();
                    return Err(Exit::Failed(format!("the query {}: {reason}", state.to_lowercase())));
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 3 / 2).min(LAST_LOOK);
        }
    }

    async fn results(&self, id: &str) -> Result<Rows, Exit> {
        let mut rows = Rows::default();
        let (mut token, mut bytes) = (Value::Null, 0);
        loop {
            let mut request = json!({"QueryExecutionId": id, "MaxResults": 1000});
            if !token.is_null() {
                request["NextToken"] = token;
            }
            let answer = self.call("GetQueryResults", &request).await?;
            let set = &answer["ResultSet"];
            let first = rows.columns.is_empty();
            if first {
                let columns = set["ResultSetMetadata"]["ColumnInfo"].as_array().cloned().unwrap_or_default();
                let text = |column: &Value, key: &str| column[key].as_str().unwrap_or_default().to_owned();
                rows.columns = columns.iter().map(|column| (text(column, "Name"), text(column, "Type"))).collect();
            }
            let found = set["Rows"].as_array().map(Vec::as_slice).unwrap_or_default();
            // The first row of a SELECT repeats the names.
            for row in found.iter().skip(usize::from(first)) {
                let data = row["Data"].as_array().map(Vec::as_slice).unwrap_or_default();
                let row: Vec<_> = data.iter().map(|datum| datum["VarCharValue"].as_str().map(str::to_owned)).collect();
                bytes += row.iter().flatten().map(String::len).sum::<usize>();
                rows.rows.push(row);
            }
            if bytes > MOST_BYTES {
                return Err(Exit::Failed(
                    "the answer has more than 256 MiB; choose fewer columns, or add a LIMIT".to_owned(),
                ));
            }
            if rows.rows.len() > MOST_ROWS {
                return Err(Exit::Failed("the answer has more than 1,000,000 rows; add a LIMIT".to_owned()));
            }
            token = answer["NextToken"].clone();
            if token.is_null() {
                return Ok(rows);
            }
        }
    }

    async fn call(&self, operation: &str, request: &Value) -> Result<Value, Exit> {
        self.aws.json("athena", &format!("AmazonAthena.{operation}"), request).await
    }
}

/// What Athena says that it did, and what that costs.
fn cost(execution: &Value) -> String {
    let number = |key: &str| execution["Statistics"][key].as_u64().unwrap_or(0);
    let (scanned, time) = (number("DataScannedInBytes"), number("TotalExecutionTimeInMillis"));
    let reused = execution["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"].as_bool() == Some(true);
    let charged = if reused || scanned == 0 { scanned } else { scanned.max(ATHENA_LEAST_BYTES) };
    #[expect(clippy::cast_precision_loss, reason = "a price for people")]
    let dollars = charged as f64 / 1e12 * ATHENA_USD_PER_TB;
    format!("scanned {scanned} bytes in {time} ms: about ${dollars:.6} at ${ATHENA_USD_PER_TB} a TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_has_a_least_and_nothing_scanned_costs_nothing() {
        let cost = |bytes: u64| cost(&json!({"Statistics": {"DataScannedInBytes": bytes}}));
        assert!(cost(0).contains("$0.000000"));
        assert!(cost(1).contains("$0.000050"));
        assert!(cost(1_000_000_000_000).contains("$5.000000"));
    }
}

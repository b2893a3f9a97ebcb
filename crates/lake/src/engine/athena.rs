//! Athena: a query started, waited for, its rows read, and what it cost.
//! Promises bounded waiting, that a query which nobody waits for any more is stopped, and the service's own words where
//! it refuses.
//! Leaves credentials, TLS and signing to the SDK's crates.

use super::Format;
use super::rows::{self, Rows};
use crate::Exit;
use crate::config::Lake;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// A query is waited for so long; Athena's own limit is 30 minutes.
const PATIENCE: Duration = Duration::from_secs(31 * 60);
/// One call.
const CALL: Duration = Duration::from_secs(30);
/// The first look whether it is done, and how far looks get apart.
const FIRST_LOOK: Duration = Duration::from_millis(300);
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Rows beyond this are for files, not for a terminal.
const MOST_ROWS: usize = 1_000_000;
const LARGEST_ANSWER: usize = 64 << 20;
/// US dollars for a TB scanned, in most regions, and the least that is charged for.
const PRICE: f64 = 5.0;
const LEAST_CHARGED: u64 = 10_000_000;

/// What a query gave.
#[derive(Debug)]
pub struct Answer {
    /// In the format asked for.
    pub rows: Vec<u8>,
    /// For the operator: time, bytes scanned, price.
    pub cost: String,
}

struct Client {
    uri: http::Uri,
    region: String,
    credentials: aws_credential_types::provider::SharedCredentialsProvider,
    connector: SharedHttpConnector,
}

/// Runs a query that passed the lint.
///
/// # Errors
/// When there are no credentials, nobody answers, or Athena refuses.
pub fn query(lake: &Lake, query: &str, format: Format) -> Result<Answer, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        let client = Client::connect(lake).await?;
        let id = client.start(lake, query).await?;
        let ended = tokio::select! {
            ended = tokio::time::timeout(PATIENCE, client.wait(&id)) => match ended {
                Ok(ended) => ended,
                Err(_) => Err(Exit::Failed("the query did not end within 31 minutes".to_owned())),
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
        Ok(Answer { rows: rows::write(&rows, format), cost: cost(&execution) })
    })
}

impl Client {
    async fn connect(lake: &Lake) -> Result<Self, Exit> {
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
        if let Some(region) = &lake.athena.region {
            loader = loader.region(aws_config::Region::new(region.clone()));
        }
        let config = loader.load().await;
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or_else(|| "no region is known: set AWS_REGION, or `athena.region` in lake.json".to_owned())?;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let address =
            std::env::var("AWS_ENDPOINT_URL_ATHENA").ok().or_else(|| config.endpoint_url().map(str::to_owned));
        let address = address.unwrap_or_else(|| format!("https://athena.{region}.{suffix}/"));
        let uri: http::Uri = address.parse().map_err(|error| format!("`{address}` is no address: {error}"))?;
        let credentials = config.credentials_provider().ok_or_else(|| "there are no AWS credentials".to_owned())?;
        let builder = Connector::builder();
        let connector = if uri.scheme_str() == Some("http") {
            SharedHttpConnector::new(builder.build_http())
        } else {
            SharedHttpConnector::new(builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build())
        };
        Ok(Self { uri, region, credentials, connector })
    }

    /// The query's id.
    async fn start(&self, lake: &Lake, query: &str) -> Result<String, Exit> {
        let mut request = json!({
            "QueryString": query,
            "QueryExecutionContext": {"Database": lake.athena.database.as_ref().unwrap_or(&lake.name)},
        });
        if let Some(workgroup) = &lake.athena.workgroup {
            request["WorkGroup"] = workgroup.clone().into();
        } else if let Some(bucket) = &lake.athena.bucket {
            // Never below a table's location: results would become rows.
            request["ResultConfiguration"] = json!({"OutputLocation": format!("s3://{bucket}/athena-results/")});
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
        let mut token = Value::Null;
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
                rows.rows.push(data.iter().map(|datum| datum["VarCharValue"].as_str().map(str::to_owned)).collect());
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
        let called = tokio::time::timeout(CALL, self.exchange(operation, request.to_string())).await;
        called.unwrap_or_else(|_| Err(Exit::Failed(format!("{} did not answer within {} s", self.uri, CALL.as_secs()))))
    }

    async fn exchange(&self, operation: &str, body: String) -> Result<Value, Exit> {
        let failed = |reason: &dyn std::fmt::Display| Exit::Failed(format!("cannot call Athena: {reason}"));
        let credentials = self.credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| {
            failed(&format!("there are no AWS credentials ({error}); set AWS_PROFILE, or see `aws configure`"))
        })?;
        let identity = Identity::from(credentials);
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("athena")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let target = format!("AmazonAthena.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let address = self.uri.to_string();
        let to_sign = SignableRequest::new("POST", &address, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (instructions, _) =
            sign(to_sign.map_err(|error| failed(&error))?, &parameters).map_err(|error| failed(&error))?.into_parts();
        let mut request = http::Request::post(self.uri.clone())
            .header(headers[0].0, headers[0].1)
            .header(headers[1].0, headers[1].1)
            .body(SdkBody::from(body))
            .map_err(|error| failed(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        let request = request.try_into().map_err(|error| failed(&format!("{error}")))?;
        let answer = self.connector.call(request).await;
        let mut answer = answer.map_err(|error| failed(&format!("{} does not answer: {error:?}", self.uri)))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.take_body(), LARGEST_ANSWER).collect().await.map_err(|error| failed(&error))?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        if status == 200 {
            return Ok(body);
        }
        let code = body["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or("no error code");
        let message = body["message"].as_str().or_else(|| body["Message"].as_str()).unwrap_or("no reason given");
        let words = datalake_base::shown::shown(&format!("{code}: {message}")).to_string();
        Err(Exit::Failed(format!("Athena refuses {operation} (HTTP {status}): {words}")))
    }
}

/// What Athena says that it did, and what that costs.
fn cost(execution: &Value) -> String {
    let number = |key: &str| execution["Statistics"][key].as_u64().unwrap_or(0);
    let (scanned, time) = (number("DataScannedInBytes"), number("TotalExecutionTimeInMillis"));
    let reused = execution["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"].as_bool() == Some(true);
    let charged = if reused || scanned == 0 { scanned } else { scanned.max(LEAST_CHARGED) };
    #[expect(clippy::cast_precision_loss, reason = "a price for people")]
    let dollars = charged as f64 / 1e12 * PRICE;
    format!("scanned {scanned} bytes in {time} ms: about ${dollars:.6} at ${PRICE} a TB")
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

//! Objects of the lake's bucket.
//! Promises that what S3 refuses is an error in words, and that what is only written where nothing is yet is never replaced.
//! Leaves signing to `aws`, and which objects there are to the callers.

use datalake::engine::aws::{Answer, Aws, Call};
use std::fmt::Write as _;

/// A bucket, and by whom it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    /// Who asks.
    pub aws: &'a Aws,
    /// Its name.
    pub name: &'a str,
}

impl Bucket<'_> {
    /// Whether an object is there.
    ///
    /// # Errors
    /// When S3 does not say.
    pub async fn has(&self, key: &str) -> Result<bool, String> {
        Ok(self.call("HEAD", key, Vec::new(), Vec::new()).await?.status == 200)
    }

    /// What an object holds, if it is there. 64 MiB at most.
    ///
    /// # Errors
    /// When S3 refuses, or it is larger.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let answer = self.call("GET", key, Vec::new(), Vec::new()).await?;
        Ok((answer.status == 200).then_some(answer.body))
    }

    /// Writes an object whole; says what came of it.
    ///
    /// # Errors
    /// When S3 refuses.
    pub async fn put(&self, key: &str, kind: &str, body: Vec<u8>, only_new: bool) -> Result<String, String> {
        let mut headers = vec![("content-type", kind.to_owned())];
        if only_new {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let size = body.len();
        match self.call("PUT", key, headers, body).await?.status {
            200 => Ok(format!("{key} ({size} bytes)")),
            // Another run of the same reaction was faster.
            412 => Ok(format!("{key} is there")),
            status => Err(format!("S3 refuses to keep {key} (HTTP {status})")),
        }
    }

    async fn call(
        &self,
        method: &str,
        key: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let bucket = self.name;
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
#[must_use]
pub fn encoded(key: &str) -> String {
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

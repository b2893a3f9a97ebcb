//! AWS Signature Version 4 for one kind of request, by hand: a POST to `/` with four signed headers.
//! Promises the value of the `authorization` header a service verifies for that body, that moment and that key.
//! Leaves the hashing of the body to the caller, who owns the only expensive step.

use datalake_base::calendar::Civil;
use sha2::{Digest, Sha256};

/// The signed headers, in the order the canonical request lists them.
const SIGNED: &str = "content-type;host;x-amz-date;x-amz-target";
/// Content type of every call.
pub(crate) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The operation that is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    service: &'static str,
    pub(crate) target: &'static str,
    /// What says in an answer that nothing failed, without the 0.
    pub(crate) failed: &'static str,
}

pub(crate) const FIREHOSE: Operation =
    Operation { service: "firehose", target: "Firehose_20150804.PutRecordBatch", failed: "\"FailedPutCount\":" };
pub(crate) const KINESIS: Operation =
    Operation { service: "kinesis", target: "Kinesis_20131202.PutRecords", failed: "\"FailedRecordCount\":" };

/// A key bound to a region and a host.
pub(crate) struct Signer {
    operation: Operation,
    access_key: String,
    secret_key: String,
    region: String,
    host: String,
    /// The derived key and the day it is good for.
    day_key: Option<(String, [u8; 32])>,
}

/// What a request must carry to be believed.
pub(crate) struct Signature {
    /// Value of `x-amz-date`.
    pub(crate) date: String,
    /// Value of `authorization`.
    pub(crate) authorization: String,
}

impl Signer {
    pub(crate) fn new(operation: Operation, access_key: &str, secret_key: &str, region: &str, host: &str) -> Self {
        Self {
            operation,
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            region: region.to_owned(),
            host: host.to_owned(),
            day_key: None,
        }
    }

    /// Signs a body, known by its SHA-256, at `now` seconds after 1970.
    pub(crate) fn sign(&mut self, body_hash: [u8; 32], now: u64) -> Signature {
        let date = basic_format(now);
        let day = date[..8].to_owned();
        let Operation { service, target, .. } = self.operation;
        let scope = format!("{day}/{}/{service}/aws4_request", self.region);
        let canonical = format!(
            "POST\n/\n\ncontent-type:{CONTENT_TYPE}\nhost:{}\nx-amz-date:{date}\nx-amz-target:{target}\n\n{SIGNED}\n{}",
            self.host,
            hex(&body_hash)
        );
        let canonical_hash: [u8; 32] = Sha256::digest(canonical.as_bytes()).into();
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&canonical_hash));
        let signature = hex(&hmac(&self.key_of(&day), to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={signature}",
            self.access_key
        );
        Signature { date, authorization }
    }

    /// The derived key changes once a day; deriving it takes four HMACs.
    fn key_of(&mut self, day: &str) -> [u8; 32] {
        if let Some((known, key)) = &self.day_key
            && known == day
        {
            return *key;
        }
        let of_day = hmac(format!("AWS4{}", self.secret_key).as_bytes(), day.as_bytes());
        let of_region = hmac(&of_day, self.region.as_bytes());
        let of_service = hmac(&of_region, self.operation.service.as_bytes());
        let key = hmac(&of_service, b"aws4_request");
        self.day_key = Some((day.to_owned(), key));
        key
    }
}

/// HMAC-SHA-256 (RFC 2104); keys here are shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    assert!(key.len() <= block.len(), "a signing key of {} bytes is longer than a block", key.len());
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char])
        .collect()
}

/// `20261121T114503Z` for this many seconds after 1970.
fn basic_format(now: u64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::of(i64::try_from(now).unwrap_or(0));
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

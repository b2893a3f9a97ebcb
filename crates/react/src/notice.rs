//! Notifications of S3, as they are and inside the envelopes of SNS and SQS.
//! Promises that keys are decoded as S3 encodes them, that a test event and anything but a new object set nothing off,
//! and that a notification which cannot be read is an error, never nothing.
//! Leaves which table a key belongs to to the caller.

use serde_json::Value;

/// A new object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Where.
    pub bucket: String,
    /// Its key, decoded.
    pub key: String,
    /// Without quotes.
    pub etag: String,
}

/// Why a notification cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNotice {
    /// It is none of S3's.
    #[error("this is no notification of S3: {what}")]
    NotANotice {
        /// Where it differs.
        what: &'static str,
    },
    /// The key is encoded in another way.
    #[error("the key `{key}` is not encoded as S3 does it")]
    BadKey {
        /// As it came.
        key: String,
    },
}

/// Envelopes in envelopes in envelopes are nobody's.
const DEEPEST: usize = 3;

/// The new objects of a notification.
///
/// # Errors
/// When it is none.
pub fn created(event: &Value) -> Result<Vec<Created>, BadNotice> {
    let mut found = Vec::new();
    gather(event, DEEPEST, &mut found)?;
    Ok(found)
}

fn gather(event: &Value, depth: usize, found: &mut Vec<Created>) -> Result<(), BadNotice> {
    let not = |what: &'static str| BadNotice::NotANotice { what };
    let Some(records) = event["Records"].as_array() else {
        // What S3 sends when the notification is set up.
        return if event["Event"] == "s3:TestEvent" { Ok(()) } else { Err(not("it has no Records")) };
    };
    for record in records {
        let inner = record["Sns"]["Message"].as_str().or_else(|| record["body"].as_str());
        if let Some(inner) = inner {
            let depth = depth.checked_sub(1).ok_or_else(|| not("envelopes in envelopes"))?;
            let inner = serde_json::from_str(inner).map_err(|_| not("the envelope holds no JSON"))?;
            gather(unwrapped(&inner, &mut Value::Null), depth, found)?;
        } else {
            found.extend(object(record)?);
        }
    }
    Ok(())
}

/// A message of SNS inside one of SQS has its text under `Message`.
fn unwrapped<'a>(value: &'a Value, room: &'a mut Value) -> &'a Value {
    match value["Message"].as_str().map(serde_json::from_str) {
        Some(Ok(inner)) => {
            *room = inner;
            room
        }
        _ => value,
    }
}

fn object(record: &Value) -> Result<Option<Created>, BadNotice> {
    let not = |what: &'static str| BadNotice::NotANotice { what };
    let name = record["eventName"].as_str().ok_or_else(|| not("a record has no eventName"))?;
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let text = |value: &Value, what| value.as_str().map(str::to_owned).ok_or_else(|| not(what));
    let s3 = &record["s3"];
    let key = text(&s3["object"]["key"], "a record has no key")?;
    Ok(Some(Created {
        bucket: text(&s3["bucket"]["name"], "a record has no bucket")?,
        etag: text(&s3["object"]["eTag"], "a record has no eTag")?.trim_matches('"').to_owned(),
        key: decoded(&key).ok_or(BadNotice::BadKey { key })?,
    }))
}

/// `+` is a blank, `%3D` is `=`.
fn decoded(key: &str) -> Option<String> {
    let mut bytes = key.bytes();
    let mut out = Vec::with_capacity(key.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notice(name: &str, key: &str) -> Value {
        json!({"Records": [{"eventName": name, "s3": {"bucket": {"name": "b"},
            "object": {"key": key, "eTag": "0cc1", "size": 5}}}]})
    }

    #[test]
    fn a_new_object_is_found_bare_and_in_every_envelope() {
        let bare = notice("ObjectCreated:Put", "raw/v0/p/dt%3D2026-03-09-07/a+b%C3%A9.gz");
        let expected =
            Created { bucket: "b".into(), key: "raw/v0/p/dt=2026-03-09-07/a bé.gz".into(), etag: "0cc1".into() };
        let text = bare.to_string();
        let sns = json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text}}]});
        let sqs = json!({"Records": [{"eventSource": "aws:sqs", "body": text}]});
        let both = json!({"Records": [{"body": json!({"Type": "Notification", "Message": text}).to_string()}]});
        for event in [bare, sns, sqs, both] {
            assert_eq!(created(&event), Ok(vec![expected.clone()]), "{event}");
        }
    }

    #[test]
    fn a_test_event_and_a_removed_object_set_nothing_off() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        let wrapped = json!({"Records": [{"Sns": {"Message": test.to_string()}}]});
        for event in [test, wrapped, notice("ObjectRemoved:Delete", "k"), json!({"Records": []})] {
            assert_eq!(created(&event), Ok(Vec::new()), "{event}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_nothing() {
        let mut deep = notice("ObjectCreated:Put", "k");
        for _ in 0..6 {
            deep = json!({"Records": [{"Sns": {"Message": deep.to_string()}}]});
        }
        for event in [
            json!(null),
            json!({}),
            json!({"Records": [{}]}),
            json!({"Records": [{"Sns": {"Message": "no"}}]}),
            json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}),
            notice("ObjectCreated:Put", "a%zz"),
            notice("ObjectCreated:Put", "a%f"),
            notice("ObjectCreated:Put", "a%ff"),
            deep,
        ] {
            assert!(created(&event).is_err(), "{event}");
        }
    }
}

//! What both services share: their names, how they refuse a whole call, and how one record of a call fails.
//! Promises the codes and messages of the services. Names nothing else of this crate, so everything may name it.
//! Leaves when to refuse to `limits`, `kinesis` and `faults`.

use std::borrow::Cow;

/// The services that are imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Firehose.
    Firehose,
    /// Kinesis Data Streams.
    Kinesis,
}

impl Service {
    /// As signatures have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Firehose => "firehose",
            Self::Kinesis => "kinesis",
        }
    }
}

/// A whole call refused: an HTTP status, the error's code and its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status, 400 to 599.
    pub(crate) status: u16,
    /// The error's code, empty for an answer that does not come from the service but from something before it.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: Cow<'static, str>,
}

impl Refusal {
    /// Any refusal.
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// A value outside the service's model.
    pub(crate) fn validation(message: impl AsRef<str>) -> Self {
        Self::new(400, "ValidationException", format!("1 validation error detected: {}", message.as_ref()))
    }

    /// A value inside the model that the service still does not take.
    pub(crate) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "InvalidArgumentException", message)
    }

    /// A body that does not say what the operation needs.
    pub(crate) fn serialization(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "SerializationException", message)
    }

    /// A member that must be there and is not.
    pub(crate) fn missing(member: &str) -> Self {
        Self::validation(format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"))
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> String {
        if self.code.is_empty() {
            return format!("<html><body><h1>{} {}</h1></body></html>", self.status, self.message);
        }
        let mut body = serde_json::json!({ "__type": self.code, "message": self.message });
        if self.code == "InvalidKMSResourceException" {
            body["code"] = "KMS.DisabledException".into();
        }
        body.to_string()
    }
}

/// Why one record of an answered call failed; each service documents two codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFailure {
    /// `ServiceUnavailableException`: over the stream's rate; for Kinesis `ProvisionedThroughputExceededException`.
    Throttled,
    /// `InternalFailure`.
    Internal,
}

impl RecordFailure {
    /// Code and message of the entry.
    pub(crate) fn words(self, service: Service) -> (&'static str, &'static str) {
        match self {
            Self::Throttled if service == Service::Kinesis => {
                ("ProvisionedThroughputExceededException", "Rate exceeded for shard")
            }
            Self::Throttled => ("ServiceUnavailableException", "Slow down."),
            Self::Internal => ("InternalFailure", "Internal Service Failure"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_type_in_the_body_and_a_proxy_does_not() {
        let refusal: serde_json::Value = serde_json::from_str(&Refusal::validation("a \"b\"").body()).unwrap();
        assert_eq!(refusal["__type"], "ValidationException");
        assert_eq!(refusal["message"], "1 validation error detected: a \"b\"");
        assert!(Refusal::new(502, "", "Bad Gateway").body().starts_with("<html>"));
    }
}

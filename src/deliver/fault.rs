//! What each failure of a call means, and what the operator can do about it: the delivery table as code.
//! Promises a meaning for every code, status and broken connection; what is not known is never a record's fault, nor is an
//! answer that the service did not write. Leaves reading the answer to `caller` and acting on the meaning to the flow core.

use super::proxy::Proxy;
use super::settings::environment;
use super::{Fault, Meaning};
use datalake_base::shown::shown;

/// Where a call went, for the words to the operator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) endpoint: &'a str,
    pub(super) region: &'a str,
    pub(super) stream: &'a str,
    pub(super) words: &'static Words,
    /// What lies between.
    pub(super) proxy: Option<&'a Proxy>,
}

/// What a service and its things are called.
#[derive(Debug)]
pub(super) struct Words {
    /// The service.
    pub(super) service: &'static str,
    /// A stream of it.
    pub(super) stream: &'static str,
    /// The configuration's key for a stream.
    pub(super) key: &'static str,
    /// The configuration's key for another endpoint.
    pub(super) endpoint_key: &'static str,
    /// What must be allowed.
    pub(super) action: &'static str,
}

pub(super) static FIREHOSE: Words = Words {
    service: "Firehose",
    stream: "delivery stream",
    key: "deliveryStream",
    endpoint_key: "firehose.endpoint",
    action: "firehose:PutRecordBatch",
};

pub(super) static CLOUDWATCH: Words = Words {
    service: "CloudWatch",
    stream: "namespace",
    key: "cloudwatch.namespace",
    endpoint_key: "cloudwatch.endpoint",
    action: "cloudwatch:PutMetricData",
};

pub(super) static KINESIS: Words = Words {
    service: "Kinesis Data Streams",
    stream: "stream",
    key: "kinesisStream",
    endpoint_key: "kinesis.endpoint",
    action: "kinesis:PutRecords",
};

/// Codes that say: too fast. The service's own, and those the SDK knows for all of AWS.
const SLOW_DOWN: [&str; 18] = [
    "ServiceUnavailableException",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "SlowDown",
    "PriorRequestNotComplete",
    "EC2ThrottledException",
    "KMSThrottlingException",
    "RequestThrottledByServer",
];

/// Codes that leave open whether the records arrived.
const UNKNOWN: [&str; 6] = [
    "InternalFailure",
    "InternalFailureException",
    "InternalServerError",
    "InternalServerException",
    "RequestTimeout",
    "RequestTimeoutException",
];

/// Codes that refuse the content of the call.
const CONTENT: [&str; 7] = [
    "InvalidArgumentException",
    "InvalidParameterValue",
    "InvalidParameterException",
    "ValidationException",
    "ValidationError",
    "SerializationException",
    "MalformedRequestException",
];

/// Codes that refuse the size of the call. It is within the limits of the service, so others are in force here.
const TOO_LARGE: [&str; 3] = ["RequestEntityTooLarge", "RequestEntityTooLargeException", "RequestTooLargeException"];

/// Codes that say the signature or the keys are not good: other keys, or a right clock, would be.
const CREDENTIALS: [&str; 15] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "RequestExpired",
    "AuthFailure",
];

/// Whether the keys should be fetched anew before the next attempt.
pub(super) fn is_about_credentials(code: &str) -> bool {
    CREDENTIALS.contains(&code)
}

/// Whether a code of one record in a 200 says that the stream is throttled.
pub(super) fn is_throttle(code: &str) -> bool {
    SLOW_DOWN.contains(&code)
}

/// An answer that is no success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// The service's error code; empty where the answer names none, and then no service of AWS wrote it.
    pub(super) code: &'a str,
    /// The reason in it.
    pub(super) said: &'a str,
    /// What answered, by its own words.
    pub(super) by: &'a str,
    /// Bytes of the call's body.
    pub(super) sent: usize,
}

/// What an answer that is no success means.
pub(super) fn of_response(refusal: &Refusal<'_>, place: Place<'_>) -> Fault {
    let Refusal { status, code, said, .. } = *refusal;
    let meaning = meaning(status, code, said);
    if code.is_empty() {
        return Fault { meaning, code: format!("http {status}"), message: in_the_way(refusal, meaning, place) };
    }
    // It goes on as one sentence.
    let said = said.trim_end_matches(['.', ' ']);
    let said = if said.is_empty() { "the service gave no reason" } else { said };
    let message = match meaning {
        // These words stay with the record that turns out to be refused.
        Meaning::Poison | Meaning::Suspect => said.to_owned(),
        _ => format!("{said}; {}", advice(refusal, meaning, place)),
    };
    Fault { meaning, message, code: code.to_owned() }
}

/// What an answer of success means that does not say what became of the records.
pub(super) fn of_misunderstood(reason: &str, said: &str, place: Place<'_>) -> Fault {
    let Place { endpoint, words: Words { service, .. }, .. } = place;
    Fault {
        meaning: Meaning::Unknown,
        code: "answer".to_owned(),
        message: format!(
            "the answer does not say that the records were stored ({reason}), so they are sent again; it begins `{said}`: \
             check that {endpoint} is {service}{}",
            between(place)
        ),
    }
}

/// Words for an answer that no service of AWS wrote: it names who may have.
fn in_the_way(refusal: &Refusal<'_>, meaning: Meaning, place: Place<'_>) -> String {
    let Refusal { status, said, by, sent, .. } = *refusal;
    let Place { endpoint, proxy, words: Words { service, endpoint_key, .. }, .. } = place;
    let by = if by.is_empty() { String::new() } else { format!(" (`{by}`)") };
    let said = match (said, status) {
        ("", 407) => "refused on the way".to_owned(),
        ("", _) => format!("http {status}"),
        (said, _) => said.to_owned(),
    };
    let cure = match (status, proxy) {
        (407, Some(proxy)) => wants_credentials(proxy),
        (407, None) => "a proxy wants credentials, and none is configured".to_owned(),
        (413, _) => format!(
            "it takes no call of {sent} bytes: raise its limit (nginx: `client_max_body_size`), or lower \
             `maxBufferSizeBytes` of the flow"
        ),
        _ => format!("check `{endpoint_key}`, and what is between"),
    };
    let next = if meaning == Meaning::Hold { "pausing until it is out of the way" } else { "trying again" };
    format!(
        "{said}; this is no answer of {service}: something else{by} answered at {endpoint}{}; {cure}; {next}",
        between(place)
    )
}

fn between(place: Place<'_>) -> String {
    place.proxy.map_or_else(String::new, |proxy| format!(", perhaps {proxy}"))
}

fn meaning(status: u16, code: &str, said: &str) -> Meaning {
    if SLOW_DOWN.contains(&code) || status == 429 {
        return Meaning::SlowDown;
    }
    if UNKNOWN.contains(&code) {
        return Meaning::Unknown;
    }
    if CONTENT.contains(&code) {
        return match () {
            () if names_a_record(said) => Meaning::Poison,
            () if is_about_the_stream(said) => Meaning::Hold,
            () => Meaning::Suspect,
        };
    }
    match status {
        // A success that cannot be understood, and whatever went wrong behind the front door.
        // Also without an error of AWS in it: its own front ends answer so in passing, and so does a busy proxy.
        200..=299 | 408 | 500.. if !TOO_LARGE.contains(&code) => Meaning::Unknown,
        // A refusal whose code nobody here knows: holding loses nothing, quarantine would need a replay.
        _ => Meaning::Hold,
    }
}

/// The same code refuses a bad record and a bad stream; this is about the stream's name, state or source, which no record
/// can be blamed for.
fn is_about_the_stream(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    says(&["streamname", "streamarn", "streamassource", "stream type", "not permitted", "not allowed", "not supported"])
        || says(&["stream", "firehose", "channel"])
            && says(&[
                "active", "state", "status", "source", "encrypt", "kms", "mode", "disabled", "deleting", "creating",
            ])
}

/// Whether the reason names a record by its place in the call: `records.3.member.data`, `Records[3]`, `Record 3`.
fn names_a_record(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    let begins = |rest: &str| rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    said.match_indices("record").any(|(at, word)| {
        let rest = &said[at + word.len()..];
        let places: &[&str] = if rest.starts_with('s') { &["s.", "s["] } else { &[" ", " #", ".", "["] };
        places.iter().any(|place| rest.strip_prefix(place).is_some_and(begins))
    })
}

fn advice(refusal: &Refusal<'_>, meaning: Meaning, place: Place<'_>) -> String {
    let Refusal { code, sent, .. } = *refusal;
    let Place { endpoint, region, stream, words, .. } = place;
    let Words { service, stream: kind, key, endpoint_key, action } = words;
    match code {
        "ResourceNotFoundException" => format!(
            "no {kind} `{stream}` in region {region} at {endpoint} for this account: create it, or correct `{key}`, \
             `region` or `{endpoint_key}`"
        ),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "UnauthorizedOperation" => {
            format!("allow `{action}` on {kind} `{stream}` (region {region}) to the agent's role or user")
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            "the credentials have expired: renew them; they are read again before the next attempt".to_owned()
        }
        "RequestTimeTooSkewed" | "RequestExpired" => "set the clock of this machine (NTP)".to_owned(),
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => {
            format!(
                "check the secret access key, the clock of this machine and that {region} is the region of {endpoint}"
            )
        }
        _ if is_about_credentials(code) => {
            format!(
                "check the agent's credentials: they must belong to the account of `{stream}` and be enabled in {region}"
            )
        }
        _ if CONTENT.contains(&code) && meaning == Meaning::Hold => format!(
            "the refusal is about {kind} `{stream}` itself, not about a record: check its name, source, state and settings"
        ),
        "InvalidSourceException" => format!(
            "{kind} `{stream}` only takes CloudWatch Logs data (decompression is on): turn it off or use another stream"
        ),
        "UnknownOperationException" => {
            format!("{endpoint} is no {service} endpoint: correct `{endpoint_key}`")
        }
        _ if code.starts_with("InvalidKMS") || code.starts_with("KMS") => {
            format!(
                "the KMS key of {kind} `{stream}` cannot be used: enable it, and its grant for {service} and the agent"
            )
        }
        _ => match meaning {
            Meaning::SlowDown => {
                format!("sending slower; raise the limits of {kind} `{stream}` if this goes on")
            }
            Meaning::Unknown | Meaning::NotSent | Meaning::Poison | Meaning::Suspect => "trying again".to_owned(),
            Meaning::Hold if TOO_LARGE.contains(&code) => format!(
                "a call of {sent} bytes is too large at {endpoint}{}: raise the limit there, or lower `maxBufferSizeBytes` of \
                 the flow",
                between(place)
            ),
            Meaning::Hold => format!(
                "check {kind} `{stream}`, region {region}, endpoint {endpoint}{}; pausing until it is accepted",
                between(place)
            ),
        },
    }
}

/// What a refusal means that our clock explains: it is corrected, and the next attempt will do.
pub(super) fn of_clock(code: &str, seconds: i64) -> Fault {
    let direction = if seconds >= 0 { "behind" } else { "ahead of" };
    Fault {
        meaning: Meaning::NotSent,
        code: code.to_owned(),
        message: format!(
            "the clock of this machine is {} s {direction} the service's; signing with the service's time, but set the clock (NTP)",
            seconds.unsigned_abs()
        ),
    }
}

/// What a connection means that failed before an answer came. `connected`: there was one to write the request to.
pub(super) fn of_connection(reason: &str, timeout: bool, connected: bool, place: Place<'_>) -> Fault {
    let endpoint = place.endpoint;
    let fault = |meaning, code: &str, advice: String| Fault {
        meaning,
        code: code.to_owned(),
        message: format!("{reason}; {advice}"),
    };
    if connected {
        let code = if timeout { "timeout" } else { "connection" };
        return fault(Meaning::Unknown, code, "the answer is lost; the records may arrive twice".to_owned());
    }
    let said = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if let Some(proxy) = place.proxy
        && let Some((meaning, advice)) = of_proxy(&said, proxy, endpoint)
    {
        return fault(meaning, "proxy", advice);
    }
    if says(&DNS) {
        return fault(
            Meaning::Hold,
            "dns",
            format!("the host of {endpoint} cannot be resolved: check DNS and the endpoint"),
        );
    }
    if says(&TLS) {
        let between = place.proxy.map_or_else(String::new, |proxy| {
            format!("; if {proxy} answers in its place, its authority belongs there too")
        });
        return fault(
            Meaning::Hold,
            "tls",
            format!(
                "{endpoint} is not trusted: check the endpoint, the clock, and the certificates (`caBundle` or AWS_CA_BUNDLE \
                 for your own){between}"
            ),
        );
    }
    let code = if timeout { "connect timeout" } else { "connect" };
    let way = match place.proxy {
        Some(proxy) => format!("check {proxy} and what is behind it, or name the host in NO_PROXY"),
        None => "check network and firewall, and whether HTTPS_PROXY must name a proxy".to_owned(),
    };
    fault(Meaning::NotSent, code, format!("cannot connect to {endpoint}: {way}"))
}

/// What says that a name has no address.
const DNS: [&str; 3] = ["dns error", "failed to lookup address", "name or service not known"];
/// What says that encryption was not agreed on.
const TLS: [&str; 7] =
    ["certificate", "unknownissuer", "notvalidforname", "tls", "handshake", "invalidcontenttype", "ssl"];

/// What it means that there is no way through the proxy; `None` where that is not what failed.
fn of_proxy(said: &str, proxy: &Proxy, endpoint: &str) -> Option<(Meaning, String)> {
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    // In the words of the SDK's connections: the way through a proxy is a tunnel. Without one, as for plain HTTP, the only
    // name that is resolved is the proxy's.
    let tunnel = says(&["tunnel error"]);
    let variable = proxy.variable();
    if says(&["proxy authorization required"]) {
        return Some((Meaning::Hold, wants_credentials(proxy)));
    }
    if says(&DNS) {
        let advice = format!("the host of {proxy} cannot be resolved: check DNS, or correct {variable}");
        return Some((Meaning::Hold, advice));
    }
    if !tunnel {
        return None;
    }
    if !proxy.speaks_http() {
        let advice = format!("{proxy} cannot be used: only proxies at http:// and https:// can");
        return Some((Meaning::Hold, advice));
    }
    if says(&["tunnel error: unsuccessful"]) {
        let advice = format!(
            "{proxy} does not let the agent through to {endpoint}: allow it there, or name the host in NO_PROXY if no proxy \
             is needed"
        );
        return Some((Meaning::Hold, advice));
    }
    if says(&TLS) {
        return Some((Meaning::Hold, format!("{proxy} is not trusted: name its authority in `caBundle`")));
    }
    let advice = format!("{proxy} cannot be reached or does not answer: check it, or correct {variable}");
    Some((Meaning::NotSent, advice))
}

fn wants_credentials(proxy: &Proxy) -> String {
    format!("{proxy} wants credentials: write http://USER:PASSWORD@HOST:PORT into {}", proxy.variable())
}

/// What it means that there are no credentials.
pub(super) fn of_credentials(reason: &str) -> Fault {
    of_credentials_in(reason, environment)
}

fn of_credentials_in(reason: &str, variable: impl Fn(&str) -> Option<String>) -> Fault {
    let profile = if reason.contains("was not defined") { no_profile(variable) } else { String::new() };
    let between = if reason.contains("tunnel error") {
        "what fetches them goes through the proxy in the agent's environment: check HTTPS_PROXY and NO_PROXY, or "
    } else {
        ""
    };
    Fault {
        meaning: Meaning::Hold,
        code: "credentials".to_owned(),
        message: format!(
            "none could be fetched; {profile}{between}give the agent credentials: an instance or task role, AWS_ACCESS_KEY_ID, a \
             profile, or `awsAccessKeyId` and `awsSecretAccessKey` in the configuration; the AWS SDK says: {reason}"
        ),
    }
}

/// Which profile is missing, and where it was looked for.
fn no_profile(variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Some(profile) = set("AWS_PROFILE") else { return String::new() };
    let home = set("HOME").unwrap_or_else(|| "~".to_owned());
    let file = |name: &str, usual: &str| set(name).unwrap_or_else(|| format!("{home}/.aws/{usual}"));
    let (config, credentials) = (file("AWS_CONFIG_FILE", "config"), file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    format!(
        "AWS_PROFILE names the profile `{}`, which neither {} nor {} has: correct it or add the profile, or ",
        shown(&profile),
        shown(&config),
        shown(&credentials)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_is_missing_is_named_with_the_files_it_could_stand_in() {
        let reason = "Profile: profile `prod` was not defined: could not find source profile prod";
        let set = |name: &str| match name {
            "AWS_PROFILE" => Some("prod".to_owned()),
            "AWS_CONFIG_FILE" => Some("/etc/aws.conf".to_owned()),
            "HOME" => Some("/var/lib/agent".to_owned()),
            _ => None,
        };
        let message = of_credentials_in(reason, set).message;
        let words = "the profile `prod`, which neither /etc/aws.conf nor /var/lib/agent/.aws/credentials has";
        assert!(message.contains(words), "{message}");
        assert!(!of_credentials_in(reason, |_| None).message.contains("which neither"));
        assert!(!of_credentials_in("no credentials found", set).message.contains("which neither"));
    }

    const PLACE: Place<'_> =
        Place { endpoint: "https://e/", region: "eu-west-1", stream: "logs", words: &FIREHOSE, proxy: None };

    fn refused(status: u16, code: &str, said: &str, place: Place<'_>) -> Fault {
        of_response(&Refusal { status, code, said, by: "nginx", sent: 5_600_000 }, place)
    }

    fn meaning_of(status: u16, code: &str, said: &str) -> Meaning {
        refused(status, code, said, PLACE).meaning
    }

    #[test]
    fn every_row_of_the_delivery_table_has_its_meaning() {
        use Meaning::{Hold, Poison, SlowDown, Suspect, Unknown};
        let table = [
            (500, "ServiceUnavailableException", "Slow down.", SlowDown),
            (503, "ServiceUnavailableException", "", SlowDown),
            (400, "ThrottlingException", "Rate exceeded", SlowDown),
            (400, "ProvisionedThroughputExceededException", "", SlowDown),
            (400, "LimitExceededException", "", SlowDown),
            (429, "", "", SlowDown),
            (500, "InternalFailure", "", Unknown),
            (500, "", "", Unknown),
            (502, "", "<html>", Unknown),
            (503, "", "", Unknown),
            (504, "", "", Unknown),
            (408, "RequestTimeout", "", Unknown),
            (400, "RequestTimeoutException", "", Unknown),
            (200, "", "", Unknown),
            (400, "ExpiredTokenException", "", Hold),
            (403, "ExpiredToken", "", Hold),
            (400, "UnrecognizedClientException", "", Hold),
            (403, "InvalidSignatureException", "", Hold),
            (400, "IncompleteSignatureException", "", Hold),
            (403, "RequestTimeTooSkewed", "", Hold),
            (400, "AccessDeniedException", "", Hold),
            (400, "ResourceNotFoundException", "", Hold),
            (400, "InvalidKMSResourceException", "", Hold),
            (400, "InvalidSourceException", "", Hold),
            (400, "UnknownOperationException", "", Hold),
            (400, "SomethingNewException", "", Hold),
            (400, "", "", Hold),
            (301, "", "", Hold),
            (404, "", "", Hold),
            (407, "", "", Hold),
            (400, "KMSThrottlingException", "", SlowDown),
            (400, "KMSDisabledException", "", Hold),
            (400, "KMSInvalidStateException", "", Hold),
            (400, "KMSAccessDeniedException", "", Hold),
            (400, "KMSNotFoundException", "", Hold),
            (400, "KMSOptInRequired", "", Hold),
            (500, "InternalFailureException", "", Unknown),
            (400, "ValidationException", "Value 'a b' at 'streamName' failed to satisfy constraint", Hold),
            (400, "InvalidArgumentException", "Record 3 is too large", Poison),
            (400, "ValidationException", "Value at 'records.12.member.partitionKey' failed to satisfy", Poison),
            (400, "ValidationException", "Value at 'Records[2].Data' is too long", Poison),
            (400, "ValidationException", "Value '[]' at 'records' failed to satisfy constraint", Suspect),
            (400, "InvalidArgumentException", "A call has at most 500 records. 501 were sent", Suspect),
            (400, "ValidationException", "1 validation error detected", Suspect),
            (400, "SerializationException", "", Suspect),
            (413, "RequestEntityTooLargeException", "", Hold),
            (400, "RequestTooLargeException", "", Hold),
            (500, "RequestEntityTooLarge", "", Hold),
            (413, "", "<html>nginx</html>", Hold),
            (
                400,
                "InvalidArgumentException",
                "This operation is not permitted on KinesisStreamAsSource delivery stream type.",
                Hold,
            ),
            (400, "InvalidArgumentException", "Delivery stream logs has source type MSKAsSource", Hold),
            (400, "ValidationException", "Stream logs is being deleted: status DELETING", Hold),
            (400, "InvalidArgumentException", "Firehose logs is not in ACTIVE state", Hold),
            (400, "ValidationException", "Value 'a b' at 'deliveryStreamName' failed to satisfy constraint", Hold),
        ];
        for (status, code, said, meaning) in table {
            assert_eq!(meaning_of(status, code, said), meaning, "{status} {code} {said}");
        }
    }

    #[test]
    fn every_known_code_has_the_meaning_of_its_list_whatever_the_status() {
        for status in [400, 403, 500, 503] {
            for code in SLOW_DOWN {
                assert_eq!(meaning_of(status, code, ""), Meaning::SlowDown, "{code}");
            }
            for code in UNKNOWN {
                assert_eq!(meaning_of(status, code, ""), Meaning::Unknown, "{code}");
            }
            for code in CONTENT {
                assert_eq!(meaning_of(status, code, ""), Meaning::Suspect, "{code}");
            }
            for code in TOO_LARGE {
                assert_eq!(meaning_of(status, code, ""), Meaning::Hold, "{code}");
            }
        }
        for code in CREDENTIALS {
            assert_eq!(meaning_of(403, code, ""), Meaning::Hold, "{code}");
        }
    }

    /// `quarantine list` said of a record "looking for a record that is refused while others are accepted".
    #[test]
    fn what_is_kept_with_a_rejected_record_is_what_the_service_said_of_it() {
        for code in ["InvalidArgumentException", "ValidationException"] {
            let fault = refused(400, code, "Record 3 is bad.", PLACE);
            assert_eq!((fault.message.as_str(), fault.code.as_str()), ("Record 3 is bad", code));
        }
    }

    /// A proxy's 413 emptied a log into the quarantine within a second.
    #[test]
    fn what_no_service_wrote_is_never_a_records_fault_and_names_endpoint_and_proxy() {
        let environment = |name: &str| (name == "HTTPS_PROXY").then(|| "http://me:hush@p.example:3128".to_owned());
        let proxy = Proxy::on_the_way_to(&http::Uri::from_static("https://e/"), environment).unwrap();
        for status in 100..=999 {
            let fault = refused(
                status,
                "",
                "Record 3 is bad: InvalidArgumentException",
                Place { proxy: Some(&proxy), ..PLACE },
            );
            assert!(!matches!(fault.meaning, Meaning::Poison | Meaning::Suspect), "{fault}");
            let named =
                ["https://e/", "http://p.example:3128", "HTTPS_PROXY"].iter().all(|word| fault.message.contains(word));
            assert!(named && !fault.message.contains("hush"), "{fault}");
        }
        let fault = refused(413, "", "413 Request Entity Too Large", PLACE);
        let words = ["no answer of Firehose", "`nginx`", "5600000 bytes", "`maxBufferSizeBytes`"];
        assert!(words.iter().all(|word| fault.message.contains(word)), "{fault}");
    }

    #[test]
    fn a_broken_connection_is_unknown_once_the_request_could_be_written() {
        for (reason, timeout) in [("connection reset", false), ("timed out", true), ("dns error", false)] {
            assert_eq!(of_connection(reason, timeout, true, PLACE).meaning, Meaning::Unknown);
        }
    }

    #[test]
    fn without_a_connection_nothing_was_sent_and_what_a_person_must_mend_holds() {
        for (reason, timeout, meaning, code) in [
            ("io error: tcp connect error: Connection refused (os error 111)", false, Meaning::NotSent, "connect"),
            ("HTTP connect timeout occurred after 5s", true, Meaning::NotSent, "connect timeout"),
            ("dns error: failed to lookup address information", false, Meaning::Hold, "dns"),
            ("invalid peer certificate: UnknownIssuer", false, Meaning::Hold, "tls"),
            ("received corrupt message of type InvalidContentType", false, Meaning::Hold, "tls"),
        ] {
            let fault = of_connection(reason, timeout, false, PLACE);
            assert_eq!((fault.meaning, fault.code.as_str()), (meaning, code), "{reason}");
        }
    }

    #[test]
    fn a_proxy_in_the_way_is_named_with_where_it_was_configured() {
        let proxy = |value: &'static str| {
            let environment = move |name: &str| (name == "https_proxy").then(|| value.to_owned());
            Proxy::on_the_way_to(&http::Uri::from_static("https://e/"), environment).unwrap()
        };
        let usual = proxy("http://me:hush@p.example:3128");
        let socks = proxy("socks5://p.example:1080");
        let underlying = "tunnel error: failed to create underlying connection: ";
        for (proxy, reason, meaning, words) in [
            (&usual, "tunnel error: proxy authorization required", Meaning::Hold, "wants credentials"),
            (&usual, "tunnel error: unsuccessful", Meaning::Hold, "does not let the agent through to https://e/"),
            (&usual, &format!("{underlying}tcp connect error"), Meaning::NotSent, "cannot be reached"),
            (&usual, &format!("{underlying}dns error"), Meaning::Hold, "cannot be resolved"),
            (&usual, &format!("{underlying}invalid peer certificate"), Meaning::Hold, "is not trusted"),
            (&usual, "tunnel error: unexpected end of file", Meaning::NotSent, "does not answer"),
            (&usual, "HTTP connect timeout occurred after 5s", Meaning::NotSent, "what is behind it"),
            (&usual, "invalid peer certificate: UnknownIssuer", Meaning::Hold, "`caBundle`"),
            (&socks, &format!("{underlying}invalid URL, scheme is not http"), Meaning::Hold, "only proxies at http://"),
        ] {
            let fault = of_connection(reason, false, false, Place { proxy: Some(proxy), ..PLACE });
            assert_eq!(fault.meaning, meaning, "{fault}");
            let said = [words, "p.example", "https_proxy"].iter().all(|word| fault.message.contains(word));
            assert!(said && !fault.message.contains("hush"), "{fault}");
        }
        let fault = refused(407, "", "", Place { proxy: Some(&usual), ..PLACE });
        assert!(fault.message.contains("https_proxy"), "{fault}");
        assert!(of_credentials("tunnel error: unsuccessful").message.contains("HTTPS_PROXY"));
    }

    #[test]
    fn the_words_say_what_to_do() {
        for (status, code, words) in [
            (400, "AccessDeniedException", ["firehose:PutRecordBatch", "logs"]),
            (400, "ResourceNotFoundException", ["logs", "eu-west-1"]),
            (403, "InvalidSignatureException", ["clock", "eu-west-1"]),
            (400, "ExpiredTokenException", ["expired", "renew"]),
            (400, "InvalidKMSResourceException", ["KMS", "logs"]),
            (407, "", ["proxy", "https://e/"]),
        ] {
            let message = refused(status, code, "", PLACE).message;
            assert!(words.iter().all(|word| message.contains(word)), "{code}: {message}");
        }
        let place = Place { words: &KINESIS, ..PLACE };
        for (code, words) in [
            ("AccessDeniedException", ["kinesis:PutRecords", "stream `logs`"]),
            ("ResourceNotFoundException", ["`kinesisStream`", "`kinesis.endpoint`"]),
            ("KMSDisabledException", ["KMS", "Kinesis Data Streams"]),
        ] {
            let message = refused(400, code, "", place).message;
            assert!(words.iter().all(|word| message.contains(word)), "{code}: {message}");
        }
        assert!(of_credentials("none").message.contains("awsAccessKeyId"));
        assert!(of_clock("RequestTimeTooSkewed", -7200).message.contains("7200 s ahead of"));
    }
}

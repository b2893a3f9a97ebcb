//! What the values of an `mqtt` object mean together.
//! Promises that a flow it returns can connect as far as its settings go, and that a secret is named by file only.
//! Leaves reading the files to the connection.

use crate::config::json::Node;
use crate::config::keys::{WrittenMqtt, WrittenTopic};
use crate::config::report::{At, Kind, Placed, Report, printable, quoted};
use crate::config::ways::Form;
use crate::source::mqtt::{Broker, LineSettings, OnFailure, PayloadFormat, Quality, Scheme, Settings, Topic, Version};
use datalake_base::units::ByteSize;
use datalake_process::Decoder;
use std::path::PathBuf;
use std::time::Duration;

/// The longest text that a packet can hold.
const LONGEST_TEXT: usize = 65_535;
/// `-64`, of the last connection that there may be.
const LONGEST_SUFFIX: usize = 3;
/// The default of `maxPacketBytes`.
const USUAL_PACKET: u64 = 1 << 20;
/// A message may need more room than its packet: in base64, and with an envelope.
const PACKETS_IN_SPOOL: u64 = 16;
/// The ALPN protocols of AWS IoT Core on port 443: with a client certificate, and for a custom authorizer.
const AWS_CERTIFICATE: &str = "x-amzn-mqtt-ca";
const AWS_AUTHORIZER: &str = "mqtt";

/// Proves the object; `None` when the flow cannot run.
pub(super) fn prove(
    written: &WrittenMqtt,
    flow: &str,
    on_failure: datalake_process::OnFailure,
    longest_line: usize,
    process: &datalake_process::Settings,
    report: &mut Report,
) -> Option<Settings> {
    let asked = asked(written);
    let topics = topics(&asked, report);
    if let Some(alone) = topics.iter().find(|topic| !topic.is_shared()).filter(|_| written.connections > 1) {
        let message = format!(
            "each of the {} connections would receive what {} matches",
            written.connections,
            quoted(&alone.written)
        );
        let help = format!("write \"$share/GROUP/{}\", or leave out `connections`", printable(&alone.written));
        report.add(Kind::Conflict, &written.opened.at, message, help);
    }
    let broker = broker(written, report);
    let (certificate_file, private_key_file) = certificate(written, report);
    let envelope = envelope(written, &asked, &topics, report);
    let decoder = decoder(written, process, report);
    room(written, report);
    record(written, longest_line as u64, report);
    let client_id = client_id(written, flow, report);
    let username = username(written, report);
    let broker = broker?;
    let sign = signs(written, &broker, report);
    let alpn = written.alpn.as_ref().map(|alpn| alpn.value.clone()).or_else(|| usual_alpn(written, &broker));
    tls_keys_have_effect(written, &broker, report);
    (!topics.is_empty()).then_some(())?;
    Some(Settings {
        // The region is filled in where it is known what the whole configuration says.
        sign_for: sign.then(|| broker.aws_region().unwrap_or_default().to_owned()),
        broker,
        topics,
        version: if written.version == "5" { Version::V5 } else { Version::V311 },
        client_id,
        session_expiry: Duration::from_secs(written.session_expiry_seconds),
        keep_alive: Duration::from_secs(written.keep_alive_seconds),
        username,
        password_file: path(written.password_file.as_ref(), report),
        token_file: path(written.token_file.as_ref(), report),
        ca_file: path(written.ca_file.as_ref(), report),
        certificate_file,
        private_key_file,
        alpn,
        connections: u16::try_from(written.connections).unwrap_or(1),
        max_packet: ByteSize::bytes(written.max_packet.value),
        sync_interval: Duration::from_millis(written.sync_interval_millis),
        max_spool: ByteSize::bytes(written.max_spool.value),
        line: LineSettings { format: if is_raw(written) { PayloadFormat::Raw } else { PayloadFormat::Auto }, envelope },
        decoder,
        longest_line,
        on_failure: match on_failure {
            datalake_process::OnFailure::Quarantine => OnFailure::Quarantine,
            datalake_process::OnFailure::Raw => OnFailure::Raw,
            datalake_process::OnFailure::Drop => OnFailure::Drop,
        },
    })
}

/// A topic filter, and the quality of service asked for.
type Asked = (Placed<String>, u64);

/// The topics, whichever way each is written.
fn asked(written: &WrittenMqtt) -> Vec<Asked> {
    let one = |Placed { value, at }: &Placed<Form<WrittenTopic>>| match value {
        Form::Object(topic) => Some((topic.filter.clone()?, topic.qos.as_ref().map_or(written.qos, |own| own.value))),
        Form::Text(value) => {
            let Node::Text(text) = &value.node else { return None };
            Some((Placed { value: text.clone(), at: at.clone() }, written.qos))
        }
    };
    written.topics.iter().filter_map(one).collect()
}

fn is_raw(written: &WrittenMqtt) -> bool {
    written.payload_format == "raw"
}

fn is_protobuf(written: &WrittenMqtt) -> bool {
    written.payload_format == "protobuf"
}

/// How binary payloads become JSON: by the plan of the first option.
fn decoder(written: &WrittenMqtt, process: &datalake_process::Settings, report: &mut Report) -> Option<Decoder> {
    if !is_protobuf(written) {
        return None;
    }
    if process.decoder().is_none() {
        let message = "binary messages need the option SCHEMA, which names plan and table, as the first of the flow";
        let help = "add {\"optionName\": \"SCHEMA\", \"plan\": \"/…/lake.plan.json\", \"table\": \"…\"} to `dataProcessingOptions`";
        report.add(Kind::Missing, &written.opened.at, message, help);
    }
    process.decoder().cloned()
}

fn topics(asked: &[Asked], report: &mut Report) -> Vec<Topic> {
    let mut topics: Vec<Topic> = Vec::with_capacity(asked.len());
    for (filter, qos) in asked {
        let (path, shown) = (&filter.at.path, quoted(&filter.value));
        let quality = u8::try_from(*qos).ok().and_then(Quality::from_number).unwrap_or_default();
        match Topic::parse(&filter.value, quality) {
            Ok(topic) if topics.iter().any(|other| other.filter == topic.filter) => {
                let message = format!("`{path}` is {shown}, which is subscribed already");
                report.add(Kind::DuplicateFlow, &filter.at, message, "remove one of the two");
            }
            Ok(topic) => topics.push(topic),
            Err(error) => {
                let message = format!("`{path}` is {shown}, which is no topic filter");
                report.add(Kind::BadName, &filter.at, message, error.to_string());
            }
        }
    }
    topics
}

fn broker(written: &WrittenMqtt, report: &mut Report) -> Option<Broker> {
    let given = written.broker.as_ref()?;
    match Broker::parse(&given.value) {
        Ok(broker) => {
            if !broker.scheme.is_private() && !broker.is_local() {
                let what = match (&written.password_file, &written.token_file) {
                    (None, None) => "messages cross",
                    (Some(_), _) => "the password and all messages cross",
                    (None, Some(_)) => "the token and all messages cross",
                };
                let message =
                    format!("`{}` is {}: {what} the network unencrypted", given.at.path, quoted(&broker.to_string()));
                let help = "use mqtts:// or wss://, unless the network is trusted";
                report.add(Kind::PlainHttp, &given.at, message, help);
            }
            Some(broker)
        }
        Err(error) => {
            // The text may hold a password.
            report.hide(given.at.place);
            let message = format!("`{}` is no address of a broker", given.at.path);
            report.add(Kind::BadEndpoint, &given.at, message, error.to_string());
            None
        }
    }
}

fn client_id(written: &WrittenMqtt, flow: &str, report: &mut Report) -> String {
    let Some(given) = &written.client_id else {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        return format!("datalake-agent-{host}-{flow}");
    };
    // Further connections add a number.
    fits_with(given, LONGEST_SUFFIX, report);
    given.value.clone()
}

fn username(written: &WrittenMqtt, report: &mut Report) -> Option<String> {
    let has_place = written.username.as_ref().is_some_and(|name| name.value.contains("{token}"));
    if let (Some(token), false) = (&written.token_file, has_place) {
        let message = format!("`{}` has no effect: `username` has no `{{token}}` in it", token.at.path);
        let help = "write `{token}` into `username` where the token belongs, or remove the key";
        report.add(Kind::NoEffect, &token.at, message, help);
    }
    let given = written.username.as_ref()?;
    if has_place && written.token_file.is_none() {
        let message = format!("`{}` holds `{{token}}`, and there is no `tokenFile`", given.at.path);
        report.add(Kind::Missing, &given.at, message, "name the file that holds the token as `tokenFile`");
    }
    fits(given, report);
    Some(given.value.clone())
}

fn fits(given: &Placed<String>, report: &mut Report) {
    fits_with(given, 0, report);
}

/// The same for a text to which so many bytes are added.
fn fits_with(given: &Placed<String>, added: usize, report: &mut Report) {
    let most = LONGEST_TEXT - added;
    if given.value.len() > most || given.value.contains('\0') {
        let message = format!("`{}` is too long for MQTT, or holds a NUL character", given.at.path);
        report.add(Kind::BadName, &given.at, message, format!("write at most {most} bytes"));
    }
}

fn path(given: Option<&Placed<String>>, report: &mut Report) -> Option<PathBuf> {
    let given = given?;
    let (path, text) = (&given.at.path, &given.value);
    let is_credential = !text.contains('/');
    if text.contains('\0') || !(text.starts_with('/') || is_credential) {
        let message = format!("`{path}` is {}, which is not an absolute path", quoted(text));
        let help = "begin with a slash, or write the bare name of a systemd credential";
        report.add(Kind::BadPath, &given.at, message, help);
    }
    Some(PathBuf::from(text))
}

fn certificate(written: &WrittenMqtt, report: &mut Report) -> (Option<PathBuf>, Option<PathBuf>) {
    let lonely = match (&written.certificate_file, &written.private_key_file) {
        (Some(certificate), None) => Some((certificate, "privateKeyFile")),
        (None, Some(key)) => Some((key, "certificateFile")),
        _ => None,
    };
    if let Some((given, missing)) = lonely {
        let message = format!("`{}` is given without `{missing}`", given.at.path);
        report.add(Kind::Missing, &given.at, message, "give both, or neither");
    }
    (path(written.certificate_file.as_ref(), report), path(written.private_key_file.as_ref(), report))
}

/// An envelope is usual; raw payloads have none.
fn envelope(written: &WrittenMqtt, asked: &[Asked], topics: &[Topic], report: &mut Report) -> bool {
    if !is_raw(written) {
        return written.envelope.as_ref().map_or(!is_protobuf(written), |given| given.value);
    }
    if let Some(given) = written.envelope.as_ref().filter(|given| given.value) {
        let message = format!("`{}` has no effect: raw payloads are sent as they are", given.at.path);
        report.add(Kind::NoEffect, &given.at, message, "remove it, or set \"payloadFormat\": \"auto\"");
    }
    if let Some(place) = topics.iter().position(Topic::has_fields)
        && let Some((filter, _)) = asked.get(place)
    {
        let message = format!("the name in braces in `{}` has no effect: raw payloads get no fields", filter.at.path);
        report.add(Kind::NoEffect, &filter.at, message, "write `+`, or set \"payloadFormat\": \"auto\"");
    }
    false
}

fn room(written: &WrittenMqtt, report: &mut Report) {
    let needed = ByteSize::bytes(written.max_packet.value.saturating_mul(PACKETS_IN_SPOOL));
    if written.max_spool.value < needed.as_u64() {
        let path = &written.max_spool.at.path;
        let message = format!("`{path}` leaves no room for messages as large as `maxPacketBytes` allows");
        report.add(Kind::Conflict, &written.max_spool.at, message, format!("write at least \"{needed}\""));
    }
}

/// Warns where a packet that is let in may not fit into a record: base64 takes four bytes for three, and the envelope a
/// few hundred.
fn record(written: &WrittenMqtt, longest_line: u64, report: &mut Report) {
    const ENVELOPE: u64 = 1024;
    let Placed { value: packet, at } = &written.max_packet;
    let line = if is_raw(written) { packet + 1 } else { packet * 4 / 3 + ENVELOPE };
    // The default and the largest record of Firehose differ by a few hundredths, which is nothing to act on.
    let is_default = *packet == USUAL_PACKET;
    if line <= longest_line || is_default && packet * 9 / 10 <= longest_line {
        return;
    }
    let message = format!(
        "`{}` lets in messages of {}, whose line may be longer than the {longest_line} bytes of a record",
        at.path,
        ByteSize::bytes(*packet)
    );
    let fits =
        ByteSize::bytes(if is_raw(written) { longest_line } else { longest_line.saturating_sub(ENVELOPE) * 3 / 4 });
    let help = format!("what does not fit goes where `onFailure` says; write at most {fits} if that is not meant");
    report.add(Kind::LongMessages, at, message, help);
}

fn signs(written: &WrittenMqtt, broker: &Broker, report: &mut Report) -> bool {
    let Some(given) = &written.sign else {
        let otherwise = written.username.is_some() || written.certificate_file.is_some();
        return broker.scheme == Scheme::Wss && broker.aws_region().is_some() && !otherwise;
    };
    if given.value && !broker.scheme.is_web_socket() {
        let message = format!("`{}` has no effect: only the address of a WebSocket can be signed", given.at.path);
        report.add(Kind::Conflict, &given.at, message, "begin `broker` with wss://, or remove the key");
    }
    given.value && broker.scheme.is_web_socket()
}

/// On port 443 AWS IoT Core tells MQTT from HTTPS by what is asked for during the TLS handshake.
fn usual_alpn(written: &WrittenMqtt, broker: &Broker) -> Option<String> {
    if broker.scheme != Scheme::Mqtts || broker.port != 443 || broker.aws_region().is_none() {
        return None;
    }
    Some(if written.certificate_file.is_some() { AWS_CERTIFICATE } else { AWS_AUTHORIZER }.to_owned())
}

fn tls_keys_have_effect(written: &WrittenMqtt, broker: &Broker, report: &mut Report) {
    if broker.scheme.is_private() {
        return;
    }
    let keys = [&written.ca_file, &written.certificate_file, &written.alpn];
    let ats: Vec<&At> = keys.into_iter().flatten().map(|given| &given.at).collect();
    for at in ats {
        let message = format!("`{}` has no effect without TLS", at.path);
        report.add(Kind::NoEffect, at, message, "begin `broker` with mqtts:// or wss://, or remove the key");
    }
}

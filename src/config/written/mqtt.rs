//! The `mqtt` object of a flow as the operator wrote it.
//! Promises that each value lies in its own range; what is left out has its default.
//! Leaves what values mean together to the plan.

use crate::config::json::{Node, Value};
use crate::config::keys;
use crate::config::report::{At, Report};
use crate::config::section::{Level, Placed, Section};
use crate::config::values;

/// One flow's subscription.
#[derive(Debug)]
pub(in crate::config) struct WrittenMqtt {
    /// Its opening brace.
    pub(in crate::config) at: At,
    pub(in crate::config) broker: Option<Placed<String>>,
    pub(in crate::config) topics: Vec<WrittenTopic>,
    pub(in crate::config) is_v5: bool,
    pub(in crate::config) client_id: Option<Placed<String>>,
    pub(in crate::config) session_expiry_seconds: u64,
    pub(in crate::config) keep_alive_seconds: u64,
    pub(in crate::config) username: Option<Placed<String>>,
    pub(in crate::config) password_file: Option<Placed<String>>,
    pub(in crate::config) token_file: Option<Placed<String>>,
    pub(in crate::config) ca_file: Option<Placed<String>>,
    pub(in crate::config) certificate_file: Option<Placed<String>>,
    pub(in crate::config) private_key_file: Option<Placed<String>>,
    pub(in crate::config) alpn: Option<Placed<String>>,
    pub(in crate::config) sign: Option<Placed<bool>>,
    pub(in crate::config) connections: u64,
    pub(in crate::config) max_packet: Placed<u64>,
    pub(in crate::config) sync_interval_millis: u64,
    pub(in crate::config) max_spool: Placed<u64>,
    pub(in crate::config) is_raw: bool,
    pub(in crate::config) envelope: Option<Placed<bool>>,
}

/// A topic and its quality of service.
#[derive(Debug)]
pub(in crate::config) struct WrittenTopic {
    pub(in crate::config) filter: Placed<String>,
    pub(in crate::config) qos: u64,
}

/// Decodes the object.
pub(in crate::config) fn mqtt(value: &Value, at: &At, report: &mut Report) -> Option<WrittenMqtt> {
    let section = Section::open(Level::Mqtt, value, &at.path, report)?;
    let qos = section.number_or_default(&keys::MQTT_QOS, report).value;
    let given = |key: &'static keys::Key, report: &mut Report| {
        section.value(key).map(|(_, at)| Placed { value: section.boolean(key, report), at })
    };
    let (sign, envelope) = (given(&keys::MQTT_SIGN, report), given(&keys::MQTT_ENVELOPE, report));
    Some(WrittenMqtt {
        at: section.at.clone(),
        broker: section.text(&keys::MQTT_BROKER, report),
        topics: topics(&section, qos, report),
        is_v5: section.choice(&keys::MQTT_VERSION, report) == "5",
        client_id: section.nonempty_text(&keys::MQTT_CLIENT_ID, report),
        session_expiry_seconds: section.number_or_default(&keys::MQTT_SESSION_EXPIRY, report).value,
        keep_alive_seconds: section.number_or_default(&keys::MQTT_KEEP_ALIVE, report).value,
        username: section.nonempty_text(&keys::MQTT_USERNAME, report),
        password_file: section.nonempty_text(&keys::MQTT_PASSWORD_FILE, report),
        token_file: section.nonempty_text(&keys::MQTT_TOKEN_FILE, report),
        ca_file: section.nonempty_text(&keys::MQTT_CA_FILE, report),
        certificate_file: section.nonempty_text(&keys::MQTT_CERTIFICATE_FILE, report),
        private_key_file: section.nonempty_text(&keys::MQTT_PRIVATE_KEY_FILE, report),
        alpn: section.nonempty_text(&keys::MQTT_ALPN, report),
        sign,
        connections: section.number_or_default(&keys::MQTT_CONNECTIONS, report).value,
        max_packet: section.number_or_default(&keys::MQTT_MAX_PACKET, report),
        sync_interval_millis: section.number_or_default(&keys::MQTT_SYNC_INTERVAL, report).value,
        max_spool: section.number_or_default(&keys::MQTT_MAX_SPOOL, report),
        is_raw: section.choice(&keys::MQTT_PAYLOAD_FORMAT, report) == "raw",
        envelope,
    })
}

/// One text, one object, or a list of both.
fn topics(section: &Section<'_>, qos: u64, report: &mut Report) -> Vec<WrittenTopic> {
    let Some((value, at)) = section.value(&keys::MQTT_TOPICS) else {
        // It is required, which reading it says.
        section.text(&keys::MQTT_TOPICS, report);
        return Vec::new();
    };
    let single = std::slice::from_ref(value);
    let (values, is_list) = match &value.node {
        Node::List(values) => (values.as_slice(), true),
        _ => (single, false),
    };
    if values.is_empty() {
        let message = format!("`{}` is an empty list", at.path);
        report.add(
            crate::config::report::Kind::Empty,
            &at,
            message,
            "name at least one topic, such as \"devices/+/ping\"",
        );
    }
    let mut topics = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let path = if is_list { format!("{}[{index}]", at.path) } else { at.path.clone() };
        let at = At { place: value.place, path };
        match &value.node {
            Node::Text(text) => topics.push(WrittenTopic { filter: Placed { value: text.clone(), at }, qos }),
            Node::Object(_) => {
                let Some(inner) = Section::open(Level::Topic, value, &at.path, report) else { continue };
                let own = inner.number(&keys::TOPIC_QOS, report).map_or(qos, |own| own.value);
                if let Some(filter) = inner.text(&keys::TOPIC_FILTER, report) {
                    topics.push(WrittenTopic { filter, qos: own });
                }
            }
            _ => {
                let message = format!("`{}` is {}, not a topic", at.path, values::describe(value));
                let help = "write a filter such as \"devices/+/ping\", or {\"filter\": \"devices/+/ping\", \"qos\": 1}";
                values::wrong_type(value, &at, message, help, report);
            }
        }
    }
    topics
}

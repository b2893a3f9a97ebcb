//! What a conversation tells: the log, how its topics and its session stand; the next start, what is subscribed.
//! Promises one line for each change of a condition, also over several connections.
//! Leaves deciding how it stands to `subscriptions`.

use super::Conversation;
use datalake_mqtt::subscriptions::{Verdict, remembered};
use datalake_mqtt::words;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

impl Conversation<'_> {
    /// One line for each change.
    pub(super) fn tell_verdicts(&mut self, verdicts: &[(usize, Verdict)]) {
        for (place, verdict) in verdicts {
            let before = self.session.verdicts.insert(*place, *verdict);
            if before == Some(*verdict) {
                continue;
            }
            let (flow, topic) = (self.session.flow.as_str(), self.session.settings.topics[*place].written.as_str());
            match verdict {
                Verdict::Granted if before.is_none() => {}
                Verdict::Granted => tracing::info!(flow, topic, "the broker grants the subscription as asked for now"),
                Verdict::Lowered(quality) => tracing::warn!(
                    flow,
                    topic,
                    granted = quality.number(),
                    "the broker grants a lower quality of service than asked for; with 0, messages may be lost on the way"
                ),
                Verdict::Refused(code) => tracing::error!(
                    flow,
                    topic,
                    reason = words::not_subscribed(*code),
                    "the broker refuses the subscription; it is asked again every minute"
                ),
            }
        }
    }

    /// The same about how long the broker keeps what comes while the agent is away.
    pub(super) fn tell_expiry(&mut self, expiry: Option<Duration>) {
        let session = &mut *self.session;
        let asked = session.settings.session_expiry;
        let before = std::mem::replace(&mut session.expiry, expiry);
        if let Some(granted) = expiry.filter(|granted| *granted < asked && before != expiry) {
            tracing::warn!(
                flow = session.flow,
                ?asked,
                ?granted,
                "the broker keeps the session for less time than `sessionExpirySeconds` says; what comes while the agent is \
                 away for longer is lost"
            );
        }
    }

    /// Every topic was asked for and answered: remembers that, and tells how it stands.
    pub(super) fn settled(&mut self) {
        let session = &*self.session;
        let refused = self.subscriptions.refused();
        let topics = session.settings.topics.iter().enumerate();
        let granted: Vec<String> =
            topics.filter(|(place, _)| !refused.contains(place)).map(|(_, topic)| remembered(topic)).collect();
        let memory =
            json!({"clientId": self.client_id, "broker": session.settings.broker.to_string(), "topics": granted});
        // Without it the next start subscribes anew, which does no harm.
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600).open(&session.memory);
        file.and_then(|mut file| file.write_all(memory.to_string().as_bytes())).ok();
        let trouble = refused.first().map(|place| {
            let topic = &session.settings.topics[*place].written;
            format!("the broker refuses the subscription to {topic}")
        });
        let news = session.counters.stands(session.number.into(), true, trouble.as_deref());
        let first = !std::mem::replace(&mut self.session.announced, true);
        let session = &*self.session;
        let told = std::mem::replace(&mut self.told, true);
        if news || first || !(self.session_present || told) {
            tracing::info!(
                flow = session.flow,
                connection = session.number + 1,
                broker = %session.settings.broker,
                topics = granted.len(),
                session = if self.session_present { "continued" } else { "new" },
                "subscribed"
            );
        }
    }

    /// What was subscribed in the session that goes on.
    pub(super) fn recall(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(&self.session.memory).ok()?;
        let memory: serde_json::Value = serde_json::from_str(&text).ok()?;
        let same = memory["clientId"] == self.client_id.as_str()
            && memory["broker"] == self.session.settings.broker.to_string();
        let topics = memory["topics"].as_array().filter(|_| same)?;
        Some(topics.iter().filter_map(|topic| topic.as_str().map(str::to_owned)).collect())
    }
}

//! What a conversation tells: the log, how its topics and its session stand; the next start, what is subscribed.
//! Promises one line for each change of a condition, also over several connections.
//! Leaves deciding how it stands to `subscriptions`.

use super::{Conversation, GOOD_AFTER};
use crate::telemetry::ids;
use datalake_mqtt::memory::Memory;
use datalake_mqtt::subscriptions::Verdict;
use datalake_mqtt::words;
use std::time::Duration;
use tokio::time::Instant;

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
                    message_id = ids::SUBSCRIPTION_REFUSED,
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
        self.remember();
        if self.session.breached {
            // It lets us in each time, and breaks the protocol each time: that is one condition, not two in turn.
            self.believed_at.get_or_insert_with(|| Instant::now() + GOOD_AFTER);
        } else {
            self.tell_settled();
        }
    }

    /// Remembers what is subscribed, or is about to be asked, for the next connection.
    pub(super) fn remember(&self) {
        let session = &*self.session;
        let settings = &session.settings;
        let is_kept = !session.expiry.unwrap_or(settings.session_expiry).is_zero();
        let memory = self.subscriptions.memory(&settings.topics, &self.client_id, settings.broker.to_string(), is_kept);
        // Without it the next start subscribes anew, which does no harm.
        super::save(&session.memory, &memory.text()).ok();
    }

    /// The connection of a broker that broke the protocol before has stood for a while.
    pub(super) fn believe(&mut self, now: Instant) {
        if self.believed_at.is_some_and(|at| at <= now) {
            self.believed_at = None;
            self.session.breached = false;
            self.tell_settled();
        }
    }

    fn tell_settled(&mut self) {
        let session = &*self.session;
        let refused = self.subscriptions.refused();
        let topics = &session.settings.topics;
        let trouble =
            refused.first().map(|place| format!("the broker refuses the subscription to {}", topics[*place].written));
        let news = session.counters.stands(session.number.into(), true, trouble.as_deref());
        let first = !std::mem::replace(&mut self.session.announced, true);
        let session = &*self.session;
        let told = std::mem::replace(&mut self.told, true);
        if news || first || !(self.session_present || told) {
            tracing::info!(
                flow = session.flow,
                connection = session.number + 1,
                broker = %session.settings.broker,
                topics = session.settings.topics.len() - refused.len(),
                session = if self.session_present { "continued" } else { "new" },
                "subscribed"
            );
        }
    }

    /// What is known of the session that goes on.
    pub(super) fn recall(&self) -> Option<Memory> {
        let text = std::fs::read_to_string(&self.session.memory).ok()?;
        let broker = self.session.settings.broker.to_string();
        Memory::read(&text).filter(|memory| memory.client_id == self.client_id && memory.broker == broker)
    }
}

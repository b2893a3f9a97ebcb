//! What is remembered of a session at a broker, from one connection to the next and over restarts.
//! Promises that a filter stays known for as long as the session may hold messages of it.
//! Leaves the file to the agent.

use super::settings::Settings;
use super::topics::Topic;
use serde_json::{Value, json};

/// The session of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// As whom the connection signed in.
    pub client_id: String,
    /// Where, as it is displayed.
    pub broker: String,
    /// Whether the broker keeps the session while nobody is connected.
    pub is_kept: bool,
    /// What is subscribed: `1 devices/+/ping`, the quality first.
    pub topics: Vec<String>,
    /// What was asked for or taken back, in the same form, and not answered yet: it may be subscribed.
    pub asked: Vec<String>,
    /// Filters that were taken back in this session; unknown where it began before they were remembered.
    pub past: Option<Vec<String>>,
}

impl Memory {
    /// Reads the text of an earlier run; `None` where it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let memory: Value = serde_json::from_str(text).ok()?;
        let list = |key: &str| -> Option<Vec<String>> {
            let list = memory[key].as_array()?;
            Some(list.iter().filter_map(|entry| entry.as_str().map(str::to_owned)).collect())
        };
        Some(Self {
            client_id: memory["clientId"].as_str()?.to_owned(),
            broker: memory["broker"].as_str()?.to_owned(),
            is_kept: memory["kept"].as_bool().unwrap_or(true),
            topics: list("topics")?,
            asked: list("asked").unwrap_or_default(),
            past: list("past"),
        })
    }

    /// The text that [`Memory::read`] takes.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { client_id, broker, is_kept, topics, asked, past } = self;
        json!({
            "clientId": client_id, "broker": broker, "kept": is_kept, "topics": topics, "asked": asked, "past": past,
        })
        .to_string()
    }

    /// The filters of what is subscribed, or may be.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().chain(&self.asked).filter_map(|line| Some(line.split_once(' ')?.1))
    }

    /// Whether one of the connections of these settings goes on with the session.
    #[must_use]
    pub fn belongs_to(&self, settings: &Settings) -> bool {
        let mut ours = (0..settings.connections).map(|number| settings.client_id_of(number));
        self.broker == settings.broker.to_string() && ours.any(|client_id| client_id == self.client_id)
    }
}

/// Of which topics messages may come, beside those of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Past {
    /// Of all: the session is older than what is remembered of it.
    #[default]
    Unknown,
    /// Of these, which were subscribed earlier in the session: messages of them may wait at the broker.
    Filters(Vec<Topic>),
}

impl Past {
    /// Whether the session may hold messages of this topic.
    #[must_use]
    pub fn covers(&self, topic: &str) -> bool {
        match self {
            Self::Unknown => true,
            Self::Filters(filters) => filters.iter().any(|filter| filter.matches(topic)),
        }
    }

    /// The filters, where they are known.
    #[must_use]
    pub fn filters(&self) -> Option<Vec<String>> {
        match self {
            Self::Unknown => None,
            Self::Filters(filters) => Some(filters.iter().map(|topic| topic.filter.clone()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_an_older_file_knows_no_past() {
        let memory = Memory {
            client_id: "agent".to_owned(),
            broker: "mqtt://localhost:1883".to_owned(),
            is_kept: false,
            topics: vec!["1 a/#".to_owned()],
            asked: vec!["2 b".to_owned()],
            past: Some(vec!["old/+".to_owned()]),
        };
        assert_eq!(Memory::read(&memory.text()), Some(memory.clone()));
        assert_eq!(memory.filters().collect::<Vec<_>>(), ["a/#", "b"]);
        let older = Memory::read(r#"{"clientId":"agent","broker":"b","topics":[]}"#).unwrap();
        assert_eq!((older.past, older.asked, older.is_kept), (None, Vec::new(), true));
        assert_eq!(Memory::read("{"), None);
    }
}

//! What a key of the configuration is: name, kind of value, range, default and meaning.
//! Promises that one description serves reading, documentation and schema.
//! Leaves the keys themselves to `keys`.

use datalake_base::units::ByteSize;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds when the key is left out.
    pub default: Default,
    /// What it does, in one or two sentences.
    pub meaning: &'static str,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// A text.
    Text,
    /// A text or a list of texts.
    Texts,
    /// `true` or `false`.
    Boolean,
    /// A whole number, both ends included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest; `u64::MAX` is no limit.
        max: u64,
    },
    /// A number of bytes, or a text with a unit; both ends included.
    Size {
        /// The smallest.
        min: u64,
        /// The largest; `u64::MAX` is no limit.
        max: u64,
    },
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `"none"`, `"gzip"`, or an object with the keys of `COMPRESSION_KEYS`.
    Compression,
    /// An object with the keys of `MQTT_KEYS`.
    Mqtt,
    /// A text, an object with the keys of `TOPIC_KEYS`, or a list of both.
    Topics,
    /// `"RANDOM"`, `"DETERMINISTIC"`, or an object with one of the keys of `PARTITION_KEY_KEYS`.
    PartitionKey,
    /// A list of objects as docs/processing.md describes them.
    Options,
    /// A list of objects with the keys of `FLOW_KEYS`.
    Flows,
}

/// What holds when a key is left out.
#[derive(Debug)]
pub enum Default {
    /// The key must be there.
    Required,
    /// Nothing; the words say what that means.
    Unset(&'static str),
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u64),
    /// This.
    Boolean(bool),
}

impl Key {
    /// Whether the most depends on the service: then it is checked where that is known.
    #[must_use]
    pub fn is_bounded_by_service(&self) -> bool {
        matches!(self.name, "maxBufferSizeBytes" | "aggregatedRecordSizeBytes")
    }

    /// The default as it would be written in a configuration.
    #[must_use]
    pub fn written_default(&self) -> Option<String> {
        match (&self.default, &self.kind) {
            (Default::Required | Default::Unset(_), _) => None,
            (Default::Text(text), _) => Some(super::report::quoted(text)),
            (Default::Number(number), Kind::Size { .. }) if *number >= 1024 && number % 1024 == 0 => {
                Some(format!("\"{}\"", ByteSize::bytes(*number)))
            }
            (Default::Number(number), _) => Some(number.to_string()),
            (Default::Boolean(flag), _) => Some(flag.to_string()),
        }
    }
}

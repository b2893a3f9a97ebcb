//! Topic filters: what a message belongs to, and which levels of its topic have names.
//! Promises that a filter that was parsed is one that a broker takes, with `+` where a level has a name.
//! Leaves subscribing to `session` and writing named levels to `envelope`.

use super::packets::Quality;

/// The longest filter that a packet can hold.
const LONGEST: usize = 65_535;
/// What the envelope calls its own fields; no level may be called the same.
pub const RESERVED: [&str; 8] =
    ["topic", "qos", "retained", "receivedAt", "messageId", "userProperties", "payload", "base64"];

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// As the operator wrote it: `devices/{device_id}/ping`.
    pub written: String,
    /// As the broker is asked: `devices/+/ping`.
    pub filter: String,
    /// The quality asked for; the broker may grant less.
    pub quality: Quality,
    /// Levels with a name, counted from 0 in the topic of a message.
    named: Vec<(usize, String)>,
}

/// Why a text is no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Empty, too long, or with a NUL character.
    #[error("a filter has 1 to 65,535 bytes and no NUL character")]
    Text,
    /// `#` elsewhere than alone at the end.
    #[error("`#` stands alone, as the last level")]
    Rest,
    /// `+` beside other characters.
    #[error("`+` stands alone in its level")]
    Any,
    /// A name that is none.
    #[error("a name in braces fills its level, such as `{{device_id}}`: letters, digits and `_`, not a digit first")]
    Name,
    /// The name of a field of the envelope, or one that is there already.
    #[error("the name in braces is taken; give the level another")]
    Taken,
    /// `$share` without group or filter.
    #[error("a shared subscription is written `$share/GROUP/FILTER`")]
    Share,
}

impl Topic {
    /// Reads a filter.
    ///
    /// # Errors
    /// When no broker would take it, or a name in braces is none.
    pub fn parse(written: &str, quality: Quality) -> Result<Self, TopicError> {
        if written.is_empty() || written.len() > LONGEST || written.contains('\0') {
            return Err(TopicError::Text);
        }
        let (prefix, rest) = match written.strip_prefix("$share/") {
            None => ("", written),
            Some(shared) => match shared.split_once('/') {
                Some((group, rest)) if !group.is_empty() && !rest.is_empty() && !group.contains(['+', '#']) => {
                    (&written[..written.len() - rest.len()], rest)
                }
                _ => return Err(TopicError::Share),
            },
        };
        let mut named: Vec<(usize, String)> = Vec::new();
        let levels: Vec<&str> = rest.split('/').collect();
        let mut plain = Vec::with_capacity(levels.len());
        for (place, level) in levels.iter().enumerate() {
            if level.contains('#') && (*level != "#" || place + 1 < levels.len()) {
                return Err(TopicError::Rest);
            }
            if level.contains('+') && *level != "+" {
                return Err(TopicError::Any);
            }
            if !level.contains(['{', '}']) {
                plain.push(*level);
                continue;
            }
            let name = level.strip_prefix('{').and_then(|level| level.strip_suffix('}')).filter(|name| is_name(name));
            let name = name.ok_or(TopicError::Name)?;
            if RESERVED.contains(&name) || named.iter().any(|(_, other)| other == name) {
                return Err(TopicError::Taken);
            }
            named.push((place, name.to_owned()));
            plain.push("+");
        }
        Ok(Self { written: written.to_owned(), filter: format!("{prefix}{}", plain.join("/")), quality, named })
    }

    /// Whether a message of this topic belongs to the subscription.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let filter = self.filter.strip_prefix("$share/").and_then(|shared| shared.split_once('/'));
        let filter = filter.map_or(self.filter.as_str(), |(_, filter)| filter);
        if topic.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in filter.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// The named levels of the topic of a message, with their names.
    pub fn fields<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.named.iter().filter_map(|(place, name)| Some((name.as_str(), topic.split('/').nth(*place)?)))
    }

    /// Whether a broker divides its messages among all who share it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.filter.starts_with("$share/")
    }

    /// Whether some levels have names.
    #[must_use]
    pub const fn has_fields(&self) -> bool {
        !self.named.is_empty()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(written: &str) -> Result<Topic, TopicError> {
        Topic::parse(written, Quality::AtLeastOnce)
    }

    #[test]
    fn names_in_braces_are_any_level_for_the_broker_and_fields_for_the_lake() {
        let topic = topic("$share/lake/devices/{device_id}/{kind}/#").unwrap();
        assert_eq!(topic.filter, "$share/lake/devices/+/+/#");
        assert!(topic.matches("devices/a7/ping/x/y"));
        assert_eq!(topic.fields("devices/a7/ping/x").collect::<Vec<_>>(), [("device_id", "a7"), ("kind", "ping")]);
    }

    #[test]
    fn what_matches_is_what_the_standard_says() {
        for (filter, yes, no) in [
            ("a/b", &["a/b"][..], &["a", "a/b/c", "/a/b"][..]),
            ("a/+", &["a/b", "a/"], &["a", "a/b/c"]),
            ("a/#", &["a", "a/b", "a/b/c"], &["b", "ab"]),
            ("#", &["a", "/a/b"], &["$SYS/x"]),
            ("+/b", &["a/b", "/b"], &["$SYS/b"]),
            ("$SYS/#", &["$SYS/x"], &["a"]),
            ("$share/g/a/+", &["a/b"], &["g/a/b"]),
        ] {
            let filter = topic(filter).unwrap();
            yes.iter().for_each(|name| assert!(filter.matches(name), "{filter:?} {name}"));
            no.iter().for_each(|name| assert!(!filter.matches(name), "{filter:?} {name}"));
        }
    }

    #[test]
    fn a_filter_that_no_broker_takes_is_refused_with_what_is_wrong() {
        for (written, fault) in [
            ("", TopicError::Text),
            ("a\0", TopicError::Text),
            ("a/#/b", TopicError::Rest),
            ("a#", TopicError::Rest),
            ("a+/b", TopicError::Any),
            ("a/{b c}", TopicError::Name),
            ("a/x{b}", TopicError::Name),
            ("a/{1b}", TopicError::Name),
            ("{payload}", TopicError::Taken),
            ("{a}/{a}", TopicError::Taken),
            ("$share/g", TopicError::Share),
            ("$share//a", TopicError::Share),
        ] {
            assert_eq!(topic(written), Err(fault), "{written:?}");
        }
    }
}

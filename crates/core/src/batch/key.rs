//! Partition keys: by chance, from the record's bytes, from a field of it, or from the path of its file.
//! Promises 1 to 256 characters, and the same key for the same bytes, value or path on every host.
//! Leaves when a key is asked for to `kinesis`, and which shard it means to the service.

use md5::{Digest, Md5};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Characters of a key (API reference of `PutRecordsRequestEntry`).
const MOST_CHARACTERS: usize = 256;
/// Bytes of a key that was drawn or hashed: 64 bits in hexadecimal.
const HASHED_BYTES: usize = 16;

/// Where the partition key of a record comes from.
#[derive(Clone, Debug, Default)]
pub enum PartitionKey {
    /// Drawn anew for each record, so that shards fill evenly.
    #[default]
    Random,
    /// A hash of the record: the same bytes always go to the same shard.
    Deterministic,
    /// The value of this member of the record, where that is a JSON object with a text, number or truth value there; else
    /// drawn.
    Field(String),
    /// What the first group of the expression matches in the path of the file, or the whole match where there is no
    /// group; the whole path where it does not match.
    Path(regex::Regex),
}

impl PartitionKey {
    /// Whether two lines of one file can have different keys.
    pub(super) const fn differs_by_line(&self) -> bool {
        matches!(self, Self::Field(_) | Self::Deterministic)
    }

    /// The most bytes that a key has.
    pub(super) const fn longest(&self) -> usize {
        match self {
            Self::Random | Self::Deterministic => HASHED_BYTES,
            // Four bytes is the longest character.
            Self::Field(_) | Self::Path(_) => 4 * MOST_CHARACTERS,
        }
    }
}

/// A key by chance.
pub(super) fn draw(random: &mut fastrand::Rng, key: &mut String) {
    key.clear();
    write!(key, "{:016x}", random.u64(..)).expect("writing to a text cannot fail");
}

/// A key from all these bytes.
pub(super) fn hash(bytes: &[u8], key: &mut String) {
    key.clear();
    let digest = Md5::digest(bytes);
    for byte in &digest[..HASHED_BYTES / 2] {
        write!(key, "{byte:02x}").expect("writing to a text cannot fail");
    }
}

/// The value as a key: itself, or its hash where it is longer than a key may be. `false` where it is empty.
pub(super) fn of_value(value: &str, key: &mut String) -> bool {
    if value.len() > MOST_CHARACTERS && value.chars().nth(MOST_CHARACTERS).is_some() {
        hash(value.as_bytes(), key);
    } else {
        key.clear();
        key.push_str(value);
    }
    !key.is_empty()
}

/// The key of all lines of a file.
pub(super) fn of_path(pattern: &regex::Regex, path: &Path) -> String {
    let path = path.to_string_lossy();
    let found = pattern.captures(&path).and_then(|groups| groups.get(1).or_else(|| groups.get(0)));
    let mut key = String::new();
    // An empty match says as little as none.
    if !found.is_some_and(|found| of_value(found.as_str(), &mut key)) {
        of_value(&path, &mut key);
    }
    key
}

/// The value of a member of a JSON object, as text; nothing if the line is no object, or has no such member, or has an
/// object, a list or `null` there. The line is not proven to be JSON beyond what is looked at.
pub(super) fn field<'a>(line: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut scanner = Scanner { rest: line };
    scanner.expect(b'{')?;
    loop {
        let member = scanner.text()?;
        scanner.expect(b':')?;
        if unescaped(member)? == name {
            return scanner.value();
        }
        scanner.skip_value()?;
        scanner.expect(b',')?;
    }
}

/// A string between its quotes, escapes resolved.
fn unescaped(text: &[u8]) -> Option<Cow<'_, str>> {
    // With its quotes it is JSON again.
    if memchr::memchr(b'\\', text).is_some() {
        return serde_json::from_slice(&[b"\"", text, b"\""].concat()).ok().map(Cow::Owned);
    }
    std::str::from_utf8(text).ok().map(Cow::Borrowed)
}

/// Where a scan of one line stands.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.rest = &self.rest[1..];
        Some(())
    }

    /// The string that begins here, without its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let whole = self.rest;
        let mut at = 0;
        loop {
            at += memchr::memchr2(b'"', b'\\', whole.get(at..)?)?;
            if whole[at] == b'"' {
                self.rest = &whole[at + 1..];
                return Some(&whole[..at]);
            }
            at += 2;
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> &'a str {
        let end = self.rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        std::str::from_utf8(word).unwrap_or_default()
    }

    fn value(&mut self) -> Option<Cow<'a, str>> {
        match self.peek()? {
            b'"' => unescaped(self.text()?),
            b'{' | b'[' => None,
            _ => match self.word() {
                "" | "null" => None,
                word => Some(Cow::Borrowed(word)),
            },
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.text()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.rest = &self.rest[1..];
                }
                b',' | b':' if depth > 0 => {
                    self.rest = &self.rest[1..];
                    continue;
                }
                _ if self.word().is_empty() => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_is_found_wherever_it_stands() {
        for (line, found) in [
            (r#"{"user":"ann"}"#, Some("ann")),
            ("  { \"a\" : [1, {\"user\":\"no\"}, \"]\"] , \"user\" : 17 }\n", Some("17")),
            (r#"{"a":"\"user\":\"no\"","user":true}"#, Some("true")),
            (r#"{"a":{"user":"no"},"b":-1.5e3,"c":null,"user":"ye\u0073 \\"}"#, Some("yes \\")),
            (r#"{"u\u0073er":"escaped"}"#, Some("escaped")),
            (r#"{"user":null}"#, None),
            (r#"{"user":{"id":1}}"#, None),
            (r#"{"users":"ann"}"#, None),
            (r#"["user","ann"]"#, None),
            (r#"{"user""#, None),
            (r#"{"a":"b" "user":"no"}"#, None),
            ("plain text", None),
            ("", None),
            ("{\"user\":\"\u{e4}\"}", Some("\u{e4}")),
        ] {
            assert_eq!(field(line.as_bytes(), "user").as_deref(), found, "{line}");
        }
        assert_eq!(field(b"{\"user\":\"\xff\"}", "user"), None);
        assert_eq!(field(b"{\"user\":\"a\\", "user"), None);
    }

    #[test]
    fn a_key_is_never_longer_than_the_service_takes() {
        let mut key = String::new();
        assert!(of_value(&"\u{e4}".repeat(256), &mut key) && key.chars().count() == 256);
        assert!(of_value(&"\u{e4}".repeat(257), &mut key) && key.len() == HASHED_BYTES);
        assert!(!of_value("", &mut key));
        draw(&mut fastrand::Rng::with_seed(1), &mut key);
        assert_eq!(key.len(), HASHED_BYTES);
        hash(b"abc", &mut key);
        assert_eq!(key, "900150983cd24fb0");
    }

    #[test]
    fn a_path_gives_its_group_its_match_or_itself() {
        let key = |pattern: &str, path: &str| of_path(&regex::Regex::new(pattern).unwrap(), Path::new(path));
        assert_eq!(key("/apps/([^/]+)/", "/var/apps/shop/a.log"), "shop");
        assert_eq!(key("[a-z]+[.]log$", "/var/apps/shop/a.log"), "a.log");
        assert_eq!(key("/jobs/([^/]+)/", "/var/apps/shop/a.log"), "/var/apps/shop/a.log");
        assert_eq!(key("x*", "/a"), "/a", "an empty match is none");
    }

    proptest! {
        #[test]
        fn whatever_serde_reads_in_an_object_is_found(
            members in prop::collection::vec(("[a-c\"\\\\\u{e4}]{0,3}", any::<Option<i32>>(), ".{0,8}"), 0..6),
            wanted in "[a-c\"\\\\\u{e4}]{0,3}",
        ) {
            let value = |number: &Option<i32>, text: &str| match number {
                Some(number) if number % 3 == 0 => serde_json::json!({"a": [text, {"b": number}]}),
                Some(number) => serde_json::json!(number),
                None => serde_json::json!(text),
            };
            let object: serde_json::Map<_, _> =
                members.iter().map(|(name, number, text)| (name.clone(), value(number, text))).collect();
            let expected = object.get(&wanted).and_then(|value| match value {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => None,
            });
            for text in [serde_json::to_string(&object).unwrap(), serde_json::to_string_pretty(&object).unwrap()] {
                let found = field(text.as_bytes(), &wanted).map(Cow::into_owned);
                prop_assert_eq!(&found, &expected, "{}", text);
            }
        }

        #[test]
        fn no_bytes_make_the_scan_panic(bytes in prop::collection::vec(prop::sample::select(b"{}[]\":,\\a1 \xff".to_vec()), 0..60)) {
            drop(field(&bytes, "a"));
        }
    }
}

//! Who a reaction is: one rule, as it is now, and one object, as it is now.
//! Promises that identities differ when any part differs, however the parts are cut, and are the same everywhere.
//! Leaves what an etag is to S3 and to what stands in for it.

use sha2::{Digest, Sha256};
use std::fmt;

/// A rule as it is now: its query and where its result goes. Another text is another version, whose results are new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version([u8; 32]);

/// One rule meets one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 32]);

/// Each part behind its length, so that no two lists of parts are one text.
fn digest(kind: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in std::iter::once(&kind).chain(parts) {
        hash.update(part.len().to_string().as_bytes());
        hash.update(b":");
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

impl Version {
    /// `query` is the text of the file, with its placeholders; `target` says what kind of result goes where.
    #[must_use]
    pub fn of(query: &str, target: &str) -> Self {
        Self(digest("version", &[query, target]))
    }
}

impl Identity {
    /// `key` as it is in the bucket, decoded; the etag with or without its quotes.
    #[must_use]
    pub fn of(rule: &str, version: &Version, key: &str, etag: &str) -> Self {
        let version = hex(&version.0);
        Self(digest("reaction", &[rule, &version, key, etag.trim_matches('"')]))
    }

    /// The first 16 digits, for names of objects.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0[..8])
    }

    /// Reads what [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 digits, which Athena takes as a `ClientRequestToken`.
impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_part_and_every_cut_between_parts_makes_another_identity() {
        let mut seen = HashSet::new();
        for (query, target) in [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a")] {
            let version = Version::of(query, target);
            for (rule, key, etag) in
                [("r", "k", "e"), ("rk", "", "e"), ("r", "ke", ""), ("", "rk", "e"), ("r", "k", "f")]
            {
                assert!(seen.insert(Identity::of(rule, &version, key, etag)), "{query} {target} {rule} {key} {etag}");
            }
        }
    }

    /// Results in a bucket are found again by this name. A change of it makes every object of every lake set everything
    /// off once more.
    #[test]
    fn the_identity_of_a_reaction_stays_as_it_was_released() {
        let version = Version::of("SELECT 1", "into:battery");
        let identity = Identity::of("battery", &version, "raw/v0/ping/dt=2026-03-09-07/a b.gz", "\"0cc1\"");
        assert_eq!(identity, Identity::of("battery", &version, "raw/v0/ping/dt=2026-03-09-07/a b.gz", "0cc1"));
        assert_eq!(identity.to_string(), "1c477cf2ac03264b9b044210fca3329bf1c2f3faac68a6014a1a7c44edfb15b7");
        assert_eq!(Identity::parse(&identity.to_string()), Some(identity));
        assert!(identity.to_string().starts_with(&identity.short()) && identity.short().len() == 16);
    }

    #[test]
    fn what_is_no_identity_is_none() {
        for text in ["", "0", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(Identity::parse(text), None, "{text}");
        }
    }
}

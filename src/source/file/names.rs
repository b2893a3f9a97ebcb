//! What file names say about rotation: `app.log.1`, `app-20261121.log`, `app.log.2.gz`.
//! Promises answers from the names alone; a name is a reason to look at the content, never a proof.
//! Leaves looking at the content to the search for copies.

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Bzip2,
}

const PACKED: [(&[u8], Packing); 3] = [(b".gz", Packing::Gzip), (b".zst", Packing::Zstd), (b".bz2", Packing::Bzip2)];

/// Words that stand for "an earlier one" or "a copy".
const WORDS: [&[u8]; 7] = [b"bak", b"old", b"copy", b"orig", b"prev", b"save", b"rotated"];

/// The packing that the name promises.
pub(super) fn packing(name: &[u8]) -> Option<Packing> {
    PACKED.iter().find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix)).map(|(_, packing)| *packing)
}

/// The name without the suffix of an archive.
pub(super) fn unpacked(name: &[u8]) -> &[u8] {
    PACKED
        .iter()
        .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix))
        .map_or(name, |(suffix, _)| &name[..name.len() - suffix.len()])
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'.' | b'-' | b'_')
}

fn is_dated(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'T' | b'Z' | b'+')
}

/// Whether this is a number or a date, as rotation appends it.
fn is_number_or_date(piece: &[u8]) -> bool {
    piece.first().is_some_and(u8::is_ascii_digit) && piece.iter().all(|byte| is_dated(*byte))
}

/// The text without a trailing `.1`, `-2026-11-21`, `_old`.
fn without_piece(text: &[u8]) -> Option<&[u8]> {
    for (at, _) in text.iter().enumerate().filter(|(at, byte)| *at > 0 && is_separator(**byte)) {
        let piece = &text[at + 1..];
        if is_number_or_date(piece) || WORDS.iter().any(|word| piece.eq_ignore_ascii_case(word)) {
            return Some(&text[..at]);
        }
    }
    None
}

/// Stem and extension, where the extension starts with a letter: `app-1` and `.log`.
fn split_extension(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    name.get(dot + 1).is_some_and(u8::is_ascii_alphabetic).then(|| name.split_at(dot))
}

/// The names that a file of this name may be a copy of: itself without one rotation suffix.
pub(super) fn parents(name: &[u8]) -> Vec<Vec<u8>> {
    let name = unpacked(name);
    let mut found: Vec<Vec<u8>> = without_piece(name).map(<[u8]>::to_vec).into_iter().collect();
    if let Some((stem, extension)) = split_extension(name)
        && let Some(shorter) = without_piece(stem)
    {
        found.push([shorter, extension].concat());
    }
    found
}

/// The name without any rotation suffix: all rotations of one log have the same.
pub(super) fn family(name: &[u8]) -> Vec<u8> {
    let mut name = unpacked(name).to_vec();
    // Each round makes the name shorter, so this ends.
    while let Some(shorter) = parents(&name).into_iter().next() {
        name = shorter;
    }
    name
}

/// Whether `name` is `live` plus a number or a date (behind it or before its extension), packed or not.
pub(super) fn is_rotation_of(live: &[u8], name: &[u8]) -> bool {
    let name = unpacked(name);
    let numbered = |base: &[u8], name: &[u8]| {
        name.strip_prefix(base)
            .and_then(|rest| rest.split_first())
            .is_some_and(|(separator, piece)| is_separator(*separator) && is_number_or_date(piece))
    };
    if numbered(live, name) {
        return true;
    }
    match (split_extension(live), split_extension(name)) {
        (Some((base, live_extension)), Some((stem, extension))) if live_extension == extension => numbered(base, stem),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_behind_the_name_or_before_its_extension_are_rotations() {
        for name in [
            "app.log.1",
            "app.log.12",
            "app.log-20261121",
            "app.log.2026-11-21-10",
            "app-20261121.log",
            "app.3.log",
            "app.log.1.gz",
            "app-2026-11-21.log.zst",
            "app.log.2026-11-21T10:00:00Z.bz2",
        ] {
            assert!(is_rotation_of(b"app.log", name.as_bytes()), "{name}");
        }
        for name in ["app.log", "app.log.txt", "app1.log", "other.log.1", "app.log.gz", "application.log.1"] {
            assert!(!is_rotation_of(b"app.log", name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn all_rotations_of_a_log_are_one_family() {
        for name in ["app.log", "app.log.1", "app.log.2.gz", "app-20261121.log", "app.log.old", "app.log.1.bak"] {
            assert_eq!(family(name.as_bytes()), b"app.log", "{name}");
        }
        assert_eq!(family(b".1"), b".1");
        assert_eq!(family(b"12"), b"12");
    }

    #[test]
    fn a_copy_is_named_after_what_it_was_copied_from() {
        assert_eq!(parents(b"app.log.1"), [b"app.log".to_vec()]);
        assert_eq!(parents(b"app-1.log"), [b"app.log".to_vec()]);
        assert!(parents(b"app.log").is_empty());
        assert!(parents(b"app.log.gz").is_empty() && unpacked(b"app.log.gz") == b"app.log");
    }
}

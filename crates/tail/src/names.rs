//! What file names say about rotation: `app.log.1`, `app-20261121.log`, `app.log.26Nov2026`, `0.log.TIME.gz.tmp`.
//! Promises answers from the names alone; a name is a reason to look at the content, never a proof.
//! Leaves looking at the content to the core.

/// The names that a file of this name may be a rotation of, the longest first.
#[must_use]
pub fn kin(name: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let name = unpacked(name);
    for (at, _) in name.iter().enumerate().rev().filter(|(at, byte)| *at > 0 && is_separator(**byte)) {
        let (base, rest) = (&name[..at], &name[at + 1..]);
        if is_rotation(rest) {
            found.push(base.to_vec());
        }
        // Before the extension: `app-20261121.log` is of `app.log`.
        if let Some(dot) = rest.iter().rposition(|byte| *byte == b'.')
            && is_rotation(&rest[..dot])
            && rest.get(dot + 1).is_some_and(u8::is_ascii_alphabetic)
        {
            found.push([base, &rest[dot..]].concat());
        }
    }
    found.retain(|base| base != name);
    found
}

/// Whether `name` may be a rotation of `live`, in a folder that holds rotations: also without a separator.
#[must_use]
pub fn is_kin(live: &[u8], name: &[u8]) -> bool {
    if name == live {
        return false;
    }
    let bare = unpacked(name);
    let beyond = bare.strip_prefix(live).is_some_and(|rest| {
        rest.is_empty() || is_rotation(rest.strip_prefix(b".").or(rest.strip_prefix(b"-")).unwrap_or(rest))
    });
    beyond || kin(name).iter().any(|base| base == live)
}

/// The name without any rotation suffix: all rotations of one log have the same.
#[must_use]
pub fn family(name: &[u8]) -> Vec<u8> {
    let mut shortest = unpacked(name).to_vec();
    while let Some(shorter) = kin(&shortest).pop() {
        shortest = shorter;
    }
    shortest
}

/// A number that is smaller for an older rotation: high counters come before low ones, and those before dates.
#[must_use]
pub(crate) fn age(name: &[u8]) -> u64 {
    const MIDDLE: u64 = u64::MAX / 2;
    let name = unpacked(name);
    let family = family(name);
    if family == name {
        return u64::MAX;
    }
    let common = name.iter().zip(&family).take_while(|(one, other)| one == other).count();
    let digits = name[common..].iter().filter(|byte| byte.is_ascii_digit()).take(17);
    let number = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    if number < 10_000 { MIDDLE - number } else { MIDDLE + number }
}

const PACKED: [&[u8]; 7] = [b".gz", b".zst", b".bz2", b".xz", b".zip", b".lz4", b".Z"];
const UNFINISHED: [&[u8]; 3] = [b".tmp", b".part", b"~"];

/// Words that stand for "an earlier one" or "a copy", and what dates are written with.
const WORDS: [&[u8]; 27] = [
    b"bak", b"old", b"copy", b"orig", b"prev", b"save", b"rotated", b"backup", b"archive", b"last", b"jan", b"feb",
    b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec", b"am", b"pm", b"utc", b"t", b"z",
];

/// The name without the suffixes of archives and of files that are being made.
fn unpacked(mut name: &[u8]) -> &[u8] {
    while let Some(shorter) = PACKED
        .iter()
        .chain(&UNFINISHED)
        .find_map(|suffix| name.strip_suffix(*suffix))
        .filter(|shorter| !shorter.is_empty())
    {
        name = shorter;
    }
    name
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b'.' | b'-' | b'_')
}

/// Whether this is what rotation appends: numbers, dates, a word, one or two letters.
fn is_rotation(piece: &[u8]) -> bool {
    if piece.is_empty() {
        return false;
    }
    if piece.len() <= 2 && piece.iter().all(u8::is_ascii_alphabetic) {
        return true;
    }
    // Digits and separators stand between words.
    piece
        .split(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'+' | b'@' | b'%'))
        .filter(|word| !word.is_empty())
        .all(|word| WORDS.iter().any(|known| word.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_dates_letters_and_words_behind_the_name_or_before_its_extension_are_rotations() {
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
            "app.log.26Nov2026",
            "app.log.26Nov2026.xz",
            "app.log.a",
            "app.log.ab",
            "app.log.old",
            "app.log.20261128-101112.gz.tmp",
        ] {
            assert!(
                kin(name.as_bytes()).contains(&b"app.log".to_vec()) && is_kin(b"app.log", name.as_bytes()),
                "{name}"
            );
        }
        for name in
            ["app.log", "app.log.txt", "app1.log", "other.log.1", "application.log.1", "app-error.log", "app.log.lock"]
        {
            assert!(
                !kin(name.as_bytes()).contains(&b"app.log".to_vec()) && !is_kin(b"app.log", name.as_bytes()),
                "{name}"
            );
        }
        assert!(is_kin(b"web.stdout.log", b"web.stdout.log1795867668.gz"));
        assert!(is_kin(b"app.log", b"app.log.gz"));
        assert!(kin(b".1").is_empty() && kin(b"12").is_empty());
    }
}

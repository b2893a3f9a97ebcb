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
    // svlogd, multilog and s6-log: `current` becomes `@` and the time in hex digits.
    if tai64n(name).is_some() {
        found.push(b"current".to_vec());
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

/// Whether a file of this name may be the log itself or a rotation of it.
#[must_use]
pub(crate) fn is_of(live: &[u8], name: &[u8]) -> bool {
    name == live || is_kin(live, name)
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
    if let Some(time) = tai64n(name) {
        return MIDDLE + time;
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

/// Words that occur in dates, and in names of other logs too: they count beside the digits of a year.
const DATED: [&[u8]; 48] = [
    b"mon",
    b"tue",
    b"wed",
    b"thu",
    b"fri",
    b"sat",
    b"sun",
    b"monday",
    b"tuesday",
    b"wednesday",
    b"thursday",
    b"friday",
    b"saturday",
    b"sunday",
    b"january",
    b"february",
    b"march",
    b"april",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
    b"sept",
    b"gmt",
    b"bst",
    b"cet",
    b"cest",
    b"eet",
    b"eest",
    b"est",
    b"edt",
    b"cst",
    b"cdt",
    b"mst",
    b"mdt",
    b"pst",
    b"pdt",
    b"ist",
    b"jst",
    b"h",
    b"m",
    b"s",
    b"w",
    b"kw",
    b"week",
];

/// The time in a name as svlogd, multilog and s6-log write it: seconds and nanoseconds, of which the last bits are left out.
fn tai64n(name: &[u8]) -> Option<u64> {
    let stamp = name.strip_prefix(b"@")?;
    let stamp = stamp.strip_suffix(b".s").or(stamp.strip_suffix(b".u")).unwrap_or(stamp);
    let digits = std::str::from_utf8(stamp).ok().filter(|stamp| stamp.len() == 24)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let (seconds, nanoseconds) = digits.split_at(16);
    let seconds = u64::from_str_radix(seconds, 16).ok()? & 0xffff_ffff;
    let nanoseconds = u64::from_str_radix(nanoseconds, 16).ok()?;
    Some((seconds << 30) | (nanoseconds >> 2))
}

/// The name without the suffixes of archives and of files that are being made.
pub(crate) fn unpacked(mut name: &[u8]) -> &[u8] {
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
    let is_dated = piece.iter().filter(|byte| byte.is_ascii_digit()).count() >= 4;
    let is_word = |known: &&[u8], word: &[u8]| word.eq_ignore_ascii_case(known);
    // Digits and separators stand between words.
    piece
        .split(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'+' | b'@' | b'%'))
        .filter(|word| !word.is_empty())
        .all(|word| {
            WORDS.iter().any(|known| is_word(known, word))
                || (is_dated && DATED.iter().any(|known| is_word(known, word)))
        })
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
            "app.log.2026-W47",
            "app.log.2026-11-28_10h30m",
            "app-28-November-2026.log",
            "app.log.Sat-28-Nov-2026-10:00:00-GMT.gz",
        ] {
            assert!(
                kin(name.as_bytes()).contains(&b"app.log".to_vec()) && is_kin(b"app.log", name.as_bytes()),
                "{name}"
            );
        }
        for name in [
            "app.log",
            "app.log.txt",
            "app1.log",
            "other.log.1",
            "application.log.1",
            "app-error.log",
            "app.log.lock",
            "app-week.log",
            "app.log.s3",
            "app-sun.log",
        ] {
            assert!(
                !kin(name.as_bytes()).contains(&b"app.log".to_vec()) && !is_kin(b"app.log", name.as_bytes()),
                "{name}"
            );
        }
        assert!(is_kin(b"web.stdout.log", b"web.stdout.log1795867668.gz"));
        assert!(is_kin(b"app.log", b"app.log.gz"));
        for name in ["@400000006746f3a11a2b3c4d.s", "@400000006746f3a11a2b3c4d.u", "@400000006746f3a11a2b3c4d"] {
            assert!(is_kin(b"current", name.as_bytes()) && !is_kin(b"app.log", name.as_bytes()), "{name}");
            assert_eq!(family(name.as_bytes()), b"current");
            assert!(
                age(name.as_bytes()) < age(b"@400000006746f3a11b000000.s") && age(name.as_bytes()) < age(b"current")
            );
        }
        assert!(kin(b"@400000006746f3a1").is_empty() && kin(b"@x00000006746f3a11a2b3c4d").is_empty());
        // A character of two bytes in the middle.
        assert!(kin("@000000000000000\u{e9}0000000".as_bytes()).is_empty());
        assert!(kin(b".1").is_empty() && kin(b"12").is_empty());
    }
}

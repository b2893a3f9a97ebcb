//! The ready-made patterns: card numbers, e-mail addresses, bearer tokens.
//! Promises linear time in the length of the text, whatever it holds.
//! Leaves replacing to redact.

/// Which patterns are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    /// 13 to 19 digits, in groups or not, that begin as cards do and whose check digit is right.
    pub(crate) card_number: bool,
    /// `name@domain.tld`
    pub(crate) email: bool,
    /// What follows `Bearer`.
    pub(crate) bearer_token: bool,
}

impl Kinds {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

type Hit = Option<(usize, usize)>;

/// A search through one text from left to right. What each pattern finds next is remembered, so that many hits of one
/// do not make another look at the same text again and again.
#[derive(Debug)]
pub(crate) struct Search {
    /// Of each finder: `None` where it is not known.
    ahead: [Option<Hit>; FINDERS.len()],
}

/// A token has two, so that a word in small letters does not make the search for one in capitals begin again.
const FINDERS: [fn(&[u8], usize) -> Hit; 4] = [
    card_number,
    email,
    |text, from| bearer_token(text, from, b"earer"),
    |text, from| bearer_token(text, from, b"EARER"),
];

impl Search {
    pub(crate) fn new(kinds: Kinds) -> Self {
        let unknown = |wanted: bool| if wanted { None } else { Some(None) };
        let token = unknown(kinds.bearer_token);
        Self { ahead: [unknown(kinds.card_number), unknown(kinds.email), token, token] }
    }

    /// Begin and end of the first thing found at `from` or later; `from` never falls.
    pub(crate) fn next(&mut self, text: &[u8], from: usize) -> Hit {
        for (ahead, find) in self.ahead.iter_mut().zip(FINDERS) {
            let overtaken = matches!(ahead, Some(Some((start, _))) if *start < from);
            if ahead.is_none() || overtaken {
                *ahead = Some(find(text, from));
            }
        }
        self.ahead.iter().filter_map(|ahead| ahead.flatten()).min()
    }
}

fn email(text: &[u8], from: usize) -> Hit {
    let local = |byte: &u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(byte) || *byte >= 0x80;
    let domain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let mut search = from;
    while let Some(place) = memchr::memchr(b'@', &text[search..]) {
        let at = search + place;
        search = at + 1;
        let name = text[from..at].iter().rev().take_while(|byte| local(byte)).count();
        if name == 0 {
            continue;
        }
        let host = text[at + 1..].iter().take_while(|byte| domain(byte)).count();
        let host = &text[at + 1..at + 1 + host];
        // A full stop behind an address ends the sentence.
        let host = &host[..host.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1)];
        let Some(dot) = memchr::memrchr(b'.', host) else { continue };
        let top = &host[dot + 1..];
        if dot > 0 && top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic) {
            return Some((at - name, at + 1 + host.len()));
        }
    }
    None
}

/// `word` is how the name goes on behind its first letter.
fn bearer_token(text: &[u8], from: usize, word: &[u8]) -> Hit {
    let finder = memchr::memmem::Finder::new(word);
    let mut search = from;
    loop {
        let place = finder.find(&text[search..])?;
        let word = search + place;
        search = word + 5;
        let mut start = search;
        if word == 0 || !matches!(text[word - 1], b'b' | b'B') {
            continue;
        }
        loop {
            match &text[start..] {
                [b' ' | b'\t' | b':' | b'=' | b'"', ..] => start += 1,
                [b'%', b'2', b'0', ..] => start += 3,
                _ => break,
            }
        }
        if start == search {
            continue;
        }
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let length = text[start..].iter().take_while(|byte| token(byte)).count();
        let token = &text[start..start + length];
        // Behind the header's name everything is a token; elsewhere `bearer` may be a word of a sentence.
        let before = &text[word.saturating_sub(24)..word];
        let is_header = before.windows(13).any(|window| window.eq_ignore_ascii_case(b"authorization"));
        let certain = length >= 20 || (length >= 8 && token.iter().any(u8::is_ascii_digit));
        if length > 0 && (certain || is_header) {
            return Some((start, start + length));
        }
    }
}

/// The most digits that a card number has.
pub(super) const LONGEST_CARD: usize = 19;

fn card_number(text: &[u8], from: usize) -> Hit {
    let mut at = from;
    loop {
        at += text[at..].iter().position(u8::is_ascii_digit)?;
        let before = at.checked_sub(1).map(|place| text[place]);
        let fraction = before == Some(b'.') && at >= 2 && text[at - 2].is_ascii_digit();
        if !fraction
            && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && let Some(end) = card_at(text, at)
        {
            return Some((at, end));
        }
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
    }
}

/// The end of the card number that begins at the digit at `start`.
fn card_at(text: &[u8], start: usize) -> Option<usize> {
    let mut digits = [0; LONGEST_CARD];
    let (mut count, mut at, mut found, mut separator) = (0, start, None, None);
    loop {
        let group = text[at..].iter().take(LONGEST_CARD + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if count + group > LONGEST_CARD {
            return found;
        }
        digits[count..count + group].copy_from_slice(&text[at..at + group]);
        count += group;
        at += group;
        let ends = !text.get(at).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        if ends && is_card(&digits[..count]) {
            found = Some(at);
        }
        let next = match &text[at..] {
            [sign @ (b' ' | b'-'), digit, ..] if digit.is_ascii_digit() => *sign,
            _ => return found,
        };
        // Groups are written alike.
        if !(3..=6).contains(&group) || *separator.get_or_insert(next) != next {
            return found;
        }
        at += 1;
    }
}

fn is_card(digits: &[u8]) -> bool {
    let prefix =
        |length: usize| digits[..length].iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    if digits.len() < 13 {
        return false;
    }
    let lengths = match (prefix(1), prefix(2), prefix(3), prefix(4)) {
        (4, ..) => 13..=19,
        (_, 51..=55, ..) | (.., 2221..=2720) => 16..=16,
        (_, 34 | 37, ..) => 15..=15,
        (_, 36 | 38 | 39, ..) | (_, _, 300..=305, _) => 14..=19,
        (.., 3528..=3589) => 16..=19,
        (_, 50 | 56..=69, ..) => 13..=19,
        _ => return false,
    };
    lengths.contains(&digits.len()) && luhn(digits)
}

/// Whether the check digit is right.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(digit - b'0') * if index % 2 == 1 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut search = Search::new(Kinds { card_number: true, email: true, bearer_token: true });
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some((start, end)) = search.next(text.as_bytes(), from) {
            found.push(&text[start..end]);
            from = end;
        }
        found
    }

    #[test]
    fn cards_are_known_by_their_beginning_their_length_and_their_check_digit() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "4222222222222",
            "6200000000000005",
        ] {
            for (before, behind) in [("", ""), ("card=", ","), ("200 ", " 17"), ("(", ")"), ("x:", ".")] {
                let text = format!("{before}{card}{behind}");
                assert_eq!(found(&text), [card], "{text}");
            }
        }
        for other in [
            "4111111111111112",
            "1539002096789",
            "a4111111111111111",
            "4111111111111111a",
            "0.4111111111111111",
            "41111111111111111111",
            "4111 1111-1111 1111",
            "2018-10-08 12:34:56 1234567890",
        ] {
            assert_eq!(found(other), [""; 0], "{other}");
        }
    }

    #[test]
    fn addresses_end_where_their_domain_does() {
        assert_eq!(
            found("to=<jo.d+x@mail.example.com>, cc ann@b.org. Or:c@d"),
            ["jo.d+x@mail.example.com", "ann@b.org"]
        );
        assert_eq!(found("@ a@ @b.com a@b a@b.c1 root@localhost @@x.yz"), [""; 0]);
        assert_eq!(found("a@b.com@c.org"), ["a@b.com"]);
    }

    #[test]
    fn tokens_are_told_from_words() {
        assert_eq!(found("Authorization: Bearer abc"), ["abc"]);
        assert_eq!(
            found("x bearer 0123456789 y, BEARER%20abcdefghijklmnopqrstuvwxyz"),
            ["0123456789", "abcdefghijklmnopqrstuvwxyz"]
        );
        assert_eq!(found("the bearer of bad news, bearers, forbearer 12345678x, Bearer"), ["12345678x"]);
    }

    #[test]
    fn hits_of_one_pattern_do_not_make_another_start_again() {
        // Quadratic work on this text would take minutes.
        let text = "a@b.com earer bearerbearer= 4 4111 ".repeat(30_000);
        assert_eq!(found(&text).len(), 30_000);
    }
}

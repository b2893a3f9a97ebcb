//! What others say: answers of services and of what stands before them, errors of the SDK.
//! Promises that no text from outside goes on from here longer than 1 KiB, and that it is cut between two characters.
//! Leaves what it means to `fault`, and printing it safely to the log.

use std::borrow::Cow;

/// The most bytes of a text from outside that are kept.
pub(super) const LONGEST: usize = 1024;
/// The most bytes of an error code that are kept; the longest that AWS has is 50.
const LONGEST_CODE: usize = 128;
/// Stands where something was cut off.
const CUT: &str = " […]";

/// The text, cut where it is longer than [`LONGEST`].
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        Cow::Borrowed(text)
    } else {
        Cow::Owned([within(text, LONGEST - CUT.len()), CUT].concat())
    }
}

/// A code without what services put around it: `com.amazonaws.firehose#Code:http://…` is `Code`.
pub(super) fn bare_code(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or_default();
    within(code.rsplit('#').next().unwrap_or_default().trim(), LONGEST_CODE)
}

/// An error and what caused it, outermost first, each once.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = on_one_line(&error.to_string());
    let mut next = error.source();
    while let Some(cause) = next.filter(|_| text.len() < LONGEST) {
        let cause_text = on_one_line(&cause.to_string());
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    cut(&text).into_owned()
}

/// A reason as the SDK writes it, with a line for each provider of its chain, on one line and without the words that each
/// of them repeats.
fn on_one_line(text: &str) -> String {
    let text = cut(text).replace("the credential provider was not enabled: ", "");
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        line.push_str(match line.bytes().last() {
            None => "",
            Some(b':') => " ",
            Some(_) => "; ",
        });
        line.push_str(part);
    }
    line
}

/// The first words of an answer that no service wrote, without the marks of HTML and on one line.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * LONGEST)]);
    let mut words = String::new();
    let mut in_mark = false;
    for character in text.chars() {
        match character {
            '<' => in_mark = true,
            '>' if in_mark => {
                in_mark = false;
                words.push(' ');
            }
            _ if in_mark => {}
            _ if character.is_control() => words.push(' '),
            _ => words.push(character),
        }
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    within(&words, 200).to_owned()
}

/// As much of the text as fits into so many bytes.
fn within(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_megabytes_of_a_reason_become_one_kilobyte_and_no_character_is_torn() {
        for letter in ["a", "é", "€", "🦀"] {
            for shift in 0..4 {
                let text = "x".repeat(shift) + &letter.repeat(3 << 20);
                let cut = cut(&text);
                assert!(cut.len() <= LONGEST && cut.len() > LONGEST - 8 && cut.ends_with(CUT), "{letter} {shift}");
            }
        }
        assert_eq!(cut(&"a".repeat(LONGEST)), "a".repeat(LONGEST));
        assert_eq!(bare_code(&"€".repeat(1000)).len(), 126);
        assert_eq!(bare_code("com.amazonaws.firehose#Code:http://x/"), "Code");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Nested {
        text: String,
        source: Option<Box<Nested>>,
    }

    #[test]
    fn a_chain_of_causes_is_told_once_each_and_not_without_end() {
        let nested = |text: &str, source| Nested { text: text.to_owned(), source };
        let inner = nested("refused", None);
        let error = nested("cannot connect", Some(Box::new(nested("io: refused", Some(Box::new(inner))))));
        assert_eq!(causes(&error), "cannot connect: io: refused");
        let mut deep = nested("end", None);
        for number in 0..1_000 {
            deep = nested(&format!("{number} {}", "y".repeat(100)), Some(Box::new(deep)));
        }
        assert!(causes(&deep).len() <= LONGEST);
    }

    #[test]
    fn the_reasons_of_a_chain_stand_on_one_line() {
        let chain = "the credential provider was not enabled: nothing in chain. Attempted:\n  Environment: the credential provider \
                     was not enabled: not set\n  Profile: none";
        assert_eq!(on_one_line(chain), "nothing in chain. Attempted: Environment: not set; Profile: none");
        assert!(on_one_line(&"x\n".repeat(1 << 20)).len() <= 3 * LONGEST);
    }

    #[test]
    fn of_a_page_the_words_are_left_on_one_line() {
        let page = b"<html>\r\n<head><title>413 Request Entity Too Large</title></head>\x1b[31m\n<hr>nginx</html>";
        assert_eq!(excerpt(page), "413 Request Entity Too Large [31m nginx");
        assert_eq!(excerpt(&[0xff; 10_000]).len(), 198);
        assert_eq!(excerpt(b"<never closed"), "");
    }
}

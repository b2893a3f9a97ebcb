//! Regular expressions as Java reads them, on engines that cannot overflow a stack.
//! Promises Java's meaning of `\d \w \s \b \Q…\E` and the like, linear time where the pattern allows it, and a limit on
//! steps where it needs look-around, back-references or possessive quantifiers.
//! Leaves what a match means to the steps.

/// The dialect, rewritten.
mod dialect;

use super::Cause;

/// So many steps back a pattern may take on one record before it is given up.
const STEPS: usize = 1_000_000;
/// Longer patterns are nobody's regular expression, and take long to compile.
const LONGEST: usize = 64 * 1024;
/// Memory that one compiled pattern may take.
const COMPILED_BYTES: usize = 4 << 20;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub(super) struct PatternError {
    said: String,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// Where the groups of a match stand; kept from record to record.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    linear: Option<regex::CaptureLocations>,
    /// Of the other engine: begin and end of each group, the whole match first.
    found: Vec<Option<(usize, usize)>>,
}

impl Groups {
    /// Begin and end of a group (0 is the whole match), if it took part.
    pub(super) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match &self.linear {
            Some(locations) => locations.get(group),
            None => self.found.get(group).copied().flatten(),
        }
    }
}

impl Pattern {
    /// A pattern that is looked for anywhere in a record.
    pub(super) fn anywhere(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, "", "")
    }

    /// A pattern that must match a record from its beginning to its end.
    pub(super) fn whole(text: &str) -> Result<Self, PatternError> {
        // On its own first, so that the message shows the pattern as it was written and so that a stray parenthesis
        // cannot pair up with one of ours.
        Self::compile(text, "", "")?;
        // A comment at the end of a pattern with `(?x)` would swallow the parenthesis.
        Self::compile(text, r"\A(?:", r")\z").or_else(|_| Self::compile(text, r"\A(?:", "\n)\\z"))
    }

    fn compile(text: &str, before: &str, after: &str) -> Result<Self, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError { said: format!("it is longer than {LONGEST} bytes") });
        }
        let refused = |said: String| PatternError { said };
        let rewritten = dialect::rewrite(text).map_err(refused)?;
        let text = format!("{before}{}{after}", rewritten.text);
        if !rewritten.backtracking {
            let regex = regex::RegexBuilder::new(&text).size_limit(COMPILED_BYTES).crlf(true).build();
            let regex = regex.map_err(|error| refused(last_line(&error.to_string())))?;
            return Ok(Self { engine: Engine::Linear(regex) });
        }
        let regex = fancy_regex::RegexBuilder::new(&text)
            .backtrack_limit(STEPS)
            .delegate_size_limit(COMPILED_BYTES)
            .crlf(true)
            .build()
            .map_err(|error| refused(last_line(&error.to_string())))?;
        Ok(Self { engine: Engine::Backtracking(Box::new(regex)) })
    }

    /// How many groups it captures, beside the whole match.
    pub(super) fn groups(&self) -> usize {
        match &self.engine {
            Engine::Linear(regex) => regex.captures_len() - 1,
            Engine::Backtracking(regex) => regex.captures_len() - 1,
        }
    }

    /// The number of the group of this name.
    pub(super) fn group_named(&self, name: &str) -> Option<usize> {
        match &self.engine {
            Engine::Linear(regex) => regex.capture_names().position(|known| known == Some(name)),
            Engine::Backtracking(regex) => regex.capture_names().position(|known| known == Some(name)),
        }
    }

    /// Room for its groups.
    pub(super) fn room(&self) -> Groups {
        let linear = match &self.engine {
            Engine::Linear(regex) => Some(regex.capture_locations()),
            Engine::Backtracking(_) => None,
        };
        Groups { linear, found: Vec::new() }
    }

    pub(super) fn is_match(&self, text: &str) -> Result<bool, Cause> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|_| Cause::TooManySteps),
        }
    }

    /// Begin and end of the first match that begins at `from` or later.
    pub(super) fn find(&self, text: &str, from: usize) -> Result<Option<(usize, usize)>, Cause> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.find_at(text, from).map(|found| (found.start(), found.end()))),
            Engine::Backtracking(regex) => {
                let found = regex.find_from_pos(text, from).map_err(|_| Cause::TooManySteps)?;
                Ok(found.map(|found| (found.start(), found.end())))
            }
        }
    }

    /// Whether it matches; if so, `groups` says where. `groups` is of this pattern's [`Pattern::room`].
    pub(super) fn captures(&self, text: &str, groups: &mut Groups) -> Result<bool, Cause> {
        match (&self.engine, &mut groups.linear) {
            (Engine::Linear(regex), Some(locations)) => Ok(regex.captures_read(locations, text).is_some()),
            (Engine::Linear(_), None) => unreachable!("room was made by this pattern"),
            (Engine::Backtracking(regex), _) => {
                let captures = regex.captures(text).map_err(|_| Cause::TooManySteps)?;
                groups.found.clear();
                let Some(captures) = captures else { return Ok(false) };
                groups.found.extend(captures.iter().map(|group| group.map(|group| (group.start(), group.end()))));
                Ok(true)
            }
        }
    }
}

/// The line of an engine's message that says what is wrong; those before it draw the place.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pattern: &str, text: &str) -> bool {
        Pattern::whole(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text).unwrap()
    }

    #[test]
    fn classes_are_of_ascii_as_in_java() {
        assert!(whole(r"\d+\w\s\S", "12a\tx") && !whole(r"\d", "٣") && !whole(r"\w", "é") && whole(r"\W", "é"));
        assert!(whole(r"[\d.]+", "1.2") && whole(r"[^\d]+", "ab") && whole(r"[\D]", "a") && !whole(r"[\D]", "1"));
        assert!(whole(r"[a-z&&[^b]]+", "ac") && !whole(r"[a-z&&[^b]]+", "abc"));
        assert!(whole(r"\p{Alpha}\p{Upper}\p{Punct}[\p{Digit}x]", "aB!7") && !whole(r"\p{Alpha}", "é"));
    }

    #[test]
    fn what_only_java_writes_is_understood() {
        assert!(whole(r"\Qa.b(\E\d", "a.b(1") && whole(r"\Q[x", "[x"));
        assert!(whole(r"\<\>\-\/\'\ \_", "<>-/' _"));
        assert!(whole(r"\u0041\x42\x{43}\0103\e\cA", "ABCC\x1b\x01"));
        assert!(whole(r"a\hb\Rc", "a\tb\r\nc") && whole(r"\V+\v", "ab\n"));
        assert!(whole(r"(?<name>a)\k<name>", "aa") && whole(r"(a)\1", "aa"));
        assert!(whole(r"(?=ab)a(?!c)b", "ab") && whole(r"a++b", "aab") && !whole(r"a*+a", "aaa"));
        assert!(whole(r"(?i)ABC", "abc") && whole(r"(?s).", "\n") && whole("(?x) a b # c", "ab"));
        assert!(whole("[a[bc]]+", "abc") && whole(r"[\]a]", "]"));
    }

    #[test]
    fn a_match_is_of_the_whole_record_whatever_the_alternatives() {
        assert!(whole("a|ab", "ab") && !whole("a|b", "ab") && whole("(a|ab)(c|bcd)", "abcd"));
        assert!(Pattern::whole("a)(b").is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_words() {
        for pattern in ["(", "[a", "a{2,1}", r"\p{Nothing}", r"\y", "*a"] {
            assert!(Pattern::anywhere(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_given_up_and_one_that_can_be_linear_never_explodes() {
        let text = "a".repeat(4000);
        assert_eq!(Pattern::whole(r"(a*)*\1b").unwrap().is_match(&text), Err(Cause::TooManySteps));
        assert_eq!(Pattern::whole("(a|a)*b").unwrap().is_match(&text), Ok(false));
    }
}

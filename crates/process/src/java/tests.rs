//! Patterns held against what Java means by them, against another engine, and against their limits.

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
    assert_eq!(Pattern::whole("(?=a)(a|a)*b").unwrap().is_match(&text), Ok(false));
}

#[test]
fn a_search_that_looks_on_to_the_end_after_each_match_is_given_up() {
    // A megabyte of this took minutes: each match was found at once, and the rest looked through for a longer one.
    let mut pattern = Pattern::repeated("p(?:.*;)?").unwrap();
    let mut count = |text: &str| {
        pattern.begin(text);
        let (mut from, mut found) = (0, 0);
        loop {
            match pattern.find(text, from) {
                Ok(Some((_, end))) => (from, found) = (end, found + 1),
                Ok(None) => return Ok(found),
                Err(cause) => return Err(cause),
            }
        }
    };
    assert_eq!(count(&"p".repeat(100)), Ok(100));
    assert_eq!(count(&"p".repeat(1000)), Err(Cause::TooManySteps));
    assert_eq!(count(&"p\n".repeat(100_000)), Ok(100_000));
    assert_eq!(count(&format!("{};", "p".repeat(100_000))), Ok(1));
}

#[test]
fn a_delimiter_that_looks_ahead_for_quotes_takes_a_bounded_number_of_steps_for_each_byte() {
    let mut pattern = Pattern::repeated(r#",(?=(?:[^"]*"[^"]*")*[^"]*$)"#).unwrap();
    for (text, expected) in [
        (",".repeat(20_000), 20_000),
        (r#"a,"b,c",d,"#.repeat(2000), 6000),
        (format!("{}\"", ",".repeat(20_000)), 0),
        ("a,\"b".repeat(2001), 0),
    ] {
        pattern.begin(&text);
        let (mut from, mut found) = (0, 0);
        while let Some((_, end)) = pattern.find(&text, from).unwrap() {
            (from, found) = (end, found + 1);
        }
        assert!(expected == 0 || found == expected, "{found}");
        let steps = pattern.machine.steps(text.len());
        assert!(steps < 64 * text.len() as u64, "{steps} steps for {} bytes", text.len());
    }
}

#[test]
fn the_part_that_may_take_long_is_named() {
    for (text, part) in [
        ("p(?:.*;)?", Some(".*")),
        ("a.*b|c", Some(".*")),
        (r#",(?=(?:[^"]*"[^"]*")*[^"]*$)"#, Some(r#"(?=(?:[^"]*"[^"]*")*[^"]*$)"#)),
        (r"(\w+) \1", Some(r"\1")),
        ("^(?!.*debug)", None),
        ("(?<=a)b", None),
        (r"\d+", None),
        ("password=[^&]+", None),
        (r"[a-z]+@[a-z]+(\.[a-z]+)*", None),
        (r"\s*[,;]\s*", None),
    ] {
        assert_eq!(Pattern::repeated(text).unwrap().slow_part().as_deref(), part, "{text}");
    }
}

#[test]
fn a_pattern_may_be_too_large_for_the_records_it_is_for() {
    let pattern = Pattern::anywhere("(?:[a-z]{100}x){200}").unwrap();
    assert!(pattern.is_too_large_for(1 << 20) && !pattern.is_too_large_for(1000));
    assert!(!Pattern::anywhere(r"^(\S+) (\S+) \[([^\]]+)\]").unwrap().is_too_large_for(10 << 20));
}

/// Put together at random these make patterns that both engines know.
const PARTS: [&str; 34] = [
    "a",
    "b",
    "é",
    ".",
    " ",
    "a*",
    "b+",
    ".*",
    ".*?",
    "a{1,2}",
    "[ab]*",
    "a?",
    "(a|b)",
    "(a*)",
    "(ab|a)*",
    "(?:a*)*",
    "(?:a|b*)+",
    "(?:|a)*?",
    "(?=a)",
    "(?=.*b)",
    "(?=(?:a*b)*$)",
    "(?!b)",
    "(?!.*a)",
    "(?<=a)",
    "(?<!b)",
    "(?<=é)",
    "(?>a*)",
    "(?>ab|a)",
    "a*+",
    "(?:ab)++",
    "^",
    "$",
    r"\b",
    "(?=(?:[^b]*b[^b]*b)*[^b]*$)",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3000))]
    #[test]
    fn the_machine_agrees_with_another_engine_that_looks_around(
        parts in proptest::collection::vec(proptest::sample::select(PARTS.as_slice()), 1..6),
        text in "[abé ]{0,12}",
        remember: bool,
    ) {
        let pattern = parts.concat();
        let Ok(rewritten) = dialect::rewrite(&pattern) else { return Ok(()) };
        let (Ok(program), Ok(other)) = (
            Program::new(&rewritten.text, &rewritten.marks),
            fancy_regex::RegexBuilder::new(&pattern).crlf(true).build(),
        ) else { return Ok(()) };
        let mut machine = Machine::default();
        machine.begin(text.len());
        if remember {
            machine.remember();
        }
        let expected = if rewritten.marks.is_empty() {
            let regex = regex::RegexBuilder::new(&pattern).crlf(true).build().unwrap();
            regex.captures(&text).map(|captures| {
                captures.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect::<Vec<_>>()
            })
        } else {
            let Ok(expected) = other.captures(&text) else { return Ok(()) };
            expected.map(|captures| {
                captures.iter().map(|group| group.map(|group| (group.start(), group.end()))).collect()
            })
        };
        let found = machine.find(&program, &text, 0).expect("a short text has the steps");
        let groups: Vec<_> = machine.slots.chunks_exact(2).map(|pair| (pair[0] != usize::MAX && pair[1] != usize::MAX).then_some((pair[0], pair[1]))).collect();
        // The other engine finds `b+.*b+(?>a*)` in "b". What an ordinary engine does not find where nothing is atomic is
        // not there.
        let plain = pattern.replace("(?>", "(?:").replace("*+", "*").replace(")++", ")+");
        let plain = regex::RegexBuilder::new(&plain).crlf(true).build();
        if !found && plain.is_ok_and(|plain| !plain.is_match(&text)) {
            return Ok(());
        }
        match expected {
            None => proptest::prop_assert!(!found, "{pattern} {text:?}"),
            Some(captures) => {
                proptest::prop_assert!(found, "{pattern} {text:?}");
                proptest::prop_assert_eq!(groups[0], captures[0], "{} {:?}", pattern, text);
                // Where a round of a loop takes nothing, engines differ in what its group holds.
                if !pattern.contains(")*") && !pattern.contains(")+") {
                    proptest::prop_assert_eq!(groups, captures, "{} {:?}", pattern, text);
                }
            }
        }
    }
}

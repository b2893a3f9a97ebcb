//! Java's dialect of regular expressions, rewritten into the one of our engines.
//! Promises the same meaning for every construct that both can express; what has none is refused in words.
//! Leaves judging the rest of the syntax to the engines.

use std::iter::Peekable;
use std::str::Chars;

/// Escapes that stand for the same sets everywhere: as they stand alone, and inside brackets.
const SETS: &[(char, &str, &str)] = &[
    ('d', "[0-9]", "0-9"),
    ('D', "[^0-9]", "[^0-9]"),
    ('w', "[A-Za-z0-9_]", "A-Za-z0-9_"),
    ('W', "[^A-Za-z0-9_]", "[^A-Za-z0-9_]"),
    ('s', r"[ \t\n\x0B\f\r]", r" \t\n\x0B\f\r"),
    ('S', r"[^ \t\n\x0B\f\r]", r"[^ \t\n\x0B\f\r]"),
    (
        'h',
        r"[ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]",
        r" \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000",
    ),
    (
        'H',
        r"[^ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]",
        r"[^ \t\xA0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000]",
    ),
    ('v', r"[\n\x0B\f\r\x85\u2028\u2029]", r"\n\x0B\f\r\x85\u2028\u2029"),
    ('V', r"[^\n\x0B\f\r\x85\u2028\u2029]", r"[^\n\x0B\f\r\x85\u2028\u2029]"),
];

/// Java's names of sets of ASCII, and ours.
const NAMED: &[(&str, &str)] = &[
    ("Lower", "lower"),
    ("Upper", "upper"),
    ("ASCII", "ascii"),
    ("Alpha", "alpha"),
    ("Digit", "digit"),
    ("Alnum", "alnum"),
    ("Punct", "punct"),
    ("Graph", "graph"),
    ("Print", "print"),
    ("Blank", "blank"),
    ("Cntrl", "cntrl"),
    ("XDigit", "xdigit"),
    ("Space", "space"),
];

/// A pattern in the dialect of our engines.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) text: String,
    /// What stands in it that regex-syntax does not know, by the numbers of its marks. Empty where the linear engine will do.
    pub(super) marks: Vec<Mark>,
}

/// What only the machine can do. In the text it stands between two characters that no script has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Look-ahead or look-behind.
    Around {
        negated: bool,
        behind: bool,
    },
    /// A group, or a repetition, that gives nothing back.
    Atomic,
    /// A reference back to a group, by number or by name.
    Number(usize),
    Name(String),
}

/// One of the two characters of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Begin(usize),
    End(usize),
}

const BEGIN: u32 = 0xF_0000;
const END: u32 = 0x10_0000;
const MOST_MARKS: usize = 0xF000;

/// The mark that a character of a rewritten pattern stands for.
pub(super) fn mark(character: char) -> Option<Place> {
    match u32::from(character) {
        code @ END.. => Some(Place::End((code - END) as usize)),
        code @ BEGIN.. => Some(Place::Begin((code - BEGIN) as usize)),
        _ => None,
    }
}

/// The pattern, rewritten.
pub(super) fn rewrite(pattern: &str) -> Result<Rewritten, String> {
    if pattern.chars().any(|character| mark(character).is_some()) {
        return Err("it holds characters that no script has".to_owned());
    }
    let mut writer = Writer { out: String::with_capacity(pattern.len() + 16), ..Writer::default() };
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        if writer.brackets > 0 {
            writer.in_brackets(character, &mut rest)?;
        } else {
            writer.outside(character, &mut rest)?;
        }
    }
    Ok(Rewritten { text: writer.out, marks: writer.marks })
}

#[derive(Default)]
struct Writer {
    out: String,
    marks: Vec<Mark>,
    brackets: usize,
    /// Where the groups that are open begin, and their marks.
    open: Vec<(usize, Option<usize>)>,
    /// Groups that capture, so far.
    groups: usize,
    /// Where that begins which a repetition would repeat.
    atom: usize,
    /// Whether a repetition was written just now.
    repeated: bool,
    /// Whether blanks and comments are left out.
    extended: bool,
}

impl Writer {
    fn in_brackets(&mut self, character: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        match character {
            '\\' => return escape(rest, true, &mut self.out),
            '[' => self.open_bracket(rest),
            ']' => {
                self.brackets -= 1;
                self.out.push(']');
            }
            // Only `&&` means something between brackets in Java.
            '-' | '~' if rest.peek() == Some(&character) => {
                self.out.push('\\');
                self.out.push(character);
            }
            _ => self.out.push(character),
        }
        Ok(())
    }

    fn open_bracket(&mut self, rest: &mut Peekable<Chars<'_>>) {
        self.brackets += 1;
        self.out.push('[');
        if rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
    }

    fn outside(&mut self, character: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        if matches!(character, '*' | '+' | '?' | '{') {
            return self.repetition(character, rest);
        }
        self.repeated = false;
        if character == ')' {
            let (begin, mark) = self.open.pop().unwrap_or((self.out.len(), None));
            self.out.push(')');
            if let Some(mark) = mark {
                self.end_mark(mark);
            }
            self.atom = begin;
            return Ok(());
        }
        self.atom = self.out.len();
        match character {
            '\\' if rest.next_if_eq(&'Q').is_some() => self.atom = quote(rest, &mut self.out),
            '\\' if matches!(rest.peek(), Some('1'..='9' | 'k')) => self.reference(rest)?,
            '\\' => escape(rest, false, &mut self.out)?,
            '(' => self.group(rest)?,
            '[' => self.open_bracket(rest),
            '#' if self.extended => {
                self.out.push('#');
                for character in rest.by_ref().take_while(|character| *character != '\n') {
                    self.out.push(character);
                }
                self.out.push('\n');
            }
            _ => self.out.push(character),
        }
        Ok(())
    }

    fn begin_mark(&mut self, mark: Mark) -> Result<usize, String> {
        let number = self.marks.len();
        if number >= MOST_MARKS {
            return Err("it looks around too often".to_owned());
        }
        self.marks.push(mark);
        Ok(number)
    }

    /// The text that stands before what a mark is about.
    fn begin_of(mark: usize) -> String {
        format!("(?:{}(?:", char::from_u32(BEGIN + mark as u32).unwrap_or_default())
    }

    fn end_mark(&mut self, mark: usize) {
        self.out.push(char::from_u32(END + mark as u32).unwrap_or_default());
        self.out.push(')');
    }

    fn reference(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        let mark = if rest.next_if_eq(&'k').is_some() {
            if rest.next() != Some('<') {
                return Err(r"`\k` needs a name in `<` and `>` behind it".to_owned());
            }
            Mark::Name(rest.by_ref().take_while(|character| *character != '>').collect())
        } else {
            let mut number = 0;
            // A further digit belongs to the number if there are that many groups.
            while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
                let longer = number * 10 + digit as usize;
                if number > 0 && longer > self.groups {
                    break;
                }
                number = longer;
                rest.next();
            }
            Mark::Number(number)
        };
        let mark = self.begin_mark(mark)?;
        self.out.push_str(&Self::begin_of(mark));
        self.out.push(')');
        self.end_mark(mark);
        Ok(())
    }

    fn group(&mut self, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        const AROUND: [(&str, Mark); 5] = [
            ("?<=", Mark::Around { negated: false, behind: true }),
            ("?<!", Mark::Around { negated: true, behind: true }),
            ("?=", Mark::Around { negated: false, behind: false }),
            ("?!", Mark::Around { negated: true, behind: false }),
            ("?>", Mark::Atomic),
        ];
        let begin = self.out.len();
        let ahead: String = rest.clone().take(3).collect();
        if let Some((sign, mark)) = AROUND.into_iter().find(|(sign, _)| ahead.starts_with(sign)) {
            rest.nth(sign.len() - 1);
            let mark = self.begin_mark(mark)?;
            self.out.push_str(&Self::begin_of(mark));
            self.open.push((begin, Some(mark)));
            return Ok(());
        }
        self.out.push('(');
        if rest.next_if_eq(&'?').is_none() {
            self.groups += 1;
            self.open.push((begin, None));
            return Ok(());
        }
        let mut head = String::new();
        for character in rest.by_ref() {
            head.push(character);
            if matches!(character, ':' | '>' | ')') {
                break;
            }
        }
        self.groups += usize::from(head.contains('<'));
        let flags = head.split('-').next().unwrap_or_default();
        self.extended |= flags.contains('x') && !head.contains('<');
        self.out.push('?');
        self.out.push_str(&head);
        if !head.ends_with(')') {
            self.open.push((begin, None));
        }
        Ok(())
    }

    fn repetition(&mut self, character: char, rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
        match (character, self.repeated) {
            // It keeps what it took.
            ('+', true) => {
                let mark = self.begin_mark(Mark::Atomic)?;
                self.out.insert_str(self.atom, &Self::begin_of(mark));
                self.out.push(')');
                self.end_mark(mark);
                self.repeated = false;
            }
            ('?', true) => {
                self.out.push('?');
                self.repeated = false;
            }
            ('{', _) => {
                self.out.push('{');
                for character in rest.by_ref() {
                    self.out.push(character);
                    if character == '}' {
                        break;
                    }
                }
                self.repeated = true;
            }
            _ => {
                self.out.push(character);
                self.repeated = true;
            }
        }
        Ok(())
    }
}

fn escape(rest: &mut Peekable<Chars<'_>>, inside: bool, out: &mut String) -> Result<(), String> {
    let Some(kind) = rest.next() else { return Err("it ends in a backslash".to_owned()) };
    if let Some((_, alone, within)) = SETS.iter().find(|(letter, ..)| *letter == kind) {
        out.push_str(if inside { within } else { alone });
        return Ok(());
    }
    match kind {
        'Q' => {
            quote(rest, out);
        }
        // An end without a beginning is nothing.
        'E' => {}
        'b' | 'B' if inside => return Err(format!("`\\{kind}` means nothing between brackets")),
        'R' if !inside => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x85\u2028\u2029])"),
        'X' => return Err(r"`\X` is not understood; write the characters that are meant".to_owned()),
        'G' => return Err(r"`\G` means nothing where each record is matched once".to_owned()),
        'Z' if !inside => out.push_str(r"(?:\r?\n)?\z"),
        'e' => out.push_str(r"\x1B"),
        'c' => control(rest, out)?,
        '0' => octal(rest, out)?,
        'u' => code_unit(rest, out)?,
        'p' | 'P' => property(rest, kind == 'P', inside, out)?,
        // The engine reads these as the edges of words.
        '<' | '>' => out.push(kind),
        _ if kind.is_ascii_alphanumeric() => {
            out.push('\\');
            out.push(kind);
        }
        _ if kind.is_ascii() && kind != '_' => {
            out.push('\\');
            out.push(kind);
        }
        _ => out.push(kind),
    }
    Ok(())
}

/// Everything up to `\E` as it stands; where the last character of it begins.
fn quote(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> usize {
    let mut last = out.len();
    while let Some(character) = rest.next() {
        if character == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        last = out.len();
        if character.is_ascii_punctuation() && !matches!(character, '_' | '<' | '>') || character == ' ' {
            out.push('\\');
        }
        out.push(character);
    }
    last
}

fn hex(code: u32, out: &mut String) {
    out.push_str(&format!("\\x{{{code:X}}}"));
}

fn control(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let letter = rest.next().filter(char::is_ascii).ok_or(r"`\c` needs a letter behind it")?;
    hex(u32::from(letter) ^ 64, out);
    Ok(())
}

fn octal(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let mut code = None;
    for _ in 0..3 {
        let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(8)) else { break };
        let next = code.unwrap_or(0) * 8 + digit;
        if next > 0o377 {
            break;
        }
        code = Some(next);
        rest.next();
    }
    hex(code.ok_or(r"`\0` needs an octal number behind it")?, out);
    Ok(())
}

fn code_unit(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let mut code = 0;
    for _ in 0..4 {
        let digit = rest.next().and_then(|digit| digit.to_digit(16));
        code = code * 16 + digit.ok_or(r"`\u` needs four hexadecimal digits behind it")?;
    }
    if char::from_u32(code).is_none() {
        return Err(format!(r"`\u{code:04X}` is half a character; write the whole one as it is"));
    }
    hex(code, out);
    Ok(())
}

fn property(rest: &mut Peekable<Chars<'_>>, negated: bool, inside: bool, out: &mut String) -> Result<(), String> {
    let name: String = match rest.next() {
        Some('{') => rest.by_ref().take_while(|character| *character != '}').collect(),
        Some(letter) => letter.to_string(),
        None => return Err(r"`\p` needs a name behind it".to_owned()),
    };
    if let Some((_, ours)) = NAMED.iter().find(|(java, _)| *java == name) {
        let not = if negated { "^" } else { "" };
        out.push_str(&if inside { format!("[:{not}{ours}:]") } else { format!("[[:{not}{ours}:]]") });
        return Ok(());
    }
    let plain = ["java", "Is", "In"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    let plain = match plain {
        "LowerCase" => "Lowercase",
        "UpperCase" => "Uppercase",
        "Whitespace" => "White_Space",
        other => other,
    };
    out.push_str(&format!("\\{}{{{plain}}}", if negated { 'P' } else { 'p' }));
    Ok(())
}

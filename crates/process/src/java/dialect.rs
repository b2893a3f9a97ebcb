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
    /// Whether it needs look-around, back-references, or groups and repetitions that give nothing back.
    pub(super) backtracking: bool,
}

/// The pattern, rewritten.
pub(super) fn rewrite(pattern: &str) -> Result<Rewritten, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let (mut brackets, mut backtracking, mut repeated) = (0_usize, false, false);
    while let Some(character) = rest.next() {
        // A `+` behind a repetition makes it keep what it took.
        backtracking |= character == '+' && repeated && brackets == 0;
        repeated = matches!(character, '*' | '+' | '?' | '}') && brackets == 0 && !out.ends_with('(');
        match character {
            '\\' => {
                backtracking |= brackets == 0 && matches!(rest.peek(), Some('1'..='9' | 'k'));
                escape(&mut rest, brackets > 0, &mut out)?;
            }
            '(' if brackets == 0 => {
                let ahead: String = rest.clone().take(3).collect();
                backtracking |= ["?=", "?!", "?>", "?<=", "?<!"].iter().any(|sign| ahead.starts_with(sign));
                out.push('(');
            }
            '[' => {
                brackets += 1;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if brackets > 0 => {
                brackets -= 1;
                out.push(']');
            }
            // Only `&&` means something between brackets in Java.
            '-' | '~' if brackets > 0 && rest.peek() == Some(&character) => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    Ok(Rewritten { text: out, backtracking })
}

fn escape(rest: &mut Peekable<Chars<'_>>, inside: bool, out: &mut String) -> Result<(), String> {
    let Some(kind) = rest.next() else { return Err("it ends in a backslash".to_owned()) };
    if let Some((_, alone, within)) = SETS.iter().find(|(letter, ..)| *letter == kind) {
        out.push_str(if inside { within } else { alone });
        return Ok(());
    }
    match kind {
        'Q' => quote(rest, out),
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

/// Everything up to `\E` as it stands.
fn quote(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(character) = rest.next() {
        if character == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        if character.is_ascii_punctuation() && !matches!(character, '_' | '<' | '>') || character == ' ' {
            out.push('\\');
        }
        out.push(character);
    }
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

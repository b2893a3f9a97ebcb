//! Numbers as a person reads them, and the way they get to that person.
//! Promises short words: `1,234,567`, `1.2 MiB`, `3 files`; and that a reader who hangs up stops nothing.
//! Leaves what is said to the callers.

use std::fmt::Display;
use std::io::Write;

/// A line on stdout.
pub(crate) fn say(line: impl Display) {
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// With a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Bytes with the unit that fits.
pub(crate) fn amount(bytes: u64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1000.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

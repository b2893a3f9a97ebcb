//! A report as an operator reads it: file, line, column, the line itself, carets below the place, what would do.
//! Promises to print no secret, nothing that steers a terminal, and of a long line only the part that matters.
//! Leaves what is wrong to the report.

use super::{Fault, Place, Report, Severity};
use datalake_base::shown::steers;
use std::fmt;

/// This many characters of a source line are shown.
const EXCERPT: usize = 100;

impl Report {
    fn write_fault(&self, formatter: &mut fmt::Formatter<'_>, fault: &Fault) -> fmt::Result {
        let word = match fault.kind.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(formatter, "{word}[{}]: {}", fault.kind.code(), fault.message)?;
        let name = &self.sources[fault.file].name;
        let margin = match fault.place {
            None => {
                writeln!(formatter, " --> {name}")?;
                1
            }
            Some(place) => {
                let (line_start, (line, column)) = self.line_of(place);
                let margin = line.to_string().len();
                let (excerpt, carets) = self.excerpt(place, line_start);
                writeln!(formatter, "{:margin$}--> {name}:{line}:{column}", "")?;
                writeln!(formatter, "{:margin$} |", "")?;
                writeln!(formatter, "{line} | {excerpt}")?;
                writeln!(formatter, "{:margin$} | {carets}", "")?;
                margin
            }
        };
        writeln!(formatter, "{:margin$} = help: {}", "", fault.help)
    }

    /// The source line (or the part of a long one around the place) and the carets below it.
    fn excerpt(&self, place: Place, line_start: usize) -> (String, String) {
        let source = &self.sources[place.file];
        let line_end = source.text[line_start..].find('\n').map_or(source.text.len(), |length| line_start + length);
        let line = source.text[line_start..line_end].trim_end_matches('\r');
        let first = source.text[line_start..place.start.min(line_start + line.len())].chars().count();
        let skipped = if line.chars().count() > EXCERPT { first.saturating_sub(EXCERPT / 2) } else { 0 };
        let (mut excerpt, mut carets) = (String::new(), String::new());
        for (offset, character) in line.char_indices().skip(skipped).take(EXCERPT) {
            let at = line_start + offset;
            let hidden = source.secrets.iter().any(|(start, end)| (*start..*end).contains(&at));
            match if hidden { '*' } else { character } {
                '\u{feff}' => continue,
                shown => excerpt.push(one_printable(shown)),
            }
            if at < place.start {
                carets.push(' ');
            } else if at < place.end.max(place.start + 1) {
                carets.push('^');
            }
        }
        if !carets.contains('^') {
            carets.push('^');
        }
        (excerpt.trim_end().to_owned(), carets)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            self.write_fault(formatter, fault)?;
            writeln!(formatter)?;
        }
        let shown = self.faults.len();
        if self.errors + self.warnings > shown {
            writeln!(formatter, "… and {} more; repair these first\n", self.errors + self.warnings - shown)?;
        }
        let subject = self.subject.unwrap_or("the configuration");
        let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (0, 0) => Ok(()),
            (0, warnings) => writeln!(formatter, "{}", count(warnings, "warning")),
            (errors, 0) => writeln!(formatter, "{subject} has {}", count(errors, "error")),
            (errors, warnings) => {
                writeln!(formatter, "{subject} has {} and {}", count(errors, "error"), count(warnings, "warning"))
            }
        }
    }
}

/// A character that cannot move the cursor, colour the screen or turn the line around.
fn one_printable(character: char) -> char {
    match character {
        '\t' => ' ',
        steering if steers(steering) => '\u{fffd}',
        other => other,
    }
}

/// The text, safe to print.
pub fn printable(text: &str) -> String {
    text.chars().map(one_printable).collect()
}

/// The text in quotes as it would stand in JSON, at most about 60 characters of it.
pub fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == 60 {
            shown.push('…');
            break;
        }
        match character {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            other => shown.push(one_printable(other)),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{At, Kind, MOST_FAULTS};

    fn report(text: &str, start: usize, end: usize) -> Report {
        let mut report = Report::default();
        let file = report.add_source("agent.json", text.into());
        let at = At { place: Place { file, start, end }, path: "flows".into() };
        report.add(Kind::Syntax, &at, "what is wrong", "what would do");
        report
    }

    #[test]
    fn carets_stand_below_the_place_they_mean() {
        let shown = report("{\n\t\"äö\": 5,\n}", 9, 11).to_string();
        assert!(shown.contains(" --> agent.json:2:6\n"), "{shown}");
        assert!(shown.contains("2 |  \"äö\": 5,\n  |      ^^\n"), "{shown}");
    }

    #[test]
    fn of_a_long_line_only_the_part_around_the_place_is_shown() {
        let line = format!("{}HERE{}", "a".repeat(100_000), "b".repeat(100_000));
        let shown = report(&line, 100_000, 100_004).to_string();
        assert!(shown.contains("aHEREb") && shown.len() < 500, "{shown}");
    }

    #[test]
    fn what_could_steer_a_terminal_is_not_printed() {
        let shown = report("\u{1b}[31mred\u{202e}", 0, 1).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn a_report_does_not_grow_without_end() {
        let mut long = report("{}", 0, 1);
        let at = At { place: Place { file: 0, start: 0, end: 1 }, path: String::new() };
        for _ in 0..10 * MOST_FAULTS {
            long.add(Kind::Syntax, &at, "again", "no");
        }
        assert_eq!(long.faults().len(), MOST_FAULTS);
        assert_eq!(long.errors(), 10 * MOST_FAULTS + 1);
        assert!(long.to_string().contains("and 901 more"));
    }
}

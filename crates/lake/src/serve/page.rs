//! The HTML of the page.
//! Promises that there is one way for a text into it, which leaves nothing that HTML or a reader's eye would obey.
//! Leaves what is shown to `snapshot`.

use super::snapshot::{ChartSeen, ReportSeen, RuleSeen, Snapshot, TableSeen};
use datalake_base::calendar::Civil;
use datalake_base::shown::shown;
use std::fmt::{self, Write as _};

const INFALLIBLE: &str = "a text takes what is written";

/// A text from outside, as text of HTML or of a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in shown(self.0).to_string().chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The page around the content, which the script brings and keeps new.
pub(super) fn whole(name: &str) -> String {
    let name = Text(name);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name} - datalake</title>\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n<script src=\"/refresh.js\" defer></script>\n</head>\n<body>\n\
         <header><h1>{name}</h1><p id=\"state\">loading</p></header>\n<main id=\"content\"></main>\n\
         <noscript><p>The page renews itself by a script. <a href=\"/content\">Without one.</a></p></noscript>\n\
         </body>\n</html>\n"
    )
}

pub(super) fn failure(words: &str) -> String {
    format!("<p class=\"bad\">{}</p>\n", Text(words))
}

/// What is known now.
pub(super) fn content(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let charts: String = snapshot.charts.iter().map(chart).collect();
    let reports: String = snapshot.reports.iter().map(|one| report(one, snapshot.now_ms)).collect();
    if !charts.is_empty() {
        write!(out, "<section class=\"charts\">\n{charts}</section>\n").expect(INFALLIBLE);
    }
    if !snapshot.rules.is_empty() {
        let rules: String = snapshot.rules.iter().map(rule).collect();
        write!(
            out,
            "<section>\n<h2>Reactions</h2>\n<div class=\"wide\"><table>\n<tr><th>name</th><th>on</th><th>does</th>\
             <th class=\"number\">waits</th><th>why</th></tr>\n{rules}</table></div>\n</section>\n"
        )
        .expect(INFALLIBLE);
    }
    if !reports.is_empty() {
        write!(out, "<section>\n<h2>Reports</h2>\n{reports}</section>\n").expect(INFALLIBLE);
    }
    for one in &snapshot.tables {
        out.push_str(&table(one, snapshot.now_ms));
    }
    writeln!(out, "<footer>{}</footer>", Text(&snapshot.root)).expect(INFALLIBLE);
    out
}

fn chart(chart: &ChartSeen) -> String {
    match chart.drawn_ms {
        None => format!("<figure><p class=\"none\">{}: not drawn yet</p></figure>\n", Text(&chart.title)),
        // Another address, another picture: an old one is not fetched again.
        Some(drawn) => format!(
            "<figure><img src=\"/{key}?{drawn}\" alt=\"{title}\"><figcaption>drawn {} UTC, <a href=\"/{key}\">{key}</a></figcaption></figure>\n",
            moment(drawn),
            key = Text(&chart.key),
            title = Text(&chart.title),
        ),
    }
}

fn rule(rule: &RuleSeen) -> String {
    let waits = rule.standing.waits.map_or_else(|| "?".to_owned(), |waits| waits.to_string());
    let class =
        if rule.standing.why.starts_with("failed") || rule.standing.waits.is_none() { " class=\"bad\"" } else { "" };
    format!(
        "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td class=\"number\">{waits}</td><td>{}</td></tr>\n",
        Text(&rule.name),
        Text(&rule.on),
        Text(&rule.does),
        Text(&cut(&rule.standing.why, 400))
    )
}

fn report(report: &ReportSeen, now_ms: u64) -> String {
    let lines: Vec<String> = report.text.lines().map(|line| Text(line).to_string()).collect();
    let more = if report.is_cut { "\n…" } else { "" };
    let link = |key: &String| format!("<a href=\"/{0}\">{0}</a>", Text(key));
    let earlier: Vec<String> = report.earlier.iter().map(link).collect();
    let earlier = if earlier.is_empty() {
        String::new()
    } else {
        format!("<p class=\"small\">before: {}</p>\n", earlier.join(", "))
    };
    format!(
        "<article><h3>{}</h3><p class=\"small\">{} UTC ({}), {}</p>\n<pre>{}{more}</pre>\n{earlier}</article>\n",
        Text(&report.rule),
        moment(report.written_ms),
        ago(report.written_ms, now_ms),
        link(&report.key),
        lines.join("\n")
    )
}

fn table(table: &TableSeen, now_ms: u64) -> String {
    let mut out = String::new();
    write!(
        out,
        "<section>\n<h2>{}</h2>\n<p class=\"small\">{} below {}: {} objects, {}, {} hours</p>\n",
        Text(&table.name),
        Text(&table.message),
        Text(&table.prefix),
        grouped(table.objects),
        size(table.bytes),
        grouped(table.all_hours as u64),
    )
    .expect(INFALLIBLE);
    if table.objects == 0 {
        out.push_str("<p class=\"none\">no object yet</p>\n</section>\n");
        return out;
    }
    out.push_str(&hours(table));
    if let Some(rows) = &table.rows {
        let cells = |cells: &[String], tag: &str| -> String {
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", Text(cell))).collect()
        };
        let body: String = rows.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row, "td"))).collect();
        let more = if rows.more { "<p class=\"small\">and more rows</p>\n" } else { "" };
        write!(
            out,
            "<p class=\"small\">newest: {}</p>\n<div class=\"wide\"><table>\n<tr>{}</tr>\n{body}</table></div>\n{more}",
            Text(&rows.key),
            cells(&rows.columns, "th")
        )
        .expect(INFALLIBLE);
    }
    let object = |object: &crate::engine::objects::Object| {
        let key = object.path.display().to_string();
        let name = key.strip_prefix(&table.prefix).unwrap_or(&key).to_owned();
        format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td>{} UTC ({})</td></tr>\n",
            Text(&name),
            size(object.size),
            moment(object.written_ms),
            ago(object.written_ms, now_ms)
        )
    };
    let last: String = table.last.iter().map(object).collect();
    write!(
        out,
        "<details id=\"last-{}\"><summary>last objects</summary><div class=\"wide\"><table>\n\
         <tr><th>object</th><th class=\"number\">size</th><th>written</th></tr>\n{last}</table></div></details>\n</section>\n",
        Text(&table.name)
    )
    .expect(INFALLIBLE);
    out
}

/// Bytes by the hour, as bars.
fn hours(table: &TableSeen) -> String {
    const WIDTH: u64 = 12;
    const HEIGHT: u64 = 40;
    let most = table.hours.iter().map(|hour| hour.bytes).max().unwrap_or(1).max(1);
    let bar = |(place, hour): (usize, &super::snapshot::Hour)| {
        let height = (hour.bytes * HEIGHT / most).max(1);
        format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{}: {} objects, {}</title></rect>\n",
            place as u64 * WIDTH,
            HEIGHT - height,
            WIDTH - 2,
            Text(&hour.name),
            hour.objects,
            size(hour.bytes)
        )
    };
    let bars: String = table.hours.iter().enumerate().map(bar).collect();
    let (first, last) = (table.hours.first(), table.hours.last());
    let name =
        |hour: Option<&super::snapshot::Hour>| hour.map_or_else(String::new, |hour| Text(&hour.name).to_string());
    format!(
        "<svg class=\"hours\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" role=\"img\">\n{bars}</svg>\n\
         <p class=\"small\">bytes by the hour, {} to {} (UTC)</p>\n",
        name(first),
        name(last),
        width = (table.hours.len() as u64 * WIDTH).max(WIDTH),
    )
}

fn cut(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// `2026-03-09 07:05:04`.
fn moment(millis: u64) -> String {
    let civil = Civil::of(i64::try_from(millis / 1000).unwrap_or(0).min(253_402_300_799));
    let Civil { year, month, day, hour, minute, second } = civil;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn ago(then_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) / 1000 {
        0..10 => "just now".to_owned(),
        seconds @ 10..120 => format!("{} s ago", seconds / 10 * 10),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let in_units = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..10_240 => format!("{} B", grouped(bytes)),
        10_240..10_485_760 => format!("{:.1} KiB", in_units(1 << 10)),
        10_485_760..10_737_418_240 => format!("{:.1} MiB", in_units(1 << 20)),
        _ => format!("{:.1} GiB", in_units(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_text_whatever_it_holds() {
        let evil = "\"><script>alert(1)</script><img src=x onerror='a'>&amp;\u{202e}\u{1b}[31m\u{0}";
        let text = Text(evil).to_string();
        assert!(!text.contains(['<', '>', '"', '\'', '\u{202e}', '\u{1b}', '\u{0}']), "{text}");
        assert!(text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn figures_are_as_people_read_them() {
        assert_eq!((grouped(0), grouped(999), grouped(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((size(10), size(1 << 20), size(3 << 40)), ("10 B".into(), "1024.0 KiB".into(), "3072.0 GiB".into()));
        assert_eq!(
            (ago(0, 5_000), ago(0, 59_000), ago(9, 3)),
            ("just now".into(), "50 s ago".into(), "just now".into())
        );
        assert_eq!(moment(1_773_039_904_000), "2026-03-09 07:05:04");
    }
}

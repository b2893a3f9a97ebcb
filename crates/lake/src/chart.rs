//! A time series as SVG.
//! Promises the same bytes for the same points, texts that are only texts, and a size bounded by the picture, not by the
//! number of points.
//! Leaves getting points and writing the file to the caller.

/// Rows as points.
pub mod points;

use datalake_base::calendar::Civil;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 36.0;
/// Further series are only counted.
const MOST_SERIES: usize = 20;
/// A pause longer than this many typical intervals breaks the line.
const GAP: i64 = 3;
const COLOURS: [&str; 10] =
    ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"];
const INFALLIBLE: &str = "a text takes what is written";

/// Points by series; times in milliseconds since 1970.
pub type Series = BTreeMap<String, Vec<(i64, f64)>>;

/// The range of an axis.
#[derive(Clone, Copy)]
struct Range {
    from: f64,
    to: f64,
}

impl Range {
    fn share(self, value: f64) -> f64 {
        if self.to > self.from { (value - self.from) / (self.to - self.from) } else { 0.5 }
    }
}

fn x(times: Range, time: i64) -> f64 {
    LEFT + times.share(time as f64) * (WIDTH - LEFT - RIGHT)
}

fn y(values: Range, value: f64) -> f64 {
    HEIGHT - BOTTOM - values.share(value) * (HEIGHT - TOP - BOTTOM)
}

/// The picture; `unit` stands behind the numbers of the axis. Values that are no numbers are left out.
#[must_use]
pub fn svg(title: &str, unit: &str, series: &Series) -> String {
    let mut clean: Series = BTreeMap::new();
    for (name, points) in series {
        let mut points: Vec<(i64, f64)> = points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
        points.sort_by(|left, right| left.0.cmp(&right.0).then(left.1.total_cmp(&right.1)));
        if !points.is_empty() {
            clean.insert(name.clone(), points);
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    let all = || clean.values().flatten();
    let Some((first, last)) = all().map(|(time, _)| *time).min().zip(all().map(|(time, _)| *time).max()) else {
        writeln!(out, "<text x=\"{LEFT}\" y=\"{}\" fill=\"#777\">no data yet</text>\n</svg>", HEIGHT / 2.0)
            .expect(INFALLIBLE);
        return out;
    };
    let times = Range { from: first as f64, to: last as f64 };
    let values = value_range(all().map(|(_, value)| *value));
    axes(&mut out, times, values, unit);
    for (index, (name, points)) in clean.iter().take(MOST_SERIES).enumerate() {
        line(&mut out, name, points, COLOURS[index % COLOURS.len()], times, values);
    }
    labels(&mut out, &clean, values);
    out.push_str("</svg>\n");
    out
}

/// 0 to 100 when all fits, which is what percents want; else rounded outwards.
fn value_range(values: impl Iterator<Item = f64> + Clone) -> Range {
    let (least, most) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max));
    if least >= 0.0 && most <= 100.0 && most > 1.0 {
        return Range { from: 0.0, to: 100.0 };
    }
    let step = step(least, most);
    let to = (most / step).ceil() * step;
    Range { from: (least / step).floor() * step, to: if to > least { to } else { least + step } }
}

/// 1, 2 or 5 times a power of ten, for about five lines.
fn step(least: f64, most: f64) -> f64 {
    let raw = ((most - least).abs() / 5.0).max(f64::MIN_POSITIVE);
    let raw = if raw < 1e-12 { 1.0 } else { raw };
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| raw <= factor * power).unwrap_or(10.0);
    factor * power
}

fn axes(out: &mut String, times: Range, values: Range, unit: &str) {
    // Percents and degrees stand close to their number, words do not.
    let unit = match unit.chars().next() {
        Some(first) if first.is_alphanumeric() => format!(" {}", escaped(unit)),
        _ => escaped(unit),
    };
    let step = step(values.from, values.to);
    let lines = ((values.to - values.from) / step).round().clamp(1.0, 20.0) as i32;
    for number in 0..=lines {
        let value = values.from + f64::from(number) * step;
        let place = y(values, value);
        writeln!(
            out,
            "<path d=\"M{LEFT} {place:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            place + 4.0,
            number_text(value),
            unit
        )
        .expect(INFALLIBLE);
    }
    for (time, text) in ticks(times.from as i64, times.to as i64) {
        let place = x(times, time);
        writeln!(
            out,
            "<path d=\"M{place:.1} {TOP}V{:.1}\" stroke=\"#eee\"/><text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{text}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
        )
        .expect(INFALLIBLE);
    }
    writeln!(out, "<text x=\"{:.1}\" y=\"24\" text-anchor=\"end\" fill=\"#777\">times in UTC</text>", WIDTH - RIGHT)
        .expect(INFALLIBLE);
}

/// Round moments of the range, for at most eight texts below the axis; a single moment where all is at one time.
fn ticks(from: i64, to: i64) -> Vec<(i64, String)> {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const STEPS: [i64; 18] = [
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        30 * DAY,
        91 * DAY,
        365 * DAY,
    ];
    let span = to.saturating_sub(from);
    let step = STEPS.into_iter().find(|step| span / step < 8).unwrap_or(span / 7);
    let first = from.div_euclid(step).saturating_mul(step);
    let first = if first < from { first.saturating_add(step) } else { first };
    let mut times: Vec<i64> =
        (0..9).map(|number| first.saturating_add(step.saturating_mul(number))).take_while(|time| *time <= to).collect();
    times.dedup();
    if times.is_empty() {
        times.push(from);
    }
    let text = |(number, time): (usize, i64)| {
        let whole = moment(time);
        let text = match whole.split_once(' ') {
            Some((day, _)) if step >= DAY && span >= 300 * DAY => format!("{} {day}", year(time)),
            Some((day, _)) if step >= DAY => day.to_owned(),
            // The day once, and then where a new one begins.
            Some((_, hour)) if number > 0 && time.rem_euclid(DAY) != 0 => hour.to_owned(),
            _ => whole,
        };
        (time, text)
    };
    times.into_iter().enumerate().map(text).collect()
}

fn number_text(value: f64) -> String {
    let text = format!("{value:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// In UTC; of a moment beyond the calendar its end.
fn civil(time: i64) -> Civil {
    Civil::of(time.div_euclid(1000).clamp(-62_167_219_200, 253_402_300_799))
}

/// `03-09 07:05`.
fn moment(time: i64) -> String {
    let Civil { month, day, hour, minute, .. } = civil(time);
    format!("{month:02}-{day:02} {hour:02}:{minute:02}")
}

fn year(time: i64) -> i64 {
    civil(time).year
}

/// One series; of the points of one pixel only the least and the greatest are drawn.
fn line(out: &mut String, name: &str, points: &[(i64, f64)], colour: &str, times: Range, values: Range) {
    let mut pauses: Vec<i64> = points.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|pause| *pause > 0).collect();
    pauses.sort_unstable();
    let longest = pauses.get(pauses.len() / 2).map_or(i64::MAX, |typical| typical.saturating_mul(GAP));
    let mut path = String::new();
    for (index, part) in points.chunk_by(|left, right| right.0 - left.0 <= longest).enumerate() {
        if index > 0 {
            path.push(' ');
        }
        let pixel = |point: &(i64, f64)| x(times, point.0) as i64;
        let mut command = 'M';
        for column in part.chunk_by(|left, right| pixel(left) == pixel(right)) {
            let least = column.iter().min_by(|left, right| left.1.total_cmp(&right.1));
            let most = column.iter().max_by(|left, right| left.1.total_cmp(&right.1));
            let (Some(least), Some(most)) = (least, most) else { continue };
            let (early, late) = if least.0 <= most.0 { (least, most) } else { (most, least) };
            let both = [early, late];
            for point in &both[usize::from(early == late)..] {
                write!(path, "{command}{:.1} {:.1}", x(times, point.0), y(values, point.1)).expect(INFALLIBLE);
                command = 'L';
            }
        }
        // A point alone has no line to be seen by.
        if part.len() == 1 {
            path.push_str("h0.1");
        }
    }
    writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-linecap=\"round\"><title>{}</title></path>",
        escaped(name)
    )
    .expect(INFALLIBLE);
}

/// Names at the ends of their lines, moved apart.
fn labels(out: &mut String, series: &Series, values: Range) {
    let mut ends: Vec<(f64, usize, &str)> = series
        .iter()
        .take(MOST_SERIES)
        .enumerate()
        .filter_map(|(index, (name, points))| Some((y(values, points.last()?.1), index, name.as_str())))
        .collect();
    ends.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
    let height = 14.0;
    let room = HEIGHT - BOTTOM - TOP;
    let height = if ends.len() as f64 * height > room { room / ends.len() as f64 } else { height };
    // Down from the top where they would lie upon each other, and up again where that leaves the picture.
    let mut below = TOP;
    for (place, _, _) in &mut ends {
        *place = place.max(below);
        below = *place + height;
    }
    let mut above = HEIGHT - BOTTOM;
    for (place, _, _) in ends.iter_mut().rev() {
        *place = place.min(above);
        above = *place - height;
    }
    for (place, index, name) in ends {
        let short: String = name.chars().take(18).collect();
        let dots = if short.len() < name.len() { "…" } else { "" };
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{}\">{}{dots}</text>",
            WIDTH - RIGHT + 6.0,
            place + 4.0,
            COLOURS[index % COLOURS.len()],
            escaped(&short)
        )
        .expect(INFALLIBLE);
    }
    if series.len() > MOST_SERIES {
        let more = series.len() - MOST_SERIES;
        writeln!(out, "<text x=\"{:.1}\" y=\"24\" fill=\"#777\">+{more} more</text>", WIDTH - RIGHT + 6.0)
            .expect(INFALLIBLE);
    }
}

/// A text that is nothing but a text, in XML.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has none of these, not even escaped; marks that turn lines around go too.
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    /// 2026-03-09 07:00.
    const START: i64 = 1_773_039_600_000;

    fn series(name: &str, points: Vec<(i64, f64)>) -> Series {
        [(name.to_owned(), points)].into()
    }

    #[test]
    fn the_same_points_in_any_order_give_the_same_bytes() {
        let points: Vec<(i64, f64)> = (0..50).map(|n| (START + n * HOUR, 80.0 - n as f64)).collect();
        let turned = points.iter().rev().copied().collect();
        let picture = svg("battery", "", &series("a", points));
        assert_eq!(picture, svg("battery", "", &series("a", turned)));
        assert!(
            picture.contains(">100</text>") && picture.contains("03-09 12:00") && picture.contains(">times in UTC<"),
            "{picture}"
        );
    }

    #[test]
    fn the_axis_has_round_times_whatever_the_span_is() {
        let texts = |from: i64, to: i64| ticks(from, to).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let week = texts(START, START + 168 * HOUR);
        assert_eq!(week, ["03-10", "03-11", "03-12", "03-13", "03-14", "03-15", "03-16"]);
        assert_eq!(texts(START + 1, START + 3 * HOUR)[..2], ["03-09 07:30", "08:00"]);
        assert_eq!(texts(START + 14 * HOUR, START + 20 * HOUR)[2..5], ["23:00", "03-10 00:00", "01:00"]);
        assert_eq!(texts(START, START), ["03-09 07:00"]);
        for span in [1, 1000, HOUR / 7, 40 * HOUR, 2000 * HOUR, 90_000 * HOUR, i64::MAX / 4] {
            let found = texts(START, START + span);
            assert!((1..=9).contains(&found.len()), "{span}: {found:?}");
        }
        assert!(!ticks(i64::MIN, i64::MAX).is_empty());
    }

    /// Twenty lines that end at zero had labels below the picture.
    #[test]
    fn labels_of_lines_that_end_close_together_stay_in_the_picture() {
        for value in [0.0, 50.0, 100.0] {
            let many =
                (0..25).map(|number| (format!("d{number:02}"), vec![(START, 50.0), (START + HOUR, value)])).collect();
            let picture = svg("t", "", &many);
            let labels = picture.lines().filter(|line| line.starts_with("<text") && line.contains(">d"));
            let y = |line: &str| line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap();
            let places: Vec<f64> = labels.map(y).collect();
            assert_eq!(places.len(), MOST_SERIES);
            assert!(places.iter().all(|place| (TOP..=HEIGHT - BOTTOM + 4.0).contains(place)), "{value}: {places:?}");
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 13.0), "{value}: {places:?}");
        }
    }

    #[test]
    fn units_stand_behind_the_numbers() {
        let points = || series("a", vec![(START, 10.0), (START + HOUR, 90.0)]);
        assert!(svg("t", "%", &points()).contains(">20%<") && svg("t", "mV", &points()).contains(">20 mV<"));
    }

    #[test]
    fn a_pause_breaks_the_line_and_a_point_alone_is_seen() {
        let times = [0, 1, 2, 3, 20, 40, 41, 42];
        let points = times.map(|n| (START + n * HOUR, 50.0)).to_vec();
        let picture = svg("t", "", &series("a", points));
        let path = picture.lines().find(|line| line.contains("<title>")).unwrap();
        assert_eq!(path.matches('M').count(), 3, "{path}");
        assert!(path.contains("h0.1"), "{path}");
    }

    #[test]
    fn a_million_points_are_as_large_as_the_picture() {
        let points = (0..1_000_000).map(|n| (START + n * 1000, (n % 97) as f64)).collect();
        assert!(svg("t", "", &series("a", points)).len() < 40_000);
    }

    #[test]
    fn names_are_texts_and_many_series_are_counted() {
        let evil = "</text><script>alert(1)</script>\u{1b}\"&";
        let mut many = series(evil, vec![(START, 1.5)]);
        for number in 0..30 {
            many.insert(format!("z{number:02}"), vec![(START, f64::from(number) * 10.0), (START + HOUR, f64::NAN)]);
        }
        let picture = svg(evil, evil, &many);
        assert!(!picture.contains("<script") && !picture.contains('\u{1b}') && !picture.contains("NaN"), "{picture}");
        assert!(picture.contains("+11 more"), "{picture}");
    }

    #[test]
    fn nothing_one_point_and_any_numbers_are_pictures_too() {
        assert!(svg("t", "", &Series::new()).contains("no data yet"));
        for value in [0.0, -5.0, 1e300, -1e300, 1e-300, 0.5, 100.5] {
            let picture = svg("t", "", &series("a", vec![(START, value), (START + HOUR, value * 0.5)]));
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{value}: {picture}");
            let alone = svg("t", "", &series("a", vec![(i64::MIN / 2, value)]));
            assert!(alone.ends_with("</svg>\n") && !alone.contains("NaN"), "{value}: {alone}");
        }
    }
}

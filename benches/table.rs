//! The figures: what was measured, what is required, whether it holds.
//! Promises one table at the end and a line at the moment each figure is known.
//! Leaves the exit code to `main`: a figure that misses its mark is a fact, not a failure.

use std::fmt::Write;

/// One row.
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// What is required of it, in its unit; `None` where it is shown for its own sake.
    required: Option<Required>,
    note: String,
}

#[derive(Clone, Copy)]
enum Required {
    AtMost(f64),
    AtLeast(f64),
}

/// All rows so far.
#[derive(Default)]
pub(crate) struct Table {
    figures: Vec<Figure>,
}

impl Table {
    /// Adds a row and prints it.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &'static str, at_most: Option<f64>, note: String) {
        let required = at_most.map(Required::AtMost);
        self.push(Figure { name: name.to_owned(), value, unit, required, note });
    }

    /// The same where more is better.
    pub(crate) fn add_at_least(&mut self, name: &str, value: f64, unit: &'static str, at_least: f64, note: String) {
        let required = Some(Required::AtLeast(at_least));
        self.push(Figure { name: name.to_owned(), value, unit, required, note });
    }

    fn push(&mut self, figure: Figure) {
        println!("  => {}", figure.cells().join(" | "));
        self.figures.push(figure);
    }

    /// The whole table, as Markdown.
    pub(crate) fn render(&self) -> String {
        let heading = ["figure", "measured", "required", "ok", "from"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(heading).chain(self.figures.iter().map(Figure::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..5).map(width).collect();
        let mut text = String::new();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(&format!("| {cell:width$} "));
            }
            text.push_str("|\n");
            if number == 0 {
                for width in &widths {
                    text.push_str(&format!("|{}", "-".repeat(width + 2)));
                }
                text.push_str("|\n");
            }
        }
        let missed = self.figures.iter().filter(|figure| figure.holds() == Some(false)).count();
        let held = self.figures.iter().filter(|figure| figure.holds() == Some(true)).count();
        let _infallible = writeln!(text, "\n{held} held, {missed} missed");
        text
    }
}

impl Figure {
    fn holds(&self) -> Option<bool> {
        self.required.map(|required| match required {
            Required::AtMost(most) => self.value <= most,
            Required::AtLeast(least) => self.value >= least,
        })
    }

    fn cells(&self) -> [String; 5] {
        let required = match self.required {
            Some(Required::AtMost(most)) => format!("<= {most} {}", self.unit),
            Some(Required::AtLeast(least)) => format!(">= {least} {}", self.unit),
            None => String::new(),
        };
        let ok = match self.holds() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let digits = if self.value >= 100.0 { 1 } else { 3 };
        [
            self.name.clone(),
            format!("{:.digits$} {}", self.value, self.unit),
            required.trim_end().to_owned(),
            ok.to_owned(),
            self.note.clone(),
        ]
    }
}

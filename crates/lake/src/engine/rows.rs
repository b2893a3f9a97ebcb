//! Rows of an answer, written as a table, as CSV or as JSON.
//! Promises that null and an empty text differ, and that a table steers no terminal.
//! Leaves getting rows to the engines.

use super::Format;
use serde_json::Value;
use std::fmt::Write as _;

/// Rows as texts.
#[derive(Debug, Default)]
pub struct Rows {
    /// Names and types.
    pub columns: Vec<(String, String)>,
    /// Null is nothing.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Rows in the format asked for.
#[must_use]
pub fn write(rows: &Rows, format: Format) -> Vec<u8> {
    match format {
        Format::Csv => csv(rows).into_bytes(),
        Format::Jsonl => jsonl(rows).into_bytes(),
        Format::Table => table(rows).into_bytes(),
    }
}

/// RFC 4180; null is an empty field, an empty text is quoted.
#[must_use]
pub fn csv(rows: &Rows) -> String {
    let field = |text: &str| {
        if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut out = rows.columns.iter().map(|(name, _)| field(name)).collect::<Vec<_>>().join(",") + "\n";
    for row in &rows.rows {
        let fields = row.iter().map(|datum| datum.as_deref().map_or_else(String::new, field));
        out.push_str(&(fields.collect::<Vec<_>>().join(",") + "\n"));
    }
    out
}

fn jsonl(rows: &Rows) -> String {
    let value = |datum: Option<&String>, kind: &str| match (datum, kind) {
        (None, _) => Value::Null,
        (Some(text), "boolean") => Value::Bool(text == "true"),
        (Some(text), "tinyint" | "smallint" | "integer" | "int" | "bigint" | "double" | "float" | "real") => {
            serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.clone().into(), Value::Number)
        }
        (Some(text), _) => text.clone().into(),
    };
    let mut out = String::new();
    for row in &rows.rows {
        let pairs = rows.columns.iter().zip(row);
        let object: serde_json::Map<_, _> =
            pairs.map(|((name, kind), datum)| (name.clone(), value(datum.as_ref(), kind))).collect();
        writeln!(out, "{}", Value::Object(object)).expect("a text takes what is written");
    }
    out
}

fn table(rows: &Rows) -> String {
    let shown = |text: &str| datalake_base::shown::shown(text).to_string();
    let names: Vec<String> = rows.columns.iter().map(|(name, _)| shown(name)).collect();
    let cells: Vec<Vec<String>> = rows
        .rows
        .iter()
        .map(|row| row.iter().map(|datum| datum.as_deref().map_or_else(|| "NULL".to_owned(), shown)).collect())
        .collect();
    let width = |column: usize| {
        let cells = cells.iter().filter_map(|row| row.get(column)).chain(names.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
        format!("│{}│\n", cells.collect::<Vec<_>>().join("│"))
    };
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let body: String = cells.iter().map(|row| line(row)).collect();
    rule("┌", "┬", "┐") + &line(&names) + &rule("├", "┼", "┤") + &body + &rule("└", "┴", "┘")
}

/// Reads CSV in which `null` stands for null.
#[must_use]
pub fn read_csv(text: &[u8], null: &str) -> Rows {
    let text = String::from_utf8_lossy(text);
    let (mut lines, mut line, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    let mut lines = lines.into_iter();
    let columns = lines.next().unwrap_or_default().into_iter().map(|name| (name, String::new())).collect();
    let row = |line: Vec<String>| line.into_iter().map(|field| (field != null).then_some(field)).collect();
    Rows { columns, rows: lines.map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_in_each_format_and_null_is_not_an_empty_text() {
        let columns = [("a", "bigint"), ("b", "varchar"), ("c", "boolean"), ("d", "double")];
        let columns = columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
        let text = |text: &str| Some(text.to_owned());
        let rows = vec![
            vec![text("1"), text("x,\"y\""), text("true"), text("NaN")],
            vec![None, text(""), text("false"), text("1.5")],
        ];
        let rows = Rows { columns, rows };
        assert_eq!(csv(&rows), "a,b,c,d\n1,\"x,\"\"y\"\"\",true,NaN\n,\"\",false,1.5\n");
        assert_eq!(
            jsonl(&rows),
            "{\"a\":1,\"b\":\"x,\\\"y\\\"\",\"c\":true,\"d\":\"NaN\"}\n{\"a\":null,\"b\":\"\",\"c\":false,\"d\":1.5}\n"
        );
        assert!(table(&rows).contains("│ NULL │       │ false │ 1.5 │"), "{}", table(&rows));
    }

    #[test]
    fn what_was_written_is_read_back() {
        let text = "a,\"b,\"\"\n\"\nN,\"\"\nx,\"N\"\"\"\n";
        let rows = read_csv(text.as_bytes(), "N");
        assert_eq!(rows.columns.len(), 2);
        assert_eq!(rows.rows, [vec![None, Some(String::new())], vec![Some("x".into()), Some("N\"".into())]]);
        assert_eq!(csv(&rows), "a,\"b,\"\"\n\"\n,\"\"\nx,\"N\"\"\"\n");
    }
}

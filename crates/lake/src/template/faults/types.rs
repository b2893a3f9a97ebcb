//! Types of columns as Glue and Athena take them.
//! Promises to end on any text.
//! Leaves which type a field has to `columns`.

const PLAIN: [&str; 11] =
    ["boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary", "date", "timestamp"];
/// Glue takes no longer text.
const LONGEST: usize = 131_072;
const DEEPEST: usize = 64;

/// Whether it is a type.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(kind: &str) -> Result<(), String> {
    if kind.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let rest = one(kind, DEEPEST)?;
    if rest.is_empty() { Ok(()) } else { Err(format!("`{}` stands behind it", shown(rest))) }
}

fn shown(text: &str) -> String {
    text.chars().take(30).collect()
}

/// One type; what stands behind it.
fn one(text: &str, depth: usize) -> Result<&str, String> {
    let depth = depth.checked_sub(1).ok_or_else(|| "it is nested too deeply".to_owned())?;
    let end = text.find(|character: char| !character.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let closed = |rest: &'_ str, sign: char| -> Result<(), String> {
        if rest.starts_with(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before `{}`", shown(rest))) }
    };
    match word {
        "array" => {
            closed(rest, '<')?;
            let rest = one(&rest[1..], depth)?;
            closed(rest, '>')?;
            Ok(&rest[1..])
        }
        "map" => {
            closed(rest, '<')?;
            let key = &rest[1..];
            let rest = one(key, depth)?;
            if ["array", "map", "struct"].iter().any(|nested| key.starts_with(nested)) {
                return Err("the key of a map is a plain type".to_owned());
            }
            closed(rest, ',')?;
            let rest = one(&rest[1..], depth)?;
            closed(rest, '>')?;
            Ok(&rest[1..])
        }
        "struct" => {
            closed(rest, '<')?;
            let mut rest = &rest[1..];
            loop {
                let Some((name, after)) = rest.split_once(':') else {
                    return Err("a field of a struct is `name:type`".to_owned());
                };
                let good =
                    |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
                if name.is_empty() || !name.chars().all(good) {
                    return Err(format!("`{}` is no name of a field", shown(name)));
                }
                rest = one(after, depth)?;
                match rest.as_bytes().first() {
                    Some(b',') => rest = &rest[1..],
                    Some(b'>') => return Ok(&rest[1..]),
                    _ => return Err(format!("`>` is missing before `{}`", shown(rest))),
                }
            }
        }
        "decimal" | "char" | "varchar" => {
            closed(rest, '(')?;
            let Some((inside, rest)) = rest[1..].split_once(')') else { return Err("`)` is missing".to_owned()) };
            let numbers: Vec<Option<u32>> = inside.split(',').map(|number| number.trim().parse().ok()).collect();
            let good = match (word, numbers.as_slice()) {
                ("decimal", [Some(precision)]) => (1..=38).contains(precision),
                ("decimal", [Some(precision), Some(scale)]) => (1..=38).contains(precision) && scale <= precision,
                ("char", [Some(length)]) => (1..=255).contains(length),
                ("varchar", [Some(length)]) => (1..=65_535).contains(length),
                _ => false,
            };
            if good { Ok(rest) } else { Err(format!("{word}({}) does not exist", shown(inside))) }
        }
        _ if PLAIN.contains(&word) => Ok(rest),
        _ => Err(format!(
            "`{}` is no type; known are {}, decimal, char, varchar, array, map and struct",
            shown(text),
            PLAIN.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_what_glue_and_athena_take() {
        for kind in [
            "string",
            "decimal(20,0)",
            "array<map<string,struct<a:int,b_1:array<double>>>>",
            "varchar(10)",
            "map<bigint,string>",
        ] {
            assert_eq!(check(kind), Ok(()), "{kind}");
        }
        for kind in [
            "",
            "integer",
            "STRING",
            "text",
            "int64",
            "decimal",
            "decimal(50,0)",
            "decimal(5,6)",
            "array<string",
            "array(string)",
            "map<string>",
            "map<array<int>,int>",
            "struct<>",
            "struct<A:int>",
            "struct<a int>",
            "string>",
            "struct<a:int,>",
            "string string",
            "é",
        ] {
            assert!(check(kind).is_err(), "{kind}");
        }
        assert!(check(&("array<".repeat(1000) + "int" + &">".repeat(1000))).is_err());
    }
}

//! Types of columns, in the words of Hive (Glue, Athena) and of DuckDB.
//! Promises that both hold the same values of a canonical line.
//! Leaves names and quoting of columns to `ddl`.

use datalake_schema::plan::{Field, Kind, Plan, Scalar, Shape};

/// The type in Hive's words.
#[must_use]
pub fn hive(plan: &Plan, field: &Field) -> String {
    let one = match field.kind {
        Kind::Scalar(scalar) | Kind::Wrapper(scalar) => hive_scalar(scalar).to_owned(),
        Kind::Message(inner) | Kind::Group(inner) => {
            let fields = &plan.messages[inner].fields;
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}:{}", field.name.to_ascii_lowercase(), hive(plan, field)))
                .collect();
            format!("struct<{}>", fields.join(","))
        }
        _ => "string".to_owned(),
    };
    match field.shape {
        Shape::One => one,
        Shape::List => format!("array<{one}>"),
        Shape::Map(key) => format!("map<{},{one}>", hive_scalar(key)),
    }
}

/// The type in DuckDB's words.
#[must_use]
pub fn duckdb(plan: &Plan, field: &Field) -> String {
    let one = match field.kind {
        Kind::Scalar(scalar) | Kind::Wrapper(scalar) => duckdb_scalar(scalar).to_owned(),
        Kind::Message(inner) | Kind::Group(inner) => {
            let fields = &plan.messages[inner].fields;
            let fields: Vec<String> =
                fields.iter().map(|field| format!("\"{}\" {}", field.name, duckdb(plan, field))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        _ => "VARCHAR".to_owned(),
    };
    match field.shape {
        Shape::One => one,
        Shape::List => format!("{one}[]"),
        Shape::Map(key) => format!("MAP({}, {one})", duckdb_scalar(key)),
    }
}

const fn hive_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Double => "double",
        Scalar::Float => "float",
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => "int",
        Scalar::Uint32 | Scalar::Fixed32 | Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => "bigint",
        Scalar::Uint64 | Scalar::Fixed64 => "decimal(20,0)",
        Scalar::Bool => "boolean",
        Scalar::String | Scalar::Bytes => "string",
    }
}

const fn duckdb_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Double => "DOUBLE",
        Scalar::Float => "FLOAT",
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => "INTEGER",
        Scalar::Uint32 | Scalar::Fixed32 | Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => "BIGINT",
        Scalar::Uint64 | Scalar::Fixed64 => "DECIMAL(20,0)",
        Scalar::Bool => "BOOLEAN",
        Scalar::String | Scalar::Bytes => "VARCHAR",
    }
}

//! Tables in the words of Glue, Athena and DuckDB.
//! Promises the same columns in the same order from each, and the same text for the same schema.
//! Leaves running them to others.

use super::{Schema, columns};
use crate::config::{Lake, PARTITION, Serde, Table};
use datalake_schema::plan::Field;
use serde_json::{Value, json};

/// The columns of a table, with their comments.
fn fields<'a>(schema: &'a Schema, table: &Table) -> Vec<(&'a Field, Option<&'a str>)> {
    let Some(message) = schema.plan.tables.get(&table.name).map(|table| schema.plan.message_of(table)) else {
        return Vec::new();
    };
    let comment = |field: &Field| schema.comments.get(&format!("{}.{}", message.name, field.name)).map(String::as_str);
    message.fields.iter().map(|field| (field, comment(field))).collect()
}

/// What Athena has to know so that nobody has to add partitions.
fn projection(lake: &Lake, table: &Table) -> Vec<(String, String)> {
    let key = |name: &str| format!("projection.{PARTITION}.{name}");
    [
        ("projection.enabled".to_owned(), "true".to_owned()),
        (key("type"), "date".to_owned()),
        (key("format"), "yyyy-MM-dd-HH".to_owned()),
        (key("range"), format!("{},NOW+1HOURS", lake.first_hour)),
        (key("interval"), "1".to_owned()),
        (key("interval.unit"), "HOURS".to_owned()),
        ("storage.location.template".to_owned(), format!("{}{PARTITION}=${{{PARTITION}}}/", location(lake, table))),
    ]
    .into()
}

fn bucket(lake: &Lake) -> &str {
    lake.athena.bucket.as_deref().unwrap_or("BUCKET")
}

fn location(lake: &Lake, table: &Table) -> String {
    format!("s3://{}/{}", bucket(lake), table.prefix)
}

const fn library(serde: Serde) -> &'static str {
    match serde {
        Serde::OpenX => "org.openx.data.jsonserde.JsonSerDe",
        Serde::Hive => "org.apache.hive.hcatalog.data.JsonSerDe",
    }
}

/// The `TableInput` of Glue's `CreateTable`.
#[must_use]
pub fn glue(lake: &Lake, schema: &Schema, table: &Table) -> Value {
    let columns: Vec<Value> = fields(schema, table)
        .into_iter()
        .map(|(field, comment)| {
            let mut column =
                json!({"Name": field.name.to_ascii_lowercase(), "Type": columns::hive(&schema.plan, field)});
            if let Some(comment) = comment {
                column["Comment"] = comment.into();
            }
            column
        })
        .collect();
    let mut parameters: serde_json::Map<String, Value> =
        [("classification".to_owned(), json!("json")), ("EXTERNAL".to_owned(), json!("TRUE"))].into_iter().collect();
    parameters.extend(projection(lake, table).into_iter().map(|(key, value)| (key, value.into())));
    let serde_parameters = match table.serde {
        Serde::OpenX => json!({"ignore.malformed.json": "true"}),
        Serde::Hive => json!({}),
    };
    json!({
        "Name": table.name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{"Name": PARTITION, "Type": "string"}],
        "StorageDescriptor": {
            "Columns": columns,
            "Location": location(lake, table),
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {"SerializationLibrary": library(table.serde), "Parameters": serde_parameters},
        },
    })
}

/// `CREATE EXTERNAL TABLE`, as Athena takes it.
#[must_use]
pub fn athena(lake: &Lake, schema: &Schema, table: &Table) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let columns: Vec<String> = fields(schema, table)
        .into_iter()
        .map(|(field, comment)| {
            let comment = comment.map_or_else(String::new, |comment| format!(" COMMENT {}", text(comment)));
            format!("  `{}` {}{comment}", field.name.to_ascii_lowercase(), columns::hive(&schema.plan, field))
        })
        .collect();
    let properties: Vec<String> = projection(lake, table)
        .into_iter()
        .map(|(key, value)| format!("  {} = {}", text(&key), text(&value)))
        .collect();
    let with = match table.serde {
        Serde::OpenX => "\nWITH SERDEPROPERTIES ('ignore.malformed.json' = 'true')",
        Serde::Hive => "",
    };
    format!(
        "CREATE EXTERNAL TABLE `{}` (\n{}\n)\nPARTITIONED BY (`{PARTITION}` string)\nROW FORMAT SERDE {}{with}\n\
         LOCATION {}\nTBLPROPERTIES (\n{}\n)\n",
        table.name,
        columns.join(",\n"),
        text(library(table.serde)),
        text(&location(lake, table)),
        properties.join(",\n"),
    )
}

/// A text of SQL.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A view of DuckDB over the objects below the folder at hand, or, as long as there are none, over nothing.
#[must_use]
pub fn duckdb(schema: &Schema, table: &Table, has_objects: bool) -> String {
    let fields = fields(schema, table);
    let types = |field: &Field| columns::duckdb(&schema.plan, field);
    if !has_objects {
        let nulls: Vec<String> =
            fields.iter().map(|(field, _)| format!("NULL::{} AS \"{}\"", types(field), field.name)).collect();
        return format!(
            "CREATE OR REPLACE VIEW \"{}\" AS SELECT {}, NULL::VARCHAR AS \"{PARTITION}\" WHERE false;\n",
            table.name,
            nulls.join(", ")
        );
    }
    let columns: Vec<String> =
        fields.iter().map(|(field, _)| format!("{}: {}", literal(&field.name), literal(&types(field)))).collect();
    format!(
        "CREATE OR REPLACE VIEW \"{}\" AS SELECT * FROM read_json({}, format='newline_delimited', compression='gzip', \
         ignore_errors=true, hive_partitioning=true, hive_types={{'{PARTITION}': 'VARCHAR'}}, maximum_object_size=16777216,\n  \
         columns={{{}}});\n",
        table.name,
        literal(&format!("{}{PARTITION}=*/[!.]*.gz", table.prefix)),
        columns.join(", ")
    )
}

//! What Athena knows: database, tables, workgroup, queries.
//! Promises that a table's location and its projection are the prefix of lake.json.
//! Leaves columns to `ddl`.

use super::{Stack, account, arn, id, sub};
use crate::config::PARTITION;
use crate::schema::ddl;
use serde_json::json;

/// Athena stops a query that scans more than this, in bytes.
const SCAN_LIMIT: u64 = 100_000_000_000;
const PARQUET: &str = "org.apache.hadoop.hive.ql.io.parquet";

impl Stack<'_> {
    pub(super) fn catalogue(&mut self) {
        let database = self.lake.athena.database.as_ref().unwrap_or(&self.lake.name);
        let input = json!({"Name": database, "Description": "Made by `datalake template`"});
        let glue =
            json!({"Type": "AWS::Glue::Database", "Properties": {"CatalogId": account(), "DatabaseInput": input}});
        self.add("Database", glue);
        for table in self.lake.tables.values() {
            let mut input = ddl::glue(self.lake, self.schema, table);
            let location = format!("s3://${{LakeBucket}}/{}", table.prefix);
            input["StorageDescriptor"]["Location"] = sub(&location);
            // `${!dt}` is the text `${dt}`.
            input["Parameters"]["storage.location.template"] =
                sub(&format!("{location}{PARTITION}=${{!{PARTITION}}}/"));
            if self.options.parquet.contains(&table.name) {
                let storage = &mut input["StorageDescriptor"];
                storage["InputFormat"] = format!("{PARQUET}.MapredParquetInputFormat").into();
                storage["OutputFormat"] = format!("{PARQUET}.MapredParquetOutputFormat").into();
                let library = format!("{PARQUET}.serde.ParquetHiveSerDe");
                storage["SerdeInfo"] =
                    json!({"SerializationLibrary": library, "Parameters": {"serialization.format": "1"}});
                input["Parameters"]["classification"] = "parquet".into();
            }
            let properties = json!({"CatalogId": account(), "DatabaseName": {"Ref": "Database"}, "TableInput": input});
            self.add(id("Table", &table.name), json!({"Type": "AWS::Glue::Table", "Properties": properties}));
        }
    }

    pub(super) fn athena(&mut self, queries: &[(String, String)]) {
        let encryption = if self.options.kms {
            json!({"EncryptionOption": "SSE_KMS", "KmsKey": arn("LakeKey")})
        } else {
            json!({"EncryptionOption": "SSE_S3"})
        };
        let workgroup = json!({
            "Type": "AWS::Athena::WorkGroup",
            "Properties": {
                "Name": sub("${LakeName}"),
                "RecursiveDeleteOption": true,
                "WorkGroupConfiguration": {
                    "EnforceWorkGroupConfiguration": true,
                    "BytesScannedCutoffPerQuery": SCAN_LIMIT,
                    "EngineVersion": {"SelectedEngineVersion": "Athena engine version 3"},
                    "ResultConfiguration": {
                        "OutputLocation": sub("s3://${LakeBucket}/athena-results/"),
                        "EncryptionConfiguration": encryption,
                    },
                },
            },
        });
        self.add("WorkGroup", workgroup);
        if self.options.without_named_queries {
            return;
        }
        for (name, query) in queries {
            let properties = json!({
                "Name": name,
                "Database": self.lake.athena.database.as_ref().unwrap_or(&self.lake.name),
                "WorkGroup": {"Ref": "WorkGroup"},
                "QueryString": query,
            });
            let query = json!({"Type": "AWS::Athena::NamedQuery", "DependsOn": ["Database"], "Properties": properties});
            self.add(id("Query", name), query);
        }
    }
}

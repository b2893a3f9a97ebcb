//! Delivery streams: from the agent, from Kinesis, or from AWS IoT into the bucket.
//! Promises the prefix that the table has, an error prefix wherever a prefix has an expression, and logs that exist before
//! they are written.
//! Leaves functions to `functions`.

use super::{Stack, account, arn, id, policy, role, sub, trust};
use crate::config::{PARTITION, Table};
use serde_json::{Value, json};

/// Firehose writes an object after this many seconds, or MiB.
const INTERVAL: u64 = 300;
const SIZE: u64 = 128;
const HOUR: &str = "!{timestamp:yyyy-MM-dd-HH}";

impl Stack<'_> {
    pub(super) fn delivery(&mut self) {
        let tables = self.streamed();
        if tables.is_empty() {
            return;
        }
        let logs: Vec<Value> =
            tables.iter().map(|table| sub(&format!("${{{}.Arn}}", id("Log", &table.name)))).collect();
        let mut statements = vec![
            json!({"Effect": "Allow",
                "Action": ["s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket",
                    "s3:ListBucketMultipartUploads", "s3:PutObject"],
                "Resource": [arn("LakeBucket"), sub("${LakeBucket.Arn}/*")]}),
            json!({"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": logs}),
        ];
        let functions: Vec<Value> = self
            .transformed()
            .iter()
            .flat_map(|table| {
                let function = id("Transform", &table.name);
                [arn(&function), sub(&format!("${{{function}.Arn}}:*"))]
            })
            .collect();
        if !functions.is_empty() {
            let actions = ["lambda:InvokeFunction", "lambda:GetFunctionConfiguration"];
            statements.push(json!({"Effect": "Allow", "Action": actions, "Resource": functions}));
        }
        if !self.options.parquet.is_empty() {
            let mut tables = vec![
                sub("arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:catalog"),
                sub("arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:database/${Database}"),
            ];
            tables.extend(self.options.parquet.iter().map(|table| {
                sub(&format!(
                    "arn:${{AWS::Partition}}:glue:${{AWS::Region}}:${{AWS::AccountId}}:table/${{Database}}/{table}"
                ))
            }));
            let actions = ["glue:GetTable", "glue:GetTableVersion", "glue:GetTableVersions"];
            statements.push(json!({"Effect": "Allow", "Action": actions, "Resource": tables}));
        }
        if self.options.kinesis {
            let streams: Vec<Value> = tables.iter().map(|table| arn(&id("Source", &table.name))).collect();
            let actions =
                ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"];
            statements.push(json!({"Effect": "Allow", "Action": actions, "Resource": streams}));
        }
        statements.extend(self.key_statements());
        let condition = json!({"StringEquals": {"sts:ExternalId": account()}});
        self.add("DeliveryRole", role(&trust("firehose.amazonaws.com", Some(condition)), "write", statements));
        for table in &tables {
            self.stream(table);
        }
        self.agent_policy(&tables);
        self.iot(&tables);
    }

    fn agent_policy(&mut self, tables: &[Table]) {
        let (kind, actions) = if self.options.kinesis {
            ("Source", ["kinesis:PutRecords", "kinesis:DescribeStreamSummary"])
        } else {
            ("Stream", ["firehose:PutRecord", "firehose:PutRecordBatch"])
        };
        let arns: Vec<Value> = tables.iter().map(|table| arn(&id(kind, &table.name))).collect();
        let document = policy(vec![json!({"Effect": "Allow", "Action": actions, "Resource": arns})]);
        let properties =
            json!({"Description": "What datalake-agent may do; attach it to its role", "PolicyDocument": document});
        self.add("AgentPolicy", json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}));
    }

    fn stream(&mut self, table: &Table) {
        let name = table.stream.as_deref().unwrap_or_default();
        let (log, stream) = (id("Log", &table.name), id("Stream", &table.name));
        self.log_group(&log, format!("/aws/kinesisfirehose/{name}").into());
        let log_stream = id("LogStream", &table.name);
        let properties = json!({"LogGroupName": {"Ref": log}, "LogStreamName": "DestinationDelivery"});
        self.add(log_stream.clone(), json!({"Type": "AWS::Logs::LogStream", "Properties": properties}));
        let mut destination = json!({
            "BucketARN": arn("LakeBucket"),
            "RoleARN": arn("DeliveryRole"),
            "Prefix": format!("{}{PARTITION}={HOUR}/", table.prefix),
            "ErrorOutputPrefix": format!("errors/{}/!{{firehose:error-output-type}}/{PARTITION}={HOUR}/", table.name),
            "BufferingHints": {"IntervalInSeconds": INTERVAL, "SizeInMBs": SIZE},
            "CompressionFormat": "GZIP",
            "CloudWatchLoggingOptions": {"Enabled": true, "LogGroupName": {"Ref": log}, "LogStreamName": {"Ref": log_stream}},
        });
        if table.transform.is_some() {
            destination["ProcessingConfiguration"] = self.processing(table);
        }
        if self.options.parquet.contains(&table.name) {
            // The serializer compresses by itself.
            destination["CompressionFormat"] = "UNCOMPRESSED".into();
            destination["DataFormatConversionConfiguration"] = json!({
                "Enabled": true,
                "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
                "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {"Compression": "SNAPPY"}}},
                "SchemaConfiguration": {
                    "CatalogId": account(), "DatabaseName": {"Ref": "Database"}, "TableName": {"Ref": id("Table", &table.name)},
                    "Region": {"Ref": "AWS::Region"}, "RoleARN": arn("DeliveryRole"), "VersionId": "LATEST",
                },
            });
        }
        let mut properties = json!({
            "DeliveryStreamName": name,
            "DeliveryStreamType": "DirectPut",
            "ExtendedS3DestinationConfiguration": destination,
        });
        if self.options.kinesis {
            let source = id("Source", &table.name);
            let encryption = json!({"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
            let mode = json!({"StreamMode": "ON_DEMAND"});
            let kinesis = json!({"Name": name, "StreamModeDetails": mode, "StreamEncryption": encryption});
            self.add(source.clone(), json!({"Type": "AWS::Kinesis::Stream", "Properties": kinesis}));
            properties["DeliveryStreamType"] = "KinesisStreamAsSource".into();
            properties["KinesisStreamSourceConfiguration"] =
                json!({"KinesisStreamARN": arn(&source), "RoleARN": arn("DeliveryRole")});
        } else {
            properties["DeliveryStreamEncryptionConfigurationInput"] = json!({"KeyType": "AWS_OWNED_CMK"});
        }
        self.add(stream.clone(), json!({"Type": "AWS::KinesisFirehose::DeliveryStream", "Properties": properties}));
        let dimension = || ("DeliveryStreamName", json!({"Ref": stream}));
        self.alarm(
            id("Late", &table.name),
            "Records reach the bucket more than 15 minutes late",
            ("AWS/Firehose", "DeliveryToS3.DataFreshness"),
            dimension(),
            "Maximum",
            900,
        );
        self.alarm(
            id("Throttled", &table.name),
            "Firehose throttles the stream; ask for a higher quota",
            ("AWS/Firehose", "ThrottledRecords"),
            dimension(),
            "Sum",
            0,
        );
    }

    /// Rules of AWS IoT: each message is a line.
    fn iot(&mut self, tables: &[Table]) {
        if self.options.iot.is_empty() {
            return;
        }
        let named: Vec<&Table> =
            tables.iter().filter(|table| self.options.iot.iter().any(|(name, _)| *name == table.name)).collect();
        let arns: Vec<Value> = named.iter().map(|table| arn(&id("Stream", &table.name))).collect();
        let statement =
            json!({"Effect": "Allow", "Action": ["firehose:PutRecord", "firehose:PutRecordBatch"], "Resource": arns});
        let condition = json!({"StringEquals": {"aws:SourceAccount": account()}});
        self.add("RuleRole", role(&trust("iot.amazonaws.com", Some(condition)), "put", vec![statement]));
        for (number, (table, filter)) in self.options.iot.clone().iter().enumerate() {
            let action = json!({"Firehose": {"DeliveryStreamName": {"Ref": id("Stream", table)}, "RoleArn": arn("RuleRole"), "Separator": "\n"}});
            let payload = json!({"AwsIotSqlVersion": "2016-03-23", "Sql": format!("SELECT * FROM '{filter}'"), "Actions": [action]});
            let rule = json!({"Type": "AWS::IoT::TopicRule", "Properties": {"TopicRulePayload": payload}});
            self.add(format!("{}{}", id("Rule", table), number + 1), rule);
        }
    }
}

//! The lake on AWS as one CloudFormation template.
//! Promises the same bytes for the same lake, names and prefixes from one source, and least rights.
//! Leaves deploying it to the AWS CLI.

use crate::config::{Lake, PARTITION, Table};
use crate::schema::{Schema, ddl};
use serde_json::{Map, Value, json};

/// What is left out on request, for stacks that do not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Queries kept in Athena.
    pub named_queries: bool,
    /// CloudWatch alarms.
    pub alarms: bool,
}

/// Firehose writes an object after this many seconds, or MiB.
const INTERVAL: u64 = 300;
const SIZE: u64 = 128;
/// Athena stops a query that scans more than this, in bytes.
const SCAN_LIMIT: u64 = 100_000_000_000;

/// The template. `queries` are names and texts.
#[must_use]
pub fn template(lake: &Lake, schema: &Schema, queries: &[(String, String)], without: Without) -> Value {
    let mut resources = Map::new();
    storage(&mut resources);
    catalogue(lake, schema, &mut resources);
    athena(lake, queries, without, &mut resources);
    let streams: Vec<&Table> = lake.tables.values().filter(|table| table.stream.is_some()).collect();
    if !streams.is_empty() {
        delivery(&streams, without, &mut resources);
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("The lake {}: bucket, delivery streams, tables, Athena", lake.name),
        "Parameters": {
            "LakeName": {
                "Type": "String",
                "Default": lake.name.replace('_', "-"),
                "AllowedPattern": "[a-z][a-z0-9-]{1,25}",
                "Description": "Begins the names of what is global, such as the bucket",
            },
        },
        "Resources": resources,
        "Outputs": {
            "Bucket": {"Value": {"Ref": "LakeBucket"}, "Description": "`athena.bucket` of lake.json"},
            "WorkGroup": {"Value": {"Ref": "WorkGroup"}, "Description": "`athena.workgroup` of lake.json"},
        },
    })
}

fn sub(text: &str) -> Value {
    json!({ "Fn::Sub": text })
}

/// A logical id: letters and digits.
fn id(kind: &str, name: &str) -> String {
    let mut id = kind.to_owned();
    let mut upper = true;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() {
            upper = true;
        } else if std::mem::take(&mut upper) {
            id.push(character.to_ascii_uppercase());
        } else {
            id.push(character);
        }
    }
    id
}

fn storage(resources: &mut Map<String, Value>) {
    let rule = |id: &str, more: Value| {
        let mut rule = json!({"Id": id, "Status": "Enabled"});
        if let (Value::Object(rule), Value::Object(more)) = (&mut rule, more) {
            rule.extend(more);
        }
        rule
    };
    let bucket = json!({
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BucketName": sub("${LakeName}-${AWS::AccountId}-${AWS::Region}"),
            "BucketEncryption": {"ServerSideEncryptionConfiguration":
                [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
            "PublicAccessBlockConfiguration": {"BlockPublicAcls": true, "BlockPublicPolicy": true,
                "IgnorePublicAcls": true, "RestrictPublicBuckets": true},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {"Rules": [
                rule("raw-to-infrequent-access",
                    json!({"Prefix": "raw/", "Transitions": [{"StorageClass": "STANDARD_IA", "TransitionInDays": 30}]})),
                rule("query-results", json!({"Prefix": "athena-results/", "ExpirationInDays": 7})),
                rule("unfinished-uploads", json!({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}})),
            ]},
        },
    });
    resources.insert("LakeBucket".to_owned(), bucket);
    let policy = json!({
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": "LakeBucket"},
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": [{"Fn::GetAtt": ["LakeBucket", "Arn"]}, sub("${LakeBucket.Arn}/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }]},
        },
    });
    resources.insert("LakeBucketPolicy".to_owned(), policy);
}

fn catalogue(lake: &Lake, schema: &Schema, resources: &mut Map<String, Value>) {
    let account = json!({"Ref": "AWS::AccountId"});
    let database = lake.athena.database.as_ref().unwrap_or(&lake.name);
    let input = json!({"Name": database, "Description": "Made by `datalake template`"});
    let glue = json!({"Type": "AWS::Glue::Database", "Properties": {"CatalogId": account, "DatabaseInput": input}});
    resources.insert("Database".to_owned(), glue);
    for table in lake.tables.values() {
        let mut input = ddl::glue(lake, schema, table);
        let location = format!("s3://${{LakeBucket}}/{}", table.prefix);
        input["StorageDescriptor"]["Location"] = sub(&location);
        // `${!dt}` is the text `${dt}`.
        input["Parameters"]["storage.location.template"] = sub(&format!("{location}{PARTITION}=${{!{PARTITION}}}/"));
        let properties = json!({"CatalogId": account, "DatabaseName": {"Ref": "Database"}, "TableInput": input});
        resources.insert(id("Table", &table.name), json!({"Type": "AWS::Glue::Table", "Properties": properties}));
    }
}

fn athena(lake: &Lake, queries: &[(String, String)], without: Without, resources: &mut Map<String, Value>) {
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
                    "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
                },
            },
        },
    });
    resources.insert("WorkGroup".to_owned(), workgroup);
    for (name, query) in queries.iter().filter(|_| !without.named_queries) {
        let properties = json!({
            "Name": name,
            "Database": lake.athena.database.as_ref().unwrap_or(&lake.name),
            "WorkGroup": {"Ref": "WorkGroup"},
            "QueryString": query,
        });
        let query = json!({"Type": "AWS::Athena::NamedQuery", "DependsOn": ["Database"], "Properties": properties});
        resources.insert(id("Query", name), query);
    }
}

fn delivery(tables: &[&Table], without: Without, resources: &mut Map<String, Value>) {
    let account = json!({"Ref": "AWS::AccountId"});
    let logs: Vec<Value> = tables.iter().map(|table| sub(&format!("${{{}.Arn}}", id("Log", &table.name)))).collect();
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "firehose.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": account}},
    }]});
    let rights = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow",
         "Action": ["s3:AbortMultipartUpload", "s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket",
             "s3:ListBucketMultipartUploads", "s3:PutObject"],
         "Resource": [{"Fn::GetAtt": ["LakeBucket", "Arn"]}, sub("${LakeBucket.Arn}/*")]},
        {"Effect": "Allow", "Action": ["logs:PutLogEvents"], "Resource": logs},
    ]});
    let policies = json!([{"PolicyName": "write", "PolicyDocument": rights}]);
    let role = json!({"AssumeRolePolicyDocument": trust, "Policies": policies});
    resources.insert("DeliveryRole".to_owned(), json!({"Type": "AWS::IAM::Role", "Properties": role}));
    for table in tables {
        stream(table, without, resources);
    }
    let arns: Vec<Value> =
        tables.iter().map(|table| json!({"Fn::GetAtt": [id("Stream", &table.name), "Arn"]})).collect();
    let document = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["firehose:PutRecord", "firehose:PutRecordBatch"], "Resource": arns,
    }]});
    let properties =
        json!({"Description": "What datalake-agent may do; attach it to its role", "PolicyDocument": document});
    resources.insert("AgentPolicy".to_owned(), json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}));
}

fn stream(table: &Table, without: Without, resources: &mut Map<String, Value>) {
    let name = table.stream.as_deref().unwrap_or_default();
    let (log, stream) = (id("Log", &table.name), id("Stream", &table.name));
    let group = format!("/aws/kinesisfirehose/{name}");
    resources.insert(
        log.clone(),
        json!({
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"LogGroupName": group, "RetentionInDays": 30},
        }),
    );
    let log_stream = id("LogStream", &table.name);
    let properties = json!({"LogGroupName": {"Ref": log}, "LogStreamName": "DestinationDelivery"});
    resources.insert(log_stream.clone(), json!({"Type": "AWS::Logs::LogStream", "Properties": properties}));
    let hour = "!{timestamp:yyyy-MM-dd-HH}";
    let destination = json!({
        "BucketARN": {"Fn::GetAtt": ["LakeBucket", "Arn"]},
        "RoleARN": {"Fn::GetAtt": ["DeliveryRole", "Arn"]},
        "Prefix": format!("{}{PARTITION}={hour}/", table.prefix),
        "ErrorOutputPrefix": format!("errors/{}/!{{firehose:error-output-type}}/{PARTITION}={hour}/", table.name),
        "BufferingHints": {"IntervalInSeconds": INTERVAL, "SizeInMBs": SIZE},
        "CompressionFormat": "GZIP",
        "CloudWatchLoggingOptions": {"Enabled": true, "LogGroupName": {"Ref": log}, "LogStreamName": {"Ref": log_stream}},
    });
    let properties = json!({
        "DeliveryStreamName": name,
        "DeliveryStreamType": "DirectPut",
        "ExtendedS3DestinationConfiguration": destination,
    });
    resources.insert(stream.clone(), json!({"Type": "AWS::KinesisFirehose::DeliveryStream", "Properties": properties}));
    if without.alarms {
        return;
    }
    let alarm = |metric: &str, statistic: &str, above: u64, what: &str| {
        json!({"Type": "AWS::CloudWatch::Alarm", "Properties": {
            "AlarmDescription": what, "Namespace": "AWS/Firehose", "MetricName": metric, "Statistic": statistic,
            "Dimensions": [{"Name": "DeliveryStreamName", "Value": {"Ref": stream}}],
            "Period": 300, "EvaluationPeriods": 1, "Threshold": above, "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }})
    };
    let late =
        alarm("DeliveryToS3.DataFreshness", "Maximum", 900, "Records reach the bucket more than 15 minutes late");
    let throttled = alarm("ThrottledRecords", "Sum", 0, "Firehose throttles the stream; ask for a higher quota");
    resources.insert(id("Late", &table.name), late);
    resources.insert(id("Throttled", &table.name), throttled);
}

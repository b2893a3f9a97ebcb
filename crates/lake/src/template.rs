//! The lake on AWS as one CloudFormation template.
//! Promises the same bytes for the same lake, names and prefixes from one source, and least rights.
//! Leaves deploying it to the AWS CLI.

/// The Glue database and its tables, the workgroup and its queries.
mod catalogue;
/// Delivery streams.
mod delivery;
/// What is wrong with a template that no linter sees.
pub mod faults;
/// Lambda functions: transformation and reactions.
mod functions;
/// The bucket, its key and its notifications.
mod storage;

use crate::config::{Lake, Table};
use crate::schema::Schema;
use serde_json::{Map, Value, json};

/// With account and region behind it a bucket's name has room.
const LONGEST_NAME: usize = 26;

/// What is chosen about the stack beyond lake.json.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// No queries kept in Athena.
    pub without_named_queries: bool,
    /// No CloudWatch alarms.
    pub without_alarms: bool,
    /// Streams of Kinesis before the delivery streams.
    pub kinesis: bool,
    /// A key of the lake's own.
    pub kms: bool,
    /// Functions run on arm64.
    pub arm64: bool,
    /// Tables whose objects Firehose converts to Parquet.
    pub parquet: Vec<String>,
    /// Tables and the topic filters of AWS IoT whose messages are their rows.
    pub iot: Vec<(String, String)>,
}

/// A template under way.
struct Stack<'a> {
    lake: &'a Lake,
    schema: &'a Schema,
    options: &'a Options,
    resources: Map<String, Value>,
}

/// The template. `queries` are names and texts.
///
/// # Errors
/// Options that name what lake.json does not have, or cannot be.
pub fn template(
    lake: &Lake,
    schema: &Schema,
    queries: &[(String, String)],
    options: &Options,
) -> Result<Value, String> {
    check(lake, options)?;
    let mut stack = Stack { lake, schema, options, resources: Map::new() };
    stack.key();
    stack.storage();
    stack.catalogue();
    stack.athena(queries);
    stack.delivery();
    stack.transforms();
    stack.reactions();
    let mut parameters = json!({
        "LakeName": {
            "Type": "String",
            "Default": lake.workgroup(),
            "AllowedPattern": "[a-z][a-z0-9-]{0,25}",
            "Description": "Begins the names of what is global, such as the bucket",
        },
    });
    if stack.has_functions() {
        parameters["CodeBucket"] =
            json!({"Type": "String", "Description": "The bucket that holds the zip of `datalake package`"});
        parameters["CodeKey"] = json!({"Type": "String", "Default": "lake.zip", "Description": "Its key there"});
    }
    let mut outputs = json!({
        "Bucket": {"Value": {"Ref": "LakeBucket"}, "Description": "`athena.bucket` of lake.json"},
        "WorkGroup": {"Value": {"Ref": "WorkGroup"}, "Description": "`athena.workgroup` of lake.json"},
    });
    if stack.resources.contains_key("DeadLetters") {
        outputs["DeadLetters"] =
            json!({"Value": {"Ref": "DeadLetters"}, "Description": "Notifications that no reaction could answer"});
    }
    if stack.resources.contains_key("StepPolicy") {
        outputs["StepPolicy"] = json!({"Value": {"Ref": "StepPolicy"}, "Description": "To attach to the role of a function that reactions call"});
    }
    Ok(json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("The lake {}: bucket, delivery streams, tables, Athena", lake.name),
        "Parameters": parameters,
        "Resources": stack.resources,
        "Outputs": outputs,
    }))
}

fn check(lake: &Lake, options: &Options) -> Result<(), String> {
    if lake.name.len() > LONGEST_NAME || !lake.name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(format!(
            "the name `{}` begins the bucket's: take a letter first, and at most {LONGEST_NAME} characters",
            lake.name
        ));
    }
    let streams = |table: &str| lake.tables.get(table).is_some_and(|table| table.stream.is_some());
    for table in options.parquet.iter().chain(options.iot.iter().map(|(table, _)| table)) {
        if !streams(table) {
            return Err(format!("lake.json has no table `{table}` with a stream"));
        }
    }
    for table in &options.parquet {
        if let Some(reaction) =
            lake.reactions.iter().find(|reaction| reaction.on == *table || reaction.writes() == Some(table))
        {
            let words = "which are JSON lines; leave the table out of --parquet, or the reaction out of lake.json";
            return Err(format!("the reaction `{}` reads or writes objects of `{table}`, {words}", reaction.name));
        }
    }
    for (table, filter) in &options.iot {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"'\"\\`".contains(&byte);
        if filter.is_empty() || filter.len() > 256 || !filter.bytes().all(plain) {
            return Err(format!("`{table}={filter}` names no topic filter; write TABLE=devices/+/ping"));
        }
        if options.kinesis {
            return Err("--iot sends to delivery streams that take records directly; leave --kinesis out".to_owned());
        }
    }
    Ok(())
}

impl Stack<'_> {
    fn add(&mut self, id: impl Into<String>, resource: Value) {
        self.resources.insert(id.into(), resource);
    }

    /// Tables that a stream brings rows of.
    fn streamed(&self) -> Vec<Table> {
        self.lake.tables.values().filter(|table| table.stream.is_some()).cloned().collect()
    }

    /// Tables whose records Firehose hands to a function.
    fn transformed(&self) -> Vec<Table> {
        self.streamed().into_iter().filter(|table| table.transform.is_some()).collect()
    }

    /// Tables whose new objects set something off on AWS, without repetition.
    fn triggers(&self) -> Vec<Table> {
        let is_trigger = |table: &&Table| {
            self.lake.reactions.iter().any(|reaction| reaction.on == table.name && reaction.is_on_aws())
        };
        self.lake.tables.values().filter(is_trigger).cloned().collect()
    }

    fn has_functions(&self) -> bool {
        !self.transformed().is_empty() || !self.triggers().is_empty()
    }

    /// Statements that the lake's own key needs in a policy.
    fn key_statements(&self) -> Vec<Value> {
        if !self.options.kms {
            return Vec::new();
        }
        vec![json!({"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": [arn("LakeKey")]})]
    }

    fn log_group(&mut self, id: &str, name: Value) {
        self.add(
            id,
            json!({
                "Type": "AWS::Logs::LogGroup",
                "DeletionPolicy": "Delete",
                "UpdateReplacePolicy": "Delete",
                "Properties": {"LogGroupName": name, "RetentionInDays": 30},
            }),
        );
    }

    /// An alarm on one figure of one thing.
    fn alarm(
        &mut self,
        id: String,
        what: &str,
        metric: (&str, &str),
        dimension: (&str, Value),
        statistic: &str,
        above: u64,
    ) {
        if self.options.without_alarms {
            return;
        }
        let properties = json!({
            "AlarmDescription": what, "Namespace": metric.0, "MetricName": metric.1, "Statistic": statistic,
            "Dimensions": [{"Name": dimension.0, "Value": dimension.1}],
            "Period": 300, "EvaluationPeriods": 1, "Threshold": above, "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        });
        self.add(id, json!({"Type": "AWS::CloudWatch::Alarm", "Properties": properties}));
    }
}

fn sub(text: &str) -> Value {
    json!({ "Fn::Sub": text })
}

fn arn(id: &str) -> Value {
    json!({"Fn::GetAtt": [id, "Arn"]})
}

fn account() -> Value {
    json!({"Ref": "AWS::AccountId"})
}

/// Who may take a role, on which condition.
fn trust(service: &str, condition: Option<Value>) -> Value {
    let mut statement = json!({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"});
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

fn policy(statements: Vec<Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn role(trust: &Value, name: &str, statements: Vec<Value>) -> Value {
    let policies = json!([{"PolicyName": name, "PolicyDocument": policy(statements)}]);
    json!({"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, "Policies": policies}})
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

//! Lambda functions: what Firehose asks of its records, and reactions on new objects.
//! Promises for each the rights that it needs and no others, a log group before its first line, and a place for events
//! that cannot be answered.
//! Leaves the program to `datalake package`.

use super::{Stack, arn, id, policy, role, sub, trust};
use crate::config::{Action, CHARTS, Function, Program, Reaction, STEPS, Table};
use serde_json::{Value, json};

impl Stack<'_> {
    /// A function, its log group and its role; `more` are rights beyond its log.
    fn function(&mut self, id: &str, name: &str, environment: Value, seconds: u64, more: Vec<Value>) {
        let (log, role_id) = (format!("{id}Log"), format!("{id}Role"));
        self.log_group(&log, sub(&format!("/aws/lambda/{name}")));
        let mut statements = vec![json!({"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [sub(&format!("${{{log}.Arn}}"))]})];
        statements.extend(more);
        self.add(role_id.clone(), role(&trust("lambda.amazonaws.com", None), "run", statements));
        let architecture = if self.options.arm64 { "arm64" } else { "x86_64" };
        let properties = json!({
            "FunctionName": sub(name),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Architectures": [architecture],
            "Code": {"S3Bucket": {"Ref": "CodeBucket"}, "S3Key": {"Ref": "CodeKey"}},
            "Role": arn(&role_id),
            "MemorySize": 512,
            "Timeout": seconds,
            "Environment": {"Variables": environment},
        });
        // Else Lambda makes a group of its own, which never expires.
        let function = json!({"Type": "AWS::Lambda::Function", "DependsOn": [log], "Properties": properties});
        self.add(id, function);
        let dimension = ("FunctionName", json!({"Ref": id}));
        self.alarm(
            format!("{id}Errors"),
            "The function fails; its log says why",
            ("AWS/Lambda", "Errors"),
            dimension,
            "Sum",
            0,
        );
    }

    /// How Firehose asks the function of a table.
    pub(super) fn processing(&self, table: &Table) -> Value {
        let parameter = |name: &str, value: Value| json!({"ParameterName": name, "ParameterValue": value});
        let parameters = [
            parameter("LambdaArn", arn(&id("Transform", &table.name))),
            parameter("RoleArn", arn("DeliveryRole")),
            // An answer may be 6 MB with its base64, and records may grow.
            parameter("BufferSizeInMBs", "1".into()),
            parameter("BufferIntervalInSeconds", "60".into()),
            parameter("NumberOfRetries", "3".into()),
        ];
        json!({"Enabled": true, "Processors": [{"Type": "Lambda", "Parameters": parameters}]})
    }

    pub(super) fn transforms(&mut self) {
        for table in self.transformed() {
            let name = format!("${{LakeName}}-transform-{}", table.name.replace('_', "-"));
            let environment = json!({"DATALAKE_ROLE": "transform", "DATALAKE_TABLE": table.name});
            self.function(&id("Transform", &table.name), &name, environment, 60, Vec::new());
        }
    }

    pub(super) fn reactions(&mut self) {
        if self.triggers().is_empty() {
            return;
        }
        let queue = json!({"QueueName": sub("${LakeName}-dead-letters"), "MessageRetentionPeriod": 1_209_600, "SqsManagedSseEnabled": true});
        self.add("DeadLetters", json!({"Type": "AWS::SQS::Queue", "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete", "Properties": queue}));
        let environment = json!({"DATALAKE_ROLE": "react", "DATALAKE_BUCKET": {"Ref": "LakeBucket"}, "DATALAKE_WORKGROUP": {"Ref": "WorkGroup"}});
        let rights = self.rights_of_reactions();
        // A function that waits for another one waits as long as Lambda lets it.
        let seconds = if self.called().is_empty() { 600 } else { 900 };
        self.function("React", "${LakeName}-react", environment, seconds, rights);
        self.step_policy();
        self.resources["React"]["Properties"]["DeadLetterConfig"] = json!({"TargetArn": arn("DeadLetters")});
        let permission = json!({"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "React"},
            "Principal": "sns.amazonaws.com", "SourceArn": {"Ref": "NewObjects"}});
        self.add("ReactPermission", json!({"Type": "AWS::Lambda::Permission", "Properties": permission}));
        let subscription = json!({"Protocol": "lambda", "TopicArn": {"Ref": "NewObjects"}, "Endpoint": arn("React")});
        self.add(
            "ReactSubscription",
            json!({"Type": "AWS::SNS::Subscription", "DependsOn": ["ReactPermission"], "Properties": subscription}),
        );
        self.alarm(
            "DeadLettersWait".to_owned(),
            "Notifications of new objects that no reaction could answer wait in the queue",
            ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
            ("QueueName", json!({"Fn::GetAtt": ["DeadLetters", "QueueName"]})),
            "Maximum",
            0,
        );
    }

    /// Rules that a function of the operator does.
    fn called(&self) -> Vec<(&Reaction, &Program, &Function)> {
        let reactions = self.lake.reactions.iter().filter_map(|reaction| {
            let Action::Run(program) = &reaction.action else { return None };
            Some((reaction, program, program.function.as_ref()?))
        });
        reactions.collect()
    }

    fn rights_of_reactions(&self) -> Vec<Value> {
        let objects = |prefix: &str| sub(&format!("${{LakeBucket.Arn}}/{prefix}*"));
        let mut read: Vec<Value> = self.lake.tables.values().map(|table| objects(&table.prefix)).collect();
        read.extend([objects(CHARTS), objects("athena-results/")]);
        let mut write: Vec<Value> = Vec::new();
        for table in self.lake.tables.values() {
            let writes = |reaction: &Reaction| reaction.is_on_aws() && reaction.writes() == Some(table.name.as_str());
            if self.lake.reactions.iter().any(writes) {
                write.push(objects(&table.prefix));
            }
        }
        let mut reports: Vec<&str> = self.called().iter().filter_map(|(_, program, _)| program.to.as_deref()).collect();
        reports.sort_unstable();
        reports.dedup();
        // Whether a report is there is asked before it is made.
        read.extend(reports.iter().map(|prefix| objects(prefix)));
        write.extend(reports.iter().map(|prefix| objects(prefix)));
        write.extend([objects(CHARTS), objects("athena-results/")]);
        let glue =
            |what: &str| sub(&format!("arn:${{AWS::Partition}}:glue:${{AWS::Region}}:${{AWS::AccountId}}:{what}"));
        let workgroup = "arn:${AWS::Partition}:athena:${AWS::Region}:${AWS::AccountId}:workgroup/${WorkGroup}";
        let mut rights = vec![
            json!({"Effect": "Allow",
                "Action": ["athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StopQueryExecution"],
                "Resource": [sub(workgroup)]}),
            json!({"Effect": "Allow", "Action": ["glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"],
                "Resource": [glue("catalog"), glue("database/${Database}"), glue("table/${Database}/*")]}),
            json!({"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:ListBucket"], "Resource": [arn("LakeBucket")]}),
            json!({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": read}),
            json!({"Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"], "Resource": write}),
            json!({"Effect": "Allow", "Action": ["sqs:SendMessage"], "Resource": [arn("DeadLetters")]}),
        ];
        let mut functions: Vec<&Function> = self.called().iter().map(|(_, _, function)| *function).collect();
        functions.sort_unstable_by(|one, other| one.text.cmp(&other.text));
        functions.dedup_by(|one, other| one.text == other.text);
        if !functions.is_empty() {
            let arns: Vec<Value> = functions.into_iter().map(arn_of).collect();
            rights.push(json!({"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": arns}));
        }
        rights.extend(self.key_statements());
        rights
    }

    /// What a function that stands for a program may do in the bucket: read its rows and the object, and write its result.
    fn step_policy(&mut self) {
        let called = self.called();
        if called.is_empty() {
            return;
        }
        let objects = |prefix: &str| sub(&format!("${{LakeBucket.Arn}}/{prefix}*"));
        let mut prefixes: Vec<&str> =
            called.iter().map(|(reaction, _, _)| self.lake.tables[&reaction.on].prefix.as_str()).collect();
        prefixes.push(STEPS);
        prefixes.sort_unstable();
        prefixes.dedup();
        let read: Vec<Value> = prefixes.into_iter().map(objects).collect();
        let mut statements = vec![
            json!({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": read}),
            json!({"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": [objects(STEPS)]}),
        ];
        statements.extend(self.key_statements());
        let properties = json!({"Description": "What a function that reactions call may do; attach it to its role",
            "PolicyDocument": policy(statements)});
        self.add("StepPolicy", json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}));
    }
}

/// The one function that a text of lake.json names.
fn arn_of(function: &Function) -> Value {
    if function.is_arn() {
        return function.text.clone().into();
    }
    sub(&format!("arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{}", function.text))
}

//! The bucket: encrypted, closed, moved to cheaper storage, and what it says of new objects.
//! Promises no circle between bucket, topic and policy: the policy names the bucket by the text that its name is made of.
//! Leaves who hears of new objects to `functions`.

use super::{Stack, account, arn, policy, sub};
use crate::config::PARTITION;
use serde_json::{Value, json};

const BUCKET: &str = "${LakeName}-${AWS::AccountId}-${AWS::Region}";

impl Stack<'_> {
    /// The lake's own key, on request.
    pub(super) fn key(&mut self) {
        if !self.options.kms {
            return;
        }
        let statements = vec![json!({"Sid": "Account", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
                "Principal": {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}})];
        let properties = json!({"Description": sub("The lake ${LakeName}"), "EnableKeyRotation": true, "KeyPolicy": policy(statements)});
        self.add(
            "LakeKey",
            json!({"Type": "AWS::KMS::Key", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Properties": properties}),
        );
    }

    pub(super) fn storage(&mut self) {
        let rule = |id: &str, more: Value| {
            let mut rule = json!({"Id": id, "Status": "Enabled"});
            if let (Value::Object(rule), Value::Object(more)) = (&mut rule, more) {
                rule.extend(more);
            }
            rule
        };
        let encryption = if self.options.kms {
            json!({"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn("LakeKey")},
                "BucketKeyEnabled": true})
        } else {
            json!({"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}})
        };
        let mut bucket = json!({
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": sub(BUCKET),
                "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
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
        let triggers = self.triggers();
        if !triggers.is_empty() {
            let entry = |table: &crate::config::Table| {
                let rules = json!([{"Name": "prefix", "Value": format!("{}{PARTITION}=", table.prefix)}, {"Name": "suffix", "Value": ".gz"}]);
                json!({"Event": "s3:ObjectCreated:*", "Topic": {"Ref": "NewObjects"}, "Filter": {"S3Key": {"Rules": rules}}})
            };
            let entries: Vec<Value> = triggers.iter().map(entry).collect();
            bucket["Properties"]["NotificationConfiguration"] = json!({"TopicConfigurations": entries});
            // S3 asks the topic whether it may, before it takes the configuration.
            bucket["DependsOn"] = json!(["NewObjectsPolicy"]);
            self.topic();
        }
        self.add("LakeBucket", bucket);
        let statement = json!({
            "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [arn("LakeBucket"), sub("${LakeBucket.Arn}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        });
        let properties = json!({"Bucket": {"Ref": "LakeBucket"}, "PolicyDocument": policy(vec![statement])});
        self.add("LakeBucketPolicy", json!({"Type": "AWS::S3::BucketPolicy", "Properties": properties}));
    }

    /// Keys of objects pass through it, and nothing else; an encrypted topic would need a key that S3 may use.
    fn topic(&mut self) {
        self.add(
            "NewObjects",
            json!({"Type": "AWS::SNS::Topic", "Properties": {"TopicName": sub("${LakeName}-new-objects")}}),
        );
        let statement = json!({
            "Sid": "BucketOfTheLake", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish",
            "Resource": {"Ref": "NewObjects"},
            "Condition": {"StringEquals": {"aws:SourceAccount": account()},
                "ArnLike": {"aws:SourceArn": sub(&format!("arn:${{AWS::Partition}}:s3:::{BUCKET}"))}},
        });
        let properties = json!({"Topics": [{"Ref": "NewObjects"}], "PolicyDocument": policy(vec![statement])});
        self.add("NewObjectsPolicy", json!({"Type": "AWS::SNS::TopicPolicy", "Properties": properties}));
    }
}

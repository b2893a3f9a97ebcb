//! `iam-policy`: the least that AWS must allow for this configuration.
//! Promises the same text for the same configuration, and no action that the agent does not call.
//! Leaves what the service does behind the stream (S3, KMS, Glue) to the stream's own role.

use super::output::json_lines;
use crate::config::{FlowPlan, Plan};
use crate::exit::Exit;
use datalake_base::shown::shown;
use datalake_core::batch::Form;
use datalake_core::batch::kinesis::RECORD_BYTES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The policy of this role, which flows assume, instead of that of the agent's own credentials.
    pub role: Option<String>,
    /// The account of the streams; any, where it is not known.
    pub account: Option<String>,
    /// With what `doctor` asks besides.
    pub doctor: bool,
}

/// Actions by the resources that they are for; an action without resources of its own has conditions.
type Statements = BTreeMap<&'static str, (BTreeSet<&'static str>, BTreeSet<String>)>;

/// Prints the policy; what it does not say itself goes to `complaints`.
#[must_use]
pub fn run(
    plan: &Plan,
    request: &Request,
    variable: impl Fn(&str) -> Option<String>,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Exit {
    let of_metrics = plan.session.role.as_ref().filter(|_| plan.metrics.is_some()).map(|role| role.arn.as_str());
    let roles: BTreeSet<&str> = plan.flows.iter().filter_map(|flow| role_of(plan, flow)).chain(of_metrics).collect();
    if let Some(role) = &request.role
        && !roles.contains(role.as_str())
    {
        let known: Vec<String> = roles.iter().map(|role| shown(*role).to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        writeln!(
            complaints,
            "datalake-agent: no flow assumes the role `{}`; the configuration has {known}",
            shown(role)
        )
        .ok();
        return Exit::Usage;
    }
    let statements = statements(plan, request, &variable);
    let policy = json!({"Version": "2012-10-17", "Statement": as_json(plan, &statements)});
    out.write_all(json_lines(&policy, true).as_bytes()).and_then(|()| out.flush()).ok();
    if request.role.is_none() {
        for role in roles {
            writeln!(complaints, "the streams of some flows are for the role: iam-policy --role {}", shown(role)).ok();
        }
    }
    Exit::Success
}

fn role_of<'a>(plan: &'a Plan, flow: &'a FlowPlan) -> Option<&'a str> {
    flow.role.as_ref().or(plan.session.role.as_ref()).map(|role| role.arn.as_str())
}

fn statements(plan: &Plan, request: &Request, variable: &impl Fn(&str) -> Option<String>) -> Statements {
    let mut statements = Statements::new();
    let mut add = |sid, actions: &[&'static str], resource: String| {
        let (known, resources) = statements.entry(sid).or_default();
        known.extend(actions);
        resources.insert(resource);
    };
    let asked = request.role.as_deref();
    for flow in &plan.flows {
        let role = role_of(plan, flow);
        if role != asked {
            if let (None, Some(role)) = (asked, role) {
                add("AssumeRole", &["sts:AssumeRole"], role.to_owned());
            }
            continue;
        }
        let region = region_of(plan, flow, variable);
        let account = request.account.clone().or_else(|| role.and_then(account_of)).unwrap_or_else(|| "*".to_owned());
        let partition = role.and_then(|role| role.split(':').nth(1)).unwrap_or_else(|| partition(&region));
        let stream = &flow.batch.stream;
        match &flow.batch.form {
            Form::Firehose => {
                let arn = format!("arn:{partition}:firehose:{region}:{account}:deliverystream/{stream}");
                add("Firehose", &["firehose:PutRecordBatch"], arn.clone());
                if request.doctor {
                    add("FirehoseDoctor", &["firehose:DescribeDeliveryStream"], arn);
                }
            }
            Form::Kinesis(only) => {
                let arn = format!("arn:{partition}:kinesis:{region}:{account}:stream/{stream}");
                add("Kinesis", &["kinesis:PutRecords"], arn.clone());
                // Asked before aggregates are sent, and before records of more than 1 MiB are.
                if only.kpl || only.record_bytes > RECORD_BYTES || request.doctor {
                    add("KinesisDescribe", &["kinesis:DescribeStreamSummary"], arn);
                }
            }
        }
    }
    // Metrics are sent with the agent's own credentials, or the role of all flows.
    if plan.metrics.is_some() {
        match plan.session.role.as_ref().map(|role| role.arn.as_str()) {
            role if role == asked => add("Metrics", &["cloudwatch:PutMetricData"], "*".to_owned()),
            Some(role) if asked.is_none() => add("AssumeRole", &["sts:AssumeRole"], role.to_owned()),
            _ => {}
        }
    }
    for flow in &plan.flows {
        let Some(mqtt) = &flow.mqtt else { continue };
        let (Some(region), true) = (&mqtt.sign_for, role_of(plan, flow) == asked) else { continue };
        let account = request.account.clone().or_else(|| asked.and_then(account_of)).unwrap_or_else(|| "*".to_owned());
        let arn = |kind: &str, name: &str| format!("arn:{}:iot:{region}:{account}:{kind}/{name}", partition(region));
        for number in 0..mqtt.connections {
            add("IotConnect", &["iot:Connect"], arn("client", &mqtt.client_id_of(number)));
        }
        for topic in &mqtt.topics {
            let filter = topic.written.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
            let filter = filter.map_or(topic.written.as_str(), |(_, filter)| filter);
            add("IotSubscribe", &["iot:Subscribe"], arn("topicfilter", &topic.written));
            add("IotReceive", &["iot:Receive"], arn("topic", &filter.replace(['+', '#'], "*")));
        }
    }
    statements
}

fn as_json(plan: &Plan, statements: &Statements) -> Vec<Value> {
    let one_or_many = |texts: Vec<&str>| match texts[..] {
        [one] => json!(one),
        _ => json!(texts),
    };
    let statement = |(sid, (actions, resources)): (&&str, &(BTreeSet<&'static str>, BTreeSet<String>))| {
        let actions = one_or_many(actions.iter().copied().collect());
        let resources = one_or_many(resources.iter().map(String::as_str).collect());
        let mut value = json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources});
        // These metrics have no resource; the namespace is what can be narrowed.
        if let (&"Metrics", Some(metrics)) = (sid, &plan.metrics) {
            value["Condition"] = json!({"StringEquals": {"cloudwatch:namespace": metrics.namespace}});
        }
        value
    };
    statements.iter().map(statement).collect()
}

/// The region that the calls of the flow go to, where it is known without a call.
fn region_of(plan: &Plan, flow: &FlowPlan, variable: &impl Fn(&str) -> Option<String>) -> String {
    let session = plan.session_of(flow);
    let target = match flow.batch.form {
        Form::Firehose => crate::deliver::session::Target::Firehose,
        Form::Kinesis(_) => crate::deliver::session::Target::Kinesis,
    };
    let of_environment =
        || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(variable).filter(|it| !it.is_empty());
    session.configured_region(target).or_else(of_environment).unwrap_or_else(|| "*".to_owned())
}

/// The account in the ARN of a role.
fn account_of(arn: &str) -> Option<String> {
    arn.split(':').nth(4).filter(|account| !account.is_empty()).map(str::to_owned)
}

/// The part of AWS that a region belongs to.
fn partition(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    PARTITIONS
        .into_iter()
        .find(|(beginning, _)| region.starts_with(beginning))
        .map_or("aws", |(_, partition)| partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, request: &Request) -> (Exit, String, String) {
        let plan = crate::config::from_text(&[("agent.json", text)]).unwrap_or_else(|report| panic!("{report}"));
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let exit = run(&plan, request, |_| None, &mut out, &mut complaints);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
    }

    #[test]
    fn a_policy_allows_what_the_flows_call_and_nothing_else() {
        let text = r#"{"region": "eu-central-1", "flows": [
            {"filePattern": "/b", "deliveryStream": "orders"}, {"filePattern": "/a", "deliveryStream": "app"},
            {"filePattern": "/c", "kinesisStream": "clicks", "aggregation": "lines"},
            {"filePattern": "/d", "deliveryStream": "app", "region": "cn-north-1"}]}"#;
        let (exit, out, said) =
            printed(text, &Request { account: Some("111122223333".to_owned()), ..Request::default() });
        let expected = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Sid": "Firehose",
      "Effect": "Allow",
      "Action": "firehose:PutRecordBatch",
      "Resource": [
        "arn:aws-cn:firehose:cn-north-1:111122223333:deliverystream/app",
        "arn:aws:firehose:eu-central-1:111122223333:deliverystream/app",
        "arn:aws:firehose:eu-central-1:111122223333:deliverystream/orders"
      ]
    },
    {
      "Sid": "Kinesis",
      "Effect": "Allow",
      "Action": "kinesis:PutRecords",
      "Resource": "arn:aws:kinesis:eu-central-1:111122223333:stream/clicks"
    },
    {
      "Sid": "Metrics",
      "Effect": "Allow",
      "Action": "cloudwatch:PutMetricData",
      "Resource": "*",
      "Condition": {
        "StringEquals": {
          "cloudwatch:namespace": "AWSKinesisAgent"
        }
      }
    }
  ]
}
"#;
        assert_eq!((exit, said.as_str()), (Exit::Success, ""));
        assert_eq!(out, expected);
    }

    #[test]
    fn with_roles_the_agent_may_only_assume_them_and_each_role_has_its_own_policy() {
        let text = r#"{"region": "us-gov-west-1", "assumeRoleARN": "arn:aws-us-gov:iam::444455556666:role/all",
            "cloudwatch.emitMetrics": false, "flows": [
            {"filePattern": "/a", "deliveryStream": "app"},
            {"filePattern": "/b", "kinesisStream": "clicks", "assumeRoleARN": "arn:aws-us-gov:iam::777788889999:role/one"}]}"#;
        let (_, out, said) = printed(text, &Request::default());
        let value: Value = serde_json::from_str(&out).unwrap();
        let expected = json!([{"Sid": "AssumeRole", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource":
            ["arn:aws-us-gov:iam::444455556666:role/all", "arn:aws-us-gov:iam::777788889999:role/one"]}]);
        assert_eq!(value["Statement"], expected);
        assert!(said.contains("iam-policy --role arn:aws-us-gov:iam::777788889999:role/one"), "{said}");
        let role = Some("arn:aws-us-gov:iam::777788889999:role/one".to_owned());
        let (_, out, _) = printed(text, &Request { role, ..Request::default() });
        let value: Value = serde_json::from_str(&out).unwrap();
        let actions: Vec<&Value> = value["Statement"].as_array().unwrap().iter().map(|it| &it["Action"]).collect();
        // Aggregates of the Kinesis Producer Library are the default, and the stream is asked whether it takes them.
        assert_eq!(actions, [&json!("kinesis:PutRecords"), &json!("kinesis:DescribeStreamSummary")]);
        assert_eq!(
            value["Statement"][0]["Resource"],
            json!("arn:aws-us-gov:kinesis:us-gov-west-1:777788889999:stream/clicks")
        );
        let role = Some("arn:aws:iam::1:role/nobody\n".to_owned());
        let (exit, out, said) = printed(text, &Request { role, ..Request::default() });
        assert!(exit == Exit::Usage && out.is_empty() && said.contains(r"role/nobody\n"), "{said}");
    }

    #[test]
    fn each_region_belongs_to_its_partition() {
        for (region, expected) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-east-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition(region), expected);
        }
    }
}

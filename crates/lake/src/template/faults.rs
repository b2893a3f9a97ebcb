//! What is wrong with a template that CloudFormation and its linter take: such a lake deploys, and then answers with no
//! rows, fails for ever, or sets itself off.
//! Promises to end on any JSON, and to name the resource and what would do.
//! Leaves the grammar of templates to cfn-lint, and circles of reactions to lake.json.

/// Types of columns.
mod types;

use serde_json::{Map, Value};

/// Prefixes that nothing may be set off by: what is written there comes of being set off.
const NEVER: [&str; 4] = ["errors/", "athena-results/", "charts/", "reports/"];
const UNITS: [&str; 7] = ["YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS"];

/// A text, with what it refers to as `${Name}`.
fn text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(sub) = value["Fn::Sub"].as_str() {
        return Some(sub.replace("${!", "${"));
    }
    if let Some(name) = value["Ref"].as_str() {
        return Some(format!("${{{name}}}"));
    }
    let parts = value["Fn::GetAtt"].as_array()?;
    Some(format!("${{{}}}", parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(".")))
}

/// Resources of a type, with their properties.
fn all<'a>(resources: &'a Map<String, Value>, kind: &'static str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let of_kind = move |(_, resource): &(&String, &Value)| resource["Type"] == kind;
    resources.iter().filter(of_kind).map(|(id, resource)| (id.as_str(), &resource["Properties"]))
}

/// Everything that is wrong.
#[must_use]
pub fn of(template: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(resources) = template["Resources"].as_object() else {
        return vec!["the template has no Resources".to_owned()];
    };
    for (id, properties) in all(resources, "AWS::Glue::Table") {
        table(id, &properties["TableInput"], &mut faults);
    }
    for (id, properties) in all(resources, "AWS::KinesisFirehose::DeliveryStream") {
        stream(id, &properties["ExtendedS3DestinationConfiguration"], resources, &mut faults);
    }
    for (id, properties) in all(resources, "AWS::Athena::WorkGroup") {
        workgroup(id, properties, resources, &mut faults);
    }
    for (id, properties) in all(resources, "AWS::S3::Bucket") {
        notifications(id, &properties["NotificationConfiguration"], resources, &mut faults);
    }
    faults
}

/// Where tables lie, with their projection.
fn tables(resources: &Map<String, Value>) -> Vec<(&str, String, &Value)> {
    let found = all(resources, "AWS::Glue::Table").filter_map(|(id, properties)| {
        let input = &properties["TableInput"];
        Some((id, text(&input["StorageDescriptor"]["Location"])?, &input["Parameters"]))
    });
    found.collect()
}

fn table(id: &str, input: &Value, faults: &mut Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    let columns = input["StorageDescriptor"]["Columns"].as_array().into_iter().flatten();
    let keys: Vec<&Value> = input["PartitionKeys"].as_array().into_iter().flatten().collect();
    for column in columns.chain(keys.iter().copied()) {
        let name = column["Name"].as_str().unwrap_or_default().to_owned();
        let kind = column["Type"].as_str().unwrap_or_default();
        if name.is_empty() || name.chars().any(char::is_uppercase) {
            faults.push(format!("{id}: the column `{name}` is no name that Athena knows; write it in lower case"));
        }
        if names.contains(&name) {
            faults.push(format!("{id}: there are two columns `{name}`"));
        }
        if let Err(what) = types::check(kind) {
            faults.push(format!("{id}: the column `{name}` has the type `{kind}`: {what}"));
        }
        names.push(name);
    }
    let parameter = |name: &str| text(&input["Parameters"][name]).unwrap_or_default();
    let location = text(&input["StorageDescriptor"]["Location"]).unwrap_or_default();
    if !location.ends_with('/') {
        faults.push(format!("{id}: the location {location} does not end in a slash"));
    }
    if parameter("projection.enabled") != "true" {
        return;
    }
    let template = parameter("storage.location.template");
    if !template.starts_with(&location) || !template.ends_with('/') {
        faults.push(format!(
            "{id}: storage.location.template is {template}, which does not lie below {location} or end in a slash"
        ));
    }
    for key in keys.iter().filter_map(|key| key["Name"].as_str()) {
        let of = |what: &str| parameter(&format!("projection.{key}.{what}"));
        if !template.contains(&format!("${{{key}}}")) {
            faults.push(format!(
                "{id}: storage.location.template lacks ${{{key}}}: every partition would be the same folder"
            ));
        }
        match of("type").as_str() {
            "date" => date(id, key, &of, faults),
            "enum" | "integer" | "injected" => {}
            other => {
                faults.push(format!("{id}: projection.{key}.type is `{other}`; write date, enum, integer or injected"))
            }
        }
    }
}

/// A range that does not have the form of its format gives no partition, and no error.
fn date(id: &str, key: &str, of: &dyn Fn(&str) -> String, faults: &mut Vec<String>) {
    let (format, range, unit) = (of("format"), of("range"), of("interval.unit"));
    if !unit.is_empty() && !UNITS.contains(&unit.as_str()) {
        faults.push(format!("{id}: projection.{key}.interval.unit is `{unit}`; write one of {}", UNITS.join(", ")));
    }
    if format.contains("HH") && unit.is_empty() {
        faults.push(format!(
            "{id}: projection.{key} has no interval.unit: with hours in the format it would step by days"
        ));
    }
    let bounds: Vec<&str> = range.split(',').collect();
    let fits = |bound: &&str| {
        let bound = bound.trim();
        bound.starts_with("NOW")
            || bound.len() == format.len()
                && bound.chars().zip(format.chars()).all(|(have, wanted)| {
                    if wanted.is_ascii_alphabetic() { have.is_ascii_digit() } else { have == wanted }
                })
    };
    if bounds.len() != 2 || !bounds.iter().all(fits) {
        faults.push(format!("{id}: projection.{key}.range is `{range}`, which has not the form of `{format}`"));
    }
}

fn stream(id: &str, destination: &Value, resources: &Map<String, Value>, faults: &mut Vec<String>) {
    let (Some(prefix), errors) = (text(&destination["Prefix"]), text(&destination["ErrorOutputPrefix"])) else {
        return;
    };
    if prefix.contains("!{") && errors.is_none() {
        faults.push(format!("{id}: the prefix has an expression, so Firehose wants an ErrorOutputPrefix too"));
    }
    let bucket = text(&destination["BucketARN"]).unwrap_or_default().replace(".Arn}", "}").replace("arn:aws:s3:::", "");
    let place = |key: &str| format!("s3://{bucket}/{key}");
    for (table, location, parameters) in tables(resources) {
        if errors.as_ref().is_some_and(|errors| place(errors).starts_with(&location)) {
            faults.push(format!("{id}: failed records go below the location of {table}, and would be rows of it"));
        }
        if !place(&prefix).starts_with(&location) || parameters["projection.enabled"] != "true" {
            continue;
        }
        let projected = text(&parameters["storage.location.template"]).unwrap_or_default();
        let written = place(&prefix);
        if !agree(&written, &projected, parameters) {
            faults.push(format!("{id} writes {written}, but {table} looks in {projected}: queries would find no rows"));
        }
    }
}

/// Whether the folders that Firehose writes are those that the projection makes: each `${key}` stands where an expression
/// of the key's format stands.
fn agree(written: &str, projected: &str, parameters: &Value) -> bool {
    let (mut written, mut projected) = (written, projected);
    // What stands before the first expression may name the bucket by the same sign.
    while let Some(begin) = written.find("!{timestamp:") {
        let Some(end) = written[begin..].find('}') else { return false };
        let format = &written[begin + "!{timestamp:".len()..begin + end];
        let Some(rest) = projected.strip_prefix(&written[..begin]).and_then(|rest| rest.strip_prefix("${")) else {
            return false;
        };
        let Some((key, rest)) = rest.split_once('}') else { return false };
        if parameters[format!("projection.{key}.format")].as_str() != Some(format) {
            return false;
        }
        (written, projected) = (&written[begin + end + 1..], rest);
    }
    written == projected
}

fn workgroup(id: &str, properties: &Value, resources: &Map<String, Value>, faults: &mut Vec<String>) {
    let results = &properties["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"];
    let Some(results) = text(results) else {
        faults.push(format!("{id}: there is no OutputLocation, so a query has to bring one"));
        return;
    };
    for (table, location, _) in tables(resources) {
        if results.starts_with(&location) || location.starts_with(&results) {
            faults.push(format!("{id}: results of queries lie with {table} ({location}), and would be rows of it"));
        }
    }
}

/// One entry of a notification.
struct Entry {
    event: String,
    prefix: String,
    suffix: String,
}

fn notifications(id: &str, configuration: &Value, resources: &Map<String, Value>, faults: &mut Vec<String>) {
    let lists = ["TopicConfigurations", "QueueConfigurations", "LambdaConfigurations"];
    let entries: Vec<Entry> =
        lists.iter().flat_map(|list| configuration[*list].as_array().into_iter().flatten()).map(entry).collect();
    for (index, entry) in entries.iter().enumerate() {
        for other in &entries[index + 1..] {
            let along = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
            let ends = |one: &str, other: &str| one.ends_with(other) || other.ends_with(one);
            if events_meet(&entry.event, &other.event)
                && along(&entry.prefix, &other.prefix)
                && ends(&entry.suffix, &other.suffix)
            {
                let (one, two) = (&entry.prefix, &other.prefix);
                faults.push(format!("{id}: the notifications of `{one}` and `{two}` overlap, which S3 refuses; make one of them, or prefixes apart"));
            }
        }
        if let Some(never) =
            NEVER.iter().find(|never| entry.prefix.starts_with(**never) || never.starts_with(&entry.prefix))
        {
            faults.push(format!(
                "{id}: objects below {never} set something off (`{}`): what is set off writes there",
                entry.prefix
            ));
        }
    }
    let policies: Vec<&str> = all(resources, "AWS::SNS::TopicPolicy").map(|(policy, _)| policy).collect();
    let waits = |value: &Value| match value {
        Value::String(one) => policies.contains(&one.as_str()),
        Value::Array(many) => many.iter().filter_map(Value::as_str).any(|one| policies.contains(&one)),
        _ => false,
    };
    if configuration["TopicConfigurations"].as_array().is_some_and(|list| !list.is_empty())
        && !resources.get(id).is_some_and(|bucket| waits(&bucket["DependsOn"]))
    {
        faults.push(format!(
            "{id}: it does not depend on the policy of its topic, so S3 may ask before it may publish; add DependsOn"
        ));
    }
}

fn entry(value: &Value) -> Entry {
    let rules = value["Filter"]["S3Key"]["Rules"].as_array().into_iter().flatten();
    let mut entry =
        Entry { event: text(&value["Event"]).unwrap_or_default(), prefix: String::new(), suffix: String::new() };
    for rule in rules {
        let value = text(&rule["Value"]).unwrap_or_default();
        match rule["Name"].as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "prefix" => entry.prefix = value,
            "suffix" => entry.suffix = value,
            _ => {}
        }
    }
    entry
}

/// `s3:ObjectCreated:*` holds `s3:ObjectCreated:Put`.
fn events_meet(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_end_matches('*'), other.trim_end_matches('*'));
    one.starts_with(other) || other.starts_with(one)
}

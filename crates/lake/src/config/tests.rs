use super::*;

fn faults(text: &str) -> String {
    match from_text("lake.json", text, Path::new("/h"), Report::default()) {
        Ok(lake) => format!("{:?}", lake.tables.keys()),
        Err(Exit::Faults(report)) => report.faults().iter().map(|fault| report.one_line(fault) + "\n").collect(),
        Err(other) => other.to_string(),
    }
}

#[test]
fn a_whole_file_is_read_and_paths_are_relative_to_it() {
    let text = r#"{ // a comment
        "name": "farm", "protos": ["schema"], "folder": "/data/lake",
        "tables": {"deviceping": {"message": "farm.v1.DevicePing", "stream": "deviceping"}}}"#;
    let lake = from_text("lake.json", text, Path::new("/h"), Report::default()).unwrap();
    assert_eq!(lake.protos[0].0, Path::new("/h/schema"));
    assert_eq!((lake.root.as_path(), lake.plan.as_path()), (Path::new("/data/lake"), Path::new("/h/lake.plan.json")));
    assert_eq!(lake.tables["deviceping"].prefix, "raw/v0/deviceping/");
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_its_place() {
    let text = "{\n \"nam\": \"farm\",\n \"firstHour\": \"today\",\n \"tables\": {\n  \"DevicePing\": {\"message\": 5},\n  \
                \"a\": {\"message\": \"m\", \"prefix\": \"raw/dt=1/\", \"serde\": \"opnx\"},\n  \
                \"b\": {\"message\": \"m\", \"prefix\": \"raw/x/\"}, \"c\": {\"message\": \"m\", \"prefix\": \"raw/x/y/\"}}}";
    let printed = faults(text);
    for words in [
        "lake.json:2:2: `nam` is not a key of this object; did you mean `name`?",
        "lake.json:1:1: the file has no `name`",
        "lake.json:1:1: the file has no `protos`",
        "lake.json:3:15: `firstHour` is \"today\", which is no hour",
        "lake.json:5:3: `tables.DevicePing` is no name",
        "lake.json:5:29: `tables.DevicePing.message` is a number",
        "lake.json:6:35: the prefix \"raw/dt=1/\" names a partition",
        "lake.json:6:57: `tables.a.serde` is \"opnx\"; write \"openx\" or \"hive\"",
        "the objects of `c` would be rows of `b` too",
    ] {
        assert!(printed.contains(words), "{words:?} is missing in:\n{printed}");
    }
}

/// A lake with the tables a, b and c, and these reactions.
fn reacting(reactions: &str) -> String {
    let tables = r#""a": {"message": "m"}, "b": {"message": "m"}, "c": {"message": "m"}"#;
    format!(r#"{{"name": "farm", "protos": ["s"], "tables": {{{tables}}}, "reactions": {reactions}}}"#)
}

#[test]
fn reactions_are_read_with_what_they_do() {
    let text = reacting(
        r#"[{"name": "x", "on": "a", "query": "x.sql", "into": "b", "from": "2026-03-01-00"},
            {"name": "y", "on": "b", "chart": {"query": "y.sql", "value": "v", "to": "charts/y.svg"}},
            {"name": "z", "on": "b", "query": "z.sql", "run": ["python3", "z.py"], "to": "reports/z/", "timeoutSeconds": 5}]"#,
    );
    let lake = from_text("lake.json", &text, Path::new("/h"), Report::default()).unwrap();
    assert_eq!(lake.reactions.iter().map(Reaction::writes).collect::<Vec<_>>(), [Some("b"), None, None]);
    assert_eq!(lake.reactions[0].query, Path::new("/h/x.sql"));
    let Action::Run(program) = &lake.reactions[2].action else { panic!("a program") };
    assert_eq!((program.command.len(), program.timeout.as_secs()), (2, 5));
}

#[test]
fn faults_of_reactions_are_said_with_what_would_do() {
    for (reactions, words) in [
        (r#"{}"#, "`reactions` is an object"),
        (r#"[{"name": "x", "on": "q", "query": "x", "into": "b"}]"#, "`reactions[0].on` is \"q\", which is no table"),
        (r#"[{"name": "x", "on": "a", "query": "x", "into": "q"}]"#, "`reactions[0].into` is \"q\", which is no table"),
        (r#"[{"name": "x", "on": "a", "query": "x"}]"#, "`reactions[0]` does nothing"),
        (r#"[{"name": "x", "on": "a", "into": "b"}]"#, "`reactions[0]` has no `query`"),
        (r#"[{"name": "X Y", "on": "a", "query": "x", "into": "b"}]"#, "`reactions[0].name` is no name"),
        (r#"[{"name": "x", "on": "a", "query": "x", "into": "b", "from": "monday"}]"#, "`monday` is no hour"),
        (r#"[{"name": "x", "on": "a", "query": "x", "into": "b", "to": "reports/"}]"#, "there is no `run`"),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "function": "a b", "to": "reports/x/"}]"#,
            "`reactions[0].function` is \"a b\", which names no function",
        ),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "function": "arn:aws:s3:::bucket"}]"#,
            "which names no function; write its name, such as \"farm-low\", or its ARN",
        ),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "function": "000000000000:function:low"}]"#,
            "which names no function",
        ),
        (r#"[{"name": "x", "on": "a", "query": "x", "function": 5}]"#, "`reactions[0].function` is a number"),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "function": "farm-react"}]"#,
            "`reactions[0].function` is a function of the lake itself",
        ),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "function": "arn:aws:lambda:eu-west-1:000000000000:function:farm-transform-a:live"}]"#,
            "`reactions[0].function` is a function of the lake itself",
        ),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "function": "f", "timeoutSeconds": 900}]"#,
            "`reactions[0].timeoutSeconds` is 900; write 1 to 840: a function waits no longer for another one",
        ),
        (
            r#"[{"name": "x", "on": "a", "function": "f", "chart": {"query": "x", "value": "v", "to": "charts/x.svg"}}]"#,
            "does more than one thing",
        ),
        (r#"[{"name": "x", "on": "a", "query": "x", "run": []}]"#, "`reactions[0].run` is an empty list"),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "to": "raw/x/"}]"#,
            "`reactions[0].to` is \"raw/x/\"",
        ),
        (r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "to": "reports/../x/"}]"#, "`reactions[0].to` is"),
        (r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "to": "reports/x/", "into": "b"}]"#, "beside `into`"),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "run": ["p"], "timeoutSeconds": 0}]"#,
            "`reactions[0].timeoutSeconds` is 0",
        ),
        (
            r#"[{"name": "x", "on": "a", "chart": {"query": "x", "value": "v", "to": "x.svg"}}]"#,
            "`reactions[0].chart.to` is \"x.svg\"",
        ),
        (
            r#"[{"name": "x", "on": "a", "chart": {"query": "x", "to": "charts/x.svg"}}]"#,
            "`reactions[0].chart` has no `value`",
        ),
        (
            r#"[{"name": "x", "on": "a", "into": "b", "chart": {"query": "x", "value": "v", "to": "charts/x.svg"}}]"#,
            "does more than one thing",
        ),
        (
            r#"[{"name": "x", "on": "a", "query": "x", "into": "b"}, {"name": "x", "on": "a", "query": "x", "into": "c"}]"#,
            "there is another reaction `x`",
        ),
        (
            r#"[{"name": "x", "on": "a", "chart": {"query": "x", "value": "v", "to": "charts/x.svg"}},
                {"name": "y", "on": "a", "chart": {"query": "x", "value": "v", "to": "charts/x.svg"}}]"#,
            "another reaction draws charts/x.svg too",
        ),
    ] {
        let printed = faults(&reacting(reactions));
        assert!(printed.contains(words), "{words:?} is missing for {reactions} in:\n{printed}");
    }
}

#[test]
fn a_function_stands_for_a_program_on_aws_beside_it_or_alone() {
    let text = reacting(
        r#"[{"name": "x", "on": "a", "query": "q", "run": ["p"], "function": "farm-low", "to": "reports/x/"},
            {"name": "y", "on": "a", "query": "q", "function": "arn:aws-cn:lambda:cn-north-1:000000000000:function:low:live", "into": "b"},
            {"name": "z", "on": "a", "query": "q", "run": ["p"]}]"#,
    );
    let lake = from_text("lake.json", &text, Path::new("/h"), Report::default()).unwrap();
    let sides: Vec<_> = lake.reactions.iter().map(|reaction| (reaction.is_local(), reaction.is_on_aws())).collect();
    assert_eq!(sides, [(true, true), (false, true), (true, false)]);
    let Action::Run(Program { function: Some(function), .. }) = &lake.reactions[1].action else { panic!("a function") };
    assert_eq!((function.name(), function.region(), function.is_arn()), ("low", Some("cn-north-1"), true));
    let elsewhere = text.replace("\"name\": \"farm\"", "\"name\": \"farm\", \"athena\": {\"region\": \"eu-west-1\"}");
    assert!(faults(&elsewhere).contains("lies in \"cn-north-1\", the lake in \"eu-west-1\""), "{}", faults(&elsewhere));
}

#[test]
fn reactions_that_lead_in_a_circle_are_refused_however_long_it_is() {
    let one = |name: &str, on: &str, into: &str| {
        format!(r#"{{"name": "{name}", "on": "{on}", "query": "q.sql", "into": "{into}"}}"#)
    };
    let run = r#"{"name": "r", "on": "c", "query": "q.sql", "run": ["p"], "into": "a"}"#;
    for (reactions, words) in [
        (format!("[{}]", one("x", "a", "a")), "in a circle: a -> a"),
        (format!("[{}, {}]", one("x", "a", "b"), one("y", "b", "a")), "in a circle: a -> b -> a"),
        (format!("[{}, {}, {run}]", one("x", "a", "b"), one("y", "b", "c")), "in a circle: a -> b -> c -> a"),
    ] {
        let printed = faults(&reacting(&reactions));
        assert!(printed.contains(words), "{words:?} is missing in:\n{printed}");
    }
}

#[test]
fn what_is_no_object_at_all_is_told_too() {
    for text in ["", "[]", "{\"tables\": []}", "{\"tables\": {}}", "{"] {
        assert!(!faults(text).is_empty(), "{text}");
    }
}

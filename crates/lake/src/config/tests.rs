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
    let told = faults(text);
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
        assert!(told.contains(words), "{words:?} is missing in:\n{told}");
    }
}

#[test]
fn what_is_no_object_at_all_is_told_too() {
    for text in ["", "[]", "{\"tables\": []}", "{\"tables\": {}}", "{"] {
        assert!(!faults(text).is_empty(), "{text}");
    }
}

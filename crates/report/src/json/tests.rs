//! The reader against another one, which keeps no places and knows no comments.

use super::*;
use proptest::prelude::*;

fn read_alone(text: &str) -> (Option<Value>, Report) {
    let mut report = Report::default();
    let text: Arc<str> = text.into();
    let file = report.add_source("agent.json", text.clone());
    let value = read(file, &text, &mut report);
    (value, report)
}

/// The same tree in the other reader's form; places must enclose what they are places of.
fn converted(value: &Value) -> serde_json::Value {
    match &value.node {
        Node::Null | Node::Faulty => serde_json::Value::Null,
        Node::Boolean(flag) => (*flag).into(),
        Node::Number(text) => serde_json::from_str(text).unwrap(),
        Node::Text(text) => text.as_str().into(),
        Node::List(values) => values.iter().map(converted).collect(),
        Node::Object(members) => {
            let mut object = serde_json::Map::new();
            for member in members {
                assert!(
                    value.place.start < member.name_place.start && member.name_place.end <= member.value.place.start
                );
                assert!(member.value.place.end < value.place.end);
                object.insert(member.name.clone(), converted(&member.value));
            }
            object.into()
        }
    }
}

/// Texts that are often nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"b\\n\\u00e4\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\x\"",
        "\"",
        "0",
        "-1",
        "01",
        "1.5e3",
        "1.",
        "+1",
        "-",
        "true",
        "null",
        "tru",
        " ",
        "\n",
        "\"c\":",
        "\"d\":[",
        "{\"e\":1}",
        "\u{1}",
        "ä",
    ]);
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn what_one_reader_takes_the_other_takes_too_and_reads_the_same(text in nearly_json()) {
        let (value, report) = read_alone(&text);
        let other = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(report.errors() == 0, other.is_ok(), "{}\n{}", text, report);
        if let (0, Some(value), Ok(other)) = (report.errors(), value, other) {
            prop_assert_eq!(converted(&value), other);
        }
    }

    #[test]
    fn every_text_survives_its_escapes(text: String) {
        let (value, report) = read_alone(&serde_json::to_string(&text).unwrap());
        prop_assert_eq!(report.errors(), 0);
        prop_assert_eq!(value.map(|value| converted(&value)), Some(text.into()));
    }
}

#[test]
fn comments_and_a_byte_order_mark_are_read_over_and_places_stay_right() {
    let text = "\u{feff}// one\n{ /* two\n */ \"a\" /**/ : // \"b\"\n 5 }//";
    let (value, report) = read_alone(text);
    assert_eq!(report.errors(), 0, "{report}");
    let Some(Value { node: Node::Object(members), .. }) = value else { panic!("no object") };
    let place = members[0].value.place;
    assert_eq!(&text[place.start..place.end], "5");
    let name = members[0].name_place;
    assert_eq!(&text[name.start..name.end], "\"a\"");
}

#[test]
fn a_comment_inside_a_text_is_text() {
    let (value, report) = read_alone(r#"["http://a/*b*/"]"#);
    assert_eq!(report.errors(), 0, "{report}");
    assert_eq!(value.map(|value| converted(&value)), Some(serde_json::json!(["http://a/*b*/"])));
}

#[test]
fn a_nul_byte_is_a_fault_and_no_end() {
    assert!(read_alone("{\0}").1.to_string().contains("expected here"));
    assert!(read_alone("[\"a\0\", 01]").1.errors() == 2);
}

#[test]
fn nesting_is_read_to_the_limit_and_no_deeper() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(read_alone(&nested(DEEPEST)).1.errors(), 0);
    assert_eq!(read_alone(&nested(DEEPEST + 1)).1.errors(), 1);
    assert_eq!(read_alone(&"[{\"a\":".repeat(100_000)).1.errors(), 1);
}

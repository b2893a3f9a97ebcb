//! What holds for every record, whatever its bytes.

use super::fuzz::DOORS;
use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Every input of the tables is a seed, and so is every option.
fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/process");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let table: serde_json::Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        for row in table.as_array().unwrap() {
            seeds.extend(row["input"].as_str().map(|text| text.as_bytes().to_vec()));
            let option = if row["options"].is_array() { row["options"].clone() } else { json!([row["option"]]) };
            seeds.push(option.to_string().into_bytes());
            seeds.extend(row["option"]["format"].as_str().map(|format| format!("{format}\n2018-10-08").into_bytes()));
        }
    }
    seeds.push(b"\xFF\xFE\x00\xED\xA0\x80\"\\\r\n".to_vec());
    seeds.push("\"\\u0040 a@b.cd bearer 4111 1111 1111 1111".repeat(100).into_bytes());
    assert!(seeds.len() > 300, "only {} seeds", seeds.len());
    seeds
}

#[test]
fn every_door_holds_for_every_seed_whole_cut_and_changed() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for text in seeds() {
        for (name, door) in DOORS {
            let mut changed = text.clone();
            if !changed.is_empty() {
                let place = random.usize(..changed.len());
                changed[place] = [random.u8(..), b'"', b'\\', b'\n', b'{'][random.usize(..5)];
            }
            let cut = &text[..random.usize(..=text.len())];
            for input in [text.as_slice(), cut, &changed] {
                let held = std::panic::catch_unwind(|| door(input));
                assert!(held.is_ok(), "seed {seed}: {name} broke on {:?}", String::from_utf8_lossy(input));
            }
        }
    }
}

#[test]
fn a_long_line_of_anything_has_a_verdict() {
    const LONG: usize = 1 << 17;
    for unit in
        ["a", "\"", "\\", "[", "{\"a\":", "\u{1}", "é", "a,\"\"", "a@b.cd ", "4111 ", "Bearer ", " ", "\u{FEFF}"]
    {
        let text = unit.repeat(LONG / unit.len());
        for (_, door) in DOORS {
            door(text.as_bytes());
        }
    }
    let binary: Vec<u8> = (0..LONG as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (_, door) in DOORS {
        door(&binary);
    }
}

/// Any JSON, with texts that need escapes.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,8}|[\"\\\\\u{0}-\u{1f}é😀]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec(("[a-e]|secret|\\PC{0,4}", inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    // Each case goes through every door, and most doors have several options.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_door_holds_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, door) in DOORS {
            door(&bytes);
        }
    }

    #[test]
    fn every_door_holds_for_any_json(value in any_json()) {
        for (_, door) in DOORS {
            door(value.to_string().as_bytes());
            door(serde_json::to_string_pretty(&value).unwrap().as_bytes());
        }
    }

    #[test]
    fn columns_that_are_quoted_come_back_as_they_were(columns in prop::collection::vec("[ -~é]{0,8}", 3)) {
        let quoted: Vec<String> = columns.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
        let settings = Settings::parse(&json!([{"optionName": "CSVTOJSON", "customFieldNames": ["a", "b", "c"]}])).unwrap();
        let surroundings =
            Surroundings { host: String::new(), variables: [].into(), instance: None, max_record_bytes: 1 << 20 };
        let mut processor = Processor::new(&settings, &surroundings).unwrap();
        let place = Place { path: Path::new("/a"), file: FileKey::default(), generation: None, position: Position(0), input: 0, now_ms: 0 };
        let mut out = Vec::new();
        prop_assert_eq!(processor.process(format!("{}\r\n", quoted.join(",")).as_bytes(), &place, &mut out), Verdict::Kept);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(value, json!({"a": columns[0], "b": columns[1], "c": columns[2]}));
    }
}

#[test]
fn what_is_learnt_later_is_added_from_then_on() {
    let settings = Settings::parse(&json!([{"optionName": "ADDEC2METADATA", "metadataTTL": 60}])).unwrap();
    assert_eq!(settings.instance(), Some(std::time::Duration::from_secs(60)));
    let surroundings =
        Surroundings { host: String::new(), variables: [].into(), instance: None, max_record_bytes: 1 << 20 };
    let mut processor = Processor::new(&settings, &surroundings).unwrap();
    let place = Place {
        path: Path::new("/a"),
        file: FileKey::default(),
        generation: None,
        position: Position(0),
        input: 0,
        now_ms: 0,
    };
    let mut out = Vec::new();
    assert_eq!(processor.process(b"{\"m\":1}\n", &place, &mut out), Verdict::Kept);
    let container = vec![("taskArn".to_owned(), "arn:x".to_owned())];
    processor.learn(&Arc::new(Instance { region: Some("eu-central-1".into()), container, ..Instance::default() }));
    assert_eq!(processor.process(b"{\"m\":1}\n", &place, &mut out), Verdict::Kept);
    assert_eq!(out, b"{\"m\":1}\n{\"m\":1,\"region\":\"eu-central-1\",\"taskArn\":\"arn:x\"}\n");
}

#[test]
fn a_variable_that_is_not_set_is_told_by_name_before_the_first_record() {
    let settings = Settings::parse(&json!([{"optionName": "ADDMETADATA", "metadata": "${env:STAGE}"}])).unwrap();
    assert_eq!(settings.variables().collect::<Vec<_>>(), ["STAGE"]);
    let surroundings =
        Surroundings { host: String::new(), variables: [].into(), instance: None, max_record_bytes: 1 << 20 };
    let error = Processor::new(&settings, &surroundings).map(|_| ());
    assert_eq!(error, Err(NotReady::MissingVariable { name: "STAGE".into() }));
}

#[test]
fn what_is_the_same_for_a_file_is_worked_out_anew_for_another() {
    let options =
        json!([{"optionName": "ADDMETADATA", "metadata": "${file}"}, {"optionName": "ADDPROVENANCE", "prefix": ""}]);
    let surroundings =
        Surroundings { host: "h".into(), variables: [].into(), instance: None, max_record_bytes: 1 << 20 };
    let mut processor = Processor::new(&Settings::parse(&options).unwrap(), &surroundings).unwrap();
    for (path, inode) in [("/a", 1), ("/b", 1), ("/b", 2), ("/a", 1)] {
        let file = FileKey { device: 1, inode, born: 0 };
        let place =
            Place { path: Path::new(path), file, generation: Some(0x2f), position: Position(5), input: 2, now_ms: 0 };
        let mut out = Vec::new();
        assert_eq!(processor.process(b"x\n", &place, &mut out), Verdict::Kept);
        let expected = format!(
            "{{\"metadata\":\"{path}\",\"data\":\"x\",\"host\":\"h\",\"file\":\"{path}\",\"file_id\":\"1-{inode}-0\",\"generation\":\"000000000000002f\",\"offset\":5,\"length\":2}}\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn settings_and_processors_go_where_the_flow_goes() {
    fn goes<T: Send>() {}
    goes::<Processor>();
    goes::<Settings>();
}

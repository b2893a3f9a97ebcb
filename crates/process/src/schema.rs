//! SCHEMA: each record made the canonical line of a table, or refused.
//! Promises what the plan's crate promises; a field that the schema does not have is said once.
//! Leaves reading the plan file to the configuration.

use super::{Cause, Place, Stop, Work};
use datalake_schema::{Canonical, Fault, Notes};

/// One table's canonical lines.
#[derive(Debug)]
pub(super) struct ToCanonical {
    canonical: Canonical,
    said_not_a_number: bool,
}

impl ToCanonical {
    pub(super) const fn new(canonical: Canonical) -> Self {
        Self { canonical, said_not_a_number: false }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(Cause::NotOfTheSchema { at: fault.at, why: fault.why })
    }
}

impl Work for ToCanonical {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        Ok(self.canonical.write_object(record, out)?)
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }

    fn news(&mut self) -> Option<Notes> {
        let notes = self.canonical.notes();
        if notes.new_names.is_empty() && (notes.not_numbers == 0 || self.said_not_a_number) {
            return None;
        }
        self.said_not_a_number |= notes.not_numbers > 0;
        Some(self.canonical.take_notes())
    }
}

#[cfg(test)]
mod tests {
    use crate::{OnFailure, Place, Processor, Settings, Surroundings, Verdict};
    use datalake_base::record::{FileKey, Position};
    use serde_json::json;
    use std::path::Path;

    const PLAN: &str = r#"{"format": "datalake-plan-1", "tables": {"ping": {"message": 0}}, "enums": [], "messages": [
        {"name": "Ping", "fields": [
            {"name": "device_id", "jsonName": "deviceId", "number": 1, "kind": {"scalar": "string"}},
            {"name": "level", "jsonName": "level", "number": 2, "kind": {"scalar": "double"}}]}]}"#;

    fn settings(option: &serde_json::Value) -> Result<Settings, String> {
        let read = |path: &str| match path {
            "/plan" => Ok(PLAN.as_bytes().to_vec()),
            _ => Err("there is none".to_owned()),
        };
        let options = json!([option]);
        Settings::parse_reading(&options, OnFailure::default(), &read)
            .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect())
    }

    fn processor(option: &serde_json::Value) -> Processor {
        let surroundings = Surroundings {
            host: String::new(),
            variables: std::collections::BTreeMap::new(),
            instance: None,
            max_record_bytes: 1000,
        };
        Processor::new(&settings(option).unwrap(), &surroundings).unwrap()
    }

    fn process(processor: &mut Processor, record: &[u8], out: &mut Vec<u8>) -> Verdict {
        let place = Place {
            path: Path::new("/x"),
            file: FileKey { device: 0, inode: 0, born: 0 },
            generation: None,
            position: Position::START,
            input: 0,
            now_ms: 0,
        };
        processor.process(record, &place, out)
    }

    #[test]
    fn a_record_becomes_its_canonical_line_and_unknown_fields_are_said_once() {
        let mut processor = processor(&json!({"optionName": "SCHEMA", "plan": "/plan", "table": "ping"}));
        let mut out = Vec::new();
        for record in [&b"{\"level\":\"NaN\",\"deviceId\":\"a\",\"color\":1}\r\n"[..], b"{\"color\":1}"] {
            assert_eq!(process(&mut processor, record, &mut out), Verdict::Kept);
        }
        assert_eq!(out, b"{\"device_id\":\"a\",\"level\":null}\n{\"device_id\":\"\",\"level\":0}\n");
        let news = processor.news().unwrap();
        assert_eq!((news.new_names, news.unknown, news.not_numbers), (vec!["color".to_owned()], 2, 1));
        assert_eq!(process(&mut processor, b"{\"color\":1,\"level\":\"NaN\"}\n", &mut out), Verdict::Kept);
        assert_eq!(processor.news(), None, "what was said once is not said again");
    }

    #[test]
    fn what_is_no_row_fails_with_its_place_and_leaves_nothing() {
        let option = json!({"optionName": "SCHEMA", "plan": "/plan", "table": "ping", "onUnknown": "fail"});
        let mut processor = processor(&option);
        let mut out = Vec::new();
        for (record, words) in [
            (&b"{\"level\":\"high\"}\n"[..], "step 1: not a row of the table at byte 9: not a number"),
            (b"hello\n", "step 1: not a row of the table at byte 0: not valid JSON"),
            (b"{\"color\":1}\n", "step 1: not a row of the table at byte 1: a field that the schema does not have"),
        ] {
            let Verdict::Failed(reason) = process(&mut processor, record, &mut out) else { panic!("{words}") };
            assert!(reason.to_string().starts_with(words), "{reason}");
            assert!(reason.is_failure() && out.is_empty());
        }
    }

    #[test]
    fn a_plan_that_is_none_and_a_table_that_is_not_there_are_faults_of_their_keys() {
        let refusal = |option| settings(&option).unwrap_err();
        assert!(refusal(json!({"optionName": "SCHEMA"})).contains("`plan` is missing"));
        let missing = refusal(json!({"optionName": "SCHEMA", "plan": "/other", "table": "ping"}));
        assert!(missing.contains("/0/plan: /other: there is none"), "{missing}");
        let misspelt = refusal(json!({"optionName": "SCHEMA", "plan": "/plan", "table": "pings"}));
        assert!(misspelt.contains("/0/table: the plan has no table `pings`; did you mean \"ping\"?"), "{misspelt}");
    }
}

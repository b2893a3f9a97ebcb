//! What the option SCHEMA means: which plan, which table, what becomes of fields that are in neither.
//! Promises a step that can run, or a fault at the key that is wrong.
//! Leaves reading the file to the configuration.

use super::Step;
use super::reader::Reader;
use crate::schema::ToCanonical;
use datalake_base::nearest::nearest;
use datalake_schema::{Canonical, Decoder, Plan};
use std::sync::Arc;

pub(super) fn schema(reader: &mut Reader<'_>) -> Option<Step> {
    let path = reader.required_text("plan", "name the file that `datalake schema compile` wrote");
    let table = reader.required_text("table", "name a table of lake.json, such as \"deviceping\"");
    let refuse = reader.choice("onUnknown", &[("omit", false), ("fail", true)]).unwrap_or(false);
    let (path, table) = (path?, table?);
    let plan = match reader.read_file(&path).and_then(|bytes| Plan::parse(&bytes).map_err(|bad| bad.to_string())) {
        Ok(plan) => plan,
        Err(reason) => {
            let help = "compile it with `datalake schema compile`, where the agent's user may read it";
            reader.error("plan", format!("{path}: {reason}"), help);
            return None;
        }
    };
    let Some(canonical) = Canonical::new(&plan, &table, refuse) else {
        let known = || plan.tables.keys().map(String::as_str);
        let help = match nearest(&table, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the plan has {}", known().collect::<Vec<_>>().join(", ")),
        };
        reader.error("table", format!("the plan has no table `{table}`"), help);
        return None;
    };
    let decoder = Decoder::new(Arc::new(plan), &table);
    let step = Step::plain("SCHEMA", move || ToCanonical::new(canonical.clone()));
    Some(Step { decoder, ..step })
}

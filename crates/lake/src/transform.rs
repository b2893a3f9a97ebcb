//! `transform` of a table: the agent's `dataProcessingOptions`, applied by a function that Firehose asks.
//! Promises that what a function cannot know is refused before it is deployed.
//! Leaves what options mean to `datalake-process`.

use crate::config::{Lake, Table};
use crate::files;
use datalake_process::{OnFailure, Settings};

/// Options that add what only the host knows where a line was read.
const OF_THE_HOST: [&str; 2] = ["ADDPROVENANCE", "ADDEC2METADATA"];
/// The same inside of other options.
const HOLES: [&str; 4] = ["${path:", "${file}", "${host}", "${env:"];

/// The options of a table, if it has some. The plan that SCHEMA names is found beside lake.json.
///
/// # Errors
/// All that is wrong with them.
pub fn settings(lake: &Lake, table: &Table) -> Result<Option<Settings>, String> {
    let Some(options) = &table.transform else { return Ok(None) };
    let at = &table.transform_at.path;
    let mut faults = Vec::new();
    for option in options.as_array().into_iter().flatten() {
        let name = option["optionName"].as_str().unwrap_or_default();
        if OF_THE_HOST.contains(&name) {
            faults.push(format!("`{at}`: {name} adds what only the agent knows; put it into the agent's flow"));
        }
        let text = option.to_string();
        if let Some(hole) = HOLES.iter().find(|hole| text.contains(**hole)) {
            faults.push(format!(
                "`{at}`: `{hole}…` stands for what only the agent knows; put {name} into the agent's flow"
            ));
        }
    }
    let home = lake.home.clone();
    let read =
        move |path: &str| files::read(&home.join(path), files::LARGEST_DOCUMENT).map_err(|error| error.to_string());
    match Settings::parse_reading(options, OnFailure::default(), &read) {
        Ok(settings) if faults.is_empty() => Ok(Some(settings)),
        Ok(_) => Err(faults.join("\n")),
        Err(errors) => {
            faults.extend(errors.iter().map(|error| format!("`{at}`{error}")));
            Err(faults.join("\n"))
        }
    }
}

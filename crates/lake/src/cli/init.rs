//! `datalake init`: a lake to begin with.
//! Promises to overwrite nothing.
//! Leaves everything else to the operator.

use super::say;
use crate::Exit;
use std::path::Path;

const LAKE: &str = r#"// The lake: what its tables are, and where their rows come from. See docs/lake.md.
{
  "name": "farm",
  // The agent that brings the rows; `datalake check` compares the two.
  // "agent": "/etc/datalake/agent.json",
  "protos": ["schema"],
  // Where the objects lie on this machine.
  "folder": "lake",
  "firstHour": "2026-01-01-00",
  "tables": {
    "deviceping": {"message": "farm.v1.DevicePing", "stream": "deviceping", "prefix": "raw/v0/deviceping/"}
  }
}
"#;
const PROTO: &str = r#"syntax = "proto3";
package farm.v1;

import "google/protobuf/timestamp.proto";

// One sign of life of a device.
message DevicePing {
  // Which device.
  string device_id = 1;
  // When the device sent it.
  google.protobuf.Timestamp sent_at = 2;
  // In percent.
  double battery_level = 3;
  bool charging = 4;
  // Absent where the device has no receiver.
  Position position = 5;
  map<string, string> labels = 6;
}

message Position {
  double latitude = 1;
  double longitude = 2;
}
"#;
const BATTERY: &str = "\
-- The newest battery level of each device.
SELECT device_id, max_by(battery_level, sent_at) AS battery_level, max(sent_at) AS sent_at
FROM deviceping
WHERE device_id IS NOT NULL
GROUP BY device_id
ORDER BY device_id
";
const HOURS: &str = "\
-- How many signs of life there were by the hour.
SELECT dt, count(*) AS pings, count(DISTINCT device_id) AS devices
FROM deviceping
WHERE device_id IS NOT NULL
GROUP BY dt
ORDER BY dt
";

pub(super) fn run(folder: &Path) -> Result<(), Exit> {
    let files =
        [("lake.json", LAKE), ("schema/farm.proto", PROTO), ("sql/battery.sql", BATTERY), ("sql/hours.sql", HOURS)];
    if let Some((name, _)) = files.iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(Exit::Failed(format!("{} is there already; nothing was written", folder.join(name).display())));
    }
    for (name, text) in files {
        let path = folder.join(name);
        let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(cannot)?;
        std::fs::write(&path, text).map_err(cannot)?;
        say(&format!("wrote {}", path.display()));
    }
    say("next: `datalake schema compile`, then `datalake check`");
    Ok(())
}

//! `datalake init`: a lake to begin with.
//! Promises to overwrite nothing.
//! Leaves everything else to the operator.

use super::say;
use crate::Exit;
use std::path::Path;

/// The example, which documents, demonstration and tests share.
const FILES: [(&str, &str); 7] = [
    ("lake.json", include_str!("../../farm/lake.json")),
    ("schema/farm.proto", include_str!("../../farm/schema/farm.proto")),
    ("sql/devicebattery.sql", include_str!("../../farm/sql/devicebattery.sql")),
    ("sql/week.sql", include_str!("../../farm/sql/week.sql")),
    ("sql/low.sql", include_str!("../../farm/sql/low.sql")),
    ("sql/hours.sql", include_str!("../../farm/sql/hours.sql")),
    ("steps/low.py", include_str!("../../farm/steps/low.py")),
];

pub(super) fn run(folder: &Path) -> Result<(), Exit> {
    if let Some((name, _)) = FILES.iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(Exit::Failed(format!("{} is there already; nothing was written", folder.join(name).display())));
    }
    for (name, text) in FILES {
        let path = folder.join(name);
        let cannot = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(cannot)?;
        std::fs::write(&path, text).map_err(cannot)?;
        say(&format!("wrote {}", path.display()));
    }
    say("next: `datalake schema compile`, then `datalake check`");
    Ok(())
}

//! What a new object of the lake sets off: which rule, under which identity, on which hour, and where the result goes.
//! Promises that the same object, rule and query have the same identity and the same result key wherever they meet, so
//! that an event which comes twice, late or in another order writes the same object again or nothing.
//! Leaves reading events, running queries and writing objects to the programs.

/// Hours in the text of a query.
pub mod hour;
/// Who a reaction is.
pub mod identity;
/// Notifications of S3.
pub mod notice;
/// Which rule leads to which.
pub mod order;

pub use hour::{BadHour, Hour};
pub use identity::{Identity, Version};
pub use notice::{BadNotice, Created};

/// The partition of every table.
const PARTITION: &str = "dt=";

/// The hour of an object of a table, if the key is one: `PREFIXdt=HOUR/NAME.gz`, and no name that begins with a dot.
#[must_use]
pub fn partition<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let (hour, name) = key.strip_prefix(prefix)?.strip_prefix(PARTITION)?.split_once('/')?;
    let is_object = !name.contains('/') && !name.starts_with('.') && name.ends_with(".gz");
    is_object.then_some(hour)
}

/// Where the result of a reaction lies: `PREFIXdt=HOUR/STEM-ID.ENDING`, in the hour of what set it off.
#[must_use]
pub fn result_key(prefix: &str, hour: &Hour, stem: &str, identity: &Identity, ending: &str) -> String {
    format!("{prefix}{PARTITION}{hour}/{stem}-{}.{ending}", identity.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_objects_of_the_table_set_something_off() {
        let prefix = "raw/v0/ping/";
        assert_eq!(partition(prefix, "raw/v0/ping/dt=2026-03-09-07/a.gz"), Some("2026-03-09-07"));
        for key in [
            "raw/v0/ping/a.gz",
            "raw/v0/ping/dt=2026-03-09-07/.a.gz.new",
            "raw/v0/ping/dt=2026-03-09-07/.a.gz",
            "raw/v0/ping/dt=2026-03-09-07/a.json",
            "raw/v0/ping/dt=2026-03-09-07/b/a.gz",
            "raw/v0/pings/dt=2026-03-09-07/a.gz",
            "raw/v0/ping/dt=2026-03-09-07",
            "",
        ] {
            assert_eq!(partition(prefix, key), None, "{key}");
        }
    }

    #[test]
    fn the_result_lies_in_the_hour_of_what_set_it_off() {
        let identity = Identity::of("battery", &Version::of("SELECT 1", "into:b"), "k", "e");
        let key = result_key("processed/v0/b/", &Hour::parse("2026-03-09-07").unwrap(), "b", &identity, "gz");
        assert_eq!(key, format!("processed/v0/b/dt=2026-03-09-07/b-{}.gz", identity.short()));
    }
}

//! Where bytes come from. Each kind of source hands arrivals to its flow over one bounded channel
//! and takes watermarks back.

/// Log files, tailed by one thread for the whole agent.
pub mod file;
/// MQTT topics, received into a spool that is then tailed.
pub mod mqtt;

//! The lake's functions on AWS, in one program: what Firehose asks of its records, and reactions on new objects.
//! Promises that each event is answered or refused in words, and that a record is never answered twice or not at all.
//! Leaves options to `datalake-process`, identities to `datalake-react`, and Athena and charts to `datalake`.

/// Reactions on new objects of the bucket.
pub mod react;
/// Events from the Lambda service.
pub mod runtime;
/// Functions of the operator that stand for programs.
pub mod step;
/// Objects of the bucket.
pub mod store;
/// Records that Firehose wants changed.
pub mod transform;

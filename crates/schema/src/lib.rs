//! What a table's rows look like, and how a record becomes one: the plan that `datalake schema compile` writes, the
//! canonical line of a JSON record, and the JSON of a binary message.
//! Promises one form for one message: proto field names in declared order, 64-bit integers unquoted, no NaN, defaults
//! written, JSON-like values as text; a record that does not fit is refused with its place.
//! Leaves compiling `.proto` files and reading plan files to the programs.

/// Binary messages to JSON.
pub mod binary;
/// JSON records to canonical lines.
pub mod canonical;
/// The plan: tables, messages, enums.
pub mod plan;
/// Points in time and durations as protobuf writes them.
mod time;

pub use binary::Decoder;
pub use canonical::{Canonical, Fault, Notes, Refusal};
pub use plan::{BadPlan, Plan};

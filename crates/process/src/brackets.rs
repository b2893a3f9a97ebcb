//! ADDBRACKETS: `{` and `}` around the record, its line end behind them.
//! Promises the bytes of the record unchanged between them.
//! Leaves making it JSON to the author of the record.

use super::{Place, Stop, Work};

#[derive(Debug)]
pub(super) struct Brackets;

impl Work for Brackets {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        out.push(b'{');
        out.extend_from_slice(record);
        out.push(b'}');
        Ok(())
    }
}

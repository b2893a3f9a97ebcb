//! The figures of the services: how much a call and a record may hold, and how records are billed.
//! Promises the figures that the services document. Leaves holding calls to them to `limits` and `kinesis`.

use crate::service::Service;

/// Most records of one call, of both services.
pub const CALL_RECORDS: usize = 500;
/// Most bytes of one record of Firehose, before base64.
pub const RECORD_BYTES: usize = 1_024_000;
/// Most bytes of one call of Firehose (4 MiB), before base64 unless [`crate::CountedBytes::Encoded`] is asked for.
pub const CALL_BYTES: usize = 4 * 1024 * 1024;
/// Firehose bills each record rounded up to a multiple of this number of bytes.
pub const BILLING_STEP: u64 = 5 * 1024;

/// The same of Kinesis Data Streams, for a stream that takes records of 1 MiB; keys are included.
pub(crate) const KINESIS: Figures = Figures { record_bytes: 1 << 20, call_bytes: 5 << 20, billing_step: 1024 };

/// How much a service takes, and how it bills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Most bytes of a record.
    pub(crate) record_bytes: usize,
    /// Most bytes of a call.
    pub(crate) call_bytes: usize,
    /// Records are billed in steps of this.
    pub(crate) billing_step: u64,
}

/// Bytes that the service bills for one record of `bytes`.
pub(crate) fn billed(bytes: usize, service: Service) -> u64 {
    let step = match service {
        Service::Firehose => BILLING_STEP,
        Service::Kinesis => KINESIS.billing_step,
    };
    (bytes as u64).div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_billed_in_steps_of_five_kib() {
        assert_eq!([0, 1, 5120, 5121].map(|bytes| billed(bytes, Service::Firehose)), [0, 5120, 5120, 10240]);
    }
}

//! One member of an archive in its decoder: the four libraries behind one step.
//! Promises that a call takes and gives no more than the slices it got, and that no call goes without progress.
//! Leaves what comes before, between and after members to `decoder`.

use crate::kind::Format;
use zstd::stream::raw::Operation;

/// The decoder of a member.
pub(crate) enum Member {
    Gzip(flate2::Decompress),
    Zstd(Box<zstd::stream::raw::Decoder<'static>>),
    Bzip2(bzip2::Decompress),
    Xz(liblzma::stream::Stream),
}

/// What a call did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) taken: usize,
    pub(crate) given: usize,
    /// The member is over.
    pub(crate) ended: bool,
}

/// Why a call could do nothing.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// So much memory is needed.
    Memory(u64),
    Damage(String),
}

/// What the decoder of zstd takes besides the window: its tables, a block of input and one of output.
pub(crate) const ZSTD_BESIDES: u64 = 640 << 10;

impl Member {
    /// A decoder for the next member; `memory` bounds it where the library takes a bound.
    pub(crate) fn new(format: Format, memory: u64) -> Result<Self, Obstacle> {
        let damage = |error: &dyn std::fmt::Display| Obstacle::Damage(error.to_string());
        Ok(match format {
            Format::Gzip => Self::Gzip(flate2::Decompress::new_gzip(15)),
            Format::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
            Format::Xz => {
                Self::Xz(liblzma::stream::Stream::new_stream_decoder(memory, 0).map_err(|error| damage(&error))?)
            }
            Format::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(|error| damage(&error))?;
                // Each frame is measured before it gets here, so this is a second fence.
                let log = memory.max(1024).ilog2().min(31) + u32::from(!memory.is_power_of_two());
                let most = zstd::stream::raw::DParameter::WindowLogMax(log.clamp(10, 31));
                decoder.set_parameter(most).map_err(|error| damage(&error))?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Unpacks as much as there is input and room for.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Moved, Obstacle> {
        let damage = |error: &dyn std::fmt::Display| Obstacle::Damage(error.to_string());
        match self {
            Self::Gzip(decoder) => {
                let (taken, given) = (decoder.total_in(), decoder.total_out());
                let status =
                    decoder.decompress(input, output, flate2::FlushDecompress::None).map_err(|error| damage(&error))?;
                Ok(Moved {
                    taken: (decoder.total_in() - taken) as usize,
                    given: (decoder.total_out() - given) as usize,
                    ended: status == flate2::Status::StreamEnd,
                })
            }
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output).map_err(|error| damage(&error))?;
                Ok(Moved { taken: status.bytes_read, given: status.bytes_written, ended: status.remaining == 0 })
            }
            Self::Bzip2(decoder) => {
                let (taken, given) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, output).map_err(|error| damage(&error))?;
                Ok(Moved {
                    taken: (decoder.total_in() - taken) as usize,
                    given: (decoder.total_out() - given) as usize,
                    ended: status == bzip2::Status::StreamEnd,
                })
            }
            Self::Xz(decoder) => {
                let (taken, given) = (decoder.total_in(), decoder.total_out());
                let status = match decoder.process(input, output, liblzma::stream::Action::Run) {
                    Ok(status) => status,
                    Err(liblzma::stream::Error::MemLimit) => return Err(Obstacle::Memory(needed_by(decoder))),
                    Err(error) => return Err(damage(&error)),
                };
                Ok(Moved {
                    taken: (decoder.total_in() - taken) as usize,
                    given: (decoder.total_out() - given) as usize,
                    ended: status == liblzma::stream::Status::StreamEnd,
                })
            }
        }
    }
}

/// How much memory the decoder asks for that was refused it: the least limit that it accepts.
fn needed_by(decoder: &mut liblzma::stream::Stream) -> u64 {
    let refused_at = decoder.memlimit();
    let (mut low, mut high) = (refused_at, 1 << 40);
    while high - low > 1 << 16 {
        let middle = low + (high - low) / 2;
        if decoder.set_memlimit(middle).is_ok() { high = middle } else { low = middle }
    }
    high
}

//! When the allocator is asked to give freed memory back to the system.
//! Promises to ask only when nothing else is to be done: after the start, and once after each time of work.
//! Leaves keeping little in the first place to everybody.

/// Quiet looks before memory is given back; flows let go of their own buffers before that.
const QUIET_LOOKS: u32 = 8;

/// Decides when; told at every look how much was read so far.
#[derive(Debug, Default)]
pub(super) struct Rest {
    read: u64,
    quiet: u32,
}

impl Rest {
    /// Whether work has ended so long ago that memory may be given back; says so once.
    pub(super) fn look(&mut self, read: u64, idle: bool) -> bool {
        if read != self.read || !idle {
            *self = Self { read, quiet: 0 };
            return false;
        }
        self.quiet = self.quiet.saturating_add(1);
        self.quiet == QUIET_LOOKS
    }
}

/// Asks for it. Thousands of rows and names are read at the start and forgotten; the C library would keep their memory
/// for as long as anything behind them on the heap is in use, which is for ever.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(
        unsafe_code,
        reason = "The only way to ask glibc, and sound: `malloc_trim` takes no pointer, hands out none, locks the heap by \
                  itself, and only advises the kernel about pages that no allocation uses."
    )]
    // SAFETY: see the reason above; the function has no precondition.
    let _given_back = unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_each_time_of_work() {
        let mut rest = Rest::default();
        let mut looks = |read, idle, times| (0..times).filter(|_| rest.look(read, idle)).count();
        assert_eq!(looks(10, true, 100), 1);
        assert_eq!(looks(20, false, 100), 0, "something is held");
        assert_eq!(looks(20, true, QUIET_LOOKS - 1), 0, "not yet");
        assert_eq!(looks(20, true, 100), 1);
        assert_eq!(looks(20, true, 1000), 0);
    }
}

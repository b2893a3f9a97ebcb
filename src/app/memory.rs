//! When the allocator gives freed memory back to the system.
//! Promises that it does so only when nothing else is to be done: after the start, and once after each time of work.
//! Leaves keeping little in the first place to everybody.

/// Quiet looks before memory is given back; flows let go of their own buffers before that.
const QUIET_LOOKS: u32 = 8;

/// So much at the end of the heap is kept while there is work, in bytes. Left to itself the C library gives the buffers of
/// each answer back and asks for them again at the next: a call then pays some thirty page faults.
#[cfg(target_env = "gnu")]
const KEPT_WHILE_BUSY: libc::c_int = 4 << 20;
/// And only what is larger than this comes straight from the system, for the same reason; the library's own choice, 128
/// KiB, is just what an answer with 500 record ids needs.
#[cfg(target_env = "gnu")]
const NOT_FROM_THE_HEAP: libc::c_int = 1 << 20;

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

/// Tells the allocator to leave that to us.
pub(super) fn take_over() {
    #[cfg(target_env = "gnu")]
    #[expect(
        unsafe_code,
        reason = "The only way to tell glibc, and sound: `mallopt` takes two numbers, locks the heap by itself, and changes \
                  when free memory goes back, not what is allocated."
    )]
    // SAFETY: see the reason above; the function has no precondition.
    let _taken_over = unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_WHILE_BUSY);
        libc::mallopt(libc::M_MMAP_THRESHOLD, NOT_FROM_THE_HEAP)
    };
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

//! Keeping what the process knows to its user: files that it makes, and its memory, which holds keys.
//! Promises both whatever umask and limits it was started with. Leaves what earlier versions left readable to the checkpoint.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};

/// From here on files are made for their owner only, and neither a core dump nor a debugger of another process of this
/// user gets at the memory.
pub fn keep_to_ourselves() {
    umask(Mode::RWXG | Mode::RWXO);
    let no_core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // With a core pattern that is a pipe the limit does not count, this does.
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = no_core.and(not_dumpable) {
        tracing::debug!(reason = %error, "memory cannot be kept out of core dumps");
    }
}

//! Whether the kernel's limits allow to watch the folders of the configuration.
//! Promises to say which setting would do. Leaves which folders those are to the survey.

use datalake_base::units::counted;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Processes that are looked at; more of them are not counted.
const MOST_PROCESSES: usize = 50_000;

/// What a user has in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    instances: u64,
    watches: u64,
}

/// What was found: all is well, in words, or what is wrong and what to do.
pub(super) fn look(proc: &Path, uid: u32, folders: u64, is_running: bool) -> Result<String, (String, String)> {
    let limit = |name: &str| {
        let text = fs::read_to_string(proc.join("sys/fs/inotify").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let (Some(watches), Some(instances)) = (limit("max_user_watches"), limit("max_user_instances")) else {
        return Err((
            "this kernel has no inotify, so folders are looked at every second".to_owned(),
            "accept a delay of a second".to_owned(),
        ));
    };
    let mut used = used(proc, uid);
    if !is_running {
        used = Used { instances: used.instances + 1, watches: used.watches + folders };
    }
    let raise = |name: &str, value: u64| {
        format!("set `fs.inotify.{name} = {value}` in /etc/sysctl.d and run `sysctl --system`")
    };
    let needed = used.watches.max(folders);
    if needed > watches {
        return Err((
            format!(
                "to be watched: {}; this user may have {} in all ({needed} needed)",
                counted(folders, "folder"),
                counted(watches, "watch")
            ),
            raise("max_user_watches", (needed * 2).next_power_of_two()),
        ));
    }
    if used.instances > instances {
        return Err((
            format!("this user has {} in use, and may have no more", counted(instances, "inotify instance")),
            raise("max_user_instances", instances * 2),
        ));
    }
    Ok(format!("{} to watch, {} allowed", counted(folders, "folder"), counted(watches, "watch")))
}

/// What the processes of this user have in use, as far as it may be seen.
fn used(proc: &Path, uid: u32) -> Used {
    let mut used = Used::default();
    let processes = fs::read_dir(proc).into_iter().flatten().flatten();
    for process in processes.take(MOST_PROCESSES) {
        let is_number = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || process.metadata().is_ok_and(|metadata| metadata.uid() != uid) {
            continue;
        }
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let is_inotify =
                fs::read_link(descriptor.path()).is_ok_and(|target| target.to_string_lossy().contains("inotify"));
            if !is_inotify {
                continue;
            }
            used.instances += 1;
            let about = fs::read_to_string(process.path().join("fdinfo").join(descriptor.file_name()));
            let lines = about.unwrap_or_default();
            used.watches += lines.lines().filter(|line| line.starts_with("inotify ")).count() as u64;
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(watches: u64, instances: u64) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let limits = root.path().join("sys/fs/inotify");
        fs::create_dir_all(&limits).unwrap();
        fs::write(limits.join("max_user_watches"), format!("{watches}\n")).unwrap();
        fs::write(limits.join("max_user_instances"), format!("{instances}\n")).unwrap();
        // A process with two instances, of three watches and none.
        for folder in ["7/fd", "7/fdinfo", "bus"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (number, about) in [("3", "pos:\t0\ninotify wd:1\ninotify wd:2\ninotify wd:3\n"), ("4", "pos:\t0\n")] {
            std::os::unix::fs::symlink("anon_inode:inotify", root.path().join("7/fd").join(number)).unwrap();
            fs::write(root.path().join("7/fdinfo").join(number), about).unwrap();
        }
        root
    }

    fn own(root: &tempfile::TempDir) -> u32 {
        root.path().metadata().unwrap().uid()
    }

    #[test]
    fn what_other_programs_of_the_user_watch_counts_too() {
        let root = machine(100, 128);
        let look = |folders, running| look(root.path(), own(&root), folders, running);
        assert_eq!(look(97, false), Ok("97 folders to watch, 100 watches allowed".to_owned()));
        let (what, cure) = look(98, false).unwrap_err();
        assert!(what.contains("101 needed") && cure.contains("fs.inotify.max_user_watches = 256"), "{what} {cure}");
        // A running agent's own watches are among those in use.
        assert!(look(98, true).is_ok() && look(101, true).is_err());
    }

    #[test]
    fn instances_that_run_out_are_named() {
        let root = machine(100, 2);
        let (what, cure) = look(root.path(), own(&root), 1, false).unwrap_err();
        assert!(
            what.contains("2 inotify instances") && cure.contains("fs.inotify.max_user_instances = 4"),
            "{what} {cure}"
        );
        assert!(look(root.path(), own(&root), 1, true).is_ok());
        let nothing = tempfile::tempdir().unwrap();
        assert!(look(nothing.path(), 0, 1, false).is_err());
    }
}

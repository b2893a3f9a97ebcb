//! A user who may write a log folder swaps his files for links to what only root may read, while an agent that may read
//! everything reads them. Promises that nothing of root's is sent, kept or logged, and that the user's own lines arrive.
//! Leaves each way of pointing elsewhere to the unit tests of the walk.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use host::{Host, append, is_root, say, skipped, until};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const ALICE: u32 = 4711;
const SECRET: &str = "SECRET that only root may read\n";

/// What the agent reads, and what takes its place.
struct Pair {
    good: PathBuf,
    bad: PathBuf,
    name: PathBuf,
}

impl Pair {
    fn new(host: &Host, name: &str) -> Self {
        let kept = |kind: &str| host.root().join("alice").join(format!("{kind}-{name}"));
        Self { good: kept("good"), bad: kept("bad"), name: host.log(name) }
    }

    /// Puts one, then the other, in the place that the agent reads.
    fn swap(&self) {
        for one in [&self.good, &self.bad] {
            std::fs::rename(one, &self.name).unwrap();
            std::fs::rename(&self.name, one).unwrap();
        }
    }
}

/// From here on this thread is a user without rights, as the kernel sees it.
fn become_alice() {
    let (user, group) = (Uid::from_raw(ALICE), Gid::from_raw(ALICE));
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
}

/// All bytes of all files below a folder.
fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(bytes_below(&path));
        } else if path.is_file() {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    all
}

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| window == b"SECRET")
}

#[test]
fn swaps_while_the_agent_reads_never_ship_what_only_root_may_read() {
    if !is_root() {
        return skipped("only root can read everything, and become another user");
    }
    let (all, more) = (json!({"name": "app"}), json!({"name": "below"}));
    let host = Host::new().flow("*.log", "app", all).flow("*/*.log", "below", more);
    let vault = host.root().join("vault");
    append(&vault.join("x.log"), SECRET);
    append(&host.root().join("secret"), SECRET);
    std::fs::set_permissions(&vault, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(vault.join("x.log"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(host.root().join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::create_dir(host.root().join("alice")).unwrap();
    for folder in [host.logs(), host.root().join("alice")] {
        chown(folder, Some(ALICE), Some(ALICE)).unwrap();
    }
    // Where the kernel lets users make hard links to files of others, this is one.
    std::fs::hard_link(host.root().join("secret"), host.log("hard.log")).unwrap();

    let (file, folder) = (Pair::new(&host, "app.log"), Pair::new(&host, "folder"));
    let wanted: u64 = std::env::var("SWAPS").ok().and_then(|swaps| swaps.parse().ok()).unwrap_or(20_000);
    let swaps = AtomicU64::new(0);
    let mut agent = host.run();
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            become_alice();
            assert!(
                std::fs::read(host.root().join("secret")).is_err(),
                "this thread must not be able to read it itself"
            );
            symlink(host.root().join("secret"), &file.bad).unwrap();
            symlink(&vault, &folder.bad).unwrap();
            while swaps.load(Ordering::Relaxed) < wanted {
                // New lines, so that there is always something to read.
                append(&file.good, &format!("app {}\n", swaps.load(Ordering::Relaxed)));
                append(&folder.good.join("x.log"), &format!("below {}\n", swaps.load(Ordering::Relaxed)));
                for _ in 0..100 {
                    file.swap();
                    folder.swap();
                    swaps.fetch_add(4, Ordering::Relaxed);
                }
            }
            // What was swapped stays as it should be read.
            append(&file.good, "the end\n");
            append(&folder.good.join("x.log"), "the end\n");
            std::fs::rename(&file.good, &file.name).unwrap();
            std::fs::rename(&folder.good, &folder.name).unwrap();
        });
        swapping.join().unwrap();
    });
    for stream in ["app", "below"] {
        until("the last line", || host.payload(stream).windows(8).any(|window| window == b"the end\n"));
    }
    until("a refusal", || !agent.logged("the file is not read").is_empty());
    assert_eq!(agent.stop(), 0);
    for stream in ["app", "below"] {
        let sent = String::from_utf8(host.payload(stream)).unwrap();
        assert!(!sent.contains("SECRET"), "{stream}: {sent}");
        assert!(sent.lines().all(|line| line.starts_with(stream) || line == "the end"), "{stream}: {sent}");
    }
    assert!(!holds_secret(&bytes_below(&host.state())), "the state folder holds it");
    assert!(!holds_secret(&std::fs::read(host.root().join("agent.log")).unwrap()), "the log holds it");
    say(&format!("{} swaps, nothing of root's was sent", swaps.load(Ordering::Relaxed)));
}

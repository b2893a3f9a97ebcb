//! Which of several streams a file goes to.
//! Promises the same stream for the same host, path and list, in every version, and that a stream which is added to the
//! list takes over some files and moves no others. The host counts, because a fleet has the same paths everywhere.
//! Leaves which files there are to the patterns.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// One stream's share of the files of a flow that names several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    streams: Arc<[String]>,
    host: Arc<str>,
    own: usize,
}

impl Share {
    /// The share of each stream on this host, in the order of the list.
    pub fn each(streams: &[String], host: &str) -> impl Iterator<Item = Self> + use<> {
        let (streams, host): (Arc<[String]>, Arc<str>) = (streams.into(), host.into());
        (0..streams.len()).map(move |own| Self { streams: streams.clone(), host: host.clone(), own })
    }

    /// Whether the file is of this share: the stream whose weight for the path is the greatest takes it.
    #[must_use]
    pub fn takes(&self, path: &Path) -> bool {
        let weight = |index: usize| weight(&self.streams[index], &self.host, path);
        (0..self.streams.len()).max_by_key(|index| (weight(*index), *index)) == Some(self.own)
    }
}

/// Rendezvous hashing with FNV-1a, the bits mixed once more. What it answers must never change: files would change streams.
fn weight(stream: &str, host: &str, path: &Path) -> u64 {
    let bytes = stream.as_bytes().iter().chain(&[0]).chain(host.as_bytes());
    let bytes = bytes.chain(&[0]).chain(path.as_os_str().as_bytes());
    let mut hash = bytes
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
    for factor in [0xFF51_AFD7_ED55_8CCD_u64, 0xC4CE_B9FE_1A85_EC53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_of(streams: &[String], path: &str) -> usize {
        stream_on("host", streams, path)
    }

    fn stream_on(host: &str, streams: &[String], path: &str) -> usize {
        let takers: Vec<usize> = Share::each(streams, host)
            .enumerate()
            .filter(|(_, share)| share.takes(Path::new(path)))
            .map(|(index, _)| index)
            .collect();
        assert_eq!(takers.len(), 1, "one stream takes {path}");
        takers[0]
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("logs-{number}")).collect()
    }

    fn paths() -> impl Iterator<Item = String> {
        (0..3_000).map(|number| format!("/var/log/app/{number}.log"))
    }

    #[test]
    fn files_spread_evenly() {
        for count in [2, 3, 10] {
            let mut files = vec![0_usize; count];
            paths().for_each(|path| files[stream_of(&names(count), &path)] += 1);
            let mean = 3_000 / count;
            assert!(files.iter().all(|files| files.abs_diff(mean) < mean / 4), "{files:?}");
        }
    }

    /// A thousand hosts with one log each would else all feed the same stream.
    #[test]
    fn the_same_path_on_many_hosts_spreads_evenly() {
        let mut hosts = [0_usize; 4];
        (0..2_000).for_each(|host| hosts[stream_on(&format!("ip-10-0-{host}"), &names(4), "/var/log/app.log")] += 1);
        assert!(hosts.iter().all(|hosts| hosts.abs_diff(500) < 100), "{hosts:?}");
    }

    #[test]
    fn a_stream_that_is_added_takes_over_its_share_and_moves_no_other_file() {
        let moved = paths().filter(|path| {
            let (before, after) = (stream_of(&names(3), path), stream_of(&names(4), path));
            assert!(after == before || after == 3, "{path} went from {before} to {after}");
            after == 3
        });
        assert!((500..1_000).contains(&moved.count()));
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let (forward, mut backward) = (names(5), names(5));
        backward.reverse();
        for path in paths() {
            assert_eq!(forward[stream_of(&forward, &path)], backward[stream_of(&backward, &path)]);
        }
    }

    #[test]
    fn the_choice_never_changes_between_versions() {
        let chosen = |path| stream_of(&names(3), path);
        let all =
            ["/var/log/app.log", "/var/log/nginx/access.log", "/a", "/logs/\u{e4}.log", "/logs/0.log"].map(chosen);
        assert_eq!(all, [2, 1, 1, 1, 0]);
    }
}

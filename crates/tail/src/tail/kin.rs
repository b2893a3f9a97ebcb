//! Which files belong together by their names: the log, its rotations, and the flow that reads them.
//! Promises answers for files in the folders where rotation puts them, too.
//! Leaves what the files hold to their content.

use super::Tail;
use crate::names;
use crate::places::mix;
use crate::seen::FlowId;

impl Tail {
    /// Old rotations come before young ones, and what has a name without a rotation suffix comes last.
    pub(super) fn age_of(&self, number: u32) -> u64 {
        self.places.names_of(number).map(|name| names::age(&name.text)).max().unwrap_or(0)
    }

    /// All rotations of a log are one family, wherever they are put. Names that a pattern matches may have numbers for
    /// other reasons: they are of a family only when the log itself is there.
    pub(super) fn family_of(&self, number: u32) -> u64 {
        let name = self.places.names_of(number).find(|name| !name.is_link).or(self.places.names_of(number).next());
        let Some(name) = name else { return 0 };
        let family = names::family(&name.text);
        let sources = self.places.folders.get(name.folder).map_or(&[][..], |folder| &folder.sources);
        let is_there = |folder: u32| self.places.find_name(folder, &family).is_some();
        if name.is_live && !is_there(name.folder) {
            return mix(u64::from(name.folder), &name.text);
        }
        let source = sources.iter().find(|source| !name.is_live && is_there(**source));
        mix(u64::from(*source.unwrap_or(&name.folder)), &family)
    }

    /// The name that matches and of which this file is a rotation.
    pub(super) fn base_of(&self, number: u32) -> Option<(u32, Box<[u8]>)> {
        let name = self.places.names_of(number).find(|name| !name.is_live)?;
        let sources = self.places.folders.get(name.folder).map_or(&[][..], |folder| &folder.sources);
        let folders = || std::iter::once(name.folder).chain(sources.iter().copied());
        let known = names::kin(&name.text).into_iter().find_map(|base| {
            folders().find_map(|folder| {
                let found = self.places.find_name(folder, &base).and_then(|name| self.places.names.get(name));
                let matched = found.filter(|name| name.is_matched).map(|name| (folder, name.text.clone()));
                matched.or_else(|| self.target_home(folder, &base))
            })
        });
        // The name itself may be gone just now.
        let expected = || sources.first().map(|source| (*source, names::family(&name.text).into_boxed_slice()));
        known.or_else(expected).or_else(|| Some((name.folder, name.text.clone())))
    }

    pub(super) fn flow_of_file(&self, number: u32) -> Option<FlowId> {
        let live = self.places.names_of(number).filter(|name| name.is_live).find_map(|name| name.flow);
        live.or_else(|| self.places.names_of(number).find_map(|name| name.flow))
    }

    pub(super) fn is_live(&self, number: u32) -> bool {
        self.places.names_of(number).any(|name| name.is_live)
    }

    /// Whether the first file is the log itself, and the second one, by its name, a rotation of it.
    pub(super) fn is_log_of(&self, log: u32, file: u32) -> bool {
        let mut logs = self.places.names_of(log).filter(|name| name.is_live);
        logs.any(|log| {
            self.places.names_of(file).all(|name| {
                !name.is_live || (names::is_kin(&log.text, &name.text) && !names::is_kin(&name.text, &log.text))
            })
        })
    }

    pub(super) fn is_owned(&self, flow: FlowId) -> bool {
        self.settings.flows.get(usize::from(flow.0)).is_some_and(|flow| flow.owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::{Moment, Status};
    use datalake_base::record::FileKey;
    use std::path::Path;

    /// A file with this name in this folder, which a pattern matches or not.
    fn file(tail: &mut Tail, inode: u64, folder: &str, name: &str, is_live: bool) -> u32 {
        let key = FileKey { device: 1, inode, born: 5 };
        let file = tail.places.insert_file(&Status { key, ..Status::default() }, Moment(0));
        name_it(tail, file, folder, name, is_live);
        file
    }

    fn name_it(tail: &mut Tail, file: u32, folder: &str, name: &str, is_live: bool) {
        let folder = tail.places.folder(Path::new(folder));
        let name = tail.places.insert_name(folder, name.as_bytes().into(), file);
        tail.places.names.get_mut(name).unwrap().is_live = is_live;
    }

    /// Where a pattern matches rotations, too, the log goes on and its rotation is the copy, and never the other way round.
    #[test]
    fn a_file_is_the_log_of_its_rotations_and_not_of_other_logs_or_of_itself() {
        let mut tail = Tail::new(crate::Settings::default());
        let log = file(&mut tail, 1, "/l", "a.log", true);
        let rotation = file(&mut tail, 2, "/l", "a.log.1", true);
        let other = file(&mut tail, 3, "/l", "b.log", true);
        let stranger = file(&mut tail, 4, "/l", "some-name", false);
        assert!(tail.is_log_of(log, rotation) && tail.is_log_of(log, stranger));
        assert!(!tail.is_log_of(rotation, log) && !tail.is_log_of(log, other) && !tail.is_log_of(stranger, log));
        // As long as it is a log by one of its names it is no rotation.
        name_it(&mut tail, rotation, "/l", "c.log", true);
        assert!(!tail.is_log_of(log, rotation));
    }

    /// Older rotations of a log are read first, which needs to know what the rotations of one log are.
    #[test]
    fn rotations_are_of_one_family_wherever_they_lie_and_whatever_links_lead_to_them() {
        let mut tail = Tail::new(crate::Settings::default());
        let sources = ["/k", "/l"].map(|path| tail.places.folder(Path::new(path)));
        let old = tail.places.folder(Path::new("/old"));
        tail.places.folders.get_mut(old).unwrap().sources = sources.to_vec();
        let log = file(&mut tail, 1, "/l", "a.log", true);
        let beside = file(&mut tail, 2, "/l", "a.log.1", false);
        let away = file(&mut tail, 3, "/old", "a.log-20261101", false);
        let other = file(&mut tail, 4, "/k", "a.log.1", false);
        let families = [log, beside, away, other].map(|number| tail.family_of(number));
        assert!(families[..3].iter().all(|family| *family == families[0]) && families[3] != families[0]);
        // The newest name comes first: that of the link.
        let dated = [1, 2].map(|day| file(&mut tail, 10 + day, "/t", &format!("app-2026110{day}.log"), false));
        name_it(&mut tail, dated[1], "/logs", "current.log", true);
        let logs = tail.places.folder(Path::new("/logs"));
        let link = tail.places.find_name(logs, b"current.log").unwrap();
        tail.places.names.get_mut(link).unwrap().is_link = true;
        assert_eq!(tail.family_of(dated[0]), tail.family_of(dated[1]));
    }
}

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

//! The way to a file: every component opened from its parent, every link followed only for who may point there.
//! Promises that what is opened is what was checked, whatever is swapped meanwhile; that nothing but regular files and
//! folders is opened; and that opening never waits. Leaves when to open to others.
//!
//! Whoever can write to a log folder must not make the agent read what he cannot read himself. So a link is followed when
//! root made it, or the owner of what it leads to; a file with several names is read when it belongs to the owner of the
//! folder, who may have made any of them; and what belongs to the agent itself is never a log.

use super::identity::{self, Kind, Status, failure_of};
use super::own::OwnFiles;
use datalake_base::shown::shown;
use datalake_tail::Failure;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Links in one way; as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// Which links a flow follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowLinks {
    /// Those that root made, or the owner of what they lead to.
    #[default]
    Owned,
    /// All of them.
    All,
}

/// Why something is not read although the system would let us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Somebody's link to what is not his.
    Link { link: PathBuf, made_by: u32, leads_to: PathBuf, owned_by: u32 },
    /// A further name of a file that somebody else owns.
    SecondName { path: PathBuf, owned_by: u32, folder_of: u32 },
    /// A file of the agent itself.
    Own { path: PathBuf },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link { link, made_by, leads_to, owned_by } => write!(
                formatter,
                "the link {} was made by user {made_by} and leads to {}, which belongs to user {owned_by}; if that is as it \
                 should be, set \"followLinks\": \"all\" in the flow, or let root make the link",
                shown(link),
                shown(leads_to)
            ),
            Self::SecondName { path, owned_by, folder_of } => write!(
                formatter,
                "{} is one of several names of a file of user {owned_by}, in a folder of user {folder_of}; if that is as it \
                 should be, set \"followLinks\": \"all\" in the flow",
                shown(path)
            ),
            Self::Own { path } => {
                write!(
                    formatter,
                    "{} is a file of the agent itself (configuration, credentials, state, or its own log); exclude it from \
                     the pattern",
                    shown(path)
                )
            }
        }
    }
}

/// Why something was not opened.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nothing there, or it changed in this moment.
    Elsewhere,
    /// Something else than what was wanted: a folder, a FIFO, a device.
    Other,
    /// We do not want to.
    Refused(Refusal),
    /// The system says no, or not now.
    Denied(io::Error),
}

impl Trouble {
    /// What it means for the tail core, and in words where only we know them.
    pub(super) fn told(&self) -> (Failure, Option<String>) {
        match self {
            Self::Elsewhere => (Failure::Missing, None),
            Self::Other => (Failure::Refused, None),
            Self::Refused(refusal) => (Failure::Refused, Some(refusal.to_string())),
            Self::Denied(error) => (failure_of(error), None),
        }
    }
}

impl From<Errno> for Trouble {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO => Self::Elsewhere,
            error => Self::Denied(error.into()),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or_else(|| Self::Denied(error), Self::from)
    }
}

/// What was found at the end of a way.
#[derive(Debug)]
pub(super) struct Found {
    /// The file or folder, not opened for reading.
    handle: Option<Arc<OwnedFd>>,
    pub(super) status: Status,
    /// The folder that it lies in, and its name there, links resolved.
    parent: Option<Arc<OwnedFd>>,
    name: OsString,
    /// Its path without links.
    pub(super) path: PathBuf,
    /// Where the links led by which the last component was reached, in their order; the last of these is the file itself.
    pub(super) hops: Vec<PathBuf>,
}

/// A link that was met, until what it leads to is known.
struct Met {
    link: PathBuf,
    made_by: u32,
    /// Components that were left of the way when it was met.
    left: usize,
}

/// A folder that a way has reached.
#[derive(Clone, Debug)]
struct Reached {
    handle: Arc<OwnedFd>,
    /// Its path without links.
    path: PathBuf,
}

impl Reached {
    fn root() -> Result<Self, Trouble> {
        let handle = openat(CWD, "/", path_flags() | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { handle: Arc::new(handle), path: PathBuf::from("/") })
    }
}

/// The folder in which the last file was opened, for the next one there: walking six folders takes twenty system calls. It is
/// kept for one round of work: a swap within a round is no different from one during the walk.
#[derive(Debug, Default)]
pub(super) struct LastFolder(Option<(PathBuf, Walker, Reached)>);

impl LastFolder {
    /// Lets go of it, before anybody waits: who holds a folder keeps its filesystem from being unmounted.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// The folder of this path, where it was reached by the same rules.
    fn of(&self, path: &Path, walker: &Walker) -> Option<Reached> {
        let (folder, by, reached) = self.0.as_ref()?;
        let same = path.parent() == Some(folder) && by.follow == walker.follow && by.own.is_same(&walker.own);
        same.then(|| reached.clone())
    }

    fn remember(&mut self, path: &Path, walker: &Walker, found: &Found) {
        let reached = found.parent.clone().zip(found.path.parent());
        // Behind a link the file lies elsewhere.
        let folder = path.parent().filter(|_| path.file_name().is_some());
        let there = reached.filter(|_| found.hops.is_empty()).zip(folder);
        if let Some(((handle, resolved), folder)) = there {
            let reached = Reached { handle, path: resolved.to_owned() };
            self.0 = Some((folder.to_owned(), walker.clone(), reached));
        }
    }
}

/// How one flow finds its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Walker {
    pub(super) follow: FollowLinks,
    pub(super) own: OwnFiles,
}

impl Walker {
    /// Walks to what the absolute path leads to.
    pub(super) fn find(&self, path: &Path) -> Result<Found, Trouble> {
        self.walk(path, Reached::root()?, names(path).rev().collect())
    }

    /// Walks from a folder through the components that are `left`, the next one last.
    fn walk(&self, path: &Path, from: Reached, mut left: Vec<OsString>) -> Result<Found, Trouble> {
        let Reached { handle: mut at, path: mut resolved } = from;
        // Of `at`, once it is known.
        let mut status = None;
        let (mut parent, mut name) = (None, OsString::from("."));
        let (mut met, mut hops, mut links): (Vec<Met>, Vec<PathBuf>, usize) = (Vec::new(), Vec::new(), 0);
        // Whether the last component was a link.
        let mut linked = false;
        while let Some(next) = left.pop() {
            let handle = openat(&at, &next, path_flags(), Mode::empty())?;
            let found = identity::of_descriptor(handle.as_fd())?;
            if found.kind == Kind::Link {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Trouble::Elsewhere);
                }
                let link = resolved.join(&next);
                if left.is_empty() && std::mem::replace(&mut linked, true) {
                    hops.push(link.clone());
                }
                met.push(Met { link, made_by: found.owner, left: left.len() });
                let target = readlinkat(&handle, c"", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                let before = left.len();
                left.extend(names(&target).rev());
                if target.is_absolute() {
                    Reached { handle: at, path: resolved } = Reached::root()?;
                }
                if left.len() == before {
                    // It leads to the folder that we are in.
                    let folder = identity::of_descriptor(at.as_fd())?;
                    self.judge(&mut met, left.len(), &folder, &resolved)?;
                    status = Some(folder);
                }
                continue;
            }
            if self.own.hold_any(found.key.device, found.key.inode) {
                return Err(Trouble::Refused(Refusal::Own { path: path.to_owned() }));
            }
            if next == ".." {
                resolved.pop();
            } else {
                resolved.push(&next);
            }
            self.judge(&mut met, left.len(), &found, &resolved)?;
            parent = Some(std::mem::replace(&mut at, Arc::new(handle)));
            (name, status) = (next, Some(found));
        }
        if linked {
            hops.push(resolved.clone());
        }
        let status = status.map_or_else(|| identity::of_descriptor(at.as_fd()), Ok)?;
        Ok(Found { handle: Some(at), status, parent, name, path: resolved, hops })
    }

    /// The links that lead to this are asked who made them.
    fn judge(&self, met: &mut Vec<Met>, left: usize, found: &Status, resolved: &Path) -> Result<(), Trouble> {
        while let Some(link) = met.pop_if(|link| link.left == left) {
            if self.follow == FollowLinks::Owned && link.made_by != 0 && link.made_by != found.owner {
                return Err(Trouble::Refused(Refusal::Link {
                    link: link.link,
                    made_by: link.made_by,
                    leads_to: resolved.to_owned(),
                    owned_by: found.owner,
                }));
            }
        }
        Ok(())
    }

    /// Opens the regular file that the path leads to.
    pub(super) fn open(&self, path: &Path) -> Result<(File, Found), Trouble> {
        self.open_found(self.find(path)?)
    }

    /// The same, from the folder of the last file if this one lies there, too.
    pub(super) fn open_beside(&self, path: &Path, last: &mut LastFolder) -> Result<(File, Found), Trouble> {
        if let (Some(reached), Some(name)) = (last.of(path, self), path.file_name()) {
            let opened = self.walk(path, reached, vec![name.to_owned()]).and_then(|found| self.open_found(found));
            match opened {
                // The folder may be another one by now.
                Err(Trouble::Elsewhere | Trouble::Denied(_)) => {}
                opened => return opened,
            }
        }
        let found = self.find(path)?;
        last.remember(path, self, &found);
        self.open_found(found)
    }

    fn open_found(&self, mut found: Found) -> Result<(File, Found), Trouble> {
        let Some(parent) = found.parent.take().filter(|_| found.status.kind == Kind::Regular) else {
            return Err(Trouble::Other);
        };
        // Descriptors may be few.
        found.handle = None;
        if found.status.names > 1 && self.follow == FollowLinks::Owned {
            let folder_of = identity::of_descriptor(parent.as_fd())?.owner;
            if found.status.owner != folder_of {
                let owned_by = found.status.owner;
                return Err(Trouble::Refused(Refusal::SecondName { path: found.path, owned_by, folder_of }));
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat(&parent, &found.name, flags, Mode::empty())?);
        // What has the name now may be something else than what was checked.
        let status = identity::of_file(&file)?;
        if status.key != found.status.key || status.owner != found.status.owner {
            return Err(Trouble::Elsewhere);
        }
        Ok((file, Found { status, ..found }))
    }

    /// Opens the folder that the path leads to, to list it.
    pub(super) fn open_folder(&self, path: &Path) -> Result<OwnedFd, Trouble> {
        let found = self.find(path)?;
        let Some(handle) = found.handle.filter(|_| found.status.kind == Kind::Folder) else {
            return Err(Trouble::Other);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&handle, ".", flags, Mode::empty())?)
    }
}

fn path_flags() -> OFlags {
    OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// The components of a path that lead somewhere.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::from_bytes(b"..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Where a link leads that leads nowhere: only to know where its target would come into being. Nowhere, for a link that would
/// not be followed if its maker made the target: the folder of the target is looked into, and what lies there is read by its
/// own name. The link may have been swapped since it was found to lead nowhere, so the target may be there after all.
pub(super) fn hops_of_dangling(link: &Path, follow: FollowLinks) -> Vec<PathBuf> {
    let mut hops: Vec<PathBuf> = Vec::new();
    while hops.len() < MOST_LINKS {
        let at = hops.last().map_or(link, PathBuf::as_path);
        let Some((owner, target)) = read_link(at) else { break };
        let folder = at.parent().unwrap_or(Path::new("/"));
        let mut next = PathBuf::new();
        for component in folder.join(target).components() {
            match component {
                Component::ParentDir => {
                    next.pop();
                }
                Component::CurDir => {}
                other => next.push(other),
            }
        }
        if next == link || hops.contains(&next) || (follow == FollowLinks::Owned && !may_make(owner, &next)) {
            return Vec::new();
        }
        hops.push(next);
    }
    hops
}

/// Whose link it is, and where it leads, of the same moment.
fn read_link(path: &Path) -> Option<(u32, PathBuf)> {
    let link = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let owner = rustix::fs::fstat(&link).ok()?.st_uid;
    let target = readlinkat(&link, "", Vec::new()).ok()?;
    Some((owner, PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

/// Whether the user made the target, or could make it: root, or its owner, or while it is not there the owner of the nearest
/// folder that is.
fn may_make(user: u32, target: &Path) -> bool {
    let nearest = target.ancestors().find_map(|path| path.symlink_metadata().ok());
    user == 0 || nearest.is_some_and(|nearest| nearest.uid() == user)
}

#[cfg(test)]
mod tests;

//! Who may read a file: what stands in the way of a user on the way to it, and what would open the way.
//! Promises the answer that the kernel would give for modes, owners, groups and access control lists, for any user.
//! Leaves capabilities, and saying it, to the caller.

use datalake_base::shown::shown;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A user as the kernel asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// All its groups.
    pub groups: Vec<u32>,
}

impl User {
    /// The user of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let mut groups: Vec<u32> =
            rustix::process::getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect();
        groups.push(rustix::process::getegid().as_raw());
        Self { uid: rustix::process::geteuid().as_raw(), groups }
    }
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The file, or a folder on the way to it.
    pub path: PathBuf,
    /// Its mode.
    pub mode: u32,
    /// Its owner and group, by name where they have one.
    pub owner: String,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl Obstacle {
    fn new(path: &Path, metadata: &Metadata) -> Self {
        let (user, group) = (name("/etc/passwd", metadata.uid()), name("/etc/group", metadata.gid()));
        let (path, mode) = (path.to_owned(), metadata.mode() & 0o7777);
        Self { path, mode, owner: format!("{user}:{group}"), is_folder: metadata.is_dir() }
    }

    /// Mode and owner, such as `mode 0640, owner root:adm`.
    #[must_use]
    pub fn rights(&self) -> String {
        format!("mode {:04o}, owner {}", self.mode, self.owner)
    }

    /// The command that opens the way for this user, and what else would.
    #[must_use]
    pub fn cures(&self, user: &str) -> String {
        let rights = if self.is_folder { "rx" } else { "r" };
        format!(
            "run `setfacl -m u:{user}:{rights} {}`, or install the drop-in all-logs.conf, which lets the agent read every \
             file (docs/operations.md)",
            quoted(&self.path)
        )
    }
}

/// The name of this number in a file such as `/etc/passwd`, else the number.
fn name(file: &str, number: u32) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, is_it) = (fields.next()?, fields.nth(1)?.parse() == Ok(number));
        is_it.then(|| name.to_owned())
    });
    named.unwrap_or_else(|| number.to_string())
}

/// The user of this process, by name where it has one.
#[must_use]
pub fn user_of_process() -> String {
    name("/etc/passwd", rustix::process::geteuid().as_raw())
}

/// Mode and owner of anything, such as `mode 0700, owner root:root`.
#[must_use]
pub fn rights(metadata: &Metadata) -> String {
    Obstacle::new(Path::new(""), metadata).rights()
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = shown(path).to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ',' | ':' | '+' | '@'));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The first thing on the way to the file, the file included, that keeps the user from reading it; nothing where the user
/// may, or where the file is not there.
#[must_use]
pub fn obstacle(path: &Path, user: &User) -> Option<Obstacle> {
    if user.uid == ROOT {
        return None;
    }
    // Links are followed by name: what stands in the way lies on the way of the real path.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut way: Vec<&Path> = real.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|place| {
        let metadata = std::fs::metadata(place).ok()?;
        let wanted = if metadata.is_dir() { EXECUTE } else { READ };
        let wanted = if place == real { wanted | READ } else { wanted };
        let list = rights_list(place);
        (!may(user, &metadata, list.as_deref(), wanted)).then(|| Obstacle::new(place, &metadata))
    })
}

const ROOT: u32 = 0;
const READ: u32 = 4;
const EXECUTE: u32 = 1;

/// The access control list of a file as the kernel hands it out, where it has one.
fn rights_list(path: &Path) -> Option<Vec<u8>> {
    let mut list = vec![0; 4096];
    let length = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    list.truncate(length);
    Some(list)
}

/// The kernel's rule. Root may, whatever the mode; it is not asked.
fn may(user: &User, metadata: &Metadata, list: Option<&[u8]>, wanted: u32) -> bool {
    let (mode, owner, group) = (metadata.mode(), metadata.uid(), metadata.gid());
    if user.uid == owner {
        return (mode >> 6) & wanted == wanted;
    }
    match list.map(entries) {
        Some(entries) => may_by_list(user, group, &entries, wanted),
        None if user.groups.contains(&group) => (mode >> 3) & wanted == wanted,
        None => mode & wanted == wanted,
    }
}

/// An entry of a list: whom it is about, rights, number.
type Entry = (u16, u32, u32);
const NAMED_USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const NAMED_GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

/// Four bytes of version, then eight for each entry: tag, rights, number, all little-endian.
fn entries(list: &[u8]) -> Vec<Entry> {
    let entries = list.get(4..).unwrap_or_default().chunks_exact(8);
    let entry = |bytes: &[u8]| {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        (short(0), u32::from(short(2)), u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))
    };
    entries.map(entry).collect()
}

fn may_by_list(user: &User, group: u32, entries: &[Entry], wanted: u32) -> bool {
    let mask = entries.iter().find(|(tag, ..)| *tag == MASK).map_or(7, |(_, rights, _)| *rights);
    if let Some((_, rights, _)) = entries.iter().find(|(tag, _, number)| *tag == NAMED_USER && *number == user.uid) {
        return rights & mask & wanted == wanted;
    }
    let mut of_groups = entries.iter().filter(|(tag, _, number)| match *tag {
        OWNING_GROUP => user.groups.contains(&group),
        NAMED_GROUP => user.groups.contains(number),
        _ => false,
    });
    let mut in_a_group = false;
    if of_groups.any(|(_, rights, _)| {
        in_a_group = true;
        rights & mask & wanted == wanted
    }) {
        return true;
    }
    let others = entries.iter().find(|(tag, ..)| *tag == OTHERS).map_or(0, |(_, rights, _)| *rights);
    !in_a_group && others & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn made(mode: u32, folder_mode: u32) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
        let folder = root.path().join("app logs");
        let file = folder.join("a.log");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "line").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(folder_mode)).unwrap();
        (root, file)
    }

    fn stranger() -> User {
        User { uid: 65_000, groups: vec![65_000] }
    }

    #[test]
    fn what_stands_in_the_way_is_named_with_mode_owner_and_what_would_help() {
        let (_root, file) = made(0o640, 0o755);
        let found = obstacle(&file, &stranger()).unwrap();
        assert_eq!(
            (found.path.as_path(), found.mode, found.is_folder),
            (file.canonicalize().unwrap().as_path(), 0o640, false)
        );
        assert!(found.rights().starts_with("mode 0640, owner "), "{}", found.rights());
        let cures = found.cures("datalake-agent");
        assert!(cures.contains("setfacl -m u:datalake-agent:r '/") && cures.contains("all-logs.conf"), "{cures}");
        let (_root, file) = made(0o644, 0o750);
        let found = obstacle(&file, &stranger()).unwrap();
        assert!(found.is_folder && found.path.ends_with("app logs") && found.cures("x").contains(":rx "), "{found:?}");
        let (_root, file) = made(0o644, 0o755);
        assert_eq!(obstacle(&file, &stranger()), None);
        assert_eq!(obstacle(Path::new("/nowhere/a.log"), &stranger()), None);
    }

    #[test]
    fn the_owner_the_group_and_others_have_their_own_bits_and_root_needs_none() {
        let (_root, file) = made(0o040, 0o755);
        let metadata = file.metadata().unwrap();
        let user = |uid, groups: &[u32]| User { uid, groups: groups.to_vec() };
        let (owner, group) = (metadata.uid(), metadata.gid());
        assert!(may(&user(65_000, &[group]), &metadata, None, READ), "the group may");
        assert!(!may(&stranger(), &metadata, None, READ) || group == 65_000);
        assert!(owner == 0 || !may(&user(owner, &[group]), &metadata, None, READ), "the owner may less than its group");
        assert_eq!(obstacle(&file, &user(0, &[])), None);
    }

    /// As `setfacl -m u:65000:r,g:70:rx` makes it, mask and all.
    #[test]
    fn a_list_counts_before_the_bits_of_the_mode() {
        let list = |mask: u32| {
            let entry = |tag: u16, rights: u32, number: u32| {
                [tag.to_le_bytes(), (rights as u16).to_le_bytes()].concat().into_iter().chain(number.to_le_bytes())
            };
            let all = [
                (0x01, 6, u32::MAX),
                (NAMED_USER, 4, 65_000),
                (OWNING_GROUP, 0, u32::MAX),
                (NAMED_GROUP, 5, 70),
                (MASK, mask, u32::MAX),
                (OTHERS, 0, u32::MAX),
            ];
            let entries: Vec<u8> =
                all.into_iter().flat_map(|(tag, rights, number)| entry(tag, rights, number)).collect();
            [&2_u32.to_le_bytes()[..], &entries].concat()
        };
        let asked = |user: &User, mask, wanted| may_by_list(user, 1, &entries(&list(mask)), wanted);
        assert!(asked(&stranger(), 7, READ) && !asked(&stranger(), 7, READ | EXECUTE));
        assert!(!asked(&stranger(), 0, READ), "the mask takes it away again");
        let by_group = User { uid: 9, groups: vec![70] };
        assert!(asked(&by_group, 7, READ | EXECUTE));
        assert!(
            !asked(&User { uid: 9, groups: vec![1] }, 7, READ),
            "its own group may nothing, so others do not count"
        );
        assert!(!asked(&User { uid: 9, groups: vec![2] }, 7, READ));
    }
}

//! Real files, links and owners; those that need several users are skipped where the tests do not run as root.

use super::*;
use std::os::unix::fs::{chown, lchown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

const ALICE: u32 = 41_001;
const BOB: u32 = 41_002;

struct Place {
    _temporary: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().canonicalize().unwrap();
        Self { _temporary: temporary, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn folder(&self, path: &str, owner: u32) {
        std::fs::create_dir_all(self.at(path)).unwrap();
        chown(self.at(path), Some(owner), None).unwrap();
    }

    fn file(&self, path: &str, owner: u32) {
        std::fs::write(self.at(path), path).unwrap();
        chown(self.at(path), Some(owner), None).unwrap();
    }

    fn link(&self, path: &str, to: &Path, owner: u32) {
        symlink(to, self.at(path)).unwrap();
        lchown(self.at(path), Some(owner), None).unwrap();
    }

    fn read(&self, walker: &Walker, path: &str) -> Result<String, Refusal> {
        match walker.open(&self.at(path)) {
            Ok((file, _)) => Ok(std::io::read_to_string(file).unwrap()),
            Err(Trouble::Refused(refusal)) => Err(refusal),
            Err(trouble) => panic!("{path}: {trouble:?}"),
        }
    }
}

fn several_users() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can make files of several users");
    }
    root
}

/// A user who could write to a log folder linked to a file that only root may read; with the right to read all files the
/// agent shipped it.
#[test]
fn a_link_is_followed_when_root_made_it_or_the_owner_of_what_it_leads_to() {
    if !several_users() {
        return;
    }
    let place = Place::new();
    place.folder("logs", ALICE);
    place.folder("elsewhere", 0);
    place.file("elsewhere/secret", 0);
    place.file("elsewhere/of-alice", ALICE);
    place.file("elsewhere/of-bob", BOB);
    let walker = Walker::default();
    for (name, to, owner, allowed) in [
        ("a", "elsewhere/secret", ALICE, false),
        ("b", "elsewhere/of-alice", ALICE, true),
        ("c", "elsewhere/of-bob", ALICE, false),
        ("d", "elsewhere/of-bob", 0, true),
        ("e", "elsewhere/secret", 0, true),
    ] {
        let link = format!("logs/{name}.log");
        place.link(&link, &place.at(to), owner);
        assert_eq!(place.read(&walker, &link).is_ok(), allowed, "user {owner} links to {to}");
        let all = Walker { follow: FollowLinks::All, ..Walker::default() };
        assert_eq!(place.read(&all, &link).unwrap(), to);
    }
    let refusal = place.read(&walker, "logs/a.log").unwrap_err();
    let words = refusal.to_string();
    assert!(words.contains("logs/a.log") && words.contains("41001") && words.contains("user 0"), "{words}");
    assert!(words.contains("\"followLinks\": \"all\""), "{words}");
}

#[test]
fn every_link_of_a_chain_and_every_link_to_a_folder_is_asked_who_made_it() {
    if !several_users() {
        return;
    }
    let place = Place::new();
    place.folder("logs", 0);
    place.folder("alice", ALICE);
    place.folder("secrets", 0);
    place.file("secrets/app.log", 0);
    place.file("alice/mine.log", ALICE);
    let walker = Walker::default();
    // Root links to a link of Alice, which leads to a secret.
    place.link("alice/hop.log", &place.at("secrets/app.log"), ALICE);
    place.link("logs/chain.log", &place.at("alice/hop.log"), 0);
    assert!(matches!(place.read(&walker, "logs/chain.log"), Err(Refusal::Link { made_by: ALICE, owned_by: 0, .. })));
    // A link in the middle of the path: logs/*/app.log.
    place.link("logs/evil", &place.at("secrets"), ALICE);
    assert!(matches!(place.read(&walker, "logs/evil/app.log"), Err(Refusal::Link { .. })));
    assert!(matches!(walker.open_folder(&place.at("logs/evil")), Err(Trouble::Refused(_))));
    // Relative targets, and those that go up, are no way around.
    place.link("alice/up.log", Path::new("../secrets/app.log"), ALICE);
    assert!(matches!(place.read(&walker, "alice/up.log"), Err(Refusal::Link { .. })));
    place.link("alice/here", Path::new("."), BOB);
    assert!(matches!(place.read(&walker, "alice/here/mine.log"), Err(Refusal::Link { .. })));
    // Alice may lead to her own by way of a link that root made, as container runtimes lay it out.
    place.link("logs/good.log", &place.at("alice/mine.log"), 0);
    place.link("alice/again.log", &place.at("logs/good.log"), ALICE);
    assert_eq!(place.read(&walker, "alice/again.log").unwrap(), "alice/mine.log");
}

#[test]
fn a_second_name_of_a_file_is_read_only_in_a_folder_of_its_owner() {
    if !several_users() {
        return;
    }
    let place = Place::new();
    place.folder("logs", ALICE);
    place.folder("root", 0);
    place.file("root/secret", 0);
    place.file("logs/mine.log", ALICE);
    std::fs::hard_link(place.at("root/secret"), place.at("logs/stolen.log")).unwrap();
    std::fs::hard_link(place.at("logs/mine.log"), place.at("logs/mine.log.1")).unwrap();
    std::fs::hard_link(place.at("root/secret"), place.at("root/twin")).unwrap();
    let walker = Walker::default();
    assert!(matches!(
        place.read(&walker, "logs/stolen.log"),
        Err(Refusal::SecondName { owned_by: 0, folder_of: ALICE, .. })
    ));
    assert!(place.read(&walker, "logs/mine.log.1").is_ok() && place.read(&walker, "root/twin").is_ok());
    let all = Walker { follow: FollowLinks::All, ..Walker::default() };
    assert!(place.read(&all, "logs/stolen.log").is_ok());
}

#[test]
fn what_belongs_to_the_agent_is_never_read_by_whatever_name() {
    let place = Place::new();
    for folder in ["logs", "state", "state/quarantine"] {
        std::fs::create_dir_all(place.at(folder)).unwrap();
    }
    std::fs::write(place.at("agent.json"), "keys").unwrap();
    std::fs::write(place.at("state/quarantine/records"), "secret").unwrap();
    std::fs::write(place.at("logs/app.log"), "line").unwrap();
    symlink(place.at("agent.json"), place.at("logs/config.log")).unwrap();
    std::fs::hard_link(place.at("agent.json"), place.at("logs/config2.log")).unwrap();
    symlink(place.at("state/quarantine"), place.at("logs/q")).unwrap();
    let own = OwnFiles::new(vec![place.at("agent.json")], vec![place.at("state")]);
    for follow in [FollowLinks::Owned, FollowLinks::All] {
        let walker = Walker { follow, own: own.clone() };
        for path in ["logs/config.log", "logs/config2.log", "logs/q/records", "state/quarantine/records"] {
            assert!(matches!(place.read(&walker, path), Err(Refusal::Own { .. })), "{path}");
        }
        assert!(matches!(walker.open_folder(&place.at("logs/q")), Err(Trouble::Refused(_))));
        assert_eq!(place.read(&walker, "logs/app.log").unwrap(), "line");
    }
}

#[test]
fn the_hops_of_a_link_are_where_each_leads_and_folders_on_the_way_are_none() {
    let place = Place::new();
    for folder in ["containers", "pods/x", "runtime"] {
        std::fs::create_dir_all(place.at(folder)).unwrap();
    }
    std::fs::write(place.at("runtime/json.log"), "").unwrap();
    symlink("../../runtime/json.log", place.at("pods/x/0.log")).unwrap();
    symlink(place.at("pods/x/0.log"), place.at("containers/x.log")).unwrap();
    symlink(place.at("containers"), place.at("link")).unwrap();
    let walker = Walker::default();
    let hops = |path: &str| walker.find(&place.at(path)).unwrap().hops;
    assert_eq!(hops("containers/x.log"), [place.at("pods/x/0.log"), place.at("runtime/json.log")]);
    assert_eq!(hops("link/x.log"), hops("containers/x.log"));
    assert_eq!(hops("runtime/json.log"), Vec::<PathBuf>::new());
    assert_eq!(walker.find(&place.at("link/x.log")).unwrap().path, place.at("runtime/json.log"));
}

#[test]
fn what_is_no_regular_file_is_never_opened_and_what_is_not_there_is_not_there() {
    let place = Place::new();
    let fifo = place.at("fifo.log");
    rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    std::fs::create_dir(place.at("folder")).unwrap();
    symlink("loop", place.at("loop")).unwrap();
    symlink("nothing", place.at("dangling")).unwrap();
    let walker = Walker::default();
    for path in ["fifo.log", "folder"] {
        assert!(matches!(walker.open(&place.at(path)), Err(Trouble::Other)), "{path}");
    }
    for path in ["nothing", "dangling", "loop", "fifo.log/x", "nothing/x"] {
        assert!(matches!(walker.open(&place.at(path)), Err(Trouble::Elsewhere)), "{path}");
    }
    let root = place.root.clone();
    assert_eq!(walker.find(&root.join("folder/../folder/.")).unwrap().path, root.join("folder"));
}

/// Somebody swaps a file of his own for a link to a secret, as fast as he can: what is read is never the secret.
#[test]
fn swaps_in_the_middle_of_opening_never_lead_to_a_secret() {
    if !several_users() {
        return;
    }
    let place = Place::new();
    place.folder("logs", ALICE);
    place.folder("root", 0);
    place.file("root/secret", 0);
    place.file("logs/good", ALICE);
    place.link("logs/bad", &place.at("root/secret"), ALICE);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (good, bad, app) = (place.at("logs/good"), place.at("logs/bad"), place.at("logs/app.log"));
            while !over.load(Ordering::Relaxed) {
                std::fs::rename(&good, &app).unwrap();
                std::fs::rename(&app, &good).unwrap();
                std::fs::rename(&bad, &app).unwrap();
                std::fs::rename(&app, &bad).unwrap();
            }
        });
        let walker = Walker::default();
        let (mut good, mut refused) = (0, 0);
        for _ in 0..20_000 {
            match walker.open(&place.at("logs/app.log")) {
                Ok((file, _)) => {
                    assert_eq!(std::io::read_to_string(file).unwrap(), "logs/good");
                    good += 1;
                }
                Err(Trouble::Refused(_)) => refused += 1,
                Err(_) => {}
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(good > 0 && refused > 0, "{good} read, {refused} refused: nothing was swapped");
    });
}

/// A way of six folders is walked once for all files of a folder, and again where the folder was renamed.
#[test]
fn the_next_file_of_a_folder_is_opened_from_there_and_all_the_same_when_the_folder_was_swapped() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().canonicalize().unwrap().join(path);
    for folder in ["logs", "other", "linked"] {
        std::fs::create_dir(at(folder)).unwrap();
    }
    for file in ["logs/a.log", "logs/b.log", "other/a.log", "linked/a.log"] {
        std::fs::write(at(file), file).unwrap();
    }
    symlink(at("linked/a.log"), at("logs/link.log")).unwrap();
    let (walker, mut last) = (Walker::default(), LastFolder::default());
    let read = |path: &str, last: &mut LastFolder| {
        let (file, found) = walker.open_beside(&at(path), last).map_err(|_| ())?;
        assert_eq!(found.path, walker.find(&at(path)).unwrap().path);
        Ok::<_, ()>(std::io::read_to_string(file).unwrap())
    };
    assert!(last.of(&at("logs/a.log"), &walker).is_none());
    assert_eq!(read("logs/a.log", &mut last).as_deref(), Ok("logs/a.log"));
    assert!(last.of(&at("logs/b.log"), &walker).is_some() && last.of(&at("other/b.log"), &walker).is_none());
    let all = Walker { follow: FollowLinks::All, ..walker.clone() };
    assert!(last.of(&at("logs/b.log"), &all).is_none(), "others follow other links");
    assert_eq!(read("logs/b.log", &mut last).as_deref(), Ok("logs/b.log"));
    // What a link leads to lies in another folder.
    assert_eq!(read("logs/link.log", &mut last).as_deref(), Ok("linked/a.log"));
    assert_eq!(read("logs/c.log", &mut last), Err(()), "nothing is there");
    assert_eq!(read("logs", &mut last), Err(()), "it is a folder");
    assert_eq!(read("other/a.log", &mut last).as_deref(), Ok("other/a.log"));
    assert_eq!(read("logs/a.log", &mut last).as_deref(), Ok("logs/a.log"));
    // The folder from which files were opened is another one by now.
    std::fs::remove_file(at("logs/a.log")).unwrap();
    std::fs::rename(at("logs"), at("gone")).unwrap();
    std::fs::rename(at("other"), at("logs")).unwrap();
    assert_eq!(read("logs/a.log", &mut last).as_deref(), Ok("other/a.log"));
    last.forget();
    assert!(last.of(&at("logs/a.log"), &walker).is_none());
}

//! Patterns, the folders that may hold what they match, and what lies in a folder.
//! Promises to descend only where a match is possible, and never to open anything but folders.
//! Leaves watching the folders and following the files to others.

mod name;
mod search;

use super::share::Share;
use name::{Name, compile};
pub(super) use search::Search;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One compiled path pattern: `*`, `?`, `[...]`, `{a,b}`, `**` across folders.
///
/// `*` and `?` match anything within one name, a leading dot included; only `**` crosses folders.
/// Links to folders are followed where the pattern names a folder or uses `*`, not under `**`.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    /// Absent where the one route says the same, which needs a fraction of the memory.
    whole: Option<Name>,
    /// The pattern without alternatives, folder by folder: the ways to walk.
    routes: Arc<[Vec<Step>]>,
    /// Which of the files it is for, where they go to several streams.
    share: Option<Share>,
}

/// One name of a path in a pattern.
#[derive(Clone, Debug)]
enum Step {
    /// Exactly this name.
    Named(PathBuf),
    /// Any name that matches.
    Like(Name),
    /// Any number of folders.
    Anywhere,
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Relative patterns would depend on where the agent was started.
    #[error("`{text}` does not start with `/`")]
    Relative {
        /// The pattern as it was written.
        text: String,
    },
    /// The pattern ends in a slash, so it names no file.
    #[error("`{text}` names a folder, not files; `{text}*` would match the files in it")]
    Folder {
        /// The pattern as it was written.
        text: String,
    },
    /// The syntax is wrong.
    #[error("`{text}`: {reason}")]
    Syntax {
        /// The pattern as it was written.
        text: String,
        /// What the glob compiler says.
        reason: String,
    },
}

/// More ways than this through the alternatives of one pattern are refused.
const MOST_ROUTES: usize = 256;

/// Longer texts are no path.
const LONGEST: usize = 4096;

/// Folders nested deeper than this under `**` are not entered; it bounds loops of bind mounts.
const DEEPEST: usize = 64;

impl Pattern {
    /// Compiles the pattern.
    ///
    /// # Errors
    /// When it is relative, names a folder, or its syntax is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::Relative { text: text.to_owned() });
        }
        if text.ends_with('/') {
            return Err(PatternError::Folder { text: text.to_owned() });
        }
        if text.len() > LONGEST {
            let reason = format!("longer than {LONGEST} bytes; write several patterns");
            return Err(PatternError::Syntax { text: text.chars().take(60).collect::<String>() + "…", reason });
        }
        let tidy = format!("/{}", text.split('/').filter(|name| !name.is_empty()).collect::<Vec<_>>().join("/"));
        let whole = if name::is_plain(&tidy) { None } else { Some(compile(&tidy, text)?) };
        let too_many = || PatternError::Syntax {
            text: text.to_owned(),
            reason: format!("more than {MOST_ROUTES} alternatives; write several patterns"),
        };
        let routes = alternatives(&tidy).ok_or_else(too_many)?;
        let routes = routes.iter().map(|route| steps(route, text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: text.into(), whole, routes: routes.into(), share: None })
    }

    /// The same for those of the files only that go to one of several streams.
    #[must_use]
    pub fn sharing(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path is one of those the pattern stands for. `path` is absolute, without `.` and `..`.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        self.covers(path) && self.share.as_ref().is_none_or(|share| share.takes(path))
    }

    /// The same, whichever stream the file goes to.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        match &self.whole {
            Some(whole) => whole.is_match(path),
            None => self.routes.iter().any(|route| leads_to(route, path)),
        }
    }

    /// The one path that it matches, when it has no wildcards.
    pub(super) fn literal(&self) -> Option<&Path> {
        let wild = self.text.contains(['*', '?', '[', '{', '\\']) || self.text.contains("//");
        (!wild).then(|| Path::new(&*self.text))
    }

    /// The first folder on the way to what it matches that is not there, as far as the way is spelled out.
    pub(super) fn first_missing(&self) -> Option<PathBuf> {
        let mut way = PathBuf::from("/");
        let (_, folders) = self.routes.first()?.split_last()?;
        for step in folders {
            let Step::Named(name) = step else { return None };
            way.push(name);
            if !way.is_dir() {
                return Some(way);
            }
        }
        None
    }

    /// The deepest folders that are there now, one for each alternative, below which everything lies that matches.
    pub(super) fn trunks(&self) -> Vec<PathBuf> {
        let trunk = |route: &Vec<Step>| {
            let names = route.iter().map_while(|step| match step {
                Step::Named(name) => Some(name),
                Step::Like(_) | Step::Anywhere => None,
            });
            let spelled_out = names.fold(PathBuf::from("/"), |path, name| path.join(name));
            spelled_out.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
        };
        self.routes.iter().map(trunk).collect()
    }

    /// The folders that may hold matching files now, and all that must be watched to learn of others.
    pub(super) fn folders(&self) -> Folders {
        Search::of(std::iter::once(self)).run()
    }
}

/// The folders of a set of patterns as they are on disk now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Folders {
    /// May hold matching files.
    pub(super) leaves: BTreeSet<PathBuf>,
    /// Folders whose entries decide about leaves: wildcard parents, and where a named one does not exist yet.
    pub(super) branches: BTreeSet<PathBuf>,
    /// Some folder could not be walked for want of a descriptor: there may be more.
    pub(super) incomplete: bool,
}

/// The pattern with each combination of its alternatives written out; `None` when there are too many.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let bytes = pattern.as_bytes();
    let (mut open, mut depth, mut commas, mut in_class, mut at) = (None, 0, Vec::new(), false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' if !in_class => in_class = true,
            b']' if in_class => in_class = false,
            _ if in_class => {}
            b'{' => {
                depth += 1;
                open.get_or_insert(at);
            }
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 => {
                let start = open.unwrap_or(at);
                let mut written = Vec::new();
                let mut from = start + 1;
                for end in commas.iter().copied().chain([at]) {
                    let one = format!("{}{}{}", &pattern[..start], &pattern[from..end], &pattern[at + 1..]);
                    written.extend(alternatives(&one)?);
                    if written.len() > MOST_ROUTES {
                        return None;
                    }
                    from = end + 1;
                }
                return Some(written);
            }
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Some(vec![pattern.to_owned()])
}

/// Whether a route ends at this path: each of its steps is one name, and `**` any number of them, at its end at least one.
fn leads_to(route: &[Step], path: &[u8]) -> bool {
    let Some(names) = path.strip_prefix(b"/") else { return false };
    let (mut left, mut step) = (Some(names), 0);
    // The step behind the last `**`, and what it was tried on last: it may begin at a later name as well.
    let mut again: Option<(usize, &[u8])> = None;
    while let Some(way) = left {
        let end = memchr::memchr(b'/', way);
        let fits = match route.get(step) {
            Some(Step::Anywhere) if step + 1 == route.len() => return true,
            Some(Step::Anywhere) => {
                step += 1;
                again = Some((step, way));
                continue;
            }
            Some(Step::Named(name)) => name.as_os_str().as_bytes() == &way[..end.unwrap_or(way.len())],
            Some(Step::Like(name)) => name.is_match(&way[..end.unwrap_or(way.len())]),
            None => false,
        };
        if fits {
            step += 1;
            left = end.map(|end| &way[end + 1..]);
            continue;
        }
        let Some((behind, tried)) = again else { return false };
        let Some(end) = memchr::memchr(b'/', tried) else { return false };
        let next = &tried[end + 1..];
        (again, step, left) = (Some((behind, next)), behind, Some(next));
    }
    step == route.len()
}

fn steps(route: &str, text: &str) -> Result<Vec<Step>, PatternError> {
    route
        .split('/')
        .filter(|name| !name.is_empty())
        .map(|name| match name {
            "**" => Ok(Step::Anywhere),
            _ if name.contains(['*', '?', '[', '\\']) => compile(name, text).map(Step::Like),
            _ => Ok(Step::Named(name.into())),
        })
        .collect()
}

/// The file name of a path as bytes; empty for `/`.
pub(super) fn name_of(path: &Path) -> &[u8] {
    path.file_name().map_or(b"", OsStr::as_bytes)
}

/// The folder of a path.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_stays_within_a_name_and_two_stars_cross_folders() {
        for (text, path, matches) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/.hidden.log", true),
            ("/var/log/*.log", "/var/log/x/a.log", false),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/x/y/a.log", true),
            ("/opt/*/logs/{app,web}.log", "/opt/one/logs/web.log", true),
            ("/opt/*/logs/{app,web}.log", "/opt/one/logs/db.log", false),
            ("/l/a[0-3].log", "/l/a2.log", true),
            ("/l/a[!0-3].log", "/l/a2.log", false),
            ("//l///a.log", "/l/a.log", true),
            ("/l/with space*", "/l/with space.log", true),
        ] {
            assert_eq!(pattern(text).matches(Path::new(path)), matches, "{text} on {path}");
        }
        assert!(pattern("/l/*.log").matches(Path::new(OsStr::from_bytes(b"/l/\xff\xfe.log"))));
    }

    /// The routes are walked where the glob was compiled before: both say the same of every path.
    #[test]
    fn a_plain_pattern_matches_what_its_compiled_glob_matches() {
        const NAMES: [&str; 9] = ["a", "b", "ab", "a*", "*", "**", "?", "*a*b", "a**?"];
        let mut random = fastrand::Rng::with_seed(7);
        let (mut yes, mut no) = (0, 0);
        for _ in 0..20_000 {
            let names = |random: &mut fastrand::Rng, of: &[&str]| -> String {
                (0..random.usize(1..6)).map(|_| format!("/{}", of[random.usize(..of.len())])).collect()
            };
            let text = names(&mut random, &NAMES);
            let glob = globset::GlobBuilder::new(&text).literal_separator(true).build().unwrap().compile_matcher();
            let pattern = pattern(&text);
            for _ in 0..20 {
                let path = names(&mut random, &["", "a", "b", "ab", "abab", "ba", "aab", "\n"]);
                let expected = glob.is_match(&path);
                assert_eq!(pattern.covers(Path::new(&path)), expected, "{text} on {path}");
                if expected { yes += 1 } else { no += 1 }
            }
        }
        assert!(yes > 10_000 && no > 10_000, "{yes} and {no}");
        assert!(!pattern("/a").covers(Path::new("a")), "no path from the root");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        assert!(matches!(Pattern::parse("logs/*.log"), Err(PatternError::Relative { .. })));
        assert!(matches!(Pattern::parse("/var/log/"), Err(PatternError::Folder { .. })));
        assert!(matches!(Pattern::parse("/var/[a"), Err(PatternError::Syntax { .. })));
        assert!(matches!(Pattern::parse("/var/{a,b"), Err(PatternError::Syntax { .. })));
        let many = format!("/{}", "{a,b}".repeat(9));
        assert!(matches!(Pattern::parse(&many), Err(PatternError::Syntax { .. })));
    }

    /// `{a,` nested 126 deep ended the process: the glob was fine, the regular expression made of it was not.
    #[test]
    fn a_pattern_that_is_nested_too_deeply_or_too_large_is_refused_and_ends_nothing() {
        for depth in [1, 10, 62, 124, 125, 126, 127, 200, 255, 300, 1300] {
            let nested = format!("/{}x{}", "{a,".repeat(depth), "}".repeat(depth));
            match Pattern::parse(&nested) {
                Ok(pattern) => assert!(pattern.matches(Path::new("/x")) && pattern.matches(Path::new("/a"))),
                Err(error) => assert!(matches!(error, PatternError::Syntax { .. }) && depth > 62, "{depth}: {error}"),
            }
        }
        let classes = format!("/{}", "[\u{0}-\u{10ffff}]".repeat(300));
        for text in
            [&"/{a}".repeat(300_000), &format!("/{}", "{".repeat(4000)), &format!("/{}", "*".repeat(4000)), &classes]
        {
            // Any answer will do.
            let _answer = Pattern::parse(text);
        }
    }

    #[test]
    fn alternatives_are_written_out_in_every_combination() {
        assert_eq!(alternatives("/{a,b/c}/x{1,2}").unwrap(), ["/a/x1", "/a/x2", "/b/c/x1", "/b/c/x2"]);
        assert_eq!(alternatives("/[{]a,b").unwrap(), ["/[{]a,b"]);
        assert_eq!(alternatives("/{a,{b,c}}").unwrap(), ["/a", "/b", "/c"]);
    }

    #[test]
    fn only_folders_on_the_way_of_a_pattern_are_found_and_missing_ones_leave_their_parent_to_watch() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["one/logs", "two/logs/deep", "three/other"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let leaves = |text: &str| {
            let folders = pattern(&format!("{}/{text}", root.display())).folders();
            let relative = |set: BTreeSet<PathBuf>| -> Vec<String> {
                set.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect()
            };
            (relative(folders.leaves), relative(folders.branches))
        };
        let text = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        assert_eq!(leaves("*/logs/*.log").0, text(&["one/logs", "two/logs"]));
        assert_eq!(leaves("*/logs/*.log").1, text(&["", "three"]));
        assert_eq!(leaves("two/**/*.log").0, text(&["two", "two/logs", "two/logs/deep"]));
        assert_eq!(leaves("new/folder/*.log"), (text(&[]), text(&[""])));
    }

    /// All names of a folder were looked at in one go: with 400,000 files in it every other flow stood still.
    #[test]
    fn a_step_of_a_search_looks_at_a_few_names_however_many_there_are() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for number in 0..500 {
            std::fs::write(root.join(format!("{number}.txt")), "").unwrap();
        }
        std::fs::create_dir_all(root.join("one/logs")).unwrap();
        for text in ["*/logs/*.log", "**/*.log", "one/logs/*.log"] {
            let pattern = pattern(&format!("{}/{text}", root.display()));
            let mut search = Search::of(std::iter::once(&pattern));
            let mut steps = 0;
            let found = loop {
                steps += 1;
                if let Some(found) = search.step(10) {
                    break found;
                }
            };
            assert_eq!(found, pattern.folders(), "{text}");
            assert!(found.leaves.contains(&root.join("one/logs")), "{text}");
            assert!(if text.starts_with('*') { steps >= 50 } else { steps < 5 }, "{text}: {steps} steps");
        }
    }
}

//! A file pattern of the Kinesis Agent: one folder taken literally, and a glob for names in it.
//! Promises that what it matched there is matched here, and nothing else in that folder.
//! Leaves finding the files to the source.

use std::path::Path;

/// Characters that mean something in our patterns and nothing in a folder's name there.
const WILD: [char; 5] = ['*', '?', '[', '{', '\\'];

/// A pattern in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OldPattern {
    /// As Java prints it: without doubled slashes; `/` for the root.
    pub(super) folder: String,
    pub(super) glob: String,
}

/// The same in our words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NewPattern {
    /// Each matches a part; one in almost all cases.
    pub(super) texts: Vec<String>,
    /// The folder holds wildcards, which matched nothing there.
    pub(super) wild_folder: bool,
}

impl OldPattern {
    /// Takes it apart at the last slash.
    ///
    /// # Errors
    /// Why the Kinesis Agent does not start with it, or why it cannot be moved.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((folder, glob)) = text.rsplit_once('/') else {
            return Err("it names no folder; the Kinesis Agent does not start with it");
        };
        if glob.is_empty() {
            return Err("it names a folder and no files; the Kinesis Agent does not start with it");
        }
        if !text.starts_with('/') {
            return Err("it is relative to the folder in which the Kinesis Agent was started; write an absolute path");
        }
        let names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
        Ok(Self { folder: format!("/{}", names.join("/")), glob: glob.to_owned() })
    }

    /// The pattern as it stands in the name of a flow there.
    pub(super) fn printed(&self) -> String {
        format!("{}/{}", self.folder, self.glob)
    }

    /// In our words.
    ///
    /// # Errors
    /// Why the Kinesis Agent does not start with it, or why it cannot be said.
    pub(super) fn translated(&self) -> Result<NewPattern, &'static str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.folder.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                _ => names.push(name),
            }
        }
        let mut folder = names.iter().map(|name| format!("/{name}")).collect::<String>();
        let mut wild_folder = folder.contains(WILD);
        if wild_folder && Path::new(&self.folder).is_dir() {
            folder = escaped(&folder);
            wild_folder = false;
        }
        let texts = name_patterns(&self.glob)?.into_iter().map(|name| format!("{folder}/{name}")).collect();
        Ok(NewPattern { texts, wild_folder })
    }

    /// Whether names that end in `.zip` can match.
    pub(super) fn may_match_zip(&self) -> bool {
        self.glob.ends_with('*') || self.glob.to_ascii_lowercase().ends_with(".zip")
    }
}

/// With each character standing for itself.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|letter| WILD.contains(&letter).then_some('\\').into_iter().chain([letter])).collect()
}

/// The glob of a name in our dialect. An alternative that is empty becomes a pattern of its own.
fn name_patterns(glob: &str) -> Result<Vec<String>, &'static str> {
    const UNCLOSED: &str = "a bracket is not closed; the Kinesis Agent does not start with it";
    let mut written = vec![String::new()];
    let mut letters = glob.chars().peekable();
    let mut group: Option<Vec<String>> = None;
    while let Some(letter) = letters.next() {
        let mut piece = String::new();
        match letter {
            '\\' => {
                let next = letters.next().ok_or("it ends in a backslash; the Kinesis Agent does not start with it")?;
                piece.extend(['\\', next]);
            }
            '*' => {
                // Two stars cross folders here and were one star there.
                while letters.next_if_eq(&'*').is_some() {}
                piece.push('*');
            }
            '[' => piece = class(&mut letters).ok_or(UNCLOSED)?,
            '{' if group.is_some() => return Err("alternatives are nested; the Kinesis Agent does not start with it"),
            '{' => {
                group = Some(vec![String::new()]);
                continue;
            }
            ',' if let Some(group) = &mut group => {
                group.push(String::new());
                continue;
            }
            '}' => {
                let Some(alternatives) = group.take() else {
                    written.iter_mut().for_each(|text| text.push_str("\\}"));
                    continue;
                };
                written = close(&written, &alternatives);
                continue;
            }
            _ => piece.push(letter),
        }
        match group.as_mut().and_then(|group| group.last_mut()) {
            Some(alternative) => alternative.push_str(&piece),
            None => written.iter_mut().for_each(|text| text.push_str(&piece)),
        }
    }
    if group.is_some() { Err(UNCLOSED) } else { Ok(written) }
}

fn close(written: &[String], alternatives: &[String]) -> Vec<String> {
    let full: Vec<&str> = alternatives.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let without = written.iter().filter(|_| full.len() < alternatives.len()).cloned();
    let group = match full.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("{{{}}}", several.join(",")),
    };
    let with = written.iter().filter(|_| !full.is_empty()).map(|text| format!("{text}{group}"));
    with.chain(without).collect()
}

/// Behind `[`: a caret negates here and stood for itself there.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let negated = letters.next_if_eq(&'!').is_some();
    let mut inner = String::new();
    loop {
        match letters.next()? {
            ']' if inner.is_empty() => return None,
            ']' => break,
            letter => inner.push(letter),
        }
    }
    if inner == "^" && !negated {
        return Some("\\^".to_owned());
    }
    // At the end a caret is an ordinary character.
    let inner = match inner.strip_prefix('^') {
        Some(rest) if !negated && !rest.starts_with('-') => format!("{rest}^"),
        _ => inner,
    };
    Some(format!("[{}{inner}]", if negated { "!" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::discover::Pattern;

    fn translated(text: &str) -> Result<Vec<String>, &'static str> {
        Ok(OldPattern::parse(text)?.translated()?.texts)
    }

    #[test]
    fn what_matched_there_matches_here() {
        for (text, yes, no) in [
            ("/l/app.log*", "/l/app.log.1", "/l/x/app.log"),
            ("/l/**", "/l/app.log", "/l/x/app.log"),
            ("/l/a[^x].log", "/l/a^.log", "/l/ay.log"),
            ("/l/a[^].log", "/l/a^.log", "/l/ab.log"),
            ("/l/a[!x].log", "/l/ay.log", "/l/ax.log"),
            ("/l/app{,.1}.log", "/l/app.log", "/l/app.2.log"),
            ("/l/app{,.1}.log", "/l/app.1.log", "/l/app..log"),
            ("/l/a}b].log", "/l/a}b].log", "/l/ab.log"),
            ("/l/a\\*.log", "/l/a*.log", "/l/ab.log"),
            ("//l//./x/../app.log", "/l/app.log", "/l/x/app.log"),
            ("/l/{a,b*}.log", "/l/bcd.log", "/l/ac.log"),
        ] {
            let patterns: Vec<Pattern> =
                translated(text).unwrap().iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let matches = |path: &str| patterns.iter().any(|pattern| pattern.matches(Path::new(path)));
            assert!(matches(yes) && !matches(no), "{text} became {patterns:?}");
        }
    }

    #[test]
    fn what_kept_the_kinesis_agent_from_starting_is_told() {
        for text in ["app.log", "/l/", "/l/[a", "/l/{a", "/l/{a,{b}}", "/l/a\\", "/l/[]a]", "l/app.log"] {
            assert!(translated(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_with_wildcards_matched_nothing_there_unless_it_is_called_so() {
        let root = tempfile::tempdir().unwrap();
        let named = root.path().join("odd[1]");
        std::fs::create_dir(&named).unwrap();
        let old = OldPattern::parse(&format!("{}/app.log", named.display())).unwrap();
        let new = old.translated().unwrap();
        assert!(!new.wild_folder);
        assert!(Pattern::parse(&new.texts[0]).unwrap().matches(&named.join("app.log")));
        assert!(OldPattern::parse("/opt/*/logs/app.log").unwrap().translated().unwrap().wild_folder);
    }

    #[test]
    fn the_name_of_a_flow_shows_the_folder_as_java_prints_it() {
        for (text, printed) in
            [("/tmp//x/app.log*", "/tmp/x/app.log*"), ("/app.log", "//app.log"), ("/a/./b", "/a/./b")]
        {
            assert_eq!(OldPattern::parse(text).unwrap().printed(), printed);
        }
    }
}

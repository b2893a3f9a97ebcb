//! Members of JSON objects found, changed, added and removed, in one pass.
//! Promises that every byte that is not edited stays as it came (order, number text, blanks), and that nothing comes
//! out unless the whole record was valid JSON.
//! Leaves which members those are to the steps.

use super::print;
use super::scan::{self, Member, Members};
use crate::Cause;

/// Names that lead to something: each step down is one member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Tree<T> {
    /// Invariant: names differ.
    children: Vec<(Box<[u8]>, Tree<T>)>,
    leaf: Option<T>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { children: Vec::new(), leaf: None }
    }
}

impl<T> Tree<T> {
    /// Puts `leaf` at the end of `path`, in the place of an earlier one.
    pub(crate) fn insert(&mut self, path: &[String], leaf: T) {
        let Some((first, rest)) = path.split_first() else {
            self.leaf = Some(leaf);
            return;
        };
        let known = self.children.iter().position(|(name, _)| **name == *first.as_bytes());
        let index = known.unwrap_or_else(|| {
            self.children.push((first.as_bytes().into(), Self::default()));
            self.children.len() - 1
        });
        self.children[index].1.insert(rest, leaf);
    }

    /// Calls `with` for each leaf.
    fn each_leaf(&self, with: &mut impl FnMut(&T)) {
        self.leaf.iter().for_each(&mut *with);
        self.children.iter().for_each(|(_, child)| child.each_leaf(with));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty() && self.leaf.is_none()
    }

    /// The child that a name leads to, given the inside of that name in the record.
    #[inline]
    fn child(&self, raw: &[u8], scratch: &mut Vec<u8>) -> Option<&Self> {
        if self.children.is_empty() {
            return None;
        }
        let name = decoded(raw, scratch);
        self.children.iter().find(|(known, _)| **known == *name).map(|(_, child)| child)
    }
}

/// The text of a name or string, given its inside.
#[inline]
pub(crate) fn decoded<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr(b'\\', raw).is_none() {
        return raw;
    }
    scratch.clear();
    print::decode(raw, scratch);
    scratch
}

/// A path as operators write it: `user.name`; a dot that belongs to a name has a backslash before it.
pub(crate) fn path(text: &str) -> Vec<String> {
    let (mut names, mut name, mut escaped) = (Vec::new(), String::new(), false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                if !matches!(character, '.' | '\\') {
                    name.push('\\');
                }
                name.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' => names.push(std::mem::take(&mut name)),
            _ => name.push(character),
        }
    }
    if escaped {
        name.push('\\');
    }
    names.push(name);
    names
}

/// What is done with a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It goes.
    Remove,
    /// Its name becomes this one, given with its quotes.
    Rename(Box<[u8]>),
    /// Its value becomes this text.
    Replace(Box<[u8]>),
}

/// Members that are to be there in the end.
pub(crate) trait Additions {
    /// How many.
    fn count(&self) -> usize;
    /// The name of one, as it stands between quotes, and whether its value takes the place of one that is there.
    fn name(&self, index: usize) -> (&[u8], bool);
    /// Appends its value.
    fn value(&self, index: usize, out: &mut Vec<u8>);
}

/// No members.
impl Additions for () {
    fn count(&self) -> usize {
        0
    }

    fn name(&self, _: usize) -> (&[u8], bool) {
        (b"", false)
    }

    fn value(&self, _: usize, _: &mut Vec<u8>) {}
}

/// The edits of one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits {
    /// By path from the root.
    pub(crate) paths: Tree<Act>,
    /// By name, wherever it stands, in arrays too.
    pub(crate) anywhere: Tree<Act>,
}

/// The buffers of an edit, kept from record to record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    name: Vec<u8>,
    found: Vec<bool>,
}

/// One edit under way.
struct Pass<'a, A> {
    text: &'a [u8],
    out: &'a mut Vec<u8>,
    /// Everything before this has been copied or left out.
    copied: usize,
    anywhere: &'a Tree<Act>,
    additions: &'a A,
    scratch: &'a mut Scratch,
}

impl Edits {
    /// Appends the record `text`, which must be an object, with the edits made.
    pub(crate) fn apply<A: Additions>(
        &self,
        text: &[u8],
        additions: &A,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Cause> {
        if std::str::from_utf8(text).is_err() {
            return Err(Cause::NotText);
        }
        let start = scan::blanks(text, if text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 });
        if text.get(start) != Some(&b'{') {
            return scan::document(text).and(Err(Cause::NotAnObject));
        }
        scratch.found.clear();
        scratch.found.resize(additions.count(), false);
        let mut pass = Pass { text, out, copied: start, anywhere: &self.anywhere, additions, scratch };
        let end = pass.object(start, Some(&self.paths), 0)?;
        let rest = scan::blanks(text, end);
        if rest < text.len() {
            return Err(Cause::NotJson { at: rest });
        }
        pass.copy_to(text.len());
        Ok(())
    }
}

impl<A: Additions> Pass<'_, A> {
    fn copy_to(&mut self, place: usize) {
        if self.copied < place {
            self.out.extend_from_slice(&self.text[self.copied..place]);
            self.copied = place;
        }
    }

    /// The value at `at`, inside `depth` others; returns where it ends.
    fn value(&mut self, at: usize, tree: Option<&Tree<Act>>, depth: usize) -> Result<usize, Cause> {
        let tree = tree.filter(|tree| !tree.children.is_empty());
        if tree.is_none() && self.anywhere.is_empty() {
            return scan::value(self.text, at, depth);
        }
        match self.text.get(at) {
            Some(b'{') => self.object(at, tree, depth),
            Some(b'[') if !self.anywhere.is_empty() => self.array(at, depth),
            _ => scan::value(self.text, at, depth),
        }
    }

    fn array(&mut self, at: usize, depth: usize) -> Result<usize, Cause> {
        if depth >= scan::DEPTH {
            return Err(Cause::TooDeep { limit: scan::DEPTH });
        }
        let mut at = scan::blanks(self.text, at + 1);
        if self.text.get(at) == Some(&b']') {
            return Ok(at + 1);
        }
        loop {
            at = scan::blanks(self.text, self.value(at, None, depth + 1)?);
            match self.text.get(at) {
                Some(b',') => at = scan::blanks(self.text, at + 1),
                Some(b']') => return Ok(at + 1),
                _ => return Err(Cause::NotJson { at }),
            }
        }
    }

    fn object(&mut self, at: usize, tree: Option<&Tree<Act>>, depth: usize) -> Result<usize, Cause> {
        if depth >= scan::DEPTH {
            return Err(Cause::TooDeep { limit: scan::DEPTH });
        }
        let mut members = Members::new(at);
        // Where the value of the last member that stays ended; `None` while there is none.
        let mut kept_to = None;
        let mut next_is_first = false;
        loop {
            let member = match members.next(self.text)? {
                Ok(member) => member,
                Err(end) => {
                    if next_is_first {
                        self.copied = end - 1;
                    }
                    if depth == 0 {
                        self.add_missing(end - 1, kept_to.is_some());
                    }
                    return Ok(end);
                }
            };
            if next_is_first {
                self.copied = member.start;
                next_is_first = false;
            }
            let (end, stays) = self.member(member, tree, depth)?;
            members.ended(end);
            match (stays, kept_to) {
                (true, _) => kept_to = Some(end),
                (false, Some(kept_to)) => {
                    self.copy_to(kept_to);
                    self.copied = end;
                }
                (false, None) => {
                    self.copy_to(member.start);
                    next_is_first = true;
                }
            }
        }
    }

    /// One member: where its value ends, and whether it stays.
    #[inline]
    fn member(&mut self, member: Member, tree: Option<&Tree<Act>>, depth: usize) -> Result<(usize, bool), Cause> {
        let text = self.text;
        let raw = &text[member.start + 1..member.name_end - 1];
        if depth == 0 && self.replaced(raw, member.value) {
            let end = scan::value(text, member.value, depth + 1)?;
            self.copied = end;
            return Ok((end, true));
        }
        let child = tree.and_then(|tree| tree.child(raw, &mut self.scratch.name));
        let leaf = child.and_then(|child| child.leaf.as_ref());
        let anywhere = self.anywhere;
        let act = leaf.or_else(|| anywhere.child(raw, &mut self.scratch.name).and_then(|child| child.leaf.as_ref()));
        match act {
            Some(Act::Remove) => Ok((scan::value(text, member.value, depth + 1)?, false)),
            Some(Act::Replace(value)) => {
                self.copy_to(member.value);
                self.out.extend_from_slice(value);
                self.copied = scan::value(text, member.value, depth + 1)?;
                Ok((self.copied, true))
            }
            Some(Act::Rename(name)) => {
                self.copy_to(member.start);
                self.out.extend_from_slice(name);
                self.copied = member.name_end;
                Ok((self.value(member.value, child, depth + 1)?, true))
            }
            None => Ok((self.value(member.value, child, depth + 1)?, true)),
        }
    }

    /// Writes the value of an addition in the place of the one at `value`, if the name is one's that does so.
    #[inline]
    fn replaced(&mut self, raw: &[u8], value: usize) -> bool {
        let additions = self.additions;
        for index in 0..additions.count() {
            let (name, replaces) = additions.name(index);
            if name == raw {
                self.scratch.found[index] = true;
                if replaces {
                    self.copy_to(value);
                    additions.value(index, self.out);
                    return true;
                }
            }
        }
        false
    }

    /// Adds what was not found, before the brace at `brace`.
    fn add_missing(&mut self, brace: usize, mut follows: bool) {
        let additions = self.additions;
        for index in 0..additions.count() {
            if self.scratch.found[index] {
                continue;
            }
            self.copy_to(brace);
            self.out.extend_from_slice(if follows { b",\"" } else { b"\"" });
            self.out.extend_from_slice(additions.name(index).0);
            self.out.extend_from_slice(b"\":");
            additions.value(index, self.out);
            follows = true;
        }
    }
}

/// Where the values at the ends of `paths` stand in the object `text`; of equal names the last counts. `found` has one
/// place for each leaf.
pub(crate) fn find(
    text: &[u8],
    paths: &Tree<usize>,
    scratch: &mut Vec<u8>,
    found: &mut [Option<(usize, usize)>],
) -> Result<(), Cause> {
    let (start, _) = scan::object(text)?;
    found.fill(None);
    find_in(text, start, paths, scratch, found)
}

fn find_in(
    text: &[u8],
    at: usize,
    paths: &Tree<usize>,
    scratch: &mut Vec<u8>,
    found: &mut [Option<(usize, usize)>],
) -> Result<(), Cause> {
    let mut members = Members::new(at);
    while let Ok(member) = members.next(text)? {
        let end = scan::value(text, member.value, 1)?;
        members.ended(end);
        let Some(child) = paths.child(&text[member.start + 1..member.name_end - 1], scratch) else { continue };
        // What an earlier member of this name held is gone as a whole.
        child.each_leaf(&mut |leaf| found[*leaf] = None);
        if let Some(leaf) = child.leaf {
            found[leaf] = Some((member.value, end));
        }
        if !child.children.is_empty() && text[member.value] == b'{' {
            find_in(text, member.value, child, scratch, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edits: &[(&str, Act)]) -> Result<String, Cause> {
        let mut all = Edits::default();
        for (place, act) in edits {
            all.paths.insert(&path(place), act.clone());
        }
        let mut out = Vec::new();
        all.apply(text.as_bytes(), &(), &mut Scratch::default(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn members_are_removed_with_their_commas_wherever_they_stand() {
        let text = "{ \"a\" : 1 , \"b\":[2] , \"c\":{\"d\":1.10,\"e\":2} }\n";
        for (gone, left) in [
            (&["a"][..], "{ \"b\":[2] , \"c\":{\"d\":1.10,\"e\":2} }\n"),
            (&["b"], "{ \"a\" : 1 , \"c\":{\"d\":1.10,\"e\":2} }\n"),
            (&["c"], "{ \"a\" : 1 , \"b\":[2] }\n"),
            (&["a", "b"], "{ \"c\":{\"d\":1.10,\"e\":2} }\n"),
            (&["b", "c"], "{ \"a\" : 1 }\n"),
            (&["a", "c"], "{ \"b\":[2] }\n"),
            (&["a", "b", "c"], "{ }\n"),
            (&["c.d"], "{ \"a\" : 1 , \"b\":[2] , \"c\":{\"e\":2} }\n"),
            (&["c.e"], "{ \"a\" : 1 , \"b\":[2] , \"c\":{\"d\":1.10} }\n"),
            (&["c.d", "c.e"], "{ \"a\" : 1 , \"b\":[2] , \"c\":{} }\n"),
            (&["x", "a.b", "b.c"], text),
        ] {
            let edits: Vec<_> = gone.iter().map(|name| (*name, Act::Remove)).collect();
            assert_eq!(edited(text, &edits).as_deref(), Ok(left), "{gone:?}");
        }
    }

    #[test]
    fn a_name_is_known_however_it_is_escaped() {
        assert_eq!(edited(r#"{"\u0061":1,"b":2}"#, &[("a", Act::Remove)]).as_deref(), Ok(r#"{"b":2}"#));
    }

    #[test]
    fn what_is_no_object_or_no_json_is_told_apart() {
        assert_eq!(edited("[1]", &[]), Err(Cause::NotAnObject));
        assert_eq!(edited("hello", &[]), Err(Cause::NotJson { at: 0 }));
        assert_eq!(edited("{\"a\":1}}", &[]), Err(Cause::NotJson { at: 7 }));
        assert_eq!(edited("{\"a\":1,}", &[]), Err(Cause::NotJson { at: 7 }));
        assert_eq!(edited("", &[]), Err(Cause::NotJson { at: 0 }));
    }

    #[test]
    fn a_dot_with_a_backslash_belongs_to_the_name() {
        assert_eq!(path(r"a.b\.c\\.d\e"), ["a", r"b.c\", r"d\e"]);
    }
}

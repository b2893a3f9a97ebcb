//! What cargo cannot say about the sources: no circle of files in any crate, and no stage that names another.
//! Promises that a fault is shown with its files. Leaves which crate may name which to the crates' Cargo.toml, and what a
//! pure crate may call to its clippy.toml.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

#[path = "support/sources.rs"]
mod sources;

use sources::{files, root};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use syn::visit::{self, Visit};

/// Shells of the agent that a byte passes through. None may name another.
const STAGES: [&str; 3] = ["source", "deliver", "checkpoint"];

/// A module's file: what it imports under which name, and every path that it names outside of tests.
#[derive(Debug, Default)]
struct Module {
    imports: BTreeMap<String, Vec<String>>,
    paths: Vec<Vec<String>>,
    /// Modules that are written within the file, around what is being visited.
    inline: usize,
}

impl Module {
    fn of(source: &str) -> Self {
        let mut module = Self::default();
        module.visit_file(&syn::parse_file(source).unwrap());
        module
    }

    fn name(&mut self, path: Vec<String>) {
        let up = path.iter().take_while(|part| *part == "super").count();
        if self.inline == 0 || !matches!(path[0].as_str(), "super" | "self") {
            self.paths.push(path);
        } else if up > self.inline {
            self.paths.push(path[self.inline..].to_vec());
        }
    }

    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path.clone())),
            syn::UseTree::Glob(_) => self.name(path),
            syn::UseTree::Name(name) => self.import_as(&name.ident, &name.ident, path),
            syn::UseTree::Rename(name) => self.import_as(&name.ident, &name.rename, path),
        }
    }

    fn import_as(&mut self, name: &syn::Ident, known_as: &syn::Ident, mut path: Vec<String>) {
        if name != "self" {
            path.push(name.to_string());
        }
        let known_as = if known_as == "self" { path.last().cloned() } else { Some(known_as.to_string()) };
        if let (Some(known_as), 0) = (known_as, self.inline) {
            self.imports.insert(known_as, path.clone());
        }
        if !path.is_empty() {
            self.name(path);
        }
    }
}

/// Whether an item only exists in tests.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        other => other.path().is_ident("test"),
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.inline += 1;
        visit::visit_item_mod(self, module);
        self.inline -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, Vec::new());
    }

    /// `pub(in path)` names a place, and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// What a macro is given is no syntax yet, but a path in it is one all the same.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let text = call.tokens.to_string().replace(" :: ", "::");
        let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
        for path in text.split(|character| !is_part(character)).filter(|path| path.contains("::")) {
            let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
            if parts.iter().all(|part| !part.is_empty() && !part.contains(':')) {
                self.name(parts);
            }
        }
        visit::visit_macro(self, call);
    }
}

/// The modules of a crate by their path, `a::b`; the root is the empty one.
#[derive(Debug, Default)]
struct Modules {
    name: String,
    modules: BTreeMap<Vec<String>, Module>,
}

impl Modules {
    fn read(name: &str, folder: &Path) -> Self {
        let mut crate_ = Self { name: name.replace('-', "_"), ..Self::default() };
        let has_library = folder.join("lib.rs").exists();
        for file in files(folder, "rs") {
            let path = file.strip_prefix(folder).unwrap().with_extension("");
            let mut path: Vec<String> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
            assert_ne!(path.last().unwrap(), "mod", "{}: the file stands beside its folder", file.display());
            match path.last().map(String::as_str) {
                // Nobody can name the program beside a library.
                Some("main") if has_library && path.len() == 1 => continue,
                Some("lib" | "main") if path.len() == 1 => path.clear(),
                Some("tests") => continue,
                _ => {}
            }
            crate_.modules.insert(path, Module::of(&std::fs::read_to_string(&file).unwrap()));
        }
        crate_
    }

    /// The module that a path leads to, from within `from`, through what others import and offer again.
    fn target(&self, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let first = path.first()?.as_str();
        let up = path.iter().take_while(|part| *part == "super").count();
        let (mut at, rest) = match first {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (from.to_vec(), &path[1..]),
            "super" => (from[..from.len().checked_sub(up)?].to_vec(), &path[up..]),
            name if name == self.name => (Vec::new(), &path[1..]),
            _ if self.modules.contains_key(&[from, &path[..1]].concat()) => (from.to_vec(), path),
            _ => return None,
        };
        for (place, part) in rest.iter().enumerate() {
            let below = [&at[..], std::slice::from_ref(part)].concat();
            if self.modules.contains_key(&below) {
                at = below;
                continue;
            }
            let offered = self.modules.get(&at).and_then(|module| module.imports.get(part));
            if let (Some(offered), true) = (offered, depth > 0) {
                let whole = [&offered[..], &rest[place + 1..]].concat();
                return self.target(&at, &whole, depth - 1).or(Some(at));
            }
            break;
        }
        Some(at)
    }

    /// Which modules each module names. A module is one with those that it lies in: what a folder shares stands in the file
    /// beside it.
    fn arrows(&self) -> BTreeMap<&[String], BTreeSet<Vec<String>>> {
        let named = |(from, module): (&Vec<String>, &Module)| {
            let targets = module.paths.iter().filter_map(|path| self.target(from, path, 8));
            targets.filter(|to| !from.starts_with(to)).collect()
        };
        self.modules.iter().map(|entry| (&entry.0[..], named(entry))).collect()
    }

    /// The shortest circle through each module that lies on one.
    fn circles(&self) -> BTreeSet<String> {
        let arrows = self.arrows();
        let mut circles = BTreeMap::new();
        for start in self.modules.keys() {
            let (mut queue, mut came_from) = (VecDeque::from([start.clone()]), BTreeMap::<_, Vec<String>>::new());
            'search: while let Some(at) = queue.pop_front() {
                for next in arrows.get(&at[..]).into_iter().flatten() {
                    if next == start {
                        let mut circle = vec![at.clone()];
                        while circle.last() != Some(start) {
                            circle.push(came_from[circle.last().unwrap()].clone());
                        }
                        circle.reverse();
                        let members: BTreeSet<Vec<String>> = circle.iter().cloned().collect();
                        circles.entry(members).or_insert(circle);
                        break 'search;
                    }
                    if !came_from.contains_key(next) {
                        came_from.insert(next.clone(), at.clone());
                        queue.push_back(next.clone());
                    }
                }
            }
        }
        let shown = |circle: &Vec<Vec<String>>| {
            let names: Vec<String> = circle.iter().map(|path| path.join("::")).collect();
            format!("{}: {} → {}", self.name, names.join(" → "), names[0])
        };
        circles.values().map(shown).collect()
    }
}

/// The agent first.
fn crates() -> Vec<Modules> {
    let mut crates = vec![Modules::read("datalake-agent", &root().join("src"))];
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).unwrap();
        crates.push(Modules::read(name, &folder.join("src")));
    }
    crates
}

#[test]
fn no_files_of_a_crate_name_each_other_in_a_circle() {
    let circles: Vec<String> = crates().iter().flat_map(Modules::circles).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_stage_of_the_agent_names_another() {
    let agent = &crates()[0];
    let stage_of = |path: &[String]| STAGES.into_iter().find(|stage| path.first().is_some_and(|part| part == stage));
    assert!(STAGES.iter().all(|stage| agent.modules.contains_key(&[(*stage).to_owned()][..])));
    for (from, targets) in agent.arrows() {
        let Some(own) = stage_of(from) else { continue };
        for to in targets {
            assert!(stage_of(&to).is_none_or(|other| other == own), "{} names {}", from.join("::"), to.join("::"));
        }
    }
}

/// A crate of these modules, written as `path: source`.
fn made_of(modules: &[(&str, &str)]) -> Modules {
    let path = |path: &str| path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let modules = modules.iter().map(|(name, source)| (path(name), Module::of(source))).collect();
    Modules { name: "ours".to_owned(), modules }
}

#[test]
fn a_circle_is_found_however_it_is_spelt() {
    for source in [
        "use crate::a;",
        "use crate::a::Thing;",
        "use crate::{c, a::{self, Thing}};",
        "use super::a::*;",
        "fn f() -> crate::a::Thing { todo!() }",
        "fn f() { super::a::g::<u8>() }",
        "fn f() { println!(\"{}\", crate::a::LIMIT) }",
        "mod inner { use super::super::a::Thing; }",
        "use crate::Thing;",
        "use ours::a;",
        "impl crate::a::Thing for u8 {}",
        "#[cfg(test)] mod tests {} use crate::a;",
    ] {
        let crate_ = made_of(&[("", "pub use a::Thing;"), ("a", "use crate::b;"), ("b", source), ("c", "")]);
        assert_eq!(crate_.circles().into_iter().collect::<Vec<_>>(), ["ours: a → b → a"], "{source}");
    }
    let longer = made_of(&[("", ""), ("a", "use crate::b;"), ("b", "use crate::c;"), ("c", "use crate::a;")]);
    assert_eq!(longer.circles().into_iter().collect::<Vec<_>>(), ["ours: a → b → c → a"]);
}

#[test]
fn what_is_no_circle_is_left_alone() {
    for source in [
        "// use crate::a;\n/// [`crate::a`]\nconst A: &str = \"crate::a\";",
        "#[cfg(test)] mod tests { use crate::a; }",
        "#[cfg(test)] use crate::a::Thing;",
        "pub(in crate::a) fn f() {}",
        "use std::a; use other::a::Thing;",
        "mod inner { use super::X; } use self::inner::Y;",
        "use crate::b::c::Part; impl Part { fn f() {} }",
    ] {
        let crate_ = made_of(&[("", ""), ("a", "use crate::b;"), ("b", source), ("b::c", "use super::X;")]);
        assert_eq!(crate_.circles(), BTreeSet::new(), "{source}");
    }
}

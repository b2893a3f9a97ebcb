//! From a pattern to a program for the machine: one that may look around, refer back, and hold on to what it took.
//! Promises a program whose size is bounded, in which every loop that may match nothing is checked for progress.
//! Leaves the syntax to regex-syntax, and running to the machine.

use super::dialect::{self, Mark};
use regex_automata::util::look::Look;
use regex_syntax::hir::{self, Hir, HirKind};

/// Longer programs come from patterns that repeat something large many times.
const MOST_OPERATIONS: usize = 20_000;

/// A set of characters.
#[derive(Debug)]
pub(super) struct Class {
    /// One bit for each character of ASCII.
    ascii: u128,
    /// The others, in order.
    ranges: Box<[(char, char)]>,
}

impl Class {
    fn new(ranges: impl Iterator<Item = (char, char)>) -> Self {
        let (mut ascii, mut others) = (0, Vec::new());
        for (first, last) in ranges {
            for code in (u32::from(first)..=u32::from(last)).take_while(|code| *code < 128) {
                ascii |= 1 << code;
            }
            if !last.is_ascii() {
                others.push((first, last));
            }
        }
        Self { ascii, ranges: others.into() }
    }

    #[inline]
    pub(super) fn contains(&self, character: char) -> bool {
        if character.is_ascii() {
            return self.ascii >> u32::from(character) & 1 == 1;
        }
        let place = self.ranges.partition_point(|(_, last)| *last < character);
        self.ranges.get(place).is_some_and(|(first, _)| *first <= character)
    }
}

/// One operation. `back` reads to the left, as look-behind does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Character {
        character: char,
        back: bool,
    },
    Class {
        class: usize,
        back: bool,
    },
    /// As many characters of the class as there are, then fewer and fewer. `cell` numbers it in the memory of failures.
    Run {
        class: usize,
        back: bool,
        cell: usize,
    },
    Look(Look),
    /// Goes on at `first`, and if that fails at `second`.
    Split {
        first: usize,
        second: usize,
        cell: usize,
    },
    Jump(usize),
    Save(usize),
    /// Remembers where a round of a loop begins.
    Round(usize),
    /// Leaves the loop for `exit` where the round took nothing.
    Progress {
        round: usize,
        exit: usize,
    },
    /// What follows, up to its end, must match here (or must not), and takes nothing. `remembers`: no group lies within.
    Around {
        negated: bool,
        end: usize,
        remembers: bool,
    },
    /// What follows, up to its end, gives nothing back.
    Atomic {
        end: usize,
    },
    /// The end of such a part.
    End,
    Group {
        group: usize,
        back: bool,
    },
    Match,
}

/// A program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) operations: Vec<Operation>,
    pub(super) classes: Vec<Class>,
    /// Groups, the whole match among them.
    pub(super) groups: usize,
    pub(super) names: Vec<(String, usize)>,
    pub(super) rounds: usize,
    /// Places in the memory of failures for each byte of a text; `None` where what was matched before decides what
    /// matches later, so that a failure says nothing about the next attempt.
    pub(super) cells: Option<usize>,
    /// References disregard case.
    pub(super) casei: bool,
    /// Whether a match can begin only at the beginning of the text.
    pub(super) anchored: bool,
}

enum Node {
    Empty,
    Character(char),
    Class(usize),
    Look(Look),
    Concat(Vec<Self>),
    Alternatives(Vec<Self>),
    Repeat { node: Box<Self>, min: u32, max: Option<u32>, greedy: bool },
    Group(usize, Box<Self>),
    Around { negated: bool, behind: bool, node: Box<Self> },
    Atomic(Box<Self>),
    Reference(usize),
}

impl Program {
    /// The program of a rewritten pattern.
    pub(super) fn new(text: &str, marks: &[Mark]) -> Result<Self, String> {
        let hir =
            regex_syntax::ParserBuilder::new().crlf(true).build().parse(text).map_err(|error| error.to_string())?;
        let mut reader = Reader { marks, classes: Vec::new(), names: Vec::new(), groups: 1, references: false };
        collect_names(&hir, &mut reader);
        let node = reader.node(&hir)?;
        let mut writer = Writer { operations: Vec::new(), cells: 0, rounds: 0 };
        writer.write(&Node::Group(0, Box::new(node)), false)?;
        writer.push(Operation::Match)?;
        let Reader { classes, names, groups, references, .. } = reader;
        let Writer { operations, cells, rounds } = writer;
        Ok(Self {
            operations,
            classes,
            groups,
            names,
            rounds,
            cells: (!references).then_some(cells),
            casei: text.contains("(?i"),
            anchored: hir.properties().look_set_prefix().contains(hir::Look::Start),
        })
    }
}

fn collect_names(hir: &Hir, reader: &mut Reader<'_>) {
    if let HirKind::Capture(capture) = hir.kind() {
        reader.groups = reader.groups.max(capture.index as usize + 1);
        if let Some(name) = &capture.name {
            reader.names.push((name.to_string(), capture.index as usize));
        }
    }
    match hir.kind() {
        HirKind::Capture(hir::Capture { sub, .. }) | HirKind::Repetition(hir::Repetition { sub, .. }) => {
            collect_names(sub, reader);
        }
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().for_each(|sub| collect_names(sub, reader)),
        _ => {}
    }
}

struct Reader<'a> {
    marks: &'a [Mark],
    classes: Vec<Class>,
    names: Vec<(String, usize)>,
    groups: usize,
    references: bool,
}

impl Reader<'_> {
    fn node(&mut self, hir: &Hir) -> Result<Node, String> {
        Ok(match hir.kind() {
            HirKind::Concat(subs) => self.concat(subs)?,
            HirKind::Literal(_) => self.concat(std::slice::from_ref(hir))?,
            HirKind::Empty => Node::Empty,
            HirKind::Class(class) => self.class(class),
            HirKind::Look(look) => Node::Look(Look::from_repr(look.as_repr()).ok_or("it holds an unknown boundary")?),
            HirKind::Repetition(repetition) => Node::Repeat {
                node: Box::new(self.node(&repetition.sub)?),
                min: repetition.min,
                max: repetition.max,
                greedy: repetition.greedy,
            },
            HirKind::Capture(capture) => Node::Group(capture.index as usize, Box::new(self.node(&capture.sub)?)),
            HirKind::Alternation(subs) => {
                Node::Alternatives(subs.iter().map(|sub| self.node(sub)).collect::<Result<_, _>>()?)
            }
        })
    }

    fn class(&mut self, class: &hir::Class) -> Node {
        let class = match class {
            hir::Class::Unicode(class) => Class::new(class.iter().map(|range| (range.start(), range.end()))),
            hir::Class::Bytes(class) => {
                Class::new(class.iter().map(|range| (char::from(range.start()), char::from(range.end()))))
            }
        };
        self.classes.push(class);
        Node::Class(self.classes.len() - 1)
    }

    /// Parts one behind the other. Marks among the characters say where something begins and ends that the syntax does
    /// not know.
    fn concat(&mut self, subs: &[Hir]) -> Result<Node, String> {
        let mut open: Vec<(usize, Vec<Node>)> = Vec::new();
        let mut nodes = Vec::new();
        for sub in subs {
            let HirKind::Literal(hir::Literal(bytes)) = sub.kind() else {
                nodes.push(self.node(sub)?);
                continue;
            };
            for character in std::str::from_utf8(bytes).map_err(|_| "it holds bytes that are no text")?.chars() {
                match dialect::mark(character) {
                    None => nodes.push(Node::Character(character)),
                    Some(dialect::Place::Begin(mark)) => open.push((mark, std::mem::take(&mut nodes))),
                    Some(dialect::Place::End(mark)) => {
                        let (begun, before) =
                            open.pop().filter(|(begun, _)| *begun == mark).ok_or("its groups cross")?;
                        let inside = std::mem::replace(&mut nodes, before);
                        nodes.push(self.marked(begun, Node::Concat(inside))?);
                    }
                }
            }
        }
        if !open.is_empty() {
            return Err("its groups cross".to_owned());
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Concat(nodes) })
    }

    fn marked(&mut self, mark: usize, node: Node) -> Result<Node, String> {
        let node = Box::new(node);
        let mark = self.marks.get(mark).ok_or("its groups cross")?;
        Ok(match mark {
            Mark::Around { negated, behind } => Node::Around { negated: *negated, behind: *behind, node },
            Mark::Atomic => Node::Atomic(node),
            Mark::Number(group) => self.reference(Some(*group), &group.to_string())?,
            Mark::Name(name) => {
                let group = self.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group);
                self.reference(group, name)?
            }
        })
    }

    fn reference(&mut self, group: Option<usize>, name: &str) -> Result<Node, String> {
        self.references = true;
        let group = group.filter(|group| *group < self.groups);
        group.map(Node::Reference).ok_or_else(|| format!("there is no group {name} to refer back to"))
    }
}

/// Whether it may match nothing.
fn may_be_empty(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Look(_) | Node::Around { .. } | Node::Reference(_) => true,
        Node::Character(_) | Node::Class(_) => false,
        Node::Concat(nodes) => nodes.iter().all(may_be_empty),
        Node::Alternatives(nodes) => nodes.iter().any(may_be_empty),
        Node::Repeat { node, min, .. } => *min == 0 || may_be_empty(node),
        Node::Group(_, node) | Node::Atomic(node) => may_be_empty(node),
    }
}

fn has_group(node: &Node) -> bool {
    match node {
        Node::Group(..) => true,
        Node::Empty | Node::Look(_) | Node::Reference(_) | Node::Character(_) | Node::Class(_) => false,
        Node::Concat(nodes) | Node::Alternatives(nodes) => nodes.iter().any(has_group),
        Node::Repeat { node, .. } | Node::Atomic(node) | Node::Around { node, .. } => has_group(node),
    }
}

struct Writer {
    operations: Vec<Operation>,
    cells: usize,
    rounds: usize,
}

impl Writer {
    fn push(&mut self, operation: Operation) -> Result<usize, String> {
        if self.operations.len() >= MOST_OPERATIONS {
            return Err("it repeats something large too many times".to_owned());
        }
        self.operations.push(operation);
        Ok(self.operations.len() - 1)
    }

    fn cell(&mut self) -> usize {
        self.cells += 1;
        self.cells - 1
    }

    fn write(&mut self, node: &Node, back: bool) -> Result<(), String> {
        match node {
            Node::Empty => {}
            Node::Character(character) => {
                self.push(Operation::Character { character: *character, back })?;
            }
            Node::Class(class) => {
                self.push(Operation::Class { class: *class, back })?;
            }
            Node::Look(look) => {
                self.push(Operation::Look(*look))?;
            }
            Node::Concat(nodes) if back => nodes.iter().rev().try_for_each(|node| self.write(node, back))?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.write(node, back))?,
            Node::Alternatives(nodes) => self.alternatives(nodes, back)?,
            Node::Repeat { node, min, max, greedy } => self.repeat(node, *min, *max, *greedy, back)?,
            Node::Group(group, node) => {
                self.push(Operation::Save(2 * group + usize::from(back)))?;
                self.write(node, back)?;
                self.push(Operation::Save(2 * group + usize::from(!back)))?;
            }
            Node::Around { negated, behind, node } => {
                let remembers = !has_group(node);
                let begin = self.push(Operation::Around { negated: *negated, end: 0, remembers })?;
                self.write(node, *behind)?;
                let end = self.push(Operation::End)?;
                self.operations[begin] = Operation::Around { negated: *negated, end, remembers };
            }
            Node::Atomic(node) => {
                let begin = self.push(Operation::Atomic { end: 0 })?;
                self.write(node, back)?;
                let end = self.push(Operation::End)?;
                self.operations[begin] = Operation::Atomic { end };
            }
            Node::Reference(group) => {
                self.push(Operation::Group { group: *group, back })?;
            }
        }
        Ok(())
    }

    fn alternatives(&mut self, nodes: &[Node], back: bool) -> Result<(), String> {
        let mut jumps = Vec::new();
        let Some((last, before)) = nodes.split_last() else { return Ok(()) };
        for node in before {
            let cell = self.cell();
            let split = self.push(Operation::Split { first: 0, second: 0, cell })?;
            self.write(node, back)?;
            jumps.push(self.push(Operation::Jump(0))?);
            self.operations[split] = Operation::Split { first: split + 1, second: self.operations.len(), cell };
        }
        self.write(last, back)?;
        for jump in jumps {
            self.operations[jump] = Operation::Jump(self.operations.len());
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greedy: bool, back: bool) -> Result<(), String> {
        for _ in 0..min {
            self.write(node, back)?;
        }
        let Some(max) = max else { return self.endless(node, greedy, back) };
        let mut splits = Vec::new();
        for _ in min..max {
            let cell = self.cell();
            splits.push((self.push(Operation::Split { first: 0, second: 0, cell })?, cell));
            self.write(node, back)?;
        }
        let exit = self.operations.len();
        for (split, cell) in splits {
            self.operations[split] = Self::split(split + 1, exit, greedy, cell);
        }
        Ok(())
    }

    fn endless(&mut self, node: &Node, greedy: bool, back: bool) -> Result<(), String> {
        if let (Node::Class(class), true) = (node, greedy) {
            let cell = self.cell();
            self.push(Operation::Run { class: *class, back, cell })?;
            return Ok(());
        }
        let cell = self.cell();
        let split = self.push(Operation::Split { first: 0, second: 0, cell })?;
        let round = may_be_empty(node).then(|| {
            self.rounds += 1;
            self.rounds - 1
        });
        if let Some(round) = round {
            self.push(Operation::Round(round))?;
        }
        self.write(node, back)?;
        let progress = round.map(|round| self.push(Operation::Progress { round, exit: 0 })).transpose()?;
        self.push(Operation::Jump(split))?;
        let exit = self.operations.len();
        if let (Some(round), Some(progress)) = (round, progress) {
            self.operations[progress] = Operation::Progress { round, exit };
        }
        self.operations[split] = Self::split(split + 1, exit, greedy, cell);
        Ok(())
    }

    fn split(inside: usize, exit: usize, greedy: bool, cell: usize) -> Operation {
        let (first, second) = if greedy { (inside, exit) } else { (exit, inside) };
        Operation::Split { first, second, cell }
    }
}

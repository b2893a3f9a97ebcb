//! A log, a rotation of it, and a question about that: what single decisions are tried on.
//! Promises that everything is as in a core that runs, but for what a story changes.
//! Leaves whole worlds to `cases` and `worlds`.

use super::identify::{Question, Stage};
use super::{Due, Tail};
use crate::Packing;
use crate::content::{Content, NEVER};
use crate::places::{File, NONE, Standing};
use crate::proof::WINDOW;
use crate::seen::{FlowId, Moment, Part, Sample, Status};
use crate::todo::{Again, Loss, Notice, ToDo};
use crate::worlds::text;
use datalake_base::record::FileKey;
use std::cmp::Reverse;
use std::ops::Range;
use std::path::Path;

/// When the stories happen.
pub(super) const NOW: Moment = Moment(500_000_000);

/// `/l/a.log` is followed since long ago; `/l/a.log.1` came 50 seconds ago, and nobody knows yet what it holds.
pub(super) struct Scene {
    pub(super) tail: Tail,
    pub(super) log: u32,
    pub(super) content: u32,
    pub(super) rotation: u32,
    pub(super) todo: Vec<ToDo>,
}

impl Scene {
    /// These bytes are in the log, of which the first `read` were read.
    pub(super) fn new(bytes: &[u8], read: usize) -> Self {
        let flows = vec![crate::FlowSettings::default()];
        let mut tail = Tail::new(crate::Settings { flows, ..crate::Settings::default() });
        (tail.now, tail.started, tail.begun) = (NOW, Some(NONE), true);
        tail.flows[0].gauge.files = 1;
        let mut scene = Self { tail, log: NONE, content: NONE, rotation: NONE, todo: Vec::new() };
        scene.log = scene.file("a.log", bytes.len() as u64, true);
        scene.rotation = scene.file("a.log.1", bytes.len() as u64, false);
        let mut content = Content::new(1, Some(FlowId(0)), Moment(1_000_000));
        (content.file, content.read, content.settled) = (scene.log, read as u64, read as u64);
        (content.known, content.sure) = (bytes.len() as u64, bytes.len() as u64);
        if read > 0 {
            content.proof.advance(0, 0, &bytes[..read]);
        }
        scene.content = scene.tail.contents.all.insert(content);
        scene.tail.contents.index(scene.content, [None; 2]);
        scene.file_at(scene.log).standing = Standing::Holds(scene.content);
        scene
    }

    /// A new file with this name beside the log.
    pub(super) fn file(&mut self, name: &str, size: u64, is_live: bool) -> u32 {
        self.file_in("/l", name, size, is_live)
    }

    pub(super) fn file_in(&mut self, folder: &str, name: &str, size: u64, is_live: bool) -> u32 {
        let folder = self.tail.places.folder(Path::new(folder));
        let inode = 7 + self.tail.places.files.iter().count() as u64;
        let key = FileKey { device: 1, inode, born: 5 };
        let file = self.tail.places.insert_file(&Status { key, size, ..Status::default() }, NOW);
        let name = self.tail.places.insert_name(folder, name.as_bytes().into(), file);
        if let Some(name) = self.tail.places.names.get_mut(name) {
            (name.is_live, name.is_matched, name.flow) = (is_live, is_live, Some(FlowId(0)));
        }
        let entry = self.file_at(file);
        (entry.since, entry.last_folder, entry.standing) = (450, folder, Standing::Unproven);
        file
    }

    pub(super) fn file_at(&mut self, file: u32) -> &mut File {
        self.tail.places.files.get_mut(file).unwrap()
    }

    pub(super) fn content_at(&mut self, content: u32) -> &mut Content {
        self.tail.contents.get_mut(content).unwrap()
    }

    /// The content of the log.
    pub(super) fn it(&mut self) -> &mut Content {
        self.content_at(self.content)
    }

    /// What a file answers that holds these bytes, asked for these ranges.
    pub(super) fn sample(&mut self, file: u32, bytes: &[u8], ranges: &[Range<u64>]) -> Sample {
        let within = |place: u64| (place as usize).min(bytes.len());
        let part = |range: &Range<u64>| Part {
            range: range.clone(),
            bytes: bytes[within(range.start)..within(range.end)].to_vec(),
        };
        let status = Status { key: self.file_at(file).key, size: bytes.len() as u64, ..Status::default() };
        Sample { status, parts: ranges.iter().map(part).collect(), ..Sample::default() }
    }

    /// The rotation was asked what it holds, and begins like this.
    pub(super) fn question(&mut self, beginning: &[u8]) -> Box<Question> {
        let whole = 0..WINDOW;
        Box::new(Question {
            file: self.rotation,
            packing: None,
            place_packing: None,
            stage: Stage::Beginning,
            family: Some(7),
            beginning: self.sample(self.rotation, beginning, std::slice::from_ref(&whole)),
            alike: Vec::new(),
            tail: None,
            sample: Sample::default(),
            size: Some(beginning.len() as u64),
            doubt: 0,
            covers: NONE,
            from: None,
            rounds: 0,
            alike_bytes: 0,
            looked: true,
        })
    }

    /// What came of the question about the rotation.
    pub(super) fn outcome(&self) -> Outcome {
        let due = self.tail.due.iter().find_map(|Reverse((at, due))| {
            (*due == Due::File(self.rotation)).then(|| Outcome::Waits(at.ms_since(self.tail.now)))
        });
        let asked = self.todo.iter().any(|todo| matches!(todo, ToDo::Sample { .. }));
        match self.tail.places.files.get(self.rotation).unwrap().standing {
            _ if due.is_some() => due.unwrap(),
            Standing::Holds(content) => Outcome::Holds(content),
            Standing::Ignored => Outcome::Stranger,
            _ if asked => Outcome::AsksOn,
            _ => Outcome::Nothing,
        }
    }

    /// What was said of bytes that are sent again.
    pub(super) fn said(&self) -> Option<(u64, Again)> {
        self.todo.iter().find_map(|todo| match todo {
            ToDo::Say(Notice::ReadAgain { bytes, reason, .. }) => Some((*bytes, *reason)),
            _ => None,
        })
    }

    /// A log of a moment ago, of which these bytes were read, is looked for.
    pub(super) fn sought(&mut self, bytes: &[u8]) -> u32 {
        let folder = self.tail.places.folder(Path::new("/l"));
        let mut content = Content::new(2, Some(FlowId(0)), NOW);
        (content.read, content.settled) = (bytes.len() as u64, bytes.len() as u64);
        (content.known, content.sure) = (bytes.len() as u64, bytes.len() as u64);
        content.home = Some(Box::new((folder, b"a.log".as_slice().into())));
        if !bytes.is_empty() {
            content.proof.advance(0, 0, bytes);
        }
        let content = self.tail.contents.all.insert(content);
        let mut todo = Vec::new();
        self.tail.lose(content, &mut todo);
        content
    }
}

/// What becomes of a file that was asked what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is asked again after this many milliseconds.
    Waits(u64),
    Holds(u32),
    Stranger,
    AsksOn,
    Nothing,
}

/// Four lines, of which nobody can tell a copy.
pub(super) fn few() -> Vec<u8> {
    text('x', 0..4)
}

/// Enough lines to know a copy by.
pub(super) fn many() -> Vec<u8> {
    text('x', 0..40)
}

/// The file of the content is open.
pub(super) fn open(scene: &mut Scene) {
    let number = scene.content;
    let slot = scene.tail.slots.len() as u32;
    scene.tail.slots.push(Some((number, false)));
    scene.tail.opened.push_back(number);
    scene.it().slot = slot;
}

pub(super) fn nameless(scene: &mut Scene) {
    scene.tail.places.remove_name(0);
}

pub(super) fn pack(scene: &mut Scene) {
    scene.file_at(scene.log).packing = Some(Packing::Gzip);
}

/// After how many milliseconds the content is looked at again.
pub(super) fn timed(scene: &mut Scene) -> Option<u64> {
    let (timed, now) = (scene.it().timed, scene.tail.now);
    (timed != NEVER).then(|| timed.ms_since(now))
}

pub(super) fn closes(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::Close { .. }))
}

pub(super) fn ends(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::End { .. }))
}

pub(super) fn lost(scene: &Scene) -> Option<(u64, Loss)> {
    scene.todo.iter().find_map(|todo| match todo {
        ToDo::Say(Notice::Destroyed { bytes, reason, .. }) => Some((*bytes, *reason)),
        _ => None,
    })
}

/// An answer to a read: of these bytes, of a file of this size and with this number of names.
pub(super) fn reads(scene: &mut Scene, bytes: &[u8], size: u64, names: u32, end: bool) {
    let overlap = scene.it().read.min(WINDOW);
    let status = Status { key: scene.file_at(scene.log).key, size, names, ..Status::default() };
    let number = scene.content;
    scene.tail.was_read(number, FlowId(0), overlap, bytes, &status, end, &mut scene.todo);
}

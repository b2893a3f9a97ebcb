//! What a file holds that nobody knows yet: by its first bytes, then by those of what begins alike.
//! Promises that no file is read before it is clear whether it holds something known, no archive is unpacked without a
//! reason, and no log stays unknown while older files of its family wait.
//! Leaves comparing to `Proof`, and reading to `turns` and `read`.

use super::{AGAIN, AT_A_TIME, Due, Job, Tail};
use crate::places::{File, NONE, Standing, seconds};
use crate::proof::WINDOW;
use crate::seen::{ArchiveFault, Failure, Kind, Packing, Sample};
use crate::todo::{Notice, ToDo};
use std::collections::BTreeSet;
use std::ops::Range;

/// A file that changed within this many seconds may still be growing.
pub(super) const GROWING: u32 = 2;

/// For this many seconds after a change, a file holds back younger files of its family.
const HOLD_BACK: u32 = 10;

/// Something else has to be found out first, in milliseconds.
pub(super) const SOON: u64 = 20;

/// Milliseconds until an incomplete archive is tried again, and attempts without a change before it is given up.
const NOT_WHOLE: u64 = 1_000;
const MOST_ATTEMPTS: u8 = 6;

/// A file that is asked what it holds, and what it has answered so far.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) file: u32,
    pub(super) packing: Option<Packing>,
    /// The same of the file that it is compared with.
    pub(super) place_packing: Option<Packing>,
    pub(super) stage: Stage,
    /// The family that waits for it; none waits for a log that is looked at before its turn.
    pub(super) family: Option<u64>,
    pub(super) beginning: Sample,
    /// Contents that begin alike and were not compared yet, the next at the end.
    pub(super) alike: Vec<u32>,
    /// Bytes that both have and nobody has read yet.
    pub(super) tail: Option<Range<u64>>,
    /// The newest sample of the file.
    pub(super) sample: Sample,
    pub(super) size: Option<u64>,
    /// The number of equal bytes that could have been written twice.
    pub(super) doubt: u64,
    /// Those of this content, which is sought: what is sent in doubt is not destroyed.
    pub(super) covers: u32,
    /// It is equal to that content up to there.
    pub(super) from: Option<(u32, u64)>,
    pub(super) rounds: u8,
    /// The number of bytes with which it begins like what is known too little to be compared: worth a word, and no reason
    /// to read what is nobody's.
    pub(super) alike_bytes: u64,
    /// What lies at the log's own name was looked at since it was found that nothing known lies in the file.
    pub(super) looked: bool,
}

impl Question {
    /// Whether the file begins as it did when it was asked first, as far as the sample tells.
    fn still_begins(&self, sample: &Sample) -> bool {
        let Some(first) = self.beginning.parts.first() else { return true };
        let Some(now) = sample.parts.iter().filter(|part| part.range.start == 0).max_by_key(|part| part.range.end)
        else {
            return sample.packed || sample.status.size >= first.bytes.len() as u64;
        };
        let common = first.bytes.len().min(usize::try_from(now.range.end).unwrap_or(usize::MAX));
        now.bytes.get(..common) == Some(&first.bytes[..common])
    }

    /// Where an archive is asked whether it goes on: behind what is known to be there, and behind what was read.
    pub(super) fn ends(&self, read: u64) -> impl Iterator<Item = u64> + use<> {
        self.tail.as_ref().map(|tail| tail.end).into_iter().chain([read])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Beginning,
    Unpacked,
    Compare(u32),
    Tail(u32),
    /// Does the content still lie where it is thought to lie?
    Place(u32),
    LastLine,
    /// What lies at the name of the log, of which the file may be a rotation?
    Log(u32),
}

impl Tail {
    /// The file is to be asked what it holds.
    pub(super) fn prove(&mut self, number: u32) {
        let flow = self.flow_of_file(number);
        let owned = flow.is_some_and(|flow| self.is_owned(flow));
        let Some(file) = self.places.files.get_mut(number) else { return };
        if !matches!(file.standing, Standing::Holds(_)) || !owned {
            file.standing = Standing::Unproven;
        }
        if file.queued || file.asked {
            return;
        }
        if let (true, Some(flow)) = (owned, flow) {
            self.new_content(number, flow, 0, None);
            return;
        }
        file.queued = true;
        self.unproven.insert((self.age_of(number), number));
    }

    pub(super) fn ask_again(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        self.waiting.remove(&number);
        if self.heir_waits(number, todo) {
            return;
        }
        if let Some(file) = self.places.files.get(number)
            && file.standing == Standing::Unproven
        {
            self.prove(number);
        } else if let Some(Standing::Holds(content)) = self.places.files.get(number).map(|file| file.standing) {
            self.enqueue(content);
        }
    }

    fn wait_for_file(&mut self, number: u32, milliseconds: u64) {
        self.waiting.insert(number);
        self.at(milliseconds, Due::File(number));
    }

    /// Whether files wait for more than the right to be read.
    pub(super) fn files_wait(&self) -> bool {
        self.waiting.iter().any(|file| self.places.files.get(*file).is_some_and(|file| !file.refused))
    }

    /// Asks as many files as may be asked at a time.
    pub(super) fn ask_unproven(&mut self, todo: &mut Vec<ToDo>) {
        if self.starved || self.samples >= self.settings.limits.samples {
            return;
        }
        let mut asked = Vec::new();
        let looked_at: Vec<(u64, u32)> = self.unproven.iter().take(AT_A_TIME).copied().collect();
        for (age, number) in looked_at {
            if self.samples >= self.settings.limits.samples {
                break;
            }
            let Some(file) = self.places.files.get(number).filter(|file| file.standing == Standing::Unproven) else {
                asked.push((age, number));
                continue;
            };
            if file.size == 0 {
                // Nothing can be said of it before something is in it.
                asked.push((age, number));
                continue;
            }
            if age == u64::MAX && self.is_looking_round() {
                continue;
            }
            let family = self.family_of(number);
            let listing = |folder: u32| {
                self.places.folders.get(folder).is_some_and(|folder| folder.listing.is_some() && folder.seen < 10_000)
            };
            if self.families_asked.contains(&family) || listing(file.last_folder) {
                continue;
            }
            // A log is looked at all the same: it may be put away under any name meanwhile, and what is known is found.
            let waits = self.waits_for_older(age, family);
            if waits && !(age == u64::MAX && self.is_live(number)) {
                continue;
            }
            asked.push((age, number));
            let family = (!waits).then_some(family);
            self.families_asked.extend(family);
            let question = Question {
                file: number,
                packing: None,
                place_packing: None,
                stage: Stage::Beginning,
                family,
                beginning: Sample::default(),
                alike: Vec::new(),
                tail: None,
                sample: Sample::default(),
                size: None,
                doubt: 0,
                covers: NONE,
                from: None,
                rounds: 0,
                alike_bytes: 0,
                looked: false,
            };
            if let Some(file) = self.places.files.get_mut(number) {
                file.asked = true;
            }
            self.ask_file(Box::new(question), one(0..WINDOW), todo);
        }
        for (age, number) in asked {
            self.unproven.remove(&(age, number));
            if let Some(file) = self.places.files.get_mut(number) {
                file.queued = false;
            }
        }
        if !self.unproven.is_empty() && self.samples == 0 {
            self.at(20, Due::Work);
        }
    }

    /// Whether the first look at everything is not over: older rotations may come to light.
    fn is_looking_round(&self) -> bool {
        let patience = self.now.ms_since(self.started_at) < 3_000;
        patience && self.started.is_some_and(|from| from < NONE)
    }

    /// Whether an older file of the family is to be asked again soon: it is then the first to be read.
    fn waits_for_older(&self, age: u64, family: u64) -> bool {
        let now = seconds(self.now);
        self.waiting.iter().any(|other| {
            let recent = |file: &File| !file.refused && now < file.changed_at + HOLD_BACK;
            let recent = self.places.files.get(*other).is_some_and(recent);
            recent && self.family_of(*other) == family && self.age_of(*other) < age
        })
    }

    /// Whether older files of the family of this one are asked what they hold, or will be soon.
    pub(super) fn older_are_asked(&self, number: u32) -> bool {
        let (age, family) = (self.age_of(number), self.family_of(number));
        self.families_asked.contains(&family)
            || self.waits_for_older(age, family)
            || self.unproven.range(..(age, 0)).take(AT_A_TIME).any(|(_, other)| self.family_of(*other) == family)
    }

    /// Asks the file itself.
    pub(super) fn ask_file(&mut self, question: Box<Question>, ranges: Vec<Range<u64>>, todo: &mut Vec<ToDo>) {
        let packing = question.packing;
        if packing.is_some() && self.decoders >= self.settings.limits.decoders {
            return self.wait_for_decoder(&question);
        }
        let Some(path) = self.places.path_of(question.file) else { return self.drop_question(&question) };
        self.samples += 1;
        self.decoders += usize::from(packing.is_some());
        let ticket = self.ask(Job::Identify(question));
        todo.push(ToDo::Sample { ticket, slot: None, path, packing, ranges });
    }

    pub(super) fn end_sample(&mut self, question: &Question) {
        self.samples -= 1;
        let elsewhere = matches!(question.stage, Stage::Place(_) | Stage::Log(_));
        let packing = if elsewhere { question.place_packing } else { question.packing };
        if packing.is_some() {
            self.give_decoder_back();
        }
    }

    /// The question is over.
    pub(super) fn drop_question(&mut self, question: &Question) {
        self.families_asked.retain(|family| Some(*family) != question.family);
        if let Some(file) = self.places.files.get_mut(question.file) {
            file.asked = false;
        }
    }

    /// It is asked again as soon as a decoder is free.
    pub(super) fn wait_for_decoder(&mut self, question: &Question) {
        self.for_decoder.insert(question.file);
        self.put_off(question, AGAIN);
    }

    /// It is asked again later, from the beginning.
    pub(super) fn put_off(&mut self, question: &Question, milliseconds: u64) {
        self.drop_question(question);
        self.wait_for_file(question.file, milliseconds);
    }

    pub(super) fn identify_failed(&mut self, question: &Question, failure: Failure, todo: &mut Vec<ToDo>) {
        let number = question.file;
        if let Stage::Place(content) | Stage::Log(content) = question.stage {
            // It was another file that failed. Where its name is gone, no event has said so.
            let place = self.contents.get(content).filter(|_| failure == Failure::Missing).map(|content| content.file);
            let last = place.and_then(|file| self.places.files.get(file)).map(|file| file.last_folder);
            let folders: BTreeSet<u32> = place
                .into_iter()
                .flat_map(|file| self.places.names_of(file))
                .map(|name| name.folder)
                .chain(last)
                .collect();
            folders.into_iter().for_each(|folder| self.list_in_turn(folder, false));
            return self.put_off(question, AGAIN);
        }
        match failure {
            Failure::NoDecoder => self.put_off(question, AGAIN / 4),
            Failure::NoResource | Failure::Stale => self.put_off(question, AGAIN),
            Failure::Missing => {
                self.put_off(question, AGAIN);
                if let Some(folder) = self.places.files.get(number).map(|file| file.last_folder) {
                    self.list_in_turn(folder, false);
                }
            }
            Failure::Denied | Failure::Refused | Failure::System { .. } => {
                self.drop_question(question);
                let flow = self.flow_of_file(number);
                self.refuse(number, flow, failure, todo);
            }
            Failure::Archive(ArchiveFault::NotWhole) => {
                let now = seconds(self.now);
                let Some(file) = self.places.files.get_mut(number) else { return self.drop_question(question) };
                file.attempts += 1;
                if file.attempts < MOST_ATTEMPTS || now < file.changed_at + 10 {
                    file.attempts = file.attempts.min(MOST_ATTEMPTS);
                    self.put_off(question, NOT_WHOLE);
                } else {
                    self.drop_question(question);
                    self.skip_archive(number, ArchiveFault::NotWhole, todo);
                }
            }
            Failure::Archive(fault) => {
                self.drop_question(question);
                self.skip_archive(number, fault, todo);
            }
        }
    }

    /// The archive is not read; said where anybody expected it to be.
    pub(super) fn skip_archive(&mut self, number: u32, fault: ArchiveFault, todo: &mut Vec<ToDo>) {
        let (flow, path) = (self.flow_of_file(number), self.places.path_of(number));
        self.end_heir(number);
        let Some(file) = self.places.files.get_mut(number) else { return };
        let known = std::mem::replace(&mut file.standing, Standing::Skipped) == Standing::Skipped;
        if let (Some(flow), Some(path), false) = (flow, path, known) {
            todo.push(ToDo::Say(Notice::ArchiveSkipped { flow, path, bytes: file.size, fault }));
        }
    }

    /// The file has answered, or the place of a content that it is compared with has.
    pub(super) fn answered(&mut self, mut question: Box<Question>, sample: Sample, todo: &mut Vec<ToDo>) {
        let number = question.file;
        let now = seconds(self.now);
        if let Stage::Place(content) = question.stage {
            return self.place_answered(question, content, &sample, todo);
        }
        if let Stage::Log(content) = question.stage {
            return self.log_answered(question, content, &sample, todo);
        }
        let Some(file) = self.places.files.get_mut(number) else { return self.drop_question(&question) };
        if file.standing != Standing::Unproven {
            return self.drop_question(&question);
        }
        if sample.status.key != file.key {
            // Its name leads elsewhere by now.
            let folder = file.last_folder;
            self.put_off(&question, SOON);
            return self.list_in_turn(folder, false);
        }
        if file.size != sample.status.size {
            (file.size, file.changed_at, file.attempts) = (sample.status.size, now, 0);
        }
        let growing = now < file.changed_at + GROWING;
        self.readable(number, todo);
        if !question.still_begins(&sample) {
            // It was written anew since it was asked first.
            return self.put_off(&question, SOON);
        }
        match question.stage {
            Stage::Beginning => {
                let Some(file) = self.places.files.get_mut(number) else { return };
                match sample.kind {
                    Kind::Undecided if growing => return self.put_off(&question, AGAIN / 2),
                    Kind::Packed(Packing::Other) => {
                        self.drop_question(&question);
                        return self.skip_archive(number, ArchiveFault::Unsupported, todo);
                    }
                    Kind::Packed(packing) => {
                        file.packing = Some(packing);
                        question.packing = Some(packing);
                        question.stage = Stage::Unpacked;
                        return self.ask_file(question, one(0..WINDOW), todo);
                    }
                    Kind::Plain | Kind::Undecided => file.packing = None,
                }
                self.began(question, sample, todo);
            }
            Stage::Unpacked => {
                if sample.kind != Kind::Plain {
                    self.drop_question(&question);
                    return self.skip_archive(number, ArchiveFault::Unsupported, todo);
                }
                self.began(question, sample, todo);
            }
            Stage::Compare(content) => self.compare(question, content, sample, todo),
            Stage::Tail(content) => {
                question.sample = sample;
                self.ask_place(question, content, todo);
            }
            Stage::LastLine => self.follow_from_end(&question, &sample),
            Stage::Place(_) | Stage::Log(_) => {}
        }
    }
}

pub(super) fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

#[cfg(test)]
mod stories;

//! One flow of the Kinesis Agent said in our words.
//! Promises a flow that sends what it sent, in records as it made them, or a note why there is none.
//! Leaves what is done with each record to `options`.

use super::OldFlow;
use super::options;
use crate::migrate::notes::Notes;
use crate::migrate::pattern::OldPattern;
use crate::migrate::section::{Refused, Section};
use serde_json::{Map, Value};

/// The most bytes in a call, there.
const FIREHOSE_CALL: i64 = 4_194_304;
const KINESIS_CALL: i64 = 5_242_880;

/// The flow, and how it is known there.
pub(super) fn translate(section: &Section<'_>, notes: &mut Notes) -> Result<(Map<String, Value>, OldFlow), Refused> {
    let mut ours = Map::new();
    // Everything is looked at before giving up, so that all is said at once.
    let old = pattern(section, &mut ours, notes);
    let stream = stream(section, &mut ours, notes);
    let rest = [
        position(section, &mut ours, notes),
        numbers(section, &mut ours, notes),
        texts(section, &mut ours, notes),
        records(section, &mut ours, notes),
        options::translate(section, &mut ours, notes),
    ];
    let (old, stream) = (old?, stream?);
    rest.into_iter().collect::<Result<(), Refused>>()?;
    let id = format!("{stream}:{}", old.printed());
    Ok((ours, OldFlow { id, folder: old.folder.into() }))
}

fn pattern(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<OldPattern, Refused> {
    let place = section.place("filePattern");
    let Some(text) = section.text("filePattern", notes)? else {
        notes.blocks(place, "it is missing; the Kinesis Agent does not start without it");
        return Err(Refused);
    };
    let refused = |reason: &str, notes: &mut Notes| notes.blocks(&place, format!("{text:?}: {reason}"));
    let old = OldPattern::parse(&text).map_err(|reason| {
        refused(reason, notes);
        Refused
    })?;
    let new = old.translated().map_err(|reason| {
        refused(reason, notes);
        Refused
    })?;
    if new.wild_folder {
        notes.differs(
            &place,
            format!("{text:?} matched nothing there, because wildcards work in the last name only; here they work in folders \
                     too, so files are found now, and are read from their end on"),
        );
    }
    if new.texts != [text.clone()] && !new.wild_folder {
        notes.same(&place, format!("{text:?} is written {} now and matches the same files", new.texts.join(", ")));
    }
    ours.insert(
        "filePattern".to_owned(),
        match new.texts.as_slice() {
            [one] => one.clone().into(),
            several => several.into(),
        },
    );
    if old.may_match_zip() {
        let exclude: Vec<Value> =
            vec![format!("{}/*.[zZ][iI][pP]", new.texts[0].rsplit_once('/').map_or("", |(folder, _)| folder)).into()];
        ours.insert("exclude".to_owned(), Value::Array(exclude));
        notes.differs(
            &place,
            "names that end in .zip are still left out, by `exclude`; those in .gz and .bz2 are no longer: when a log is \
             compressed before it was read to its end, the rest is read out of the archive, and what is known is not sent again",
        );
    }
    Ok(old)
}

/// The stream; what comes back is the beginning of the flow's name there.
fn stream(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<String, Refused> {
    let firehose = section.text("deliveryStream", notes)?;
    let kinesis = section.text("kinesisStream", notes)?;
    match (firehose, kinesis) {
        (Some(stream), kinesis) => {
            if kinesis.is_some() {
                let words = "left out: with `deliveryStream` beside it the Kinesis Agent did not look at it";
                notes.same(section.place("kinesisStream"), words);
            }
            if section.value("partitionKeyOption").is_some() {
                notes.same(section.place("partitionKeyOption"), "left out: Firehose knows no partition keys");
            }
            ours.insert("deliveryStream".to_owned(), stream.clone().into());
            Ok(format!("fh:{stream}"))
        }
        (None, Some(stream)) => {
            ours.insert("kinesisStream".to_owned(), stream.clone().into());
            let key = section.choice("partitionKeyOption", &["RANDOM", "DETERMINISTIC"], notes)?.unwrap_or("RANDOM");
            ours.insert("partitionKeyOption".to_owned(), key.into());
            ours.insert("aggregation".to_owned(), "none".into());
            if key == "DETERMINISTIC" {
                let words = "the key is the hash of the record; the Kinesis Agent often hashed its whole buffer, so that equal \
                             records had different keys";
                notes.differs(section.place("partitionKeyOption"), words);
            }
            Ok(format!("kinesis:{stream}"))
        }
        (None, None) => {
            let words =
                "neither `deliveryStream` nor `kinesisStream` is there; the Kinesis Agent does not start with it";
            notes.blocks(section.place("deliveryStream"), words);
            Err(Refused)
        }
    }
}

fn position(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<(), Refused> {
    let given = section.choice("initialPosition", &["START_OF_FILE", "END_OF_FILE"], notes)?;
    let position = given.unwrap_or("END_OF_FILE");
    ours.insert("initialPosition".to_owned(), position.into());
    if position == "START_OF_FILE" {
        let words = "every matching file is read from its beginning at a very first start; the Kinesis Agent read the newest alone";
        notes.differs(section.place("initialPosition"), words);
    }
    Ok(())
}

fn numbers(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<(), Refused> {
    let is_firehose = section.value("deliveryStream").is_some();
    let call = if is_firehose { FIREHOSE_CALL } else { KINESIS_CALL };
    let ranges =
        [("maxBufferAgeMillis", 1_000..=900_000), ("maxBufferSizeRecords", 1..=500), ("maxBufferSizeBytes", 1..=call)];
    for (key, range) in ranges {
        if let Some(number) = section.whole(key, range, notes)? {
            ours.insert(key.to_owned(), number.into());
        }
    }
    if let Some(lines) = section.whole("skipHeaderLines", i64::from(i32::MIN)..=i64::from(i32::MAX), notes)? {
        ours.insert("skipHeaderLines".to_owned(), lines.max(0).into());
    }
    Ok(())
}

fn texts(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<(), Refused> {
    if let Some(pattern) = section.text("multiLineStartPattern", notes)? {
        let words = "a record of several lines waits up to `multiLineTimeoutMillis` (2,000) for more; the Kinesis Agent sent what it \
                     had at once, and so split records that were written in two goes";
        notes.differs(section.place("multiLineStartPattern"), words);
        ours.insert("multiLineStartPattern".to_owned(), pattern.into());
    }
    if let Some(Value::String(terminator)) = section.value("truncatedRecordTerminator") {
        ours.insert("truncatedRecordTerminator".to_owned(), terminator.clone().into());
    }
    ours.insert("longLines".to_owned(), "truncate".into());
    if section.text("fileFooterPattern", notes)?.is_some() {
        let words = "left out: the end of a file is known by its identity; the line that matched, and what follows it, is sent now";
        notes.differs(section.place("fileFooterPattern"), words);
    }
    Ok(())
}

/// How lines become records.
fn records(section: &Section<'_>, ours: &mut Map<String, Value>, notes: &mut Notes) -> Result<(), Refused> {
    const KEY: &str = "aggregatedRecordSizeBytes";
    let size = section.whole(KEY, 0..=1_024_000, notes)?.unwrap_or(0);
    let is_firehose = section.value("deliveryStream").is_some();
    let joins =
        section.value("multiLineStartPattern").and_then(Value::as_str).is_some_and(|pattern| !pattern.is_empty());
    if size > 0 && !is_firehose {
        notes.same(section.place(KEY), "left out: of a flow to Kinesis Data Streams the Kinesis Agent ignored it");
    }
    if size > 0 && is_firehose && joins {
        notes.same(section.place(KEY), "becomes 0: beside `multiLineStartPattern` the Kinesis Agent ignored it");
    }
    if size > 0 && is_firehose && !joins && section.value("dataProcessingOptions").is_some() {
        let words = "lines are processed one by one and then packed; the Kinesis Agent processed the packed lines as one record";
        notes.differs(section.place(KEY), words);
    }
    if is_firehose {
        ours.insert(KEY.to_owned(), if joins { 0 } else { size }.into());
    }
    Ok(())
}

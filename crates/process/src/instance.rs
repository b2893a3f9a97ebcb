//! ADDEC2METADATA: what the machine says about itself, added to JSON objects.
//! Promises the original's names and order, values of the same names overwritten where they stand, and records that
//! pass unchanged until something is known.
//! Leaves asking the machine to the plan.

use super::json::print::{self, Format, Object};
use super::json::scan::{self, Members};
use super::json::{edit, quoted};
use super::{Instance, Place, Stop, Work};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct InstanceFields {
    format: Format,
    /// In order. Empty until something is known.
    fields: Vec<Added>,
    found: Vec<bool>,
    name: Vec<u8>,
}

/// One field.
#[derive(Debug)]
struct Added {
    name: String,
    /// The same as JSON.
    quoted: Vec<u8>,
    /// As JSON.
    value: Vec<u8>,
}

impl Added {
    fn new(name: &str, value: Vec<u8>) -> Self {
        Self { name: name.to_owned(), quoted: quoted(name), value }
    }
}

impl InstanceFields {
    pub(super) fn new(format: Format, instance: Option<&Arc<Instance>>) -> Self {
        let mut new = Self { format, fields: Vec::new(), found: Vec::new(), name: Vec::new() };
        if let Some(instance) = instance {
            new.learn(instance);
        }
        new
    }
}

impl Work for InstanceFields {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        if self.fields.is_empty() {
            out.extend_from_slice(record);
            return Ok(());
        }
        let Self { format, fields, found, name } = self;
        let (start, _) = scan::object(record)?;
        found.clear();
        found.resize(fields.len(), false);
        let mut object = Object::begin(*format, 0, out);
        let mut members = Members::new(start);
        while let Ok(member) = members.next(record)? {
            let raw = &record[member.start + 1..member.name_end - 1];
            object.member(out);
            print::string(raw, out);
            object.colon(out);
            let decoded = edit::decoded(raw, name);
            match fields.iter().position(|field| field.name.as_bytes() == decoded) {
                Some(index) => {
                    found[index] = true;
                    out.extend_from_slice(&fields[index].value);
                    members.ended(scan::value(record, member.value, 1)?);
                }
                None => members.ended(print::value(record, member.value, *format, 1, 1, out)?),
            }
        }
        for (field, _) in fields.iter().zip(found).filter(|(_, found)| !**found) {
            object.member(out);
            out.extend_from_slice(&field.quoted);
            object.colon(out);
            out.extend_from_slice(&field.value);
        }
        object.end(out);
        Ok(())
    }

    fn line_end<'a>(&self, came: &'a [u8]) -> &'a [u8] {
        if self.fields.is_empty() { came } else { b"\n" }
    }

    fn learn(&mut self, instance: &Arc<Instance>) {
        let known: [(&str, &Option<String>); 8] = [
            ("privateIp", &instance.private_ip),
            ("availabilityZone", &instance.availability_zone),
            ("instanceId", &instance.instance_id),
            ("instanceType", &instance.instance_type),
            ("accountId", &instance.account_id),
            ("amiId", &instance.ami_id),
            ("region", &instance.region),
            ("metadataTimestamp", &instance.fetched),
        ];
        let text = |(name, value): &(&str, &Option<String>)| Some(Added::new(name, quoted(value.as_ref()?)));
        self.fields = known.iter().filter_map(text).collect();
        if let Some(tags) = &instance.tags {
            let tags = tags.iter().map(|(name, value)| (name.to_lowercase(), value.as_str().into())).collect();
            let tags = print::constant(&serde_json::Value::Object(tags), self.format, 1);
            self.fields.push(Added::new("tags", tags));
        }
        self.fields.extend(instance.container.iter().map(|(name, value)| Added::new(name, quoted(value))));
    }
}

//! The objects of one table from look to look.
//! Promises to list only folders that changed, and to miss none: a folder that changed just now is listed again.
//! Leaves what was answered to the caller.

use crate::Exit;
use crate::engine::objects::{self, Object};
use datalake_react::Hour;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A folder's time says nothing about changes as young as this.
const UNSURE: Duration = Duration::from_secs(2);

/// A table that is looked at again and again.
#[derive(Debug)]
pub struct Table {
    root: PathBuf,
    prefix: String,
    /// By partition folder: its time when it was listed, if that can be trusted.
    listed: HashMap<PathBuf, Option<SystemTime>>,
    objects: BTreeMap<PathBuf, Vec<Object>>,
}

impl Table {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(root: &Path, prefix: &str) -> Self {
        Self { root: root.to_owned(), prefix: prefix.to_owned(), listed: HashMap::new(), objects: BTreeMap::new() }
    }

    /// Looks again.
    ///
    /// # Errors
    /// When a folder that is there cannot be listed.
    pub fn look(&mut self) -> Result<(), Exit> {
        let folders = objects::partitions(&self.root, &self.prefix)?;
        self.objects.retain(|folder, _| folders.contains_key(folder));
        self.listed.retain(|folder, _| folders.contains_key(folder));
        for (folder, partition) in folders {
            let now = SystemTime::now();
            let time = folder.metadata().and_then(|metadata| metadata.modified()).ok();
            if time.is_some() && self.listed.get(&folder).is_some_and(|listed| *listed == time) {
                continue;
            }
            let found = objects::list_partition(&self.root, &folder, &partition)?;
            let sure = time.filter(|time| now.duration_since(*time).is_ok_and(|age| age > UNSURE));
            self.listed.insert(folder.clone(), sure);
            self.objects.insert(folder, found);
        }
        Ok(())
    }

    /// By hour, then by name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().flatten()
    }

    /// The newest hour that there are objects of.
    /// Nothing is read yet.
    #[must_use]
    pub fn newest(&self) -> Option<Hour> {
        self.objects().filter_map(|object| Hour::parse(&object.partition).ok()).max()
    }
}

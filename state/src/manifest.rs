//! What a state directory holds and for whom, so that a pipeline that does not fit it is refused before it reads a byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::save::{failed, save_file};
use crate::{Error, Result, TableSpec};

/// The identity of a job's state: kept beside the state, compared with the job at every start.
///
/// ```
/// use headwater_state::{Manifest, Table};
///
/// const COUNTS: Table<String, u64> = Table::new("counts");
/// const WIDER: Table<String, (u64, bool)> = Table::new("counts");
///
/// let stored = Manifest::new("alerts", "8f3a61c09be2d745", 32).table(COUNTS.spec());
/// let same = Manifest::new("alerts", "0123456789abcdef", 32).table(COUNTS.spec());
/// assert!(Manifest::check(&stored, &same, &[])?.is_empty());
///
/// let changed = Manifest::new("alerts", "0123456789abcdef", 32).table(WIDER.spec());
/// let refusal = Manifest::check(&stored, &changed, &[]).unwrap_err();
/// assert!(refusal.message().contains("table counts: value was u64, is now (u64,bool)"));
/// # Ok::<(), headwater_state::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of everything stored, [`Manifest::FORMAT`] for what this version writes.
    pub format: u32,
    /// The job's name.
    pub job: String,
    /// Tells this state from any other of the same job; drawn at random when the state is created, never compared.
    pub job_id: String,
    /// How many shards the key space is divided into.
    pub shards: u16,
    /// How instances share the shards.
    pub membership: String,
    /// The tables, with the structure of their keys and values.
    pub tables: Vec<TableSpec>,
    /// What else must not change while a table stays, such as its operator's window: by table, as people read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// What [`Manifest::check`] lets through, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Tables that start empty.
    pub added: Vec<String>,
    /// Tables whose stored rows go, because the user said so.
    pub dropped: Vec<String>,
}

impl Changes {
    /// Whether the job's tables are those that are stored.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}

impl Manifest {
    /// The format that this version reads and writes.
    pub const FORMAT: u32 = 1;
    /// The name of the file in a state directory.
    pub const FILE: &'static str = "manifest.json";

    /// A manifest without tables, of a job whose shards all belong to one instance.
    pub fn new(job: impl Into<String>, job_id: impl Into<String>, shards: u16) -> Self {
        Self {
            format: Self::FORMAT,
            job: job.into(),
            job_id: job_id.into(),
            shards,
            membership: "exchange".into(),
            tables: Vec::new(),
            settings: BTreeMap::new(),
        }
    }

    /// The same with another table.
    #[must_use]
    pub fn table(mut self, table: TableSpec) -> Self {
        self.tables.push(table);
        self
    }

    /// Compares what is stored with what a job wants. `drop` names tables that the job may leave behind.
    ///
    /// A name in `drop` that is not stored is no error: the same command line has to start the job again. What the
    /// caller then stores is `wanted` with the stored `job_id`.
    ///
    /// # Errors
    /// `Config`, with every difference and what to do about it.
    pub fn check(stored: &Self, wanted: &Self, drop: &[String]) -> Result<Changes> {
        if stored.format != wanted.format {
            return Err(other_format(stored.format, wanted.format));
        }
        let mut differences = stored.identity(wanted);
        differences.extend(stored.types(wanted));
        differences.extend(wanted.named_twice());
        differences.extend(wanted.dropped_in_use(drop));
        let removed = stored.tables.iter().filter(|table| wanted.find(&table.name).is_none());
        let (dropped, lost): (Vec<_>, Vec<_>) = removed.partition(|table| drop.contains(&table.name));
        differences.extend(lost.into_iter().map(|table| {
            let name = &table.name;
            format!("table {name}: is stored, but the job no longer has it: give it back, or drop its rows with --drop {name}")
        }));
        if differences.is_empty() {
            let added = wanted.tables.iter().filter(|table| stored.find(&table.name).is_none());
            return Ok(Changes { added: names(added), dropped: names(dropped) });
        }
        let lines: Vec<String> = differences.iter().map(|line| format!("\n  - {line}")).collect();
        Err(Error::config(format!("stored state does not fit job {}:{}", wanted.job, lines.concat())))
    }

    fn find(&self, name: &str) -> Option<&TableSpec> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Differences in what the whole state hangs on.
    fn identity(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, was: &str, is: &str, remedy: &str| {
            if was != is {
                differences.push(format!("{what}: was {was}, is now {is}: {remedy}"));
            }
        };
        let other_state = "use another state directory, or start over with --fresh";
        compare("job", &self.job, &wanted.job, other_state);
        let start_over = "it is fixed when the state is created; set it back, or start over with --fresh";
        compare("shards", &self.shards.to_string(), &wanted.shards.to_string(), start_over);
        compare("membership", &self.membership, &wanted.membership, start_over);
        differences
    }

    /// Tables whose key, value or setting is another now.
    fn types(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for stored in &self.tables {
            let Some(now) = wanted.find(&stored.name) else { continue };
            let parts = [
                ("key", stored.key.as_str(), now.key.as_str(), "run the version that wrote it"),
                ("value", &stored.value, &now.value, "run the version that wrote it"),
                ("setting", self.setting(&stored.name), wanted.setting(&stored.name), "set it back"),
            ];
            for (part, was, is, remedy) in parts.into_iter().filter(|(_, was, is, _)| was != is) {
                differences.push(format!(
                    "table {}: {part} was {was}, is now {is}: {remedy}, give the table a new name, or start over with \
                     --fresh",
                    stored.name
                ));
            }
        }
        differences
    }

    fn setting(&self, table: &str) -> &str {
        self.settings.get(table).map_or("none", String::as_str)
    }

    fn named_twice(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let again = self.tables.iter().filter(|table| !seen.insert(&table.name));
        again.map(|table| format!("table {}: the job has two of that name: rename one", table.name)).collect()
    }

    fn dropped_in_use(&self, drop: &[String]) -> Vec<String> {
        let in_use = drop.iter().filter(|name| self.find(name).is_some());
        in_use
            .map(|name| format!("table {name}: named in --drop, but the job still has it: leave out --drop {name}"))
            .collect()
    }

    /// Pretty JSON with a checksum.
    ///
    /// # Errors
    /// `Bug`, as a manifest can always be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::bug("write the manifest as JSON").caused_by(error))?;
        let checksum = crc32fast::hash(text.as_bytes());
        Ok(format!("{{\n\"checksum\": \"{checksum:08x}\",\n\"manifest\": {text}\n}}\n").into_bytes())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `Corrupt` where it is not that, or its checksum does not hold; `Config` where another version wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(unreadable)?;
        let text = sealed.manifest.get();
        let found = format!("{:08x}", crc32fast::hash(text.as_bytes()));
        if found != sealed.checksum {
            return Err(Error::corrupt(format!("manifest has checksum {found}, it says {}", sealed.checksum)));
        }
        let Layout { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format != Self::FORMAT {
            return Err(other_format(format, Self::FORMAT));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The manifest in the state directory `dir`, if there is one.
    ///
    /// ```
    /// use headwater_state::Manifest;
    ///
    /// let dir = tempfile::tempdir()?;
    /// assert_eq!(Manifest::load(dir.path())?, None);
    /// let manifest = Manifest::new("alerts", "8f3a61c09be2d745", 32);
    /// manifest.save(dir.path())?;
    /// assert_eq!(Manifest::load(dir.path())?, Some(manifest));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), naming the file; `Unavailable` or `Config` where it cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(Self::FILE);
        match fs::read(&file) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some).map_err(|error| error.within(file.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &file, error)),
        }
    }

    /// Puts it into the state directory `dir`, as a whole or not at all: after a crash the old one or the new one is
    /// there.
    ///
    /// # Errors
    /// `Unavailable` where the disk is full or fails, `Config` where it may not be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        save_file(dir, Self::FILE, &self.to_bytes()?)
    }
}

/// The file: the checksum is over the very text of `manifest`.
#[derive(Deserialize)]
struct Sealed<'a> {
    checksum: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

/// What every format has.
#[derive(Deserialize)]
struct Layout {
    format: u32,
}

fn names<'a>(tables: impl IntoIterator<Item = &'a TableSpec>) -> Vec<String> {
    tables.into_iter().map(|table| table.name.clone()).collect()
}

fn other_format(stored: u32, ours: u32) -> Error {
    Error::config(format!(
        "state has format {stored}, this version reads {ours}: run the version that wrote it, or start over with --fresh"
    ))
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::corrupt("manifest is not readable").caused_by(error)
}

//! The tables on disk: one file a service, replaced as a whole, on the disk before anybody is told.

use pilotage_api::proxy::{ServiceTable, Trip};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// What is kept of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    /// None after a removal: the epoch is still needed to refuse what comes late.
    #[serde(default)]
    pub(crate) table: Option<ServiceTable>,
    #[serde(default)]
    pub(crate) trip: Option<KeptTrip>,
}

/// A trip; it outlives its acknowledgement, so that the revision stays refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeptTrip {
    pub(crate) trip: Trip,
    #[serde(default)]
    pub(crate) acknowledged: bool,
}

/// The longest id of a service, so that its file name stays short enough for every file system.
pub(crate) const ID_BYTES: usize = 200;

pub(crate) fn save(directory: &Path, record: &Record) -> io::Result<()> {
    let name = file_name(&record.id);
    let temporary = directory.join(format!(".{name}"));
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// All records; a file that cannot be read is set aside by name and reported, so that the others still serve.
pub(crate) fn load(directory: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") || is_hidden(&path) {
            continue;
        }
        match fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?)) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a table cannot be read and is set aside");
                fs::rename(&path, path.with_extension("unreadable"))?;
            }
        }
    }
    Ok(records)
}

/// A save that was cut short leaves its hidden file behind.
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// `owner/name/env/web` → `owner%2Fname%2Fenv%2Fweb.json`.
fn file_name(id: &str) -> String {
    let mut name = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_broken_ones_are_set_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let record = |id: &str, epoch| Record {
            id: id.to_owned(),
            epoch,
            table: None,
            trip: None,
        };
        save(directory.path(), &record("a/../../b/ä", 1)).expect("saved");
        save(directory.path(), &record("a/../../b/ä", 2)).expect("replaced");
        save(directory.path(), &record("x", 7)).expect("saved");
        fs::write(directory.path().join("torn.json"), "{\"id\":").expect("written");
        fs::write(directory.path().join(".x.json"), "{").expect("written");
        let mut loaded = load(directory.path()).expect("loaded");
        loaded.sort_by_key(|record| record.epoch);
        assert_eq!(loaded, [record("a/../../b/ä", 2), record("x", 7)]);
        assert!(directory.path().join("torn.unreadable").exists());
    }
}

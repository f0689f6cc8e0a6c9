//! Artifacts and caches in directories of this machine, for `exec`.
//!
//! Each is a content file and a JSON file beside it, named by digests, never by what a workflow wrote. The JSON
//! file comes last and is created only where none is, so that two writers of one name cannot both win.

use super::{Packed, ServiceError};
use crate::hash_files::hex;
use pilotage_api::services::{ArtifactInfo, ArtifactUpload, CacheInfo, CacheQuery};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug)]
pub struct Local {
    artifacts: PathBuf,
    caches: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct CacheEntry {
    info: CacheInfo,
    version: String,
    created_at_ms: i64,
}

impl Local {
    /// `artifacts` belongs to one run; `caches` may be shared by all runs of one project.
    #[must_use]
    pub fn new(artifacts: impl Into<PathBuf>, caches: impl Into<PathBuf>) -> Self {
        Self {
            artifacts: artifacts.into(),
            caches: caches.into(),
        }
    }

    pub(super) fn upload_artifact(
        &self,
        upload: &ArtifactUpload,
        packed: &Packed,
    ) -> Result<ArtifactInfo, ServiceError> {
        let stem = name_of(&[&upload.name]);
        if upload.overwrite {
            for extension in ["json", "zip"] {
                let _ = std::fs::remove_file(self.artifacts.join(&stem).with_extension(extension));
            }
        }
        let info = ArtifactInfo {
            id: i64::try_from(self.artifacts()?.len())
                .unwrap_or(i64::MAX)
                .saturating_add(1),
            name: upload.name.clone(),
            size_bytes: packed.size_bytes,
            digest: packed.digest.clone(),
            url: String::new(),
            created_at_ms: now_ms(),
        };
        match store(&self.artifacts, &stem, "zip", packed, &info)? {
            true => Ok(info),
            false => Err(ServiceError::ArtifactExists(upload.name.clone())),
        }
    }

    pub(super) fn artifacts(&self) -> Result<Vec<ArtifactInfo>, ServiceError> {
        let mut artifacts: Vec<ArtifactInfo> = list(&self.artifacts)?;
        artifacts.sort_by_key(|a| (a.created_at_ms, a.id));
        Ok(artifacts)
    }

    pub(super) fn download_artifact(&self, artifact: &ArtifactInfo, to: &Path) -> Result<(), ServiceError> {
        let from = self
            .artifacts
            .join(name_of(&[&artifact.name]))
            .with_extension("zip");
        copy(&from, to)
    }

    /// The key itself first, then for each prefix the newest entry.
    pub(super) fn find_cache(&self, query: &CacheQuery) -> Result<Option<CacheInfo>, ServiceError> {
        let mut entries: Vec<CacheEntry> = list(&self.caches)?;
        entries.retain(|e| e.version == query.version);
        entries.sort_by_key(|e| std::cmp::Reverse(e.created_at_ms));
        let exact = entries.iter().find(|e| e.info.key == query.key);
        let prefixes = std::iter::once(&query.key).chain(&query.restore_keys);
        let mut by_prefix = prefixes.filter_map(|p| entries.iter().find(|e| e.info.key.starts_with(p)));
        Ok(exact.or_else(|| by_prefix.next()).map(|e| e.info.clone()))
    }

    pub(super) fn download_cache(&self, cache: &CacheInfo, to: &Path) -> Result<(), ServiceError> {
        let entries: Vec<CacheEntry> = list(&self.caches)?;
        let entry = entries.into_iter().find(|e| e.info == *cache);
        let entry =
            entry.ok_or_else(|| ServiceError::Answer(format!("the cache `{}` is gone", cache.key)))?;
        let stem = name_of(&[&entry.version, &entry.info.key]);
        copy(&self.caches.join(stem).with_extension("tzst"), to)
    }

    pub(super) fn save_cache(
        &self,
        key: &str,
        version: &str,
        packed: &Packed,
    ) -> Result<Option<CacheInfo>, ServiceError> {
        let (size_bytes, digest) = (packed.size_bytes, packed.digest.clone());
        let info = CacheInfo {
            id: now_ms(),
            key: key.to_owned(),
            size_bytes,
            digest,
        };
        let entry = CacheEntry {
            info,
            version: version.to_owned(),
            created_at_ms: now_ms(),
        };
        let stored = store(&self.caches, &name_of(&[version, key]), "tzst", packed, &entry)?;
        Ok(stored.then_some(entry.info))
    }
}

/// A file name for some texts, which no choice of them can make another's.
fn name_of(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// False where the name is taken.
fn store(
    directory: &Path,
    stem: &str,
    extension: &str,
    packed: &Packed,
    entry: &impl Serialize,
) -> Result<bool, ServiceError> {
    std::fs::create_dir_all(directory).map_err(ServiceError::file(directory))?;
    let json = directory.join(stem).with_extension("json");
    if json.exists() {
        return Ok(false);
    }
    let content = directory.join(stem).with_extension(extension);
    let temporary = directory.join(format!(".{stem}.{}", std::process::id()));
    std::fs::copy(&packed.path, &temporary).map_err(ServiceError::file(&temporary))?;
    std::fs::rename(&temporary, &content).map_err(ServiceError::file(&content))?;
    let text = serde_json::to_vec(entry).map_err(|e| ServiceError::Answer(e.to_string()))?;
    match std::fs::File::create_new(&json) {
        Ok(mut file) => file
            .write_all(&text)
            .map_err(ServiceError::file(&json))
            .map(|()| true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(ServiceError::file(&json)(e)),
    }
}

/// All entries; one that is being written just now, or is broken, is not there.
fn list<T: DeserializeOwned>(directory: &Path) -> Result<Vec<T>, ServiceError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(ServiceError::file(directory)(e)),
    };
    let paths = entries.filter_map(|e| Some(e.ok()?.path()));
    let paths = paths.filter(|p| p.extension().is_some_and(|x| x == "json"));
    Ok(paths
        .filter_map(|p| serde_json::from_slice(&std::fs::read(p).ok()?).ok())
        .collect())
}

fn copy(from: &Path, to: &Path) -> Result<(), ServiceError> {
    std::fs::copy(from, to)
        .map(drop)
        .map_err(ServiceError::file(from))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (tempfile::TempDir, Local, Packed) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("packed");
        std::fs::write(&path, "content").unwrap();
        let local = Local::new(dir.path().join("a"), dir.path().join("c"));
        let packed = Packed {
            path,
            size_bytes: 7,
            digest: "sha256:x".into(),
        };
        (dir, local, packed)
    }

    #[test]
    fn an_artifact_is_immutable_unless_overwritten() {
        let (_dir, local, packed) = world();
        let mut upload = ArtifactUpload {
            name: "web".into(),
            retention_days: None,
            overwrite: false,
        };
        assert_eq!(local.upload_artifact(&upload, &packed).unwrap().id, 1);
        let again = local.upload_artifact(&upload, &packed);
        assert!(matches!(again, Err(ServiceError::ArtifactExists(name)) if name == "web"));
        upload.overwrite = true;
        local.upload_artifact(&upload, &packed).unwrap();
        assert_eq!(local.artifacts().unwrap().len(), 1);
    }

    #[test]
    fn caches_are_found_by_key_then_by_prefix_never_by_another_version() {
        let (_dir, local, packed) = world();
        for key in ["npm-linux-1", "npm-linux-2"] {
            assert!(local.save_cache(key, "v1", &packed).unwrap().is_some());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(local.save_cache("npm-linux-1", "v1", &packed).unwrap().is_none());
        let check = |key: &str, restore: &[&str], version: &str, expected: Option<&str>| {
            let restore_keys = restore.iter().map(ToString::to_string).collect();
            let query = CacheQuery {
                key: key.into(),
                restore_keys,
                version: version.into(),
            };
            let found = local.find_cache(&query).unwrap();
            assert_eq!(found.as_ref().map(|c| c.key.as_str()), expected, "{query:?}");
        };
        check("npm-linux-1", &[], "v1", Some("npm-linux-1"));
        check("npm-linux-1", &[], "v2", None);
        check("npm-linux-3", &["npm-linux-"], "v1", Some("npm-linux-2"));
        check("npm-linux", &[], "v1", Some("npm-linux-2"));
        check("yarn", &["x", "npm-linux-1"], "v1", Some("npm-linux-1"));
        check("yarn", &["x"], "v1", None);
    }
}

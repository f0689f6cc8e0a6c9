//! Blobs: files named by their SHA-256, written once. A blob appears whole or not at all.
//!
//! Knows nothing of who needs a blob; retention asks the database before it removes one.

use crate::error::{Result, StoreError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

const PREFIX: &str = "sha256:";

/// The name of a blob: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobName(String);

impl BlobName {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX)?;
        let plain = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }
}

pub struct Blobs {
    directory: PathBuf,
}

/// A blob that is being written. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub struct BlobWriter {
    temporary: Temporary,
    file: File,
    directory: PathBuf,
    hasher: Sha256,
    bytes: u64,
    bytes_max: u64,
}

/// Removes the file of that name when it is dropped, unless it was moved away.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Blobs {
    pub async fn open(directory: &Path) -> Result<Self> {
        let incoming = directory.join("incoming");
        // What an earlier process left half written belongs to nobody.
        let _ = fs::remove_dir_all(&incoming).await;
        fs::create_dir_all(&incoming)
            .await
            .map_err(StoreError::file("create", &incoming))?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    pub async fn writer(&self, bytes_max: u64) -> Result<BlobWriter> {
        let path = self
            .directory
            .join("incoming")
            .join(uuid::Uuid::new_v4().to_string());
        let file = File::create_new(&path)
            .await
            .map_err(StoreError::file("create", &path))?;
        let directory = self.directory.clone();
        Ok(BlobWriter {
            temporary: Temporary(path),
            file,
            directory,
            hasher: Sha256::new(),
            bytes: 0,
            bytes_max,
        })
    }

    /// The open file of a blob, or none where there is no such blob.
    pub async fn read(&self, name: &BlobName) -> Result<Option<File>> {
        let path = blob_path(&self.directory, name);
        match File::open(&path).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("open", &path)(error)),
        }
    }

    /// Where a blob lies, for a reader that needs a path.
    #[must_use]
    pub fn path(&self, name: &BlobName) -> PathBuf {
        blob_path(&self.directory, name)
    }

    pub async fn remove(&self, name: &BlobName) -> Result<()> {
        let path = blob_path(&self.directory, name);
        match fs::remove_file(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::file("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Blobs that were last written (again) longer ago than `age`, with their sizes.
    pub async fn older_than(&self, age: Duration) -> Result<Vec<(BlobName, u64)>> {
        let directory = self.directory.clone();
        let listed = tokio::task::spawn_blocking(move || list_older(&directory, age)).await;
        listed
            .map_err(|_| StoreError::Panicked)?
            .map_err(StoreError::file("list", &self.directory))
    }
}

impl BlobWriter {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(StoreError::BlobTooLarge {
                bytes_max: self.bytes_max,
            });
        }
        self.hasher.update(bytes);
        self.file
            .write_all(bytes)
            .await
            .map_err(StoreError::file("write", &self.temporary.0))
    }

    /// Makes the blob stand, on disk, under its name. Refused if `announced` is given and is not its digest.
    pub async fn finish(mut self, announced: Option<&BlobName>) -> Result<(BlobName, u64)> {
        let digest = std::mem::take(&mut self.hasher).finalize();
        let name = BlobName(format!("{PREFIX}{}", hex::encode(digest)));
        if let Some(announced) = announced.filter(|announced| **announced != name) {
            return Err(StoreError::Digest {
                announced: announced.0.clone(),
                got: name.0,
            });
        }
        self.file
            .flush()
            .await
            .map_err(StoreError::file("write", &self.temporary.0))?;
        self.file
            .sync_all()
            .await
            .map_err(StoreError::file("sync", &self.temporary.0))?;
        let path = blob_path(&self.directory, &name);
        let folder = path.parent().unwrap_or(&self.directory).to_owned();
        fs::create_dir_all(&folder)
            .await
            .map_err(StoreError::file("create", &folder))?;
        // Over an equal one too: its time becomes new, so that retention does not take it from under its new owner.
        fs::rename(&self.temporary.0, &path)
            .await
            .map_err(StoreError::file("rename to", &path))?;
        sync_directory(&folder).await?;
        sync_directory(&self.directory).await?;
        Ok((name, self.bytes))
    }
}

async fn sync_directory(path: &Path) -> Result<()> {
    let directory = File::open(path).await.map_err(StoreError::file("open", path))?;
    directory.sync_all().await.map_err(StoreError::file("sync", path))
}

fn blob_path(directory: &Path, name: &BlobName) -> PathBuf {
    let (folder, rest) = name.hex().split_at(2);
    directory.join(folder).join(rest)
}

fn list_older(directory: &Path, age: Duration) -> std::io::Result<Vec<(BlobName, u64)>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(directory)? {
        let folder = folder?;
        let prefix = folder.file_name().to_string_lossy().into_owned();
        if prefix.len() != 2 {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = file?;
            let metadata = file.metadata()?;
            let old = metadata
                .modified()
                .and_then(|m| SystemTime::now().duration_since(m).map_err(std::io::Error::other));
            let name = BlobName::parse(&format!("{PREFIX}{prefix}{}", file.file_name().to_string_lossy()));
            if let (Some(name), true) = (name, old.is_ok_and(|old| old >= age)) {
                found.push((name, metadata.len()));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn put(
        blobs: &Blobs,
        text: &str,
        announced: Option<&BlobName>,
        bytes_max: u64,
    ) -> Result<(BlobName, u64)> {
        let mut writer = blobs.writer(bytes_max).await?;
        for piece in text.as_bytes().chunks(3) {
            writer.write(piece).await?;
        }
        writer.finish(announced).await
    }

    #[tokio::test]
    async fn a_blob_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).await.unwrap();
        let (name, bytes) = put(&blobs, "hello", None, 5).await.unwrap();
        assert_eq!(
            name.as_str(),
            "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(bytes, 5);
        let mut text = String::new();
        blobs
            .read(&name)
            .await
            .unwrap()
            .unwrap()
            .read_to_string(&mut text)
            .await
            .unwrap();
        assert_eq!(text, "hello");
        assert!(matches!(
            put(&blobs, "other", Some(&name), 5).await,
            Err(StoreError::Digest { .. })
        ));
        assert!(matches!(
            put(&blobs, "too long", None, 5).await,
            Err(StoreError::BlobTooLarge { .. })
        ));
        assert_eq!(
            std::fs::read_dir(directory.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
        assert_eq!(
            blobs.older_than(Duration::ZERO).await.unwrap(),
            vec![(name.clone(), 5)]
        );
        assert_eq!(blobs.older_than(Duration::from_secs(60)).await.unwrap(), vec![]);
        blobs.remove(&name).await.unwrap();
        blobs.remove(&name).await.unwrap();
        assert!(blobs.read(&name).await.unwrap().is_none());
    }

    #[test]
    fn only_digests_are_names() {
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(BlobName::parse(&format!("sha256:{hex}")).is_some());
        for bad in [
            hex.to_owned(),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:../{hex}"),
            String::new(),
        ] {
            assert!(BlobName::parse(&bad).is_none(), "{bad}");
        }
    }
}

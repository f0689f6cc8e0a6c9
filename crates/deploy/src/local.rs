//! The local target: where everything lies on this machine.
//!
//! | folder | what |
//! |---|---|
//! | `deploy/releases/NAME` | an unpacked release ([`crate::release`]) |
//! | `deploy/replicas/ID` | a replica's keeper and its `replica.json` ([`crate::replica`]) |
//! | `deploy/before/KEY` | what ran once ([`crate::once`]) |
//! | `proxy` | the proxy's own, with its keeper in `proxy/keeper` ([`crate::proxy`]) |

use crate::error::DeployError;
use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Cheap to clone; all clones are one target.
#[derive(Clone, Debug)]
pub struct Local {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    dir: PathBuf,
    /// The program whose `keep` and `proxy` are run: ourselves.
    pub(crate) exe: PathBuf,
    /// Ports given to a replica whose `replica.json` may not be written yet are chosen one at a time.
    pub(crate) ports: Mutex<()>,
    /// Who works on a folder works alone.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Local {
    /// `dir` is the data directory, `exe` the binary `pilotage`.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn new(dir: &Path, exe: &Path) -> Result<Self, DeployError> {
        let dir = std::path::absolute(dir).map_err(DeployError::path("find", dir))?;
        let inner = Inner {
            dir,
            exe: exe.to_owned(),
            ports: Mutex::default(),
            locks: Mutex::default(),
        };
        let local = Local {
            inner: Arc::new(inner),
        };
        for folder in [
            local.releases(),
            local.replicas(),
            local.before(),
            local.proxy_dir(),
        ] {
            create_private(&folder)?;
        }
        Ok(local)
    }

    pub(crate) fn releases(&self) -> PathBuf {
        self.inner.dir.join("deploy/releases")
    }

    pub(crate) fn replicas(&self) -> PathBuf {
        self.inner.dir.join("deploy/replicas")
    }

    pub(crate) fn before(&self) -> PathBuf {
        self.inner.dir.join("deploy/before")
    }

    /// Where the proxy keeps its tables and its control socket.
    #[must_use]
    pub fn proxy_dir(&self) -> PathBuf {
        self.inner.dir.join("proxy")
    }

    /// Waits until nobody else works on what `key` names.
    pub(crate) async fn alone(&self, key: String) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.inner.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let found = locks.get(&key).and_then(Weak::upgrade);
            found.unwrap_or_else(|| {
                let lock = Arc::new(tokio::sync::Mutex::new(()));
                locks.insert(key, Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }
}

pub(crate) fn create_private(dir: &Path) -> Result<(), DeployError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(DeployError::path("create", dir))
}

/// Writes a file whole and durably, or not at all.
pub(crate) fn write_durable(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    use std::io::Write;
    let new = path.with_extension("new");
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::File::create(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| std::fs::File::open(parent)?.sync_all())
        .map_err(DeployError::path("write", path))
}

/// Removes a folder and all in it, also where it was made read-only. Nothing there is as good.
pub(crate) fn remove_tree(dir: &Path) -> Result<(), DeployError> {
    use std::os::unix::fs::PermissionsExt;
    let removed = |result: std::io::Result<()>| match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    if removed(std::fs::remove_dir_all(dir)).is_ok() {
        return Ok(());
    }
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700));
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            entries
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path()),
        );
    }
    removed(std::fs::remove_dir_all(dir)).map_err(DeployError::path("remove", dir))
}

//! Releases on this machine: unpacked once, prepared once, read-only from then on.
//!
//! `NAME/tree` holds the files, `NAME/digest` the digest for keepers to read, and `NAME/prepared` stands when it is
//! whole. A folder without it is of an interrupted attempt and made anew: a half prepared tree is not trusted. Its
//! name is the digest with `-` for `:`, which would end the path in `PATH` and its like (virtual environments of
//! Python refuse it).

use crate::archive::{self, Limits};
use crate::error::{DeployError, blocking};
use crate::local::{Local, create_private, remove_tree, write_durable};
use crate::once::{self, Command};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const PREPARED: &str = "prepared";
pub(crate) const DIGEST: &str = "digest";
const TREE: &str = "tree";

/// A release that is to stand on this machine.
#[derive(Clone, Debug)]
pub struct Release {
    /// `sha256:…`, or any name of letters, digits, `:`, `.`, `_` and `-`.
    pub digest: String,
    /// Its tar file, plain or zstd.
    pub archive: PathBuf,
    /// Its services' `prepare` lines, each run once in this order. It serves every
    /// environment, so their variables and secrets are not for it.
    pub prepare: Vec<Command>,
}

impl Local {
    /// Where a release's files lie, once [`Local::ensure_release`] has come back.
    ///
    /// # Errors
    /// When the digest could not be a folder's name.
    pub fn release_tree(&self, digest: &str) -> Result<PathBuf, DeployError> {
        Ok(self.release_dir(digest)?.join(TREE))
    }

    /// Whether the release stands here, whole.
    #[must_use]
    pub fn has_release(&self, digest: &str) -> bool {
        self.release_dir(digest)
            .is_ok_and(|dir| dir.join(PREPARED).exists())
    }

    /// Unpacks and prepares a release, if it does not stand yet.
    ///
    /// # Errors
    /// [`DeployError::Archive`] for what must not be unpacked, [`DeployError::Command`] when a `prepare` failed.
    pub async fn ensure_release(&self, release: Release) -> Result<(), DeployError> {
        let dir = self.release_dir(&release.digest)?;
        let _alone = self
            .alone(format!("release {}", folder_name(&release.digest)))
            .await;
        blocking(move || ensure(&dir, &release)).await
    }

    pub(crate) fn release_dir(&self, digest: &str) -> Result<PathBuf, DeployError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
        if digest.is_empty() || digest.len() > 200 || digest.starts_with('.') || !digest.chars().all(fits) {
            return Err(DeployError::Name {
                kind: "digest",
                name: digest.to_owned(),
            });
        }
        Ok(self.releases().join(folder_name(digest)))
    }
}

/// What a release's folder is called. The name of a folder gives itself.
pub(crate) fn folder_name(digest: &str) -> String {
    digest.replace(':', "-")
}

fn ensure(dir: &Path, release: &Release) -> Result<(), DeployError> {
    if dir.join(PREPARED).exists() {
        return Ok(());
    }
    // A `prepare` that an earlier process of ours began may still be at work in there.
    for index in 0..release.prepare.len() {
        once::wait_for_earlier(&prepare_dir(dir, index))?;
    }
    remove_tree(dir)?;
    let new = dir.with_file_name(format!(".{}.new", folder_name(&release.digest)));
    remove_tree(&new)?;
    create_private(&new.join(TREE))?;
    if let Err(fault) = archive::unpack(&release.archive, &new.join(TREE), Limits::default()) {
        // What is half there only takes room.
        remove_tree(&new)?;
        let (entry, why) = (fault.entry, fault.why);
        return Err(DeployError::Archive {
            digest: release.digest.clone(),
            entry,
            why,
        });
    }
    write_durable(&new.join(DIGEST), format!("{}\n", release.digest).as_bytes())?;
    fs::rename(&new, dir).map_err(DeployError::path("create", dir))?;
    // After the rename: what `prepare` makes (virtual environments) often holds its own path.
    for (index, command) in release.prepare.iter().enumerate() {
        let place = prepare_dir(dir, index);
        once::run(&place, &dir.join(TREE), command)?;
        // Replicas have folders of their own, and package managers leave much in these.
        remove_tree(&place.join("home"))?;
        remove_tree(&place.join("tmp"))?;
    }
    make_read_only(&dir.join(TREE));
    // One call for all the files, instead of one for each.
    fs::File::open(dir)
        .and_then(|f| nix::unistd::syncfs(f).map_err(Into::into))
        .map_err(DeployError::path("sync", dir))?;
    write_durable(&dir.join(PREPARED), b"")
}

fn prepare_dir(dir: &Path, index: usize) -> PathBuf {
    dir.join(format!("prepare-{index}"))
}

/// Against programs that write beside their own files by accident; one that may change modes can undo it.
fn make_read_only(tree: &Path) {
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                let mode = metadata.permissions().mode() & 0o7555;
                let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode));
            }
        }
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o555));
    }
}

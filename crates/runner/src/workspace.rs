//! The directories of one job: made fresh, and gone when it ended.
//!
//! Owns their layout and their removal. They are put aside first, so that the next job begins in an empty directory
//! at once, and is not kept waiting by a disk that needs its time to forget many files. Removal follows no link,
//! changes what denies it, and does not care how deep or how odd a job made its directories.

mod wipe;

use crate::isolation::User;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use wipe::wipe;

/// The directories of a job, all beneath [`Workspace::root`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// `WORK/slot-N`.
    pub root: PathBuf,
    /// `RUNNER_WORKSPACE`: holds the next.
    pub project: PathBuf,
    /// `GITHUB_WORKSPACE`: `WORK/slot-N/NAME/NAME`, as on GitHub.
    pub workspace: PathBuf,
    /// `RUNNER_TEMP`.
    pub temp: PathBuf,
    /// `TMPDIR`: for what programs put in `/tmp`.
    pub tmp: PathBuf,
    /// `HOME`.
    pub home: PathBuf,
    /// `RUNNER_TOOL_CACHE`; not shared, or one job could change the tools of another.
    pub tools: PathBuf,
    /// Downloaded actions.
    pub actions: PathBuf,
    user: Option<User>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("cannot make the directory {path}")]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot move {path} out of the way")]
    PutAside { path: PathBuf, source: io::Error },
    #[error("cannot remove {path}")]
    Remove { path: PathBuf, source: io::Error },
}

/// What a job left, put aside.
#[must_use = "it takes room until it is removed"]
#[derive(Debug)]
pub struct Leftover(PathBuf);

impl Leftover {
    /// May take long: a job can leave a great many files.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        wipe(&self.0).map_err(|source| WorkspaceError::Remove { path: self.0, source })
    }
}

impl Workspace {
    /// Makes the directories of a slot, after removing what an earlier job may have left. `name` is the project's,
    /// without its owner; `user` gets them, where jobs have a user of their own.
    pub fn create(work: &Path, slot: u32, name: &str, user: Option<User>) -> Result<Self, WorkspaceError> {
        let root = work.join(format!("slot-{slot}"));
        // Only a runner that died leaves something in its place; what is aside is removed at the next start at last.
        let _ = put_aside(&root)?.map(Leftover::remove);
        let name = directory_name(name);
        let at = |directory: &str| root.join(directory);
        let workspace = Self {
            project: at(&name),
            workspace: at(&name).join(&name),
            temp: at("_temp"),
            tmp: at("_tmp"),
            home: at("_home"),
            tools: at("_tools"),
            actions: at("_actions"),
            user,
            root,
        };
        workspace.make_directories()?;
        Ok(workspace)
    }

    /// Gives its place free. `None` if there is nothing any more.
    pub fn leave(self) -> Result<Option<Leftover>, WorkspaceError> {
        put_aside(&self.root)
    }

    fn make_directories(&self) -> Result<(), WorkspaceError> {
        const ONLY_OWNER: u32 = 0o700;
        // The root stays ours: the job can remove what is in its directories, not the directories.
        const OTHERS_ENTER: u32 = 0o711;
        let mode = if self.user.is_some() {
            OTHERS_ENTER
        } else {
            ONLY_OWNER
        };
        let make = |path: &Path, mode: u32| {
            let failed = |source| WorkspaceError::Create {
                path: path.to_owned(),
                source,
            };
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .map_err(failed)
        };
        make(&self.root, mode)?;
        for path in [
            &self.project,
            &self.workspace,
            &self.temp,
            &self.tmp,
            &self.home,
            &self.tools,
            &self.actions,
        ] {
            make(path, 0o755)?;
            if let Some(user) = self.user {
                let failed = |source| WorkspaceError::Create {
                    path: path.clone(),
                    source,
                };
                std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Moves a directory of jobs to a name beside it that nothing has.
fn put_aside(root: &Path) -> Result<Option<Leftover>, WorkspaceError> {
    const NAMES_MAX: u32 = 10_000;
    let failed = |source| WorkspaceError::PutAside {
        path: root.to_owned(),
        source,
    };
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    for number in 0..NAMES_MAX {
        let aside = root.with_file_name(format!("left-{name}-{number}"));
        if aside.symlink_metadata().is_ok() {
            continue;
        }
        return match fs::rename(root, &aside) {
            Ok(()) => Ok(Some(Leftover(aside))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        };
    }
    Err(failed(io::Error::other(
        "too much of it could not be removed before",
    )))
}

/// A project's name as a directory; names of projects are checked elsewhere, this only never leaves the place.
fn directory_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c == '/' || c == '\0' { '-' } else { c })
        .take(100)
        .collect();
    if plain.is_empty() || plain.starts_with(['.', '_']) {
        format!("project{plain}")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests;

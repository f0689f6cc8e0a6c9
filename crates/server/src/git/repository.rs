//! Bare repositories on disk, read and made by the `git` program.

use crate::name::RefName;
use pilotage_store::Project;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// The object id of nothing, as git writes it.
pub(crate) const NOTHING: &str = "0000000000000000000000000000000000000000";
/// How long a reading command may take.
const READ_TIME: Duration = Duration::from_secs(60);
/// A workflow file larger than this is not read: the limit of the language's reader is below it.
const FILE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How many changed paths are looked at; of more, path filters let a push pass, as on GitHub.
const CHANGED_PATHS_MAX: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("cannot run git")]
    Start(#[source] std::io::Error),
    #[error("git {command} took longer than {} s", READ_TIME.as_secs())]
    TooLong { command: String },
    #[error("git {command} failed: {message}")]
    Failed { command: String, message: String },
    #[error("git gave an answer that cannot be read")]
    Unreadable,
}

/// The folder of all repositories.
#[derive(Debug)]
pub(crate) struct Repositories {
    directory: PathBuf,
    /// Projects whose refs moved and could not be recorded yet.
    pub(super) unrecorded: Mutex<HashSet<i64>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Repository {
    path: PathBuf,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    pub sha: String,
    pub tree: String,
    pub author_name: String,
    pub author_email: String,
    pub committer_name: String,
    pub committer_email: String,
    /// RFC 3339.
    pub time: String,
    pub message: String,
}

/// How far one commit is from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drift {
    pub ahead: u64,
    pub behind: u64,
    /// What is ahead, the newest first.
    pub commits: Vec<DriftCommit>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriftCommit {
    pub sha: String,
    pub author: String,
    /// When it was committed, in milliseconds since 1970.
    pub at: i64,
    pub title: String,
}

impl Commit {
    /// The first line of the message.
    #[must_use]
    pub(crate) fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl Repositories {
    #[must_use]
    pub(crate) fn new(directory: PathBuf) -> Self {
        let unrecorded = Mutex::default();
        Self {
            directory,
            unrecorded,
        }
    }

    /// The repository of a project. Named by number, so that no name from outside is ever a path.
    #[must_use]
    pub(crate) fn of(&self, project: &Project) -> Repository {
        Repository {
            path: self.directory.join(format!("{}.git", project.id)),
        }
    }
}

/// A `git` command with nothing of our environment, no configuration but the given, and no code of others.
#[must_use]
pub(crate) fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_DIR", directory)
        .current_dir(directory)
        .args([
            "-c",
            "safe.directory=*",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ])
        .args([
            "-c",
            "protocol.allow=never",
            "-c",
            "transfer.fsckObjects=true",
            "-c",
            "core.quotePath=false",
        ])
        // What lies in the data directory must survive a power cut like the database does.
        .args([
            "-c",
            "core.fsync=all",
            "-c",
            "gc.auto=0",
            "-c",
            "receive.autogc=false",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Repository {
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the repository if it is not there.
    pub(crate) async fn create(&self, default_branch: &str) -> Result<(), GitError> {
        tokio::fs::create_dir_all(&self.path)
            .await
            .map_err(GitError::Start)?;
        let head = format!("--initial-branch={default_branch}");
        self.read(&["init", "--quiet", "--bare", "--template=", &head])
            .await?;
        Ok(())
    }

    /// The same, without asking git where it is there.
    pub(crate) async fn create_if_missing(&self, default_branch: &str) -> Result<(), GitError> {
        let there = tokio::fs::try_exists(self.path.join("HEAD"))
            .await
            .unwrap_or_default();
        if there {
            Ok(())
        } else {
            self.create(default_branch).await
        }
    }

    /// Branches and tags with what they point at.
    pub(crate) async fn refs(&self) -> Result<BTreeMap<String, String>, GitError> {
        let text = self
            .text(&[
                "for-each-ref",
                "--format=%(objectname) %(refname)",
                "refs/heads",
                "refs/tags",
            ])
            .await?;
        let refs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(refs
            .map(|(oid, name)| (name.to_owned(), oid.to_owned()))
            .collect())
    }

    /// The commit behind a ref or a (whole) object id; none where there is none.
    pub(crate) async fn commit_of(&self, revision: &str) -> Result<Option<String>, GitError> {
        let good = RefName::parse(revision).is_ok() || is_oid(revision);
        if !good {
            return Ok(None);
        }
        let peeled = format!("{revision}^{{commit}}");
        match self
            .text(&["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled])
            .await
        {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn commit(&self, sha: &str) -> Result<Commit, GitError> {
        const FORMAT: &str = "--format=%H%x00%T%x00%an%x00%ae%x00%cn%x00%ce%x00%cI%x00%B";
        let text = self
            .text(&[
                "log",
                "-1",
                "--no-show-signature",
                FORMAT,
                "--end-of-options",
                sha,
            ])
            .await?;
        let mut fields = text.trim_end_matches('\n').splitn(8, '\0').map(str::to_owned);
        let mut next = || fields.next().ok_or(GitError::Unreadable);
        Ok(Commit {
            sha: next()?,
            tree: next()?,
            author_name: next()?,
            author_email: next()?,
            committer_name: next()?,
            committer_email: next()?,
            time: next()?,
            message: next()?.trim_end().to_owned(),
        })
    }

    /// Commits of a push that `before` does not have, the oldest first, at most `limit`, the newest of them.
    pub(crate) async fn commits_between(
        &self,
        before: Option<&str>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Commit>, GitError> {
        let count = format!("--max-count={limit}");
        let mut arguments = vec!["rev-list", &count, after];
        let not = before.map(|before| format!("^{before}"));
        arguments.extend(not.as_deref());
        let text = self.text(&arguments).await?;
        let mut commits = Vec::new();
        for sha in text.lines() {
            commits.push(self.commit(sha).await?);
        }
        commits.reverse();
        Ok(commits)
    }

    /// How many commits the one has that the other has not, and the other way round; the newest `limit` of the first.
    /// Both are whole object ids. None where one of them is not there.
    pub(crate) async fn drift(&self, of: &str, to: &str, limit: usize) -> Result<Option<Drift>, GitError> {
        if !is_oid(of) || !is_oid(to) {
            return Ok(None);
        }
        let both = format!("{to}...{of}");
        let counted = self
            .text(&["rev-list", "--count", "--left-right", "--end-of-options", &both])
            .await;
        let counted = match counted {
            Ok(text) => text,
            Err(GitError::Failed { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut counts = counted.split_whitespace().map(str::parse);
        let (Some(Ok(behind)), Some(Ok(ahead))) = (counts.next(), counts.next()) else {
            return Err(GitError::Unreadable);
        };
        let (count, range) = (format!("--max-count={limit}"), format!("{to}..{of}"));
        let text = self
            .text(&[
                "log",
                "-z",
                "--no-show-signature",
                &count,
                "--format=%H%x1f%an%x1f%ct%x1f%s",
                "--end-of-options",
                &range,
            ])
            .await?;
        let commit = |line: &str| {
            let mut fields = line.splitn(4, '\x1f').map(str::to_owned);
            Some(DriftCommit {
                sha: fields.next()?,
                author: fields.next()?,
                at: fields.next()?.parse::<i64>().ok()?.saturating_mul(1000),
                title: fields.next()?,
            })
        };
        Ok(Some(Drift {
            ahead,
            behind,
            commits: text.split('\0').filter_map(commit).collect(),
        }))
    }

    /// The first parent of a commit.
    pub(crate) async fn parent(&self, sha: &str) -> Result<Option<String>, GitError> {
        match self
            .text(&[
                "rev-parse",
                "--verify",
                "--quiet",
                "--end-of-options",
                &format!("{sha}^"),
            ])
            .await
        {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn is_ancestor(&self, older: &str, newer: &str) -> Result<bool, GitError> {
        match self
            .read(&["merge-base", "--is-ancestor", "--end-of-options", older, newer])
            .await
        {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The paths that differ; none where they are too many to look at.
    pub(crate) async fn changed_paths(
        &self,
        before: &str,
        after: &str,
    ) -> Result<Option<Vec<String>>, GitError> {
        let arguments = [
            "diff-tree",
            "-r",
            "-z",
            "--name-only",
            "--no-renames",
            "--end-of-options",
            before,
            after,
        ];
        let text = self.text(&arguments).await?;
        let paths: Vec<String> = text
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        Ok((paths.len() <= CHANGED_PATHS_MAX).then_some(paths))
    }

    /// The paths of all files of a commit, of a root commit's push; none where they are too many.
    pub(crate) async fn all_paths(&self, commit: &str) -> Result<Option<Vec<String>>, GitError> {
        let text = self
            .text(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", commit])
            .await?;
        let paths: Vec<String> = text
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        Ok((paths.len() <= CHANGED_PATHS_MAX).then_some(paths))
    }

    /// The workflow files of a commit, by path: `.yml` and `.yaml` directly under `.github/workflows`.
    pub(crate) async fn workflow_files(&self, commit: &str) -> Result<BTreeMap<String, String>, GitError> {
        let listed = self
            .text(&["ls-tree", "-z", "--full-tree", commit, ".github/workflows/"])
            .await?;
        let mut files = BTreeMap::new();
        for entry in listed.split('\0') {
            let Some((head, path)) = entry.split_once('\t') else {
                continue;
            };
            let mut head = head.split(' ');
            let (mode, oid) = (head.next().unwrap_or_default(), head.nth(1).unwrap_or_default());
            let regular = mode.starts_with("100");
            if regular && (path.ends_with(".yml") || path.ends_with(".yaml")) {
                let text = self.read(&["cat-file", "blob", oid]).await?;
                let text = text.get(..text.len().min(FILE_BYTES_MAX)).unwrap_or_default();
                files.insert(path.to_owned(), String::from_utf8_lossy(text).into_owned());
            }
        }
        Ok(files)
    }

    /// A file at a commit; none where there is no such file.
    pub(crate) async fn file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self
            .read(&["cat-file", "blob", &format!("{commit}:{path}")])
            .await
        {
            Ok(bytes) => Ok(Some(bytes)),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn text(&self, arguments: &[&str]) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.read(arguments).await?).into_owned())
    }

    async fn read(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let command = || arguments.first().copied().unwrap_or_default().to_owned();
        let output = timeout(READ_TIME, git(&self.path).args(arguments).output()).await;
        let output = output
            .map_err(|_| GitError::TooLong { command: command() })?
            .map_err(GitError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let message = String::from_utf8_lossy(&output.stderr)
            .trim()
            .chars()
            .take(500)
            .collect();
        Err(GitError::Failed {
            command: command(),
            message,
        })
    }
}

/// Whether it is a whole object id.
#[must_use]
pub(crate) fn is_oid(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

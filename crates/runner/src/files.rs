//! The files through which a step talks to the runner: `GITHUB_ENV`, `GITHUB_OUTPUT`, `GITHUB_STATE`,
//! `GITHUB_PATH` and `GITHUB_STEP_SUMMARY`.
//!
//! Owns making them fresh for each step, and reading them without trust: a step may have put a link, a pipe or a
//! gigabyte in their place. The directory is held open, so that a step cannot move us to another one.
//! Follows `FileCommandManager.cs` of GitHub's runner.

mod pairs;

use crate::isolation::User;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// GitHub's limit of a summary.
pub const SUMMARY_BYTES_MAX: u64 = 1024 * 1024;
/// Of each of the others. GitHub limits the outputs of a job to 1 MiB; a step may set more and not pass it on.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The files, in the order in which they are read: name of the file, and the variable that names it.
const FILES: [(&str, &str); 5] = [
    ("add_path", "GITHUB_PATH"),
    ("set_env", "GITHUB_ENV"),
    ("set_output", "GITHUB_OUTPUT"),
    ("save_state", "GITHUB_STATE"),
    ("step_summary", "GITHUB_STEP_SUMMARY"),
];
const ENV: usize = 1;

/// The directory that holds them, of one job.
#[derive(Debug)]
pub struct CommandFiles {
    path: PathBuf,
    directory: OwnedFd,
    user: Option<User>,
}

/// The files of one step. Removed when they are read, or dropped.
#[derive(Debug)]
pub struct StepFiles<'a> {
    files: &'a CommandFiles,
    names: Vec<String>,
}

/// What a step left in its files. What was well-formed is here also when there were faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileEffects {
    /// In the order of the file; the last of a name counts.
    pub env: Vec<(String, String)>,
    pub outputs: Vec<(String, String)>,
    pub state: Vec<(String, String)>,
    /// In the order of the file; each goes before what is in `PATH` already, so the last one is searched first.
    pub paths: Vec<String>,
    pub summary: Option<String>,
    pub faults: Vec<FileFault>,
}

/// Something is wrong with one of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// `GITHUB_ENV` and the like.
    pub variable: &'static str,
    /// From 1; none where the whole file is meant.
    pub line: Option<usize>,
    pub message: String,
    /// Whether the step fails by it.
    pub fails: bool,
}

impl std::fmt::Display for FileFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.variable)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl CommandFiles {
    /// Makes the directory `_runner_file_commands` in the job's temporary directory.
    pub fn create(temp: &Path, user: Option<User>) -> io::Result<Self> {
        let path = temp.join("_runner_file_commands");
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(&path, flags, Mode::empty())?;
        if let Some(user) = user {
            nix::unistd::fchown(&directory, Some(user.uid.into()), Some(user.gid.into()))?;
        }
        Ok(Self {
            path,
            directory,
            user,
        })
    }

    /// Fresh, empty files. `key` must be new in this job: the step's number and what runs of it.
    pub fn step(&self, key: &str) -> io::Result<StepFiles<'_>> {
        let names: Vec<String> = FILES.iter().map(|(name, _)| format!("{name}_{key}")).collect();
        let step = StepFiles { files: self, names };
        for name in &step.names {
            let flags =
                OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let file = openat(
                &self.directory,
                name.as_str(),
                flags,
                Mode::from_bits_truncate(0o644),
            )?;
            if let Some(user) = self.user {
                nix::unistd::fchown(&file, Some(user.uid.into()), Some(user.gid.into()))?;
            }
        }
        Ok(step)
    }
}

impl StepFiles<'_> {
    /// The variables for the step's environment.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let path = |name: &String| self.files.path.join(name).into_os_string();
        FILES
            .iter()
            .zip(&self.names)
            .map(|((_, variable), name)| ((*variable).into(), path(name)))
            .collect()
    }

    /// Reads them; also after the step failed. Nothing of what it finds makes it fail.
    #[must_use]
    pub fn read(self) -> FileEffects {
        let mut effects = FileEffects::default();
        for (index, (_, variable)) in FILES.iter().enumerate() {
            let is_summary = index == FILES.len() - 1;
            let limit = if is_summary {
                SUMMARY_BYTES_MAX
            } else {
                FILE_BYTES_MAX
            };
            let text = match self.names.get(index).map(|name| self.read_file(name, limit)) {
                Some(Ok(text)) => text,
                Some(Err(message)) => {
                    effects.faults.push(FileFault {
                        variable,
                        line: None,
                        message,
                        fails: !is_summary,
                    });
                    continue;
                }
                None => continue,
            };
            match index {
                0 => effects.paths = paths(&text),
                4 => effects.summary = Some(text).filter(|t| !t.trim().is_empty()),
                _ => effects.take_pairs(index, variable, &text),
            }
        }
        effects
    }

    fn read_file(&self, name: &str, limit: u64) -> Result<String, String> {
        // Neither follows a link nor waits for the other end of a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let mut file = match openat(&self.files.directory, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            // A step may remove its file: as if it had written nothing.
            Err(nix::errno::Errno::ENOENT) => return Ok(String::new()),
            Err(nix::errno::Errno::ELOOP) => {
                return Err("the file was replaced by a symbolic link".to_owned());
            }
            Err(error) => return Err(format!("the file cannot be read: {error}")),
        };
        let metadata = file
            .metadata()
            .map_err(|e| format!("the file cannot be read: {e}"))?;
        if !metadata.is_file() || metadata.nlink() > 1 {
            return Err("the file was replaced by something else".to_owned());
        }
        let (size, megabytes) = (metadata.len(), limit / 1024 / 1024);
        if size > limit {
            return Err(format!(
                "the file holds {} KiB, more than the {megabytes} MiB that are read",
                size / 1024
            ));
        }
        if size == 0 {
            return Ok(String::new());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.by_ref()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|e| format!("the file cannot be read: {e}"))?;
        let text =
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

impl Drop for StepFiles<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // What a step put in its place goes with the whole directory.
            let _ = nix::unistd::unlinkat(
                &self.files.directory,
                name.as_str(),
                nix::unistd::UnlinkatFlags::NoRemoveDir,
            );
        }
    }
}

impl FileEffects {
    fn take_pairs(&mut self, index: usize, variable: &'static str, text: &str) {
        let (mut found, fault) = pairs::parse(text);
        if index == ENV {
            // Node would execute what it names, in every action that follows; GitHub says so and goes on.
            found.retain(|(name, _)| {
                let blocked = name.eq_ignore_ascii_case("NODE_OPTIONS");
                if blocked {
                    let message = "`NODE_OPTIONS` cannot be set by this file".to_owned();
                    self.faults.push(FileFault {
                        variable,
                        line: None,
                        message,
                        fails: false,
                    });
                }
                !blocked
            });
        }
        if let Some((line, message)) = fault {
            self.faults.push(FileFault {
                variable,
                line: Some(line),
                message,
                fails: true,
            });
        }
        match variable {
            "GITHUB_ENV" => self.env = found,
            "GITHUB_OUTPUT" => self.outputs = found,
            _ => self.state = found,
        }
    }
}

fn paths(text: &str) -> Vec<String> {
    text.lines()
        .map(|l| l.trim_end_matches('\r'))
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;

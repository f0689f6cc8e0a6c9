//! What keeps a job away from the platform: its data, its keys, its processes, and other jobs.
//!
//! Three means, each used where the machine has it: **Landlock** shuts the protected directories off for the
//! processes of the job, also where they run as root; **a user** for each slot, where this process runs as root;
//! **`no_new_privs`**, so that nothing of a job becomes more than it is. [`Isolation::describe`] says what of this
//! holds. Owns the rules; applying them between `clone` and `execve` is [`crate::process`]'s part.
//!
//! Landlock allows, it does not deny: every directory beside the protected ones is allowed by a rule. Names stay
//! readable (`ls /` works in a job), contents do not. Before Linux 7.1 it does not cover unix sockets.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr,
};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The first user of the pool: slot 0 runs as this one, slot 1 as the next. Outside of what distributions give
/// to people, services and containers.
pub const FIRST_USER: u32 = 61_000;

/// The user that a job's programs run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// What is done in a program's process before it begins. The default does nothing: for `exec`, which runs the
/// user's own workflow as the user.
#[derive(Debug, Default)]
pub struct ChildRules {
    /// A Landlock ruleset.
    pub landlock: Option<OwnedFd>,
    pub user: Option<User>,
    pub no_new_privs: bool,
    /// Where a job has to run as root: takes the capabilities away by which root reaches other processes, disks
    /// and the kernel. Those for installing packages stay.
    pub drop_capabilities: bool,
}

/// What is to be kept from jobs.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The data directory, keys outside of it, the directory of all workspaces.
    pub protected: Vec<PathBuf>,
    /// The directory in which the slots have theirs; may lie in a protected one.
    pub work: PathBuf,
    /// The pool's first user, or none for no change of user.
    pub first_user: Option<u32>,
}

/// What of the isolation this machine can give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The version of the kernel's Landlock.
    pub landlock: Option<i32>,
    /// The pool's first user.
    pub first_user: Option<u32>,
    pub no_new_privs: bool,
    /// Why there is no user of its own for a slot, where one was wanted.
    pub no_user_because: Option<String>,
    protected: Vec<PathBuf>,
}

impl Isolation {
    /// None at all: the job may do what this process may do.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Looks at what works here. The work directory and the protected ones have to exist.
    #[must_use]
    pub fn detect(settings: &Settings) -> Self {
        let canonical = settings.protected.iter().filter_map(|p| p.canonicalize().ok());
        let disks = block_devices().into_iter().filter(|_| is_root());
        let protected: Vec<PathBuf> = canonical
            .chain(disks)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut isolation = Self {
            landlock: landlock_version(),
            no_new_privs: true,
            protected,
            ..Self::default()
        };
        // A kernel may have Landlock and refuse it still, in a container for instance.
        if isolation.landlock.is_some() && isolation.ruleset(&[]).is_err() {
            isolation.landlock = None;
        }
        if let Some(first) = settings.first_user {
            match users_are_possible(&settings.work) {
                Ok(()) => isolation.first_user = Some(first),
                Err(reason) => isolation.no_user_because = Some(reason),
            }
        }
        isolation
    }

    /// A sentence for people: what holds, or that every job is trusted.
    #[must_use]
    pub fn describe(&self) -> String {
        let because = self
            .no_user_because
            .as_ref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        match (self.landlock, self.first_user) {
            (Some(version), Some(first)) => {
                format!(
                    "jobs run as users of their own from {first} on, shut off from the data directory by Landlock {version}"
                )
            }
            (Some(version), None) => format!(
                "jobs are shut off from the data directory by Landlock {version}, but run as the user of this process{because}"
            ),
            (None, Some(first)) => {
                format!("jobs run as users of their own from {first} on; this kernel has no Landlock")
            }
            (None, None) => format!(
                "every job is trusted: this kernel has no Landlock, and jobs run as the user of this process{because}"
            ),
        }
    }

    /// The user of a slot.
    #[must_use]
    pub fn user(&self, slot: u32) -> Option<User> {
        let id = self.first_user?.checked_add(slot)?;
        Some(User { uid: id, gid: id })
    }

    /// The rules for the programs of one job in a slot; `allowed` are its own directories within protected ones.
    pub fn rules(&self, slot: u32, allowed: &[&Path]) -> io::Result<ChildRules> {
        let landlock = self
            .landlock
            .is_some()
            .then(|| self.ruleset(allowed))
            .transpose()?;
        let user = self.user(slot);
        let drop_capabilities = self.no_new_privs && user.is_none() && is_root();
        Ok(ChildRules {
            landlock,
            user,
            no_new_privs: self.no_new_privs,
            drop_capabilities,
        })
    }

    fn ruleset(&self, allowed: &[&Path]) -> io::Result<OwnedFd> {
        let handled = handled();
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(handled);
        let mut ruleset = ruleset.and_then(Ruleset::create).map_err(io::Error::other)?;
        for path in open_paths(Path::new("/"), &self.protected) {
            ruleset = allow(ruleset, &path)?;
        }
        for path in allowed {
            ruleset = allow(ruleset, path)?;
        }
        Option::<OwnedFd>::from(ruleset).ok_or_else(|| io::Error::other("this kernel has no Landlock"))
    }
}

/// Closes the memory, the environment and the descriptors of this process to others of the same user, and to
/// debuggers. To be called at the start of every process of ours that knows a secret.
pub fn protect_this_process() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A disk holds everything that is protected, for whoever may read it as a whole.
fn block_devices() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/dev") else {
        return Vec::new();
    };
    let is_disk = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_block_device());
    entries.flatten().filter(is_disk).map(|e| e.path()).collect()
}

/// All but the listing of directories.
fn handled() -> BitFlags<AccessFs> {
    AccessFs::from_all(ABI::V9) & !BitFlags::from_flag(AccessFs::ReadDir)
}

fn allow(ruleset: RulesetCreated, path: &Path) -> io::Result<RulesetCreated> {
    // What vanished meanwhile needs no rule.
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(ruleset);
    };
    let Ok(fd) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let devices = AccessFs::MakeBlock | AccessFs::MakeChar;
    let access = if metadata.is_dir() {
        handled() & !devices
    } else {
        AccessFs::from_file(ABI::V9) & handled()
    };
    ruleset
        .add_rule(PathBeneath::new(fd, access))
        .map_err(io::Error::other)
}

/// Everything beneath `directory` but the protected paths, by as few paths as possible. Symbolic links are left
/// out: what counts is where they lead.
fn open_paths(directory: &Path, protected: &[PathBuf]) -> Vec<PathBuf> {
    if !protected.iter().any(|p| p.starts_with(directory)) {
        return vec![directory.to_owned()];
    }
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut open = Vec::new();
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        let is_link = kind.as_ref().is_ok_and(fs::FileType::is_symlink);
        if is_link || protected.contains(&path) {
            continue;
        }
        if kind.is_ok_and(|k| k.is_dir()) {
            open.extend(open_paths(&path, protected));
        } else {
            open.push(path);
        }
    }
    open
}

fn landlock_version() -> Option<i32> {
    const GET_VERSION: u32 = 1;
    #[allow(unsafe_code)]
    // SAFETY: with this flag the call takes no memory and only gives a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            GET_VERSION,
        )
    };
    i32::try_from(version).ok().filter(|v| *v > 0)
}

/// The directories of a `PATH` that other users can come to: a program of `/root/bin` would be found for a job, and
/// then not be executed.
#[must_use]
pub fn path_for_others(path: &str) -> String {
    let open = |entry: &&str| {
        let Ok(real) = Path::new(entry).canonicalize() else {
            return false;
        };
        real.ancestors().all(others_enter)
    };
    path.split(':').filter(open).collect::<Vec<_>>().join(":")
}

fn others_enter(directory: &Path) -> bool {
    const OTHERS_ENTER: u32 = 0o001;
    directory
        .metadata()
        .is_ok_and(|m| m.permissions().mode() & OTHERS_ENTER != 0)
}

/// Other users must be able to come to their directories.
fn users_are_possible(work: &Path) -> Result<(), String> {
    if !is_root() {
        return Err("it is not root".to_owned());
    }
    let work = work
        .canonicalize()
        .map_err(|e| format!("cannot look at {}: {e}", work.display()))?;
    for directory in work.ancestors() {
        let metadata = directory
            .metadata()
            .map_err(|e| format!("cannot look at {}: {e}", directory.display()))?;
        if metadata.uid() != 0 || !others_enter(directory) {
            return Err(format!(
                "{} cannot be entered by other users",
                directory.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

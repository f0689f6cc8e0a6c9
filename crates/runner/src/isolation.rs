//! What keeps a job away from the platform. See [`ChildRules`].

use std::os::fd::OwnedFd;

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
    /// `cgroup.procs` of the job's control group, open for writing.
    pub cgroup: Option<OwnedFd>,
}

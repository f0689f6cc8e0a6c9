//! Git: the repositories, smart HTTP, and what a push comes to.
//!
//! All of it is done by the `git` program, with arguments as arrays and an environment of its own. Nothing that a
//! repository contains is ever executed.

mod changes;
mod http;
mod packet;
mod receive;
mod repository;

pub(crate) use changes::record_all_changes;
pub(crate) use http::routes;
pub(crate) use repository::{Commit, Drift, DriftCommit, GitError, Repositories, Repository, git};

//! From text to the typed model: workflow files and `action.yml`.
//!
//! Owns what GitHub's server checks before a run begins: keys, types, ids, needs, which contexts a key offers,
//! reusable workflows and the ceiling of their permissions. It never gives up at the first fault and never
//! evaluates an expression. Each file here reads one noun of the language; [`reader`] has what they share.

mod action;
mod call;
mod container;
mod cron;
mod event;
mod expression;
mod id;
mod job;
mod needs;
mod permissions;
mod reader;
mod step;
mod strategy;
mod suggest;
mod support;
mod trigger;
mod workflow;

pub use action::action;
pub use permissions::PermissionsPolicy;
pub use suggest::closest;
pub use support::{CheckInput, Supported, unsupported};

use crate::diagnostic::Diagnostic;
use crate::model::Workflow;
use crate::source::Source;
use std::sync::Arc;

/// Finds the files of reusable workflows.
pub trait Resolver {
    /// The text behind `./.github/workflows/x.yml`, `$/.github/workflows/x.yml` or `owner/repo/path@ref`, or in
    /// words why there is none. A local path named by a remote workflow is asked for as `owner/repo/path@ref`.
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String>;
}

/// Knows no other file.
pub struct NoResolver;

impl Resolver for NoResolver {
    fn workflow(&self, _uses: &str) -> Result<Arc<Source>, String> {
        Err("other files are not read here".to_owned())
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions {
    /// What a job may do where no `permissions` are written.
    pub permissions_policy: PermissionsPolicy,
    /// Whether a reusable workflow of another repository that is not found is an error. If not, its call is
    /// left without a workflow, with a warning.
    pub remote_required: bool,
}

/// Reads a workflow file, and what it calls. The model is there whenever the file's YAML is a map; it may be
/// run only if no diagnostic is an error.
pub fn workflow(
    source: &Arc<Source>,
    resolver: &dyn Resolver,
    options: &ParseOptions,
) -> (Option<Workflow>, Vec<Diagnostic>) {
    call::Loader::new(resolver, options).root(source)
}

#[cfg(test)]
mod tests;

//! `permissions`, and the ceiling that a caller sets for the workflows that it calls (`PermissionsHelper.cs`).

use super::expression::NOTHING;
use super::reader::{Reader, Shape};
use crate::diagnostic::Diagnostic;
use crate::model::{Access, JobKind, Permissions, PermissionsKind, Workflow};
use crate::source::Spanned;
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;

/// What a job's token may do where nobody wrote `permissions`: a setting of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PermissionsPolicy {
    /// Only `contents: read` and `packages: read`.
    LimitedRead,
    #[default]
    Write,
}

pub(super) const SCOPES: &[&str] = &[
    "actions",
    "artifact-metadata",
    "attestations",
    "checks",
    "code-quality",
    "contents",
    "copilot-requests",
    "deployments",
    "discussions",
    "drives",
    "id-token",
    "issues",
    "models",
    "packages",
    "pages",
    "pull-requests",
    "repository-projects",
    "security-events",
    "statuses",
    "vulnerability-alerts",
    "workflows",
];
const SHAPE: Shape = Shape {
    keys: SCOPES,
    required: &[],
};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Permissions> {
    let kind = match &node.kind {
        Kind::String(text) if &**text == "read-all" => PermissionsKind::ReadAll,
        Kind::String(text) if &**text == "write-all" => PermissionsKind::WriteAll,
        Kind::Map(_) => {
            let fields = reader.fields(node, &[&SHAPE], &NOTHING, "`permissions`")?;
            let mut map = IndexMap::new();
            for (scope, _, value) in fields.entries {
                let words: &[&str] = match scope {
                    "id-token" | "copilot-requests" => &["write", "none"],
                    "vulnerability-alerts" => &["read", "none"],
                    _ => &["read", "write", "none"],
                };
                if let Some(level) = reader.one_of(value, words) {
                    let access = match level.value.as_str() {
                        "write" => Access::Write,
                        "read" => Access::Read,
                        _ => Access::None,
                    };
                    map.insert(scope.to_owned(), Spanned::new(access, level.span));
                }
            }
            PermissionsKind::Map(map)
        }
        _ => {
            reader.unexpected(node, "`read-all`, `write-all` or a map");
            return None;
        }
    };
    Some(Permissions {
        span: node.span,
        kind,
    })
}

impl Permissions {
    /// What is granted for one scope (`contents`, `id-token` …).
    #[must_use]
    pub fn access(&self, scope: &str) -> Access {
        match &self.kind {
            PermissionsKind::ReadAll => Access::Read,
            PermissionsKind::WriteAll => Access::Write,
            PermissionsKind::Map(map) => map.get(scope).map_or(Access::None, |a| a.value),
        }
    }
}

impl PermissionsPolicy {
    fn access(self, scope: &str) -> Access {
        match self {
            Self::Write => Access::Write,
            Self::LimitedRead if matches!(scope, "contents" | "packages") => Access::Read,
            Self::LimitedRead => Access::None,
        }
    }
}

/// Checks that no called workflow asks for more than its caller has.
pub(super) fn check_calls(
    workflow: &Workflow,
    inherited: Option<&Permissions>,
    policy: PermissionsPolicy,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for job in workflow.jobs.values() {
        let JobKind::Call(call) = &job.kind else { continue };
        let Some(called) = &call.workflow else { continue };
        let ceiling = job
            .permissions
            .as_ref()
            .or(workflow.permissions.as_ref())
            .or(inherited);
        let nested = called
            .jobs
            .values()
            .filter_map(|j| Some((Some(j.id.value.as_str()), j.permissions.as_ref()?)));
        let whole = called.permissions.as_ref().map(|p| (None, p));
        for (who, requested) in whole.into_iter().chain(nested) {
            let excess = excess(requested, ceiling, policy);
            if excess.is_empty() {
                continue;
            }
            let asked = excess
                .iter()
                .map(|(s, a, _)| format!("{s}: {}", word(*a)))
                .collect::<Vec<_>>()
                .join(", ");
            let has = excess
                .iter()
                .map(|(s, _, c)| format!("{s}: {}", word(*c)))
                .collect::<Vec<_>>()
                .join(", ");
            let who = who.map_or_else(|| "it".to_owned(), |id| format!("its job `{id}`"));
            let message = format!(
                "the workflow `{}` cannot be called: {who} asks for `{asked}`, and only `{has}` is allowed",
                call.uses.value
            );
            let fault = Diagnostic::error("W0405", &workflow.source, job.id.span, message)
                .help(format!("give `permissions` to the job `{}`", job.id.value));
            let known = |d: &Diagnostic| d.span == fault.span && d.message == fault.message;
            if !diagnostics.iter().any(known) {
                diagnostics.push(fault);
            }
        }
        check_calls(
            called,
            called.permissions.as_ref().or(ceiling),
            policy,
            diagnostics,
        );
    }
}

fn excess(
    requested: &Permissions,
    ceiling: Option<&Permissions>,
    policy: PermissionsPolicy,
) -> Vec<(&'static str, Access, Access)> {
    let allowed = |scope: &str| ceiling.map_or_else(|| policy.access(scope), |p| p.access(scope));
    let scopes = SCOPES.iter().map(|s| (*s, requested.access(s), allowed(s)));
    scopes.filter(|(_, asked, has)| asked > has).collect()
}

fn word(access: Access) -> &'static str {
    match access {
        Access::None => "none",
        Access::Read => "read",
        Access::Write => "write",
    }
}

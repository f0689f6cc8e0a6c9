//! W0601: text that a stranger chose, put into a script before the shell reads it.

use super::visit::{self, Part};
use crate::diagnostic::Diagnostic;
use crate::model::Workflow;

/// The ends of paths under `github.event` (and `github.head_ref`) whose text anybody may choose. `*` is one name
/// or index. From "Security hardening" of GitHub's documentation.
const UNTRUSTED: &[&str] = &[
    "github.head_ref",
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.discussion.title",
    "github.event.discussion.body",
    "github.event.head_commit.message",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.display_title",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.head_commit.author.email",
    "github.event.workflow_run.head_commit.author.name",
];
/// Lists of things with such texts; their chains end at the list.
const UNTRUSTED_LISTS: &[&str] = &["github.event.commits", "github.event.pages"];

pub(super) fn check(workflow: &Workflow, found: &mut Vec<Diagnostic>) {
    visit::expressions(workflow, &mut |site, expr| {
        if site.part != Part::Script {
            return;
        }
        for (names, range) in expr.references() {
            let path = names.join(".");
            let is_list = UNTRUSTED_LISTS
                .iter()
                .any(|list| path == *list || path.starts_with(&format!("{list}.")));
            if !UNTRUSTED.contains(&path.as_str()) && !is_list {
                continue;
            }
            let span = visit::place(workflow, expr, &range);
            let message = format!("`{path}` may hold any text, and the shell runs what is in it");
            let name = names.last().map(|n| n.to_uppercase()).unwrap_or_default();
            let help =
                format!("give it as `env: {{{name}: ${{{{ {path} }}}}}}`, and use \"${name}\" in the script");
            found.push(Diagnostic::warning("W0601", &workflow.source, span, message).help(help));
        }
    });
}

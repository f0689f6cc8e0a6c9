//! The root of a workflow file.

use super::expression::{NOTHING, RUN_NAME, WORKFLOW_CONCURRENCY, WORKFLOW_ENV};
use super::reader::{Empty, Reader, Shape};
use super::{job, needs, permissions, trigger};
use crate::diagnostic::Diagnostic;
use crate::model::{RunDefaults, Workflow};
use crate::source::{Source, Span};
use crate::yaml;
use indexmap::IndexMap;
use std::sync::Arc;

const SHAPE: Shape = Shape {
    keys: &[
        "on",
        "name",
        "description",
        "run-name",
        "defaults",
        "env",
        "permissions",
        "concurrency",
        "jobs",
    ],
    required: &["jobs"],
};

/// Reads one file by itself, without what it calls.
pub(super) fn read(source: &Arc<Source>) -> (Option<Workflow>, Vec<Diagnostic>) {
    let (root, diagnostics) = yaml::parse(source);
    let broken = !diagnostics.is_empty();
    let mut reader = Reader::new(source, diagnostics);
    let Some(root) = root else {
        if !broken {
            reader.error(
                "W0102",
                Span::default(),
                "the file is empty, a workflow needs `on` and `jobs`",
            );
        }
        return (None, reader.diagnostics);
    };
    let Some(fields) = reader.fields(&root, &[&SHAPE], &NOTHING, "a workflow") else {
        return (None, reader.diagnostics);
    };
    let mut workflow = Workflow {
        source: Arc::clone(source),
        name: None,
        run_name: None,
        on: Vec::new(),
        env: None,
        defaults: RunDefaults::default(),
        permissions: None,
        concurrency: None,
        jobs: IndexMap::new(),
    };
    for (key, _, value) in &fields.entries {
        match *key {
            "on" => workflow.on = trigger::read(&mut reader, value),
            "name" => workflow.name = reader.word(value, Empty::Allowed).filter(|n| !n.value.is_empty()),
            "description" => {
                reader.word(value, Empty::Allowed);
            }
            "run-name" => workflow.run_name = reader.text(value, &RUN_NAME, Empty::Allowed),
            "defaults" => workflow.defaults = job::defaults(&mut reader, value, &NOTHING),
            "env" => workflow.env = reader.text_map(value, &WORKFLOW_ENV),
            "permissions" => workflow.permissions = permissions::read(&mut reader, value),
            "concurrency" => {
                workflow.concurrency = job::concurrency(&mut reader, value, &WORKFLOW_CONCURRENCY);
            }
            _ => jobs(&mut reader, value, &mut workflow),
        }
    }
    if fields.get("on").is_none() {
        let span = reader.head(&root);
        reader.error(
            "W0301",
            span,
            "no event starts this workflow: the key `on` is missing",
        );
    }
    reader.diagnostics.sort_by_key(|d| d.span);
    (Some(workflow), reader.diagnostics)
}

fn jobs(reader: &mut Reader<'_>, node: &yaml::Node, workflow: &mut Workflow) {
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map of jobs");
        return;
    };
    if entries.is_empty() {
        reader.error("W0102", node.span, "a workflow needs at least one job");
        return;
    }
    let mut whole = true;
    for entry in entries {
        match job::read(reader, entry) {
            Some(job) => {
                workflow.jobs.insert(job.id.value.clone(), job);
            }
            None => whole = false,
        }
    }
    if whole {
        let span = reader.head(node);
        needs::check(reader, &workflow.jobs, span);
    }
}

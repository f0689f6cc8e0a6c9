//! One job: of steps, or a call of a reusable workflow.

use super::expression::{
    Allow, CALL_SECRETS, CALL_WITH, ENVIRONMENT, ENVIRONMENT_URL, JOB_CONCURRENCY, JOB_CONTINUE,
    JOB_DEFAULTS, JOB_ENV, JOB_IF, JOB_NAME, JOB_NUMBER, JOB_OUTPUTS, NOTHING, RUNS_ON,
};
use super::reader::{Empty, Fields, Reader, Shape, has_expression, scalar};
use super::{container, id, permissions, step, strategy};
use crate::expr::{Template, Value};
use crate::model::{
    CallJob, CallSecrets, Concurrency, EnvironmentRef, Job, JobKind, RunDefaults, StepsJob, Tree, TreeKey,
    TreeKind,
};
use crate::source::Spanned;
use crate::yaml::{Entry, Kind, Node};
use indexmap::IndexMap;

const STEPS: Shape = Shape {
    keys: &[
        "needs",
        "if",
        "strategy",
        "name",
        "runs-on",
        "timeout-minutes",
        "cancel-timeout-minutes",
        "continue-on-error",
        "container",
        "services",
        "env",
        "environment",
        "permissions",
        "concurrency",
        "outputs",
        "defaults",
        "steps",
        "snapshot",
    ],
    required: &["runs-on"],
};
const CALL: Shape = Shape {
    keys: &[
        "name",
        "uses",
        "with",
        "secrets",
        "needs",
        "if",
        "permissions",
        "concurrency",
        "strategy",
    ],
    required: &["uses"],
};
const RUNS_ON_MAP: Shape = Shape {
    keys: &["group", "labels"],
    required: &[],
};
const CONCURRENCY: Shape = Shape {
    keys: &["group", "cancel-in-progress", "queue"],
    required: &["group"],
};
const ENVIRONMENT_MAP: Shape = Shape {
    keys: &["name", "url", "deployment"],
    required: &["name"],
};
const DEFAULTS: Shape = Shape {
    keys: &["run"],
    required: &[],
};
const DEFAULTS_RUN: Shape = Shape {
    keys: &["shell", "working-directory"],
    required: &[],
};
/// GitHub's limit for the name of a concurrency group.
const GROUP_LENGTH_MAX: usize = 400;

pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry) -> Option<Job> {
    let name = reader.word(&entry.key, Empty::Refused)?;
    if let Err(message) = id::check(&name.value) {
        reader.error("W0105", name.span, message);
    }
    let fields = reader.fields(&entry.value, &[&STEPS, &CALL], &NOTHING, "a job")?;
    let needs = fields.get("needs").map(|n| reader.words(n)).unwrap_or_default();
    let kind = if fields.get("uses").is_some() {
        JobKind::Call(Box::new(call(reader, &fields)?))
    } else {
        JobKind::Steps(Box::new(steps(reader, &fields, &entry.value)))
    };
    Some(Job {
        name: fields
            .get("name")
            .and_then(|n| reader.text(n, &JOB_NAME, Empty::Allowed)),
        condition: fields.get("if").and_then(|n| reader.condition(n, &JOB_IF)),
        strategy: fields.get("strategy").and_then(|n| strategy::read(reader, n)),
        permissions: fields
            .get("permissions")
            .and_then(|n| permissions::read(reader, n)),
        concurrency: fields
            .get("concurrency")
            .and_then(|n| concurrency(reader, n, &JOB_CONCURRENCY)),
        id: name,
        span: entry.key.span.to(entry.value.span),
        needs,
        kind,
    })
}

fn steps(reader: &mut Reader<'_>, fields: &Fields<'_>, whole: &Node) -> StepsJob {
    let mut job = StepsJob {
        runs_on: scalar(whole, Value::Null),
        environment: None,
        outputs: IndexMap::new(),
        env: None,
        defaults: RunDefaults::default(),
        steps: Vec::new(),
        timeout_minutes: None,
        cancel_timeout_minutes: None,
        continue_on_error: None,
        container: None,
        services: None,
        snapshot: None,
    };
    for (key, _, value) in &fields.entries {
        match *key {
            "runs-on" => job.runs_on = runs_on(reader, value).unwrap_or_else(|| scalar(value, Value::Null)),
            "environment" => job.environment = environment(reader, value),
            "outputs" => job.outputs = outputs(reader, value),
            "env" => job.env = reader.text_map(value, &JOB_ENV),
            "defaults" => job.defaults = defaults(reader, value, &JOB_DEFAULTS),
            "steps" => job.steps = step::steps(reader, value, step::Place::Job),
            "timeout-minutes" => job.timeout_minutes = reader.number(value, &JOB_NUMBER),
            "cancel-timeout-minutes" => job.cancel_timeout_minutes = reader.number(value, &JOB_NUMBER),
            "continue-on-error" => job.continue_on_error = reader.boolean(value, &JOB_CONTINUE),
            "container" => job.container = container::container(reader, value),
            "services" => job.services = container::services(reader, value),
            "snapshot" => job.snapshot = container::snapshot(reader, value),
            _ => {}
        }
    }
    job
}

fn call(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<CallJob> {
    let with = fields
        .get("with")
        .and_then(|n| call_values(reader, n, &CALL_WITH));
    let secrets = match fields.get("secrets") {
        None => CallSecrets::None,
        Some(node) => match &node.kind {
            Kind::String(text) if &**text == "inherit" => CallSecrets::Inherit,
            Kind::Map(_) => {
                call_values(reader, node, &CALL_SECRETS).map_or(CallSecrets::None, CallSecrets::Map)
            }
            _ => {
                reader.unexpected(node, "`inherit` or a map");
                CallSecrets::None
            }
        },
    };
    let uses = fields.get("uses").and_then(|n| reader.word(n, Empty::Refused))?;
    Some(CallJob {
        uses,
        with,
        secrets,
        workflow: None,
    })
}

/// A map of texts, numbers and booleans, each of which may be an expression; the map itself may not.
fn call_values(reader: &mut Reader<'_>, node: &Node, allow: &Allow) -> Option<Tree> {
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map");
        return None;
    };
    let mut map = Vec::new();
    for entry in entries {
        let Some(key) = reader.word(&entry.key, Empty::Refused) else {
            continue;
        };
        if matches!(entry.value.kind, Kind::Seq(_) | Kind::Map(_)) {
            reader.unexpected(&entry.value, "a text, a number or a boolean");
        } else if let Some(value) = reader.tree(&entry.value, allow) {
            map.push((TreeKey::Plain(key), value));
        }
    }
    Some(Tree {
        span: node.span,
        kind: TreeKind::Map(map),
    })
}

fn runs_on(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    match &node.kind {
        Kind::Map(_) => {
            let fields = reader.fields(node, &[&RUNS_ON_MAP], &RUNS_ON, "`runs-on`")?;
            let mut map = Vec::new();
            for (key, name, value) in fields.entries {
                let tree = if key == "group" {
                    group(reader, value)
                } else {
                    labels(reader, value)
                };
                map.extend(tree.map(|t| (TreeKey::Plain(Spanned::new(key.to_owned(), name.span)), t)));
            }
            Some(Tree {
                span: node.span,
                kind: TreeKind::Map(map),
            })
        }
        _ => labels(reader, node),
    }
}

fn labels(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    if let Some(items) = node.items() {
        let texts = items.iter().filter_map(|n| text_tree(reader, n));
        let kind = TreeKind::Seq(texts.collect());
        return Some(Tree {
            span: node.span,
            kind,
        });
    }
    text_tree(reader, node)
}

fn text_tree(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    let text = reader.text(node, &RUNS_ON, Empty::Refused)?;
    Some(if has_expression(node) {
        Tree {
            span: node.span,
            kind: TreeKind::Template(text),
        }
    } else {
        scalar(node, Value::from(node.text().unwrap_or_default().to_string()))
    })
}

/// `name`, or `organization/name` and `enterprise/name` (and their short forms).
fn group(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    let tree = text_tree(reader, node)?;
    if let Some(text) = node.text().filter(|_| !has_expression(node)) {
        let parts: Vec<&str> = text.split('/').collect();
        let fits = match parts.as_slice() {
            [_] => true,
            [prefix, name] => {
                !name.is_empty() && ["org", "organization", "ent", "enterprise"].contains(prefix)
            }
            _ => false,
        };
        if !fits {
            let fault = reader.error(
                "W0111",
                node.span,
                format!("`{text}` is no name of a runner group"),
            );
            fault.help = Some("`name`, `organization/name` or `enterprise/name`".to_owned());
        }
    }
    Some(tree)
}

pub(super) fn concurrency(reader: &mut Reader<'_>, node: &Node, allow: &Allow) -> Option<Concurrency> {
    if !matches!(node.kind, Kind::Map(_)) {
        // GitHub takes an empty group for a workflow, and refuses it for a job.
        let is_job = allow.contexts.contains(&"matrix");
        if node.is_null() && !is_job {
            return None;
        }
        let group = reader.text(node, allow, Empty::Refused)?;
        group_length(reader, node, node);
        return Some(Concurrency {
            span: node.span,
            group,
            cancel_in_progress: None,
            queue_max: false,
        });
    }
    let fields = reader.fields(node, &[&CONCURRENCY], allow, "`concurrency`")?;
    let cancel_in_progress = fields
        .get("cancel-in-progress")
        .and_then(|n| reader.boolean(n, allow));
    let queue = fields
        .get("queue")
        .and_then(|n| reader.one_of(n, &["single", "max"]));
    let group_node = fields.get("group")?;
    let group = reader.text(group_node, allow, Empty::Refused)?;
    group_length(reader, group_node, node);
    let queue_max = queue.is_some_and(|q| q.value == "max");
    Some(Concurrency {
        span: node.span,
        group,
        cancel_in_progress,
        queue_max,
    })
}

fn group_length(reader: &mut Reader<'_>, group: &Node, at: &Node) {
    let length = group.text().map_or(0, |t| t.chars().count());
    if length > GROUP_LENGTH_MAX && !has_expression(group) {
        let span = reader.head(at);
        let message = format!("the group's name has {length} characters, {GROUP_LENGTH_MAX} are allowed");
        reader.error("W0113", span, message);
    }
}

fn environment(reader: &mut Reader<'_>, node: &Node) -> Option<EnvironmentRef> {
    if !matches!(node.kind, Kind::Map(_)) {
        let name = reader.text(node, &ENVIRONMENT, Empty::Allowed)?;
        let empty = node.text().is_some_and(|t| t.is_empty());
        return (!empty).then_some(EnvironmentRef {
            name,
            url: None,
            deployment: true,
        });
    }
    let fields = reader.fields(node, &[&ENVIRONMENT_MAP], &ENVIRONMENT, "`environment`")?;
    let url = fields
        .get("url")
        .and_then(|n| reader.text(n, &ENVIRONMENT_URL, Empty::Allowed));
    let deployment = fields.get("deployment").is_none_or(|n| match n.kind {
        Kind::Bool(deployment) => deployment,
        _ => {
            reader.unexpected(n, "true or false");
            true
        }
    });
    let name = fields
        .get("name")
        .and_then(|n| reader.text(n, &ENVIRONMENT, Empty::Allowed))?;
    Some(EnvironmentRef {
        name,
        url,
        deployment,
    })
}

fn outputs(reader: &mut Reader<'_>, node: &Node) -> IndexMap<String, Template> {
    let mut outputs = IndexMap::new();
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map");
        return outputs;
    };
    for entry in entries {
        let name = reader.word(&entry.key, Empty::Refused);
        let value = reader.text(&entry.value, &JOB_OUTPUTS, Empty::Allowed);
        if let (Some(name), Some(value)) = (name, value) {
            outputs.insert(name.value, value);
        }
    }
    outputs
}

pub(super) fn defaults(reader: &mut Reader<'_>, node: &Node, allow: &Allow) -> RunDefaults {
    let Some(fields) = reader.fields(node, &[&DEFAULTS], &NOTHING, "`defaults`") else {
        return RunDefaults::default();
    };
    let Some(run) = fields.get("run") else {
        return RunDefaults::default();
    };
    let Some(fields) = reader.fields(run, &[&DEFAULTS_RUN], allow, "`defaults.run`") else {
        return RunDefaults::default();
    };
    let mut text = |key: &str| {
        fields
            .get(key)
            .and_then(|n| reader.text(n, allow, Empty::Refused))
    };
    RunDefaults {
        shell: text("shell"),
        working_directory: text("working-directory"),
    }
}

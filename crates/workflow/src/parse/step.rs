//! `steps` of a job and of a composite action.

use super::expression::{Allow, COMPOSITE_IF, COMPOSITE_STEP, NOTHING, STEP, STEP_IF};
use super::id::{self, Ids};
use super::reader::{Empty, Fields, Reader, Shape};
use crate::model::{Step, StepKind};
use crate::source::Spanned;
use crate::yaml::{Kind, Node};

/// Where steps stand decides what they may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Job,
    Composite,
}

const RUN: Shape = Shape {
    keys: &[
        "name",
        "id",
        "if",
        "timeout-minutes",
        "run",
        "continue-on-error",
        "env",
        "working-directory",
        "shell",
        "background",
    ],
    required: &["run"],
};
const USES: Shape = Shape {
    keys: &[
        "name",
        "id",
        "if",
        "continue-on-error",
        "timeout-minutes",
        "uses",
        "with",
        "env",
        "background",
    ],
    required: &["uses"],
};
const WAIT: Shape = Shape {
    keys: &["name", "id", "continue-on-error", "wait"],
    required: &["wait"],
};
const WAIT_ALL: Shape = Shape {
    keys: &["name", "id", "continue-on-error", "wait-all"],
    required: &["wait-all"],
};
const CANCEL: Shape = Shape {
    keys: &["name", "id", "continue-on-error", "cancel"],
    required: &["cancel"],
};
const PARALLEL: Shape = Shape {
    keys: &[
        "name",
        "id",
        "if",
        "continue-on-error",
        "timeout-minutes",
        "parallel",
    ],
    required: &["parallel"],
};
const JOB_SHAPES: &[&Shape] = &[&RUN, &USES, &WAIT, &WAIT_ALL, &CANCEL, &PARALLEL];

const COMPOSITE_RUN: Shape = Shape {
    keys: &[
        "name",
        "id",
        "if",
        "run",
        "continue-on-error",
        "env",
        "working-directory",
        "shell",
    ],
    required: &["run", "shell"],
};
const COMPOSITE_USES: Shape = Shape {
    keys: &["name", "id", "if", "continue-on-error", "uses", "with", "env"],
    required: &["uses"],
};
const COMPOSITE_SHAPES: &[&Shape] = &[&COMPOSITE_RUN, &COMPOSITE_USES];

pub(super) fn steps(reader: &mut Reader<'_>, node: &Node, place: Place) -> Vec<Step> {
    let Some(items) = node.items() else {
        reader.unexpected(node, "a list of steps");
        return Vec::new();
    };
    let mut ids = Ids::default();
    let mut steps: Vec<(Step, bool)> = Vec::with_capacity(items.len());
    for item in items {
        steps.extend(step(reader, item, place, &mut ids));
    }
    // Ids that nobody gave are made after all that were, as GitHub does.
    let name = |(mut step, named): (Step, bool), ids: &mut Ids| {
        if !named {
            let base = match &step.kind {
                StepKind::Uses { action, .. } => id::base_of_action(&action.value),
                StepKind::Run { .. } | StepKind::Background(_) => "run".to_owned(),
            };
            step.id = ids.make(&base);
        }
        step
    };
    steps.into_iter().map(|s| name(s, &mut ids)).collect()
}

fn step(reader: &mut Reader<'_>, node: &Node, place: Place, ids: &mut Ids) -> Option<(Step, bool)> {
    let shapes = if place == Place::Job {
        JOB_SHAPES
    } else {
        COMPOSITE_SHAPES
    };
    let (values, condition) = match place {
        Place::Job => (&STEP, &STEP_IF),
        Place::Composite => (&COMPOSITE_STEP, &COMPOSITE_IF),
    };
    let fields = reader.fields(node, shapes, &NOTHING, "a step")?;
    let id = fields.get("id").and_then(|n| reader.word(n, Empty::Refused));
    if let Some(id) = &id
        && let Err(message) = ids.take(&id.value)
    {
        let code = if message.ends_with("twice") {
            "W0106"
        } else {
            "W0105"
        };
        reader.error(code, id.span, message);
    }
    let name = fields
        .get("name")
        .and_then(|n| reader.text(n, values, Empty::Allowed));
    let condition = fields.get("if").and_then(|n| reader.condition(n, condition));
    let env = fields.get("env").and_then(|n| reader.text_map(n, values));
    let continue_on_error = fields
        .get("continue-on-error")
        .and_then(|n| reader.boolean(n, values));
    let timeout_minutes = fields
        .get("timeout-minutes")
        .and_then(|n| reader.number(n, values));
    let kind = kind(reader, &fields, values, place)?;
    let named = id.is_some();
    let id = id.map(|i| i.value).unwrap_or_default();
    let span = node.span;
    Some((
        Step {
            id,
            span,
            name,
            condition,
            env,
            continue_on_error,
            timeout_minutes,
            kind,
        },
        named,
    ))
}

fn kind(reader: &mut Reader<'_>, fields: &Fields<'_>, values: &Allow, place: Place) -> Option<StepKind> {
    let background = fields.get("background").is_some_and(|n| match n.kind {
        Kind::Bool(background) => background,
        _ => {
            reader.unexpected(n, "true or false");
            false
        }
    });
    // Each value is read even where the step's form cannot be told, so that all faults are found.
    let script = fields
        .get("run")
        .and_then(|n| reader.text(n, values, Empty::Allowed));
    let shell = fields.get("shell").and_then(|n| match place {
        Place::Job => reader.text(n, &NOTHING, Empty::Refused),
        Place::Composite => reader.text(n, values, Empty::Refused),
    });
    let working_directory = fields
        .get("working-directory")
        .and_then(|n| reader.text(n, values, Empty::Allowed));
    let action = fields.get("uses").and_then(|n| action(reader, n));
    let with = fields.get("with").and_then(|n| reader.text_map(n, values));
    if let Some(action) = action {
        return Some(StepKind::Uses {
            action,
            with,
            background,
        });
    }
    if let Some(script) = script {
        return Some(StepKind::Run {
            script,
            shell,
            working_directory,
            background,
        });
    }
    let waits = ["wait", "wait-all", "cancel", "parallel"];
    let (word, key, value) = fields.entries.iter().find(|(k, _, _)| waits.contains(k))?;
    wait(reader, word, value);
    Some(StepKind::Background(Spanned::new((*word).to_owned(), key.span)))
}

fn wait(reader: &mut Reader<'_>, word: &str, value: &Node) {
    match word {
        "wait" => {
            reader.words(value);
        }
        "cancel" => {
            reader.word(value, Empty::Refused);
        }
        "parallel" => {
            steps(reader, value, Place::Job);
        }
        _ if matches!(value.kind, Kind::Null | Kind::Bool(_)) => {}
        _ => {
            reader.unexpected(value, "nothing, or true or false");
        }
    }
}

/// `owner/repo[/path]@ref`, `./path`, `$/path` or `docker://image`.
fn action(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<String>> {
    let uses = reader.word(node, Empty::Refused)?;
    let text = uses.value.as_str();
    let local = ["docker://", "./", ".\\", "$/"]
        .iter()
        .any(|p| text.starts_with(p));
    if !local {
        let mut halves = text.split('@');
        let path = halves.next().unwrap_or_default();
        let at = halves.next().unwrap_or_default();
        let segments = path.split(['/', '\\']).filter(|s| !s.is_empty()).count();
        if segments < 2 || at.is_empty() || halves.next().is_some() {
            let help = if segments >= 2 && at.is_empty() {
                format!("say which version: `{text}@v1`, a tag, a branch or a commit")
            } else {
                "`owner/repo@ref`, `owner/repo/path@ref`, `./path` or `docker://image`".to_owned()
            };
            reader
                .error("W0109", node.span, format!("`{text}` names no action"))
                .help = Some(help);
        }
    }
    Some(uses)
}

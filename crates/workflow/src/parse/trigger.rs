//! `on`: events, their types and filters, schedules, and the inputs of `workflow_dispatch` and `workflow_call`.
//!
//! GitHub's server checks `workflow_call` strictly and leaves unknown keys of other events alone. A key that no
//! event has is refused here all the same (it is a misspelt filter, and would start more runs than meant); one
//! that belongs to another event is only warned of.

use super::event::{self, EVENTS, Event, Types};
use super::expression::{INPUT_DEFAULT, NOTHING, OUTPUT_VALUE};
use super::reader::{Empty, Reader, Shape, cut};
use super::suggest::closest;
use super::{cron, id};
use crate::model::{Filter, Input, InputKind, Schedule, SecretInput, Trigger, WorkflowOutput};
use crate::source::{Span, Spanned};
use crate::yaml::{Entry, Kind, Node};
use indexmap::IndexMap;

/// `workflow_dispatch` takes so many inputs.
const INPUTS_MAX: usize = 25;
const CALL: Shape = Shape {
    keys: &["inputs", "secrets", "outputs"],
    required: &[],
};
const CALL_INPUT: Shape = Shape {
    keys: &["description", "type", "required", "default", "deprecationMessage"],
    required: &["type"],
};
const CALL_SECRET: Shape = Shape {
    keys: &["description", "required"],
    required: &[],
};
const CALL_OUTPUT: Shape = Shape {
    keys: &["description", "value"],
    required: &["value"],
};
const SCHEDULE: Shape = Shape {
    keys: &["cron", "timezone"],
    required: &["cron"],
};
const FILTER_KEYS: &[&str] = &[
    "types",
    "branches",
    "branches-ignore",
    "tags",
    "tags-ignore",
    "paths",
    "paths-ignore",
    "workflows",
    "names",
    "versions",
    "inputs",
    "cron",
];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    match &node.kind {
        Kind::Seq(items) => {
            for item in items.iter() {
                if let Some(trigger) = named(reader, item)
                    && !triggers.iter().any(|t| t.event.value == trigger.event.value)
                {
                    triggers.push(trigger);
                }
            }
        }
        Kind::Map(entries) => triggers.extend(entries.iter().filter_map(|e| configured(reader, e))),
        _ => triggers.extend(named(reader, node)),
    }
    if triggers.is_empty() && reader.diagnostics.is_empty() {
        reader.error("W0301", node.span, "no event starts this workflow");
    }
    triggers
}

/// An event by its name alone.
fn named(reader: &mut Reader<'_>, node: &Node) -> Option<Trigger> {
    if matches!(node.kind, Kind::Map(_) | Kind::Seq(_)) {
        reader.unexpected(node, "the name of an event");
        return None;
    }
    let event = known_event(reader, node)?;
    if event.name == "schedule" {
        reader.warning(
            "W0305",
            node.span,
            "`schedule` without `cron` lines starts nothing",
        );
    }
    Some(Trigger::new(Spanned::new(event.name.to_owned(), node.span)))
}

fn known_event(reader: &mut Reader<'_>, node: &Node) -> Option<&'static Event> {
    let name = node.text().unwrap_or_default();
    let found = event::find(&name);
    if found.is_none() {
        let help = closest(&name, EVENTS.iter().map(|e| e.name)).map(|n| format!("did you mean `{n}`?"));
        reader
            .error("W0301", node.span, format!("there is no event `{}`", cut(&name)))
            .help = help;
    }
    found
}

fn configured(reader: &mut Reader<'_>, entry: &Entry) -> Option<Trigger> {
    let event = known_event(reader, &entry.key)?;
    let mut trigger = Trigger::new(Spanned::new(event.name.to_owned(), entry.key.span));
    match event.name {
        "schedule" => schedule(reader, &entry.value, &mut trigger),
        _ if entry.value.is_null() => {}
        "workflow_call" => call(reader, &entry.value, &mut trigger),
        "workflow_dispatch" => dispatch(reader, &entry.value, &mut trigger),
        _ => filters(reader, event, &entry.value, &mut trigger),
    }
    Some(trigger)
}

fn filters(reader: &mut Reader<'_>, event: &Event, node: &Node, trigger: &mut Trigger) {
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map of filters");
        return;
    };
    for entry in entries {
        let key = entry.key.text().unwrap_or_default();
        let base = key
            .strip_suffix("-ignore")
            .filter(|b| matches!(*b, "branches" | "tags" | "paths"));
        let known = event.filters.contains(&base.unwrap_or(&key));
        match &*key {
            "types" if !matches!(event.types, Types::None) => {
                trigger.types = Some(types(reader, event, &entry.value));
            }
            _ if !known => unknown_filter(reader, event, &entry.key, &key),
            "workflows" => trigger.workflows = reader.words(&entry.value),
            "names" => trigger.names = reader.words(&entry.value),
            "versions" => trigger.versions = reader.words(&entry.value),
            _ => {
                let patterns = patterns(reader, &entry.value);
                let slot = match base.unwrap_or(&key) {
                    "branches" => &mut trigger.branches,
                    "tags" => &mut trigger.tags,
                    _ => &mut trigger.paths,
                };
                if matches!(slot, Filter::None) {
                    *slot = if base.is_some() {
                        Filter::Ignore(patterns)
                    } else {
                        Filter::Only(patterns)
                    };
                } else {
                    let name = base.unwrap_or(&key).to_owned();
                    let message = format!(
                        "`{name}` and `{name}-ignore` exclude each other; the second is without effect"
                    );
                    let fault = reader.warning("W0303", entry.key.span, message);
                    fault.help = Some(format!(
                        "use `{name}` alone, with `!` before the patterns that take away"
                    ));
                }
            }
        }
    }
    if event.name == "workflow_run" && trigger.workflows.is_empty() {
        reader.warning(
            "W0304",
            trigger.event.span,
            "`workflow_run` without `workflows` starts nothing",
        );
    }
}

fn patterns(reader: &mut Reader<'_>, node: &Node) -> Vec<Spanned<String>> {
    if node.is_null() {
        reader.warning("W0307", node.span, "an empty filter is no filter");
        return Vec::new();
    }
    reader.words(node)
}

fn unknown_filter(reader: &mut Reader<'_>, event: &Event, key: &Node, name: &str) {
    if FILTER_KEYS.contains(&name) {
        let message = format!("`{}` has no `{name}`; it is without effect", event.name);
        reader.warning("W0304", key.span, message);
        return;
    }
    let known = FILTER_KEYS.iter().copied().filter(|k| *k != "cron");
    let help = closest(name, known).map(|k| format!("did you mean `{k}`?"));
    reader
        .error(
            "W0101",
            key.span,
            format!("unknown key `{}` in the event `{}`", cut(name), event.name),
        )
        .help = help;
}

fn types(reader: &mut Reader<'_>, event: &Event, node: &Node) -> Vec<Spanned<String>> {
    if node.is_null() {
        return Vec::new();
    }
    let types = reader.words(node);
    if let Types::Known(known) = event.types {
        for wrong in types.iter().filter(|t| !known.contains(&t.value.as_str())) {
            let message = format!("`{}` has no activity type `{}`", event.name, cut(&wrong.value));
            match closest(&wrong.value, known.iter().copied()) {
                Some(near) => {
                    reader.error("W0302", wrong.span, message).help = Some(format!("did you mean `{near}`?"));
                }
                None => {
                    reader.warning("W0302", wrong.span, message);
                }
            }
        }
    }
    types
}

fn schedule(reader: &mut Reader<'_>, node: &Node, trigger: &mut Trigger) {
    let Some(items) = node.items() else {
        reader.unexpected(node, "a list of `cron` lines");
        return;
    };
    for item in items {
        let Some(fields) = reader.fields(item, &[&SCHEDULE], &NOTHING, "a schedule") else {
            continue;
        };
        let timezone = fields
            .get("timezone")
            .and_then(|n| reader.word(n, Empty::Refused));
        let Some(cron) = fields.get("cron").and_then(|n| reader.word(n, Empty::Refused)) else {
            continue;
        };
        match cron::check(&cron.value) {
            Err(message) => {
                reader.error("W0305", cron.span, message);
            }
            Ok(minutes) if minutes < 5 => {
                let message = format!("this is every {minutes} min; runs start every 5 min at most");
                reader.warning("W0305", cron.span, message);
            }
            Ok(_) => {}
        }
        trigger.schedule.push(Schedule { cron, timezone });
    }
}

/// `workflow_dispatch`, whose unknown keys GitHub ignores.
fn dispatch(reader: &mut Reader<'_>, node: &Node, trigger: &mut Trigger) {
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map");
        return;
    };
    for entry in entries {
        let name = entry.key.text().unwrap_or_default();
        if &*name != "inputs" {
            let help = closest(&name, ["inputs"]).map(|k| format!("did you mean `{k}`?"));
            let message = format!(
                "`workflow_dispatch` has no `{}`; it is without effect",
                cut(&name)
            );
            reader.warning("W0304", entry.key.span, message).help = help;
            continue;
        }
        if entry.value.is_null() {
            continue;
        }
        let Some(inputs) = entry.value.entries() else {
            reader.unexpected(&entry.value, "a map of inputs");
            continue;
        };
        if let Some(excess) = inputs.get(INPUTS_MAX) {
            let message = format!("there are {} inputs, {INPUTS_MAX} are allowed", inputs.len());
            reader.error("W0306", excess.key.span, message);
        }
        for input in inputs {
            let name = input_name(reader, &input.key);
            let read = dispatch_input(reader, input);
            if let (Some(name), Some(read)) = (name, read) {
                trigger.inputs.insert(name, read);
            }
        }
    }
}

fn input_name(reader: &mut Reader<'_>, key: &Node) -> Option<String> {
    let name = reader.word(key, Empty::Refused)?;
    if let Err(message) = id::check(&name.value) {
        // GitHub's own rule is looser at places, so names that it takes are only warned of.
        reader.warning("W0306", key.span, message.replace("the id", "the input"));
    }
    Some(name.value)
}

fn dispatch_input(reader: &mut Reader<'_>, entry: &Entry) -> Option<Input> {
    let mut input = Input {
        span: entry.key.span,
        kind: InputKind::String,
        description: None,
        required: false,
        default: None,
        options: Vec::new(),
    };
    if entry.value.is_null() {
        return Some(input);
    }
    let Some(entries) = entry.value.entries() else {
        reader.unexpected(&entry.value, "a map");
        return None;
    };
    for field in entries {
        let key = field.key.text().unwrap_or_default();
        match &*key {
            "description" => input.description = reader.word(&field.value, Empty::Allowed).map(|w| w.value),
            "deprecationMessage" => {}
            "required" => input.required = required(reader, &field.value),
            "type" => {
                if let Some(kind) = kind(reader, &field.value, &ALL_KINDS) {
                    input.kind = kind;
                }
            }
            "default" => input.default = reader.tree(&field.value, &NOTHING),
            "options" => input.options = options(reader, &field.value),
            _ => {
                let known = ["description", "required", "type", "default", "options"];
                let help = closest(&key, known).map(|k| format!("did you mean `{k}`?"));
                let message = format!("an input has no `{}`; it is without effect", cut(&key));
                reader.warning("W0304", field.key.span, message).help = help;
            }
        }
    }
    check_default(reader, &input, entry.value.get("default"));
    Some(input)
}

fn options(reader: &mut Reader<'_>, node: &Node) -> Vec<String> {
    match node.items() {
        Some(items) => items
            .iter()
            .filter_map(|i| reader.word(i, Empty::Allowed))
            .map(|w| w.value)
            .collect(),
        None => {
            reader.unexpected(node, "a list of texts");
            Vec::new()
        }
    }
}

fn check_default(reader: &mut Reader<'_>, input: &Input, default: Option<&Node>) {
    if input.kind == InputKind::Choice && input.options.is_empty() {
        reader.error(
            "W0306",
            input.span,
            "an input of the type `choice` needs `options`",
        );
        return;
    }
    let Some(node) = default.filter(|n| !n.is_null()) else {
        return;
    };
    let text = node.text().unwrap_or_default();
    let fits = match input.kind {
        InputKind::Boolean => matches!(&*text, "true" | "false"),
        InputKind::Number => text.parse::<f64>().is_ok(),
        InputKind::Choice => input.options.iter().any(|o| **o == *text),
        InputKind::String | InputKind::Environment => true,
    };
    if !fits {
        let expected = match input.kind {
            InputKind::Boolean => "a boolean",
            InputKind::Number => "a number",
            _ => "one of the options",
        };
        reader.warning(
            "W0306",
            node.span,
            format!("the default `{}` is not {expected}", cut(&text)),
        );
    }
}

/// `true`, or the texts `"true"` and `"false"` that many files have here.
fn required(reader: &mut Reader<'_>, node: &Node) -> bool {
    match node.text().as_deref() {
        Some("true") => true,
        Some("false" | "") => false,
        _ => {
            reader.unexpected(node, "true or false");
            false
        }
    }
}

const ALL_KINDS: [(&str, InputKind); 5] = [
    ("string", InputKind::String),
    ("boolean", InputKind::Boolean),
    ("number", InputKind::Number),
    ("choice", InputKind::Choice),
    ("environment", InputKind::Environment),
];

fn kind(reader: &mut Reader<'_>, node: &Node, kinds: &[(&str, InputKind)]) -> Option<InputKind> {
    let words: Vec<&str> = kinds.iter().map(|(w, _)| *w).collect();
    let word = reader.one_of(node, &words)?;
    kinds.iter().find(|(w, _)| *w == word.value).map(|(_, k)| *k)
}

fn call(reader: &mut Reader<'_>, node: &Node, trigger: &mut Trigger) {
    let Some(fields) = reader.fields(node, &[&CALL], &NOTHING, "`workflow_call`") else {
        return;
    };
    for (key, _, value) in fields.entries {
        let Some(entries) = value.entries() else {
            reader.unexpected(value, "a map");
            continue;
        };
        for entry in entries {
            let Some(name) = reader.word(&entry.key, Empty::Refused) else {
                continue;
            };
            match key {
                "inputs" => {
                    if let Some(input) = call_input(reader, entry) {
                        trigger.inputs.insert(name.value, input);
                    }
                }
                "secrets" => {
                    let required = call_secret(reader, &entry.value);
                    trigger.secrets.insert(
                        name.value,
                        SecretInput {
                            span: name.span,
                            required,
                        },
                    );
                }
                _ => call_output(reader, entry, name, &mut trigger.outputs),
            }
        }
    }
}

fn call_input(reader: &mut Reader<'_>, entry: &Entry) -> Option<Input> {
    let fields = reader.fields(
        &entry.value,
        &[&CALL_INPUT],
        &NOTHING,
        "an input of `workflow_call`",
    )?;
    let description = fields
        .get("description")
        .and_then(|n| reader.word(n, Empty::Allowed))
        .map(|w| w.value);
    let required = fields.get("required").is_some_and(|n| strict_required(reader, n));
    let default = fields.get("default").and_then(|n| {
        if n.entries().is_some() || n.items().is_some() {
            reader.unexpected(n, "a text, a number or a boolean");
            return None;
        }
        reader.tree(n, &INPUT_DEFAULT)
    });
    let kind = fields.get("type").and_then(|n| kind(reader, n, &ALL_KINDS[..3]));
    Some(Input {
        span: entry.key.span,
        kind: kind?,
        description,
        required,
        default,
        options: Vec::new(),
    })
}

fn strict_required(reader: &mut Reader<'_>, node: &Node) -> bool {
    match node.kind {
        Kind::Bool(required) => required,
        _ => {
            reader.unexpected(node, "true or false");
            false
        }
    }
}

fn call_secret(reader: &mut Reader<'_>, node: &Node) -> bool {
    if node.is_null() {
        return false;
    }
    let Some(fields) = reader.fields(node, &[&CALL_SECRET], &NOTHING, "a secret of `workflow_call`") else {
        return false;
    };
    if let Some(description) = fields.get("description") {
        reader.word(description, Empty::Allowed);
    }
    fields.get("required").is_some_and(|n| strict_required(reader, n))
}

fn call_output(
    reader: &mut Reader<'_>,
    entry: &Entry,
    name: Spanned<String>,
    outputs: &mut IndexMap<String, WorkflowOutput>,
) {
    let Some(fields) = reader.fields(
        &entry.value,
        &[&CALL_OUTPUT],
        &NOTHING,
        "an output of `workflow_call`",
    ) else {
        return;
    };
    if let Some(description) = fields.get("description") {
        reader.word(description, Empty::Allowed);
    }
    if let Some(value) = fields
        .get("value")
        .and_then(|n| reader.text(n, &OUTPUT_VALUE, Empty::Allowed))
    {
        outputs.insert(
            name.value,
            WorkflowOutput {
                span: name.span,
                value,
            },
        );
    }
}

impl Trigger {
    /// An event without any configuration.
    #[must_use]
    pub fn new(event: Spanned<String>) -> Self {
        Self {
            event,
            types: None,
            branches: Filter::None,
            tags: Filter::None,
            paths: Filter::None,
            workflows: Vec::new(),
            names: Vec::new(),
            versions: Vec::new(),
            schedule: Vec::new(),
            inputs: IndexMap::new(),
            secrets: IndexMap::new(),
            outputs: IndexMap::new(),
        }
    }

    /// Where its name stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.event.span
    }
}

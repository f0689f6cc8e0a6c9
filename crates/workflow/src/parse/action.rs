//! `action.yml`.

use super::expression::{ACTION_DEFAULT, ACTION_IF, ACTION_OUTPUT, NOTHING};
use super::reader::{Empty, Fields, Reader, Shape};
use super::step;
use crate::diagnostic::Diagnostic;
use crate::expr::Template;
use crate::model::{Action, ActionInput, ActionRuns};
use crate::source::{Source, Span, Spanned};
use crate::yaml::{self, Kind, Node};
use indexmap::IndexMap;
use std::sync::Arc;

const COMPOSITE: Shape = Shape {
    keys: &["using", "steps"],
    required: &["using", "steps"],
};
const JAVASCRIPT: Shape = Shape {
    keys: &["using", "main", "pre", "pre-if", "post", "post-if"],
    required: &["using", "main"],
};
const DOCKER: Shape = Shape {
    keys: &[
        "using",
        "image",
        "args",
        "env",
        "entrypoint",
        "pre-entrypoint",
        "pre-if",
        "post-entrypoint",
        "post-if",
    ],
    required: &["using", "image"],
};

/// Reads an `action.yml`. Keys that describe it (`author`, `branding` …) are not checked, as GitHub does not.
pub fn action(source: &Arc<Source>) -> (Option<Action>, Vec<Diagnostic>) {
    let (root, diagnostics) = yaml::parse(source);
    let broken = !diagnostics.is_empty();
    let mut reader = Reader::new(source, diagnostics);
    let Some(root) = root else {
        if !broken {
            reader.error(
                "W0102",
                Span::default(),
                "the file is empty, an action needs `runs`",
            );
        }
        return (None, reader.diagnostics);
    };
    if root.entries().is_none() {
        reader.unexpected(&root, "a map");
        return (None, reader.diagnostics);
    }
    let name = root
        .get("name")
        .and_then(|n| reader.word(n, Empty::Allowed))
        .map(|n| n.value);
    let inputs = root
        .get("inputs")
        .map(|n| inputs(&mut reader, n))
        .unwrap_or_default();
    let Some(node) = root.get("runs") else {
        let span = reader.head(&root);
        reader.error("W0102", span, "an action needs the key `runs`");
        return (None, reader.diagnostics);
    };
    let runs = runs(&mut reader, node);
    let is_composite = matches!(runs, Some(ActionRuns::Composite { .. }));
    let outputs = root
        .get("outputs")
        .map(|n| outputs(&mut reader, n, is_composite))
        .unwrap_or_default();
    let action = runs.map(|runs| Action {
        source: Arc::clone(source),
        name,
        inputs,
        outputs,
        runs,
    });
    (action, reader.diagnostics)
}

fn inputs(reader: &mut Reader<'_>, node: &Node) -> IndexMap<String, ActionInput> {
    let mut inputs = IndexMap::new();
    for (name, value) in named(reader, node) {
        let default = value
            .get("default")
            .and_then(|n| reader.text(n, &ACTION_DEFAULT, Empty::Allowed));
        let required = value
            .get("required")
            .is_some_and(|n| matches!(n.text().as_deref(), Some("true")));
        let deprecation = value
            .get("deprecationMessage")
            .and_then(|n| reader.word(n, Empty::Allowed))
            .map(|w| w.value);
        inputs.insert(
            name,
            ActionInput {
                required,
                default,
                deprecation,
            },
        );
    }
    inputs
}

fn outputs(reader: &mut Reader<'_>, node: &Node, is_composite: bool) -> IndexMap<String, Option<Template>> {
    let mut outputs = IndexMap::new();
    for (name, value) in named(reader, node) {
        let template = value.get("value").filter(|_| is_composite);
        outputs.insert(
            name,
            template.and_then(|n| reader.text(n, &ACTION_OUTPUT, Empty::Allowed)),
        );
    }
    outputs
}

/// The entries of a map of maps.
fn named<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Vec<(String, &'n Node)> {
    if node.is_null() {
        return Vec::new();
    }
    let Some(entries) = node.entries() else {
        reader.unexpected(node, "a map");
        return Vec::new();
    };
    let mut named = Vec::new();
    for entry in entries {
        if let Some(name) = reader.word(&entry.key, Empty::Refused) {
            named.push((name.value, &entry.value));
        }
    }
    named
}

fn runs(reader: &mut Reader<'_>, node: &Node) -> Option<ActionRuns> {
    if node.entries().is_none() {
        reader.unexpected(node, "a map");
        return None;
    }
    let Some(using) = node.get("using") else {
        let span = reader.head(node);
        reader.error("W0102", span, "`runs` needs the key `using`");
        return None;
    };
    let using = reader.word(using, Empty::Refused)?;
    match using.value.to_ascii_lowercase().as_str() {
        "composite" => {
            let fields = reader.fields(node, &[&COMPOSITE], &NOTHING, "`runs` of a composite action")?;
            let steps = step::steps(reader, fields.get("steps")?, step::Place::Composite);
            Some(ActionRuns::Composite { steps })
        }
        "docker" => docker(reader, node),
        // Older versions are run by a newer Node, as GitHub does.
        "node12" | "node16" | "node20" | "node22" | "node24" => javascript(reader, node, using),
        other => {
            let message = format!("`{other}` runs nothing: `composite`, `docker`, `node20` and `node24` do");
            reader.error("W0107", using.span, message);
            None
        }
    }
}

fn javascript(reader: &mut Reader<'_>, node: &Node, using: Spanned<String>) -> Option<ActionRuns> {
    let fields = reader.fields(node, &[&JAVASCRIPT], &NOTHING, "`runs` of a JavaScript action")?;
    let mut file = |key: &str| {
        fields
            .get(key)
            .and_then(|n| reader.word(n, Empty::Refused))
            .map(|w| w.value)
    };
    let (main, pre, post) = (file("main"), file("pre"), file("post"));
    let pre_if = fields.get("pre-if").and_then(|n| reader.condition(n, &ACTION_IF));
    let post_if = fields
        .get("post-if")
        .and_then(|n| reader.condition(n, &ACTION_IF));
    Some(ActionRuns::JavaScript {
        using,
        main: main?,
        pre,
        pre_if,
        post,
        post_if,
    })
}

fn docker(reader: &mut Reader<'_>, node: &Node) -> Option<ActionRuns> {
    let fields: Fields<'_> = reader.fields(node, &[&DOCKER], &NOTHING, "`runs` of a Docker action")?;
    let image = fields.get("image").and_then(|n| reader.word(n, Empty::Refused))?;
    if let Some(args) = fields.get("args")
        && !matches!(args.kind, Kind::Seq(_))
    {
        reader.unexpected(args, "a list of texts");
    }
    Some(ActionRuns::Docker {
        image,
        span: node.span,
    })
}

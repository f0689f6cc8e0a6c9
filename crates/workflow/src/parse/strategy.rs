//! `strategy`: what can be checked of a matrix before its expressions have values.

use super::expression::STRATEGY;
use super::reader::{Reader, Shape, has_expression};
use crate::expr::Value;
use crate::matrix;
use crate::model::{Strategy, Tree, TreeKey, TreeKind};
use crate::yaml::{Kind, Node};

const SHAPE: Shape = Shape {
    keys: &["matrix", "fail-fast", "max-parallel"],
    required: &[],
};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Strategy> {
    if node.entries().is_none() && has_expression(node) {
        // The whole strategy from one expression: its matrix is whatever comes out.
        let whole = reader.tree(node, &STRATEGY)?;
        return Some(Strategy {
            matrix: None,
            fail_fast: None,
            max_parallel: None,
            whole: Some(whole),
        });
    }
    let fields = reader.fields(node, &[&SHAPE], &STRATEGY, "`strategy`")?;
    let mut strategy = Strategy {
        matrix: None,
        fail_fast: None,
        max_parallel: None,
        whole: None,
    };
    for (key, _, value) in fields.entries {
        match key {
            "matrix" => strategy.matrix = read_matrix(reader, value),
            "fail-fast" => strategy.fail_fast = reader.boolean(value, &STRATEGY),
            _ => strategy.max_parallel = reader.number(value, &STRATEGY),
        }
    }
    Some(strategy)
}

fn read_matrix(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    let Some(entries) = node.entries() else {
        if has_expression(node) {
            return reader.tree(node, &STRATEGY);
        }
        reader.unexpected(node, "a map of lists");
        return None;
    };
    let before = reader.diagnostics.len();
    let mut has_vector = false;
    let mut has_include = false;
    for entry in entries {
        let name = entry.key.text().unwrap_or_default();
        match &*name {
            "include" | "exclude" => {
                filters(reader, &entry.value);
                has_include |= &*name == "include" && entry.value.items().is_none_or(|i| !i.is_empty());
            }
            _ => {
                has_vector = true;
                vector(reader, &entry.value, &name);
            }
        }
    }
    if !has_vector && !has_include {
        let span = reader.head(node);
        reader.error(
            "W0110",
            span,
            "a matrix needs at least one list of values, or `include`",
        );
    }
    let sound = reader.diagnostics.len() == before;
    let tree = reader.tree(node, &STRATEGY)?;
    if sound && !has_expression(node) {
        expansion(reader, node, &tree);
    }
    Some(tree)
}

fn vector(reader: &mut Reader<'_>, node: &Node, name: &str) {
    match &node.kind {
        Kind::Seq(items) if items.is_empty() => {
            reader.error(
                "W0110",
                node.span,
                format!("the list `{name}` of the matrix is empty"),
            );
        }
        Kind::Seq(_) => {}
        _ if has_expression(node) && node.entries().is_none() => {}
        _ => {
            reader.unexpected(node, "a list of values");
        }
    }
}

fn filters(reader: &mut Reader<'_>, node: &Node) {
    let Some(items) = node.items() else {
        if !has_expression(node) || node.entries().is_some() {
            reader.unexpected(node, "a list of maps");
        }
        return;
    };
    for item in items {
        if item.entries().is_none() && !has_expression(item) {
            reader.unexpected(item, "a map");
        }
    }
}

/// Without expressions the legs are known, and with them the last faults.
fn expansion(reader: &mut Reader<'_>, node: &Node, tree: &Tree) {
    let mut sound = true;
    for key in ["include", "exclude"] {
        for item in node.get(key).and_then(Node::items).unwrap_or_default() {
            if item.entries().is_some_and(<[_]>::is_empty) {
                sound = false;
                reader.error(
                    "W0110",
                    item.span,
                    format!("an empty map in `{key}` matches nothing"),
                );
            }
        }
    }
    for item in node.get("exclude").and_then(Node::items).unwrap_or_default() {
        for entry in item.entries().unwrap_or_default() {
            let name = entry.key.text().unwrap_or_default();
            let known = node
                .entries()
                .unwrap_or_default()
                .iter()
                .any(|e| e.key.text().is_some_and(|k| k.eq_ignore_ascii_case(&name)));
            if !known {
                sound = false;
                reader.error(
                    "W0110",
                    entry.key.span,
                    format!("`exclude` names `{name}`, which is no list of the matrix"),
                );
            }
        }
    }
    if let Err(message) = matrix::expand(&constant(tree))
        && sound
    {
        let span = reader.head(node);
        reader.error("W0110", span, message);
    }
}

/// The value of a tree without expressions.
fn constant(tree: &Tree) -> Value {
    match &tree.kind {
        TreeKind::Scalar(value) => value.clone(),
        TreeKind::Template(_) => Value::Null,
        TreeKind::Seq(items) => items.iter().map(constant).collect::<Vec<_>>().into(),
        TreeKind::Map(entries) => {
            let mut object = crate::expr::Object::new();
            for (key, value) in entries {
                if let TreeKey::Plain(name) = key {
                    object.insert(name.value.as_str(), constant(value));
                }
            }
            object.into()
        }
    }
}

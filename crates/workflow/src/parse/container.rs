//! `container`, `services` and `snapshot` of a job.

use super::expression::{CONTAINER, CONTAINER_ENV, CREDENTIALS, SNAPSHOT_IF};
use super::reader::{Empty, Reader, Shape, has_expression};
use crate::model::{Tree, TreeKey, TreeKind};
use crate::source::Spanned;
use crate::yaml::{Kind, Node};

const JOB_CONTAINER: Shape = Shape {
    keys: &["image", "options", "env", "ports", "volumes", "credentials"],
    required: &[],
};
const SERVICE: Shape = Shape {
    keys: &[
        "image",
        "options",
        "env",
        "ports",
        "volumes",
        "credentials",
        "entrypoint",
        "command",
    ],
    required: &[],
};
const LOGIN: Shape = Shape {
    keys: &["username", "password"],
    required: &[],
};
const SNAPSHOT: Shape = Shape {
    keys: &["image-name", "if", "version"],
    required: &["image-name"],
};

pub(super) fn container(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    one(reader, node, false)
}

pub(super) fn services(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    reader.map_of(node, &CONTAINER, |reader, value| one(reader, value, true))
}

fn one(reader: &mut Reader<'_>, node: &Node, is_service: bool) -> Option<Tree> {
    if !matches!(node.kind, Kind::Map(_)) {
        let empty = if is_service {
            Empty::Refused
        } else {
            Empty::Allowed
        };
        let template = reader.text(node, &CONTAINER, empty)?;
        check_image(reader, node, node, is_service);
        return Some(Tree {
            span: node.span,
            kind: TreeKind::Template(template),
        });
    }
    let shape = if is_service { &SERVICE } else { &JOB_CONTAINER };
    let fields = reader.fields(
        node,
        &[shape],
        &CONTAINER,
        if is_service { "a service" } else { "`container`" },
    )?;
    if is_service && fields.get("image").is_none() && !has_expression(node) {
        let span = reader.head(node);
        reader.error("W0112", span, "a service needs an `image`");
    }
    let mut map = Vec::new();
    for (key, name, value) in fields.entries {
        let tree = match key {
            "image" => {
                check_image(reader, value, node, is_service);
                reader.text(value, &CONTAINER, Empty::Refused).map(|t| Tree {
                    span: value.span,
                    kind: TreeKind::Template(t),
                })
            }
            "env" => reader.text_map(value, &CONTAINER_ENV),
            "credentials" => credentials(reader, value),
            "ports" | "volumes" => list(reader, value),
            _ => reader.text(value, &CONTAINER, Empty::Allowed).map(|t| Tree {
                span: value.span,
                kind: TreeKind::Template(t),
            }),
        };
        if let Some(tree) = tree {
            map.push((TreeKey::Plain(Spanned::new(key.to_owned(), name.span)), tree));
        }
    }
    Some(Tree {
        span: node.span,
        kind: TreeKind::Map(map),
    })
}

/// `docker://` alone, and nothing at all for a service, name no image.
fn check_image(reader: &mut Reader<'_>, node: &Node, at: &Node, is_service: bool) {
    let Some(text) = node.text().filter(|_| !has_expression(node) && !node.is_null()) else {
        return;
    };
    let bare = text.strip_prefix("docker://");
    if bare.is_some_and(str::is_empty) || (is_service && text.is_empty()) {
        let span = reader.head(at);
        reader.error("W0112", span, "the image is empty");
    }
}

fn credentials(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    if has_expression(node) && node.entries().is_none() {
        return reader.tree(node, &CREDENTIALS);
    }
    let fields = reader.fields(node, &[&LOGIN], &CREDENTIALS, "`credentials`")?;
    for (_, _, value) in &fields.entries {
        reader.text(value, &CREDENTIALS, Empty::Refused);
    }
    let before = reader.diagnostics.len();
    let tree = reader.tree(node, &CREDENTIALS);
    reader.diagnostics.truncate(before);
    tree
}

fn list(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    let Some(items) = node.items() else {
        if has_expression(node) {
            return reader.tree(node, &CONTAINER);
        }
        reader.unexpected(node, "a list");
        return None;
    };
    let mut trees = Vec::new();
    for item in items {
        if let Some(text) = reader.text(item, &CONTAINER, Empty::Refused) {
            trees.push(Tree {
                span: item.span,
                kind: TreeKind::Template(text),
            });
        }
    }
    Some(Tree {
        span: node.span,
        kind: TreeKind::Seq(trees),
    })
}

pub(super) fn snapshot(reader: &mut Reader<'_>, node: &Node) -> Option<Tree> {
    if !matches!(node.kind, Kind::Map(_)) {
        let name = reader.text(node, &super::expression::NOTHING, Empty::Refused)?;
        return Some(Tree {
            span: node.span,
            kind: TreeKind::Template(name),
        });
    }
    let fields = reader.fields(node, &[&SNAPSHOT], &SNAPSHOT_IF, "`snapshot`")?;
    for (key, _, value) in &fields.entries {
        match *key {
            "if" => {
                reader.condition(value, &SNAPSHOT_IF);
            }
            "version" => {
                let text = reader.word(value, Empty::Refused);
                let fits = |t: &str| {
                    t.strip_suffix(".*")
                        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
                };
                if text.is_some_and(|t| !fits(&t.value)) {
                    reader.error("W0115", node.span, "a snapshot's version has the form `1.*`");
                }
            }
            _ => {
                reader.word(value, Empty::Refused);
            }
        }
    }
    let before = reader.diagnostics.len();
    let tree = reader.tree(node, &SNAPSHOT_IF);
    reader.diagnostics.truncate(before);
    tree
}

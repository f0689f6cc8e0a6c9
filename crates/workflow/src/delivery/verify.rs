//! `verify`: named lists of requests, and the environments' choice among them.

use super::defaults;
use super::keys::{self, CHECKS_MAX};
use super::plan::Check;
use super::reader::Reader;
use crate::expr::Value;
use crate::parse::closest;
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;

/// The root's `verify`: a map of lists.
pub(super) fn named(reader: &mut Reader<'_>, node: &Node) -> IndexMap<String, Vec<Check>> {
    let mut all = IndexMap::new();
    for (name, value) in reader.named(node, "a list of checks") {
        let checks = list(reader, value);
        all.insert(name.value, checks);
    }
    all
}

/// An environment's `verify`: a name, or a list of names and checks.
pub(super) fn chosen(
    reader: &mut Reader<'_>,
    node: &Node,
    known: &IndexMap<String, Vec<Check>>,
) -> Vec<Check> {
    let items: &[Node] = match &node.kind {
        Kind::Seq(items) => items,
        _ => std::slice::from_ref(node),
    };
    let mut checks = Vec::new();
    for item in items {
        if item.entries().is_some() {
            checks.extend(check(reader, item));
            continue;
        }
        let Some(name) = reader.text(item, "the name of a list under `verify`") else {
            continue;
        };
        match known.get(&name) {
            Some(list) => checks.extend(list.iter().cloned()),
            None => {
                let help =
                    closest(&name, known.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
                reader
                    .error(
                        "P0103",
                        item.span,
                        format!("there is no list `{name}` under `verify`"),
                    )
                    .help = help;
            }
        }
    }
    checks
}

fn list(reader: &mut Reader<'_>, node: &Node) -> Vec<Check> {
    let Some(items) = node.items() else {
        reader.unexpected(node, "a list of checks such as `{get: /}`");
        return Vec::new();
    };
    if items.len() > CHECKS_MAX {
        let span = reader.head(node);
        reader.error("P0111", span, format!("a list has at most {CHECKS_MAX} checks"));
    }
    items.iter().filter_map(|item| check(reader, item)).collect()
}

fn check(reader: &mut Reader<'_>, node: &Node) -> Option<Check> {
    let mut get = None;
    let mut check = Check {
        get: String::new(),
        status: defaults::CHECK_STATUS,
        contains: None,
        json: None,
        within_ms: defaults::CHECK_WITHIN_MS,
    };
    for field in reader.fields(node, &keys::CHECK) {
        let value = field.value;
        match field.key {
            "get" => get = reader.path(value),
            "status" => {
                if let Some(status) = reader.count(value, 100, 599) {
                    check.status = u16::try_from(status).unwrap_or(defaults::CHECK_STATUS);
                }
            }
            "contains" => check.contains = reader.text(value, "a text"),
            "json" if value.entries().is_some() => check.json = Some(json(value)),
            "json" => {
                reader.unexpected(value, "a map of members");
            }
            _ => check.within_ms = reader.duration(value).unwrap_or(check.within_ms),
        }
    }
    if get.is_none() && node.entries().is_some() && node.get("get").is_none() {
        let span = reader.head(node);
        reader.error("P0102", span, "a check needs `get`, the path to ask for");
    }
    check.get = get?;
    Some(check)
}

fn json(node: &Node) -> serde_json::Value {
    match &node.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::Bool(b) => (*b).into(),
        Kind::Number(n) => serde_json::Value::from(&Value::Number(*n)),
        Kind::String(s) => (&**s).into(),
        Kind::Seq(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => {
            let members = entries
                .iter()
                .map(|e| (e.key.text().unwrap_or_default().to_string(), json(&e.value)));
            serde_json::Value::Object(members.collect())
        }
    }
}

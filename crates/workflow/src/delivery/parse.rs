//! The root of `pilotage.yml`, and the checks across its parts.

use super::model::{Delivery, Environment, Settings};
use super::reader::Reader;
use super::{defaults, environment, keys, notify, service, verify};
use crate::diagnostic::Diagnostic;
use crate::parse::closest;
use crate::source::{Source, Span};
use crate::yaml::{self, Node};
use indexmap::IndexMap;
use std::sync::Arc;

/// Reads a `pilotage.yml`. The model may be used only if no diagnostic is an error.
#[must_use]
pub fn parse(source: &Arc<Source>) -> (Option<Delivery>, Vec<Diagnostic>) {
    let (root, diagnostics) = yaml::parse(source);
    let broken = !diagnostics.is_empty();
    let mut reader = Reader { source, diagnostics };
    let Some(root) = root else {
        if !broken {
            reader.error(
                "P0102",
                Span::default(),
                "the file is empty, it needs `services` and `environments`",
            );
        }
        return (None, reader.diagnostics);
    };
    let mut delivery = Delivery {
        source: Arc::clone(source),
        settings: Settings::default(),
        services: IndexMap::new(),
        environments: IndexMap::new(),
        notify: Vec::new(),
    };
    let fields = reader.fields(&root, &keys::ROOT);
    let checks = root
        .get("verify")
        .map(|n| verify::named(&mut reader, n))
        .unwrap_or_default();
    for field in &fields {
        match field.key {
            "services" => {
                for (name, value) in reader.named(field.value, "a service") {
                    if let Some(service) = service::read(&mut reader, name, value) {
                        delivery.services.insert(service.name.value.clone(), service);
                    }
                }
            }
            "environments" => {
                for (name, value) in reader.named(field.value, "an environment") {
                    let environment = environment::read(&mut reader, name, value, &checks);
                    delivery
                        .environments
                        .insert(environment.name.value.clone(), environment);
                }
            }
            "notify" => delivery.notify = notify::routes(&mut reader, field.value),
            "verify" => {}
            _ => service::setting(&mut reader, field, &mut delivery.settings),
        }
    }
    across(&mut reader, &root, &delivery);
    reader.diagnostics.sort_by_key(|d| d.span);
    (Some(delivery), reader.diagnostics)
}

/// What must be there, and what must fit together.
fn across(reader: &mut Reader<'_>, root: &Node, delivery: &Delivery) {
    let entries = |key: &str| root.get(key).and_then(Node::entries).unwrap_or_default();
    for key in ["services", "environments"] {
        let is_wrong_kind = root
            .get(key)
            .is_some_and(|n| !n.is_null() && n.entries().is_none());
        if entries(key).is_empty() && !is_wrong_kind {
            let span = reader.head(root);
            reader.error("P0102", span, format!("`pilotage.yml` needs `{key}`"));
        }
    }
    // A service or a URL that is there and wrong has its own fault already.
    let names = entries("services").iter().filter_map(|e| e.key.text());
    let declared: Vec<String> = names.map(|t| t.to_string()).collect();
    order(reader, delivery, &declared);
    for environment in delivery.environments.values() {
        let node = root
            .get("environments")
            .and_then(|n| n.get(&environment.name.value));
        let has_url = node.is_some_and(|n| n.get("url").is_some());
        places(reader, delivery, environment, &declared, has_url);
    }
}

/// `after` names services, and leads to no circle.
fn order(reader: &mut Reader<'_>, delivery: &Delivery, declared: &[String]) {
    for service in delivery.services.values() {
        for after in service.after.iter().filter(|a| !declared.contains(&a.value)) {
            let help = closest(&after.value, declared.iter().map(String::as_str))
                .map(|n| format!("did you mean `{n}`?"));
            reader
                .error(
                    "P0103",
                    after.span,
                    format!("there is no service `{}`", after.value),
                )
                .help = help;
        }
    }
    // What waits for nothing that is left is taken away; the rest is on a circle or waits for one.
    let mut left: Vec<_> = delivery.services.values().collect();
    loop {
        let names: Vec<&str> = left.iter().map(|s| s.name.value.as_str()).collect();
        let before = left.len();
        left.retain(|s| s.after.iter().any(|a| names.contains(&a.value.as_str())));
        if left.len() == before {
            break;
        }
    }
    let names: Vec<&str> = left.iter().map(|s| s.name.value.as_str()).collect();
    for service in &left {
        for after in service.after.iter().filter(|a| names.contains(&a.value.as_str())) {
            let message = format!(
                "`{}` goes live after `{}`, which waits for it",
                service.name.value, after.value
            );
            reader.error("P0104", after.span, message);
        }
    }
}

/// Every service of an environment has a place of its own: a URL and a path.
fn places(
    reader: &mut Reader<'_>,
    delivery: &Delivery,
    environment: &Environment,
    declared: &[String],
    has_url: bool,
) {
    for (name, here) in environment.services.iter().filter(|(n, _)| !declared.contains(n)) {
        let help = closest(name, declared.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        reader
            .error("P0103", here.span, format!("there is no service `{name}`"))
            .help = help;
    }
    let mut taken: Vec<(String, &str, &str)> = Vec::new();
    for service in delivery.services.values() {
        let name = service.name.value.as_str();
        let own = environment.services.get(name).and_then(|here| here.url.as_ref());
        let Some(url) = own.or(environment.url.as_ref()) else {
            let span = environment.name.span;
            let message = format!(
                "the environment `{}` needs `url`, where it is reached",
                environment.name.value
            );
            let repeated = |d: &Diagnostic| d.span == span && d.message == message;
            if !has_url && !reader.diagnostics.iter().any(repeated) {
                reader.error("P0102", span, message).help = Some("url: http://localhost:8080".to_owned());
            }
            continue;
        };
        let path = service.path.as_ref().map_or(defaults::PATH, |p| p.value.as_str());
        if let Some((_, _, other)) = taken.iter().find(|(u, p, _)| *u == url.value && *p == path) {
            let span = service.path.as_ref().map_or(service.name.span, |p| p.span);
            let message = format!(
                "`{name}` and `{other}` both answer `{path}` of {} in `{}`",
                url.value, environment.name.value
            );
            reader.error("P0108", span, message).help =
                Some("give one of them a `path` of its own".to_owned());
            continue;
        }
        taken.push((url.value.clone(), path, name));
    }
}

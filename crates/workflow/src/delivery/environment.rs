//! One environment, and the services in it.

use super::keys::{self, OTHER_TARGETS};
use super::model::{Environment, ServiceHere, Settings};
use super::plan::Check;
use super::reader::Reader;
use super::service::setting;
use super::verify;
use crate::source::Spanned;
use crate::yaml::Node;
use indexmap::IndexMap;

pub(super) fn read(
    reader: &mut Reader<'_>,
    name: Spanned<String>,
    node: &Node,
    known_checks: &IndexMap<String, Vec<Check>>,
) -> Environment {
    let mut environment = Environment {
        name,
        url: None,
        verify: None,
        settings: Settings::default(),
        services: IndexMap::new(),
    };
    for field in reader.fields(node, &keys::ENVIRONMENT) {
        match field.key {
            "url" => environment.url = url(reader, field.value),
            "target" => target(reader, field.value),
            "verify" => environment.verify = Some(verify::chosen(reader, field.value, known_checks)),
            "invalidate" => reader.not_yet(field.span, "`invalidate`", None),
            "services" => {
                for (name, value) in reader.named(field.value, "a service") {
                    let here = here(reader, name.span, value);
                    environment.services.insert(name.value, here);
                }
            }
            _ => setting(reader, &field, &mut environment.settings),
        }
    }
    environment
}

fn here(reader: &mut Reader<'_>, span: crate::source::Span, node: &Node) -> ServiceHere {
    let mut here = ServiceHere {
        span,
        url: None,
        settings: Settings::default(),
    };
    for field in reader.fields(node, &keys::HERE) {
        match field.key {
            "url" => here.url = url(reader, field.value),
            _ => setting(reader, &field, &mut here.settings),
        }
    }
    here
}

/// `local`, the default. The others are refused by name.
fn target(reader: &mut Reader<'_>, node: &Node) {
    let keys = node
        .entries()
        .unwrap_or_default()
        .iter()
        .map(|e| (e.key.text(), e.key.span));
    let words = std::iter::once((node.text(), node.span));
    for (name, span) in keys.chain(words).filter_map(|(n, s)| Some((n?, s))) {
        if &*name == "local" {
            continue;
        }
        if OTHER_TARGETS.contains(&&*name) {
            reader.not_yet(
                span,
                &format!("the target `{name}`"),
                Some("`local`, the default, runs it on this machine"),
            );
        } else {
            reader
                .error("P0101", span, format!("there is no target `{name}`"))
                .help = Some("`local`, the default, runs it on this machine".to_owned());
        }
    }
}

/// `http://host[:port]`.
fn url(reader: &mut Reader<'_>, node: &Node) -> Option<Spanned<String>> {
    let text = reader.text(node, "a URL such as `http://localhost:8080`")?;
    if text.starts_with("https://") {
        let help = "let the proxy listen on `http://`, behind what ends TLS today";
        reader.not_yet(node.span, "`https` of the local target", Some(help));
        return None;
    }
    let authority = text
        .strip_prefix("http://")
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let fits = authority.is_some_and(|authority| {
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of `[::1]` are no port.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port_fits = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
        !host.is_empty() && host.chars().all(is_host) && port_fits
    });
    if !fits {
        let fault = reader.error(
            "P0109",
            node.span,
            format!("`{text}` is no URL that the proxy can listen on"),
        );
        fault.help = Some("`http://host:port`, without a path".to_owned());
        return None;
    }
    Some(Spanned::new(
        format!("http://{}", authority.unwrap_or_default()),
        node.span,
    ))
}

//! `notify`: routes from what happens to the channels that tell people.

use super::keys::{self, ROUTES_MAX};
use super::plan::{Channel, Occasion, Route};
use super::reader::Reader;
use super::service;
use crate::diagnostic::Diagnostic;
use crate::parse::closest;
use crate::yaml::Node;

pub(super) fn routes(reader: &mut Reader<'_>, node: &Node) -> Vec<Route> {
    let Some(items) = node.items() else {
        if !node.is_null() {
            reader.unexpected(node, "a list");
        }
        return Vec::new();
    };
    if let Some(first) = items.get(ROUTES_MAX) {
        let span = reader.head(first);
        reader.error(
            "P0111",
            span,
            format!("more than {ROUTES_MAX} notifications are too many"),
        );
    }
    items.iter().filter_map(|item| route(reader, item)).collect()
}

fn route(reader: &mut Reader<'_>, item: &Node) -> Option<Route> {
    let (mut to, mut secret, mut on) = (None, None, Vec::new());
    let fields = reader.fields(item, &keys::NOTIFICATION);
    // Then it has its fault already.
    let mut broken = item.entries().is_none_or(|entries| entries.len() > fields.len());
    for field in fields {
        let channel = match field.key {
            "on" => {
                on = occasions(reader, field.value);
                continue;
            }
            "secret" => {
                secret = reader.template(field.value).map(|text| (field.span, text));
                broken |= secret.is_none();
                continue;
            }
            "email" => {
                reader.not_yet(
                    field.span,
                    "the channel `email`",
                    Some("`slack`, `webhook` and `pagerduty` are sent"),
                );
                broken = true;
                continue;
            }
            "slack" => Channel::Slack,
            "pagerduty" => Channel::PagerDuty,
            _ => Channel::Webhook,
        };
        if to.is_some() {
            reader
                .error("P0111", field.span, "a notification has one channel")
                .help = Some("write another one in the list".to_owned());
        }
        match address(reader, channel, field.value) {
            Some(address) => to = Some((channel, address)),
            None => broken = true,
        }
    }
    let Some((channel, address)) = to else {
        if !broken {
            let span = reader.head(item);
            reader.error(
                "P0102",
                span,
                "a notification needs `slack`, `webhook` or `pagerduty`",
            );
        }
        return None;
    };
    if let (Some((span, _)), true) = (&secret, channel != Channel::Webhook) {
        reader.error(
            "P0111",
            *span,
            "`secret` signs what a `webhook` gets, nothing else",
        );
    }
    Some(Route {
        channel,
        address,
        secret: secret.map(|(_, text)| text),
        on,
    })
}

/// Written out, it must be what the channel needs. Who knows the address of a Slack webhook may write there.
fn address(reader: &mut Reader<'_>, channel: Channel, node: &Node) -> Option<String> {
    let address = reader.template(node)?;
    let (is_template, text) = (address.contains("${{"), address.trim());
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    if !is_template && (text.is_empty() || channel != Channel::PagerDuty && !is_url) {
        let expected = match channel {
            Channel::PagerDuty => "a key, or a secret that holds it",
            _ => "an address such as `https://…`, or a secret that holds it",
        };
        // What was written may be half a secret: it is not repeated.
        let span = reader.head(node);
        reader.error("P0107", span, format!("this is not {expected}"));
        return None;
    }
    if !is_template && channel != Channel::Webhook {
        let span = reader.head(node);
        let message = "whoever reads this file can write there, too";
        let help = match channel {
            Channel::PagerDuty => {
                "pilotage secret set PAGERDUTY_KEY, and `${{ secrets.PAGERDUTY_KEY }}` here"
            }
            _ => "pilotage secret set SLACK_WEBHOOK_URL, and `${{ secrets.SLACK_WEBHOOK_URL }}` here",
        };
        let warning = Diagnostic::warning("P0112", reader.source, span, message);
        reader.diagnostics.push(warning.help(help));
    }
    Some(address)
}

fn occasions(reader: &mut Reader<'_>, node: &Node) -> Vec<Occasion> {
    let mut all = Vec::new();
    for name in service::names(reader, node) {
        let words = || Occasion::ALL.iter().map(|(word, _)| *word);
        match Occasion::of(&name.value) {
            Some(occasion) => all.push(occasion),
            None => {
                let help = match name.value.as_str() {
                    "failed" => {
                        Some("what fails ends as `rolled-back`, `aborted` or `needs-attention`".to_owned())
                    }
                    other => closest(other, words()).map(|word| format!("did you mean `{word}`?")),
                };
                let known = || Some(format!("known: {}", words().collect::<Vec<_>>().join(", ")));
                let message = format!("there is no event `{}`", name.value);
                reader.error("P0103", name.span, message).help = help.or_else(known);
            }
        }
    }
    all
}

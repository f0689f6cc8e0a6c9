//! PagerDuty's Events API, version 2. One incident for each environment: what goes wrong opens it, the next release
//! that is live closes it.

use super::message::Message;
use super::{Request, refusal};
use crate::outgoing::Answer;
use pilotage_workflow::delivery::Occasion;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value as Json, json};

/// What PagerDuty takes of a summary.
const SUMMARY_CHARS_MAX: usize = 1024;
const KEY_CHARS_MAX: usize = 255;

pub(super) fn request(url: &str, message: &Message, server: &str, routing_key: &str) -> Request {
    Request {
        url: url.to_owned(),
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body: body(message, server, routing_key).to_string().into_bytes(),
    }
}

fn body(message: &Message, server: &str, routing_key: &str) -> Json {
    let (sign, _) = message.sign_and_word();
    let summary = format!(
        "{}: {}",
        message.head().trim_start_matches(sign).trim_start(),
        message.what()
    );
    let place = format!("{} {}", message.project, message.environment);
    let links: Vec<Json> = message
        .link(server)
        .map(|(text, href)| json!({"href": href, "text": text}))
        .into_iter()
        .collect();
    let action = match message.occasion {
        Occasion::Live => "resolve",
        _ => "trigger",
    };
    let severity = match message.occasion {
        Occasion::NeedsAttention => "critical",
        Occasion::RolledBack => "error",
        Occasion::Aborted => "warning",
        Occasion::Live | Occasion::Waiting => "info",
    };
    json!({
        "routing_key": routing_key.trim(),
        "event_action": action,
        "dedup_key": cut(&format!("{server} {place}"), KEY_CHARS_MAX),
        "client": "Pilotage",
        "client_url": server,
        "links": links,
        "payload": {
            "summary": cut(&summary, SUMMARY_CHARS_MAX),
            "source": place,
            "severity": severity,
            "timestamp": message.time(),
            "component": message.environment,
            "group": message.project,
            "class": message.occasion.word(),
            "custom_details": {
                "text": message.text(),
                "revision": message.revision,
                "old_revision": message.old_revision,
                "commit": message.sha,
                "actor": message.actor,
            },
        },
    })
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// PagerDuty says 202.
pub(super) fn judge(answer: &Answer) -> Result<(), String> {
    refusal(answer, "").map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn an_event_of_pagerduty() {
        let body = body(
            &message(Occasion::NeedsAttention).clean(str::to_owned),
            "http://localhost:7070",
            " R0UT1NG ",
        );
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn what_is_live_closes_what_was_opened() {
        let of = |occasion| body(&message(occasion).clean(str::to_owned), "http://x", "k");
        let (opened, closed) = (of(Occasion::RolledBack), of(Occasion::Live));
        assert_eq!(opened["dedup_key"], closed["dedup_key"]);
        assert_eq!(
            (&opened["event_action"], &closed["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
    }
}

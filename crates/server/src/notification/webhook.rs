//! Webhooks of anybody's own: the message as JSON, signed over its bytes where there is a secret.

use super::message::Message;
use super::{Request, refusal};
use crate::outgoing::Answer;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};
use sha2::Sha256;

/// The same at every try: who has seen it has seen the message.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const EVENT: HeaderName = HeaderName::from_static("pilotage-event");
/// `sha256=` and the HMAC of the body's bytes in hexadecimal.
const SIGNATURE: HeaderName = HeaderName::from_static("pilotage-signature");

pub(super) fn request(
    url: String,
    message: &Message,
    server: &str,
    key: &str,
    secret: Option<&str>,
) -> Request {
    let body = body(message, server, key).to_string().into_bytes();
    let mut headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (EVENT, HeaderValue::from_static(message.occasion.word())),
    ];
    if let Ok(key) = HeaderValue::from_str(key) {
        headers.push((KEY, key));
    }
    if let Some(secret) = secret {
        let signature = format!("sha256={}", sign(secret, &body));
        headers.extend(HeaderValue::from_str(&signature).map(|value| (SIGNATURE, value)));
    }
    Request { url, headers, body }
}

fn sign(secret: &str, body: &[u8]) -> String {
    // A key may have any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn body(message: &Message, server: &str, key: &str) -> Json {
    let of = |id: Option<i64>, what: &str| {
        id.map(|id| json!({"id": id, "url": format!("{server}/{}/{what}/{id}", message.project)}))
    };
    json!({
        "id": key,
        "event": message.occasion.word(),
        "at": message.time(),
        "project": message.project,
        "environment": message.environment,
        "kind": message.kind,
        "text": message.text(),
        "why": message.why,
        "evidence": message.evidence,
        "deployment": of(message.deployment, "deployments"),
        "run": of(message.run, "runs"),
        "job": some(&message.job),
        "release": some(&message.release),
        "commit": {"sha": message.sha, "title": message.title, "ref": message.r#ref},
        "revision": message.revision,
        "old_revision": some(&message.old_revision),
        "actor": message.actor,
        "reason": message.reason,
    })
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Any 2xx is good.
pub(super) fn judge(answer: &Answer) -> Result<(), String> {
    refusal(answer, "").map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;
    use pilotage_workflow::delivery::Occasion;

    #[test]
    fn a_message_of_a_webhook() {
        let body = body(
            &message(Occasion::RolledBack).clean(str::to_owned),
            "http://localhost:7070",
            "k-1",
        );
        insta::assert_json_snapshot!(body);
    }

    /// RFC 4231, cases 1, 2 and 6.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let check = |key: &[u8], data: &str, expected: &str| {
            let key = std::str::from_utf8(key).unwrap();
            assert_eq!(sign(key, data.as_bytes()), expected);
        };
        check(
            &[0x0b; 20],
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        );
        check(
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
    }
}

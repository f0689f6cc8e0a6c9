//! Slack's incoming webhooks. What others wrote stands in `plain_text`, where nothing is markup; `&`, `<` and `>`
//! are escaped wherever Slack would read them.

use super::message::Message;
use super::{Request, plain_word, refusal};
use crate::outgoing::Answer;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value as Json, json};

/// Slack takes 3,000 characters in a text of a block, and 40,000 in a message.
const BLOCK_CHARS_MAX: usize = 2900;

pub(super) fn request(url: String, message: &Message, server: &str) -> Request {
    Request {
        url,
        headers: vec![(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        )],
        body: body(message, server).to_string().into_bytes(),
    }
}

fn body(message: &Message, server: &str) -> Json {
    let (sign, word) = message.sign_and_word();
    let head = format!(
        "{sign} *{word}*  {} {}  {}",
        escape(&message.project),
        escape(&message.environment),
        escape(&message.way())
    );
    let mut blocks = vec![section(
        json!({"type": "mrkdwn", "text": head.trim_end(), "verbatim": true}),
    )];
    for text in std::iter::once(message.what()).chain(message.more()) {
        if !text.is_empty() {
            blocks.push(section(plain(text)));
        }
    }
    let mut elements = Vec::new();
    let about = message.about();
    if !about.is_empty() {
        elements.push(plain(&about));
    }
    if let Some((label, url)) = message.link(server) {
        let link = format!("<{}|{}>", escape(&url), escape(&label));
        elements.push(json!({"type": "mrkdwn", "text": link, "verbatim": true}));
    }
    blocks.push(json!({"type": "context", "elements": elements}));
    // What a notification on a phone and a screen reader say.
    json!({
        "text": escape(&message.text()),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn section(text: Json) -> Json {
    json!({"type": "section", "text": text})
}

fn plain(text: &str) -> Json {
    let text: String = text.chars().take(BLOCK_CHARS_MAX).collect();
    json!({"type": "plain_text", "text": text, "emoji": false})
}

/// Slack's three characters: without them there is no link, no mention, no entity.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Slack says `ok`, and nothing else is good.
pub(super) fn judge(answer: &Answer) -> Result<(), String> {
    let word = plain_word(&answer.body);
    match refusal(answer, word) {
        Some(refused) => Err(refused),
        None if answer.body.trim() == "ok" => Ok(()),
        None => Err(format!("answered {}, but not `ok`", answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;
    use pilotage_workflow::delivery::Occasion;

    #[test]
    fn a_message_of_slack() {
        let body = body(
            &message(Occasion::RolledBack).clean(str::to_owned),
            "http://localhost:7070",
        );
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn nothing_that_others_wrote_is_markup() {
        let hostile = "<!channel> <https://evil.example|click> & *b* &lt;!here&gt;";
        let mut all = message(Occasion::Aborted);
        for field in [
            &mut all.project,
            &mut all.environment,
            &mut all.title,
            &mut all.r#ref,
            &mut all.actor,
            &mut all.reason,
            &mut all.why,
            &mut all.revision,
        ] {
            hostile.clone_into(field);
        }
        all.evidence = vec![hostile.to_owned()];
        let body = body(&all.clean(str::to_owned), "http://localhost:7070");
        let check = |text: &str| {
            let harmless = text
                .replace("<http://localhost:7070/", "")
                .replace("|deployment 312>", "");
            assert!(!harmless.contains('<') && !harmless.contains('>'), "{text}");
            assert!(!harmless.contains("&lt;!channel&gt;\u{0}"), "{text}");
        };
        check(body["text"].as_str().unwrap());
        for block in body["blocks"].as_array().unwrap() {
            let elements = block["elements"].as_array().cloned().unwrap_or_default();
            for text in elements.iter().chain(std::iter::once(&block["text"])) {
                match text["type"].as_str() {
                    Some("mrkdwn") => check(text["text"].as_str().unwrap()),
                    Some("plain_text") => assert_eq!(text["emoji"], false),
                    _ => {}
                }
            }
        }
    }

    fn check_answer(status: u16, body: &str, expected: Result<(), &str>) {
        let answer = Answer {
            status,
            retry_after: None,
            body: body.to_owned(),
        };
        assert_eq!(judge(&answer), expected.map_err(str::to_owned), "{status} {body}");
    }

    #[test]
    fn only_ok_is_good() {
        check_answer(200, "ok", Ok(()));
        check_answer(200, "<html>", Err("answered 200, but not `ok`"));
        check_answer(400, "no_text", Err("refused: 400 no_text"));
        check_answer(404, "no_service\n", Err("refused: 404 no_service"));
        check_answer(403, "secret https://hooks/T/B/x", Err("refused: 403"));
        check_answer(302, "", Err("refused: 302, and redirects are not followed"));
        check_answer(500, "", Err("refused: 500"));
    }
}

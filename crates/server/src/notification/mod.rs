//! What people are told outside of our own pages: event → route → channel.
//!
//! What happened is a notice, written in the transaction in which it happened (`notice`). Its routes are those of
//! `notify:` in the `pilotage.yml` of the commit that it is about (`route`); each becomes a notification, which is
//! tried until it was told or a day has gone (`send`). It is told at least once, under the same key at every try.
//! Channels (`slack`, `webhook`, `pagerduty`) only put a message into their form and read the answer.
//!
//! Addresses are secrets: they are resolved for each try and stand in no log, error, answer or table. Templates see
//! the project's secrets and variables, never an environment's: a commit that nobody has approved says where to.

mod message;
mod notice;
mod pagerduty;
mod route;
mod send;
mod slack;
mod webhook;

pub(crate) use send::send;

use crate::outgoing::Answer;
use reqwest::header::{HeaderName, HeaderValue};

/// What a channel wants to be sent.
struct Request {
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

/// How the status of an answer refuses, if it does.
fn refusal(answer: &Answer, word: &str) -> Option<String> {
    let Answer { status, .. } = answer;
    match status {
        200..300 => None,
        300..400 => Some(format!("refused: {status}, and redirects are not followed")),
        _ if word.is_empty() => Some(format!("refused: {status}")),
        _ => Some(format!("refused: {status} {word}")),
    }
}

/// What an answer says of itself, if it is one plain word: anything else could be an echo of what nobody may see.
fn plain_word(text: &str) -> &str {
    let text = text.trim();
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    if text.len() <= 40 && text.bytes().all(plain) {
        text
    } else {
        ""
    }
}

//! A push: git takes it, we see what moved, start what follows, and say so on the client's screen.

use super::changes::{record_changes, record_later};
use super::http::{RequestBody, SILENCE_MAX, TIME_MAX, feed, start};
use super::packet::{PushHead, write_line, write_message};
use crate::app::App;
use crate::auth::Principal;
use crate::{answer, event};
use axum::body::Bytes;
use axum::http::StatusCode;
use pilotage_store::Project;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

type Sender = mpsc::Sender<std::io::Result<Bytes>>;

/// The beginning of a push, before its pack, is not longer than this.
const HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
const FLUSH: &[u8] = b"0000";
const GOES_ON: &str = "  the server goes on trying: nothing has to be pushed again\n";

/// Serves one push from beginning to end. Only a lost client is an error that nobody hears of.
pub(super) async fn receive(
    app: &Arc<App>,
    project: &Project,
    who: &Principal,
    command: Command,
    mut body: RequestBody,
    sender: Sender,
) {
    let head = match read_head(&mut body).await {
        Ok(head) => head,
        Err(error) => {
            let _ = sender.send(Err(error)).await;
            return;
        }
    };
    let (begun, head) = head;
    if let Some(refusal) = refusal(&head) {
        // What the client still sends is taken and dropped, or it would not read the answer.
        while let Ok(Some(_)) = body.next().await {}
        let _ = sender.send(Ok(Bytes::from(refusal))).await;
        return;
    }
    let banded = head.has("side-band-64k") || head.has("side-band");
    let end = timeout(TIME_MAX, pass_to_git(command, &mut body, begun, &sender, banded)).await;
    let whole = matches!(end, Ok(Ok(())));
    let message = conclude(app, project, who).await;
    if !whole {
        let _ = sender
            .send(Err(std::io::Error::other("git receive-pack ended early")))
            .await;
        return;
    }
    if banded {
        let mut out = Vec::new();
        write_message(&mut out, &message);
        out.extend_from_slice(FLUSH);
        let _ = sender.send(Ok(Bytes::from(out))).await;
    }
}

/// Reads up to the pack. Gives all that was read, and its meaning.
async fn read_head(body: &mut RequestBody) -> std::io::Result<(Vec<u8>, PushHead)> {
    let mut begun = Vec::new();
    loop {
        if let Some(head) = PushHead::read(&begun).map_err(std::io::Error::other)? {
            return Ok((begun, head));
        }
        // Before it pushes much, git asks with an empty list whether it may.
        match body.next().await? {
            Some(bytes) if begun.len() + bytes.len() <= HEAD_BYTES_MAX => begun.extend_from_slice(&bytes),
            Some(_) => return Err(std::io::Error::other("the head of the push is too long")),
            None => return Ok((begun, PushHead::default())),
        }
    }
}

/// Git's own form of a refusal, if a ref is not one that we take. Then none of the push is taken.
fn refusal(head: &PushHead) -> Option<Vec<u8>> {
    let refused = head.refused();
    if refused.is_empty() {
        return None;
    }
    let mut report = Vec::new();
    write_line(&mut report, b"unpack ok\n");
    for command in &head.commands {
        let reason = refused
            .iter()
            .find(|(r, _)| *r == command)
            .map(|(_, reason)| reason.as_str());
        let reason = reason.unwrap_or("another ref of this push was refused");
        write_line(&mut report, format!("ng {} {reason}\n", command.name).as_bytes());
    }
    report.extend_from_slice(FLUSH);
    if !head.has("side-band-64k") {
        return Some(report);
    }
    let mut out = Vec::new();
    for part in report.chunks(60_000) {
        let mut data = vec![1];
        data.extend_from_slice(part);
        write_line(&mut out, &data);
    }
    out.extend_from_slice(FLUSH);
    Some(out)
}

/// Runs git over the push. With side bands its last flush is held back, because we have something to add.
async fn pass_to_git(
    mut command: Command,
    body: &mut RequestBody,
    begun: Vec<u8>,
    sender: &Sender,
    banded: bool,
) -> std::io::Result<()> {
    let mut child = start(&mut command).map_err(std::io::Error::other)?;
    let (Some(stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::other("git has no pipes"));
    };
    let drain = async {
        let mut held: Vec<u8> = Vec::new();
        let mut gone = false;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = stdout.read(&mut buffer).await?;
            if length == 0 {
                break;
            }
            held.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let keep = if banded { FLUSH.len() } else { 0 };
            let ready: Vec<u8> = held.drain(..held.len().saturating_sub(keep)).collect();
            // A client that has gone, or does not read, does not stop the push.
            gone = gone
                || sender
                    .send_timeout(Ok(Bytes::from(ready)), SILENCE_MAX)
                    .await
                    .is_err();
        }
        if held != FLUSH && !held.is_empty() {
            return Err(std::io::Error::other("git's answer is cut short"));
        }
        Ok(())
    };
    let (_, drained): (std::io::Result<()>, std::io::Result<()>) =
        tokio::join!(feed(body, stdin, begun), drain);
    child.wait().await?;
    drained
}

/// Makes events of what moved, starts what follows from them, and puts it into words.
async fn conclude(app: &Arc<App>, project: &Project, who: &Principal) -> String {
    let changes = match record_changes(app, project, &who.name).await {
        Ok(changes) => changes,
        Err(error) => {
            record_later(app, project, &who.name);
            return format!(
                "✕ your commits are stored, but the server could not look at them yet: {error}\n{GOES_ON}"
            );
        }
    };
    let mut message = String::new();
    for change in changes {
        match event::handle(app, change.event).await {
            Ok(outcome) => message.push_str(&answer::push(app, project, &outcome).await),
            Err(error) => {
                message.push_str(&format!("✕ nothing was started for {}: {error}\n", change.name));
                if error.status == StatusCode::INSUFFICIENT_STORAGE {
                    message.push_str(GOES_ON);
                    record_later(app, project, &who.name);
                }
            }
        }
    }
    message
}

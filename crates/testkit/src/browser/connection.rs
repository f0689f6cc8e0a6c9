//! The protocol's pipe: commands with their answers, and for each session what it has seen. Knows nothing of pages.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Connection {
    to: Mutex<ChildStdin>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Sender<Result<Value, String>>>>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

/// What has happened in one page.
#[derive(Default)]
pub(super) struct Session {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct Seen {
    /// Loaders whose document and what belongs to it are there.
    pub(super) loaded: Vec<String>,
    /// What nobody wants to see: errors, violations of the policy, dialogs.
    pub(super) faults: Vec<String>,
}

impl Connection {
    pub(super) fn start(to: ChildStdin, from: ChildStdout) -> Arc<Self> {
        let connection = Arc::new(Self {
            to: Mutex::new(to),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            sessions: Mutex::default(),
        });
        let reads = Arc::clone(&connection);
        std::thread::spawn(move || reads.read(from));
        connection
    }

    /// The answer of one command, or what the browser says against it.
    pub(super) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
        bound: Duration,
    ) -> Result<Value, String> {
        let (answer, answered) = channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).insert(id, answer);
        self.send(id, session, method, parameters)?;
        let answer = answered.recv_timeout(bound);
        lock(&self.waiting).remove(&id);
        answer.unwrap_or_else(|error| Err(format!("{method}: no answer of the browser ({error})")))
    }

    pub(super) fn session(&self, id: &str) -> Arc<Session> {
        Arc::clone(lock(&self.sessions).entry(id.to_owned()).or_default())
    }

    pub(super) fn forget(&self, id: &str) {
        lock(&self.sessions).remove(id);
    }

    fn send(&self, id: u64, session: Option<&str>, method: &str, parameters: Value) -> Result<(), String> {
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let mut to = lock(&self.to);
        to.write_all(&bytes)
            .and_then(|()| to.flush())
            .map_err(|error| format!("{method}: the browser has gone ({error})"))
    }

    fn read(&self, from: ChildStdout) {
        let mut from = BufReader::new(from);
        let mut bytes = Vec::new();
        while from.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
            bytes.pop();
            if let Ok(message) = serde_json::from_slice::<Value>(&bytes) {
                self.take(&message);
            }
            bytes.clear();
        }
        // Who still waits is told by its end of the channel.
        lock(&self.waiting).clear();
    }

    fn take(&self, message: &Value) {
        if let Some(id) = message["id"].as_u64() {
            let answer = match message.get("error") {
                None => Ok(message["result"].clone()),
                Some(error) => Err(text(&error["message"])),
            };
            if let Some(waiting) = lock(&self.waiting).remove(&id) {
                let _ = waiting.send(answer);
            }
            return;
        }
        let (Some(method), Some(id)) = (message["method"].as_str(), message["sessionId"].as_str()) else {
            return;
        };
        if method == "Page.javascriptDialogOpening" {
            // Nobody is there to close it, and the page would stand still.
            let close = self.next.fetch_add(1, Ordering::Relaxed);
            let _ = self.send(
                close,
                Some(id),
                "Page.handleJavaScriptDialog",
                json!({ "accept": true }),
            );
        }
        let session = self.session(id);
        lock(&session.seen).take(method, &message["params"]);
        session.changed.notify_all();
    }
}

impl Session {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Waits for what happens until it holds; whether it did.
    pub(super) fn wait(&self, bound: Duration, holds: impl Fn(&Seen) -> bool) -> bool {
        let end = Instant::now() + bound;
        let mut seen = self.seen();
        while !holds(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Seen {
    fn take(&mut self, method: &str, event: &Value) {
        match method {
            "Page.lifecycleEvent" if event["name"] == "load" => self.loaded.push(text(&event["loaderId"])),
            "Page.javascriptDialogOpening" => {
                self.faults.push(format!(
                    "a dialog opened ({}): {}",
                    text(&event["type"]),
                    text(&event["message"])
                ));
            }
            "Runtime.exceptionThrown" => {
                let details = &event["exceptionDetails"];
                let what = match details["exception"]["description"].as_str() {
                    Some(what) => what.to_owned(),
                    None => text(&details["text"]),
                };
                self.faults
                    .push(format!("not caught: {what} at {}", text(&details["url"])));
            }
            "Runtime.consoleAPICalled" if matches!(event["type"].as_str(), Some("error" | "assert")) => {
                let words = event["args"].as_array().map(Vec::as_slice).unwrap_or_default();
                let words: Vec<String> = words
                    .iter()
                    .map(|word| text(word.get("value").unwrap_or(&word["description"])))
                    .collect();
                self.faults.push(format!("console: {}", words.join(" ")));
            }
            "Log.entryAdded" if event["entry"]["level"] == "error" => {
                let entry = &event["entry"];
                self.faults.push(format!(
                    "{}: {} {}",
                    text(&entry["source"]),
                    text(&entry["text"]),
                    text(&entry["url"])
                ));
            }
            "Audits.issueAdded" if event["issue"]["code"] == "ContentSecurityPolicyIssue" => {
                let details = &event["issue"]["details"]["contentSecurityPolicyIssueDetails"];
                self.faults.push(format!("policy: {details}"));
            }
            "Inspector.targetCrashed" => self.faults.push("the page crashed".to_owned()),
            _ => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

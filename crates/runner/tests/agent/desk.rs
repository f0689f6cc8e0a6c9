//! A server of the runner protocol that gives out jobs and writes down what it hears. It refuses what the real one
//! refuses: gaps, old fences, reports before the acknowledgement.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

use pilotage_api::lease::{
    Lease, LeaseAnswer, Next, Registered, Renew, Renewed, Reports, ResultAnswer, read_frame,
};
use pilotage_api::runner::{JobResult, JobSpec, Report};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

#[derive(Default)]
pub struct Book {
    pub waiting: VecDeque<JobSpec>,
    pub fence: u64,
    pub acknowledged: bool,
    pub lines: Vec<String>,
    pub reports: Vec<Report>,
    pub results: Vec<JobResult>,
    pub registered: u32,
    pub renewals: u32,
    pub cancel: bool,
    /// Every call of a lease is answered with 409.
    pub fenced: bool,
    /// Connections are closed without an answer.
    pub down: bool,
    /// This many log calls are taken without the runner learning of it.
    pub lost_answers: u32,
}

#[derive(Clone)]
pub struct Desk {
    book: Arc<Mutex<Book>>,
    changed: Arc<Notify>,
    pub url: String,
}

impl Desk {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = Self {
            book: Arc::default(),
            changed: Arc::default(),
            url,
        };
        let serving = desk.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let desk = serving.clone();
                tokio::spawn(async move { desk.serve(stream).await });
            }
        });
        desk
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub fn give(&self, script: &str) {
        let spec = spec(script);
        self.book().waiting.push_back(spec);
        self.changed.notify_waiters();
    }

    /// Changes something of the book.
    pub fn set(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book());
        self.changed.notify_waiters();
    }

    /// Waits until something is in the book.
    pub async fn until(&self, what: &str, reached: impl Fn(&Book) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if reached(&self.book()) {
                    return;
                }
                changed.await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
            "never: {what}"
        );
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let (head, body) = read_request(&mut stream, &mut buffer).await?;
            let path = head.split(' ').nth(1)?.to_owned();
            if self.book().down {
                return None;
            }
            let (status, answer) = self.answer(&path, &body).await;
            if self.book().down {
                return None;
            }
            let reply = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            stream.write_all(reply.as_bytes()).await.ok()?;
        }
    }

    async fn answer(&self, path: &str, body: &[u8]) -> (u16, String) {
        let call = path.rsplit('/').next().unwrap_or_default().to_owned();
        match call.as_str() {
            "register" => {
                self.set(|b| b.registered += 1);
                json(&Registered {
                    runner: 1,
                    lease_ms: 900,
                    renew_ms: 300,
                    ack_ms: 1000,
                })
            }
            "lease" => self.lease().await,
            _ => self.leased(path, &call, body).await,
        }
    }

    async fn lease(&self) -> (u16, String) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(spec) = self.book().waiting.pop_front() {
                    return spec;
                }
                changed.await;
            }
        };
        let Ok(spec) = tokio::time::timeout(Duration::from_secs(5), wait).await else {
            return json(&LeaseAnswer::default());
        };
        let mut book = self.book();
        book.fence += 1;
        (book.acknowledged, book.fenced, book.cancel) = (false, false, false);
        book.lines.clear();
        book.reports.clear();
        let lease = Lease {
            job: spec.job_id,
            fence: book.fence,
            spec,
            token: "job-token".into(),
            git_path: "/octo/hello.git".into(),
        };
        json(&LeaseAnswer {
            lease: Some(Box::new(lease)),
            drain: false,
        })
    }

    async fn leased(&self, path: &str, call: &str, body: &[u8]) -> (u16, String) {
        if self.book().fenced || path.split('/').rev().nth(1).unwrap() != self.book().fence.to_string() {
            return (409, "the lease is over".into());
        }
        if !self.book().acknowledged && call != "ack" {
            return (400, "not acknowledged".into());
        }
        let answer = match call {
            "ack" => {
                self.set(|b| b.acknowledged = true);
                (204, String::new())
            }
            "renew" => return self.renew(body).await,
            "log" => self.take_log(body),
            "reports" => {
                let reports: Reports = serde_json::from_slice(body).unwrap();
                let mut book = self.book();
                let next = book.reports.len() as u64;
                if reports.first > next {
                    return (400, "a gap".into());
                }
                let known = usize::try_from(next - reports.first).unwrap();
                book.reports.extend(reports.reports.into_iter().skip(known));
                json(&Next {
                    next: book.reports.len() as u64,
                })
            }
            "result" => {
                self.set(|b| b.results.push(serde_json::from_slice(body).unwrap()));
                json(&ResultAnswer { missing: None })
            }
            _ => (404, String::new()),
        };
        self.changed.notify_waiters();
        answer
    }

    async fn renew(&self, body: &[u8]) -> (u16, String) {
        let renew: Renew = serde_json::from_slice(body).unwrap();
        self.set(|b| b.renewals += 1);
        let told = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.book().cancel || self.book().fenced {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(renew.wait_ms), told).await;
        if self.book().fenced {
            return (409, "the lease is over".into());
        }
        let cancel = self.book().cancel;
        json(&Renewed {
            lease_ms: 900,
            cancel,
            reason: cancel.then(|| "by hand".into()),
        })
    }

    fn take_log(&self, mut body: &[u8]) -> (u16, String) {
        let mut book = self.book();
        while !body.is_empty() {
            let (head, text) = read_frame(&mut body).unwrap();
            let known = book.lines.len() as u64;
            if head.first_line > known {
                break;
            }
            let known = usize::try_from(known - head.first_line).unwrap();
            book.lines.extend(text.lines().skip(known).map(str::to_owned));
        }
        if book.lost_answers > 0 {
            book.lost_answers -= 1;
            return (503, String::new());
        }
        json(&Next {
            next: book.lines.len() as u64,
        })
    }
}

fn json<T: serde::Serialize>(answer: &T) -> (u16, String) {
    (200, serde_json::to_string(answer).unwrap())
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let find = |buffer: &[u8]| buffer.windows(4).position(|w| w == b"\r\n\r\n");
    while find(buffer).is_none() {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let end = find(buffer)? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length = head
        .lines()
        .filter_map(|l| l.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, v)| v.trim().parse().unwrap());
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some((head, body))
}

/// A job whose steps are these lines of YAML.
fn spec(steps: &str) -> JobSpec {
    let steps: String = steps
        .trim()
        .lines()
        .map(|l| format!("      {}\n", l.trim_end()))
        .collect();
    let contexts = serde_json::json!({
        "github": {"ref": "refs/heads/main", "repository": "octo/hello", "event_name": "push", "event": {}},
    });
    let serde_json::Value::Object(contexts) = contexts else {
        unreachable!()
    };
    JobSpec {
        run_id: 1,
        run_attempt: 1,
        job_id: 7,
        name: "test".into(),
        workflow_path: ".github/workflows/test.yml".into(),
        workflow_text: format!("on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"),
        job_key: "test".into(),
        contexts,
        secrets: [("TOKEN".to_owned(), "hunter2-hunter2".to_owned())].into(),
        reason: String::new(),
    }
}

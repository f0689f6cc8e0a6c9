//! A server in this process, a real git client, and a runner that says what a test wants it to say.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod load;
pub mod reader;

use pilotage_api::lease::{
    Lease, LeaseAnswer, LeaseRequest, Next, Register, Registered, Renew, Renewed, Reports, ResultAnswer,
    write_frame,
};
use pilotage_api::runner::{Conclusion, JobResult, LogChunk, Report};
use pilotage_server::clock::Clock;
use pilotage_server::{Config, Server, serve_with_clock};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// The program that keeps replicas and proxies for the servers of tests.
pub fn target_exe() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.parent().and_then(Path::parent).expect("it lies in `deps`");
    profile.join("examples/target-for-tests")
}

pub struct World {
    pub directory: TempDir,
    pub server: Option<Server>,
    pub clock: Arc<Clock>,
    pub client: Client,
    pub admin: String,
    pub url: String,
    /// What the test wants other than usual.
    pub configure: Box<dyn Fn(&mut Config) + Send + Sync>,
}

impl World {
    pub async fn new() -> Self {
        Self::configured(|_| {}).await
    }

    /// Whose servers are configured by `configure`, after everything else.
    pub async fn configured(configure: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let directory = tempfile::tempdir().expect("a directory");
        let client = Client::builder().build().expect("a client");
        let clock = Arc::new(Clock::default());
        let mut world = Self {
            directory,
            server: None,
            clock,
            client,
            admin: String::new(),
            url: String::new(),
            configure: Box::new(configure),
        };
        world.start().await;
        world
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub async fn start(&mut self) {
        self.start_at(&self.data()).await;
    }

    /// Starts a server on a directory, in the place of the one that runs.
    pub async fn start_at(&mut self, data: &Path) {
        let mut config = Config::new(data.to_owned());
        config.listen = ([127, 0, 0, 1], 0).into();
        config.runner_slots = 0;
        config.exe = target_exe();
        (self.configure)(&mut config);
        drop(self.server.take());
        // A dropped server's writer lets go of the lock with the last task of it.
        let server = serve_with_clock(config, Arc::clone(&self.clock))
            .await
            .expect("the server starts");
        let token = std::fs::read_to_string(data.join("admin-token")).expect("the administrator's token");
        self.admin = token.trim().to_owned();
        self.url = format!("http://127.0.0.1:{}", server.address().port());
        self.server = Some(server);
    }

    /// Kills the server where it stands and starts it again.
    pub async fn restart(&mut self) {
        drop(self.server.take());
        self.start().await;
    }

    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Json>,
    ) -> (StatusCode, Json) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        (status, serde_json::from_str(&text).unwrap_or(Json::String(text)))
    }

    pub async fn get(&self, path: &str) -> Json {
        let (status, body) = self
            .ask(Method::GET, &format!("/api/v1/{path}"), &self.admin, None)
            .await;
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// Looks again until it is so: what follows from a push is worked off after its answer.
    pub async fn until(&self, path: &str, so: impl Fn(&Json) -> bool) -> Json {
        for _ in 0..500 {
            let seen = self.get(path).await;
            if so(&seen) {
                return seen;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{path} never came to it: {}", self.get(path).await);
    }

    pub async fn send(&self, method: Method, path: &str, body: Json) -> Json {
        let (status, answer) = self
            .ask(method, &format!("/api/v1/{path}"), &self.admin, Some(body))
            .await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub async fn refused(&self, method: Method, path: &str, token: &str, body: Option<Json>) -> u16 {
        let (status, answer) = self.ask(method, path, token, body).await;
        assert!(!status.is_success(), "{path}: {status} {answer}");
        assert_eq!(
            answer["status"],
            status.as_u16(),
            "{path} is refused with a problem: {answer}"
        );
        status.as_u16()
    }

    pub async fn project(&self) -> Checkout {
        self.send(Method::POST, "projects", json!({"owner": "o", "name": "p"}))
            .await;
        self.checkout("o/p")
    }

    /// A working directory whose `origin` is the project.
    pub fn checkout(&self, project: &str) -> Checkout {
        let path = self
            .directory
            .path()
            .join(format!("work-{}", project.replace('/', "-")));
        std::fs::create_dir_all(&path).expect("a folder");
        let checkout = Checkout { path };
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        checkout.git(&["remote", "add", "origin", &self.remote(project, &self.admin)]);
        checkout
    }

    pub fn remote(&self, project: &str, token: &str) -> String {
        format!(
            "{}/{project}.git",
            self.url.replace("http://", &format!("http://x:{token}@"))
        )
    }

    /// A token with these scopes.
    pub async fn token(&self, name: &str, kind: &str, scopes: &[&str]) -> String {
        let body = json!({"name": name, "kind": kind, "scopes": scopes});
        let answer = self.send(Method::POST, "tokens", body).await;
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// Of somebody who has another project, `o/other`, and nothing else.
    pub async fn outsider(&self, name: &str, scopes: &[&str]) -> String {
        let other = json!({"owner": "o", "name": "other"});
        self.send(Method::POST, "projects", other).await;
        let body = json!({"name": name, "kind": "person", "scopes": scopes, "project": "o/other"});
        let answer = self.send(Method::POST, "tokens", body).await;
        answer["token"].as_str().expect("a token").to_owned()
    }

    pub async fn runner(&self, name: &str, labels: &[&str]) -> TestRunner {
        let token = self.token(name, "runner", &[]).await;
        self.runner_with(name, labels, &token, "1").await
    }

    pub async fn runner_with(&self, name: &str, labels: &[&str], token: &str, instance: &str) -> TestRunner {
        let body = Register {
            protocol: 1,
            name: name.to_owned(),
            instance: instance.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            slots: 4,
            version: "test".to_owned(),
        };
        let mut runner = TestRunner {
            client: self.client.clone(),
            url: self.url.clone(),
            token: token.to_owned(),
            id: 0,
            instance: instance.to_owned(),
            slot: Arc::default(),
        };
        let registered: Registered = runner
            .call("/api/runner/v1/register", &body)
            .await
            .expect("registered");
        runner.id = registered.runner;
        runner
    }
}

pub struct Checkout {
    pub path: PathBuf,
}

impl Checkout {
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new("git")
            .args(arguments)
            .current_dir(&self.path)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", "Ana")
            .env("GIT_AUTHOR_EMAIL", "ana@example.com")
            .env("GIT_COMMITTER_NAME", "Ana")
            .env("GIT_COMMITTER_EMAIL", "ana@example.com")
            .output()
            .expect("git runs")
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {text}");
        format!("{}{text}", String::from_utf8_lossy(&output.stdout))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Pushes; gives what the server said.
    pub fn push(&self, arguments: &[&str]) -> String {
        let mut all = vec!["push", "origin"];
        all.extend(arguments);
        let said = self.git(&all);
        let lines = said.lines().filter_map(|line| line.strip_prefix("remote:"));
        lines
            .map(|line| format!("{}\n", line.trim_end().strip_prefix(' ').unwrap_or_default()))
            .collect()
    }
}

/// Says what a runner would say.
#[derive(Clone)]
pub struct TestRunner {
    pub client: Client,
    pub url: String,
    pub token: String,
    pub id: i64,
    pub instance: String,
    /// Slots take turns, so that asking for a job does not give back the one before.
    pub slot: Arc<AtomicU32>,
}

impl TestRunner {
    pub async fn call<B: serde::Serialize, A: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<A, u16> {
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .json(body);
        let answer = request.send().await.expect("an answer");
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let text = answer.text().await.expect("a body");
        let text = if text.is_empty() { "null" } else { &text };
        Ok(serde_json::from_str(text).expect("an answer that can be read"))
    }

    pub async fn ask_lease(&self, slot: u32, wait_ms: u64) -> Result<LeaseAnswer, u16> {
        let body = LeaseRequest {
            runner: self.id,
            instance: self.instance.clone(),
            slot,
            wait_ms,
        };
        self.call("/api/runner/v1/lease", &body).await
    }

    /// A job, which must be there or come soon.
    pub async fn lease(&self) -> Lease {
        let slot = self.slot.fetch_add(1, Ordering::Relaxed) % 4;
        let answer = self.ask_lease(slot, 10_000).await.expect("an answer");
        *answer.lease.expect("a job")
    }

    pub async fn ack(&self, lease: &Lease) -> Result<(), u16> {
        self.call(&lease.path("ack"), &()).await
    }

    pub async fn renew(&self, lease: &Lease, wait_ms: u64) -> Result<Renewed, u16> {
        self.call(&lease.path("renew"), &Renew { wait_ms }).await
    }

    pub async fn report(&self, lease: &Lease, first: u64, reports: Vec<Report>) -> Result<Next, u16> {
        self.call(&lease.path("reports"), &Reports { first, reports })
            .await
    }

    pub async fn log(&self, lease: &Lease, step: u32, first_line: u64, text: &str) -> Result<u64, u16> {
        let mut body = Vec::new();
        write_frame(
            &mut body,
            &LogChunk {
                step,
                first_line,
                at_ms: 1,
                text: text.to_owned(),
            },
        );
        let request = self
            .client
            .post(format!("{}{}", self.url, lease.path("log")))
            .bearer_auth(&self.token)
            .body(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        if !status.is_success() {
            return Err(status.as_u16());
        }
        let next: Next = answer.json().await.expect("the next line");
        Ok(next.next)
    }

    pub async fn finish(
        &self,
        lease: &Lease,
        conclusion: Conclusion,
        log_lines: u64,
    ) -> Result<ResultAnswer, u16> {
        let result = JobResult {
            conclusion,
            continue_on_error: false,
            outputs: indexmap::IndexMap::new(),
            error: (conclusion == Conclusion::Failure).then(|| "it failed".to_owned()),
            log_lines,
            log_bytes: 0,
        };
        self.call(&lease.path("result"), &result).await
    }
}

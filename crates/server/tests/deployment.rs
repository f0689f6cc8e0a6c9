//! Deployments from a push to live and back, with the real proxy, real keepers and small Python programs.

mod support;

use pilotage_api::deployment::DeploymentDetail;
use pilotage_deploy::Local;
use pilotage_deploy::retention::Needed;
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use support::load::{Load, get};
use support::reader::Reader;
use support::{Checkout, World, target_exe};

const APP: &str = r#"
import os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORD = "@WORD@"

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self):
        Handler.count += 1
        status = 200
        if self.path != "/health":
            @FAULT@
        body = (WORD + " " + os.environ.get("GREETING", "")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

@START@
print("serving", WORD, flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A world with a project that has one service in `production`.
struct Stage {
    world: World,
    checkout: Checkout,
    address: SocketAddr,
    plan: String,
}

impl Stage {
    async fn new(production: &str) -> Self {
        let logs = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("pilotage_server=info");
        let _ = logs.try_init();
        let world = World::new().await;
        let checkout = world.project().await;
        let port = free_port();
        let plan = format!(
            "services:\n  web:\n    run: python3 app.py\n    health: {{get: /health, every: 50ms, passes: 2, within: 10s}}\n    \
             stop: {{grace: 2s}}\nenvironments:\n  production:\n    url: http://localhost:{port}\n{production}"
        );
        Self {
            world,
            checkout,
            address: ([127, 0, 0, 1], port).into(),
            plan,
        }
    }

    /// Pushes a release of that word, with a fault in its answers and one at its start.
    fn push_with(&self, word: &str, fault: &str, start: &str) -> String {
        let app = APP
            .replace("@WORD@", word)
            .replace("@FAULT@", fault)
            .replace("@START@", start);
        self.checkout.write("app.py", &app);
        self.checkout.write("pilotage.yml", &self.plan);
        let sha = self.checkout.commit(word);
        self.checkout.push(&["main"]);
        sha
    }

    fn push(&self, word: &str) -> String {
        self.push_with(word, "pass", "")
    }

    async fn deploy(&self) -> i64 {
        let asked = json!({"environment": "production"});
        let answer = self
            .world
            .send(Method::POST, "projects/o/p/deployments", asked)
            .await;
        answer["id"].as_i64().expect("a number")
    }

    async fn live(&self, word: &str) -> i64 {
        self.push(word);
        let id = self.deploy().await;
        let end = self.until(id, |detail| detail.deployment.outcome.is_some()).await;
        assert_eq!(end.deployment.state, "live", "{end:#?}");
        id
    }

    /// Watches a deployment until it is as it should be, or has ended.
    async fn until(&self, id: i64, reached: impl Fn(&DeploymentDetail) -> bool) -> DeploymentDetail {
        let watch = async {
            loop {
                let request = self
                    .world
                    .client
                    .get(format!("{}/api/v1/deployments/{id}/events", self.world.url));
                let mut answer = request
                    .bearer_auth(&self.world.admin)
                    .send()
                    .await
                    .expect("a stream");
                let mut text = String::new();
                while let Ok(Some(chunk)) = answer.chunk().await {
                    text.push_str(&String::from_utf8_lossy(&chunk));
                    while let Some((event, rest)) = text.split_once("\n\n") {
                        let data = event
                            .strip_prefix("data: ")
                            .map(|data| serde_json::from_str(data).expect("an event"));
                        let rest = rest.to_owned();
                        if let Some(detail) = data
                            && (reached(&detail) || detail.deployment.outcome.is_some())
                        {
                            return detail;
                        }
                        text = rest;
                    }
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(30), watch).await {
            Ok(detail) => detail,
            Err(_) => panic!("{:#}", self.world.get(&format!("deployments/{id}")).await),
        }
    }

    async fn ended(&self, id: i64) -> DeploymentDetail {
        self.until(id, |_| false).await
    }

    fn get(&self) -> String {
        get(self.address).expect("an answer").1
    }

    fn local(&self) -> Local {
        Local::new(&self.world.data(), &target_exe()).expect("a target")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.world.server.take());
        let local = self.local();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let _ = local.stop_proxy(Duration::from_secs(2)).await;
                let _ = local.retain(Needed::default()).await;
            });
        });
        let _ = ended.join();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.local_addr().expect("an address").port()
}

/// The state of a deployment and what its history says, in a line each.
fn told(detail: &DeploymentDetail) -> String {
    let moments: Vec<&str> = detail.moments.iter().map(|moment| moment.text.as_str()).collect();
    format!(
        "{}: {}\n{}",
        detail.deployment.state,
        detail.deployment.reason,
        moments.join("\n")
    )
}

#[track_caller]
fn check(detail: &DeploymentDetail, state: &str, reason: &str) {
    assert_eq!(detail.deployment.state, state, "{}", told(detail));
    assert!(detail.deployment.reason.contains(reason), "{}", told(detail));
}

fn kill(pid: i32) {
    let kill = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(kill.expect("kill runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_goes_live_and_the_next_one_replaces_it_without_losing_a_request() {
    let stage = Stage::new("    guard: {watch: 1s}\n").await;
    stage.live("one").await;
    assert_eq!(stage.get(), "one");
    let load = Load::start(stage.address, 2);
    stage.live("two").await;
    assert_eq!(stage.get(), "two");
    let (sent, failed) = load.end();
    assert!(sent > 50 && failed == 0, "{failed} of {sent} requests failed");
    let stands = stage.world.get("projects/o/p/standings/production").await;
    assert_eq!(stands["services"][0]["running"], 1, "{stands:#}");
    let list = stage.world.get("projects/o/p/deployments").await;
    let states: Vec<&Json> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["state"])
        .collect();
    assert_eq!(states, ["live", "live"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_served_by_one_environment() {
    let mut stage = Stage::new("    guard: {watch: 100ms}\n").await;
    let url = format!("http://localhost:{}", stage.address.port());
    stage.plan.push_str(&format!("  other:\n    url: {url}\n"));
    stage.live("first").await;
    let asked = json!({"environment": "other"});
    let answer = stage
        .world
        .send(Method::POST, "projects/o/p/deployments", asked)
        .await;
    let id = answer["id"].as_i64().expect("a number");
    let reason = format!("{url} is taken by production: other needs a `url` of its own");
    check(&stage.ended(id).await, "aborted", &reason);
    assert_eq!(stage.get(), "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_answers_all_fail_goes_back_by_itself_and_stays_out() {
    let stage =
        Stage::new("    strategy: {canary: [{share: 20%, for: 10s}]}\n    guard: {watch: 1s}\n").await;
    stage.live("good").await;
    stage.push_with("bad", "status = 500", "");
    let load = Load::start(stage.address, 2);
    let id = stage.deploy().await;
    let end = stage.ended(id).await;
    let (sent, failed) = load.end();
    check(&end, "rolled-back", "the new web failed 3 of 3 answers");
    assert!(
        sent > 3 && (3..=8).contains(&failed),
        "{failed} of {sent} requests failed"
    );
    assert_eq!(stage.get(), "good");
    let replay = stage.world.get(&format!("deployments/{id}/replay")).await;
    assert_eq!(
        (&replay[0]["same"], &replay[0]["service"]),
        (&json!(true), &json!("web")),
        "{replay:#}"
    );
    // It goes nowhere until a person lets it.
    let again = stage.deploy().await;
    check(
        &stage.ended(again).await,
        "aborted",
        "is quarantined since deployment 2 in production",
    );
    let held = stage.world.get("projects/o/p/quarantine").await;
    let digest = held[0]["digest"].as_str().expect("a digest");
    let path = format!("/api/v1/projects/o/p/quarantine/{digest}");
    let (status, _) = stage
        .world
        .ask(Method::DELETE, &path, &stage.world.admin, None)
        .await;
    assert_eq!(status.as_u16(), 204);
    let third = stage.deploy().await;
    stage
        .until(third, |detail| detail.deployment.state == "shifting")
        .await;
    stage
        .world
        .send(Method::POST, &format!("deployments/{third}/abort"), json!({}))
        .await;
    check(
        &stage.ended(third).await,
        "rolled-back",
        "taken back by admin: by hand",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_crashes_at_its_start_gets_no_request() {
    let stage = Stage::new("    guard: {watch: 0s}\n").await;
    stage.live("good").await;
    stage.push_with("bad", "pass", "raise SystemExit('no such module: crypt')");
    let load = Load::start(stage.address, 1);
    let id = stage.deploy().await;
    let end = stage.ended(id).await;
    let (sent, failed) = load.end();
    check(&end, "rolled-back", "no such module: crypt");
    assert!(sent > 0 && failed == 0, "{failed} of {sent} requests failed");
    assert!(!told(&end).contains("% of the traffic"), "{}", told(&end));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_by_hand_brings_the_last_release_back_without_building_it() {
    let stage = Stage::new("    guard: {watch: 0s}\n").await;
    stage.live("one").await;
    stage.live("two").await;
    let asked = json!({"environment": "production", "reason": "a hunch"});
    let answer = stage
        .world
        .send(Method::POST, "projects/o/p/rollbacks", asked.clone())
        .await;
    let end = stage.ended(answer["id"].as_i64().unwrap()).await;
    check(&end, "live", "a hunch");
    assert_eq!(
        (end.deployment.kind.as_str(), end.deployment.title.as_str()),
        ("rollback", "one")
    );
    assert!(
        told(&end).contains("executes on 1 of 1 replicas and gave 20 answers in a row"),
        "{}",
        told(&end)
    );
    assert_eq!(stage.get(), "one");
    // Under it there is nothing.
    let path = "/api/v1/projects/o/p/rollbacks";
    assert_eq!(
        stage
            .world
            .refused(Method::POST, path, &stage.world.admin, Some(asked))
            .await,
        409
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_stops_what_goes_forward_and_not_a_rollback_under_way() {
    let stage = Stage::new("    guard: {watch: 0s}\n").await;
    // Slow to start, so that the lock comes while it is on its way.
    stage.push_with("one", "pass", "time.sleep(1)");
    check(&stage.ended(stage.deploy().await).await, "live", "");
    stage.live("two").await;
    let asked = json!({"environment": "production", "reason": "two is worse"});
    let answer = stage
        .world
        .send(Method::POST, "projects/o/p/rollbacks", asked)
        .await;
    let back = answer["id"].as_i64().unwrap();
    let starting = stage
        .until(back, |detail| detail.deployment.state == "starting")
        .await;
    check(&starting, "starting", "");
    let lock = "projects/o/p/environments/production/lock";
    let path = format!("/api/v1/{lock}");
    let body = Some(json!({"reason": "look first"}));
    let (status, text) = stage
        .world
        .ask(Method::PUT, &path, &stage.world.admin, body)
        .await;
    assert_eq!(status, 204, "{text}");
    let end = stage.ended(back).await;
    check(&end, "live", "");
    assert_eq!(end.deployment.kind, "rollback");
    assert_eq!(stage.get(), "one");
    let next = stage.deploy().await;
    let waits = stage
        .until(next, |detail| detail.deployment.state == "waiting")
        .await;
    check(&waits, "waiting", "locked by");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_deployment_waits_until_the_older_one_went_back() {
    let stage =
        Stage::new("    strategy: {canary: [{share: 10%, for: 20s}]}\n    guard: {watch: 0s}\n").await;
    stage.live("one").await;
    stage.push("two");
    let older = stage.deploy().await;
    stage
        .until(older, |detail| detail.deployment.state == "shifting")
        .await;
    stage.push("three");
    let asked = json!({"environment": "production", "reason": "three is urgent"});
    let answer = stage
        .world
        .send(Method::POST, "projects/o/p/deployments", asked)
        .await;
    let waits = format!("waits for deployment {older}, which");
    assert!(
        answer["reason"].as_str().expect("why").starts_with(&waits),
        "{answer}"
    );
    let newer = answer["id"].as_i64().expect("a number");
    check(
        &stage.ended(older).await,
        "rolled-back",
        &format!("deployment {newer} takes its place"),
    );
    let shifting = stage
        .until(newer, |detail| detail.deployment.state == "shifting")
        .await;
    check(&shifting, "shifting", "three is urgent");
    assert_eq!(
        shifting.deployment.old_revision,
        stage.world.get("deployments/1").await["deployment"]["revision"]
    );
    // Going back by hand takes back what is under way.
    let asked = json!({"environment": "production"});
    let answer = stage
        .world
        .send(Method::POST, "projects/o/p/rollbacks", asked)
        .await;
    assert_eq!(answer["id"], newer);
    check(
        &stage.ended(newer).await,
        "rolled-back",
        "taken back by admin: by hand",
    );
    assert_eq!(stage.get(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_a_deployment_until_the_right_person_approves_the_right_digest() {
    let stage = Stage::new("    guard: {watch: 0s}\n").await;
    let rules = |branches: &str| json!({"branches": [branches], "reviewers": ["ben"]});
    let path = "projects/o/p/environments/production/rules";
    stage.world.send(Method::PUT, path, rules("release/*")).await;
    stage.push("one");
    let refused = stage.deploy().await;
    check(
        &stage.ended(refused).await,
        "aborted",
        "production takes only release/*, this release is from main",
    );
    stage.world.send(Method::PUT, path, rules("main")).await;
    let id = stage.deploy().await;
    let waiting = stage
        .until(id, |detail| detail.deployment.state == "waiting")
        .await;
    check(&waiting, "waiting", "waits for the approval of ben");
    let digest = waiting.deployment.release;
    let path = format!("/api/v1/deployments/{id}/approvals");
    let say = |digest: &str| Some(json!({"digest": digest, "approved": true}));
    let ben = stage.world.token("ben", "person", &["read", "deploy"]).await;
    assert_eq!(
        stage
            .world
            .refused(Method::POST, &path, &stage.world.admin, say(&digest))
            .await,
        403
    );
    assert_eq!(
        stage
            .world
            .refused(Method::POST, &path, &ben, say("sha256:other"))
            .await,
        409
    );
    // On the page, neither a button that there is not nor somebody who may not decides anything, and it says why.
    let page = format!("/o/p/deployments/{id}");
    let refused = async |token: &str, form: &str, fields: &[(&str, &str)], expected: u16, why: &str| {
        let reader = Reader::new(&stage.world, token).await;
        let answer = reader.post(&format!("{page}/{form}"), fields).await;
        assert_eq!(answer.status, expected, "{}", answer.text);
        assert!(answer.text.contains(why), "{}", answer.text);
    };
    let decides = |verdict: &'static str| [("digest", digest.as_str()), ("verdict", verdict)];
    refused(
        &ben,
        "approval",
        &decides("maybe"),
        400,
        "expected <code>approved</code> or <code>rejected</code>",
    )
    .await;
    refused(
        &stage.world.admin,
        "approval",
        &decides("approved"),
        403,
        "Admin is not a reviewer",
    )
    .await;
    let (status, answer) = stage.world.ask(Method::POST, &path, &ben, say(&digest)).await;
    assert_eq!(status.as_u16(), 204, "{answer}");
    check(&stage.ended(id).await, "live", "");
    refused(&ben, "abort", &[("reason", "too late")], 409, "role=\"alert\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_named_and_one_that_is_set_reaches_the_program() {
    let mut stage =
        Stage::new("    guard: {watch: 0s}\n    env: {GREETING: \"${{ secrets.GREETING }}\"}\n").await;
    stage.push("one");
    let id = stage.deploy().await;
    check(&stage.ended(id).await, "aborted", "there is no secret GREETING");
    stage
        .world
        .send(
            Method::PUT,
            "projects/o/p/secrets/GREETING",
            json!({"value": "hello"}),
        )
        .await;
    stage.plan.push_str("    verify: [{get: /, contains: hello}]\n");
    stage.live("two").await;
    assert_eq!(stage.get(), "two hello");
    let listed = stage.world.get("projects/o/p/secrets").await;
    assert_eq!(
        (&listed[0]["name"], &listed[0]["used"]["deployment"]),
        (&json!("GREETING"), &json!(2))
    );
    let path = format!("{}/api/v1/projects/o/p/logs/production/web", stage.world.url);
    let answer = stage
        .world
        .client
        .get(path)
        .bearer_auth(&stage.world.admin)
        .send()
        .await
        .expect("logs");
    let text = answer.text().await.expect("text");
    assert!(text.ends_with(" 1  serving two\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_do_not_end_a_deployment() {
    let stage = Stage::new("    strategy: {canary: [{share: 50%, for: 3s}]}\n    guard: {watch: 1s}\n").await;
    stage.live("one").await;
    stage.push("two");
    let id = stage.deploy().await;
    stage
        .until(id, |detail| detail.deployment.state == "shifting")
        .await;
    let keeper =
        |folder: &str| pilotage_keep::client::status(&stage.world.data().join(folder)).expect("a keeper");
    let proxy = keeper("proxy/keeper");
    kill(proxy.child.expect("a proxy").pid);
    kill(proxy.keeper_pid);
    let revision = stage.world.get(&format!("deployments/{id}")).await["deployment"]["revision"].clone();
    let replica = keeper(&format!(
        "deploy/replicas/o--p--production--web--{}--1",
        revision.as_str().unwrap()
    ));
    kill(replica.keeper_pid);
    kill(replica.child.expect("a replica").pid);
    stage
        .until(id, |detail| detail.deployment.state == "verifying")
        .await;
    kill(keeper("proxy/keeper").child.expect("a proxy").pid);
    check(&stage.ended(id).await, "live", "");
    assert_eq!(stage.get(), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_after_every_step_goes_on_where_it_was() {
    let mut stage =
        Stage::new("    strategy: {canary: [{share: 50%, for: 100ms}]}\n    guard: {watch: 300ms}\n").await;
    stage.live("one").await;
    stage.push("two");
    let load = Load::start(stage.address, 1);
    let id = stage.deploy().await;
    let mut seen = String::new();
    let mut kills = 0;
    loop {
        let now = stage.until(id, |detail| told(detail) != seen).await;
        seen = told(&now);
        if now.deployment.outcome.is_some() {
            check(&now, "live", "");
            break;
        }
        stage.world.restart().await;
        kills += 1;
    }
    let (sent, failed) = load.end();
    assert!(kills >= 5, "{kills} kills:\n{seen}");
    assert!(sent > 0 && failed == 0, "{failed} of {sent} requests failed");
    assert_eq!(stage.get(), "two");
    let each = |text: &str| assert_eq!(seen.matches(text).count(), 1, "{text} in:\n{seen}");
    [
        "50 % of the traffic",
        "100 % of the traffic",
        "1 of 1 healthy",
        "live, not proven",
    ]
    .into_iter()
    .for_each(each);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_dev_made_is_mains_too_once_main_brings_the_same_commit() {
    let stage = Stage::new("    guard: {watch: 0s}\n").await;
    let workflow =
        "on: push\njobs:\n  ship:\n    runs-on: x\n    environment: production\n    steps: [{run: ship}]\n";
    stage.checkout.write(".github/workflows/ci.yml", workflow);
    let runner = stage.world.runner("r", &["x"]).await;
    let deploy = async || {
        let lease = runner.lease().await;
        runner.ack(&lease).await.expect("acknowledged");
        let path = "/api/runner/v1/deployments";
        let (status, begun) = stage
            .world
            .ask(Method::POST, path, &lease.token, Some(json!({})))
            .await;
        assert_eq!(status.as_u16(), 200, "{begun}");
        stage.ended(begun["deployment"].as_i64().expect("a number")).await
    };
    stage.checkout.git(&["checkout", "--quiet", "-b", "dev"]);
    stage.checkout.write(
        "app.py",
        &APP.replace("@WORD@", "one")
            .replace("@FAULT@", "pass")
            .replace("@START@", ""),
    );
    stage.checkout.write("pilotage.yml", &stage.plan);
    stage.checkout.commit("one");
    stage.checkout.push(&["dev"]);
    let of_dev = deploy().await;
    check(&of_dev, "live", "");
    let path = "projects/o/p/environments/production/rules";
    stage
        .world
        .send(Method::PUT, path, json!({"branches": ["main"]}))
        .await;
    let asked = json!({"environment": "production", "release": of_dev.deployment.release});
    let by_hand = stage
        .world
        .send(Method::POST, "projects/o/p/deployments", asked)
        .await;
    let by_hand = stage.ended(by_hand["id"].as_i64().expect("a number")).await;
    check(&by_hand, "aborted", "takes only main, this release is from dev");
    stage.checkout.push(&["HEAD:main"]);
    let of_main = deploy().await;
    check(&of_main, "live", "");
    assert_eq!(of_main.deployment.release, of_dev.deployment.release);
}

/// A ZIP with one file.
fn zip(name: &str, text: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o644);
    writer.start_file(name, options).expect("a file");
    writer.write_all(text.as_bytes()).expect("written");
    writer.finish().expect("finished").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_deploys_what_its_run_built_and_only_to_its_own_environment() {
    let mut stage = Stage::new("    guard: {watch: 0s}\n").await;
    stage.plan = stage.plan.replace("  web:\n", "  web:\n    artifact: site\n");
    let workflow =
        "on: push\njobs:\n  ship:\n    runs-on: x\n    environment: production\n    steps: [{run: ship}]\n";
    stage.checkout.write(".github/workflows/ci.yml", workflow);
    let runner = stage.world.runner("r", &["x"]).await;
    let mut ids = Vec::new();
    for word in ["one", "two"] {
        stage.push(word);
        let lease = runner.lease().await;
        runner.ack(&lease).await.expect("acknowledged");
        let ask = async |method: Method, path: &str, body: Option<Json>| {
            let path = format!("/api/runner/v1/{path}");
            let (status, answer) = stage.world.ask(method, &path, &lease.token, body).await;
            (status.as_u16(), answer)
        };
        let deploy = || Some(json!({}));
        let (status, answer) = ask(Method::POST, "deployments", deploy()).await;
        assert_eq!(status, 409, "{answer}");
        assert!(
            answer["detail"]
                .as_str()
                .expect("why")
                .contains("has not uploaded the artifact `site`")
        );
        let app = APP
            .replace("@WORD@", word)
            .replace("@FAULT@", "pass")
            .replace("@START@", "");
        let url = format!("{}/api/runner/v1/artifacts?name=site", stage.world.url);
        let upload = stage
            .world
            .client
            .put(url)
            .bearer_auth(&lease.token)
            .body(zip("app.py", &app));
        let upload = upload.header(
            "x-pilotage-digest",
            format!("sha256:{}", digest(&zip("app.py", &app))),
        );
        assert_eq!(upload.send().await.expect("an answer").status().as_u16(), 201);
        let (status, answer) = ask(
            Method::POST,
            "deployments",
            Some(json!({"environment": "staging"})),
        )
        .await;
        assert_eq!(
            (status, answer["advice"].as_str()),
            (403, Some("set `environment: staging` on the job"))
        );
        let (status, first) = ask(Method::POST, "deployments", deploy()).await;
        assert_eq!(status, 200, "{first}");
        let (_, again) = ask(Method::POST, "deployments", deploy()).await;
        assert_eq!(
            first["deployment"], again["deployment"],
            "the step that runs again finds it"
        );
        let id = first["deployment"].as_i64().expect("a number");
        let mut after = 0;
        let end = loop {
            let path = format!("deployments/{id}?after={after}&until=live&wait_s=10");
            let (_, seen) = ask(Method::GET, &path, None).await;
            after = seen["next"].as_u64().expect("a count");
            if seen["settled"] == true {
                break seen;
            }
        };
        assert_eq!(
            (&end["ok"], &end["state"]),
            (&json!(true), &json!("live")),
            "{end}"
        );
        assert_eq!(stage.get(), word);
        ids.push((id, lease));
    }
    let (id, lease) = &ids[1];
    let undo = json!({"deployment": id, "to": "", "reason": "load test failed"});
    let path = "/api/runner/v1/rollbacks";
    let (_, back) = stage
        .world
        .ask(Method::POST, path, &lease.token, Some(undo))
        .await;
    let end = stage.ended(back["deployment"].as_i64().expect("a number")).await;
    check(&end, "live", "load test failed");
    assert_eq!(stage.get(), "one");
    let expect = json!({"deployment": end.deployment.id, "expect": "rolled-back"});
    let path = "/api/runner/v1/verifications";
    let (_, proof) = stage
        .world
        .ask(Method::POST, path, &lease.token, Some(expect))
        .await;
    assert_eq!(
        (&proof["ok"], &proof["result"]),
        (&json!(true), &json!("rolled-back")),
        "{proof}"
    );
    let status = stage.world.get("status").await;
    let production = &status["projects"][0]["environments"][0];
    assert_eq!(
        (&production["state"], &production["services"][0]),
        (&json!("live"), &json!("web 1/1"))
    );
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

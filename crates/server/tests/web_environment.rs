//! The pages of environments over real HTTP and real deployments: what stands where, how far one is ahead of the
//! next, who may see it, and what the forms do.

mod support;

use pilotage_deploy::Local;
use pilotage_deploy::retention::Needed;
use reqwest::Method;
use serde_json::json;
use std::net::TcpListener;
use std::time::Duration;
use support::reader::Reader;
use support::{Checkout, World, target_exe};

const PLAN: &str = "
services:
  web:
    run: exec python3 -m http.server --bind 127.0.0.1 $PORT
    health: {get: /, every: 50ms, passes: 1, within: 20s}
    stop: {grace: 1s}
environments:
  staging: {url: 'http://localhost:@S@', strategy: rolling, guard: off}
  production: {url: 'http://localhost:@P@', strategy: rolling, guard: off}
";

struct Stage {
    world: World,
    checkout: Checkout,
    plan: String,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let checkout = world.project().await;
        let port = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            listener.local_addr().expect("an address").port().to_string()
        };
        Self {
            world,
            checkout,
            plan: PLAN.replace("@S@", &port()).replace("@P@", &port()),
        }
    }

    fn push(&self, title: &str) -> String {
        self.checkout.write("index.html", title);
        self.checkout.write("pilotage.yml", &self.plan);
        let sha = self.checkout.commit(title);
        self.checkout.push(&["main"]);
        sha
    }

    async fn live(&self, environment: &str) -> i64 {
        let asked = json!({"environment": environment});
        let answer = self
            .world
            .send(Method::POST, "projects/o/p/deployments", asked)
            .await;
        let id = answer["id"].as_i64().expect("a number");
        self.ended(id).await;
        id
    }

    async fn ended(&self, id: i64) {
        let path = format!("deployments/{id}");
        let end = self
            .world
            .until(&path, |detail| !detail["deployment"]["outcome"].is_null())
            .await;
        assert_eq!(end["deployment"]["state"], "live", "{end:#}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.world.server.take());
        let local = Local::new(&self.world.data(), &target_exe()).expect("a target");
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

#[track_caller]
fn check(page: &str, has: &[&str], not: &[&str]) {
    for text in has {
        assert!(page.contains(text), "{text} is not on {page}");
    }
    for text in not {
        assert!(!page.contains(text), "{text} is on {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_is_ahead_until_it_is_promoted() {
    let stage = Stage::new().await;
    let ana = Reader::new(&stage.world, &stage.world.admin).await;
    for path in ["/environments", "/o/p/environments"] {
        check(
            &ana.get(path).await.text,
            &["Nothing is deployed yet."],
            &["<table"],
        );
    }
    stage.push("The first");
    stage.live("production").await;
    stage.push("The <second>");
    let third = stage.push("The third");
    stage.live("staging").await;
    for path in ["/environments", "/o/p/environments"] {
        let has = [
            "<b>staging</b> is <b>2 commits ahead</b> of production",
            "The &lt;second&gt;",
            "<b>web</b>",
            "Promote",
        ];
        check(&ana.get(path).await.text, &has, &["<second>", "behind"]);
    }
    // Who may not deploy is told so where the button would be, and may not do it.
    let token = stage.world.token("bo", "person", &["read"]).await;
    let bo = Reader::new(&stage.world, &token).await;
    let page = bo.get("/o/p/environments").await.text;
    check(&page, &["2 commits ahead"], &["Promote"]);
    let releases = stage.world.get("projects/o/p/releases").await;
    let release = releases
        .as_array()
        .and_then(|all| all.iter().find(|release| release["sha"] == third.as_str()))
        .expect("the release");
    let digest = release["digest"].as_str().expect("a digest");
    let form = [("release", digest)];
    let deploy = "/o/p/environments/production/deploy";
    assert_eq!(bo.post(deploy, &form).await.status, 403);
    // Nor does a form of no session.
    let bare = ana.send(Method::POST, deploy, &form, &[]).await;
    assert_eq!(bare.status().as_u16(), 403);

    let promoted = ana.post(deploy, &form).await;
    let to = "/o/p/environments/production";
    assert_eq!(
        (promoted.status, promoted.location.as_str()),
        (303, to),
        "{}",
        promoted.text
    );
    let deployments = stage.world.get("projects/o/p/deployments").await;
    let newest = deployments[0]["id"].as_i64().expect("a number");
    stage.ended(newest).await;
    let page = ana.get("/o/p/environments").await.text;
    check(&page, &["the same commit"], &["ahead", "Promote"]);

    // What it does and what a way back would do are said on its pages.
    let page = ana.get("/o/p/environments/production?window=24h").await.text;
    let has = [
        "id=\"metrics\"",
        "environment:o/p/production?window=24h",
        "aria-current=\"true\">24 h</a>",
        "Roll back to",
    ];
    check(&page, &has, &["NaN"]);
    let page = ana.get("/o/p/environments/production/rollback").await.text;
    let has = [
        "Code of 2 commits",
        "The &lt;second&gt;",
        "Secrets and variables",
        "Data written since",
    ];
    check(&page, &has, &["<second>"]);
}

const GUARDED: &str = "on: push
jobs:
  ship:
    runs-on: linux
    environment: production
    steps:
      - run: \"true\"
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_approved_where_it_would_go() {
    let world = World::new().await;
    let checkout = world.project().await;
    let rules = json!({"reviewers": ["bo"]});
    let path = "projects/o/p/environments/production/rules";
    world.send(Method::PUT, path, rules).await;
    let _runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", GUARDED);
    let sha = checkout.commit("Ship <it>");
    checkout.push(&["main"]);
    world
        .until("runs/1", |run| run["jobs"][0]["status"] == "waiting")
        .await;

    let path = "/o/p/environments/production";
    let kim = Reader::new(&world, &world.token("kim", "person", &["read", "deploy"]).await).await;
    let has = [
        "waits for the approval of bo",
        "May approve: bo",
        "Kim is not a reviewer",
        "Ship &lt;it&gt;",
    ];
    check(&kim.get(path).await.text, &has, &["value=\"approved\"", "<it>"]);
    let said = |sha: &str| {
        let fields = [
            ("run", "1"),
            ("sha", sha),
            ("verdict", "approved"),
            ("reason", "I have <looked>"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let post = async |reader: &Reader, sha: &str| {
        let fields = said(sha);
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        reader.post(&format!("{path}/approval"), &fields).await
    };
    assert_eq!(post(&kim, &sha).await.status, 403);

    let bo = Reader::new(&world, &world.token("bo", "person", &["read", "deploy"]).await).await;
    check(&bo.get(path).await.text, &["value=\"approved\"", &sha], &[]);
    // Another commit than the one that was looked at: refused there, with what was written.
    let other = post(&bo, &"0".repeat(40)).await;
    assert_eq!(other.status, 409, "{}", other.text);
    check(
        &other.text,
        &["not of the one that was looked at", "I have &lt;looked&gt;"],
        &["<looked>"],
    );
    let done = post(&bo, &sha).await;
    assert_eq!(
        (done.status, done.location.as_str()),
        (303, path),
        "{}",
        done.text
    );
    check(&bo.get(path).await.text, &[], &["waits for the approval"]);
    // A run of another project is none of this one.
    let body = json!({"owner": "o", "name": "other"});
    world.send(Method::POST, "projects", body).await;
    let elsewhere = [("run", "1"), ("sha", sha.as_str()), ("verdict", "approved")];
    let answer = bo
        .post("/o/other/environments/production/approval", &elsewhere)
        .await;
    assert_eq!(answer.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_goes_when_its_time_is_over() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let path = "/o/p/environments/production";
    let first = ana.post(&format!("{path}/lock"), &[("reason", "a sale")]).await;
    assert_eq!(first.status, 303, "{}", first.text);
    ana.post(&format!("{path}/unlock"), &[]).await;
    // What is refused stands where it was written.
    let refused = ana
        .post(&format!("{path}/lock"), &[("reason", "<no>"), ("minutes", "60")])
        .await;
    assert_eq!(refused.status, 422);
    check(
        &refused.text,
        &["at least 5 characters", "value=\"&lt;no&gt;\""],
        &["<no>", "Locked by"],
    );

    ana.post(
        &format!("{path}/lock"),
        &[("reason", "a sale"), ("minutes", "60")],
    )
    .await;
    check(
        &ana.get(path).await.text,
        &["Locked by", "Deployments wait until <time"],
        &[],
    );
    world.clock.advance(61 * 60_000);
    // Any change wakes the timer, as the time itself would.
    ana.post("/o/p/environments/other/lock", &[("reason", "something else")])
        .await;
    let environment = "projects/o/p/environments/production";
    world.until(environment, |row| row["locked_by"] == "").await;
    check(&ana.get(path).await.text, &[], &["Locked by"]);
    let audit = world.get("audit?limit=10").await;
    assert!(audit.to_string().contains("its time is over"), "{audit:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_lead_to_their_pages_and_locks_are_shown() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let path = "/o/p/environments/a%3Fb%23c%2C%20%3Ci%3E";
    let fields = [("reason", "until <monday>")];
    let lock = ana.post(&format!("{path}/lock"), &fields).await;
    assert_eq!(
        (lock.status, lock.location.as_str()),
        (303, path),
        "{}",
        lock.text
    );
    for list in ["/environments", "/o/p/environments"] {
        let page = ana.get(list).await.text;
        check(&page, &[&format!("href=\"{path}\""), "locked by"], &["<i>"]);
    }
    let page = ana.get(path).await;
    assert_eq!(page.status, 200);
    check(
        &page.text,
        &["until &lt;monday&gt;", "a%3Fb%23c%2C%20%3Ci%3E/unlock"],
        &["<i>"],
    );
    assert_eq!(ana.post(&format!("{path}/unlock"), &[]).await.location, path);
    check(&ana.get("/o/p/environments").await.text, &[], &["locked by"]);

    // What may not be seen is as if it were not there.
    let eve = Reader::new(&world, &world.outsider("eve", &["read"]).await).await;
    assert_eq!(eve.get("/o/p/environments").await.status, 404);
    assert_eq!(eve.get(path).await.status, 404);
    check(
        &eve.get("/environments").await.text,
        &["Nothing is deployed yet."],
        &["o/p"],
    );
}

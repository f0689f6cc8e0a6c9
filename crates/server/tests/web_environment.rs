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
    let body = json!({"owner": "o", "name": "other"});
    world.send(Method::POST, "projects", body).await;
    let body = json!({"name": "eve", "kind": "person", "scopes": ["read"], "project": "o/other"});
    let token = world.send(Method::POST, "tokens", body).await;
    let eve = Reader::new(&world, token["token"].as_str().expect("a token")).await;
    assert_eq!(eve.get("/o/p/environments").await.status, 404);
    assert_eq!(eve.get(path).await.status, 404);
    check(
        &eve.get("/environments").await.text,
        &["Nothing is deployed yet."],
        &["o/p"],
    );
}

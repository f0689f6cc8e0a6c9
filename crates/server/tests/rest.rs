//! `/api/v1`: what people may do, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::runner::Conclusion;
use reqwest::Method;
use serde_json::{Value, json};
use support::World;

const DEPLOY: &str = "on: {push: {}, workflow_dispatch: {inputs: {level: {type: choice, options: [low, high], required: true}}}}\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: ./ship ${{ secrets.Token }} ${{ secrets['KEY'] }}\n";

async fn pushed(world: &World) -> String {
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", DEPLOY);
    let sha = checkout.commit("first");
    checkout.push(&["main"]);
    sha
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_and_variables_reach_the_job_that_may_have_them_and_nobody_else() {
    let world = World::new().await;
    let checkout = world.project().await;
    let world_ref = &world;
    let set = |path: &str, value: &str, environment: Option<&str>| {
        let body = json!({"value": value, "environment": environment});
        let path = format!("projects/o/p/{path}");
        async move { world_ref.send(Method::PUT, &path, body).await }
    };
    set("secrets/token", "project-canary", None).await;
    set("secrets/KEY", "production-canary", Some("production")).await;
    set("secrets/UNNAMED", "unnamed-canary", None).await;
    set("secrets/OTHER", "staging-canary", Some("staging")).await;
    set("variables/PLACE", "here", None).await;
    set("variables/PLACE", "there", Some("production")).await;
    checkout.write(".github/workflows/ci.yml", DEPLOY);
    checkout.commit("first");
    checkout.push(&["main"]);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    let mut names: Vec<_> = lease
        .spec
        .secrets
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    names.retain(|(name, _)| *name != "GITHUB_TOKEN");
    assert_eq!(names, [("KEY", "production-canary"), ("TOKEN", "project-canary")]);
    assert_eq!(lease.spec.contexts["vars"]["PLACE"], "there");
    let listed = world.get("projects/o/p/secrets").await;
    assert_eq!(listed[0]["name"], "TOKEN");
    let at = listed[0]["used"]["at"].as_i64().unwrap();
    assert_eq!(
        listed[0]["used"],
        json!({"at": at, "run": lease.spec.run_id, "job": lease.job})
    );
    assert_eq!(
        (&listed[1]["name"], listed[1].get("used")),
        (&json!("UNNAMED"), None)
    );
    let production = world.get("projects/o/p/secrets?environment=production").await;
    assert_eq!(production[0]["used"]["job"], json!(lease.job));
    assert!(!listed.to_string().contains("canary"));
    // Not in any file of the server either.
    let database = std::fs::read(world.data().join("pilotage.db")).unwrap();
    let wal = std::fs::read(world.data().join("pilotage.db-wal")).unwrap_or_default();
    for bytes in [database, wal] {
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
    assert!(!format!("{lease:?}").contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_waits_for_its_reviewer_and_a_lock_holds_it() {
    let world = World::new().await;
    let checkout = world.project().await;
    let rules = json!({"branches": ["main"], "reviewers": ["ana"]});
    world
        .send(Method::PUT, "projects/o/p/environments/production/rules", rules)
        .await;
    checkout.write(".github/workflows/ci.yml", DEPLOY);
    let sha = checkout.commit("first");
    checkout.push(&["main"]);
    let waiting = world
        .until("projects/o/p/environments/production", |e| {
            !e["waiting"][0]["why"].is_null()
        })
        .await;
    assert_eq!(
        waiting["waiting"][0]["why"], "waits for the approval of ana",
        "{waiting}"
    );
    let approve = |sha: &str| Some(json!({"environment": "production", "sha": sha, "approved": true}));
    let path = "/api/v1/runs/1/approvals";
    assert_eq!(
        world
            .refused(Method::POST, path, &world.admin, approve(&sha))
            .await,
        403
    );
    let ana = world.token("ana", "person", &["deploy"]).await;
    let other = "1".repeat(40);
    assert_eq!(
        world.refused(Method::POST, path, &ana, approve(&other)).await,
        409
    );
    world
        .send(
            Method::PUT,
            "projects/o/p/environments/production/lock",
            json!({"reason": "sale"}),
        )
        .await;
    let (status, _) = world.ask(Method::POST, path, &ana, approve(&sha)).await;
    assert_eq!(status, 204);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    assert!(runner.ask_lease(0, 0).await.unwrap().lease.is_none());
    let run = world
        .until("runs/1", |run| {
            run["jobs"][0]["why"]
                .as_str()
                .is_some_and(|why| why.contains("locked"))
        })
        .await;
    assert!(
        run["jobs"][0]["why"]
            .as_str()
            .unwrap()
            .contains("locked by admin: sale"),
        "{run}"
    );
    let (status, _) = world
        .ask(
            Method::DELETE,
            "/api/v1/projects/o/p/environments/production/lock",
            &world.admin,
            None,
        )
        .await;
    assert_eq!(status, 204);
    let lease = runner.lease().await;
    runner.finish(&lease, Conclusion::Success, 0).await.unwrap();
    checkout.git(&["push", "--quiet", "origin", "main:fix"]);
    let refused = world
        .until("runs/2", |run| run["run"]["status"] == "completed")
        .await;
    assert_eq!(refused["run"]["conclusion"], "failure", "{refused}");
    assert!(
        refused.to_string().contains("production takes only main"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_timer_lets_go_by_itself() {
    let world = World::new().await;
    let checkout = world.project().await;
    world
        .send(
            Method::PUT,
            "projects/o/p/environments/production/rules",
            json!({"wait-timer-s": 600}),
        )
        .await;
    checkout.write(".github/workflows/ci.yml", DEPLOY);
    checkout.commit("first");
    checkout.push(&["main"]);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    assert!(runner.ask_lease(0, 0).await.unwrap().lease.is_none());
    world.clock.advance(601_000);
    world
        .send(Method::PUT, "projects/o/p/variables/TICK", json!({"value": "1"}))
        .await;
    runner.lease().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_started_by_hand_with_checked_inputs() {
    let world = World::new().await;
    pushed(&world).await;
    let dispatch = "/api/v1/projects/o/p/workflows/ci.yml/dispatches";
    for (body, expected) in [
        (json!({}), 422),
        (json!({"inputs": {"level": "middle"}}), 422),
        (json!({"inputs": {"level": "low", "other": 1}}), 422),
        (json!({"ref": "nowhere", "inputs": {"level": "low"}}), 404),
    ] {
        assert_eq!(
            world
                .refused(Method::POST, dispatch, &world.admin, Some(body.clone()))
                .await,
            expected,
            "{body}"
        );
    }
    let run = world
        .send(
            Method::POST,
            "projects/o/p/workflows/ci.yml/dispatches",
            json!({"inputs": {"level": "low"}}),
        )
        .await;
    assert_eq!(
        (&run["id"], &run["event"], &run["number"]),
        (&json!(2), &json!("workflow_dispatch"), &json!(2))
    );
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let first = runner.lease().await;
    runner.finish(&first, Conclusion::Success, 0).await.unwrap();
    let lease = runner.lease().await;
    assert_eq!(lease.spec.contexts["inputs"]["level"], "low");
    assert_eq!(lease.spec.contexts["github"]["event"]["inputs"]["level"], "low");
    world
        .send(
            Method::PUT,
            "projects/o/p/workflows/ci.yml/enabled",
            json!({"enabled": false}),
        )
        .await;
    let body = json!({"inputs": {"level": "low"}});
    assert_eq!(
        world
            .refused(Method::POST, dispatch, &world.admin, Some(body))
            .await,
        409
    );
    let view = world.get("projects/o/p/workflows/ci.yml").await;
    assert_eq!(view["inputs"][0]["options"], json!(["low", "high"]));
    assert_eq!(view["workflow"]["enabled"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_without_a_token_that_may() {
    let world = World::new().await;
    let sha = pushed(&world).await;
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    let other = world
        .send(Method::POST, "projects", json!({"owner": "o", "name": "other"}))
        .await;
    assert_eq!(other["id"], 2);
    let (_, foreign) = world
        .ask(
            Method::POST,
            "/api/v1/tokens",
            &world.admin,
            Some(json!({"name": "eve", "kind": "person", "scopes": ["admin"], "project": "o/other"})),
        )
        .await;
    let foreign = foreign["token"].as_str().unwrap().to_owned();
    let read = world.token("reader", "person", &["read"]).await;
    let value = json!({"value": "x"});
    let approve = json!({"environment": "production", "sha": sha, "approved": true});
    let project = json!({"owner": "a", "name": "b"});
    let token = json!({"name": "a", "kind": "person", "scopes": ["admin"]});
    let calls: Vec<(Method, &str, Option<Value>, u16)> = vec![
        (Method::GET, "/api/v1/projects/o/p", None, 200),
        (Method::POST, "/api/v1/projects", Some(project), 403),
        (Method::GET, "/api/v1/projects/o/p/workflows", None, 200),
        (
            Method::PUT,
            "/api/v1/projects/o/p/workflows/ci.yml/enabled",
            Some(json!({"enabled": true})),
            403,
        ),
        (
            Method::POST,
            "/api/v1/projects/o/p/workflows/ci.yml/dispatches",
            Some(json!({})),
            403,
        ),
        (Method::GET, "/api/v1/runs/1", None, 200),
        (Method::DELETE, "/api/v1/runs/1", None, 403),
        (
            Method::POST,
            "/api/v1/runs/1/rerun",
            Some(json!({"which": "all"})),
            403,
        ),
        (Method::POST, "/api/v1/runs/1/cancel", Some(json!({})), 403),
        (Method::POST, "/api/v1/runs/1/approvals", Some(approve), 403),
        (Method::GET, "/api/v1/runs/1/artifacts", None, 200),
        (Method::GET, "/api/v1/jobs/1000000/log", None, 200),
        (Method::GET, "/api/v1/projects/o/p/caches", None, 200),
        (Method::GET, "/api/v1/projects/o/p/secrets", None, 200),
        (
            Method::PUT,
            "/api/v1/projects/o/p/secrets/A",
            Some(value.clone()),
            403,
        ),
        (Method::DELETE, "/api/v1/projects/o/p/secrets/A", None, 403),
        (Method::PUT, "/api/v1/projects/o/p/variables/A", Some(value), 403),
        (Method::GET, "/api/v1/projects/o/p/environments", None, 200),
        (
            Method::PUT,
            "/api/v1/projects/o/p/environments/production/rules",
            Some(json!({})),
            403,
        ),
        (
            Method::PUT,
            "/api/v1/projects/o/p/environments/production/lock",
            Some(json!({})),
            403,
        ),
        (Method::GET, "/api/v1/tokens", None, 403),
        (Method::POST, "/api/v1/tokens", Some(token), 403),
        (Method::GET, "/api/v1/audit", None, 403),
        (Method::GET, "/api/v1/audit/verify", None, 403),
        (
            Method::PUT,
            "/api/v1/runners/r/drain",
            Some(json!({"drain": true})),
            403,
        ),
        (Method::GET, "/api/v1/runners", None, 200),
        (Method::GET, "/api/v1/doctor", None, 200),
    ];
    for (method, path, body, for_reader) in calls {
        let ask = |token: String| {
            world.ask(
                method.clone(),
                path,
                Box::leak(token.into_boxed_str()),
                body.clone(),
            )
        };
        assert_eq!(ask("nonsense".to_owned()).await.0, 401, "{path}");
        assert_eq!(
            ask(read.clone()).await.0,
            for_reader,
            "{method} {path} of a reader"
        );
        let of_project = path.contains("/o/p") || path.contains("/runs/1") || path.contains("/jobs/");
        assert_eq!(
            ask(foreign.clone()).await.0,
            if of_project { 404 } else { 403 },
            "{method} {path} of another project"
        );
        for machine in [&lease.token, &runner.token] {
            let status = ask(machine.clone()).await.0;
            assert!(
                status == 404 || status == 403,
                "{method} {path} of a job or runner: {status}"
            );
        }
    }
    // Spellings of a path that a second router might read otherwise.
    for path in [
        "/api/v1//tokens",
        "/api/v1/./tokens",
        "/api/v1/projects/o%2Fp",
        "/api/v1/tokens;x",
        "/api/v1/tokens/",
        "/api/v1/projects/../tokens",
    ] {
        let status = world.ask(Method::GET, path, "nonsense", None).await.0;
        assert!(status == 404 || status == 401, "{path}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_a_reason() {
    let world = World::new().await;
    world.project().await;
    for (method, path, body, expected) in [
        (Method::POST, "projects", json!({"owner": "o", "name": "P"}), 409),
        (
            Method::POST,
            "projects",
            json!({"owner": "../x", "name": "p"}),
            400,
        ),
        (
            Method::POST,
            "projects",
            json!({"owner": "o", "name": "q", "default_branch": "a b"}),
            400,
        ),
        (
            Method::PUT,
            "projects/o/p/secrets/GITHUB_X",
            json!({"value": "x"}),
            400,
        ),
        (
            Method::PUT,
            "projects/o/p/secrets/A",
            json!({"value": "x".repeat(100_000)}),
            413,
        ),
        (
            Method::PUT,
            "projects/o/p/environments/a%0Ab/rules",
            json!({}),
            400,
        ),
        (
            Method::PUT,
            "projects/o/p/environments/a/rules",
            json!({"branchs": []}),
            422,
        ),
        (
            Method::POST,
            "tokens",
            json!({"name": "a", "kind": "person", "scopes": ["root"]}),
            400,
        ),
        (Method::POST, "runs/99/cancel", json!({}), 404),
    ] {
        let (status, answer) = world
            .ask(method, &format!("/api/v1/{path}"), &world.admin, Some(body))
            .await;
        assert_eq!(status, expected, "{path}: {answer}");
    }
    let answer = world
        .client
        .post(format!("{}/api/v1/projects", world.url))
        .bearer_auth(&world.admin)
        .body("{")
        .send()
        .await;
    assert!(answer.unwrap().status().is_client_error());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_in_the_audit_log_and_a_revoked_token_is_dead() {
    let world = World::new().await;
    world.project().await;
    let reader = world.token("reader", "person", &["read"]).await;
    let tokens = world.get("tokens").await;
    let id = tokens
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["name"] == "reader")
        .unwrap()["id"]
        .clone();
    assert_eq!(
        world.ask(Method::GET, "/api/v1/projects", &reader, None).await.0,
        200
    );
    assert_eq!(
        world
            .ask(
                Method::DELETE,
                &format!("/api/v1/tokens/{id}"),
                &world.admin,
                None
            )
            .await
            .0,
        204
    );
    assert_eq!(
        world.ask(Method::GET, "/api/v1/projects", &reader, None).await.0,
        401
    );
    let entries = world.get("audit").await;
    let actions: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["action"].as_str().unwrap())
        .collect();
    let expected = ["project.create", "token.create", "token.revoke", "audit.read"];
    assert_eq!(actions, expected, "who looks is noted before the look");
    assert_eq!(world.get("audit/verify").await["holds"], true);
    let database = std::fs::read(world.data().join("pilotage.db-wal")).unwrap();
    assert!(
        !database
            .windows(reader.len())
            .any(|window| window == reader.as_bytes()),
        "tokens are stored as hashes"
    );
}

//! The pages of workflows over real HTTP: what they say of the files, and the form that starts a run.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use serde_json::json;
use support::World;
use support::reader::Reader;

const BY_HAND: &str = "name: Deploy <it>
on:
  pull_request:
  workflow_dispatch:
    inputs:
      level: {type: choice, options: [low, high], default: high, description: 'How <hard>'}
      count: {type: number, required: true}
      dry: {type: boolean, default: true}
      where: {type: environment, required: true}
      note: {}
jobs:
  go:
    runs-on: linux
    steps:
      - run: ./go
";
const WRONG: &str =
    "on: push\njobs:\n  a:\n    runs-on: linux\n    needs: [nobody]\n    steps:\n      - run: a\n";

async fn world() -> World {
    let world = World::new().await;
    let checkout = world.project().await;
    let rules = "projects/o/p/environments/production/rules";
    world.send(reqwest::Method::PUT, rules, json!({})).await;
    checkout.write(".github/workflows/deploy.yml", BY_HAND);
    checkout.write(".github/workflows/wrong.yml", WRONG);
    checkout.commit("Deploy");
    checkout.push(&["main", "main:old"]);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_starts_what_rest_starts_and_keeps_what_was_refused() {
    let world = world().await;
    let admin = Reader::new(&world, &world.admin).await;
    let list = admin.get("/o/p/workflows").await.text;
    for part in [
        "Deploy &lt;it&gt;",
        "never ran",
        "1 error",
        "A pull request starts nothing here: this server has no pull requests yet.",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let path = "/o/p/workflows/deploy.yml";
    let page = admin.get(path).await.text;
    for part in [
        "How &lt;hard&gt;",
        "<option value=\"high\" selected>",
        "type=\"number\"",
        "value=\"true\" checked",
        "<option value=\"production\">",
        "<option value=\"refs/heads/old\">",
        "Run on main",
        "It never ran",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let post = format!("{path}/runs");
    let fields = [
        ("ref", "refs/heads/old"),
        ("input.level", "low"),
        ("input.count", "many"),
        ("input.dry", "false"),
        ("input.where", "production"),
        ("input.note", "<i>kept</i>"),
    ];
    let refused = admin.post(&post, &fields).await;
    assert_eq!(refused.status, 422);
    for part in [
        "role=\"alert\"",
        "<code>count</code>",
        "&lt;i&gt;kept&lt;/i&gt;",
        "<option value=\"low\" selected>",
        "Run on old",
    ] {
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    assert!(!refused.text.contains("value=\"true\" checked"));

    let mut right = fields;
    right[2].1 = "2.5";
    // What comes twice, as a ticked box does: the last one counts.
    let right = [&right[..], &[("input.dry", "true")]].concat();
    let started = admin.post(&post, &right).await;
    assert_eq!((started.status, started.location.as_str()), (303, "/o/p/runs/1"));
    let run = world.get("runs/1").await;
    assert_eq!(run["run"]["ref"], "refs/heads/old", "{run}");
    assert_eq!(run["run"]["event"], "workflow_dispatch");
    let runner = world.runner("r", &["linux"]).await;
    let inputs = runner.lease().await.spec.contexts["inputs"].clone();
    assert_eq!(
        serde_json::to_value(inputs).unwrap(),
        json!({"level": "low", "count": 2.5, "dry": true, "where": "production", "note": "<i>kept</i>"})
    );
    let page = admin.get(path).await.text;
    assert!(page.contains("href=\"/o/p/runs/1\""), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_write_starts_and_switches_off() {
    let world = world().await;
    let admin = Reader::new(&world, &world.admin).await;
    let kim = Reader::new(&world, &world.token("kim", "person", &["read"]).await).await;
    world
        .send(
            reqwest::Method::POST,
            "projects",
            json!({"owner": "o", "name": "secret"}),
        )
        .await;
    let only = json!({"name": "bo", "kind": "person", "scopes": ["read", "write"], "project": "o/secret"});
    let only = world.send(reqwest::Method::POST, "tokens", only).await;
    let bo = Reader::new(&world, only["token"].as_str().unwrap()).await;

    let path = "/o/p/workflows/deploy.yml";
    let (runs, enabled) = (format!("{path}/runs"), format!("{path}/enabled"));
    let page = kim.get(path).await.text;
    assert!(
        page.contains("You cannot start it")
            && !page.contains("Run on main")
            && page.contains("You cannot change that"),
        "{page}"
    );
    for (reader, path, expected) in [
        (&kim, runs.as_str(), 403),
        (&kim, enabled.as_str(), 403),
        (&bo, runs.as_str(), 404),
        (&bo, enabled.as_str(), 404),
        (&admin, "/o/p/workflows/none.yml/runs", 404),
    ] {
        let answer = reader
            .post(path, &[("enabled", "no"), ("input.count", "1")])
            .await;
        assert_eq!(answer.status, expected, "{path}: {}", answer.text);
    }
    for path in ["/o/p/workflows", path, "/o/secret/workflows/deploy.yml"] {
        assert_eq!(bo.get(path).await.status, 404, "{path}");
    }
    let mut other = admin.clone();
    other.csrf = kim.csrf.clone();
    assert_eq!(other.post(&runs, &[("input.count", "1")]).await.status, 403);
    assert_eq!(world.get("runs").await, json!([]));

    for (path, expected) in [
        ("/o/p/workflows/wrong.yml", "nobody"),
        ("/o/p/workflows/wrong.yml", "Its file has errors"),
        ("/o/p/workflows/wrong.yml", "^^^^^^"),
    ] {
        let page = admin.get(path).await.text;
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert_eq!(admin.get("/o/p/workflows/..%2f..%2fx").await.status, 404);
    assert_eq!(admin.get(&format!("{path}?ref=nowhere")).await.status, 404);

    assert_eq!(admin.post(&enabled, &[("enabled", "no")]).await.status, 303);
    let page = admin.get(path).await.text;
    assert!(
        page.contains("switched off") && !page.contains("Run on main"),
        "{page}"
    );
    assert_eq!(
        admin
            .post(&runs, &[("input.count", "1"), ("input.where", "x")])
            .await
            .status,
        409
    );
    assert_eq!(admin.post(&enabled, &[("enabled", "yes")]).await.status, 303);
    assert!(admin.get(path).await.text.contains("Run on main"));
}

//! What a running job asks: artifacts and caches, each in its own bounds.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::runner::Conclusion;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Checkout, TestRunner, World};

const CI: &str = "on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps: [{run: a}]\n";

async fn put(
    world: &World,
    token: &str,
    path: &str,
    body: &[u8],
    digest: Option<&str>,
) -> (StatusCode, Value) {
    let digest = digest.map_or_else(
        || format!("sha256:{}", hex::encode(Sha256::digest(body))),
        str::to_owned,
    );
    let request = world
        .client
        .put(format!("{}/api/runner/v1/{path}", world.url))
        .bearer_auth(token);
    let answer = request
        .header("x-pilotage-digest", digest)
        .body(body.to_vec())
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn get(world: &World, token: &str, path: &str) -> (u16, Vec<u8>) {
    let request = world
        .client
        .get(format!("{}{path}", world.url))
        .bearer_auth(token);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

/// A job's token of a new run on that branch, and how to end it.
async fn job(checkout: &Checkout, runner: &TestRunner, branch: &str) -> pilotage_api::lease::Lease {
    checkout.commit(branch);
    checkout.push(&[&format!("HEAD:refs/heads/{branch}"), "--force"]);
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    lease
}

async fn begin() -> (World, Checkout, TestRunner) {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", CI);
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    (world, checkout, runner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_whole_immutable_and_of_their_run() {
    let (world, checkout, runner) = begin().await;
    let lease = job(&checkout, &runner, "main").await;
    let token = &lease.token;
    let (status, info) = put(&world, token, "artifacts?name=dist", b"PK one", None).await;
    assert_eq!((status.as_u16(), &info["size_bytes"]), (201, &json!(6)), "{info}");
    assert_eq!(
        put(&world, token, "artifacts?name=dist", b"PK two", None).await.0,
        409
    );
    let wrong = format!("sha256:{}", "0".repeat(64));
    assert_eq!(
        put(&world, token, "artifacts?name=broken", b"x", Some(&wrong))
            .await
            .0,
        422
    );
    assert_eq!(
        put(&world, token, "artifacts?name=broken", b"x", Some("md5:1"))
            .await
            .0,
        400
    );
    for name in [
        "..%2Fx",
        "a%2Fb",
        "%00",
        "C%3A%5Cx",
        "..",
        &"x".repeat(300),
        "a%0Ab",
        "",
    ] {
        assert_eq!(
            put(&world, token, &format!("artifacts?name={name}"), b"x", None)
                .await
                .0,
            400,
            "{name}"
        );
    }
    let listed = get(&world, token, "/api/runner/v1/artifacts").await.1;
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(
        listed["artifacts"].as_array().unwrap().len(),
        1,
        "a broken upload leaves nothing"
    );
    let content = format!("artifacts/{}/content", info["id"]);
    assert_eq!(
        get(&world, token, &format!("/api/runner/v1/{content}")).await,
        (200, b"PK one".to_vec())
    );
    let (status, second) = put(
        &world,
        token,
        "artifacts?name=dist&overwrite=true",
        b"PK three",
        None,
    )
    .await;
    assert_eq!(status, 201);
    assert_eq!(
        get(&world, token, &format!("/api/runner/v1/{content}")).await.0,
        404,
        "the old one is gone"
    );
    let person = format!("/api/v1/artifacts/{}/content", second["id"]);
    assert_eq!(
        get(&world, &world.admin, &person).await,
        (200, b"PK three".to_vec())
    );

    let other = job(&checkout, &runner, "other").await;
    let foreign = format!("/api/runner/v1/artifacts/{}/content", second["id"]);
    assert_eq!(get(&world, &other.token, &foreign).await.0, 404, "another run's");
    runner.finish(&lease, Conclusion::Success, 0).await.unwrap();
    assert_eq!(
        put(&world, token, "artifacts?name=late", b"x", None).await.0,
        401,
        "the token died with its job"
    );
    assert_eq!(
        put(&world, &world.admin, "artifacts?name=x", b"x", None).await.0,
        401,
        "a person is no job"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_are_read_only_from_ones_own_ref_and_the_default_branch() {
    let (world, checkout, runner) = begin().await;
    let main = job(&checkout, &runner, "main").await.token;
    let fix = job(&checkout, &runner, "fix").await.token;
    let other = job(&checkout, &runner, "other").await.token;
    let path = |key: &str| format!("caches?key={key}&version=v");
    assert_eq!(put(&world, &main, &path("deps-1"), b"main", None).await.0, 201);
    assert_eq!(put(&world, &main, &path("deps-1"), b"again", None).await.0, 409);
    assert_eq!(
        put(&world, &fix, &path("deps-1"), b"fix", None).await.0,
        201,
        "a scope of its own"
    );
    assert_eq!(put(&world, &fix, &path("deps-2"), b"fix2", None).await.0, 201);
    let find = |token: &str, query: &str| {
        let (token, path) = (token.to_owned(), format!("/api/runner/v1/caches?{query}"));
        let world = &world;
        async move {
            let (status, body) = get(world, &token, &path).await;
            let info: Value = serde_json::from_slice(&body).unwrap_or_default();
            if status == 204 {
                return None;
            }
            let content = format!("/api/runner/v1/caches/{}/content", info["id"]);
            let (_, bytes) = get(world, &token, &content).await;
            Some((
                info["key"].as_str().unwrap().to_owned(),
                String::from_utf8(bytes).unwrap(),
            ))
        }
    };
    let found = |key: &str, text: &str| Some((key.to_owned(), text.to_owned()));
    assert_eq!(find(&main, "key=deps-1&version=v").await, found("deps-1", "main"));
    assert_eq!(find(&fix, "key=deps-1&version=v").await, found("deps-1", "fix"));
    assert_eq!(
        find(&other, "key=deps-1&version=v").await,
        found("deps-1", "main")
    );
    assert_eq!(
        find(&other, "key=deps-2&version=v").await,
        None,
        "another branch's"
    );
    assert_eq!(
        find(&fix, "key=x&version=v&restore_key=none&restore_key=deps-").await,
        found("deps-2", "fix2")
    );
    assert_eq!(
        find(&main, "key=deps&version=v").await,
        None,
        "the key itself is no prefix"
    );
    assert_eq!(find(&main, "key=deps-1&version=w").await, None, "another version");
    assert_eq!(
        find(&main, "key=x&version=v&restore_key=deps_").await,
        None,
        "no pattern"
    );
    let listed = world.get("projects/o/p/caches").await;
    let of_fix = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|cache| cache["ref"] == "refs/heads/fix")
        .unwrap();
    let content = format!("/api/runner/v1/caches/{}/content", of_fix["id"]);
    assert_eq!(
        get(&world, &other, &content).await.0,
        404,
        "not by its number either"
    );
    let delete = format!("/api/v1/projects/o/p/caches/{}", of_fix["id"]);
    assert_eq!(
        world.ask(Method::DELETE, &delete, &world.admin, None).await.0,
        204
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_a_job_runs_goes_on_with_it() {
    let (mut world, checkout, mut runner) = begin().await;
    let lease = job(&checkout, &runner, "main").await;
    runner.log(&lease, 1, 0, "before\n").await.unwrap();
    let (_, kept) = put(&world, &lease.token, "artifacts?name=dist", b"PK", None).await;
    // Longer than a lease: the server was away and could hear nobody.
    world.clock.advance(100_000);
    world.restart().await;
    runner.url.clone_from(&world.url);
    assert!(!runner.renew(&lease, 0).await.unwrap().cancel);
    assert_eq!(runner.log(&lease, 1, 0, "before\nafter\n").await, Ok(2));
    assert_eq!(
        runner
            .finish(&lease, Conclusion::Success, 2)
            .await
            .unwrap()
            .missing,
        None
    );
    world.restart().await;
    let run = world.get("runs/1").await;
    assert_eq!(run["run"]["conclusion"], "success");
    let log = get(&world, &world.admin, &format!("/api/v1/jobs/{}/log", lease.job)).await;
    assert_eq!(log, (200, b"before\nafter\n".to_vec()));
    let content = format!("/api/v1/artifacts/{}/content", kept["id"]);
    assert_eq!(get(&world, &world.admin, &content).await, (200, b"PK".to_vec()));
    assert_eq!(
        world
            .ask(Method::DELETE, "/api/v1/runs/1", &world.admin, None)
            .await
            .0,
        204
    );
    assert_eq!(get(&world, &world.admin, "/api/v1/runs/1").await.0, 404);
}

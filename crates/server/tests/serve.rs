//! A server's beginning and end.

mod support;

use pilotage_server::{Config, ServeError, serve};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use support::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_secret_is_its_owners_alone_and_two_servers_never_share_a_directory() {
    let world = World::new().await;
    for (name, mode) in [("", 0o700), ("master.key", 0o600), ("admin-token", 0o600)] {
        let metadata = std::fs::metadata(world.data().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    let ignored = std::fs::read_to_string(world.data().join(".gitignore")).unwrap();
    assert_eq!(ignored, "*\n", "`git add .` beside it takes no key along");
    let mut config = Config::new(world.data());
    config.listen = ([127, 0, 0, 1], 0).into();
    config.runner_slots = 0;
    assert!(matches!(
        serve(config).await.err(),
        Some(ServeError::InUse { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_said_so() {
    let world = World::new().await;
    let mut config = Config::new(world.directory.path().join("other"));
    config.listen = world.server.as_ref().unwrap().address();
    config.runner_slots = 0;
    let error = serve(config).await.err().unwrap();
    assert!(
        error.to_string().starts_with("cannot listen on 127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_ends_its_long_answers() {
    let mut world = World::new().await;
    let runner = world.runner("r", &["a"]).await;
    let waiting = tokio::spawn(async move { runner.ask_lease(0, 25_000).await });
    let follow = world
        .client
        .get(format!("{}/api/v1/projects", world.url))
        .bearer_auth(&world.admin)
        .send()
        .await;
    assert!(follow.unwrap().status().is_success());
    let begun = Instant::now();
    world.server.take().unwrap().stop().await;
    assert!(waiting.await.unwrap().is_ok_and(|answer| answer.lease.is_none()));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_framework_refuses_is_a_problem_too() {
    let world = World::new().await;
    let post = |body: &'static str| {
        world
            .client
            .post(format!("{}/api/v1/projects", world.url))
            .bearer_auth(&world.admin)
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    for body in ["{", "[]", "{\"owner\": 1}"] {
        let answer = post(body).await.unwrap();
        let (status, kind) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
        assert!(
            (400..500).contains(&status) && kind == "application/problem+json",
            "{body}: {status} {kind:?}"
        );
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    }
}

//! The runner protocol: leases, fences, reports, logs, results, and runners that fall silent.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::lease::Lease;
use pilotage_api::runner::{Annotation, AnnotationLevel, Conclusion, Report, StepName};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;
use support::{Checkout, TestRunner, World};

const TWO: &str = "on: [push, workflow_dispatch]\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - run: make\n  test:\n    needs: build\n    runs-on: [ubuntu-latest, gpu]\n    steps:\n      - run: make test\n";

async fn pushed(world: &World, workflow: &str) -> Checkout {
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", workflow);
    checkout.commit("first");
    checkout.push(&["main"]);
    checkout
}

async fn job(world: &World, at: usize) -> serde_json::Value {
    world.get("runs/1").await["jobs"][at].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_reported_logged_and_ended_once() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let runner = world.runner("r", &["ubuntu-latest", "gpu"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    let name = StepName {
        step: 1,
        id: "__run".to_owned(),
        name: "Run make".to_owned(),
    };
    let finished = Report::StepFinished {
        step: 1,
        outcome: Conclusion::Failure,
        conclusion: Conclusion::Failure,
        duration_ms: 7,
        reason: None,
        error: Some("exit code 2".to_owned()),
    };
    let annotation = Report::Annotation(Annotation {
        step: 1,
        level: AnnotationLevel::Error,
        message: "bad".to_owned(),
        title: None,
        file: Some("a.c".to_owned()),
        line: Some(3),
        column: None,
        end_line: None,
        end_column: None,
        log_line: None,
    });
    let first = vec![
        Report::Steps {
            steps: vec![name],
            evaluated: Vec::new(),
        },
        Report::StepStarted { step: 1, at_ms: 1 },
    ];
    assert_eq!(runner.report(&lease, 0, first.clone()).await.unwrap().next, 2);
    assert_eq!(
        runner.report(&lease, 0, first).await.unwrap().next,
        2,
        "said twice"
    );
    assert_eq!(runner.report(&lease, 3, vec![]).await, Err(400), "one is missing");
    let summary = Report::Summary {
        step: 1,
        markdown: "# done".to_owned(),
    };
    assert_eq!(
        runner
            .report(&lease, 2, vec![annotation, summary, finished])
            .await
            .unwrap()
            .next,
        5
    );
    assert_eq!(runner.log(&lease, 1, 0, "a\nb\n").await, Ok(2));
    assert_eq!(runner.log(&lease, 1, 0, "a\nb\n").await, Ok(2), "said twice");
    assert_eq!(
        runner.log(&lease, 1, 5, "f\n").await,
        Ok(2),
        "a gap: the server says what it wants"
    );
    assert_eq!(
        runner
            .finish(&lease, Conclusion::Failure, 4)
            .await
            .unwrap()
            .missing,
        Some((2, 4))
    );
    assert_eq!(
        runner
            .finish(&lease, Conclusion::Success, 4)
            .await
            .unwrap()
            .missing,
        Some((2, 4)),
        "said twice"
    );
    assert_eq!(runner.log(&lease, 1, 2, "late\n").await, Err(409));
    assert_eq!(runner.ack(&lease).await, Err(409));
    let build = job(&world, 0).await;
    assert_eq!(build["conclusion"], "failure", "{build}");
    assert_eq!(build["error"], "it failed");
    assert_eq!(build["log_missing"], json!([2, 4]));
    assert_eq!(build["steps"][0]["error"], "exit code 2");
    assert_eq!(build["annotations"][0]["file"], "a.c");
    assert_eq!(build["summaries"][0]["markdown"], "# done");
    let test = job(&world, 1).await;
    assert_eq!(test["conclusion"], "skipped", "{test}");
    assert!(test["why"].as_str().unwrap().contains("build"), "{test}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_go_only_where_their_labels_are_and_runners_speak_for_themselves() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let plain = world.runner("plain", &["Ubuntu-Latest"]).await;
    let lease = plain.lease().await;
    let other = world.runner("other", &["gpu"]).await;
    assert_eq!(other.ack(&lease).await, Err(409), "another runner's lease");
    assert_eq!(
        other.finish(&lease, Conclusion::Success, 0).await.map(|_| ()),
        Err(409)
    );
    let posing = TestRunner {
        id: plain.id,
        ..other.clone()
    };
    assert_eq!(
        posing.ask_lease(0, 0).await.map(|_| ()),
        Err(404),
        "another runner's number"
    );
    plain.ack(&lease).await.unwrap();
    plain.finish(&lease, Conclusion::Success, 0).await.unwrap();
    assert!(plain.ask_lease(0, 0).await.unwrap().lease.is_none());
    let status = world
        .until("status", |s| !s["projects"][0]["waiting_for"][0].is_null())
        .await;
    let why = &status["projects"][0]["waiting_for"][0];
    assert_eq!(*why, "no runner has all of the labels `ubuntu-latest`, `gpu`");
    let both = world.runner("both", &["gpu", "ubuntu-latest"]).await;
    let name = both.lease().await.spec.name;
    assert_eq!(name, "test");
    let person = world.token("ana", "person", &["admin"]).await;
    let posing = TestRunner {
        token: person,
        ..both
    };
    assert_eq!(
        posing.ask_lease(1, 0).await.map(|_| ()),
        Err(401),
        "a person is no runner"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_falls_silent_loses_its_job_within_its_lease() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let first = runner.lease().await;
    // Never acknowledged: nothing had begun, so the job is given out again.
    world.clock.advance(16_000);
    tick(&world).await;
    let second = leased_again(&runner).await;
    assert!(second.job == first.job && second.fence > first.fence);
    assert_eq!(runner.ack(&first).await, Err(409));
    runner.ack(&second).await.unwrap();
    runner
        .report(&second, 0, vec![Report::StepStarted { step: 1, at_ms: 1 }])
        .await
        .unwrap();
    world.clock.advance(40_000);
    assert!(!runner.renew(&second, 0).await.unwrap().cancel);
    world.clock.advance(40_000);
    assert_eq!(runner.log(&second, 1, 0, "still there\n").await, Ok(1));
    world.clock.advance(10_000);
    wait_for(&world, |run| run["run"]["conclusion"] == "failure").await;
    let lost = job(&world, 0).await;
    assert!(
        lost["error"].as_str().unwrap().contains("runner lost")
            || lost["why"].as_str().unwrap().contains("lost"),
        "{lost}"
    );
    assert_eq!(runner.renew(&second, 0).await.map(|_| ()), Err(409));
    let ended = world
        .until("runs/1", |run| {
            run["jobs"][0]["steps"][0]["status"] == "completed"
        })
        .await;
    assert_eq!(
        ended["jobs"][0]["steps"][0]["conclusion"], "cancelled",
        "a step does not run for ever"
    );
}

/// Asks until the timer has seen that a lease ran out.
async fn leased_again(runner: &TestRunner) -> Lease {
    *runner
        .ask_lease(1, 20_000)
        .await
        .unwrap()
        .lease
        .expect("the job again")
}

/// Any change wakes the timer, which then sees that the clock was moved.
async fn tick(world: &World) {
    world
        .send(Method::PUT, "projects/o/p/variables/TICK", json!({"value": "1"}))
        .await;
}

async fn wait_for(world: &World, what: impl Fn(&serde_json::Value) -> bool) {
    for _ in 0..400 {
        if what(&world.get("runs/1").await) {
            return;
        }
        tick(world).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never happened: {}", world.get("runs/1").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_runner_loses_what_its_earlier_instance_held() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let token = world.token("r", "runner", &[]).await;
    let one = world.runner_with("r", &["ubuntu-latest"], &token, "1").await;
    let lease = one.lease().await;
    one.ack(&lease).await.unwrap();
    world.runner_with("r", &["ubuntu-latest"], &token, "2").await;
    assert_eq!(one.renew(&lease, 0).await.map(|_| ()), Err(409));
    assert_eq!(
        one.ask_lease(0, 0).await.map(|_| ()),
        Err(404),
        "the earlier instance is nobody now"
    );
    assert_eq!(world.get("runs/1").await["run"]["conclusion"], "failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_the_runner_at_once() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    let waiting = {
        let (runner, lease) = (runner.clone(), lease.clone());
        tokio::spawn(async move { runner.renew(&lease, 15_000).await })
    };
    let begun = std::time::Instant::now();
    world.send(Method::POST, "runs/1/cancel", json!({})).await;
    let renewed = waiting.await.unwrap().unwrap();
    assert!(
        renewed.cancel && begun.elapsed() < Duration::from_secs(5),
        "{renewed:?}"
    );
    runner.finish(&lease, Conclusion::Cancelled, 0).await.unwrap();
    let run = world.get("runs/1").await;
    assert_eq!(run["run"]["conclusion"], "cancelled", "{run}");
    assert!(run["run"]["why"].as_str().unwrap().contains("admin"), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_keeps_the_attempts_apart() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let runner = world.runner("r", &["ubuntu-latest", "gpu"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    runner.log(&lease, 1, 0, "first\n").await.unwrap();
    runner.finish(&lease, Conclusion::Failure, 1).await.unwrap();
    let again = world
        .send(Method::POST, "runs/1/rerun", json!({"which": "failed"}))
        .await;
    assert_eq!(again["attempt"], 2);
    let second = runner.lease().await;
    assert_ne!(second.job, lease.job);
    runner.ack(&second).await.unwrap();
    runner.finish(&second, Conclusion::Success, 0).await.unwrap();
    let third = runner.lease().await;
    runner.finish(&third, Conclusion::Success, 0).await.unwrap();
    let (old, new) = (world.get("runs/1?attempt=1").await, world.get("runs/1").await);
    assert_eq!(
        (&old["jobs"][0]["conclusion"], &new["jobs"][0]["conclusion"]),
        (&json!("failure"), &json!("success"))
    );
    assert_eq!(new["run"]["conclusion"], "success");
    let log = world
        .client
        .get(format!("{}/api/v1/jobs/{}/log", world.url, lease.job))
        .bearer_auth(&world.admin);
    assert_eq!(log.send().await.unwrap().text().await.unwrap(), "first\n");
    assert_eq!(
        world
            .refused(
                Method::POST,
                "/api/v1/runs/1/rerun",
                &world.admin,
                Some(json!({"which": "failed"}))
            )
            .await,
        409
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_events_are_followed_to_their_end() {
    let world = World::new().await;
    pushed(&world, TWO).await;
    let runner = world.runner("r", &["ubuntu-latest"]).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    let get = |path: String| {
        world
            .client
            .get(format!("{}/api/v1/{path}", world.url))
            .bearer_auth(&world.admin)
    };
    let log = tokio::spawn(get(format!("jobs/{}/log?follow=true&times=true", lease.job)).send());
    let events = tokio::spawn(get("runs/1/events".to_owned()).send());
    let (log, events) = (log.await.unwrap().unwrap(), events.await.unwrap().unwrap());
    let (log, events) = (tokio::spawn(log.text()), tokio::spawn(events.text()));
    let name = StepName {
        step: 1,
        id: "__run".to_owned(),
        name: "Run make".to_owned(),
    };
    runner
        .report(
            &lease,
            0,
            vec![Report::Steps {
                steps: vec![name],
                evaluated: Vec::new(),
            }],
        )
        .await
        .unwrap();
    for line in 0..50 {
        runner
            .log(&lease, 1, line, &format!("line {line}\n"))
            .await
            .unwrap();
    }
    runner.finish(&lease, Conclusion::Failure, 50).await.unwrap();
    let expected: String = (0..50).map(|line| format!("1\t1\tline {line}\n")).collect();
    assert_eq!(log.await.unwrap().unwrap(), expected);
    let events = events.await.unwrap().unwrap();
    let events: Vec<serde_json::Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|e| serde_json::from_str(e).unwrap())
        .collect();
    let lines: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "log")
        .map(|e| e["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        lines,
        (0..50).map(|line| format!("line {line}")).collect::<Vec<_>>()
    );
    assert_eq!(events[0]["type"], "state");
    let ends: Vec<_> = events
        .iter()
        .filter(|e| e["type"] == "job")
        .map(|e| e["conclusion"].clone())
        .collect();
    assert_eq!(ends, [json!("failure"), json!("skipped")]);
    assert_eq!(events.last().unwrap()["type"], "run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_group_waits_for_a_runner_of_that_group() {
    let world = World::new().await;
    let workflow = "on: push\njobs:\n  a:\n    runs-on: {group: big}\n    steps:\n      - run: make\n";
    pushed(&world, workflow).await;
    let why = job(&world, 0).await["why"].clone();
    assert_eq!(why, "waits for a runner of the group big");
    let plain = world.runner("plain", &["ubuntu-latest"]).await;
    let big = world.runner("big", &["group:big"]).await;
    tokio::select! {
        biased;
        _ = plain.lease() => panic!("a runner of no group took it"),
        _ = big.lease() => {}
    }
}

//! The real binary, real git, real kills: what people do with it, end to end.

#![allow(clippy::unwrap_used, reason = "a test ends where its world does")]

#[path = "e2e/client.rs"]
mod client;
#[path = "e2e/world.rs"]
mod world;

use std::time::Duration;
use world::{World, lines_of};

const SLOW: &str = "
on: push
jobs:
  slow:
    runs-on: ubuntu-latest
    steps:
      - run: for i in $(seq 1 40); do echo \"line $i\"; sleep 0.05; done
";

#[test]
fn a_push_runs_and_says_so() {
    let world = World::start();
    let project = world.project(
        "ana/hello",
        &[(".github/workflows/ci.yml", &SLOW.replace("seq 1 40", "seq 1 3"))],
    );
    let said = project.push("main");
    assert!(said.contains("remote: ◐ ci.yml  push to main"), "{said}");
    assert!(said.contains("pilotage run watch 1"), "{said}");
    let (watched, status) = world.pilotage(&["run", "watch", "1", "--project", "ana/hello"]);
    assert_eq!(status, 0, "{watched}");
    let (log, _) = world.pilotage(&["run", "view", "1", "--log", "--project", "ana/hello"]);
    assert_eq!(lines_of(&log), ["line 1", "line 2", "line 3"]);
}

#[test]
fn a_wrong_workflow_is_kept_and_underlined() {
    let world = World::start();
    let text = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    needs: [biuld]\n    steps: [{run: echo}]\n  build:\n    runs-on: ubuntu-latest\n    steps: [{run: echo}]\n";
    let project = world.project("ana/wrong", &[(".github/workflows/ci.yml", text)]);
    let said = project.push("main");
    assert!(said.contains("starts nothing"), "{said}");
    assert!(
        said.contains("error[W0103]") && said.contains(".github/workflows/ci.yml:5:13"),
        "{said}"
    );
    assert!(said.contains("did you mean `build`?"), "{said}");
    assert!(said.contains("HEAD -> main"), "the commits are stored: {said}");
}

/// Kills the server at several instants of a run: nothing that was accepted is lost or done twice.
#[test]
fn a_killed_server_loses_nothing() {
    let mut world = World::start();
    let project = world.project("ana/slow", &[(".github/workflows/ci.yml", SLOW)]);
    project.push("main");
    for pause in [50, 400, 700] {
        std::thread::sleep(Duration::from_millis(pause));
        world.kill_server();
        world.start_server();
    }
    let (watched, status) = world.pilotage(&["run", "watch", "1", "--project", "ana/slow"]);
    assert_eq!(status, 0, "{watched}");
    let (log, _) = world.pilotage(&["run", "view", "1", "--log", "--project", "ana/slow"]);
    let expected: Vec<String> = (1..=40).map(|i| format!("line {i}")).collect();
    assert_eq!(lines_of(&log), expected, "every line once, in order");
    let (runs, _) = world.pilotage(&["run", "list", "--json", "--project", "ana/slow"]);
    assert_eq!(runs.matches("\"number\"").count(), 1, "one push, one run: {runs}");
}

/// A job that hunts for what belongs to the platform finds none of it.
#[test]
fn a_hostile_job_finds_no_secret_of_the_platform() {
    let world = World::start();
    let data = world.data.display();
    let hunt = format!(
        "
on: push
jobs:
  hunt:
    runs-on: ubuntu-latest
    steps:
      - run: |
          set +e
          env
          cat {data}/admin-token {data}/master.key {data}/runner-token {data}/pilotage.db
          grep -ra . {data} 2>/dev/null | head -c 100000
          for p in /proc/[0-9]*; do cat $p/environ $p/cmdline 2>/dev/null | tr '\\0' '\\n'; done
          find / -xdev -name 'admin-token' -o -xdev -name 'master.key' 2>/dev/null | xargs -r cat
          for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null; head -c 1000 $p/mem 2>/dev/null; done
          ls -la ..  ../.. ../../..
          echo hunted
"
    );
    let project = world.project("ana/hunt", &[(".github/workflows/ci.yml", &hunt)]);
    world.pilotage_with(
        &["secret", "set", "CANARY", "--project", "ana/hunt"],
        Some("canary-4711-secret"),
    );
    project.push("main");
    let (watched, _) = world.pilotage(&["run", "watch", "1", "--project", "ana/hunt"]);
    let (log, _) = world.pilotage(&["run", "view", "1", "--log", "--project", "ana/hunt"]);
    assert!(log.contains("hunted"), "{watched}\n{log}");
    for name in ["admin-token", "master.key", "runner-token"] {
        let secret = std::fs::read_to_string(world.data.join(name)).unwrap();
        assert!(!log.contains(secret.trim()), "{name} is in the log");
    }
    assert!(
        !log.contains("canary-4711-secret"),
        "a secret that the job did not ask for is in its log"
    );
    assert!(!log.contains("SQLite format 3"), "the database is in the log");
}

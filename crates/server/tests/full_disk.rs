//! A disk that is full, truly: a small file system of its own, in a mount namespace that ends with the test.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use pilotage_api::runner::Conclusion;
use pilotage_engine::lease::LEASE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::reader::Reader;
use support::{Checkout, TestRunner, World};

/// Where the small disk is mounted; set in the process that has one.
const DISK: &str = "PILOTAGE_TEST_SMALL_DISK";
const BYTES: u64 = 24 * 1024 * 1024;
const BLOCK: usize = 4096;
const CI: &str = "on: push\njobs:\n  one:\n    runs-on: linux\n    steps: [{run: a}]\n";

/// Runs a test of this file again in a process that has a small disk: as root, or where users may make namespaces.
fn with_small_disk(test: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let disk = tempfile::tempdir().unwrap();
    let script =
        format!("mount -t tmpfs -o size={BYTES} small \"${DISK}\" && exec \"$0\" --exact {test} --nocapture");
    let mut command = Command::new("unshare");
    command.arg("--mount");
    // Who runs this is who owns its folder of `/proc`.
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    let ended = command
        .args(["sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(DISK, disk.path())
        .process_group(0)
        .status()
        .unwrap();
    assert!(
        ended.success(),
        "{test} failed on a small disk; if it has none above: this test needs root, or user namespaces"
    );
    None
}

/// All the room that is left.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(disk: &Path) -> Self {
        let path = disk.join("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while file.write_all(&[1; BLOCK]).is_ok() {}
        Self(path)
    }

    /// Gives some blocks back.
    fn shrink(&self, blocks: u64) {
        let file = File::options().write(true).open(&self.0).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(blocks * BLOCK as u64))
            .unwrap();
    }

    fn remove(self) {
        std::fs::remove_file(self.0).unwrap();
    }
}

async fn put(world: &World, token: &str, path: &str, bytes: usize) -> (StatusCode, Value) {
    let body: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&body)));
    let request = world
        .client
        .put(format!("{}{path}", world.url))
        .bearer_auth(token);
    let answer = request
        .header("x-pilotage-digest", digest)
        .body(body)
        .send()
        .await
        .unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// Writes until the server has no room for more; gives what was accepted.
async fn write_until_full(world: &World, disk: &Path) -> Vec<String> {
    let mut accepted = Vec::new();
    loop {
        // Its own journal holds some room.
        drop(Ballast::fill(disk));
        let name = format!("V{}", accepted.len());
        let path = format!("/api/v1/projects/o/p/variables/{name}");
        let body = json!({"value": "x".repeat(40_000)});
        match world.ask(Method::PUT, &path, &world.admin, Some(body)).await {
            (StatusCode::NO_CONTENT, _) => accepted.push(name),
            (status, problem) => {
                check_refusal(status, &problem);
                return accepted;
            }
        }
    }
}

fn check_refusal(status: StatusCode, problem: &Value) {
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{problem}");
    let said = format!("{} {}", problem["detail"], problem["advice"]);
    for part in [
        "no space left on the disk of the server's data",
        "free some",
        "nothing that was accepted is lost",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

async fn begin(disk: &Path) -> (World, Checkout, TestRunner) {
    let mut world = World::new().await;
    world.start_at(&disk.join("data")).await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", CI);
    let runner = world.runner("r", &["linux"]).await;
    (world, checkout, runner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_and_the_server_goes_on() {
    let Some(disk) = with_small_disk("nothing_accepted_is_lost_and_the_server_goes_on") else {
        return;
    };
    let (mut world, checkout, runner) = begin(&disk).await;
    checkout.commit("first");
    checkout.push(&["main"]);
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    assert_eq!(runner.log(&lease, 1, 0, "one\ntwo\n").await, Ok(2));

    let accepted = write_until_full(&world, &disk).await;
    let token = lease.token.as_str();
    for path in [
        "/api/runner/v1/artifacts?name=dist",
        "/api/runner/v1/caches?key=k&version=v",
    ] {
        let (status, problem) = put(&world, token, path, 300_000).await;
        check_refusal(status, &problem);
    }
    let long = "a line of the log\n".repeat(20_000);
    assert_eq!(runner.log(&lease, 1, 2, &long).await, Err(507));
    checkout.write(
        "large",
        &(0..200_000).map(|n: u32| n.to_string()).collect::<String>(),
    );
    let second = checkout.commit("second");
    let refused = checkout.run(&["push", "origin", "main"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("No space left on device"),
        "{said}"
    );
    // Looking works all the while, signed in or not yet.
    assert_eq!(world.get("runs/1").await["run"]["status"], "in_progress");
    let facts = world.get("doctor").await;
    let fact = facts
        .as_array()
        .unwrap()
        .iter()
        .find(|fact| fact["name"] == "disk");
    let fact = fact.expect("a fact of the disk");
    assert_eq!(
        (&fact["ok"], &fact["detail"]),
        (&json!(false), &json!("0 MiB free where the data lies"))
    );
    assert_eq!(world.get("audit").await[0]["action"], "project.create");
    let page = world
        .client
        .get(format!("{}/login", world.url))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    // What a runner says of its leases is not heard for longer than they last.
    assert_eq!(runner.renew(&lease, 0).await.map(|_| ()), Err(507));
    world.clock.advance(2 * i64::try_from(LEASE.as_millis()).unwrap());
    assert_eq!(runner.renew(&lease, 0).await.map(|_| ()), Err(507));

    Ballast::fill(&disk).remove();
    runner.renew(&lease, 0).await.expect("the job is not lost");
    assert_eq!(
        runner.log(&lease, 1, 2, &long).await,
        Ok(20_002),
        "sent again, it is whole"
    );
    assert_eq!(
        put(&world, token, "/api/runner/v1/artifacts?name=dist", 300_000)
            .await
            .0,
        201
    );
    assert_eq!(
        put(&world, token, "/api/runner/v1/caches?key=k&version=v", 300_000)
            .await
            .0,
        201
    );
    runner.finish(&lease, Conclusion::Success, 20_002).await.unwrap();
    let run = world
        .until("runs/1", |run| run["run"]["status"] == "completed")
        .await;
    assert_eq!(
        (&run["run"]["conclusion"], &run["jobs"][0]["log_missing"]),
        (&json!("success"), &Value::Null),
        "{run}"
    );
    checkout.push(&["main"]);
    assert_eq!(world.get("runs/2").await["run"]["sha"], json!(second));
    let ana = Reader::new(&world, &world.admin).await;
    assert_eq!(ana.get("/o/p/settings").await.status, 200);
    world.start_at(&disk.join("data")).await;
    assert_eq!(world.get("audit/verify").await["holds"], true);
    let kept = world.get("projects/o/p/variables").await;
    let mut names: Vec<_> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    names.sort_by_key(|name| (name.len(), *name));
    assert_eq!(names, accepted, "all that was accepted and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_git_took_starts_its_run_when_there_is_room_again() {
    let Some(disk) = with_small_disk("a_push_that_git_took_starts_its_run_when_there_is_room_again") else {
        return;
    };
    let (world, checkout, _runner) = begin(&disk).await;
    checkout.commit("first");
    checkout.push(&["main"]);
    let (mut taken, mut said) = (Vec::new(), String::new());
    // Room for git and not for the database, somewhere in between.
    for blocks in (4..32).step_by(4) {
        write_until_full(&world, &disk).await;
        Ballast::fill(&disk).shrink(blocks);
        let sha = checkout.commit(&format!("with {blocks} blocks"));
        let branch = format!("HEAD:refs/heads/b{blocks}");
        let push = checkout.run(&["push", "origin", &branch]);
        if push.status.success() {
            taken.push(sha);
        }
        said.push_str(&String::from_utf8_lossy(&push.stderr));
    }
    assert!(
        !taken.is_empty() && said.contains("the server goes on trying: nothing has to be pushed again"),
        "git had no room, or the server had: {said}"
    );
    Ballast::fill(&disk).remove();
    let has_all = |runs: &Value| taken.iter().all(|sha| runs.to_string().contains(sha));
    world.until("runs?project=o/p&limit=100", has_all).await;
    assert_eq!(world.get("audit/verify").await["holds"], true);
}

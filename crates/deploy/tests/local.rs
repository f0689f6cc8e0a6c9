//! The local target with real releases, real processes and real kills.

#![allow(clippy::unwrap_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pilotage_deploy::logs::Query;
use pilotage_deploy::once::Command;
use pilotage_deploy::probe::{Health, Unhealthy};
use pilotage_deploy::release::Release;
use pilotage_deploy::replica::{Environment, Placed, ReplicaId, ReplicaSpec, ReplicaState};
use pilotage_deploy::retention::Needed;
use pilotage_deploy::{DeployError, Local, http};
use pilotage_keep::State;
use pilotage_workflow::delivery::{ArtifactSource, HealthPlan, ServicePlan, StopPlan};
use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXE: &str = env!("CARGO_BIN_EXE_deploy-keeper-for-tests");
const DIGEST: &str = "sha256:feed";

/// Answers with the status that `answers` lists next (the last one again and again), and its own environment.
const APP: &str = r#"
import http.server, itertools, os, sys
answers = [int(a) for a in os.environ.get("ANSWERS", "200").split()]
answers = itertools.chain(answers, itertools.repeat(answers[-1]))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "\n".join(sorted(f"{k}={v}" for k, v in os.environ.items())).encode()
        self.send_response(next(answers)); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
print("listening in", os.getcwd(), flush=True)
http.server.HTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

struct Target {
    local: Local,
    root: tempfile::TempDir,
}

impl Target {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let local = Local::new(&root.path().join("data"), Path::new(EXE)).unwrap();
        Target { local, root }
    }

    async fn with_release() -> Self {
        let target = Target::new();
        target.local.ensure_release(target.release(DIGEST)).await.unwrap();
        target
    }

    /// A release of `app.py`, as another process would pack it.
    fn release(&self, digest: &str) -> Release {
        let source = self.root.path().join("source");
        fs::create_dir_all(source.join("backend")).unwrap();
        fs::write(source.join("app.py"), APP).unwrap();
        fs::write(source.join("backend/app.py"), APP).unwrap();
        let archive = self.root.path().join("release.tar");
        let tar = std::process::Command::new("tar")
            .arg("cf")
            .arg(&archive)
            .arg("-C")
            .arg(&source)
            .arg(".")
            .status();
        assert!(tar.unwrap().success());
        Release {
            digest: digest.to_owned(),
            archive,
            prepare: Vec::new(),
        }
    }

    fn command(&self, line: &str) -> Command {
        let within = Duration::from_secs(20);
        Command {
            line: line.to_owned(),
            folder: PathBuf::new(),
            env: Vec::new(),
            within,
        }
    }

    /// How often a line was written to a file outside of the data directory.
    fn count(&self) -> usize {
        fs::read_to_string(self.count_file())
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn count_file(&self) -> PathBuf {
        self.root.path().join("count")
    }

    async fn start(&self, run: &str) -> Placed {
        self.local.start_replica(spec("one", run)).await.unwrap()
    }

    async fn one(&self) -> ReplicaState {
        let mut states = self.local.observe(&environment()).await.unwrap();
        assert_eq!(states.len(), 1, "{states:?}");
        states.remove(0)
    }

    async fn unhealthy(&self, replica: &Placed, within: Duration) -> Unhealthy {
        match self.local.probe(replica, &health(within)).await.unwrap() {
            Health::Unhealthy(unhealthy) => unhealthy,
            healthy => panic!("{healthy:?}"),
        }
    }

    fn keeper_dir(&self, replica: &Placed) -> PathBuf {
        self.root
            .path()
            .join("data/deploy/replicas")
            .join(replica.id.to_string())
    }

    fn kill_keeper(&self, replica: &Placed) {
        let dir = self.keeper_dir(replica);
        kill9(pilotage_keep::client::status(&dir).unwrap().keeper_pid);
        until(|| pilotage_keep::client::status(&dir).is_err());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let replicas = fs::read_dir(self.root.path().join("data/deploy/replicas"));
        for entry in replicas.into_iter().flatten().flatten() {
            let _ = pilotage_keep::client::end(Path::new(EXE), &entry.path(), Duration::from_secs(10));
        }
    }
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn kill9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn environment() -> Environment {
    Environment {
        owner: "ana".into(),
        project: "hello".into(),
        environment: "production".into(),
    }
}

fn spec(revision: &str, run: &str) -> ReplicaSpec {
    let id = ReplicaId {
        environment: environment(),
        service: "web".into(),
        revision: revision.into(),
        ordinal: 1,
    };
    let service = ServicePlan {
        name: "web".into(),
        source: ArtifactSource::Project,
        run: run.into(),
        prepare: None,
        before: None,
        path: "/".into(),
        url: "http://localhost:8080".into(),
        replicas: 1,
        health: health(Duration::from_secs(10)),
        stop: StopPlan {
            signal: "TERM".into(),
            grace_ms: 5000,
        },
        memory_bytes: None,
        env: Vec::new(),
        after: Vec::new(),
        assets: None,
    };
    ReplicaSpec {
        id,
        digest: DIGEST.into(),
        folder: PathBuf::new(),
        service,
        env: Vec::new(),
    }
}

fn health(within: Duration) -> HealthPlan {
    let within_ms = u64::try_from(within.as_millis()).unwrap();
    HealthPlan {
        path: "/".into(),
        every_ms: 20,
        passes: 3,
        within_ms,
        status_below: 500,
    }
}

#[tokio::test]
async fn a_release_is_prepared_once_and_made_anew_after_an_interruption() {
    let target = Target::new();
    let mut release = target.release(DIGEST);
    let line = format!(
        "echo built > built && echo x >> {}",
        target.count_file().display()
    );
    release.prepare = vec![Command {
        folder: "backend".into(),
        ..target.command(&line)
    }];
    let (first, second) = tokio::join!(
        target.local.ensure_release(release.clone()),
        target.local.ensure_release(release.clone())
    );
    first.and(second).unwrap();
    assert_eq!(target.count(), 1);
    let tree = target.local.release_tree(DIGEST).unwrap();
    assert_eq!(fs::read_to_string(tree.join("backend/built")).unwrap(), "built\n");
    assert!(
        fs::metadata(tree.join("app.py"))
            .unwrap()
            .permissions()
            .readonly()
    );
    assert_eq!(
        fs::read_to_string(tree.with_file_name("digest")).unwrap().trim(),
        DIGEST
    );
    // As if we had died before the end: nothing of it is trusted.
    fs::remove_file(tree.with_file_name("prepared")).unwrap();
    assert!(!target.local.has_release(DIGEST));
    target.local.ensure_release(release).await.unwrap();
    assert_eq!(target.count(), 2);
}

#[tokio::test]
async fn a_release_that_cannot_be_had_says_why() {
    let target = Target::new();
    let check = async |release: Release, expected: &str| {
        let digest = release.digest.clone();
        let error = target
            .local
            .ensure_release(release)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!target.local.has_release(&digest));
    };
    let good = target.release(DIGEST);
    let failing = target.command("echo no compiler; exit 3");
    check(
        Release {
            prepare: vec![failing],
            ..good.clone()
        },
        "`echo no compiler; exit 3` ended with code 3: no compiler",
    )
    .await;
    let slow = Command {
        within: Duration::from_millis(50),
        ..target.command("sleep 100")
    };
    check(
        Release {
            prepare: vec![slow],
            ..good.clone()
        },
        "`sleep 100` did not end within 50ms",
    )
    .await;
    check(
        Release {
            archive: "/no/such.tar".into(),
            ..good.clone()
        },
        "/no/such.tar: No such file",
    )
    .await;
    check(
        Release {
            digest: "../x".into(),
            ..good.clone()
        },
        "`../x` is not a valid digest",
    )
    .await;
    target.local.ensure_release(good).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Local::new(&file.join("data"), Path::new(EXE)).unwrap_err();
    assert!(error.to_string().contains("file/data/deploy/releases"), "{error}");
}

#[tokio::test]
async fn a_replica_is_healthy_and_has_its_environment_and_no_other() {
    let target = Target::with_release().await;
    let mut spec = spec("4f1c9ae", "python3 app.py");
    spec.folder = "backend".into();
    spec.env = vec![("GREETING".into(), "hello\nworld".into())];
    let placed = target.local.start_replica(spec.clone()).await.unwrap();
    let finding = target
        .local
        .probe(&placed, &health(Duration::from_secs(10)))
        .await
        .unwrap();
    assert!(
        matches!(finding, Health::Healthy { passes: 3, .. }),
        "{finding:?}"
    );
    let answer = http::get(placed.address, "x", "/", &[], Duration::from_secs(5))
        .await
        .unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let names: HashSet<&str> = text
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "PORT",
        "PATH",
        "HOME",
        "TMPDIR",
        "PILOTAGE_SERVICE",
        "PILOTAGE_ENVIRONMENT",
        "PILOTAGE_REVISION",
        "GREETING",
        "PWD",
        "LC_CTYPE",
        "_",
        "OLDPWD",
        "SHLVL",
    ];
    assert!(names.iter().all(|name| expected.contains(name)), "{text}");
    assert!(
        text.contains("PILOTAGE_REVISION=4f1c9ae") && text.contains("GREETING=hello\nworld"),
        "{text}"
    );
    // Once more changes nothing, and two at once neither.
    let before = target.one().await;
    assert_eq!(before.executes.as_deref(), Some(DIGEST));
    let again = tokio::join!(
        target.local.start_replica(spec.clone()),
        target.local.start_replica(spec)
    );
    assert_eq!((again.0.unwrap(), again.1.unwrap()), (placed.clone(), placed));
    assert_eq!(target.one().await, before);
}

#[tokio::test]
async fn starts_at_once_get_ports_of_their_own() {
    let target = Target::with_release().await;
    let starts = (1..=4).map(|ordinal| {
        let mut spec = spec("one", "sleep 100");
        spec.id.ordinal = ordinal;
        let local = target.local.clone();
        tokio::spawn(async move { local.start_replica(spec).await.unwrap().address })
    });
    let mut addresses = HashSet::new();
    for start in starts.collect::<Vec<_>>() {
        addresses.insert(start.await.unwrap());
    }
    assert_eq!(addresses.len(), 4);
}

#[tokio::test]
async fn killed_keepers_and_processes_come_back_at_the_same_address() {
    let target = Target::with_release().await;
    let placed = target.start("python3 app.py").await;
    target
        .local
        .probe(&placed, &health(Duration::from_secs(10)))
        .await
        .unwrap();
    let before = target.one().await;
    target.kill_keeper(&placed);
    http::get(placed.address, "x", "/", &[], Duration::from_secs(5))
        .await
        .unwrap();
    let adopted = target.one().await;
    assert_eq!(
        (adopted.pid, adopted.adopted, adopted.restarts),
        (before.pid, true, 0)
    );
    target.kill_keeper(&placed);
    kill9(before.pid.unwrap());
    assert!(target.one().await.adopted);
    let finding = target
        .local
        .probe(&placed, &health(Duration::from_secs(10)))
        .await
        .unwrap();
    assert!(matches!(finding, Health::Healthy { .. }), "{finding:?}");
    let after = target.one().await;
    assert_ne!(after.pid, before.pid);
    assert_eq!((after.placed, after.restarts), (placed, 1));
}

#[tokio::test]
async fn a_crash_at_start_is_found_soon_with_its_last_lines() {
    let target = Target::with_release().await;
    let placed = target.start("echo no database; exit 7").await;
    let found = target.unhealthy(&placed, Duration::from_secs(30)).await;
    assert_eq!(
        found.why,
        "the process ended 3 times at its start, last with code 7"
    );
    assert_eq!(found.log.last().map(String::as_str), Some("no database"));
    assert!(found.after < Duration::from_secs(3), "{:?}", found.after);
    // Asked again after that, it is found at once.
    let again = target.unhealthy(&placed, Duration::from_secs(30)).await;
    assert!(again.after < Duration::from_millis(200), "{:?}", again.after);
}

#[tokio::test]
async fn what_is_never_healthy_says_what_it_answered() {
    let target = Target::with_release().await;
    let within = Duration::from_millis(700);
    let mut flapping = spec("flapping", "python3 app.py");
    flapping.env = vec![("ANSWERS".into(), "200 200 500 ".repeat(500))];
    let placed = target.local.start_replica(flapping).await.unwrap();
    let found = target.unhealthy(&placed, Duration::from_secs(2)).await;
    assert_eq!(found.why, "not healthy within 2 s: GET / answered 500");
    let silent = target
        .local
        .start_replica(spec("silent", "sleep 100"))
        .await
        .unwrap();
    let found = target.unhealthy(&silent, within).await;
    assert_eq!(
        found.why,
        format!("not healthy within 0.7 s: nobody listens on {}", silent.address)
    );
}

#[tokio::test]
async fn a_taken_port_is_left_to_who_has_it() {
    let target = Target::with_release().await;
    // Chosen and written down by a start that was interrupted, and taken since.
    let first = target.start("sleep 100").await;
    target.local.stop_replica(&first.id.to_string()).await.unwrap();
    fs::remove_file(target.keeper_dir(&first).join("spec")).unwrap();
    let _stranger = TcpListener::bind(first.address).unwrap();
    let second = target.start("python3 app.py").await;
    assert_ne!(second.address, first.address);
    target
        .local
        .probe(&second, &health(Duration::from_secs(10)))
        .await
        .unwrap();
    // Taken while the replica was down: it crashes there, and the next start moves it.
    let state = target.one().await;
    target.kill_keeper(&second);
    kill9(state.pid.unwrap());
    let _another = loop {
        // The kernel frees the port when the process is gone.
        if let Ok(listener) = TcpListener::bind(second.address) {
            break listener;
        }
    };
    until(|| {
        let dir = target.keeper_dir(&second);
        pilotage_keep::client::spawn(Path::new(EXE), &dir).unwrap();
        pilotage_keep::client::status(&dir).unwrap().state == State::BackingOff
    });
    let mut third = target.start("python3 app.py").await;
    // Between two attempts it looks as if it ran; then it is asked again.
    for _ in 0..100 {
        if third.address != second.address {
            break;
        }
        third = target.start("python3 app.py").await;
    }
    assert_ne!(third.address, second.address);
    let finding = target
        .local
        .probe(&third, &health(Duration::from_secs(10)))
        .await
        .unwrap();
    assert!(matches!(finding, Health::Healthy { .. }), "{finding:?}");
}

#[tokio::test]
async fn a_start_that_was_cut_off_anywhere_is_finished() {
    let target = Target::with_release().await;
    let whole = target.start("sleep 100").await;
    target.local.stop_replica(&whole.id.to_string()).await.unwrap();
    let files = ["replica.json", "spec"];
    for left in 0..=files.len() {
        let mut spec = spec("one", "sleep 100");
        spec.id.ordinal = 10 + u32::try_from(left).unwrap();
        let dir = target
            .root
            .path()
            .join("data/deploy/replicas")
            .join(spec.id.to_string());
        fs::create_dir(&dir).unwrap();
        for file in &files[..left] {
            fs::copy(target.keeper_dir(&whole).join(file), dir.join(file)).unwrap();
        }
        let placed = target.local.start_replica(spec).await.unwrap();
        assert_eq!(left > 0, placed.address == whole.address, "{placed:?}");
        let running = pilotage_keep::client::status(&dir).unwrap();
        assert_eq!(running.state, State::Running);
        pilotage_keep::client::end(Path::new(EXE), &dir, Duration::from_secs(10)).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn a_stopped_replica_stays_so_until_it_is_started() {
    let target = Target::with_release().await;
    let placed = target
        .start("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
        .await;
    until(|| fs::read_to_string(target.keeper_dir(&placed).join("out")).is_ok_and(|t| t == "up\n"));
    for _ in 0..2 {
        target.local.stop_replica(&placed.id.to_string()).await.unwrap();
        assert_eq!(target.local.observe(&environment()).await.unwrap(), []);
    }
    // The shell itself tells of its child that the signal ended.
    let out = fs::read_to_string(target.keeper_dir(&placed).join("out")).unwrap();
    assert!(out.starts_with("up\n") && out.ends_with("bye\n"), "{out}");
    let again = target.start("ignored, as the replica is the same").await;
    assert_eq!(again, placed);
    assert_eq!(target.one().await.state, State::Running);
}

#[tokio::test]
async fn a_migration_runs_once_even_when_we_are_killed() {
    let target = Target::with_release().await;
    let line = format!(
        "sleep 0.4; echo x >> {}; echo migrated; exit 5",
        target.count_file().display()
    );
    let mut doomed = std::process::Command::new(EXE)
        .args([
            "before",
            &target.root.path().join("data").to_string_lossy(),
            "deployment-1",
            &line,
        ])
        .spawn()
        .unwrap();
    let running = target.root.path().join("data/deploy/before/deployment-1/pid");
    until(|| running.exists());
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert_eq!(target.count(), 0);
    let command = target.command("echo must not run");
    for _ in 0..2 {
        let error = target
            .local
            .run_before("deployment-1", DIGEST, command.clone())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`echo must not run` ended with code 5: migrated"
        );
    }
    assert_eq!(target.count(), 1);
    target
        .local
        .run_before(
            "deployment-2",
            DIGEST,
            Command {
                line: "true".into(),
                ..command
            },
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_migration_that_was_killed_itself_runs_again() {
    let target = Target::with_release().await;
    let script = format!(
        "echo x >> {0}; [ $(wc -l < {0}) -gt 1 ] || kill -9 0",
        target.count_file().display()
    );
    let command = target.command(&script);
    let error = target
        .local
        .run_before("k", DIGEST, command.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("was killed by signal 9"), "{error}");
    target.local.run_before("k", DIGEST, command).await.unwrap();
    assert_eq!(target.count(), 2);
}

#[tokio::test]
async fn logs_are_whole_lines_in_order_and_followed() {
    let target = Target::with_release().await;
    let placed = target
        .start("seq 1 20000; printf 'half '; sleep 0.3; echo line; sleep 100")
        .await;
    let query = Query {
        environment: environment(),
        service: "web".into(),
        revision: None,
        past_bytes: 1 << 20,
    };
    let mut logs = target.local.logs(query.clone());
    let mut lines = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while lines.last().is_none_or(|l| l != "half line") && Instant::now() < deadline {
        lines.extend(
            logs.follow(Duration::from_secs(5))
                .await
                .unwrap()
                .into_iter()
                .map(|l| l.text),
        );
    }
    let expected: Vec<String> = (1..=20000)
        .map(|n| n.to_string())
        .chain(["half line".to_owned()])
        .collect();
    assert!(
        lines == expected,
        "{} lines, the last {:?}",
        lines.len(),
        lines.last()
    );
    let mut last = target.local.logs(Query {
        past_bytes: 13,
        ..query.clone()
    });
    let last = last.read().await.unwrap();
    assert_eq!(
        last.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(),
        ["half line"]
    );
    assert_eq!(last[0].replica, placed.id.to_string());
    let mut other = target.local.logs(Query {
        revision: Some("other".into()),
        ..query
    });
    assert_eq!(other.read().await.unwrap(), []);
}

#[tokio::test]
async fn only_what_nothing_needs_is_removed() {
    let target = Target::with_release().await;
    for digest in ["sha256:old", "sha256:wanted"] {
        target.local.ensure_release(target.release(digest)).await.unwrap();
    }
    let half = target
        .root
        .path()
        .join("data/deploy/releases/.sha256-half.new/tree");
    fs::create_dir_all(&half).unwrap();
    // Its removal was cut off while it lives.
    let orphan = target.start("echo $$; exec sleep 100").await;
    let orphan = target.keeper_dir(&orphan);
    fs::rename(orphan.join("replica.json"), orphan.join("gone")).unwrap();
    until(|| fs::read_to_string(orphan.join("out")).is_ok_and(|out| out.ends_with('\n')));
    let orphan_pid = fs::read_to_string(orphan.join("out")).unwrap();
    let mut kept = spec("one", "sleep 100");
    kept.id.ordinal = 2;
    let kept = target.local.start_replica(kept).await.unwrap();
    let mut old = spec("old", "sleep 100");
    old.digest = "sha256:old".into();
    let old = target.local.start_replica(old).await.unwrap();
    let pid = target
        .local
        .observe_replica(&old.id.to_string())
        .await
        .unwrap()
        .pid
        .unwrap();
    let needed = Needed {
        releases: HashSet::from(["sha256:wanted".into()]),
        replicas: HashSet::from([kept.id.to_string()]),
    };
    let removed = target.local.retain(needed.clone()).await.unwrap();
    assert_eq!(
        (removed.releases, removed.replicas),
        (vec!["sha256-old".to_owned()], vec![old.id.to_string()])
    );
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!half.exists() && !orphan.exists());
    assert!(!Path::new(&format!("/proc/{}", orphan_pid.trim())).exists());
    assert!(target.local.has_release(DIGEST) && target.local.has_release("sha256:wanted"));
    assert_eq!(target.one().await.placed, kept);
    assert_eq!(target.local.retain(needed).await.unwrap(), Default::default());
    let gone = target.local.observe_replica(&old.id.to_string()).await;
    assert!(matches!(gone, Err(DeployError::NoReplica { .. })));
}

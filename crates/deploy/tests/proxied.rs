//! The local target with a real proxy before real replicas.

#![allow(clippy::unwrap_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pilotage_api::proxy::{Event, RevisionTable, ServiceTable, WHOLE};
use pilotage_deploy::release::Release;
use pilotage_deploy::replica::{Environment, Placed, ReplicaId, ReplicaSpec};
use pilotage_deploy::verify::{self, Proof};
use pilotage_deploy::{DeployError, Local, http};
use pilotage_keep::client;
use pilotage_workflow::delivery::{ArtifactSource, Check, HealthPlan, ServicePlan, StopPlan};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

const APP: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ('{"revision": "%s"}' % os.environ["PILOTAGE_REVISION"]).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Built by `cargo test` with the other targets of this package.
fn exe() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let exe = deps
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/proxied-for-tests");
    assert!(
        exe.exists(),
        "{} is not built: run `cargo test -p pilotage-deploy`",
        exe.display()
    );
    exe
}

struct Site {
    local: Local,
    root: tempfile::TempDir,
    listen: SocketAddr,
}

impl Site {
    async fn up() -> Self {
        let root = tempfile::tempdir().unwrap();
        let local = Local::new(&root.path().join("data"), &exe()).unwrap();
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let site = Site { local, root, listen };
        site.local.ensure_proxy().await.unwrap();
        site.local.claim_address(listen).await.unwrap();
        site
    }

    async fn replica(&self, revision: &str) -> Placed {
        let source = self.root.path().join(revision);
        fs::create_dir(&source).unwrap();
        fs::write(source.join("app.py"), APP).unwrap();
        let archive = source.with_extension("tar");
        let tar = std::process::Command::new("tar")
            .arg("cf")
            .arg(&archive)
            .arg("-C")
            .arg(&source)
            .arg(".")
            .status();
        assert!(tar.unwrap().success());
        let digest = format!("sha256:{revision}");
        let release = Release {
            digest: digest.clone(),
            archive,
            prepare: Vec::new(),
        };
        self.local.ensure_release(release).await.unwrap();
        let environment = Environment {
            owner: "a".into(),
            project: "b".into(),
            environment: "c".into(),
        };
        let id = ReplicaId {
            environment,
            service: "web".into(),
            revision: revision.into(),
            ordinal: 1,
        };
        let spec = ReplicaSpec {
            id,
            digest,
            folder: PathBuf::new(),
            service: service(),
            env: Vec::new(),
        };
        let health = spec.service.health.clone();
        let placed = self.local.start_replica(spec).await.unwrap();
        self.local.probe(&placed, &health).await.unwrap();
        placed
    }

    async fn route(&self, epoch: u64, to: &Placed) {
        let revision = RevisionTable {
            revision: to.id.revision.clone(),
            share: WHOLE,
            replicas: vec![to.route()],
        };
        let table = ServiceTable {
            id: "a/b/c/web".into(),
            epoch,
            listen: self.listen,
            host: None,
            path: "/".into(),
            assets: None,
            revisions: vec![revision],
            armed: None,
            hold_ms: 0,
        };
        self.local.proxy().apply(&table).await.unwrap();
    }

    async fn proof(&self, revision: &str) -> Proof {
        let digest = format!("sha256:{revision}");
        self.local
            .verify_digest(self.listen, "localhost", "/", &digest, 20)
            .await
            .unwrap()
    }

    fn keeper(&self) -> PathBuf {
        self.local.proxy_dir().join("keeper")
    }

    fn proxy_pid(&self) -> i32 {
        client::status(&self.keeper()).unwrap().child.unwrap().pid
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let replicas = fs::read_dir(self.root.path().join("data/deploy/replicas"));
        let dirs = replicas.into_iter().flatten().flatten().map(|entry| entry.path());
        for dir in dirs.chain([self.keeper()]) {
            let _ = client::end(&exe(), &dir, Duration::from_secs(40));
        }
    }
}

fn service() -> ServicePlan {
    ServicePlan {
        name: "web".into(),
        source: ArtifactSource::Project,
        run: "python3 app.py".into(),
        prepare: None,
        before: None,
        path: "/".into(),
        url: "http://localhost:8080".into(),
        replicas: 1,
        health: HealthPlan {
            path: "/".into(),
            every_ms: 20,
            passes: 2,
            within_ms: 10_000,
            status_below: 400,
        },
        stop: StopPlan {
            signal: "TERM".into(),
            grace_ms: 5000,
        },
        memory_bytes: None,
        env: Vec::new(),
        after: Vec::new(),
        assets: None,
    }
}

fn kill9(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn what_answers_is_proved_by_its_keeper() {
    let site = Site::up().await;
    let (one, two) = (site.replica("one").await, site.replica("two").await);
    site.route(1, &one).await;
    assert!(site.proof("one").await.holds());
    let check = |revision: &str| Check {
        get: "/x".into(),
        status: 200,
        contains: Some("revision".into()),
        json: Some(serde_json::json!({"revision": revision})),
        within_ms: 5000,
    };
    let checked = verify::verify(&[check("one"), check("two")], site.listen, "localhost").await;
    let faults: Vec<Option<&str>> = checked.iter().map(|c| c.fault.as_deref()).collect();
    let expected = "`revision` is \"one\" instead of \"two\": {\"revision\": \"one\"}";
    assert_eq!(faults, [None, Some(expected)]);
    site.route(2, &two).await;
    let proof = site.proof("one").await;
    let fault = format!("replica {} executes sha256:two instead of sha256:one", two.id);
    assert_eq!(
        proof,
        Proof {
            answers: 20,
            right: 0,
            fault: Some(fault)
        }
    );
    assert!(site.proof("two").await.holds());
    // What has a share cannot be drained.
    let drained = site.local.proxy().drain("a/b/c/web", "two", Duration::ZERO).await;
    assert!(matches!(drained, Err(DeployError::Refused { .. })), "{drained:?}");
    let mut watch = site.local.proxy().watch().await.unwrap();
    let Event::Counts { services } = watch.next().await.unwrap() else {
        panic!("no counts")
    };
    assert_eq!(services.len(), 1);
    site.local.proxy().remove("a/b/c/web", 3).await.unwrap();
    assert_eq!(site.local.proxy().status().await.unwrap(), []);
}

#[tokio::test]
async fn no_connection_is_refused_while_proxy_and_keeper_are_killed() {
    let site = Site::up().await;
    let one = site.replica("one").await;
    site.route(1, &one).await;
    let ask = async || {
        http::get(site.listen, "localhost", "/", &[], Duration::from_secs(10))
            .await
            .unwrap()
            .status
    };
    for _ in 0..3 {
        let before = site.proxy_pid();
        kill9(before);
        assert_eq!(ask().await, 200);
        assert_ne!(site.proxy_pid(), before);
        // The new keeper adopts the proxy, with the sockets.
        let proxy = site.proxy_pid();
        kill9(client::status(&site.keeper()).unwrap().keeper_pid);
        while client::status(&site.keeper()).is_ok() {}
        assert_eq!(ask().await, 200);
        site.local.ensure_proxy().await.unwrap();
        assert_eq!((site.proxy_pid(), ask().await), (proxy, 200));
        assert_eq!(client::status(&site.keeper()).unwrap().listeners, [site.listen]);
    }
    assert!(site.proof("one").await.holds());
}

#[tokio::test]
async fn an_address_that_a_stranger_has_is_named_with_him() {
    let site = Site::up().await;
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap();
    let error = site.local.claim_address(address).await.unwrap_err();
    assert!(matches!(error, DeployError::PortTaken { .. }));
    let (text, pid) = (error.to_string(), std::process::id());
    assert!(
        text.starts_with(&format!("{address} is taken by ")) && text.contains(&format!("(pid {pid})")),
        "{text}"
    );
    site.local.claim_address(site.listen).await.unwrap();
    drop(stranger);
    // A process that another test is just starting may have a copy for a moment.
    while site.local.claim_address(address).await.is_err() {}
    site.local.release_address(address).await.unwrap();
    while TcpListener::bind(address).is_err() {}
    site.local.stop_proxy(Duration::from_secs(40)).await.unwrap();
    assert!(
        http::get(site.listen, "x", "/", &[], Duration::from_secs(1))
            .await
            .is_err()
    );
    assert!(Path::new(&site.keeper()).exists());
}

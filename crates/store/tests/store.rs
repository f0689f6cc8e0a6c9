//! The store on real SQLite files.

use pilotage_store::{AuditFilter, Holder, NewJob, NewToken, Result, Store, StoreError, Transition};
use pilotage_trust::audit::Verifier;
use std::sync::Arc;

async fn open(directory: &tempfile::TempDir) -> Store {
    Store::open(directory.path()).await.expect("the store opens")
}

fn step<'a>(version: i64, state: &'a str, effects: &'a [String]) -> Transition<'a> {
    Transition {
        kind: "run",
        id: 7,
        version,
        at: 1,
        event: "{}",
        state,
        deadline: Some(50),
        done: false,
        effects,
    }
}

#[tokio::test]
async fn a_transaction_is_whole_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let failed: Result<()> = store
        .write(|c| {
            Box::pin(async move {
                c.create_project("o", "p", "main", 1).await?;
                c.set_setting("a", "b").await?;
                Err(StoreError::Closed)
            })
        })
        .await;
    assert!(failed.is_err());
    assert!(
        store
            .read()
            .await
            .unwrap()
            .project("o", "p")
            .await
            .unwrap()
            .is_none()
    );
    let panicked: Result<()> = store
        .write(|c| {
            Box::pin(async move {
                c.set_setting("a", "b").await?;
                panic!("a fault of the test");
            })
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    let project = store
        .write(|c| Box::pin(async move { c.create_project("O", "p", "main", 1).await }))
        .await
        .unwrap();
    assert_eq!((project.id, project.path().as_str()), (1, "O/p"));
    let again = store
        .write(|c| Box::pin(async move { c.create_project("o", "P", "main", 1).await }))
        .await;
    assert!(matches!(again, Err(StoreError::Exists)));
    let mut reader = store.read().await.unwrap();
    assert_eq!(reader.setting("a").await.unwrap(), None);
    assert_eq!(reader.project("o", "p").await.unwrap().unwrap().id, 1);
    assert!(
        reader.set_setting("a", "b").await.is_err(),
        "a reader cannot write"
    );
}

#[tokio::test]
async fn waiting_transactions_are_committed_together_and_apart() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&directory).await);
    let tasks: Vec<_> = (0..200_i64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .write(move |c| {
                        Box::pin(async move {
                            let id = c.next_number("n").await?;
                            if n % 3 == 0 {
                                Err(StoreError::Closed)
                            } else {
                                Ok(id)
                            }
                        })
                    })
                    .await
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (1..=133).collect::<Vec<_>>(),
        "what failed took no number"
    );
}

#[tokio::test]
async fn machines_keep_their_effects_until_they_are_done() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let (a, b) = (["a".to_owned(), "b".to_owned()], ["c".to_owned()]);
    store
        .write(move |c| Box::pin(async move { c.transition(step(0, "one", &a)).await }))
        .await
        .unwrap();
    let rows = store
        .write(move |c| Box::pin(async move { c.transition(step(1, "two", &b)).await }))
        .await
        .unwrap();
    assert_eq!((rows[0].seq, rows[0].effect.as_str()), (3, "c"));
    let stale = store
        .write(|c| Box::pin(async move { c.transition(step(1, "late", &[])).await }))
        .await;
    assert!(matches!(stale, Err(StoreError::Stale { .. })));
    let twice = store
        .write(|c| Box::pin(async move { c.transition(step(0, "late", &[])).await }))
        .await;
    assert!(matches!(twice, Err(StoreError::Exists)));
    store
        .write(|c| Box::pin(async move { c.effect_done("run", 7, 2, 9).await }))
        .await
        .unwrap();
    drop(store);

    let store = open(&directory).await;
    let mut c = store.read().await.unwrap();
    let machine = c.machine("run", 7).await.unwrap().unwrap();
    assert_eq!(
        (
            machine.state.as_str(),
            machine.version,
            machine.deadline,
            machine.done
        ),
        ("two", 2, Some(50), false)
    );
    let open: Vec<_> = c
        .open_effects()
        .await
        .unwrap()
        .into_iter()
        .map(|e| (e.seq, e.effect))
        .collect();
    assert_eq!(open, [(1, "a".to_owned()), (3, "c".to_owned())]);
    assert_eq!(c.machine_events("run", 7).await.unwrap().len(), 2);
    assert_eq!(c.next_deadline().await.unwrap(), Some(50));
    assert_eq!(c.due_machines(49).await.unwrap(), []);
    assert_eq!(c.due_machines(50).await.unwrap(), [("run".to_owned(), 7)]);
}

#[tokio::test]
async fn a_lease_is_given_once_and_an_older_fence_is_worth_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let holder = |slot| Holder {
        runner: "r",
        slot,
        instance: "i",
    };
    let job = |fence| NewJob {
        job: 5,
        run: 1,
        project: 1,
        labels: "[]",
        environment: "",
        spec: "{}",
        fence,
    };
    let ends = store
        .write(move |c| {
            Box::pin(async move {
                c.enqueue(&job(3), 10).await?;
                c.enqueue(&job(9), 99).await?;
                assert_eq!(c.waiting_jobs(10).await?[0].queued_at, 10);
                let first = c.offer_job(5, holder(0), 3).await?;
                let second = c.offer_job(5, holder(1), 4).await?;
                c.dequeue(5).await?;
                c.enqueue(&job(4), 20).await?;
                let older = c.offer_job(5, holder(1), 3).await?;
                let third = c.offer_job(5, holder(1), 4).await?;
                let old = c.hold_job(5, 3).await?;
                let new = c.hold_job(5, 4).await?;
                Ok([first, second, older, third, old, new])
            })
        })
        .await
        .unwrap();
    assert_eq!(ends, [true, false, false, true, false, true]);
}

#[tokio::test]
async fn tokens_end_when_they_are_over_or_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let id = store
        .write(|c| {
            Box::pin(async move {
                let token = NewToken {
                    name: "ana",
                    hash: "h",
                    kind: "person",
                    scopes: "read",
                    project_id: None,
                    job_id: None,
                    expires_at: Some(100),
                };
                c.add_token(token, 1).await
            })
        })
        .await
        .unwrap();
    let mut c = store.read().await.unwrap();
    assert_eq!(c.token("h", 99).await.unwrap().unwrap().id, id);
    assert!(c.token("h", 100).await.unwrap().is_none());
    assert!(c.token("g", 99).await.unwrap().is_none());
    assert!(
        store
            .write(move |c| Box::pin(async move { c.revoke_token(id, 50).await }))
            .await
            .unwrap()
    );
    assert!(
        !store
            .write(move |c| Box::pin(async move { c.revoke_token(id, 50).await }))
            .await
            .unwrap()
    );
    assert!(c.token("h", 99).await.unwrap().is_none());
}

#[tokio::test]
async fn the_audit_log_notices_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    for n in 0..3 {
        let subject = format!("o/p/{n}");
        store
            .write(move |c| {
                Box::pin(async move { c.add_audit(n, "ana", "secret.set", &subject, "{}").await })
            })
            .await
            .unwrap();
    }
    assert_eq!(store.read().await.unwrap().verify_audit().await.unwrap().0, 3);
    let mut walked = Verifier::default();
    let mut c = store.read().await.unwrap();
    assert_eq!(c.walk_audit(&mut walked, 1000).await.unwrap(), None);
    assert_eq!((walked.entries, c.last_audit().await.unwrap()), (3, 3));
    let newest = AuditFilter {
        action: "SECRET".to_owned(),
        among: 2,
        limit: 10,
        ..AuditFilter::default()
    };
    let found = c.audit_newest(&newest).await.unwrap();
    let found: Vec<i64> = found.iter().map(|row| row.seq).collect();
    assert_eq!(found, [3, 2], "the newest first, among as many as it is told");
    drop(c);
    drop(store);
    sqlx_execute(&directory, "UPDATE audit SET actor = 'eve' WHERE seq = 2").await;
    let store = open(&directory).await;
    let mut c = store.read().await.unwrap();
    let found = c.walk_audit(&mut Verifier::default(), 1000).await.unwrap();
    assert_eq!(found.map(|broken| broken.seq), Some(2));
    drop(c);
    let broken = store.read().await.unwrap().verify_audit().await;
    assert!(matches!(broken, Err(StoreError::Audit { source }) if source.seq == 2));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory).await);
    sqlx_execute(&directory, "INSERT INTO schema (version) VALUES (999)").await;
    let refused = Store::open(directory.path()).await;
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 999, .. })));
}

async fn sqlx_execute(directory: &tempfile::TempDir, statement: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let path = directory.path().join("pilotage.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .expect("the statement runs");
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .expect("the statement runs");
    connection.close().await.expect("the statement runs");
}

#[tokio::test]
async fn retention_removes_what_is_old_and_nothing_that_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    let blob = |text: &'static [u8]| {
        let store = &store;
        async move {
            let mut writer = store.blobs.writer(100).await.unwrap();
            writer.write(text).await.unwrap();
            writer.finish(None).await.unwrap().0.as_str().to_owned()
        }
    };
    let (old, young, released, nobodys) = (
        blob(b"old").await,
        blob(b"young").await,
        blob(b"rel").await,
        blob(b"x").await,
    );
    let artifact = |digest: &str, name: &str, expires_at| pilotage_store::Artifact {
        id: 0,
        project_id: 1,
        run_id: 2,
        job_id: 1,
        attempt: 1,
        name: name.to_owned(),
        size_bytes: 3,
        digest: digest.to_owned(),
        created_at: 0,
        expires_at,
    };
    let (a, b) = (artifact(&old, "old", 50), artifact(&young, "young", 500));
    let run = |id: i64, ended_at: Option<i64>| pilotage_store::Run {
        id,
        project_id: 1,
        workflow_id: 1,
        number: id,
        attempt: 1,
        event_id: id,
        event: "push".to_owned(),
        r#ref: "refs/heads/main".to_owned(),
        sha: String::new(),
        title: String::new(),
        actor: String::new(),
        status: String::new(),
        conclusion: ended_at.map(|_| "success".to_owned()),
        reason: String::new(),
        created_at: 0,
        started_at: 0,
        ended_at,
    };
    let runs = [run(1, Some(10)), run(2, None), run(3, Some(90)), run(4, Some(10))];
    store
        .write(move |c| {
            Box::pin(async move {
                c.add_artifact(&a).await?;
                c.add_artifact(&b).await?;
                for run in &runs {
                    c.add_run(run).await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
    drop(store);
    sqlx_execute(
        &directory,
        "INSERT INTO releases (id, project_id, digest, run_id, ref, sha, title, manifest, created_at)
         VALUES (1, 1, 'r', 4, '', '', '', '', 0);
         INSERT INTO release_blobs (release_id, digest) VALUES (1,
         'sha256:68b076be5ba974795f927bf1aa53b0dc2991b90d8d535a9dbaf33bad74a2d3a3')",
    )
    .await;
    let store = open(&directory).await;
    let policy = pilotage_store::RetentionPolicy {
        run_age_ms: 50,
        cache_age_ms: 50,
        cache_bytes_max: 10,
    };
    let kept = store
        .retain(&policy, 100, std::time::Duration::from_secs(3600))
        .await
        .unwrap();
    assert_eq!(
        (kept.runs, kept.artifacts, kept.blobs),
        (1, 1, 0),
        "young blobs are left alone"
    );
    let mut c = store.read().await.unwrap();
    let left: Vec<i64> = c
        .runs(&pilotage_store::RunFilter {
            limit: 10,
            ..Default::default()
        })
        .await
        .unwrap()
        .iter()
        .map(|r| r.id)
        .collect();
    assert_eq!(
        left,
        [4, 3, 2],
        "what goes on, what is young, and what a release came from stay"
    );
    drop(c);
    let gone = store
        .retain(&policy, 100, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        (gone.blobs, gone.runs),
        (2, 0),
        "{old} and {nobodys}, not {released}"
    );
    let name = pilotage_store::BlobName::parse(&young).unwrap();
    assert!(store.blobs.read(&name).await.unwrap().is_some());
}

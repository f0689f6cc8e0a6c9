//! Lists of runs and what hangs on one run, over real HTTP: filters, artifacts, annotations, summaries, deleting.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use indexmap::IndexMap;
use pilotage_api::runner::{Annotation, AnnotationLevel, Conclusion, Evaluated, Report, StepName};
use sha2::{Digest, Sha256};
use support::reader::Reader;
use support::{Checkout, TestRunner, World};

const WORKFLOW: &str = "on: push\njobs:\n  test:\n    runs-on: linux\n    steps:\n      - run: ./test\n";

async fn pushed(world: &World, checkout: &Checkout, title: &str, branch: &str) {
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit(title);
    checkout.push(&[&format!("main:{branch}")]);
    let _ = world;
}

/// Runs the next job, which leaves an artifact, an annotation and a summary, and fails.
async fn failed(world: &World, runner: &TestRunner) -> i64 {
    let lease = runner.lease().await;
    runner.ack(&lease).await.unwrap();
    let body = b"PK zip";
    let upload = world
        .client
        .put(format!(
            "{}/api/runner/v1/artifacts?name=dist%20%C3%BC",
            world.url
        ))
        .bearer_auth(&lease.token)
        .header(
            "x-pilotage-digest",
            format!("sha256:{}", hex::encode(Sha256::digest(body))),
        )
        .body(body.to_vec())
        .send()
        .await
        .unwrap();
    assert!(upload.status().is_success(), "{}", upload.text().await.unwrap());
    let artifact: serde_json::Value = upload.json().await.unwrap();
    let told = Annotation {
        step: 1,
        level: AnnotationLevel::Error,
        message: "expected <b>200</b>".to_owned(),
        title: None,
        file: Some("app.py".to_owned()),
        line: Some(7),
        column: None,
        end_line: None,
        end_column: None,
        log_line: Some(1),
    };
    // As an older runner says it, and one that lies.
    let old = Annotation {
        level: AnnotationLevel::Notice,
        log_line: None,
        ..told.clone()
    };
    let lie = Annotation {
        level: AnnotationLevel::Warning,
        log_line: Some(u64::MAX),
        ..told.clone()
    };
    let summary = "# Done\n[x](javascript:alert(1)) <script>alert(1)</script>".to_owned();
    let value = |name: &str, value: &str| IndexMap::from([(name.to_owned(), value.to_owned())]);
    let evaluated = vec![
        Evaluated {
            condition: "github.ref_name == 'main'".to_owned(),
            env: value("WHERE", "<i>here</i> ***"),
            ..Evaluated::default()
        },
        Evaluated {
            step: 1,
            with: value("path", &"x".repeat(100_000)),
            ..Evaluated::default()
        },
        Evaluated {
            step: u32::MAX,
            env: value("FAR", "away"),
            ..Evaluated::default()
        },
    ];
    let step = StepName {
        step: 1,
        id: String::new(),
        name: "Test <b>".to_owned(),
    };
    let reports = vec![
        Report::Steps {
            steps: vec![step],
            evaluated,
        },
        Report::Annotation(told),
        Report::Annotation(old),
        Report::Annotation(lie),
        Report::Summary {
            step: 1,
            markdown: summary,
        },
    ];
    runner.report(&lease, 0, reports).await.unwrap();
    runner
        .log(
            &lease,
            1,
            0,
            "expected <b>200</b>?\n##[error]expected <b>200</b>\n",
        )
        .await
        .unwrap();
    runner.finish(&lease, Conclusion::Failure, 2).await.unwrap();
    artifact["id"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_left_is_shown_downloaded_and_deleted_by_who_may() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    let admin = Reader::new(&world, &world.admin).await;
    pushed(&world, &checkout, "Fix", "main").await;
    let artifact = failed(&world, &runner).await;
    pushed(&world, &checkout, "Again", "main").await;
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "failure")
        .await;

    let page = admin.get("/o/p/runs/1").await.text;
    for part in [
        "app.py:7",
        "expected &lt;b&gt;200&lt;/b&gt;",
        "<h3 class=\"h1\">Done</h3>",
        "&lt;script&gt;alert(1)",
        "dist ü",
        "Timing",
        "push",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(
        !page.contains("<script>alert") && !page.contains("javascript:"),
        "{page}"
    );
    let leads = [
        "/jobs/1000000?line=2#s1:2\">test, line 2<",
        "/jobs/1000000?step=1\">test, step 1<",
    ];
    for (lead, count) in leads.into_iter().zip([1, 2]) {
        assert_eq!(page.matches(lead).count(), count, "{lead}: {page}");
    }
    let run = world.get("runs/1").await;
    assert_eq!(run["jobs"][0]["annotations"][0]["log_line"], 1, "{run}");
    let config = admin.get("/o/p/runs/1/config").await.text;
    assert!(
        config.contains("run: ./test") && config.contains("Secrets are given"),
        "{config}"
    );
    for part in [
        "<dt>runs-on</dt><dd><code>linux</code></dd>",
        "<code>github.ref_name == 'main'</code> <span class=\"m\">was met</span>",
        "<dt>env WHERE</dt><dd><code>&lt;i&gt;here&lt;/i&gt; ***</code></dd>",
        "?step=1\"><b>Test &lt;b&gt;</b>",
        "<dt>with path</dt><dd><code>xxx",
    ] {
        assert!(config.contains(part), "{part}: {config}");
    }
    assert!(!config.contains("FAR") && config.len() < 30_000, "{config}");

    let path = format!("/o/p/runs/1/artifacts/{artifact}");
    let answer = admin
        .send(reqwest::Method::GET, &path, &[], &[("accept-encoding", "gzip")])
        .await;
    let headers = answer.headers().clone();
    for (name, expected) in [
        (
            "content-disposition",
            "attachment; filename*=UTF-8''dist%20%C3%BC.zip",
        ),
        (
            "content-security-policy",
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("content-length", "6"),
    ] {
        assert_eq!(headers[name], expected, "{name}");
    }
    assert_eq!(answer.bytes().await.unwrap(), b"PK zip"[..]);

    let bo = Reader::new(&world, &world.outsider("bo", &["read", "write"]).await).await;
    let kim = Reader::new(&world, &world.token("kim", "person", &["read"]).await).await;
    for (reader, path, expected) in [
        (&bo, path.as_str(), 404),
        (&bo, "/o/p/runs/1/config", 404),
        (&bo, "/o/p/runs/1/delete", 404),
        (&admin, &format!("/o/p/runs/2/artifacts/{artifact}"), 404),
        (&admin, &format!("/o/other/runs/1/artifacts/{artifact}"), 404),
        (&admin, "/o/p/runs/1/artifacts/999", 404),
        (&kim, "/o/p/runs/1/delete", 200),
        (&kim, &path, 200),
    ] {
        assert_eq!(reader.get(path).await.status, expected, "{path}");
    }
    assert!(
        kim.get("/o/p/runs/1/delete")
            .await
            .text
            .contains("role=\"alert\"")
    );

    let delete = "/o/p/runs/1/delete";
    assert_eq!(kim.post(delete, &[]).await.status, 403);
    assert_eq!(bo.post(delete, &[]).await.status, 404);
    let mut other = admin.clone();
    other.csrf.clone_from(&kim.csrf);
    assert_eq!(other.post(delete, &[]).await.status, 403);
    assert_eq!(
        admin.post("/o/p/runs/2/delete", &[]).await.status,
        409,
        "it is not over"
    );
    assert!(admin.get("/o/p/runs/2/delete").await.text.contains("is not over"));
    assert!(admin.get(delete).await.text.contains("Delete run #1"));
    let deleted = admin.post(delete, &[]).await;
    assert_eq!((deleted.status, deleted.location.as_str()), (303, "/o/p/runs"));
    assert_eq!(admin.get("/o/p/runs/1").await.status, 404);
    assert_eq!(admin.get(&path).await.status, 404);
    let audit = world.get("audit").await.to_string();
    assert!(audit.contains("run.delete"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_by_what_the_address_says() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    let admin = Reader::new(&world, &world.admin).await;
    let empty = admin.get("/o/p").await.text;
    assert!(empty.contains("Push o/p to begin"), "{empty}");
    pushed(&world, &checkout, "Fix login: now", "main").await;
    failed(&world, &runner).await;
    pushed(&world, &checkout, "Round prices up", "red").await;
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "failure")
        .await;
    let sha = world.get("runs/1").await["run"]["sha"]
        .as_str()
        .unwrap()
        .to_owned();
    let short = format!("sha:{}", &sha[..7]);
    let whole = format!("sha:{sha}");
    let (one, two, both, none) = (vec![1], vec![2], vec![2, 1], vec![]);
    for (query, expected) in [
        ("", &both),
        ("status:failed", &one),
        ("status:queued", &two),
        ("branch:red", &two),
        ("branch:nowhere", &none),
        ("\"login: now\"", &one),
        ("PRICES", &two),
        ("prices login", &none),
        ("workflow:ci.yml event:push", &both),
        ("workflow:none.yml", &none),
        ("actor:nobody", &none),
        (&short, &one),
        (&whole, &one),
        ("project:o/p", &both),
        ("project:o/q", &none),
    ] {
        let encoded = serde_urlencoded::to_string([("q", query)]).unwrap();
        let answer = admin.get(&format!("/o/p/runs?{encoded}")).await;
        assert_eq!(answer.status, 200, "{query}");
        let shown: Vec<i64> = [2, 1]
            .into_iter()
            .filter(|id| answer.text.contains(&format!("href=\"/o/p/runs/{id}\"")))
            .collect();
        assert_eq!(&shown, expected, "{query}: {}", answer.text);
    }
    for (path, expected) in [
        ("/o/p/runs?q=color:red", "There is no <code>color:</code>"),
        ("/runs?q=workflow:ci.yml", "needs <code>project:</code>"),
        ("/runs?q=status:sad", "it is passed, failed"),
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text.contains(expected), "{expected}: {}", answer.text);
    }
    let older = admin.get("/o/p/runs?before=2").await.text;
    assert!(
        older.contains("/o/p/runs/1\"") && !older.contains("/o/p/runs/2\"") && older.contains("Newest runs")
    );

    let overview = admin.get("/o/p").await.text;
    for part in [
        "<b>main</b> <span class=\"bad\">failed",
        "Fix login: now",
        "ci.yml",
        "Round prices up",
    ] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
    // What a list follows lives on with its query; a stranger sees nothing.
    let topic = serde_urlencoded::to_string([("topics", "runs:o/p?status:failed")]).unwrap();
    let mut live = admin
        .send(reqwest::Method::GET, &format!("/-/events?{topic}"), &[], &[])
        .await;
    let mut text = String::new();
    while !text.contains("\n\n") || !text.contains("\"runs\"") {
        text.push_str(&String::from_utf8_lossy(&live.chunk().await.unwrap().unwrap()));
    }
    assert!(
        text.contains("/o/p/runs/1") && !text.contains("/o/p/runs/2"),
        "{text}"
    );
    let bo = Reader::new(&world, &world.outsider("bo", &["read"]).await).await;
    assert_eq!(bo.get("/o/p").await.status, 404);
    assert_eq!(bo.get("/o/p/runs").await.status, 404);
    let all = bo.get("/runs?q=prices").await.text;
    assert!(
        all.contains("No run fits") && !all.contains("Round prices"),
        "{all}"
    );
}

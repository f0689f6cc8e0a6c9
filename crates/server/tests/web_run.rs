//! The run page and the lists of runs, over real HTTP: what they say, who may see them, and what their forms do.

mod support;

use pilotage_api::runner::{Annotation, Conclusion, Report};
use reqwest::{Client, StatusCode, header, redirect};
use support::{TestRunner, World};

const WORKFLOW: &str = "on: push\njobs:\n  test:\n    runs-on: linux\n    steps:\n      - run: false\n";

const FORM: &str = "application/x-www-form-urlencoded";

fn form(fields: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(fields).expect("fields")
}

/// Somebody with a browser: a cookie, and the word that forms carry.
struct Reader {
    client: Client,
    url: String,
    cookie: String,
}

impl Reader {
    async fn new(world: &World, token: &str) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .expect("a client");
        let answer = client
            .post(format!("{}/login", world.url))
            .header(header::CONTENT_TYPE, FORM)
            .body(form(&[("token", token)]))
            .send()
            .await
            .expect("an answer");
        let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("a cookie");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        Self {
            client,
            url: world.url.clone(),
            cookie,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header(header::COOKIE, &self.cookie).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> StatusCode {
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.header(header::COOKIE, &self.cookie);
        let request = request.header(header::CONTENT_TYPE, FORM).body(form(fields));
        request.send().await.expect("an answer").status()
    }

    async fn csrf(&self) -> String {
        let (_, page) = self.get("/me").await;
        let rest = page
            .split("data-csrf=\"")
            .nth(1)
            .expect("the word of the session");
        rest.split('"').next().expect("its end").to_owned()
    }
}

const MATRIX: &str = "on: push\njobs:\n  build:\n    runs-on: linux\n    steps: [{run: make}]\n  test:\n    needs: build\n    runs-on: linux\n    strategy: {matrix: {n: [1, 2, 3]}}\n    steps: [{run: make test}]\n  ship:\n    needs: test\n    runs-on: linux\n    steps: [{run: ship}]\n";

/// A matrix is one job until what it needs is over; who needs it waits for all that it becomes.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_matrix_needs_all_of_its_jobs() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", MATRIX);
    checkout.commit("Matrix");
    checkout.push(&["main"]);
    let lease = runner.lease().await;
    runner.ack(&lease).await.expect("taken");
    runner
        .finish(&lease, Conclusion::Success, 0)
        .await
        .expect("finished");
    let unfolded = |run: &serde_json::Value| run["jobs"].as_array().is_some_and(|jobs| jobs.len() == 5);
    let run = world.until("runs/1", unfolded).await;
    let ids = |job: &serde_json::Value| job["id"].as_i64().expect("an id");
    let jobs = run["jobs"].as_array().expect("jobs");
    let named = |key: &str| jobs.iter().filter(|job| job["key"] == key).map(ids).collect();
    let (tests, ships): (Vec<i64>, Vec<i64>) = (named("test"), named("ship"));
    assert_eq!((tests.len(), ships.len()), (3, 1), "{run}");
    let ship = jobs.iter().find(|job| job["key"] == "ship").expect("a job");
    assert_eq!(ship["needs"], serde_json::json!(tests), "{run}");

    let admin = Reader::new(&world, &world.admin).await;
    for (path, edges) in [("/o/p/runs/1", 2), ("/o/p/runs/1?unfold=test", 6)] {
        let (_, page) = admin.get(path).await;
        let drawn = page.split("id=\"run-graph\"").nth(1).expect("a graph");
        let drawn = drawn.split("</figure>").next().expect("its end");
        assert_eq!(
            drawn.matches("<path class=\"eg").count(),
            edges,
            "{path}: {drawn}"
        );
    }
}

async fn fail(runner: &TestRunner) {
    let lease = runner.lease().await;
    runner.ack(&lease).await.expect("taken");
    let text = "compiling\n##[error]<b>it broke</b>\nbye\n";
    runner.log(&lease, 1, 0, text).await.expect("logged");
    runner
        .finish(&lease, Conclusion::Failure, 3)
        .await
        .expect("finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_says_why_and_runs_again() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    let admin = Reader::new(&world, &world.admin).await;
    let (status, empty) = admin.get("/o/p/runs").await;
    assert_eq!(status, 200);
    assert!(
        empty.contains("No runs yet") && empty.contains("git push"),
        "{empty}"
    );

    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("Fix <i>login</i>");
    checkout.push(&["main"]);
    fail(&runner).await;
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "failure")
        .await;

    let (status, page) = admin.get("/o/p/runs/1").await;
    assert_eq!(status, 200);
    for part in [
        "Why it failed",
        "it broke",
        "Rerun failed jobs",
        "Fix &lt;i&gt;login&lt;/i&gt;",
        "/jobs/1000000?line=2#s1:2",
    ] {
        assert!(
            page.contains(part),
            "{part} is missing: {}",
            &page[page.find("<main").unwrap_or_default()..]
        );
    }
    assert!(!page.contains("<b>it broke"), "{page}");
    for (path, expected) in [
        ("/runs", 200),
        ("/o/p", 200),
        ("/o/p/runs/1?attempt=7", 404),
        ("/o/p/runs/2", 404),
        ("/o/other/runs/1", 404),
        ("/o/other/runs", 404),
    ] {
        assert_eq!(admin.get(path).await.0, expected, "{path}");
    }

    let rerun = "/o/p/runs/1/rerun";
    assert_eq!(
        admin.post(rerun, &[("which", "failed"), ("csrf", "wrong")]).await,
        403
    );
    let reader = Reader::new(&world, &world.token("kim", "person", &["read"]).await).await;
    let (_, page) = reader.get("/o/p/runs/1").await;
    assert!(
        page.contains("lacks the scope") && !page.contains("Rerun failed jobs"),
        "{page}"
    );
    let word = reader.csrf().await;
    assert_eq!(
        reader.post(rerun, &[("which", "failed"), ("csrf", &word)]).await,
        403
    );

    let word = admin.csrf().await;
    assert_eq!(
        admin
            .post("/o/other/runs/1/rerun", &[("which", "all"), ("csrf", &word)])
            .await,
        404
    );
    assert_eq!(admin.post(rerun, &[("which", "?"), ("csrf", &word)]).await, 400);
    assert_eq!(
        admin.post(rerun, &[("which", "failed"), ("csrf", &word)]).await,
        303
    );
    let run = world.get("runs/1").await;
    assert_eq!(run["run"]["attempt"], 2, "{run}");
    assert_eq!(admin.post("/o/p/runs/1/cancel", &[("csrf", &word)]).await, 303);
    let (_, old) = admin.get("/o/p/runs/1?attempt=1").await;
    assert!(
        old.contains("An older attempt") && old.contains("it broke"),
        "{old}"
    );
}

const PAIR: &str = "on: push\njobs:\n  lint:\n    runs-on: linux\n    steps: [{run: lint}]\n  test:\n    runs-on: linux\n    steps: [{run: ./test}]\n";

#[tokio::test(flavor = "multi_thread")]
async fn two_attempts_are_put_beside_one_another() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", PAIR);
    checkout.commit("Fix");
    checkout.push(&["main"]);
    let lint = runner.lease().await;
    runner.ack(&lint).await.expect("taken");
    runner
        .finish(&lint, Conclusion::Success, 0)
        .await
        .expect("finished");
    let test = runner.lease().await;
    runner.ack(&test).await.expect("taken");
    let error = Annotation {
        log_line: Some(1),
        ..Annotation::error(1, "expected <b>200</b>".to_owned())
    };
    let told = vec![Report::Annotation(error)];
    runner.report(&test, 0, told).await.expect("told");
    let text = "testing\n##[error]expected <b>200</b>\n";
    runner.log(&test, 1, 0, text).await.expect("logged");
    runner
        .finish(&test, Conclusion::Failure, 2)
        .await
        .expect("finished");
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "failure")
        .await;
    let admin = Reader::new(&world, &world.admin).await;
    let (_, page) = admin.get("/o/p/runs/1").await;
    assert!(!page.contains("compare"), "there is one attempt: {page}");
    assert_eq!(admin.get("/o/p/runs/1?compare=1").await.0, 400);

    let word = admin.csrf().await;
    let again = [("which", "failed"), ("csrf", word.as_str())];
    assert_eq!(admin.post("/o/p/runs/1/rerun", &again).await, 303);
    let pair = "/o/p/runs/1?attempt=2&compare=1";
    let (_, page) = admin.get(pair).await;
    for part in ["1 job is not over yet.", "attempts:1:2:1"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let fixed = runner.lease().await;
    runner.ack(&fixed).await.expect("taken");
    runner
        .finish(&fixed, Conclusion::Success, 0)
        .await
        .expect("finished");
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "success")
        .await;

    let (_, run) = admin.get("/o/p/runs/1").await;
    assert!(run.contains("?attempt=2&amp;compare=1"), "{run}");
    let leads = format!("/jobs/{}?line=2#s1:2", test.job);
    for path in [pair, "/o/p/runs/1?compare=1", "/o/p/runs/1?attempt=1&compare=2"] {
        let (status, page) = admin.get(path).await;
        assert_eq!(status, 200, "{path}");
        for part in [
            "1 job passes now.",
            "passes now",
            "expected &lt;b&gt;200&lt;/b&gt;",
            leads.as_str(),
            "1 job was not run again",
        ] {
            assert!(page.contains(part), "{path}: {part}: {page}");
        }
    }
    // An older attempt says how it ended itself.
    let (_, old) = admin.get("/o/p/runs/1?attempt=1").await;
    assert!(old.contains("<title>Run 1 failed"), "{old}");
    assert_eq!(world.get("runs/1?attempt=1").await["conclusion"], "failure");
    let bo = Reader::new(&world, &world.outsider("bo", &["read", "write"]).await).await;
    for (reader, path, expected) in [
        (&admin, "/o/p/runs/1?attempt=2&compare=2", 400),
        (&admin, "/o/p/runs/1?attempt=2&compare=9", 404),
        (&admin, "/o/other/runs/1?attempt=2&compare=1", 404),
        (&bo, pair, 404),
    ] {
        assert_eq!(reader.get(path).await.0, expected, "{path}");
    }
}

const GUARDED: &str = "on: push\njobs:\n  ship:\n    runs-on: linux\n    environment: production\n    steps:\n      - run: \"true\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_approves_in_the_browser_what_was_looked_at() {
    let world = World::new().await;
    let checkout = world.project().await;
    let rules = serde_json::json!({"reviewers": ["bo"]});
    let path = "projects/o/p/environments/production/rules";
    world.send(reqwest::Method::PUT, path, rules).await;
    let runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", GUARDED);
    checkout.commit("Ship it");
    checkout.push(&["main"]);
    let run = world
        .until("runs/1", |run| run["jobs"][0]["status"] == "waiting")
        .await;
    let sha = run["run"]["sha"].as_str().expect("a commit");

    // Who may not is told why, and is refused.
    let kim = Reader::new(&world, &world.token("kim", "person", &["read", "deploy"]).await).await;
    let (_, page) = kim.get("/o/p/runs/1").await;
    assert!(
        page.contains("ship: waits for the approval of bo")
            && page.contains("Kim is not a reviewer of production"),
        "{page}"
    );
    assert!(!page.contains("value=\"approved\""), "{page}");
    let word = kim.csrf().await;
    let asked = |sha: &str, word: &str| -> Vec<(&'static str, String)> {
        vec![
            ("environment", "production".to_owned()),
            ("sha", sha.to_owned()),
            ("verdict", "approved".to_owned()),
            ("reason", "looked at it".to_owned()),
            ("csrf", word.to_owned()),
        ]
    };
    let post = async |reader: &Reader, fields: Vec<(&'static str, String)>| {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        reader.post("/o/p/runs/1/approval", &fields).await
    };
    assert_eq!(post(&kim, asked(sha, &word)).await, 403);

    let bo = Reader::new(&world, &world.token("bo", "person", &["read", "deploy"]).await).await;
    let (_, page) = bo.get("/o/p/runs/1").await;
    assert!(
        page.contains("value=\"approved\"") && page.contains(sha),
        "{page}"
    );
    assert_eq!(post(&bo, asked(sha, "wrong")).await, 403);
    let word = bo.csrf().await;
    assert_eq!(post(&bo, asked(&"0".repeat(40), &word)).await, 409);
    assert_eq!(post(&bo, asked(sha, &word)).await, 303);
    let lease = runner.lease().await;
    runner.ack(&lease).await.expect("taken");
    let (_, page) = bo.get("/o/p/runs/1").await;
    assert!(!page.contains("ship: waits for the approval of bo"), "{page}");
}

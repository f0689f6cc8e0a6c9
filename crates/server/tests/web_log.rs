//! The log page over real HTTP: where it opens, what it says of hostile text, who may see it, and how it goes on.

mod support;

use pilotage_api::runner::Conclusion;
use reqwest::{Client, StatusCode, header, redirect};
use support::World;

const WORKFLOW: &str =
    "on: push\njobs:\n  test:\n    name: <u>test</u>\n    runs-on: linux\n    steps:\n      - run: false\n";

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
}

const LOG: &str = "/o/p/runs/1/jobs/1000000";

fn check(page: &str, parts: &[&str], not: &[&str]) {
    let shown = &page[page.find("<main").unwrap_or_default()..];
    for part in parts {
        assert!(page.contains(part), "{part} is missing: {shown}");
    }
    for part in not {
        assert!(!page.contains(part), "{part} stands there: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_while_it_grows_and_opens_at_its_first_error_later() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("One");
    checkout.push(&["main"]);
    let admin = Reader::new(&world, &world.admin).await;
    let lease = runner.lease().await;
    runner.ack(&lease).await.expect("taken");
    let (status, page) = admin.get(LOG).await;
    assert_eq!(status, 200);
    let live = format!("data-follow=\"{LOG}/lines\"");
    check(
        &page,
        &[
            &live,
            "data-topics=\"log:1000000\"",
            "&lt;u&gt;test&lt;/u&gt;",
            "nothing written yet",
        ],
        &["<u>"],
    );

    // The answer waits for the lines that it is asked for.
    let path = format!("{LOG}/lines?from=0");
    let begun = "<img src=x onerror=alert(1)>\u{1b}[31mred\u{1b}[0m\n";
    let ((status, rows), logged) = tokio::join!(admin.get(&path), runner.log(&lease, 1, 0, begun));
    logged.expect("logged");
    assert_eq!(status, 200);
    check(
        &rows,
        &[
            "id=\"s1:1\"",
            "&lt;img src=x",
            "class=\"f1\"",
            "data-next=\"1\"",
            "data-follow",
        ],
        &["<img", "\u{1b}"],
    );

    let mut text: String = (2..=2000).map(|n| format!("line {n}\n")).collect();
    text.push_str("##[error]<b>it broke</b>\n");
    text.extend((2002..=2500).map(|n| format!("line {n}\n")));
    runner.log(&lease, 1, 1, &text).await.expect("logged");
    runner
        .finish(&lease, Conclusion::Failure, 2500)
        .await
        .expect("finished");
    world
        .until("runs/1", |run| run["run"]["conclusion"] == "failure")
        .await;

    let (_, page) = admin.get(LOG).await;
    check(
        &page,
        &[
            "data-error=\"s1:2001\"",
            "id=\"s1:1989\"",
            "<li id=\"s1:2001\" class=\"e1\"",
            "First error",
            "Before",
            "&lt;b&gt;it broke",
        ],
        &["<b>it broke", "data-follow", "data-topics", "id=\"s1:1988\""],
    );
    for (query, first, last) in [
        ("?from=0", 1, 1000),
        ("?step=1", 1, 1000),
        ("?line=1200", 701, 1700),
        ("?from=2400", 2401, 2500),
        ("?from=99999999", 2500, 2500),
        ("/lines?from=2300", 2301, 2500),
    ] {
        let (status, page) = admin.get(&format!("{LOG}{query}")).await;
        assert_eq!(status, 200, "{query}");
        let (before, behind) = (
            format!("id=\"s1:{}\"", first - 1),
            format!("id=\"s1:{}\"", last + 1),
        );
        check(
            &page,
            &[&format!("id=\"s1:{first}\""), &format!("id=\"s1:{last}\"")],
            &[&before, &behind],
        );
    }
    let (_, raw) = admin.get(&format!("{LOG}/log.txt")).await;
    assert_eq!(raw, format!("{begun}{text}"));

    // A permalink holds when the run is run again.
    let which = serde_json::json!({"which": "all"});
    world.send(reqwest::Method::POST, "runs/1/rerun", which).await;
    for end in ["?line=2001", "/lines?from=2300", "/log.txt"] {
        assert_eq!(admin.get(&format!("{LOG}{end}")).await.0, StatusCode::OK, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_there_only_under_its_own_path_and_for_those_who_may_see_it() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("One");
    checkout.push(&["main"]);
    world
        .until("runs/1", |run| run["jobs"][0]["id"] == 1_000_000)
        .await;
    let admin = Reader::new(&world, &world.admin).await;
    let outside = Reader {
        cookie: String::new(),
        ..Reader::new(&world, &world.admin).await
    };
    for end in ["", "/lines?from=0&attempt=9", "/log.txt"] {
        assert_eq!(outside.get(&format!("{LOG}{end}")).await.0, 303, "{end}");
        for path in [
            "/o/other/runs/1/jobs/1000000",
            "/x/p/runs/1/jobs/1000000",
            "/o/p/runs/2/jobs/1000000",
            "/o/p/runs/1/jobs/1000001",
        ] {
            assert_eq!(
                admin.get(&format!("{path}{end}")).await.0,
                StatusCode::NOT_FOUND,
                "{path}{end}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_follows_nothing_any_more() {
    let world = World::new().await;
    let checkout = world.project().await;
    let runner = world.runner("r", &["linux"]).await;
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("One");
    checkout.push(&["main"]);
    let lease = runner.lease().await;
    runner.ack(&lease).await.expect("taken");
    let admin = Reader::new(&world, &world.admin).await;
    let events = admin
        .client
        .get(format!("{}/-/events?topics=log:1000000", admin.url));
    let mut events = events
        .header(header::COOKIE, &admin.cookie)
        .send()
        .await
        .expect("an answer");
    let mut text = String::new();
    while !text.contains("event: patch") {
        let chunk = events.chunk().await.expect("a stream").expect("more of it");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    check(&text, &["steps", "&lt;u&gt;test"], &["<u>"]);

    let (_, me) = admin.get("/me").await;
    let word = me.split("data-csrf=\"").nth(1).expect("the word of the session");
    let word = word.split('"').next().expect("its end").to_owned();
    let out = admin.client.post(format!("{}/logout", admin.url));
    let out = out
        .header(header::COOKIE, &admin.cookie)
        .header(header::CONTENT_TYPE, FORM)
        .body(form(&[("csrf", &word)]));
    let begun = std::time::Instant::now();
    assert_eq!(
        out.send().await.expect("an answer").status(),
        StatusCode::SEE_OTHER
    );
    while events.chunk().await.expect("a stream").is_some() {}
    let lasted = begun.elapsed();
    assert!(lasted < std::time::Duration::from_secs(5), "{lasted:?}");
    let lines = admin.get(&format!("{LOG}/lines?from=0")).await;
    assert_eq!(lines.0, StatusCode::SEE_OTHER);
}

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

    async fn events(&self, topics: &str) -> Events {
        let request = self.client.get(format!("{}/-/events?topics={topics}", self.url));
        let answer = request.header(header::COOKIE, &self.cookie).send().await;
        Events {
            answer: answer.expect("an answer"),
            text: String::new(),
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header(header::COOKIE, &self.cookie).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }
}

/// What a page hears.
struct Events {
    answer: reqwest::Response,
    text: String,
}

impl Events {
    /// Waits for a word, and gives what came up to it.
    async fn until(&mut self, word: &str) {
        while !self.text.contains(word) {
            let chunk = self.answer.chunk().await.expect("a stream").expect("more of it");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
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
    check(
        &page,
        &[
            "data-live",
            "data-topics=\"log:1000000\"",
            "&lt;u&gt;test&lt;/u&gt;",
            "Nothing written yet",
        ],
        &["<u>"],
    );

    // It is said that the log has grown; the lines are asked for.
    let mut events = admin.events("log:1000000").await;
    events.until("\"lines\":0").await;
    let begun = "<img src=x onerror=alert(1)>\u{1b}[31mred\n";
    runner.log(&lease, 1, 0, begun).await.expect("logged");
    events.until("\"lines\":1").await;
    drop(events);
    let (status, rows) = admin.get(&format!("{LOG}/lines?from=0")).await;
    assert_eq!(status, 200);
    check(
        &rows,
        &[
            "id=\"s1:1\"",
            "&lt;img src=x",
            "class=\"f1\"",
            "data-until=\"1\"",
            "data-live",
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
            "data-focus=\"s1:2001\"",
            "id=\"s1:1989\"",
            "<li id=\"s1:2001\" class=\"e1\"",
            "Next error",
            "data-errors=\"1:2001\"",
            "Earlier lines",
            "&lt;b&gt;it broke",
        ],
        &["<b>it broke", "data-live", "data-topics", "id=\"s1:1988\""],
    );
    for (query, first, last) in [
        ("?from=0", 1, 1000),
        ("?step=1", 1, 1000),
        ("?line=1200", 700, 1699),
        ("?line=1200-1210", 700, 1699),
        ("?before=1200", 201, 1200),
        ("/lines?before=40", 1, 40),
        ("?from=2400", 2401, 2500),
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
    // The look of a line goes on in the next window, and what is looked for is marked.
    let (_, rows) = admin.get(&format!("{LOG}/lines?from=1500")).await;
    check(&rows, &["<span class=\"f1\">line 1501</span>"], &[]);
    let (_, page) = admin.get(&format!("{LOG}?q=line+12.2&line=1500")).await;
    check(&page, &["Not found"], &["<mark>"]);
    let (_, page) = admin.get(&format!("{LOG}?q=%2Fline+12.2%2F&line=1241")).await;
    check(
        &page,
        &[
            "<mark><span class=\"f1\">line 1242</span></mark>",
            "<b>5</b> of 10",
            "line=1252#s1:1252",
            "line=1232#s1:1232",
        ],
        &[],
    );
    let (status, page) = admin.get(&format!("{LOG}?q=%2F%28%3Ca%2F")).await;
    assert_eq!(status, 200);
    check(
        &page,
        &["Not a regular expression: unclosed group", "value=\"/(&lt;a/\""],
        &["<a/"],
    );
    let (_, map) = admin.get(&format!("{LOG}/map")).await;
    check(&map, &["y=\"80.0%\"", "line=2001#s1:2001"], &["<b>"]);
    let (_, whole) = admin.get(&format!("{LOG}/lines/2001.txt")).await;
    assert_eq!(whole, "##[error]<b>it broke</b>");
    for line in ["0.txt", "9999.txt", "x.txt", "1"] {
        assert_eq!(admin.get(&format!("{LOG}/lines/{line}")).await.0, 404, "{line}");
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
    for end in ["", "/lines?from=0&attempt=9", "/log.txt", "/map", "/lines/1.txt"] {
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
    let mut events = admin.events("log:1000000%0Alog:77%0Arun:1").await;
    events.until("\"id\":\"steps\"").await;
    // What is not there is said, and the others go on.
    events.until("{\"topic\":\"log:77\"}").await;
    let Events {
        answer: mut events,
        text,
    } = events;
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

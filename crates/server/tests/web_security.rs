//! What no page may allow, asked of every route there is: the routes are read from the source, so a new one is asked
//! too.

mod support;

use reqwest::{Method, header};
use serde_json::json;
use std::path::Path;
use support::World;
use support::reader::{Reader, read};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Fields or headers.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A path with its parameters filled in, and what it takes.
#[derive(Debug)]
struct Route {
    path: String,
    get: bool,
    post: bool,
    /// Of one project.
    project: bool,
}

/// All routes of the pages, as their modules write them.
fn routes() -> Vec<Route> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let mut routes = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a module");
            for rest in text.split(".route(").skip(1) {
                let written = rest.split('"').nth(1).expect("a path");
                let end = rest
                    .split(".route(")
                    .next()
                    .and_then(|rest| rest.split('\n').next());
                let methods = match end {
                    // The path stands on a line of its own.
                    Some("") => rest.split(")\n").next().unwrap_or_default(),
                    Some(line) => line,
                    None => "",
                };
                routes.push(Route {
                    path: filled(written),
                    get: methods.contains("get("),
                    post: methods.contains("post("),
                    project: written.starts_with("/{owner}/{name}"),
                });
            }
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    assert!(routes.iter().all(|route| route.get || route.post), "{routes:?}");
    assert!(
        routes.iter().filter(|route| route.post).count() > 15,
        "{routes:?}"
    );
    routes
}

fn filled(path: &str) -> String {
    let part = |part: &str| match part {
        "{owner}" => "o".to_owned(),
        "{name}" => "p".to_owned(),
        "{environment}" => "staging".to_owned(),
        other if other.starts_with('{') => "1".to_owned(),
        other => other.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// How many things were changed, by the audit log.
async fn changes(world: &World) -> usize {
    let rows = world.get("audit?limit=1000").await;
    let rows = rows.as_array().expect("rows");
    let changes = |row: &&serde_json::Value| {
        let action = row["action"].as_str().unwrap_or_default();
        !action.starts_with("denied") && action != "audit.read"
    };
    rows.iter().filter(changes).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_form_is_taken_that_is_not_of_this_session_and_nothing_changes_on_get() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let (ana, other) = (
        Reader::new(&world, &world.admin).await,
        Reader::new(&world, &world.admin).await,
    );
    let before = changes(&world).await;
    for route in routes() {
        let path = route.path.as_str();
        if route.get && path != "/-/events" {
            let _ = ana.get(path).await;
        }
        if !route.post || path == "/login" {
            continue;
        }
        if !route.get {
            assert_eq!(ana.get(path).await.status, 405, "GET {path}");
        }
        let ours = ("csrf", ana.csrf.as_str());
        let cases: [(&str, Pairs<'_>, Pairs<'_>); 5] = [
            ("no word", &[], &[]),
            ("another session's word", &[("csrf", other.csrf.as_str())], &[]),
            ("another site", &[ours], &[("sec-fetch-site", "cross-site")]),
            ("a neighbour's site", &[ours], &[("sec-fetch-site", "same-site")]),
            ("a foreign origin", &[ours], &[("origin", "https://evil.example")]),
        ];
        for (what, fields, headers) in cases {
            let answer = ana.send(Method::POST, path, fields, headers).await;
            assert_eq!(answer.status().as_u16(), 403, "{path} with {what}");
            check_headers(&answer, path);
        }
    }
    assert_eq!(changes(&world).await, before, "something was changed");
    let fields = [("token", world.admin.as_str())];
    let headers = [("sec-fetch-site", "cross-site")];
    let cross = ana.send(Method::POST, "/login", &fields, &headers).await;
    assert_eq!(cross.status().as_u16(), 403);
}

fn check_headers(answer: &reqwest::Response, path: &str) {
    let headers = answer.headers();
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let policy = text("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("require-trusted-types-for 'script'"),
        "{path}: {policy}"
    );
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(text("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(text("referrer-policy"), "same-origin", "{path}");
    assert_eq!(text("access-control-allow-origin"), "", "{path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_shows_to_each_reader_what_is_theirs() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let body = json!({"owner": "o", "name": "q"});
    world.send(Method::POST, "projects", body).await;
    let body = json!({"name": "eve", "kind": "person", "project": "o/q",
        "scopes": ["admin", "read", "write", "deploy", "secrets"]});
    let eve = world.send(Method::POST, "tokens", body).await;
    let eve = Reader::new(&world, eve["token"].as_str().expect("a token")).await;
    let kim = Reader::new(&world, &world.token("kim", "person", &["read"]).await).await;
    let ana = Reader::new(&world, &world.admin).await;
    let nobody = Reader::stranger(&world);
    let before = changes(&world).await;
    for route in routes() {
        let path = route.path.as_str();
        if path.starts_with("/-/assets") || path == "/login" {
            continue;
        }
        if route.get {
            let answer = nobody.send(Method::GET, path, &[], &[]).await;
            check_headers(&answer, path);
            let answer = read(answer).await;
            assert!(
                answer.status == 303 && answer.location.starts_with("/login"),
                "{path}: {}",
                answer.status
            );
        }
        if route.post {
            let answer = nobody.post(path, &[]).await;
            assert!(matches!(answer.status, 303 | 403), "{path}: {}", answer.status);
        }
        if route.project {
            let fields = [
                ("name", "A"),
                ("value", "long enough"),
                ("environment", "x"),
                ("approvals", "1"),
                ("wait_timer_s", "0"),
            ];
            if route.get {
                assert_eq!(eve.get(path).await.status, 404, "eve GET {path}");
            }
            if route.post {
                let status = eve.post(path, &fields).await.status;
                assert!(matches!(status, 400 | 404), "eve POST {path}: {status}");
                let status = kim.post(path, &fields).await.status;
                assert!(
                    matches!(status, 400 | 403 | 404 | 409),
                    "kim POST {path}: {status}"
                );
            }
        } else if route.get && matches!(path, "/settings" | "/audit" | "/audit/export") {
            assert_eq!(ana.get(path).await.status, 200, "ana {path}");
            for reader in [&kim, &eve] {
                assert_eq!(reader.get(path).await.status, 403, "{path}");
            }
        }
    }
    assert_eq!(changes(&world).await, before, "something was changed");
    // What may not be seen is told in the very words of what is not there.
    let (hidden, missing) = (eve.get("/o/p/settings").await, eve.get("/o/r/settings").await);
    assert_eq!(hidden.text.replace("o/p", "o/r"), missing.text);
    // Refusals are pages like others: with the reader's name and the way on.
    assert!(hidden.text.contains("Signed in as eve") && hidden.text.contains("aria-label=\"Pilotage\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_is_a_way_around_signing_in() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let address = world
        .url
        .strip_prefix("http://")
        .expect("an address")
        .replace("localhost", "127.0.0.1");
    let spellings = [
        "//settings",
        "/./settings",
        "/x/../settings",
        "/settings/",
        "/settings/.",
        "/settings;a",
        "/settings;.css",
        "/%73ettings",
        "/settings%2f",
        "/settings%00",
        "/SETTINGS",
        "/settings?/login",
        "/settings#/login",
        "/login/../settings",
        "/-/assets/../settings",
        "/-/assets/..%2fsettings",
        "/-/assets/x/..;/settings",
        "/o/p/settings",
        "/o/p/settings/",
        "/o//p/settings",
        "/o/./p/settings",
        "/o/p/settings;.js",
        "/o%2fp/settings",
        "/o/p%2fsettings",
        "/o/p/%73ettings",
        "/O/P/settings",
        "/o/p/settings%20",
        "/o/p/settings.json",
        "/o/p/settings?jsp=/login",
        "/audit/",
        "/audit/export",
        "/audit;x/export",
        "/runners/../audit",
        "/\\settings",
    ];
    for spelling in spellings {
        let mut stream = tokio::net::TcpStream::connect(&address)
            .await
            .expect("a connection");
        let head = format!("GET {spelling} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(
            matches!(status, "303" | "400" | "401" | "404" | "405"),
            "{spelling}: {answer}"
        );
        if status == "303" {
            assert!(
                answer.to_lowercase().contains("location: /login"),
                "{spelling}: {answer}"
            );
        }
        assert!(!answer.contains("secret"), "{spelling}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_hashed_and_end_in_every_way_they_should() {
    let world = World::new().await;
    let dead = |reader: Reader| async move { reader.get("/me").await.status == 303 };
    let ana = Reader::new(&world, &world.admin).await;
    let secret = ana.cookie.split('=').nth(1).expect("a value").to_owned();
    for file in ["pilotage.db", "pilotage.db-wal"] {
        let bytes = std::fs::read(world.data().join(file)).unwrap_or_default();
        let there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!there, "the cookie stands in {file}");
    }
    // Signing in again ends the session that came with it.
    let answer = ana
        .send(Method::POST, "/login", &[("token", &world.admin)], &[])
        .await;
    let set = answer.headers()[header::SET_COOKIE]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains(&secret));
    assert!(dead(ana).await, "by signing in again");

    let ana = Reader::new(&world, &world.admin).await;
    let second = Reader::new(&world, &world.admin).await;
    assert!(
        ana.get("/me").await.text.contains("127.0.0.1"),
        "where it was begun"
    );
    assert_eq!(ana.post("/me/sessions/end", &[]).await.status, 303);
    assert!(dead(second).await, "by another session");
    assert_eq!(ana.post("/logout", &[]).await.status, 303);
    assert!(dead(ana).await, "by signing out");
    let audit = world.get("audit?limit=1000").await.to_string();
    assert!(audit.contains("session.end"), "{audit}");

    let token = world.token("kim", "person", &["read"]).await;
    let kim = Reader::new(&world, &token).await;
    let tokens = world.get("tokens").await;
    let id = tokens.as_array().expect("tokens")[0]["id"]
        .as_i64()
        .expect("an id");
    let gone = world
        .ask(
            Method::DELETE,
            &format!("/api/v1/tokens/{id}"),
            &world.admin,
            None,
        )
        .await;
    assert_eq!(gone.0, 204);
    assert!(dead(kim).await, "with its token");

    let ana = Reader::new(&world, &world.admin).await;
    world.clock.advance(15 * 24 * 3600 * 1000);
    assert!(dead(ana).await, "with time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_held_up_and_denied_changes_are_recorded() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let kim = Reader::new(&world, &world.token("kim", "person", &["read"]).await).await;
    let fields = [("name", "KEY"), ("value", "long enough")];
    assert_eq!(kim.post("/o/p/settings/secrets", &fields).await.status, 403);
    let stranger = Reader::stranger(&world);
    let mut answers = Vec::new();
    for n in 0..11 {
        let token = format!("pat_{n}");
        answers.push(
            read(
                stranger
                    .send(Method::POST, "/login", &[("token", &token)], &[])
                    .await,
            )
            .await,
        );
    }
    assert!(
        answers[..10]
            .iter()
            .all(|a| a.status == 401 && a.text == answers[0].text)
    );
    assert_eq!(answers[10].status, 429);
    let held = stranger
        .send(Method::POST, "/login", &[("token", &world.admin)], &[])
        .await;
    assert_eq!(held.status().as_u16(), 429, "no token is looked at");
    let seconds: u64 = held.headers()[header::RETRY_AFTER]
        .to_str()
        .expect("text")
        .parse()
        .expect("a number");
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Programs with a right token go on meanwhile.
    let audit = world.get("audit?limit=1000").await.to_string();
    for part in [
        "\"denied\"",
        "/o/p/settings/secrets",
        "lacks the scope `secrets`",
        "kim (token",
        "127.0.0.1",
    ] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
    world.clock.advance(61_000);
    let _ana = Reader::new(&world, &world.admin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_and_queries_stay_text() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let corpus = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg onload=alert(1)>",
        "</title><script>alert(1)//",
        "javascript:alert(1)",
        "<!--<script>alert(1)",
        "{{7*7}}<b>",
        "&lt;script&gt;alert(1)",
        "\u{202e}<i>gnp",
        "]]><script>alert(1)",
    ];
    for (n, hostile) in corpus.iter().enumerate() {
        let name = format!("V{n}");
        let fields = [("name", name.as_str()), ("value", hostile), ("environment", "")];
        assert_eq!(ana.post("/o/p/settings/variables", &fields).await.status, 303);
        let _ = ana
            .post(
                "/settings/tokens",
                &[("name", hostile), ("kind", "runner"), ("days", "30")],
            )
            .await;
        let fields = [
            ("new", "yes"),
            ("environment", hostile),
            ("reviewers", hostile),
            ("approvals", "1"),
            ("wait_timer_s", "0"),
        ];
        let _ = ana.post("/o/p/settings/environments", &fields).await;
        let query = serde_urlencoded::to_string([
            ("q", hostile),
            ("to", hostile),
            ("secret", hostile),
            ("scope", hostile),
        ])
        .expect("a query");
        for path in [
            "/audit",
            "/login",
            "/o/p/settings",
            "/runs",
            "/settings",
            "/runners",
            "/me",
            "/nowhere",
        ] {
            let page = ana.get(&format!("{path}?{query}")).await.text;
            for bad in [
                "<script>alert",
                "<img src=x",
                "<svg onload",
                "href=\"javascript:",
                "<i>gnp",
                "<b>\"",
            ] {
                assert!(!page.contains(bad), "{path} with {hostile}: {bad}");
            }
        }
    }
    for to in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
    ] {
        let answer = ana
            .send(
                Method::POST,
                "/login",
                &[("token", &world.admin), ("to", to)],
                &[],
            )
            .await;
        assert_eq!(read(answer).await.location, "/", "{to}");
    }
}

//! Attacks on the pages and what programs ask, each with the test that it fails. What is asked of every route there is
//! stands in `web_security.rs`; the rest of the list, and where it is tested:
//!
//! | attack | test |
//! |---|---|
//! | a form of another site, of another session, without its word; a change by GET | `web_security::no_form_is_taken_that_is_not_of_this_session_and_nothing_changes_on_get` |
//! | another site asks for live streams, pages, the API (with a password that the browser remembers) | [`other_sites_lead_people_here_and_nothing_more`] |
//! | markup in names, queries, logs, ANSI, links of logs (`javascript:`) | `web_security::hostile_names_and_queries_stay_text`, `pages::hostile`, `ui::ansi::tests` |
//! | signs that turn the direction of text | [`no_name_turns_the_text_behind_it`] |
//! | escapes to the terminal of `pilotage` | `cli::render::text::tests`, `cli::render::style::tests` |
//! | markup that is opened from here: artifacts, raw logs; framing | [`every_answer_forbids_what_it_does_not_need`] |
//! | another project's things by number, another's words over the path's | `web_security::each_route_shows_to_each_reader_what_is_theirs`, `rest::nothing_is_done_without_a_token_that_may`, [`a_number_of_another_project_leads_nowhere`] |
//! | other spellings of a path | `web_security::no_spelling_of_a_path_is_a_way_around_signing_in` |
//! | `@file` and paths in fields | [`no_field_reads_a_file_or_sets_a_header`] |
//! | an open redirect after signing in | `web_security::hostile_names_and_queries_stay_text`, `web::session::tests` |
//! | lines in headers | [`no_field_reads_a_file_or_sets_a_header`] |
//! | a session that somebody else knows; its cookie; its end, live streams included | `web_security::sessions_are_hashed_and_end_in_every_way_they_should`, [`a_session_is_its_own_and_takes_its_streams_along`] |
//! | a token in an address, in the database | [`a_token_in_an_address_is_none`] |
//! | guessing tokens; keeping others out by it; telling tokens apart by answers | `web_security::wrong_tokens_are_held_up_and_denied_changes_are_recorded`, `attempts::tests`, [`answers_do_not_tell_tokens_apart`] |
//! | many streams of one session | [`a_session_holds_so_many_streams`] |
//! | many connections of one address; slow heads and bodies; large heads and cookies | `connection::tests` |
//! | large forms; packed bodies that grow | [`bodies_are_small_and_not_unpacked`] |
//! | patterns that take for ever | [`no_query_takes_long`] |
//! | requests to inner addresses by notifications: redirects, names, spellings | `outgoing::tests`, `outgoing::address::tests` |
//! | logs without end, lines without end | `store::log::tests`, `cli::e2e`, `web_log` |
//! | secrets in logs, in every encoding and split | `trust::mask` |
//! | secrets at rest: exchanged, with another key | `trust::seal` |
//!
//! Signing in by OpenID Connect (36) is not there.

mod support;

use reqwest::{Method, Response, header};
use serde_json::json;
use std::time::{Duration, Instant};
use support::World;
use support::reader::{FORM, Reader, read};

const WORKFLOW: &str = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo a\n";

fn text<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A request of a program, with a token that may do everything.
async fn program(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = world.client.request(method, format!("{}{path}", world.url));
    request = request.bearer_auth(&world.admin);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_lead_people_here_and_nothing_more() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    for site in ["cross-site", "same-site"] {
        for path in [
            "/-/events?topics=dashboard",
            "/-/palette",
            "/",
            "/o/p/runs",
            "/login",
            "/nowhere",
        ] {
            for mode in ["cors", "no-cors", "same-origin", "websocket"] {
                let headers = [
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", mode),
                    ("origin", "https://evil.example"),
                ];
                let answer = ana.send(Method::GET, path, &[], &headers).await;
                assert_eq!(answer.status(), 403, "{path} by {mode} from {site}");
                assert_eq!(text(&answer, "access-control-allow-origin"), "", "{path}");
            }
        }
        let headers = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate")];
        assert_eq!(
            ana.send(Method::GET, "/o/p/runs", &[], &headers).await.status(),
            200,
            "a link"
        );
        // A browser may send a password along that a person once gave it.
        for (method, path) in [
            (Method::POST, "runs/1/cancel"),
            (Method::DELETE, "runs/1"),
            (Method::POST, "projects"),
        ] {
            let answer = program(
                &world,
                method.clone(),
                &format!("/api/v1/{path}"),
                &[("sec-fetch-site", site)],
            )
            .await;
            assert_eq!(answer.status(), 403, "{method} {path}");
        }
        let answer = program(
            &world,
            Method::POST,
            "/o/p.git/git-receive-pack",
            &[("sec-fetch-site", site)],
        )
        .await;
        assert_eq!(answer.status(), 403);
    }
    let foreign = [("origin", "https://evil.example")];
    assert_eq!(
        program(&world, Method::DELETE, "/api/v1/runs/1", &foreign)
            .await
            .status(),
        403
    );
    assert_eq!(
        program(&world, Method::DELETE, "/api/v1/runs/1", &[])
            .await
            .status(),
        404,
        "a program"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_forbids_what_it_does_not_need() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("first");
    checkout.push(&["main"]);
    let ana = Reader::new(&world, &world.admin).await;
    let style = ana.get("/").await.text;
    let style = style
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let style = style.expect("a style sheet").to_owned();
    let stranger = Reader::stranger(&world);
    for (reader, method, path, status) in [
        (&ana, Method::GET, "/", 200),
        (&ana, Method::GET, style.as_str(), 200),
        (&ana, Method::GET, "/-/assets/x/nothing.js", 404),
        (&ana, Method::GET, "/nowhere", 404),
        (&ana, Method::GET, "/o/p/runs/99", 404),
        (&ana, Method::GET, "/o/p/runs/x", 400),
        (&ana, Method::GET, "/logout", 405),
        (&ana, Method::POST, "/logout", 403),
        (&ana, Method::PUT, "/", 405),
        (&stranger, Method::GET, "/login", 200),
        (&stranger, Method::GET, "/", 303),
        (&stranger, Method::GET, "/api/v1/status", 401),
        (&stranger, Method::GET, "/api/v1/nowhere", 404),
        (
            &stranger,
            Method::GET,
            "/o/p.git/info/refs?service=git-upload-pack",
            401,
        ),
        (&stranger, Method::POST, "/api/v1/runners/lease", 404),
    ] {
        let answer = reader.send(method.clone(), path, &[], &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        check_headers(&answer, path);
    }
    for path in [
        "/api/v1/status",
        "/api/v1/runs/1",
        "/api/v1/jobs/1000000/log",
        "/api/v1/audit/export",
    ] {
        let answer = program(&world, Method::GET, path, &[]).await;
        check_headers(&answer, path);
        assert!(
            text(&answer, "content-security-policy").contains("sandbox"),
            "{path}"
        );
        assert!(text(&answer, "cache-control").contains("no-store"), "{path}");
    }
    // What is opened from a page, whoever wrote it, is a file, and runs nothing.
    let answer = ana
        .send(Method::GET, "/o/p/runs/1/jobs/1000000/log.txt", &[], &[])
        .await;
    assert_eq!(answer.status(), 200);
    check_headers(&answer, "log.txt");
    assert!(text(&answer, "content-disposition").starts_with("attachment"));
    assert!(text(&answer, "content-type").starts_with("text/plain"));
    assert!(text(&answer, "content-security-policy").contains("sandbox"));
}

fn check_headers(answer: &Response, path: &str) {
    let policy = text(answer, "content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(text(answer, "x-content-type-options"), "nosniff", "{path}");
    assert_eq!(
        text(answer, "cross-origin-resource-policy"),
        "same-origin",
        "{path}"
    );
    assert_eq!(text(answer, "access-control-allow-origin"), "", "{path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_another_project_leads_nowhere() {
    let world = World::new().await;
    let checkout = world.project().await;
    checkout.write(".github/workflows/ci.yml", WORKFLOW);
    checkout.commit("first");
    checkout.push(&["main"]);
    world
        .send(Method::POST, "projects", json!({"owner": "o", "name": "q"}))
        .await;
    let ana = Reader::new(&world, &world.admin).await;
    assert_eq!(ana.get("/o/p/runs/1").await.status, 200);
    let before = world.get("runs/1").await;
    for path in [
        "",
        "/jobs/1000000",
        "/jobs/1000000/lines",
        "/jobs/1000000/log.txt",
    ] {
        for place in [
            "/o/q/runs/1",
            "/o/r/runs/1",
            "/q/p/runs/1",
            "/o/p/runs/2",
            "/o/p/runs/-1",
            "/o/p/runs/9223372036854775807",
        ] {
            let status = ana.get(&format!("{place}{path}")).await.status;
            assert_eq!(status, 404, "{place}{path}");
        }
    }
    for path in ["cancel", "rerun", "approvals"] {
        let fields = [
            ("which", "all"),
            ("environment", "x"),
            ("sha", "x"),
            ("approved", "true"),
            ("reason", "because"),
        ];
        let status = ana.post(&format!("/o/q/runs/1/{path}"), &fields).await.status;
        assert!(matches!(status, 404 | 405), "{path}: {status}");
    }
    assert_eq!(world.get("runs/1").await, before, "nothing was changed");
    // Words of a body do not win over those of the path.
    let body = json!({"owner": "o", "name": "q", "value": "x", "project": "o/p"});
    let answer = world
        .ask(
            Method::PUT,
            "/api/v1/projects/o/q/variables/A",
            &world.admin,
            Some(body),
        )
        .await;
    assert!(matches!(answer.0.as_u16(), 204 | 400 | 422), "{answer:?}");
    assert_eq!(world.get("projects/o/p/variables").await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_field_reads_a_file_or_sets_a_header() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    for hostile in [
        "@/etc/passwd",
        "file:///etc/passwd",
        "../../../../etc/passwd",
        "a\r\nset-cookie: evil=1",
        "a\nx-evil: 1",
        "%0d%0ax-evil:%201",
    ] {
        let fields: Vec<(&str, &str)> = [
            "to",
            "token",
            "theme",
            "name",
            "value",
            "environment",
            "session",
            "reason",
            "path",
            "q",
        ]
        .map(|name| (name, hostile))
        .into();
        for path in [
            "/login",
            "/me/theme",
            "/me/sessions/end",
            "/o/p/settings/variables",
            "/o/p/settings/environments",
            "/settings/tokens",
            "/settings/projects",
        ] {
            let mut all = vec![("csrf", ana.csrf.as_str())];
            all.extend_from_slice(&fields);
            let answer = ana.send(Method::POST, path, &all, &[]).await;
            check_harmless(answer, path, hostile).await;
        }
        let query = serde_urlencoded::to_string(&fields).expect("a query");
        for path in [
            "/",
            "/login",
            "/runs",
            "/o/p/runs",
            "/o/p/settings",
            "/search",
            "/audit",
            "/o/p/runs/@%2Fetc%2Fpasswd",
        ] {
            let answer = ana.send(Method::GET, &format!("{path}?{query}"), &[], &[]).await;
            check_harmless(answer, path, hostile).await;
        }
    }
    for path in [
        "/%0d%0ax-evil:%201",
        "/o/p%0d%0aset-cookie:evil/runs",
        "/login?to=%2F%0d%0ax-evil:1",
    ] {
        check_harmless(ana.send(Method::GET, path, &[], &[]).await, path, path).await;
    }
}

async fn check_harmless(answer: Response, path: &str, hostile: &str) {
    assert!(
        answer.headers().get("x-evil").is_none(),
        "{path} with {hostile:?}"
    );
    let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
    for cookie in cookies {
        assert!(
            !cookie.to_str().expect("text").contains("evil"),
            "{path} with {hostile:?}"
        );
    }
    assert!(
        !read(answer).await.text.contains("root:"),
        "{path} with {hostile:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_its_own_and_takes_its_streams_along() {
    let world = World::configured(|config| config.url = Some("https://ci.example".to_owned())).await;
    // A cookie that was there before becomes no session.
    let mut victim = Reader::stranger(&world);
    victim.cookie = "pilotage_session=chosen-by-somebody-else".to_owned();
    let answer = victim
        .send(Method::POST, "/login", &[("token", &world.admin)], &[])
        .await;
    let set = text(&answer, "set-cookie").to_owned();
    for part in [
        "pilotage_session=",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
        "Path=/",
    ] {
        assert!(set.contains(part), "{set}");
    }
    assert!(
        !set.contains("chosen") && !set.to_lowercase().contains("domain="),
        "{set}"
    );
    assert_eq!(victim.get("/me").await.status, 303, "the chosen one");

    let ana = Reader::new(&world, &world.admin).await;
    let mut stream = ana
        .send(Method::GET, "/-/events?topics=dashboard", &[], &[])
        .await;
    assert!(stream.chunk().await.expect("a stream").is_some());
    assert_eq!(ana.post("/logout", &[]).await.status, 303);
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    });
    assert!(ended.await.is_ok(), "the stream goes on after its session");
    let gone = ana
        .send(Method::GET, "/-/events?topics=dashboard", &[], &[])
        .await;
    assert_eq!(gone.status(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_holds_so_many_streams() {
    let world = World::new().await;
    let (ana, kim) = (
        Reader::new(&world, &world.admin).await,
        Reader::new(&world, &world.admin).await,
    );
    let path = "/-/events?topics=runners";
    let mut held = Vec::new();
    for n in 0..64 {
        let stream = ana.send(Method::GET, path, &[], &[]).await;
        assert_eq!(stream.status(), 200, "{n}");
        held.push(stream);
    }
    assert_eq!(ana.send(Method::GET, path, &[], &[]).await.status(), 429);
    assert_eq!(
        kim.send(Method::GET, path, &[], &[]).await.status(),
        200,
        "another session"
    );
    drop(held);
    let until = Instant::now() + Duration::from_secs(20);
    while ana.send(Method::GET, path, &[], &[]).await.status() != 200 {
        assert!(Instant::now() < until, "its places are not free again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_an_address_is_none() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let stranger = Reader::stranger(&world);
    for name in [
        "token",
        "access_token",
        "private_token",
        "api_key",
        "auth",
        "authorization",
        "pilotage_session",
    ] {
        let query = format!("{name}={}", world.admin);
        assert_eq!(
            stranger.get(&format!("/api/v1/status?{query}")).await.status,
            401,
            "{name}"
        );
        assert_eq!(stranger.get(&format!("/me?{query}")).await.status, 303, "{name}");
        let refs = format!("/o/p.git/info/refs?service=git-upload-pack&{query}");
        assert_eq!(stranger.get(&refs).await.status, 401, "{name}");
    }
    // Nothing that lets anybody in stands in the database.
    for file in ["pilotage.db", "pilotage.db-wal"] {
        let bytes = std::fs::read(world.data().join(file)).unwrap_or_default();
        let there = bytes
            .windows(world.admin.len())
            .any(|part| part == world.admin.as_bytes());
        assert!(!there, "a token stands in {file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_tell_tokens_apart() {
    let world = World::new().await;
    let runner = world.token("r", "runner", &[]).await;
    let over = world.token("kim", "person", &["read"]).await;
    let id = world.get("tokens").await[0]["id"].as_i64().expect("an id");
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(world.ask(Method::DELETE, &path, &world.admin, None).await.0, 204);
    let mut near = world.admin.clone();
    near.pop();
    let stranger = Reader::stranger(&world);
    let mut answers = Vec::new();
    for token in [over.as_str(), runner.as_str(), near.as_str(), "x", ""] {
        let began = Instant::now();
        let answer = stranger
            .send(Method::POST, "/login", &[("token", token)], &[])
            .await;
        assert!(
            began.elapsed() >= Duration::from_millis(100),
            "all are held up alike"
        );
        assert_eq!(text(&answer, "set-cookie"), "");
        let answer = read(answer).await;
        answers.push((answer.status, answer.text));
    }
    assert!(
        answers
            .iter()
            .all(|answer| *answer == answers[0] && answer.0 == 401),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_small_and_not_unpacked() {
    let world = World::new().await;
    let ana = Reader::new(&world, &world.admin).await;
    let large = "x".repeat(3 * 1024 * 1024);
    for path in ["/login", "/me/theme", "/settings/tokens"] {
        let fields = [("csrf", ana.csrf.as_str()), ("token", large.as_str())];
        assert_eq!(
            ana.send(Method::POST, path, &fields, &[]).await.status(),
            413,
            "{path}"
        );
    }
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("a", "b"), 100_000).collect();
    let began = Instant::now();
    assert_eq!(
        ana.send(Method::POST, "/me/theme", &many, &[]).await.status(),
        403,
        "no word among them"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    // The first bytes of a packed megabyte: they are no form and no JSON, and nobody unpacks them.
    let packed = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &[0xed; 1000]].concat();
    for (path, kind) in [("/login", FORM), ("/api/v1/projects", "application/json")] {
        let request = world
            .client
            .post(format!("{}{path}", world.url))
            .bearer_auth(&world.admin);
        let request = request
            .header(header::CONTENT_ENCODING, "gzip")
            .header(header::CONTENT_TYPE, kind);
        let answer = request.body(packed.clone()).send().await.expect("an answer");
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_takes_long() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let long = "a".repeat(20_000);
    for query in [
        "(a+)+$",
        "(.*)*(.*)*(.*)*x",
        "[[[[[[",
        "%_%_%_%_%",
        "actor:*:*:*",
        "is:is:is:",
        "\u{0}",
        "\"",
        long.as_str(),
    ] {
        let query = serde_urlencoded::to_string([("q", query)]).expect("a query");
        for path in ["/", "/search", "/runs", "/o/p/runs", "/audit"] {
            let began = Instant::now();
            let answer = ana.send(Method::GET, &format!("{path}?{query}"), &[], &[]).await;
            let status = answer.status().as_u16();
            assert!(matches!(status, 200 | 400), "{path}: {status}");
            assert!(
                began.elapsed() < Duration::from_secs(3),
                "{path} took {:?}",
                began.elapsed()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_turns_the_text_behind_it() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let fields = [
        ("name", "TURNED"),
        ("value", "a\u{202e}b\u{2066}c"),
        ("environment", ""),
    ];
    assert_eq!(ana.post("/o/p/settings/variables", &fields).await.status, 303);
    for path in [
        "/o/p/settings",
        "/search?q=a%E2%80%AEb",
        "/?q=a%E2%80%AEb",
        "/audit?q=a%E2%80%AEb",
    ] {
        let page = ana.get(path).await.text;
        assert!(!page.contains(['\u{202e}', '\u{2066}']), "{path}");
        assert!(page.contains("a\u{fffd}b"), "{path}");
    }
}

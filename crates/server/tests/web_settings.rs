//! The settings of a project over real HTTP: what they show, to whom, and what their forms do.

mod support;

use pilotage_api::runner::Conclusion;
use reqwest::{Method, header};
use support::World;
use support::reader::{Reader, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_set_and_never_shown_and_variables_and_rules_are() {
    let world = World::new().await;
    let _checkout = world.project().await;
    let ana = Reader::new(&world, &world.admin).await;
    let settings = "/o/p/settings";
    let saved = ana
        .post(
            &format!("{settings}/environments"),
            &[
                ("new", "yes"),
                ("environment", "production"),
                ("branches", "main\n\nrelease/*"),
                ("reviewers", "bo"),
                ("approvals", "1"),
                ("wait_timer_s", "30"),
                ("guard_required", "yes"),
            ],
        )
        .await;
    assert_eq!((saved.status, saved.location.as_str()), (303, "/o/p/settings#en"));
    for (name, value, environment) in [("key", "the-hidden-value", "production"), ("SHORT", "abc", "")] {
        let fields = [("name", name), ("value", value), ("environment", environment)];
        let set = ana.post(&format!("{settings}/secrets"), &fields).await;
        assert_eq!(set.status, 303, "{}", set.text);
    }
    let fields = [("name", "LEVEL"), ("value", "<i>info"), ("environment", "")];
    assert_eq!(
        ana.post(&format!("{settings}/variables"), &fields).await.status,
        303
    );

    let page = ana.get(settings).await.text;
    for shown in [
        "<code>KEY</code>",
        "too short to be masked",
        "of which 1 want a look",
        "<code>&lt;i&gt;info</code>",
        "only from main, release/*; 1 approval of bo; waits 30 s; guard required",
        "no use seen yet",
        "main, release/*</td>",
    ] {
        assert!(page.contains(shown), "{shown} is not on {page}");
    }
    assert!(!page.contains("the-hidden-value") && !page.contains("value=\"abc\""));
    let rotate = ana.get("/o/p/settings?secret=KEY&scope=production").await.text;
    assert!(rotate.contains("Set KEY") && !rotate.contains("the-hidden-value"));

    // A refusal stands on the page, with what was written.
    let bad = ana
        .post(&format!("{settings}/secrets"), &[("name", "A-B"), ("value", "x")])
        .await;
    assert!(
        bad.status == 400 && bad.text.contains("value=\"A-B\""),
        "{}",
        bad.text
    );

    let fields = [("name", "SHORT"), ("environment", "")];
    assert_eq!(
        ana.post(&format!("{settings}/secrets/delete"), &fields)
            .await
            .status,
        303
    );
    assert!(!ana.get(settings).await.text.contains("SHORT"));

    // Who may only read sees names, and no form.
    let token = world.token("kim", "person", &["read"]).await;
    let kim = Reader::new(&world, &token).await;
    let page = kim.get(settings).await.text;
    assert!(page.contains("<code>KEY</code>") && page.contains("this token lacks the scope"));
    assert!(!page.contains("action=\"/o/p/settings"), "{page}");
    let fields = [("name", "KEY"), ("value", "another value"), ("environment", "")];
    assert_eq!(
        kim.post(&format!("{settings}/secrets"), &fields).await.status,
        403
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shown_once_and_revoked_and_projects_are_made() {
    let world = World::new().await;
    let ana = Reader::new(&world, &world.admin).await;
    let made = ana
        .post(
            "/settings/projects",
            &[("owner", "o"), ("name", "p"), ("branch", "main")],
        )
        .await;
    assert_eq!((made.status, made.location.as_str()), (303, "/o/p/runs"));
    let again = ana
        .post(
            "/settings/projects",
            &[("owner", "o"), ("name", "p"), ("branch", "main")],
        )
        .await;
    assert!(again.status == 409 && again.text.contains("exists already"));

    let fields = [
        ("name", "kim"),
        ("kind", "person"),
        ("project", "o/p"),
        ("days", "30"),
    ];
    let none = ana.post("/settings/tokens", &fields).await;
    assert!(
        none.status == 400 && none.text.contains("tick one"),
        "{}",
        none.text
    );
    let mut fields = fields.to_vec();
    fields.push(("scope_read", "yes"));
    let made = ana.post("/settings/tokens", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let text = made
        .text
        .split("<pre class=\"one\"><code>")
        .nth(1)
        .expect("a token");
    let token = text.split('<').next().expect("its end").to_owned();
    let page = ana.get("/settings").await.text;
    assert!(page.contains("kim") && !page.contains(&token), "it is shown once");

    let kim = Reader::new(&world, &token).await;
    assert_eq!(kim.get("/o/p/settings").await.status, 200);
    for path in ["/settings", "/audit", "/audit/export", "/runners"] {
        assert_eq!(kim.get(path).await.status, 403, "{path}");
    }
    let id = page.split("/settings/tokens/").nth(1).expect("a form");
    let id = id.split('/').next().expect("an id");
    let path = format!("/settings/tokens/{id}/revoke");
    assert_eq!(ana.post(&path, &[]).await.status, 303);
    assert_eq!(
        kim.get("/o/p/settings").await.location,
        "/login?to=%2Fo%2Fp%2Fsettings"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_are_drained_and_the_audit_log_tells_it_with_a_whole_chain() {
    let world = World::new().await;
    let _runner = world.runner("<b>r", &["linux"]).await;
    let ana = Reader::new(&world, &world.admin).await;
    let page = ana.get("/runners").await.text;
    assert!(
        page.contains("0 of 4 slots busy") && page.contains("&lt;b&gt;r"),
        "{page}"
    );
    let drained = ana
        .post("/runners/drain", &[("runner", "<b>r"), ("drain", "yes")])
        .await;
    assert_eq!(drained.status, 303);
    assert!(ana.get("/runners").await.text.contains("Take jobs again"));

    let page = ana.get("/audit?q=actor%3Aadmin+action%3Arunner.drain").await.text;
    assert!(
        page.contains("chain verified") && page.contains("<code>runner.drain</code>"),
        "{page}"
    );
    assert!(!page.contains("<code>session.begin</code>"), "{page}");
    assert!(ana.get("/audit?q=nowhere").await.text.contains("No row fits"));
    let export = ana.get("/audit/export").await.text;
    assert!(export.lines().count() >= 3 && export.contains("runner.drain"));
}

const MINUTE: i64 = 60_000;

type Form = (&'static str, &'static [(&'static str, &'static str)], bool);

/// The forms of settings: what they take, and whether the token has to have been shown in the last ten minutes.
const FORMS: &[Form] = &[
    (
        "/o/p/settings/secrets",
        &[
            ("name", "NEW"),
            ("value", "the-hidden-value"),
            ("environment", ""),
        ],
        true,
    ),
    (
        "/o/p/settings/secrets/delete",
        &[("name", "KEY"), ("environment", "")],
        true,
    ),
    (
        "/o/p/settings/environments",
        &[
            ("environment", "staging"),
            ("approvals", "0"),
            ("wait_timer_s", "0"),
        ],
        true,
    ),
    (
        "/settings/tokens",
        &[("name", "kim"), ("kind", "person"), ("scope_read", "yes")],
        true,
    ),
    ("/settings/tokens", &[("name", "r"), ("kind", "runner")], true),
    ("/settings/tokens/2/revoke", &[], true),
    (
        "/o/p/settings/variables",
        &[("name", "LEVEL"), ("value", "info"), ("environment", "")],
        false,
    ),
    (
        "/o/p/settings/variables/delete",
        &[("name", "LEVEL"), ("environment", "")],
        false,
    ),
    (
        "/settings/projects",
        &[("owner", "o"), ("name", "q"), ("branch", "main")],
        false,
    ),
];

/// What stands in the audit log, but for what was refused.
async fn done(world: &World) -> Vec<String> {
    let rows = world.get("audit?limit=1000").await;
    let rows = rows.as_array().expect("rows").iter();
    let actions = rows.map(|row| row["action"].as_str().expect("an action").to_owned());
    actions
        .filter(|action| !action.starts_with("denied") && action != "audit.read")
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_tokens_and_rules_want_the_token_shown_a_short_while_ago() {
    let sources = [
        include_str!("../src/web/settings.rs"),
        include_str!("../src/web/server.rs"),
    ];
    let posts: usize = sources.iter().map(|text| text.matches(", post(").count()).sum();
    let paths: std::collections::BTreeSet<_> = FORMS.iter().map(|(path, ..)| path).collect();
    assert_eq!(posts, paths.len(), "each form of settings is in the table");

    let world = World::new().await;
    let _checkout = world.project().await;
    let body = serde_json::json!({"value": "the-old-value"});
    world.send(Method::PUT, "projects/o/p/secrets/KEY", body).await;
    let second = world.token("bo", "person", &["read"]).await;
    let ana = Reader::new(&world, &world.admin).await;
    world.clock.advance(11 * MINUTE);
    let before = done(&world).await;
    for (path, fields, needed) in FORMS.iter().filter(|(.., needed)| *needed) {
        let answer = ana.post(path, fields).await;
        assert_eq!((answer.status, *needed), (403, true), "{path}: {}", answer.text);
        let page = answer.text;
        for said in [
            "Confirm that it is you",
            "Nothing was changed",
            "action=\"/me/confirm\"",
        ] {
            assert!(page.contains(said), "{path}: {said} is not on {page}");
        }
        assert!(!page.contains("the-hidden-value"), "{path} sends a value back");
    }
    assert_eq!(done(&world).await, before, "nothing was changed");
    let denied = world.get("audit?limit=1000").await.to_string();
    assert!(
        denied.contains("did not show its token in the last 10 minutes"),
        "{denied}"
    );
    // Asked before any field is shown.
    for (path, form) in [
        ("/o/p/settings", "/o/p/settings/secrets\""),
        ("/settings", "/settings/tokens\""),
    ] {
        let page = ana.get(path).await.text;
        assert!(
            page.contains("Confirm that it is you") && !page.contains(form),
            "{page}"
        );
    }
    // Programs show their token each time.
    let body = serde_json::json!({"value": "the-new-value"});
    world.send(Method::PUT, "projects/o/p/secrets/KEY", body).await;

    let confirm = |reader: &Reader, token: &str, to: &str| {
        let fields = [
            ("csrf", reader.csrf.clone()),
            ("to", to.to_owned()),
            ("token", token.to_owned()),
        ];
        let reader = reader.clone();
        async move {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            reader.send(Method::POST, "/me/confirm", &fields, &[]).await
        }
    };
    for wrong in ["", "plt_wrong", second.as_str()] {
        let answer = confirm(&ana, wrong, "/settings").await;
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
        let answer = read(answer).await;
        assert!(answer.status == 401 && answer.text.contains("not the token that you signed in with"));
        assert_eq!(ana.post(FORMS[0].0, FORMS[0].1).await.status, 403);
    }
    let answer = confirm(&ana, &world.admin, "/o/p/settings?secret=KEY&scope=#secret-form").await;
    let cookie = answer.headers()[header::SET_COOKIE]
        .to_str()
        .expect("a cookie")
        .to_owned();
    assert_eq!(
        answer.headers()[header::LOCATION],
        "/o/p/settings?secret=KEY&scope=#secret-form"
    );
    assert_eq!(
        ana.get("/me").await.location,
        "/login?to=%2Fme",
        "the session before has ended"
    );
    let mut ana = ana;
    ana.cookie = cookie.split(';').next().expect("a pair").to_owned();
    let page = ana.get("/o/p/settings").await.text;
    ana.csrf = page
        .split("data-csrf=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a word")
        .to_owned();
    assert!(page.contains("action=\"/o/p/settings/secrets\""), "{page}");
    assert!(done(&world).await.contains(&"session.confirm".to_owned()));
    world.clock.advance(9 * MINUTE);
    for (path, fields, _) in FORMS {
        let answer = ana.post(path, fields).await;
        assert!(
            matches!(answer.status, 200 | 303),
            "{path}: {} {}",
            answer.status,
            answer.text
        );
    }

    for to in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
    ] {
        let path = format!("/me/confirm?{}", support::reader::form(&[("to", to)]));
        let page = ana.get(&path).await.text;
        assert!(page.contains("name=\"to\" value=\"/\""), "{to}: {page}");
    }
    let answer = confirm(&ana, &world.admin, "//evil.example").await;
    assert_eq!(answer.headers()[header::LOCATION], "/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_at_the_confirmation_is_held_up_like_signing_in() {
    let world = World::new().await;
    let ana = Reader::new(&world, &world.admin).await;
    world.clock.advance(11 * MINUTE);
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(
            ana.post("/me/confirm", &[("to", "/settings"), ("token", "plt_guess")])
                .await
                .status,
        );
    }
    assert_eq!((statuses[9], statuses[10]), (401, 429), "{statuses:?}");
    let right = ana
        .post(
            "/me/confirm",
            &[("to", "/settings"), ("token", world.admin.as_str())],
        )
        .await;
    assert_eq!(right.status, 429, "no token is looked at then");
    world.clock.advance(MINUTE);
    let right = ana
        .post(
            "/me/confirm",
            &[("to", "/settings"), ("token", world.admin.as_str())],
        )
        .await;
    assert_eq!((right.status, right.location.as_str()), (303, "/settings"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_which_run_was_given_a_secret_last() {
    let world = World::new().await;
    let checkout = world.project().await;
    for (name, environment) in [("KEY", ""), ("UNNAMED", "")] {
        let body = serde_json::json!({"value": "the-hidden-value", "environment": environment});
        world
            .send(Method::PUT, &format!("projects/o/p/secrets/{name}"), body)
            .await;
    }
    let job = "on: push\njobs:\n  a:\n    runs-on: linux\n    steps:\n      - run: ./a ${{ secrets.KEY }}\n";
    checkout.write(".github/workflows/ci.yml", job);
    checkout.commit("first");
    checkout.push(&["main"]);
    let runner = world.runner("r", &["linux"]).await;
    let lease = runner.lease().await;
    runner
        .finish(&lease, Conclusion::Success, 0)
        .await
        .expect("finished");
    let ana = Reader::new(&world, &world.admin).await;
    let page = ana.get("/o/p/settings").await.text;
    let (run, job) = (lease.spec.run_id, lease.job);
    let said = format!("<a href=\"/o/p/runs/{run}/jobs/{job}\">run #{run}</a>, <time");
    assert!(page.contains(&said), "{said} is not on {page}");
    assert_eq!(page.matches("no use seen yet").count(), 1, "{page}");
    let log = ana.get(&format!("/o/p/runs/{run}/jobs/{job}")).await;
    assert_eq!(log.status, 200);
}

/// The rows of the audit log that tell of reading it: who, what became of it, how, and what was looked for.
async fn readings(world: &World) -> Vec<String> {
    let exported = world
        .ask(Method::GET, "/api/v1/audit/export", &world.admin, None)
        .await
        .1;
    let text = exported.as_str().expect("lines");
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a row"));
    let rows = rows.filter(|row| row["subject"] == "the audit log");
    let field = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    rows.map(|row| {
        let who = field(&row["actor"]);
        let who = who.split(' ').next().unwrap_or_default();
        let detail = &row["detail"];
        format!(
            "{who} {} {} {}",
            field(&row["action"]),
            field(&detail["reading"]),
            field(&detail["filter"])
        )
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_the_audit_log_stands_in_it_once_an_hour_and_so_do_denied_attempts() {
    let world = World::new().await;
    let ana = Reader::new(&world, &world.admin).await;
    let page = ana.get("/audit?q=actor%3Abo").await.text;
    assert!(page.contains("chain verified"), "{page}");
    for query in ["", "?q=secret", "?before=3"] {
        let _ = ana.get(&format!("/audit{query}")).await;
    }
    let another = Reader::new(&world, &world.admin).await;
    let _ = another.get("/audit").await;
    let _ = world.get("audit?after=2").await;
    let _ = world.get("audit").await;
    let kim = world.token("kim", "person", &["read"]).await;
    let kim = Reader::new(&world, &kim).await;
    assert_eq!(kim.get("/audit").await.status, 403);
    assert_eq!(kim.get("/audit/export").await.status, 403);
    let noted = [
        "admin audit.read page actor:bo",
        "admin audit.read page ",
        "admin audit.read list after:2",
        "kim denied page ",
        "kim denied export ",
        "admin audit.read export ",
    ];
    assert_eq!(readings(&world).await, noted);
    world.clock.advance(60 * MINUTE);
    let _ = ana.get("/audit?q=again").await;
    assert_eq!(readings(&world).await[noted.len()], "admin audit.read page again");
    // Looked for by the page's own filter, they are found, and the chain holds with them.
    let page = ana.get("/audit?q=actor%3Akim+action%3Adenied").await.text;
    assert!(
        page.contains("this token lacks the scope") && page.contains("chain verified"),
        "{page}"
    );
}

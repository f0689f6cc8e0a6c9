//! The settings of a project over real HTTP: what they show, to whom, and what their forms do.

mod support;

use support::World;
use support::reader::Reader;

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

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

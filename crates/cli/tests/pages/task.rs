//! What people come for, and what it costs them in clicks and keys (design: the task table of the research on servers,
//! §2.5), with scripts and without.

use crate::judge::judge;
use crate::site::site;
use pilotage_testkit::browser::Page;

/// Starts a workflow of `shop/web` by hand and gives the run's path.
pub(crate) fn started(workflow: &str, fields: &[&str]) -> String {
    let mut arguments = vec!["workflow", "run", workflow, "--json"];
    for field in fields {
        arguments.extend(["-f", field]);
    }
    let said = site().client("shop/web", &arguments);
    let run: serde_json::Value = serde_json::from_str(&said).unwrap();
    format!("/shop/web/runs/{}", run["id"])
}

/// The newest run of a branch.
fn newest(project: &str, branch: &str) -> String {
    let said = site().client(project, &["run", "list", "--branch", branch, "--json"]);
    let runs: serde_json::Value = serde_json::from_str(&said).unwrap();
    format!("/{project}/runs/{}", runs[0]["id"])
}

/// From the page of the environment to the deployment that goes back: two clicks, and the reason.
fn rolled_back(page: &Page, reason: &str) {
    page.goto(&site().at("/shop/web/environments/staging"));
    page.follow("Roll back to");
    page.click("#why");
    page.type_text(reason);
    page.follow("Roll back to");
    assert!(
        page.path().starts_with("/shop/web/deployments/"),
        "{}",
        page.path()
    );
}

#[test]
fn a_release_is_rolled_back_in_two_clicks() {
    let page = site().admin();
    // From anywhere: the palette, Enter, and the click that confirms.
    page.press("Control+k");
    page.wait_for("#palette-0");
    page.type_text("roll staging");
    page.wait_for_text("#palette-0", "Roll back staging of shop/web");
    page.loading(|| page.press("Enter"));
    assert_eq!(page.path(), "/shop/web/environments/staging/rollback");

    rolled_back(&page, "Prices are wrong");
    page.wait_for_text("h1", "staging went back to");
    page.assert_quiet();
    page.goto(&site().at("/shop/web/environments/staging"));
    let said = page.text("main");
    for expected in ["rollback", "Prices are wrong", "Locked"] {
        assert!(
            said.to_lowercase().contains(&expected.to_lowercase()),
            "{expected}: {said}"
        );
    }

    // The same without scripts, forward again to where it was.
    page.javascript(false);
    page.follow("Unlock");
    rolled_back(&page, "They were right");
    page.javascript(true);
    page.wait_for_text("h1", "staging went back to");
    page.goto(&site().at("/shop/web/environments/staging"));
    page.follow("Unlock");
}

#[test]
fn an_environment_is_locked_without_scripts() {
    let page = site().admin();
    page.javascript(false);
    page.goto(&site().at("/evil/names/environments/safe"));
    page.follow("Unlock");
    page.click("a[href='#lock-form']");
    page.fill("#lock-reason", "Again, <b>by hand</b>");
    page.follow("#lock-form button");
    assert!(page.text("main").contains("Again, <b>by hand</b>"));
    site().client("evil/names", &["env", "unlock", "safe"]);
    let lock = ["env", "lock", "safe", "--reason", crate::site::HOSTILE];
    site().client("evil/names", &lock);
}

#[test]
fn a_failed_run_says_why_and_is_run_again() {
    let page = site().admin();
    let run = newest("shop/web", "red");
    page.goto(&site().at(&run));
    // No click to the line that failed, one to it in the log.
    assert!(page.text("#run-why").contains("expected 200, got 201"));
    page.follow("#run-why .e1 a");
    let line = page.text(":target");
    assert!(
        line.ends_with("expected 200, got 201") && !line.contains("echo"),
        "{line}"
    );
    let top: f64 = page.eval("document.querySelector(':target').getBoundingClientRect().top");
    assert!((0.0..900.0).contains(&top), "the line is on the screen: {top}");

    // The annotation leads there as well.
    page.goto(&site().at(&run));
    page.follow("#run-annotations a.end");
    assert_eq!(page.text(":target"), line);

    // One click to run it again; the page follows the new attempt.
    page.goto(&site().at(&run));
    page.follow("Rerun failed jobs");
    assert_eq!(page.path(), run);
    page.wait_for("button[value=failed]");
    assert!(page.text("main").contains("expected 200, got 201"));
    let (shown, _) = site().world.pilotage(&[
        "run",
        "view",
        run.rsplit('/').next().unwrap(),
        "--project",
        "shop/web",
    ]);
    assert!(shown.contains("attempt 2"), "{shown}");

    page.javascript(false);
    page.follow("Compare attempts");
    let said = page.text("#attempts");
    for words in ["went as before", "expected 200, got 201", "were not run again"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(judge(&page), Vec::<String>::new());
    page.follow("#attempts .said a");
    assert_eq!(page.text(":target"), line);
    page.goto(&site().at(&run));
    page.follow("Rerun failed jobs");
    assert!(page.text("main").contains("Cancel"), "{}", page.text("main"));
    page.assert_quiet();
}

/// By the form, from the list of workflows; what is refused stands on the form.
#[test]
fn a_run_is_started_by_the_form() {
    let page = site().admin();
    page.goto(&site().at("/shop/web"));
    page.follow("Workflows");
    page.follow("a[href='/shop/web/workflows/slow.yml']");
    page.fill("[name='input.lines']", "3");
    page.follow("Run on main");
    assert!(page.path().starts_with("/shop/web/runs/"), "{}", page.path());
    assert!(page.text("main").contains("workflow_dispatch"));
    page.wait_for_text("#run-head", "Rerun all jobs");
    page.wait_for_text("#run-timing", "first");

    page.javascript(false);
    page.goto(&site().at("/shop/web/workflows/slow.yml"));
    page.fill("[name='input.lines']", "2");
    page.follow("Run on main");
    assert!(page.path().starts_with("/shop/web/runs/"), "{}", page.path());
    page.assert_quiet();
}

/// The filter stays in the address, and the list follows what happens.
#[test]
fn a_list_of_runs_is_filtered_and_lives() {
    let page = site().admin();
    page.goto(&site().at("/shop/web/runs"));
    page.fill("#runs-q", "branch:red event:push");
    page.follow("Filter");
    assert_eq!(page.path(), "/shop/web/runs?q=branch%3Ared+event%3Apush");
    assert!(
        page.text("#runs").contains("Round prices up"),
        "{}",
        page.text("main")
    );
    page.goto(&site().at("/shop/web/runs?q=workflow:slow.yml"));
    page.eval::<bool>("globalThis.same = true");
    let run = started("slow.yml", &["lines=1"]);
    let id = run.rsplit('/').next().unwrap_or_default();
    page.wait_for_text("#runs", &format!("#{id}"));
    assert!(page.eval::<bool>("globalThis.same"), "it was not loaded again");
    page.assert_quiet();
}

#[test]
fn a_run_changes_under_the_eyes_and_is_cancelled_in_two_clicks() {
    let page = site().admin();
    let run = started("slow.yml", &["lines=20"]);
    page.goto(&site().at(&run));
    page.eval::<bool>("globalThis.same = true");
    page.wait_for_text("#run-head", "Rerun all jobs");
    assert!(page.eval::<bool>("globalThis.same"), "it was not loaded again");
    let words = page.text("#run-head .meta");
    assert!(words.contains("passed"), "{words}");

    let run = started("slow.yml", &["lines=2000"]);
    page.goto(&site().at(&run));
    page.click("Cancel…");
    page.follow("Cancel run");
    page.wait_for_text("#run-head .meta", "cancelled");
    page.wait_for_text("#run-head", "Rerun all jobs");
    page.assert_quiet();
}

/// The log is complete when it is opened in the middle, and grows without a gap and without a line twice.
#[test]
fn a_log_grows_while_it_is_read() {
    let page = site().admin();
    let run = started("slow.yml", &["lines=60"]);
    page.goto(&site().at(&run));
    page.follow("first");
    page.eval::<bool>("globalThis.same = true");
    page.wait_for_text("#lines", "line 60");
    assert!(page.eval::<bool>("globalThis.same"), "it was not loaded again");
    let lines: Vec<u32> = page.eval(
        "[...document.querySelectorAll('#lines li')].map((e) => /(?:^|\\s)line (\\d+)$/.exec(e.innerText)).filter(Boolean).map((m) => Number(m[1]))",
    );
    assert_eq!(lines, (1..=60).collect::<Vec<u32>>());
    page.assert_quiet();
}

/// Each page that a reader needs says the same without scripts.
#[test]
fn all_can_be_read_without_scripts() {
    let page = site().admin();
    page.javascript(false);
    let run = newest("shop/web", "red");
    for (path, words) in [
        ("/", "Projects"),
        ("/runs", "Prices in euros"),
        ("/shop/web", "Prices in euros"),
        ("/shop/web/workflows", "slow.yml"),
        ("/shop/web/workflows/ci.yml", "does not start by hand"),
        (&run, "expected 200, got 201"),
        ("/shop/web/environments/staging", "History"),
        ("/shop/web/deployments/1", "live"),
        ("/shop/web/settings", "Secrets"),
        ("/settings", "Tokens"),
        ("/runners", "slots"),
        ("/audit", "chain verified"),
        ("/search?q=staging", "staging of shop/web"),
        ("/me", "Sign out"),
    ] {
        page.goto(&site().at(path));
        let said = page.text("main");
        assert!(said.contains(words), "{path}: {said}");
        assert_eq!(page.count("main .needs-script"), 0, "{path}");
    }
    page.goto(&site().at("/me"));
    page.follow("Sign out");
    page.fill("#token", &site().world.token());
    page.follow("Sign in");
    assert_eq!(page.path(), "/");
    page.assert_quiet();
}

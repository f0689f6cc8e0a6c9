//! Approvals, charts and the guard's verdict, with what they cost from the overview: a click each, and no more than the
//! task table of the research on servers allows (§2.5).

use crate::site::{finish, site, start};
use crate::task::started;
use crate::world::Project;
use pilotage_testkit::browser::Page;
use pilotage_testkit::load::Load;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// From the overview, one click after the other; each loads one page.
fn walk(page: &Page, clicks: &[&str]) {
    page.goto(&site().at("/"));
    for click in clicks {
        page.follow(click);
    }
}

#[test]
fn an_approval_is_given_on_the_pages_of_the_run_and_of_the_environment() {
    let site = site();
    site.client("shop/web", &["env", "set", "gate", "--reviewers", "gail"]);
    let scopes = ["token", "create", "gail", "--scope", "read", "--scope", "deploy"];
    let token = site.client("", &scopes);
    let token = token.split_whitespace().find(|word| word.len() > 40).unwrap();
    let gail = site.signed_in(token);

    // Two clicks from the overview: what waits, and the word.
    let run = started("gate.yml", &[]);
    gail.goto(&site.at("/"));
    gail.wait_for_text("#needs", "gate waits for your approval");
    // Why it waits is said before any click, where it runs.
    gail.wait_for_text("#running", "waits");
    walk(&gail, &["Review", "Approve"]);
    assert_eq!(gail.path(), run);
    gail.wait_for_text("#run-head .meta", "passed");

    // On the environment's page, without scripts.
    let run = started("gate.yml", &[]);
    let number = run.rsplit('/').next().unwrap();
    gail.goto(&site.at("/shop/web/environments/gate"));
    gail.wait_for_text("#notes", &format!("Run #{number} waits for the approval of gail"));
    gail.javascript(false);
    gail.reload();
    gail.follow("Approve");
    gail.javascript(true);
    gail.goto(&site.at(&run));
    gail.wait_for_text("#run-head .meta", "passed");

    // Who started it may not, and reads why where the button would be.
    let run = started("gate.yml", &[]);
    let admin = site.admin();
    admin.goto(&site.at(&run));
    admin.wait_for_text("#run-jobs", "waits for gail");
    admin.wait_for_text("#run-approvals", "not a reviewer of gate; gail is");
    assert_eq!(admin.count("#run-approvals button"), 0);
    gail.goto(&site.at(&run));
    gail.follow("Reject");
    gail.wait_for_text("#run-head .meta", "failed");
    assert!(gail.console().is_empty() && admin.console().is_empty());
}

#[test]
fn charts_have_their_limits_and_their_deployments_and_tell_their_values() {
    let page = site().admin();
    page.goto(&site().at("/shop/web/environments/staging"));
    // Measured every ten seconds; the page follows by itself.
    page.wait_for("#metrics-table tr[data-x]");
    assert_eq!(page.count("#plots figure"), 6);
    let limit: String = page.eval("document.querySelector('#plots figure .lb').textContent");
    assert_eq!(limit, "limit 5 %");
    assert!(page.count("#plots figure:first-child .lim") == 1);
    assert!(page.count("#plots a[aria-label^='Deployment '] .mk") >= 6);

    // The pointer, and then the arrow keys: one line in all six, the values in words.
    page.hover("#plots figure svg");
    page.wait_for("#plots .cur");
    assert_eq!(page.count("#plots .cur"), 6);
    let said = page.text("#plots > output");
    assert!(said.starts_with("Until ") && said.contains("Memory"), "{said}");
    page.hover("h1");
    page.wait_gone("#plots .cur");
    page.eval::<bool>("document.querySelector('#plots').focus() ?? true");
    page.press("ArrowLeft");
    page.wait_for("#plots .cur");
    let (last, shown): (String, String) = (
        page.eval(
            "[...document.querySelectorAll('#metrics-table tr[data-x]')].at(-1).cells[6].textContent.trim()",
        ),
        page.eval("[...document.querySelectorAll('#plots [data-now]')].at(-1).textContent"),
    );
    assert_eq!(shown, last, "the figure above is that of the point");
    page.press("Escape");
    page.wait_gone("#plots .cur");
    assert!(page.console().is_empty());
}

/// A project whose second release answers nothing but errors, under load: the guard takes it back.
fn taken_back() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = include_str!("../../../../examples/hello/app.py");
    let plan = include_str!("guarded.yml").replace("PORT", &port.port().to_string());
    let workflow = include_str!("shop/production.yml").replace("workflow_dispatch", "push");
    let files = [
        ("pilotage.yml", plan.as_str()),
        ("app.py", app),
        (".github/workflows/production.yml", workflow.as_str()),
    ];
    let project: Project = site().world.project("guard/web", &files);
    finish(&site().world, &start(&project, "main"));
    let load = Load {
        address: port,
        path: "/".to_owned(),
        headers: Vec::new(),
        rate: 60.0,
        post_every: 0,
        connections: 8,
        timeout: Duration::from_secs(5),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&stop);
    let (samples, _ends) = mpsc::channel();
    std::thread::spawn(move || load.run(ending, samples));
    let bad = app.replace("self.answer(200, {\"greeting\"", "self.answer(500, {\"greeting\"");
    assert_ne!(bad, app);
    project.commit("Kim", "Greet nobody", &[("app.py", bad.as_str())]);
    let runs = start(&project, "main");
    finish(&site().world, &runs);
    stop.store(true, Ordering::Relaxed);
    runs[0].clone()
}

#[test]
fn a_bad_release_takes_itself_back_and_its_plot_crosses_the_line() {
    let run = taken_back();
    let page = site().admin();
    // One click from the overview to the verdict, to the failing line, to running it again.
    let verdict = "#needs li:has(a[href^='/guard/web/deployments/']) .btn";
    walk(&page, &[verdict]);
    assert!(
        page.path().starts_with("/guard/web/deployments/"),
        "{}",
        page.path()
    );
    page.wait_for_text("h1", "took itself back");
    assert!(
        page.text("#saw").contains("crossed: 1 in "),
        "{}",
        page.text("#saw")
    );
    let crosses: bool = page.eval(
        "Number(document.querySelector('.guard .dot').getAttribute('cy')) < Number(document.querySelector('.guard line.lim').getAttribute('y1'))",
    );
    assert!(crosses, "the deciding answer lies above the line");
    // The curve itself ends there, above the line.
    let ends: (f64, f64) = page.eval(
        "(() => { const curve = document.querySelector('.guard .ln.big1').getBoundingClientRect(); return [curve.top, document.querySelector('.guard line.lim').getBoundingClientRect().top]; })()",
    );
    assert!(ends.0 < ends.1, "{ends:?}");
    // What is under the pointer is told above the picture, and lies on no other words.
    page.hover(".guard svg");
    page.wait_for(".guard .tip");
    let said = page.text(".guard .tip");
    assert!(
        said.starts_with("Answers ") && said.contains("Evidence 1 in "),
        "{said}"
    );
    let clear: bool = page.eval(
        "(() => { const tip = document.querySelector('.guard .tip').getBoundingClientRect(); return [...document.querySelectorAll('#saw .head *, #saw svg text.b')].every((e) => { const box = e.getBoundingClientRect(); return box.bottom <= tip.top || box.top >= tip.bottom || box.right <= tip.left || box.left >= tip.right; }); })()",
    );
    assert!(clear, "the words under the pointer cover others");

    let row = format!("#needs li:has(a[href='/guard/web/runs/{run}'])");
    walk(&page, &[&format!("{row} .btn")]);
    assert!(
        page.path().starts_with(&format!("/guard/web/runs/{run}/jobs/")),
        "{}",
        page.path()
    );
    assert_eq!(page.count(":target"), 1);
    // Who brought what and when: one click on what serves.
    walk(
        &page,
        &[
            "#projects tr:has(a[href='/guard/web']) a[href='/guard/web/deployments/1'], #projects a[href^='/guard/web/deployments/']",
        ],
    );
    let said = page.text("#head");
    assert!(said.contains("by admin") && said.contains("production"), "{said}");
    walk(&page, &[&format!("{row} form[action$='/rerun'] button")]);
    assert_eq!(page.path(), format!("/guard/web/runs/{run}"));
    assert!(page.console().is_empty());
}

/// Three fields, one click.
#[test]
fn a_secret_is_added_by_three_fields_and_a_click() {
    let page = site().admin();
    page.goto(&site().at("/shop/web/settings"));
    let form = "form:has([name=value][type=password])";
    page.fill(&format!("{form} [name=name]"), "COUNTED");
    page.fill(&format!("{form} [name=value]"), "never to be seen");
    page.follow("Save secret");
    let said = page.text("main");
    assert!(
        said.contains("COUNTED") && !said.contains("never to be seen"),
        "{said}"
    );
    assert!(page.console().is_empty());
}

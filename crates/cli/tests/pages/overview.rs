//! The overview and the palette: what needs somebody is put away and brought back, and things are done from anywhere.

use crate::site::site;

/// No other test looks at it.
const FILE: &str =
    "name: broken\non: push\njobs:\n  fails:\n    runs-on: ubuntu-latest\n    steps:\n      - run: exit 4\n";

#[test]
fn what_needs_somebody_is_put_away_and_comes_back_and_is_run_again_from_the_palette() {
    let project = site()
        .world
        .project("aside/broken", &[(".github/workflows/broken.yml", FILE)]);
    let run = site().push(&project, "main").remove(0);
    let page = site().admin();
    page.goto(&site().at("/"));
    let needs = format!("#needs .need > li:has(a[href='/aside/broken/runs/{run}'])");
    let away = format!("#away li:has(a[href='/aside/broken/runs/{run}'])");
    page.wait_for(&needs);
    page.eval::<serde_json::Value>("globalThis.same = true");
    // The page stays, and the change can be taken back at once.
    page.click(&format!("{needs} form[action='/needs/away'] button"));
    page.wait_for("#toasts .toast");
    assert!(page.text("#toasts").contains("Put away."));
    page.click("#toasts button");
    page.wait_gone("#toasts .toast");
    page.wait_until(
        &format!("document.querySelector(\"{needs}\") && !document.querySelector(\"{away}\")"),
        "it is back",
    );
    assert!(page.eval::<bool>("globalThis.same"));
    // The same without scripts.
    page.javascript(false);
    page.follow(&format!("{needs} form[action='/needs/away'] button"));
    assert_eq!(page.count(&needs), 0);
    page.click("#away summary");
    page.follow(&format!("{away} button"));
    assert_eq!(page.count(&needs), 1);
    page.javascript(true);
    // One click from its row, or the palette, runs it again.
    page.press("Control+k");
    page.wait_for("#palette-0");
    page.type_text(&format!("rerun failed #{run}"));
    page.wait_for_text("#palette-0", &format!("Rerun failed jobs of #{run}"));
    page.loading(|| page.press("Enter"));
    assert_eq!(page.path(), format!("/aside/broken/runs/{run}"));
    let (shown, _) = site()
        .world
        .pilotage(&["run", "view", &run, "--project", "aside/broken"]);
    assert!(shown.contains("attempt 2"), "{shown}");
    page.assert_quiet();
}

#[test]
fn colours_are_chosen_from_the_palette_and_without_scripts() {
    let page = site().admin();
    page.press("Control+k");
    page.wait_for("#palette-0");
    page.type_text("theme dark");
    page.wait_for_text("#palette-0", "Theme dark");
    page.loading(|| page.press("Enter"));
    assert_eq!(
        page.eval::<String>("document.documentElement.dataset.theme"),
        "dark"
    );
    page.javascript(false);
    page.goto(&site().at("/search?q=theme+light"));
    page.follow("Theme light");
    assert_eq!(
        page.eval::<String>("document.documentElement.dataset.theme"),
        "light"
    );
    page.assert_quiet();
}

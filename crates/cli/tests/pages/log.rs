//! Logs as people read them: long ones, ones that grow, in many tabs, with scripts and without.

use crate::site::site;
use crate::task::started;
use pilotage_testkit::browser::Page;
use std::sync::LazyLock;

/// A run of `long.yml` that is over.
static LONG: LazyLock<String> = LazyLock::new(|| {
    let run = started("long.yml", &[]);
    site()
        .world
        .pilotage(&["run", "watch", run.rsplit('/').next().unwrap()]);
    run
});

/// Opens the log of a job of the long run.
fn open(page: &Page, job: &str) -> String {
    page.goto(&site().at(&LONG));
    let find = format!(
        "[...document.querySelectorAll('main a[href*=\"/jobs/\"]')].find((a) => a.textContent.includes('{job}')).getAttribute('href')"
    );
    let path: String = page.eval(&find);
    path.split(['?', '#']).next().unwrap().to_owned()
}

fn on_screen(page: &Page, selector: &str) -> bool {
    page.eval(&format!(
        "(() => {{ const box = document.querySelector('{selector}')?.getBoundingClientRect(); return !!box && box.top >= 0 && box.bottom <= innerHeight; }})()"
    ))
}

#[test]
fn a_long_log_is_read_without_scripts() {
    let page = site().admin();
    let log = open(&page, "long");
    page.javascript(false);
    page.goto(&site().at(&log));
    let said = page.text("main");
    for words in ["first fault", "exit 3", "Next error", "Earlier lines"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The way to the beginning, where a group is folded and can be opened.
    page.goto(&site().at(&format!("{log}?from=0")));
    let group = "details:has(> summary)[data-group^='s1:']";
    assert!(page.text(group).contains("Small group"));
    assert_eq!(page.count("details[data-group][open]"), 0);
    page.follow("Later lines");
    // The look that an earlier line has left.
    assert!(page.count("#lines .f1") > 900, "{}", page.count("#lines .f1"));
    page.follow("Later lines");
    // A long group is one line until it is asked for.
    // What is off the screen is not drawn, but it is there.
    let all: String = page.eval("document.querySelector('#lines').textContent");
    assert!(all.contains("tail 1") && !all.contains("inside 1"));
    page.eval::<serde_json::Value>(
        "[...document.querySelectorAll('summary')].find((e) => e.textContent.includes('Long group')).scrollIntoView({ block: 'center' })",
    );
    page.click("Long group");
    page.follow("Show its 900 lines");
    assert!(
        page.text(":target").ends_with("inside 1"),
        "{}",
        page.text(":target")
    );
    // What is looked for is listed, and the next one is a link away.
    page.goto(&site().at(&format!("{log}?q=%2Ftail+11.5%24%2F")));
    assert!(page.text("#hits").contains("10 lines"), "{}", page.text("#hits"));
    page.follow("#hits li a");
    assert!(
        page.text(":target").ends_with("tail 1105"),
        "{}",
        page.text(":target")
    );
    assert_eq!(page.text(":target mark"), "tail 1105");
    page.follow("Next hit");
    assert!(page.text(":target").ends_with("tail 1115"));
    page.assert_quiet();
}

#[test]
fn a_long_log_is_gone_through_by_keys() {
    let page = site().admin();
    let log = open(&page, "long");
    page.goto(&site().at(&log));
    page.wait_until(
        "document.querySelector('.sel')?.textContent.includes('first fault')",
        "the error",
    );
    assert!(on_screen(&page, ".sel"));
    page.press("e");
    page.wait_until(
        "document.querySelector('.sel')?.textContent.includes('second fault')",
        "the next error",
    );
    page.press("E");
    page.wait_until(
        "document.querySelector('.sel')?.textContent.includes('first fault')",
        "the error before",
    );
    // A search takes one to its hit, and n to the next, however far it is.
    page.press("/");
    page.type_text("inside 7");
    page.loading(|| page.press("Enter"));
    page.wait_until(
        "document.querySelector('.sel')?.textContent.endsWith('inside 7')",
        "the first hit",
    );
    assert!(on_screen(&page, ".sel"));
    page.press("n");
    page.wait_until(
        "document.querySelector('.sel')?.textContent.endsWith('inside 70')",
        "the next hit",
    );
    page.press("N");
    page.press("N");
    page.wait_until(
        "document.querySelector('.sel')?.textContent.endsWith('inside 799')",
        "the last hit",
    );
    assert!(on_screen(&page, ".sel"));
    assert!(
        page.text("#hit-at").starts_with("111 of 111"),
        "{}",
        page.text("#hit-at")
    );
    let path = page.eval::<String>("location.search + location.hash");
    assert!(
        path.starts_with("?q=inside%207&line=") && path.contains("#s1:"),
        "{path}"
    );
    page.reload();
    page.wait_until(
        "document.querySelector('.sel')?.textContent.endsWith('inside 799')",
        "the same after a reload",
    );
    // Wrapped or not, with times or not.
    let wide = |page: &Page| {
        page.eval::<String>("getComputedStyle(document.querySelector('.lg li > span:last-child')).whiteSpace")
    };
    assert_eq!(wide(&page), "pre");
    page.press("w");
    assert_eq!(wide(&page), "pre-wrap");
    let time = |page: &Page| page.eval::<String>("document.querySelector('.sel .tm').textContent");
    assert!(!time(&page).contains(':'), "{}", time(&page));
    page.press("t");
    assert!(time(&page).contains(':'), "{}", time(&page));
    page.press("t");
    assert_eq!(
        page.eval::<String>("getComputedStyle(document.querySelector('.sel .tm')).display"),
        "none"
    );
    page.assert_quiet();
}

#[test]
fn lines_are_named_by_their_numbers_and_copied_without_them() {
    let page = site().admin();
    let log = open(&page, "long");
    page.goto(&site().at(&format!("{log}?line=100")));
    page.wait_for(".sel");
    page.click("[id='s1:102'] .n");
    assert_eq!(
        page.eval::<String>("location.search + location.hash"),
        "?line=102#s1:102"
    );
    page.eval::<serde_json::Value>("document.querySelector('[id=\"s1:105\"] .n').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, shiftKey: true }))");
    page.wait_until("location.hash === '#s1:102-105'", "the range in the address");
    assert_eq!(page.count(".sel"), 4);
    page.javascript(false);
    assert_eq!(page.count(".sel"), 4, "the range is marked by the server too");
    page.javascript(true);
    page.wait_for(".sel");
    let copied: String = page.eval(
        "(() => { const range = document.createRange(); range.setStartBefore(document.getElementById('s1:102')); range.setEndAfter(document.getElementById('s1:104')); getSelection().removeAllRanges(); getSelection().addRange(range); return getSelection().toString(); })()",
    );
    let lines: Vec<&str> = copied.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(
        lines.iter().all(|line| line.starts_with("row ")) && lines.len() == 3,
        "{lines:?}"
    );
    // A line that is too long is cut, and there whole.
    page.goto(&site().at(&format!("{log}?q=xxxx")));
    page.wait_for(".sel");
    assert!(
        page.text(".sel").contains("show 8.8 KiB"),
        "{}",
        page.text(".sel")
    );
    page.follow(".sel .more");
    assert_eq!(page.text("body").trim().len(), 9000);
}

/// Scrolling to the beginning brings all lines, in order and each once, and keeps few of them.
#[test]
fn a_window_slides_over_the_whole_log() {
    let page = site().admin();
    let log = open(&page, "flood");
    page.goto(&site().at(&log));
    page.wait_for("#lines section");
    page.eval::<serde_json::Value>(
        "globalThis.met = new Set(); globalThis.most = 0;
         const lines = document.getElementById('lines');
         const meet = (root) => { for (const row of root.querySelectorAll('li[id]')) { const n = /flood (\\d+)$/.exec(row.textContent)?.[1]; if (n) met.add(Number(n)); } };
         meet(lines);
         new MutationObserver((seen) => {
             for (const { addedNodes } of seen) for (const node of addedNodes) meet(node);
             most = Math.max(most, lines.querySelectorAll('li[id]').length);
         }).observe(lines, { childList: true, subtree: true });
         globalThis.up = setInterval(() => scrollTo({ top: 0, behavior: 'instant' }), 50);",
    );
    for lines in (2000..=12_000).step_by(2000) {
        page.wait_until(&format!("met.size >= {lines}"), "more lines");
    }
    page.eval::<serde_json::Value>("clearInterval(up)");
    let most: usize = page.eval("most");
    assert!(most <= 9000, "{most} lines at once");
    let order: bool = page.eval(
        "(() => { const all = [...document.querySelectorAll('#lines li[id]')].map((row) => /flood (\\d+)$/.exec(row.textContent)?.[1]).filter(Boolean).map(Number); return all.every((n, at) => !at || n === all[at - 1] + 1); })()",
    );
    assert!(order, "each line once and in order");
    page.assert_quiet();
}

/// A flood of lines is followed, and the page stays light.
#[test]
fn a_flood_is_followed_to_its_end() {
    let page = site().admin();
    let run = started("long.yml", &[]);
    page.goto(&site().at(&run));
    page.follow("flood");
    site()
        .world
        .pilotage(&["run", "watch", run.rsplit('/').next().unwrap()]);
    page.wait_until(
        "document.querySelector('#lines')?.dataset.live === undefined",
        "its end",
    );
    page.wait_for_text("#lines", "flood 12000");
    assert!(page.count("#lines li[id]") <= 9000);
    assert!(
        page.eval::<bool>("innerHeight + scrollY >= document.documentElement.scrollHeight - 40"),
        "at its end"
    );
    page.assert_quiet();
}

/// Only the reader ends the following, and who has ended it is not moved by lines that come.
#[test]
fn who_reads_the_end_stays_there_and_who_reads_elsewhere_is_not_moved() {
    let page = site().admin();
    let run = started("slow.yml", &["lines=2000"]);
    page.goto(&site().at(&run));
    page.follow("first");
    page.wait_until(
        "document.documentElement.scrollHeight > innerHeight + 600",
        "more lines than the window shows",
    );
    let frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => done(follow.checked)))))";
    // A window that is full loses lines at its beginning, and is shorter then.
    let follows: bool = page.eval(&format!(
        "[...document.querySelectorAll('#lines li[id]')].slice(0, 20).forEach((row) => row.remove()), {frames}"
    ));
    assert!(follows, "a page that got shorter is still followed");
    page.wait_until(
        "innerHeight + scrollY >= document.documentElement.scrollHeight - 2",
        "the end",
    );
    let follows: bool = page.eval(&format!(
        "scrollBy({{ top: -300, behavior: 'instant' }}), {frames}"
    ));
    assert!(!follows, "who goes up does not follow");
    let stood: f64 = page.eval("scrollY");
    page.wait_until(
        "/[1-9]\\d new lines/.test(below.innerText)",
        "news of lines below",
    );
    assert!(
        (page.eval::<f64>("scrollY") - stood).abs() < 1.0,
        "nobody moved it"
    );
    page.click("#below");
    page.wait_until(
        "follow.checked && innerHeight + scrollY >= document.documentElement.scrollHeight - 2",
        "the end again",
    );
    site()
        .world
        .pilotage(&["run", "cancel", run.rsplit('/').next().unwrap()]);
    page.assert_quiet();
}

/// A browser opens six connections to a server; more tabs than that are all alive.
#[test]
fn more_tabs_than_connections_are_all_alive() {
    let page = site().admin();
    let run = started("slow.yml", &["lines=100"]);
    page.goto(&site().at(&run));
    page.follow("first");
    let log = page.path();
    let tabs: Vec<Page> = (0..8)
        .map(|_| {
            let tab = page.tab();
            tab.goto(&site().at(&log));
            tab
        })
        .collect();
    for tab in tabs.iter().chain([&page]) {
        tab.wait_for_text("#lines", "line 100");
    }
    // Another page still comes at once, and there and back again is no new load.
    page.goto(&site().at("/runs"));
    let faults: Vec<String> = tabs.iter().flat_map(Page::console).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

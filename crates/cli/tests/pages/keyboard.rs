//! Everything by the keyboard: from the overview to the line that failed and back, and what each key presses.

use crate::site::site;
use crate::task::started;

#[test]
fn a_person_gets_from_the_overview_to_a_line_and_back_by_keys() {
    let page = site().admin();
    page.press("g");
    page.loading(|| page.press("r"));
    assert_eq!(page.path(), "/runs");
    page.press("j");
    page.press("j");
    page.press("k");
    let focused: String = page
        .eval("document.activeElement.closest('li, tr') ? document.activeElement.getAttribute('href') : ''");
    assert!(focused.contains("/runs/"), "a row has the focus: {focused}");
    assert!(page.eval::<bool>("document.activeElement.matches(':focus-visible')"));
    page.loading(|| page.press("Enter"));
    assert!(page.path().contains("/runs/"), "{}", page.path());
    page.press("g");
    page.loading(|| page.press("d"));
    assert_eq!(page.path(), "/");
    // The field that filters, and out of it.
    page.press("/");
    assert!(page.eval::<bool>("document.activeElement.matches('input[type=search]')"));
    page.type_text("g r");
    assert_eq!(page.path(), "/", "what is written in a field is no key");
    page.press("Escape");
    assert!(!page.eval::<bool>("document.activeElement.matches('input')"));
    // What the keys are.
    page.press("?");
    page.wait_for("dialog[open]");
    assert!(page.text("dialog").contains("next error"));
    page.press("Escape");
    page.wait_gone("dialog[open]");
    page.goto(&site().at("/help/keys"));
    assert!(page.text("main").contains("next error"));
    page.assert_quiet();
}

#[test]
fn a_run_is_cancelled_by_keys() {
    let page = site().admin();
    let run = started("slow.yml", &["lines=2000"]);
    page.goto(&site().at(&run));
    page.press("x");
    let asked: String = page.eval("document.activeElement.textContent");
    assert!(asked.starts_with("Cancel run #"), "{asked}");
    page.loading(|| page.press("Enter"));
    page.wait_for_text("#run-head .meta", "cancelled");
    // From its log one key leads back to it.
    page.goto(&site().at(&format!("{run}/jobs/{}000000", run.rsplit('/').next().unwrap())));
    page.loading(|| page.press("Escape"));
    assert_eq!(page.path(), run);
    page.assert_quiet();
}

/// Tab alone reaches all that can be operated, in the order in which it stands.
#[test]
fn tab_reaches_everything_in_order() {
    let page = site().admin();
    for path in ["/", "/runs", "/search", "/me"] {
        page.goto(&site().at(path));
        // A page that is left hears nothing: what other tests do does not change it meanwhile.
        page.eval::<bool>("dispatchEvent(new PageTransitionEvent('pagehide'))");
        let expected: usize = page.eval(
            "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
                .filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true })).length",
        );
        page.eval::<serde_json::Value>(
            "globalThis.reached = []; document.addEventListener('focusin', (event) => reached.push(event.target))",
        );
        for _ in 0..=expected.min(150) {
            page.press("Tab");
        }
        let (reached, forward): (usize, bool) = page.eval(
            "[new Set(reached).size, reached.every((e, at) => !at || e === reached[0] || reached[at - 1].compareDocumentPosition(e) & 4)]",
        );
        assert!(forward, "{path}: the order is that of the page");
        assert!(reached >= expected.min(150), "{path}: {reached} of {expected}");
    }
}

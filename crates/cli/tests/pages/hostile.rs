//! Names that try to be markup are seen as what they are, on the pages that show them.

use crate::site::{HOSTILE, HOSTILE_BRANCH, site};
use std::fmt::Write;

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        let _ = write!(path, "%{byte:02X}");
        path
    })
}

#[test]
fn every_name_is_seen_as_it_is() {
    let page = site().admin();
    let run = site().client("evil/names", &["run", "list", "--json"]);
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let run = format!("/evil/names/runs/{}", run[0]["id"]);
    page.goto(&site().at(&run));
    let job: String =
        page.eval("document.querySelector('#run-jobs a[href*=\"/jobs/\"]').getAttribute('href')");
    let of = |what: &str| format!("{HOSTILE} {what}");
    let environment = format!("/evil/names/environments/{}", encoded(HOSTILE));
    let bare = HOSTILE.to_owned();
    let branch = HOSTILE_BRANCH.to_owned();
    for (path, shown) in [
        ("/runs", vec![of("title"), branch.clone()]),
        ("/evil/names", vec![of("title"), branch.clone()]),
        ("/evil/names/workflows", vec![of("workflow")]),
        (
            "/evil/names/workflows/evil.yml",
            vec![of("workflow"), of("title")],
        ),
        (
            run.as_str(),
            vec![of("title"), branch, of("job"), of("message"), of("fails")],
        ),
        (
            job.as_str(),
            vec![of("job"), of("step"), of("fails"), of("red"), of("message")],
        ),
        (environment.as_str(), vec![bare.clone()]),
        ("/evil/names/environments/safe", vec![bare.clone()]),
        ("/evil/names/settings", vec![bare.clone()]),
        ("/settings", vec![bare.clone()]),
        ("/audit?q=object:evil/names", vec![bare.clone()]),
        ("/search", vec![format!("{HOSTILE} of evil/names")]),
    ] {
        page.goto(&site().at(path));
        let text: String = page.eval("document.querySelector('main').textContent");
        for words in shown {
            assert!(text.contains(&words), "{path} does not show {words}:\n{text}");
        }
        assert_eq!(page.count("pwn, main script, main iframe"), 0, "{path}");
        let faults = page.console();
        assert!(faults.is_empty(), "{path}: {faults:?}");
    }
    // The links to such a name lead to it.
    page.goto(&site().at("/search"));
    page.follow(&format!("{HOSTILE} of evil/names"));
    assert_eq!(page.path(), environment_path(HOSTILE));
    page.press("Control+k");
    page.wait_for("#palette-0");
    page.type_text("run title");
    page.wait_for_text("#palette-0", &of("title"));
    assert_eq!(page.count("pwn"), 0);
    page.assert_quiet();
}

fn environment_path(name: &str) -> String {
    let part = name.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    });
    format!("/evil/names/environments/{part}")
}

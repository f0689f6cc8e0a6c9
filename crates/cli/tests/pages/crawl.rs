//! Every page that links lead to, judged.

use crate::judge::judge;
use crate::site::site;
use std::collections::{BTreeMap, VecDeque};

/// Pages of one kind that are looked at; a third says little that two do not.
const OF_A_KIND: usize = 2;

/// Where it begins: what no link leads to for somebody who has signed in, and pages that links lead to as well.
const BEGIN: [&str; 6] = [
    "/",
    "/login",
    "/shop/web/environments/staging",
    "/shop/web/deployments/2",
    "/evil/names/environments/safe",
    "/evil/names/environments/%3Cpwn%20onclick%3Dalert%281%29%3E%22%27%26lt%3B%2C%3C%2Ftitle%3E%3C%2Fscript%3E",
];

#[test]
fn every_page_holds() {
    let page = site().admin();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut waiting: VecDeque<String> = BEGIN.map(str::to_owned).into();
    let mut faults = Vec::new();
    while let Some(path) = waiting.pop_front() {
        let seen = kinds.entry(kind(&path)).or_default();
        if seen.len() == OF_A_KIND || seen.contains(&path) {
            continue;
        }
        seen.push(path.clone());
        page.goto(&site().at(&path));
        let found = judge(&page);
        faults.extend(found.into_iter().map(|fault| format!("{path}: {fault}")));
        let links: Vec<String> = page.eval(
            "[...document.querySelectorAll('a[href]')].filter((a) => a.origin === location.origin && !a.hasAttribute('download'))
                .map((a) => a.pathname + a.search)",
        );
        waiting.extend(links.into_iter().filter(|link| is_page(link)));
    }
    let looked: usize = kinds.values().map(Vec::len).sum();
    assert!(
        faults.is_empty(),
        "{} faults on {looked} pages:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(looked >= 8, "{kinds:?}");
}

/// Files and streams are no pages.
fn is_page(path: &str) -> bool {
    let rest = path.split('?').next().unwrap_or_default();
    // What a test of its own makes may change while it is looked at.
    !rest.starts_with("/aside/")
        && !rest.starts_with("/-/")
        && !rest.starts_with("/api/")
        && ![".txt", ".zip", ".git", "/raw"]
            .iter()
            .any(|end| rest.ends_with(end))
}

/// A path with its numbers left out; `evil/names` is a kind of its own.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let part = |part: &str| {
        if part.chars().all(|c| c.is_ascii_digit()) {
            "N".to_owned()
        } else {
            part.to_owned()
        }
    };
    let path: Vec<String> = path.split('/').map(part).collect();
    format!("{}{}", path.join("/"), if query.is_empty() { "" } else { "?" })
}

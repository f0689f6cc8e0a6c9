//! What has to hold on every page: nothing goes wrong on it, it fits on every screen, everybody can read and operate
//! it, its markup is right, and it is light.

use crate::site::site;
use pilotage_testkit::browser::{Page, Scheme};
use serde::Deserialize;

/// Bytes on the wire that a page may have (design: page budgets of the research on servers, §2.2).
const HTML_MAX: u64 = 40_000;
const STYLE_MAX: u64 = 15_000;
const SCRIPT_MAX: u64 = 20_000;

/// Faults of the page that is open.
pub(crate) fn judge(page: &Page) -> Vec<String> {
    let mut faults: Vec<String> = page
        .console()
        .into_iter()
        .map(|fault| format!("console: {fault}"))
        .collect();
    faults.extend(markup(&page.source()));
    for (width, scheme) in [
        (360, Scheme::Light),
        (360, Scheme::Dark),
        (1280, Scheme::Dark),
        (1280, Scheme::Light),
    ] {
        page.resize(width, 900);
        page.scheme(scheme);
        let found: Vec<String> = page.eval(include_str!("judge.js"));
        faults.extend(
            found
                .into_iter()
                .map(|fault| format!("{width} px, {scheme:?}: {fault}")),
        );
    }
    for control in page
        .controls()
        .into_iter()
        .filter(|control| control.name.is_empty())
    {
        faults.push(format!("a {} without a name: {}", control.role, control.html));
    }
    page.press("Tab");
    let unseen: Vec<String> = page.eval(include_str!("focus.js"));
    faults.extend(
        unseen
            .into_iter()
            .map(|html| format!("its focus is not seen: {html}")),
    );
    faults.extend(weight(page));
    faults.extend(
        page.console()
            .into_iter()
            .map(|fault| format!("console: {fault}")),
    );
    faults
}

#[derive(Deserialize)]
struct Sent {
    html: u64,
    style: u64,
    script: u64,
}

fn weight(page: &Page) -> Vec<String> {
    let sent: Sent = page.eval(
        "(() => {
            const of = (type, name) => performance.getEntriesByType(type).filter((e) => e.name.includes(name))
                .reduce((sum, e) => sum + e.encodedBodySize, 0);
            return { html: of('navigation', ''), style: of('resource', '.css'), script: of('resource', '.js') };
        })()",
    );
    [
        ("HTML", sent.html, HTML_MAX),
        ("styles", sent.style, STYLE_MAX),
        ("scripts", sent.script, SCRIPT_MAX),
    ]
    .into_iter()
    .filter(|(_, bytes, most)| bytes > most)
    .map(|(what, bytes, most)| format!("{what}: {bytes} bytes on the wire, {most} are the most"))
    .collect()
}

/// Faults of the markup as it was sent: what a parser would have to repair.
fn markup(source: &str) -> Vec<String> {
    let (sent, mut faults) = tags(source);
    if !source.to_ascii_lowercase().starts_with("<!doctype html>") {
        faults.push("no doctype".to_owned());
    }
    // What a parser would move or close by itself.
    for (tag, parents) in &sent {
        for (inner, outer) in MISPLACED {
            if tag == inner
                && parents
                    .last()
                    .is_some_and(|parent| outer.contains(&parent.as_str()))
            {
                faults.push(format!(
                    "markup: <{tag}> in <{}>",
                    parents.last().map_or("", String::as_str)
                ));
            }
        }
    }
    faults
}

/// What ends its parent in a browser, though it stands inside it in the source.
const MISPLACED: &[(&str, &[&str])] = &[
    ("div", &["p", "span", "b", "code", "ul", "ol", "table", "tr"]),
    ("p", &["p", "span", "b", "code", "ul", "ol"]),
    ("ul", &["p", "span"]),
    ("ol", &["p", "span"]),
    ("dl", &["p", "span"]),
    ("table", &["p", "span"]),
    ("form", &["p", "form", "table", "tr"]),
    ("section", &["p", "span"]),
    ("h2", &["p", "span"]),
    ("li", &["div", "li", "section", "table"]),
    ("tr", &["div", "tr", "td"]),
    ("td", &["div", "table", "tbody"]),
    ("pre", &["p", "span"]),
    ("figure", &["p", "span"]),
    ("details", &["p", "span"]),
];

const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
];

type Tag = (String, Vec<String>);

/// Each element that a text opens with its ancestors, and what is wrong with how it is written.
fn tags(source: &str) -> (Vec<Tag>, Vec<String>) {
    let (mut found, mut open, mut faults) = (Vec::new(), Vec::<String>::new(), Vec::new());
    let mut rest = source;
    while let Some(at) = rest.find('<') {
        faults.extend(entities(&rest[..at]));
        rest = &rest[at + 1..];
        if rest.starts_with('!') {
            rest = rest.split_once('>').map_or("", |(_, after)| after);
            continue;
        }
        let closes = rest.starts_with('/');
        let body = rest.trim_start_matches('/');
        let name: String = body
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        if name.is_empty() {
            faults.push(format!("markup: a bare < before {}", head(body)));
            continue;
        }
        let attributes = attributes(&body[name.len()..]);
        faults.extend(attributes.wrong.map(|wrong| format!("markup: <{name}>: {wrong}")));
        rest = attributes.rest;
        if closes {
            match open.pop() {
                Some(last) if last == name => {}
                last => faults.push(format!("markup: </{name}> closes <{}>", last.unwrap_or_default())),
            }
            continue;
        }
        found.push((name.clone(), open.clone()));
        if !VOID.contains(&name.as_str()) && !attributes.closes {
            open.push(name);
        }
    }
    if !open.is_empty() {
        faults.push(format!("markup: never closed: {}", open.join(", ")));
    }
    (found, faults)
}

struct Attributes<'t> {
    /// What follows the tag.
    rest: &'t str,
    /// The tag ends with `/>`, as drawings' do.
    closes: bool,
    wrong: Option<String>,
}

/// Each is quoted, and none is there twice.
fn attributes(text: &str) -> Attributes<'_> {
    let (mut rest, mut names, mut wrong) = (text, Vec::new(), None);
    let unreadable = |what: String| Attributes {
        rest: "",
        closes: true,
        wrong: Some(what),
    };
    loop {
        rest = rest.trim_start();
        for (end, closes) in [(">", false), ("/>", true)] {
            if let Some(rest) = rest.strip_prefix(end) {
                return Attributes { rest, closes, wrong };
            }
        }
        let name: String = rest
            .chars()
            .take_while(|c| !matches!(c, '=' | '>' | '/' | ' ' | '\n'))
            .collect();
        if name.is_empty() {
            return unreadable(format!("not to be read: {}", head(rest)));
        }
        rest = &rest[name.len()..];
        if let Some(value) = rest.strip_prefix('=') {
            let Some((inside, after)) = value.strip_prefix('"').and_then(|value| value.split_once('"'))
            else {
                return unreadable(format!("{name} is not quoted"));
            };
            wrong = wrong.or(entities(inside));
            rest = after;
        }
        if names.contains(&name) {
            wrong = Some(format!("{name} is there twice"));
        }
        names.push(name);
    }
}

/// An ampersand that begins no reference.
fn entities(text: &str) -> Option<String> {
    text.match_indices('&').find_map(|(at, _)| {
        let name = &text[at + 1..];
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        let right = end.is_some_and(|end| end > 0 && name[end..].starts_with(';'));
        (!right).then(|| format!("markup: a bare & before {}", head(name)))
    })
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(40)]
}

#[test]
fn wrong_markup_is_seen() {
    let check = |text: &str, expected: &[&str]| assert_eq!(tags(text).1, expected, "{text}");
    check("<p class=\"a b\">x &amp; y<br></p>", &[]);
    check("<svg><path d=\"M0\"/></svg>", &[]);
    check(
        "<p><b></p></b>",
        &["markup: </p> closes <b>", "markup: </b> closes <p>"],
    );
    check("<p><b>", &["markup: never closed: p, b"]);
    check("<p", &["markup: <p>: not to be read: "]);
    check("<a href=x>y</a>", &["markup: <a>: href is not quoted"]);
    check("<i id=\"a\" id=\"b\"></i>", &["markup: <i>: id is there twice"]);
    check("<i>a & b</i>", &["markup: a bare & before  b"]);
    let (_, faults) = tags("<ul><li><p><div></div></p></li></ul>");
    assert_eq!(faults, [""; 0]);
    assert_eq!(
        markup("<!doctype html><p><div></div></p>"),
        ["markup: <div> in <p>"]
    );
}

/// A page with a fault of each kind: the judge finds them all.
#[test]
fn what_does_not_hold_is_seen() {
    let page = site().stranger();
    page.goto(concat!(
        "data:text/html,<!doctype html><title>x</title><h1>a</h1><h1>b</h1><h3>c</h3><main id=i></main>",
        "<header id=i></header><p style='color:%23aaa;width:2000px'>pale</p><a href='javascript:1'>go</a>",
        "<label for=none>l</label><button></button><svg></svg><pwn></pwn><button style='outline:0'>dim</button>",
    ));
    let found = judge(&page).join("\n");
    for expected in [
        "scrolls sideways, 2008 > 360",
        "2 × h1",
        "no language",
        "h1 is followed by h3",
        "ids twice: i",
        "for names nothing",
        "a drawing without a name",
        "nobody should have made this: <pwn>",
        "this runs: <a",
        "contrast 2.32 <p",
        "a button without a name: <button></button>",
        "its focus is not seen: <button style",
        "is not quoted",
    ] {
        assert!(found.contains(expected), "{expected}:\n{found}");
    }
}

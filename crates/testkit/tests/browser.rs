//! The driver in a real Chromium, against pages that are right and pages that are wrong on purpose.

#![allow(clippy::unwrap_used, reason = "a test ends where its world does")]

use pilotage_testkit::browser::{Browser, Page, Scheme};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One page at every path; its address.
fn serve(html: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..read]);
                let status = if request.starts_with("GET /gone") {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
                     content-security-policy: script-src 'nonce-a'\r\nconnection: close\r\n\r\n",
                    html.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(html.as_bytes()));
            });
        }
    });
    format!("http://{address}")
}

fn panics(what: impl FnOnce()) -> String {
    let caught = catch_unwind(AssertUnwindSafe(what)).expect_err("it should have failed");
    caught.downcast_ref::<String>().cloned().unwrap_or_default()
}

const PAGE: &str = r#"<!doctype html><meta charset=utf-8><title>A page</title><link rel=icon href="data:,">
<style>#cover { position: fixed; inset: 0 0 auto 0; height: 40px } #low { margin-top: 3000px; display: block }</style>
<div id=cover></div><button id=covered style="display: block; height: 20px">Covered</button>
<a id=low href="/other">Go on</a> <button aria-label="More of it">…</button> <button id=nameless></button>
<form action="/sent"><input name=q><button>Send it</button></form> <p id=said></p>
<script nonce=a>
  const said = document.getElementById("said");
  addEventListener("keydown", (event) => { if (event.ctrlKey && event.key === "k") said.textContent = "palette"; });
  document.querySelector("[aria-label]").onclick = () => setTimeout(() => (said.textContent = "später ✓"), 100);
</script>"#;

#[test]
fn a_page_is_used_as_people_use_it() {
    let address = serve(PAGE);
    let browser = Browser::start();
    let page = browser.page(400, 600, Scheme::Dark);
    page.goto(&address);
    page.press("Control+k");
    page.wait_for_text("#said", "palette");
    page.click("More of it");
    page.wait_for_text("#said", "später ✓");
    page.fill("[name=q]", "x & ü");
    page.follow("Send it");
    assert_eq!(page.path(), "/sent?q=x+%26+%C3%BC");
    page.click("[name=q]");
    page.type_text("ab");
    page.loading(|| page.press("Enter"));
    assert_eq!(page.path(), "/sent?q=ab");
    page.follow("#low");
    assert_eq!(page.path(), "/other");
    assert!(page.eval::<bool>("matchMedia('(prefers-color-scheme: dark)').matches && innerWidth === 400"));
    let nameless: Vec<_> = page
        .controls()
        .into_iter()
        .filter(|c| c.name.is_empty())
        .collect();
    assert!(
        nameless.iter().any(|c| c.html.contains("nameless"))
            && !nameless.iter().any(|c| c.html.contains("aria-label")),
        "{nameless:?}"
    );
    assert!(page.console().is_empty());
    page.offline(true);
    assert!(panics(|| page.goto(&address)).contains("ERR_INTERNET_DISCONNECTED"));
    page.offline(false);

    page.goto(&address);
    page.javascript(false);
    page.press("Control+k");
    assert_eq!(page.text("#said"), "");
    page.fill("[name=q]", "quiet");
    page.follow("Send it");
    assert_eq!(page.path(), "/sent?q=quiet");

    let file = tempfile::NamedTempFile::new().unwrap();
    page.screenshot(file.path());
    assert!(std::fs::read(file.path()).unwrap().starts_with(b"\x89PNG"));
}

/// What is aimed at goes down by its own height just before it is pressed, and another comes to its place.
const MOVES: &str = r#"<!doctype html><meta charset=utf-8><title>Moves</title><link rel=icon href="data:,">
<button id=other hidden>Other</button><br><button id=shy>Shy</button><p id=said></p>
<style>button:not([hidden]) { display: block; width: 200px; height: 40px; margin: 0; border: 0 } br { display: none } body { margin: 0 }</style>
<script nonce=a>
  const said = document.getElementById("said");
  for (const button of document.querySelectorAll("button")) button.onclick = () => said.append(button.id, " ");
  shy.addEventListener("pointerover", () => (other.hidden = false), { once: true });
</script>"#;

#[test]
fn what_moves_away_is_pressed_where_it_went_and_nothing_in_its_place_is() {
    let address = serve(MOVES);
    let browser = Browser::start();
    let page = browser.page(400, 600, Scheme::Light);
    page.goto(&address);
    page.click("#shy");
    assert_eq!(page.text("#said"), "shy");
    page.click("#other");
    assert_eq!(page.text("#said"), "shy other");
}

const WRONG: &str = r#"<!doctype html><meta charset=utf-8><title>Wrong</title><link rel=icon href="data:,">
<body onload="alert(1)"><img src="/gone.png"><script nonce=a>alert("here"); console.error("oh", 1); missing();</script>"#;

#[test]
fn what_is_wrong_is_seen() {
    let address = serve(WRONG);
    let browser = Browser::start();
    let page = browser.page(1280, 800, Scheme::Light);
    page.goto(&address);
    let faults = page.console().join("\n");
    for expected in [
        "a dialog opened (alert): here",
        "console: oh 1",
        "not caught: ReferenceError: missing",
        "404",
        "policy: ",
    ] {
        assert!(faults.contains(expected), "{expected}: {faults}");
    }
    assert!(page.console().is_empty(), "they are told once");
}

#[test]
fn a_failure_says_what_was_on_the_page() {
    let address = serve(PAGE);
    let browser = Browser::start();
    let page: Page = browser.page(400, 600, Scheme::Light);
    page.goto(&address);
    let said = panics(|| page.click("#covered"));
    assert!(
        said.contains("covered by <div id=\"cover\">") && said.contains("Go on"),
        "{said}"
    );
}

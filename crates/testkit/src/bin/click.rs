//! `click URL PATH BUTTON… [--picture FILE]`: a person with a browser. Signs in with the token in `PILOTAGE_TOKEN`,
//! opens the page, and clicks what each BUTTON names, which loads another page each. Says where that led.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use pilotage_testkit::browser::{Browser, Scheme};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let token = std::env::var("PILOTAGE_TOKEN").unwrap_or_default();
    let picture = arguments.iter().position(|argument| argument == "--picture");
    let picture = picture.map(|at| arguments.drain(at..).take(2).nth(1).unwrap_or_default());
    let ([url, path, buttons @ ..], false) = (arguments.as_slice(), token.is_empty()) else {
        eprintln!("click URL PATH BUTTON… [--picture FILE], with the token in PILOTAGE_TOKEN");
        return ExitCode::from(2);
    };
    let browser = Browser::start();
    let page = browser.page(1280, 900, Scheme::Light);
    page.goto(&format!("{}/login", url.trim_end_matches('/')));
    page.fill("#token", token.trim());
    page.follow("Sign in");
    page.goto(&format!("{}{path}", url.trim_end_matches('/')));
    if let Some(file) = picture {
        page.screenshot_of_view(&file);
    }
    for button in buttons {
        page.follow(button);
        println!("clicked {button}: {}", page.path());
    }
    ExitCode::SUCCESS
}

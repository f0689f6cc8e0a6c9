//! Takes the pictures of pages that README shows: `screenshots URL FOLDER NAME=PATH…`, with the token in
//! `PILOTAGE_TOKEN`. `scripts/screenshots` says how to call it. A page is taken at 1280 pixels, light and dark.

#![allow(clippy::print_stderr, reason = "a program for the terminal")]

use pilotage_testkit::browser::{Browser, Scheme};
use std::path::Path;
use std::process::ExitCode;

/// What one picture may take in the repository, in bytes.
const SIZE_MAX: u64 = 150_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let token = std::env::var("PILOTAGE_TOKEN").unwrap_or_default();
    let (Some([url, folder]), false) = (arguments.first_chunk(), token.is_empty()) else {
        eprintln!("screenshots URL FOLDER NAME=PATH…, with the token in PILOTAGE_TOKEN");
        return ExitCode::from(2);
    };
    let url = url.trim_end_matches('/');
    let browser = Browser::start();
    let page = browser.page(1280, 800, Scheme::Light);
    page.goto(&format!("{url}/login"));
    page.fill("#token", token.trim());
    page.follow("Sign in");
    let mut good = true;
    for (name, path) in arguments[2..].iter().filter_map(|pair| pair.split_once('=')) {
        for (scheme, word) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
            page.scheme(scheme);
            page.goto(&format!("{url}{path}"));
            let file = Path::new(folder).join(format!("{name}-{word}.png"));
            page.screenshot_of_view(&file);
            let size = std::fs::metadata(&file).map_or(0, |file| file.len());
            eprintln!("{}  {size} bytes", file.display());
            good &= size <= SIZE_MAX;
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        eprintln!("a picture is larger than {SIZE_MAX} bytes");
        ExitCode::FAILURE
    }
}

//! The pages in a real browser, against the real server with a real runner, git pushes and deployments: what people do
//! there, what it costs them, and what has to hold on every page.
//!
//! One server and one browser serve all tests of this file; each test has a page with cookies of its own.

#![allow(clippy::unwrap_used, reason = "a test ends where its world does")]

#[path = "pages/crawl.rs"]
mod crawl;
#[path = "pages/delivery.rs"]
mod delivery;
#[path = "pages/hostile.rs"]
mod hostile;
#[path = "pages/judge.rs"]
mod judge;
#[path = "pages/keyboard.rs"]
mod keyboard;
#[path = "pages/log.rs"]
mod log;
#[path = "pages/overview.rs"]
mod overview;
#[path = "pages/session.rs"]
mod session;
#[path = "pages/site.rs"]
#[allow(dead_code, reason = "the tests of the pages to come use more of it")]
mod site;
#[path = "pages/task.rs"]
mod task;
#[path = "e2e/world.rs"]
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
mod world;

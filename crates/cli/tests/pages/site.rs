//! What all tests look at: a server with two projects. `shop/web` is what a small team has; in `evil/names` every name
//! that a person or a program can choose tries to be markup.

use crate::world::{Project, World};
use pilotage_testkit::browser::{Browser, Page, Scheme};
use std::net::TcpListener;
use std::sync::LazyLock;

/// In every field that takes it: an element that nobody makes, a handler, and what ends a string or an attribute.
pub(crate) const HOSTILE: &str = "<pwn onclick=alert(1)>\"'&lt;,</title></script>";
/// The same in a branch, where git allows neither blanks nor more.
pub(crate) const HOSTILE_BRANCH: &str = "feat/<pwn/onclick=alert(1)>\"'&lt;";

const NOTHING: &[(&str, &str)] = &[];

pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) shop: Project,
}

static SITE: LazyLock<Site> = LazyLock::new(Site::build);
static BROWSER: LazyLock<Browser> = LazyLock::new(Browser::start);

pub(crate) fn site() -> &'static Site {
    &SITE
}

impl Site {
    /// A page of somebody who has not signed in.
    pub(crate) fn stranger(&self) -> Page {
        BROWSER.page(1280, 900, Scheme::Light)
    }

    /// A page of the administrator, on the overview.
    pub(crate) fn admin(&self) -> Page {
        self.signed_in(&self.world.token())
    }

    pub(crate) fn signed_in(&self, token: &str) -> Page {
        let page = self.stranger();
        page.goto(&self.at("/login"));
        page.fill("#token", token);
        page.follow("Sign in");
        page
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.world.url)
    }

    /// Runs a command of the client and gives what it printed; it has to succeed.
    pub(crate) fn client(&self, project: &str, arguments: &[&str]) -> String {
        client(&self.world, project, arguments)
    }

    /// Pushes what is checked out, waits until the runs that it started are over, and gives their ids.
    pub(crate) fn push(&self, project: &Project, branch: &str) -> Vec<String> {
        push(&self.world, project, branch)
    }

    fn build() -> Self {
        let world = World::start();
        let evil = evil(&world);
        let shop = world.project("shop/web", &shop_files());
        let started = start(&shop, "main");
        let hostile = start(&evil, HOSTILE_BRANCH);
        finish(&world, &started);
        // A second release, so that there is one to go back to.
        shop.commit("Ana", "Prices in euros", &[("prices.txt", "euro")]);
        let second = start(&shop, "main");
        shop.commit("Bo", "Round prices up", &[("prices.txt", "euro, rounded")]);
        let red = start(&shop, "red");
        finish(&world, &second);
        finish(&world, &red);
        finish(&world, &hostile);
        Self { world, shop }
    }
}

pub(crate) fn client(world: &World, project: &str, arguments: &[&str]) -> String {
    let mut all = arguments.to_vec();
    if !project.is_empty() {
        all.extend(["--project", project]);
    }
    let (said, status) = world.pilotage(&all);
    assert_eq!(status, 0, "{all:?}: {said}");
    said
}

fn push(world: &World, project: &Project, branch: &str) -> Vec<String> {
    let runs = start(project, branch);
    finish(world, &runs);
    runs
}

/// The ids of the runs that a push starts.
pub(crate) fn start(project: &Project, branch: &str) -> Vec<String> {
    let said = project.push(branch);
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect();
    let runs: Vec<String> = said.split("run watch ").skip(1).map(digits).collect();
    assert!(!runs.is_empty(), "{said}");
    runs
}

pub(crate) fn finish(world: &World, runs: &[String]) {
    for run in runs {
        // Its exit code says how the run ended, which is the tests' business.
        world.pilotage(&["run", "watch", run]);
    }
}

fn shop_files() -> Vec<(&'static str, String)> {
    // Free now; what takes one of them before the proxy does makes the deployments fail.
    let ports: Vec<TcpListener> = (0..2)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |number: usize| ports[number].local_addr().unwrap().port();
    let plan = include_str!("shop/pilotage.yml")
        .replace("STAGING", &port(0).to_string())
        .replace("PRODUCTION", &port(1).to_string());
    vec![
        ("pilotage.yml", plan),
        (
            "app.py",
            include_str!("../../../../examples/hello/app.py").to_owned(),
        ),
        (".github/workflows/ci.yml", include_str!("shop/ci.yml").to_owned()),
        (
            ".github/workflows/slow.yml",
            include_str!("shop/slow.yml").to_owned(),
        ),
        (
            ".github/workflows/production.yml",
            include_str!("shop/production.yml").to_owned(),
        ),
        (
            ".github/workflows/gate.yml",
            include_str!("shop/gate.yml").to_owned(),
        ),
        (
            ".github/workflows/long.yml",
            include_str!("shop/long.yml").to_owned(),
        ),
    ]
}

fn evil(world: &World) -> Project {
    let quoted = HOSTILE.replace('\'', "''");
    let workflow = include_str!("evil.yml").replace("HOSTILE", &quoted);
    let evil = world.project("evil/names", &[(".github/workflows/evil.yml", workflow)]);
    evil.commit(
        "\"x' onmouseover=alert(1) &lt;b&gt;",
        &format!("{HOSTILE} title"),
        NOTHING,
    );
    let set = |arguments: &[&str], value: &str| {
        let (said, status) =
            world.pilotage_with(&[arguments, &["--project", "evil/names"]].concat(), Some(value));
        assert_eq!(status, 0, "{arguments:?}: {said}");
    };
    set(&["secret", "set", "KEY", "-e", HOSTILE], "s3cret-never-shown");
    set(&["variable", "set", "LEVEL"], HOSTILE);
    set(&["env", "set", "safe", "--reviewers", HOSTILE], "");
    set(&["env", "lock", "safe", "--reason", HOSTILE], "");
    client(world, "", &["token", "create", HOSTILE, "--scope", "read"]);
    evil
}

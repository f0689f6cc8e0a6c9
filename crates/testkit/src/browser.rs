//! A real Chromium, driven over the pipe of its DevTools protocol: no port, no web socket, no driver program.
//!
//! It is written for tests: what does not come true within [`BOUND`] panics and says what was on the page. A click is a
//! mouse event at a point of the screen, so that what is covered cannot be clicked. Each page has cookies of its own.

mod connection;
mod keys;
mod page;

use connection::Connection;
pub use page::{Control, Page};
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// How long anything on a page may take.
pub const BOUND: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

/// Ends with all its processes when it is dropped; when this process ends in another way, it sees its pipe close, and
/// ends and cleans up too.
pub struct Browser {
    connection: Arc<Connection>,
    child: Child,
    profile: TempDir,
}

impl Browser {
    /// Of `$CHROMIUM`, or the first of its usual names in `PATH`.
    pub fn start() -> Self {
        let program = program().unwrap_or_else(|| panic!("{MISSING}"));
        let profile = tempfile::Builder::new()
            .prefix("pilotage-browser-")
            .tempdir()
            .expect("a folder for the browser");
        let mut command = Command::new("/bin/sh");
        // The protocol's pipe is on the descriptors 3 and 4. The shell stays to remove the profile.
        command.args([
            "-c",
            r#"folder=$1; shift; "$@" 3<&0 4>&1 </dev/null >/dev/null; rm -rf "$folder""#,
        ]);
        command.arg("sh").arg(profile.path()).arg(&program).args(FLAGS);
        command.arg(format!(
            "--user-data-dir={}",
            profile.path().join("profile").display()
        ));
        if nix::unistd::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let log = std::fs::File::create(profile.path().join("log")).expect("the browser's log");
        // What the browser keeps beside its profile goes with it.
        command.env("HOME", profile.path()).env("TMPDIR", profile.path());
        let spawned = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut child =
            spawned.unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let to = child.stdin.take().expect("a pipe to the browser");
        let from = child.stdout.take().expect("a pipe from the browser");
        let connection = Connection::start(to, from);
        if let Err(error) = connection.call(None, "Browser.getVersion", json!({}), BOUND * 3) {
            let said = std::fs::read_to_string(profile.path().join("log")).unwrap_or_default();
            kill(&mut child);
            panic!(
                "{} does not answer: {error}\n{said}\n{MISSING}",
                program.display()
            );
        }
        Self {
            connection,
            child,
            profile,
        }
    }

    /// Where its profile and its own log lie.
    pub fn folder(&self) -> &Path {
        self.profile.path()
    }

    /// An empty page of this size, as a person with this scheme sees it. It knows no cookies of other pages.
    pub fn page(&self, width: u32, height: u32, scheme: Scheme) -> Page {
        let page = Page::open(Arc::clone(&self.connection));
        page.resize(width, height);
        page.scheme(scheme);
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

const FLAGS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-gpu",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
    "--force-color-profile=srgb",
    "--password-store=basic",
    "--use-mock-keychain",
];

const NAMES: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

const MISSING: &str = "The tests of the pages need Chromium: on Debian `apt-get install chromium`; on Ubuntu, whose \
    chromium is a snap that tests cannot drive, Google's package `google-chrome-stable`. Another place of it: \
    CHROMIUM=/path/to/chromium. `scripts/setup` does what it can.";

fn program() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CHROMIUM").filter(|given| !given.is_empty()) {
        return Some(PathBuf::from(given));
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found = |name: &&str| {
        folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    };
    NAMES.iter().find_map(found)
}

/// The shell, the browser and all that it started.
fn kill(child: &mut Child) {
    let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_browser_leaves_nothing() {
        let browser = Browser::start();
        let page = browser.page(400, 600, Scheme::Light);
        page.goto("data:text/html,here");
        let (folder, group) = (browser.folder().to_owned(), browser.child.id().cast_signed());
        drop(page);
        drop(browser);
        assert!(!folder.exists());
        // Whoever adopted the killed ones has to take notice of it; nothing tells us when.
        let end = std::time::Instant::now() + BOUND;
        while nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), None).is_ok() {
            assert!(
                std::time::Instant::now() < end,
                "processes are left in group {group}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

//! Runners: how they stand, what waits for one and why, how another is added.

use crate::Fragment;
use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Runners {
    pub viewer: Viewer,
    pub now: i64,
    pub runners: Vec<Runner>,
    pub queue: Vec<Queued>,
    /// More wait than are shown.
    pub more: bool,
    /// Where runners reach this server.
    pub url: String,
}

pub struct Runner {
    pub name: String,
    pub labels: Vec<String>,
    pub slots: u32,
    pub busy: u32,
    pub online: bool,
    pub drain: bool,
    pub version: String,
}

/// A job that waits for a slot.
pub struct Queued {
    pub project: String,
    pub run: i64,
    pub job: i64,
    pub name: String,
    pub queued_at: i64,
    pub why: String,
}

impl Runners {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { h1 class="vh" { "Runners" } (self.list()) (self.waiting()) (self.add()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("runners", self.list()),
            Fragment::new("queue", self.waiting()),
        ]
    }

    fn list(&self) -> Markup {
        let (slots, busy) = self.runners.iter().fold((0, 0), |(slots, busy), runner| {
            (slots + runner.slots, busy + runner.busy)
        });
        html! {
            section id="runners" class="first" aria-labelledby="ru" {
                div class="head" { h2 id="ru" { "Runners" } span class="m" { (busy) " of " (slots) " slots busy" } }
                @if self.runners.is_empty() { p class="m s" { "No runner has ever asked for jobs. One is added below." } }
                @else {
                    table class="sx" {
                        thead { tr {
                            th scope="col" { "Runner" } th scope="col" { "State" } th scope="col" class="r" { "Slots" }
                            th scope="col" class="full" { "Labels" } th scope="col" class="ht" { "Version" }
                            th scope="col" { span class="vh" { "Do" } }
                        } }
                        tbody { @for runner in &self.runners { tr {
                            td { b { (runner.name) } }
                            td { (runner.state()) }
                            td class="r" { (runner.busy) " of " (runner.slots) }
                            td class="w full m" { (runner.labels.join(", ")) }
                            td class="m ht" { (runner.version) }
                            td class="r" { @if self.viewer.admin { (self.drain(runner)) } }
                        } } }
                    }
                }
            }
        }
    }

    fn drain(&self, runner: &Runner) -> Markup {
        let (word, value) = if runner.drain {
            ("Take jobs again", "no")
        } else {
            ("Drain", "yes")
        };
        html! {
            form method="post" action="/runners/drain" {
                (csrf_field(&self.viewer))
                input type="hidden" name="runner" value=(runner.name);
                input type="hidden" name="drain" value=(value);
                button class="btn sm" type="submit" aria-label={ (word) ": " (runner.name) } { (word) }
            }
        }
    }

    fn waiting(&self) -> Markup {
        html! {
            section id="queue" aria-labelledby="qu" {
                div class="head" { h2 id="qu" { "Queue" } span class="m" { (words::counted(self.queue.len() as u64, "job", "jobs")) @if self.more { " and more" } } }
                @if self.queue.is_empty() { p class="m s" { "No job waits for a runner." } }
                ol class="rows" {
                    @for job in &self.queue {
                        li {
                            (Status::Queued.icon())
                            a class="t1" href={ "/" (job.project) "/runs/" (job.run) "/jobs/" (job.job) } { b { (job.name) } " " span class="m" { (job.project) " #" (job.run) } }
                            span { (quoted(&job.why)) }
                            span class="m end nw" { (words::ago(job.queued_at, self.now)) }
                        }
                    }
                }
            }
        }
    }

    fn add(&self) -> Markup {
        html! {
            section aria-labelledby="ad" {
                div class="head" { h2 id="ad" { "Add a runner" } }
                p class="m s" {
                    "On a machine with the same program: put a runner's token into a file (made "
                    @if self.viewer.admin { "in " a class="a" href="/settings#to" { "Settings" } } @else { "by an administrator" }
                    "), then"
                }
                pre class="one" { code { "pilotage runner start --server " (self.url) " --token-file TOKEN_FILE --slots 2 --label gpu" } }
            }
        }
    }
}

/// What stands between backticks, as code.
#[must_use]
pub fn quoted(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

impl Runner {
    fn state(&self) -> Markup {
        match (self.online, self.drain, self.busy) {
            (false, _, _) => Status::Failed.mark_as("offline"),
            (true, true, 0) => Status::Cancelled.mark_as("drained"),
            (true, true, _) => Status::Waiting.mark_as("drains"),
            (true, false, 0) => Status::Passed.mark_as("ready"),
            (true, false, _) => Status::Running.mark_as("busy"),
        }
    }
}

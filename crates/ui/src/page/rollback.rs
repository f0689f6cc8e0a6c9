//! The way back, before it is gone: from what to what, what goes back and what does not, and why.

use crate::icon::{Icon, coloured, icon};
use crate::shell::{Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

pub struct Rollback {
    pub viewer: Viewer,
    pub owner: String,
    pub name: String,
    pub environment: String,
    pub now: i64,
    /// What serves now.
    pub from: Side,
    /// What it goes back to, or why it cannot.
    pub to: Result<Side, String>,
    /// A deployment that is under way is taken back, and nothing else.
    pub under_way: Option<i64>,
    /// The digest that the form names; `previous` takes back what is under way.
    pub target: String,
    /// Other releases that can be gone back to.
    pub others: Vec<Side>,
    /// What goes back, and what does not.
    pub back: Vec<String>,
    pub stays: Vec<String>,
    /// Commits that would not run any more, the newest first; some of so many.
    pub commits: Vec<Commit>,
    pub commit_count: usize,
    /// The environment is locked already.
    pub locked: bool,
    pub reason: String,
    pub pause: bool,
    pub problem: Option<String>,
}

pub struct Side {
    pub revision: String,
    pub digest: String,
    pub title: String,
}

pub struct Commit {
    pub sha: String,
    pub title: String,
    pub author: String,
}

impl Rollback {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="rollback" {
                h1 { "Roll " (self.environment) " back" }
                @match &self.to {
                    Ok(to) => { (self.form(to)) }
                    Err(why) => {
                        div class="note" { (coloured(Icon::Cancelled, "q")) p { b { "It cannot go back: " (why) "." } } }
                        div class="foot" { a class="btn" href=(self.path()) { "To " (self.environment) } }
                    }
                }
            }
        }
    }

    fn path(&self) -> String {
        let name = words::segment(&self.environment);
        format!("/{}/{}/environments/{name}", self.owner, self.name)
    }

    fn form(&self, to: &Side) -> Markup {
        html! {
            form method="post" action={ (self.path()) "/rollback" } {
                (csrf_field(&self.viewer))
                input type="hidden" name="to" value=(self.target);
                p class="rb" {
                    span { span class="m" { @if self.under_way.is_some() { "on its way" } @else { "now" } } br; code { (self.from.revision) } " " (self.from.title) }
                    (coloured(Icon::Arrow, "m"))
                    span { span class="m" { "to" } br; code { (to.revision) } " " (to.title) }
                }
                p class="s m" {
                    @match self.under_way {
                        Some(id) => { "Deployment #" (id) " is taken back: traffic returns within milliseconds, and is verified there." }
                        None => { "It is not built again: the kept files of " code { (words::digest(&to.digest)) } " are started, get all traffic once they are healthy, and are verified." }
                    }
                }
                div class="cols half rbc" {
                    (list("Goes back", Icon::Ok, "ok", &self.back))
                    (list("Does not go back", Icon::Cancelled, "run", &self.stays))
                }
                @if !self.commits.is_empty() { (self.commit_list()) }
                @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (problem) } }
                label class="fl" for="why" { b { "Reason" } " " span class="m" { "stays in the history, at least 5 characters" } }
                textarea id="why" name="reason" rows="2" required minlength="5" maxlength="1000" autofocus { (self.reason) }
                @if !self.locked {
                    label class="ck" {
                        input id="pause" type="checkbox" name="pause" value="yes" checked[self.pause];
                        span {
                            b { "Pause automatic deployments to " (self.environment) } br;
                            span class="m" { "It is locked with this reason until someone unlocks it: the next push would bring the fault back." }
                        }
                    }
                }
                div class="foot" {
                    a class="btn" href=(self.path()) { "Keep " (self.from.revision) }
                    button class="btn pri" type="submit" { "Roll back to " (to.revision) }
                }
            }
            @if self.under_way.is_none() && self.others.len() > 1 { (self.other_releases(to)) }
        }
    }

    fn commit_list(&self) -> Markup {
        html! {
            details class="fold" {
                summary { (words::counted(self.commit_count as u64, "commit", "commits")) " would not run any more" }
                ol class="rows" {
                    @for commit in &self.commits {
                        li { code class="m" { (words::short(&commit.sha)) } span class="t1" title=(commit.title) { (commit.title) } span class="end m nw" { (commit.author) } }
                    }
                    @if self.commit_count > self.commits.len() { li { span class="m" { "and " (self.commit_count - self.commits.len()) " more" } } }
                }
            }
        }
    }

    fn other_releases(&self, to: &Side) -> Markup {
        html! {
            details class="fold" {
                summary { "Another release" }
                ul class="rows" {
                    @for other in self.others.iter().filter(|other| other.digest != to.digest) {
                        li {
                            (icon(Icon::Back))
                            a href={ (self.path()) "/rollback?to=" (other.digest) } { code { (other.revision) } " " (other.title) }
                        }
                    }
                }
            }
        }
    }
}

fn list(title: &str, shape: Icon, class: &str, lines: &[String]) -> Markup {
    html! {
        div {
            h2 { (title) }
            ul class="yn" {
                @if lines.is_empty() { li { (coloured(Icon::Dot, "q")) span class="m" { "nothing that is known" } } }
                @for line in lines { li { (coloured(shape, class)) span { (line) } } }
            }
        }
    }
}

//! A project's first page: how its default branch stands, its workflows, what serves where, its last runs; or how to
//! push to it, while nobody has.

use crate::Fragment;
use crate::page::{runs, workflow};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Overview {
    /// `owner/name`
    pub project: String,
    pub now: i64,
    pub branch: String,
    pub git_url: String,
    /// Any branch or tag was pushed.
    pub pushed: bool,
    /// The newest commit of the default branch; none where that was not pushed yet.
    pub tip: Option<Tip>,
    /// Of the runs of that commit: the worst; none where there is none.
    pub status: Option<Status>,
    pub workflows: Vec<workflow::Row>,
    pub environments: Vec<Serves>,
    pub runs: Vec<runs::Row>,
}

pub struct Tip {
    pub sha: String,
    pub title: String,
    pub author: String,
}

/// An environment, and what is live in it.
pub struct Serves {
    pub environment: String,
    /// State, revision, deployment, and since when.
    pub live: Option<(Status, String, i64, i64)>,
    pub locked: bool,
}

impl Overview {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { (self.body()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("overview", self.body())]
    }

    fn body(&self) -> Markup {
        html! {
            div id="overview" {
                @if self.pushed {
                    (self.head())
                    div class="cols" {
                        div { (self.workflows()) (self.last()) }
                        aside { (self.environments()) (self.push()) }
                    }
                } @else { (self.begin()) }
            }
        }
    }

    fn head(&self) -> Markup {
        html! {
            div class="title" { div {
                h1 { @if let Some(status) = self.status { (status.icon()) } span { (self.project) } }
                p class="meta" {
                    @match self.status {
                        Some(status) => { span { b { (self.branch) } " " span class=(status.class()) { (status.word()) } } }
                        None => { span { b { (self.branch) } " has no run" } }
                    }
                    @match &self.tip {
                        Some(tip) => {
                            span class="t1" { code { (words::short(&tip.sha)) } " " (tip.title) }
                            span { "by " b { (tip.author) } }
                        }
                        None => { span { "It was not pushed yet; other branches were." } }
                    }
                }
            } }
        }
    }

    fn workflows(&self) -> Markup {
        html! {
            section aria-labelledby="ov-wf" {
                div class="head" { h2 id="ov-wf" { a href={ "/" (self.project) "/workflows" } { "Workflows" } } span class="m" { (self.workflows.len()) } }
                @if self.workflows.is_empty() {
                    p class="m s" { "None yet: a file in " code { ".github/workflows" } " is one." }
                } @else { (workflow::table(&format!("/{}", self.project), &self.workflows, self.now)) }
            }
        }
    }

    fn last(&self) -> Markup {
        html! {
            section aria-labelledby="ov-runs" {
                div class="head" { h2 id="ov-runs" { "Last runs" } }
                @if self.runs.is_empty() { p class="m s" { "Nothing ran yet." } }
                (runs::rows(&self.runs, self.now, false))
                p class="more1 s" { a class="a" href={ "/" (self.project) "/runs" } { "All runs" } }
            }
        }
    }

    fn environments(&self) -> Markup {
        html! {
            section aria-labelledby="ov-env" {
                div class="head" { h2 id="ov-env" { a href={ "/" (self.project) "/environments" } { "Environments" } } }
                @if self.environments.is_empty() { p class="m s" { "None yet: the first deployment makes one." } }
                ol class="rows envs" {
                    @for serves in &self.environments {
                        li {
                            a class="t1" href={ "/" (self.project) "/environments/" (words::segment(&serves.environment)) } { b { (serves.environment) } }
                            @match &serves.live {
                                Some((status, revision, deployment, at)) => {
                                    a class="end nw" href={ "/" (self.project) "/deployments/" (deployment) } { (status.mark()) " " code { (revision) } }
                                    span class="m nw age" { (words::ago(*at, self.now)) }
                                }
                                None => { span class="m end nw" { "nothing is live" } }
                            }
                            @if serves.locked { (Status::Locked.mark()) }
                        }
                    }
                }
            }
        }
    }

    fn push(&self) -> Markup {
        html! {
            section aria-labelledby="ov-push" {
                div class="head" { h2 id="ov-push" { "Push to it" } }
                div class="cmds" { pre { code { "git remote add pilotage " (self.git_url) "\ngit push pilotage " (self.branch) } } }
                p class="m s" { "A token is the password, with any name." }
            }
        }
    }

    fn begin(&self) -> Markup {
        html! {
            div class="title" { div {
                h1 { "Push " (self.project) " to begin" }
                p class="m" { "Nothing was pushed to its branch " b { (self.branch) } " yet." }
            } }
            div class="cols" {
                ol class="steps3" {
                    li { h2 { "Point git at it" }
                        p class="m s" { "A token is the password, with any name." }
                        div class="cmds" { pre { code { "git remote add pilotage " (self.git_url) } } }
                    }
                    li { h2 { "Have a workflow" }
                        p class="m s" { "Yours in " code { ".github/workflows" } " run as they are. The smallest one:" }
                        div class="cmds" { pre { code { "# .github/workflows/ci.yml\non: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: ./test" } } }
                    }
                    li { h2 { "Push" } div class="cmds" { pre { code { "git push pilotage " (self.branch) } } } }
                }
                aside class="alt" { (self.environments()) }
            }
            // Other branches may have been pushed.
            @if !self.runs.is_empty() { (self.last()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_says_how_it_stands_or_how_to_begin() {
        let mut overview = Overview {
            project: "o/p".to_owned(),
            now: 60_000,
            branch: "main".to_owned(),
            git_url: "http://x/o/p.git".to_owned(),
            pushed: false,
            tip: None,
            status: None,
            workflows: Vec::new(),
            environments: vec![Serves {
                environment: "<prod>".to_owned(),
                live: Some((Status::Live, "b83d0e2".to_owned(), 4, 0)),
                locked: true,
            }],
            runs: Vec::new(),
        };
        let empty = overview.main().into_string();
        assert!(
            empty.contains("Push o/p to begin") && empty.contains("git push pilotage main"),
            "{empty}"
        );
        overview.pushed = true;
        let other = overview.main().into_string();
        assert!(
            other.contains("other branches were") && !other.contains("to begin"),
            "{other}"
        );
        overview.tip = Some(Tip {
            sha: "b83d0e2aaaa".to_owned(),
            title: "<i>Fix".to_owned(),
            author: "Ana".to_owned(),
        });
        overview.status = Some(Status::Failed);
        let html = overview.main().into_string();
        for part in [
            "<b>main</b> <span class=\"bad\">failed</span>",
            "&lt;i&gt;Fix",
            "/o/p/environments/%3Cprod%3E",
            "/o/p/deployments/4",
            "locked",
            "Nothing ran yet",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}

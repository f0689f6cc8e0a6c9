//! P4, one deployment: the verdict as a sentence, what the guard saw, the way there in milliseconds, and the proof.

mod act;
mod counted;
mod lead;
mod model;
mod saw;
mod timeline;
mod told;

pub use model::{
    Approval, Approve, Check, Counts, Deployment, Judged, Moment, Odds, Release, Replica, Seen, Service,
    Step, Tally, Test, Told, Verdict,
};

use crate::Fragment;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

impl Deployment {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            (self.head())
            @if let Some(problem) = &self.problem { p class="bad" role="alert" { (problem) } }
            (self.lead())
            (self.approval())
            (self.saw())
            div class="cols half" {
                div {
                    (self.timeline())
                    (self.told())
                    (self.acts())
                }
                div {
                    (self.counted())
                    (self.watched())
                    (self.proof())
                }
            }
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("head", self.head()),
            Fragment::new("lead", self.lead()),
            Fragment::new("approval", self.approval()),
            Fragment::new("saw", self.saw()),
            Fragment::new("timeline", self.timeline()),
            Fragment::new("told", self.told()),
            Fragment::new("acts", self.acts()),
            Fragment::new("counted", self.counted()),
            Fragment::new("watched", self.watched()),
            Fragment::new("proof", self.proof()),
        ]
    }

    /// For the document's title, without the product's name.
    #[must_use]
    pub fn title(&self) -> String {
        format!("Deployment {} {}", self.id, self.state_words())
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/deployments/{}", self.project_path(), self.id)
    }

    fn project_path(&self) -> String {
        format!("/{}/{}", self.owner, self.name)
    }

    fn environment_path(&self) -> String {
        let name = words::segment(&self.environment);
        format!("{}/environments/{name}", self.project_path())
    }

    /// `shifting, 25 %`, `live, not proven`.
    fn state_words(&self) -> String {
        match (self.status, self.state.as_str()) {
            (Status::Running, "shifting") => format!("shifting, {}", words::percent(self.share())),
            (Status::Running | Status::Queued | Status::Waiting, state) => state.replace('-', " "),
            (status, _) => status.word().to_owned(),
        }
    }

    /// The new revision's largest share of any service.
    fn share(&self) -> f64 {
        let most = self.services.iter().map(|service| service.share).max();
        f64::from(most.unwrap_or(0)) / 10_000.0
    }

    fn head(&self) -> Markup {
        let revision = html! { code class="rel" { (self.release.revision) } };
        let environment = &self.environment;
        let title = match (self.state.as_str(), self.rollback) {
            ("queued" | "waiting", _) => html! { (revision) " waits for " (environment) },
            ("live", true) => html! { (environment) " went back to " (revision) },
            ("live", false) if self.serves => html! { "Release " (revision) " is live in " (environment) },
            ("live", false) => html! { "Release " (revision) " went live in " (environment) },
            ("rolled-back", _) if self.tripped() => html! { "Release " (revision) " took itself back" },
            ("rolled-back", _) => html! { "Release " (revision) " was taken back" },
            ("aborted", _) => html! { "Release " (revision) " did not go to " (environment) },
            ("needs-attention", _) => html! { "The deployment of " (revision) " needs attention" },
            ("rolling-back" | "verifying-rollback", _) => {
                html! { "Taking " (revision) " back from " (environment) }
            }
            (_, true) => html! { "Taking " (environment) " back to " (revision) },
            (_, false) => html! { "Bringing " (revision) " to " (environment) },
        };
        html! {
            div id="head" class="title" {
                div {
                    h1 { (self.status.icon()) span { (title) } }
                    p class="meta" {
                        span class=(self.status.class()) { (self.state_words()) }
                        span { a href=(self.environment_path()) { b { (environment) } } " " (self.kind()) " #" (self.id) }
                        span { b { (self.release.title) } " by " (self.actor) }
                        @if let Some(approved) = self.approvals.iter().rev().find(|approval| approval.approved) {
                            span { "approved by " b { (approved.by) } }
                        }
                        span {
                            (words::date(self.created_at)) ", "
                            @match self.ended_at {
                                Some(ended) => { (words::duration(ended - self.created_at)) }
                                None => { (words::since(self.created_at, self.now)) " so far" }
                            }
                        }
                    }
                }
                div class="acts" {
                    (self.buttons())
                    @if let Some(run) = self.run {
                        a class="btn" href={ (self.project_path()) "/runs/" (run) } { "Run #" (run) }
                    }
                }
            }
        }
    }

    fn kind(&self) -> &'static str {
        if self.rollback { "rollback" } else { "deployment" }
    }

    /// Whether the guard took it back.
    fn tripped(&self) -> bool {
        self.services
            .iter()
            .any(|service| service.verdict.as_ref().is_some_and(|verdict| !verdict.outage))
    }

    fn first_deployment(&self) -> bool {
        self.old.is_none()
    }
}

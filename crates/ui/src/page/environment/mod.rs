//! P4, one environment: is it healthy, what serves, undo; the last surprise; the history with its reasons.

mod act;
mod history;
mod metrics;
mod model;

pub use model::{
    Active, Back, Choice, Environment, Filled, Lock, Mark, Metrics, Past, PastBack, Point, Replica, Said,
    Serving, Surprise, Trip, Waiting, Window,
};

use crate::Fragment;
use crate::icon::{Icon, coloured};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

impl Environment {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            (self.head())
            (self.notes())
            (self.forms())
            (self.metrics())
            (self.history())
            (self.replicas())
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("head", self.head()),
            Fragment::new("notes", self.notes()),
            Fragment::new("metrics", self.metrics()),
            Fragment::new("history", self.history()),
            Fragment::new("replicas", self.replicas()),
        ]
    }

    #[must_use]
    pub fn path(&self) -> String {
        let name = words::segment(&self.environment);
        format!("/{}/{}/environments/{name}", self.owner, self.name)
    }

    fn deployment_path(&self, id: i64) -> String {
        format!("/{}/{}/deployments/{id}", self.owner, self.name)
    }

    /// How it is, in a word.
    fn health(&self) -> (Status, &'static str) {
        let ready = self.replicas.iter().filter(|replica| replica.ready).count();
        match &self.serving {
            None if self.active.is_some() => (Status::Running, "nothing is live yet"),
            None => (Status::Queued, "nothing is live"),
            Some(_) if self.replicas.is_empty() => (Status::Queued, "not observed"),
            Some(_) if ready == self.replicas.len() => (Status::Passed, "healthy"),
            Some(_) if ready == 0 => (Status::Failed, "no replica is ready"),
            Some(_) => (Status::NeedsAttention, "not all replicas are ready"),
        }
    }

    fn head(&self) -> Markup {
        let (status, word) = self.health();
        html! {
            div id="head" class="title" {
                div {
                    h1 { (status.icon()) span { (self.environment) } }
                    p class="meta" {
                        span class=(status.class()) { (word) }
                        @if let Some(serving) = &self.serving {
                            span { code { (serving.revision) } " " b { (serving.title) } }
                            span {
                                @if serving.rollback { "serves again since " } @else { "serves since " }
                                (words::date(serving.since))
                            }
                            span {
                                "by " b { (serving.actor) }
                                @if let Some(approved) = &serving.approved_by { ", approved by " b { (approved) } }
                            }
                            @if !serving.proven && !serving.rollback { span { "live, not proven" } }
                            @if let Some(host) = serving.url.split_once("://").map(|(_, host)| host) {
                                span { a href=(serving.url) rel="noreferrer" { (host) } }
                            }
                        }
                    }
                }
                div class="acts" { (self.buttons()) }
            }
        }
    }

    /// What a reader must know before anything else.
    fn notes(&self) -> Markup {
        html! {
            div id="notes" {
                @if let Some(active) = &self.active { (self.active_note(active)) }
                @for waiting in &self.waiting { (self.waiting_note(waiting)) }
                @if let Some(lock) = &self.lock {
                    div class="note" {
                        (coloured(Icon::Lock, "q"))
                        p {
                            b { "Locked by " (lock.by) "." } " " (lock.reason) " "
                            span class="m" {
                                @match lock.until {
                                    Some(until) => {
                                        "Deployments wait until " (words::date(until)) ", for "
                                        time data-until=(until) { (words::duration((until - self.now).max(0))) }
                                        ", or until somebody unlocks it; a rollback is always possible."
                                    }
                                    None => "Deployments wait until somebody unlocks it; a rollback is always possible.",
                                }
                            }
                        }
                        @if self.refusal.is_none() {
                            form class="acts" method="post" action={ (self.path()) "/unlock" } {
                                (crate::shell::csrf_field(&self.viewer))
                                button class="btn sm" type="submit" { "Unlock " (self.environment) }
                            }
                        }
                    }
                }
                @if let Some(surprise) = &self.surprise { (self.surprise_note(surprise)) }
            }
        }
    }

    fn active_note(&self, active: &Active) -> Markup {
        html! {
            div class={ "note" @if active.status == Status::Waiting { " w1" } } {
                (active.status.icon())
                p {
                    b { (active.state) " " code { (active.revision) } "." } " "
                    (active.title) " by " (active.actor)
                    @if !active.reason.is_empty() { " " span class="m" { (active.reason) } }
                }
                span class="acts" {
                    a class="btn sm" href=(self.deployment_path(active.id)) {
                        @if active.status == Status::Waiting { "Review" } @else { "Watch" } " #" (active.id)
                    }
                }
            }
        }
    }

    fn waiting_note(&self, waiting: &Waiting) -> Markup {
        let reason = if self.filled.form == "approval" {
            self.filled.reason.as_str()
        } else {
            ""
        };
        html! {
            div class="note w1" {
                (coloured(Icon::Wait, "wait"))
                p {
                    b { a href={ "/" (self.owner) "/" (self.name) "/runs/" (waiting.run) } { "Run #" (waiting.run) } " " (waiting.why) "." }
                    " " (waiting.jobs.join(", ")) " of " code { (words::short(&waiting.sha)) } " “" (waiting.title) "” by " (waiting.actor)
                    ", for " (words::since(waiting.asked_at, self.now)) "."
                    @if let Some(until) = waiting.until {
                        " It goes on by itself in " time data-until=(until) { (words::duration((until - self.now).max(0))) } "."
                    }
                    @if waiting.wants_person {
                        br;
                        span class="m" {
                            "May approve: " (waiting.reviewers.join(", "))
                            @if waiting.needed > 1 { "; " (waiting.needed) " of them must" }
                            ". What is approved is this commit, and nothing else."
                        }
                    }
                    @for said in &waiting.said {
                        br; span class="m" {
                            (said.by) @if said.approved { " approved it " } @else { " rejected it " } (words::ago(said.at, self.now))
                            @if self.now - said.at >= 5_000 { " ago" }
                            @if !said.reason.is_empty() { ": “" (said.reason) "”" } "."
                        }
                    }
                    @if let Some(refusal) = &waiting.refusal { br; (crate::page::runners::quoted(&sentence(refusal))) }
                }
                @if waiting.refusal.is_none() && waiting.wants_person {
                    form class="acts ap" method="post" action={ (self.path()) "/approval" } {
                        (crate::shell::csrf_field(&self.viewer))
                        input type="hidden" name="run" value=(waiting.run);
                        input type="hidden" name="sha" value=(waiting.sha);
                        label class="vh" for={ "why-" (waiting.run) } { "Reason, if there is one to give" }
                        input id={ "why-" (waiting.run) } name="reason" maxlength="1000" placeholder="Reason, if there is one" value=[(!reason.is_empty()).then_some(reason)];
                        button class="btn sm" type="submit" name="verdict" value="rejected" { "Reject" }
                        button class="btn sm pri" type="submit" name="verdict" value="approved" { "Approve " (words::short(&waiting.sha)) }
                    }
                }
            }
        }
    }

    fn surprise_note(&self, surprise: &Surprise) -> Markup {
        html! {
            div class="note" {
                (surprise.status.icon())
                p {
                    b {
                        "Release " code { (surprise.revision) } " "
                        @match (surprise.status, surprise.by_guard) {
                            (Status::RolledBack, true) => "took itself back",
                            (Status::RolledBack, false) => "was taken back",
                            (Status::NeedsAttention, _) => "needs attention",
                            _ => "did not go live",
                        }
                        " " (words::ago(surprise.at, self.now)) @if self.now - surprise.at >= 5_000 { " ago" } "."
                    }
                    " " (sentence(&surprise.why))
                    @if surprise.quarantined { " It is quarantined until someone releases it or a newer one goes live." }
                }
                span class="acts" {
                    a class="btn sm" href=(self.deployment_path(surprise.id)) { @if surprise.by_guard { "Read verdict" } @else { "Read why" } }
                }
            }
        }
    }

    fn replicas(&self) -> Markup {
        let ready = self.replicas.iter().filter(|replica| replica.ready).count();
        html! {
            section id="replicas" aria-labelledby=[(!self.replicas.is_empty()).then_some("re")] {
                @if !self.replicas.is_empty() {
                    div class="head" { h2 id="re" { "Replicas" } span class="m" { (ready) " of " (self.replicas.len()) " ready" } }
                    table {
                        thead {
                            tr {
                                th scope="col" { "State" }
                                th scope="col" { "Replica" }
                                th scope="col" { "Release" }
                                th scope="col" { "Digest it executes" }
                                th scope="col" class="r" { "Restarts" }
                                th scope="col" class="r" { "CPU" }
                                th scope="col" class="r" { "Memory" }
                            }
                        }
                        tbody {
                            @for replica in &self.replicas {
                                tr {
                                    td { (replica.status.mark_as(&replica.word)) }
                                    td class="pr" { (replica.service) " " (replica.number) }
                                    td class="hs" { code { (replica.revision) } }
                                    td class="hs" { @match &replica.executes { Some(digest) => code { (words::digest(digest)) }, None => span class="m" { "nothing" } } }
                                    td class="r hs" { (replica.restarts) }
                                    td class="r hs" { @match replica.cpu { Some(cpu) => (words::percent(cpu)), None => "–" } }
                                    td class="r hs" { @match replica.memory { Some(memory) => (words::bytes(memory)), None => "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A fragment as a sentence.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

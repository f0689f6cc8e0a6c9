//! The deployments of an environment, with how each ended and why. A rollback never looks like a plain newest one.

use super::model::{Environment, Past, PastBack};
use crate::icon::{Icon, coloured};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

impl Environment {
    pub(super) fn history(&self) -> Markup {
        html! {
            section id="history" aria-labelledby="hi" {
                div class="head" {
                    h2 id="hi" { "History" }
                    @if self.history.is_empty() { span class="m" { "nothing was deployed here yet" } }
                    @if let (true, Some(last)) = (self.more, self.history.last()) {
                        a class="end s a" href={ (self.path()) "?before=" (last.id) } { "Older" }
                    }
                }
                @if !self.history.is_empty() {
                    table {
                        thead {
                            tr {
                                th scope="col" { "No." }
                                th scope="col" { "Outcome" }
                                th scope="col" { "Release" }
                                th scope="col" { "Changed" }
                                th scope="col" { "By" }
                                th scope="col" { "Approved" }
                                th scope="col" class="r" { "Took" }
                                th scope="col" class="r" { "Started" }
                                th scope="col" { span class="vh" { "Go back" } }
                            }
                        }
                        tbody { @for past in &self.history { (self.past(past)) } }
                    }
                }
            }
        }
    }

    fn past(&self, past: &Past) -> Markup {
        let path = self.deployment_path(past.id);
        html! {
            tr {
                td class="m hs" { a href=(path) { "#" (past.id) } }
                td { a href=(path) { (outcome(past)) } }
                td class="pr" {
                    @if past.rollback && !past.old_revision.is_empty() {
                        code { (past.old_revision) } " " (coloured(Icon::Arrow, "il")) " "
                    }
                    code { (past.revision) }
                }
                td class="w full" title=(past.title) { (past.title) }
                td class="hs" { (past.actor) }
                td class="hs" { (past.approved_by.as_deref().unwrap_or_default()) }
                td class="r hs" {
                    @match past.ended_at {
                        Some(ended) => (words::duration(ended - past.created_at)),
                        None => (words::since(past.created_at, self.now)),
                    }
                }
                td class="r m pl" { (words::date(past.created_at)) }
                td class="r" { (self.go_back(past)) }
            }
            @if !past.why.is_empty() {
                tr class="why" {
                    td class="hs" {}
                    td colspan="7" class="full" { (past.why) " " (times(past)) a class="a" href=(path) { @if past.status == Status::RolledBack { "Evidence" } @else { "Timeline" } } }
                    td class="hs" {}
                }
            }
        }
    }

    fn go_back(&self, past: &Past) -> Markup {
        html! {
            @match &past.back {
                PastBack::To(digest) if self.refusal.is_none() => {
                    a class="btn sm" href={ (self.path()) "/rollback?to=" (digest) } aria-label={ "Roll back to " (past.revision) } { "Roll back to" }
                }
                PastBack::ServesNow => { span class="m" { "serves now" } }
                PastBack::Gone => { span class="m" title="its files were removed by retention" { "artifact gone" } }
                _ => {}
            }
        }
    }
}

/// The rule that was broken, and when it was seen, answered and proven.
fn times(past: &Past) -> Markup {
    html! {
        @if let Some(trip) = &past.trip {
            "Rule: " (trip.rule) ". Detected and decided " (words::clock_ms(trip.decided_at))
            @if let Some(us) = trip.returned_us { ", the last request " (milliseconds(us)) " later" }
            @if let Some(at) = past.verified_at { ", verified " (words::clock_ms(at)) }
            ". "
        } @else if let (true, Some(at)) = (past.rollback, past.verified_at) {
            "Verified " (words::clock(at)) ", " (words::duration(at - past.created_at)) " after it was asked for. "
        }
    }
}

fn milliseconds(us: i64) -> String {
    match us.max(0) {
        0..100 => "under 0.1 ms".to_owned(),
        us @ 100..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        us => words::duration(us / 1_000),
    }
}

/// Shape and word; what was brought back is told apart from what was taken back.
fn outcome(past: &Past) -> Markup {
    if past.rollback && matches!(past.status, Status::Live | Status::Unproven) {
        return html! { span class="st infra" { (coloured(Icon::Back, "infra")) "rollback" } };
    }
    past.status.mark_as(&past.state)
}

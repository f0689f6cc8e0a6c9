//! The verdict as a sentence with both counts, and the figures that are known.

use super::model::{Deployment, Judged, Service, Step, Tally, Test, Verdict};
use super::saw::WORTH_A_LINE;
use crate::words;
use maud::{Markup, html};

/// A figure, its unit before or after it, and what it is.
struct Figure {
    before: &'static str,
    value: String,
    after: String,
    what: String,
}

impl Figure {
    fn new(value: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            before: "",
            value: value.into(),
            after: String::new(),
            what: what.into(),
        }
    }
}

impl Deployment {
    pub(super) fn lead(&self) -> Markup {
        let figures = self.figures();
        html! {
            div id="lead" {
                p class="lead" { (self.sentence()) }
                @if !figures.is_empty() {
                    dl class="big" {
                        @for figure in &figures {
                            div {
                                dt { (figure.what) }
                                dd {
                                    @if !figure.before.is_empty() { small { (figure.before) } " " }
                                    (figure.value)
                                    @if !figure.after.is_empty() { " " small { (figure.after) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn sentence(&self) -> Markup {
        let decided = self.services.iter().find_map(|s| Some((s, s.verdict.as_ref()?)));
        match self.state.as_str() {
            "queued" => html! { (sentence(&self.reason)) },
            "waiting" => {
                html! { "It " (lower(&self.reason)) ". Nothing has been changed in " (self.environment) " yet." }
            }
            "live" if self.rollback => html! {
                (self.environment) " runs " code class="rel" { (self.release.revision) } " again, "
                "which was built before and is verified there. " (self.actor) " gave the reason: “" (self.reason) "”"
            },
            "live" => self.live_sentence(),
            "rolled-back" | "rolling-back" | "verifying-rollback" | "needs-attention" | "aborted" => {
                self.back_sentence(decided)
            }
            _ => self.running_sentence(),
        }
    }

    fn live_sentence(&self) -> Markup {
        let open = self.services.iter().find(|service| !service.proven);
        let judged = self.services.iter().find_map(|s| Some((s, s.judged.as_ref()?)));
        html! {
            @match (open, judged) {
                (Some(service), _) if service.needed > 0 => {
                    "Too few requests came to call it proven: the guard saw " b { (words::counted(service.answers, "answer", "answers")) }
                    " of the new " (service.name) " and needs about " b { (words::count(service.needed)) } ". It found nothing against it."
                }
                (None, Some((service, judged))) => {
                    (both(service, &judged.new, &judged.old)) " That proves it to be under the limit of "
                    (words::percent(judged.error_limit)) "."
                }
                _ => { "All its replicas are healthy and were verified; no guard compared it with a release before it." }
            }
        }
    }

    fn back_sentence(&self, decided: Option<(&Service, &Verdict)>) -> Markup {
        let verified = self.verified().is_some();
        html! {
            @match decided {
                Some((service, verdict)) => {
                    @if verdict.is_slow() { (slow(service, verdict)) } @else { (both(service, &verdict.new, &verdict.old)) }
                    @if verdict.late { " It began after a good phase." }
                    @if verdict.outage { " The old one fails the same way: this is an outage and not the release. Nobody is blamed, and somebody must look." }
                }
                None => { (sentence(&self.reason)) }
            }
            @match (&self.old, self.state.as_str()) {
                (_, "aborted") => { " It had no traffic that could be kept: nothing else has changed." }
                (None, _) => { " There was no release before it to go back to." }
                (Some(old), "rolled-back") if self.had_traffic() => {
                    " All traffic went back to " code class="rel" { (old) }
                    @if let Some(returned) = self.returned() { " within " (returned) }
                    @if verified { " and is verified there" } "."
                }
                (Some(old), "rolled-back") => { " " code class="rel" { (old) } " kept all traffic." }
                (Some(old), "needs-attention") => { " The way back to " code class="rel" { (old) } " wants a look: " (lower(&self.reason)) "." }
                (Some(old), _) => { " Traffic goes back to " code class="rel" { (old) } "." }
            }
        }
    }

    fn running_sentence(&self) -> Markup {
        let count = |of: fn(&Service) -> u32| self.services.iter().map(of).sum::<u32>();
        let what = self.what();
        html! {
            @match self.state.as_str() {
                "pending" | "preparing" => { "The release is being unpacked. Nothing has been changed in " (self.environment) " yet." }
                "pre-deploy" => { "The commands that come before the new revision run, such as migrations. No traffic has moved." }
                "starting" => {
                    b { (count(|s| s.healthy)) " of " (count(|s| s.replicas)) } " replicas of the new revision are healthy."
                    @if let Some(old) = &self.old { " " code class="rel" { (old) } " has the traffic." }
                }
                "shifting" => {
                    @if self.first_deployment() { "The new " (what) " gets all requests; there is no old one." }
                    @else { (words::percent(self.share())) " of the requests go to the new " (what) "." }
                    @match (self.until, self.next_step()) {
                        (Some(until), Some(next)) => {
                            " In " b { (left(until, self.now)) } " it gets " (words::percent(f64::from(next.share) / 10_000.0))
                            " of them, unless the guard takes it back before."
                        }
                        (Some(until), None) => { " In " b { (left(until, self.now)) } " it gets all of them, unless the guard takes it back before." }
                        (None, _) if !self.reason.is_empty() => { " It is held: " (lower(&self.reason)) "." }
                        (None, _) => {}
                    }
                }
                "verifying" => { "All requests go to the new " (what) ", and which digest answers them is being verified." }
                "watching" => {
                    "All requests go to the new " (what) "."
                    @if let Some(until) = self.until { " In " b { (left(until, self.now)) } " it is live, unless the guard takes it back before." }
                }
                _ => { (sentence(&self.reason)) }
            }
        }
    }

    /// `backend`, or `release` of several services.
    fn what(&self) -> &str {
        match self.services.as_slice() {
            [one] => &one.name,
            _ => "release",
        }
    }

    /// The step that follows.
    pub(super) fn next_step(&self) -> Option<&Step> {
        let share = self
            .services
            .iter()
            .map(|service| service.share)
            .max()
            .unwrap_or(0);
        self.steps.iter().find(|step| step.share > share)
    }

    pub(super) fn had_traffic(&self) -> bool {
        self.moments
            .iter()
            .any(|moment| moment.text.contains(" % of the traffic to "))
    }

    /// What was verified last.
    pub(super) fn verified(&self) -> Option<&str> {
        let mut moments = self.moments.iter().rev();
        moments.find_map(|moment| moment.text.strip_prefix("verified: "))
    }

    /// From the deciding answer to the last request that was sent to the new revision.
    fn returned(&self) -> Option<String> {
        let us = self.services.iter().find_map(Service::returned_us)?;
        Some(match us {
            0..1_000 => "1 ms".to_owned(),
            _ => words::duration(us / 1_000),
        })
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let Some(service) = self
            .services
            .iter()
            .find(|s| s.judged.is_some() || s.verdict.is_some())
        else {
            return figures;
        };
        match &service.verdict {
            Some(verdict) => self.verdict_figures(service, verdict, &mut figures),
            None => self.running_figures(service, &mut figures),
        }
        figures
    }

    fn verdict_figures(&self, service: &Service, verdict: &Verdict, figures: &mut Vec<Figure>) {
        if let Some(us) = service.returned_us() {
            let what = "deciding answer to last request sent";
            let (value, unit) = match us {
                0..100 => ("< 0.1".to_owned(), "ms"),
                100..10_000 => (format!("{}.{}", us / 1_000, us % 1_000 / 100), "ms"),
                _ => ((us / 1_000).to_string(), "ms"),
            };
            figures.push(Figure {
                after: unit.to_owned(),
                ..Figure::new(value, what)
            });
        }
        let new = service.judged.as_ref().map_or(verdict.new, |judged| judged.new);
        if verdict.is_slow() {
            figures.push(Figure::new(
                words::count(new.answers),
                "requests that it answered",
            ));
        } else {
            figures.push(Figure::new(
                words::count(new.errors.max(verdict.new.errors)),
                "requests that it failed",
            ));
        }
        if let (Some(begun), Some(decided)) = (self.begun_at(), service.decided_at_us) {
            let shares: Vec<String> = self.shares_had();
            figures.push(timed(
                decided / 1_000 - begun,
                format!("with traffic, at {}", shares.join(" and ")),
            ));
        }
        let needs = service
            .judged
            .as_ref()
            .map(|judged| format!(", threshold 1 in {}", whole(judged.goes_back_at)));
        figures.push(Figure {
            before: "1 in",
            ..Figure::new(
                whole(verdict.one_in),
                format!("evidence at the decision{}", needs.unwrap_or_default()),
            )
        });
    }

    fn running_figures(&self, service: &Service, figures: &mut Vec<Figure>) {
        let Some(judged) = &service.judged else { return };
        for (which, tally) in [("new", judged.new), ("old", judged.old)] {
            let Some(share) = tally.failed() else { continue };
            figures.push(Figure {
                after: format!("of {}", words::count(tally.answers)),
                ..Figure::new(
                    words::count(tally.errors),
                    format!("{which} answers failed, {}", words::percent(share)),
                )
            });
        }
        if judged.new.answers == 0 {
            return;
        }
        let back = if self.ended_at.is_some() {
            "went back at"
        } else {
            "goes back at"
        };
        let back = if self.state == "live" {
            "would have gone back at"
        } else {
            back
        };
        // Which of the tests says next to nothing is of no interest, nor what that one would need.
        let needs =
            (judged.one_in >= WORTH_A_LINE).then(|| format!(", {back} 1 in {}", whole(judged.goes_back_at)));
        figures.push(Figure {
            before: "1 in",
            ..Figure::new(
                whole(judged.one_in),
                format!("evidence against it{}", needs.unwrap_or_default()),
            )
        });
        let missing = service.needed.saturating_sub(service.answers);
        if !service.proven && missing > 0 {
            let what = if self.ended_at.is_some() {
                "more answers were needed to prove it good"
            } else {
                "more answers to be proven good"
            };
            figures.push(Figure {
                before: "about",
                ..Figure::new(words::count(missing), what)
            });
        }
    }

    /// When the new revision first had a share.
    pub(super) fn begun_at(&self) -> Option<i64> {
        let first = self
            .moments
            .iter()
            .find(|moment| moment.text.contains(" % of the traffic to "));
        first.map(|moment| moment.at)
    }

    fn shares_had(&self) -> Vec<String> {
        let all = self
            .moments
            .iter()
            .filter_map(|moment| moment.text.split_once(" % of the traffic to "));
        let mut shares: Vec<String> = all.map(|(share, _)| share.to_owned()).collect();
        if let Some(last) = shares.last_mut() {
            last.push_str(" %");
        }
        shares
    }
}

impl Service {
    /// Microseconds between the deciding answer and the last request that was sent to the new revision.
    pub(super) fn returned_us(&self) -> Option<i64> {
        Some((self.last_request_at_us? - self.decided_at_us?).max(0))
    }
}

/// The new one failed so many, the old one so many.
fn both(service: &Service, new: &Tally, old: &Tally) -> Markup {
    html! {
        "The new " (service.name) " failed " b { (words::count(new.errors)) " of " (words::count(new.answers)) } " requests"
        @if old.answers > 0 { ", the old one " b { (words::count(old.errors)) " of " (words::count(old.answers)) } " at the same time" }
        "."
    }
}

fn slow(service: &Service, verdict: &Verdict) -> Markup {
    let over = |tally: &Tally| {
        if verdict.test == Test::SlowP50 {
            tally.over_p50
        } else {
            tally.over_p95
        }
    };
    let which = if verdict.test == Test::SlowP50 {
        "median"
    } else {
        "95th percentile"
    };
    let times = service
        .judged
        .as_ref()
        .map_or(1.5, |judged| 1.0 + judged.slower_limit);
    html! {
        b { (words::count(over(&verdict.new))) " of " (words::count(verdict.new.timed)) }
        " answers of the new " (service.name) " took longer than " (times) " times the old one's " (which)
        @if verdict.old.timed > 0 { ", of the old one's own " b { (words::count(over(&verdict.old))) " of " (words::count(verdict.old.timed)) } }
        "."
    }
}

/// Seconds with a digit, or minutes.
fn timed(ms: i64, what: String) -> Figure {
    let ms = ms.max(0);
    if ms < 60_000 {
        return Figure {
            after: "s".to_owned(),
            ..Figure::new(format!("{}.{}", ms / 1_000, ms % 1_000 / 100), what)
        };
    }
    Figure::new(words::duration(ms), what)
}

/// A countdown.
fn left(until: i64, now: i64) -> Markup {
    html! { time data-until=(until) { (words::duration((until - now).max(0))) } }
}

/// What `1 in so many` shows of a number: whole from 10 on.
pub(super) fn whole(n: f64) -> String {
    if n < 9.95 {
        let text = format!("{:.1}", n.max(1.0));
        return text.trim_end_matches(".0").to_owned();
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped first"
    )]
    words::count(n.clamp(1.0, 1e15) as u64)
}

impl Judged {
    /// The evidence in words.
    pub(super) fn odds(&self) -> String {
        format!("1 in {}", whole(self.one_in))
    }
}

/// A fragment of a log as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return String::new();
    };
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

fn lower(text: &str) -> &str {
    text.trim_end_matches('.')
}

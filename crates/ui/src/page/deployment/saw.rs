//! What the guard saw: the share of the traffic, the answers that failed, and the evidence as it grew, over the
//! answers of both revisions, because evidence is gathered per answer and not per second.

use super::lead::whole;
use super::model::{Deployment, Judged, Odds, Seen, Service, Test, Verdict};
use crate::chart::{self, Axis, VIEW_BOX, number, percent};
use crate::words;
use maud::{Markup, html};

/// Below this the evidence says nothing against a release, and is not followed.
const FLOOR: f64 = 0.1;
/// Evidence that was ever this strong has a line of its own.
pub(super) const WORTH_A_LINE: f64 = 1.5;
/// Answers after the decision are shown for this part of the way there.
const AFTERWARDS: u64 = 8;
/// Room for words at the right end.
const ROOM: f64 = 0.115;
const ROWS_MAX: usize = 40;

/// Heights in the picture, from above.
const SHARE: (f64, f64) = (28.0, 108.0);
const FAILED: [f64; 2] = [148.0, 180.0];
const EVIDENCE: (f64, f64) = (256.0, 468.0);
const HEIGHT: f64 = 492.0;

impl Deployment {
    pub(super) fn saw(&self) -> Markup {
        let mut judged: Vec<Saw> = self
            .services
            .iter()
            .filter_map(|service| Saw::new(self, service))
            .collect();
        // The one that decided, or else the one with the most answers, first; the others can be opened.
        judged.sort_by_key(|saw| {
            (
                saw.service.verdict.is_none(),
                std::cmp::Reverse(saw.service.answers),
            )
        });
        html! {
            section id="saw" aria-labelledby=[(!judged.is_empty()).then_some("gs")] {
                @for (index, saw) in judged.iter().enumerate() {
                    @if index == 0 {
                        div class="head" {
                            h2 id="gs" { @if self.ended_at.is_some() { "What the guard saw" } @else { "What the guard sees" } }
                            span class="m" { (saw.service.name) ", " (saw.counted()) }
                        }
                        (saw.figure(index))
                    } @else {
                        details class="fold" id={ "saw-" (index) } {
                            summary { (saw.service.name) ": " (saw.in_short()) }
                            (saw.figure(index))
                        }
                    }
                }
            }
        }
    }
}

type Points = Vec<(f64, Option<f64>)>;

/// One service's course, with what is to be known to draw it.
struct Saw<'a> {
    deployment: &'a Deployment,
    service: &'a Service,
    judged: &'a Judged,
    /// The test that decided, or whose evidence is the strongest.
    test: Test,
    /// What that test needs.
    needed: f64,
    seen: &'a [Seen],
    /// The place of the deciding answer among what is seen.
    decided: Option<usize>,
    x: Axis,
    y: Axis,
}

impl<'a> Saw<'a> {
    fn new(deployment: &'a Deployment, service: &'a Service) -> Option<Self> {
        let judged = service.judged.as_ref()?;
        let all = service.course.as_slice();
        let (first, last) = (all.first()?, all.last()?);
        if last.answers() <= first.answers() {
            return None;
        }
        let decided = all.iter().position(|seen| seen.decided);
        let seen = match decided.and_then(|at| all.get(at)) {
            None => all,
            Some(deciding) => {
                let way = deciding.answers() - first.answers();
                let end = deciding.answers() + (way / AFTERWARDS).max(4);
                all.get(..all.partition_point(|seen| seen.answers() <= end))
                    .unwrap_or(all)
            }
        };
        let test = match &service.verdict {
            Some(verdict) => verdict.test,
            None if judged.one_in >= WORTH_A_LINE => judged.test,
            None => Test::Errors,
        };
        let last = seen.last()?;
        let needed = decided
            .and_then(|at| seen.get(at))
            .unwrap_or(last)
            .against(test)
            .needed;
        let most = seen
            .iter()
            .map(|seen| seen.part(test) * needed)
            .fold(1.0, f64::max);
        let top = most.max(needed * 4.0).min(1e12).log10().ceil();
        Some(Self {
            deployment,
            service,
            judged,
            test,
            needed,
            seen,
            decided,
            x: across(first.answers(), last.answers()),
            y: Axis::logarithmic(FLOOR, 10_f64.powf(top)),
        })
    }

    fn last(&self) -> Seen {
        self.seen.last().copied().unwrap_or_default()
    }

    fn deciding(&self) -> Option<Seen> {
        self.decided.and_then(|at| self.seen.get(at)).copied()
    }

    fn has_old(&self) -> bool {
        self.deployment.old.is_some() && self.last().old.answers > 0
    }

    /// From above, in the picture.
    fn down(&self, one_in: f64) -> f64 {
        EVIDENCE.1 - self.y.place(one_in) * (EVIDENCE.1 - EVIDENCE.0)
    }

    fn place(&self, seen: &Seen) -> f64 {
        self.x.place(float(seen.answers()))
    }

    fn figure(&self, index: usize) -> Markup {
        let (title, desc) = (format!("saw-t{index}"), format!("saw-d{index}"));
        html! {
            figure class="guard" data-chart="" {
                svg width="100%" height=(number(HEIGHT)) role="img" aria-labelledby={ (title) " " (desc) } {
                    title id=(title) { (self.title()) }
                    desc id=(desc) { (self.sentence()) }
                    (self.shares())
                    (self.failures())
                    (self.evidence())
                    (self.answers_axis())
                }
                figcaption class="s" { (self.sentence()) " " span class="m" { (self.explained()) } }
                (self.table(index))
            }
        }
    }

    fn counted(&self) -> String {
        let last = self.deciding().unwrap_or_else(|| self.last());
        let mut text = format!(
            "{} of the new one",
            words::counted(last.new.answers, "answer", "answers")
        );
        if self.has_old() {
            text.push_str(&format!(", {} of the old", words::count(last.old.answers)));
        }
        if self.decided.is_some() {
            text.push_str(", up to the decision");
        }
        text
    }

    fn title(&self) -> String {
        format!(
            "Share of the traffic, failed answers and evidence over {} of {}",
            words::counted(self.last().answers(), "answer", "answers"),
            self.service.name
        )
    }

    /// How the new revision's share rose, and the decision.
    fn shares(&self) -> Markup {
        let (top, base) = SHARE;
        let steps = self.share_steps();
        let new = &self.deployment.release.revision;
        html! {
            text class="tx b" x="0" y="16" { "Share of traffic" }
            @if self.deployment.old.is_some() {
                // The old one has what the new one has not; after a decision it has everything.
                @let end = if self.decided.is_some() { 1.0 } else { self.place(&self.last()) };
                rect class="band" x="0" width=(percent(end)) y=(number(top)) height=(number(base - top)) {}
            }
            @for (from, to, share) in &steps {
                @let height = (base - top) * f64::from(*share) / 10_000.0;
                rect class="ar" x=(percent(*from)) width=(percent(to - from)) y=(number(base - height)) height=(number(height)) {}
            }
            (left("0", base)) (left("50", f64::midpoint(top, base))) (left("100 %", top))
            line class="ax" x1="0" x2="100%" y1=(number(base)) y2=(number(base)) {}
            // Where the new one had everything from the beginning, there is no place of the old one to name.
            @let begins_low = steps.first().is_some_and(|(_, _, share)| *share <= 5_000);
            @if let (Some(old), true) = (&self.deployment.old, begins_low) { text class="tx hs" x="0" y="48" dx="8" { "old " (old) } }
            @for (index, (from, to, share)) in steps.iter().enumerate() {
                // A step that is too short for its words is told by the picture alone.
                @if to - from > 0.05 {
                    @let full = *share > 8_000;
                    @let y = if full { top + 20.0 } else { base - (base - top) * f64::from(*share) / 10_000.0 - 6.0 };
                    text class=(if full { "b on" } else { "tx b" }) x=(percent(*from)) y=(number(y)) dx=(if index == 0 { 8 } else { 4 }) {
                        @if index == 0 { "new " (new) ", " }
                        (words::percent(f64::from(*share) / 10_000.0))
                    }
                }
            }
        }
    }

    /// From where to where it had which share.
    fn share_steps(&self) -> Vec<(f64, f64, u32)> {
        let until = self.decided.map_or(self.seen.len(), |at| at + 1);
        let mut steps: Vec<(f64, f64, u32)> = Vec::new();
        let mut before = 0.0;
        for seen in self.seen.iter().take(until) {
            let at = self.place(seen);
            match steps.last_mut() {
                Some(last) if last.2 == seen.share => last.1 = at,
                Some(last) => {
                    last.1 = before;
                    steps.push((before, at, seen.share));
                }
                None => steps.push((0.0, at, seen.share)),
            }
            before = at;
        }
        steps.retain(|(_, _, share)| *share > 0);
        steps
    }

    fn failures(&self) -> Markup {
        let (last, [new, old]) = (self.deciding().unwrap_or_else(|| self.last()), FAILED);
        let rows = [
            (new, "new", last.new.errors, last.new.answers),
            (old, "old", last.old.errors, last.old.answers),
        ];
        let shown = if self.has_old() { 2 } else { 1 };
        html! {
            text class="tx b" x="0" y="136" { "Failed answers" }
            text class="hs" x="0" y="136" dx="104" { "a tick each" }
            @for (index, (y, name, errors, answers)) in rows.into_iter().take(shown).enumerate() {
                (left(name, y + 11.0))
                svg aria-hidden="true" y=(number(y)) width="100%" height="20" viewBox="0 0 600 20" preserveAspectRatio="none" {
                    @if index == 0 && self.has_old() { path class="tk" transform="translate(0 14)" d=(chart::strokes(self.ticks(|seen| seen.new.answers), 6.0)) {} }
                    path class="tkb" d=(chart::strokes(self.ticks(|seen| if index == 0 { seen.new.errors } else { seen.old.errors }), 20.0)) {}
                }
                line class="ax" x1="0" x2="100%" y1=(number(y + 20.0)) y2=(number(y + 20.0)) {}
                text class="tx b e hs" x="100%" y=(number(y + 15.0)) { (words::count(errors)) " of " (words::count(answers)) }
            }
        }
    }

    /// Where a count rose: each of a row of answers, as far as they can be told apart.
    fn ticks(&self, of: impl Fn(&Seen) -> u64) -> Vec<f64> {
        let mut places = Vec::new();
        for pair in self.seen.windows(2) {
            let [before, after] = pair else { continue };
            let rose = of(after).saturating_sub(of(before));
            let end = after.answers();
            let step = (rose / 600).max(1);
            let mut back = rose;
            while back > 0 {
                places.push(self.x.place(float(end - (back - 1))));
                back = back.saturating_sub(step);
            }
        }
        places
    }

    fn evidence(&self) -> Markup {
        let (top, base) = EVIDENCE;
        let limit = self.down(self.needed);
        html! {
            text class="tx b" x="0" y="236" { "Evidence against the release" }
            text class="hs" x="0" y="236" dx="184" { "how rarely a good release would look this bad" }
            @for tick in self.y.ticks(6).into_iter().filter(|tick| *tick >= 1.0) {
                @let y = self.down(tick);
                line class="gr" x1="0" x2="100%" y1=(number(y)) y2=(number(y)) {}
                (left(&(if tick < 50.0 { format!("1 in {}", whole(tick)) } else { short_count(tick) }), y))
            }
            line class="ax" x1="0" x2="100%" y1=(number(base)) y2=(number(base)) {}
            line class="lim" x1="0" x2="100%" y1=(number(limit)) y2=(number(limit)) {}
            text class="lb hl" x="0" y=(number(limit - 6.0)) dx="4" { (self.limit_word()) " 1 in " (whole(self.needed)) }
            svg aria-hidden="true" y=(number(top)) width="100%" height=(number(base - top)) viewBox=(VIEW_BOX) preserveAspectRatio="none" {
                @for (class, points) in self.lines() { path class=(class) d=(chart::curve(&points, &self.x, &self.y)) {} }
            }
            (self.labels())
            (self.mark())
        }
    }

    fn limit_word(&self) -> &'static str {
        if self.deployment.ended_at.is_some() || self.decided.is_some() {
            "threshold"
        } else {
            "goes back at"
        }
    }

    /// The curves from the faintest on: the other tests, the old revision, and this test, which ends with its decision.
    fn lines(&self) -> Vec<(&'static str, Points)> {
        let mut lines = Vec::new();
        for other in self.others() {
            lines.push(("ln x", self.points(|seen| seen.part(other))));
        }
        if self.follows_old() {
            lines.push(("ln o", self.points(Seen::old_part)));
        }
        let until = self.decided.map_or(self.seen.len(), |at| at + 1);
        let mut whole = self.points(|seen| seen.part(self.test));
        whole.truncate(until);
        lines.push(("ln big1", whole));
        lines
    }

    fn points(&self, part: impl Fn(&Seen) -> f64) -> Points {
        self.seen
            .iter()
            .map(|seen| (float(seen.answers()), Some(part(seen) * self.needed)))
            .collect()
    }

    /// Other tests that ever had something to say.
    fn others(&self) -> Vec<Test> {
        let said = |test: Test| {
            self.seen
                .iter()
                .any(|seen| seen.against(test).one_in >= WORTH_A_LINE)
        };
        Test::ALL
            .into_iter()
            .filter(|test| *test != self.test && said(*test))
            .collect()
    }

    /// The old revision under the same test, where that is followed: errors all the time, times after a verdict.
    fn follows_old(&self) -> bool {
        self.has_old()
            && (!is_slow(self.test)
                || self
                    .service
                    .verdict
                    .as_ref()
                    .is_some_and(|verdict| verdict.outage))
    }

    /// Names at the right end of the curves, moved apart where they would lie on one another.
    fn labels(&self) -> Markup {
        let last = self.last();
        let end = percent(self.place(&last));
        let mut labels: Vec<(f64, String)> = self
            .others()
            .into_iter()
            .map(|test| (self.down(last.part(test) * self.needed), name(test).to_owned()))
            .collect();
        if self.follows_old() {
            labels.push((
                self.down(last.old_part() * self.needed),
                "old, same fault".to_owned(),
            ));
        }
        labels.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut free = EVIDENCE.1 - 6.0;
        html! {
            @for (y, text) in labels {
                @let place = (y + 4.0).min(free);
                @let () = free = place - 15.0;
                text class="hl hs" x=(end) y=(number(place)) dx="8" { (text) }
            }
        }
    }

    /// The deciding answer, or where it stands now.
    fn mark(&self) -> Markup {
        let seen = self.deciding().unwrap_or_else(|| self.last());
        let (place, odds) = (self.place(&seen), seen.against(self.test));
        let x = percent(place);
        let y = self.down(seen.part(self.test) * self.needed);
        // Words stand where there is room, and above the line of the limit.
        let (side, dx) = if place > 0.4 { ("e", -12) } else { ("", 12) };
        let first = y.max(EVIDENCE.0 + 4.0) - 26.0;
        html! {
            @if let (Some(_), Some(verdict)) = (self.decided, &self.service.verdict) {
                line class="mk" x1=(x) x2=(x) y1="12" y2=(number(EVIDENCE.1)) {}
                text class={ "tx b " (side) } x=(x) y="16" dx=(if side == "e" { -8 } else { 8 }) { "back to the old" }
                circle class="dot" cx=(x) cy=(number(y)) r="5" {}
                text class={ "tx b hl " (side) } x=(x) y=(number(first)) dx=(dx) { "crossed: 1 in " (whole(verdict.one_in)) }
                text class={ "hl " (side) } x=(x) y=(number(first + 16.0)) dx=(dx) { (count_of(verdict)) }
            } @else {
                circle class="now1" cx=(x) cy=(number(y)) r="5" {}
                text class="tx b hl e" x=(x) y=(number(y - 12.0)) dx="-4" { "1 in " (whole(odds.one_in)) ", " (self.standing()) }
            }
        }
    }

    fn standing(&self) -> &'static str {
        if self.service.proven {
            "proven good"
        } else {
            "undecided"
        }
    }

    fn answers_axis(&self) -> Markup {
        let last = float(self.last().answers());
        html! {
            @for tick in self.x.ticks(5).into_iter().filter(|tick| *tick <= last && tick.fract() == 0.0) {
                @let place = self.x.place(tick);
                text class=[(place > 0.02).then_some("c")] x=(percent(place)) y="486" { (short_count(tick)) }
            }
            text class="e" x="100%" y="486" { "answers" }
        }
    }

    fn in_short(&self) -> String {
        match &self.service.verdict {
            Some(verdict) => format!("{}, {}", name(self.test).to_lowercase(), count_of(verdict)),
            None => format!(
                "1 in {}, {}",
                whole(self.last().against(self.test).one_in),
                self.standing()
            ),
        }
    }

    /// The verdict.
    fn sentence(&self) -> String {
        let (service, needed) = (&self.service.name, whole(self.needed));
        let test = self.what();
        match (&self.service.verdict, self.deciding()) {
            (Some(verdict), Some(deciding)) => {
                let whose = if verdict.outage {
                    "; the old one fails the same way, so this is an outage and not the release"
                } else {
                    ""
                };
                let late = if verdict.late { ", after a good phase" } else { "" };
                format!(
                    "{test}: {} when the evidence crossed 1 in {needed}, at answer {}{late}{whose}.",
                    count_of(verdict),
                    words::count(deciding.answers()),
                )
            }
            _ if self.service.proven => {
                format!(
                    "Nothing crossed, and the error rate of the new {service} is proven to be under its limit. The strongest evidence against it is of {}.",
                    test_name(self.test)
                )
            }
            _ => {
                let end = if self.deployment.ended_at.is_some() {
                    "it ended as live, not proven"
                } else {
                    "it goes on, and ends as live, not proven, if it stays so"
                };
                let end = if self.deployment.state == "live" || self.deployment.ended_at.is_none() {
                    end
                } else {
                    "it ended before that"
                };
                format!(
                    "Nothing crossed 1 in {needed}, and too few answers came to prove the new {service} good: {end}. The strongest evidence against it is of {}.",
                    test_name(self.test)
                )
            }
        }
    }

    fn what(&self) -> String {
        match self.test {
            Test::Errors => format!("Errors over {}", words::percent(self.judged.error_limit)),
            Test::MoreErrors => "More errors than the old one".to_owned(),
            Test::SlowP50 => format!(
                "Slower than the old median by {}",
                words::percent(self.judged.slower_limit)
            ),
            Test::SlowP95 => format!(
                "Slower than the old p95 by {}",
                words::percent(self.judged.slower_limit)
            ),
        }
    }

    fn explained(&self) -> String {
        let mut text = format!(
            "Looked at after every answer; a good release reaches 1 in {} at most once in so many deployments.",
            whole(self.needed)
        );
        if !self.others().is_empty() || self.follows_old() {
            text.push_str(" Each line is drawn against its own limit.");
        }
        if let Some(first) = self.seen.first().filter(|first| first.answers() > 0) {
            text.push_str(&format!(
                " Of the first {} only the sum was kept.",
                words::counted(first.answers(), "answer", "answers")
            ));
        }
        text
    }

    /// The same as figures, for who does not see the picture; and what the pointer shows.
    fn table(&self, index: usize) -> Markup {
        let span = self.seen.len().div_ceil(ROWS_MAX).max(1);
        let rows = self
            .seen
            .iter()
            .enumerate()
            .filter(|(at, _)| at % span == 0 || Some(*at) == self.decided || at + 1 == self.seen.len());
        html! {
            details class="fold tbl" id={ "saw-table-" (index) } {
                summary { "As a table" }
                table class="keep" {
                    thead {
                        tr {
                            th scope="col" class="r" { "Answers" } th scope="col" class="r" { "Share" }
                            th scope="col" class="r" { "New failed" } th scope="col" class="r" { "Old failed" }
                            th scope="col" class="r" { "Evidence" }
                        }
                    }
                    tbody {
                        @for (at, seen) in rows {
                            tr data-x=(number(self.place(seen) * 1000.0)) class=[(Some(at) == self.decided).then_some("bad")] {
                                td class="r" { (words::count(seen.answers())) }
                                td class="r" { (words::percent(f64::from(seen.share) / 10_000.0)) }
                                td class="r" { (words::count(seen.new.errors)) " of " (words::count(seen.new.answers)) }
                                td class="r" { @if self.has_old() { (words::count(seen.old.errors)) " of " (words::count(seen.old.answers)) } @else { "–" } }
                                td class="r" { "1 in " (whole(seen.against(self.test).one_in)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Seen {
    fn against(&self, test: Test) -> Odds {
        let [errors, more, p50, p95] = self.against;
        match test {
            Test::Errors => errors,
            Test::MoreErrors => more,
            Test::SlowP50 => p50,
            Test::SlowP95 => p95,
        }
    }

    /// How near a test is to its own limit: 1 is there.
    fn part(&self, test: Test) -> f64 {
        self.against(test).part()
    }

    fn old_part(&self) -> f64 {
        self.old_too.part()
    }
}

impl Odds {
    fn part(&self) -> f64 {
        if self.needed > 0.0 {
            self.one_in / self.needed
        } else {
            0.0
        }
    }
}

/// The answers, and room behind them for words.
fn across(first: u64, last: u64) -> Axis {
    let (first, last) = (float(first), float(last));
    Axis::linear(first, last + (last - first) * ROOM / (1.0 - ROOM))
}

fn left(text: &str, y: f64) -> Markup {
    html! { text class="e" x="0" y=(number(y + 4.0)) dx="-8" { (text) } }
}

fn is_slow(test: Test) -> bool {
    matches!(test, Test::SlowP50 | Test::SlowP95)
}

fn name(test: Test) -> &'static str {
    match test {
        Test::Errors => "errors",
        Test::MoreErrors => "new against old",
        Test::SlowP50 => "slower, median",
        Test::SlowP95 => "slower, p95",
    }
}

fn test_name(test: Test) -> &'static str {
    match test {
        Test::Errors => "its errors",
        Test::MoreErrors => "its errors against the old one's",
        Test::SlowP50 => "its median response time",
        Test::SlowP95 => "its p95 response time",
    }
}

/// `24 of 197 failed`.
fn count_of(verdict: &Verdict) -> String {
    let new = &verdict.new;
    let (part, of, what) = match verdict.test {
        Test::SlowP50 => (new.over_p50, new.timed, "too slow"),
        Test::SlowP95 => (new.over_p95, new.timed, "too slow"),
        _ => (new.errors, new.answers, "failed"),
    };
    format!("{} of {} {what}", words::count(part), words::count(of))
}

/// `100`, `10,000`, `1 M`, `1 G`.
fn short_count(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{} G", whole(n / 1e9)),
        n if n >= 1e6 => format!("{} M", whole(n / 1e6)),
        n if n < 1.0 => "0".to_owned(),
        n => whole(n),
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
#[path = "saw_tests.rs"]
mod tests;

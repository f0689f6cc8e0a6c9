//! Two attempts of a run beside one another: which jobs ended otherwise, how long each took, what each said first.

use crate::Fragment;
use crate::icon::{Icon, coloured};
use crate::page::log;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// Beyond so many, jobs are counted; what changed stands first.
const PAIRS_MAX: usize = 200;
/// Less is not called longer or shorter.
const DIFFERENCE_MIN_MS: i64 = 1_000;

pub struct Attempts {
    /// `/owner/name/runs/7`.
    pub run: String,
    pub id: i64,
    pub title: String,
    /// How many the run has.
    pub attempts: u32,
    pub now: i64,
    pub before: Attempt,
    pub after: Attempt,
    /// In the order of the files.
    pub pairs: Vec<Pair>,
}

pub struct Attempt {
    pub number: u32,
    pub status: Status,
    pub started_at: i64,
    pub ended_at: Option<i64>,
}

/// A job, as it went in each of the two; none where it was not in that one.
pub struct Pair {
    pub name: String,
    pub before: Option<Side>,
    pub after: Option<Side>,
}

pub struct Side {
    pub job: i64,
    pub status: Status,
    /// For what it waits, or why it was skipped or cancelled.
    pub why: String,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub said: Option<Said>,
}

/// The first error of a failed job.
pub struct Said {
    pub text: String,
    pub step: u32,
    /// Of the job's log, from 0; none where the runner did not say.
    pub line: Option<u64>,
}

/// What became of a job between the two; what matters most stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Fails,
    Passes,
    Otherwise,
    SaysOtherwise,
    Added,
    Gone,
    Open,
    Same,
    Kept,
}

impl Pair {
    fn change(&self) -> Change {
        let (before, after) = match (&self.before, &self.after) {
            (Some(before), Some(after)) => (before, after),
            (None, _) => return Change::Added,
            (_, None) => return Change::Gone,
        };
        let said = |side: &Side| side.said.as_ref().map(|said| said.text.clone());
        match (before.status, after.status) {
            _ if before.job == after.job => Change::Kept,
            (_, Status::Queued | Status::Running | Status::Waiting) => Change::Open,
            (was, is) if was == is && said(before) != said(after) => Change::SaysOtherwise,
            (was, is) if was == is => Change::Same,
            (_, Status::Failed | Status::TimedOut | Status::Fault) => Change::Fails,
            (_, Status::Passed) => Change::Passes,
            _ => Change::Otherwise,
        }
    }
}

impl Attempts {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="title" { div {
                h1 { "Attempts " (self.before.number) " and " (self.after.number) " " span class="m nb" { "#" (self.id) } }
                p class="meta" { span { (self.title) } }
            } }
            nav class="tabs" aria-label="Run" {
                a href=(self.run) { "Overview" }
                a href=(path(&self.run, self.after.number, self.before.number)) aria-current="page" { "Compare attempts" }
                a href={ (self.run) "/config" } { "Configuration" }
            }
            (self.choice())
            (self.compared())
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("attempts", self.compared())]
    }

    /// Which two.
    fn choice(&self) -> Markup {
        let select = |name: &str, word: &str, chosen: u32| {
            html! {
                label { span { (word) } select name=(name) {
                    @for attempt in 1..=self.attempts { option value=(attempt) selected[attempt == chosen] { "attempt " (attempt) } }
                } }
            }
        };
        html! {
            @if self.attempts > 2 {
                form method="get" action=(self.run) class="frm sec1" {
                    (select("compare", "Compare", self.before.number))
                    (select("attempt", "with", self.after.number))
                    button class="btn" { "Compare" }
                }
            }
        }
    }

    fn compared(&self) -> Markup {
        let mut pairs: Vec<(Change, &Pair)> = self.pairs.iter().map(|pair| (pair.change(), pair)).collect();
        pairs.sort_by_key(|(change, _)| *change);
        let kept = pairs.split_off(pairs.partition_point(|(change, _)| *change < Change::Kept));
        html! {
            section id="attempts" class="sec1" aria-label="What changed" {
                p class="lead" { (sentence(&pairs)) }
                p class="meta" { span { (self.heading(&self.before)) } span { (self.heading(&self.after)) } }
                @if pairs.is_empty() {
                    p class="m s" { "No job ran in both." }
                } @else {
                    table class="do cmp" {
                        thead { tr {
                            th scope="col" { "Job" } th scope="col" { "What changed" }
                            th scope="col" { "Attempt " (self.before.number) } th scope="col" { "Attempt " (self.after.number) }
                        } }
                        tbody { @for (change, pair) in pairs.iter().take(PAIRS_MAX) { (self.row(*change, pair)) } }
                    }
                    @if let Some(more) = pairs.len().checked_sub(PAIRS_MAX + 1) { p class="m s more1" { (more + 1) " more are not shown." } }
                }
                @if !kept.is_empty() {
                    details id="attempts-kept" class="sec1" {
                        summary class="s m" { (words::counted(kept.len() as u64, "job was", "jobs were")) " not run again" }
                        ul class="s" {
                            @for (_, pair) in kept.iter().take(PAIRS_MAX) {
                                @if let Some(side) = &pair.after { li { (side.status.icon()) a href=(self.job(side)) { (pair.name) } " " span class="m" { (side.status.word()) } } }
                            }
                        }
                        @if let Some(more) = kept.len().checked_sub(PAIRS_MAX + 1) { p class="m s" { "and " (more + 1) " more" } }
                    }
                }
            }
        }
    }

    fn heading(&self, attempt: &Attempt) -> Markup {
        html! {
            a class="a" href={ (self.run) "?attempt=" (attempt.number) } { "Attempt " (attempt.number) } " "
            (attempt.status.mark()) " "
            @match attempt.ended_at {
                Some(end) => { (words::duration(end - attempt.started_at)) }
                None => { (words::since(attempt.started_at, self.now)) }
            }
        }
    }

    fn job(&self, side: &Side) -> String {
        format!("{}/jobs/{}", self.run, side.job)
    }

    fn row(&self, change: Change, pair: &Pair) -> Markup {
        let (before, after) = (pair.before.as_ref(), pair.after.as_ref());
        html! {
            tr {
                td class="jb" { b { (pair.name) } }
                td class="ch" { (self.changed(change, pair)) }
                td class="full" data-l={ "attempt " (self.before.number) } { (self.side(before, None)) }
                td class="full" data-l={ "attempt " (self.after.number) } { (self.side(after, before)) }
            }
        }
    }

    /// By a shape and in words.
    fn changed(&self, change: Change, pair: &Pair) -> Markup {
        let marked = |shape, class, word: &str| {
            html! { span class={ "st " (class) } { (coloured(shape, class)) (word) } }
        };
        match change {
            Change::Fails => marked(Icon::Bad, "bad", "fails now"),
            Change::Passes => marked(Icon::Ok, "ok", "passes now"),
            Change::Otherwise => match &pair.after {
                Some(after) => after.status.mark_as(&format!("{} now", after.status.word())),
                None => html! {},
            },
            Change::SaysOtherwise => marked(Icon::Bad, "bad", "another error"),
            Change::Added => html! { "only in attempt " (self.after.number) },
            Change::Gone => html! { "only in attempt " (self.before.number) },
            Change::Open => html! { span class="m" { "not over yet" } },
            Change::Same => html! { span class="m" { "as before" } },
            Change::Kept => html! { span class="m" { "not run again" } },
        }
    }

    fn side(&self, side: Option<&Side>, before: Option<&Side>) -> Markup {
        let Some(side) = side else {
            return html! { span class="m" { "not there" } };
        };
        let path = self.job(side);
        html! {
            a href=(path) { (side.status.mark()) } " "
            @match (side.started_at, side.ended_at) {
                (Some(start), None) => { (words::since(start, self.now)) }
                _ => @if let Some(ran) = side.ran() {
                    (words::duration(ran))
                    @if let Some(difference) = before.and_then(Side::ran).map(|before| ran - before).filter(|ms| ms.abs() >= DIFFERENCE_MIN_MS) {
                        span class="m" { ", " (words::duration(difference.abs())) @if difference > 0 { " longer" } @else { " shorter" } }
                    }
                }
            }
            @match &side.said {
                Some(said) => {
                    p class="s said" {
                        @match said.line {
                            Some(line) => { a class="a" href=(log::link(&path, said.step, line)) title={ "Line " (words::count(line + 1)) " of its log" } { (said.text) } }
                            None => { a class="a" href={ (path) "?step=" (said.step) } { (said.text) } }
                        }
                    }
                }
                None => @if !side.why.is_empty() { p class="s m said" { (side.why) } }
            }
        }
    }
}

impl Side {
    fn ran(&self) -> Option<i64> {
        Some(self.ended_at? - self.started_at?)
    }
}

/// Where two attempts are compared; the younger one first.
pub(super) fn path(run: &str, attempt: u32, with: u32) -> String {
    format!("{run}?attempt={attempt}&compare={with}")
}

/// `1 job fails now, 2 pass now; 3 went as before.`
fn sentence(pairs: &[(Change, &Pair)]) -> String {
    let count = |changes: &[Change]| {
        pairs
            .iter()
            .filter(|(change, _)| changes.contains(change))
            .count() as u64
    };
    let said = [
        (count(&[Change::Fails]), "fails now", "fail now"),
        (count(&[Change::Passes]), "passes now", "pass now"),
        (count(&[Change::Otherwise]), "ended otherwise", "ended otherwise"),
        (
            count(&[Change::SaysOtherwise]),
            "fails with another error",
            "fail with other errors",
        ),
        (
            count(&[Change::Added, Change::Gone]),
            "is only in one of them",
            "are only in one of them",
        ),
        (count(&[Change::Open]), "is not over yet", "are not over yet"),
        (count(&[Change::Same]), "went as before", "went as before"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (n, one, many) in said.into_iter().filter(|(n, ..)| *n > 0) {
        let word = if n == 1 { one } else { many };
        parts.push(if parts.is_empty() {
            format!("{} {word}", words::counted(n, "job", "jobs"))
        } else {
            format!("{} {word}", words::count(n))
        });
    }
    if parts.is_empty() {
        return "No job was run again.".to_owned();
    }
    format!("{}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(job: i64, status: Status, ran: Option<(i64, i64)>) -> Option<Side> {
        Some(Side {
            job,
            status,
            why: String::new(),
            started_at: ran.map(|(start, _)| start),
            ended_at: ran.map(|(_, end)| end),
            said: None,
        })
    }

    fn failed(job: i64, ran: (i64, i64), text: &str, line: Option<u64>) -> Option<Side> {
        let side = side(job, Status::Failed, Some(ran));
        side.map(|side| Side {
            said: Some(Said {
                text: text.to_owned(),
                step: 2,
                line,
            }),
            ..side
        })
    }

    fn pair(name: &str, before: Option<Side>, after: Option<Side>) -> Pair {
        Pair {
            name: name.to_owned(),
            before,
            after,
        }
    }

    fn attempts(pairs: Vec<Pair>, attempts: u32) -> Attempts {
        let attempt = |number, status, ended_at| Attempt {
            number,
            status,
            started_at: 0,
            ended_at,
        };
        Attempts {
            run: "/o/p/runs/7".to_owned(),
            id: 7,
            title: "Fix <b>login</b>".to_owned(),
            attempts,
            now: 90_000,
            before: attempt(1, Status::Failed, Some(125_000)),
            after: attempt(2, Status::Passed, Some(72_000)),
            pairs,
        }
    }

    #[test]
    fn what_changed_stands_first_and_names_stay_text() {
        let hostile = "\"><script>alert(1)</script>";
        let minute = |seconds: i64| Some((0, seconds * 1_000));
        let skipped = Side {
            why: format!("needs `{hostile}`, which failed"),
            ..side(9, Status::Skipped, None).expect("a side")
        };
        let html = attempts(
            vec![
                pair(
                    "lint",
                    side(1, Status::Passed, minute(9)),
                    side(1, Status::Passed, minute(9)),
                ),
                pair(
                    "same",
                    side(2, Status::Passed, minute(9)),
                    side(12, Status::Passed, minute(9)),
                ),
                pair(
                    hostile,
                    failed(3, (0, 61_000), "expected 200", Some(4181)),
                    side(13, Status::Passed, minute(41)),
                ),
                pair(
                    "e2e",
                    side(4, Status::Passed, minute(41)),
                    failed(14, (0, 43_000), hostile, None),
                ),
                pair(
                    "flaky",
                    failed(5, (0, 5_000), "one", Some(1)),
                    failed(15, (0, 5_000), "two", Some(2)),
                ),
                pair("ship", Some(skipped), side(19, Status::Passed, minute(5))),
                pair("load", None, side(20, Status::Running, None)),
                pair(
                    "slow",
                    side(6, Status::Passed, minute(9)),
                    side(16, Status::Queued, None),
                ),
                pair(
                    "stop",
                    side(7, Status::Failed, minute(9)),
                    side(17, Status::Cancelled, minute(9)),
                ),
            ],
            2,
        )
        .main()
        .into_string();
        assert!(!html.contains("<script") && !html.contains("<b>login"), "{html}");
        insta::assert_snapshot!(html.replace("><", ">\n<"));
    }

    #[test]
    fn nothing_to_compare_is_said_and_of_many_attempts_two_are_chosen() {
        let kept = || side(1, Status::Passed, Some((0, 9_000)));
        let html = attempts(vec![pair("lint", kept(), kept())], 3)
            .main()
            .into_string();
        for part in [
            "No job was run again.",
            "1 job was not run again",
            "<select name=\"compare\"><option value=\"1\" selected>attempt 1",
            "<option value=\"2\" selected>attempt 2",
            "action=\"/o/p/runs/7\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("<table"), "{html}");
    }
}

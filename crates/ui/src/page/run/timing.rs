//! Where the time went: a bar a job, what it waited apart from what it ran, its steps inside.

use super::{Job, Run};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

const ROWS_MAX: usize = 40;
/// Steps that are told apart in a bar.
const STEPS_MAX: usize = 60;
/// The longest steps, which are told in words.
const LONGEST: usize = 5;
/// Shorter ones are not worth a line.
const LONG_MIN: i64 = 1_000;
/// While it runs, what is drawn grows by so much at a time.
const GROWS_BY: i64 = 5_000;
/// Less is not worth a number.
const WAITED_MIN: i64 = 1_000;
const TICKS: [i64; 19] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000,
];

/// One job on the common axis; in milliseconds.
struct Row<'a> {
    job: &'a Job,
    /// When all that it needs was over.
    ready: i64,
    start: Option<i64>,
    end: i64,
}

impl Run {
    pub(super) fn timing(&self) -> Markup {
        let rows = self.rows();
        let begin = rows.iter().map(|row| row.ready).min().unwrap_or_default();
        let length = rows.iter().map(|row| row.end - begin).max().unwrap_or_default();
        let tick = TICKS.into_iter().find(|tick| length <= tick * 5);
        let tick = tick.unwrap_or_else(|| (length / 5).max(1));
        let whole = (length.max(1) + tick - 1) / tick * tick;
        let more = rows.len().saturating_sub(ROWS_MAX);
        html! {
            section id="run-timing" aria-labelledby="run-timing-h" {
                @if !rows.is_empty() {
                    div class="head" {
                        h2 id="run-timing-h" { "Timing" }
                        span class="m key" {
                            span { svg class="lgd" width="16" height="10" aria-hidden="true" { (hatch()) rect width="16" height="10" fill="url(#hat)" {} } " waiting" }
                            span { svg class="lgd" width="16" height="10" aria-hidden="true" { rect class="ok f bf" width="16" height="10" {} } " running" }
                        }
                    }
                    table class="tt" {
                        thead { tr {
                            th scope="col" { "Job" } th scope="col" class="tb" { (axis(whole, tick)) }
                            th scope="col" class="r" { "Waited" } th scope="col" class="r" { "Ran" }
                        } }
                        tbody { @for row in rows.iter().take(ROWS_MAX) { (self.timed(row, begin, whole)) } }
                    }
                    @if more > 0 { p class="m s" { (words::counted(more as u64, "more job", "more jobs")) } }
                    (self.longest_steps(&rows))
                }
            }
        }
    }

    /// Where most of the time went, for who does not point at bars.
    fn longest_steps(&self, rows: &[Row<'_>]) -> Markup {
        let mut steps: Vec<(i64, &Job, &str)> = Vec::new();
        for row in rows {
            for step in &row.job.steps {
                if let Some(ms) = step.duration_ms.filter(|ms| *ms >= LONG_MIN) {
                    steps.push((ms, row.job, &step.name));
                }
            }
        }
        steps.sort_by_key(|(ms, ..)| std::cmp::Reverse(*ms));
        steps.truncate(LONGEST);
        html! {
            @if !steps.is_empty() {
                h3 { "Longest steps" }
                ol class="rows longest" {
                    @for (ms, job, name) in steps {
                        li {
                            a class="t1" href=(self.job_path(job.id)) title=(name) { (name) }
                            span class="m t1" { (job.name) }
                            span class="end nw" { (words::duration(ms)) }
                        }
                    }
                }
            }
        }
    }

    /// The jobs of this attempt that began, or could.
    fn rows(&self) -> Vec<Row<'_>> {
        let own: Vec<&Job> = self
            .jobs
            .iter()
            .filter(|job| job.attempt == self.attempt)
            .collect();
        let begin = own.iter().map(|job| job.created_at).min().unwrap_or_default();
        let mut rows: Vec<Row<'_>> = Vec::new();
        for &job in &own {
            // What it waits for begins when all that it needs is over, whoever or whatever it waits for.
            let needs = own.iter().filter(|need| job.needs.contains(&need.id));
            let ends: Option<Vec<i64>> = needs.map(|need| need.ended_at).collect();
            let Some(ends) = ends else { continue };
            let ready = ends.into_iter().max().unwrap_or(begin);
            let waits = matches!(job.status, Status::Waiting | Status::Queued | Status::Running);
            if job.started_at.is_none() && !waits {
                continue;
            }
            let now = self.now / GROWS_BY * GROWS_BY;
            let end = job.ended_at.unwrap_or(now.max(ready));
            rows.push(Row {
                job,
                ready: ready.min(job.started_at.unwrap_or(ready)),
                start: job.started_at,
                end: end.max(job.started_at.unwrap_or(end)),
            });
        }
        rows
    }

    fn timed(&self, row: &Row<'_>, begin: i64, whole: i64) -> Markup {
        let job = row.job;
        let waited = row.start.unwrap_or(row.end) - row.ready;
        let x = |at: i64| share(at - begin, whole);
        html! {
            tr {
                td { span class="st t1" { (job.status.icon()) a class="t1" href=(self.job_path(job.id)) title=(job.name) { (job.name) } span class="vh" { (job.status.word()) } } }
                td class="full tb" {
                    svg width="100%" height="12" aria-hidden="true" {
                        @if waited > 0 { rect x=(x(row.ready)) width=(share(waited, whole)) height="12" fill="url(#hat)" {} }
                        @if let Some(start) = row.start {
                            rect class={ (job.status.class()) " f bf" } x=(x(start)) width=(share((row.end - start).max(whole / 250), whole)) height="12" rx="1" {}
                            @for step in job.steps.iter().take(STEPS_MAX) {
                                @if let (Some(at), Some(ms)) = (step.started_at, step.duration_ms) {
                                    g {
                                        title { (step.name) ", " (words::duration(ms)) }
                                        rect class="sg" x=(x(at)) width=(share(ms, whole)) height="12" {}
                                        // A cut is a pixel wide: what is not much wider would be cut away.
                                        @if at > start && ms > whole / 100 && at - start > whole / 100 { line class="cut" x1=(x(at)) x2=(x(at)) y1="0" y2="12" {} }
                                    }
                                }
                            }
                        }
                    }
                }
                td class="r m" data-l="waited" { @if waited >= WAITED_MIN { (words::duration(waited)) } @else { "–" } }
                td class="r" {
                    @match (row.start, job.ended_at) {
                        (Some(start), Some(end)) => { (words::duration(end - start)) }
                        (Some(start), None) => { (words::since(start, self.now)) }
                        (None, _) => { "–" }
                    }
                }
            }
        }
    }
}

fn axis(whole: i64, tick: i64) -> Markup {
    html! {
        svg width="100%" height="16" aria-hidden="true" {
            @for index in 0..=whole / tick {
                @let class = if index == 0 { "" } else if index * tick == whole { "e" } else { "c" };
                text class=(class) x=(share(index * tick, whole)) y="12" { (label(index * tick)) }
            }
        }
    }
}

/// `0`, `30 s`, `2 m`: round numbers only.
fn label(ms: i64) -> String {
    match ms {
        0 => "0".to_owned(),
        _ if ms % 3_600_000 == 0 => format!("{} h", ms / 3_600_000),
        _ if ms % 60_000 == 0 => format!("{} m", ms / 60_000),
        _ if ms % 1000 == 0 && ms < 60_000 => format!("{} s", ms / 1000),
        _ => words::duration(ms),
    }
}

fn share(part: i64, whole: i64) -> String {
    let hundredths = part.max(0).saturating_mul(10_000) / whole.max(1);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// The pattern of what waits.
fn hatch() -> Markup {
    html! {
        defs {
            pattern id="hat" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" { path class="hatch" d="M1 0v5" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::super::jobs::tests::{job, run};
    use super::*;

    fn at(mut job: Job, times: (i64, Option<i64>, Option<i64>)) -> Job {
        (job.created_at, job.started_at, job.ended_at) = times;
        job
    }

    /// Waiting, steps, a job that still runs, one that waits for a person, one of an older attempt.
    #[test]
    fn time_is_drawn_as_it_was_spent() {
        let step = |name: &str, started_at, duration_ms| Step {
            name: name.to_owned(),
            started_at: Some(started_at),
            duration_ms: Some(duration_ms),
        };
        let mut build = at(
            job(1, "build", "build <all>", &[], Status::Passed),
            (1_000, Some(11_000), Some(41_000)),
        );
        build.steps = vec![
            step("Set up", 11_000, 5_000),
            step("Compile \"it\"", 16_000, 25_000),
        ];
        let test = at(
            job(2, "test", "test", &[1], Status::Failed),
            (41_000, Some(41_500), Some(71_000)),
        );
        let slow = at(
            job(3, "slow", "slow", &[1], Status::Running),
            (41_000, Some(51_000), None),
        );
        let ship = at(job(4, "ship", "ship", &[1], Status::Waiting), (1_000, None, None));
        let later = at(
            job(5, "later", "later", &[3], Status::Queued),
            (1_000, None, None),
        );
        let mut old = job(6, "old", "old", &[], Status::Passed);
        old.attempt = 0;
        let html = run(vec![build, test, slow, ship, later, old])
            .timing()
            .into_string();
        insta::assert_snapshot!(html.replace("><", ">\n<"));
    }

    /// The last of its jobs is waited for.
    #[test]
    fn a_matrix_is_needed_whole() {
        let first = at(
            job(1, "e2e", "e2e (a)", &[], Status::Passed),
            (0, Some(0), Some(1_000)),
        );
        let last = at(
            job(2, "e2e", "e2e (b)", &[], Status::Passed),
            (0, Some(0), Some(9_000)),
        );
        let ship = at(
            job(3, "ship", "ship", &[1, 2], Status::Passed),
            (0, Some(9_500), Some(9_600)),
        );
        let run = run(vec![first, last, ship]);
        let ready: Vec<i64> = run.rows().iter().map(|row| row.ready).collect();
        assert_eq!(ready, [0, 0, 9_000]);
    }

    #[test]
    fn the_axis_has_round_numbers() {
        let words: Vec<String> = [0, 500, 30_000, 120_000, 7_200_000].map(label).into();
        assert_eq!(words, ["0", "500 ms", "30 s", "2 m", "2 h"]);
        assert_eq!(
            (share(1, 3), share(5, 0), share(-1, 4)),
            ("33.33%".into(), "500.00%".into(), "0.00%".into())
        );
        let nothing = run(Vec::new()).timing().into_string();
        assert!(!nothing.contains("<table"), "{nothing}");
    }
}

//! How the runs of a workflow went: figures, a drawing of how long they took, and the runs.

use crate::Fragment;
use crate::bars::Bar;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// Rows of the table; the drawing shows more.
const ROWS: usize = 20;
const HEIGHT: i64 = 120;

pub struct History {
    /// `/owner/name`
    pub project: String,
    pub file: String,
    /// The newest first.
    pub runs: Vec<Ran>,
    /// How many there ever were.
    pub total: u64,
    pub now: i64,
}

pub struct Ran {
    pub id: i64,
    pub title: String,
    pub status: Status,
    pub event: String,
    pub git_ref: String,
    pub sha: String,
    pub actor: String,
    pub created_at: i64,
    pub started_at: i64,
    pub ended_at: Option<i64>,
}

impl Ran {
    fn took(&self) -> Option<i64> {
        self.ended_at.map(|end| (end - self.started_at).max(0))
    }
}

impl History {
    #[must_use]
    pub fn fragment(&self) -> Fragment {
        Fragment::new("wf-history", self.markup())
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            section id="wf-history" class="sec1" aria-labelledby="wf-runs" {
                div class="head" {
                    h2 id="wf-runs" { "Runs" }
                    span class="m" { (words::count(self.total)) }
                }
                @if self.runs.is_empty() { p class="m s" { "It never ran." } }
                @else { (self.figures()) (self.drawn()) (self.table()) }
            }
        }
    }

    fn green(&self) -> Vec<i64> {
        let green = self.runs.iter().filter(|run| run.status == Status::Passed);
        let mut times: Vec<i64> = green.filter_map(Ran::took).collect();
        times.sort_unstable();
        times
    }

    fn figures(&self) -> Markup {
        let failed = self.runs.iter().filter(|run| run.status.class() == "bad").count();
        let green = self.green();
        let judged = green.len() + failed;
        #[allow(clippy::cast_precision_loss, reason = "counts of a few hundred")]
        let share = green.len() as f64 / judged as f64;
        let (median, slow) = (green.get(green.len() / 2), green.get(green.len() * 19 / 20));
        html! {
            dl class="big" {
                @if judged > 0 {
                    div { dt { "passed, of " (judged) " that passed or failed" } dd { (words::percent(share)) } }
                }
                @if let Some(ms) = median { div { dt { "half of the green ones take less" } dd { (words::duration(*ms)) } } }
                @if let Some(ms) = slow.filter(|_| green.len() >= 20) {
                    div { dt { "19 of 20 green ones take less" } dd { (words::duration(*ms)) } }
                }
            }
        }
    }

    /// A bar for each run that is over, as high as it took long.
    fn drawn(&self) -> Markup {
        let over: Vec<(&Ran, i64)> = self
            .runs
            .iter()
            .rev()
            .filter_map(|run| Some((run, run.took()?)))
            .collect();
        let top = over
            .iter()
            .map(|(_, took)| *took)
            .max()
            .unwrap_or_default()
            .max(1);
        let green = self.green();
        let median = green.get(green.len() / 2).copied();
        let y = |ms: i64| HEIGHT - (HEIGHT - 8) * ms / top;
        // A hundred places, so that few runs do not look like walls.
        #[allow(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let step = 100.0 / over.len().max(40) as f64;
        html! {
            @if over.len() > 1 {
                figure class="plot took" {
                    figcaption { "How long each run took" span class="m" { "the newest on the right" } }
                    div {
                        svg width="100%" height=(HEIGHT) role="img" aria-label={ "Durations of the last " (over.len()) " runs, up to " (words::duration(top)) "; the table below has them" } {
                            @for (ms, word) in [(top, words::duration(top)), (0, "0".to_owned())] {
                                line class="gr" x1="0" x2="100%" y1=(y(ms)) y2=(y(ms)) {}
                                text class="e" x="-8" y=(y(ms) + 4) { (word) }
                            }
                            @for (index, (run, took)) in over.iter().enumerate() {
                                @let bar = Bar { run: run.id, status: run.status, duration_ms: *took };
                                a href={ (self.project) "/runs/" (run.id) } tabindex="-1" {
                                    title { "#" (run.id) " " (run.status.word()) ", " (words::duration(*took)) }
                                    rect class=(bar.class()) x={ (format!("{:.2}", index as f64 * step)) "%" } width={ (format!("{:.2}", step * 0.7)) "%" }
                                        y=(y(*took).min(HEIGHT - 2)) height=((HEIGHT - y(*took)).max(2)) {}
                                }
                            }
                            @if let Some(median) = median {
                                line class="dsh" x1="0" x2="100%" y1=(y(median)) y2=(y(median)) {}
                                text class="e" x="100%" y=(y(median) - 4) { "half of the green ones: " (words::duration(median)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table class="ran" {
                thead { tr {
                    th scope="col" { "Run" } th scope="col" class="ht" { "Of" } th scope="col" class="r" { "When" } th scope="col" class="r" { "Took" }
                } }
                tbody { @for run in self.runs.iter().take(ROWS) { tr {
                    td class="w" { span class="t1 st1" {
                        (run.status.icon())
                        a href={ (self.project) "/runs/" (run.id) } title=(run.title) { b { "#" (run.id) } " " (run.title) }
                        span class="vh" { (run.status.word()) }
                    } }
                    td class="m ht" { (run.event) " on " (words::branch(&run.git_ref)) " by " (run.actor) }
                    td class="r m" { (words::ago(run.created_at, self.now)) }
                    td class="r" { @match run.took() {
                        Some(ms) => { (words::duration(ms)) }
                        None => { (words::since(run.started_at, self.now)) }
                    } }
                } } }
            }
            @if self.total > ROWS as u64 {
                p class="more1" { a class="a" href={ (self.project) "/runs?q=workflow%3A" (words::segment(&self.file)) } { "All runs of " (self.file) } }
            }
        }
    }
}

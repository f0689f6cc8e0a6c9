//! P1, the overview: what needs the reader, what runs now, the projects.

use crate::Fragment;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Dashboard {
    pub now: i64,
    pub needs: Vec<Need>,
    pub running: Vec<Running>,
    pub projects: Vec<Project>,
}

/// Something that a person may have to look at.
pub struct Need {
    pub status: Status,
    /// `production` or `main`.
    pub place: String,
    /// `is broken`, `was rolled back`.
    pub what: String,
    pub detail: String,
    pub at: i64,
}

pub struct Running {
    pub project: String,
    pub branch: String,
    pub title: String,
    pub run: i64,
    pub status: Status,
    pub started_at: i64,
    /// The median of the last green runs of its workflow; none where there was none.
    pub usual_ms: Option<i64>,
}

pub struct Project {
    pub owner: String,
    pub name: String,
    /// The newest finished run of the default branch among the last ones.
    pub branch: Option<(Status, i64)>,
    /// The oldest first.
    pub bars: Vec<Bar>,
    /// Of the green ones among the bars.
    pub median_ms: Option<i64>,
    /// Green among green and failed.
    pub success: Option<f64>,
}

pub struct Bar {
    pub run: i64,
    pub status: Status,
    pub duration_ms: i64,
}

impl Dashboard {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            h1 class="vh" { "Overview" }
            div class="cols wide" { (self.needs()) (self.running()) }
            (self.projects())
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![
            Fragment::new("needs", self.needs()),
            Fragment::new("running", self.running()),
            Fragment::new("projects", self.projects()),
        ]
    }

    fn needs(&self) -> Markup {
        html! {
            section id="needs" class="first" aria-labelledby="need" {
                div class="head" { h2 id="need" { "Needs you" } span class="m" { (self.needs.len()) } }
                @if self.needs.is_empty() { p class="m s" { "Nothing does." } }
                ol class="rows need" {
                    @for need in &self.needs {
                        li {
                            (need.status.icon())
                            div {
                                span { b { (need.place) } " " (need.what) }
                                p { (words::ago(need.at, self.now)) " · " (need.detail) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn running(&self) -> Markup {
        html! {
            section id="running" class="first" aria-labelledby="now" {
                div class="head" { h2 id="now" { "Running now" } span class="m" { (words::counted(self.running.len() as u64, "run", "runs")) } }
                @if self.running.is_empty() { p class="m s" { "Nothing runs." } }
                ol class="rows now" {
                    @for run in &self.running { (run.row(self.now)) }
                }
            }
        }
    }

    fn projects(&self) -> Markup {
        html! {
            section id="projects" class="first" aria-labelledby="pr" {
                div class="head" { h2 id="pr" { "Projects" } span class="m" { (self.projects.len()) } }
                @if self.projects.is_empty() {
                    p class="m s" { "No project yet. The first is made by" }
                    pre class="one" { code { "pilotage project create OWNER/NAME" } }
                } @else {
                    table {
                        thead { tr {
                            th scope="col" class="pj" { "Project" }
                            th scope="col" { "Default branch" }
                            th scope="col" { "Last 30 runs" }
                            th scope="col" class="r ht" { "Median" }
                            th scope="col" class="r ht" { "Success" }
                        } }
                        tbody { @for project in &self.projects { (project.row(self.now)) } }
                    }
                }
            }
        }
    }
}

impl Running {
    fn row(&self, now: i64) -> Markup {
        let passed = (now - self.started_at).max(0);
        let share = self
            .usual_ms
            .filter(|usual| *usual > 0)
            .map(|usual| (passed.saturating_mul(100) / usual).min(100));
        html! {
            li {
                span class="t1" title=(self.title) {
                    b { (self.project) } " " (self.branch) " " span class="m" { "#" (self.run) " " (self.title) }
                    span class="vh" { (self.status.word()) }
                }
                svg width="100%" height="4" class="f" aria-hidden="true" {
                    rect class="band" width="100%" height="4" rx="2" {}
                    @if let Some(share) = share { rect class="run f" width={ (share) "%" } height="4" rx="2" {} }
                }
                span class="m nw r" {
                    @match self.usual_ms {
                        Some(usual) if passed > usual => "longer than usual",
                        Some(usual) => { (words::duration(usual - passed)) " left" }
                        None => (words::since(self.started_at, now)),
                    }
                }
            }
        }
    }
}

impl Project {
    fn row(&self, now: i64) -> Markup {
        html! {
            tr {
                td { a href={ "/" (self.owner) "/" (self.name) } { b { (self.name) } } }
                td class="pr" {
                    @match self.branch {
                        Some((status, at)) => { (status.mark()) " " span class="m" { (words::ago(at, now)) } }
                        None => span class="m" { "no run yet" },
                    }
                }
                td class="full" { (self.bars()) }
                td class="r ht" { @if let Some(ms) = self.median_ms { (words::duration(ms)) } }
                td class="r ht" { @if let Some(share) = self.success { (words::percent(share)) } }
            }
        }
    }

    fn bars(&self) -> Markup {
        let count = |wanted: &str| {
            self.bars
                .iter()
                .filter(|bar| bar.status.class() == wanted)
                .count()
        };
        let label = format!(
            "last {} runs: {} passed, {} failed",
            self.bars.len(),
            count("ok"),
            count("bad")
        );
        html! {
            svg class="bars" width="178" height="24" role="img" aria-label=(label) {
                @for (index, bar) in self.bars.iter().enumerate() {
                    @let height = bar.height();
                    @let (x, y) = (index * 6, 24 - height);
                    g {
                        title { "#" (bar.run) " " (bar.status.word()) ", " (words::duration(bar.duration_ms)) }
                        rect class=(bar.class()) x=(x) y=(y) width="4" height=(height) {}
                        @if bar.status.class() == "bad" { rect class="bb" x=(x) y=(y.saturating_sub(4)) width="4" height="2" {} }
                    }
                }
            }
        }
    }
}

impl Bar {
    /// On a logarithmic scale: each doubling of the seconds is two pixels.
    fn height(&self) -> usize {
        let seconds = u64::try_from(self.duration_ms / 1000).unwrap_or_default().max(1);
        (4 + 2 * seconds.ilog2() as usize).min(20)
    }

    fn class(&self) -> &'static str {
        match self.status.class() {
            "ok" => "bo",
            "bad" => "bb",
            _ => "bc",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_bars_grow_with_the_logarithm() {
        let bar = |seconds: i64| Bar {
            run: 1,
            status: Status::Failed,
            duration_ms: seconds * 1000,
        };
        assert_eq!(
            (bar(1).height(), bar(4).height(), bar(1 << 20).height()),
            (4, 8, 20)
        );
        let page = Dashboard {
            now: 5000,
            needs: vec![Need {
                status: Status::Failed,
                place: "<b>x".to_owned(),
                what: "is broken".to_owned(),
                detail: "\"><script>".to_owned(),
                at: 0,
            }],
            running: Vec::new(),
            projects: Vec::new(),
        };
        let html = page.main().into_string();
        assert!(
            html.contains("&lt;b&gt;x") && !html.contains("<script>"),
            "{html}"
        );
    }
}

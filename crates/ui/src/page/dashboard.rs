//! P1, the overview: what needs the reader, what runs now, the projects.

use super::runners::quoted;
use super::server::project_form;
use crate::Fragment;
use crate::bars::bars;
use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub use crate::bars::Bar;

pub struct Dashboard {
    pub viewer: Viewer,
    pub now: i64,
    /// What the projects are filtered by; empty for all.
    pub filter: String,
    /// Runners and the queue, for those who may see them.
    pub queue: Option<Queue>,
    /// Where this server is reached, while it has no project yet.
    pub first: Option<String>,
    pub needs: Vec<Need>,
    /// What the reader has put away of it.
    pub away: Vec<Need>,
    pub running: Vec<Running>,
    pub projects: Vec<Project>,
}

/// Something that a person may have to look at.
pub struct Need {
    /// By which it is put away: it names this one event.
    pub key: String,
    pub status: Status,
    /// `production` or `main`.
    pub place: String,
    /// `is broken`, `was rolled back`.
    pub what: String,
    pub detail: String,
    pub at: i64,
    /// Where it is told at length.
    pub href: String,
    /// The button's word and where it leads.
    pub open: (String, String),
    /// The run whose failed jobs can be run again by the viewer.
    pub rerun: Option<String>,
}

/// How busy the runners are.
pub struct Queue {
    pub slots: u32,
    pub busy: u32,
    pub queued: u32,
    /// When the oldest waiting job was queued, and why it waits.
    pub next: Option<(i64, String)>,
}

/// What serves in an environment.
pub struct Serves {
    pub status: Status,
    pub revision: String,
    pub at: i64,
    pub deployment: i64,
}

pub struct Running {
    pub project: String,
    pub branch: String,
    pub title: String,
    pub run: i64,
    pub status: Status,
    pub started_at: i64,
    /// Since when all that is left of it waits for a person or a time.
    pub waits_since: Option<i64>,
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
    /// By how much the newer half of the green ones takes longer than the older half.
    pub trend: Option<f64>,
    pub staging: Option<Serves>,
    pub production: Option<Serves>,
    /// Green among green and failed.
    pub success: Option<f64>,
}

impl Dashboard {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            @if let Some(url) = &self.first { (self.begin(url)) }
            @else {
                h1 class="vh" { "Overview" }
                div class="cols wide" { (self.needs()) (self.running()) }
                (self.projects())
            }
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        if self.first.is_some() {
            return Vec::new();
        }
        vec![
            Fragment::new("needs", self.needs()),
            Fragment::new("running", self.running()),
            Fragment::new("projects", self.projects()),
        ]
    }

    fn needs(&self) -> Markup {
        html! {
            section id="needs" class="first" data-still aria-labelledby="need" {
                div class="head" { h2 id="need" { "Needs you" } span class="m" { (self.needs.len()) } }
                @if self.needs.is_empty() { p class="m s" { "Nothing does." } }
                ol class="rows need" {
                    @for need in &self.needs {
                        li {
                            (need.status.icon())
                            div {
                                a href=(need.href) { b { (need.place) } " " (need.what) }
                                p { (words::ago(need.at, self.now)) " · " (need.detail) }
                            }
                            div class="acts" {
                                a class={ "btn sm" @if need.status == Status::Waiting { " pri" } } href=(need.open.1) { (need.open.0) }
                                @if let Some(run) = &need.rerun {
                                    form method="post" action={ (run) "/rerun" } {
                                        (csrf_field(&self.viewer))
                                        input type="hidden" name="which" value="failed";
                                        button class="btn sm" type="submit" { "Rerun failed" }
                                    }
                                }
                                form method="post" action="/needs/away" data-live data-done="Put away." data-undo="/needs/back" {
                                    (self.key(need))
                                    button class="btn sm no" type="submit" title="Do not show this again" { "Put away" }
                                }
                            }
                        }
                    }
                }
                (self.put_away())
            }
        }
    }

    fn key(&self, need: &Need) -> Markup {
        html! { (csrf_field(&self.viewer)) input type="hidden" name="key" value=(need.key); }
    }

    fn put_away(&self) -> Markup {
        html! {
            @if !self.away.is_empty() {
                details class="fold" id="away" {
                    summary { (words::count(self.away.len() as u64)) " put away" }
                    ol class="rows" {
                        @for need in &self.away {
                            li {
                                (need.status.icon())
                                a class="t1" href=(need.href) { b { (need.place) } " " (need.what) }
                                form class="end" method="post" action="/needs/back" data-live {
                                    (self.key(need))
                                    button class="btn sm" type="submit" { "Bring back" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn running(&self) -> Markup {
        html! {
            section id="running" class="first" data-still aria-labelledby="now" {
                div class="head" { h2 id="now" { "Running now" } span class="m" {
                    (words::counted(self.running.len() as u64, "run", "runs"))
                    @if let Some(queue) = &self.queue {
                        " · " (words::counted(u64::from(queue.queued), "job", "jobs")) " queued · " (queue.busy) " of " (queue.slots) " slots busy"
                    }
                } }
                @if self.running.is_empty() { p class="m s" { "Nothing runs." } }
                ol class="rows now" {
                    @for run in &self.running { (run.row(self.now)) }
                }
                @if let Some((at, why)) = self.queue.as_ref().and_then(|queue| queue.next.as_ref()) {
                    p class="m s more1" { "The oldest job waits " (words::ago(*at, self.now)) ": " (quoted(why)) ". " a class="a" href="/runners#queue" { "Queue" } }
                }
            }
        }
    }

    fn projects(&self) -> Markup {
        html! {
            section id="projects" data-still aria-labelledby="pr" {
                div class="head" { h2 id="pr" { "Projects" } span class="m" { (self.projects.len()) }
                    form class="end acts" role="search" method="get" action="/" {
                        input class="flt" type="search" name="q" value=(self.filter) maxlength="200" aria-label="Filter projects" placeholder="Filter: name, status:failed";
                        button class="vh" type="submit" { "Filter" }
                        @if self.viewer.admin { a class="btn" href="/settings#np" { "New project" } }
                    }
                }
                @if self.projects.is_empty() {
                    p class="m s" { @if self.filter.is_empty() { "No project is shown to your token." } @else { "No project fits." } }
                } @else {
                    table {
                        thead { tr {
                            th scope="col" class="pj" { "Project" }
                            th scope="col" { "Default branch" }
                            th scope="col" { "Last 30 runs" }
                            th scope="col" class="r ht" { "Median" }
                            th scope="col" class="r ht" title="the newer half of the green runs beside the older half" { "Trend" }
                            th scope="col" class="r ht" { "Success" }
                            th scope="col" class="ht" { "Staging" }
                            th scope="col" { "Production" }
                        } }
                        tbody { @for project in &self.projects { (project.row(self.now)) } }
                    }
                }
            }
        }
    }
}

impl Dashboard {
    /// The first visit: what makes the first project.
    fn begin(&self, url: &str) -> Markup {
        html! {
            div class="title" { div {
                h1 { "Push a project to begin" }
                p class="m" { "Pilotage keeps its own git. Your " code { ".github/workflows" } " run as they are." }
            } }
            div class="cols" {
                ol class="steps3" {
                    li { h2 { "Create the project and point git at it" }
                        div class="cmds" { pre { code { "pilotage project create OWNER/NAME\ngit remote add pilotage " (url) "/OWNER/NAME.git" } } }
                    }
                    li { h2 { "Say what you deploy" }
                        p class="m s" { "Writes " code { "pilotage.yml" } " from what it finds in the working directory. You may do it later; workflows run without it." }
                        div class="cmds" { pre { code { "pilotage init" } } }
                    }
                    li { h2 { "Push" } div class="cmds" { pre { code { "git push pilotage main" } } } }
                }
                aside class="alt" {
                    section {
                        h2 { "Or create it here" }
                        @if self.viewer.admin { (project_form(&self.viewer, "", "")) }
                        @else { p class="m s" { "An administrator's token makes projects; yours does not." } }
                    }
                    section {
                        h2 { "Look around first" }
                        p class="m s" { "OmniLife: two services, staging and production, a good release and a bad one that takes itself back. In a checkout of Pilotage:" }
                        div class="cmds" { pre { code { "scripts/demo" } } }
                    }
                    @if let Some(queue) = &self.queue {
                        section {
                            h2 { "A place to run jobs" }
                            p class="s" { @if queue.slots > 0 { (words::counted(u64::from(queue.slots), "slot", "slots")) " ready" } @else { "No runner yet" } ", see " a class="a" href="/runners" { "Runners" } "." }
                        }
                    }
                }
            }
            section { h2 { "What a push sets off" }
                ol class="chain" {
                    @for (what, how) in [
                        ("Push", "one event, even if we were down"), ("Run", "your workflows, your jobs"),
                        ("Deployment", "new replicas beside the old"), ("Guard", "new against old, each answer"),
                        ("Live, or rolled back", "with the evidence"),
                    ] { li { b { (what) } span class="m" { (how) } } }
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
        let runs = self.waits_since.is_none();
        let status = if runs { self.status } else { Status::Waiting };
        let longer = runs && self.usual_ms.is_some_and(|usual| passed > usual);
        html! {
            li {
                a title=(self.title) href={ "/" (self.project) "/runs/" (self.run) } {
                    (status.icon())
                    span class="t1" { b { (self.project) } " " (self.branch) " " span class="m" { "#" (self.run) " " (self.title) } }
                    span class="vh" { (status.word()) }
                }
                @if let Some(share) = share.filter(|_| runs) {
                    svg width="100%" height="4" class="f" aria-hidden="true" {
                        rect class="band" width="100%" height="4" rx="2" {}
                        rect class="run f" width={ (share) "%" } height="4" rx="2" {}
                    }
                } @else { span class="hs" {} }
                span class={ "nw r " (if longer { "run" } else { "m" }) } {
                    @match (self.waits_since, self.usual_ms) {
                        (Some(at), _) => { "waits " (words::ago(at, now)) }
                        (None, Some(_)) if longer => "longer than usual",
                        (None, Some(usual)) => { (words::duration(usual - passed)) " left" }
                        (None, None) => (words::since(self.started_at, now)),
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
                td { a href={ "/" (self.owner) "/" (self.name) } { span class="m" { (self.owner) "/" } b { (self.name) } } }
                td class="pr" {
                    @match self.branch {
                        Some((status, at)) => { (status.mark()) " " span class="m" { (words::ago(at, now)) } }
                        None => span class="m" { "no run yet" },
                    }
                }
                td class="full" { @if !self.bars.is_empty() { (bars(&format!("/{}/{}", self.owner, self.name), &self.bars)) } }
                td class="r ht" { @if let Some(ms) = self.median_ms { (words::duration(ms)) } }
                td class={ "r ht" @if self.trend.is_some_and(|trend| trend > 0.05) { " run" } } {
                    @if let Some(trend) = self.trend { @if trend >= 0.0 { "+" } (words::percent(trend)) }
                }
                td class="r ht" { @if let Some(share) = self.success { (words::percent(share)) } }
                td class="ht" { (self.serves(self.staging.as_ref(), now)) }
                td class="full" data-l=[self.production.as_ref().map(|_| "production")] { (self.serves(self.production.as_ref(), now)) }
            }
        }
    }

    fn serves(&self, serves: Option<&Serves>, now: i64) -> Markup {
        html! {
            @if let Some(serves) = serves {
                a href={ "/" (self.owner) "/" (self.name) "/deployments/" (serves.deployment) } { (serves.status.mark()) }
                " " code { (serves.revision) } " " span class="m" { (words::ago(serves.at, now)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let page = Dashboard {
            viewer: Viewer {
                name: "ana".to_owned(),
                csrf: "word".to_owned(),
                admin: true,
            },
            filter: String::new(),
            queue: None,
            first: None,
            now: 5000,
            away: Vec::new(),
            needs: vec![Need {
                key: "a\"b".to_owned(),
                status: Status::Failed,
                place: "<b>x".to_owned(),
                what: "is broken".to_owned(),
                detail: "\"><script>".to_owned(),
                at: 0,
                href: "/o/p/runs/1".to_owned(),
                open: (
                    "Open line 2".to_owned(),
                    "/o/p/runs/1/jobs/2?line=2#s1:2".to_owned(),
                ),
                rerun: Some("/o/p/runs/1".to_owned()),
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

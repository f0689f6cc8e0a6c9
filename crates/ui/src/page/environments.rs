//! P4, all environments: what runs where, and how far one is ahead of the next.

use crate::Fragment;
use crate::icon::{Icon, coloured, icon};
use crate::shell::{Viewer, csrf_field};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Environments {
    pub viewer: Viewer,
    pub now: i64,
    /// Of one project alone: its name is in the header already.
    pub one: bool,
    pub projects: Vec<Matrix>,
    /// Projects that have environments and are not shown here.
    pub more: usize,
}

/// A project's services and its environments.
pub struct Matrix {
    pub id: i64,
    pub owner: String,
    pub name: String,
    /// From where releases come to where they go.
    pub columns: Vec<Column>,
    /// Between a column and the one after it: one fewer than there are columns.
    pub drifts: Vec<Drift>,
    /// By name, with the prefix of its paths.
    pub services: Vec<(String, String)>,
}

pub struct Column {
    pub environment: String,
    pub status: Status,
    /// `healthy`, `nothing is live`.
    pub word: String,
    /// `canary 5, 25, 50 %`; empty where nothing was deployed.
    pub strategy: String,
    pub url: String,
    pub locked_by: String,
    /// Jobs of runs that wait for it.
    pub waiting: usize,
    /// The deployment under way.
    pub active: Option<i64>,
    pub serves: Option<Serves>,
}

/// What stands in an environment.
pub struct Serves {
    pub status: Status,
    pub deployment: i64,
    pub revision: String,
    pub title: String,
    pub at: i64,
    pub actor: String,
    /// It was brought back.
    pub rollback: bool,
    /// What is known of each of its services.
    pub services: Vec<Service>,
}

pub struct Service {
    pub name: String,
    pub replicas: u32,
    /// Answers that its proxy counted since the release first had traffic, and the failed ones of them.
    pub answers: u64,
    pub failed: u64,
    pub p95_us: u64,
}

/// How the release of one environment stands to that of the next.
pub enum Drift {
    /// One of them has nothing, or the commits are not there any more.
    Unknown,
    Same,
    Differs {
        ahead: u64,
        behind: u64,
        /// What is ahead, the newest first; not all, where they are many.
        commits: Vec<Commit>,
        promote: Promote,
    },
}

pub struct Commit {
    pub sha: String,
    pub title: String,
    pub author: String,
    pub at: i64,
}

/// Whether the release may go on to the next environment.
pub enum Promote {
    /// By its digest.
    To(String),
    /// Why not; empty where there is nothing to say.
    Not(String),
}

impl Environments {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="title" { div { h1 { "Environments" } } }
            @for fragment in self.parts() { (fragment.1) }
            @if self.more > 0 {
                p class="m more1" { (words::counted(self.more as u64, "more project", "more projects")) " with environments: open them by name." }
            }
        }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        let parts = self.parts().into_iter();
        parts.map(|(id, part)| Fragment::new(id, part)).collect()
    }

    fn parts(&self) -> Vec<(String, Markup)> {
        if self.projects.is_empty() {
            return vec![("none".to_owned(), empty())];
        }
        let part = |matrix: &Matrix| {
            let id = format!("project-{}", matrix.id);
            (id.clone(), matrix.part(self, &id))
        };
        self.projects.iter().map(part).collect()
    }
}

fn empty() -> Markup {
    html! {
        section id="none" class="sec1" {
            p { b { "Nothing is deployed yet." } }
            p class="m" {
                "An environment appears when a job names it (" code { "environment: staging" }
                ") or a release is deployed to it. Services and environments are described in "
                code { "pilotage.yml" } " at the root of a project."
            }
        }
    }
}

impl Matrix {
    fn path(&self) -> String {
        format!("/{}/{}", self.owner, self.name)
    }

    fn environment_path(&self, name: &str) -> String {
        format!("{}/environments/{}", self.path(), words::segment(name))
    }

    fn part(&self, page: &Environments, id: &str) -> Markup {
        html! {
            section id=(id) class="sec1" aria-label={ "What runs where in " (self.owner) "/" (self.name) } {
                @if !page.one {
                    h2 class="ttl" { a href={ (self.path()) "/environments" } { (self.owner) "/" (self.name) } }
                }
                @for (drift, pair) in self.drifts.iter().zip(self.columns.windows(2)) { (lead(drift, pair, page.now)) }
                table class="env" {
                    thead { tr {
                        th scope="col" class="sv" { span class="vh" { "Service" } }
                        @for (index, column) in self.columns.iter().enumerate() {
                            @if index > 0 { (arrow()) }
                            th scope="col" { (self.heading(column)) }
                        }
                    } }
                    tbody { @for (row, service) in self.services.iter().enumerate() { (self.row(page, row, service)) } }
                }
                @for (drift, pair) in self.drifts.iter().zip(self.columns.windows(2)) { (ahead(drift, pair, page.now)) }
            }
        }
    }

    fn heading(&self, column: &Column) -> Markup {
        html! {
            a class="ttl" href=(self.environment_path(&column.environment)) { (column.environment) }
            br;
            (column.status.mark_as(&column.word))
            @if !column.strategy.is_empty() { " " span class="m" { "· " (column.strategy) } }
            @if let Some(host) = column.url.split_once("://").map(|(_, host)| host) {
                br; a href=(column.url) rel="noreferrer" { (host) }
            }
            @if !column.locked_by.is_empty() {
                br; span class="m" { (icon(Icon::Lock)) " locked by " (column.locked_by) }
            }
            @if let Some(active) = column.active {
                br; a class="a" href={ (self.path()) "/deployments/" (active) } { "Deployment #" (active) " is under way" }
            }
            @if column.waiting > 0 {
                br; a class="a" href=(self.environment_path(&column.environment)) {
                    (words::counted(column.waiting as u64, "job waits", "jobs wait")) " for it"
                }
            }
        }
    }

    fn row(&self, page: &Environments, row: usize, (service, prefix): &(String, String)) -> Markup {
        html! {
            tr {
                td { b { (service) } @if !prefix.is_empty() { br; span class="m" { (prefix) } } }
                @for (index, column) in self.columns.iter().enumerate() {
                    @if let Some(drift) = index.checked_sub(1).and_then(|before| self.drifts.get(before)) {
                        td class="mid" { (self.between(page, row, drift, column)) }
                    }
                    td { p class="only-s" { a class="ttl" href=(self.environment_path(&column.environment)) { (column.environment) } } (self.cell(page.now, service, column)) }
                }
            }
        }
    }

    fn cell(&self, now: i64, service: &str, column: &Column) -> Markup {
        let serves = column.serves.as_ref();
        let found = serves.and_then(|serves| {
            let found = serves.services.iter().find(|known| known.name == service)?;
            Some((serves, found))
        });
        html! {
            @if let Some((serves, found)) = found {
                p {
                    @if serves.rollback { span class="st infra" { (coloured(Icon::Back, "infra")) "rolled back to" } }
                    @else { (serves.status.mark()) }
                    " " a href={ (self.path()) "/deployments/" (serves.deployment) } { code { (serves.revision) } }
                    " " span class="m" { (words::ago(serves.at, now)) " by " (serves.actor) }
                }
                p class="t1" title=(serves.title) { (serves.title) }
                dl class="mx" {
                    div { dt { "replicas" } dd { (found.replicas) } }
                    @if found.answers > 0 {
                        div { dt { "failed" } dd { (share(found.failed, found.answers)) } }
                        div { dt { "p95" } dd { (milliseconds(found.p95_us)) } }
                    }
                }
            } @else {
                p class="m" { @if serves.is_some() { "not part of its release" } @else { "nothing is live" } }
            }
        }
    }

    /// The difference is the release's, so it stands once, in the first row.
    fn between(&self, page: &Environments, row: usize, drift: &Drift, to: &Column) -> Markup {
        html! {
            @match drift {
                _ if row > 0 => {}
                Drift::Unknown => {}
                Drift::Same => { p class="m" { "the same commit" } }
                Drift::Differs { ahead, behind, commits, promote } => {
                    p { b { (distance(*ahead, *behind)) } }
                    @if let Some(oldest) = commits.last().filter(|_| commits.len() as u64 == *ahead) {
                        p class="m" { "the oldest for " (words::ago(oldest.at, page.now)) }
                    }
                    @match promote {
                        Promote::To(digest) => {
                            form method="post" action={ (self.environment_path(&to.environment)) "/deploy" } {
                                (csrf_field(&page.viewer))
                                input type="hidden" name="release" value=(digest);
                                button class="btn sm" type="submit" aria-label={ "Promote to " (to.environment) } { "Promote" (icon(Icon::Arrow)) }
                            }
                        }
                        Promote::Not(why) => { @if !why.is_empty() { p class="m" { (why) } } }
                    }
                }
            }
        }
    }
}

fn arrow() -> Markup {
    html! {
        th scope="col" class="mid" {
            svg width="120" height="24" aria-hidden="true" { path class="eg" d="M0 12h118M112 7l6 5-6 5" {} }
            span class="vh" { "Difference" }
        }
    }
}

fn lead(drift: &Drift, pair: &[Column], now: i64) -> Markup {
    let [from, to] = pair else { return html! {} };
    html! {
        @if let Drift::Differs { ahead, behind, .. } = drift {
            p class="drift" {
                b { (from.environment) } " is " b { (distance(*ahead, *behind)) } " of " (to.environment)
                @if let Some(serves) = to.serves.as_ref().filter(|serves| serves.rollback) {
                    ", which went back to " code { (serves.revision) } " " (words::ago(serves.at, now)) " ago"
                }
                "."
            }
        }
    }
}

/// The commits that the one has and the other has not.
fn ahead(drift: &Drift, pair: &[Column], now: i64) -> Markup {
    let ([from, to], Drift::Differs { ahead, commits, .. }) = (pair, drift) else {
        return html! {};
    };
    html! {
        @if !commits.is_empty() {
            div class="head ahead" {
                h2 { "Ahead of " (to.environment) }
                span class="m" { "in " (from.environment) ", not yet in " (to.environment) }
            }
            ol class="rows" {
                @for commit in commits {
                    li {
                        code class="m" { (words::short(&commit.sha)) }
                        span class="t1" title=(commit.title) { (commit.title) }
                        span class="end m nw" { (commit.author) ", " (words::ago(commit.at, now)) }
                    }
                }
                @if let Some(rest) = ahead.checked_sub(commits.len() as u64).filter(|rest| *rest > 0) {
                    li class="m" { "and " (words::counted(rest, "older commit", "older commits")) }
                }
            }
        }
    }
}

fn distance(ahead: u64, behind: u64) -> String {
    let commits = |n| words::counted(n, "commit", "commits");
    match (ahead, behind) {
        (ahead, 0) => format!("{} ahead", commits(ahead)),
        (0, behind) => format!("{} behind", commits(behind)),
        (ahead, behind) => format!("{} ahead and {} behind", commits(ahead), words::count(behind)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(part: u64, whole: u64) -> String {
    words::percent(part as f64 / whole.max(1) as f64)
}

fn milliseconds(us: u64) -> String {
    if us < 1000 {
        return "under 1 ms".to_owned();
    }
    words::duration(i64::try_from(us / 1000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(environment: &str, rollback: bool) -> Column {
        let service = |name: &str, answers| Service {
            name: name.to_owned(),
            replicas: 2,
            answers,
            failed: 5,
            p95_us: 212_000,
        };
        Column {
            environment: environment.to_owned(),
            status: Status::Passed,
            word: "live".to_owned(),
            strategy: "canary 5, 25 %".to_owned(),
            url: "http://localhost:3000".to_owned(),
            locked_by: String::new(),
            waiting: usize::from(rollback),
            active: None,
            serves: Some(Serves {
                status: Status::Live,
                deployment: 7,
                revision: "9e07b51".to_owned(),
                title: "Cache the <profile> header".to_owned(),
                at: 0,
                actor: "ana".to_owned(),
                rollback,
                services: vec![service("backend", 1000), service("frontend", 0)],
            }),
        }
    }

    fn page(projects: Vec<Matrix>) -> Environments {
        Environments {
            viewer: Viewer {
                name: "ana".to_owned(),
                csrf: "word".to_owned(),
                admin: false,
            },
            now: 480_000,
            one: false,
            projects,
            more: 0,
        }
    }

    fn matrix(drift: Drift) -> Matrix {
        Matrix {
            id: 1,
            owner: "omnilife".to_owned(),
            name: "platform".to_owned(),
            columns: vec![column("a/b?c#d <i>", false), column("production", true)],
            drifts: vec![drift],
            services: vec![
                ("backend".to_owned(), "/api".to_owned()),
                ("frontend".to_owned(), "/".to_owned()),
            ],
        }
    }

    fn check(page: &Environments, has: &[&str], not: &[&str]) {
        let html = page.main().into_string();
        for text in has {
            assert!(html.contains(text), "{text} is not in {html}");
        }
        for text in not {
            assert!(!html.contains(text), "{text} is in {html}");
        }
        for fragment in page.fragments() {
            assert!(html.contains(&fragment.html), "{}", fragment.id);
            assert!(fragment.html.contains(&format!("id=\"{}\"", fragment.id)));
        }
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        check(&page(Vec::new()), &["Nothing is deployed yet."], &["<table"]);
    }

    #[test]
    fn the_difference_stands_between() {
        let commits = vec![Commit {
            sha: "b83d0e2000".to_owned(),
            title: "Fix <login>".to_owned(),
            author: "kim".to_owned(),
            at: 0,
        }];
        let drift = Drift::Differs {
            ahead: 3,
            behind: 1,
            commits,
            promote: Promote::To("sha256:12".to_owned()),
        };
        let has = [
            "3 commits ahead and 1 behind",
            "which went back to <code>9e07b51</code>",
            "rolled back to",
            "Fix &lt;login&gt;",
            "Cache the &lt;profile&gt; header",
            "and 2 older commits",
            "/omnilife/platform/environments/a%2Fb%3Fc%23d%20%3Ci%3E",
            "action=\"/omnilife/platform/environments/production/deploy\"",
            "0.5 %",
            "212 ms",
            "1 job waits for it",
        ];
        check(
            &page(vec![matrix(drift)]),
            &has,
            &["<i>", "the oldest for", "<profile>"],
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        check(
            &page(vec![matrix(Drift::Unknown)]),
            &["backend"],
            &["ahead", "Promote"],
        );
        check(
            &page(vec![matrix(Drift::Same)]),
            &["the same commit"],
            &["Promote"],
        );
        let mut empty = matrix(Drift::Unknown);
        empty.columns.iter_mut().for_each(|column| column.serves = None);
        check(&page(vec![empty]), &["nothing is live"], &["p95"]);
    }
}

//! Lists of runs, the newest first: of the server, or of one project.

use crate::Fragment;
use crate::page::runners::quoted;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Runs {
    /// Where the list is: `/runs`, `/owner/name/runs`.
    pub path: String,
    /// What it is filtered by, as it was written.
    pub query: String,
    /// The name of who looks, for a list of their own.
    pub me: String,
    /// What of the query is not understood.
    pub problem: Option<String>,
    pub rows: Vec<Row>,
    /// The run before which older ones begin; none where there are none.
    pub older: Option<i64>,
    /// Older ones than the newest are shown.
    pub begins_later: bool,
    /// What starts the first run of this project.
    pub first: Option<String>,
    pub now: i64,
}

pub struct Row {
    /// `owner/name`
    pub project: String,
    pub id: i64,
    pub title: String,
    pub status: Status,
    /// Its file's name.
    pub workflow: String,
    pub event: String,
    pub git_ref: String,
    pub sha: String,
    pub actor: String,
    pub created_at: i64,
    pub started_at: i64,
    pub ended_at: Option<i64>,
}

impl Runs {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { h1 class="vh" { "Runs" } (self.filter()) (self.list()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("runs", self.list())]
    }

    fn filter(&self) -> Markup {
        let mine = format!("actor:{}", written(&self.me));
        let ways = [
            ("All", ""),
            ("Running", "status:running"),
            ("Failed", "status:failed"),
            ("Mine", mine.as_str()),
        ];
        html! {
            div class="head" {
                h2 { "Runs" }
                nav class="acts seg" aria-label="Which runs" {
                    @for (word, query) in ways {
                        a href=(self.address(query, None)) aria-current=[(self.query == query).then_some("true")] { (word) }
                    }
                }
                form class="end acts" role="search" method="get" action=(self.path) {
                    input class="flt" type="search" name="q" id="runs-q" value=(self.query) maxlength="200" aria-label="Filter runs"
                        placeholder="branch:main status:failed" autocomplete="off" spellcheck="false";
                    button class="btn" type="submit" { "Filter" }
                }
            }
            @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (quoted(problem)) } }
        }
    }

    /// This list by another query, or further back.
    fn address(&self, query: &str, before: Option<i64>) -> String {
        let mut parts = Vec::new();
        if !query.is_empty() {
            parts.push(format!("q={}", words::segment(query)));
        }
        if let Some(before) = before {
            parts.push(format!("before={before}"));
        }
        if parts.is_empty() {
            return self.path.clone();
        }
        format!("{}?{}", self.path, parts.join("&"))
    }

    fn list(&self) -> Markup {
        html! {
            section id="runs" class="first" aria-label="Runs" {
                @if self.rows.is_empty() && self.problem.is_none() {
                    @if self.query.is_empty() && !self.begins_later {
                        p { b { "No runs yet" } }
                        p class="m" { "The first push of a workflow starts one." }
                        @if let Some(first) = &self.first { pre class="one" { (first) } }
                    } @else { p class="m" { @if self.older.is_some() { "None of the runs that were looked at fits." } @else { "No run fits." } } }
                }
                (rows(&self.rows, self.now, self.path == "/runs"))
                @if self.begins_later || self.older.is_some() { p class="more1 acts" {
                    @if self.begins_later { a class="a" href=(self.address(&self.query, None)) { "Newest runs" } }
                    @if let Some(before) = self.older { a class="a" href=(self.address(&self.query, Some(before))) { "Older runs" } }
                } }
            }
        }
    }
}

/// On this page, and on the project's; `named` where the projects are told.
pub(crate) fn rows(rows: &[Row], now: i64, named: bool) -> Markup {
    html! {
        ol class="rows runs" {
            @for row in rows {
                li {
                    (row.status.icon())
                    a class="t1" href={ "/" (row.project) "/runs/" (row.id) } title=(row.title) { b { "#" (row.id) } " " (row.title) }
                    span class="vh" { (row.status.word()) }
                    span class="m t1 hs" { @if named { (row.project) ", " } (row.workflow) }
                    span class="m t1 hs" { (row.event) " to " span class="tx" { (words::branch(&row.git_ref)) } " " code { (words::short(&row.sha)) } " by " (row.actor) }
                    span class="r nw hs" {
                        @match row.ended_at {
                            Some(end) => { (words::duration(end - row.started_at)) }
                            None => { (words::since(row.started_at, now)) }
                        }
                    }
                    span class="m r nw age" { (words::ago(row.created_at, now)) }
                }
            }
        }
    }
}

/// A value as the query's language has it.
fn written(value: &str) -> String {
    if value.contains(|c: char| c.is_whitespace()) {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_stays_in_each_address() {
        let mut runs = Runs {
            path: "/o/p/runs".to_owned(),
            query: "branch:a&b \"<i>\"".to_owned(),
            me: "Ana B".to_owned(),
            problem: Some("there is no `x:`".to_owned()),
            rows: Vec::new(),
            older: Some(7),
            begins_later: true,
            first: None,
            now: 0,
        };
        let html = runs.main().into_string();
        for part in [
            "href=\"/o/p/runs?q=branch%3Aa%26b%20%22%3Ci%3E%22&amp;before=7\"",
            "value=\"branch:a&amp;b &quot;&lt;i&gt;&quot;\"",
            "href=\"/o/p/runs?q=actor%3A%22Ana%20B%22\"",
            "there is no <code>x:</code>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        runs.problem = None;
        assert!(
            runs.main()
                .into_string()
                .contains("None of the runs that were looked at fits.")
        );
        (runs.older, runs.begins_later, runs.query) = (None, false, String::new());
        let html = runs.main().into_string();
        assert!(
            html.contains("No runs yet") && !html.contains("Older runs"),
            "{html}"
        );
    }
}

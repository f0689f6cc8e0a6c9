//! Lists of runs, the newest first: of the server, or of one project.

use crate::Fragment;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Runs {
    pub rows: Vec<Row>,
    /// Where older ones are; none where there are none.
    pub older: Option<String>,
    /// What starts the first run of this project.
    pub first: Option<String>,
    pub now: i64,
}

pub struct Row {
    pub project: String,
    pub id: i64,
    pub title: String,
    pub status: Status,
    pub git_ref: String,
    pub sha: String,
    pub actor: String,
    pub created_at: i64,
}

impl Runs {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! { h1 class="vh" { "Runs" } (self.list()) }
    }

    #[must_use]
    pub fn fragments(&self) -> Vec<Fragment> {
        vec![Fragment::new("runs", self.list())]
    }

    fn list(&self) -> Markup {
        html! {
            section id="runs" class="first" {
                div class="head" { h2 { "Runs" } }
                @if self.rows.is_empty() {
                    p { b { "No runs yet" } }
                    p class="m" { "The first push of a workflow starts one." }
                    @if let Some(first) = &self.first { pre class="one" { (first) } }
                }
                ol class="rows" {
                    @for row in &self.rows {
                        li {
                            (row.status.icon())
                            a class="t1" href={ "/" (row.project) "/runs/" (row.id) } { b { "#" (row.id) } " " (row.title) }
                            span class="vh" { (row.status.word()) }
                            span class="m t1 hs" { (row.project) ", " (words::branch(&row.git_ref)) " " code { (words::short(&row.sha)) } " by " (row.actor) }
                            span class="m end nw" { (words::ago(row.created_at, self.now)) }
                        }
                    }
                }
                @if let Some(older) = &self.older { p class="more1" { a class="a" href=(older) { "Older runs" } } }
            }
        }
    }
}

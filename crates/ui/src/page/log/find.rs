//! What is looked for in a log: the field, the way from hit to hit, and the list of hits.

use super::link;
use crate::icon::{Icon, icon};
use crate::words;
use maud::{Markup, html};

/// Longer queries are refused.
pub const QUERY_CHARS_MAX: usize = 200;

#[derive(Default)]
pub struct Find {
    pub query: String,
    /// Why it cannot be looked for.
    pub fault: Option<String>,
    /// The first of them, with their text.
    pub shown: Vec<Hit>,
    /// All that were found: step and line, from 0.
    pub hits: Vec<(u32, u64)>,
    /// Where the page stands among them.
    pub at: Option<usize>,
    /// The hit list stands open: no hit was chosen.
    pub open: bool,
    /// The line, from 0, with which a search goes on that became too long.
    pub rest: Option<u64>,
}

pub struct Hit {
    pub step: u32,
    pub line: u64,
    pub text: String,
}

impl Find {
    pub(super) fn form(&self, job_path: &str) -> Markup {
        html! {
            form method="get" action=(job_path) role="search" class="acts" {
                input
                    type="search" name="q" id="words" value=(self.query) maxlength=(QUERY_CHARS_MAX)
                    aria-label="Search this log" aria-keyshortcuts="/" placeholder="Search, or /regular expression/"
                    autocomplete="off" spellcheck="false";
            }
            @if let (Some(at), false) = (self.at, self.hits.is_empty()) {
                span class="acts hits" {
                    span class="s nw" id="hit-at" { b { (words::count(at as u64 + 1)) } " of " (self.found()) }
                    a class="btn no" id="hit-before" aria-keyshortcuts="Shift+N" href=(self.href(job_path, at + self.hits.len() - 1))
                        aria-label="Hit before" { (icon(Icon::ArrowUp)) }
                    a class="btn no" id="hit-next" aria-keyshortcuts="n" href=(self.href(job_path, at + 1))
                        aria-label="Next hit" { (icon(Icon::ArrowDown)) }
                }
            } @else if let Some(fault) = &self.fault {
                span class="s bad" role="alert" { (fault) }
            } @else if !self.query.is_empty() {
                span class="s m" role="status" { @if self.rest.is_some() { "Not found so far" } @else { "Not found" } }
            }
        }
    }

    /// `41`, or `more than 2,000`.
    fn found(&self) -> String {
        let found = words::count(self.hits.len() as u64);
        if self.rest.is_some() {
            format!("{found}+")
        } else {
            found
        }
    }

    /// The page of a hit, counted round and round.
    fn href(&self, job_path: &str, at: usize) -> String {
        let hit = at.checked_rem(self.hits.len()).and_then(|at| self.hits.get(at));
        hit.map_or_else(String::new, |(step, line)| self.link(job_path, *step, *line))
    }

    fn link(&self, job_path: &str, step: u32, line: u64) -> String {
        let to = link(job_path, step, line);
        to.replacen('?', &format!("?q={}&", words::segment(&self.query)), 1)
    }

    /// All hits to choose from, for those who do not go from one to the next.
    pub(super) fn list(&self, job_path: &str) -> Markup {
        let rest = self
            .rest
            .map(|line| format!("{job_path}?q={}&after={}", words::segment(&self.query), line));
        html! {
            @if !self.hits.is_empty() || rest.is_some() {
                details class="fold found" id="hits" open[self.open] {
                    summary { (words::counted(self.hits.len() as u64, "line", "lines")) " with “" (self.query) "”" }
                    ol class="ex" {
                        @for hit in &self.shown {
                            li {
                                a class="n" href=(self.link(job_path, hit.step, hit.line)) { (hit.line + 1) }
                                span { (hit.text) }
                            }
                        }
                    }
                    @if self.shown.len() < self.hits.len() {
                        p class="s m" { "The first " (words::count(self.shown.len() as u64)) " are listed." }
                    }
                    @if let (Some(href), Some(line)) = (rest, self.rest) {
                        p class="s" { "Looked through the lines before " (words::count(line + 1)) ". " a class="a" href=(href) { "Search the rest" } }
                    }
                }
            }
        }
    }
}

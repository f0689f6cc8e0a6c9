//! The audit log: whether its chain holds, and who did what, the newest first.

use crate::icon::{Icon, coloured};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};

pub struct Audit {
    pub chain: Chain,
    /// The filter as it was written.
    pub query: String,
    pub rows: Vec<Row>,
    /// Where older ones are.
    pub older: Option<String>,
}

/// What is known of the chain.
pub enum Chain {
    /// Up to this row, of as many.
    Verified { to: i64, of: i64, at: i64 },
    /// At this row, and why.
    Broken { seq: i64, reason: String },
}

pub struct Row {
    pub seq: i64,
    pub at: i64,
    /// `ana`
    pub who: String,
    /// `token 3`
    pub by: String,
    pub action: String,
    pub object: String,
    /// Name and value, as they stand in the entry.
    pub detail: Vec<(String, String)>,
    pub hash: String,
    pub denied: bool,
}

impl Audit {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="title" {
                div { h1 { "Audit" } (self.chain.line()) }
                div class="acts" {
                    a class="btn" href="/audit?verify=all" { "Verify again" }
                    a class="btn" href="/audit/export" download="audit.jsonl" { "Export" }
                }
            }
            section class="sec1" aria-label="Rows" {
                form class="acts af" role="search" method="get" action="/audit" {
                    input type="search" name="q" value=(self.query) maxlength="300" aria-label="Filter the audit" placeholder="actor:ana action:secret object:production";
                    button class="btn" type="submit" { "Filter" }
                    span class="seg acts" {
                        @for (word, filter) in [("All", ""), ("Denied", "action:denied"), ("Secrets", "action:secret"), ("Deployments", "action:deployment"), ("Tokens", "action:token")] {
                            a href={ "/audit?q=" (filter) } aria-current=[(filter == self.query).then_some("true")] { (word) }
                        }
                    }
                }
                @if self.rows.is_empty() { p class="m s" { "No row fits." } }
                @else { p class="heads m s hs" aria-hidden="true" { span { "When" } span { "Who" } span { "Did" } span { "What" } } }
                ol class="rows audit" { @for row in &self.rows { li { (row.shown()) } } }
                @if let Some(older) = &self.older { p class="more1 s" { a class="a" href=(older) { "Older rows" } } }
            }
        }
    }
}

impl Chain {
    fn line(&self) -> Markup {
        html! {
            p class="meta" {
                @match self {
                    Chain::Verified { to, of, at } => {
                        @if to == of { (Status::Passed.mark_as("chain verified")) }
                        @else { (Status::Running.mark_as("chain verified in part")) }
                        span { "to row " b { (to) } @if to != of { " of " (of) } " at " b { (words::clock(*at)) } }
                    }
                    Chain::Broken { seq, reason } => {
                        (Status::Failed.mark_as("chain broken"))
                        span { "at row " b { (seq) } ": " (reason) }
                    }
                }
                span { "each row holds the hash of the row before" }
            }
        }
    }
}

impl Row {
    fn shown(&self) -> Markup {
        html! {
            details {
                summary {
                    span class="at" { (coloured(Icon::Right, "ch")) (words::moment(self.at)) }
                    span class="nw" { b { (self.who) } " " span class="m" { (self.by) } }
                    code { (self.action) }
                    span class="t1" title=(self.object) { (self.object) }
                    @if self.denied { (Status::Failed.mark_as("denied")) } @else { span {} }
                }
                dl class="kv kv1" {
                    @for (name, value) in &self.detail { dt { (name) } dd { (value) } }
                    dt { "at" } dd { (words::full(self.at)) }
                    dt { "row" } dd { (self.seq) ", hash " code { (words::digest(&self.hash)) } }
                }
            }
        }
    }
}

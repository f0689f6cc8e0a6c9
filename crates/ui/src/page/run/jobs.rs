//! The jobs of a run as a graph, and as a list where there is no room for one. The jobs of a matrix are one node
//! until they are unfolded.

use super::{Job, Run};
use crate::graph::{self, Layout, NODE_HEIGHT, NODE_WIDTH};
use crate::icon::Icon;
use crate::status::Status;
use crate::words;
use maud::{Markup, html};
use std::collections::HashMap;

/// Beyond so many, the node says the counts only.
const PIPS_MAX: usize = 6;
/// What fits into a node, in latin letters.
const NAME_MAX: usize = 20;
const SUB_MAX: usize = 23;

/// One node: a job, or the jobs of a matrix.
struct Group<'a> {
    jobs: Vec<&'a Job>,
    needs: Vec<usize>,
}

impl Run {
    pub(super) fn job_list(&self) -> Markup {
        let groups = self.groups();
        let nodes: Vec<graph::Node> = groups
            .iter()
            .map(|group| graph::Node {
                needs: group.needs.clone(),
                weight: group.ran(self.now).unwrap_or_default(),
            })
            .collect();
        let layout = graph::layout(&nodes);
        let longest = layout.edges.iter().any(|edge| edge.longest);
        html! {
            section id="run-jobs" aria-labelledby="run-jobs-h" {
                div class="head" {
                    h2 id="run-jobs-h" { "Jobs" }
                    span class="m" { (self.counts()) }
                    @if self.unfold.is_some() { a class="a" href={ (self.here()) "#run-jobs" } { "Fold" } }
                    @if longest {
                        span class="m end hs" {
                            svg class="lgd" width="24" height="8" aria-hidden="true" { path class="eg cp" d="M0 4h24" {} }
                            " longest path"
                        }
                    }
                }
                (self.drawn(&groups, &layout))
                ol class="rows jobs" {
                    @for &node in &layout.order {
                        @if let Some(group) = groups.get(node) { (self.row(&groups, group)) }
                    }
                }
            }
        }
    }

    fn counts(&self) -> String {
        let total = words::counted(self.jobs.len() as u64, "job", "jobs");
        let mut counts: Vec<(Status, u64)> = Vec::new();
        for job in &self.jobs {
            match counts.iter_mut().find(|(status, _)| *status == job.status) {
                Some((_, count)) => *count += 1,
                None => counts.push((job.status, 1)),
            }
        }
        counts.sort_by_key(|(status, _)| std::cmp::Reverse(weight_of(*status)));
        let parts: Vec<String> = counts
            .iter()
            .map(|(status, count)| format!("{} {}", words::count(*count), status.word()))
            .collect();
        if parts.is_empty() {
            return total;
        }
        format!("{total}: {}", parts.join(", "))
    }

    /// Jobs of one key with the same needs are one node, but for those that are unfolded.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut by_key: HashMap<(&str, Vec<i64>), usize> = HashMap::new();
        let mut by_job: HashMap<i64, usize> = HashMap::new();
        for job in &self.jobs {
            let mut needs = job.needs.clone();
            needs.sort_unstable();
            let fresh = groups.len();
            let index = if self.unfold.as_deref() == Some(job.key.as_str()) {
                fresh
            } else {
                *by_key.entry((job.key.as_str(), needs)).or_insert(fresh)
            };
            by_job.insert(job.id, index);
            match groups.get_mut(index) {
                Some(group) => group.jobs.push(job),
                None => groups.push(Group {
                    jobs: vec![job],
                    needs: Vec::new(),
                }),
            }
        }
        for group in &mut groups {
            let needs = group.jobs.iter().flat_map(|job| &job.needs);
            group.needs = needs.filter_map(|need| by_job.get(need).copied()).collect();
            group.needs.sort_unstable();
            group.needs.dedup();
        }
        groups
    }

    fn drawn(&self, groups: &[Group<'_>], layout: &Layout) -> Markup {
        html! {
            figure id="run-graph" class="graph" {
                svg width=(layout.width + 2) height=(layout.height + 2) viewBox={ "-1 -1 " (layout.width + 2) " " (layout.height + 2) }
                    role="group" aria-label="Jobs from left to right in the order of their needs"
                {
                    @for edge in &layout.edges {
                        path class=(if edge.longest { "eg cp" } else { "eg" }) d=(edge.path()) {}
                    }
                    @for &node in &layout.order {
                        @if let (Some(group), Some(place)) = (groups.get(node), layout.places.get(node)) {
                            (self.node(groups, group, *place))
                        }
                    }
                }
            }
        }
    }

    fn node(&self, groups: &[Group<'_>], group: &Group<'_>, (x, y): (i32, i32)) -> Markup {
        let status = group.status();
        let kind = match status {
            Status::Failed | Status::TimedOut | Status::Fault => "nd x",
            Status::Waiting => "nd p",
            Status::Queued | Status::Skipped => "nd z",
            _ => "nd",
        };
        let (name, said) = (group.name(), self.said(groups, group));
        let label = if group.counting().is_some() {
            // Its time goes on by itself; the label says what changes.
            format!("{name}, {}", status.word())
        } else {
            format!("{name}, {}, {said}", status.word())
        };
        let pips = group.pips();
        let room = NAME_MAX - pips.len().max(usize::from(group.jobs.len() > 1) * 2);
        html! {
            a href=(self.link(group)) aria-label=(label) {
                g class=(kind) transform={ "translate(" (x) " " (y) ")" } {
                    title { (label) }
                    rect width=(NODE_WIDTH) height=(NODE_HEIGHT) rx="6" {}
                    // It does not turn: a turned `svg` inside another leaves its place.
                    svg class={ "i " (status.class()) } x="12" y="8" width="16" height="16" aria-hidden="true" { (shape(status.shape())) }
                    text class="tx b" x="36" y="20" { (cut(&name, room)) }
                    text class="sub" x="36" y="36" {
                        @match group.counting() {
                            Some(start) => { tspan data-since=(start) { (words::duration(self.now - start)) } }
                            None => { (cut(&said.replace("the approval of ", ""), SUB_MAX)) }
                        }
                    }
                    @if pips.is_empty() && group.jobs.len() > 1 {
                        svg class="i q" x="154" y="8" width="14" height="14" aria-hidden="true" { (shape(Icon::Down)) }
                    }
                    @for (index, pip) in pips.iter().rev().enumerate() {
                        rect class={ "pip f " (pip.class()) } x=(162 - 9 * index) y="14" width="6" height="6" {}
                    }
                }
            }
        }
    }

    fn row(&self, groups: &[Group<'_>], group: &Group<'_>) -> Markup {
        let status = group.status();
        html! {
            li {
                (status.icon())
                a class="t1" href=(self.link(group)) { b { (group.name()) } }
                span class="vh" { (status.word()) }
                span class="m end t1" {
                    @match group.counting() {
                        Some(start) => { (words::since(start, self.now)) }
                        None => { (self.said(groups, group)) }
                    }
                }
            }
        }
    }

    /// How many failed, how long it took, or for what it waits.
    fn said(&self, groups: &[Group<'_>], group: &Group<'_>) -> String {
        let status = group.status();
        let ran = group.ran(self.now).map(words::duration);
        match status {
            Status::Failed if group.jobs.len() > 1 => {
                let failed = group.jobs.iter().filter(|job| job.status == status).count();
                let failed = format!("{failed} failed");
                ran.map_or(failed.clone(), |ran| format!("{failed}, {ran}"))
            }
            Status::Passed | Status::Failed | Status::Running => ran.unwrap_or_default(),
            _ => {
                let said = group
                    .jobs
                    .iter()
                    .find(|job| job.status == status && !job.why.is_empty());
                let waits = group
                    .needs
                    .iter()
                    .filter_map(|need| groups.get(*need))
                    .find(|need| need.jobs.iter().any(|job| job.ended_at.is_none()));
                match (said, waits) {
                    (Some(job), _) => in_short(&job.why),
                    (None, Some(need)) => format!("after {}", need.name()),
                    (None, None) => status.word().to_owned(),
                }
            }
        }
    }

    fn link(&self, group: &Group<'_>) -> String {
        match group.jobs.as_slice() {
            [job] => self.job_path(job.id),
            jobs => {
                let key = jobs.first().map_or("", |job| job.key.as_str());
                let here = self.here();
                let sign = if here.contains('?') { '&' } else { '?' };
                format!("{here}{sign}unfold={}#run-jobs", encoded(key))
            }
        }
    }
}

impl Group<'_> {
    fn name(&self) -> String {
        match self.jobs.as_slice() {
            [job] => job.name.clone(),
            jobs => format!(
                "{} ×{}",
                jobs.first().map_or("", |job| job.key.as_str()),
                jobs.len()
            ),
        }
    }

    /// What a reader has to know first of the jobs together.
    fn status(&self) -> Status {
        let all = self.jobs.iter().map(|job| job.status);
        all.max_by_key(|status| weight_of(*status))
            .unwrap_or(Status::Queued)
    }

    /// From its first start to its last end, in milliseconds.
    fn ran(&self, now: i64) -> Option<i64> {
        let start = self.jobs.iter().filter_map(|job| job.started_at).min()?;
        let ended = self
            .jobs
            .iter()
            .filter_map(|job| match (job.started_at, job.ended_at) {
                (Some(_), end) => Some(end.unwrap_or(now)),
                _ => None,
            });
        Some(ended.max()? - start)
    }

    /// Since when it runs, while it does.
    fn counting(&self) -> Option<i64> {
        let running = self.status() == Status::Running;
        let starts = self.jobs.iter().filter_map(|job| job.started_at);
        running.then(|| starts.min()).flatten()
    }

    /// A mark for each of a few jobs that ended differently.
    fn pips(&self) -> Vec<Status> {
        let mut pips: Vec<Status> = self.jobs.iter().map(|job| job.status).collect();
        pips.sort_by_key(|status| std::cmp::Reverse(weight_of(*status)));
        let alike = pips.first() == pips.last();
        if alike || pips.len() > PIPS_MAX {
            Vec::new()
        } else {
            pips
        }
    }
}

/// `test failed` of ``skipped: needs `test`, which failed``: the shape says what came of it.
fn in_short(why: &str) -> String {
    let parts = why
        .strip_prefix("skipped: needs `")
        .and_then(|rest| rest.split_once("`, which "));
    parts.map_or_else(|| why.to_owned(), |(need, how)| format!("{need} {how}"))
}

/// The more it weighs, the sooner it is said.
fn weight_of(status: Status) -> u8 {
    match status {
        Status::Failed | Status::TimedOut => 7,
        Status::Fault => 6,
        Status::Waiting => 5,
        Status::Running => 4,
        Status::Queued => 3,
        Status::Cancelled => 2,
        Status::Skipped => 0,
        _ => 1,
    }
}

fn shape(icon: Icon) -> Markup {
    html! { use href={ "#" (icon.id()) } {} }
}

/// What fits; wide letters count twice.
fn cut(text: &str, room: usize) -> String {
    let wide = |c: char| if c >= '\u{1100}' { 2 } else { 1 };
    if text.chars().map(wide).sum::<usize>() <= room {
        return text.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(wide(c)) else {
            break;
        };
        left = rest;
        short.push(c);
    }
    format!("{}…", short.trim_end())
}

/// As the value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests;

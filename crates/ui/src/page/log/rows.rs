//! The lines of a window: a section for each step, in it blocks of lines and groups that can be folded.
//!
//! A block is what `log.js` adds and takes away as one; a group lies in one block, unless it is long.

use super::{Log, SHOWN_BYTES_MAX, Step, anchor};
use crate::ansi::{self, Ansi};
use crate::icon::{Icon, icon};
use crate::status::Status;
use crate::words;
use maud::{Markup, html};
use std::ops::Range;

/// A block has about so many lines.
const BLOCK: usize = 200;
/// From so many lines on, their numbers need more room.
const LONG: u64 = 100_000;

pub struct Line {
    pub step: u32,
    /// From 0.
    pub number: u64,
    pub at_ms: i64,
    /// At most [`SHOWN_BYTES_MAX`] of it are shown.
    pub text: String,
    /// Of the whole line.
    pub bytes: u64,
    /// What was looked for, in the text as people read it.
    pub hits: Vec<Range<usize>>,
}

/// Lines between `::group::` and its end.
pub struct Group {
    /// The line that opens it, from 0, and the first line behind it.
    pub start: u64,
    pub until: u64,
    /// Between its head and its end.
    pub lines: u64,
    pub title: String,
    pub duration_ms: i64,
    pub open: bool,
    /// It is too long to be sent closed: its lines are not in the window.
    pub left_out: bool,
}

enum Item<'a> {
    Line(Markup),
    /// Some of a group's lines; the first part of it is where it begins.
    Part(&'a Group, bool, Vec<Markup>),
}

impl Log {
    /// The lines of the window, and where they lie in the log.
    #[must_use]
    pub fn window(&self) -> Markup {
        let mut rows = self.rows();
        html! {
            div
                class={ "lines" @if self.total >= LONG { " long" } } id="lines"
                data-path=(self.path) data-job=(self.job)
                data-from=(self.from) data-until=(self.until) data-total=(self.total)
                data-q=[(!self.find.query.is_empty()).then_some(&self.find.query)]
                data-focus=[self.focus()]
                data-asked[self.asked.is_some()]
                data-live[self.live]
            {
                @if self.lines.is_empty() { p class="none m" { "Nothing written yet" } }
                @for lines in self.lines.chunk_by(|a, b| a.step == b.step) {
                    @let rest = rows.split_off(lines.len().min(rows.len()));
                    @let rows = std::mem::replace(&mut rows, rest);
                    (self.section(lines, rows))
                }
                @if let (Some((from, to)), true) = (self.missing, self.until >= self.total) {
                    p class="lost e1" {
                        (words::counted(to - from, "line", "lines")) ", " (words::count(from + 1)) " to " (words::count(to))
                        ", never arrived" @if !self.runner.is_empty() { " from " (self.runner) }
                    }
                }
            }
        }
    }

    /// The line that is to be seen first, from 1 with its step.
    fn focus(&self) -> Option<String> {
        let line = self.asked.map(|(first, _)| first).or(self.error)?;
        let line = self.lines.iter().find(|shown| shown.number == line)?;
        Some(anchor(line.step, line.number))
    }

    /// Each line as markup; the look of one goes on in the next.
    fn rows(&self) -> Vec<Markup> {
        let mut ansi = Ansi::default();
        let mut looks = self.looks.iter().peekable();
        let mut step = None;
        let mut rows = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            // Each step begins plain.
            if step.replace(line.step) != Some(line.step) {
                ansi = Ansi::default();
            }
            while let Some((_, look)) = looks.next_if(|(at, _)| *at <= line.number) {
                ansi = *look;
            }
            let began = self.began.iter().find(|(step, _)| *step == line.step);
            rows.push(self.row(line, began.map_or(line.at_ms, |(_, at)| *at), &mut ansi));
        }
        rows
    }

    fn section(&self, lines: &[Line], rows: Vec<Markup>) -> Markup {
        let number = lines.first().map_or(0, |line| line.step);
        let step = self.steps.iter().find(|step| step.number == number);
        html! {
            section class="stp" data-step=(number) aria-label=[step.map(|step| &step.name)] {
                @if let Some(step) = step { (head(step, self.now)) }
                @let last = lines.last().map_or(0, |line| line.number);
                @for (from, until, block) in blocks(self.items(lines, rows), self.behind(last)) {
                    @let rows: usize = block.iter().map(|(_, item)| item.rows()).sum();
                    // Drawn when it comes into view. Of a shorter one the page would not know the height before.
                    ol class=(if rows * 4 >= BLOCK * 3 { "lg far" } else { "lg" }) data-from=(from) data-until=(until) {
                        @for (_, item) in block {
                            @match item {
                                Item::Line(row) => { (row) }
                                Item::Part(group, begins, rows) => { (self.group(group, number, begins, &rows)) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// The line with which the log goes on in the window behind this one.
    fn behind(&self, line: u64) -> u64 {
        let next = self.lines.partition_point(|shown| shown.number <= line);
        self.lines.get(next).map_or(self.until, |line| line.number)
    }

    /// Each with the line that it begins with.
    fn items<'a>(&'a self, lines: &[Line], rows: Vec<Markup>) -> Vec<(u64, Item<'a>)> {
        let mut items: Vec<(u64, Item<'a>)> = Vec::new();
        let mut groups = self.groups.iter().peekable();
        for (line, row) in lines.iter().zip(rows) {
            while groups.next_if(|group| group.until <= line.number).is_some() {}
            let group = groups.peek().filter(|group| group.start <= line.number);
            let at = line.number;
            match (group, items.last_mut().map(|(_, item)| item)) {
                // The group's own line is its head, and the line that ends it says nothing.
                (Some(group), _) if group.start == line.number => {
                    items.push((at, Item::Part(group, true, Vec::new())));
                }
                (_, _) if line.text.starts_with("##[endgroup]") => {}
                (Some(group), Some(Item::Part(last, _, rows)))
                    if last.start == group.start && rows.len() < BLOCK =>
                {
                    rows.push(row);
                }
                (Some(group), _) => items.push((at, Item::Part(group, false, vec![row]))),
                (None, _) => items.push((at, Item::Line(row))),
            }
        }
        items
    }

    fn group(&self, group: &Group, step: u32, begins: bool, rows: &[Markup]) -> Markup {
        let lines = group.lines;
        let id = anchor(step, group.start);
        html! {
            li class="gp" id=[begins.then_some(&id)] {
                details open[group.open] data-group=(id) {
                    summary {
                        (icon(Icon::Right)) span class="t1" { (group.title) @if !begins { ", continued" } }
                        span class="end" {
                            (words::counted(lines, "line", "lines"))
                            @if group.duration_ms >= 100 { ", " (words::duration(group.duration_ms)) }
                        }
                    }
                    ol {
                        @for row in rows { (row) }
                        @if group.left_out {
                            li { a class="more" href=(super::link(&self.path, step, group.start + 1)) { "Show its " (words::count(lines)) " lines" } }
                        }
                    }
                }
            }
        }
    }

    fn row(&self, line: &Line, began: i64, ansi: &mut Ansi) -> Markup {
        let id = anchor(line.step, line.number);
        let (class, text) = levelled(&line.text);
        let shown = text
            .get(..text.floor_char_boundary(SHOWN_BYTES_MAX))
            .unwrap_or(text);
        let cut = shown.len() < text.len() || line.bytes > line.text.len() as u64;
        let text = ansi::marked(&ansi.line(shown.as_bytes()), &line.hits);
        let asked = self
            .asked
            .is_some_and(|(first, last)| (first..=last).contains(&line.number));
        let error = class == Some("f1") || self.error == Some(line.number);
        let classes = match (error, asked) {
            (true, true) => Some("e1 sel"),
            (true, false) => Some("e1"),
            (false, true) => Some("sel"),
            (false, false) => None,
        };
        html! {
            li id=(id) class=[classes] {
                a class="n" href={ "?line=" (line.number + 1) "#" (id) } { (line.number + 1) }
                span class="tm" data-at=(line.at_ms) { (seconds(line.at_ms - began)) }
                span {
                    @match class {
                        Some(class) => { span class=(class) { (text) } }
                        None => { (text) }
                    }
                    @if cut { " … " a class="more" href={ (self.path) "/lines/" (line.number + 1) ".txt" } { "show " (words::bytes(line.bytes)) } }
                }
            }
        }
    }
}

impl Item<'_> {
    /// That are seen before anybody opens a group.
    fn rows(&self) -> usize {
        match self {
            Item::Line(_) => 1,
            Item::Part(group, _, rows) if group.open => 1 + rows.len(),
            Item::Part(..) => 1,
        }
    }
}

type Block<'a> = (u64, u64, Vec<(u64, Item<'a>)>);

/// Items parted where enough lines are together, with the lines that each part reaches from and to.
fn blocks(items: Vec<(u64, Item<'_>)>, until: u64) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut lines = BLOCK;
    for (from, item) in items {
        if lines >= BLOCK {
            if let Some(last) = blocks.last_mut() {
                last.1 = from;
            }
            blocks.push((from, until, Vec::new()));
            lines = 0;
        }
        lines += match &item {
            Item::Line(_) => 1,
            Item::Part(_, _, rows) => 1 + rows.len(),
        };
        if let Some(block) = blocks.last_mut() {
            block.2.push((from, item));
        }
    }
    blocks
}

/// What stands above a step's lines.
pub(super) fn head(step: &Step, now: i64) -> Markup {
    html! {
        div class="cmd" id={ "head-" (step.number) } {
            (step.status.icon())
            h2 class="t1" { (step.name) }
            span class="end" {
                @if let Some(at) = step.started_at { span class="hs" { (words::clock(at)) " · " } }
                @if let Some(exit) = step.exit { span class="bad" { "exit " (exit) } " · " }
                @if step.status == Status::Running { "running " }
                (lasted(step, now))
            }
        }
    }
}

/// How long a step took, or has taken so far.
pub(super) fn lasted(step: &Step, now: i64) -> Markup {
    html! {
        @match (step.duration_ms, step.started_at) {
            (Some(ms), _) => { (words::duration(ms)) }
            (None, Some(at)) if step.status == Status::Running => { (words::since(at, now)) }
            _ => {}
        }
    }
}

/// `57.61`: seconds since the step began.
fn seconds(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{}.{:02}", ms / 1000, ms % 1000 / 10)
}

/// The class of a line that a command marked, and its text.
pub(crate) fn levelled(text: &str) -> (Option<&'static str>, &str) {
    for (mark, class) in [
        ("##[error]", "f1"),
        ("##[warning]", "f3"),
        ("##[notice]", "f4"),
        ("##[debug]", "m"),
        ("##[command]", "f4"),
        ("##[section]", "f2"),
        ("##[group]", "fb"),
        ("##[endgroup]", "m"),
    ] {
        if let Some(rest) = text.strip_prefix(mark) {
            return (Some(class), rest);
        }
    }
    (None, text)
}

/// A line's text as people read it on the page: what is looked for is looked for in this.
#[must_use]
pub fn read(text: &str) -> String {
    let (_, text) = levelled(text);
    let shown = text
        .get(..text.floor_char_boundary(SHOWN_BYTES_MAX))
        .unwrap_or(text);
    ansi::plain(shown.as_bytes())
}

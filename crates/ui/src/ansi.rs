//! Lines of logs with their colours: terminal sequences become spans with classes of ours.
//!
//! Owns which sequences mean something: colours and weights (SGR), `\r` and `\b`, erase-line, links (OSC 8). All else
//! is dropped. What comes out is text and a short list of classes, never markup of the log's own: a line of a log can
//! look like anything, and it can do nothing. Colours of 256 and RGB become the nearest of the palette, because
//! pages carry no inline style.

use anstyle_parse::{Params, Parser, Perform};
use maud::{Markup, html};
use std::ops::Range;

/// Longer addresses are no links.
const LINK_BYTES_MAX: usize = 2048;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// Of the palette: 1 red, 2 green, 3 yellow, 4 blue, 5 magenta, 6 cyan, 8 grey; none is the text's own.
    pub colour: Option<u8>,
    /// The same behind the text.
    pub ground: Option<u8>,
    pub bold: bool,
    pub dim: bool,
    pub italic: bool,
    pub underline: bool,
    pub struck: bool,
    pub inverse: bool,
}

/// Text of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub style: Style,
    /// `http` or `https`, nothing else.
    pub link: Option<String>,
}

/// Reads line after line of one step; the look that a line leaves behind is how the next one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ansi {
    style: Style,
}

impl Ansi {
    /// A line without its end, as spans. Bytes that are no UTF-8 become U+FFFD.
    pub fn line(&mut self, line: &[u8]) -> Vec<Span> {
        if !line.iter().any(u8::is_ascii_control) {
            // Nearly all lines: nothing to do but to write them.
            let text: String = String::from_utf8_lossy(line)
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            let span = Span {
                text,
                style: self.style,
                link: None,
            };
            return if span.text.is_empty() {
                Vec::new()
            } else {
                vec![span]
            };
        }
        let mut row = Row {
            style: self.style,
            cells: Vec::new(),
            at: 0,
            links: Vec::new(),
            link: None,
        };
        let mut parser: Parser = Parser::default();
        for byte in String::from_utf8_lossy(line).bytes() {
            parser.advance(&mut row, byte);
        }
        self.style = row.style;
        row.spans()
    }

    /// Takes over the look that a line leaves behind, without writing the line.
    pub fn pass(&mut self, line: &[u8]) {
        const ESCAPE: u8 = 0x1b;
        if line.contains(&ESCAPE) {
            let mut parser: Parser = Parser::default();
            let mut looks = Looks(self.style);
            for byte in line {
                parser.advance(&mut looks, *byte);
            }
            self.style = looks.0;
        }
    }

    /// The same as markup: text, and `span` and `a` with our classes.
    pub fn markup(&mut self, line: &[u8]) -> Markup {
        markup(&self.line(line))
    }
}

/// A line's text as people read it, without any sequence.
#[must_use]
pub fn plain(line: &[u8]) -> String {
    let spans = Ansi::default().line(line);
    spans.into_iter().map(|span| span.text).collect()
}

/// Spans as markup, with parts of their text marked: ranges of bytes over the whole text, in order.
#[must_use]
pub fn marked(spans: &[Span], ranges: &[Range<usize>]) -> Markup {
    html! {
        @for (span, marked) in cut(spans, ranges) {
            @if marked { mark { (markup(&[span])) } } @else { (markup(&[span])) }
        }
    }
}

/// Spans cut at the ends of the ranges, and which lie in one of them.
fn cut(spans: &[Span], ranges: &[Range<usize>]) -> Vec<(Span, bool)> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for span in spans {
        let end = start + span.text.len();
        let edges = ranges.iter().flat_map(|range| [range.start, range.end]);
        let inside = edges.filter(|edge| start < *edge && *edge < end);
        let mut at = start;
        for edge in inside.chain([end]) {
            let text = span
                .text
                .get(at - start..edge.max(at) - start)
                .unwrap_or_default();
            if !text.is_empty() {
                let marked = ranges.iter().any(|range| range.contains(&at));
                let text = text.to_owned();
                pieces.push((Span { text, ..span.clone() }, marked));
                at = edge;
            }
        }
        start = end;
    }
    pieces
}

/// Spans as markup.
#[must_use]
pub fn markup(spans: &[Span]) -> Markup {
    html! {
        @for span in spans {
            @let class = span.style.classes();
            @match (&span.link, class.is_empty()) {
                (Some(link), _) => {
                    a class={ "il2 " (class) } href=(link) rel="noopener noreferrer nofollow" { (span.text) }
                }
                (None, true) => { (span.text) }
                (None, false) => { span class=(class) { (span.text) } }
            }
        }
    }
}

impl Style {
    /// The classes of `log.css` for it, parted by spaces.
    #[must_use]
    pub fn classes(&self) -> String {
        let mut classes = String::new();
        let mut add = |class: &str| {
            if !classes.is_empty() {
                classes.push(' ');
            }
            classes.push_str(class);
        };
        if let Some(class) = self.colour.and_then(|colour| named(&COLOURS, colour)) {
            add(class);
        }
        if let Some(class) = self.ground.and_then(|colour| named(&GROUNDS, colour)) {
            add(class);
        }
        for (on, class) in [
            (self.bold, "fb"),
            (self.dim, "fd"),
            (self.italic, "fi"),
            (self.underline, "fu"),
            (self.struck, "fs"),
            (self.inverse, "fr"),
        ] {
            if on {
                add(class);
            }
        }
        classes
    }

    /// Select graphic rendition: one parameter after another.
    fn select(&mut self, params: &Params) {
        let mut rest = params.iter();
        while let Some(param) = rest.next() {
            match param {
                [] | [0] => *self = Style::default(),
                [1] => self.bold = true,
                [2] => self.dim = true,
                [3] => self.italic = true,
                [4, 0] | [24] => self.underline = false,
                [4, ..] | [21] => self.underline = true,
                [7] => self.inverse = true,
                [9] => self.struck = true,
                [22] => (self.bold, self.dim) = (false, false),
                [23] => self.italic = false,
                [27] => self.inverse = false,
                [29] => self.struck = false,
                [n @ (30..=37 | 90..=97)] => self.colour = basic(n % 10, *n >= 90),
                [39] => self.colour = None,
                [n @ (40..=47 | 100..=107)] => self.ground = basic(n % 10, *n >= 100),
                [49] => self.ground = None,
                [place @ (38 | 48)] => {
                    let colour = match rest.next() {
                        Some([5]) => rest.next().and_then(|n| n.first()).map(|n| indexed(*n)),
                        Some([2]) => {
                            let mut part = || rest.next().and_then(|n| n.first()).copied();
                            match (part(), part(), part()) {
                                (Some(r), Some(g), Some(b)) => Some(nearest(r, g, b)),
                                _ => None,
                            }
                        }
                        _ => None,
                    };
                    self.set(*place, colour);
                }
                [place @ (38 | 48), 5, n, ..] => self.set(*place, Some(indexed(*n))),
                // With or without the colour space that the standard has in front.
                [place @ (38 | 48), 2, _, r, g, b, ..] | [place @ (38 | 48), 2, r, g, b] => {
                    self.set(*place, Some(nearest(*r, *g, *b)));
                }
                _ => {}
            }
        }
    }

    fn set(&mut self, place: u16, colour: Option<Option<u8>>) {
        let Some(colour) = colour else { return };
        if place == 38 {
            self.colour = colour;
        } else {
            self.ground = colour;
        }
    }
}

const COLOURS: [&str; 9] = ["f8", "f1", "f2", "f3", "f4", "f5", "f6", "", "f8"];
const GROUNDS: [&str; 9] = ["g8", "g1", "g2", "g3", "g4", "g5", "g6", "g8", "g8"];

fn named(classes: &[&'static str; 9], colour: u8) -> Option<&'static str> {
    let class = classes.get(usize::from(colour)).copied()?;
    (!class.is_empty()).then_some(class)
}

/// Of the sixteen: black is grey, white is the text's own, bright ones are as the others.
fn basic(n: u16, bright: bool) -> Option<u8> {
    match n {
        0 if bright => Some(8),
        0 => Some(8),
        1..=6 => u8::try_from(n).ok(),
        _ => None,
    }
}

/// Of the 256.
fn indexed(n: u16) -> Option<u8> {
    match n {
        0..=7 => basic(n, false),
        8..=15 => basic(n - 8, true),
        16..=231 => {
            let level = |n: u16| if n == 0 { 0 } else { 55 + 40 * n };
            let n = n - 16;
            nearest(level(n / 36), level(n / 6 % 6), level(n % 6))
        }
        232..=255 => {
            let grey = 8 + 10 * (n - 232);
            nearest(grey, grey, grey)
        }
        _ => None,
    }
}

/// The palette's colour of the same hue; of greys, grey or the text's own.
fn nearest(r: u16, g: u16, b: u16) -> Option<u8> {
    let [r, g, b] = [r, g, b].map(|part| i32::from(part.min(255)));
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let span = high - low;
    if span * 5 < high || span < 24 {
        return (high < 176).then_some(8);
    }
    let hue = if high == r {
        (60 * (g - b) / span + 360) % 360
    } else if high == g {
        60 * (b - r) / span + 120
    } else {
        60 * (r - g) / span + 240
    };
    Some(match hue {
        0..=19 | 340.. => 1,
        20..=74 => 3,
        75..=164 => 2,
        165..=199 => 6,
        200..=259 => 4,
        _ => 5,
    })
}

/// One line while it is written.
struct Row {
    style: Style,
    cells: Vec<Cell>,
    /// Where the next character goes.
    at: usize,
    links: Vec<String>,
    /// Which of them is open.
    link: Option<usize>,
}

#[derive(Clone, Copy, PartialEq)]
struct Cell {
    sign: char,
    style: Style,
    link: Option<usize>,
}

/// Hears of nothing but looks.
struct Looks(Style);

impl Perform for Looks {
    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || ignore || !intermediates.is_empty() {
            return;
        }
        if params.is_empty() {
            self.0 = Style::default();
        } else {
            self.0.select(params);
        }
    }
}

impl Row {
    fn spans(self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut last: Option<Cell> = None;
        for cell in self.cells {
            let same = last.is_some_and(|last| last.style == cell.style && last.link == cell.link);
            match spans.last_mut() {
                Some(span) if same => span.text.push(cell.sign),
                _ => spans.push(Span {
                    text: cell.sign.to_string(),
                    style: cell.style,
                    link: cell.link.and_then(|at| self.links.get(at).cloned()),
                }),
            }
            last = Some(cell);
        }
        spans
    }

    fn blank() -> Cell {
        Cell {
            sign: ' ',
            style: Style::default(),
            link: None,
        }
    }
}

impl Perform for Row {
    fn print(&mut self, sign: char) {
        if sign.is_control() {
            return;
        }
        let cell = Cell {
            sign,
            style: self.style,
            link: self.link,
        };
        match self.cells.get_mut(self.at) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
        self.at += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.at = 0,
            0x08 => self.at = self.at.saturating_sub(1),
            b'\t' => {
                // To the next stop, as a terminal does; the log's text keeps its own tab where nothing is below.
                match self.cells.get(self.at) {
                    Some(_) => self.at = (self.at / 8 + 1) * 8,
                    None => {
                        let cell = Cell {
                            sign: '\t',
                            style: self.style,
                            link: self.link,
                        };
                        self.cells.push(cell);
                        self.at += 1;
                    }
                }
                self.at = self.at.min(self.cells.len());
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        match action {
            b'm' if params.is_empty() => self.style = Style::default(),
            b'm' => self.style.select(params),
            b'K' => match params.iter().next().and_then(|param| param.first()) {
                None | Some(0) => self.cells.truncate(self.at),
                Some(1) => {
                    let until = (self.at + 1).min(self.cells.len());
                    self.cells
                        .iter_mut()
                        .take(until)
                        .for_each(|cell| *cell = Self::blank());
                }
                Some(2) => {
                    self.cells.truncate(self.at);
                    self.cells.fill(Self::blank());
                }
                Some(_) => {}
            },
            _ => {}
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _bell_terminated: bool) {
        let [b"8", _, address @ ..] = params else {
            return;
        };
        // An address may hold semicolons of its own.
        let address = address.join(&b';');
        self.link = link(&address).map(|address| {
            self.links.push(address);
            self.links.len() - 1
        });
    }
}

/// An address that a reader may be led to.
fn link(address: &[u8]) -> Option<String> {
    let address = std::str::from_utf8(address).ok()?;
    let scheme = address.split_once("://")?.0;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let clean = !address
        .chars()
        .any(|sign| sign.is_control() || sign.is_whitespace());
    (known && clean && address.len() <= LINK_BYTES_MAX).then(|| address.to_owned())
}

#[cfg(test)]
mod tests;

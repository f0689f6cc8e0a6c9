//! What was measured of an environment: six small plots over one time, with the limits of the guard and the
//! deployments that fell into it. What was not measured is a gap, and says so.

use super::model::{Environment, Mark, Metrics, Point, Window};
use crate::chart::{self, Axis, VIEW_BOX, number, percent};
use crate::words;
use maud::{Markup, html};

const HEIGHT: f64 = 112.0;
/// Marks nearer than this have one number.
const APART: f64 = 0.16;
/// A gap as wide as this says what it is.
const WIDE: f64 = 0.2;
const ROWS_MAX: usize = 60;
/// A hole of more than so many windows is a gap.
const JOINED: f64 = 1.6;

impl Window {
    pub const ALL: [Window; 4] = [Window::HalfHour, Window::TwoHours, Window::Day, Window::Month];

    /// As in the address of the page.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Window::HalfHour => "30m",
            Window::TwoHours => "2h",
            Window::Day => "24h",
            Window::Month => "30d",
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Window::HalfHour => "30 m",
            Window::TwoHours => "2 h",
            Window::Day => "24 h",
            Window::Month => "30 d",
        }
    }

    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.word() == word)
    }
}

/// One plot: what it shows of a point, in the unit that is drawn.
struct Plot {
    name: &'static str,
    what: &'static str,
    value: fn(&Point) -> Option<f64>,
    /// The value with its unit.
    shown: fn(f64) -> String,
    /// On the axis, and with its unit at the top.
    unit: &'static str,
    limit: Option<(f64, String)>,
}

impl Environment {
    pub(super) fn metrics(&self) -> Markup {
        html! {
            section id="metrics" aria-labelledby=[self.metrics.is_some().then_some("me")] {
                @if let Some(metrics) = &self.metrics {
                    div class="head" {
                        h2 id="me" { "Now" }
                        (self.service_links(metrics))
                        (legend())
                        (self.window_links(metrics))
                    }
                    @if metrics.points.is_empty() {
                        p class="m s" { "Nothing was measured in this time. A service is measured every 10 s while it runs." }
                    } @else {
                        div class="plots" data-chart="" id="plots" {
                            @for (index, plot) in plots(metrics).iter().enumerate() { (self.plot(metrics, plot, index)) }
                        }
                        (table(metrics))
                    }
                }
            }
        }
    }

    fn service_links(&self, metrics: &Metrics) -> Markup {
        html! {
            @if metrics.services.len() > 1 {
                span class="seg" {
                    @for service in &metrics.services {
                        a href=(self.metrics_path(metrics.window, service)) aria-current=[(*service == metrics.service).then_some("true")] { (service) }
                    }
                }
            } @else { span class="m" { (metrics.service) } }
        }
    }

    fn window_links(&self, metrics: &Metrics) -> Markup {
        html! {
            span class="seg end" {
                @for window in Window::ALL {
                    a href=(self.metrics_path(window, &metrics.service)) aria-current=[(window == metrics.window).then_some("true")] { (window.shown()) }
                }
            }
        }
    }

    fn metrics_path(&self, window: Window, service: &str) -> String {
        format!(
            "{}?window={}&service={}#metrics",
            self.path(),
            window.word(),
            words::segment(service)
        )
    }

    fn plot(&self, metrics: &Metrics, plot: &Plot, index: usize) -> Markup {
        let points = points(metrics, plot.value);
        let known = || points.iter().filter_map(|(_, value)| *value);
        let most = known().fold(0.0, f64::max);
        let top = plot
            .limit
            .as_ref()
            .map_or(most, |(limit, _)| most.max(limit * 1.1));
        let (x, y) = (metrics.axis(), Axis::up_to(top));
        let down = |value: f64| HEIGHT - y.place(value) * HEIGHT;
        let now = metrics
            .points
            .last()
            .filter(|last| metrics.to - last.at < 3 * metrics.span_ms)
            .and_then(plot.value);
        html! {
            figure class="plot" {
                figcaption {
                    span { (plot.name) " " span class="m" { (plot.what) } }
                    b data-now="" { @match now { Some(now) => { ((plot.shown)(now)) } None => "–" } }
                }
                div {
                    svg width="100%" height=(number(HEIGHT)) role="group" aria-label=(self.said(metrics, plot, most)) {
                        @for tick in y.ticks(3) {
                            @let at = down(tick);
                            line class=(if tick > 0.0 { "gr" } else { "ax" }) x1="0" x2="100%" y1=(number(at)) y2=(number(at)) {}
                            text class="e" x="-8" y=(number(at + 4.0)) {
                                (tick_word(tick)) @if tick + 1e-9 >= y.to() && !plot.unit.is_empty() { " " (plot.unit) }
                            }
                        }
                        @for mark in metrics.marks.iter().filter(|mark| mark.went_back) {
                            @let (from, to) = (x.place(float(mark.at)), x.place(float(mark.ended_at.unwrap_or(metrics.to))));
                            rect class="hotb" x=(percent(from)) width=(percent(to - from)) y="0" height=(number(HEIGHT)) {}
                        }
                        svg aria-hidden="true" width="100%" height=(number(HEIGHT)) viewBox=(VIEW_BOX) preserveAspectRatio="none" {
                            path class="ln" d=(chart::curve(&points, &x, &y)) {}
                        }
                        @if let Some((limit, _)) = &plot.limit {
                            @let at = down(*limit);
                            line class="lim" x1="0" x2="100%" y1=(number(at)) y2=(number(at)) {}
                        }
                        (self.marks(metrics, &x, index))
                        @if let Some((limit, word)) = &plot.limit {
                            @let at = down(*limit);
                            text class="lb hl" x="0" y=(number(if at < 16.0 { at + 14.0 } else { at - 5.0 })) dx="2" { (word) }
                        }
                        @for place in wide_gaps(metrics, &points, &x) {
                            text class="c" x=(percent(place)) y=(number(HEIGHT * 0.62)) { "no data" }
                        }
                    }
                    p class="xl" {
                        @for at in [metrics.from, i64::midpoint(metrics.from, metrics.to), metrics.to] {
                            @if metrics.window == Window::Month { (words::date(at)) } @else { (words::minute(at)) }
                        }
                    }
                }
            }
        }
    }

    /// Deployments, each with its number where there is room for it.
    fn marks(&self, metrics: &Metrics, x: &Axis, index: usize) -> Markup {
        let place = |mark: &Mark| x.place(float(mark.at));
        // Where there is no room for all numbers, what was taken back has its own, and then the newest.
        let mut order: Vec<&Mark> = metrics.marks.iter().collect();
        order.sort_by_key(|mark| std::cmp::Reverse((mark.went_back, mark.id)));
        let mut taken: Vec<f64> = Vec::new();
        let mut marks: Vec<(&Mark, f64, bool)> = Vec::new();
        for mark in order {
            let named = taken.iter().all(|other| (other - place(mark)).abs() >= APART);
            if named {
                taken.push(place(mark));
            }
            marks.push((mark, place(mark), named));
        }
        marks.sort_by_key(|(mark, ..)| mark.id);
        html! {
            @for (mark, place, named) in marks {
                @let (side, dx) = if place > 0.7 { ("tx e", 4) } else { ("tx", -4) };
                a href=(self.deployment_path(mark.id)) aria-label={ "Deployment " (mark.id) (mark.word()) } tabindex=[(index > 0).then_some("-1")] {
                    line class={ "mk" @if mark.went_back { " bk" } } x1=(percent(place)) x2=(percent(place)) y1="-4" y2=(number(HEIGHT)) {}
                    @if named {
                        text class=(side) x=(percent(place)) y="-8" dx=(dx) {
                            "#" (mark.id) @if mark.went_back || mark.rollback { " ↩" }
                        }
                    }
                }
            }
        }
    }

    fn said(&self, metrics: &Metrics, plot: &Plot, most: f64) -> String {
        let limit = plot
            .limit
            .as_ref()
            .map(|(_, word)| format!(", {word}"))
            .unwrap_or_default();
        let peak = metrics.points.iter().any(|point| (plot.value)(point).is_some());
        let peak = if peak {
            format!(", at most {}", (plot.shown)(most))
        } else {
            ", no data".to_owned()
        };
        format!(
            "{} {} of {} over {}{peak}{limit}",
            plot.name,
            plot.what,
            metrics.service,
            metrics.window.shown()
        )
    }
}

impl Mark {
    fn word(&self) -> &'static str {
        match (self.went_back, self.rollback) {
            (true, _) => " taken back",
            (_, true) => " rollback",
            _ => "",
        }
    }
}

impl Metrics {
    fn axis(&self) -> Axis {
        Axis::linear(float(self.from), float(self.to))
    }
}

fn legend() -> Markup {
    html! {
        span class="m lgd hs" {
            svg width="18" height="8" aria-hidden="true" { line class="lim" x1="0" x2="18" y1="4" y2="4" {} } " what the guard allows a new release"
            svg width="8" height="14" aria-hidden="true" { line class="mk" x1="4" x2="4" y1="0" y2="14" {} } " deployment, ↩ taken back or a rollback"
        }
    }
}

fn plots(metrics: &Metrics) -> [Plot; 6] {
    let slower = |now: Option<f64>| {
        let (now, more) = (now?, metrics.slower_limit?);
        let limit = now * (1.0 + more);
        Some((limit, format!("limit +{}, {}", words::percent(more), ms(limit))))
    };
    [
        Plot {
            name: "Errors",
            what: "of answers",
            value: |point| point.failed.map(|share| share * 100.0),
            shown: |value| words::percent(value / 100.0),
            unit: "%",
            limit: metrics
                .error_limit
                .map(|limit| (limit * 100.0, format!("limit {}", words::percent(limit)))),
        },
        Plot {
            name: "Response time",
            what: "p95",
            value: |point| point.p95_us.map(to_ms),
            shown: ms,
            unit: "ms",
            limit: slower(metrics.usual(|point| point.p95_us.map(to_ms))),
        },
        Plot {
            name: "Response time",
            what: "p50",
            value: |point| point.p50_us.map(to_ms),
            shown: ms,
            unit: "ms",
            limit: slower(metrics.usual(|point| point.p50_us.map(to_ms))),
        },
        Plot {
            name: "Requests",
            what: "per second",
            value: |point| Some(point.requests_per_s),
            shown: tick_word,
            unit: "",
            limit: None,
        },
        Plot {
            name: "CPU",
            what: "all replicas, of one core",
            value: |point| point.cpu.map(|cpu| cpu * 100.0),
            shown: |value| words::percent(value / 100.0),
            unit: "%",
            limit: None,
        },
        Plot {
            name: "Memory",
            what: "largest replica",
            value: |point| point.memory.map(mib),
            shown: |value| format!("{} MiB", tick_word(value)),
            unit: "MiB",
            limit: metrics
                .memory_limit
                .map(|limit| (mib(limit), format!("limit {}", words::bytes(limit)))),
        },
    ]
}

impl Metrics {
    /// The middle of the newest half hour's values: about what the guard holds a new release against.
    fn usual(&self, value: impl Fn(&Point) -> Option<f64>) -> Option<f64> {
        let since = self.to - 30 * 60_000;
        let mut newest: Vec<f64> = self
            .points
            .iter()
            .filter(|point| point.at >= since)
            .filter_map(value)
            .collect();
        newest.sort_by(f64::total_cmp);
        newest.get(newest.len() / 2).copied()
    }
}

/// The values, with an empty one in each gap.
fn points(metrics: &Metrics, value: fn(&Point) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
    let mut points = Vec::with_capacity(metrics.points.len() + 8);
    let mut before: Option<i64> = None;
    for point in &metrics.points {
        if before.is_some_and(|before| float(point.at - before) > JOINED * float(metrics.span_ms)) {
            points.push((float(point.at - 1), None));
        }
        points.push((float(point.at), value(point)));
        before = Some(point.at);
    }
    points
}

/// The middles of what is missing and wide enough for words.
fn wide_gaps(metrics: &Metrics, points: &[(f64, Option<f64>)], x: &Axis) -> Vec<f64> {
    let known = points
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(at, _)| x.place(*at));
    let mut ends: Vec<f64> = vec![0.0];
    ends.extend(known);
    ends.push(1.0);
    let joined = JOINED * float(metrics.span_ms) / float((metrics.to - metrics.from).max(1));
    let gaps = ends.windows(2).filter_map(|pair| match pair {
        [from, to] if to - from > joined.max(WIDE) => Some(f64::midpoint(*from, *to)),
        _ => None,
    });
    gaps.take(4).collect()
}

/// All plots as figures, for who does not see them; and what the pointer shows.
fn table(metrics: &Metrics) -> Markup {
    let plots = plots(metrics);
    let step = metrics.points.len().div_ceil(ROWS_MAX).max(1);
    let x = metrics.axis();
    let rows = metrics.points.iter().rev().step_by(step).collect::<Vec<_>>();
    html! {
        details class="fold tbl" id="metrics-table" data-for="plots" {
            summary { "As a table" }
            table class="keep" {
                thead {
                    tr {
                        th scope="col" { "Until" }
                        @for plot in &plots { th scope="col" class="r" { (plot.name) " " span class="hs" { (plot.what) } } }
                    }
                }
                tbody {
                    @for point in rows.into_iter().rev() {
                        tr data-x=(number(x.place(float(point.at)) * 1000.0)) {
                            td { @if metrics.window == Window::Month { (words::date(point.at)) } @else { (words::clock(point.at)) } }
                            @for plot in &plots {
                                td class="r" { @match (plot.value)(point) { Some(value) => ((plot.shown)(value)), None => "–" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tick_word(value: f64) -> String {
    let digits = if value.abs() >= 10.0 || value.fract() == 0.0 {
        0
    } else if value.abs() >= 1.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn ms(value: f64) -> String {
    format!("{} ms", tick_word(value))
}

#[allow(clippy::cast_precision_loss, reason = "times stay below 2^52")]
fn to_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "sizes stay below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[allow(clippy::cast_precision_loss, reason = "times stay below 2^52")]
fn float(n: i64) -> f64 {
    n as f64
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

//! What was measured of an environment, for its page: of one service, over the time that the reader chose.

use crate::app::App;
use crate::driver::deployment::plan_of;
use crate::error::AppResult;
use pilotage_store::{Metric, Project, Release};
use pilotage_ui::page::environment::{Mark, Metrics, Point, Window};
use serde::Deserialize;

/// Deployments that are looked through for marks.
const MARKS: i64 = 60;

/// What the reader chose, as it stands in the address.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub window: String,
    #[serde(default)]
    pub service: String,
}

impl Choice {
    /// As the end of an address; empty for what is shown without a choice.
    pub(super) fn query(&self) -> String {
        let mut pairs = Vec::new();
        for (name, value) in [("window", &self.window), ("service", &self.service)] {
            if !value.is_empty() {
                pairs.push(format!("{name}={}", pilotage_ui::words::segment(value)));
            }
        }
        if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        }
    }

    /// Reads what [`Choice::query`] wrote.
    pub(super) fn of(query: &str) -> Self {
        let mut choice = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = pilotage_ui::words::of_segment(value).unwrap_or_default();
            match name {
                "window" => choice.window = value,
                "service" => choice.service = value,
                _ => {}
            }
        }
        choice
    }
}

/// How much time a window has, and the length of the measures that it is made of, both in milliseconds.
fn lengths(window: Window) -> (i64, i64) {
    const MINUTE: i64 = 60_000;
    match window {
        Window::HalfHour => (30 * MINUTE, 10_000),
        Window::TwoHours => (120 * MINUTE, 10_000),
        Window::Day => (24 * 60 * MINUTE, MINUTE),
        Window::Month => (30 * 24 * 60 * MINUTE, 10 * MINUTE),
    }
}

/// `release` is what stands, or was brought last; its plan says the services and their limits.
pub(super) async fn metrics_of(
    app: &App,
    project: &Project,
    environment: &str,
    release: &Release,
    choice: &Choice,
) -> AppResult<Option<Metrics>> {
    let Some(plan) = plan_of(release, environment)? else {
        return Ok(None);
    };
    let service = plan
        .services
        .iter()
        .find(|service| service.name == choice.service);
    let Some(service) = service.or_else(|| plan.services.first()) else {
        return Ok(None);
    };
    let window = Window::of(&choice.window).unwrap_or_default();
    let (length, span_ms) = lengths(window);
    let now = app.now();
    let to = now - now.rem_euclid(span_ms);
    let from = to - length;
    let mut c = app.store.read().await?;
    let measured = c
        .metrics(project.id, environment, &service.name, span_ms / 1000, from)
        .await?;
    let recent = c.recent_deployments(project.id, environment, MARKS).await?;
    drop(c);
    // Before its first deployment there was nothing to measure, and an empty place says nothing.
    let first = recent.iter().map(|row| row.created_at).min();
    let first = first.filter(|_| (recent.len() as u64) < MARKS.unsigned_abs());
    let from = first.map_or(from, |first| begins(from, to, first - span_ms));
    let guard = Some(&plan.guard).filter(|guard| guard.enabled);
    Ok(Some(Metrics {
        services: plan.services.iter().map(|service| service.name.clone()).collect(),
        service: service.name.clone(),
        window,
        from,
        to,
        span_ms,
        points: measured.iter().map(point).collect(),
        marks: recent
            .into_iter()
            .rev()
            .filter(|row| row.created_at >= from && row.created_at <= to)
            .map(|row| Mark {
                id: row.id,
                at: row.created_at,
                ended_at: row.ended_at,
                rollback: row.kind == "rollback",
                went_back: row.result.as_deref() == Some("rolled-back"),
            })
            .collect(),
        error_limit: guard.map(|guard| guard.error_rate),
        slower_limit: guard.map(|guard| guard.response_time),
        memory_limit: service.memory_bytes,
    }))
}

/// Where the axis begins of what has been there since `first`: a part of the window is always shown.
fn begins(from: i64, to: i64, first: i64) -> i64 {
    first.clamp(from, to - (to - from) / 15)
}

#[allow(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
fn point(metric: &Metric) -> Point {
    let (requests, errors) = (metric.requests as f64, metric.errors as f64);
    let unsigned = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
    Point {
        at: metric.at + metric.span * 1000,
        requests_per_s: requests * 1000.0 / (metric.seen.max(1) as f64),
        failed: (metric.requests > 0).then(|| errors / requests),
        p50_us: unsigned(metric.p50_us),
        p95_us: unsigned(metric.p95_us),
        cpu: metric.cpu.map(|cpu| cpu as f64 / 1000.0),
        memory: unsigned(metric.memory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_begins_with_what_there_is_to_show() {
        for (first, expected) in [(-50, 0), (0, 0), (400, 400), (590, 560)] {
            assert_eq!(begins(0, 600, first), expected, "{first}");
        }
    }

    #[test]
    fn a_choice_survives_its_address() {
        for (window, service) in [("", ""), ("2h", ""), ("24h", "a&b=c ö?/")] {
            let choice = Choice {
                window: window.to_owned(),
                service: service.to_owned(),
            };
            let again = Choice::of(choice.query().trim_start_matches('?'));
            assert_eq!((again.window.as_str(), again.service.as_str()), (window, service));
        }
    }
}

use super::super::model::{Back, Environment, Filled};
use super::*;
use crate::shell::Viewer;

const TO: i64 = 1_764_000_000_000;
const SPAN: i64 = 10_000;

fn point(n: i64) -> Point {
    let wave = (n % 7) as f64;
    Point {
        at: TO - SPAN * (180 - n),
        requests_per_s: 50.0 + wave,
        failed: Some(0.001 * wave),
        p50_us: Some(84_000),
        p95_us: Some(212_000 + 1_000 * n.unsigned_abs() % 7),
        cpu: Some(0.03),
        memory: Some(284 << 20),
    }
}

fn metrics(points: Vec<Point>) -> Metrics {
    Metrics {
        services: vec!["web".to_owned(), "b\"<i>".to_owned()],
        service: "web".to_owned(),
        window: Window::HalfHour,
        from: TO - 180 * SPAN,
        to: TO,
        span_ms: SPAN,
        points,
        marks: vec![
            Mark {
                id: 311,
                at: TO - 100 * SPAN,
                ended_at: Some(TO - 90 * SPAN),
                rollback: false,
                went_back: false,
            },
            Mark {
                id: 312,
                at: TO - 30 * SPAN,
                ended_at: Some(TO - 25 * SPAN),
                rollback: false,
                went_back: true,
            },
            Mark {
                id: 313,
                at: TO - 29 * SPAN,
                ended_at: None,
                rollback: true,
                went_back: false,
            },
        ],
        error_limit: Some(0.05),
        slower_limit: Some(0.5),
        memory_limit: Some(512 << 20),
    }
}

fn drawn(metrics: Option<Metrics>) -> String {
    let environment = Environment {
        viewer: Viewer {
            name: "ana".to_owned(),
            csrf: "word".to_owned(),
            admin: false,
        },
        refusal: None,
        owner: "o".to_owned(),
        name: "p".to_owned(),
        environment: "prod/uction".to_owned(),
        now: TO,
        serving: None,
        active: None,
        back: Back::Not("nothing is live".to_owned()),
        lock: None,
        surprise: None,
        waiting: Vec::new(),
        history: Vec::new(),
        more: false,
        replicas: Vec::new(),
        metrics,
        choices: Vec::new(),
        problem: None,
        filled: Filled::default(),
    };
    environment.metrics().into_string().replace("><", ">\n<")
}

#[test]
fn nothing_is_drawn_of_nothing() {
    insta::assert_snapshot!(drawn(None), @r#"<section id="metrics">
</section>"#);
    let html = drawn(Some(metrics(Vec::new())));
    assert!(
        html.contains("Nothing was measured") && !html.contains("<figure"),
        "{html}"
    );
}

#[test]
fn plots_have_their_limits_their_deployments_and_their_gaps() {
    let points = (1..=180).filter(|n| !(60..100).contains(n)).map(point).collect();
    let html = drawn(Some(metrics(points)));
    // One plot tells of all.
    let first = html.split_inclusive("</figure>").next().unwrap_or_default();
    insta::assert_snapshot!(first);
    assert_eq!(html.matches("<figure").count(), 6);
    assert_eq!(html.matches("no data").count(), 6, "each plot has the gap");
    assert_eq!(
        html.matches("limit +50 %, 318 ms").count(),
        2,
        "in words and in the picture"
    );
    assert!(html.contains("284 MiB") && html.contains("limit 512 MiB"));
    assert!(!html.contains("b\"<i>") && !html.contains("NaN"));
}

#[test]
fn many_points_make_a_small_page() {
    let points = (0..4_320)
        .map(|n| Point {
            at: TO - SPAN * (4_320 - n),
            ..point(n)
        })
        .collect();
    let html = drawn(Some(Metrics {
        window: Window::Month,
        from: TO - 4_320 * SPAN,
        ..metrics(points)
    }));
    assert!(html.len() < 90_000, "{} bytes", html.len());
}

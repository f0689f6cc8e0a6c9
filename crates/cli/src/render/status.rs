//! `pilotage status`: where the projects stand, in a few lines each.

use super::page::Page;
use super::run_page;
use super::style::{Sign, duration, fit};
use super::table::{Cell, table};
use super::text::{age, branch, short};
use pilotage_api::deployment::{Standing, StandingService};
use pilotage_api::rest::{EnvironmentStatus, ProjectStatus};
use pilotage_api::runner::Conclusion;
use std::time::Duration;

/// `standings` has what stands in each environment, with the proxy's figures.
pub(crate) fn project(status: &ProjectStatus, standings: &[Standing], page: &Page) -> String {
    let inner = Page {
        width: page.width.saturating_sub(2),
        ..*page
    };
    let mut rows = Vec::new();
    for environment in &status.environments {
        let standing = standings.iter().find(|s| s.environment == environment.name);
        rows.push(environment_row(environment, standing, page));
    }
    let known = |name: &str| status.environments.iter().any(|e| e.name == name);
    for standing in standings.iter().filter(|s| !known(&s.environment)) {
        let environment = EnvironmentStatus {
            name: standing.environment.clone(),
            state: "live".to_owned(),
            sha: standing.sha.clone(),
            since: standing.since,
            ..EnvironmentStatus::default()
        };
        rows.push(environment_row(&environment, Some(standing), page));
    }
    let names = rows.iter().filter_map(|row| row.first()).map(|cell| match cell {
        Cell::Text(name) => name.chars().count(),
        _ => 0,
    });
    let names = names.max().unwrap_or(0).max(9);
    let mut text = format!("{}\n", fit(&status.project, page.width));
    for line in table(&inner, &rows).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    for line in [runs_line(status, names, &inner), last_push(status, names, &inner)]
        .into_iter()
        .flatten()
    {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

fn environment_row(environment: &EnvironmentStatus, standing: Option<&Standing>, page: &Page) -> Vec<Cell> {
    let active = standing.and_then(|s| s.active.as_ref());
    let (sign, word) = match (active, environment.state.as_str()) {
        (Some(active), _) => (super::deployment::sign(active), active.state.replace('-', " ")),
        (None, "") => (Sign::Waiting, "nothing yet".to_owned()),
        (None, "live") => (Sign::Success, "live".to_owned()),
        (None, "rolled-back" | "rolling-back") => (Sign::RolledBack, environment.state.replace('-', " ")),
        (None, "waiting") => (Sign::Person, "waiting".to_owned()),
        (None, "needs-attention") => (Sign::Fault, "needs attention".to_owned()),
        (None, other) => (Sign::Running, other.replace('-', " ")),
    };
    let since = if environment.since > 0 {
        age(page.now, environment.since)
    } else {
        String::new()
    };
    let services = match standing {
        Some(standing) => {
            let services = standing.services.iter();
            services
                .map(|s| format!("{} {}/{}", s.name, s.running, s.replicas))
                .collect()
        }
        None => environment.services.clone(),
    };
    let told = environment.note.contains("% errors");
    let figures = standing
        .filter(|_| !told)
        .map(|s| figures(&s.services))
        .unwrap_or_default();
    let mut note = vec![figures, environment.note.clone()];
    if let Some(active) = active {
        note.push(format!("pilotage deployment watch {}", active.id));
    }
    note.retain(|part| !part.is_empty());
    vec![
        Cell::text(&environment.name),
        Cell::state(sign, word),
        Cell::text(short(&environment.sha)),
        Cell::number(since),
        Cell::text(services.join("  ")),
        Cell::text(note.join("   ")),
    ]
}

/// `0.5 % errors   p95 212 ms`, of the services together: the sum of answers, the slowest p95.
fn figures(services: &[StandingService]) -> String {
    let counts: Vec<_> = services.iter().filter_map(|s| s.counts.as_ref()).collect();
    let requests: u64 = counts.iter().map(|c| c.requests).sum();
    let errors: u64 = counts.iter().map(|c| c.errors).sum();
    let Some(p95) = counts.iter().map(|c| c.p95_us).max().filter(|_| requests > 0) else {
        return String::new();
    };
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let percent = 100.0 * errors as f64 / requests as f64;
    format!(
        "{percent:.1} % errors   p95 {}",
        duration(Duration::from_micros(p95))
    )
}

fn runs_line(status: &ProjectStatus, names: usize, page: &Page) -> Option<String> {
    let mut parts = Vec::new();
    if status.running > 0 {
        parts.push(format!(
            "{} {} running",
            page.style.sign(Sign::Running),
            status.running
        ));
    }
    if status.queued > 0 {
        let verb = if status.queued == 1 { "waits" } else { "wait" };
        let why = match status.waiting_for.as_slice() {
            [] => String::new(),
            reasons => format!(
                ": {}",
                fit(&reasons.join("; "), page.width.saturating_sub(40).clamp(20, 300))
            ),
        };
        parts.push(format!(
            "{} {} {verb}{why}",
            page.style.sign(Sign::Waiting),
            status.queued
        ));
    }
    (!parts.is_empty()).then(|| format!("{:<names$}  {}", "runs", parts.join("    ")))
}

fn last_push(status: &ProjectStatus, names: usize, page: &Page) -> Option<String> {
    let run = status.last_push.as_ref()?;
    let (sign, word) = run_page::state(run);
    let failed = run.conclusion == Some(Conclusion::Failure) && !status.last_push_failed.is_empty();
    let what = if failed {
        status.last_push_failed.as_str()
    } else {
        word
    };
    let next = if run.conclusion.is_some() { "view" } else { "watch" };
    Some(format!(
        "{:<names$}  {}  {} {}  {} ago      pilotage run {next} {}",
        "last push",
        fit(branch(&run.r#ref), 40),
        page.style.sign(sign),
        fit(what, 40),
        age(page.now, run.created_at),
        run.id
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::style::Style;
    use pilotage_api::deployment::Counts;
    use pilotage_api::rest::Run;

    const NOW: i64 = 1_795_574_613_000;

    fn run() -> Run {
        Run {
            id: 1_851,
            project: "omnilife/platform".into(),
            workflow: 1,
            workflow_path: ".github/workflows/ci-cd.yml".into(),
            workflow_name: "CI".into(),
            number: 7,
            attempt: 1,
            event: "push".into(),
            r#ref: "refs/heads/fix/login".into(),
            sha: "1a2b3c4d".into(),
            title: "Fix login".into(),
            actor: "ana".into(),
            status: "completed".into(),
            conclusion: Some(Conclusion::Failure),
            why: String::new(),
            created_at: NOW - 480_000,
            started_at: NOW - 480_000,
            ended_at: Some(NOW - 400_000),
            url: String::new(),
        }
    }

    fn standing(name: &str, sha: &str, hours: i64, services: &[(&str, u32)], requests: u64) -> Standing {
        let service = |(name, replicas): &(&str, u32)| StandingService {
            name: (*name).to_owned(),
            replicas: *replicas,
            running: *replicas,
            counts: (requests > 0).then(|| Counts {
                revision: sha.to_owned(),
                requests,
                errors: requests / 200,
                p95_us: 212_000,
                ..Counts::default()
            }),
        };
        Standing {
            environment: name.into(),
            url: String::new(),
            deployment: 1,
            release: String::new(),
            revision: sha.into(),
            sha: sha.into(),
            title: String::new(),
            since: NOW - hours * 3_600_000,
            proven: true,
            services: services.iter().map(service).collect(),
            active: None,
        }
    }

    #[test]
    fn a_project_in_a_few_lines() {
        let status = ProjectStatus {
            project: "omnilife/platform".into(),
            running: 1,
            queued: 2,
            waiting_for: vec!["no free slot (2 of 2 busy)".into()],
            last_push: Some(run()),
            last_push_failed: "test (backend)".into(),
            environments: vec![EnvironmentStatus {
                name: "staging".into(),
                state: "live".into(),
                sha: "a41d0c2".into(),
                since: NOW - 7_200_000,
                note: "3 commits ahead of production".into(),
                ..EnvironmentStatus::default()
            }],
        };
        let standings = [
            standing("staging", "a41d0c2", 2, &[("frontend", 1), ("backend", 1)], 0),
            standing(
                "production",
                "9e07b51",
                6,
                &[("frontend", 2), ("backend", 3)],
                1_000,
            ),
        ];
        let page = Page {
            style: Style::plain(),
            width: 130,
            now: NOW,
        };
        insta::assert_snapshot!(project(&status, &standings, &page), @r#"
        omnilife/platform
          staging     ✓ live  a41d0c2  2 h  frontend 1/1  backend 1/1  3 commits ahead of production
          production  ✓ live  9e07b51  6 h  frontend 2/2  backend 3/3  0.5 % errors   p95 212 ms
          runs        ◐ 1 running    ○ 2 wait: no free slot (2 of 2 busy)
          last push   fix/login  ✕ test (backend)  8 min ago      pilotage run view 1851
        "#);
    }
}

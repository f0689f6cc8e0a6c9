//! What a deployment came to, as a row of its environment's history. Of one that has ended nothing changes but whether
//! its files are still there, so it is remembered: a page of history reads no machine twice.

use crate::app::App;
use crate::driver::deployment::load;
use crate::error::AppResult;
use crate::web::deployment::{approvals_of, revision_of};
use pilotage_engine::deployment::{DeploymentView, ServiceView};
use pilotage_guard::{Evidence, Test};
use pilotage_store::{Connection, Deployment as Row};
use pilotage_ui::page::environment::{Past, PastBack, Trip};
use pilotage_ui::status::Status;
use pilotage_ui::words;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Deployments that are remembered.
const KNOWN_MAX: usize = 2_000;

/// Deployments that have ended, by their number.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<i64, Arc<Facts>>>);

struct Facts {
    proven: bool,
    revision: String,
    old_revision: String,
    /// Of its release, if that is known still.
    release: Option<i64>,
    digest: String,
    title: String,
    approved_by: Option<String>,
    verdict: Option<String>,
    trip: Option<Trip>,
    verified_at: Option<i64>,
}

/// `serves` is the deployment and the release that serve now.
pub(super) async fn past_of(app: &App, row: Row, serves: Option<(i64, i64)>) -> AppResult<Past> {
    let mut c = app.store.read().await?;
    let facts = facts(app, &mut c, &row).await?;
    let rollback = row.kind == "rollback";
    let status = Status::of_deployment(&row.status, facts.proven || rollback);
    let back = match (facts.release, row.result.as_deref()) {
        _ if serves.is_some_and(|(id, _)| id == row.id) => PastBack::ServesNow,
        // The same release serves, by another deployment.
        _ if serves.is_some_and(|(_, release)| release == row.release_id) => PastBack::Nothing,
        (Some(release), Some("live")) if !c.release_blobs(release).await?.is_empty() => {
            PastBack::To(facts.digest.clone())
        }
        (_, Some("live")) => PastBack::Gone,
        _ => PastBack::Nothing,
    };
    Ok(Past {
        id: row.id,
        status,
        state: match status {
            Status::Running | Status::Waiting | Status::Queued => row.status.replace('-', " "),
            status => status.word().to_owned(),
        },
        rollback,
        why: why(&row, &facts, status),
        revision: facts.revision.clone(),
        old_revision: facts.old_revision.clone(),
        title: facts.title.clone(),
        actor: row.actor,
        approved_by: facts.approved_by.clone(),
        created_at: row.created_at,
        ended_at: row.ended_at,
        trip: facts.trip.clone(),
        verified_at: facts.verified_at,
        back,
    })
}

fn why(row: &Row, facts: &Facts, status: Status) -> String {
    match status {
        Status::RolledBack | Status::NeedsAttention | Status::Aborted => match &facts.verdict {
            Some(verdict) if status == Status::RolledBack => {
                format!("Back to {} by the guard: {verdict}.", facts.old_revision)
            }
            _ => row.reason.clone(),
        },
        Status::Live | Status::Unproven if row.kind == "rollback" => format!(
            "Rolled back to {} by {}, by hand: “{}”.",
            facts.revision, row.actor, row.reason
        ),
        _ => String::new(),
    }
}

async fn facts(app: &App, c: &mut Connection, row: &Row) -> AppResult<Arc<Facts>> {
    let known = || app.pasts.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(facts) = known().get(&row.id) {
        return Ok(Arc::clone(facts));
    }
    let facts = Arc::new(read(c, row).await?);
    if row.ended_at.is_some() {
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(row.id, Arc::clone(&facts));
    }
    Ok(facts)
}

async fn read(c: &mut Connection, row: &Row) -> AppResult<Facts> {
    let release = c.release(row.release_id).await?;
    let view = load(c, row.id).await?.map(|machine| machine.view());
    let approved_by = match &release {
        Some(release) => {
            let said = approvals_of(c, row, release).await?;
            said.into_iter()
                .rev()
                .find(|said| said.approved)
                .map(|said| said.by)
        }
        None => None,
    };
    let services = || view.iter().flat_map(|view| &view.services);
    let old = view.as_ref().and_then(|view| view.old.as_ref());
    Ok(Facts {
        proven: view.is_some() && services().all(|service| service.proven),
        revision: release
            .as_ref()
            .map_or_else(|| row.revision.clone(), |release| revision_of(row, release)),
        old_revision: old.map(|old| old.revision.clone()).unwrap_or_default(),
        approved_by,
        verdict: services().find_map(|service| service.verdict.clone()),
        trip: services().find_map(trip),
        verified_at: view.as_ref().and_then(verified_at),
        digest: release
            .as_ref()
            .map(|release| release.digest.clone())
            .unwrap_or_default(),
        release: release.as_ref().map(|release| release.id),
        title: release.map(|release| release.title).unwrap_or_default(),
    })
}

fn trip(service: &ServiceView) -> Option<Trip> {
    let decided = service.decided_at_us?;
    let evidence = service.evidence.as_ref()?;
    Some(Trip {
        rule: rule(evidence, evidence.verdict.as_ref()?.test),
        decided_at: decided / 1_000,
        returned_us: service.returned_in_us,
    })
}

/// The rule that was broken, with the value that was measured.
fn rule(evidence: &Evidence, test: Test) -> String {
    let counts = evidence
        .verdict
        .as_ref()
        .map_or((evidence.new, evidence.old), |verdict| (verdict.new, verdict.old));
    let (new, old) = counts;
    let rate = |counts: &pilotage_guard::Counts| words::percent(counts.error_rate());
    match test {
        Test::Errors | Test::LateErrors => format!(
            "errors {}, limit {}",
            rate(&new),
            words::percent(evidence.policy.error_rate)
        ),
        Test::MoreErrors | Test::LateMoreErrors => {
            format!("errors {}, of the old one {}", rate(&new), rate(&old))
        }
        Test::SlowP50 | Test::LateSlowP50 => {
            format!(
                "response time, limit the old median +{}",
                words::percent(evidence.policy.response_time)
            )
        }
        Test::SlowP95 | Test::LateSlowP95 => {
            format!(
                "response time, limit the old p95 +{}",
                words::percent(evidence.policy.response_time)
            )
        }
    }
}

fn verified_at(view: &DeploymentView) -> Option<i64> {
    let mut moments = view.moments.iter().rev();
    let verified = moments.find(|moment| moment.text.starts_with("verified: "))?;
    Some(verified.at.0)
}

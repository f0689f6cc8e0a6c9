//! The page of one deployment.

use super::form::{Form, Pressed};
use super::page::{WebError, WebResult, see_other, sentence, show};
use super::viewer::Viewer;
use crate::app::App;
use crate::app::releases::short;
use crate::driver::deployment::{self as machine, DEPLOYMENT, plan_of};
use crate::driver::environment::rules;
use crate::error::{AppError, AppResult};
use crate::rest;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use pilotage_api::deployment::{Abort, ApproveDeployment};
use pilotage_deploy::replica::{Environment as Target, ReplicaState};
use pilotage_engine::deployment::{DeploymentView, Plan, ServiceView, Strategy};
use pilotage_engine::policy::{self, Direction, Request};
use pilotage_engine::time::Timestamp;
use pilotage_guard::{Counts as GuardCounts, Evidence, Odds as GuardOdds, Outcome, Test as GuardTest};
use pilotage_keep::State as KeeperState;
use pilotage_store::{Deployment as Row, Project, Release as ReleaseRow, ToldRow};
use pilotage_trust::token::Scope;
use pilotage_ui::Fragment;
use pilotage_ui::page::deployment::{
    Approval, Approve, Check, Counts, Deployment, Judged, Moment, Odds, Release, Replica, Seen, Service,
    Step, Tally, Test, Told, Verdict,
};
use pilotage_ui::shell::{Place, ProjectTab, Shell};
use pilotage_ui::status::Status;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/{owner}/{name}/deployments/{id}", get(page))
        .route("/{owner}/{name}/deployments/{id}/abort", post(abort))
        .route("/{owner}/{name}/deployments/{id}/approval", post(approve))
        .route("/{owner}/{name}/deployments/{id}/release", post(release))
}

type Where = Path<(String, String, i64)>;

async fn page(State(app): State<Arc<App>>, viewer: Viewer, Path((owner, name, id)): Where) -> WebResult {
    let (row, project) = find(&app, &viewer, &owner, &name, id).await?;
    draw(&app, &viewer, row, &project, None).await
}

async fn draw(
    app: &Arc<App>,
    viewer: &Viewer,
    row: Row,
    project: &Project,
    problem: Option<String>,
) -> WebResult {
    let id = row.id;
    let mut deployment = view(app, viewer, row, project).await?;
    deployment.problem = problem;
    let place = Place::Project {
        owner: project.owner.clone(),
        name: project.name.clone(),
        tab: ProjectTab::Environments,
    };
    let mut shell = Shell::new(deployment.title(), place);
    shell.topics = vec![format!("deployment:{id}")];
    Ok(show(viewer, shell, &deployment.main()))
}

/// The fragments of the page, for who may see it.
pub(super) async fn fragments(app: &Arc<App>, viewer: &Viewer, id: i64) -> WebResult<Vec<Fragment>> {
    let (row, project) = by_id(app, viewer, id).await?;
    Ok(view(app, viewer, row, &project).await?.fragments())
}

async fn by_id(app: &App, viewer: &Viewer, id: i64) -> AppResult<(Row, Project)> {
    let missing = || AppError::not_found(format!("deployment {id}"));
    let mut c = app.store.read().await?;
    let row = c.deployment(id).await?.ok_or_else(missing)?;
    let project = c.project_by_id(row.project_id).await?.ok_or_else(missing)?;
    drop(c);
    viewer.who.demand(Scope::Read, &project).map_err(|_| missing())?;
    Ok((row, project))
}

/// A deployment of this project, if this viewer may see it.
async fn find(app: &App, viewer: &Viewer, owner: &str, name: &str, id: i64) -> AppResult<(Row, Project)> {
    let project = rest::project::find(app, &viewer.who, owner, name, Scope::Read).await?;
    let (row, of) = by_id(app, viewer, id).await?;
    if of.id != project.id {
        return Err(AppError::not_found(format!("deployment {id}")));
    }
    Ok((row, project))
}

#[derive(serde::Deserialize)]
struct AbortForm {
    #[serde(default)]
    reason: String,
    quarantine: Option<String>,
}

async fn abort(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Where,
    Form(form): Form<AbortForm>,
) -> WebResult {
    find(&app, &viewer, &owner, &name, id).await?;
    let asked = Abort {
        reason: form.reason.trim().to_owned(),
        quarantine: form.quarantine.is_some(),
    };
    let done =
        rest::deployment::abort(State(Arc::clone(&app)), viewer.who.clone(), Path(id), Json(asked)).await;
    match done {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/deployments/{id}"))),
        Err(error) => refused(&app, &viewer, id, error).await,
    }
}

#[derive(serde::Deserialize)]
struct ApprovalForm {
    digest: String,
    verdict: Pressed,
    #[serde(default)]
    reason: String,
}

async fn approve(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Where,
    Form(form): Form<ApprovalForm>,
) -> WebResult {
    find(&app, &viewer, &owner, &name, id).await?;
    let asked = ApproveDeployment {
        digest: form.digest,
        approved: form.verdict == Pressed::Approved,
        reason: form.reason.trim().to_owned(),
    };
    let done =
        rest::deployment::approve(State(Arc::clone(&app)), viewer.who.clone(), Path(id), Json(asked)).await;
    match done {
        Ok(_) => Ok(see_other(&format!("/{owner}/{name}/deployments/{id}"))),
        Err(error) => refused(&app, &viewer, id, error).await,
    }
}

/// The page as it is now, with why what was asked of it was refused.
async fn refused(app: &Arc<App>, viewer: &Viewer, id: i64, error: AppError) -> WebResult {
    if !error.status.is_client_error() {
        return Err(WebError::Refused(error));
    }
    let (row, project) = by_id(app, viewer, id).await?;
    let mut page = draw(app, viewer, row, &project, Some(sentence(&error.detail))).await?;
    *page.status_mut() = error.status;
    Ok(page)
}

#[derive(serde::Deserialize)]
struct Nothing {}

/// Lets the release go out of quarantine.
async fn release(
    State(app): State<Arc<App>>,
    viewer: Viewer,
    Path((owner, name, id)): Where,
    Form(Nothing {}): Form<Nothing>,
) -> WebResult {
    let (row, _) = find(&app, &viewer, &owner, &name, id).await?;
    let release = app.store.read().await?.release(row.release_id).await?;
    let release = release.ok_or_else(|| AppError::conflict("its release is not there any more"))?;
    let path = Path((owner.clone(), name.clone(), release.digest));
    rest::release::release_quarantine(State(app), viewer.who, path).await?;
    Ok(see_other(&format!("/{owner}/{name}/deployments/{id}")))
}

/// What was said about a deployment, or about the job that asked for it.
pub(super) async fn approvals_of(
    c: &mut pilotage_store::Connection,
    row: &Row,
    release: &ReleaseRow,
) -> AppResult<Vec<Approval>> {
    let mut said = c.approvals(DEPLOYMENT, row.id).await?;
    if let Some(run) = row.run_id {
        let of_run = c.approvals("run", run).await?;
        said.extend(
            of_run
                .into_iter()
                .filter(|a| a.environment == row.environment && a.sha == release.sha),
        );
    }
    let shown = said.into_iter().map(|approval| Approval {
        by: approval.by_whom,
        approved: approval.verdict == "approved",
        at: approval.at,
        reason: approval.reason,
    });
    Ok(shown.collect())
}

async fn view(app: &Arc<App>, viewer: &Viewer, row: Row, project: &Project) -> AppResult<Deployment> {
    let mut c = app.store.read().await?;
    let stored = machine::load(&mut c, row.id).await?;
    let reason = machine::reason_of(&mut c, &row).await?;
    let release = c.release(row.release_id).await?;
    let release = release.ok_or_else(|| AppError::conflict("its release is not there any more"))?;
    let approvals = approvals_of(&mut c, &row, &release).await?;
    let told = c.told_of_deployment(row.id, row.run_id, &row.environment).await?;
    let standing = c.standing(project.id, &row.environment).await?;
    let held = c.quarantined(project.id).await?;
    let environment = c.environment(project.id, &row.environment).await?;
    drop(c);
    let refusal = viewer.refusal(Scope::Deploy, project);
    let approve = match (&environment, row.status.as_str()) {
        (Some(environment), "waiting") => approve_of(viewer, environment, &row, &release, refusal.clone())?,
        _ => None,
    };
    let plan = plan_of(&release, &row.environment)?;
    let spec_plan = stored.as_ref().map(|stored| &stored.spec().plan);
    let view = stored.as_ref().map(pilotage_engine::deployment::Deployment::view);
    let services: Vec<Service> = view
        .iter()
        .flat_map(|view| view.services.iter().map(|service| service_of(app, view, service)))
        .collect();
    let proven = !services.is_empty() && services.iter().all(|service| service.proven);
    let replicas = match row.ended_at {
        None => replicas_of(app, project, &row).await?,
        Some(_) => Vec::new(),
    };
    Ok(Deployment {
        viewer: viewer.shown(),
        refusal,
        problem: None,
        owner: project.owner.clone(),
        name: project.name.clone(),
        environment: row.environment.clone(),
        now: app.now(),
        id: row.id,
        rollback: row.kind == "rollback",
        status: Status::of_deployment(&row.status, proven || row.kind == "rollback"),
        reason,
        release: release_of(&row, &release),
        old: view.as_ref().and_then(old_of),
        actor: row.actor.clone(),
        run: row.run_id,
        created_at: row.created_at,
        ended_at: row.ended_at,
        until: view.as_ref().and_then(|view| view.until).map(|at| at.0),
        url: plan.as_ref().map(|plan| plan.url.clone()).unwrap_or_default(),
        serves: standing.is_some_and(|standing| standing.deployment_id == row.id),
        quarantine: held
            .into_iter()
            .find(|held| held.digest == release.digest)
            .map(|held| held.reason),
        services,
        steps: spec_plan.map(steps_of).unwrap_or_default(),
        watch_ms: spec_plan
            .filter(|plan| plan.guard.enabled && row.kind == "deploy")
            .map(|plan| i64::try_from(plan.guard.watch_ms).unwrap_or(i64::MAX)),
        moments: view.as_ref().map(moments_of).unwrap_or_default(),
        approvals,
        approve,
        replicas,
        checks: plan.iter().flat_map(|plan| &plan.verify).map(check_of).collect(),
        told: told.into_iter().map(told_of).collect(),
        state: row.status,
    })
}

fn old_of(view: &DeploymentView) -> Option<String> {
    view.old.as_ref().map(|old| old.revision.clone())
}

fn told_of(row: ToldRow) -> Told {
    Told {
        channel: row.channel,
        host: row.host,
        event: row.event,
        state: row.state,
        tries: row.tries,
        next_at: row.next_at,
        error: row.error,
        at: row.at,
    }
}

fn release_of(row: &Row, release: &ReleaseRow) -> Release {
    Release {
        revision: revision_of(row, release),
        digest: release.digest.clone(),
        sha: release.sha.clone(),
        title: release.title.clone(),
        branch: release.r#ref.clone(),
    }
}

fn moments_of(view: &DeploymentView) -> Vec<Moment> {
    let moment = |moment: &pilotage_engine::deployment::Moment| Moment {
        at: moment.at.0,
        text: moment.text.clone(),
    };
    view.moments.iter().map(moment).collect()
}

/// The release's name in the environment; its commit before it has one.
pub(super) fn revision_of(row: &Row, release: &ReleaseRow) -> String {
    if row.revision.is_empty() {
        short(&release.sha).to_owned()
    } else {
        row.revision.clone()
    }
}

/// Whom it waits for, where that is a person.
fn approve_of(
    viewer: &Viewer,
    environment: &pilotage_store::Environment,
    row: &Row,
    release: &ReleaseRow,
    refusal: Option<String>,
) -> AppResult<Option<Approve>> {
    let rules = rules(environment)?;
    if rules.reviewers.is_empty() || !row.reason.contains("approv") {
        return Ok(None);
    }
    let request = Request {
        environment: row.environment.clone(),
        git_ref: release.r#ref.clone(),
        subject: release.digest.clone(),
        actor: row.actor.clone(),
        asked_at: Timestamp(row.created_at),
        direction: Direction::Forward,
    };
    let refusal = refusal.or_else(|| policy::may_approve(&rules, &request, &viewer.who.name).err());
    Ok(Some(Approve {
        reviewers: rules.reviewers,
        refusal,
    }))
}

fn steps_of(plan: &Plan) -> Vec<Step> {
    match &plan.strategy {
        Strategy::Canary(steps) => steps
            .iter()
            .map(|step| Step {
                share: step.share,
                for_ms: i64::try_from(step.for_ms).unwrap_or(i64::MAX),
            })
            .collect(),
        Strategy::Rolling | Strategy::BlueGreen => Vec::new(),
    }
}

fn check_of(check: &pilotage_workflow::delivery::Check) -> Check {
    Check {
        service: String::new(),
        what: format!("GET {}", check.get),
    }
}

fn service_of(app: &App, view: &DeploymentView, service: &ServiceView) -> Service {
    let id = format!("{}/{}/{}", view.project, view.environment, service.name);
    // Figures of another deployment are not of this one.
    let status = app.live.service(&id).filter(|status| {
        view.outcome.is_none()
            && status
                .table
                .armed
                .as_ref()
                .is_none_or(|armed| armed.deployment == view.id)
    });
    let live: Option<Evidence> = status
        .as_ref()
        .filter(|_| service.verdict.is_none())
        .and_then(|status| serde_json::from_value(status.guard.clone()?).ok());
    let evidence = live.as_ref().or(service.evidence.as_ref());
    let counted = |revision: &str| {
        let found = status
            .as_ref()?
            .revisions
            .iter()
            .find(|known| known.revision == revision)?;
        Some(Counts {
            requests: found.requests,
            errors: found.errors,
            in_flight: found.in_flight,
            p50_us: found.p50_us,
            p95_us: found.p95_us,
        })
    };
    Service {
        name: service.name.clone(),
        share: service.share,
        healthy: service.healthy,
        replicas: service.replicas,
        proven: service.proven,
        answers: evidence.map_or(service.answers, |evidence| evidence.new.answers),
        needed: service.needed,
        new: counted(&view.new.revision),
        old: view.old.as_ref().and_then(|old| counted(&old.revision)),
        judged: evidence.map(judged),
        course: evidence.map(course).unwrap_or_default(),
        verdict: evidence
            .and_then(|evidence| evidence.verdict.as_ref())
            .map(verdict),
        decided_at_us: service.decided_at_us,
        last_request_at_us: service.last_request_at_us,
    }
}

/// The evidence, judged once more from its first answer on.
fn course(evidence: &Evidence) -> Vec<Seen> {
    let odds = |odds: GuardOdds| Odds {
        one_in: odds.one_in,
        needed: odds.needed,
    };
    let mut course = Vec::new();
    let whole = pilotage_guard::steps(evidence, |step| {
        course.push(Seen {
            new: tally(&step.new),
            old: tally(&step.old),
            share: step.share,
            against: step.against.map(odds),
            old_too: odds(step.old_too),
            decided: step.decided,
        });
    });
    if whole.is_none() {
        course.clear();
    }
    course
}

fn judged(evidence: &Evidence) -> Judged {
    Judged {
        new: tally(&evidence.new),
        old: tally(&evidence.old),
        test: test(evidence.test).0,
        one_in: evidence.one_in,
        goes_back_at: evidence.goes_back_at,
        error_limit: evidence.policy.error_rate,
        slower_limit: evidence.policy.response_time,
        false_alarms: evidence.policy.false_alarms,
    }
}

fn verdict(verdict: &pilotage_guard::Verdict) -> Verdict {
    let (test, late) = test(verdict.test);
    Verdict {
        outage: verdict.outcome == Outcome::Outage,
        test,
        late,
        one_in: verdict.one_in,
        new: tally(&verdict.new),
        old: tally(&verdict.old),
    }
}

fn tally(counts: &GuardCounts) -> Tally {
    Tally {
        answers: counts.answers,
        errors: counts.errors,
        timed: counts.timed,
        over_p50: counts.over_p50,
        over_p95: counts.over_p95,
    }
}

/// The test, and whether it is the one for faults after a good phase.
fn test(test: GuardTest) -> (Test, bool) {
    match test {
        GuardTest::Errors => (Test::Errors, false),
        GuardTest::LateErrors => (Test::Errors, true),
        GuardTest::MoreErrors => (Test::MoreErrors, false),
        GuardTest::LateMoreErrors => (Test::MoreErrors, true),
        GuardTest::SlowP50 => (Test::SlowP50, false),
        GuardTest::LateSlowP50 => (Test::SlowP50, true),
        GuardTest::SlowP95 => (Test::SlowP95, false),
        GuardTest::LateSlowP95 => (Test::SlowP95, true),
    }
}

async fn replicas_of(app: &App, project: &Project, row: &Row) -> AppResult<Vec<Replica>> {
    let states = observe(app, project, &row.environment).await?;
    let replica = |state: &ReplicaState| {
        let (status, word) = replica_status(state);
        Replica {
            service: state.placed.id.service.clone(),
            number: state.placed.id.ordinal,
            new: state.placed.id.revision == row.revision,
            state: status,
            word: word.to_owned(),
            executes: state.executes.clone(),
        }
    };
    Ok(states.iter().map(replica).collect())
}

/// The replicas that should be alive in an environment, as their keepers tell.
pub(super) async fn observe(app: &App, project: &Project, environment: &str) -> AppResult<Vec<ReplicaState>> {
    let target = Target {
        owner: project.owner.clone(),
        project: project.name.clone(),
        environment: environment.to_owned(),
    };
    let states = app.local.observe(&target).await;
    let mut states = states.map_err(|error| AppError::internal(&error))?;
    states.sort_by(|a, b| {
        let key = |state: &ReplicaState| {
            let id = &state.placed.id;
            (id.service.clone(), id.revision.clone(), id.ordinal)
        };
        key(a).cmp(&key(b))
    });
    Ok(states)
}

pub(super) fn replica_status(state: &ReplicaState) -> (Status, &'static str) {
    match state.state {
        KeeperState::Running => (Status::Passed, "running"),
        KeeperState::BackingOff => (Status::Failed, "ends again and again"),
        _ => (Status::Queued, "not running"),
    }
}

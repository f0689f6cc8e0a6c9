//! What people and jobs ask of deployments: a release to an environment, the way back, and how it stands.

use super::App;
use super::releases::{self, Origin, short};
use crate::driver::deployment::{self, NewDeployment, url_of};
use crate::error::{AppError, AppResult};
use pilotage_api::deployment::{
    self as wire, Counts, DeployedService, DeploymentDetail, Moment, Notification,
};
use pilotage_api::proxy::ServiceStatus;
use pilotage_engine::deployment::{DeploymentEvent, DeploymentView, Kind, ServiceView};
use pilotage_guard::Evidence;
use pilotage_store::{Connection, Deployment as Row, Project, Release, RunFilter, ToldRow};

/// Who asks, in whose name, and from which job.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub actor: String,
    pub run: Option<i64>,
    pub job: Option<i64>,
}

/// Brings a release to an environment. Asked again by the same job, it finds its deployment.
pub(crate) async fn deploy(
    app: &App,
    project: &Project,
    release: &Release,
    environment: &str,
    asker: &Asker,
    reason: &str,
) -> AppResult<i64> {
    check_environment(release, environment)?;
    check_files(app, release).await?;
    let idempotency = match (asker.run, asker.job) {
        (Some(run), Some(job)) => format!("{run}/{job}/{environment}/{}", release.digest),
        _ => String::new(),
    };
    ask(
        app,
        NewDeployment {
            project: project.id,
            environment: environment.to_owned(),
            release: release.id,
            kind: Kind::Deploy,
            actor: asker.actor.clone(),
            reason: reason.to_owned(),
            run: asker.run,
            job: asker.job,
            idempotency,
        },
    )
    .await
}

/// What a rollback came to.
pub(crate) enum Rolled {
    /// A deployment that was under way goes back, or went back before.
    Undone(i64),
    /// A new deployment brings an earlier release back.
    Begun(i64),
}

impl Rolled {
    #[must_use]
    pub(crate) fn id(&self) -> i64 {
        match self {
            Self::Undone(id) | Self::Begun(id) => *id,
        }
    }
}

/// Takes back what is under way in an environment; else brings an earlier release back, without building it again.
pub(crate) async fn roll_back(
    app: &App,
    project: &Project,
    environment: &str,
    to: &str,
    asker: &Asker,
    reason: &str,
) -> AppResult<Rolled> {
    let mut c = app.store.read().await?;
    let open = c.open_deployments(project.id, environment).await?;
    let live = c.live_deployments(project.id, environment).await?;
    let standing = c.standing(project.id, environment).await?;
    drop(c);
    let under_way = open
        .iter()
        .rev()
        .find(|row| row.kind == "deploy" && row.status != "live");
    if let (Some(row), "previous") = (under_way, to) {
        abort(app, row.id, &asker.actor, reason, false).await?;
        return Ok(Rolled::Undone(row.id));
    }
    if standing.is_none() {
        return Err(AppError::conflict(format!(
            "nothing is live in {environment}: there is nothing to go back from"
        )));
    }
    let target = match to {
        "previous" => previous(&live).ok_or_else(|| {
            AppError::conflict(format!(
                "{environment} has no release before the one that is live"
            ))
            .advice("name one with `--to`: `pilotage release list` shows them")
        })?,
        name => named(app, project, &live, name).await?,
    };
    let release = app.store.read().await?.release(target).await?;
    let release = release.ok_or_else(|| AppError::conflict("that release is not kept any more"))?;
    check_environment(&release, environment)?;
    check_files(app, &release).await?;
    // The same step run again finds what it began.
    let idempotency = match (asker.run, asker.job) {
        (Some(run), Some(job)) => format!("{run}/{job}/{environment}/rollback/{}", release.digest),
        _ => String::new(),
    };
    let id = ask(
        app,
        NewDeployment {
            project: project.id,
            environment: environment.to_owned(),
            release: release.id,
            kind: Kind::Rollback,
            actor: asker.actor.clone(),
            reason: if reason.is_empty() {
                "by hand".to_owned()
            } else {
                reason.to_owned()
            },
            run: asker.run,
            job: asker.job,
            idempotency,
        },
    )
    .await?;
    Ok(Rolled::Begun(id))
}

/// Undoes one deployment and nothing else.
pub(crate) async fn undo(
    app: &App,
    project: &Project,
    row: &Row,
    asker: &Asker,
    reason: &str,
) -> AppResult<Rolled> {
    match row.result.as_deref() {
        None => {
            abort(app, row.id, &asker.actor, reason, true).await?;
            Ok(Rolled::Undone(row.id))
        }
        Some("live") => {
            let standing = app
                .store
                .read()
                .await?
                .standing(project.id, &row.environment)
                .await?;
            if standing.is_none_or(|standing| standing.deployment_id != row.id) {
                // A later one took its place: what is to be undone does not serve any more.
                return Ok(Rolled::Undone(row.id));
            }
            roll_back(app, project, &row.environment, "previous", asker, reason).await
        }
        Some(_) => Ok(Rolled::Undone(row.id)),
    }
}

/// Takes a deployment back that has not ended.
pub(crate) async fn abort(app: &App, id: i64, by: &str, reason: &str, quarantine: bool) -> AppResult<()> {
    let reason = if reason.is_empty() { "by hand" } else { reason };
    let event = DeploymentEvent::Abort {
        by: by.to_owned(),
        reason: reason.to_owned(),
        quarantine,
    };
    let turn = app
        .driver
        .turn(move |mut turn| Box::pin(async move { turn.deployment_event(id, event).await }));
    turn.await?
        .map_err(|refused| AppError::conflict(refused.to_string()))
}

async fn ask(app: &App, new: NewDeployment) -> AppResult<i64> {
    Ok(app
        .driver
        .turn(move |mut turn| Box::pin(async move { turn.ask_deployment(new).await }))
        .await?)
}

async fn check_files(app: &App, release: &Release) -> AppResult<()> {
    if app
        .store
        .read()
        .await?
        .release_blobs(release.id)
        .await?
        .is_empty()
    {
        let sha = short(&release.sha);
        return Err(
            AppError::conflict(format!("the files of the release of {sha} are not kept any more"))
                .advice("run its workflow again, which builds it anew"),
        );
    }
    Ok(())
}

fn check_environment(release: &Release, environment: &str) -> AppResult<()> {
    let manifest = releases::Manifest::parse(&release.manifest)?;
    if manifest.environments.contains_key(environment) {
        return Ok(());
    }
    let known: Vec<&str> = manifest.environments.keys().map(String::as_str).collect();
    let detail = format!(
        "`pilotage.yml` at {} has no environment `{}`: it has {}",
        short(&release.sha),
        crate::name::shown(environment),
        known.join(", ")
    );
    Err(AppError::conflict(detail).advice("add it to `environments:` in pilotage.yml"))
}

/// The release under the one that is live. What went live lies in a pile; going back takes from it.
pub(crate) fn previous(live: &[Row]) -> Option<i64> {
    let mut pile: Vec<i64> = Vec::new();
    for row in live {
        let place =
            (row.kind == "rollback").then(|| pile.iter().rposition(|release| *release == row.release_id));
        match place.flatten() {
            Some(place) => pile.truncate(place + 1),
            None if pile.last() == Some(&row.release_id) => {}
            None => pile.push(row.release_id),
        }
    }
    pile.iter().rev().nth(1).copied()
}

/// A revision of the environment, a digest, or a commit.
pub(crate) async fn named(app: &App, project: &Project, live: &[Row], name: &str) -> AppResult<i64> {
    match live.iter().rev().find(|row| row.revision == name) {
        Some(row) => Ok(row.release_id),
        None => Ok(releases::find(app, project, name).await?.id),
    }
}

/// The release that a person means: named, of a ref, or of the default branch.
pub(crate) async fn choose_release(app: &App, project: &Project, asked: &wire::Deploy) -> AppResult<Release> {
    if let Some(name) = &asked.release {
        return releases::find(app, project, name).await;
    }
    let wanted = asked
        .r#ref
        .clone()
        .unwrap_or_else(|| project.default_branch.clone());
    let repository = app.repositories.of(project);
    let forms = [
        format!("refs/heads/{wanted}"),
        format!("refs/tags/{wanted}"),
        wanted.clone(),
    ];
    let mut found = None;
    for form in forms {
        if let Some(sha) = repository
            .commit_of(&form)
            .await
            .map_err(|error| AppError::internal(&error))?
        {
            found = Some((form, sha));
            break;
        }
    }
    let (r#ref, sha) =
        found.ok_or_else(|| AppError::not_found(format!("ref {}", crate::name::shown(&wanted))))?;
    let run = green_run(app, project, &sha, &r#ref).await?;
    releases::ensure(
        app,
        &Origin {
            project,
            sha: &sha,
            r#ref: &r#ref,
            run,
        },
    )
    .await
}

/// The newest green run of a commit; none where it had no run at all.
async fn green_run(app: &App, project: &Project, sha: &str, r#ref: &str) -> AppResult<Option<i64>> {
    let filter = RunFilter {
        project: Some(project.id),
        r#ref: r#ref.to_owned(),
        sha: sha.to_owned(),
        limit: 100,
        ..RunFilter::default()
    };
    let runs = app.store.read().await?.runs(&filter).await?;
    if let Some(run) = runs
        .iter()
        .find(|run| run.conclusion.as_deref() == Some("success"))
    {
        return Ok(Some(run.id));
    }
    match runs.first() {
        None => Ok(None),
        Some(run) => Err(AppError::conflict(format!(
            "no run of {} is green: run {} is {}",
            short(sha),
            run.id,
            run.conclusion.as_deref().unwrap_or("not over")
        ))
        .advice(format!("pilotage run view {}", run.id))),
    }
}

/// A deployment in a line.
pub(crate) async fn line(c: &mut Connection, row: Row) -> AppResult<wire::Deployment> {
    let project = c
        .project_by_id(row.project_id)
        .await?
        .map(|p| p.path())
        .unwrap_or_default();
    let reason = deployment::reason_of(c, &row).await?;
    let release = c.release(row.release_id).await?;
    let old_revision = match deployment::load(c, row.id).await? {
        Some(machine) => machine.view().old.map(|old| old.revision).unwrap_or_default(),
        None => String::new(),
    };
    let url = release
        .as_ref()
        .map(|release| url_of(release, &row.environment))
        .unwrap_or_default();
    let (digest, sha, title, r#ref) = release
        .map(|r| (r.digest, r.sha, r.title, r.r#ref))
        .unwrap_or_default();
    Ok(wire::Deployment {
        id: row.id,
        project,
        environment: row.environment,
        kind: row.kind,
        state: row.status,
        outcome: row.result,
        reason,
        revision: row.revision,
        old_revision,
        release: digest,
        sha,
        title,
        r#ref,
        run: row.run_id,
        actor: row.actor,
        created_at: row.created_at,
        ended_at: row.ended_at,
        url,
    })
}

/// A deployment as it is drawn, with what the proxy counts now.
pub(crate) async fn detail(app: &App, row: Row) -> AppResult<DeploymentDetail> {
    let mut c = app.store.read().await?;
    let machine = deployment::load(&mut c, row.id).await?;
    let told = c.told_of_deployment(row.id, row.run_id, &row.environment).await?;
    let notifications = told.into_iter().map(notification).collect();
    let deployment = line(&mut c, row).await?;
    drop(c);
    let Some(view) = machine.map(|machine| machine.view()) else {
        return Ok(DeploymentDetail {
            deployment,
            has_all_traffic: false,
            until: None,
            services: Vec::new(),
            moments: Vec::new(),
            notifications,
        });
    };
    let services = view
        .services
        .iter()
        .map(|service| deployed(app, &view, service))
        .collect();
    let moments = view
        .moments
        .iter()
        .map(|m| Moment {
            at: m.at.0,
            text: m.text.clone(),
        })
        .collect();
    Ok(DeploymentDetail {
        deployment,
        has_all_traffic: view.has_all_traffic,
        until: view.until.map(|at| at.0),
        services,
        moments,
        notifications,
    })
}

fn notification(row: ToldRow) -> Notification {
    Notification {
        channel: row.channel,
        host: row.host,
        event: row.event,
        state: row.state,
        at: row.at,
        tries: u32::try_from(row.tries).unwrap_or(u32::MAX),
        next_at: row.next_at,
        error: row.error,
    }
}

fn deployed(app: &App, view: &DeploymentView, service: &ServiceView) -> DeployedService {
    let id = format!("{}/{}/{}", view.project, view.environment, service.name);
    let status = app.live.service(&id);
    // Figures of another deployment are not of this one.
    let status = status.filter(|_| view.outcome.is_none());
    let evidence: Option<Evidence> = match &status {
        Some(ServiceStatus {
            guard: Some(guard), ..
        }) => serde_json::from_value(guard.clone()).ok(),
        _ => service.evidence.clone(),
    };
    let of = |revision: &str| status.as_ref().and_then(|status| counts(status, revision));
    DeployedService {
        name: service.name.clone(),
        share: service.share,
        healthy: service.healthy,
        replicas: service.replicas,
        proven: service.proven,
        answers: evidence
            .as_ref()
            .map_or(service.answers, |evidence| evidence.new.answers),
        needed: service.needed,
        verdict: service.verdict.clone(),
        returned_in_us: service.returned_in_us,
        new: of(&view.new.revision),
        old: view.old.as_ref().and_then(|old| of(&old.revision)),
        one_in: evidence.as_ref().map(|evidence| evidence.one_in),
        goes_back_at: evidence.as_ref().map(|evidence| evidence.goes_back_at),
    }
}

/// What the proxy counted of a revision.
#[must_use]
pub(crate) fn counts(status: &ServiceStatus, revision: &str) -> Option<Counts> {
    let found = status.revisions.iter().find(|known| known.revision == revision)?;
    Some(Counts {
        revision: found.revision.clone(),
        requests: found.requests,
        errors: found.errors,
        in_flight: found.in_flight,
        p50_us: found.p50_us,
        p95_us: found.p95_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(history: &str, expected: Option<i64>) {
        let row = |word: &str| Row {
            id: 0,
            project_id: 1,
            environment: "production".to_owned(),
            release_id: word.trim_start_matches('<').parse().unwrap(),
            previous_id: None,
            run_id: None,
            job_id: None,
            actor: String::new(),
            idempotency: String::new(),
            status: "live".to_owned(),
            result: Some("live".to_owned()),
            reason: String::new(),
            created_at: 0,
            ended_at: Some(0),
            kind: if word.starts_with('<') {
                "rollback"
            } else {
                "deploy"
            }
            .to_owned(),
            revision: String::new(),
        };
        let rows: Vec<Row> = history.split_whitespace().map(row).collect();
        assert_eq!(previous(&rows), expected, "{history}");
    }

    #[test]
    fn going_back_goes_down_the_pile() {
        check("", None);
        check("1", None);
        check("1 2", Some(1));
        check("1 2 2", Some(1));
        check("1 2 3 <2", Some(1));
        check("1 2 3 <2 4", Some(2));
        check("1 2 3 <2 <1", None);
        check("2 3 <9", Some(3));
    }
}

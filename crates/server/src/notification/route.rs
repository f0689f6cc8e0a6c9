//! Routes: who is told of a notice, by `notify:` at the commit that it is about.

use crate::app::App;
use crate::driver::deployment::plan_of;
use crate::error::{AppError, AppResult};
use pilotage_store::Notice;
use pilotage_workflow::delivery::{self, Occasion, Route};
use pilotage_workflow::source::Source;

/// The routes that take a notice. A rollback is told to whom either release tells: who heard of the one must hear
/// that it is gone.
pub(super) async fn routes(app: &App, notice: &Notice) -> AppResult<Vec<Route>> {
    let all = match (notice.deployment_id, notice.run_id) {
        (Some(deployment), _) => of_deployment(app, deployment).await?,
        (None, Some(run)) => of_run(app, run).await?,
        (None, None) => Vec::new(),
    };
    let occasion = Occasion::of(&notice.event);
    let mut routes: Vec<Route> = Vec::new();
    for route in all {
        if occasion.is_some_and(|occasion| route.takes(occasion)) && !routes.contains(&route) {
            routes.push(route);
        }
    }
    Ok(routes)
}

async fn of_deployment(app: &App, id: i64) -> AppResult<Vec<Route>> {
    let mut c = app.store.read().await?;
    let Some(row) = c.deployment(id).await? else {
        return Ok(Vec::new());
    };
    let before = row.previous_id.filter(|_| row.kind == "rollback");
    let mut routes = Vec::new();
    for release in std::iter::once(row.release_id).chain(before) {
        if let Some(release) = c.release(release).await?
            && let Some(plan) = plan_of(&release, &row.environment)?
        {
            routes.extend(plan.notify);
        }
    }
    Ok(routes)
}

/// A job waits before there is a release: the file at its run's commit says. One that is wrong tells nobody; what
/// deploys by it says why.
async fn of_run(app: &App, id: i64) -> AppResult<Vec<Route>> {
    let mut c = app.store.read().await?;
    let Some(run) = c.run(id).await? else {
        return Ok(Vec::new());
    };
    let Some(project) = c.project_by_id(run.project_id).await? else {
        return Ok(Vec::new());
    };
    drop(c);
    let repository = app.repositories.of(&project);
    let file = repository.file(&run.sha, delivery::FILE_NAME).await;
    let Some(bytes) = file.map_err(|error| AppError::internal(&error))? else {
        return Ok(Vec::new());
    };
    let source = Source::new(delivery::FILE_NAME, String::from_utf8_lossy(&bytes).as_ref());
    let (parsed, _) = delivery::parse(&source);
    Ok(parsed.map(|delivery| delivery.notify).unwrap_or_default())
}

//! What a deployment begins with: the frozen plan of its release, the server's floor, and what stands there.

use super::word;
use crate::app::releases::Manifest;
use crate::driver::Turn;
use crate::driver::environment::floor;
use crate::driver::run::from_text;
use pilotage_engine::deployment::{DeploymentSpec, Kind, Plan, Release, Standing};
use pilotage_store::{Deployment as Row, Release as ReleaseRow, Result};
use pilotage_workflow::delivery::EnvironmentPlan;

/// How much of a commit names a revision.
const SHORT: usize = 7;

impl Turn<'_> {
    /// The spec of a deployment that begins now; in words why it cannot.
    pub(super) async fn spec_of(&mut self, row: &mut Row) -> Result<Result<DeploymentSpec, String>> {
        let Some(release) = self.c.release(row.release_id).await? else {
            return Ok(Err("its release is not there any more".to_owned()));
        };
        let Some(project) = self.c.project_by_id(row.project_id).await? else {
            return Ok(Err("its project is not there any more".to_owned()));
        };
        let environment = self
            .c
            .touch_environment(row.project_id, &row.environment, self.now)
            .await?;
        let floor = floor(&environment)?;
        let manifest = Manifest::parse(&release.manifest)?;
        let Some(plan) = manifest.environments.get(&row.environment) else {
            return Ok(Err(format!(
                "the release has no environment `{}`",
                row.environment
            )));
        };
        let plan = match Plan::from_environment(plan, floor) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let standing = self.c.standing(row.project_id, &row.environment).await?;
        row.previous_id = standing.as_ref().map(|standing| standing.release_id);
        let old: Option<Standing> = match standing {
            Some(standing) => Some(from_text("what stands in an environment", &standing.standing)?),
            None => None,
        };
        let kind = if row.kind == word(&Kind::Rollback) {
            Kind::Rollback
        } else {
            Kind::Deploy
        };
        Ok(Ok(DeploymentSpec {
            id: row.id,
            project: project.path(),
            environment: row.environment.clone(),
            kind,
            new: Release {
                revision: self.revision(row, &release).await?,
                digest: release.digest,
                commit: release.sha,
            },
            old,
            plan,
            actor: row.actor.clone(),
            reason: row.reason.clone(),
        }))
    }

    /// The short commit, with a number where the environment had it before: each deployment's replicas are others.
    async fn revision(&mut self, row: &Row, release: &ReleaseRow) -> Result<String> {
        let short = release.sha.get(..SHORT).unwrap_or(&release.sha).to_owned();
        let used = self
            .c
            .revisions_named(row.project_id, &row.environment, &short)
            .await?;
        Ok(if used == 0 {
            short
        } else {
            format!("{short}.{}", used + 1)
        })
    }
}

/// The frozen plan of a release for an environment, if it has one.
pub fn plan_of(release: &ReleaseRow, environment: &str) -> Result<Option<EnvironmentPlan>> {
    Ok(Manifest::parse(&release.manifest)?
        .environments
        .remove(environment))
}

/// Where people reach the environment, as the release has it.
#[must_use]
pub fn url_of(release: &ReleaseRow, environment: &str) -> String {
    plan_of(release, environment)
        .ok()
        .flatten()
        .map(|plan| plan.url)
        .unwrap_or_default()
}

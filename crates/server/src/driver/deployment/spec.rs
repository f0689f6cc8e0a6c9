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
        let notes = match (&row.previous_id, row.kind == word(&Kind::Rollback)) {
            (Some(live), true) => self.lasting(*live, &row.environment, &manifest).await?,
            _ => Vec::new(),
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
            notes,
        }))
    }

    /// What going back does not bring back: what the live release's `before` did, and values that are today's.
    async fn lasting(&mut self, live: i64, environment: &str, back_to: &Manifest) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        let live = match self.c.release(live).await? {
            Some(live) => plan_of(&live, environment)?,
            None => None,
        };
        for service in live.into_iter().flat_map(|plan| plan.services) {
            let Some(before) = service.before else { continue };
            let how = if before.reversible {
                "which is declared reversible"
            } else {
                "which is not declared reversible"
            };
            notes.push(format!("stays done: `{}` of {}, {how}", before.run, service.name));
        }
        let plan = back_to.environments.get(environment);
        let secrets = plan
            .into_iter()
            .flat_map(|plan| &plan.services)
            .flat_map(|service| &service.env)
            .filter(|(_, value)| value.contains("${{"));
        let mut names: Vec<&str> = secrets.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            notes.push(format!(
                "has today's values, not those of then: {}",
                names.join(", ")
            ));
        }
        Ok(notes)
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

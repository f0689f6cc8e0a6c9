//! Whether a deployment may go to its environment: the server's rules, approvals, quarantine, locks.

use super::{DEPLOYMENT, plan_of};
use crate::driver::Turn;
use crate::driver::environment::rules;
use pilotage_engine::deployment::{Deployment, DeploymentEvent, Kind, RulesAnswer, Service, listen_address};
use pilotage_engine::policy::{self, Approval, Direction, Request};
use pilotage_engine::run::EnvironmentAnswer;
use pilotage_engine::time::Timestamp;
use pilotage_store::{Deployment as Row, Release, Result};

impl Turn<'_> {
    /// What the rules say now, and when to ask again although nothing else happened.
    pub(super) async fn ask_rules(
        &mut self,
        row: &Row,
        machine: &Deployment,
    ) -> Result<(RulesAnswer, Option<i64>)> {
        let digest = machine.spec().new.digest.clone();
        if machine.spec().kind == Kind::Rollback {
            return Ok((RulesAnswer::Granted { digest }, None));
        }
        let quarantined = self.c.quarantined(row.project_id).await?;
        if let Some(held) = quarantined.iter().find(|held| held.digest == digest) {
            let reason = format!(
                "{} is quarantined since deployment {} in {}: {}",
                held.revision, held.deployment_id, held.environment, held.reason
            );
            return Ok((RulesAnswer::Refused { reason }, None));
        }
        let Some(release) = self.c.release(row.release_id).await? else {
            let reason = "its release is not there any more".to_owned();
            return Ok((RulesAnswer::Refused { reason }, None));
        };
        if let Some(reason) = self.taken_address(row, machine).await? {
            return Ok((RulesAnswer::Refused { reason }, None));
        }
        let environment = self
            .c
            .touch_environment(row.project_id, &row.environment, self.now)
            .await?;
        let (request, approvals) = self.deployment_request(row, &release).await?;
        let decision = policy::decide(
            Timestamp(self.now),
            &[&rules(&environment)?],
            &request,
            &approvals,
        );
        let answer = match decision.answer {
            EnvironmentAnswer::Granted => RulesAnswer::Granted { digest },
            EnvironmentAnswer::Waiting { reason } => RulesAnswer::Waiting { reason },
            EnvironmentAnswer::Refused { reason } => RulesAnswer::Refused { reason },
        };
        Ok((answer, decision.again_at.map(|at| at.0)))
    }

    /// Why a release cannot be served where it wants to be: an address with its host and path is one environment's.
    /// Of other projects no more is said than that.
    async fn taken_address(&mut self, row: &Row, machine: &Deployment) -> Result<Option<String>> {
        let mut holders = Vec::new();
        for standing in self.c.standings().await? {
            holders.push((standing.project_id, standing.environment, standing.release_id));
        }
        for open in self.c.all_open_deployments().await? {
            if open.id < row.id && !matches!(open.status.as_str(), "queued" | "pending" | "waiting") {
                holders.push((open.project_id, open.environment, open.release_id));
            }
        }
        holders.retain(|(project, name, _)| (*project, name) != (row.project_id, &row.environment));
        for (project, name, release) in holders {
            let Some(release) = self.c.release(release).await? else {
                continue;
            };
            let plan = plan_of(&release, &name)?;
            for theirs in plan.into_iter().flat_map(|plan| plan.services) {
                let Ok((listen, host)) = listen_address(&theirs.url) else {
                    continue;
                };
                let path = theirs.path.trim_end_matches('/');
                let same = |service: &Service| {
                    (service.listen, &service.host, service.path.trim_end_matches('/'))
                        == (listen, &host, path)
                };
                if machine.spec().plan.services.iter().any(same) {
                    let holder = match project == row.project_id {
                        true => name,
                        false => "an environment of another project".to_owned(),
                    };
                    let url = theirs.url.trim_end_matches('/');
                    return Ok(Some(format!(
                        "{url}{path} is taken by {holder}: {} needs a `url` of its own",
                        row.environment
                    )));
                }
            }
        }
        Ok(None)
    }

    /// What a deployment asks of its environment, and what was said about it. What was said about its job's
    /// `environment:`, and how long that waited, counts.
    pub async fn deployment_request(
        &mut self,
        row: &Row,
        release: &Release,
    ) -> Result<(Request, Vec<Approval>)> {
        let mut asked_at = row.created_at;
        let mut git_ref = release.r#ref.clone();
        let mut said = self.c.approvals(DEPLOYMENT, row.id).await?;
        said.retain(|approval| approval.digest == release.digest);
        if let Some(job) = row.job_id
            && let Some(wait) = self.c.wait(job).await?
            && wait.environment == row.environment
        {
            asked_at = wait.asked_at;
        }
        if let Some(run) = row.run_id {
            // A release is named by what is in it: another branch that brought the same commit may have made it.
            if let Some(run) = self.c.run(run).await?.filter(|run| run.sha == release.sha) {
                git_ref = run.r#ref;
            }
            let of_run = self.c.approvals("run", run).await?;
            said.extend(
                of_run
                    .into_iter()
                    .filter(|a| a.environment == row.environment && a.sha == release.sha),
            );
        }
        let approvals = said
            .into_iter()
            .map(|approval| Approval {
                by: approval.by_whom,
                subject: release.digest.clone(),
                approved: approval.verdict == "approved",
                at: Timestamp(approval.at),
                comment: approval.reason,
            })
            .collect();
        let request = Request {
            environment: row.environment.clone(),
            git_ref,
            subject: release.digest.clone(),
            actor: row.actor.clone(),
            asked_at: Timestamp(asked_at),
            direction: Direction::Forward,
        };
        Ok((request, approvals))
    }

    /// After the rules, the lock or an approval changed: asks again for what waits, and stops or lets go what is
    /// on its way forward.
    pub async fn decide_deployments(&mut self, project: i64, environment: &str) -> Result<()> {
        for row in self.c.open_deployments(project, environment).await? {
            let Some(machine) = self.load_deployment(row.id).await? else {
                continue;
            };
            if machine.is_waiting() {
                self.wake_deployment(row.id).await?;
                continue;
            }
            // The way back is always open: a lock stops what goes forward.
            if row.kind == "rollback" {
                continue;
            }
            let held = self.c.touch_environment(project, environment, self.now).await?;
            let reason = (!held.locked_by.is_empty()).then(|| {
                format!(
                    "{environment} is locked by {}: {}",
                    held.locked_by, held.lock_reason
                )
            });
            if let Err(refused) = self
                .deployment_event(row.id, DeploymentEvent::Freeze { reason })
                .await?
            {
                tracing::warn!(
                    deployment.id = row.id,
                    "the lock does not reach the deployment: {refused}"
                );
            }
        }
        Ok(())
    }
}

//! Sees to it that what should stand stands: the proxy, and the replicas of what is live, also when no deployment is
//! under way and when nobody asked; and that what nothing needs goes. It changes no share.

use super::plan_of;
use super::world::{chain, environment_of, spec_of};
use crate::app::App;
use crate::driver::run::from_text;
use pilotage_api::proxy::{self, RevisionTable, ServiceTable, WHOLE};
use pilotage_deploy::DeployError;
use pilotage_deploy::replica::{ReplicaId, ReplicaState};
use pilotage_deploy::retention::Needed;
use pilotage_engine::deployment::{DeploymentEvent, EPOCHS, Floor, Plan, Replica, Standing};
use pilotage_keep::State;
use pilotage_store::{Connection, Deployment as Row, Project, Standing as StandingRow, StoreError};
use pilotage_workflow::delivery::EnvironmentPlan;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(1);
/// A replica of a new revision that ended so often since it was healthy is given up.
const ENDS_MAX: u64 = 3;
/// Replicas of so many past deployments of an environment stay, for their logs.
const PAST_KEPT: usize = 5;
/// What nothing needs is looked for this seldom.
const RETAIN_EVERY: u32 = 30;
/// A release keeps its files for so long, whether it was deployed or not.
const RELEASE_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error("{0}")]
    Other(String),
}

/// Looks every second, until it is dropped.
pub(crate) async fn supervise(app: Arc<App>) {
    let mut supervisor = Supervisor {
        app,
        restarts: HashMap::new(),
    };
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u32.. {
        ticks.tick().await;
        if let Err(fault) = supervisor.round(round.is_multiple_of(RETAIN_EVERY)).await {
            tracing::warn!("what should stand cannot be looked after: {}", chain(&fault));
        }
    }
}

struct Supervisor {
    app: Arc<App>,
    /// Of replicas of deployments that are under way: restarts when they were first seen.
    restarts: HashMap<String, u64>,
}

impl Supervisor {
    async fn round(&mut self, retain: bool) -> Result<(), Fault> {
        let mut c = self.app.store.read().await?;
        let (standings, open) = (c.standings().await?, c.all_open_deployments().await?);
        drop(c);
        if standings.is_empty() && open.is_empty() {
            return Ok(());
        }
        if self.app.local.proxy().status().await.is_err() {
            self.app.local.ensure_proxy().await?;
        }
        for row in &open {
            self.look_for_deaths(row).await?;
        }
        self.restarts
            .retain(|id, _| open.iter().any(|row| id.contains(&row.revision)));
        for standing in &standings {
            let busy = open
                .iter()
                .any(|row| row.project_id == standing.project_id && row.environment == standing.environment);
            self.keep_standing(standing, busy).await?;
        }
        if retain && open.is_empty() {
            self.retain(&standings).await?;
        }
        Ok(())
    }

    /// A replica of a new revision that does not stay up takes its deployment back.
    async fn look_for_deaths(&mut self, row: &Row) -> Result<(), Fault> {
        let Some(project) = self.app.store.read().await?.project_by_id(row.project_id).await? else {
            return Ok(());
        };
        let states = self
            .app
            .local
            .observe(&environment_of(&project, &row.environment))
            .await?;
        for state in states
            .iter()
            .filter(|state| state.placed.id.revision == row.revision)
        {
            let id = state.placed.id.to_string();
            let before = *self.restarts.entry(id.clone()).or_insert(state.restarts);
            let ends = state.restarts.saturating_sub(before) + u64::from(state.state == State::BackingOff);
            if ends < ENDS_MAX {
                continue;
            }
            let last = state
                .last_exit
                .as_ref()
                .map(|exit| format!(", last with {exit}"))
                .unwrap_or_default();
            let why = format!("it ended {ends} times{last}");
            let (deployment, event) = (row.id, DeploymentEvent::ReplicaDied { replica: id, why });
            let turn = self.app.driver.turn(move |mut turn| {
                Box::pin(async move { turn.deployment_event(deployment, event).await })
            });
            if let Err(refused) = turn.await? {
                tracing::debug!("a death is of no use: {refused}");
            }
        }
        Ok(())
    }

    /// Observing revives dead keepers; a replica that was stopped or whose keeper is gone for good begins again.
    async fn keep_standing(&self, row: &StandingRow, busy: bool) -> Result<(), Fault> {
        let mut c = self.app.store.read().await?;
        let Some(project) = c.project_by_id(row.project_id).await? else {
            return Ok(());
        };
        let Some(release) = c.release(row.release_id).await? else {
            return Ok(());
        };
        drop(c);
        let standing: Standing = from_text("what stands in an environment", &row.standing)?;
        let states = self
            .app
            .local
            .observe(&environment_of(&project, &row.environment))
            .await?;
        if busy {
            // The deployment that is under way decides what stands; it looked after by itself when it ends.
            return Ok(());
        }
        let Some(plan) = plan_of(&release, &row.environment)? else {
            return Ok(());
        };
        let mut moved = Vec::new();
        for replica in &standing.replicas {
            if is_up(&states, &replica.id) {
                continue;
            }
            tracing::warn!(replica = %replica.id, "replica {} should stand and does not: it is started", replica.id);
            let id = replica_id(&project, row, &standing, replica);
            let spec = spec_of(&self.app, &project, &plan, &standing.release.digest, id).await;
            let (spec, _) = spec.map_err(Fault::Other)?;
            let placed = self.app.local.start_replica(spec).await?;
            if placed.address != replica.address {
                moved.push(Replica {
                    address: placed.address,
                    ..replica.clone()
                });
            }
        }
        if !moved.is_empty() {
            return self.move_routes(row, standing, moved).await;
        }
        self.restore_routes(row, &project, &standing, &plan).await
    }

    /// A proxy that lost its tables gets those of what stands.
    async fn restore_routes(
        &self,
        row: &StandingRow,
        project: &Project,
        standing: &Standing,
        plan: &EnvironmentPlan,
    ) -> Result<(), Fault> {
        let known = self.app.local.proxy().status().await?;
        let plan = Plan::from_environment(plan, Floor::default());
        let plan = plan.map_err(|error| Fault::Other(error.to_string()))?;
        for service in &plan.services {
            let id = format!("{}/{}/{}", project.path(), row.environment, service.name);
            let replicas: Vec<_> = standing
                .replicas
                .iter()
                .filter(|replica| replica.service == service.name)
                .map(|replica| proxy::Replica {
                    id: replica.id.clone(),
                    address: replica.address,
                })
                .collect();
            if replicas.is_empty() || known.iter().any(|status| status.table.id == id) {
                continue;
            }
            tracing::warn!(service = %id, "the proxy has no table of {id}: it gets the one of what stands");
            let table = ServiceTable {
                id,
                epoch: u64::try_from(row.deployment_id).unwrap_or(0) * EPOCHS + EPOCHS / 2,
                listen: service.listen,
                host: service.host.clone(),
                path: service.path.clone(),
                assets: service.assets.clone(),
                revisions: vec![RevisionTable {
                    revision: standing.release.revision.clone(),
                    share: WHOLE,
                    replicas,
                }],
                armed: None,
                hold_ms: 0,
            };
            self.app.local.proxy().apply(&table).await?;
        }
        Ok(())
    }

    /// Replicas came back on other ports: the table and what is stored follow.
    async fn move_routes(
        &self,
        row: &StandingRow,
        mut standing: Standing,
        moved: Vec<Replica>,
    ) -> Result<(), Fault> {
        for service in self.app.local.proxy().status().await? {
            let mut table: ServiceTable = service.table;
            let mut changed = false;
            for replica in table
                .revisions
                .iter_mut()
                .flat_map(|revision| &mut revision.replicas)
            {
                if let Some(now) = moved.iter().find(|moved| moved.id == replica.id) {
                    replica.address = now.address;
                    changed = true;
                }
            }
            if changed {
                table.epoch += 1;
                self.app.local.proxy().apply(&table).await?;
            }
        }
        for replica in &mut standing.replicas {
            if let Some(now) = moved.iter().find(|moved| moved.id == replica.id) {
                replica.address = now.address;
            }
        }
        let text = serde_json::to_string(&standing).map_err(|error| Fault::Other(error.to_string()))?;
        let row = StandingRow {
            standing: text,
            ..row.clone()
        };
        self.app
            .store
            .write(move |c| Box::pin(async move { c.set_standing(&row).await }))
            .await?;
        Ok(())
    }

    /// Removes replicas and unpacked releases that neither serve nor can be gone back to.
    async fn retain(&self, standings: &[StandingRow]) -> Result<(), Fault> {
        let mut needed = Needed::default();
        let mut c = self.app.store.read().await?;
        for row in standings {
            let standing: Standing = from_text("what stands in an environment", &row.standing)?;
            needed.releases.insert(standing.release.digest.clone());
            needed
                .replicas
                .extend(standing.replicas.iter().map(|replica| replica.id.clone()));
            self.need_past(&mut c, row, &mut needed).await?;
        }
        // Nothing may have begun meanwhile.
        if !c.all_open_deployments().await?.is_empty() {
            return Ok(());
        }
        drop(c);
        self.forget_releases(standings, &needed.releases).await?;
        let removed = self.app.local.retain(needed).await?;
        if !removed.replicas.is_empty() || !removed.releases.is_empty() {
            tracing::info!(
                "removed {} replicas and {} releases that nothing needs",
                removed.replicas.len(),
                removed.releases.len()
            );
        }
        Ok(())
    }

    /// Gives up the files of releases that are old and nothing goes back to.
    async fn forget_releases(
        &self,
        standings: &[StandingRow],
        needed: &HashSet<String>,
    ) -> Result<(), Fault> {
        let projects: HashSet<i64> = standings.iter().map(|row| row.project_id).collect();
        let before = self.app.now() - RELEASE_KEPT_MS;
        for project in projects {
            let old = self.app.store.read().await?.old_releases(project, before).await?;
            for release in old
                .into_iter()
                .filter(|release| !needed.contains(&release.digest))
            {
                tracing::info!(release = %release.digest, "the files of release {} are given up", release.digest);
                let forget = self
                    .app
                    .store
                    .write(move |c| Box::pin(async move { c.forget_release_files(release.id).await }));
                forget.await?;
            }
        }
        Ok(())
    }

    async fn need_past(
        &self,
        c: &mut Connection,
        row: &StandingRow,
        needed: &mut Needed,
    ) -> Result<(), Fault> {
        let Some(project) = c.project_by_id(row.project_id).await? else {
            return Ok(());
        };
        let past = c
            .deployments(row.project_id, &row.environment, i64::MAX, 100)
            .await?;
        let mut live = 0;
        for (place, deployment) in past.iter().enumerate() {
            let Some(release) = c.release(deployment.release_id).await? else {
                continue;
            };
            let Some(plan) = plan_of(&release, &row.environment)? else {
                continue;
            };
            if deployment.result.as_deref() == Some("live") && live < plan.keep {
                live += 1;
                needed.releases.insert(release.digest.clone());
            }
            if place >= PAST_KEPT {
                continue;
            }
            for service in &plan.services {
                for ordinal in 1..=service.replicas {
                    let id = ReplicaId {
                        environment: environment_of(&project, &row.environment),
                        service: service.name.clone(),
                        revision: deployment.revision.clone(),
                        ordinal,
                    };
                    needed.replicas.insert(id.to_string());
                }
            }
        }
        Ok(())
    }
}

fn is_up(states: &[ReplicaState], id: &str) -> bool {
    states
        .iter()
        .any(|state| state.placed.id.to_string() == id && state.state != State::Stopped)
}

fn replica_id(project: &Project, row: &StandingRow, standing: &Standing, replica: &Replica) -> ReplicaId {
    ReplicaId {
        environment: environment_of(project, &row.environment),
        service: replica.service.clone(),
        revision: standing.release.revision.clone(),
        ordinal: replica.index + 1,
    }
}

//! What each effect does in the world, through the local target. Failures of the world are results, in words that a
//! person understands; only what may be waited for can be cut short.

use super::environment::Values;
use super::verification::Verification;
use super::{load, proxy};
use crate::app::App;
use crate::app::releases::{self, Manifest};
use pilotage_api::proxy::{ServiceStatus, ServiceTable};
use pilotage_deploy::DeployError;
use pilotage_deploy::once::Command;
use pilotage_deploy::probe::Health;
use pilotage_deploy::replica::{self, Environment, ReplicaId, ReplicaSpec};
use pilotage_engine::deployment::{DeploymentSpec, EffectKind, EffectResult};
use pilotage_guard::Evidence;
use pilotage_store::{BlobName, Project, Release, SecretUse};
use pilotage_workflow::delivery::EnvironmentPlan;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a proxy that restarts is waited for.
const PROXY_WITHIN: Duration = Duration::from_secs(60);
const PROXY_AGAIN: Duration = Duration::from_millis(20);
/// How long a `prepare` and a `before` may take.
const PREPARE_WITHIN: Duration = Duration::from_secs(30 * 60);
const BEFORE_WITHIN: Duration = Duration::from_secs(30 * 60);
/// What is shown of a replica's last output.
const LOG_LINES: usize = 3;

/// What the effects of one deployment need to know.
pub(super) struct World {
    app: Arc<App>,
    spec: DeploymentSpec,
    project: Project,
}

pub(super) type Why<T> = Result<T, String>;

impl World {
    pub(super) async fn load(app: &Arc<App>, id: i64) -> Why<Self> {
        let why = |error: pilotage_store::StoreError| chain(&error);
        let mut c = app.store.read().await.map_err(why)?;
        let machine = load(&mut c, id)
            .await
            .map_err(why)?
            .ok_or("the deployment is not there any more")?;
        let (owner, name) = machine
            .spec()
            .project
            .split_once('/')
            .ok_or("the project has no name")?;
        let project = c
            .project(owner, name)
            .await
            .map_err(why)?
            .ok_or("the project is not there any more")?;
        Ok(Self {
            app: Arc::clone(app),
            spec: machine.spec().clone(),
            project,
        })
    }

    pub(super) async fn perform(&self, kind: EffectKind, cancel: &CancellationToken) -> EffectResult {
        let end = match kind {
            EffectKind::Prepare { service } => unless(cancel, self.prepare(&service)).await,
            EffectKind::Before { service } => unless(cancel, self.before(&service)).await,
            EffectKind::Start { service, index, .. } => self.start(&service, index, cancel).await,
            EffectKind::Apply { table } => unless(cancel, self.apply(&table)).await,
            EffectKind::Remove { id, epoch, .. } => unless(cancel, self.remove(&id, epoch)).await,
            EffectKind::ReadGuard { service } => unless(cancel, self.read_guard(&service)).await,
            EffectKind::Verify {
                revision,
                digest,
                answers,
            } => unless(cancel, self.verify(&revision, &digest, answers)).await,
            EffectKind::Drain {
                service,
                revision,
                deadline_ms,
            } => {
                unless(
                    cancel,
                    self.drain(&service, &revision, Duration::from_millis(deadline_ms)),
                )
                .await
            }
            EffectKind::Stop { replica } => self.stop(&replica).await,
            EffectKind::AcknowledgeTrip { service } => self.acknowledge(&service).await,
            other => Err(format!("{other:?} is nothing for the world")),
        };
        end.unwrap_or_else(|why| EffectResult::Failed { why })
    }

    /// Brings the release here, and makes sure that the address to listen on can be had, before anything runs.
    async fn prepare(&self, service: &str) -> Why<EffectResult> {
        let plan = self.planned(service)?;
        self.app
            .local
            .ensure_proxy()
            .await
            .map_err(|error| chain(&error))?;
        self.app
            .local
            .claim_address(plan.listen)
            .await
            .map_err(|error| chain(&error))?;
        let (release, manifest) = self.release(&self.spec.new.digest).await?;
        let plan = self.environment_plan(&manifest)?;
        let mut c = self.app.store.read().await.map_err(|error| chain(&error))?;
        let blobs = c.release_blobs(release.id).await.map_err(|error| chain(&error))?;
        drop(c);
        let blob = blobs
            .first()
            .and_then(|name| BlobName::parse(name))
            .ok_or("the release has no files")?;
        let mut prepare: Vec<Command> = Vec::new();
        for service in &plan.services {
            let Some(line) = &service.prepare else { continue };
            let folder = releases::folder(&service.source);
            if !prepare
                .iter()
                .any(|known| known.line == *line && known.folder == folder)
            {
                prepare.push(Command {
                    line: line.clone(),
                    folder,
                    env: Vec::new(),
                    within: PREPARE_WITHIN,
                });
            }
        }
        let local = self.app.local.clone();
        let release = pilotage_deploy::release::Release {
            digest: self.spec.new.digest.clone(),
            archive: self.app.store.blobs.path(&blob),
            prepare,
        };
        // In a task of its own: it must not be cut in the middle while somebody else may begin the same.
        let ended = tokio::spawn(async move { local.ensure_release(release).await }).await;
        ended
            .map_err(|_| "the preparation was cut off".to_owned())?
            .map_err(|error| chain(&error))?;
        Ok(EffectResult::Done)
    }

    async fn before(&self, service: &str) -> Why<EffectResult> {
        let spec = self.replica_spec(service, 0).await?;
        let Some(before) = spec.service.before.clone() else {
            return Ok(EffectResult::Done);
        };
        let key = format!("deployment-{}-{service}", self.spec.id);
        let mut env = replica::identity_environment(&spec.id);
        env.extend(spec.env);
        let command = Command {
            line: before.run,
            folder: spec.folder,
            env,
            within: BEFORE_WITHIN,
        };
        let (local, digest) = (self.app.local.clone(), spec.digest);
        let ended = tokio::spawn(async move { local.run_before(&key, &digest, command).await }).await;
        ended
            .map_err(|_| "the command was cut off".to_owned())?
            .map_err(|error| chain(&error))?;
        Ok(EffectResult::Done)
    }

    /// Starting is never cut short, so that a stop that follows finds the replica; waiting for its health is.
    async fn start(&self, service: &str, index: u32, cancel: &CancellationToken) -> Why<EffectResult> {
        let spec = self.replica_spec(service, index).await?;
        let health = spec.service.health.clone();
        let placed = self
            .app
            .local
            .start_replica(spec)
            .await
            .map_err(|error| chain(&error))?;
        let probe = async {
            match self.app.local.probe(&placed, &health).await {
                Ok(Health::Healthy { .. }) => Ok(EffectResult::Started {
                    address: placed.address,
                }),
                Ok(Health::Unhealthy(bad)) => Err(with_log(&bad.why, &bad.log)),
                Err(error) => Err(chain(&error)),
            }
        };
        unless(cancel, probe).await
    }

    async fn apply(&self, table: &ServiceTable) -> Why<EffectResult> {
        let deadline = Instant::now() + PROXY_WITHIN;
        loop {
            match self.claim_and_apply(table).await {
                Ok(()) => return Ok(EffectResult::Done),
                Err(DeployError::Refused { reason }) => {
                    // A trip that was faster is the better reason.
                    proxy::deliver_trips(&self.app).await;
                    return Err(reason);
                }
                Err(error @ DeployError::PortTaken { .. }) => return Err(chain(&error)),
                Err(error) => revive_proxy(&self.app, &error, deadline).await?,
            }
        }
    }

    async fn claim_and_apply(&self, table: &ServiceTable) -> Result<(), DeployError> {
        self.app.local.claim_address(table.listen).await?;
        self.app.local.proxy().apply(table).await
    }

    async fn remove(&self, id: &str, epoch: u64) -> Why<EffectResult> {
        let deadline = Instant::now() + PROXY_WITHIN;
        loop {
            match self.app.local.proxy().remove(id, epoch).await {
                Ok(()) => return Ok(EffectResult::Done),
                Err(error @ DeployError::Refused { .. }) => return Err(chain(&error)),
                Err(error) => revive_proxy(&self.app, &error, deadline).await?,
            }
        }
    }

    async fn drain(&self, service: &str, revision: &str, within: Duration) -> Why<EffectResult> {
        let id = self.service_id(service);
        let deadline = Instant::now() + within + PROXY_WITHIN;
        loop {
            match self.app.local.proxy().drain(&id, revision, within).await {
                Ok((finished, cut)) => return Ok(EffectResult::Drained { finished, cut }),
                Err(error @ DeployError::Refused { .. }) => return Err(chain(&error)),
                Err(error) => revive_proxy(&self.app, &error, deadline).await?,
            }
        }
    }

    async fn read_guard(&self, service: &str) -> Why<EffectResult> {
        let nothing = EffectResult::Guard {
            evidence: None,
            proven: false,
            answers: 0,
            needed: 0,
        };
        let Some(status) = self.status(&self.service_id(service)).await? else {
            return Ok(nothing);
        };
        if status
            .trip
            .as_ref()
            .is_some_and(|trip| trip.deployment == self.spec.id)
        {
            proxy::deliver_trips(&self.app).await;
        }
        let evidence: Option<Evidence> = status.guard.and_then(|guard| serde_json::from_value(guard).ok());
        let Some(evidence) = evidence else {
            return Ok(nothing);
        };
        let standing = pilotage_guard::standing(&evidence);
        Ok(EffectResult::Guard {
            proven: standing.is_some_and(|standing| standing.proven),
            answers: standing.map_or(0, |standing| standing.answers),
            needed: standing.map_or(0, |standing| standing.needed),
            evidence: Some(Box::new(evidence)),
        })
    }

    async fn acknowledge(&self, service: &str) -> Why<EffectResult> {
        let deadline = Instant::now() + PROXY_WITHIN;
        loop {
            match self
                .app
                .local
                .proxy()
                .acknowledge(&self.service_id(service), self.spec.id)
                .await
            {
                Ok(()) | Err(DeployError::Refused { .. }) => return Ok(EffectResult::Done),
                Err(error) => revive_proxy(&self.app, &error, deadline).await?,
            }
        }
    }

    /// Which revision answers, by the keepers behind the replicas; and what the checks of its release say.
    async fn verify(&self, revision: &str, digest: &str, answers: u32) -> Why<EffectResult> {
        let (_, manifest) = self.release(digest).await?;
        let plan = self.environment_plan(&manifest)?;
        let proof = Verification {
            app: &self.app,
            project: &self.project,
            plan,
            revision,
            digest,
        };
        Ok(EffectResult::Verified {
            what: proof.run(answers).await?,
        })
    }

    async fn stop(&self, replica: &str) -> Why<EffectResult> {
        self.app
            .local
            .stop_replica(replica)
            .await
            .map_err(|error| chain(&error))?;
        Ok(EffectResult::Done)
    }

    async fn status(&self, id: &str) -> Why<Option<ServiceStatus>> {
        let deadline = Instant::now() + PROXY_WITHIN;
        loop {
            match self.app.local.proxy().status().await {
                Ok(services) => return Ok(services.into_iter().find(|service| service.table.id == id)),
                Err(error) => revive_proxy(&self.app, &error, deadline).await?,
            }
        }
    }

    async fn release(&self, digest: &str) -> Why<(Release, Manifest)> {
        let mut c = self.app.store.read().await.map_err(|error| chain(&error))?;
        let row = c
            .release_by_digest(self.project.id, digest)
            .await
            .map_err(|error| chain(&error))?;
        let row = row.ok_or_else(|| format!("release {} is not there any more", short(digest)))?;
        let manifest = Manifest::parse(&row.manifest).map_err(|error| chain(&error))?;
        Ok((row, manifest))
    }

    fn environment_plan<'m>(&self, manifest: &'m Manifest) -> Why<&'m EnvironmentPlan> {
        let plan = manifest.environments.get(&self.spec.environment);
        plan.ok_or_else(|| format!("the release has no environment `{}`", self.spec.environment))
    }

    fn planned(&self, service: &str) -> Why<&pilotage_engine::deployment::Service> {
        let found = self
            .spec
            .plan
            .services
            .iter()
            .find(|planned| planned.name == service);
        found.ok_or_else(|| format!("the plan has no service `{service}`"))
    }

    async fn replica_spec(&self, service: &str, index: u32) -> Why<ReplicaSpec> {
        let (_, manifest) = self.release(&self.spec.new.digest).await?;
        let plan = self.environment_plan(&manifest)?;
        let id = self.replica_id(service, &self.spec.new.revision, index);
        let (spec, values) = spec_of(&self.app, &self.project, plan, &self.spec.new.digest, id).await?;
        let templates = spec.service.env.iter().map(|(_, template)| template.as_str());
        let user = SecretUse::Deployment(self.spec.id);
        values.note_use(&self.app, &self.project, templates, user).await;
        Ok(spec)
    }

    fn replica_id(&self, service: &str, revision: &str, index: u32) -> ReplicaId {
        ReplicaId {
            environment: environment_of(&self.project, &self.spec.environment),
            service: service.to_owned(),
            revision: revision.to_owned(),
            ordinal: index + 1,
        }
    }

    fn service_id(&self, service: &str) -> String {
        format!("{}/{}/{service}", self.spec.project, self.spec.environment)
    }
}

/// Waits for a proxy that restarts, or starts a new one.
async fn revive_proxy(app: &App, error: &DeployError, deadline: Instant) -> Why<()> {
    if Instant::now() >= deadline {
        return Err(chain(error));
    }
    if let Err(error) = app.local.ensure_proxy().await {
        tracing::warn!("the proxy does not come back yet: {}", chain(&error));
    }
    sleep(PROXY_AGAIN).await;
    Ok(())
}

/// What a replica of a release runs, with its environment resolved now.
pub(super) async fn spec_of(
    app: &App,
    project: &Project,
    plan: &EnvironmentPlan,
    digest: &str,
    id: ReplicaId,
) -> Why<(ReplicaSpec, Values)> {
    let service = plan.services.iter().find(|service| service.name == id.service);
    let service = service
        .ok_or_else(|| format!("the release has no service `{}`", id.service))?
        .clone();
    let values = Values::load(app, project, &plan.environment)
        .await
        .map_err(|error| chain(&error))?;
    let spec = ReplicaSpec {
        env: values.env(&service)?,
        folder: releases::folder(&service.source),
        digest: digest.to_owned(),
        service,
        id,
    };
    Ok((spec, values))
}

pub(super) fn environment_of(project: &Project, environment: &str) -> Environment {
    Environment {
        owner: project.owner.clone(),
        project: project.name.clone(),
        environment: environment.to_owned(),
    }
}

/// Stops waiting when it is cancelled; the result is then of no use to anybody.
async fn unless(
    cancel: &CancellationToken,
    work: impl Future<Output = Why<EffectResult>>,
) -> Why<EffectResult> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err("it is not wanted any more".to_owned()),
        end = work => end,
    }
}

fn with_log(why: &str, log: &[String]) -> String {
    let last: Vec<&str> = log
        .iter()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(LOG_LINES)
        .map(|line| line.trim())
        .collect();
    match last.first() {
        Some(line) => format!("{why}: {line}"),
        None => why.to_owned(),
    }
}

/// An error with its causes, in a line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

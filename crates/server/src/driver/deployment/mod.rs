//! The deployment machine in the store: how one is asked for, begins, takes an event, and ends.
//!
//! At most one deployment of an environment has begun and not ended; a newer one is `queued` until then. What a
//! machine orders of the store itself (rules, what is live, quarantine) happens in its own transaction; what it
//! orders of the world lies in the outbox for [`perform`]. An outbox row is open as long as the machine waits for it.

mod environment;
mod live;
mod perform;
mod proxy;
mod rules;
mod spec;
mod supervise;
mod verification;
mod world;

pub(crate) use environment::Values;
pub use live::Live;
pub(crate) use perform::Performer;
pub(crate) use proxy::watch;
pub use spec::{plan_of, url_of};
pub(crate) use supervise::supervise;
pub(crate) use verification::verify_standing;
pub(crate) use world::chain;

use super::Turn;
use super::run::{from_text, to_text};
use pilotage_engine::deployment::{
    Deployment, DeploymentEffect, DeploymentEvent, EffectKind, EffectResult, IllegalEvent, Kind, Outcome,
    Release, Replica, Standing,
};
use pilotage_engine::time::Timestamp;
use pilotage_store::{Connection, Deployment as Row, Quarantined, Result, Transition};
use serde_json::json;

/// The kind of a deployment's machine.
pub const DEPLOYMENT: &str = "deployment";
/// The state of a deployment that has not begun.
pub const QUEUED: &str = "queued";

/// Why a deployment does not take an event. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("there is no deployment {0}")]
    NoDeployment(i64),
    #[error("deployment {0} has ended")]
    Ended(i64),
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
}

/// All that a deployment is asked for with.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    pub project: i64,
    pub environment: String,
    pub release: i64,
    pub kind: Kind,
    pub actor: String,
    pub reason: String,
    pub run: Option<i64>,
    pub job: Option<i64>,
    /// Empty for one that a person asked for.
    pub idempotency: String,
}

impl Turn<'_> {
    /// Asks for a deployment; one that was asked for with the same key is found again. An older one of the same
    /// environment is told to make way.
    pub async fn ask_deployment(&mut self, new: NewDeployment) -> Result<i64> {
        if let Some(known) = self.c.deployment_by_key(&new.idempotency).await? {
            return Ok(known.id);
        }
        self.c
            .touch_environment(new.project, &new.environment, self.now)
            .await?;
        let row = Row {
            id: 0,
            project_id: new.project,
            environment: new.environment.clone(),
            release_id: new.release,
            previous_id: None,
            run_id: new.run,
            job_id: new.job,
            actor: new.actor.clone(),
            idempotency: new.idempotency,
            status: QUEUED.to_owned(),
            result: None,
            reason: new.reason.clone(),
            created_at: self.now,
            ended_at: None,
            kind: word(&new.kind),
            revision: String::new(),
        };
        let id = self.c.add_deployment(&row).await?;
        let action = if new.kind == Kind::Rollback {
            "deployment.rollback"
        } else {
            "deployment.deploy"
        };
        self.audit(&Row { id, ..row }, &new.actor, action, &new.reason)
            .await?;
        for older in self.c.open_deployments(new.project, &new.environment).await? {
            if older.id == id {
                continue;
            }
            if older.status == QUEUED {
                self.end_queued(older, &format!("deployment {id} takes its place"))
                    .await?;
            } else if let Err(refused) = self
                .deployment_event(older.id, DeploymentEvent::Superseded { by: id })
                .await?
            {
                tracing::warn!(
                    deployment.id = older.id,
                    "deployment {} cannot make way: {refused}",
                    older.id
                );
            }
        }
        self.begin_next(new.project, &new.environment).await?;
        Ok(id)
    }

    /// One step of a deployment's machine, and of those that follow from it in the store.
    pub async fn deployment_event(&mut self, id: i64, event: DeploymentEvent) -> Result<Result<(), Refused>> {
        let Some(row) = self.c.deployment(id).await? else {
            return Ok(Err(Refused::NoDeployment(id)));
        };
        if row.status == QUEUED {
            return self.queued_event(row, event).await;
        }
        let Some(stored) = self.c.machine(DEPLOYMENT, id).await? else {
            return Ok(Err(Refused::Ended(id)));
        };
        let mut machine: Deployment = from_text("a deployment", &stored.state)?;
        let text = to_text(&event)?;
        let effects = match machine.handle(Timestamp(self.now), event) {
            Ok(effects) => effects,
            Err(illegal) => return Ok(Err(illegal.into())),
        };
        if effects.is_empty() && to_text(&machine)? == stored.state && stored.deadline == deadline(&machine) {
            return Ok(Ok(()));
        }
        self.store_deployment(stored.version, &text, machine, effects, row)
            .await?;
        Ok(Ok(()))
    }

    /// A person takes back one that has not begun, or it is frozen, which changes nothing.
    async fn queued_event(&mut self, row: Row, event: DeploymentEvent) -> Result<Result<(), Refused>> {
        if row.ended_at.is_some() {
            return Ok(Err(Refused::Ended(row.id)));
        }
        if let DeploymentEvent::Abort { by, reason, .. } = event {
            self.end_queued(row, &format!("taken back by {by}: {reason}"))
                .await?;
        }
        Ok(Ok(()))
    }

    /// Its deadline has come: of the rules while it waits for them, or its own.
    pub async fn wake_deployment(&mut self, id: i64) -> Result<()> {
        let Some(row) = self.c.deployment(id).await? else {
            return Ok(());
        };
        let Some(machine) = self.load_deployment(id).await? else {
            return Ok(());
        };
        let event = if machine.is_waiting() {
            let (answer, _) = self.ask_rules(&row, &machine).await?;
            DeploymentEvent::Rules { answer }
        } else {
            DeploymentEvent::Wake
        };
        if let Err(refused) = self.deployment_event(id, event).await? {
            tracing::warn!(deployment.id = id, "deployment {id} cannot be woken: {refused}");
        }
        Ok(())
    }

    /// The machine of one that has begun.
    pub async fn load_deployment(&mut self, id: i64) -> Result<Option<Deployment>> {
        load(self.c, id).await
    }

    /// Begins the oldest one that waits for the environment, unless another one is under way there.
    pub async fn begin_next(&mut self, project: i64, environment: &str) -> Result<()> {
        let open = self.c.open_deployments(project, environment).await?;
        match open.first() {
            Some(first) if first.status == QUEUED => self.begin(first.clone()).await,
            _ => Ok(()),
        }
    }

    async fn begin(&mut self, mut row: Row) -> Result<()> {
        let spec = match self.spec_of(&mut row).await? {
            Ok(spec) => spec,
            Err(why) => return self.end_queued(row, &why).await,
        };
        row.revision.clone_from(&spec.new.revision);
        let (machine, effects) = Deployment::start(Timestamp(self.now), spec);
        self.store_deployment(0, "{\"event\":\"start\"}", machine, effects, row)
            .await
    }

    async fn end_queued(&mut self, row: Row, why: &str) -> Result<()> {
        let row = Row {
            status: "aborted".to_owned(),
            result: Some("aborted".to_owned()),
            reason: why.to_owned(),
            ended_at: Some(self.now),
            ..row
        };
        self.c.update_deployment(&row).await?;
        self.audit(&row, "pilotage", "deployment.aborted", why).await?;
        self.note_deployment(&row, None, "queued", "aborted", why).await?;
        Box::pin(self.begin_next(row.project_id, &row.environment)).await
    }

    /// Makes one step durable and does what it orders of the store.
    async fn store_deployment(
        &mut self,
        version: i64,
        event: &str,
        machine: Deployment,
        effects: Vec<DeploymentEffect>,
        mut row: Row,
    ) -> Result<()> {
        let id = machine.spec().id;
        let (inside, outside): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| is_inside(&effect.kind));
        let effects = outside.iter().map(to_text).collect::<Result<Vec<_>>>()?;
        let state = to_text(&machine)?;
        let again_at = if machine.is_waiting() {
            self.ask_rules(&row, &machine).await?.1
        } else {
            None
        };
        let transition = Transition {
            kind: DEPLOYMENT,
            id,
            version,
            at: self.now,
            event,
            state: &state,
            deadline: deadline(&machine).into_iter().chain(again_at).min(),
            done: machine.outcome().is_some(),
            effects: &effects,
        };
        self.c.transition(transition).await?;
        self.close_effects(&machine).await?;
        self.project(&machine, &mut row).await?;
        for effect in inside {
            self.perform_inside(&machine, &row, effect).await?;
        }
        Ok(())
    }

    /// What is not waited for any more need not be done.
    async fn close_effects(&mut self, machine: &Deployment) -> Result<()> {
        for open in self
            .c
            .open_effects_of_machine(DEPLOYMENT, machine.spec().id)
            .await?
        {
            let effect: DeploymentEffect = from_text("an effect of a deployment", &open.effect)?;
            if effect.kind.is_awaited() && !machine.awaits(effect.sequence) {
                self.c
                    .effect_done(DEPLOYMENT, open.id, open.seq, self.now)
                    .await?;
            }
        }
        Ok(())
    }

    /// Keeps the row that people list in step with the machine.
    async fn project(&mut self, machine: &Deployment, row: &mut Row) -> Result<()> {
        let view = machine.view();
        let status = view.state.replace(' ', "-");
        let reason = view.reason.unwrap_or_else(|| machine.spec().reason.clone());
        let changed = row.status != status;
        row.status = status;
        row.reason = reason;
        row.result = view.outcome.map(|outcome| word(&outcome));
        if view.outcome.is_some() {
            row.ended_at = row.ended_at.or(Some(self.now));
        }
        self.c.update_deployment(row).await?;
        if changed {
            let action = format!("deployment.{}", row.status);
            self.audit(row, "pilotage", &action, &row.reason.clone()).await?;
        }
        Ok(())
    }

    async fn perform_inside(
        &mut self,
        machine: &Deployment,
        row: &Row,
        effect: DeploymentEffect,
    ) -> Result<()> {
        match effect.kind {
            EffectKind::AskRules => {
                let (answer, _) = self.ask_rules(row, machine).await?;
                let result = EffectResult::Rules { answer };
                let event = DeploymentEvent::Result {
                    sequence: effect.sequence,
                    result,
                };
                if let Err(refused) = Box::pin(self.deployment_event(row.id, event)).await? {
                    tracing::error!(
                        deployment.id = row.id,
                        "the rules' answer is of no use: {refused}"
                    );
                }
            }
            EffectKind::MarkLive {
                release,
                replicas,
                proven,
            } => self.mark_live(row, release, replicas, proven).await?,
            EffectKind::Quarantine { release, reason } => {
                self.put_in_quarantine(row, release, reason).await?;
            }
            EffectKind::Notify { what, text } => {
                tracing::info!(deployment.id = row.id, %what, "deployment {} of {}: {text}", row.id, row.environment);
                self.note_deployment(row, Some(machine), &effect.sequence.to_string(), &what, &text)
                    .await?;
            }
            EffectKind::Finished { outcome } => {
                if outcome != Outcome::Live {
                    tracing::warn!(
                        deployment.id = row.id,
                        "deployment {} ended as {}",
                        row.id,
                        word(&outcome)
                    );
                }
                Box::pin(self.begin_next(row.project_id, &row.environment)).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn mark_live(
        &mut self,
        row: &Row,
        release: Release,
        replicas: Vec<Replica>,
        proven: bool,
    ) -> Result<()> {
        let standing = to_text(&Standing { release, replicas })?;
        let row = pilotage_store::Standing {
            project_id: row.project_id,
            environment: row.environment.clone(),
            deployment_id: row.id,
            release_id: row.release_id,
            standing,
            proven: i64::from(proven),
            at: self.now,
        };
        self.c.set_standing(&row).await
    }

    async fn put_in_quarantine(&mut self, row: &Row, release: Release, reason: String) -> Result<()> {
        self.audit(row, "pilotage", "release.quarantine", &reason).await?;
        let row = Quarantined {
            project_id: row.project_id,
            digest: release.digest,
            revision: release.revision,
            environment: row.environment.clone(),
            deployment_id: row.id,
            reason,
            at: self.now,
        };
        self.c.quarantine(&row).await
    }

    async fn audit(&mut self, row: &Row, actor: &str, action: &str, reason: &str) -> Result<()> {
        let project = self
            .c
            .project_by_id(row.project_id)
            .await?
            .map(|p| p.path())
            .unwrap_or_default();
        let detail = json!({ "deployment": row.id, "environment": row.environment, "revision": row.revision, "reason": reason });
        let subject = format!("{project}/{} #{}", row.environment, row.id);
        self.c
            .add_audit(self.now, actor, action, &subject, &detail.to_string())
            .await
    }
}

/// Reads the machine of a deployment that has begun.
pub async fn load(c: &mut Connection, id: i64) -> Result<Option<Deployment>> {
    match c.machine(DEPLOYMENT, id).await? {
        Some(stored) => Ok(Some(from_text("a deployment", &stored.state)?)),
        None => Ok(None),
    }
}

/// Which effects the store itself does.
fn is_inside(kind: &EffectKind) -> bool {
    matches!(
        kind,
        EffectKind::AskRules
            | EffectKind::MarkLive { .. }
            | EffectKind::Quarantine { .. }
            | EffectKind::Notify { .. }
            | EffectKind::Finished { .. }
    )
}

fn deadline(machine: &Deployment) -> Option<i64> {
    machine.deadline().map(|at| at.0)
}

/// Why a deployment stands where it stands: of one that has not begun, for which other it waits. What it was asked for
/// with stays in its row.
pub async fn reason_of(c: &mut Connection, row: &Row) -> Result<String> {
    if row.status == QUEUED {
        let open = c.open_deployments(row.project_id, &row.environment).await?;
        if let Some(first) = open.first().filter(|first| first.id != row.id) {
            let doing = doing(&first.status);
            return Ok(format!("waits for deployment {}, which {doing}", first.id));
        }
    }
    Ok(row.reason.clone())
}

/// What one that is under way does, for the one that waits for it.
fn doing(status: &str) -> &'static str {
    match status {
        "rolling-back" | "verifying-rollback" => "goes back",
        "live" | "watching" => "ends its watch",
        _ => "is on its way",
    }
}

/// The word that serde gives an enum's case.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

//! Performs what deployments order of the world: each effect in a task of its own, the changes of a deployment's
//! routes one after the other. What is not waited for any more is cancelled before anything newer begins, so that
//! an abort does not wait for a health probe. After a restart every open effect begins again; the target looks
//! first at what stands.

use super::world::{World, chain};
use super::{DEPLOYMENT, from_text};
use crate::app::App;
use pilotage_engine::deployment::{DeploymentEffect, DeploymentEvent, EffectKind, EffectResult};
use pilotage_store::{EffectRow, Result};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long is waited after a fault of the store.
const AGAIN: Duration = Duration::from_secs(1);

/// A deployment's number and the place of an effect in its outbox.
type Key = (i64, i64);

/// Runs in one task; see the module.
pub(crate) struct Performer {
    app: Arc<App>,
    running: HashMap<Key, Running>,
}

struct Running {
    cancel: CancellationToken,
    task: JoinHandle<()>,
    is_route: bool,
}

impl Drop for Performer {
    /// As if it were killed.
    fn drop(&mut self) {
        self.running.values().for_each(|running| running.task.abort());
    }
}

impl Performer {
    #[must_use]
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            running: HashMap::new(),
        }
    }

    /// Performs effects whenever there are some, until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut changes = self.app.driver.changes();
        loop {
            changes.borrow_and_update();
            if let Err(error) = self.round().await {
                tracing::error!(
                    "deployments cannot go on, tried again in a second: {}",
                    chain(&error)
                );
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Cancels what is not wanted any more, then begins what is new.
    async fn round(&mut self) -> Result<()> {
        let open = self.app.store.read().await?.open_effects_of(DEPLOYMENT).await?;
        let wanted: HashSet<Key> = open.iter().map(key).collect();
        let unwanted: Vec<Key> = self
            .running
            .keys()
            .filter(|key| !wanted.contains(key))
            .copied()
            .collect();
        let mut ending = Vec::new();
        for key in unwanted {
            if let Some(running) = self.running.remove(&key) {
                running.cancel.cancel();
                ending.push(running.task);
            }
        }
        for task in ending {
            let _ = task.await;
        }
        for row in open {
            if !self.running.contains_key(&key(&row)) {
                self.begin(row)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, row: EffectRow) -> Result<()> {
        let effect: DeploymentEffect = from_text("an effect of a deployment", &row.effect)?;
        let is_route = is_route(&effect.kind);
        let busy = |(key, running): (&Key, &Running)| key.0 == row.id && running.is_route;
        if is_route && self.running.iter().any(busy) {
            return Ok(());
        }
        let cancel = CancellationToken::new();
        let key = key(&row);
        let task = tokio::spawn(perform(Arc::clone(&self.app), row, effect, cancel.clone()));
        self.running.insert(
            key,
            Running {
                cancel,
                task,
                is_route,
            },
        );
        Ok(())
    }
}

fn key(row: &EffectRow) -> Key {
    (row.id, row.seq)
}

/// Changes of the route table go in the order in which they were decided.
fn is_route(kind: &EffectKind) -> bool {
    matches!(kind, EffectKind::Apply { .. } | EffectKind::Remove { .. })
}

/// Does one effect and makes its result durable.
async fn perform(app: Arc<App>, row: EffectRow, effect: DeploymentEffect, cancel: CancellationToken) {
    let sequence = effect.sequence;
    let awaited = effect.kind.is_awaited();
    let result = match World::load(&app, row.id).await {
        Ok(world) => world.perform(effect.kind, &cancel).await,
        Err(why) => EffectResult::Failed { why },
    };
    if cancel.is_cancelled() {
        return;
    }
    loop {
        let (row, result) = (row.clone(), result.clone());
        let told = app.driver.turn(move |mut turn| {
            Box::pin(async move {
                if awaited {
                    let event = DeploymentEvent::Result { sequence, result };
                    if let Err(refused) = turn.deployment_event(row.id, event).await? {
                        tracing::warn!(deployment.id = row.id, "a result is of no use: {refused}");
                    }
                }
                let now = turn.now;
                turn.c.effect_done(DEPLOYMENT, row.id, row.seq, now).await
            })
        });
        match told.await {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(
                    "a result cannot be stored, tried again in a second: {}",
                    chain(&error)
                );
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

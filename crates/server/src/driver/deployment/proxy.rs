//! What the proxy says by itself: trips become events of their deployments, figures go to whoever watches.

use super::world::chain;
use super::{DEPLOYMENT, from_text};
use crate::app::App;
use crate::driver::Turn;
use pilotage_api::proxy::{Event, Trip};
use pilotage_engine::deployment::{DeploymentEffect, DeploymentEvent, EffectKind};
use pilotage_store::Result;
use std::sync::Arc;
use std::time::Duration;

/// How long is waited for a proxy that is not there.
const AGAIN: Duration = Duration::from_millis(200);

/// Listens to the proxy until it is dropped.
pub(crate) async fn watch(app: Arc<App>) {
    loop {
        if let Err(error) = listen(&app).await {
            tracing::debug!("the proxy's events end: {}", chain(&error));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen(app: &Arc<App>) -> Result<(), pilotage_deploy::DeployError> {
    let mut events = app.local.proxy().watch().await?;
    loop {
        match events.next().await? {
            Event::Trip(trip) => deliver(app, trip).await,
            Event::Guard { id, evidence, .. } => app.live.guard(&id, evidence),
            Event::Counts { services } => app.live.counts(services),
        }
    }
}

/// Asks the proxy for trips now, instead of waiting to be told.
pub(super) async fn deliver_trips(app: &Arc<App>) {
    let Ok(services) = app.local.proxy().status().await else {
        return;
    };
    for trip in services.into_iter().filter_map(|service| service.trip) {
        deliver(app, trip).await;
    }
}

async fn deliver(app: &Arc<App>, trip: Trip) {
    let (id, deployment) = (trip.id.clone(), trip.deployment);
    let stored = app
        .driver
        .turn(move |mut turn| Box::pin(async move { turn.take_trip(trip).await }))
        .await;
    match stored {
        Ok(true) => {}
        // Nobody's: the proxy need not repeat it.
        Ok(false) => {
            if let Err(error) = app.local.proxy().acknowledge(&id, deployment).await {
                tracing::warn!("a trip cannot be acknowledged: {}", chain(&error));
            }
        }
        Err(error) => tracing::error!("a trip cannot be stored, the proxy will repeat it: {error}"),
    }
}

impl Turn<'_> {
    /// Gives a trip to its deployment, once. False where it is of no deployment that could take it.
    async fn take_trip(&mut self, trip: Trip) -> Result<bool> {
        let Some(row) = self.c.deployment(trip.deployment).await? else {
            return Ok(false);
        };
        let service = trip.id.rsplit('/').next().unwrap_or_default().to_owned();
        if self.acknowledges(row.id, &service).await? {
            return Ok(true);
        }
        let Some(machine) = self.load_deployment(row.id).await? else {
            return Ok(false);
        };
        if machine.outcome().is_some() || machine.knows_trip(&service) {
            return Ok(false);
        }
        let event = DeploymentEvent::Tripped {
            service,
            trip: Box::new(trip),
        };
        Ok(self.deployment_event(row.id, event).await?.is_ok())
    }

    /// Whether the proxy is about to be told that this trip is known.
    async fn acknowledges(&mut self, id: i64, service: &str) -> Result<bool> {
        for row in self.c.open_effects_of_machine(DEPLOYMENT, id).await? {
            let effect: DeploymentEffect = from_text("an effect of a deployment", &row.effect)?;
            if matches!(&effect.kind, EffectKind::AcknowledgeTrip { service: known } if known == service) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

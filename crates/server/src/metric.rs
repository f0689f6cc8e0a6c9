//! Measures what runs: requests, errors and response times of each service, processor time and memory of its replicas.
//!
//! Windows of ten seconds, a minute and ten minutes are kept, each for its time. It is woken by what the proxy tells
//! each second and has no timer of its own: where nothing runs, nothing wakes it. What was not seen is not there: a
//! window of which less than half was seen, or that ended unseen, is a gap.

use crate::app::App;
use crate::driver::deployment::chain;
use pilotage_api::proxy::ServiceStatus;
use pilotage_api::times::Times;
use pilotage_deploy::replica::Environment as Target;
use pilotage_deploy::usage::{Usage, usage};
use pilotage_store::{Metric, SPANS};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What replicas take now, and that there are new windows.
pub(crate) struct Metrics {
    changed: watch::Sender<u64>,
    replicas: Mutex<HashMap<String, Load>>,
}

/// What a replica takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Of one core; none before it was looked at twice.
    pub cpu: Option<f64>,
    pub memory_bytes: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            changed: watch::channel(0).0,
            replicas: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Rises when there are new windows.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What a replica took when it was looked at last.
    pub(crate) fn replica(&self, id: &str) -> Option<Load> {
        let known = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).copied()
    }
}

/// Measures until it is dropped.
pub(crate) async fn sample(app: Arc<App>) {
    let mut changes = app.live.changes();
    let mut sampler = Sampler::default();
    while changes.changed().await.is_ok() {
        let now = app.now();
        if !sampler.is_due(now) {
            continue;
        }
        let services = app.live.services();
        if services.is_empty() {
            continue;
        }
        let taken = sampler.look_at_replicas(&app, &services, now).await;
        let found = sampler.round(now, &services, &taken);
        if let Err(error) = keep(&app, found, now).await {
            crate::error::log("what was measured cannot be kept", &error);
        }
        app.metrics.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Writes windows down, in one transaction; what is over its time goes at the end of the longest windows.
async fn keep(app: &App, found: Vec<Found>, now: i64) -> pilotage_store::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let tidy = found
        .iter()
        .any(|found| SPANS.last().is_some_and(|(span, _)| found.span == *span));
    let write = app.store.write(move |c| {
        Box::pin(async move {
            for found in found {
                let Some((owner, name, environment, service)) = parts(&found.service) else {
                    continue;
                };
                let Some(project) = c.project(owner, name).await? else {
                    continue;
                };
                let metric = found.metric(project.id, environment, service);
                c.add_metric(&metric).await?;
            }
            if tidy {
                c.forget_metrics(now).await?;
            }
            Ok(())
        })
    });
    write.await
}

/// Owner, name, environment and service of an id in the route table.
fn parts(id: &str) -> Option<(&str, &str, &str, &str)> {
    let (owner, rest) = id.split_once('/')?;
    let (name, rest) = rest.split_once('/')?;
    let (environment, service) = rest.rsplit_once('/')?;
    Some((owner, name, environment, service))
}

/// What all replicas of a service took so far, by replica.
type Taken = HashMap<String, HashMap<String, Usage>>;

#[derive(Default)]
struct Sampler {
    services: HashMap<String, [Option<Window>; SPANS.len()]>,
    /// When replicas were looked at last, and the processor time of each.
    looked_at: Option<(i64, HashMap<String, u64>)>,
}

/// A window that is not over yet.
struct Window {
    began: i64,
    /// From when on it was seen, and what had been counted then.
    since: i64,
    base: Base,
    /// The most memory of a replica so far.
    memory: Option<u64>,
}

#[derive(Clone, Default)]
struct Base {
    revisions: HashMap<String, Counted>,
    cpu_us: HashMap<String, u64>,
}

#[derive(Clone, Default)]
struct Counted {
    requests: u64,
    errors: u64,
    times: Times,
}

/// A window that is over.
#[derive(Debug, PartialEq)]
struct Found {
    service: String,
    span: i64,
    at: i64,
    seen: i64,
    requests: u64,
    errors: u64,
    p50_us: Option<u64>,
    p95_us: Option<u64>,
    cpu: Option<u64>,
    memory: Option<u64>,
}

impl Found {
    fn metric(&self, project_id: i64, environment: &str, service: &str) -> Metric {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Metric {
            project_id,
            environment: environment.to_owned(),
            service: service.to_owned(),
            span: self.span,
            at: self.at,
            seen: self.seen,
            requests: signed(self.requests),
            errors: signed(self.errors),
            p50_us: self.p50_us.map(signed),
            p95_us: self.p95_us.map(signed),
            cpu: self.cpu.map(signed),
            memory: self.memory.map(signed),
        }
    }
}

impl Sampler {
    /// Whether the shortest window of any service has ended, or a service is new.
    fn is_due(&self, now: i64) -> bool {
        let [(span, _), ..] = SPANS;
        let due = |windows: &[Option<Window>; SPANS.len()]| {
            let shortest = windows.first().and_then(Option::as_ref);
            shortest.is_none_or(|window| window.began != beginning(now, span))
        };
        self.services.is_empty() || self.services.values().any(due)
    }

    /// Ends windows whose time is over and begins the next ones.
    fn round(&mut self, now: i64, services: &[ServiceStatus], taken: &Taken) -> Vec<Found> {
        let mut found = Vec::new();
        self.services
            .retain(|id, _| services.iter().any(|service| service.table.id == *id));
        for service in services {
            let id = &service.table.id;
            let usage = taken.get(id);
            let base = base(service, usage);
            let memory = usage.and_then(|usage| usage.values().map(|usage| usage.memory_bytes).max());
            let windows = self.services.entry(id.clone()).or_default();
            for ((span, _), window) in SPANS.iter().zip(windows) {
                let began = beginning(now, *span);
                if let Some(window) = window.as_mut().filter(|window| window.began == began) {
                    window.memory = window.memory.max(memory);
                    continue;
                }
                let ended = window.replace(Window {
                    began,
                    since: now,
                    base: base.clone(),
                    memory,
                });
                found.extend(ended.and_then(|ended| ended.end(id, *span, now, &base)));
            }
        }
        found
    }

    /// What the replicas of all services took so far.
    async fn look_at_replicas(&mut self, app: &App, services: &[ServiceStatus], now: i64) -> Taken {
        let mut pids: HashMap<i32, (String, String)> = HashMap::new();
        let mut targets: Vec<Target> = Vec::new();
        for (owner, name, environment, _) in services.iter().filter_map(|service| parts(&service.table.id)) {
            let target = Target {
                owner: owner.to_owned(),
                project: name.to_owned(),
                environment: environment.to_owned(),
            };
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        for target in targets {
            let states = app.local.observe(&target).await.unwrap_or_else(|error| {
                tracing::debug!("replicas cannot be looked at: {}", chain(&error));
                Vec::new()
            });
            let path = format!("{}/{}/{}", target.owner, target.project, target.environment);
            pids.extend(states.into_iter().filter_map(|state| {
                let id = &state.placed.id;
                Some((state.pid?, (format!("{path}/{}", id.service), id.to_string())))
            }));
        }
        let known = usage(pids.keys().copied().collect())
            .await
            .unwrap_or_else(|error| {
                tracing::debug!("what replicas take is not known: {}", chain(&error));
                HashMap::new()
            });
        let mut taken = Taken::new();
        for (pid, usage) in known {
            if let Some((service, replica)) = pids.remove(&pid) {
                taken.entry(service).or_default().insert(replica, usage);
            }
        }
        self.tell(app, &taken, now);
        taken
    }

    /// Puts what each replica takes where pages find it.
    fn tell(&mut self, app: &App, taken: &Taken, now: i64) {
        let all = || taken.values().flatten();
        let before = self.looked_at.as_ref();
        let loads = all().map(|(replica, usage)| {
            let cpu = before.and_then(|(at, cpu_us)| {
                let used = usage.cpu_us.checked_sub(*cpu_us.get(replica)?)?;
                (now > *at).then(|| float(used) / float(u64::try_from(now - at).unwrap_or(1) * 1000))
            });
            let load = Load {
                cpu,
                memory_bytes: usage.memory_bytes,
            };
            (replica.clone(), load)
        });
        let loads = loads.collect();
        *app.metrics
            .replicas
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = loads;
        self.looked_at = Some((
            now,
            all()
                .map(|(replica, usage)| (replica.clone(), usage.cpu_us))
                .collect(),
        ));
    }
}

fn base(service: &ServiceStatus, taken: Option<&HashMap<String, Usage>>) -> Base {
    let counted = service.revisions.iter().map(|revision| {
        let counted = Counted {
            requests: revision.requests,
            errors: revision.errors,
            times: revision.times.clone(),
        };
        (revision.revision.clone(), counted)
    });
    let cpu = taken.into_iter().flatten();
    Base {
        revisions: counted.collect(),
        cpu_us: cpu
            .map(|(replica, usage)| (replica.clone(), usage.cpu_us))
            .collect(),
    }
}

impl Window {
    fn end(self, service: &str, span: i64, now: i64, last: &Base) -> Option<Found> {
        let (length, seen) = (span * 1000, now - self.since);
        // It ended while nobody looked, or began so late that it would not be a window.
        if now >= self.began + 2 * length || seen < length / 2 {
            return None;
        }
        let (mut requests, mut errors, mut times) = (0_u64, 0_u64, Times::default());
        for (revision, counted) in &last.revisions {
            let nothing = Counted::default();
            // A proxy that was started again counts from zero.
            let before = self
                .base
                .revisions
                .get(revision)
                .filter(|before| before.requests <= counted.requests);
            let before = before.unwrap_or(&nothing);
            requests += counted.requests - before.requests;
            errors += counted.errors.saturating_sub(before.errors);
            times.add(&counted.times.since(&before.times));
        }
        let cpu = (!last.cpu_us.is_empty()).then(|| {
            let used = last.cpu_us.iter().map(|(replica, now)| {
                let before = self.base.cpu_us.get(replica).filter(|before| *before <= now);
                now - before.unwrap_or(&0)
            });
            used.sum::<u64>() / u64::try_from(seen).unwrap_or(1).max(1)
        });
        Some(Found {
            service: service.to_owned(),
            span,
            at: self.began,
            seen,
            requests,
            errors,
            p50_us: times.quantile_us(500),
            p95_us: times.quantile_us(950),
            cpu,
            memory: self.memory,
        })
    }
}

/// When the window of this length began that a time is in.
fn beginning(at: i64, span: i64) -> i64 {
    at - at.rem_euclid(span * 1000)
}

#[allow(clippy::cast_precision_loss, reason = "times stay below 2^52")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
#[path = "metric_tests.rs"]
mod tests;

//! The tables of all services and their changes: applied, removed, tripped, loaded.
//!
//! One lock guards what the control plane sees; each core has a table of its own, built from it and swapped under
//! the core's lock. Never called on the way of a request, except by the answer that trips a service.

use crate::core::{Command, Core};
use crate::disk::{self, KeptTrip, Record};
use crate::judge::{Bench, Judge};
use crate::log::AccessLog;
use crate::seat::{Seat, lock};
use crate::table::{Arm, CoreTable, Route};
use crate::{ProxyConfig, ProxyError, listeners, probe};
use pilotage_api::proxy::{Replica, RevisionStatus, ServiceStatus, ServiceTable, Trip, WHOLE};
use pilotage_api::times::{BUCKETS, Times};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// Which revision a request is for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// One drawn by the shares.
    Share,
    /// A probe's own choice, whether it has a share or not.
    Pinned {
        revision: Option<String>,
        replica: Option<String>,
    },
}

/// See the module.
pub(crate) struct Plane {
    pub(crate) config: ProxyConfig,
    pub(crate) cores: Vec<Arc<Core>>,
    pub(crate) common: Arc<Common>,
    /// A trip waits to be written and told.
    pub(crate) tripped: Notify,
    state: Mutex<State>,
}

/// What every core reads and nobody changes but by a counter.
pub(crate) struct Common {
    pub(crate) limits: crate::Limits,
    pub(crate) secret: Vec<u8>,
    pub(crate) log: Option<AccessLog>,
    pub(crate) connections: AtomicUsize,
    pub(crate) stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    services: BTreeMap<String, Service>,
    listeners: BTreeMap<SocketAddr, TcpListener>,
}

pub(crate) struct Service {
    id: Arc<str>,
    epoch: u64,
    /// As the control plane gave it; `None` after a removal.
    given: Option<ServiceTable>,
    trip: Option<KeptTrip>,
    judge: Option<Arc<Judge>>,
    revisions: BTreeMap<String, Arc<Revision>>,
}

/// One revision over all cores.
pub(crate) struct Revision {
    pub(crate) seats: Vec<Arc<Seat>>,
    /// Somebody left a seat while a drain waited, or the revision has a share again.
    pub(crate) left: Arc<Notify>,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("epoch {given} is not above {known}")]
    Epoch { given: u64, known: u64 },
    #[error("revision {revision} was taken back by the guard in deployment {deployment}")]
    Tripped { revision: String, deployment: i64 },
    #[error("the table is not sound: {0}")]
    Unsound(String),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot write the table: {0}")]
    Write(io::Error),
    #[error("the guard's policy is not understood: {0}")]
    Policy(serde_json::Error),
    #[error("no service {0}")]
    NoService(String),
    #[error("revision {0} has a share")]
    HasShare(String),
}

impl Plane {
    /// Loads what is on disk. The file that comes back holds the directory's lock for as long as it is open.
    pub(crate) fn open(config: ProxyConfig) -> Result<(Arc<Self>, File), ProxyError> {
        let at = |source| ProxyError::Directory {
            path: config.dir.clone(),
            source,
        };
        let lock_file = prepare(&config.dir).map_err(at)?;
        if lock_file.try_lock().is_err() {
            return Err(ProxyError::Running { path: config.dir });
        }
        let records = disk::load(&config.dir.join("table")).map_err(at)?;
        let secret = probe::secret(&config.dir).map_err(at)?;
        let log = match config.access_log {
            true => {
                Some(AccessLog::open(&config.dir.join("access.log"), config.limits.log_bytes).map_err(at)?)
            }
            false => None,
        };
        let common = Arc::new(Common {
            limits: config.limits.clone(),
            secret,
            log,
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let plane = Arc::new_cyclic(|plane| Self {
            cores: (0..config.cores.max(1))
                .map(|index| Arc::new(Core::new(index, Arc::clone(&common), plane.clone())))
                .collect(),
            common,
            tripped: Notify::new(),
            state: Mutex::default(),
            config,
        });
        plane.restore(records);
        Ok((plane, lock_file))
    }

    fn restore(&self, records: Vec<Record>) {
        let mut state = lock(&self.state);
        for record in records {
            let mut service = Service::new(&record.id);
            service.epoch = record.epoch;
            service.trip = record.trip;
            service.judge = record
                .table
                .as_ref()
                .and_then(|table| table.armed.as_ref())
                .and_then(|armed| {
                    Judge::new(armed)
                        .inspect_err(|error| tracing::error!(%error, "the guard's policy is not understood"))
                        .ok()
                })
                .map(Arc::new);
            service.given = record.table;
            state.services.insert(record.id, service);
        }
        self.publish(&mut state);
        drop(state);
        self.open_missing();
    }

    /// Puts a table in force. Blocks for the disk.
    pub(crate) fn apply(&self, table: ServiceTable) -> Result<(), Refusal> {
        check(&table)?;
        if self.is_in_force(&table)? {
            return Ok(());
        }
        // Not under the lock: a keeper may take its time, and a trip does not wait.
        self.listen(table.listen)?;
        let mut state = lock(&self.state);
        let known = state.services.get(&table.id);
        if let Some(known) = known {
            known.check_trip(&table)?;
        }
        let judge = match &table.armed {
            Some(armed) => Some(
                known
                    .and_then(|known| known.judge_of(armed))
                    .map_or_else(|| Judge::new(armed).map(Arc::new).map_err(Refusal::Policy), Ok)?,
            ),
            None => None,
        };
        let id = table.id.clone();
        let service = state
            .services
            .entry(id.clone())
            .or_insert_with(|| Service::new(&id));
        let before = (
            service.epoch,
            service.given.clone(),
            service.judge.clone(),
            service.trip.clone(),
        );
        service.epoch = table.epoch;
        service.lift_trip(&table);
        service.given = Some(table);
        service.judge = judge;
        let record = service.record();
        self.publish(&mut state);
        drop(state);
        disk::save(&self.config.dir.join("table"), &record).map_err(|error| {
            let mut state = lock(&self.state);
            if let Some(service) = state.services.get_mut(&id)
                && service.epoch == record.epoch
            {
                (service.epoch, service.given, service.judge, service.trip) = before;
                self.publish(&mut state);
            }
            Refusal::Write(error)
        })
    }

    /// Whether nothing is left to do for a table; refuses one that is too old or brings back what tripped.
    fn is_in_force(&self, table: &ServiceTable) -> Result<bool, Refusal> {
        let state = lock(&self.state);
        let Some(known) = state.services.get(&table.id) else {
            return Ok(false);
        };
        if known.given.as_ref() == Some(table) {
            return Ok(true);
        }
        if table.epoch <= known.epoch {
            return Err(Refusal::Epoch {
                given: table.epoch,
                known: known.epoch,
            });
        }
        known.check_trip(table).map(|()| false)
    }

    pub(crate) fn remove(&self, id: &str, epoch: u64) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let Some(service) = state.services.get_mut(id) else {
            return Ok(());
        };
        if epoch < service.epoch || (epoch == service.epoch && service.given.is_some()) {
            return Err(Refusal::Epoch {
                given: epoch,
                known: service.epoch,
            });
        }
        service.epoch = epoch;
        service.given = None;
        service.judge = None;
        service.trip = None;
        let record = service.record();
        self.publish(&mut state);
        drop(state);
        disk::save(&self.config.dir.join("table"), &record).map_err(Refusal::Write)
    }

    /// The guard decided: back to the fallback at once, on every core. The rest is left to the control thread.
    pub(crate) fn trip(&self, id: &str, deployment: i64, at_us: u64) {
        let mut state = lock(&self.state);
        let Some(service) = state.services.get_mut(id) else {
            return;
        };
        let Some(armed) = service.armed().filter(|armed| armed.deployment == deployment) else {
            return;
        };
        if service
            .trip
            .as_ref()
            .is_some_and(|kept| kept.trip.deployment == deployment)
        {
            return;
        }
        let trip = Trip {
            id: id.to_owned(),
            deployment,
            revision: armed.new.clone(),
            decided_at_us: signed(at_us),
            last_request_at_us: 0,
            verdict: serde_json::Value::Null,
        };
        service.trip = Some(KeptTrip {
            trip,
            acknowledged: false,
        });
        self.publish(&mut state);
        drop(state);
        self.tripped.notify_one();
    }

    /// Writes trips that were made since, with their evidence, and gives them. Blocks for the disk.
    pub(crate) fn finish_trips(&self) -> Vec<Trip> {
        let mut state = lock(&self.state);
        let mut finished = Vec::new();
        for service in state.services.values_mut() {
            let evidence = service.judge.as_ref().map(|judge| judge.evidence());
            let Some(kept) = service.trip.as_mut().filter(|kept| kept.trip.verdict.is_null()) else {
                continue;
            };
            kept.trip.verdict = evidence.unwrap_or_else(|| serde_json::json!({}));
            let seats = service
                .revisions
                .get(&kept.trip.revision)
                .map(|revision| revision.seats.iter());
            let last = seats
                .into_iter()
                .flatten()
                .map(|seat| seat.counts.last_request_at_us.load(Ordering::SeqCst));
            kept.trip.last_request_at_us = signed(last.max().unwrap_or(0));
            let trip = kept.trip.clone();
            finished.push((service.record(), trip));
        }
        drop(state);
        let save = |(record, trip): (Record, Trip)| {
            if let Err(error) = disk::save(&self.config.dir.join("table"), &record) {
                tracing::error!(service = record.id, %error, "cannot write a trip; it is in force all the same");
            }
            trip
        };
        finished.into_iter().map(save).collect()
    }

    pub(crate) fn acknowledge(&self, id: &str, deployment: i64) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let service = state
            .services
            .get_mut(id)
            .ok_or_else(|| Refusal::NoService(id.to_owned()))?;
        match &mut service.trip {
            Some(kept) if kept.trip.deployment == deployment => kept.acknowledged = true,
            _ => return Ok(()),
        }
        let record = service.record();
        drop(state);
        disk::save(&self.config.dir.join("table"), &record).map_err(Refusal::Write)
    }

    /// Trips that nobody has acknowledged.
    pub(crate) fn open_trips(&self) -> Vec<Trip> {
        let state = lock(&self.state);
        let kept = state
            .services
            .values()
            .filter_map(|service| service.trip.as_ref());
        kept.filter(|kept| !kept.acknowledged && !kept.trip.verdict.is_null())
            .map(|kept| kept.trip.clone())
            .collect()
    }

    pub(crate) fn status(&self, with_evidence: bool) -> Vec<ServiceStatus> {
        let state = lock(&self.state);
        state
            .services
            .values()
            .filter_map(|service| service.status(with_evidence))
            .collect()
    }

    /// The guards at work, by service and deployment.
    pub(crate) fn judges(&self) -> Vec<(String, Arc<Judge>)> {
        let state = lock(&self.state);
        let judges = state
            .services
            .values()
            .filter_map(|service| Some((service, service.judge.as_ref()?)));
        judges
            .map(|(service, judge)| (service.id.to_string(), Arc::clone(judge)))
            .collect()
    }

    /// A revision that has no share, for a drain. None when nothing is known of it: nothing can be in flight.
    pub(crate) fn without_share(&self, id: &str, name: &str) -> Result<Option<Arc<Revision>>, Refusal> {
        let state = lock(&self.state);
        let Some(service) = state.services.get(id) else {
            return Ok(None);
        };
        let has_share = service.in_force().is_some_and(|table| share_of(&table, name) > 0);
        if has_share {
            return Err(Refusal::HasShare(name.to_owned()));
        }
        Ok(service.revisions.get(name).cloned())
    }

    /// Opens listening sockets that could not be had before; called each second.
    pub(crate) fn open_missing(&self) {
        let wanted: BTreeSet<_> = {
            let state = lock(&self.state);
            let given = state
                .services
                .values()
                .filter_map(|service| service.given.as_ref());
            given
                .map(|table| table.listen)
                .filter(|address| !state.listeners.contains_key(address))
                .collect()
        };
        for address in wanted {
            if let Err(error) = self.listen(address) {
                tracing::warn!(%error, "will be tried again");
            }
        }
    }

    /// Gives the listening sockets to the keeper again, should it be a new one; called every few seconds.
    pub(crate) fn hold_listeners(&self) {
        let Some(keeper) = &self.config.keeper else { return };
        let held: Vec<_> = {
            let state = lock(&self.state);
            state
                .listeners
                .values()
                .filter_map(|listener| listener.try_clone().ok())
                .collect()
        };
        held.iter().for_each(|listener| listeners::hold(keeper, listener));
    }

    /// Waits for every request that is under way on a core to have entered its seat or not.
    pub(crate) fn settle_cores(&self) {
        for core in &self.cores {
            drop(lock(&core.table));
        }
    }

    /// Closes a core's connections to replicas that idle for too long.
    pub(crate) fn close_idle(&self, core: usize, limit: Duration) {
        let state = lock(&self.state);
        let revisions = state
            .services
            .values()
            .flat_map(|service| service.revisions.values());
        revisions
            .filter_map(|revision| revision.seats.get(core))
            .for_each(|seat| seat.close_idle(limit));
    }

    pub(crate) fn stop(&self) {
        self.common.stopping.store(true, Ordering::SeqCst);
        self.tripped.notify_one();
        for core in &self.cores {
            core.send(Command::Stop);
        }
    }

    /// Called by the control thread alone, so that no address is opened twice.
    fn listen(&self, address: SocketAddr) -> Result<(), Refusal> {
        if lock(&self.state).listeners.contains_key(&address) {
            return Ok(());
        }
        let failed = |source| Refusal::Listen { address, source };
        let listener = listeners::open(self.config.keeper.as_deref(), address).map_err(failed)?;
        for core in &self.cores {
            core.send(Command::Listen(address, listener.try_clone().map_err(failed)?));
        }
        lock(&self.state).listeners.insert(address, listener);
        Ok(())
    }

    /// Builds each core's table and swaps it in. After this returns, no request enters by an older table.
    fn publish(&self, state: &mut State) {
        let tables: Vec<_> = state
            .services
            .values_mut()
            .filter_map(|service| {
                let table = service.in_force()?;
                service.meet_revisions(&table, self.cores.len());
                Some((service.id.clone(), table))
            })
            .collect();
        for core in &self.cores {
            let routes = tables
                .iter()
                .filter_map(|(id, table)| Some(state.services.get(&**id)?.route(table, core.index)));
            let fresh = CoreTable::new(routes.collect());
            let stale = std::mem::replace(&mut *lock(&core.table), fresh);
            drop(stale);
            core.changed.notify_waiters();
        }
        for service in state.services.values_mut() {
            service.part_revisions();
        }
        let used: BTreeSet<_> = tables.iter().map(|(_, table)| table.listen).collect();
        state.listeners.retain(|address, _| {
            let keep = used.contains(address);
            if !keep {
                self.cores
                    .iter()
                    .for_each(|core| core.send(Command::Unlisten(*address)));
            }
            keep
        });
    }
}

impl Service {
    fn new(id: &str) -> Self {
        Self {
            id: Arc::from(id),
            epoch: 0,
            given: None,
            trip: None,
            judge: None,
            revisions: BTreeMap::new(),
        }
    }

    fn armed(&self) -> Option<&pilotage_api::proxy::Armed> {
        self.given.as_ref()?.armed.as_ref()
    }

    fn record(&self) -> Record {
        Record {
            id: self.id.to_string(),
            epoch: self.epoch,
            table: self.given.clone(),
            trip: self.trip.clone(),
        }
    }

    /// The table as given, with the fallback's shares after a trip.
    fn in_force(&self) -> Option<ServiceTable> {
        let mut table = self.given.clone()?;
        if let (Some(kept), Some(armed)) = (&self.trip, &table.armed)
            && kept.trip.deployment == armed.deployment
        {
            for revision in &mut table.revisions {
                let back = armed.fallback.iter().find(|(name, _)| *name == revision.revision);
                revision.share = back.map_or(0, |(_, share)| *share);
            }
        }
        Some(table)
    }

    /// A revision that tripped gets no share again, until a newer deployment is judged anew.
    fn check_trip(&self, table: &ServiceTable) -> Result<(), Refusal> {
        let Some(KeptTrip { trip, .. }) = &self.trip else {
            return Ok(());
        };
        let newer = table
            .armed
            .as_ref()
            .is_some_and(|armed| armed.deployment > trip.deployment);
        // The table of the tripped deployment itself is brought back to its fallback, whatever it asks for.
        if !newer && share_of(table, &trip.revision) > 0 {
            return Err(Refusal::Tripped {
                revision: trip.revision.clone(),
                deployment: trip.deployment,
            });
        }
        Ok(())
    }

    fn lift_trip(&mut self, table: &ServiceTable) {
        let newer = |armed: &pilotage_api::proxy::Armed| {
            self.trip
                .as_ref()
                .is_some_and(|kept| armed.deployment > kept.trip.deployment)
        };
        if table.armed.as_ref().is_some_and(newer) {
            self.trip = None;
        }
    }

    /// The judge goes on for as long as the same test is armed.
    fn judge_of(&self, armed: &pilotage_api::proxy::Armed) -> Option<Arc<Judge>> {
        let judge = self.judge.as_ref()?;
        let known = &judge.armed;
        let same = known.deployment == armed.deployment && known.new == armed.new && known.old == armed.old;
        (same && known.policy == armed.policy).then(|| Arc::clone(judge))
    }

    fn meet_revisions(&mut self, table: &ServiceTable, cores: usize) {
        for wanted in &table.revisions {
            let revision = self.revisions.entry(wanted.revision.clone()).or_insert_with(|| {
                let left = Arc::new(Notify::new());
                let name: Arc<str> = Arc::from(wanted.revision.as_str());
                let seat = |_| {
                    Arc::new(Seat::new(
                        Arc::clone(&self.id),
                        Arc::clone(&name),
                        Arc::clone(&left),
                    ))
                };
                Arc::new(Revision {
                    seats: (0..cores).map(seat).collect(),
                    left,
                })
            });
            if wanted.share > 0 {
                revision.seats.iter().for_each(|seat| seat.set_leaving(false));
                revision.left.notify_waiters();
            }
        }
    }

    /// Forgets replicas that are in no table any more, and revisions where nothing is in flight.
    fn part_revisions(&mut self) {
        let table = self.given.as_ref();
        self.revisions.retain(|name, revision| {
            let wanted = table.and_then(|table| table.revisions.iter().find(|r| r.revision == *name));
            let replicas: &[Replica] = wanted.map_or(&[], |wanted| &wanted.replicas);
            revision
                .seats
                .iter()
                .for_each(|seat| seat.keep_replicas(replicas));
            wanted.is_some() || revision.in_flight() > 0
        });
    }

    fn route(&self, table: &ServiceTable, core: usize) -> Route {
        let share_of_new = self.armed().map_or(0, |armed| share_of(table, &armed.new));
        let arm = |wanted: &pilotage_api::proxy::RevisionTable| {
            let seat = Arc::clone(self.revisions.get(&wanted.revision)?.seats.get(core)?);
            Some(Arc::new(Arm {
                share: wanted.share,
                replicas: wanted
                    .replicas
                    .iter()
                    .map(|replica| seat.endpoint(replica))
                    .collect(),
                bench: self
                    .judge
                    .as_ref()
                    .and_then(|judge| Bench::of(judge, &wanted.revision, share_of_new)),
                next: AtomicUsize::new(0),
                seat,
            }))
        };
        Route {
            listen: table.listen,
            host: table.host.clone(),
            path: table.path.trim_end_matches('/').to_owned(),
            assets: table.assets.clone(),
            hold: Duration::from_millis(table.hold_ms),
            arms: table.revisions.iter().filter_map(arm).collect(),
        }
    }

    fn status(&self, with_evidence: bool) -> Option<ServiceStatus> {
        Some(ServiceStatus {
            table: self.in_force()?,
            revisions: self
                .revisions
                .iter()
                .map(|(name, revision)| revision.status(name))
                .collect(),
            trip: self.trip.as_ref().map(|kept| kept.trip.clone()),
            guard: self
                .judge
                .as_ref()
                .filter(|_| with_evidence)
                .map(|judge| judge.evidence()),
        })
    }
}

impl Revision {
    pub(crate) fn in_flight(&self) -> u64 {
        self.seats.iter().map(|seat| seat.in_flight()).sum()
    }

    fn status(&self, name: &str) -> RevisionStatus {
        let mut status = RevisionStatus {
            revision: name.to_owned(),
            ..RevisionStatus::default()
        };
        let mut times = [0; BUCKETS];
        for seat in &self.seats {
            status.in_flight += seat.in_flight();
            status.requests += seat.counts.requests.load(Ordering::Relaxed);
            status.errors += seat.counts.errors.load(Ordering::Relaxed);
            let last = signed(seat.counts.last_request_at_us.load(Ordering::Relaxed));
            status.last_request_at_us = status.last_request_at_us.max(last);
            seat.counts.add_times(&mut times);
        }
        status.times = Times::of(&times);
        status.p50_us = status.times.quantile_us(500).unwrap_or(0);
        status.p95_us = status.times.quantile_us(950).unwrap_or(0);
        status
    }
}

fn share_of(table: &ServiceTable, revision: &str) -> u32 {
    table
        .revisions
        .iter()
        .filter(|r| r.revision == revision)
        .map(|r| r.share)
        .sum()
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

/// Whether a table can be served at all.
fn check(table: &ServiceTable) -> Result<(), Refusal> {
    let unsound = |what: String| Err(Refusal::Unsound(what));
    if table.id.is_empty() || table.id.len() > disk::ID_BYTES {
        return unsound(format!("the id has 1 to {} bytes", disk::ID_BYTES));
    }
    if !table.path.starts_with('/') {
        return unsound(format!("the path `{}` does not begin with `/`", table.path));
    }
    let shares: u64 = table.revisions.iter().map(|r| u64::from(r.share)).sum();
    if shares != 0 && shares != u64::from(WHOLE) {
        return unsound(format!("the shares add up to {shares}, not to {WHOLE}"));
    }
    let mut names = BTreeSet::new();
    for revision in &table.revisions {
        if !names.insert(&revision.revision) {
            return unsound(format!("revision {} is there twice", revision.revision));
        }
        if revision.share > 0 && revision.replicas.is_empty() {
            return unsound(format!(
                "revision {} has a share and no replica",
                revision.revision
            ));
        }
        let ids: BTreeSet<_> = revision.replicas.iter().map(|replica| &replica.id).collect();
        if ids.len() != revision.replicas.len() {
            return unsound(format!(
                "two replicas of revision {} have one id",
                revision.revision
            ));
        }
    }
    let Some(armed) = &table.armed else { return Ok(()) };
    let back: u64 = armed.fallback.iter().map(|(_, share)| u64::from(*share)).sum();
    if back != 0 && back != u64::from(WHOLE) {
        return unsound(format!("the fallback's shares add up to {back}, not to {WHOLE}"));
    }
    for (name, share) in &armed.fallback {
        let known = table.revisions.iter().find(|r| r.revision == *name);
        if *share > 0 && known.is_none_or(|revision| revision.replicas.is_empty()) {
            return unsound(format!("the fallback revision {name} has no replica"));
        }
        if *name == armed.new && *share > 0 {
            return unsound(format!("the fallback gives a share to {name}, which is judged"));
        }
    }
    Ok(())
}

/// Makes the directories, and opens the file whose lock says that a proxy runs here.
fn prepare(directory: &Path) -> io::Result<File> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory.join("table"))?;
    File::options()
        .create(true)
        .append(true)
        .open(directory.join("lock"))
}

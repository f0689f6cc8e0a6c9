//! What one core has of one revision: what is in flight there, its counts, its replicas.
//!
//! Each core writes only its own seat, so that no counter is shared on the way of a request; the control thread
//! adds them up.

use crate::cut::Cuts;
use crate::upstream::Line;
use pilotage_api::proxy::Replica;
use pilotage_api::times::{BUCKETS, bucket};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// See the module. Aligned so that two cores' seats never share a cache line.
#[repr(align(128))]
pub(crate) struct Seat {
    pub(crate) service: Arc<str>,
    pub(crate) revision: Arc<str>,
    in_flight: AtomicU64,
    /// A drain waits: whoever leaves wakes it, and nobody keeps a connection.
    leaving: AtomicBool,
    left: Arc<Notify>,
    pub(crate) counts: Counts,
    /// Connections to its replicas and tunnels; a drain cuts them when its deadline passes.
    pub(crate) cuts: Cuts,
    replicas: Mutex<Vec<Arc<Endpoint>>>,
}

impl Seat {
    pub(crate) fn new(service: Arc<str>, revision: Arc<str>, left: Arc<Notify>) -> Self {
        Self {
            service,
            revision,
            in_flight: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            left,
            counts: Counts::default(),
            cuts: Cuts::default(),
            replicas: Mutex::default(),
        }
    }

    /// Called under the core's table lock, so that a change of the table cannot miss it.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if self.is_leaving() {
            self.left.notify_waiters();
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::SeqCst);
    }

    /// The endpoint of a replica; the same one for as long as its id and address stay.
    pub(crate) fn endpoint(&self, replica: &Replica) -> Arc<Endpoint> {
        let mut replicas = lock(&self.replicas);
        if let Some(known) = replicas
            .iter()
            .find(|e| *e.id == *replica.id && e.address == replica.address)
        {
            return Arc::clone(known);
        }
        let endpoint = Arc::new(Endpoint::new(replica));
        replicas.push(Arc::clone(&endpoint));
        endpoint
    }

    /// Forgets replicas that are not among `kept`, with their idle connections.
    pub(crate) fn keep_replicas(&self, kept: &[Replica]) {
        lock(&self.replicas).retain(|e| {
            let keep = kept
                .iter()
                .any(|replica| *replica.id == *e.id && replica.address == e.address);
            if !keep {
                e.retire();
            }
            keep
        });
    }

    pub(crate) fn close_idle(&self, older_than: Duration) {
        for endpoint in lock(&self.replicas).iter() {
            endpoint.close_idle(older_than);
        }
    }
}

/// Written by one core, read by the control thread.
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// When the last request was sent, in microseconds since 1970.
    pub(crate) last_request_at_us: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last_request_at_us: AtomicU64::new(0),
            times: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl Counts {
    pub(crate) fn sent(&self) {
        self.last_request_at_us.store(now_us(), Ordering::SeqCst);
    }

    pub(crate) fn count(&self, error: bool, time: Option<Duration>) {
        add_one(&self.requests);
        if error {
            add_one(&self.errors);
        }
        if let Some(time) = time
            && let Some(bucket) = self.times.get(bucket(micros(time)))
        {
            add_one(bucket);
        }
    }

    pub(crate) fn add_times(&self, sum: &mut [u64; BUCKETS]) {
        for (sum, count) in sum.iter_mut().zip(&self.times) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// One writer, so no locked instruction is needed.
pub(crate) fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// One replica as one core sees it, with the connections that wait for a next request.
pub(crate) struct Endpoint {
    pub(crate) id: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) in_flight: AtomicU64,
    /// Until when it is passed over because a connection failed, in milliseconds since 1970.
    down_until_ms: AtomicU64,
    retired: AtomicBool,
    pub(crate) idle: Mutex<Vec<Line>>,
}

/// How long a replica that refused a connection is passed over where another one is there.
const DOWN: Duration = Duration::from_secs(1);

impl Endpoint {
    fn new(replica: &Replica) -> Self {
        Self {
            id: Arc::from(replica.id.as_str()),
            address: replica.address,
            in_flight: AtomicU64::new(0),
            down_until_ms: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            idle: Mutex::default(),
        }
    }

    pub(crate) fn mark_down(&self) {
        self.down_until_ms
            .store((now_us() + micros(DOWN)) / 1000, Ordering::Relaxed);
        self.close_idle(Duration::ZERO);
    }

    pub(crate) fn is_down(&self) -> bool {
        // The clock is asked only after a failure.
        let until = self.down_until_ms.load(Ordering::Relaxed);
        until != 0 && until > now_us() / 1000
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.close_idle(Duration::ZERO);
    }

    fn close_idle(&self, older_than: Duration) {
        let mut idle = lock(&self.idle);
        idle.retain(|line| line.idle_since.elapsed() < older_than);
    }
}

pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Nothing behind our locks is left half changed by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotage_api::times::Times;

    #[test]
    fn a_quantile_is_found_among_many() {
        let counts = Counts::default();
        for us in 1..=1000 {
            counts.count(us % 10 == 0, Some(Duration::from_micros(us)));
        }
        let mut times = [0; BUCKETS];
        counts.add_times(&mut times);
        let times = Times::of(&times);
        assert!(times.quantile_us(500).unwrap().abs_diff(500) < 32);
        assert!(times.quantile_us(950).unwrap().abs_diff(950) < 60);
        assert_eq!(counts.errors.load(Ordering::Relaxed), 100);
    }
}

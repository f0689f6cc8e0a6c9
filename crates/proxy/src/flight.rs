//! A request's place in a revision: counted in flight from before it is sent until its answer has come whole.

use crate::core::Core;
use crate::probe;
use crate::seat::{Endpoint, Seat, now_us};
use crate::table::{Arm, Route};
use crate::upstream::{self, Line};
use http::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// See the module. Leaves by being dropped, whatever happens to the request.
pub(crate) struct Flight {
    pub(crate) arm: Arc<Arm>,
    pub(crate) route: Arc<Route>,
    endpoint: Option<Arc<Endpoint>>,
    /// The connection that it uses; back to the pool if the answer came whole.
    pub(crate) line: Option<Line>,
    /// Whether it counts, and is shown to the guard: probes and second choices are not.
    counted: bool,
    settled: bool,
    landed: bool,
    /// Shown to the guard when the body has come whole, or not.
    waits_for_body: Option<Duration>,
}

impl Flight {
    /// Must be called under the core's table lock.
    pub(crate) fn enter(arm: &Arc<Arm>, route: &Arc<Route>, counted: bool) -> Self {
        arm.seat.enter();
        Self {
            arm: Arc::clone(arm),
            route: Arc::clone(route),
            endpoint: None,
            line: None,
            counted,
            settled: false,
            landed: false,
            waits_for_body: None,
        }
    }

    pub(crate) fn seat(&self) -> &Seat {
        &self.arm.seat
    }

    pub(crate) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    pub(crate) fn set_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        self.leave_endpoint();
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        self.endpoint = Some(endpoint);
    }

    /// The head of the answer has come, or will not come. `waits` for the body before the guard is told.
    pub(crate) fn settle(&mut self, core: &Core, error: bool, time: Duration, waits: bool) {
        if self.settled || !self.counted {
            return;
        }
        self.settled = true;
        self.arm.seat.counts.count(error, Some(time));
        if waits && !error {
            self.waits_for_body = Some(time);
        } else {
            self.judge(core, error, time);
        }
    }

    /// The body came whole.
    pub(crate) fn whole(&mut self, core: &Core) {
        if let Some(time) = self.waits_for_body.take() {
            self.judge(core, false, time);
        }
    }

    /// The replica broke off within the body. A revision that is being cut is not to blame.
    pub(crate) fn broken(&mut self, core: &Core) {
        if self.counted && self.settled && !self.seat().is_leaving() {
            crate::seat::add_one(&self.arm.seat.counts.errors);
            if let Some(time) = self.waits_for_body.take() {
                self.judge(core, true, time);
            }
        }
    }

    /// The client went away. The guard learns only that an answer took at least as long as a long wait, which can
    /// only be in favour of the revision.
    pub(crate) fn abandoned(&mut self, core: &Core, waited: Duration) {
        if let Some(time) = self.waits_for_body.take() {
            self.judge(core, false, time);
        }
        if self.counted && !self.settled {
            self.settled = true;
            self.arm.seat.counts.count(false, None);
            if waited >= LONG {
                self.judge(core, false, waited);
            }
        }
    }

    fn judge(&self, core: &Core, error: bool, time: Duration) {
        let Some(bench) = &self.arm.bench else { return };
        let time_us = crate::seat::micros(time);
        if bench.observe(core.now_us(), error, time_us) {
            core.trip(&self.arm.seat.service, bench.deployment(), now_us());
        }
    }

    /// Says in an answer's head who gave it.
    pub(crate) fn name_in(&self, headers: &mut HeaderMap) {
        let replica = self.endpoint.as_ref().map_or("", |endpoint| &endpoint.id);
        for (name, value) in [
            (probe::REPLICA, replica),
            (probe::REVISION, &*self.seat().revision),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }

    /// Gives the connection to the next request.
    pub(crate) fn keep_connection(&mut self) {
        if let (Some(line), Some(endpoint)) = (self.line.take(), &self.endpoint) {
            upstream::keep(self.seat(), endpoint, line);
        }
    }

    /// Nothing of it is in flight any more; what is left is who answered.
    pub(crate) fn land(&mut self) {
        if !self.landed {
            self.landed = true;
            // An unfinished answer's connection is of no use to anybody.
            self.line = None;
            self.leave_endpoint();
            self.arm.seat.leave();
        }
    }

    fn leave_endpoint(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A wait that a client gave up after this is shown to the guard.
const LONG: Duration = Duration::from_secs(1);

impl Drop for Flight {
    fn drop(&mut self) {
        self.land();
    }
}

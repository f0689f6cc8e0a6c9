//! One request and its answer: routed, sent to a replica, and given back as it comes.
//!
//! A request is sent again only if no replica can have seen it: a connection that was refused, or a kept one that
//! closed before it took the request. One that may have been seen is sent again only if it has no body, is
//! idempotent, and a kept connection closed without a byte of an answer.

use crate::answer::{AnswerBody, Fault};
use crate::connection::Connection;
use crate::core::Core;
use crate::flight::Flight;
use crate::head::{self, Client};
use crate::plane::Wanted;
use crate::seat::lock;
use crate::upstream::{self, Line, Progress, RequestBody};
use crate::{probe, tunnel};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// What is known of a request until its answer has ended; then it is a line of the access log.
pub(crate) struct Exchange {
    connection: Arc<Connection>,
    flight: Option<Flight>,
    progress: Option<Arc<Progress>>,
    pub(crate) started: Instant,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// 0 until a head goes back.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    is_probe: bool,
    /// The answer is a stream of server-sent events.
    is_stream: bool,
}

/// What the log says of a client that went away before the answer.
const CLIENT_CLOSED: u16 = 499;
/// While it is held, a request that found no replica asks again after this, or when the table changes.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Replicas asked and tables followed by one request.
const ATTEMPTS: u32 = 64;

/// An answer's head, and how to go on when it changes the protocol.
struct Reply {
    response: Response<Incoming>,
    client: Option<OnUpgrade>,
}

/// A request that is ready for any replica, and where it has been.
struct Outgoing {
    request: Request<RequestBody>,
    wanted: Wanted,
    /// Nobody minds if it comes twice.
    repeatable: bool,
    upgrade: bool,
    /// Replicas of the revision that refused the connection.
    tried: Vec<SocketAddr>,
    /// Revisions that were asked in vain.
    passed: Vec<Arc<str>>,
}

enum Sent {
    Answered(Response<Incoming>),
    /// No replica has seen it, or nobody minds.
    Again(Request<RequestBody>),
}

pub(crate) async fn serve(connection: Arc<Connection>, request: Request<Incoming>) -> Response<AnswerBody> {
    let version = request.version();
    let core = Arc::clone(&connection.core);
    let mut exchange = Exchange::new(connection, &request);
    let mut response = match exchange.forward(request).await {
        Ok(reply) => exchange.answer(reply),
        Err(fault) => exchange.refuse(fault),
    };
    if core.is_stopping()
        && version != Version::HTTP_2
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Exchange {
    fn new(connection: Arc<Connection>, request: &Request<Incoming>) -> Self {
        connection.begin();
        Self {
            connection,
            flight: None,
            progress: None,
            started: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            status: 0,
            bytes: 0,
            is_probe: false,
            is_stream: false,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.connection.core
    }

    /// The client's address, as text.
    pub(crate) fn client(&self) -> &[u8] {
        self.connection.address.as_bytes()
    }

    pub(crate) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    /// Moves the bytes of the replica's connection, while the answer's body comes.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(line) = self.flight.as_mut().and_then(|flight| flight.line.as_mut()) {
            line.drive(cx);
        }
    }

    /// Bytes of the answer's body went by.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer came whole: the revision has one less in flight, and its connection takes a next request.
    pub(crate) fn complete(&mut self) {
        let Some(flight) = &mut self.flight else { return };
        flight.whole(&self.connection.core);
        // An answer may come before the upload has ended; then the connection is still busy.
        if self.progress.as_ref().is_none_or(|progress| progress.has_ended()) {
            flight.keep_connection();
        }
        flight.land();
    }

    /// The replica broke off within the body.
    pub(crate) fn broken(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.broken(&self.connection.core);
            flight.land();
        }
    }

    pub(crate) fn is_cut_stream(&self) -> bool {
        self.is_stream && self.flight().is_some_and(|flight| flight.seat().is_leaving())
    }

    async fn forward(&mut self, mut request: Request<Incoming>) -> Result<Reply, Fault> {
        let upgrade = request
            .headers()
            .contains_key(UPGRADE)
            .then(|| hyper::upgrade::on(&mut request));
        let mut outgoing = self.prepare(request)?;
        for _ in 0..ATTEMPTS {
            if self.flight.is_none() {
                self.board(&mut outgoing).await?;
            }
            let Some((line, is_reused)) = self.connect(&mut outgoing).await else {
                continue;
            };
            let asset = self.is_asset(&outgoing).then(|| copy_of(&outgoing.request));
            let spare = (is_reused && outgoing.repeatable).then(|| copy_of(&outgoing.request));
            match self.send(line, outgoing.request, spare).await? {
                Sent::Again(request) => outgoing.request = request,
                Sent::Answered(response) => match asset {
                    // An old page finds its files in the revision that it came from.
                    Some(copy) if response.status() == StatusCode::NOT_FOUND => {
                        outgoing.request = copy;
                        if !self.board_other(&mut outgoing) {
                            return Ok(Reply {
                                response,
                                client: None,
                            });
                        }
                    }
                    _ => {
                        return Ok(Reply {
                            response,
                            client: upgrade.filter(|_| outgoing.upgrade),
                        });
                    }
                },
            }
        }
        Err(Fault::Unreachable)
    }

    fn prepare(&mut self, request: Request<Incoming>) -> Result<Outgoing, Fault> {
        let (mut head, body) = request.into_parts();
        let host = head::host(&head)?;
        let probe = probe::take(&mut head.headers, &self.core().common.secret);
        self.is_probe = probe.is_some();
        let client = Client {
            address: &self.connection.address,
            is_local: self.connection.peer.ip().to_canonical().is_loopback(),
        };
        let upgrade = head::to_replica(&mut head, host, &client).is_some();
        head.extensions.clear();
        let body = if body.is_end_stream() {
            RequestBody::Empty
        } else {
            let progress = Arc::<Progress>::default();
            self.progress = Some(Arc::clone(&progress));
            RequestBody::Streaming { body, progress }
        };
        Ok(Outgoing {
            wanted: probe.unwrap_or(Wanted::Share),
            repeatable: head.method.is_idempotent() && matches!(body, RequestBody::Empty) && !upgrade,
            upgrade,
            tried: Vec::new(),
            passed: Vec::new(),
            request: Request::from_parts(head, body),
        })
    }

    /// Takes a place in a revision, and waits for one while the service holds its requests.
    async fn board(&mut self, outgoing: &mut Outgoing) -> Result<(), Fault> {
        let core = Arc::clone(self.core());
        let mut held = None;
        loop {
            let changed = core.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (fault, hold) = match self.take_place(outgoing) {
                Ok(flight) => {
                    self.flight = Some(flight);
                    outgoing.tried.clear();
                    return Ok(());
                }
                Err(fault) => fault,
            };
            let left = hold.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Err(if hold.is_zero() { fault } else { Fault::HeldTooLong });
            }
            if held.is_none() {
                held = Some(core.hold().ok_or(Fault::TooManyHeld)?);
            }
            let _ = timeout(left.min(ASK_AGAIN), changed).await;
            outgoing.passed.clear();
        }
    }

    /// Under the lock of the core's table: whoever changes it later finds this request counted. On failure, why and
    /// how long the service would hold the request.
    fn take_place(&self, outgoing: &Outgoing) -> Result<Flight, (Fault, Duration)> {
        let table = lock(&self.core().table);
        let host = outgoing
            .request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("");
        let route = table
            .find(self.connection.listener, host, self.uri.path())
            .ok_or((Fault::NoRoute, Duration::ZERO))?;
        match &outgoing.wanted {
            Wanted::Share if outgoing.passed.is_empty() => {
                let arm = route.draw().ok_or((Fault::NoShare, route.hold))?;
                Ok(Flight::enter(arm, route, !self.is_probe))
            }
            Wanted::Share => {
                let mut others = route.arms.iter().filter(|arm| arm.share > 0);
                let other = others.find(|arm| !outgoing.passed.contains(&arm.seat.revision));
                // What it does with a request that was meant for another is not its revision's record.
                Ok(Flight::enter(
                    other.ok_or((Fault::Unreachable, route.hold))?,
                    route,
                    false,
                ))
            }
            Wanted::Pinned { revision, replica } => {
                let mut arms = route
                    .arms
                    .iter()
                    .filter(|arm| arm.share > 0 || !arm.seat.is_leaving());
                let arm = arms.find(|arm| {
                    let fits = revision.as_ref().is_none_or(|name| **name == *arm.seat.revision);
                    fits && replica
                        .as_ref()
                        .is_none_or(|id| arm.replicas.iter().any(|e| **id == *e.id))
                });
                Ok(Flight::enter(
                    arm.ok_or((Fault::NoRevision, Duration::ZERO))?,
                    route,
                    false,
                ))
            }
        }
    }

    /// Another revision of the same service for an asset, whether it has a share or not.
    fn board_other(&mut self, outgoing: &mut Outgoing) -> bool {
        let Some(flight) = &mut self.flight else {
            return false;
        };
        outgoing.passed.push(Arc::clone(&flight.seat().revision));
        let table = lock(&self.connection.core.table);
        let host = outgoing
            .request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("");
        let Some(route) = table.find(self.connection.listener, host, self.uri.path()) else {
            return false;
        };
        let mut arms = route
            .arms
            .iter()
            .filter(|arm| arm.share > 0 || !arm.seat.is_leaving());
        let Some(arm) =
            arms.find(|arm| !arm.replicas.is_empty() && !outgoing.passed.contains(&arm.seat.revision))
        else {
            return false;
        };
        let other = Flight::enter(arm, route, false);
        drop(table);
        flight.settle(&self.connection.core, false, self.started.elapsed(), false);
        self.flight = Some(other);
        outgoing.tried.clear();
        true
    }

    fn is_asset(&self, outgoing: &Outgoing) -> bool {
        outgoing.repeatable
            && self
                .flight()
                .is_some_and(|flight| flight.route.is_asset(self.uri.path()))
    }

    /// A connection to a replica of the flight's revision. None when there was none to be had: then the next
    /// attempt asks another replica, another revision, or the table anew.
    async fn connect(&mut self, outgoing: &mut Outgoing) -> Option<(Line, bool)> {
        let core = Arc::clone(&self.connection.core);
        let flight = self.flight.as_mut()?;
        let pinned = match &outgoing.wanted {
            Wanted::Pinned {
                replica: Some(id), ..
            } => Some(id.as_str()),
            _ => None,
        };
        let endpoint = match pinned {
            None => flight.arm.choose(&outgoing.tried).cloned(),
            Some(id) => flight
                .arm
                .replicas
                .iter()
                .find(|e| *e.id == *id && !outgoing.tried.contains(&e.address))
                .cloned(),
        };
        let Some(endpoint) = endpoint else {
            // The whole revision refuses connections: nobody has seen the request, another revision may.
            flight.settle(&core, true, self.started.elapsed(), false);
            outgoing.passed.push(Arc::clone(&flight.seat().revision));
            if pinned.is_some() {
                outgoing.wanted = Wanted::Pinned {
                    revision: None,
                    replica: Some(String::new()),
                };
            }
            self.flight = None;
            return None;
        };
        flight.set_endpoint(Arc::clone(&endpoint));
        let seat = Arc::clone(&flight.arm.seat);
        let connection = if outgoing.upgrade {
            upstream::upgradeable(&core, &seat, &endpoint)
                .await
                .map(|line| (line, false))
        } else {
            upstream::line(&core, &seat, &endpoint, outgoing.repeatable).await
        };
        match connection {
            // Time has passed: the guard may have taken the revision back.
            Ok((_, false)) if self.is_stale(outgoing) => {
                self.flight = None;
                None
            }
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::debug!(replica = %endpoint.id, %error, "a replica refuses the connection");
                endpoint.mark_down();
                outgoing.tried.push(endpoint.address);
                if self.is_stale(outgoing) {
                    self.flight = None;
                }
                None
            }
        }
    }

    /// Whether the table has changed since the flight was entered.
    fn is_stale(&self, outgoing: &Outgoing) -> bool {
        let Some(flight) = &self.flight else { return false };
        let table = lock(&self.connection.core.table);
        let host = outgoing
            .request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("");
        let route = table.find(self.connection.listener, host, self.uri.path());
        outgoing.passed.is_empty() && route.is_none_or(|route| !Arc::ptr_eq(route, &flight.route))
    }

    async fn send(
        &mut self,
        mut line: Line,
        request: Request<RequestBody>,
        spare: Option<Request<RequestBody>>,
    ) -> Result<Sent, Fault> {
        let core = Arc::clone(&self.connection.core);
        let Some(flight) = &mut self.flight else {
            return Ok(Sent::Again(request));
        };
        flight.seat().counts.sent();
        let answer = line.send(request);
        tokio::pin!(answer);
        let mut answer = poll_fn(|cx| {
            if line.drive(cx) {
                // Only driving brings the answer, so that it need not wake this task a second time.
                answer.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            } else {
                answer.as_mut().poll(cx)
            }
        });
        let answer = loop {
            match timeout(core.common.limits.response, &mut answer).await {
                Ok(answer) => break Some(answer),
                // The time runs from the end of the upload.
                Err(_)
                    if self
                        .progress
                        .as_ref()
                        .is_some_and(|progress| !progress.has_ended()) => {}
                Err(_) => break None,
            }
        };
        let fault = match answer {
            Some(Ok(response)) => {
                flight.line = Some(line);
                return Ok(Sent::Answered(response));
            }
            Some(Err(mut error)) => {
                if let Some(request) = error.take_message() {
                    return Ok(Sent::Again(request));
                }
                if self
                    .progress
                    .as_ref()
                    .is_some_and(|progress| progress.is_broken())
                {
                    flight.abandoned(&core, self.started.elapsed());
                    return Err(Fault::ClientClosed);
                }
                match spare {
                    Some(spare) if !error.error().is_parse() && !flight.seat().is_leaving() => {
                        return Ok(Sent::Again(spare));
                    }
                    _ => Fault::Reset,
                }
            }
            None => Fault::TimedOut,
        };
        flight.settle(&core, true, self.started.elapsed(), false);
        Err(fault)
    }

    fn answer(mut self, reply: Reply) -> Response<AnswerBody> {
        let mut response = reply.response;
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let tunnel = match (is_upgrade, reply.client) {
            (true, Some(client)) => Some((client, hyper::upgrade::on(&mut response))),
            (true, None) => return self.refuse(Fault::Upgrade),
            (false, _) => None,
        };
        let (mut head, body) = response.into_parts();
        head.version = Version::HTTP_11;
        self.status = head.status.as_u16();
        let protocol = head.headers.get(UPGRADE).cloned();
        head::strip(&mut head.headers, false);
        self.is_stream = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if let Some(flight) = &mut self.flight {
            if self.is_probe {
                flight.name_in(&mut head.headers);
            }
            let waits = !body.is_end_stream() && !self.is_stream && !is_upgrade;
            let is_error = head.status.is_server_error();
            flight.settle(&self.connection.core, is_error, self.started.elapsed(), waits);
        }
        if let Some((client, replica)) = tunnel {
            head.headers
                .insert(CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.extend(protocol.map(|protocol| (UPGRADE, protocol)));
            tunnel::spawn(self, client, replica);
            return Response::from_parts(head, AnswerBody::Own(None));
        }
        // An upload may go on when its answer has come, and must not wait for a client that does not read.
        if let (Some(progress), Some(flight)) = (&self.progress, &mut self.flight)
            && !progress.has_ended()
        {
            flight.line.iter_mut().for_each(Line::detach);
        }
        if body.is_end_stream() {
            self.complete();
        }
        Response::from_parts(head, AnswerBody::Replica { body, exchange: self })
    }

    fn refuse(mut self, fault: Fault) -> Response<AnswerBody> {
        let (response, bytes) = fault.page();
        if fault != Fault::ClientClosed {
            self.status = response.status().as_u16();
            self.bytes = bytes;
        }
        response
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let core = &self.connection.core;
        if let Some(flight) = &mut self.flight {
            flight.abandoned(core, self.started.elapsed());
        }
        self.connection.end();
        if self.status == 0 {
            self.status = CLIENT_CLOSED;
        }
        core.log(self);
    }
}

/// A copy of a request that has no body.
fn copy_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

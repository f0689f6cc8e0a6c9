//! Wrong tokens and refused changes: how many are listened to, and what the audit log keeps of them.
//!
//! Owns the counts, in memory that is bounded. Who may do what is decided elsewhere; a right token is never refused
//! here, but at the form that signs people in, where nobody loses work by waiting a minute.

use crate::app::App;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// For so long wrong tokens are counted together, in milliseconds.
const WINDOW: i64 = 60_000;
const ADDRESSES_MAX: usize = 4096;
/// Wrong tokens in one window: at the form that signs people in, and with programs' requests.
const SIGN_IN: Limit = Limit {
    address: 10,
    all: 600,
};
const BEARER: Limit = Limit {
    address: 100,
    all: 6000,
};
/// Denied attempts that the audit log keeps in one window; that there were more is kept once.
const RECORDED: u32 = 120;
const SUBJECT_CHARS: usize = 200;

/// Where a connection comes from; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub IpAddr);

impl Peer {
    pub(crate) fn of(extensions: &axum::http::Extensions) -> IpAddr {
        extensions
            .get::<Self>()
            .map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0)
    }
}

/// Who turned out to ask; an extension of each request, filled by whoever finds out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker(Arc<OnceLock<String>>);

impl Asker {
    pub(crate) fn name(extensions: &axum::http::Extensions, actor: String) {
        if let Some(asker) = extensions.get::<Self>() {
            let _ = asker.0.set(actor);
        }
    }
}

/// Why a request was refused; an extension of the answer.
#[derive(Clone, Debug)]
pub(crate) struct Reason(pub String);

#[derive(Clone, Copy, Debug)]
struct Limit {
    address: u32,
    all: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    start: i64,
    count: u32,
}

impl Window {
    fn count(&mut self, now: i64) -> u32 {
        if self.count == 0 || now - self.start >= WINDOW {
            *self = Window { start: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Seconds until it is over, where it holds `limit` or more.
    fn full(&self, limit: u32, now: i64) -> Option<u64> {
        let left = self.start + WINDOW - now;
        let full = self.count >= limit && left > 0;
        full.then(|| u64::try_from(left).unwrap_or_default().div_ceil(1000))
    }
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, Window>,
    all: Window,
}

/// Wrong tokens, by where they come from.
#[derive(Debug)]
pub(crate) struct Wrong {
    limit: Limit,
    counts: Mutex<Counts>,
}

impl Wrong {
    fn new(limit: Limit) -> Self {
        let counts = Mutex::default();
        Self { limit, counts }
    }

    /// For how many seconds nothing more is tried from there; none if it may go on.
    pub(crate) fn wait(&self, peer: IpAddr, now: i64) -> Option<u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let one = counts.addresses.get(&network(peer)).copied().unwrap_or_default();
        one.full(self.limit.address, now)
            // Who sent none of them is not kept out by those who did.
            .or_else(|| counts.all.full(self.limit.all, now).filter(|_| one.count > 0))
    }

    pub(crate) fn count(&self, peer: IpAddr, now: i64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all.count(now);
        let peer = network(peer);
        if counts.addresses.len() >= ADDRESSES_MAX && !counts.addresses.contains_key(&peer) {
            counts.addresses.retain(|_, window| now - window.start < WINDOW);
            // So many at once are stopped by the limit of the whole server.
            if counts.addresses.len() >= ADDRESSES_MAX {
                return;
            }
        }
        counts.addresses.entry(peer).or_default().count(now);
    }
}

/// One household has a whole /64 of IPv6.
pub(crate) fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
        },
    }
}

#[derive(Debug)]
pub(crate) struct Attempts {
    pub sign_in: Wrong,
    pub bearer: Wrong,
    recorded: Mutex<Window>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            sign_in: Wrong::new(SIGN_IN),
            bearer: Wrong::new(BEARER),
            recorded: Mutex::default(),
        }
    }
}

/// Writes a denied attempt into the audit log, as long as there are not too many.
pub(crate) async fn denied(app: &App, actor: &str, subject: &str, detail: serde_json::Value) {
    let now = app.now();
    let count = {
        let mut window = app
            .attempts
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        window.count(now)
    };
    let (action, detail) = match count {
        ..=RECORDED => ("denied", detail.to_string()),
        n if n == RECORDED + 1 => ("denied.more", "{}".to_owned()),
        _ => return,
    };
    let actor = actor.to_owned();
    let subject: String = subject.chars().take(SUBJECT_CHARS).collect();
    let written = app
        .store
        .write(move |c| Box::pin(async move { c.add_audit(now, &actor, action, &subject, &detail).await }))
        .await;
    if let Err(error) = written {
        crate::error::log("a denied attempt is not in the audit log", &error);
    }
}

/// Each change that was asked for by somebody who may not make it is in the audit log.
pub(crate) async fn record(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let asked = (!reads).then(|| {
        let peer = Peer::of(request.extensions());
        (
            request.method().to_string(),
            request.uri().path().to_owned(),
            peer,
        )
    });
    let response = next.run(request).await;
    if response.status() == StatusCode::FORBIDDEN
        && let (Some((method, path, peer)), Some(actor)) = (asked, asker.0.get())
    {
        let reason = response
            .extensions()
            .get::<Reason>()
            .map(|reason| reason.0.as_str());
        let detail = serde_json::json!({"method": method, "reason": reason, "from": peer.to_string()});
        denied(&app, actor, &path, detail).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_window_that_is_full_opens_again_and_memory_is_bounded() {
        let wrong = Wrong::new(Limit {
            address: 3,
            all: 9000,
        });
        let one = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..3 {
            assert_eq!(wrong.wait(one, 1000), None);
            wrong.count(one, 1000);
        }
        assert_eq!(wrong.wait(one, 31_000), Some(30));
        assert_eq!(wrong.wait(one, 61_000), None, "the window is over");
        for n in 0..8000u32 {
            wrong.count(IpAddr::V4(Ipv4Addr::from_bits(n)), 100_000);
        }
        let held = wrong.counts.lock().expect("unpoisoned").addresses.len();
        assert!(held <= ADDRESSES_MAX, "{held}");
        for _ in 0..1000 {
            wrong.count(IpAddr::V4(Ipv4Addr::from_bits(77_777)), 100_000);
        }
    }

    /// Attack: keeping everybody out by sending wrong tokens from many addresses.
    #[test]
    fn wrong_tokens_from_many_places_keep_nobody_else_out() {
        let wrong = Wrong::new(Limit { address: 3, all: 9 });
        let at = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        for n in 0..9 {
            wrong.count(at(n), 1000);
        }
        assert_eq!(
            wrong.wait(at(0), 1000),
            Some(60),
            "the whole server has a limit too"
        );
        assert_eq!(wrong.wait(at(77), 1000), None, "who sent no wrong one");
    }

    #[test]
    fn neighbours_of_a_network_count_together() {
        let six = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(six("2001:db8::1"), six("2001:db8::ffff:2"));
        assert_ne!(six("2001:db8::1"), six("2001:db8:0:1::1"));
        assert_eq!(six("::ffff:10.0.0.1"), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    }
}

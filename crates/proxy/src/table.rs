//! The route table as one core reads it: listener, host, longest path prefix, then a revision by its share.
//!
//! Built anew at each change and swapped under the core's own lock; a request enters its seat under that lock.

use crate::judge::Bench;
use crate::seat::{Endpoint, Seat};
use pilotage_api::proxy::WHOLE;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Default)]
pub(crate) struct CoreTable {
    listeners: Vec<(SocketAddr, Vec<Arc<Route>>)>,
}

/// One service: the part of the address space it takes, and its revisions.
pub(crate) struct Route {
    pub(crate) listen: SocketAddr,
    pub(crate) host: Option<String>,
    /// Without a slash at its end; empty for everything.
    pub(crate) path: String,
    pub(crate) assets: Option<String>,
    pub(crate) hold: Duration,
    pub(crate) arms: Vec<Arc<Arm>>,
}

/// One revision of a service, as it stands in this version of the table.
pub(crate) struct Arm {
    pub(crate) seat: Arc<Seat>,
    /// In parts of [`WHOLE`].
    pub(crate) share: u32,
    pub(crate) replicas: Vec<Arc<Endpoint>>,
    pub(crate) bench: Option<Bench>,
    pub(crate) next: AtomicUsize,
}

impl CoreTable {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            let route = Arc::new(route);
            match table
                .listeners
                .iter_mut()
                .find(|(address, _)| *address == route.listen)
            {
                Some((_, routes)) => routes.push(route),
                None => table.listeners.push((route.listen, vec![route])),
            }
        }
        for (_, routes) in &mut table.listeners {
            // A named host goes before any host, a longer path before a shorter one.
            routes.sort_by_key(|route| (route.host.is_none(), usize::MAX - route.path.len()));
        }
        table
    }

    /// The service that takes a request. `host` may carry a port.
    pub(crate) fn find(&self, listener: SocketAddr, host: &str, path: &str) -> Option<&Arc<Route>> {
        let (_, routes) = self.listeners.iter().find(|(address, _)| *address == listener)?;
        routes.iter().find(|route| {
            let host_fits = route
                .host
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(without_port(host)));
            host_fits && is_under(path, &route.path)
        })
    }
}

impl Route {
    /// A revision by its share; none when no revision has one.
    pub(crate) fn draw(&self) -> Option<&Arc<Arm>> {
        if let [only] = self.arms.as_slice() {
            return (only.share > 0).then_some(only);
        }
        let mut ticket = random_below(WHOLE);
        self.arms.iter().find(|arm| {
            let drawn = ticket < arm.share;
            ticket = ticket.wrapping_sub(arm.share);
            drawn
        })
    }

    pub(crate) fn is_asset(&self, path: &str) -> bool {
        self.assets.as_ref().is_some_and(|assets| is_under(path, assets))
    }
}

impl Arm {
    /// The replica with the least in flight on this core, those first that take connections. `tried` is left out.
    pub(crate) fn choose(&self, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        if let [only] = self.replicas.as_slice() {
            return (!tried.contains(&only.address)).then_some(only);
        }
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.replicas.len().max(1);
        let (before, after) = self.replicas.split_at(start);
        after
            .iter()
            .chain(before)
            .filter(|endpoint| !tried.contains(&endpoint.address))
            .min_by_key(|endpoint| (endpoint.is_down(), endpoint.in_flight.load(Ordering::Relaxed)))
    }
}

/// Whether a path lies under a prefix, at whole segments: `/api` has `/api` and `/api/x`, not `/apis`.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']) || prefix.is_empty())
}

/// `example.org:80` → `example.org`, `[::1]:80` → `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// A generator of this thread (wyrand): the split needs independence, not secrecy.
fn random_below(bound: u32) -> u32 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0xa076_1d64_78bd_642f);
        state.set(next);
        let wide = u128::from(next) * u128::from(next ^ 0xe703_7ed1_a0b4_28db);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the upper and the lower half are mixed"
        )]
        let bits = ((wide >> 64) ^ wide) as u32;
        ((u64::from(bits) * u64::from(bound)) >> 32) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotage_api::proxy::Replica;
    use tokio::sync::Notify;

    fn route(host: Option<&str>, path: &str, shares: &[(&str, u32)]) -> Route {
        let id: Arc<str> = Arc::from(format!("{}{path}", host.unwrap_or("*")));
        let arms = shares.iter().map(|(name, share)| {
            let seat = Arc::new(Seat::new(
                Arc::clone(&id),
                Arc::from(*name),
                Arc::new(Notify::new()),
            ));
            let replicas = (1..=3).map(|n| {
                seat.endpoint(&Replica {
                    id: format!("{name}-{n}"),
                    address: ([127, 0, 0, 1], n).into(),
                })
            });
            Arc::new(Arm {
                replicas: replicas.collect(),
                seat,
                share: *share,
                bench: None,
                next: AtomicUsize::new(0),
            })
        });
        Route {
            listen: ([127, 0, 0, 1], 80).into(),
            host: host.map(str::to_owned),
            path: path.trim_end_matches('/').to_owned(),
            assets: None,
            hold: Duration::ZERO,
            arms: arms.collect(),
        }
    }

    #[test]
    fn the_longest_prefix_at_whole_segments_wins_and_a_named_host_before_any() {
        let table = CoreTable::new(vec![
            route(None, "/", &[]),
            route(None, "/api", &[]),
            route(None, "/api/v2/", &[]),
            route(Some("a.example"), "/", &[]),
            route(Some("a.example"), "/api", &[]),
        ]);
        let check = |host: &str, path: &str, expected: &str| {
            let found = table.find(([127, 0, 0, 1], 80).into(), host, path);
            let found = found.map(|r| format!("{}{}", r.host.as_deref().unwrap_or("*"), r.path));
            assert_eq!(found.as_deref(), Some(expected), "{host} {path}");
        };
        check("b.example", "/", "*");
        check("b.example", "/apis", "*");
        check("b.example", "/api", "*/api");
        check("b.example", "/api/v1", "*/api");
        check("b.example", "/api/v2", "*/api/v2");
        check("b.example", "/api/v2/x", "*/api/v2");
        check("b.example", "/api/v20", "*/api");
        check("A.Example:8080", "/api/v2", "a.example/api");
        check("a.example", "/x", "a.example");
        check("[::1]:80", "/x", "*");
        assert!(
            table
                .find(([127, 0, 0, 1], 81).into(), "a.example", "/")
                .is_none()
        );
    }

    #[test]
    fn requests_are_drawn_by_share() {
        let check = |shares: &[(&str, u32)]| {
            let route = route(None, "/", shares);
            let mut drawn = vec![0u32; shares.len()];
            for _ in 0..100_000 {
                let arm = route.draw().expect("a revision has a share");
                let index = shares.iter().position(|(name, _)| *name == &*arm.seat.revision);
                drawn[index.expect("known")] += 1;
            }
            for ((name, share), drawn) in shares.iter().zip(drawn) {
                // Five standard deviations of 100,000 draws are under 800.
                assert!(
                    drawn.abs_diff(share * 10) < 800,
                    "{name}: {drawn} of 100,000 at {share}"
                );
                assert!(*share > 0 || drawn == 0, "{name} has no share");
            }
        };
        check(&[("old", 9500), ("new", 500)]);
        check(&[("old", 5000), ("new", 5000)]);
        check(&[("old", 0), ("new", 10_000)]);
        check(&[("a", 3333), ("b", 3333), ("c", 3334), ("d", 0)]);
        assert!(route(None, "/", &[("a", 0)]).draw().is_none());
        assert!(route(None, "/", &[("a", 0), ("b", 0)]).draw().is_none());
    }

    #[test]
    fn the_least_busy_replica_that_takes_connections_is_chosen() {
        let route = route(None, "/", &[("a", 10_000)]);
        let arm = route.draw().expect("one revision");
        let seen: std::collections::BTreeSet<_> = (0..3)
            .map(|_| arm.choose(&[]).expect("free").id.to_string())
            .collect();
        assert_eq!(seen.len(), 3, "round robin while all are equal");
        arm.replicas[0].in_flight.store(1, Ordering::Relaxed);
        arm.replicas[1].mark_down();
        for _ in 0..4 {
            assert_eq!(&*arm.choose(&[]).expect("free").id, "a-3");
        }
        let third = arm.replicas[2].address;
        assert_eq!(&*arm.choose(&[third]).expect("free").id, "a-1");
        let all: Vec<_> = arm.replicas.iter().map(|e| e.address).collect();
        assert!(arm.choose(&all).is_none());
    }
}

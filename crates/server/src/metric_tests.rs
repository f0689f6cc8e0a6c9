use super::*;
use pilotage_api::proxy::{RevisionStatus, ServiceTable};
use pilotage_api::times::{BUCKETS, bucket};

/// What the proxy says of a service: of each revision, requests, errors, and how long each answer took, in milliseconds.
fn status(revisions: &[(&str, u64, u64, u64)]) -> Vec<ServiceStatus> {
    let revision = |(name, requests, errors, ms): &(&str, u64, u64, u64)| {
        let mut counts = [0; BUCKETS];
        counts[bucket(ms * 1000)] = *requests;
        RevisionStatus {
            revision: (*name).to_owned(),
            requests: *requests,
            errors: *errors,
            times: Times::of(&counts),
            ..RevisionStatus::default()
        }
    };
    vec![ServiceStatus {
        table: ServiceTable {
            id: "o/p/prod/uction/web".to_owned(),
            epoch: 1,
            listen: "127.0.0.1:1".parse().expect("an address"),
            host: None,
            path: "/".to_owned(),
            assets: None,
            revisions: Vec::new(),
            armed: None,
            hold_ms: 0,
        },
        revisions: revisions.iter().map(revision).collect(),
        trip: None,
        guard: None,
    }]
}

fn taken(cpu_ms: u64, mib: u64) -> Taken {
    let usage = Usage {
        cpu_us: cpu_ms * 1000,
        memory_bytes: mib << 20,
    };
    Taken::from([(
        "o/p/prod/uction/web".to_owned(),
        HashMap::from([("web-1".to_owned(), usage)]),
    )])
}

/// Windows of ten seconds that end, as text.
fn check(sampler: &mut Sampler, at: i64, services: &[ServiceStatus], taken: &Taken, expected: &[&str]) {
    let found = sampler.round(at, services, taken);
    let shown: Vec<String> = found
        .iter()
        .filter(|found| found.span == 10)
        .map(|found| {
            let ms = found
                .p95_us
                .map_or(-1, |us| i64::try_from(us / 1000).unwrap_or(-1));
            let cpu = found.cpu.map_or(-1, |cpu| i64::try_from(cpu).unwrap_or(-1));
            let memory = found.memory.map_or(0, |bytes| bytes >> 20);
            format!(
                "at {} seen {}: {} requests, {} errors, p95 {ms} ms, cpu {cpu}, {memory} MiB",
                found.at, found.seen, found.requests, found.errors
            )
        })
        .collect();
    assert_eq!(shown, expected, "at {at}");
}

#[test]
fn a_window_is_what_was_counted_between_its_ends() {
    let mut sampler = Sampler::default();
    assert!(sampler.is_due(0));
    check(
        &mut sampler,
        100_000,
        &status(&[("a", 50, 5, 16)]),
        &taken(1_000, 64),
        &[],
    );
    assert!(!sampler.is_due(109_999) && sampler.is_due(110_000));
    let next = status(&[("a", 150, 6, 16), ("b", 10, 1, 16)]);
    check(
        &mut sampler,
        110_200,
        &next,
        &taken(2_020, 96),
        &["at 100000 seen 10200: 110 requests, 2 errors, p95 16 ms, cpu 100, 64 MiB"],
    );
    // Nothing was asked: no answer, so no response time.
    let line = "at 110000 seen 9900: 0 requests, 0 errors, p95 -1 ms, cpu 0, 96 MiB";
    check(&mut sampler, 120_100, &next, &taken(2_020, 96), &[line]);
}

#[test]
fn what_was_not_seen_is_a_gap() {
    let mut sampler = Sampler::default();
    // It began to look too late in the window.
    check(
        &mut sampler,
        107_000,
        &status(&[("a", 50, 5, 16)]),
        &Taken::new(),
        &[],
    );
    check(
        &mut sampler,
        110_000,
        &status(&[("a", 60, 5, 16)]),
        &Taken::new(),
        &[],
    );
    // Nobody looked for half a minute.
    check(
        &mut sampler,
        140_000,
        &status(&[("a", 90, 5, 16)]),
        &Taken::new(),
        &[],
    );
    let line = "at 140000 seen 10000: 10 requests, 0 errors, p95 16 ms, cpu -1, 0 MiB";
    check(
        &mut sampler,
        150_000,
        &status(&[("a", 100, 5, 16)]),
        &Taken::new(),
        &[line],
    );
}

#[test]
fn a_proxy_that_was_started_again_counts_from_zero() {
    let mut sampler = Sampler::default();
    check(
        &mut sampler,
        100_000,
        &status(&[("a", 5_000, 50, 16)]),
        &taken(9_000, 1),
        &[],
    );
    let line = "at 100000 seen 10000: 70 requests, 7 errors, p95 16 ms, cpu 30, 1 MiB";
    check(
        &mut sampler,
        110_000,
        &status(&[("a", 70, 7, 16)]),
        &taken(300, 1),
        &[line],
    );
}

#[test]
fn ids_are_taken_apart_whatever_an_environment_is_called() {
    assert_eq!(
        parts("o/p/prod/uction/web"),
        Some(("o", "p", "prod/uction", "web"))
    );
    assert_eq!(parts("o/p/web"), None);
}

//! Tables: which changes are taken, what a restart finds, what the guard does.

mod support;

use http::StatusCode;
use pilotage_api::proxy::{Armed, Event, Request as Ask, Response as Answer, ServiceTable, Trip};
use std::time::Duration;
use support::{Backend, Running};

fn refused(running: &Running, table: &ServiceTable, reason: &str) {
    let answer = running.control().ask(&Ask::Apply {
        table: Box::new(table.clone()),
    });
    let Answer::Refused { reason: given } = &answer else {
        panic!("{answer:?}, not {reason}")
    };
    assert!(given.contains(reason), "{given:?} is not about {reason:?}");
}

/// `new` is judged against `old`, and traffic returns to `old`.
fn armed(deployment: i64) -> Armed {
    Armed {
        deployment,
        new: "new".into(),
        old: Some("old".into()),
        policy: serde_json::json!({}),
        fallback: vec![("old".into(), 10_000), ("new".into(), 0)],
    }
}

#[test]
fn an_older_table_is_refused_and_the_same_is_taken_again() {
    let backend = Backend::start("v1");
    let running = Running::start();
    let table = running.table(5, &[("v1", 10_000, &[&backend])]);
    running.apply(&table);
    running.apply(&table);
    let mut other = table.clone();
    other.hold_ms = 1;
    refused(&running, &other, "epoch 5 is not above 5");
    other.epoch = 4;
    refused(&running, &other, "epoch 4 is not above 5");
    let mut control = running.control();
    let id = table.id.clone();
    let answer = control.ask(&Ask::Remove {
        id: id.clone(),
        epoch: 5,
    });
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    for _ in 0..2 {
        let answer = control.ask(&Ask::Remove {
            id: id.clone(),
            epoch: 6,
        });
        assert!(matches!(answer, Answer::Done), "{answer:?}");
    }
    refused(&running, &table, "epoch 5 is not above 6");
    other.epoch = 7;
    running.apply(&other);
    assert_eq!(running.get("/").body, "v1");
}

#[test]
fn tables_that_cannot_be_served_are_refused() {
    let backend = Backend::start("v1");
    let running = Running::start();
    let check = |change: &dyn Fn(&mut ServiceTable), reason: &str| {
        let mut table = running.table(1, &[("old", 10_000, &[&backend]), ("new", 0, &[&backend])]);
        change(&mut table);
        refused(&running, &table, reason);
    };
    check(
        &|table| table.revisions[1].share = 1,
        "the shares add up to 10001",
    );
    check(
        &|table| table.revisions[0].share = 9_999,
        "the shares add up to 9999",
    );
    check(
        &|table| table.revisions[0].replicas.clear(),
        "revision old has a share and no replica",
    );
    check(
        &|table| table.revisions[1].revision = "old".into(),
        "revision old is there twice",
    );
    check(&|table| table.path = "api".into(), "does not begin with `/`");
    check(&|table| table.id = "x".repeat(201), "the id has 1 to 200 bytes");
    check(
        &|table| {
            let twice = table.revisions[0].replicas[0].clone();
            table.revisions[0].replicas.push(twice);
        },
        "two replicas",
    );
    let with = |change: &dyn Fn(&mut Armed), reason: &str| {
        check(
            &|table| {
                let mut armed = armed(1);
                change(&mut armed);
                table.armed = Some(armed);
            },
            reason,
        );
    };
    with(
        &|armed| armed.fallback = vec![("old".into(), 5_000)],
        "the fallback's shares add up to 5000",
    );
    with(
        &|armed| armed.fallback = vec![("gone".into(), 10_000)],
        "the fallback revision gone has no replica",
    );
    with(
        &|armed| armed.fallback = vec![("new".into(), 10_000)],
        "which is judged",
    );
    with(
        &|armed| armed.policy = serde_json::json!({"error_rate": "much"}),
        "policy is not understood",
    );
    let mut control = running.control();
    let answer = control.ask(&Ask::Drain {
        id: "x".into(),
        revision: "y".into(),
        deadline_ms: u64::MAX,
    });
    assert!(
        matches!(answer, Answer::Drained { finished: 0, cut: 0 }),
        "{answer:?}"
    );
}

#[test]
fn a_restart_serves_the_table_from_disk() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let mut running = Running::start();
    running.apply(&running.table(1, &[("old", 10_000, &[&old])]));
    let table = running.table(2, &[("old", 0, &[&old]), ("new", 10_000, &[&new])]);
    running.apply(&table);
    let secret =
        |running: &Running| std::fs::read(running.directory.path().join("probe-secret")).expect("made");
    let before = secret(&running);
    running.restart();
    assert_eq!(running.get("/").body, "new");
    assert_eq!(running.status().table, table);
    assert_eq!(secret(&running), before);
    refused(
        &running,
        &running.table(1, &[("old", 10_000, &[&old])]),
        "epoch 1 is not above 2",
    );
}

fn next_trip(watch: &mut support::Control) -> Trip {
    loop {
        if let Event::Trip(trip) = watch.event() {
            return trip;
        }
    }
}

/// A proxy whose service was just taken back from `new` by the guard, in deployment 7.
struct Tripped {
    running: Running,
    table: ServiceTable,
    trip: Trip,
    old: Backend,
    _new: Backend,
}

fn trip() -> Tripped {
    let (old, _new) = (
        Backend::start("old"),
        Backend::with_status("new", StatusCode::INTERNAL_SERVER_ERROR),
    );
    let running = Running::start();
    let mut table = running.table(1, &[("old", 0, &[&old]), ("new", 10_000, &[&_new])]);
    table.armed = Some(armed(7));
    running.apply(&table);
    let mut watch = running.control();
    watch.send(&Ask::Watch);
    // All answers fail: three are enough, and the next request already goes back.
    let statuses: Vec<u16> = (0..10).map(|_| running.get("/").status).collect();
    let failed = statuses.iter().filter(|status| **status == 500).count();
    assert!((3..=8).contains(&failed), "{statuses:?}");
    assert!(
        statuses[failed..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    let trip = next_trip(&mut watch);
    Tripped {
        running,
        table,
        trip,
        old,
        _new,
    }
}

#[test]
fn the_deciding_answer_takes_the_revision_back() {
    let Tripped {
        mut running,
        table,
        trip,
        old: _old,
        _new,
    } = trip();
    assert_eq!((trip.deployment, &*trip.revision), (7, "new"));
    assert!(
        trip.last_request_at_us > 0 && trip.last_request_at_us <= trip.decided_at_us,
        "{trip:?}"
    );
    let evidence: pilotage_guard::Evidence = serde_json::from_value(trip.verdict.clone()).expect("evidence");
    assert_eq!(pilotage_guard::replay(&evidence), evidence.verdict);
    assert!(evidence.verdict.is_some());

    let check = |running: &Running| {
        let status = running.status();
        let shares: Vec<_> = status
            .table
            .revisions
            .iter()
            .map(|r| (r.revision.as_str(), r.share))
            .collect();
        assert_eq!(shares, [("old", 10_000), ("new", 0)]);
        assert_eq!(status.trip.as_ref(), Some(&trip));
        assert_eq!(running.get("/").body, "old");
    };
    check(&running);
    running.restart();
    check(&running);
    // Nobody has acknowledged it: told again, to each who asks, until somebody has.
    let mut watch = running.control();
    watch.send(&Ask::Watch);
    assert_eq!(next_trip(&mut watch), trip);
    let answer = running.control().ask(&Ask::AcknowledgeTrip {
        id: table.id.clone(),
        deployment: 7,
    });
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    let mut watch = running.control();
    watch.send(&Ask::Watch);
    assert!(
        matches!(watch.event(), Event::Counts { .. }),
        "no trip comes first any more"
    );
}

#[test]
fn a_revision_that_was_taken_back_stays_refused() {
    let Tripped {
        mut running,
        table,
        old,
        _new,
        ..
    } = trip();
    running.restart();
    let mut again = table.clone();
    again.epoch = 2;
    refused(
        &running,
        &again,
        "revision new was taken back by the guard in deployment 7",
    );
    again.armed = None;
    refused(
        &running,
        &again,
        "revision new was taken back by the guard in deployment 7",
    );
    let back = running.table(3, &[("old", 10_000, &[&old])]);
    running.apply(&back);
    refused(&running, &again, "epoch 2 is not above 3");
    again.epoch = 4;
    refused(
        &running,
        &again,
        "revision new was taken back by the guard in deployment 7",
    );
    again.armed = Some(armed(8));
    running.apply(&again);
    assert_eq!(running.get("/").status, 500, "a newer deployment is judged anew");
}

#[test]
fn a_judged_good_revision_goes_on_and_its_guard_is_told() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let running = Running::start();
    let mut table = running.table(1, &[("old", 5_000, &[&old]), ("new", 5_000, &[&new])]);
    table.armed = Some(armed(7));
    running.apply(&table);
    let mut watch = running.control();
    watch.send(&Ask::Watch);
    (0..100).for_each(|_| drop(running.get("/")));
    let seen = loop {
        if let Event::Guard {
            id,
            deployment,
            evidence,
        } = watch.event()
        {
            assert_eq!((&*id, deployment), (&*table.id, 7));
            let evidence: pilotage_guard::Evidence = serde_json::from_value(evidence).expect("evidence");
            if evidence.new.answers + evidence.old.answers == 100 {
                break evidence;
            }
        }
    };
    assert!(seen.verdict.is_none());
    assert_eq!(running.status().trip, None);
    // The next step of the same deployment goes on with what was seen.
    table.epoch = 2;
    table.revisions[0].share = 2_500;
    table.revisions[1].share = 7_500;
    running.apply(&table);
    let guard = running.status().guard.expect("armed");
    let guard: pilotage_guard::Evidence = serde_json::from_value(guard).expect("evidence");
    assert_eq!(guard.new.answers + guard.old.answers, 100);
}

#[test]
fn nonsense_on_the_control_socket_is_answered() {
    use std::io::{BufRead as _, BufReader, Write as _};
    let running = Running::start();
    let path = running.directory.path().join("control");
    let mut stream = std::os::unix::net::UnixStream::connect(path).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    stream
        .write_all(b"{\"do\":\"fly\"}\n\xff\n{\"do\":\"status\"}\n")
        .expect("sent");
    let lines: Vec<String> = BufReader::new(stream)
        .lines()
        .take(3)
        .map(|line| line.expect("a line"))
        .collect();
    assert!(
        lines[0].contains("not a request") && lines[1].contains("not a request"),
        "{lines:?}"
    );
    assert_eq!(lines[2], "{\"answer\":\"status\",\"services\":[]}");
}

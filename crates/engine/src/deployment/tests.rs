use super::*;
use pilotage_guard::{Answer, Arm, Policy};

fn release(revision: &str) -> Release {
    Release {
        digest: format!("sha256:{revision}"),
        revision: revision.to_owned(),
        commit: revision.to_owned(),
    }
}

fn replica(service: &str, revision: &str, index: u32) -> Replica {
    let port = 9_000 + u16::try_from(index).unwrap() + if revision == "old" { 0 } else { 100 };
    let id = format!("o--p--production--{service}--{revision}--{index}");
    Replica {
        service: service.to_owned(),
        index,
        id,
        address: ([127, 0, 0, 1], port).into(),
    }
}

fn spec(strategy: Strategy, old: bool) -> DeploymentSpec {
    let service = |name: &str, path: &str| Service {
        name: name.to_owned(),
        replicas: 2,
        listen: ([127, 0, 0, 1], 8080).into(),
        host: None,
        path: path.to_owned(),
        assets: None,
        before: name == "backend",
        reversible: true,
        drain_ms: 5_000,
    };
    let replicas = ["backend", "frontend"]
        .iter()
        .flat_map(|s| (0..2).map(|i| replica(s, "old", i)))
        .collect();
    DeploymentSpec {
        id: 7,
        project: "o/p".to_owned(),
        environment: "production".to_owned(),
        kind: Kind::Deploy,
        new: release("new"),
        old: old.then(|| Standing {
            release: release("old"),
            replicas,
        }),
        plan: Plan {
            services: vec![service("backend", "/api"), service("frontend", "/")],
            strategy,
            guard: Guard {
                enabled: true,
                policy: Policy::default(),
                watch_ms: 60_000,
                quiet_ms: 5_000,
                undecided: Undecided::Continue,
            },
            verify_answers: 20,
        },
        actor: "ana".to_owned(),
        reason: "push to main".to_owned(),
        notes: Vec::new(),
    }
}

fn canary() -> Strategy {
    Strategy::Canary(vec![
        Step {
            share: 500,
            for_ms: 30_000,
        },
        Step {
            share: 5_000,
            for_ms: 60_000,
        },
    ])
}

/// A world in which every effect ends well, unless a script says otherwise.
struct World {
    deployment: Deployment,
    now: Timestamp,
    todo: Vec<DeploymentEffect>,
    /// Everything that was done, in short.
    done: Vec<String>,
    proven: bool,
    /// Effects whose short form contains this fail with that reason.
    failing: Option<(&'static str, &'static str)>,
}

impl World {
    fn new(spec: DeploymentSpec) -> Self {
        let (deployment, todo) = Deployment::start(Timestamp(0), spec);
        Self {
            deployment,
            now: Timestamp(0),
            todo,
            done: Vec::new(),
            proven: true,
            failing: None,
        }
    }

    fn event(&mut self, event: DeploymentEvent) {
        let effects = self.deployment.handle(self.now, event).unwrap();
        self.todo.extend(effects);
        // A crash between any two events loses nothing.
        let json = serde_json::to_string(&self.deployment).unwrap();
        self.deployment = serde_json::from_str(&json).unwrap();
    }

    /// Performs effects, and lets time pass when nothing is left to do, until it ends or `stop` says so.
    fn run_until(&mut self, stop: impl Fn(&Deployment) -> bool) {
        for _ in 0..5_000 {
            if stop(&self.deployment) {
                return;
            }
            if self.todo.is_empty() {
                let Some(deadline) = self.deployment.deadline() else {
                    return;
                };
                self.now = self.now.max(deadline);
                self.event(DeploymentEvent::Wake);
            } else {
                let effect = self.todo.remove(0);
                self.perform(effect);
            }
        }
        panic!("does not end: {:?}", self.deployment.view());
    }

    fn run(&mut self) -> String {
        self.run_until(|d| d.outcome().is_some());
        self.run_until(|_| false);
        self.deployment.view().state
    }

    fn perform(&mut self, effect: DeploymentEffect) {
        let short = short(&effect.kind);
        self.done.push(short.clone());
        let failure = self.failing.filter(|(what, _)| short.contains(what));
        let result = match (failure, effect.kind.clone()) {
            (Some((_, why)), _) => EffectResult::Failed { why: why.to_owned() },
            (_, EffectKind::AskRules) => EffectResult::Rules {
                answer: RulesAnswer::Granted {
                    digest: "sha256:new".to_owned(),
                },
            },
            (_, EffectKind::Start { service, index, .. }) => EffectResult::Started {
                address: replica(&service, "new", index).address,
            },
            (_, EffectKind::ReadGuard { .. }) => EffectResult::Guard {
                evidence: None,
                proven: self.proven,
                answers: 14,
                needed: 130,
            },
            (
                _,
                EffectKind::Verify {
                    revision, answers, ..
                },
            ) => EffectResult::Verified {
                what: format!("{revision} gave {answers} answers in a row"),
            },
            (_, EffectKind::Drain { .. }) => EffectResult::Drained { finished: 3, cut: 0 },
            _ => EffectResult::Done,
        };
        if effect.kind.is_awaited() {
            self.event(DeploymentEvent::Result {
                sequence: effect.sequence,
                result: result.clone(),
            });
            // Told twice, it changes nothing.
            self.event(DeploymentEvent::Result {
                sequence: effect.sequence,
                result,
            });
        }
    }
}

fn short(kind: &EffectKind) -> String {
    match kind {
        EffectKind::AskRules => "rules".to_owned(),
        EffectKind::Prepare { service } => format!("prepare {service}"),
        EffectKind::Before { service } => format!("before {service}"),
        EffectKind::Start { service, index, .. } => format!("start {service} {index}"),
        EffectKind::Apply { table } => {
            let shares: Vec<String> = table
                .revisions
                .iter()
                .map(|r| format!("{} {}", r.revision, r.share))
                .collect();
            let armed = if table.armed.is_some() { " armed" } else { "" };
            format!(
                "apply {} {}{armed}",
                table.id.rsplit('/').next().unwrap(),
                shares.join(" ")
            )
        }
        EffectKind::Remove { service, .. } => format!("remove {service}"),
        EffectKind::ReadGuard { service } => format!("guard {service}"),
        EffectKind::Verify { revision, .. } => format!("verify {revision}"),
        EffectKind::Drain {
            service, revision, ..
        } => format!("drain {service} {revision}"),
        EffectKind::Stop { replica } => format!("stop {}", replica.trim_start_matches("o--p--production--")),
        EffectKind::AcknowledgeTrip { service } => format!("acknowledge {service}"),
        EffectKind::MarkLive { release, proven, .. } => format!("live {} proven={proven}", release.revision),
        EffectKind::Quarantine { release, .. } => format!("quarantine {}", release.revision),
        EffectKind::Notify { what, .. } => format!("notify {what}"),
        EffectKind::Finished { outcome } => format!("finished {outcome:?}"),
    }
}

/// The deeds of a world in one text, from the first that begins with `from`.
#[track_caller]
fn check(world: &World, from: &str, expected: &str) {
    let start = world.done.iter().position(|d| d.starts_with(from)).unwrap_or(0);
    let got = world.done[start..].join("\n");
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    assert_eq!(got, expected.join("\n"));
}

fn trip(world: &World) -> DeploymentEvent {
    let mut guard = pilotage_guard::Guard::new(Policy::default());
    guard.set_share(500);
    let bad = Answer {
        at_us: 1,
        error: true,
        latency_us: 1_000,
    };
    while guard.observe(Arm::New, bad).is_none() {}
    let trip = pilotage_api::proxy::Trip {
        id: "o/p/production/backend".to_owned(),
        deployment: world.deployment.spec.id,
        revision: "new".to_owned(),
        decided_at_us: 1_000,
        last_request_at_us: 1_003,
        verdict: serde_json::to_value(guard.evidence()).unwrap(),
    };
    DeploymentEvent::Tripped {
        service: "backend".to_owned(),
        trip: Box::new(trip),
    }
}

#[test]
fn a_good_canary_goes_live_step_by_step() {
    let mut world = World::new(spec(canary(), true));
    assert_eq!(world.run(), "live");
    check(
        &world,
        "rules",
        "rules
         prepare backend
         prepare frontend
         before backend
         start backend 0
         start backend 1
         start frontend 0
         start frontend 1
         apply backend new 500 old 9500 armed
         apply frontend new 500 old 9500 armed
         guard backend
         guard frontend
         apply backend new 5000 old 5000 armed
         apply frontend new 5000 old 5000 armed
         guard backend
         guard frontend
         apply backend new 10000 old 0 armed
         apply frontend new 10000 old 0 armed
         verify new
         guard backend
         guard frontend
         apply backend new 10000 old 0
         apply frontend new 10000 old 0
         live new proven=true
         notify live
         drain backend old
         drain frontend old
         stop backend--old--0
         stop backend--old--1
         stop frontend--old--0
         stop frontend--old--1
         apply backend new 10000
         apply frontend new 10000
         finished Live",
    );
    assert_eq!(
        world.now,
        Timestamp(150_000),
        "the steps and the watch took their time"
    );
}

#[test]
fn rolling_takes_one_replica_at_a_time() {
    let mut world = World::new(spec(Strategy::Rolling, true));
    world.run_until(|d| matches!(d.stage, Stage::Verifying));
    check(
        &world,
        "start",
        "start backend 0
         start frontend 0
         apply backend new 5000 old 5000 armed
         apply frontend new 5000 old 5000 armed
         start backend 1
         start frontend 1
         apply backend new 10000 old 0 armed
         apply frontend new 10000 old 0 armed",
    );
}

#[test]
fn a_trip_goes_back_is_verified_and_quarantined() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Standing { .. }));
    let event = trip(&world);
    world.event(event.clone());
    world.event(event);
    assert_eq!(world.run(), "rolled back");
    check(
        &world,
        "acknowledge",
        "acknowledge backend
         apply frontend new 0 old 10000 armed
         apply backend new 0 old 10000 armed
         acknowledge backend
         verify old
         drain frontend new
         drain backend new
         guard backend
         guard frontend
         stop backend--new--1
         stop backend--new--2
         stop frontend--new--1
         stop frontend--new--2
         apply frontend old 10000
         apply backend old 10000
         quarantine new
         notify rolled-back
         finished RolledBack",
    );
    let view = world.deployment.view();
    assert_eq!(
        view.reason.as_deref(),
        Some("the new backend failed 3 of 3 answers (1 in 1,468)")
    );
    assert_eq!(view.services[0].returned_in_us, Some(3));
}

#[test]
fn a_crash_at_start_never_gets_a_request() {
    let mut world = World::new(spec(canary(), true));
    world.failing = Some(("start backend 1", "exited with 1: ImportError"));
    assert_eq!(world.run(), "rolled back");
    assert!(
        !world.done.iter().any(|d| d.starts_with("apply")),
        "{:?}",
        world.done
    );
    let reason = world.deployment.view().reason.unwrap();
    assert_eq!(
        reason,
        "replica 2 of backend did not get healthy: exited with 1: ImportError"
    );
}

#[test]
fn a_first_deployment_that_fails_is_stopped_and_taken_off() {
    let mut world = World::new(spec(Strategy::Rolling, false));
    world.failing = Some(("verify new", "GET / answered 500"));
    assert_eq!(world.run(), "aborted");
    check(
        &world,
        "verify",
        "verify new
         remove frontend
         remove backend
         drain frontend new
         drain backend new
         stop backend--new--1
         stop backend--new--2
         stop frontend--new--1
         stop frontend--new--2
         remove frontend
         remove backend
         quarantine new
         notify aborted
         finished Aborted",
    );
}

#[test]
fn an_abort_wins_while_results_are_out() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Starting { .. }));
    world.event(DeploymentEvent::Abort {
        by: "ana".into(),
        reason: "wrong commit".into(),
        quarantine: false,
    });
    assert_eq!(world.run(), "rolled back");
    assert!(!world.done.contains(&"quarantine new".to_owned()));
    assert_eq!(
        world.deployment.handle(
            world.now,
            DeploymentEvent::Abort {
                by: "ana".into(),
                reason: "again".into(),
                quarantine: false
            }
        ),
        Err(IllegalEvent::Ended(7))
    );
}

#[test]
fn a_way_back_that_fails_stops_nothing_and_asks() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Watching { .. }));
    world.failing = Some(("verify old", "answered by nobody"));
    let event = trip(&world);
    world.event(event);
    assert_eq!(world.run(), "needs attention");
    assert!(
        !world.done.iter().any(|d| d.starts_with("stop")),
        "{:?}",
        world.done
    );
}

#[test]
fn an_outage_blames_nobody() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Standing { .. }));
    let DeploymentEvent::Tripped { service, mut trip } = trip(&world) else {
        unreachable!()
    };
    let mut guard = pilotage_guard::Guard::new(Policy::default());
    let bad = Answer {
        at_us: 1,
        error: true,
        latency_us: 1_000,
    };
    for _ in 0..10 {
        guard.observe(Arm::Old, bad);
    }
    while guard.observe(Arm::New, bad).is_none() {}
    trip.verdict = serde_json::to_value(guard.evidence()).unwrap();
    world.event(DeploymentEvent::Tripped { service, trip });
    assert_eq!(world.run(), "needs attention");
    assert!(!world.done.iter().any(|d| d.starts_with("quarantine")));
}

#[test]
fn too_few_answers_follow_the_policy() {
    for (undecided, state, proven) in [
        (Undecided::Continue, "live", "live new proven=false"),
        (Undecided::RollBack, "rolled back", "finished RolledBack"),
        (Undecided::Hold, "rolled back", "finished RolledBack"),
    ] {
        let mut spec = spec(canary(), true);
        spec.plan.guard.undecided = undecided;
        let mut world = World::new(spec);
        world.proven = false;
        assert_eq!(world.run(), state, "{undecided:?}");
        assert!(world.done.contains(&proven.to_owned()), "{:?}", world.done);
    }
}

#[test]
fn a_freeze_stops_steps_forward_but_not_back() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Standing { .. }));
    world.event(DeploymentEvent::Freeze {
        reason: Some("weekend".into()),
    });
    assert_eq!(world.deployment.deadline(), None);
    let event = trip(&world);
    world.event(event);
    assert_eq!(world.run(), "rolled back");
}

#[test]
fn a_rollback_goes_to_all_traffic_at_once_and_is_verified() {
    let mut spec = spec(canary(), true);
    spec.kind = Kind::Rollback;
    let mut world = World::new(spec);
    assert_eq!(world.run(), "live");
    check(
        &world,
        "start frontend 1",
        "start frontend 1
         apply backend new 10000 old 0
         apply frontend new 10000 old 0
         verify new
         apply backend new 10000 old 0
         apply frontend new 10000 old 0
         live new proven=false
         notify live
         drain backend old
         drain frontend old
         stop backend--old--0
         stop backend--old--1
         stop frontend--old--0
         stop frontend--old--1
         apply backend new 10000
         apply frontend new 10000
         finished Live",
    );
}

#[test]
fn approvals_are_for_one_digest() {
    let mut world = World::new(spec(canary(), true));
    world.todo.clear();
    world.event(DeploymentEvent::Rules {
        answer: RulesAnswer::Waiting {
            reason: "waits for ana".into(),
        },
    });
    assert_eq!(world.deployment.view().state, "waiting");
    world.event(DeploymentEvent::Rules {
        answer: RulesAnswer::Granted {
            digest: "sha256:other".into(),
        },
    });
    assert_eq!(world.deployment.view().state, "aborted");
}

#[test]
fn a_service_that_is_gone_gets_no_requests_before_its_replicas_stop() {
    let mut spec = spec(Strategy::BlueGreen, true);
    spec.plan.services.retain(|service| service.name == "frontend");
    let mut world = World::new(spec);
    assert_eq!(world.run(), "live");
    check(
        &world,
        "apply frontend new 10000 old 0",
        "apply frontend new 10000 old 0 armed
         verify new
         guard frontend
         apply frontend new 10000 old 0
         remove backend
         live new proven=true
         notify live
         drain frontend old
         drain backend old
         stop backend--old--0
         stop backend--old--1
         stop frontend--old--0
         stop frontend--old--1
         apply frontend new 10000
         finished Live",
    );
}

/// Until the guard is let go of, and from there on by hand.
fn about_to_be_live(spec: DeploymentSpec) -> World {
    let mut world = World::new(spec);
    let disarm = Stage::Settling { step: Settle::Disarm };
    world.run_until(|d| d.stage == disarm);
    world
}

#[test]
fn a_trip_that_is_faster_than_the_last_table_takes_it_back() {
    let mut world = about_to_be_live(spec(canary(), true));
    world.failing = Some(("apply backend new 10000 old 0", "new tripped in deployment 7"));
    assert_eq!(world.run(), "rolled back");
    assert!(
        !world
            .done
            .iter()
            .any(|d| d.starts_with("live") || d.contains("--old--")),
        "{:?}",
        world.done
    );
    let mut world = about_to_be_live(spec(canary(), true));
    let event = trip(&world);
    world.event(event);
    assert_eq!(world.run(), "rolled back");
    assert!(
        world.done.contains(&"quarantine new".to_owned()),
        "{:?}",
        world.done
    );
}

#[test]
fn a_trip_on_the_way_back_is_worth_a_quarantine() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Standing { .. }));
    let event = trip(&world);
    world.event(DeploymentEvent::Superseded { by: 8 });
    world.event(event);
    assert_eq!(world.run(), "rolled back");
    assert!(
        world.done.contains(&"quarantine new".to_owned()),
        "{:?}",
        world.done
    );
}

#[test]
fn a_verdict_that_is_read_takes_it_back_like_a_trip() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Judging { .. }));
    let DeploymentEvent::Tripped { trip, .. } = trip(&world) else {
        unreachable!()
    };
    let evidence = serde_json::from_value(trip.verdict).unwrap();
    let (sequence, _) = world.deployment.pending.first_key_value().unwrap();
    let result = EffectResult::Guard {
        evidence,
        proven: false,
        answers: 3,
        needed: 122,
    };
    world.event(DeploymentEvent::Result {
        sequence: *sequence,
        result,
    });
    world
        .todo
        .retain(|effect| !matches!(effect.kind, EffectKind::ReadGuard { .. }));
    assert_eq!(world.run(), "rolled back");
    assert!(
        world.done.contains(&"quarantine new".to_owned()),
        "{:?}",
        world.done
    );
}

#[test]
fn a_grant_begins_nothing_in_a_freeze() {
    let mut world = World::new(spec(canary(), true));
    world.event(DeploymentEvent::Freeze {
        reason: Some("weekend".into()),
    });
    world.run_until(|_| false);
    assert_eq!(
        (world.done.as_slice(), world.deployment.view().state.as_str()),
        (&["rules".to_owned()][..], "pending")
    );
    world.event(DeploymentEvent::Freeze { reason: None });
    assert_eq!(world.run(), "live");
}

/// Two services of 14 answers each: the sum says nothing of the one that has too few.
#[test]
fn what_is_not_proven_is_said_of_its_service() {
    let mut world = World::new(spec(canary(), true));
    world.proven = false;
    assert_eq!(world.run(), "live");
    assert_eq!(
        world.deployment.live_text(),
        "live, not proven: 14 answers of backend seen, about 130 needed"
    );
    world = World::new(spec(canary(), true));
    assert_eq!(world.run(), "live");
    assert_eq!(world.deployment.live_text(), "live: proven over 28 answers");
}

#[test]
fn however_short_the_watch_the_guard_is_asked() {
    let mut spec = spec(Strategy::BlueGreen, true);
    spec.plan.guard.watch_ms = 0;
    spec.plan.guard.undecided = Undecided::RollBack;
    let mut world = World::new(spec);
    world.proven = false;
    assert_eq!(world.run(), "rolled back");
}

#[test]
fn a_watch_that_ends_early_keeps_to_its_policy() {
    for (undecided, state) in [
        (Undecided::Continue, "live"),
        (Undecided::RollBack, "rolled back"),
    ] {
        let mut spec = spec(Strategy::BlueGreen, true);
        spec.plan.guard.undecided = undecided;
        let mut world = World::new(spec);
        world.run_until(|d| matches!(d.stage, Stage::Watching { .. }));
        world.event(DeploymentEvent::Superseded { by: 8 });
        assert_eq!(world.run(), state, "{undecided:?}");
    }
}

#[test]
fn what_is_not_let_go_of_is_not_stopped() {
    let mut world = World::new(spec(canary(), true));
    world.failing = Some(("drain backend old", "the proxy does not answer"));
    assert_eq!(world.run(), "live");
    let stopped: Vec<_> = world.done.iter().filter(|d| d.starts_with("stop")).collect();
    assert_eq!(stopped, ["stop frontend--old--0", "stop frontend--old--1"]);
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Standing { .. }));
    world.failing = Some(("drain backend new", "the proxy does not answer"));
    let event = trip(&world);
    world.event(event);
    assert_eq!(world.run(), "rolled back");
    assert!(
        !world.done.iter().any(|d| d.starts_with("stop backend")),
        "{:?}",
        world.done
    );
}

#[test]
fn three_replicas_roll_in_three_steps() {
    let mut spec = spec(Strategy::Rolling, true);
    spec.plan
        .services
        .iter_mut()
        .for_each(|service| service.replicas = 3);
    let world = World::new(spec);
    let shares: Vec<u32> = world.deployment.steps().iter().map(|step| step.share).collect();
    assert_eq!(shares, [3_333, 6_666, 10_000]);
}

#[test]
fn a_death_that_is_told_before_the_start_is_not_forgotten() {
    let mut world = World::new(spec(canary(), true));
    world.run_until(|d| matches!(d.stage, Stage::Starting { .. }));
    let replica = world.deployment.asked[0].clone();
    world.event(DeploymentEvent::ReplicaDied {
        replica,
        why: "exited with 1".into(),
    });
    assert_eq!(world.run(), "rolled back");
    assert!(
        !world.done.iter().any(|d| d.starts_with("apply")),
        "{:?}",
        world.done
    );
}

//! What is deployed: random releases, with their faults, and random plans.

use crate::random::Random;
use crate::target::Manner;
use pilotage_engine::deployment::{Guard, Plan, Service, Step, Strategy, Undecided};
use pilotage_guard::Policy;

const NAMES: [&str; 3] = ["db", "api", "web"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Its replicas end at the start.
    Crash,
    /// All, or a third, of its answers fail.
    Broken,
    Errors,
    Slow,
    /// All its answers fail, but only later on.
    Late,
    /// It answers, and fails the checks.
    Checks,
}

/// A release as it was built.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) digest: String,
    pub(crate) fault: Fault,
    pub(crate) plan: Plan,
}

impl Made {
    pub(crate) fn new(number: usize, random: &mut Random, calm: bool) -> Self {
        let fault = match random.below(20) {
            _ if calm => Fault::None,
            0 => Fault::Crash,
            1 | 2 => Fault::Broken,
            3 | 4 => Fault::Errors,
            5 => Fault::Slow,
            6 | 7 => Fault::Late,
            8 => Fault::Checks,
            _ => Fault::None,
        };
        Self {
            digest: format!("sha256:{number}"),
            fault,
            plan: plan(random),
        }
    }

    /// How it answers `age` milliseconds after its first replica started.
    pub(crate) fn manner(&self, age: i64) -> Manner {
        let good = Manner { errors: 0, slow: 1 };
        match self.fault {
            Fault::Broken => Manner { errors: 100, ..good },
            Fault::Errors => Manner { errors: 35, ..good },
            Fault::Slow => Manner { slow: 4, ..good },
            Fault::Late if age > 4_000 => Manner { errors: 100, ..good },
            _ => good,
        }
    }
}

fn plan(random: &mut Random) -> Plan {
    // Services come and go with releases.
    let mut names: Vec<&str> = NAMES.into_iter().filter(|_| random.percent(60)).collect();
    if names.is_empty() {
        names.push("web");
    }
    let services = names.into_iter().map(|name| Service {
        name: name.to_owned(),
        replicas: 1 + u32::try_from(random.below(4)).unwrap(),
        listen: ([127, 0, 0, 1], 8080).into(),
        host: None,
        path: format!("/{name}"),
        assets: None,
        before: random.percent(30),
        reversible: true,
        drain_ms: 200 + u64::try_from(random.below(2_000)).unwrap(),
    });
    let services = services.collect();
    let millis = |random: &mut Random, most| u64::try_from(random.below(most)).unwrap();
    let strategy = match random.below(3) {
        0 => Strategy::Rolling,
        1 => Strategy::BlueGreen,
        _ => {
            let mut steps = Vec::new();
            for share in [500, 2_500, 5_000] {
                if random.percent(70) {
                    let for_ms = millis(random, 6_000);
                    steps.push(Step { share, for_ms });
                }
            }
            Strategy::Canary(steps)
        }
    };
    let watch_ms = random.pick(&[0, 3_000, 8_000, 15_000]);
    Plan {
        services,
        strategy,
        guard: Guard {
            enabled: random.percent(85),
            policy: Policy::default(),
            watch_ms,
            quiet_ms: millis(random, 3_000),
            undecided: random.pick(&[
                Undecided::Continue,
                Undecided::Continue,
                Undecided::Hold,
                Undecided::RollBack,
            ]),
        },
        verify_answers: 20,
    }
}

/// The longest that a deployment by this plan may take when nothing goes wrong any more, in milliseconds.
pub(crate) fn longest(plan: &Plan) -> i64 {
    let steps: u64 = match &plan.strategy {
        Strategy::Canary(steps) => steps.iter().map(|step| step.for_ms * 11 + 2_000).sum(),
        Strategy::Rolling | Strategy::BlueGreen => 0,
    };
    let drains: u64 = plan.services.iter().map(|s| s.drain_ms).sum();
    let guard = plan.guard.watch_ms * 11 + plan.guard.quiet_ms;
    i64::try_from(steps + drains * 2 + guard).unwrap() + 40_000
}

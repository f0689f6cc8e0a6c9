//! False alarms and power of the shipped code over simulated traffic. Seeds are fixed: the same figures every time.

use pilotage_guard::Policy;
use pilotage_guard::simulate::{Fault, Scenario, Summary, Weather, summarise};

fn at_share(share: u32) -> Scenario {
    Scenario {
        policy: Policy::default(),
        rate: 100.0,
        steps: vec![(share, 120.0)],
        median_us: 20_000.0,
        sigma: 0.5,
        correlation: 0.0,
        base_errors: 0.01,
        new: Fault::NONE,
        both: Weather::Calm,
    }
}

/// A whole deployment with its watch.
fn whole() -> Scenario {
    Scenario {
        steps: vec![(500, 30.0), (2_500, 60.0), (5_000, 60.0), (10_000, 120.0)],
        ..at_share(0)
    }
}

/// Plays it and says how it went: `taken back / outages of plays, answers that met the fault (median)`.
#[track_caller]
fn check(scenario: &Scenario, plays: u32, expect: impl Fn(&Summary) -> bool) {
    let summary = summarise(scenario, 1, plays);
    assert!(expect(&summary), "seeds 1..={plays}: {summary:?}");
}

#[test]
fn faults_are_found_within_the_promised_number_of_answers() {
    let errors = |share, errors| Scenario {
        new: Fault {
            errors,
            ..Fault::NONE
        },
        ..at_share(share)
    };
    let slow = |sigma| Scenario {
        sigma,
        new: Fault {
            slower: 2.0,
            ..Fault::NONE
        },
        ..at_share(1_000)
    };
    let found = |most: u64| {
        move |s: &Summary| s.taken_back + s.outages == s.plays && s.outages <= 2 && s.answers_p50 <= most
    };
    check(&errors(1_000, 1.0), 100, found(3));
    check(&errors(1_000, 0.2), 100, found(25));
    check(&errors(5_000, 0.2), 100, found(50));
    check(&errors(1_000, 0.1), 100, found(65));
    check(&slow(0.5), 400, found(80));
    check(&slow(1.0), 400, found(300));
}

#[test]
fn a_fault_after_a_long_good_phase_is_found() {
    let late = |fault| Scenario {
        new: Fault {
            after: 2_000,
            ..fault
        },
        ..at_share(5_000)
    };
    let found = |most: u64| move |s: &Summary| s.taken_back == s.plays && s.answers_p95 <= most;
    check(
        &late(Fault {
            errors: 1.0,
            ..Fault::NONE
        }),
        40,
        found(8),
    );
    check(
        &late(Fault {
            errors: 0.2,
            ..Fault::NONE
        }),
        40,
        found(250),
    );
}

#[test]
fn good_releases_stay() {
    let stays = |s: &Summary| s.taken_back + s.outages == 0;
    check(&whole(), 40, stays);
    check(
        &Scenario {
            sigma: 1.0,
            ..whole()
        },
        40,
        stays,
    );
    check(
        &Scenario {
            base_errors: 0.04,
            ..whole()
        },
        40,
        stays,
    );
    check(
        &Scenario {
            correlation: 0.9,
            ..whole()
        },
        40,
        stays,
    );
    check(
        &Scenario {
            correlation: 0.98,
            ..whole()
        },
        40,
        stays,
    );
    check(
        &Scenario {
            both: Weather::Ramp { load: 3.0 },
            ..whole()
        },
        20,
        stays,
    );
    check(
        &Scenario {
            both: Weather::Ramp { load: 8.0 },
            ..whole()
        },
        10,
        stays,
    );
}

#[test]
fn a_release_just_within_its_limits_is_rarely_taken_back() {
    // The bound is 1 % for all tests together; 8 of 400 is three standard errors above it.
    let rarely = |s: &Summary| s.taken_back + s.outages <= 8;
    check(
        &Scenario {
            base_errors: 0.05,
            steps: vec![(1_000, 30.0)],
            ..at_share(0)
        },
        400,
        rarely,
    );
    let slower = Fault {
        slower: 1.5,
        ..Fault::NONE
    };
    check(
        &Scenario {
            new: slower,
            steps: vec![(1_000, 30.0)],
            ..at_share(0)
        },
        400,
        rarely,
    );
}

#[test]
fn a_shared_outage_blames_nobody() {
    let blameless = |s: &Summary| s.taken_back == 0;
    let outage = |at_s, errors| Scenario {
        both: Weather::Outage { at_s, errors },
        ..whole()
    };
    check(&outage(60.0, 0.15), 40, blameless);
    check(&outage(60.0, 0.5), 40, blameless);
    check(&outage(10.0, 1.0), 40, blameless);
    check(&outage(200.0, 1.0), 40, blameless);
    let bursts = Weather::Bursts {
        errors: 0.3,
        every_s: 60.0,
        length_s: 2.0,
    };
    check(
        &Scenario {
            both: bursts,
            ..whole()
        },
        40,
        blameless,
    );
}

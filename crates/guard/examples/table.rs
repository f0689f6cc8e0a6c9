//! Prints the guard's figures: false alarms and power over simulated traffic.
use pilotage_guard::Policy;
use pilotage_guard::simulate::{Fault, Scenario, Weather, summarise};

fn scenario(share: u32) -> Scenario {
    Scenario {
        policy: Policy::default(),
        rate: 100.0,
        steps: vec![(share, 600.0)],
        median_us: 20_000.0,
        sigma: 0.5,
        correlation: 0.0,
        base_errors: 0.01,
        new: Fault::NONE,
        both: Weather::Calm,
    }
}

#[expect(clippy::print_stdout, reason = "an example prints")]
fn main() {
    let plays = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(200);
    let whole = |base: Scenario| Scenario {
        steps: vec![(500, 30.0), (2500, 60.0), (5000, 60.0), (10_000, 300.0)],
        ..base
    };
    let cases: Vec<(&str, Scenario)> = vec![
        (
            "all fail, 10 %",
            Scenario {
                new: Fault {
                    errors: 1.0,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "all fail after 2000",
            Scenario {
                new: Fault {
                    errors: 1.0,
                    after: 2000,
                    ..Fault::NONE
                },
                ..scenario(5000)
            },
        ),
        (
            "20 % at 10 %",
            Scenario {
                new: Fault {
                    errors: 0.2,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "20 % at 50 %",
            Scenario {
                new: Fault {
                    errors: 0.2,
                    ..Fault::NONE
                },
                ..scenario(5000)
            },
        ),
        (
            "10 % at 10 %",
            Scenario {
                new: Fault {
                    errors: 0.1,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "x2 s.5 10 %",
            Scenario {
                new: Fault {
                    slower: 2.0,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "x2 s1 10 %",
            Scenario {
                sigma: 1.0,
                new: Fault {
                    slower: 2.0,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "x2 s.5 50 %",
            Scenario {
                new: Fault {
                    slower: 2.0,
                    ..Fault::NONE
                },
                ..scenario(5000)
            },
        ),
        ("good, whole", whole(scenario(0))),
        (
            "good s1, whole",
            Scenario {
                sigma: 1.0,
                ..whole(scenario(0))
            },
        ),
        (
            "good, 4 % errors",
            Scenario {
                base_errors: 0.04,
                ..whole(scenario(0))
            },
        ),
        (
            "good, bursts 30 %",
            Scenario {
                both: Weather::Bursts {
                    errors: 0.3,
                    every_s: 60.0,
                    length_s: 2.0,
                },
                ..whole(scenario(0))
            },
        ),
        (
            "good, ramp x3",
            Scenario {
                both: Weather::Ramp { load: 3.0 },
                ..whole(scenario(0))
            },
        ),
        (
            "good, ramp x8",
            Scenario {
                both: Weather::Ramp { load: 8.0 },
                ..whole(scenario(0))
            },
        ),
        (
            "good, corr .9",
            Scenario {
                correlation: 0.9,
                ..whole(scenario(0))
            },
        ),
        (
            "good, corr .98",
            Scenario {
                correlation: 0.98,
                ..whole(scenario(0))
            },
        ),
        (
            "good, corr .95 s1",
            Scenario {
                correlation: 0.95,
                sigma: 1.0,
                ..whole(scenario(0))
            },
        ),
        (
            "outage 50 % at 60 s",
            Scenario {
                both: Weather::Outage {
                    at_s: 60.0,
                    errors: 0.5,
                },
                ..whole(scenario(0))
            },
        ),
        (
            "outage 15 % at 60 s",
            Scenario {
                both: Weather::Outage {
                    at_s: 60.0,
                    errors: 0.15,
                },
                ..whole(scenario(0))
            },
        ),
        (
            "outage all in watch",
            Scenario {
                both: Weather::Outage {
                    at_s: 200.0,
                    errors: 1.0,
                },
                ..whole(scenario(0))
            },
        ),
        (
            "late x2 in watch",
            Scenario {
                new: Fault {
                    slower: 2.0,
                    after: 8000,
                    ..Fault::NONE
                },
                ..whole(scenario(0))
            },
        ),
        (
            "late 20 % in watch",
            Scenario {
                new: Fault {
                    errors: 0.2,
                    after: 8000,
                    ..Fault::NONE
                },
                ..whole(scenario(0))
            },
        ),
        (
            "boundary x1.5 s.5",
            Scenario {
                new: Fault {
                    slower: 1.5,
                    ..Fault::NONE
                },
                ..scenario(1000)
            },
        ),
        (
            "boundary 5 % errors",
            Scenario {
                base_errors: 0.05,
                ..scenario(1000)
            },
        ),
    ];
    for (name, scenario) in cases {
        let s = summarise(&scenario, 1, plays);
        println!(
            "{name:<22} back {:>4} outage {:>4} of {:>4}   answers {:>5} / {:>5}   seconds {:>6.1} / {:>6.1}",
            s.taken_back, s.outages, s.plays, s.answers_p50, s.answers_p95, s.seconds_p50, s.seconds_p95
        );
    }
}

use super::*;
use crate::replay::replay;

const GOOD: Answer = Answer {
    at_us: 0,
    error: false,
    latency_us: 10_000,
};
const BAD: Answer = Answer {
    at_us: 0,
    error: true,
    latency_us: 10_000,
};

/// Feeds answers 1 ms apart, ten of the old revision to one of the new, until the verdict.
fn play(
    guard: &mut Guard,
    rounds: u64,
    new: impl Fn(u64) -> Answer,
    old: impl Fn(u64) -> Answer,
) -> Option<(u64, Verdict)> {
    let mut at_us = 0;
    for round in 0..rounds {
        for i in 0..10 {
            at_us += 1_000;
            guard.observe(
                Arm::Old,
                Answer {
                    at_us,
                    ..old(round * 10 + i)
                },
            );
        }
        at_us += 1_000;
        if let Some(verdict) = guard.observe(Arm::New, Answer { at_us, ..new(round) }) {
            return Some((round + 1, verdict));
        }
    }
    None
}

fn guard() -> Guard {
    let mut guard = Guard::new(Policy::default());
    guard.set_share(900);
    guard
}

#[test]
fn a_release_that_fails_all_is_judged_by_its_third_answer() {
    let mut guard = guard();
    let (answers, verdict) = play(&mut guard, 10, |_| BAD, |_| GOOD).unwrap();
    assert_eq!(
        (answers, verdict.test, verdict.outcome),
        (3, Test::Errors, Outcome::Regression)
    );
    assert_eq!(
        verdict.sentence("backend"),
        "the new backend failed 3 of 3 answers, the old one 0 of 30 (1 in 1,468)"
    );
    assert_eq!(replay(&guard.evidence()), Some(verdict));
}

#[test]
fn a_good_release_gets_no_verdict_and_is_proven() {
    let mut guard = guard();
    assert_eq!(play(&mut guard, 400, |_| GOOD, |_| GOOD), None);
    let standing = guard.standing();
    assert!(standing.proven, "{standing:?}");
    assert_eq!(replay(&guard.evidence()), None);
}

#[test]
fn few_answers_prove_nothing() {
    let mut guard = guard();
    assert_eq!(play(&mut guard, 14, |_| GOOD, |_| GOOD), None);
    assert_eq!(
        guard.standing(),
        Standing {
            answers: 14,
            proven: false,
            needed: 122
        }
    );
}

#[test]
fn a_slow_release_is_judged_by_its_times() {
    let mut guard = guard();
    let slow = Answer {
        latency_us: 20_000,
        ..GOOD
    };
    let (answers, verdict) = play(&mut guard, 500, |n| if n < 30 { GOOD } else { slow }, |_| GOOD).unwrap();
    assert_eq!(verdict.test, Test::SlowP95);
    assert!(answers < 80, "{answers}");
    assert_eq!(replay(&guard.evidence()), Some(verdict));
}

#[test]
fn when_both_get_slow_nobody_is_blamed() {
    let mut guard = guard();
    let at = |n: u64, from: u64| {
        if n < from {
            GOOD
        } else {
            Answer {
                latency_us: 40_000,
                ..GOOD
            }
        }
    };
    assert_eq!(play(&mut guard, 3_000, |n| at(n, 500), |n| at(n, 5_000)), None);
}

#[test]
fn errors_where_most_of_the_traffic_is_blame_nobody() {
    let mut guard = guard();
    guard.set_share(9_000);
    // 2 % of the new one's answers fail, and the old one has too few to fail beside them.
    for n in 0..600 {
        let answer = if n % 50 == 49 { BAD } else { GOOD };
        assert_eq!(
            guard.observe(
                Arm::New,
                Answer {
                    at_us: n * 1_000,
                    ..answer
                }
            ),
            None,
            "after {n}"
        );
        if n % 9 == 8 {
            guard.observe(
                Arm::Old,
                Answer {
                    at_us: n * 1_000 + 1,
                    ..GOOD
                },
            );
        }
    }
}

#[test]
fn a_fault_that_both_have_is_an_outage() {
    let mut guard = guard();
    let (_, verdict) = play(
        &mut guard,
        500,
        |n| if n < 100 { GOOD } else { BAD },
        |n| if n < 1_000 { GOOD } else { BAD },
    )
    .unwrap();
    assert_eq!(verdict.outcome, Outcome::Outage);
}

#[test]
fn an_outage_that_shows_after_the_verdict_is_still_an_outage() {
    let mut guard = guard();
    play(&mut guard, 10, |_| BAD, |_| GOOD).unwrap();
    assert_eq!(guard.verdict().map(|v| v.outcome), Some(Outcome::Regression));
    (0..4).for_each(|_| assert_eq!(guard.observe(Arm::Old, BAD), None));
    assert_eq!(guard.verdict().map(|v| v.outcome), Some(Outcome::Outage));
    assert_eq!(replay(&guard.evidence()), guard.verdict().cloned());
}

#[test]
fn a_late_fault_is_found_after_a_long_good_phase() {
    let mut guard = guard();
    let (answers, verdict) = play(
        &mut guard,
        3_000,
        |n| if n < 2_000 { GOOD } else { BAD },
        |_| GOOD,
    )
    .unwrap();
    assert_eq!(verdict.test, Test::LateErrors);
    assert!(answers <= 2_008, "{answers}");
}

#[test]
fn a_long_trace_is_cut_and_still_replays() {
    let mut guard = guard();
    let new = |n: u64| if n >= 10_000 { BAD } else { GOOD };
    let (_, verdict) = play(&mut guard, 20_000, new, |n| {
        if n % 3 == 0 {
            Answer {
                latency_us: 16_000,
                ..GOOD
            }
        } else {
            GOOD
        }
    })
    .unwrap();
    let evidence = guard.evidence();
    assert!(!evidence.start.is_empty() && evidence.trace.items.len() <= TRACE_LENGTH);
    assert_eq!(replay(&evidence), Some(verdict));
}

#[test]
fn evidence_survives_its_json() {
    let mut guard = guard();
    play(&mut guard, 10, |_| BAD, |_| GOOD);
    // Written and read by serde as the store does.
    let evidence = guard.evidence();
    let text = serde_json::to_string(&evidence).unwrap();
    let back: Evidence = serde_json::from_str(&text).unwrap();
    assert_eq!(back, evidence);
}

#[test]
fn hostile_evidence_does_not_panic() {
    let mut guard = guard();
    play(&mut guard, 10, |_| BAD, |_| GOOD);
    let mut evidence = guard.evidence();
    evidence.start = vec![1.0; 3];
    assert_eq!(replay(&evidence), None);
}

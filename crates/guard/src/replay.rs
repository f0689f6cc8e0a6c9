//! Stored evidence, judged once more: the same code, fed with what was observed, as a whole or step by step.

use crate::guard::{Guard, Standing};
use crate::trace::Item;
use crate::verdict::{Counts, Evidence, Verdict};

/// How strong the evidence of one kind is: as "1 in so many", and what decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    pub one_in: f64,
    pub needed: f64,
}

/// Where the judgement stood after an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub new: Counts,
    pub old: Counts,
    /// The new revision's share of the traffic, of 10,000.
    pub share: u32,
    /// Against the new revision: errors over the limit, more errors than the old one, slower at the median, slower
    /// at the 95th percentile. Each is the stronger of the whole run's test and of the one for late faults.
    pub against: [Odds; 4],
    /// That the old revision fails the same way.
    pub old_too: Odds,
    pub decided: bool,
}

/// Reaches a verdict again from stored evidence.
#[must_use]
pub fn replay(evidence: &Evidence) -> Option<Verdict> {
    rebuild(evidence)?.verdict().cloned()
}

/// How far the judgement of stored evidence has come.
#[must_use]
pub fn standing(evidence: &Evidence) -> Option<Standing> {
    rebuild(evidence).map(|guard| guard.standing())
}

/// Shows how the evidence came about: where it stood before the first answer that is kept, after the first and the
/// last of each row of equal answers, and after the deciding one. None where it is not a guard's evidence.
pub fn steps(evidence: &Evidence, mut each: impl FnMut(&Step)) -> Option<()> {
    let mut guard = Guard::before(evidence)?;
    if let Some(Item::Share(share)) = evidence.trace.items.first() {
        guard.share = *share;
    }
    each(&guard.step());
    for item in &evidence.trace.items {
        match item {
            Item::Share(share) => guard.share = *share,
            Item::Answers(symbol, times) => {
                for nth in 1..=*times {
                    let decides = guard.judge(*symbol).is_some();
                    if nth == 1 || nth == *times || decides {
                        each(&guard.step());
                    }
                }
            }
        }
    }
    Some(())
}

fn rebuild(evidence: &Evidence) -> Option<Guard> {
    let mut guard = Guard::before(evidence)?;
    for item in &evidence.trace.items {
        match item {
            Item::Share(share) => guard.share = *share,
            Item::Answers(symbol, times) => (0..*times).for_each(|_| {
                guard.judge(*symbol);
            }),
        }
    }
    Some(guard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Answer, Arm};
    use crate::policy::Policy;

    /// Answers as letters: `n` and `o` of the new and the old one, capital where they failed.
    fn check(answers: &str, share: u32, (count, decided): (usize, bool)) -> Vec<Step> {
        let mut guard = Guard::new(Policy::default());
        guard.set_share(share);
        for (n, letter) in answers.chars().enumerate() {
            let arm = if letter.eq_ignore_ascii_case(&'n') {
                Arm::New
            } else {
                Arm::Old
            };
            guard.observe(
                arm,
                Answer {
                    at_us: 1_000 * n as u64,
                    error: letter.is_uppercase(),
                    latency_us: 1_000,
                },
            );
        }
        let evidence = guard.evidence();
        let mut seen = Vec::new();
        steps(&evidence, |step| seen.push(*step)).unwrap();
        assert_eq!(
            (seen.len(), seen.last().unwrap().decided),
            (count, decided),
            "{answers:.20}"
        );
        let last = seen.last().unwrap();
        assert_eq!((last.new, last.old), (evidence.new, evidence.old));
        seen
    }

    #[test]
    fn rows_of_equal_answers_are_two_steps_and_the_deciding_answer_is_one() {
        check("", 1_000, (1, false));
        check("ooooooo", 1_000, (3, false));
        let seen = check("oooonNNNNNoooo", 1_000, (9, true));
        let deciding = seen.iter().position(|step| step.decided).unwrap();
        let step = seen[deciding];
        assert!(step.against.iter().any(|odds| odds.one_in >= odds.needed));
        assert!(
            seen[..deciding]
                .iter()
                .all(|step| step.against.iter().all(|odds| odds.one_in < odds.needed))
        );
        assert_eq!(step.share, 1_000);
    }

    #[test]
    fn the_last_step_is_what_the_guard_itself_says() {
        let good: String = (0..3_000).map(|n| if n % 10 == 0 { 'n' } else { 'o' }).collect();
        let seen = check(&good, 1_000, (903, false));
        let last = seen.last().unwrap();
        assert!(last.against[0].one_in < 1e-3, "{:?}", last.against);
        assert!((last.against[0].needed - 400.0).abs() < 1e-9);
        // A failure of the old one counts for it as soon as it is seen.
        let seen = check("OOOOOO", 1_000, (3, false));
        assert!(seen.last().unwrap().old_too.one_in > 1_000.0);
    }
}

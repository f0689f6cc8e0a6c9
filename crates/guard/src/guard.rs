//! The tests of one service during one deployment, fed with each answer.

use crate::bar::Bar;
use crate::bernoulli::{Cusum, Mixture, late_bar};
use crate::policy::{Alpha, Policy};
use crate::ratio::Ratio;
use crate::replay::{Odds, Step};
use crate::trace::{Symbol, Trace};
use crate::verdict::{Counts, Evidence, Outcome, Test, Verdict};

const ERROR_GRID: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 8.0, 14.0, 19.0];
const P50_GRID: [f64; 6] = [0.55, 0.60, 0.70, 0.80, 0.90, 0.97];
/// Most on the rates that twice the response time comes to, of an even and of a heavy-tailed distribution.
const P50_WEIGHTS: [f64; 6] = [0.10, 0.30, 0.35, 0.15, 0.05, 0.05];
const P95_GRID: [f64; 7] = [0.07, 0.10, 0.15, 0.25, 0.40, 0.70, 0.95];
/// Rates below the limit, for the opposite question: is the error rate proven to be under it?
const GOOD_GRID: [f64; 5] = [0.0002, 0.1, 0.2, 0.4, 0.6];
/// The chance that a release is called proven although it is not.
const PROOF: f64 = 0.01;
/// A trace of more items than this is cut at the front.
const TRACE_LENGTH: usize = 20_000;
/// Response times of neighbouring answers resemble each other, which a late test, that starts anew at every
/// answer, would take for a fault; so it takes one in so many.
const LATE_EVERY: u32 = 16;
/// The old revision counts as "answering now" for so long after an answer; after that the bar is frozen.
const FRESH_US: u64 = 10_000_000;
/// With a frozen bar, times are judged only while the load is no more than this above what it was.
const COMPARABLE_LOAD: f64 = 1.25;
/// The old revision's evidence of failing the same way, at which a fault is called an outage. Its errors are looked
/// at all the time, its times only from the verdict on.
const OUTAGE_BY_ERRORS: f64 = 1_000.0;
const OUTAGE_BY_TIMES: f64 = 200.0;
const EVEN: [f64; 7] = [1.0 / 7.0; 7];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    New,
    Old,
}

/// One answer to a user. Probes, 4xx and clients that went away are not shown to the guard (4xx as good answers).
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When it came; any clock that does not go backwards, in microseconds.
    pub at_us: u64,
    /// 500 and above, connection refused, reset or timed out.
    pub error: bool,
    /// From the request's arrival to the answer's head.
    pub latency_us: u64,
}

/// How far a judgement has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    pub answers: u64,
    /// The error rate is shown to be under its limit.
    pub proven: bool,
    /// About how many answers without an error a proof needs in all.
    pub needed: u64,
}

/// See the module. All of it is of a fixed size but the trace, which is bounded.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Policy,
    alpha: Alpha,
    pub(crate) share: u32,
    tests: Tests,
    new: Counts,
    old: Counts,
    bar: Bar,
    /// Whether the old revision's last 64 answers were over its own bars: while they are, nothing is judged by time.
    old_over: (u64, u64),
    old_at_us: u64,
    load: Load,
    load_then: f64,
    warm_up_left: u32,
    timed_until_late: u32,
    verdict: Option<Verdict>,
    trace: Trace,
    start: Vec<f64>,
    start_counts: (Counts, Counts),
}

impl Guard {
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            alpha: policy.alpha(),
            share: 0,
            tests: Tests::new(&policy),
            new: Counts::default(),
            old: Counts::default(),
            bar: Bar::new(policy.response_time),
            old_over: (0, 0),
            old_at_us: 0,
            load: Load::default(),
            load_then: 0.0,
            warm_up_left: policy.warm_up,
            timed_until_late: LATE_EVERY,
            verdict: None,
            trace: Trace::default(),
            start: Vec::new(),
            start_counts: (Counts::default(), Counts::default()),
            policy,
        }
    }

    /// The new revision's share of the traffic from here on, of 10,000.
    pub fn set_share(&mut self, share: u32) {
        if share != self.share {
            self.share = share;
            self.trace.share(share);
        }
    }

    /// Takes one answer. Gives the verdict when this answer decides; after it, none (see [`Guard::verdict`]), but
    /// the old revision's answers are still looked at, and may make an outage of a regression.
    pub fn observe(&mut self, arm: Arm, answer: Answer) -> Option<Verdict> {
        self.load.observe(answer.at_us);
        let (time, late) = self.time(arm, answer);
        let symbol = Symbol::new(arm == Arm::New, answer.error, time, late);
        if self.trace.items.len() >= TRACE_LENGTH {
            self.cut_trace();
        }
        self.trace.answer(symbol);
        self.judge(symbol)
    }

    #[must_use]
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        let per_answer = -(1.0 - self.policy.error_rate).ln();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few hundred"
        )]
        let needed = ((1.0 / PROOF).ln() * 1.35 / per_answer.max(1e-6)).ceil() as u64;
        Standing {
            answers: self.new.answers,
            proven: self.tests.good.wealth() >= 1.0 / PROOF,
            needed,
        }
    }

    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let (test, one_in, goes_back_at) = self.strongest();
        Evidence {
            policy: self.policy.clone(),
            new: self.new,
            old: self.old,
            one_in,
            test,
            goes_back_at,
            verdict: self.verdict.clone(),
            start: self.start.clone(),
            start_counts: self.start_counts,
            trace: self.trace.clone(),
        }
    }

    /// Whether and how an answer's time is judged; follows the old revision's answers on the way.
    fn time(&mut self, arm: Arm, answer: Answer) -> (Option<(bool, bool)>, bool) {
        if answer.error {
            return (None, false);
        }
        let over = self.bar.exceeds(answer.latency_us);
        if arm == Arm::Old {
            let (p50, p95) = over.unwrap_or_default();
            self.old_over = (
                self.old_over.0 << 1 | u64::from(p50),
                self.old_over.1 << 1 | u64::from(p95),
            );
            // After a verdict the bar stands still: it is then what the old revision is held against.
            if self.verdict.is_none() {
                self.bar.observe(answer.latency_us);
                self.old_at_us = answer.at_us;
                self.load_then = self.load.rate;
            }
            return (over, false);
        }
        if self.warm_up_left > 0 {
            self.warm_up_left -= 1;
            return (None, false);
        }
        let fresh = answer.at_us.saturating_sub(self.old_at_us) <= FRESH_US;
        let disturbed = self.old_over.0.count_ones() > 32 || self.old_over.1.count_ones() > 7;
        if disturbed || (!fresh && self.load.rate > COMPARABLE_LOAD * self.load_then) {
            return (None, false);
        }
        self.timed_until_late = self.timed_until_late.checked_sub(1).unwrap_or(LATE_EVERY - 1);
        // Without the old revision beside it, only the late tests go on: the whole run's tests end with the shifting.
        (over, self.timed_until_late == 0)
    }

    /// The part that a replay repeats: a function of the trace alone.
    pub(crate) fn judge(&mut self, symbol: Symbol) -> Option<Verdict> {
        let counts = if symbol.on_new() {
            &mut self.new
        } else {
            &mut self.old
        };
        counts.answers += 1;
        counts.errors += u64::from(symbol.error());
        if let Some((p50, p95)) = symbol.time() {
            counts.timed += 1;
            counts.over_p50 += u64::from(p50);
            counts.over_p95 += u64::from(p95);
        }
        self.tests
            .observe(symbol, f64::from(self.share) / 10_000.0, self.verdict.is_some());
        if let Some(verdict) = &mut self.verdict {
            if self.tests.old_fails_too(verdict.test) {
                verdict.outcome = Outcome::Outage;
            }
            return None;
        }
        let test = self.crossed()?;
        let outcome = if self.tests.old_fails_too(test) {
            Outcome::Outage
        } else {
            Outcome::Regression
        };
        let one_in = self.tests.wealth(test);
        let verdict = Verdict {
            outcome,
            test,
            one_in: self.as_odds(test, one_in),
            new: self.new,
            old: self.old,
        };
        self.verdict = Some(verdict.clone());
        Some(verdict)
    }

    fn crossed(&self) -> Option<Test> {
        TESTS.into_iter().find(|test| {
            self.tests.wealth(*test) >= self.needs(*test)
                && match test {
                    Test::MoreErrors => self.differs(&self.new, &self.old),
                    Test::LateMoreErrors => self.differs(&self.tests.recent_new, &self.tests.recent_old),
                    _ => true,
                }
        })
    }

    fn differs(&self, new: &Counts, old: &Counts) -> bool {
        new.error_rate() > old.error_rate() + self.policy.least_difference
    }

    /// The wealth at which a test crosses.
    fn needs(&self, test: Test) -> f64 {
        let late = |n: u64| late_bar(count(n), self.policy.expected_answers, self.alpha.late);
        match test {
            Test::Errors => 1.0 / self.alpha.errors,
            Test::MoreErrors => 1.0 / self.alpha.more_errors,
            Test::SlowP50 => 1.0 / self.alpha.p50,
            Test::SlowP95 => 1.0 / self.alpha.p95,
            Test::LateErrors | Test::LateSlowP50 | Test::LateSlowP95 => late(self.new.answers),
            Test::LateMoreErrors => late(self.new.errors + self.old.errors),
        }
    }

    /// A late test's wealth is divided by the answers that it could have started at, to compare with the others.
    fn as_odds(&self, test: Test, wealth: f64) -> f64 {
        match test {
            Test::Errors | Test::MoreErrors | Test::SlowP50 | Test::SlowP95 => wealth,
            _ => wealth / self.needs(test) / self.alpha.late,
        }
    }

    /// The test that is nearest to its bar.
    fn strongest(&self) -> (Test, f64, f64) {
        let nearness = |test: Test| self.tests.wealth(test).max(1e-300).ln() / self.needs(test).ln();
        let mut best = Test::Errors;
        for test in TESTS {
            if nearness(test) > nearness(best) {
                best = test;
            }
        }
        let one_in = self.as_odds(best, self.tests.wealth(best)).max(1.0);
        (best, one_in, self.as_odds(best, self.needs(best)))
    }

    /// As it was before the first answer of stored evidence; none where that is not a guard's.
    pub(crate) fn before(evidence: &Evidence) -> Option<Self> {
        let mut guard = Guard::new(evidence.policy.clone());
        if !evidence.start.is_empty() {
            guard.tests.restore(&evidence.start)?;
            (guard.new, guard.old) = evidence.start_counts;
        }
        Some(guard)
    }

    /// Where its judgement stands after the last answer.
    pub(crate) fn step(&self) -> Step {
        let fault = self.verdict.as_ref().map_or(Test::Errors, |verdict| verdict.test);
        let (old_one_in, old_needed) = self.tests.old_odds(fault);
        Step {
            new: self.new,
            old: self.old,
            share: self.share,
            against: KINDS.map(|tests| self.odds(tests)),
            old_too: Odds {
                one_in: old_one_in,
                needed: old_needed,
            },
            decided: self.verdict.is_some(),
        }
    }

    /// Of the whole run's test and of the one for late faults, the one that is nearer to its bar.
    fn odds(&self, [whole, late]: [Test; 2]) -> Odds {
        let part = |test| self.tests.wealth(test) / self.needs(test);
        let test = if part(late) > part(whole) { late } else { whole };
        Odds {
            one_in: self.as_odds(test, self.tests.wealth(test)),
            needed: self.as_odds(test, self.needs(test)),
        }
    }

    fn cut_trace(&mut self) {
        self.start = self.tests.save();
        self.start_counts = (self.new, self.old);
        self.trace = Trace::default();
        self.trace.share(self.share);
    }
}

const TESTS: [Test; 8] = [
    Test::Errors,
    Test::MoreErrors,
    Test::SlowP50,
    Test::SlowP95,
    Test::LateErrors,
    Test::LateMoreErrors,
    Test::LateSlowP50,
    Test::LateSlowP95,
];

/// The same question, asked of the whole run and of a fault that came late.
const KINDS: [[Test; 2]; 4] = [
    [Test::Errors, Test::LateErrors],
    [Test::MoreErrors, Test::LateMoreErrors],
    [Test::SlowP50, Test::LateSlowP50],
    [Test::SlowP95, Test::LateSlowP95],
];

/// The wealths of all tests.
#[derive(Clone, Debug)]
struct Tests {
    errors: Mixture<7>,
    more_errors: Ratio,
    p50: Mixture<6>,
    p95: Mixture<7>,
    late_errors: Cusum<7>,
    late_more_errors: Ratio,
    late_p50: Cusum<6>,
    late_p95: Cusum<7>,
    good: Mixture<5>,
    /// The same faults in the old revision.
    old_errors: Cusum<7>,
    old_p50: Mixture<6>,
    old_p95: Mixture<7>,
    /// Counts since the late comparison of errors last stood at its start.
    recent_new: Counts,
    recent_old: Counts,
}

impl Tests {
    fn new(policy: &Policy) -> Self {
        // `pilotage.yml` is checked when it is read; a limit of 0 or 1 from elsewhere must not divide by zero.
        let limit = policy.error_rate.clamp(1e-4, 0.9);
        let errors = ERROR_GRID.map(|times| (limit * times).min(0.95 + 0.049 * limit));
        Self {
            errors: Mixture::new(limit, errors, EVEN),
            more_errors: Ratio::new(false),
            p50: Mixture::new(0.5, P50_GRID, P50_WEIGHTS),
            p95: Mixture::new(0.05, P95_GRID, EVEN),
            late_errors: Cusum::new(limit, errors, EVEN),
            late_more_errors: Ratio::new(true),
            late_p50: Cusum::new(0.5, P50_GRID, P50_WEIGHTS),
            late_p95: Cusum::new(0.05, P95_GRID, EVEN),
            good: Mixture::new(limit, GOOD_GRID.map(|times| limit * times), [0.2; 5]),
            old_errors: Cusum::new(limit, errors, EVEN),
            old_p50: Mixture::new(0.5, P50_GRID, P50_WEIGHTS),
            old_p95: Mixture::new(0.05, P95_GRID, EVEN),
            recent_new: Counts::default(),
            recent_old: Counts::default(),
        }
    }

    fn observe(&mut self, symbol: Symbol, share: f64, decided: bool) {
        if symbol.on_new() {
            if decided {
                return;
            }
            self.errors.observe(symbol.error());
            self.late_errors.observe(symbol.error());
            self.good.observe(symbol.error());
            if let Some((p50, p95)) = symbol.time() {
                self.p50.observe(p50);
                self.p95.observe(p95);
                if symbol.late() {
                    self.late_p50.observe(p50);
                    self.late_p95.observe(p95);
                }
            }
        } else {
            self.old_errors.observe(symbol.error());
            if let Some((p50, p95)) = symbol.time().filter(|_| decided) {
                self.old_p50.observe(p50);
                self.old_p95.observe(p95);
            }
        }
        let recent = if symbol.on_new() {
            &mut self.recent_new
        } else {
            &mut self.recent_old
        };
        recent.answers += 1;
        if symbol.error() {
            recent.errors += 1;
            self.more_errors.observe(symbol.on_new(), share);
            if self.late_more_errors.observe(symbol.on_new(), share) < 1.0 {
                (self.recent_new, self.recent_old) = (Counts::default(), Counts::default());
            }
        }
    }

    fn wealth(&self, test: Test) -> f64 {
        match test {
            Test::Errors => self.errors.wealth(),
            Test::MoreErrors => self.more_errors.wealth(),
            Test::SlowP50 => self.p50.wealth(),
            Test::SlowP95 => self.p95.wealth(),
            Test::LateErrors => self.late_errors.wealth(),
            Test::LateMoreErrors => self.late_more_errors.wealth(),
            Test::LateSlowP50 => self.late_p50.wealth(),
            Test::LateSlowP95 => self.late_p95.wealth(),
        }
    }

    fn old_fails_too(&self, test: Test) -> bool {
        let (one_in, needed) = self.old_odds(test);
        one_in >= needed
    }

    /// The evidence that the old revision fails the same way, and what makes an outage of it.
    fn old_odds(&self, test: Test) -> (f64, f64) {
        match test {
            Test::SlowP50 | Test::LateSlowP50 => (self.old_p50.wealth(), OUTAGE_BY_TIMES),
            Test::SlowP95 | Test::LateSlowP95 => (self.old_p95.wealth(), OUTAGE_BY_TIMES),
            _ => (self.old_errors.wealth(), OUTAGE_BY_ERRORS),
        }
    }

    fn save(&self) -> Vec<f64> {
        let mut saved = Vec::with_capacity(78);
        saved.extend(self.errors.parts());
        saved.extend(self.more_errors.parts());
        saved.extend(self.p50.parts());
        saved.extend(self.p95.parts());
        saved.extend(self.late_errors.parts());
        saved.extend(self.late_more_errors.parts());
        saved.extend(self.late_p50.parts());
        saved.extend(self.late_p95.parts());
        saved.extend(self.good.parts());
        saved.extend(self.old_errors.parts());
        saved.extend(self.old_p50.parts());
        saved.extend(self.old_p95.parts());
        for recent in [self.recent_new, self.recent_old] {
            saved.extend([count(recent.answers), count(recent.errors)]);
        }
        saved
    }

    fn restore(&mut self, saved: &[f64]) -> Option<()> {
        let mut rest = saved;
        self.errors.restore(take(&mut rest)?);
        self.more_errors.restore(take(&mut rest)?);
        self.p50.restore(take(&mut rest)?);
        self.p95.restore(take(&mut rest)?);
        self.late_errors.restore(take(&mut rest)?);
        self.late_more_errors.restore(take(&mut rest)?);
        self.late_p50.restore(take(&mut rest)?);
        self.late_p95.restore(take(&mut rest)?);
        self.good.restore(take(&mut rest)?);
        self.old_errors.restore(take(&mut rest)?);
        self.old_p50.restore(take(&mut rest)?);
        self.old_p95.restore(take(&mut rest)?);
        for recent in [&mut self.recent_new, &mut self.recent_old] {
            let [answers, errors] = take::<2>(&mut rest)?.map(uncount);
            *recent = Counts {
                answers,
                errors,
                ..Counts::default()
            };
        }
        Some(())
    }
}

fn take<const N: usize>(rest: &mut &[f64]) -> Option<[f64; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^52")]
fn count(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped first"
)]
fn uncount(n: f64) -> u64 {
    n.clamp(0.0, 9e15) as u64
}

/// Answers a second, smoothed over about ten seconds.
#[derive(Clone, Debug, Default)]
struct Load {
    rate: f64,
    second_us: u64,
    in_second: u32,
}

impl Load {
    fn observe(&mut self, at_us: u64) {
        if self.second_us == 0 {
            self.second_us = at_us;
        }
        let past = at_us.saturating_sub(self.second_us);
        if past >= 1_000_000 {
            let rate = f64::from(self.in_second) * 1e6 / count(past);
            let weight = if self.rate == 0.0 {
                1.0
            } else {
                (count(past) / 1e7).min(1.0)
            };
            self.rate += weight * (rate - self.rate);
            self.second_us = at_us;
            self.in_second = 0;
        }
        self.in_second = self.in_second.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;

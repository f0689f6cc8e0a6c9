//! The order and the conditions of the steps inside one job, and inside one composite action.
//!
//! Owns what comes next, whether it runs and why not, and what the whole comes to. It runs nothing and knows no
//! time: whoever drives it (the runner, for the platform and for `exec` alike) asks for the [next](Sequence::next)
//! step, [decides](Status::decide) its condition, performs it, and [records](Sequence::record) how it ended.

use crate::expr::{ExprError, Scope, Value};
use crate::model::Condition;
use std::collections::VecDeque;

/// GitHub's words for how a step or a job ended. A step's outcome is taken before its `continue-on-error`, its
/// conclusion after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Cancelled,
    Skipped,
}

impl Outcome {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Cancelled => "cancelled",
            Outcome::Skipped => "skipped",
        }
    }
}

/// Which part of an action a step performs. Every `run` step is a main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pre,
    Main,
    Post,
}

/// One step whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<T> {
    /// From 1, in the order of execution.
    pub number: u32,
    pub phase: Phase,
    pub step: T,
}

/// How the job stands so far: what `success()`, `failure()` and `cancelled()` answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    cancelled: bool,
    /// Names the first step that failed.
    failed: Option<String>,
}

/// Whether a step runs.
#[derive(Clone, Debug)]
pub enum Decision {
    Run,
    /// Which condition was not met, and the values it saw.
    Skip(String),
    /// The condition cannot be evaluated: the step fails without being run.
    Fault(ExprError),
}

/// What holds where a step says nothing of `success()`, `failure()`, `cancelled()` or `always()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implicit {
    /// `success()`: of steps.
    Success,
    /// `always()`: of the pre and post parts of actions.
    Always,
}

/// The steps of one job or composite action: first every pre step, then the main steps, then the post steps that
/// were added on the way, the last one first.
#[derive(Debug)]
pub struct Sequence<T> {
    pre: VecDeque<T>,
    main: VecDeque<T>,
    post: Vec<T>,
    number: u32,
    status: Status,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self {
            pre: VecDeque::new(),
            main: VecDeque::new(),
            post: Vec::new(),
            number: 0,
            status: Status::default(),
        }
    }
}

impl<T> Sequence<T> {
    #[must_use]
    pub fn new(main: impl IntoIterator<Item = T>) -> Self {
        Self {
            main: main.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds a pre step behind those that are there.
    pub fn add_pre(&mut self, step: T) {
        self.pre.push_back(step);
    }

    /// Adds a post step before those that are there. An action adds its own when its pre or main part begins, so
    /// that a skipped action has none and a failed one has.
    pub fn add_post(&mut self, step: T) {
        self.post.push(step);
    }

    /// The next step, if there is one. It must be recorded before the one after it is asked for.
    #[expect(
        clippy::should_implement_trait,
        reason = "steps are added between the calls: no iterator"
    )]
    pub fn next(&mut self) -> Option<Turn<T>> {
        let (phase, step) = match (self.pre.pop_front(), self.main.is_empty()) {
            (Some(step), _) => (Phase::Pre, step),
            (None, false) => (Phase::Main, self.main.pop_front()?),
            (None, true) => (Phase::Post, self.post.pop()?),
        };
        self.number += 1;
        Some(Turn {
            number: self.number,
            phase,
            step,
        })
    }

    /// The steps that are known to come, with the numbers they will have. Post steps are among them once the last
    /// main step has begun: before, others may still come between.
    pub fn upcoming(&self) -> impl Iterator<Item = (u32, Phase, &T)> {
        let posts = if self.pre.is_empty() && self.main.is_empty() {
            self.post.as_slice()
        } else {
            &[]
        };
        let known = self.pre.iter().map(|step| (Phase::Pre, step));
        let known = known.chain(self.main.iter().map(|step| (Phase::Main, step)));
        let known = known.chain(posts.iter().rev().map(|step| (Phase::Post, step)));
        (self.number + 1..)
            .zip(known)
            .map(|(number, (phase, step))| (number, phase, step))
    }

    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// From here on the job counts as cancelled, whatever else happens.
    pub fn cancel(&mut self) {
        self.status.cancelled = true;
    }

    /// Takes note of how a step ended and gives its conclusion. `name` is how people know the step.
    pub fn record(&mut self, name: &str, outcome: Outcome, continue_on_error: bool) -> Outcome {
        match outcome {
            Outcome::Failure if continue_on_error => return Outcome::Success,
            Outcome::Failure if self.status.failed.is_none() => self.status.failed = Some(name.to_owned()),
            // A step is cancelled only with its job.
            Outcome::Cancelled => self.status.cancelled = true,
            _ => {}
        }
        outcome
    }

    /// What the whole comes to so far.
    #[must_use]
    pub fn conclusion(&self) -> Outcome {
        self.status.outcome()
    }
}

impl Status {
    /// Cancellation outweighs failure, as on GitHub.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Status { cancelled: true, .. } => Outcome::Cancelled,
            Status { failed: Some(_), .. } => Outcome::Failure,
            _ => Outcome::Success,
        }
    }

    /// The same, cancelled.
    #[must_use]
    pub fn with_cancelled(&self, cancelled: bool) -> Self {
        Self {
            cancelled: self.cancelled || cancelled,
            failed: self.failed.clone(),
        }
    }

    /// Whether a step with this condition runs now. `scope` gives the contexts; the status functions are ours.
    pub fn decide(&self, condition: Option<&Condition>, implicit: Implicit, scope: &dyn Scope) -> Decision {
        let demands_success =
            implicit == Implicit::Success && !condition.is_some_and(|c| c.has_status_function);
        if demands_success && self.outcome() != Outcome::Success {
            return Decision::Skip(self.unmet());
        }
        let Some(condition) = condition else {
            return Decision::Run;
        };
        let scope = StatusScope { status: self, scope };
        match condition.expr.evaluate(&scope) {
            Ok(value) if value.is_truthy() => Decision::Run,
            Ok(_) => Decision::Skip(condition.expr.explain(&scope)),
            Err(error) => Decision::Fault(error),
        }
    }

    fn unmet(&self) -> String {
        match &self.failed {
            _ if self.cancelled => "success() is false: the job was cancelled".to_owned(),
            Some(name) => format!("success() is false: `{name}` failed"),
            None => "success() is false".to_owned(),
        }
    }
}

/// A scope with the status functions of a job's steps.
struct StatusScope<'a> {
    status: &'a Status,
    scope: &'a dyn Scope,
}

impl Scope for StatusScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.scope.context(name)
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let answer = match name {
            "always" => true,
            "success" => self.status.outcome() == Outcome::Success,
            "failure" => self.status.outcome() == Outcome::Failure,
            "cancelled" => self.status.outcome() == Outcome::Cancelled,
            _ => return self.scope.function(name, arguments),
        };
        if arguments.is_empty() {
            Some(Ok(Value::Bool(answer)))
        } else {
            Some(Err(format!("{name}() takes job names only in a job's condition")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Expr, Object};
    use crate::source::Span;

    struct World;

    impl Scope for World {
        fn context(&self, name: &str) -> Option<Value> {
            let mut github = Object::new();
            github.insert("ref_name", Value::from("main"));
            (name == "github").then(|| github.into())
        }

        fn function(&self, _: &str, _: &[Value]) -> Option<Result<Value, String>> {
            None
        }
    }

    fn condition(text: &str) -> Option<Condition> {
        if text.is_empty() {
            return None;
        }
        let expr = Expr::parse(text, Span::default()).unwrap();
        let has_status_function = expr.calls_status_function();
        Some(Condition {
            expr,
            has_status_function,
        })
    }

    /// Each step is (name, how it goes, condition). A name `pre:…` is a pre step. How it goes: `fail`, `!` for
    /// continue-on-error, `post` when it adds a post step, `+cancel` when the job is cancelled just before it.
    /// The result has each step's number, what it came to (`-` when skipped), and the job's conclusion.
    fn check(script: &[(&str, &str, &str)], expected: &str) {
        let mut sequence = Sequence::new(script.iter().copied().filter(|s| !s.0.starts_with("pre:")));
        for step in script.iter().filter(|s| s.0.starts_with("pre:")) {
            sequence.add_pre(*step);
        }
        let mut seen = Vec::new();
        while let Some(turn) = sequence.next() {
            let (name, ends, condition_text) = turn.step;
            if ends.contains("+cancel") {
                sequence.cancel();
            }
            let implicit = if turn.phase == Phase::Main {
                Implicit::Success
            } else {
                Implicit::Always
            };
            let outcome = match sequence
                .status()
                .decide(condition(condition_text).as_ref(), implicit, &World)
            {
                Decision::Run if ends.contains("fail") => Outcome::Failure,
                Decision::Run => Outcome::Success,
                Decision::Skip(_) => Outcome::Skipped,
                Decision::Fault(_) => Outcome::Failure,
            };
            if outcome != Outcome::Skipped && ends.contains("post") {
                sequence.add_post((name, "after", ""));
            }
            let conclusion = sequence.record(name, outcome, ends.contains('!'));
            let phase = if turn.phase == Phase::Post { "post " } else { "" };
            seen.push(match (outcome, conclusion) {
                (Outcome::Skipped, _) => format!("{}-{phase}{name}", turn.number),
                (a, b) if a == b => format!("{} {phase}{name} {}", turn.number, a.word()),
                (a, b) => format!("{} {phase}{name} {}/{}", turn.number, a.word(), b.word()),
            });
        }
        seen.push(sequence.conclusion().word().to_owned());
        assert_eq!(seen.join(", "), expected, "{script:?}");
    }

    #[test]
    fn steps_run_in_order_under_their_conditions() {
        check(
            &[("a", "", ""), ("b", "", "")],
            "1 a success, 2 b success, success",
        );
        check(&[("a", "fail", ""), ("b", "", "")], "1 a failure, 2-b, failure");
        check(
            &[("a", "fail !", ""), ("b", "", "")],
            "1 a failure/success, 2 b success, success",
        );
        check(
            &[("a", "fail", ""), ("b", "", "always()")],
            "1 a failure, 2 b success, failure",
        );
        check(
            &[("a", "fail", ""), ("b", "", "failure()")],
            "1 a failure, 2 b success, failure",
        );
        check(
            &[("a", "fail", ""), ("b", "", "true")],
            "1 a failure, 2-b, failure",
        );
        check(
            &[("a", "", "failure()"), ("b", "", "success()")],
            "1-a, 2 b success, success",
        );
        check(&[("a", "", "github.ref_name == 'dev'")], "1-a, success");
        check(
            &[("a", "", "success('x')"), ("b", "", "")],
            "1 a failure, 2-b, failure",
        );
    }

    #[test]
    fn after_a_cancellation_only_what_asks_for_it_runs() {
        check(
            &[
                ("a", "", ""),
                ("b", "+cancel", ""),
                ("c", "", "always()"),
                ("d", "", "cancelled()"),
                ("e", "", "failure()"),
                ("f", "", "!cancelled()"),
                ("g", "fail", "always()"),
            ],
            "1 a success, 2-b, 3 c success, 4 d success, 5-e, 6-f, 7 g failure, cancelled",
        );
        check(
            &[("a", "fail", ""), ("b", "+cancel", "failure()")],
            "1 a failure, 2-b, cancelled",
        );
    }

    #[test]
    fn pre_steps_come_first_and_post_steps_last_in_reverse() {
        check(
            &[
                ("a", "post", ""),
                ("pre:b", "", ""),
                ("b", "post", ""),
                ("c", "post", "false"),
            ],
            "1 pre:b success, 2 a success, 3 b success, 4-c, 5 post b success, 6 post a success, success",
        );
        check(
            &[("a", "post", ""), ("b", "fail post", ""), ("c", "", "")],
            "1 a success, 2 b failure, 3-c, 4 post b success, 5 post a success, failure",
        );
    }

    #[test]
    fn upcoming_names_the_post_steps_once_no_other_can_come_between() {
        let mut sequence = Sequence::new(["a", "b"]);
        let numbers = |s: &Sequence<&str>| {
            s.upcoming()
                .map(|(n, _, s)| format!("{n} {s}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(&sequence), ["1 a", "2 b"]);
        sequence.next();
        sequence.add_post("post a");
        assert_eq!(numbers(&sequence), ["2 b"]);
        sequence.next();
        sequence.add_post("post b");
        assert_eq!(numbers(&sequence), ["3 post b", "4 post a"]);
    }

    #[test]
    fn a_skip_says_why() {
        let mut sequence = Sequence::new([()]);
        sequence.record("Run make", Outcome::Failure, false);
        let reason = |status: &Status, text: &str| match status.decide(
            condition(text).as_ref(),
            Implicit::Success,
            &World,
        ) {
            Decision::Skip(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            reason(sequence.status(), ""),
            "success() is false: `Run make` failed"
        );
        let cancelled = sequence.status().with_cancelled(true);
        assert_eq!(
            reason(&cancelled, ""),
            "success() is false: the job was cancelled"
        );
        let why = reason(&Status::default(), "github.ref_name == 'dev'");
        assert!(why.contains("main"), "{why}");
    }
}

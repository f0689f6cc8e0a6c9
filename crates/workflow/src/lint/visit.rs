//! Every expression of a workflow, with where it stands.

use crate::expr::{Expr, Template};
use crate::model::{
    CallSecrets, Concurrency, Job, JobKind, RunDefaults, Step, StepKind, StepsJob, Tree, TreeKey, TreeKind,
    Workflow,
};
use crate::source::Span;
use std::ops::Range;

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(crate) struct Site<'w> {
    pub(crate) job: Option<&'w Job>,
    /// The step's place in its job.
    pub(crate) step: Option<usize>,
    pub(crate) part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The script of a `run`.
    Script,
    Condition,
    Other,
}

/// Calls `visit` for each expression.
pub(crate) fn expressions<'w>(workflow: &'w Workflow, visit: &mut dyn FnMut(Site<'w>, &'w Expr)) {
    let mut walk = Walk {
        site: Site {
            job: None,
            step: None,
            part: Part::Other,
        },
        visit,
    };
    walk.template(workflow.run_name.as_ref());
    walk.tree(workflow.env.as_ref());
    walk.concurrency(workflow.concurrency.as_ref());
    walk.defaults(&workflow.defaults);
    for job in workflow.jobs.values() {
        walk.site.job = Some(job);
        walk.job(job);
    }
}

/// The place of a part of an expression's text; the whole expression where it does not stand there as it is.
pub(crate) fn place(workflow: &Workflow, expr: &Expr, range: &Range<usize>) -> Span {
    if workflow.source.slice(expr.span) == expr.text {
        let start = expr.span.start as usize;
        return Span::new(start + range.start, start + range.end);
    }
    expr.span
}

struct Walk<'w, 'v> {
    site: Site<'w>,
    visit: &'v mut dyn FnMut(Site<'w>, &'w Expr),
}

impl<'w> Walk<'w, '_> {
    fn job(&mut self, job: &'w Job) {
        self.template(job.name.as_ref());
        if let Some(condition) = &job.condition {
            self.part(Part::Condition, |walk| (walk.visit)(walk.site, &condition.expr));
        }
        if let Some(strategy) = &job.strategy {
            let trees = [
                &strategy.matrix,
                &strategy.fail_fast,
                &strategy.max_parallel,
                &strategy.whole,
            ];
            trees.into_iter().for_each(|t| self.tree(t.as_ref()));
        }
        self.concurrency(job.concurrency.as_ref());
        match &job.kind {
            JobKind::Steps(steps) => self.steps_job(steps),
            JobKind::Call(call) => {
                self.tree(call.with.as_ref());
                if let CallSecrets::Map(tree) = &call.secrets {
                    self.tree(Some(tree));
                }
            }
        }
    }

    fn steps_job(&mut self, job: &'w StepsJob) {
        self.tree(Some(&job.runs_on));
        if let Some(environment) = &job.environment {
            self.template(Some(&environment.name));
            self.template(environment.url.as_ref());
        }
        job.outputs.values().for_each(|t| self.template(Some(t)));
        let trees = [
            &job.env,
            &job.timeout_minutes,
            &job.cancel_timeout_minutes,
            &job.continue_on_error,
            &job.container,
            &job.services,
        ];
        trees.into_iter().for_each(|t| self.tree(t.as_ref()));
        self.defaults(&job.defaults);
        for (index, step) in job.steps.iter().enumerate() {
            self.site.step = Some(index);
            self.step(step);
            self.site.step = None;
        }
    }

    fn step(&mut self, step: &'w Step) {
        self.template(step.name.as_ref());
        if let Some(condition) = &step.condition {
            self.part(Part::Condition, |walk| (walk.visit)(walk.site, &condition.expr));
        }
        let trees = [&step.env, &step.continue_on_error, &step.timeout_minutes];
        trees.into_iter().for_each(|t| self.tree(t.as_ref()));
        match &step.kind {
            StepKind::Run {
                script,
                shell,
                working_directory,
                ..
            } => {
                self.part(Part::Script, |walk| walk.template(Some(script)));
                self.template(shell.as_ref());
                self.template(working_directory.as_ref());
            }
            StepKind::Uses { with, .. } => self.tree(with.as_ref()),
            StepKind::Background(_) => {}
        }
    }

    fn part(&mut self, part: Part, inner: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.site.part, part);
        inner(self);
        self.site.part = before;
    }

    fn concurrency(&mut self, concurrency: Option<&'w Concurrency>) {
        if let Some(concurrency) = concurrency {
            self.template(Some(&concurrency.group));
            self.tree(concurrency.cancel_in_progress.as_ref());
        }
    }

    fn defaults(&mut self, defaults: &'w RunDefaults) {
        self.template(defaults.shell.as_ref());
        self.template(defaults.working_directory.as_ref());
    }

    fn template(&mut self, template: Option<&'w Template>) {
        template
            .into_iter()
            .flat_map(Template::expressions)
            .for_each(|expr| (self.visit)(self.site, expr));
    }

    fn tree(&mut self, tree: Option<&'w Tree>) {
        match tree.map(|t| &t.kind) {
            None | Some(TreeKind::Scalar(_)) => {}
            Some(TreeKind::Template(template)) => self.template(Some(template)),
            Some(TreeKind::Seq(items)) => items.iter().for_each(|t| self.tree(Some(t))),
            Some(TreeKind::Map(entries)) => {
                for (key, value) in entries {
                    if let TreeKey::Template(template) = key {
                        self.template(Some(template));
                    }
                    self.tree(Some(value));
                }
            }
        }
    }
}

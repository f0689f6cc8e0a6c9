//! What is worked out for a job when its needs are done: its name, labels, environment, limits and gates.

use super::scope::{JobScope, to_object};
use super::state::{Gate, Leg, Plan};
use super::{Run, state::Job};
use pilotage_api::runner::JobSpec;
use pilotage_workflow::expr::{Expr, ExprError, Part, Scope, Template, Value};
use pilotage_workflow::matrix;
use pilotage_workflow::model::{Concurrency, Job as Definition, JobKind, StepsJob, Strategy, Tree};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// GitHub's defaults, in minutes.
const TIMEOUT_MINUTES: f64 = 360.0;
const CANCEL_TIMEOUT_MINUTES: f64 = 5.0;
/// As long as a run may take on GitHub.
const TIMEOUT_MINUTES_MAX: f64 = 35.0 * 24.0 * 60.0;

impl Run {
    /// The legs of a node's matrix, or the only one. Sets what the matrix says of all of them.
    pub(super) fn legs(
        &mut self,
        frame: usize,
        node: usize,
        definition: &Definition,
    ) -> Result<Vec<Leg>, String> {
        let Some(strategy) = &definition.strategy else {
            return Ok(vec![Leg::only()]);
        };
        let strategy = self.strategy(frame, node, strategy)?;
        let legs = match &strategy.matrix {
            None => vec![Leg::only()],
            Some(value) => {
                let legs = matrix::expand(value)?;
                let total = legs.len();
                let leg = |(index, leg): (usize, matrix::Leg)| Leg {
                    matrix: Some(
                        leg.values
                            .iter()
                            .map(|(name, value)| (name.to_owned(), Json::from(value)))
                            .collect(),
                    ),
                    suffix: leg.name,
                    index,
                    total,
                };
                legs.into_iter().enumerate().map(leg).collect()
            }
        };
        if legs.is_empty() {
            return Err("the matrix has no combination: `exclude` takes all of them away".to_owned());
        }
        self.frames[frame].nodes[node].fail_fast = strategy.fail_fast;
        self.frames[frame].nodes[node].max_parallel = strategy.max_parallel;
        Ok(legs)
    }

    fn strategy(&self, frame: usize, node: usize, strategy: &Strategy) -> Result<Evaluated, String> {
        let scope = self.node_scope(frame, node);
        let evaluate = |tree: &Option<Tree>, key: &str| match tree {
            None => Ok(None),
            Some(tree) => tree.evaluate(&scope).map(Some).map_err(|e| says(key, &e)),
        };
        let (matrix, fail_fast, max_parallel) = match &strategy.whole {
            None => (
                evaluate(&strategy.matrix, "strategy.matrix")?,
                evaluate(&strategy.fail_fast, "fail-fast")?,
                evaluate(&strategy.max_parallel, "max-parallel")?,
            ),
            Some(_) => match evaluate(&strategy.whole, "strategy")? {
                Some(Value::Object(whole)) => {
                    let part = |key: &str| whole.get(key).cloned();
                    (part("matrix"), part("fail-fast"), part("max-parallel"))
                }
                _ => return Err("`strategy` is not a map".to_owned()),
            },
        };
        Ok(Evaluated {
            matrix: matrix.filter(|value| !matches!(value, Value::Null)),
            fail_fast: fail_fast.map_or(Ok(true), |value| truth(&value, true, "fail-fast"))?,
            max_parallel: match max_parallel {
                None | Some(Value::Null) => None,
                Some(value) => Some(whole(amount(&value, "max-parallel")?, "max-parallel")?),
            },
        })
    }

    /// The name and the plan of a job whose leg is set.
    pub(super) fn plan(&self, job: usize, definition: &Definition) -> Result<(String, Plan), String> {
        let scope = self.job_scope(job);
        let name = self.full_name(job, definition, &scope)?;
        let mut plan = Plan {
            gates: Vec::new(),
            ..Plan::default()
        };
        plan.gates.extend(gate(definition.concurrency.as_ref(), &scope)?);
        match &definition.kind {
            JobKind::Steps(steps) => plan_steps(&mut plan, steps, &scope)?,
            JobKind::Call(call) => {
                let workflow = call
                    .workflow
                    .as_ref()
                    .ok_or_else(|| format!("`{}` was not found", call.uses.value))?;
                let inputs = self.call_inputs(call, workflow, &scope)?;
                let inside = self.base_scope().with("inputs", to_object(&inputs));
                plan.gates.extend(gate(workflow.concurrency.as_ref(), &inside)?);
                plan.call = Some(inputs);
            }
        }
        Ok((name, plan))
    }

    /// Everything that expressions of a job's own keys may see.
    pub(super) fn job_scope(&self, job: usize) -> JobScope {
        let job = &self.jobs[job];
        let matrix = job.leg.matrix.as_ref().map_or(Value::Null, to_object);
        self.node_scope(job.frame, job.node)
            .with("strategy", to_object(&self.strategy_map(job)))
            .with("matrix", matrix)
    }

    fn strategy_map(&self, job: &Job) -> Map<String, Json> {
        let node = &self.frames[job.frame].nodes[job.node];
        let strategy = json!({
            "fail-fast": node.fail_fast,
            "job-index": job.leg.index,
            "job-total": job.leg.total,
            "max-parallel": node.max_parallel.unwrap_or(job.leg.total),
        });
        match strategy {
            Json::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Shown while nothing is known but the file.
    pub(super) fn waiting_name(&self, frame: usize, key: &str) -> String {
        let definition = self.workflow(frame).and_then(|w| w.jobs.get(key));
        let name = definition
            .and_then(|d| d.name.as_ref())
            .and_then(plain_text)
            .unwrap_or(key);
        self.with_caller(frame, name)
    }

    fn full_name(&self, job: usize, definition: &Definition, scope: &JobScope) -> Result<String, String> {
        let Job { frame, key, leg, .. } = &self.jobs[job];
        let given = match &definition.name {
            Some(name) => name.evaluate(scope).map_err(|e| says("name", &e))?.to_text(),
            None => String::new(),
        };
        let base = if given.trim().is_empty() { key } else { &given };
        let names_leg = definition.name.as_ref().is_some_and(mentions_leg);
        let name = match &leg.matrix {
            Some(_) if !names_leg && !leg.suffix.is_empty() => format!("{base} {}", leg.suffix),
            _ => base.clone(),
        };
        Ok(self.with_caller(*frame, &name))
    }

    fn with_caller(&self, frame: usize, name: &str) -> String {
        match self.frames[frame].caller {
            Some(caller) => format!("{} / {name}", self.jobs[caller].name),
            None => name.to_owned(),
        }
    }

    /// What a runner needs for a job, but for its secrets.
    pub(super) fn spec_of(&self, job: usize) -> JobSpec {
        let Job {
            frame,
            node,
            key,
            name,
            leg,
            ..
        } = &self.jobs[job];
        let mut contexts = Map::new();
        contexts.insert("github".to_owned(), Json::Object(self.github_map(Some(key))));
        contexts.insert("needs".to_owned(), Json::Object(self.needs_map(*frame, *node)));
        contexts.insert(
            "strategy".to_owned(),
            Json::Object(self.strategy_map(&self.jobs[job])),
        );
        contexts.insert(
            "matrix".to_owned(),
            leg.matrix.clone().map_or(Json::Null, Json::Object),
        );
        contexts.insert(
            "inputs".to_owned(),
            Json::Object(self.frames[*frame].inputs.clone()),
        );
        contexts.insert("vars".to_owned(), json!(self.spec.vars));
        let source = self.workflow(*frame).map(|w| &w.source);
        JobSpec {
            run_id: self.spec.run_id.0,
            run_attempt: self.attempt,
            job_id: self.job_id(job).0,
            name: name.clone(),
            workflow_path: source.map(|s| s.path.clone()).unwrap_or_default(),
            workflow_text: source.map(|s| s.text.clone()).unwrap_or_default(),
            job_key: key.clone(),
            contexts,
            secrets: BTreeMap::new(),
            reason: self.why_it_runs(*frame, *node),
        }
    }

    fn why_it_runs(&self, frame: usize, node: usize) -> String {
        let word = |(key, need): (&String, &Json)| {
            format!(
                "`{key}` ({})",
                need.get("result").and_then(Json::as_str).unwrap_or_default()
            )
        };
        let needs: Vec<String> = self.needs_map(frame, node).iter().map(word).collect();
        let event = self
            .spec
            .github
            .get("event_name")
            .and_then(Json::as_str)
            .unwrap_or("event");
        if needs.is_empty() {
            format!("event {event}")
        } else {
            format!("event {event}, needs {}", needs.join(", "))
        }
    }
}

/// A strategy's values.
struct Evaluated {
    matrix: Option<Value>,
    fail_fast: bool,
    max_parallel: Option<usize>,
}

fn plan_steps(plan: &mut Plan, job: &StepsJob, scope: &JobScope) -> Result<(), String> {
    let runs_on = job.runs_on.evaluate(scope).map_err(|e| says("runs-on", &e))?;
    (plan.group, plan.labels) = labels(&Json::from(&runs_on))?;
    if let Some(environment) = &job.environment {
        let name = environment
            .name
            .evaluate(scope)
            .map_err(|e| says("environment", &e))?
            .to_text();
        // GitHub takes a name that comes out empty as no environment.
        if !name.is_empty() {
            plan.environment = Some(name.clone());
            plan.gates.push(Gate::Environment {
                name,
                deployment: environment.deployment,
            });
        }
    }
    plan.continue_on_error = boolean(job.continue_on_error.as_ref(), scope, false, "continue-on-error")?;
    plan.timeout = minutes(
        job.timeout_minutes.as_ref(),
        scope,
        TIMEOUT_MINUTES,
        "timeout-minutes",
    )?;
    plan.cancel_timeout = minutes(
        job.cancel_timeout_minutes.as_ref(),
        scope,
        CANCEL_TIMEOUT_MINUTES,
        "cancel-timeout-minutes",
    )?;
    Ok(())
}

/// The gate of a `concurrency`; none where its group comes out empty.
pub(super) fn gate(concurrency: Option<&Concurrency>, scope: &JobScope) -> Result<Option<Gate>, String> {
    let Some(concurrency) = concurrency else {
        return Ok(None);
    };
    let group = concurrency
        .group
        .evaluate(scope)
        .map_err(|e| says("concurrency.group", &e))?
        .to_text();
    let cancel = boolean(
        concurrency.cancel_in_progress.as_ref(),
        scope,
        false,
        "concurrency.cancel-in-progress",
    )?;
    if group.is_empty() {
        return Ok(None);
    }
    Ok(Some(Gate::Concurrency {
        group,
        cancel_in_progress: cancel,
        queue_max: concurrency.queue_max,
    }))
}

/// `runs-on`: a label, a list of labels, or a map of `group` and `labels`.
fn labels(runs_on: &Json) -> Result<(Option<String>, Vec<String>), String> {
    let (group, labels) = match runs_on {
        Json::Object(map) => {
            let group = map
                .get("group")
                .and_then(Json::as_str)
                .filter(|g| !g.is_empty())
                .map(str::to_owned);
            let labels = map.get("labels").map(label_list).transpose()?.unwrap_or_default();
            (group, labels)
        }
        other => (None, label_list(other)?),
    };
    if group.is_none() && labels.is_empty() {
        return Err("`runs-on` names no runner: it came out empty".to_owned());
    }
    Ok((group, labels))
}

fn label_list(value: &Json) -> Result<Vec<String>, String> {
    let items = match value {
        Json::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let texts = items.iter().map(|item| match item {
        Json::Array(_) | Json::Object(_) => Err("a label of `runs-on` is not a text".to_owned()),
        scalar => Ok(Value::from(scalar).to_text()),
    });
    Ok(texts
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|label| !label.is_empty())
        .collect())
}

fn boolean(tree: Option<&Tree>, scope: &dyn Scope, default: bool, key: &str) -> Result<bool, String> {
    match tree {
        None => Ok(default),
        Some(tree) => truth(&tree.evaluate(scope).map_err(|e| says(key, &e))?, default, key),
    }
}

fn truth(value: &Value, default: bool, key: &str) -> Result<bool, String> {
    match value {
        Value::Null => Ok(default),
        Value::Bool(value) => Ok(*value),
        other => Err(format!("`{key}` is `{}`, not true or false", other.to_text())),
    }
}

fn number(tree: &Tree, scope: &dyn Scope, key: &str) -> Result<f64, String> {
    amount(&tree.evaluate(scope).map_err(|e| says(key, &e))?, key)
}

fn amount(value: &Value, key: &str) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => Some(*number),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|n: &f64| n.is_finite() && *n > 0.0)
        .ok_or_else(|| format!("`{key}` is `{}`, not a number above 0", value.to_text()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked just before"
)]
fn whole(number: f64, key: &str) -> Result<usize, String> {
    if number.fract() == 0.0 && number <= 1e6 {
        Ok(number as usize)
    } else {
        Err(format!("`{key}` is `{number}`, not a whole number"))
    }
}

fn minutes(tree: Option<&Tree>, scope: &dyn Scope, default: f64, key: &str) -> Result<Duration, String> {
    let minutes = tree.map_or(Ok(default), |tree| number(tree, scope, key))?;
    Ok(Duration::from_secs_f64(minutes.min(TIMEOUT_MINUTES_MAX) * 60.0))
}

fn says(key: &str, error: &ExprError) -> String {
    format!("`{key}` cannot be evaluated: {error}")
}

fn plain_text(template: &Template) -> Option<&str> {
    match template.parts.as_slice() {
        [Part::Text(text)] => Some(text),
        _ => None,
    }
}

/// GitHub adds the matrix's values to a given name, unless the name shows them itself.
fn mentions_leg(name: &Template) -> bool {
    let mentions = |expr: &Expr| {
        let text = expr.text.to_ascii_lowercase();
        text.contains("matrix") || text.contains("strategy")
    };
    name.parts
        .iter()
        .any(|part| matches!(part, Part::Expr(expr) if mentions(expr)))
}

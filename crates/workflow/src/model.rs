//! The typed model of a workflow file and of an `action.yml`, with places.
//!
//! Expressions are parsed and checked when the file is read, and evaluated when their time comes. Anything that
//! may be an expression, or hold one, is a [`Tree`]; a text that may hold one is a [`Template`].

use crate::expr::{Expr, ExprError, Object, Scope, Template, Value};
use crate::source::{Source, Span, Spanned};
use indexmap::IndexMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Workflow {
    pub source: Arc<Source>,
    pub name: Option<Spanned<String>>,
    pub run_name: Option<Template>,
    /// In the order of the file, each event once.
    pub on: Vec<Trigger>,
    pub env: Option<Tree>,
    pub defaults: RunDefaults,
    pub permissions: Option<Permissions>,
    pub concurrency: Option<Concurrency>,
    /// By id, in the order of the file.
    pub jobs: IndexMap<String, Job>,
}

/// One event under `on`.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub event: Spanned<String>,
    pub types: Option<Vec<Spanned<String>>>,
    pub branches: Filter,
    pub tags: Filter,
    pub paths: Filter,
    /// `workflow_run.workflows`.
    pub workflows: Vec<Spanned<String>>,
    /// `image_version.names`.
    pub names: Vec<Spanned<String>>,
    /// `image_version.versions`.
    pub versions: Vec<Spanned<String>>,
    pub schedule: Vec<Schedule>,
    /// Of `workflow_dispatch` and `workflow_call`.
    pub inputs: IndexMap<String, Input>,
    /// Of `workflow_call`.
    pub secrets: IndexMap<String, SecretInput>,
    /// Of `workflow_call`.
    pub outputs: IndexMap<String, WorkflowOutput>,
}

/// `branches` and `branches-ignore` (and the same for tags and paths) exclude each other.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    #[default]
    None,
    Only(Vec<Spanned<String>>),
    Ignore(Vec<Spanned<String>>),
}

#[derive(Clone, Debug)]
pub struct Schedule {
    pub cron: Spanned<String>,
    pub timezone: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    String,
    Boolean,
    Number,
    Choice,
    Environment,
}

#[derive(Clone, Debug)]
pub struct Input {
    pub span: Span,
    pub kind: InputKind,
    pub description: Option<String>,
    pub required: bool,
    pub default: Option<Tree>,
    /// Of `choice`.
    pub options: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct SecretInput {
    pub span: Span,
    pub required: bool,
}

#[derive(Clone, Debug)]
pub struct WorkflowOutput {
    pub span: Span,
    pub value: Template,
}

/// `defaults.run` of a workflow or job.
#[derive(Clone, Debug, Default)]
pub struct RunDefaults {
    pub shell: Option<Template>,
    pub working_directory: Option<Template>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    None,
    Read,
    Write,
}

#[derive(Clone, Debug)]
pub struct Permissions {
    pub span: Span,
    pub kind: PermissionsKind,
}

#[derive(Clone, Debug)]
pub enum PermissionsKind {
    ReadAll,
    WriteAll,
    /// What is not named here is none.
    Map(IndexMap<String, Spanned<Access>>),
}

#[derive(Clone, Debug)]
pub struct Concurrency {
    pub span: Span,
    pub group: Template,
    /// A boolean or an expression.
    pub cancel_in_progress: Option<Tree>,
    /// `queue: max` keeps every waiting run; `single`, the default, only the newest.
    pub queue_max: bool,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub id: Spanned<String>,
    /// The whole job, for diagnostics about it.
    pub span: Span,
    pub name: Option<Template>,
    pub needs: Vec<Spanned<String>>,
    pub condition: Option<Condition>,
    pub strategy: Option<Strategy>,
    pub permissions: Option<Permissions>,
    pub concurrency: Option<Concurrency>,
    pub kind: JobKind,
}

#[derive(Clone, Debug)]
pub enum JobKind {
    Steps(Box<StepsJob>),
    Call(Box<CallJob>),
}

/// A job of steps.
#[derive(Clone, Debug)]
pub struct StepsJob {
    /// A text, a list, or a map of `group` and `labels`.
    pub runs_on: Tree,
    pub environment: Option<EnvironmentRef>,
    pub outputs: IndexMap<String, Template>,
    pub env: Option<Tree>,
    pub defaults: RunDefaults,
    pub steps: Vec<Step>,
    pub timeout_minutes: Option<Tree>,
    pub cancel_timeout_minutes: Option<Tree>,
    pub continue_on_error: Option<Tree>,
    pub container: Option<Tree>,
    pub services: Option<Tree>,
    pub snapshot: Option<Tree>,
}

/// A job that calls a reusable workflow.
#[derive(Clone, Debug)]
pub struct CallJob {
    pub uses: Spanned<String>,
    pub with: Option<Tree>,
    pub secrets: CallSecrets,
    /// The called workflow, where it was found and holds no error.
    pub workflow: Option<Arc<Workflow>>,
}

#[derive(Clone, Debug, Default)]
pub enum CallSecrets {
    #[default]
    None,
    Inherit,
    Map(Tree),
}

#[derive(Clone, Debug)]
pub struct EnvironmentRef {
    pub name: Template,
    /// Evaluated when the job ends, with its steps.
    pub url: Option<Template>,
    /// `deployment: false` takes the environment's secrets and rules without a deployment.
    pub deployment: bool,
}

#[derive(Clone, Debug)]
pub struct Strategy {
    pub matrix: Option<Tree>,
    pub fail_fast: Option<Tree>,
    pub max_parallel: Option<Tree>,
    /// Set instead of the others where all of `strategy` is one expression.
    pub whole: Option<Tree>,
}

/// An `if`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As written, without `${{ }}`.
    pub expr: Expr,
    /// Whether it calls `always`, `success`, `failure` or `cancelled`; if not, `success()` is demanded as well.
    pub has_status_function: bool,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// Given by the user, or made as GitHub makes it: `__run`, `__actions_checkout`, `__run_2`.
    pub id: String,
    pub span: Span,
    pub name: Option<Template>,
    pub condition: Option<Condition>,
    pub env: Option<Tree>,
    pub continue_on_error: Option<Tree>,
    pub timeout_minutes: Option<Tree>,
    pub kind: StepKind,
}

#[derive(Clone, Debug)]
pub enum StepKind {
    Run {
        script: Template,
        shell: Option<Template>,
        working_directory: Option<Template>,
        background: bool,
    },
    Uses {
        action: Spanned<String>,
        with: Option<Tree>,
        background: bool,
    },
    /// `wait`, `wait-all`, `cancel` and `parallel` of background steps.
    Background(Spanned<String>),
}

/// A YAML value that may be, or may hold, expressions.
#[derive(Clone, Debug)]
pub struct Tree {
    pub span: Span,
    pub kind: TreeKind,
}

#[derive(Clone, Debug)]
pub enum TreeKind {
    /// A scalar without an expression, with its YAML type.
    Scalar(Value),
    Template(Template),
    Seq(Vec<Tree>),
    Map(Vec<(TreeKey, Tree)>),
}

#[derive(Clone, Debug)]
pub enum TreeKey {
    Plain(Spanned<String>),
    Template(Template),
    /// `${{ insert }}: expression`, which puts a whole object in its place.
    Insert(Span),
}

impl Tree {
    /// Evaluates every expression in it.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExprError> {
        match &self.kind {
            TreeKind::Scalar(value) => Ok(value.clone()),
            TreeKind::Template(template) => template.evaluate(scope),
            TreeKind::Seq(items) => items
                .iter()
                .map(|t| t.evaluate(scope))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
            TreeKind::Map(entries) => self.evaluate_map(entries, scope).map(Value::from),
        }
    }

    fn evaluate_map(&self, entries: &[(TreeKey, Tree)], scope: &dyn Scope) -> Result<Object, ExprError> {
        let mut object = Object::new();
        for (key, value) in entries {
            let value = value.evaluate(scope)?;
            match key {
                TreeKey::Plain(name) => object.insert(name.value.as_str(), value),
                TreeKey::Template(name) => object.insert(name.evaluate(scope)?.to_text(), value),
                TreeKey::Insert(_) => {
                    if let Value::Object(inserted) = value {
                        inserted.iter().for_each(|(k, v)| object.insert(k, v.clone()));
                    }
                }
            }
        }
        Ok(object)
    }
}

/// An action's `action.yml`.
#[derive(Clone, Debug)]
pub struct Action {
    pub source: Arc<Source>,
    pub name: Option<String>,
    pub inputs: IndexMap<String, ActionInput>,
    /// Of a composite action, with their values; of the others only the names.
    pub outputs: IndexMap<String, Option<Template>>,
    pub runs: ActionRuns,
}

#[derive(Clone, Debug)]
pub struct ActionInput {
    pub required: bool,
    pub default: Option<Template>,
    pub deprecation: Option<String>,
}

#[derive(Clone, Debug)]
pub enum ActionRuns {
    Composite {
        steps: Vec<Step>,
    },
    JavaScript {
        /// `node20` and the like.
        using: Spanned<String>,
        main: String,
        pre: Option<String>,
        pre_if: Option<Condition>,
        post: Option<String>,
        post_if: Option<Condition>,
    },
    Docker {
        image: Spanned<String>,
        span: Span,
    },
}

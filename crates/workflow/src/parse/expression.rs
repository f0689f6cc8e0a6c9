//! Which contexts and functions a key offers: the table behind "`secrets` is not available here".
//!
//! The lists are facts of GitHub's schema (`workflow-v1.0.json` of actions/languageservices).

use crate::expr::Allowed;

/// What expressions at one place may use. `place` completes "… is not available in".
#[derive(Clone, Copy, Debug)]
pub(super) struct Allow {
    pub(super) contexts: &'static [&'static str],
    pub(super) functions: &'static [&'static str],
    pub(super) place: &'static str,
}

impl Allow {
    pub(super) fn names(&self) -> Allowed<'static> {
        Allowed {
            contexts: self.contexts,
            functions: self.functions,
        }
    }
}

/// Every context that is available somewhere.
pub(super) const CONTEXTS: &[&str] = &[
    "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "jobs", "runner",
    "env",
];
/// Every function that is available somewhere.
pub(super) const FUNCTIONS: &[&str] = &[
    "contains",
    "startsWith",
    "endsWith",
    "format",
    "join",
    "toJSON",
    "fromJSON",
    "hashFiles",
    "case",
    "always",
    "success",
    "failure",
    "cancelled",
];

const fn allow(place: &'static str, contexts: &'static [&'static str]) -> Allow {
    Allow {
        contexts,
        functions: &[],
        place,
    }
}

const fn with_hash(place: &'static str) -> Allow {
    Allow {
        contexts: STEP_CONTEXTS,
        functions: &["hashFiles"],
        place,
    }
}

const WORKFLOW: &[&str] = &["github", "inputs", "vars"];
const NEEDS: &[&str] = &["github", "inputs", "vars", "needs"];
const MATRIX: &[&str] = &["github", "inputs", "vars", "needs", "strategy", "matrix"];
const MATRIX_SECRETS: &[&str] = &[
    "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets",
];
const RUNNER: &[&str] = &[
    "github", "inputs", "vars", "needs", "strategy", "matrix", "steps", "job", "runner", "env",
];
const STEP_CONTEXTS: &[&str] = &[
    "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env",
];
const COMPOSITE: &[&str] = &[
    "github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env",
];
const STATUS: &[&str] = &["always", "success", "failure", "cancelled"];
pub(super) const STATUS_HASH: &[&str] = &["always", "success", "failure", "cancelled", "hashFiles"];

/// A place without expressions.
pub(super) const NOTHING: Allow = allow("this place", &[]);
pub(super) const RUN_NAME: Allow = allow("`run-name`", WORKFLOW);
pub(super) const WORKFLOW_ENV: Allow = allow("a workflow's `env`", &["github", "inputs", "vars", "secrets"]);
pub(super) const WORKFLOW_CONCURRENCY: Allow = allow("a workflow's `concurrency`", WORKFLOW);
pub(super) const INPUT_DEFAULT: Allow = allow("an input's `default`", WORKFLOW);
pub(super) const OUTPUT_VALUE: Allow = allow("an output's `value`", &["github", "inputs", "vars", "jobs"]);

pub(super) const JOB_NAME: Allow = allow("a job's `name`", MATRIX);
pub(super) const JOB_IF: Allow = Allow {
    contexts: NEEDS,
    functions: STATUS,
    place: "a job's `if`",
};
pub(super) const STRATEGY: Allow = allow("`strategy`", NEEDS);
pub(super) const JOB_NUMBER: Allow = allow("a job's time limits", MATRIX);
pub(super) const JOB_CONTINUE: Allow = allow("a job's `continue-on-error`", MATRIX);
pub(super) const RUNS_ON: Allow = allow("`runs-on`", MATRIX);
pub(super) const JOB_ENV: Allow = allow("a job's `env`", MATRIX_SECRETS);
pub(super) const JOB_CONCURRENCY: Allow = allow("a job's `concurrency`", MATRIX);
pub(super) const ENVIRONMENT: Allow = allow("`environment`", MATRIX);
pub(super) const ENVIRONMENT_URL: Allow = allow("an environment's `url`", RUNNER);
pub(super) const JOB_DEFAULTS: Allow = allow(
    "a job's `defaults`",
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "env"],
);
pub(super) const JOB_OUTPUTS: Allow = allow("a job's `outputs`", STEP_CONTEXTS);
pub(super) const CALL_WITH: Allow = allow("`with` of a called workflow", MATRIX);
pub(super) const CALL_SECRETS: Allow = allow("`secrets` of a called workflow", MATRIX_SECRETS);
pub(super) const CONTAINER: Allow = allow("`container` and `services`", MATRIX);
pub(super) const CONTAINER_ENV: Allow = allow("a container's `env`", STEP_CONTEXTS);
pub(super) const CREDENTIALS: Allow = allow(
    "a container's `credentials`",
    &[
        "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "env",
    ],
);
pub(super) const SNAPSHOT_IF: Allow = allow("a snapshot's `if`", MATRIX);

pub(super) const STEP: Allow = with_hash("a step");
pub(super) const STEP_IF: Allow = Allow {
    contexts: RUNNER,
    functions: STATUS_HASH,
    place: "a step's `if`",
};
pub(super) const COMPOSITE_STEP: Allow = Allow {
    contexts: COMPOSITE,
    functions: &["hashFiles"],
    place: "a step of a composite action",
};
pub(super) const COMPOSITE_IF: Allow = Allow {
    contexts: COMPOSITE,
    functions: STATUS_HASH,
    place: "the `if` of a step of a composite action",
};
pub(super) const ACTION_DEFAULT: Allow = Allow {
    contexts: &["github", "strategy", "matrix", "job", "runner"],
    functions: &["hashFiles"],
    place: "the `default` of an action's input",
};
pub(super) const ACTION_OUTPUT: Allow = allow("the `value` of an action's output", COMPOSITE);
pub(super) const ACTION_IF: Allow = Allow {
    contexts: &["github", "strategy", "matrix", "steps", "job", "runner", "env"],
    functions: STATUS_HASH,
    place: "an action's `pre-if` and `post-if`",
};

/// The first `success` or `failure` with arguments where it takes none: they take names of jobs in a job's `if`
/// only. The range is the function's name, in bytes.
pub(super) fn status_with_arguments(text: &str, allow: &Allow) -> Option<std::ops::Range<usize>> {
    if allow.place == JOB_IF.place {
        return None;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let first = rest.chars().next()?;
        if first == '\'' {
            at += rest.get(1..)?.find('\'').map_or(rest.len(), |end| end + 2);
        } else if is_name(first) {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(length);
            let arguments = after.trim_start().strip_prefix('(').map(str::trim_start);
            let is_status = ["success", "failure"]
                .iter()
                .any(|f| f.eq_ignore_ascii_case(name));
            if is_status && arguments.is_some_and(|a| !a.starts_with(')')) {
                return Some(at..at + length);
            }
            at += length;
        } else {
            at += first.len_utf8();
        }
    }
    None
}

//! Reusable workflows: finding them, reading each once, and checking a call against what is called.

use super::permissions;
use super::reader::cut;
use super::suggest::closest;
use super::{ParseOptions, Resolver, workflow};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::expr::Value;
use crate::model::{
    CallJob, CallSecrets, Input, InputKind, Job, JobKind, Tree, TreeKey, TreeKind, Trigger, Workflow,
};
use crate::source::{Source, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// How deep calls may nest.
const DEPTH_MAX: usize = 10;
/// A workflow and 50 others.
const FILES_MAX: usize = 51;

pub(super) struct Loader<'a> {
    resolver: &'a dyn Resolver,
    options: &'a ParseOptions,
    /// Each called file by the name it was asked for; none where it is not usable.
    loaded: HashMap<String, Option<Arc<Workflow>>>,
    /// The files from the root to the one that is being read.
    chain: Vec<String>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(resolver: &'a dyn Resolver, options: &'a ParseOptions) -> Self {
        Self {
            resolver,
            options,
            loaded: HashMap::new(),
            chain: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn root(mut self, source: &Arc<Source>) -> (Option<Workflow>, Vec<Diagnostic>) {
        let workflow = self.file(source, "");
        if let Some(workflow) = &workflow {
            let policy = self.options.permissions_policy;
            permissions::check_calls(workflow, None, policy, &mut self.diagnostics);
        }
        (workflow, self.diagnostics)
    }

    /// Reads a file and what it calls. `home` is `owner/repo@ref` of a remote file, where local paths are sought.
    fn file(&mut self, source: &Arc<Source>, home: &str) -> Option<Workflow> {
        let (workflow, diagnostics) = workflow::read(source);
        self.diagnostics.extend(diagnostics);
        let mut workflow = workflow?;
        for job in workflow.jobs.values_mut() {
            let Job {
                id: _,
                kind: JobKind::Call(call),
                ..
            } = job
            else {
                continue;
            };
            call.workflow = self.called(source, call, home);
            if let Some(called) = call.workflow.clone() {
                self.check(source, call, &called);
            }
        }
        Some(workflow)
    }

    fn called(&mut self, source: &Arc<Source>, call: &CallJob, home: &str) -> Option<Arc<Workflow>> {
        let span = call.uses.span;
        let uses = call.uses.value.as_str();
        if !is_reference(uses) {
            let help = "`./.github/workflows/name.yml` or `owner/repo/.github/workflows/name.yml@ref`";
            self.error(
                "W0109",
                source,
                span,
                format!("`{}` names no workflow", cut(uses)),
            )
            .help = Some(help.to_owned());
            return None;
        }
        let name = absolute(uses, home);
        if self.chain.contains(&name) || source.path == name.trim_start_matches("./") {
            self.error(
                "W0407",
                source,
                span,
                format!("the workflow `{uses}` calls itself, directly or through others"),
            );
            return None;
        }
        if self.chain.len() >= DEPTH_MAX {
            self.error(
                "W0406",
                source,
                span,
                format!("workflows are called more than {DEPTH_MAX} deep within one another"),
            );
            return None;
        }
        if let Some(known) = self.loaded.get(&name) {
            return known.clone();
        }
        if self.loaded.len() + 1 >= FILES_MAX {
            self.error(
                "W0406",
                source,
                span,
                format!("more than {} workflows are called", FILES_MAX - 1),
            );
            return None;
        }
        let text = match self.resolver.workflow(&name) {
            Ok(text) => text,
            Err(reason) => {
                self.missing(source, span, &name, &reason);
                return None;
            }
        };
        let called = self.load(source, span, &name, &text);
        self.loaded.insert(name, called.clone());
        called
    }

    fn missing(&mut self, source: &Arc<Source>, span: Span, name: &str, reason: &str) {
        let message = format!("the workflow `{name}` was not found: {reason}");
        let is_local = name.starts_with("./") || name.starts_with("$/");
        if is_local || self.options.remote_required {
            self.error("W0401", source, span, message);
        } else {
            let warning = Diagnostic::warning("W0401", source, span, message);
            self.diagnostics
                .push(warning.help("its inputs, secrets and permissions are not checked"));
        }
    }

    fn load(
        &mut self,
        source: &Arc<Source>,
        span: Span,
        name: &str,
        text: &Arc<Source>,
    ) -> Option<Arc<Workflow>> {
        let before = self.diagnostics.len();
        self.chain.push(name.to_owned());
        let called = self.file(text, &home_of(name));
        self.chain.pop();
        if has_errors(self.diagnostics.get(before..).unwrap_or_default()) {
            let faults = self.diagnostics.len() - before;
            let message = format!(
                "the workflow `{name}` has {faults} fault{}",
                if faults == 1 { "" } else { "s" }
            );
            // Before what is wrong there, because that is the place the reader can change.
            self.diagnostics
                .insert(before, Diagnostic::error("W0408", source, span, message));
            return None;
        }
        called.map(Arc::new)
    }

    fn check(&mut self, source: &Arc<Source>, call: &CallJob, called: &Workflow) {
        let Some(trigger) = called.on.iter().find(|t| t.event.value == "workflow_call") else {
            let message = format!(
                "the workflow `{}` cannot be called: it has no `workflow_call` under `on`",
                call.uses.value
            );
            self.error("W0402", source, call.uses.span, message);
            return;
        };
        self.inputs(source, call, trigger);
        self.defaults(source, call, called, trigger);
        self.secrets(source, call, trigger);
    }

    fn inputs(&mut self, source: &Arc<Source>, call: &CallJob, trigger: &Trigger) {
        let given = entries(call.with.as_ref());
        for (name, input) in &trigger.inputs {
            match given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
                Some((_, value)) => self.input_type(source, name, input, value),
                None if input.required => {
                    let message = format!("the input `{name}` of `{}` is required", call.uses.value);
                    self.error("W0403", source, call.uses.span, message).help =
                        Some(format!("give it under `with`: `{name}: …`"));
                }
                None => {}
            }
        }
        for (name, value) in &given {
            if !trigger.inputs.keys().any(|k| k.eq_ignore_ascii_case(name)) {
                let near = closest(name, trigger.inputs.keys().map(String::as_str));
                let help = near.map(|n| format!("did you mean `{n}`?"));
                let message = format!("`{}` has no input `{name}`", call.uses.value);
                self.error("W0403", source, value.span, message).help = help;
            }
        }
    }

    fn input_type(&mut self, source: &Arc<Source>, name: &str, input: &Input, value: &Tree) {
        if let Some(expected) = mismatch(input, value) {
            self.error(
                "W0403",
                source,
                value.span,
                format!("the input `{name}` is {expected}"),
            );
        }
    }

    /// A default that does not fit its type makes each call fail, and the caller is where that shows.
    fn defaults(&mut self, source: &Arc<Source>, call: &CallJob, called: &Workflow, trigger: &Trigger) {
        for (name, input) in &trigger.inputs {
            let Some(default) = &input.default else { continue };
            if let Some(expected) = mismatch(input, default) {
                let message = format!(
                    "the input `{name}` of `{}` is {expected}, and its default is not",
                    call.uses.value
                );
                self.error("W0403", source, call.uses.span, message);
                self.error(
                    "W0403",
                    &called.source,
                    default.span,
                    format!("the input `{name}` is {expected}"),
                );
            }
        }
    }

    fn secrets(&mut self, source: &Arc<Source>, call: &CallJob, trigger: &Trigger) {
        let given = match &call.secrets {
            CallSecrets::Inherit => return,
            CallSecrets::None => Vec::new(),
            CallSecrets::Map(tree) => entries(Some(tree)),
        };
        for (name, secret) in trigger.secrets.iter().filter(|(_, s)| s.required) {
            let _ = secret;
            if !given.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)) {
                let message = format!("the secret `{name}` of `{}` is required", call.uses.value);
                let help = format!(
                    "give it under `secrets`: `{name}: ${{{{ secrets.{name} }}}}`, or `secrets: inherit`"
                );
                self.error("W0404", source, call.uses.span, message).help = Some(help);
            }
        }
        for (name, value) in &given {
            if !trigger.secrets.keys().any(|k| k.eq_ignore_ascii_case(name)) {
                let near = closest(name, trigger.secrets.keys().map(String::as_str));
                let help = near.map(|n| format!("did you mean `{n}`?"));
                let message = format!("`{}` has no secret `{name}`", call.uses.value);
                self.error("W0404", source, value.span, message).help = help;
            }
        }
    }

    fn error(
        &mut self,
        code: &'static str,
        source: &Arc<Source>,
        span: Span,
        message: String,
    ) -> &mut Diagnostic {
        self.diagnostics
            .push(Diagnostic::error(code, source, span, message));
        let last = self.diagnostics.len() - 1;
        &mut self.diagnostics[last]
    }
}

/// What an input's type demands, where the value is known and is not that. Texts take every scalar.
fn mismatch(input: &Input, value: &Tree) -> Option<&'static str> {
    let TreeKind::Scalar(scalar) = &value.kind else {
        return None;
    };
    match (input.kind, scalar) {
        (InputKind::Boolean, Value::Bool(_)) | (InputKind::Number, Value::Number(_)) => None,
        (InputKind::Boolean, _) => Some("a boolean"),
        (InputKind::Number, _) => Some("a number"),
        _ => None,
    }
}

fn entries(tree: Option<&Tree>) -> Vec<(&str, &Tree)> {
    let Some(Tree {
        kind: TreeKind::Map(entries),
        ..
    }) = tree
    else {
        return Vec::new();
    };
    let plain = |(key, value): &'_ (TreeKey, Tree)| matches!(key, TreeKey::Plain(_)).then_some(value.span);
    entries
        .iter()
        .filter(|e| plain(e).is_some())
        .filter_map(|(key, value)| match key {
            TreeKey::Plain(name) => Some((name.value.as_str(), value)),
            _ => None,
        })
        .collect()
}

fn is_reference(uses: &str) -> bool {
    if let Some(path) = uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")) {
        return !path.is_empty() && !path.contains('@') && !path.split('/').any(|s| s == "..");
    }
    let Some((path, at)) = uses.split_once('@') else {
        return false;
    };
    let segments: Vec<&str> = path.split('/').collect();
    !at.is_empty() && segments.len() >= 3 && !segments.iter().any(|s| s.is_empty() || *s == "." || *s == "..")
}

/// A local path in a file of another repository means that repository at the same ref.
fn absolute(uses: &str, home: &str) -> String {
    match (
        uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")),
        home.split_once('@'),
    ) {
        (Some(path), Some((repository, at))) => format!("{repository}/{path}@{at}"),
        _ => uses.to_owned(),
    }
}

/// `owner/repo@ref` of a remote workflow; empty for a local one.
fn home_of(name: &str) -> String {
    if name.starts_with("./") || name.starts_with("$/") {
        return String::new();
    }
    let Some((path, at)) = name.split_once('@') else {
        return String::new();
    };
    let repository: Vec<&str> = path.split('/').take(2).collect();
    format!("{}@{at}", repository.join("/"))
}

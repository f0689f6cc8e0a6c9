//! From the stored texts of a run to the parsed workflow.

use super::RunSpec;
use pilotage_workflow::diagnostic::Diagnostic;
use pilotage_workflow::model::Workflow;
use pilotage_workflow::parse::{self, ParseOptions, Resolver};
use pilotage_workflow::source::Source;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parses the run's workflow together with those that it calls, which are found among the run's own texts only.
pub(super) fn read(spec: &RunSpec) -> (Option<Arc<Workflow>>, Vec<Diagnostic>) {
    let text = spec.workflows.get(&spec.workflow_path).map_or("", String::as_str);
    let source = Source::new(spec.workflow_path.as_str(), text);
    let options = ParseOptions {
        remote_required: true,
        ..ParseOptions::default()
    };
    let (workflow, diagnostics) = parse::workflow(&source, &Texts(&spec.workflows), &options);
    (workflow.map(Arc::new), diagnostics)
}

struct Texts<'a>(&'a BTreeMap<String, String>);

impl Resolver for Texts<'_> {
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String> {
        let path = uses
            .strip_prefix("./")
            .or_else(|| uses.strip_prefix("$/"))
            .unwrap_or(uses);
        match self.0.get(path) {
            Some(text) => Ok(Source::new(path, text.as_str())),
            None => Err(format!("`{path}` is not part of the run")),
        }
    }
}

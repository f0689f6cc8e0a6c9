//! What starts a workflow, in words, and whether this server ever does that.

use crate::event::Notice;
use pilotage_workflow::model::{Filter, Trigger, Workflow};
use pilotage_workflow::source::Spanned;

/// Names of one filter that are said.
const NAMES_MAX: usize = 5;

/// One trigger, said.
pub(crate) struct Said {
    /// A fragment: `a push to main`.
    pub words: String,
    /// Why this server never does it; none where it does.
    pub never: Option<&'static str>,
}

/// Why an event starts nothing here, though a workflow may name it; none where it does.
#[must_use]
pub(crate) fn never(event: &str) -> Option<&'static str> {
    match event {
        "push" | "workflow_dispatch" | "workflow_call" => None,
        "pull_request"
        | "pull_request_target"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "merge_group" => Some("this server has no pull requests yet"),
        "schedule" => Some("this server keeps no schedules yet"),
        "workflow_run" => Some("nothing starts at the end of another run yet"),
        "repository_dispatch" => Some("this server does not take it yet"),
        _ => Some("it happens on GitHub only"),
    }
}

#[must_use]
pub(crate) fn say(trigger: &Trigger) -> Said {
    let event = trigger.event.value.as_str();
    let words = match event {
        "push" => push(trigger),
        "workflow_dispatch" => "by hand".to_owned(),
        "workflow_call" => "when another workflow calls it".to_owned(),
        "schedule" => {
            let times: Vec<&str> = trigger.schedule.iter().map(|s| s.cron.value.as_str()).collect();
            format!("by the clock ({})", times.join("; "))
        }
        "pull_request" | "pull_request_target" => {
            format!("a pull request{}", names(" into ", &trigger.branches))
        }
        "workflow_run" => format!("when {} ends", listed(&trigger.workflows, " or ")),
        event => event.to_owned(),
    };
    Said {
        words,
        never: never(event),
    }
}

/// What people might wait for in vain, of the workflow in this file; none where all its triggers start it.
#[must_use]
pub(crate) fn notice(workflow: &Workflow, path: &str) -> Option<Notice> {
    let mut in_vain = Vec::new();
    let mut reasons = Vec::new();
    for trigger in &workflow.on {
        if let Some(reason) = never(&trigger.event.value) {
            in_vain.push(trigger.event.value.as_str());
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    if in_vain.is_empty() {
        return None;
    }
    let (events, reasons) = (in_vain.join(", "), reasons.join(", and "));
    let never = in_vain.len() == workflow.on.len();
    let text = if never {
        format!("never starts here: it waits for {events}, and {reasons}")
    } else {
        format!("is not started by {events} here: {reasons}")
    };
    let workflow = path.to_owned();
    Some(Notice {
        workflow,
        text,
        never,
    })
}

/// A filter that takes every name says nothing.
fn takes_all(filter: &Filter) -> bool {
    matches!(filter, Filter::Only(texts) if matches!(texts.as_slice(), [only] if only.value == "**"))
}

fn push(trigger: &Trigger) -> String {
    let (branches, tags) = (&trigger.branches, &trigger.tags);
    let is_none = |filter: &Filter| matches!(filter, Filter::None);
    let mut words = match (is_none(branches), is_none(tags)) {
        (true, true) => "a push".to_owned(),
        (false, true) if takes_all(branches) => "a push to any branch".to_owned(),
        (false, true) => format!("a push{}", names(" to ", branches)),
        (true, false) => format!("a pushed tag{}", names(": ", tags)),
        (false, false) => format!("a push{}, or a tag{}", names(" to ", branches), names(": ", tags)),
    };
    match &trigger.paths {
        Filter::None => {}
        all if takes_all(all) => {}
        Filter::Only(paths) => words.push_str(&format!(" that changes {}", listed(paths, " or "))),
        Filter::Ignore(paths) => {
            words.push_str(&format!(" that changes more than {}", listed(paths, " and ")));
        }
    }
    words
}

fn names(before: &str, filter: &Filter) -> String {
    match filter {
        Filter::None => String::new(),
        Filter::Only(texts) => format!("{before}{}", listed(texts, " or ")),
        Filter::Ignore(texts) => format!("{before}any but {}", listed(texts, " and ")),
    }
}

/// `a, b or c`, with no more than a few of them.
fn listed(texts: &[Spanned<String>], last: &str) -> String {
    let shown: Vec<&str> = texts.iter().take(NAMES_MAX).map(|t| t.value.as_str()).collect();
    let more = texts.len() - shown.len();
    if more > 0 {
        return format!("{}{last}{more} more", shown.join(", "));
    }
    match shown.split_last() {
        Some((end, begin)) if !begin.is_empty() => format!("{}{last}{end}", begin.join(", ")),
        _ => shown.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pilotage_workflow::parse::{self, NoResolver, ParseOptions};
    use pilotage_workflow::source::Source;

    /// The triggers of an `on`, a line each, and the notice behind them.
    fn check(on: &str, expected: &str) {
        let text = format!("on: {on}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: a\n");
        let source = Source::new("ci.yml", text.as_str());
        let (workflow, diagnostics) = parse::workflow(&source, &NoResolver, &ParseOptions::default());
        let workflow = workflow.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let mut lines: Vec<String> = workflow.on.iter().map(|t| say(t).words).collect();
        lines.extend(notice(&workflow, "ci.yml").map(|notice| notice.text));
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn triggers_are_said() {
        check("push", "a push");
        check(
            "{push: {branches: ['**'], paths: ['**']}}",
            "a push to any branch",
        );
        check(
            "{push: {branches: [main, 'release/**'], paths: ['src/**']}, workflow_dispatch: {}}",
            "a push to main or release/** that changes src/**\nby hand",
        );
        check(
            "{push: {branches-ignore: [wip], tags: ['v*']}}",
            "a push to any but wip, or a tag: v*",
        );
        check(
            "{push: {tags: [a, b, c, d, e, f, g]}}",
            "a pushed tag: a, b, c, d, e or 2 more",
        );
        check(
            "{push: {}, pull_request: {branches: [dev, main]}}",
            "a push\na pull request into dev or main\n\
             is not started by pull_request here: this server has no pull requests yet",
        );
        check(
            "{schedule: [{cron: '0 3 * * *'}], issues: {}}",
            "by the clock (0 3 * * *)\nissues\n\
             never starts here: it waits for schedule, issues, and this server keeps no schedules yet, and it happens on GitHub only",
        );
    }
}

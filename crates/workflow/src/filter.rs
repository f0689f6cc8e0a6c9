//! Whether an event starts a workflow, and if not, why not, in words.
//!
//! Knows nothing of git: who asks has worked out the changed paths.

use crate::glob::{PatternError, Patterns};
use crate::model::{Filter, Trigger};
use crate::source::Spanned;

/// What happened, as far as filters ask.
#[derive(Clone, Debug, Default)]
pub struct EventFacts {
    /// `push`, `pull_request` and so on.
    pub name: String,
    /// The activity, as in `types`: `opened`. None where the event has none.
    pub action: Option<String>,
    pub ref_kind: RefKind,
    /// The branch or tag without `refs/…/`; of `workflow_run` the branch that the finished run was of.
    pub ref_name: String,
    /// Of pull requests and merge groups: the branch that they go into.
    pub base_branch: Option<String>,
    /// Of a push that changed files: their paths. None where they are unknown: then path filters let it pass,
    /// as GitHub does when a difference is too large.
    pub changed_paths: Option<Vec<String>>,
    /// Whether a push deleted its branch or tag. Such a push starts nothing.
    pub deleted: bool,
    /// Of `workflow_run`: the name of the workflow that ran.
    pub workflow: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefKind {
    Branch,
    Tag,
    #[default]
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub fires: bool,
    /// A fragment: why it fires, or which filter did not let it pass.
    pub reason: String,
}

/// Whether one of a workflow's triggers takes the event.
#[must_use]
pub fn decide(triggers: &[Trigger], facts: &EventFacts) -> Decision {
    match triggers.iter().find(|trigger| trigger.event.value == facts.name) {
        Some(trigger) => fires(trigger, facts),
        None => Decision {
            fires: false,
            reason: format!("`on` does not name {}", facts.name),
        },
    }
}

/// Whether this trigger takes the event.
#[must_use]
pub fn fires(trigger: &Trigger, facts: &EventFacts) -> Decision {
    match refusal(trigger, facts) {
        None => Decision {
            fires: true,
            reason: format!("on {}", facts.name),
        },
        Some(reason) => Decision { fires: false, reason },
    }
}

/// Whether a commit's message asks that no push or pull request of it starts anything: by `[skip ci]` and its
/// kin anywhere, or by a last line `skip-checks: true`.
#[must_use]
pub fn skip_ci(commit_message: &str) -> bool {
    const MARKS: &[&str] = &[
        "[skip ci]",
        "[ci skip]",
        "[no ci]",
        "[skip actions]",
        "[actions skip]",
    ];
    let message = commit_message.to_lowercase();
    let last_line = message.trim_end().lines().last().unwrap_or_default();
    let trailer = last_line
        .strip_prefix("skip-checks:")
        .is_some_and(|value| value.trim() == "true");
    trailer || MARKS.iter().any(|mark| message.contains(mark))
}

fn refusal(trigger: &Trigger, facts: &EventFacts) -> Option<String> {
    let event = facts.name.as_str();
    if trigger.event.value != event {
        return Some(format!("{} is not {event}", trigger.event.value));
    }
    match event {
        "push" => push_refusal(trigger, facts),
        "pull_request" | "pull_request_target" | "merge_group" => types_refusal(trigger, facts)
            .or_else(|| name_refusal("branches", &trigger.branches, facts.base_branch.as_deref()?))
            .or_else(|| paths_refusal(trigger, facts)),
        "workflow_run" => types_refusal(trigger, facts)
            .or_else(|| workflows_refusal(trigger, facts))
            .or_else(|| name_refusal("branches", &trigger.branches, &facts.ref_name)),
        "workflow_call" => Some("workflow_call starts only by `uses` in another workflow".to_owned()),
        "image_version" => Some("image_version is an event of GitHub's own machines".to_owned()),
        _ => types_refusal(trigger, facts),
    }
}

fn push_refusal(trigger: &Trigger, facts: &EventFacts) -> Option<String> {
    if facts.deleted {
        return Some(format!("'{}' was deleted", facts.ref_name));
    }
    let (branches, tags) = (&trigger.branches, &trigger.tags);
    match facts.ref_kind {
        RefKind::Branch if is_none(branches) && !is_none(tags) => Some(format!(
            "only tags are asked for, and '{}' is a branch",
            facts.ref_name
        )),
        RefKind::Tag if is_none(tags) && !is_none(branches) => Some(format!(
            "only branches are asked for, and '{}' is a tag",
            facts.ref_name
        )),
        RefKind::Branch => {
            name_refusal("branches", branches, &facts.ref_name).or_else(|| paths_refusal(trigger, facts))
        }
        // Path filters do not count for tags.
        RefKind::Tag => name_refusal("tags", tags, &facts.ref_name),
        RefKind::None => None,
    }
}

fn types_refusal(trigger: &Trigger, facts: &EventFacts) -> Option<String> {
    let action = facts.action.as_deref();
    if let Some(types) = &trigger.types {
        let taken = action.is_some_and(|action| types.iter().any(|t| t.value.eq_ignore_ascii_case(action)));
        let said = action.map_or_else(
            || "an event without a type".to_owned(),
            |action| format!("'{action}'"),
        );
        return (!taken).then(|| format!("types: {} does not take {said}", listed(types)));
    }
    let (action, default) = (action?, default_types(&facts.name)?);
    let taken = default.contains(&action);
    (!taken).then(|| {
        format!(
            "{} without types takes only {}, not '{action}'",
            facts.name,
            default.join(", ")
        )
    })
}

/// The types that an event takes where none are written. None is all of them.
fn default_types(event: &str) -> Option<&'static [&'static str]> {
    match event {
        "pull_request" | "pull_request_target" => Some(&["opened", "synchronize", "reopened"]),
        _ => None,
    }
}

fn workflows_refusal(trigger: &Trigger, facts: &EventFacts) -> Option<String> {
    let workflow = facts.workflow.as_deref()?;
    let taken = trigger.workflows.is_empty() || trigger.workflows.iter().any(|name| name.value == workflow);
    (!taken).then(|| {
        format!(
            "workflows: {} does not take '{workflow}'",
            listed(&trigger.workflows)
        )
    })
}

fn name_refusal(key: &str, filter: &Filter, name: &str) -> Option<String> {
    match filter {
        Filter::None => None,
        Filter::Only(texts) => match compiled(texts) {
            Ok(patterns) => (!patterns.take(name))
                .then(|| format!("{key}: {} does not take '{}'", listed(texts), shown(name))),
            Err(error) => Some(format!("{key}: {error}")),
        },
        Filter::Ignore(texts) => match compiled(texts) {
            Ok(patterns) => patterns
                .take(name)
                .then(|| format!("{key}-ignore: {} leaves out '{}'", listed(texts), shown(name))),
            Err(error) => Some(format!("{key}-ignore: {error}")),
        },
    }
}

fn paths_refusal(trigger: &Trigger, facts: &EventFacts) -> Option<String> {
    let paths = facts.changed_paths.as_deref()?;
    match &trigger.paths {
        Filter::None => None,
        Filter::Only(texts) => match compiled(texts) {
            Ok(patterns) if paths.iter().any(|path| patterns.take(path)) => None,
            Ok(_) => Some(format!(
                "paths: {} takes none of {}",
                listed(texts),
                counted(paths)
            )),
            Err(error) => Some(format!("paths: {error}")),
        },
        Filter::Ignore(texts) => match compiled(texts) {
            Ok(patterns) if paths.is_empty() || !paths.iter().all(|path| patterns.take(path)) => None,
            Ok(_) => Some(format!(
                "paths-ignore: {} leaves out all of {}",
                listed(texts),
                counted(paths)
            )),
            Err(error) => Some(format!("paths-ignore: {error}")),
        },
    }
}

fn is_none(filter: &Filter) -> bool {
    matches!(filter, Filter::None)
}

fn compiled(texts: &[Spanned<String>]) -> Result<Patterns, PatternError> {
    Patterns::parse(texts.iter().map(|text| text.value.as_str()))
}

/// `['main', 'release/**']`, with no more than a few of them.
fn listed(texts: &[Spanned<String>]) -> String {
    const SHOWN_MAX: usize = 4;
    let mut names: Vec<String> = texts
        .iter()
        .take(SHOWN_MAX)
        .map(|text| format!("'{}'", shown(&text.value)))
        .collect();
    if texts.len() > SHOWN_MAX {
        names.push(format!("and {} more", texts.len() - SHOWN_MAX));
    }
    format!("[{}]", names.join(", "))
}

fn counted(paths: &[String]) -> String {
    match paths {
        [path] => format!("the one changed file, '{}'", shown(path)),
        _ => format!("the {} changed files", paths.len()),
    }
}

/// A name from outside, without what could disturb a terminal, and not longer than can be read.
fn shown(name: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut text: String = name.chars().take(CHARACTERS_MAX).map(plain).collect();
    if name.chars().nth(CHARACTERS_MAX).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    fn texts(texts: &[&str]) -> Vec<Spanned<String>> {
        texts
            .iter()
            .map(|text| Spanned::new((*text).to_owned(), Span::default()))
            .collect()
    }

    fn trigger(event: &str) -> Trigger {
        Trigger::new(Spanned::new(event.to_owned(), Span::default()))
    }

    fn push(kind: RefKind, name: &str, paths: &[&str]) -> EventFacts {
        EventFacts {
            name: "push".to_owned(),
            ref_kind: kind,
            ref_name: name.to_owned(),
            changed_paths: Some(paths.iter().map(|path| (*path).to_owned()).collect()),
            ..EventFacts::default()
        }
    }

    /// Expects the reason of a refusal; an empty one where the trigger is to fire.
    fn check(trigger: &Trigger, facts: &EventFacts, expected: &str) {
        let decision = fires(trigger, facts);
        assert_eq!(decision.fires, expected.is_empty(), "{decision:?}");
        if !decision.fires {
            assert_eq!(decision.reason, expected);
        }
    }

    #[test]
    fn pushes_by_branch_and_tag() {
        use RefKind::{Branch, Tag};
        let main = Trigger {
            branches: Filter::Only(texts(&["main", "release/**"])),
            ..trigger("push")
        };
        check(&main, &push(Branch, "main", &[]), "");
        check(&main, &push(Branch, "release/1/2", &[]), "");
        let reason = "branches: ['main', 'release/**'] does not take 'fix/login'";
        check(&main, &push(Branch, "fix/login", &[]), reason);
        check(
            &main,
            &push(Tag, "main", &[]),
            "only branches are asked for, and 'main' is a tag",
        );

        let versions = Trigger {
            tags: Filter::Ignore(texts(&["v0.*"])),
            ..trigger("push")
        };
        check(&versions, &push(Tag, "v1.0", &[]), "");
        check(
            &versions,
            &push(Tag, "v0.9", &[]),
            "tags-ignore: ['v0.*'] leaves out 'v0.9'",
        );
        check(
            &versions,
            &push(Branch, "main", &[]),
            "only tags are asked for, and 'main' is a branch",
        );

        check(&trigger("push"), &push(Branch, "any", &[]), "");
        check(&trigger("push"), &push(Tag, "any", &[]), "");
        let deleted = EventFacts {
            deleted: true,
            ..push(Branch, "old", &[])
        };
        check(&trigger("push"), &deleted, "'old' was deleted");
        let bad = Trigger {
            branches: Filter::Only(texts(&["a[b"])),
            ..trigger("push")
        };
        check(&bad, &push(Branch, "a", &[]), "branches: `[` is not closed");
    }

    #[test]
    fn pushes_by_path() {
        use RefKind::{Branch, Tag};
        let source = Trigger {
            branches: Filter::Only(texts(&["main"])),
            tags: Filter::Only(texts(&["*"])),
            paths: Filter::Only(texts(&["src/**", "!src/docs/**"])),
            ..trigger("push")
        };
        check(&source, &push(Branch, "main", &["README.md", "src/a.rs"]), "");
        let reason = "paths: ['src/**', '!src/docs/**'] takes none of the one changed file, 'src/docs/a'";
        check(&source, &push(Branch, "main", &["src/docs/a"]), reason);
        check(
            &source,
            &push(Branch, "dev", &["src/a.rs"]),
            "branches: ['main'] does not take 'dev'",
        );
        check(&source, &push(Tag, "v1", &["README.md"]), "");
        let unknown = EventFacts {
            changed_paths: None,
            ..push(Branch, "main", &[])
        };
        check(&source, &unknown, "");

        let docs = Trigger {
            paths: Filter::Ignore(texts(&["docs/**"])),
            ..trigger("push")
        };
        check(&docs, &push(Branch, "main", &["docs/a", "src/a"]), "");
        check(&docs, &push(Branch, "main", &[]), "");
        let reason = "paths-ignore: ['docs/**'] leaves out all of the 2 changed files";
        check(&docs, &push(Branch, "main", &["docs/a", "docs/b"]), reason);
    }

    #[test]
    fn pull_requests_by_base_and_type() {
        let facts = |action: &str| EventFacts {
            name: "pull_request".to_owned(),
            action: Some(action.to_owned()),
            ref_name: "fix/login".to_owned(),
            base_branch: Some("main".to_owned()),
            ..EventFacts::default()
        };
        let plain = trigger("pull_request");
        check(&plain, &facts("synchronize"), "");
        let reason = "pull_request without types takes only opened, synchronize, reopened, not 'closed'";
        check(&plain, &facts("closed"), reason);
        let closed = Trigger {
            types: Some(texts(&["closed"])),
            ..trigger("pull_request")
        };
        check(&closed, &facts("closed"), "");
        check(
            &closed,
            &facts("opened"),
            "types: ['closed'] does not take 'opened'",
        );
        let dev = Trigger {
            branches: Filter::Only(texts(&["dev"])),
            ..trigger("pull_request")
        };
        check(&dev, &facts("opened"), "branches: ['dev'] does not take 'main'");
    }

    #[test]
    fn other_events() {
        let facts = |name: &str| EventFacts {
            name: name.to_owned(),
            ..EventFacts::default()
        };
        check(&trigger("workflow_dispatch"), &facts("workflow_dispatch"), "");
        check(&trigger("schedule"), &facts("schedule"), "");
        let closed = Trigger {
            types: Some(texts(&["closed"])),
            ..trigger("issues")
        };
        check(
            &closed,
            &facts("issues"),
            "types: ['closed'] does not take an event without a type",
        );
        let reason = "workflow_call starts only by `uses` in another workflow";
        check(&trigger("workflow_call"), &facts("workflow_call"), reason);
        let after = Trigger {
            workflows: texts(&["CI"]),
            ..trigger("workflow_run")
        };
        let ran = |name: &str| EventFacts {
            workflow: Some(name.to_owned()),
            ..facts("workflow_run")
        };
        check(&after, &ran("CI"), "");
        check(&after, &ran("Deploy"), "workflows: ['CI'] does not take 'Deploy'");

        let decision = decide(&[trigger("push"), trigger("schedule")], &facts("issues"));
        assert_eq!(decision.reason, "`on` does not name issues");
        assert!(decide(&[trigger("push"), trigger("schedule")], &facts("schedule")).fires);
    }

    #[test]
    fn messages_that_ask_for_nothing() {
        let skips = [
            "Fix typo [skip ci]",
            "[CI SKIP] x",
            "x\n\n[no ci]",
            "[skip actions]",
            "a [actions skip] b",
            "Title\n\n\nskip-checks: true\n",
            "Title\n\nSigned-off-by: A\nskip-checks:true",
        ];
        skips
            .iter()
            .for_each(|message| assert!(skip_ci(message), "{message}"));
        let runs = [
            "skip ci",
            "skip-checks: true\n\nbut more",
            "skip-checks: false",
            "",
        ];
        runs.iter()
            .for_each(|message| assert!(!skip_ci(message), "{message}"));
    }
}

//! The language that lists of runs are filtered by: `branch:main status:failed "some words"`.

/// The keys, and what stands behind each.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("branch", "a branch"),
    ("tag", "a tag"),
    (
        "status",
        "passed, failed, running, queued, waiting, cancelled or skipped",
    ),
    ("workflow", "a workflow's file or name"),
    ("actor", "who started it"),
    ("event", "push or workflow_dispatch"),
    ("sha", "a commit, or its beginning"),
    ("project", "owner/name"),
];
/// Longer ones are cut before they are read.
pub(super) const CHARS_MAX: usize = 200;

/// What is asked for; what is empty does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub git_ref: String,
    /// In the store's words.
    pub status: String,
    pub workflow: String,
    pub actor: String,
    pub event: String,
    pub sha: String,
    pub project: String,
    /// In lower case; each is in the title.
    pub words: Vec<String>,
}

impl Query {
    /// What is wrong is said with what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Query::default();
        for (key, value) in parts(text)? {
            let value = value.trim();
            match key.as_str() {
                "" => query.words.push(value.to_lowercase()),
                "branch" => query.git_ref = format!("refs/heads/{value}"),
                "tag" => query.git_ref = format!("refs/tags/{value}"),
                "status" => status(value)?.clone_into(&mut query.status),
                "workflow" => value.clone_into(&mut query.workflow),
                "actor" => value.clone_into(&mut query.actor),
                "event" => value.clone_into(&mut query.event),
                "sha" => query.sha = value.to_lowercase(),
                "project" => value.clone_into(&mut query.project),
                other => return Err(unknown(other)),
            }
        }
        Ok(query)
    }
}

fn unknown(key: &str) -> String {
    let keys: Vec<String> = KEYS.iter().map(|(key, _)| format!("`{key}:`")).collect();
    format!(
        "There is no `{key}:`. There are {}. A text with a colon goes in quotes: `\"{key}: …\"`.",
        keys.join(", ")
    )
}

/// A word of people, or GitHub's, as the store has it.
fn status(word: &str) -> Result<&'static str, String> {
    Ok(match word.to_lowercase().as_str() {
        "passed" | "success" => "success",
        "failed" | "failure" => "failure",
        "running" | "in_progress" => "in_progress",
        "queued" => "queued",
        "waiting" | "waits" => "waiting",
        "pending" => "pending",
        "cancelled" | "canceled" => "cancelled",
        "skipped" => "skipped",
        "completed" | "over" => "completed",
        _ => {
            return Err(format!(
                "There is no `status:{word}`: it is {}.",
                KEYS.iter()
                    .find(|(key, _)| *key == "status")
                    .map_or("", |(_, words)| words)
            ));
        }
    })
}

/// Keys with their values, and words without a key.
fn parts(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut key = String::new();
        let end = rest.find(|c: char| c == ':' || c == '"' || c.is_whitespace());
        if let Some(end) = end.filter(|end| *end > 0)
            && let Some((head, tail)) = rest.split_at_checked(end)
            && let Some(tail) = tail.strip_prefix(':')
        {
            key = head.to_lowercase();
            rest = tail;
        }
        let value;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, tail) = quoted
                .split_once('"')
                .ok_or_else(|| "A quote is not closed.".to_owned())?;
            value = inside;
            rest = tail;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (value, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        }
        if value.trim().is_empty() && !key.is_empty() {
            if !KEYS.iter().any(|(known, _)| *known == key) {
                return Err(unknown(&key));
            }
            return Err(format!("`{key}:` needs a value behind it."));
        }
        if !value.trim().is_empty() {
            parts.push((key, value.to_owned()));
        }
        rest = rest.trim_start();
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Query) {
        assert_eq!(Query::parse(text), Ok(expected), "{text}");
    }

    fn refused(text: &str, expected: &str) {
        let error = Query::parse(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn keys_words_and_quotes() {
        check("", Query::default());
        check(
            " Branch:main  status:Failed workflow:\"My CI\" ",
            Query {
                git_ref: "refs/heads/main".to_owned(),
                status: "failure".to_owned(),
                workflow: "My CI".to_owned(),
                ..Query::default()
            },
        );
        check(
            "fix \"login: Now\" actor:ana sha:AB12 event:push project:o/p tag:v1",
            Query {
                git_ref: "refs/tags/v1".to_owned(),
                actor: "ana".to_owned(),
                sha: "ab12".to_owned(),
                event: "push".to_owned(),
                project: "o/p".to_owned(),
                words: vec!["fix".to_owned(), "login: now".to_owned()],
                ..Query::default()
            },
        );
        check(
            "branch:feat/a:b",
            Query {
                git_ref: "refs/heads/feat/a:b".to_owned(),
                ..Query::default()
            },
        );
    }

    #[test]
    fn what_is_not_understood_says_what_is() {
        refused("fix: login", "There is no `fix:`. There are `branch:`, `tag:`");
        refused("status:sad", "it is passed, failed, running");
        refused("branch:", "needs a value");
        refused("branch: main", "needs a value");
        refused("\"open", "not closed");
        for text in [":", "::", "\"", "\"\"", "é:ü", "a\"b", ":\u{0}"] {
            let _ = Query::parse(text);
        }
    }
}

//! The event that a local run is about: its payload and the `github` context, from the checkout and from what the
//! person said.

use crate::error::{CommandError, CommandResult};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

/// What git knows of the checkout. A folder without git is a project without a history.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// `owner/name`, from the remote where there is one.
    pub(crate) repository: String,
    pub(crate) sha: String,
    /// `refs/heads/main`, or the commit where no branch is checked out.
    pub(crate) reference: String,
    pub(crate) message: String,
    pub(crate) author: String,
}

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

impl Checkout {
    pub(crate) fn read(root: &Path) -> Self {
        let git = |arguments: &[&str]| {
            let output = Command::new("git")
                .arg("-C")
                .arg(root)
                .args(arguments)
                .output()
                .ok()?;
            let text = String::from_utf8(output.stdout)
                .ok()
                .filter(|_| output.status.success())?;
            Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
        };
        let folder = std::path::absolute(root).ok();
        let folder = folder
            .as_deref()
            .and_then(Path::file_name)
            .map(|n| n.to_string_lossy().into_owned());
        let author = git(&["config", "user.name"]).or_else(|| std::env::var("USER").ok());
        let author = author.unwrap_or_else(|| "local".to_owned()).replace(' ', "-");
        let repository = git(&["config", "--get", "remote.origin.url"]).and_then(|url| owner_and_name(&url));
        Self {
            repository: repository
                .unwrap_or_else(|| format!("{author}/{}", folder.as_deref().unwrap_or("project"))),
            sha: git(&["rev-parse", "--verify", "HEAD"]).unwrap_or_else(|| NO_COMMIT.to_owned()),
            reference: git(&["symbolic-ref", "-q", "HEAD"]).unwrap_or_else(|| "refs/heads/main".to_owned()),
            message: git(&["log", "-1", "--format=%B"]).unwrap_or_default(),
            author,
        }
    }

    pub(crate) fn ref_name(&self) -> &str {
        self.reference
            .strip_prefix("refs/heads/")
            .or_else(|| self.reference.strip_prefix("refs/tags/"))
            .unwrap_or(&self.reference)
    }
}

fn owner_and_name(url: &str) -> Option<String> {
    let path = url.trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    (!name.is_empty() && !owner.is_empty()).then(|| format!("{owner}/{name}"))
}

/// The payload: the person's, or one made from the checkout.
pub(crate) fn payload(
    name: &str,
    file: Option<&Path>,
    checkout: &Checkout,
) -> CommandResult<Map<String, Value>> {
    if let Some(file) = file {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|e| CommandError::invalid(format!("cannot read the event file {shown}")).because(&e))?;
        return match serde_json::from_str(&text) {
            Ok(Value::Object(payload)) => Ok(payload),
            Ok(_) => Err(CommandError::invalid(format!(
                "the event file {shown} holds no JSON object"
            ))),
            Err(e) => Err(CommandError::invalid(format!("the event file {shown} is no JSON")).because(&e)),
        };
    }
    let (owner, repository) = checkout
        .repository
        .split_once('/')
        .unwrap_or(("local", &checkout.repository));
    let mut payload = json!({
        "repository": {
            "name": repository, "full_name": checkout.repository, "default_branch": "main",
            "owner": {"login": owner, "name": owner},
        },
        "sender": {"login": checkout.author},
    });
    let subject = match name {
        "push" => json!({
            "ref": checkout.reference, "before": NO_COMMIT, "after": checkout.sha, "created": false,
            "deleted": false, "forced": false,
            "head_commit": {"id": checkout.sha, "message": checkout.message, "author": {"name": checkout.author}},
            "pusher": {"name": checkout.author},
        }),
        "pull_request" | "pull_request_target" => json!({
            "action": "opened", "number": 1,
            "pull_request": {
                "number": 1, "title": checkout.message.lines().next().unwrap_or_default(),
                "head": {"ref": checkout.ref_name(), "sha": checkout.sha}, "base": {"ref": "main"},
            },
        }),
        "workflow_dispatch" => json!({"ref": checkout.reference, "inputs": {}}),
        _ => json!({}),
    };
    if let (Value::Object(all), Value::Object(subject)) = (&mut payload, subject) {
        all.extend(subject);
    }
    match payload {
        Value::Object(payload) => Ok(payload),
        _ => Ok(Map::new()),
    }
}

/// The `github` context of a run.
pub(crate) fn github(
    name: &str,
    payload: Map<String, Value>,
    checkout: &Checkout,
    workflow: &str,
    path: &str,
) -> Map<String, Value> {
    let text = |pointer: &str| {
        Value::Object(payload.clone())
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let reference = match name {
        "pull_request" => {
            let number = payload.get("number").and_then(Value::as_i64).unwrap_or(1);
            format!("refs/pull/{number}/merge")
        }
        _ => text("/ref")
            .filter(|r| r.starts_with("refs/"))
            .unwrap_or_else(|| checkout.reference.clone()),
    };
    let ref_name = ["refs/heads/", "refs/tags/", "refs/pull/"]
        .iter()
        .find_map(|p| reference.strip_prefix(p));
    let ref_name = ref_name.unwrap_or(&reference).to_owned();
    let ref_type = if reference.starts_with("refs/tags/") {
        "tag"
    } else {
        "branch"
    };
    let sha = text("/after")
        .filter(|sha| sha != NO_COMMIT)
        .unwrap_or_else(|| checkout.sha.clone());
    let owner = checkout
        .repository
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let context = json!({
        "event_name": name,
        "ref": reference, "ref_name": ref_name, "ref_type": ref_type, "ref_protected": false,
        "sha": sha,
        "head_ref": text("/pull_request/head/ref").unwrap_or_default(),
        "base_ref": text("/pull_request/base/ref").unwrap_or_default(),
        "repository": text("/repository/full_name").unwrap_or_else(|| checkout.repository.clone()),
        "repository_owner": owner, "repository_id": "1", "repository_owner_id": "1",
        "repositoryUrl": format!("file://{}", checkout.repository),
        "actor": checkout.author, "triggering_actor": checkout.author, "actor_id": "1",
        "workflow": workflow,
        "workflow_ref": format!("{}/{path}@{reference}", checkout.repository),
        "workflow_sha": sha,
        "server_url": "http://localhost", "api_url": "http://localhost/api/v3",
        "graphql_url": "http://localhost/api/graphql",
        "retention_days": "90", "secret_source": "Actions",
        "event": payload,
    });
    match context {
        Value::Object(context) => context,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_name_the_repository() {
        let check =
            |url: &str, expected: Option<&str>| assert_eq!(owner_and_name(url).as_deref(), expected, "{url}");
        check("git@example.org:omni/life.git", Some("omni/life"));
        check("https://example.org/omni/life", Some("omni/life"));
        check("https://example.org/omni/life.git/", Some("omni/life"));
        check("life", None);
    }

    fn checkout() -> Checkout {
        Checkout {
            repository: "omni/life".into(),
            sha: "1a2b3c4d".repeat(5),
            reference: "refs/heads/fix/login".into(),
            message: "Fix login\n\nmore".into(),
            author: "ana".into(),
        }
    }

    #[test]
    fn a_pull_request_has_its_own_ref() {
        let payload = payload("pull_request", None, &checkout()).unwrap();
        let github = github(
            "pull_request",
            payload,
            &checkout(),
            "ci",
            ".github/workflows/ci.yml",
        );
        let seen: Vec<&str> = ["ref", "ref_name", "head_ref", "base_ref"]
            .map(|k| github[k].as_str().unwrap())
            .to_vec();
        assert_eq!(seen, ["refs/pull/1/merge", "1/merge", "fix/login", "main"]);
    }

    #[test]
    fn a_push_of_a_branch_with_slashes_keeps_them() {
        let payload = payload("push", None, &checkout()).unwrap();
        let github = github("push", payload, &checkout(), "ci", "ci.yml");
        assert_eq!(github["ref_name"], "fix/login");
        assert_eq!(github["event"]["head_commit"]["message"], "Fix login\n\nmore");
    }
}

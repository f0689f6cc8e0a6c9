//! What a job begins with: its contexts, its environment, its masks.

use super::{Defaults, JobHost};
use crate::action::ActionError;
use crate::contexts::{Contexts, Env, Seed};
use crate::shell::DEFAULT_PATH;
use crate::step::{map_of, text_of};
use indexmap::IndexMap;
use pilotage_api::runner::JobSpec;
use pilotage_trust::mask::Masker;
use pilotage_workflow::expr::{Object, Value};
use pilotage_workflow::model::{StepsJob, Workflow};
use std::path::Path;

/// How this machine reaches the network: its proxies, and the certificates that it trusts. Jobs need them too.
const NETWORK: [&str; 15] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
];

/// Everything that must not be seen is known to the masker before the first line is written.
pub(super) fn mask_secrets(masker: &Masker, spec: &JobSpec, host: &JobHost) {
    for secret in spec.secrets.values() {
        masker.add(secret);
    }
    if let Some(token) = &host.token {
        masker.add(token);
    }
    for password in NETWORK
        .iter()
        .filter_map(|name| proxy_password(&std::env::var(name).ok()?))
    {
        masker.add(&password);
    }
}

/// `secret` of `http://user:secret@proxy:3128`.
fn proxy_password(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (user, _) = rest.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password.to_owned())
}

pub(super) fn contexts(spec: &JobSpec, host: &JobHost, debug: bool) -> std::io::Result<Contexts> {
    let mut fixed: IndexMap<String, Value> = IndexMap::new();
    for name in ["needs", "strategy", "matrix", "vars"] {
        let value = spec.contexts.get(name).map_or(Value::Null, Value::from);
        let empty = matches!(value, Value::Null) && name != "matrix";
        fixed.insert(name.to_owned(), if empty { Object::new().into() } else { value });
    }
    fixed.insert("runner".to_owned(), runner(host, debug));
    let mut secrets = Object::new();
    if let Some(token) = &host.token {
        secrets.insert("GITHUB_TOKEN", Value::from(token.as_str()));
    }
    for (name, value) in &spec.secrets {
        secrets.insert(name.as_str(), Value::from(value.as_str()));
    }
    Ok(Contexts::new(Seed {
        github: github(spec, host)?,
        inputs: spec
            .contexts
            .get("inputs")
            .map_or_else(|| Object::new().into(), Value::from),
        secrets,
        fixed,
        workspace: host.dirs.workspace.clone(),
        home: home(host),
    }))
}

/// `github` as it was when the job was queued, and what only the machine knows.
fn github(spec: &JobSpec, host: &JobHost) -> std::io::Result<Object> {
    let mut github = Object::new();
    if let Some(serde_json::Value::Object(given)) = spec.contexts.get("github") {
        for (name, value) in given {
            github.insert(name.as_str(), Value::from(value));
        }
    }
    let event = spec.contexts.get("github").and_then(|g| g.get("event"));
    let event_path = write_event(&host.dirs.temp, event.unwrap_or(&serde_json::Value::Null))?;
    let mut defaults = vec![
        ("server_url", host.server_url.clone()),
        ("api_url", format!("{}/api/v3", host.server_url)),
        ("graphql_url", format!("{}/api/graphql", host.server_url)),
        ("run_id", spec.run_id.to_string()),
        ("run_number", spec.run_id.to_string()),
        ("retention_days", "90".to_owned()),
        ("workflow", spec.workflow_path.clone()),
    ];
    let text = |name: &str| github.get(name).map(Value::to_text).unwrap_or_default();
    let (repository, git_ref, sha) = (text("repository"), text("ref"), text("sha"));
    defaults.push((
        "workflow_ref",
        format!("{repository}/{}@{git_ref}", spec.workflow_path),
    ));
    defaults.push(("workflow_sha", sha));
    defaults.push(("triggering_actor", text("actor")));
    defaults.push((
        "repository_owner",
        repository.split('/').next().unwrap_or_default().to_owned(),
    ));
    let (kind, name) = ref_name(&git_ref);
    defaults.push(("ref_type", kind.to_owned()));
    defaults.push(("ref_name", name.to_owned()));
    for name in [
        "actor",
        "actor_id",
        "base_ref",
        "head_ref",
        "repository_id",
        "repository_owner_id",
    ] {
        defaults.push((name, String::new()));
    }
    for (name, value) in defaults {
        if github.get(name).is_none() {
            github.insert(name, Value::from(value));
        }
    }
    if github.get("ref_protected").is_none() {
        github.insert("ref_protected", Value::Bool(false));
    }
    let path = |path: &Path| Value::from(path.to_string_lossy().into_owned());
    let fixed = [
        ("workspace", path(&host.dirs.workspace)),
        ("event_path", Value::from(event_path)),
        ("job", Value::from(spec.job_key.as_str())),
        ("run_attempt", Value::from(spec.run_attempt.to_string())),
        (
            "token",
            host.token.as_deref().map_or(Value::from(""), Value::from),
        ),
    ];
    fixed
        .into_iter()
        .for_each(|(name, value)| github.insert(name, value));
    Ok(github)
}

fn ref_name(git_ref: &str) -> (&'static str, &str) {
    if let Some(tag) = git_ref.strip_prefix("refs/tags/") {
        return ("tag", tag);
    }
    let short = git_ref
        .strip_prefix("refs/heads/")
        .or_else(|| git_ref.strip_prefix("refs/pull/"));
    ("branch", short.unwrap_or(git_ref))
}

fn write_event(temp: &Path, event: &serde_json::Value) -> std::io::Result<String> {
    let directory = temp.join("_github_workflow");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("event.json");
    std::fs::write(&path, serde_json::to_vec_pretty(event).unwrap_or_default())?;
    Ok(path.to_string_lossy().into_owned())
}

fn runner(host: &JobHost, debug: bool) -> Value {
    let mut runner = Object::new();
    let text = |path: &Path| Value::from(path.to_string_lossy().into_owned());
    runner.insert("name", Value::from(host.runner_name.as_str()));
    runner.insert("os", Value::from("Linux"));
    runner.insert("arch", Value::from(architecture()));
    runner.insert("temp", text(&host.dirs.temp));
    runner.insert("tool_cache", text(&host.dirs.tool_cache));
    runner.insert(
        "workspace",
        text(host.dirs.workspace.parent().unwrap_or(&host.dirs.workspace)),
    );
    runner.insert("environment", Value::from(host.runner_environment.as_str()));
    if debug {
        runner.insert("debug", Value::from("1"));
    }
    runner.into()
}

/// GitHub's name of this machine's architecture.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "arm" => "ARM",
        other => other,
    }
}

fn home(host: &JobHost) -> std::path::PathBuf {
    let given = host
        .env
        .iter()
        .find(|(name, _)| name == "HOME")
        .map(|(_, value)| value.into());
    given.unwrap_or_else(|| host.dirs.home.clone())
}

/// What every process of the job begins with.
pub(super) fn base_env(host: &JobHost) -> Env {
    let mut env = Env::new();
    env.insert("PATH".to_owned(), DEFAULT_PATH.to_owned());
    env.insert("HOME".to_owned(), host.dirs.home.to_string_lossy().into_owned());
    env.insert("LANG".to_owned(), "C.UTF-8".to_owned());
    env.insert("CI".to_owned(), "true".to_owned());
    env.insert(
        "AGENT_TOOLSDIRECTORY".to_owned(),
        host.dirs.tool_cache.to_string_lossy().into_owned(),
    );
    for name in NETWORK {
        if let Ok(value) = std::env::var(name) {
            env.insert(name.to_owned(), value);
        }
    }
    env.extend(host.env.iter().cloned());
    env
}

/// The workflow's `env`, then the job's; each sees what was set before.
pub(super) fn job_env(
    workflow: &Workflow,
    job: &StepsJob,
    contexts: &mut Contexts,
) -> Result<Env, ActionError> {
    let mut env = map_of(workflow.env.as_ref(), contexts, "env")?;
    contexts.set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    env.extend(map_of(job.env.as_ref(), contexts, "env")?);
    contexts.set_env(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    Ok(env)
}

pub(super) fn defaults(
    workflow: &Workflow,
    job: &StepsJob,
    contexts: &Contexts,
) -> Result<Defaults, ActionError> {
    let shell = job.defaults.shell.as_ref().or(workflow.defaults.shell.as_ref());
    let directory = job
        .defaults
        .working_directory
        .as_ref()
        .or(workflow.defaults.working_directory.as_ref());
    Ok(Defaults {
        shell: shell
            .map(|t| text_of(t, contexts, "defaults.run.shell"))
            .transpose()?,
        working_directory: directory
            .map(|t| text_of(t, contexts, "defaults.run.working-directory"))
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_found() {
        assert_eq!(
            proxy_password("http://me:s3cret@proxy:3128").as_deref(),
            Some("s3cret")
        );
        assert_eq!(proxy_password("http://proxy:3128"), None);
        assert_eq!(proxy_password("localhost,.internal"), None);
    }

    #[test]
    fn refs_have_a_kind_and_a_short_name() {
        assert_eq!(ref_name("refs/heads/feature/x"), ("branch", "feature/x"));
        assert_eq!(ref_name("refs/tags/v1"), ("tag", "v1"));
        assert_eq!(ref_name("refs/pull/7/merge"), ("branch", "7/merge"));
    }
}

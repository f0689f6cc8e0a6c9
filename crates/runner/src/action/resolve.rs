//! Where the action of a `uses` is found: the built-in table, the project itself, the configured directories.
//!
//! Everything else is refused by name, with what to do. Nothing is downloaded.

use super::{Code, Directory};
use crate::builtin;
use crate::reach::open_inside;
use pilotage_workflow::diagnostic::{Severity, has_errors};
use pilotage_workflow::parse;
use pilotage_workflow::source::Source;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// An `action.yml` larger than this is no action's.
const ACTION_BYTES_MAX: u64 = 1024 * 1024;

/// What a `uses` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `./path`, below the workspace.
    Local(PathBuf),
    /// `owner/repo[/path]@ref`.
    Remote {
        repository: String,
        path: String,
        reference: String,
    },
}

/// Why a `uses` cannot be run here: a sentence, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unresolved(pub(crate) String);

fn unresolved<T>(message: impl Into<String>) -> Result<T, Unresolved> {
    Err(Unresolved(message.into()))
}

impl Reference {
    pub(crate) fn parse(uses: &str) -> Result<Self, Unresolved> {
        if uses.starts_with("docker://") {
            return unresolved(format!(
                "`{uses}`: actions from container images are not supported yet"
            ));
        }
        if uses.starts_with("$/") {
            return unresolved(format!(
                "`{uses}`: actions of the workflow's own commit are not supported yet; use ./"
            ));
        }
        if let Some(path) = uses.strip_prefix("./") {
            let normal = Path::new(path)
                .components()
                .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if !normal {
                return unresolved(format!("`{uses}` leads out of the project"));
            }
            return Ok(Self::Local(path.into()));
        }
        let Some((name, reference)) = uses.split_once('@').filter(|(_, r)| !r.is_empty()) else {
            return unresolved(format!(
                "`{uses}` names no version: expected owner/repo@ref, or ./path"
            ));
        };
        let mut parts = name.splitn(3, '/');
        match (parts.next(), parts.next()) {
            (Some(owner), Some(repo)) if plain(owner) && plain(repo) && reference.split('/').all(plain) => {
                let path = parts.next().unwrap_or_default();
                if !path.is_empty() && !path.split('/').all(plain) {
                    return unresolved(format!("`{uses}` leads out of its repository"));
                }
                let (path, reference) = (path.to_owned(), reference.to_owned());
                Ok(Self::Remote {
                    repository: format!("{owner}/{repo}"),
                    path,
                    reference,
                })
            }
            _ => unresolved(format!(
                "`{uses}` is no action: expected owner/repo@ref, or ./path"
            )),
        }
    }
}

/// One part of a path that leads neither up nor to what it does not say.
fn plain(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']) && !part.starts_with('-')
}

/// Finds the code of an action.
pub(crate) fn resolve(uses: &str, workspace: &Path, sources: &[PathBuf]) -> Result<Code, Unresolved> {
    match Reference::parse(uses)? {
        Reference::Local(path) => local(uses, workspace, &path),
        Reference::Remote {
            repository,
            path,
            reference,
        } => {
            let name = if path.is_empty() {
                repository.clone()
            } else {
                format!("{repository}/{path}")
            };
            if let Some(built_in) = builtin::find(&name) {
                built_in.check_ref(&reference).map_err(Unresolved)?;
                return Ok(Code::BuiltIn(built_in));
            }
            remote(uses, &repository, &path, &reference, sources)
        }
    }
}

fn local(uses: &str, workspace: &Path, path: &Path) -> Result<Code, Unresolved> {
    let inside = workspace
        .canonicalize()
        .ok()
        .zip(workspace.join(path).canonicalize().ok());
    match inside {
        Some((workspace, directory)) if directory.starts_with(&workspace) => {
            load(uses, &workspace, &directory, String::new(), String::new())
        }
        Some(_) => unresolved(format!("`{uses}` leads out of the workspace by a link")),
        None => unresolved(format!(
            "`{uses}` is not in the workspace: there is no directory {}; is a step with actions/checkout missing \
             before it?",
            path.display()
        )),
    }
}

fn remote(
    uses: &str,
    repository: &str,
    path: &str,
    reference: &str,
    sources: &[PathBuf],
) -> Result<Code, Unresolved> {
    for source in sources {
        for directory in [source.join(repository).join(reference), source.join(repository)] {
            let directory = directory.join(path);
            if manifest(&directory).is_some() {
                return load(
                    uses,
                    source,
                    &directory,
                    repository.to_owned(),
                    reference.to_owned(),
                );
            }
        }
    }
    if repository
        .split('/')
        .next()
        .is_some_and(|owner| owner.eq_ignore_ascii_case("pilotage"))
    {
        return unresolved(format!(
            "there is no action `{uses}`: the owner `pilotage` is ours, and has none of that name"
        ));
    }
    unresolved(format!(
        "the action `{uses}` is neither built in nor in a configured directory; put a copy of it into \
         DIR/{repository}/{reference} and pass --actions-from DIR, or copy it into the project and use ./path"
    ))
}

fn manifest(directory: &Path) -> Option<PathBuf> {
    ["action.yml", "action.yaml"]
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
}

/// `within` is what the file must lie in, wherever links lead.
fn load(
    uses: &str,
    within: &Path,
    directory: &Path,
    repository: String,
    reference: String,
) -> Result<Code, Unresolved> {
    let Some(path) = manifest(directory) else {
        let docker = directory.join("Dockerfile").is_file();
        return unresolved(if docker {
            format!("`{uses}`: actions from a Dockerfile are not supported yet")
        } else {
            format!("`{uses}`: {} holds no action.yml", directory.display())
        });
    };
    let read = || {
        let mut text = String::new();
        open_inside(&path, within)?
            .take(ACTION_BYTES_MAX + 1)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    let text = match read() {
        Ok(text) if text.len() as u64 > ACTION_BYTES_MAX => {
            return unresolved(format!("`{uses}`: {} is larger than 1 MiB", path.display()));
        }
        Ok(text) => text,
        Err(error) => {
            let error: std::io::Error = error;
            return unresolved(format!("`{uses}`: cannot read {}: {error}", path.display()));
        }
    };
    let source = Source::new(path.display().to_string(), text);
    let (action, diagnostics) = parse::action(&source);
    if has_errors(&diagnostics) {
        let first = diagnostics.iter().find(|d| d.severity == Severity::Error);
        let said = first.map_or_else(String::new, |d| {
            let position = d.source.position(d.span.start);
            format!(
                "{}:{}:{}: {}",
                d.source.path, position.line, position.column, d.message
            )
        });
        return unresolved(format!("`{uses}` is no valid action: {said}"));
    }
    let Some(action) = action else {
        return unresolved(format!("`{uses}`: {} is empty", path.display()));
    };
    Ok(Code::Directory(Arc::new(Directory {
        path: directory.to_owned(),
        action,
        repository,
        reference,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uses: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        let sources = [dir.path().join("actions")];
        for place in [
            "w/.github/actions/greet",
            "actions/octo/pinned/v2",
            "actions/octo/any",
            "actions/octo/any/sub",
        ] {
            let place = dir.path().join(place);
            std::fs::create_dir_all(&place).unwrap();
            let text = "name: x\nruns: {using: composite, steps: [{run: echo, shell: bash}]}\n";
            std::fs::write(place.join("action.yml"), text).unwrap();
        }
        std::os::unix::fs::symlink("/tmp", workspace.join("out")).unwrap();
        let found = match resolve(uses, &workspace, &sources) {
            Ok(Code::BuiltIn(built_in)) => format!("built in {}", built_in.name),
            Ok(Code::Directory(d)) => d.path.strip_prefix(dir.path()).unwrap().display().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{uses}: {found}");
    }

    #[test]
    fn actions_are_found_in_order_or_refused_by_name() {
        check("actions/checkout@v4", "built in actions/checkout");
        check("Actions/Cache/Save@v4", "built in actions/cache/save");
        check("actions/checkout@v1", "built in as v");
        check("./.github/actions/greet", "w/.github/actions/greet");
        check("octo/pinned@v2", "actions/octo/pinned/v2");
        check("octo/any@main", "actions/octo/any");
        check("octo/any/sub@main", "actions/octo/any/sub");
        check("octo/pinned@v3", "--actions-from DIR");
        check("./missing", "actions/checkout missing");
        check("./../x", "leads out of the project");
        check("./out", "leads out of the workspace");
        check("octo/../x@v1", "is no action");
        check("octo/x@../../y", "is no action");
        check("octo/any/../../z@v1", "leads out");
        check("docker://alpine:3", "not supported yet");
        check("octo/x", "names no version");
        check("pilotage/fly@v1", "owner `pilotage` is ours");
    }
}

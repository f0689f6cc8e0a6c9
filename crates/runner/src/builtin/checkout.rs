//! `actions/checkout`: the project's files in the workspace.
//!
//! For `exec` they come from the working directory, as they lie there; on a server from the platform's git remote.
//! The credential is in the environment of the one `git fetch`, never in a file of the workspace.

use super::{BuiltIn, Call, Input, is_commit};
use crate::action::ActionError;
use crate::job::CheckoutSource;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub(super) const CHECKOUT: BuiltIn = BuiltIn {
    name: "actions/checkout",
    majors: &[2, 3, 4, 5, 6],
    inputs: &[
        Input::new("repository", ""),
        Input::new("ref", ""),
        // The job's own token is all there is; another one would be for another server.
        Input::new("token", ""),
        Input::refused("ssh-key", ""),
        Input::refused("ssh-known-hosts", ""),
        Input::refused("ssh-strict", "true"),
        Input::refused("ssh-user", "git"),
        Input::new("persist-credentials", "true"),
        Input::new("path", ""),
        Input::new("clean", "true"),
        Input::refused("filter", ""),
        Input::refused("sparse-checkout", ""),
        Input::refused("sparse-checkout-cone-mode", "true"),
        Input::new("fetch-depth", "1"),
        Input::new("fetch-tags", "false"),
        Input::new("show-progress", "true"),
        Input::refused("lfs", "false"),
        Input::refused("submodules", "false"),
        Input::new("set-safe-directory", "true"),
        Input::refused("github-server-url", ""),
        Input::refused("allow-unsafe-pr-checkout", ""),
    ],
    outputs: &["ref", "commit"],
    main: |call| Box::pin(run(call)),
    post: None,
};

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    let (persist, clean) = (call.flag("persist-credentials")?, call.flag("clean")?);
    let target = call.below_workspace(call.input("path"))?;
    let given = call.input("ref").to_owned();
    check_ref(&given)?;
    let repository = call.input("repository").to_owned();
    let own = call.github("repository");
    let own_repository = repository.is_empty() || repository.eq_ignore_ascii_case(&own);
    prepare(call, &target, clean).await?;
    match call.checkout_source().clone() {
        CheckoutSource::WorkingDirectory(_) if !own_repository => Err(ActionError::failed(format!(
            "`pilotage exec` checks out only the working directory, not `{repository}`"
        ))),
        CheckoutSource::WorkingDirectory(from) => from_directory(call, &from, &target, &given).await,
        CheckoutSource::Remote { server } => {
            let name = if repository.is_empty() { own } else { repository };
            check_repository(&name)?;
            let url = format!("{}/{name}.git", server.trim_end_matches('/'));
            from_remote(call, &url, &target, &given, own_repository).await
        }
    }?;
    if persist && matches!(call.checkout_source(), CheckoutSource::Remote { .. }) {
        call.say("The credential was for this fetch only: later git commands have none.");
    }
    report_commit(call, &target, &given).await
}

/// Refuses what git could take for an option or for more than a ref.
fn check_ref(name: &str) -> Result<(), ActionError> {
    let bad = name.starts_with('-')
        || name.contains("..")
        || name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c));
    if bad {
        Err(ActionError::failed(format!(
            "`{name}` is no name of a branch, tag or commit"
        )))
    } else {
        Ok(())
    }
}

fn check_repository(name: &str) -> Result<(), ActionError> {
    let part = |p: &str| {
        !p.is_empty()
            && !p.starts_with(['.', '-'])
            && p.chars().all(|c| c.is_alphanumeric() || "._-".contains(c))
    };
    match name.split_once('/') {
        Some((owner, name)) if part(owner) && part(name) => Ok(()),
        _ => Err(ActionError::failed(format!(
            "`{name}` is no project: expected owner/name"
        ))),
    }
}

/// What lies in the way is removed, unless it is a checkout that `clean: false` keeps. Done by programs of the job:
/// this process could reach what the job cannot.
async fn prepare(call: &mut Call<'_>, target: &Path, clean: bool) -> Result<(), ActionError> {
    let workspace = call.workspace().to_owned();
    let place = target.to_string_lossy().into_owned();
    if !target.is_dir() {
        return call.run("mkdir", &["-p", "--", &place], &workspace, &[]).await;
    }
    let mut entries = std::fs::read_dir(target).map_err(ActionError::file(target))?;
    if entries.next().is_none() || (!clean && target.join(".git").exists()) {
        return Ok(());
    }
    call.say(&format!("Deleting the contents of {place}"));
    call.run("find", &[".", "-mindepth", "1", "-delete"], target, &[])
        .await
}

async fn from_directory(
    call: &mut Call<'_>,
    from: &Path,
    target: &Path,
    given: &str,
) -> Result<(), ActionError> {
    let top = git_capture(call, from, &["rev-parse", "--show-toplevel"]).await?;
    let Some(top) = top.map(|t| PathBuf::from(t.trim_end())) else {
        if !given.is_empty() {
            return Err(ActionError::failed(format!(
                "{} is no git repository: it has no `{given}`",
                from.display()
            )));
        }
        call.say(&format!(
            "Copying {}, which is no git repository, with all of its files",
            from.display()
        ));
        let files = crate::glob::all_files(from).map_err(ActionError::from)?;
        return copy_files(call, from, target, files);
    };
    let has_commit = git_capture(call, &top, &["rev-parse", "--verify", "--quiet", "HEAD"])
        .await?
        .is_some();
    if has_commit {
        clone_history(call, &top, target).await?;
    } else {
        git(call, target, &["init", "--quiet"], &[]).await?;
    }
    if !given.is_empty() && given != call.github("ref") && given != call.github("sha") {
        call.say(&format!(
            "Checking out `{given}` of {}, without what is not committed",
            top.display()
        ));
        return git(
            call,
            target,
            &["checkout", "--quiet", "--force", given, "--"],
            &[],
        )
        .await;
    }
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let files = git_capture_bytes(call, &top, &listed).await?.unwrap_or_default();
    let files = files.split(|b| *b == 0).filter(|name| !name.is_empty());
    let files: Vec<PathBuf> = files
        .map(|name| OsString::from_vec(name.to_vec()).into())
        .collect();
    call.say(&format!(
        "Copying the working directory {}: {} files, with changes that are not committed and new files that are \
         not ignored",
        top.display(),
        files.len()
    ));
    copy_files(call, &top, target, files)?;
    // The index is the commit's, so that `git status` says the same as in the working directory.
    if has_commit {
        git(call, target, &["reset", "--quiet", "--mixed"], &[]).await
    } else {
        Ok(())
    }
}

/// The history without its files, on the branch that the working directory is on.
async fn clone_history(call: &mut Call<'_>, top: &Path, target: &Path) -> Result<(), ActionError> {
    if target.join(".git").exists() {
        return Ok(());
    }
    let source = top.to_string_lossy().into_owned();
    let target_text = target.to_string_lossy().into_owned();
    let clone = [
        "clone",
        "--quiet",
        "--no-checkout",
        "--no-hardlinks",
        "--",
        &source,
        &target_text,
    ];
    git(call, top, &clone, &[]).await
}

fn copy_files(call: &mut Call<'_>, from: &Path, to: &Path, files: Vec<PathBuf>) -> Result<(), ActionError> {
    let workspace = call.workspace().to_owned();
    for file in files {
        let (source, target) = (from.join(&file), to.join(&file));
        // What is deleted but still in the index, or a submodule's directory.
        let Ok(metadata) = source.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() || source.starts_with(&workspace) {
            continue;
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(ActionError::file(parent))?;
        }
        if metadata.is_symlink() {
            let link = std::fs::read_link(&source).map_err(ActionError::file(&source))?;
            let _ = std::fs::remove_file(&target);
            std::os::unix::fs::symlink(link, &target).map_err(ActionError::file(&target))?;
        } else if metadata.is_file() {
            std::fs::copy(&source, &target).map_err(ActionError::file(&source))?;
        }
    }
    Ok(())
}

/// What to fetch and what to check out.
struct Wanted {
    refspecs: Vec<String>,
    checkout: Vec<String>,
}

fn wanted(given: &str, own: bool, git_ref: &str, sha: &str) -> Wanted {
    let fetch = |refspec: String, checkout: &[&str]| Wanted {
        refspecs: vec![refspec],
        checkout: checkout.iter().map(ToString::to_string).collect(),
    };
    let name = if given.is_empty() && own { git_ref } else { given };
    let commit = if given.is_empty() && own { sha } else { "" };
    if is_commit(name) {
        return fetch(
            format!("+{name}:refs/remotes/origin/pilotage-commit"),
            &["--detach", name],
        );
    }
    let source = |full: &str| {
        if commit.is_empty() {
            full.to_owned()
        } else {
            commit.to_owned()
        }
    };
    if let Some(branch) = name.strip_prefix("refs/heads/") {
        let remote = format!("refs/remotes/origin/{branch}");
        return fetch(format!("+{}:{remote}", source(name)), &["-B", branch, &remote]);
    }
    if let Some(tag) = name.strip_prefix("refs/tags/") {
        return fetch(format!("+{}:refs/tags/{tag}", source(name)), &["--detach", name]);
    }
    if let Some(other) = name.strip_prefix("refs/") {
        let remote = format!("refs/remotes/{other}");
        return fetch(format!("+{}:{remote}", source(name)), &["--detach", &remote]);
    }
    if name.is_empty() {
        return fetch(
            "+HEAD:refs/remotes/origin/HEAD".to_owned(),
            &["--detach", "refs/remotes/origin/HEAD"],
        );
    }
    // A short name: a branch if there is one, else a tag. Both are asked for, each may be missing.
    Wanted {
        refspecs: vec![
            format!("+refs/heads/{name}*:refs/remotes/origin/{name}*"),
            format!("+refs/tags/{name}*:refs/tags/{name}*"),
        ],
        checkout: vec![name.to_owned()],
    }
}

async fn from_remote(
    call: &mut Call<'_>,
    url: &str,
    target: &Path,
    given: &str,
    own: bool,
) -> Result<(), ActionError> {
    let depth = call.number("fetch-depth")?;
    let tags = call.flag("fetch-tags")?;
    let wanted = wanted(given, own, &call.github("ref"), &call.github("sha"));
    call.say(&format!("Fetching {url}"));
    if !target.join(".git").exists() {
        git(call, target, &["init", "--quiet", "--initial-branch=main"], &[]).await?;
        git(call, target, &["remote", "add", "origin", url], &[]).await?;
    }
    let depth_text = format!("--depth={depth}");
    let mut fetch = vec!["fetch", "--quiet", "--no-recurse-submodules", "--prune"];
    if depth > 0 {
        fetch.push(&depth_text);
    }
    fetch.push(if tags && depth > 0 { "--tags" } else { "--no-tags" });
    fetch.extend(["--end-of-options", "origin"]);
    let everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    if depth == 0 {
        fetch.extend(everything);
    }
    fetch.extend(wanted.refspecs.iter().map(String::as_str));
    let credential = credential(call, url);
    git(call, target, &fetch, &credential).await?;
    let mut checkout = vec!["checkout", "--quiet", "--force"];
    checkout.extend(wanted.checkout.iter().map(String::as_str));
    checkout.push("--");
    git(call, target, &checkout, &[]).await
}

/// The job's token for one process, as git's configuration in its environment.
fn credential(call: &Call<'_>, url: &str) -> Vec<(String, String)> {
    let given = call.input("token");
    let token = if given.is_empty() {
        call.token().unwrap_or_default()
    } else {
        given.to_owned()
    };
    if token.is_empty() {
        return Vec::new();
    }
    let basic = crate::base64::encode(format!("x-access-token:{token}").as_bytes());
    call.mask(&basic);
    let server = url.split('/').take(3).collect::<Vec<_>>().join("/");
    vec![(
        format!("http.{server}/.extraheader"),
        format!("Authorization: basic {basic}"),
    )]
}

async fn report_commit(call: &mut Call<'_>, target: &Path, given: &str) -> Result<(), ActionError> {
    let commit = git_capture(call, target, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
    if let Some(commit) = commit {
        let subject = git_capture(call, target, &["log", "-1", "--format=%h %s"])
            .await?
            .unwrap_or_default();
        call.say(&format!("HEAD is now at {}", subject.trim()));
        call.output("commit", commit.trim());
    }
    let name = if given.is_empty() {
        call.github("ref")
    } else {
        given.to_owned()
    };
    call.output("ref", &name);
    Ok(())
}

/// Runs git with nothing from outside: no hooks, no prompts, no configuration but `extra`.
async fn git(
    call: &mut Call<'_>,
    directory: &Path,
    arguments: &[&str],
    extra: &[(String, String)],
) -> Result<(), ActionError> {
    let environment = git_environment(extra);
    call.run("git", arguments, directory, &environment).await
}

async fn git_capture(
    call: &mut Call<'_>,
    directory: &Path,
    arguments: &[&str],
) -> Result<Option<String>, ActionError> {
    let bytes = git_capture_bytes(call, directory, arguments).await?;
    Ok(bytes.map(|b| String::from_utf8_lossy(&b).into_owned()))
}

/// None where git ends with an error.
async fn git_capture_bytes(
    call: &mut Call<'_>,
    directory: &Path,
    arguments: &[&str],
) -> Result<Option<Vec<u8>>, ActionError> {
    call.capture("git", arguments, directory, &git_environment(&[]))
        .await
}

fn git_environment(extra: &[(String, String)]) -> Vec<(String, String)> {
    let fixed = [
        ("core.hooksPath", "/dev/null"),
        ("safe.directory", "*"),
        ("gc.auto", "0"),
        ("advice.detachedHead", "false"),
        ("transfer.fsckObjects", "true"),
    ];
    let fixed = fixed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let all: Vec<(String, String)> = fixed.chain(extra.iter().cloned()).collect();
    let mut environment: Vec<(String, String)> = [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_ALLOW_PROTOCOL", "file:http:https"),
        ("GIT_LFS_SKIP_SMUDGE", "1"),
        ("LC_ALL", "C"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    environment.push(("GIT_CONFIG_COUNT".to_owned(), all.len().to_string()));
    for (index, (key, value)) in all.into_iter().enumerate() {
        environment.push((format!("GIT_CONFIG_KEY_{index}"), key));
        environment.push((format!("GIT_CONFIG_VALUE_{index}"), value));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_become_refspecs_as_the_original_makes_them() {
        let check = |given: &str, git_ref: &str, refspec: &str, checkout: &str| {
            let wanted = wanted(given, true, git_ref, "abc");
            assert_eq!(wanted.refspecs.join(" "), refspec, "{given} {git_ref}");
            assert_eq!(wanted.checkout.join(" "), checkout, "{given} {git_ref}");
        };
        let main = "refs/heads/main";
        check(
            "",
            main,
            "+abc:refs/remotes/origin/main",
            "-B main refs/remotes/origin/main",
        );
        check("", "refs/tags/v1", "+abc:refs/tags/v1", "--detach refs/tags/v1");
        check(
            "",
            "refs/pull/7/merge",
            "+abc:refs/remotes/pull/7/merge",
            "--detach refs/remotes/pull/7/merge",
        );
        let commit = "0".repeat(40);
        let refspec = format!("+{commit}:refs/remotes/origin/pilotage-commit");
        check(&commit, main, &refspec, &format!("--detach {commit}"));
        check(
            "refs/heads/dev",
            main,
            "+refs/heads/dev:refs/remotes/origin/dev",
            "-B dev refs/remotes/origin/dev",
        );
        check(
            "dev",
            main,
            "+refs/heads/dev*:refs/remotes/origin/dev* +refs/tags/dev*:refs/tags/dev*",
            "dev",
        );
    }

    #[test]
    fn refs_that_are_options_or_more_are_refused() {
        for bad in ["--upload-pack=x", "-b", "a b", "a\nb", "a:b", "a..b", "a^b", "*"] {
            assert!(check_ref(bad).is_err(), "{bad}");
        }
        for bad in ["-x/y", "x", "x/y/z", "../x", "x/..", "x y/z"] {
            assert!(check_repository(bad).is_err(), "{bad}");
        }
        assert!(check_repository("octo/hello.world").is_ok());
    }
}

//! `actions/upload-artifact`: files of the workspace as one immutable ZIP of the run.

use super::artifact::{Temporary, files as file_count, size};
use super::{BuiltIn, Call, Input};
use crate::action::ActionError;
use crate::archive;
use crate::glob::{Options, Patterns};
use crate::services::check_artifact_name;
use pilotage_api::services::ArtifactUpload;
use std::path::{Path, PathBuf};

pub(super) const UPLOAD_ARTIFACT: BuiltIn = BuiltIn {
    name: "actions/upload-artifact",
    majors: &[4, 5, 6, 7],
    inputs: &[
        Input::new("name", "artifact"),
        Input::required("path"),
        Input::new("if-no-files-found", "warn"),
        Input::new("retention-days", ""),
        Input::new("compression-level", "6"),
        Input::new("overwrite", "false"),
        Input::new("include-hidden-files", "false"),
        Input::refused("archive", "true"),
    ],
    outputs: &["artifact-id", "artifact-url", "artifact-digest"],
    main: |call| Box::pin(run(call)),
    post: None,
};

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    let name = call.input("name").to_owned();
    check_artifact_name(&name)?;
    let level = call.number("compression-level")?;
    let level = u8::try_from(level).ok().filter(|l| *l <= 9);
    let level = level.ok_or_else(|| ActionError::failed("`compression-level` goes from 0 to 9"))?;
    let retention_days = match call.input("retention-days") {
        "" | "0" => None,
        _ => Some(call.number("retention-days")?),
    };
    let upload = ArtifactUpload {
        name: name.clone(),
        retention_days,
        overwrite: call.flag("overwrite")?,
    };
    let options = Options {
        follow_links: true,
        exclude_hidden: !call.flag("include-hidden-files")?,
        ..Options::default()
    };
    let lines = call.lines("path");
    let patterns = Patterns::parse(lines.iter().map(String::as_str), call.workspace(), &call.home())?;
    let files = call
        .blocking(move || patterns.find(options).map(|files| (patterns.roots(), files)))
        .await??;
    let (roots, files) = files;
    if files.is_empty() {
        return nothing_found(call, &lines.join(", ")).await;
    }
    for file in &files {
        call.reachable(file)?;
    }
    let base = common_directory(&roots, &files);
    let names = files
        .iter()
        .map(|f| f.strip_prefix(&base).unwrap_or(f).to_string_lossy().into_owned());
    let named: Vec<(PathBuf, String)> = files.iter().cloned().zip(names).collect();
    call.say(&format!(
        "{} below {} go into the artifact `{name}`",
        file_count(named.len()),
        base.display()
    ));
    call.flush().await?;
    let (to, reach) = (call.temporary("zip"), call.reach());
    let packed = Temporary(
        call.blocking(move || archive::zip(&named, level, &to, &reach))
            .await??,
    );
    let services = call.services();
    let info = call.wait(services.upload_artifact(&upload, &packed.0)).await??;
    call.say(&format!(
        "Artifact `{name}`: id {}, {}, {}",
        info.id,
        size(info.size_bytes),
        info.digest
    ));
    call.output("artifact-id", &info.id.to_string());
    call.output("artifact-url", &info.url);
    call.output("artifact-digest", info.digest.trim_start_matches("sha256:"));
    Ok(())
}

async fn nothing_found(call: &mut Call<'_>, paths: &str) -> Result<(), ActionError> {
    let message =
        format!("No files were found with the provided path: {paths}. No artifacts will be uploaded.");
    match call.input("if-no-files-found") {
        "error" => Err(ActionError::Failed(message)),
        "ignore" => {
            call.say(&message);
            Ok(())
        }
        "warn" => call.warn(&message).await,
        other => Err(ActionError::failed(format!(
            "`if-no-files-found` is warn, error or ignore, not `{other}`"
        ))),
    }
}

/// What the names in the artifact begin behind: the directory of a single file, a single directory, or what
/// several paths have in common.
fn common_directory(roots: &[PathBuf], files: &[PathBuf]) -> PathBuf {
    let directories = roots.iter().map(|root| match root.is_dir() {
        true => root.as_path(),
        false => root.parent().unwrap_or(Path::new("/")),
    });
    let mut common: Option<PathBuf> = None;
    for directory in directories {
        common = Some(match common {
            None => directory.to_owned(),
            Some(common) => {
                let same = common
                    .components()
                    .zip(directory.components())
                    .take_while(|(a, b)| a == b);
                same.map(|(a, _)| a).collect()
            }
        });
    }
    let first = || files.first().and_then(|f| f.parent()).map(Path::to_owned);
    common.or_else(first).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_behind_what_the_paths_have_in_common() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/dist/x", "a/docs/y", "a/z"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let check = |roots: &[&str], expected: &str| {
            let roots: Vec<_> = roots.iter().map(|r| dir.path().join(r)).collect();
            assert_eq!(
                common_directory(&roots, &[]),
                dir.path().join(expected),
                "{roots:?}"
            );
        };
        check(&["a/dist"], "a/dist");
        check(&["a/z"], "a");
        check(&["a/dist", "a/docs"], "a");
        check(&["a/dist/x", "a/z"], "a");
    }
}

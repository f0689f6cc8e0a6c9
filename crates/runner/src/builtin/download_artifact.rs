//! `actions/download-artifact`: artifacts of this run, unpacked into the workspace.

use super::artifact::{files, refuse_other_runs, size};
use super::{BuiltIn, Call, Input};
use crate::action::ActionError;
use crate::archive::{self, Limits};
use crate::glob::matches_segment;
use pilotage_api::services::ArtifactInfo;
use std::path::Path;

pub(super) const DOWNLOAD_ARTIFACT: BuiltIn = BuiltIn {
    name: "actions/download-artifact",
    majors: &[4, 5, 6, 7, 8],
    inputs: &[
        Input::new("name", ""),
        Input::new("artifact-ids", ""),
        Input::new("path", ""),
        Input::new("pattern", ""),
        Input::new("merge-multiple", "false"),
        Input::new("github-token", ""),
        Input::new("repository", ""),
        Input::new("run-id", ""),
        Input::refused("skip-decompress", "false"),
        Input::new("digest-mismatch", "error"),
    ],
    outputs: &["download-path"],
    main: |call| Box::pin(run(call)),
    post: None,
};

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    refuse_other_runs(call)?;
    let merge = call.flag("merge-multiple")?;
    let target = call.place(call.input("path"))?;
    let services = call.services();
    let all = call.wait(services.artifacts()).await??;
    let (wanted, single) = choose(call, all)?;
    call.reach()
        .open_directory(&target)
        .map_err(ActionError::file(&target))?;
    for artifact in &wanted {
        // As the original: several artifacts get a directory each, one that was named does not.
        let to = if single || merge {
            target.clone()
        } else {
            target.join(&artifact.name)
        };
        download(call, artifact, &to).await?;
    }
    call.output("download-path", &target.to_string_lossy());
    Ok(())
}

/// The artifacts that are meant, and whether it is one that was asked for by its name.
fn choose(call: &mut Call<'_>, all: Vec<ArtifactInfo>) -> Result<(Vec<ArtifactInfo>, bool), ActionError> {
    let (name, pattern, ids) = (
        call.input("name"),
        call.input("pattern"),
        call.input("artifact-ids"),
    );
    if !name.is_empty() {
        let names: Vec<_> = all.iter().map(|a| format!("`{}`", a.name)).collect();
        let found = all.iter().find(|a| a.name == name).cloned();
        let missing = || match names.is_empty() {
            true => format!("there is no artifact `{name}` in this run: there is none at all yet"),
            false => format!(
                "there is no artifact `{name}` in this run, only {}",
                names.join(", ")
            ),
        };
        return found
            .map(|a| (vec![a], true))
            .ok_or_else(|| ActionError::Failed(missing()));
    }
    if !ids.is_empty() {
        let ids = ids.split([',', '\n']).map(str::trim).filter(|id| !id.is_empty());
        let found = ids.map(|id| {
            let artifact = all.iter().find(|a| a.id.to_string() == id).cloned();
            artifact.ok_or_else(|| {
                ActionError::failed(format!("there is no artifact with the id `{id}` in this run"))
            })
        });
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let single = found.len() == 1;
        return Ok((found, single));
    }
    if pattern.is_empty() {
        call.say(&format!(
            "No name is given: all {} artifacts of this run are downloaded",
            all.len()
        ));
        return Ok((all, false));
    }
    let pattern = pattern.to_owned();
    let total = all.len();
    let found: Vec<_> = all
        .into_iter()
        .filter(|a| matches_segment(&pattern, &a.name))
        .collect();
    call.say(&format!("{} of {total} artifacts match `{pattern}`", found.len()));
    Ok((found, false))
}

async fn download(call: &mut Call<'_>, artifact: &ArtifactInfo, to: &Path) -> Result<(), ActionError> {
    let services = call.services();
    let zip = call.temporary("zip");
    call.wait(services.download_artifact(artifact, &zip)).await??;
    let (from, directory, reach) = (zip.clone(), to.to_owned(), call.reach());
    let unpacked = call
        .blocking(move || archive::unzip(&from, &directory, Limits::default(), &reach))
        .await;
    let _ = std::fs::remove_file(&zip);
    let files = files(unpacked??);
    let (name, bytes) = (&artifact.name, size(artifact.size_bytes));
    call.say(&format!(
        "Artifact `{name}`: {files} ({bytes}) to {}",
        to.display()
    ));
    call.flush().await
}

//! `pilotage run download`: the artifacts of a run.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{advice, result};
use crate::render::style::fit;
use crate::render::text::{plural, size};
use crate::session::Session;
use clap::Args;
use pilotage_api::client::Client;
use pilotage_api::rest::Artifact;
use pilotage_runner::archive;
use pilotage_runner::reach::Reach;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Download what a run uploaded, each artifact into a folder of its name.
#[derive(Args)]
pub(crate) struct Download {
    run: i64,
    /// Only these artifacts. May be given more than once.
    #[arg(short, long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Where to; with one --name, its files go right there.
    #[arg(short = 'D', long = "dir", value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Download {
    pub(super) fn run(self, session: &Session) -> CommandResult {
        let mut artifacts = session.wait(session.client.artifacts(self.run))?;
        if let Some(name) = self
            .names
            .iter()
            .find(|name| !artifacts.iter().any(|a| a.name == **name))
        {
            let known: Vec<&str> = artifacts.iter().map(|a| a.name.as_str()).collect();
            return Err(
                CommandError::invalid(format!("run {} has no artifact `{name}`", self.run))
                    .hint(format!("it has {}", fit(&known.join(", "), 500))),
            );
        }
        artifacts.retain(|a| self.names.is_empty() || self.names.contains(&a.name));
        if artifacts.is_empty() {
            return Err(CommandError::failed(format!(
                "run {} left no artifacts",
                self.run
            )));
        }
        for artifact in &artifacts {
            let folder = match self.names.as_slice() {
                [_] => self.directory.clone(),
                _ => self.directory.join(folder_name(&artifact.name)?),
            };
            let files = fetch(session, artifact, &folder)?;
            result(&format!("{}\n", folder.display()));
            let (size, files) = (size(artifact.size_bytes), plural(files as u64, "file"));
            advice(&format!("{}  {size}  {files}\n", fit(&artifact.name, 100)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The server's names are not trusted to be one folder.
fn folder_name(name: &str) -> CommandResult<&str> {
    if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\\', '\0']) {
        return Err(
            CommandError::failed(format!("`{}` is no folder's name", fit(name, 100)))
                .hint("choose the folder: --name NAME --dir DIR"),
        );
    }
    Ok(name)
}

/// Into a temporary file first: an archive is only unpacked when it is whole.
fn fetch(session: &Session, artifact: &Artifact, folder: &Path) -> CommandResult<usize> {
    let name = fit(&artifact.name, 100);
    let failed =
        |e: std::io::Error| CommandError::failed(format!("cannot store artifact {name}")).because(&e);
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    session.block_on(copy(&session.client, artifact.id, file.as_file_mut()))?;
    std::fs::create_dir_all(folder).map_err(failed)?;
    archive::unzip(file.path(), folder, archive::Limits::default(), &Reach::default()).map_err(|e| {
        CommandError::failed(format!("cannot unpack artifact {name} to {}", folder.display())).because(&e)
    })
}

async fn copy(client: &Client, artifact: i64, file: &mut std::fs::File) -> CommandResult<()> {
    let mut download = client.artifact_content(artifact).await?;
    while let Some(bytes) = download.next().await? {
        file.write_all(&bytes).map_err(|e| {
            CommandError::failed("cannot write to the folder for temporary files").because(&e)
        })?;
    }
    Ok(())
}

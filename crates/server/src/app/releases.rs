//! Releases: what a run built, or a project's own files, together with its frozen `pilotage.yml`. Named by the digest
//! of its manifest, packed once, and never changed.

use crate::app::App;
use crate::error::{AppError, AppResult};
use crate::git::git;
use pilotage_api::rest::Diagnostic;
use pilotage_store::{Artifact, BlobName, Project, Release, StoreError};
use pilotage_workflow::delivery::{self, ArtifactSource, EnvironmentPlan};
use pilotage_workflow::diagnostic::has_errors;
use pilotage_workflow::source::Source;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::sync::mpsc;

/// A release larger than this, packed, is refused.
const PACKED_BYTES_MAX: u64 = 8 << 30;
/// Files of a release, unpacked.
const BYTES_MAX: u64 = 16 << 30;
const ENTRIES_MAX: u64 = 500_000;
const LEVEL: i32 = 3;

/// What a release is: everything that its digest is taken over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub commit: String,
    /// The folders of the release, and what each was made of.
    pub parts: BTreeMap<String, Part>,
    /// The file at that commit, resolved for each of its environments.
    pub environments: BTreeMap<String, EnvironmentPlan>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub source: ArtifactSource,
    /// `sha256:…` of an artifact, `git:…` of a commit.
    pub digest: String,
}

impl Manifest {
    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        serde_json::from_str(text).map_err(|_| StoreError::Damaged {
            what: "a release's manifest".to_owned(),
        })
    }

    /// Its members stand in one order, so the same release has the same text.
    fn text(&self) -> AppResult<String> {
        serde_json::to_string(self).map_err(|error| AppError::internal(&error))
    }
}

/// The folder of a release that holds what came from there.
#[must_use]
pub(crate) fn folder(source: &ArtifactSource) -> PathBuf {
    match source {
        ArtifactSource::Project => PathBuf::from("project"),
        ArtifactSource::Artifact(name) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let escaped: String = name
                .chars()
                .enumerate()
                .map(|(at, c)| {
                    if plain(c) && (at > 0 || c != '.') {
                        c.to_string()
                    } else {
                        format!("%{:X}", u32::from(c))
                    }
                })
                .collect();
            PathBuf::from("artifacts").join(escaped)
        }
    }
}

/// Of what a release is made.
pub(crate) struct Origin<'a> {
    pub project: &'a Project,
    pub sha: &'a str,
    pub r#ref: &'a str,
    /// The run whose artifacts it takes.
    pub run: Option<i64>,
}

/// The release of a run, or of a commit; made, unless it is there.
pub(crate) async fn ensure(app: &App, origin: &Origin<'_>) -> AppResult<Release> {
    let (manifest, artifacts) = manifest_of(app, origin).await?;
    let text = manifest.text()?;
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())));
    let mut c = app.store.read().await?;
    if let Some(known) = c.release_by_digest(origin.project.id, &digest).await?
        && !c.release_blobs(known.id).await?.is_empty()
    {
        return Ok(known);
    }
    drop(c);
    let repository = app.repositories.of(origin.project);
    let title = repository
        .commit(origin.sha)
        .await
        .map(|commit| commit.title().to_owned())
        .unwrap_or_default();
    let own_files = manifest
        .parts
        .values()
        .any(|part| part.source == ArtifactSource::Project);
    let pack = Packing {
        repository: own_files.then(|| (repository.path().to_owned(), origin.sha.to_owned())),
        artifacts: artifact_paths(app, artifacts)?,
    };
    let (blob, _) = store(app, pack).await?;
    let row = Release {
        id: 0,
        project_id: origin.project.id,
        digest,
        run_id: origin.run.unwrap_or(0),
        r#ref: origin.r#ref.to_owned(),
        sha: origin.sha.to_owned(),
        title,
        manifest: text,
        created_at: app.now(),
    };
    let blobs = vec![blob.as_str().to_owned()];
    Ok(app
        .store
        .write(move |c| Box::pin(async move { c.add_release(&row, &blobs).await }))
        .await?)
}

/// What the release is, and the artifacts that lie in its folders.
async fn manifest_of(app: &App, origin: &Origin<'_>) -> AppResult<(Manifest, Vec<(String, Artifact)>)> {
    let environments = plans(app, origin.project, origin.sha).await?;
    let (mut parts, mut artifacts) = (BTreeMap::new(), Vec::new());
    let services = environments.values().flat_map(|plan| &plan.services);
    for source in services.map(|service| &service.source) {
        let name = folder(source).to_string_lossy().into_owned();
        if parts.contains_key(&name) {
            continue;
        }
        let digest = match source {
            ArtifactSource::Project => format!("git:{}", origin.sha),
            ArtifactSource::Artifact(artifact) => {
                let found = find_artifact(app, origin, artifact).await?;
                let digest = found.digest.clone();
                artifacts.push((name.clone(), found));
                digest
            }
        };
        let source = source.clone();
        parts.insert(name, Part { source, digest });
    }
    let commit = origin.sha.to_owned();
    let manifest = Manifest {
        commit,
        parts,
        environments,
    };
    Ok((manifest, artifacts))
}

/// The plans of every environment at a commit.
pub(crate) async fn plans(
    app: &App,
    project: &Project,
    sha: &str,
) -> AppResult<BTreeMap<String, EnvironmentPlan>> {
    let bytes = app.repositories.of(project).file(sha, delivery::FILE_NAME).await;
    let bytes = bytes
        .map_err(|error| AppError::internal(&error))?
        .ok_or_else(|| {
            AppError::not_found(format!("`{}` at {}", delivery::FILE_NAME, short(sha)))
                .advice("write one with `pilotage init`, and push it")
        })?;
    let source = Source::new(delivery::FILE_NAME, String::from_utf8_lossy(&bytes).as_ref());
    let (parsed, diagnostics) = delivery::parse(&source);
    let (Some(parsed), false) = (parsed, has_errors(&diagnostics)) else {
        let mut error = AppError::bad_request(format!(
            "`{}` at {} is not valid",
            delivery::FILE_NAME,
            short(sha)
        ));
        error.diagnostics = diagnostics.iter().map(wire).collect();
        return Err(error.advice("`pilotage lint pilotage.yml` shows it in place"));
    };
    let names: Vec<String> = parsed.environments.keys().cloned().collect();
    Ok(names
        .into_iter()
        .filter_map(|name| Some((name.clone(), delivery::plan(&parsed, &name)?)))
        .collect())
}

fn wire(diagnostic: &pilotage_workflow::diagnostic::Diagnostic) -> Diagnostic {
    crate::render::json(diagnostic)
}

async fn find_artifact(app: &App, origin: &Origin<'_>, name: &str) -> AppResult<Artifact> {
    let Some(run) = origin.run else {
        return Err(AppError::conflict(format!(
            "no run of {} has uploaded the artifact `{name}`",
            short(origin.sha)
        ))
        .advice("run the workflow that builds it, or deploy a run's release"));
    };
    let all = app.store.read().await?.artifacts(run).await?;
    let newest = all.into_iter().rev().find(|artifact| artifact.name == name);
    newest.ok_or_else(|| {
        AppError::conflict(format!(
            "run {run} has not uploaded the artifact `{name}` that `pilotage.yml` names"
        ))
        .advice(format!(
            "upload it in a job before, with actions/upload-artifact and `name: {name}`"
        ))
    })
}

fn artifact_paths(app: &App, artifacts: Vec<(String, Artifact)>) -> AppResult<Vec<(String, PathBuf)>> {
    let path = |(folder, artifact): (String, Artifact)| {
        let blob = BlobName::parse(&artifact.digest)
            .ok_or_else(|| AppError::conflict(format!("the artifact `{}` has no files", artifact.name)))?;
        Ok((folder, app.store.blobs.path(&blob)))
    };
    artifacts.into_iter().map(path).collect()
}

/// Packs in a thread and stores what comes out, as it comes.
async fn store(app: &App, pack: Packing) -> AppResult<(BlobName, u64)> {
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(16);
    let packing = tokio::task::spawn_blocking(move || pack.write(Pipe { sender }));
    let mut writer = app.store.blobs.writer(PACKED_BYTES_MAX).await?;
    while let Some(piece) = pieces.recv().await {
        writer.write(&piece).await?;
    }
    let packed = packing.await.map_err(|error| AppError::internal(&error))?;
    packed.map_err(|error| AppError::conflict(format!("the release cannot be packed: {error}")))?;
    Ok(writer.finish(None).await?)
}

struct Packing {
    repository: Option<(PathBuf, String)>,
    /// Folders of the release, and the ZIP of each.
    artifacts: Vec<(String, PathBuf)>,
}

/// Hands on what is written.
struct Pipe {
    sender: mpsc::Sender<Vec<u8>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sender
            .blocking_send(bytes.to_vec())
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Packing {
    fn write(self, pipe: Pipe) -> io::Result<()> {
        let buffer = io::BufWriter::with_capacity(256 << 10, pipe);
        let mut tar = Tar {
            builder: tar::Builder::new(zstd::Encoder::new(buffer, LEVEL)?),
            entries: 0,
            bytes: 0,
        };
        if let Some((repository, sha)) = &self.repository {
            tar.project(repository, sha)?;
        }
        for (folder, path) in &self.artifacts {
            tar.artifact(folder, path)?;
        }
        tar.builder.into_inner()?.finish()?.flush()
    }
}

struct Tar<W: Write> {
    builder: tar::Builder<W>,
    entries: u64,
    bytes: u64,
}

impl<W: Write> Tar<W> {
    /// A project's files at a commit, without its history.
    fn project(&mut self, repository: &std::path::Path, sha: &str) -> io::Result<()> {
        let mut command = git(repository).into_std();
        command
            .args(["archive", "--format=tar", "--end-of-options", sha])
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut archive = tar::Archive::new(output);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            let path = PathBuf::from("project").join(entry.path()?);
            let mode = entry.header().mode()?;
            if kind.is_symlink() {
                let target = entry
                    .link_name()?
                    .ok_or_else(|| io::Error::other("a link without a target"))?
                    .into_owned();
                self.link(&path, &target)?;
            } else if kind.is_dir() {
                self.directory(&path)?;
            } else {
                let size = entry.size();
                self.file(&path, mode, size, &mut entry)?;
            }
        }
        let status = child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other("git archive failed"))
        }
    }

    /// An uploaded artifact. Names that leave its folder are refused.
    fn artifact(&mut self, folder: &str, path: &std::path::Path) -> io::Result<()> {
        let mut zip =
            zip::ZipArchive::new(io::BufReader::new(File::open(path)?)).map_err(io::Error::other)?;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).map_err(io::Error::other)?;
            let name = entry.enclosed_name();
            let name = name.ok_or_else(|| io::Error::other("an entry's name leaves its folder"))?;
            let path = PathBuf::from(folder).join(name);
            if entry.is_dir() {
                self.directory(&path)?;
            } else if entry.is_symlink() {
                let mut target = String::new();
                entry.by_ref().take(4096).read_to_string(&mut target)?;
                self.link(&path, std::path::Path::new(&target))?;
            } else {
                let (mode, size) = (entry.unix_mode().unwrap_or(0o644), entry.size());
                self.file(&path, mode, size, &mut entry)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &std::path::Path, mode: u32, size: u64, from: &mut impl Read) -> io::Result<()> {
        self.count(size)?;
        let mut header = header(
            tar::EntryType::Regular,
            if mode & 0o111 == 0 { 0o644 } else { 0o755 },
        );
        header.set_size(size);
        self.builder.append_data(&mut header, path, from.take(size))
    }

    fn directory(&mut self, path: &std::path::Path) -> io::Result<()> {
        self.count(0)?;
        self.builder
            .append_data(&mut header(tar::EntryType::Directory, 0o755), path, io::empty())
    }

    fn link(&mut self, path: &std::path::Path, target: &std::path::Path) -> io::Result<()> {
        self.count(0)?;
        self.builder
            .append_link(&mut header(tar::EntryType::Symlink, 0o777), path, target)
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > ENTRIES_MAX || self.bytes > BYTES_MAX {
            return Err(io::Error::other(format!(
                "it has more than {ENTRIES_MAX} files or {BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }
}

/// Without times and owners: the same files make the same bytes.
fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_size(0);
    header
}

pub(crate) fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

/// Found by a digest, or the beginning of a commit; the newest of several.
pub(crate) async fn find(app: &App, project: &Project, name: &str) -> AppResult<Release> {
    let all = app.store.read().await?.releases(project.id, 1000).await?;
    let plain = name.strip_prefix("sha256:").unwrap_or(name);
    let fits = |release: &Release| {
        let by_digest = plain.len() >= 7 && release.digest.trim_start_matches("sha256:").starts_with(plain);
        by_digest || plain.len() >= 7 && release.sha.starts_with(plain)
    };
    let found = all.into_iter().find(fits);
    found.ok_or_else(|| AppError::not_found(format!("release `{}`", crate::name::shown(name))))
}

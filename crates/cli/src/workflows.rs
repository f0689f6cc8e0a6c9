//! Workflow files of a checkout: where they are, and those that they call.

use crate::error::{CommandError, CommandResult};
use pilotage_workflow::parse::Resolver;
use pilotage_workflow::source::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a file that a person named; its size is bounded, so that a wrong name cannot fill the memory.
pub(crate) fn read(path: &Path, name: &str) -> CommandResult<Arc<Source>> {
    let failed = |error: &std::io::Error| CommandError::invalid(format!("cannot read {name}")).because(error);
    let size = path.metadata().map_err(|e| failed(&e))?.len();
    if size > MAX_BYTES {
        return Err(CommandError::invalid(format!(
            "{name} has {size} bytes, more than {MAX_BYTES} are not read"
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CommandError::invalid(format!("{name} is no text: the byte at {at} is not UTF-8"))
    })?;
    Ok(Source::new(name, text.strip_prefix('\u{FEFF}').unwrap_or(&text)))
}

const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The workflow files of a project, as paths below its root, sorted.
pub(crate) fn find(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut paths: Vec<String> = names
        .filter(|n| n.ends_with(".yml") || n.ends_with(".yaml"))
        .map(|n| format!("{FOLDER}/{n}"))
        .collect();
    paths.sort();
    paths
}

const FOLDER: &str = ".github/workflows";

/// The root of the project that a file belongs to: the nearest folder above it that holds `.github`, or `.git`.
pub(crate) fn root_of(file: &Path) -> PathBuf {
    let start = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut folders = start.ancestors().skip(1);
    let root = folders.find(|folder| folder.join(".github").is_dir() || folder.join(".git").exists());
    root.map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Finds called workflows in the project itself and, where given, below a folder of other projects' files.
pub(crate) struct Files {
    pub(crate) root: PathBuf,
    /// Holds `OWNER/REPO/REF/PATH`.
    pub(crate) others: Option<PathBuf>,
}

impl Resolver for Files {
    fn workflow(&self, uses: &str) -> Result<Arc<Source>, String> {
        let (path, base) = match uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")) {
            Some(local) => (local.to_owned(), &self.root),
            None => {
                let others = self
                    .others
                    .as_ref()
                    .ok_or("other projects are not looked up here")?;
                let (place, reference) = uses.rsplit_once('@').ok_or("it names no version")?;
                let mut parts = place.splitn(3, '/');
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(owner), Some(name), Some(path)) => {
                        (format!("{owner}/{name}/{reference}/{path}"), others)
                    }
                    _ => return Err("it is not `owner/name/path@version`".to_owned()),
                }
            }
        };
        if Path::new(&path)
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)))
        {
            return Err("its path leaves its folder".to_owned());
        }
        let name = uses
            .strip_prefix("./")
            .or_else(|| uses.strip_prefix("$/"))
            .unwrap_or(uses);
        read(&base.join(path), name).map_err(|_| "there is no such file".to_owned())
    }
}

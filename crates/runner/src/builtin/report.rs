//! Files that an earlier step left as a report, found by patterns and read whole.

use super::Call;
use crate::action::ActionError;
use crate::glob::{Options, Patterns};
use crate::reach::open_inside;
use std::io::Read;
use std::path::PathBuf;

/// The largest report that is read, in bytes.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const FILES_MAX: usize = 200;

/// A report, with the name that people know it by.
pub(super) struct ReportFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// The files of the input `files`. Each pattern has to match: a report that is not there was not made.
pub(super) async fn files(call: &mut Call<'_>) -> Result<Vec<ReportFile>, ActionError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for line in call.lines("files") {
        let patterns = Patterns::parse([line.as_str()], call.workspace(), &call.home())?;
        let options = Options::default();
        let files = call.blocking(move || patterns.find(options)).await??;
        if files.is_empty() {
            let message = format!(
                "no file matches `{line}`: the step that should write it did not, or wrote it elsewhere"
            );
            return Err(ActionError::failed(message));
        }
        found.extend(files);
    }
    found.sort();
    found.dedup();
    match found.len() {
        0 => return Err(ActionError::failed("the input `files` names no file")),
        n if n > FILES_MAX => {
            return Err(ActionError::failed(format!(
                "{n} files match; {FILES_MAX} are read at most"
            )));
        }
        _ => {}
    }
    let mut reports = Vec::new();
    for path in found {
        let workspace = call.workspace().to_owned();
        let name = path
            .strip_prefix(&workspace)
            .unwrap_or(&path)
            .display()
            .to_string();
        let read = move || {
            let mut bytes = Vec::new();
            open_inside(&path, &workspace)?
                .take(BYTES_MAX + 1)
                .read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let bytes = call.blocking(read).await?;
        let bytes = bytes.map_err(|error| ActionError::failed(format!("cannot read `{name}`: {error}")))?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ActionError::failed(format!("`{name}` is larger than 64 MiB")));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        reports.push(ReportFile { name, text });
    }
    Ok(reports)
}

//! What uploads and downloads of artifacts share.

use super::Call;
use crate::action::ActionError;
use crate::services::Packed;

/// Sizes for people: `812 B`, `4.2 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut value = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `1 file`, `2 files`.
pub(super) fn files(number: usize) -> String {
    format!("{number} file{}", if number == 1 { "" } else { "s" })
}

/// Inputs that could ask for the artifacts of other runs and projects, which are not open to a job.
pub(super) fn refuse_other_runs(call: &Call<'_>) -> Result<(), ActionError> {
    let (repository, run) = (call.input("repository"), call.input("run-id"));
    let other_repository = !repository.is_empty() && repository != call.github("repository");
    if other_repository || (!run.is_empty() && run != call.github("run_id")) {
        let message = "artifacts of other runs and projects cannot be downloaded here";
        return Err(ActionError::failed(message));
    }
    Ok(())
}

/// Removes a finished upload's file with the step.
pub(super) struct Temporary(pub(super) Packed);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0.path);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_have_one_digit_and_a_unit() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (4_404_019, "4.2 MiB"),
        ];
        for (bytes, expected) in table {
            assert_eq!(super::size(bytes), expected);
        }
    }
}

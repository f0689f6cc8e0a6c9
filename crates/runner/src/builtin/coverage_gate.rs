//! `pilotage/coverage-gate`: fails where too few lines ran in the tests, or none was measured.

use super::report;
use super::{BuiltIn, Call, Input};
use crate::action::ActionError;
use crate::coverage::{self, Lines};

pub(super) const COVERAGE_GATE: BuiltIn = BuiltIn {
    name: "pilotage/coverage-gate",
    majors: &[1],
    inputs: &[Input::required("files"), Input::new("minimum", "80%")],
    outputs: &["percent"],
    main: |call| Box::pin(run(call)),
    post: None,
};

async fn run(call: &mut Call<'_>) -> Result<(), ActionError> {
    let minimum = minimum(call.input("minimum"))?;
    let mut all = Lines::default();
    for file in report::files(call).await? {
        let lines = call
            .blocking(move || (coverage::read(&file.text), file.name))
            .await?;
        let (lines, name) = lines;
        let lines =
            lines.map_err(|error| ActionError::failed(format!("`{name}` shows no coverage: {error}")))?;
        call.say(&format!("{name}: {}", shown(lines)));
        all += lines;
    }
    call.output("percent", &percent(all.hundredths()));
    if u128::from(all.covered) * 10_000 < u128::from(minimum) * u128::from(all.valid) {
        return Err(ActionError::failed(format!(
            "coverage is {}; the minimum is {} %",
            shown(all),
            percent(minimum)
        )));
    }
    call.say(&format!(
        "coverage is {}, the minimum is {} %",
        shown(all),
        percent(minimum)
    ));
    Ok(())
}

fn shown(lines: Lines) -> String {
    format!(
        "{} % ({} of {} lines)",
        percent(lines.hundredths()),
        lines.covered,
        lines.valid
    )
}

/// Hundredths of a percent as people write them: `80`, `91.67`.
fn percent(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.strip_suffix(".00").map_or(text.clone(), str::to_owned)
}

/// `80%`, `80`, `82.5 %`, in hundredths of a percent.
fn minimum(text: &str) -> Result<u64, ActionError> {
    let bad = || ActionError::failed(format!("`minimum` is a share such as 80%, not `{text}`"));
    let number = text.trim_end_matches('%').trim();
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 2 || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) || whole.is_empty() {
        return Err(bad());
    }
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let part: u64 = format!("{part:0<2}").parse().map_err(|_| bad())?;
    match whole.checked_mul(100).and_then(|n| n.checked_add(part)) {
        Some(n) if n <= 10_000 => Ok(n),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written() {
        for (text, expected) in [
            ("80%", Some(8000)),
            ("80", Some(8000)),
            ("82.5 %", Some(8250)),
            ("0", Some(0)),
            ("100%", Some(10_000)),
        ] {
            assert_eq!(minimum(text).ok(), expected, "{text}");
        }
        for text in ["", "%", "101%", "8,5", "-1", "80.123", "eighty"] {
            assert!(minimum(text).is_err(), "{text}");
        }
        assert_eq!(
            (percent(8000), percent(9167)),
            ("80".to_owned(), "91.67".to_owned())
        );
    }
}

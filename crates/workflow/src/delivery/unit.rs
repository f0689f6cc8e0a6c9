//! Numbers with units: `30s`, `1m30s`, `500ms`, `5%`, `+50%`, `512MiB`.

pub(super) const DURATIONS: &[(&str, f64)] = &[
    ("ms", 1.0),
    ("s", 1_000.0),
    ("m", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];
pub(super) const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];
/// Longer than any run or watch; what is above it is a slip.
pub(super) const DURATION_DAYS_MAX: u32 = 35;

/// Milliseconds.
pub(super) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let (amount, unit, after) = split(rest)?;
        total += amount * factor(DURATIONS, unit)?;
        rest = after;
    }
    (!text.trim().is_empty() && total <= f64::from(DURATION_DAYS_MAX) * 86_400_000.0).then(|| whole(total))
}

pub(super) fn size_bytes(text: &str) -> Option<u64> {
    let (amount, unit, after) = split(text.trim())?;
    let bytes = amount * factor(SIZES, unit)?;
    (after.is_empty() && bytes <= 1e15).then(|| whole(bytes))
}

/// A fraction of 1; `+` may stand before it.
pub(super) fn share(text: &str) -> Option<f64> {
    let digits = text.trim().strip_suffix('%')?.trim_end();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let percent: f64 = valid.then(|| digits.parse().ok()).flatten()?;
    Some(percent / 100.0)
}

/// A number, its unit, and what follows.
fn split(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    Some((number.parse().ok()?, unit, after.trim_start()))
}

fn factor(units: &[(&str, f64)], unit: &str) -> Option<f64> {
    units.iter().find(|(u, _)| *u == unit).map(|(_, f)| *f)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the callers bound it, no sign is read"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1m", Some(60_000)),
            ("1m30s", Some(90_000)),
            ("1.5 h", Some(5_400_000)),
            ("0s", Some(0)),
            ("2d", Some(172_800_000)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-3s", None),
            ("3 min", None),
            ("1..2s", None),
            ("999999999d", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
        for (text, expected) in [
            ("512MiB", Some(536_870_912)),
            ("1 GB", Some(1_000_000_000)),
            ("12", None),
            ("1MiB2", None),
            ("1mib", None),
        ] {
            assert_eq!(size_bytes(text), expected, "{text}");
        }
        for (text, expected) in [
            ("5%", Some(0.05)),
            ("+50%", Some(0.5)),
            ("0.1 %", Some(0.001)),
            ("5", None),
            ("%", None),
            ("-5%", None),
        ] {
            assert_eq!(share(text), expected, "{text}");
        }
    }
}

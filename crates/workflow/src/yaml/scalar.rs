//! The types of plain scalars: the core schema of YAML 1.2 (§10.3.2), as GitHub's reader takes it.

use super::Kind;

/// What a plain scalar without a tag means.
pub(super) fn plain(text: &str) -> Kind {
    // Most scalars begin with a letter that begins no number and none of the words.
    match text.as_bytes().first() {
        Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'0'..=b'9' | b'+' | b'-' | b'.') | None => {
            null(text)
                .or_else(|| boolean(text))
                .or_else(|| integer(text))
                .or_else(|| float(text))
        }
        _ => None,
    }
    .unwrap_or_else(|| Kind::String(text.into()))
}

/// The value of a plain scalar with one of the core tags, if the text fits.
pub(super) fn of_type(text: &str, tag: &str) -> Option<Kind> {
    match tag {
        "null" => null(text),
        "bool" => boolean(text),
        "int" => integer(text),
        "float" => integer(text).or_else(|| float(text)),
        _ => None,
    }
}

fn null(text: &str) -> Option<Kind> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Kind::Null)
}

fn boolean(text: &str) -> Option<Kind> {
    match text {
        "true" | "True" | "TRUE" => Some(Kind::Bool(true)),
        "false" | "False" | "FALSE" => Some(Kind::Bool(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Kind> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.parse().ok().map(Kind::Number)).flatten()
}

/// Digits of a base, summed as a double so that no length overflows.
fn radix(digits: &str, base: u32) -> Option<Kind> {
    let mut sum = 0.0f64;
    for digit in digits.chars() {
        sum = sum * f64::from(base) + f64::from(digit.to_digit(base)?);
    }
    (!digits.is_empty()).then_some(Kind::Number(sum))
}

fn float(text: &str) -> Option<Kind> {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(Kind::Number(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(Kind::Number(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Kind::Number(f64::NEG_INFINITY)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (unsigned, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|e| !e.is_empty() && all_digits(e));
    (digits && exponent_fits)
        .then(|| text.parse().ok().map(Kind::Number))
        .flatten()
}

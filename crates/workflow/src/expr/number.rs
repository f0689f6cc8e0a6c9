//! Numbers as GitHub reads them from text and writes them into text.

/// Reads a whole text as a number; `NaN` where it is none. An empty text is 0.
///
/// Hexadecimal and octal numbers are 32-bit and wrap, as on GitHub: `0xffffffff` is -1.
pub(crate) fn parse(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return wrapped(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return wrapped(digits, 8);
    }
    match text {
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        _ if is_decimal(text) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

/// Writes 15 significant digits, with an exponent from 1E+15 up and from 1E-05 down. There is no `-0`.
pub(crate) fn format(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:.14e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let sign = if number < 0.0 { "-" } else { "" };
    if (-4..15).contains(&exponent) {
        format!("{sign}{}", fixed(digits, exponent))
    } else {
        let direction = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{}E{direction}{:02}", fixed(digits, 0), exponent.abs())
    }
}

/// Places the decimal point `exponent` digits after the first one.
fn fixed(digits: &str, exponent: i32) -> String {
    let Ok(point) = usize::try_from(exponent + 1) else {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("0.{zeros}{digits}");
    };
    if point == 0 {
        return format!("0.{digits}");
    }
    match digits.split_at_checked(point) {
        Some((whole, "")) => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction}"),
        None => format!("{digits:0<point$}"),
    }
}

fn wrapped(digits: &str, radix: u32) -> f64 {
    if digits.is_empty() || digits.starts_with('+') {
        return f64::NAN;
    }
    u32::from_str_radix(digits, radix).map_or(f64::NAN, |n| f64::from(n.cast_signed()))
}

/// An optional sign, digits with at most one point, an optional exponent.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    is_number(&format!("{whole}{fraction}")) && exponent.is_none_or(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_written_with_15_digits() {
        let table = [
            (7.0, "7"),
            (-0.0, "0"),
            (-12.5, "-12.5"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333333333333"),
            (999_999_999_999_999.0, "999999999999999"),
            (1e15, "1E+15"),
            (1.25e20, "1.25E+20"),
            (0.0001, "0.0001"),
            (0.00001, "1E-05"),
            (-2.5e-7, "-2.5E-07"),
            (1e300, "1E+300"),
            (120.0, "120"),
        ];
        for (number, expected) in table {
            assert_eq!(format(number), expected);
        }
    }

    #[test]
    fn texts_are_read_as_numbers() {
        let table = [
            ("", 0.0),
            (" 4. ", 4.0),
            ("-.25e1", -2.5),
            ("+6", 6.0),
            ("0x1F", 31.0),
            ("0xffffffff", -1.0),
            ("0o17", 15.0),
            ("+Infinity", f64::INFINITY),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [
            "x",
            ".",
            "1e",
            "1e+",
            "inf",
            "nan",
            "0x",
            "0x+1",
            "0o8",
            "--1",
            "1_0",
            "0x100000000",
        ] {
            assert!(parse(text).is_nan(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in proptest::num::f64::NORMAL) {
            let back = parse(&format(number));
            prop_assert!((back - number).abs() <= number.abs() * 1e-14, "{} {}", number, back);
        }
    }
}

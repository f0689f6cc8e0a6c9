//! Small texts: ages, dates, sizes, short names.

use super::style::{Style, fit};

/// `12 s`, `8 min`, `2 h`, `3 d`: how long ago.
pub(crate) fn age(now: i64, at: i64) -> String {
    let seconds = (now - at).max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `12 Nov`, or `12 Nov 2024` of another year.
pub(crate) fn date(now: i64, at: i64) -> String {
    let zone = jiff::tz::TimeZone::UTC;
    let of = |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|t| t.to_zoned(zone.clone()));
    match (of(at), of(now)) {
        (Ok(at), Ok(now)) if at.year() == now.year() => at.strftime("%-d %b").to_string(),
        (Ok(at), _) => at.strftime("%-d %b %Y").to_string(),
        _ => String::new(),
    }
}

/// `2026-11-12 14:03:07`, in UTC.
pub(crate) fn moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(
        |_| at.to_string(),
        |t| t.to_zoned(jiff::tz::TimeZone::UTC).strftime("%F %T").to_string(),
    )
}

/// `312 B`, `4.1 KiB`, `12.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let mut value = bytes as f64;
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    for unit in ["KiB", "MiB", "GiB"] {
        value /= 1_024.0;
        if value < 1_024.0 {
            return format!("{value:.1} {unit}");
        }
    }
    format!("{:.1} TiB", value / 1_024.0)
}

/// `24,310`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", thousands(n)),
    }
}

/// The first seven characters of a commit or a digest.
pub(crate) fn short(name: &str) -> String {
    let name = name.strip_prefix("sha256:").unwrap_or(name);
    fit(&name.chars().take(7).collect::<String>(), 7)
}

/// `main` of `refs/heads/main`.
pub(crate) fn branch(name: &str) -> &str {
    name.strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"))
        .unwrap_or(name)
}

/// A line of a log as a terminal may have it: colours stay, everything that moves the cursor, sets the title or the
/// clipboard becomes visible.
pub(crate) fn harmless(line: &str, style: Style) -> String {
    let text = filtered(line, style.color_out());
    if style.color_out() && line.contains('\x1b') {
        return text + "\x1b[0m";
    }
    text
}

/// The same without its colours, for where we have our own.
pub(crate) fn uncoloured(line: &str) -> String {
    filtered(line, false)
}

fn filtered(line: &str, colours: bool) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        match colour(after) {
            Some(length) => {
                let (sequence, after) = after.split_at(length);
                if colours {
                    text.push_str(sequence);
                }
                rest = after;
            }
            None => {
                text.push('\u{FFFD}');
                let mut characters = after.chars();
                characters.next();
                rest = characters.as_str();
            }
        }
    }
    text.push_str(rest);
    text
}

/// The length of `ESC [ digits ; … m` at the start, if one is there.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    (parameters.as_bytes().get(end) == Some(&b'm') && end <= 40).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_dates_and_sizes_have_their_units() {
        let now = 1_795_574_613_000; // 2026-11-25
        assert_eq!(
            [
                age(now, now - 8 * 60_000),
                age(now, now - 6 * 3_600_000),
                age(now, now + 5)
            ],
            ["8 min", "6 h", "0 s"]
        );
        assert_eq!(date(now, now - 13 * 86_400_000), "12 Nov");
        assert_eq!(date(now, now - 500 * 86_400_000), "13 Jul 2025");
        assert_eq!(
            [size(312), size(4_200), size(12_582_912)],
            ["312 B", "4.1 KiB", "12.0 MiB"]
        );
        assert_eq!([thousands(24_310), plural(1, "run")], ["24,310", "1 run"]);
    }

    #[test]
    fn logs_cannot_command_the_terminal() {
        let check =
            |line: &str, expected: &str| assert_eq!(harmless(line, Style::plain()), expected, "{line:?}");
        check("plain\ttext", "plain\ttext");
        check("\x1b[1;31mred\x1b[0m", "red");
        check("\x1b[2Jclear", "\u{FFFD}[2Jclear");
        check("\x1b]52;c;ZXZpbA==\x07", "\u{FFFD}]52;c;ZXZpbA==\u{FFFD}");
        check("50 %\r100 %", "50 %\u{FFFD}100 %");
        check("\u{9b}2J", "\u{FFFD}2J");
        check("\x1b[31", "\u{FFFD}[31");
    }
}

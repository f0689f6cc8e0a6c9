//! How numbers, times and names are written, on every page alike. Each number has its unit.
//!
//! Times travel as milliseconds since 1970. The text says UTC; `time.js` writes it again in the reader's own zone.

use jiff::Timestamp;
use maud::{Markup, html};

/// `212 ms`, `41 s`, `4 m 12 s`, `6 h 10 m`, `3 d 2 h`.
#[must_use]
pub fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=9 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// `now`, `20 s`, `5 min`, `2 h`, `3 d`: how long ago, on lists.
#[must_use]
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..=4 => "now".to_owned(),
        5..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// An age that goes on counting while the page is open.
#[must_use]
pub fn ago(at: i64, now: i64) -> Markup {
    html! { time datetime=(iso(at)) data-age=(at) title=(full(at)) { (age(now - at)) } }
}

/// A running duration that goes on counting.
#[must_use]
pub fn since(at: i64, now: i64) -> Markup {
    html! { time datetime=(iso(at)) data-since=(at) title=(full(at)) { (duration(now - at)) } }
}

/// `14:31:40`, on pages of one thing.
#[must_use]
pub fn clock(at: i64) -> Markup {
    html! { time datetime=(iso(at)) data-clock=(at) title=(full(at)) { (format_at(at, "%H:%M:%S")) } }
}

/// `14:31`, below charts.
#[must_use]
pub fn minute(at: i64) -> Markup {
    html! { time datetime=(iso(at)) data-minute=(at) title=(full(at)) { (format_at(at, "%H:%M")) } }
}

/// `14:31:40.112`, on timelines.
#[must_use]
pub fn clock_ms(at: i64) -> Markup {
    let text = format!("{}.{:03}", format_at(at, "%H:%M:%S"), at.rem_euclid(1000));
    html! { time datetime=(iso(at)) data-clock-ms=(at) title=(full(at)) { (text) } }
}

/// `25 Nov 14:31`.
#[must_use]
pub fn date(at: i64) -> Markup {
    html! { time datetime=(iso(at)) data-date=(at) title=(full(at)) { (format_at(at, "%-d %b %H:%M")) } }
}

/// `25 Nov 14:31:40`, where minutes are too coarse.
#[must_use]
pub fn moment(at: i64) -> Markup {
    html! { time datetime=(iso(at)) data-moment=(at) title=(full(at)) { (format_at(at, "%-d %b %H:%M:%S")) } }
}

/// `25 Nov 14:31 UTC`, inside a text that is none of markup.
#[must_use]
pub fn day(at: i64) -> String {
    format_at(at, "%-d %b %H:%M UTC")
}

/// `2026-11-25 14:31:40 UTC`, where all of it is wanted.
#[must_use]
pub fn full(at: i64) -> String {
    format_at(at, "%Y-%m-%d %H:%M:%S UTC")
}

fn iso(at: i64) -> String {
    format_at(at, "%Y-%m-%dT%H:%M:%SZ")
}

fn format_at(at: i64, form: &str) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime(form).to_string()
}

/// `1,990`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 job`, `19 jobs`.
#[must_use]
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `812 B`, `1.2 MiB`, `284 MiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0);
    format!(
        "{value:.digits$} {}",
        UNITS.get(unit).copied().unwrap_or_default()
    )
}

/// `0.5 %` of a share between 0 and 1; `–` of what is no number.
#[must_use]
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return "–".to_owned();
    }
    let digits = usize::from(value.abs() < 10.0 && (value * 10.0).round() % 10.0 != 0.0);
    format!("{value:.digits$} %")
}

/// The first seven signs of a commit or a digest.
#[must_use]
pub fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..7).unwrap_or(hex)
}

/// `sha256:9b2e…41c7`
#[must_use]
pub fn digest(id: &str) -> String {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    match (hex.get(..4), hex.get(hex.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if hex.len() > 12 => format!("sha256:{head}…{tail}"),
        _ => id.to_owned(),
    }
}

/// A name as one part of a path: what has a meaning in an address is escaped.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

/// The name that [`segment`] wrote; none where the text is something else.
#[must_use]
pub fn of_segment(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// `main` of `refs/heads/main`, `v1` of `refs/tags/v1`.
#[must_use]
pub fn branch(name: &str) -> &str {
    let rest = name
        .strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"));
    rest.unwrap_or(name)
}

/// Text whose direction nobody turns: a name with such a character would show what stands behind it backwards.
#[must_use]
pub fn straight(html: String) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if html.contains(turns) {
        html.replace(turns, "\u{fffd}")
    } else {
        html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_units() {
        for (ms, expected) in [
            (-5, "0 ms"),
            (212, "212 ms"),
            (3_250, "3.2 s"),
            (41_000, "41 s"),
            (252_000, "4 m 12 s"),
            (22_200_000, "6 h 10 m"),
            (266_400_000, "3 d 2 h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
        for (ms, expected) in [
            (0, "now"),
            (20_000, "20 s"),
            (300_000, "5 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(age(ms), expected);
        }
        assert_eq!(
            (count(0), count(1990), count(1_000_000)),
            ("0".into(), "1,990".into(), "1,000,000".into())
        );
        assert_eq!(
            (bytes(812), bytes(1_258_291), bytes(297_795_584)),
            ("812 B".into(), "1.2 MiB".into(), "284 MiB".into())
        );
        assert_eq!(
            (percent(0.005), percent(0.145), percent(1.0), percent(0.0)),
            ("0.5 %".into(), "14 %".into(), "100 %".into(), "0 %".into())
        );
        assert_eq!(short("sha256:9b2e0d41aa"), "9b2e0d4");
        assert_eq!(
            digest(&format!("sha256:9b2e{}41c7", "0".repeat(56))),
            "sha256:9b2e…41c7"
        );
        assert_eq!(branch("refs/heads/feat/x"), "feat/x");
        for (name, part) in [("main", "main"), ("a/b, ?#%ü", "a%2Fb%2C%20%3F%23%25%C3%BC")] {
            assert_eq!(segment(name), part);
            assert_eq!(of_segment(part).as_deref(), Some(name));
        }
        for part in ["%", "%2", "%gg", "%ff"] {
            assert_eq!(of_segment(part), None, "{part}");
        }
    }
}

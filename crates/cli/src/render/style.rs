//! Colours, the signs of states, and times. A sign is never alone, and colour is never the only sign.

use clap::ValueEnum;
use std::io::IsTerminal;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// What this terminal can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// On the standard output and the standard error.
    color_out: bool,
    color_err: bool,
    ascii: bool,
}

/// The states that have a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Success,
    Failed,
    Running,
    Waiting,
    Skipped,
    Cancelled,
    Person,
    RolledBack,
    Fault,
}

impl Style {
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = |terminal: bool| match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !dumb && !set("NO_COLOR"),
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let utf8 = locale.is_none_or(|l| l.to_ascii_lowercase().replace('-', "").contains("utf8"));
        Self {
            color_out: color(std::io::stdout().is_terminal()),
            color_err: color(std::io::stderr().is_terminal()),
            ascii: dumb || !utf8,
        }
    }

    /// The same for what goes to the standard output.
    pub(crate) fn for_out(self) -> Self {
        Self {
            color_err: self.color_out,
            ..self
        }
    }

    /// Without colours, with all signs, whatever terminal the tests have.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            color_out: false,
            color_err: false,
            ascii: false,
        }
    }

    pub(crate) fn is_ascii(self) -> bool {
        self.ascii
    }

    pub(crate) fn color_out(self) -> bool {
        self.color_out
    }

    pub(crate) fn color_err(self) -> bool {
        self.color_err
    }

    pub(crate) fn error(self, text: &str) -> String {
        paint(self.color_err, "1;31", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        paint(self.color_err, "2", text)
    }

    /// The sign with its colour, for the standard error.
    pub(crate) fn sign(self, sign: Sign) -> String {
        let (symbol, ascii, color) = match sign {
            Sign::Success => ("✓", "ok", "32"),
            Sign::Failed => ("✕", "x", "31"),
            Sign::Running => ("◐", "*", "33"),
            Sign::Waiting => ("○", "o", "2"),
            Sign::Skipped => ("⇢", "->", "2"),
            Sign::Cancelled => ("⊘", "/", "35"),
            Sign::Person => ("⏸", "||", "36"),
            Sign::RolledBack => ("⟲", "<-", "35"),
            Sign::Fault => ("⚡", "!", "31"),
        };
        paint(self.color_err, color, if self.ascii { ascii } else { symbol })
    }
}

fn paint(on: bool, code: &str, text: &str) -> String {
    if on {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Below 1 s in ms, below 60 s with one digit, then `1 m 12 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..59_950 => format!("{:.1} s", duration.as_secs_f64()),
        _ => {
            let seconds = (ms + 500) / 1_000;
            match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
                (0, minutes, seconds) => format!("{minutes} m {seconds} s"),
                (hours, minutes, _) => format!("{hours} h {minutes} m"),
            }
        }
    }
}

/// The width that may be used: the terminal's, or 100 where there is none.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size()
        .map_or(100, |(width, _)| usize::from(width.0))
        .clamp(20, 400)
}

/// Cuts a text to a number of characters, with a sign that it was cut; control characters become visible, so that
/// no name can move the cursor.
pub(crate) fn fit(text: &str, width: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .collect();
    if clean.chars().count() <= width {
        return clean;
    }
    let mut cut: String = clean.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let show = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [
                show(47),
                show(9_200),
                show(59_949),
                show(59_950),
                show(72_400),
                show(3_700_000)
            ],
            ["47 ms", "9.2 s", "59.9 s", "1 m 0 s", "1 m 12 s", "1 h 1 m"]
        );
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(fit("a\x1b[2Jb\nc", 20), "a\u{FFFD}[2Jb\u{FFFD}c");
        assert_eq!(fit("abcdef", 4), "abc…");
    }
}

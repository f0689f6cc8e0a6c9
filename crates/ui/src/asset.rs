//! The style sheet and the script modules, embedded in the program.
//!
//! They lie under `/-/assets/VERSION/NAME`: the version changes with any byte of any of them, so browsers keep them
//! for ever, and modules import one another by relative name.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// One file as the browser gets it.
pub struct Asset {
    pub name: &'static str,
    pub content_type: &'static str,
    pub body: &'static str,
}

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Every file there is.
pub const ALL: &[Asset] = &[
    Asset {
        name: "style.css",
        content_type: STYLE,
        body: concat!(
            include_str!("../style/base.css"),
            include_str!("../style/shell.css"),
            include_str!("../style/log.css"),
            include_str!("../style/environment.css"),
            include_str!("../style/palette.css"),
            include_str!("../style/settings.css"),
            include_str!("../style/workflow.css"),
            include_str!("../style/attempts.css")
        ),
    },
    Asset {
        name: "mark.svg",
        content_type: IMAGE,
        body: include_str!("../style/mark.svg"),
    },
    script("app.js", include_str!("../script/app.js")),
    script("chart.js", include_str!("../script/chart.js")),
    script("copy.js", include_str!("../script/copy.js")),
    script("form.js", include_str!("../script/form.js")),
    script("keys.js", include_str!("../script/keys.js")),
    script("live.js", include_str!("../script/live.js")),
    script("log.js", include_str!("../script/log.js")),
    script("stream.js", include_str!("../script/stream.js")),
    script("window.js", include_str!("../script/window.js")),
    script("prefetch.js", include_str!("../script/prefetch.js")),
    script("palette.js", include_str!("../script/palette.js")),
    script("time.js", include_str!("../script/time.js")),
];

const fn script(name: &'static str, body: &'static str) -> Asset {
    Asset {
        name,
        content_type: SCRIPT,
        body,
    }
}

/// The version of all of them together.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for asset in ALL {
        (asset.name, asset.body).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
});

/// Where a page finds a file.
#[must_use]
pub fn path(name: &str) -> String {
    format!("/-/assets/{}/{name}", *VERSION)
}

#[must_use]
pub fn find(name: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_small_modules_and_import_only_what_is_there() {
        for asset in ALL.iter().filter(|asset| asset.content_type == SCRIPT) {
            let lines = asset.body.lines().count();
            assert!(lines <= 300, "{}: {lines} lines", asset.name);
            for line in asset.body.lines().filter(|line| line.starts_with("import ")) {
                let name = line.rsplit('"').nth(1).and_then(|path| path.strip_prefix("./"));
                assert!(name.and_then(find).is_some(), "{}: {line}", asset.name);
            }
        }
    }

    /// Bytes on the wire.
    fn compressed(body: &str) -> usize {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(body.as_bytes()).expect("memory takes it");
        gzip.finish().expect("memory takes it").len()
    }

    #[test]
    fn all_scripts_together_and_the_style_are_light() {
        for (kind, most) in [(SCRIPT, 20_000), (STYLE, 15_000)] {
            let files = ALL.iter().filter(|asset| asset.content_type == kind);
            let bytes: usize = files.map(|asset| compressed(asset.body)).sum();
            assert!(bytes <= most, "{kind}: {bytes} bytes, {most} are the most");
        }
    }

    /// A colour of the style sheet, light and dark.
    fn token(name: &str) -> [[f64; 3]; 2] {
        let style = include_str!("../style/base.css");
        let value = style.split(&format!("--{name}:light-dark(")).nth(1).expect(name);
        let value = value.split(')').next().expect(name);
        let mut colours = value.split(',').map(|hex| {
            let hex = hex.trim().strip_prefix('#').expect(name);
            let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).expect(name)).collect();
            let part = |at: usize| match digits.len() {
                3 => digits[at] * 17,
                _ => digits[2 * at] * 16 + digits[2 * at + 1],
            };
            [part(0), part(1), part(2)].map(f64::from)
        });
        [colours.next().expect(name), colours.next().expect(name)]
    }

    /// As WCAG 2 reckons it.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let light = |colour: [f64; 3]| {
            let [r, g, b] = colour.map(|part| match part / 255.0 {
                part if part <= 0.04045 => part / 12.92,
                part => ((part + 0.055) / 1.055).powf(2.4),
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (light(a), light(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_ground_in_both_themes() {
        let words = [
            "text", "muted", "accent", "ok", "bad", "run", "wait", "infra", "cyan",
        ];
        let on_tints = [
            ("text", "tint"),
            ("accent", "tint"),
            ("muted", "tint"),
            ("text", "bad-tint"),
            ("bad", "bad-tint"),
            ("muted", "bad-tint"),
            ("text", "wait-tint"),
            ("wait", "wait-tint"),
            ("muted", "wait-tint"),
            ("bg", "text"),
        ];
        let plain = words.iter().flat_map(|word| [(*word, "bg"), (*word, "panel")]);
        for (word, ground) in plain.chain(on_tints) {
            for (theme, (colour, below)) in ["light", "dark"]
                .iter()
                .zip(token(word).into_iter().zip(token(ground)))
            {
                let contrast = contrast(colour, below);
                assert!(contrast >= 4.5, "{word} on {ground}, {theme}: {contrast:.2}");
            }
        }
        // Bars are no text.
        for (bar, ground) in [("ok-bar", "bg"), ("bad", "bg"), ("accent", "bg")] {
            for (colour, below) in token(bar).into_iter().zip(token(ground)) {
                assert!(contrast(colour, below) >= 3.0, "{bar}");
            }
        }
    }
}

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
            include_str!("../style/workflow.css")
        ),
    },
    Asset {
        name: "mark.svg",
        content_type: IMAGE,
        body: include_str!("../style/mark.svg"),
    },
    script("app.js", include_str!("../script/app.js")),
    script("chart.js", include_str!("../script/chart.js")),
    script("live.js", include_str!("../script/live.js")),
    script("log.js", include_str!("../script/log.js")),
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
            assert!(
                asset.body.lines().count() <= 300,
                "{} is longer than 300 lines",
                asset.name
            );
            for line in asset.body.lines().filter(|line| line.starts_with("import ")) {
                let name = line.rsplit('"').nth(1).and_then(|path| path.strip_prefix("./"));
                assert!(name.and_then(find).is_some(), "{}: {line}", asset.name);
            }
        }
    }
}

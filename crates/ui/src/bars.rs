//! The last runs of something as bars: one a run, the newest on the right.

use crate::status::Status;
use crate::words;
use maud::{Markup, html};

/// A run that is over.
pub struct Bar {
    pub run: i64,
    pub status: Status,
    pub duration_ms: i64,
}

/// `project` is `/owner/name`; the oldest of `all` stands first.
#[must_use]
pub fn bars(project: &str, all: &[Bar]) -> Markup {
    let count = |wanted: &str| all.iter().filter(|bar| bar.status.class() == wanted).count();
    let label = format!(
        "last {} runs: {} passed, {} failed",
        all.len(),
        count("ok"),
        count("bad")
    );
    html! {
        svg class="bars" width="178" height="24" role="img" aria-label=(label) {
            @for (index, bar) in all.iter().enumerate() {
                @let height = bar.height();
                @let (x, y) = (index * 6, 24 - height);
                a href={ (project) "/runs/" (bar.run) } tabindex="-1" {
                    title { "#" (bar.run) " " (bar.status.word()) ", " (words::duration(bar.duration_ms)) }
                    rect class=(bar.class()) x=(x) y=(y) width="4" height=(height) {}
                    @if bar.status.class() == "bad" { rect class="bb" x=(x) y=(y.saturating_sub(4)) width="4" height="2" {} }
                }
            }
        }
    }
}

impl Bar {
    /// On a logarithmic scale: each doubling of the seconds is two pixels.
    fn height(&self) -> usize {
        let seconds = u64::try_from(self.duration_ms / 1000).unwrap_or_default().max(1);
        (4 + 2 * seconds.ilog2() as usize).min(20)
    }

    pub(crate) fn class(&self) -> &'static str {
        match self.status.class() {
            "ok" => "bo",
            "bad" => "bb",
            _ => "bc",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_logarithm() {
        let height = |seconds: i64| {
            let bar = Bar {
                run: 1,
                status: Status::Failed,
                duration_ms: seconds * 1000,
            };
            bar.height()
        };
        assert_eq!((height(1), height(4), height(1 << 20)), (4, 8, 20));
    }
}

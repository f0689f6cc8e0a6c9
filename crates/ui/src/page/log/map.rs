//! The strip beside the lines: the whole log in the height of the window, with its errors, warnings and hits.

use super::link;
use maud::{Markup, html};

/// Marks that would lie on one another are one: the strip has so many places.
const PLACES: u64 = 240;
/// So many lines' places are told to `log.js`, of each kind.
const TOLD_MAX: usize = 2000;

#[derive(Default)]
pub struct Map {
    /// Lines of the log that were looked through, and that there are.
    pub looked: u64,
    pub total: u64,
    /// Step and line, from 0.
    pub errors: Vec<(u32, u64)>,
    pub warnings: Vec<(u32, u64)>,
    pub hits: Vec<(u32, u64)>,
}

impl Map {
    /// `window` is what the page shows of the log, from 0.
    #[must_use]
    pub fn svg(&self, job_path: &str, window: (u64, u64)) -> Markup {
        let share = |line: u64| percent(line, self.total);
        html! {
            // What it says is in the lines, in their buttons and keys.
            svg class="mini" id="map" width="16" height="100%" aria-hidden="true"
                data-errors=[told(&self.errors)] data-hits=[told(&self.hits)]
                data-total=(self.total) data-part[self.looked < self.total]
            {
                rect class="band" id="seen" width="16" y=(share(window.0)) height=(share(window.1.saturating_sub(window.0))) {}
                @for (class, marks) in [("run f", &self.warnings), ("a f", &self.hits), ("bad f", &self.errors)] {
                    @for (step, line) in self.placed(marks) {
                        a href=(link(job_path, step, line)) tabindex="-1" {
                            rect class=(class) x="3" width="10" height="3" y=(share(line)) {}
                        }
                    }
                }
            }
        }
    }

    /// One for each place.
    fn placed(&self, marks: &[(u32, u64)]) -> Vec<(u32, u64)> {
        let place = |line: u64| line.saturating_mul(PLACES) / self.total.max(1);
        let mut placed: Vec<(u32, u64)> = Vec::new();
        for (step, line) in marks {
            if placed.last().is_none_or(|(_, last)| place(*last) != place(*line)) {
                placed.push((*step, *line));
            }
        }
        placed
    }
}

/// `3:4182 3:4190`, lines from 1.
fn told(marks: &[(u32, u64)]) -> Option<String> {
    let text: Vec<String> = (marks.iter().take(TOLD_MAX))
        .map(|(step, line)| format!("{step}:{}", line + 1))
        .collect();
    (!text.is_empty()).then(|| text.join(" "))
}

fn percent(part: u64, whole: u64) -> String {
    let tenths = part.min(whole).saturating_mul(1000) / whole.max(1);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

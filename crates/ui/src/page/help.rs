//! The keys, as `keys.js` knows them: each presses what stands on the page.

use maud::{Markup, html};

/// What is pressed, and what it does.
const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("Ctrl K", "find or do anything"),
            ("/", "to the field that searches or filters"),
            ("j", "to the next row"),
            ("k", "to the row before"),
            ("Enter", "open the row"),
            (".", "open the row's menu, or the page's"),
            ("Esc", "close, or back to what this belongs to"),
            ("?", "these keys"),
        ],
    ),
    (
        "Go to",
        &[
            ("g d", "the overview"),
            ("g r", "runs"),
            ("g w", "workflows of the project"),
            ("g e", "environments"),
            ("g n", "runners"),
            ("g a", "the audit log"),
            ("g s", "settings"),
        ],
    ),
    (
        "A run",
        &[
            ("r", "rerun failed jobs"),
            ("x", "cancel, which is asked once more"),
        ],
    ),
    (
        "A log",
        &[
            ("e", "next error"),
            ("E", "error before"),
            ("n", "next hit of the search"),
            ("N", "hit before"),
            ("f", "follow what is written"),
            ("w", "wrap long lines"),
            ("t", "times: since the step began, of the clock, none"),
        ],
    ),
];

/// The page; what stands in the dialog is its part `keys`.
#[must_use]
pub fn keys() -> Markup {
    html! {
        h1 { "Keys" }
        p class="m s" { "Each presses what is on the page as a button, a link or a field: nothing needs a key." }
        div id="keys" class="keys" {
            @for (place, keys) in KEYS {
                section {
                    h2 { (place) }
                    dl {
                        @for (key, what) in *keys {
                            div { dt { @for part in key.split(' ') { kbd { (part) } " " } } dd { (what) } }
                        }
                    }
                }
            }
        }
    }
}

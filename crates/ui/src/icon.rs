//! The shapes: drawn once in each document, used by name.

use maud::{Markup, PreEscaped, html};

/// A shape. Which state has which shape is said by [`crate::status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Ok,
    OkQuiet,
    Bad,
    Run,
    Queued,
    Wait,
    Cancelled,
    Skip,
    Back,
    Infra,
    Lock,
    Key,
    Find,
    Down,
    Right,
    Star,
    StarFull,
    More,
    Copy,
    Arrow,
    ArrowDown,
    ArrowUp,
    Dot,
    Shield,
}

impl Icon {
    /// Its name in the [`sprite`].
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Icon::Ok => "ok",
            Icon::OkQuiet => "okq",
            Icon::Bad => "bad",
            Icon::Run => "run",
            Icon::Queued => "q",
            Icon::Wait => "wait",
            Icon::Cancelled => "can",
            Icon::Skip => "skip",
            Icon::Back => "back",
            Icon::Infra => "infra",
            Icon::Lock => "lock",
            Icon::Key => "key",
            Icon::Find => "find",
            Icon::Down => "chev",
            Icon::Right => "chr",
            Icon::Star => "star",
            Icon::StarFull => "starf",
            Icon::More => "more",
            Icon::Copy => "copy",
            Icon::Arrow => "arr",
            Icon::ArrowDown => "down",
            Icon::ArrowUp => "up",
            Icon::Dot => "dot",
            Icon::Shield => "shield",
        }
    }
}

/// A shape for the eye only: the word stands beside it.
#[must_use]
pub fn icon(icon: Icon) -> Markup {
    coloured(icon, "")
}

/// The same, with classes: a colour, `spin`.
#[must_use]
pub fn coloured(icon: Icon, class: &str) -> Markup {
    html! {
        svg class={ "i " (class) } aria-hidden="true" { use href={ "#" (icon.id()) } {} }
    }
}

/// The drawings, at the start of a document.
#[must_use]
pub fn sprite() -> Markup {
    // A constant of ours, no data.
    PreEscaped(SPRITE.to_owned())
}

const SPRITE: &str = concat!(
    r##"<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs>"##,
    r##"<symbol id="ok" viewBox="0 0 16 16"><circle class="f" cx="8" cy="8" r="7"/><path class="k" d="M4.9 8.3l2.1 2.1 4.1-4.6"/></symbol>"##,
    r##"<symbol id="okq" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2"/><path d="M5.2 8.2l2 2 3.6-4.2"/></symbol>"##,
    r##"<symbol id="bad" viewBox="0 0 16 16"><path class="f" d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"/><path class="k" d="M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8"/></symbol>"##,
    r##"<symbol id="run" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2"/><path class="f" d="M8 3.6a4.4 4.4 0 0 1 0 8.8z"/></symbol>"##,
    r##"<symbol id="q" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2" stroke-dasharray="2.4 2.47"/></symbol>"##,
    r##"<symbol id="wait" viewBox="0 0 16 16"><rect class="f" x="1" y="1" width="14" height="14" rx="3.5"/><path class="k" d="M6 5v6M10 5v6"/></symbol>"##,
    r##"<symbol id="can" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6.2"/><path d="M3.8 12.2l8.4-8.4"/></symbol>"##,
    r##"<symbol id="skip" viewBox="0 0 16 16"><path d="M2 8h8M6.8 4.6L10.2 8l-3.4 3.4M13.5 3.5v9"/></symbol>"##,
    r##"<symbol id="back" viewBox="0 0 16 16"><path d="M2.2 2.8v4h4M2.6 6.6A5.9 5.9 0 1 1 2.1 9"/></symbol>"##,
    r##"<symbol id="infra" viewBox="0 0 16 16"><path class="f" d="M9.6 1L3 9.2h4.1L6.4 15 13 6.8H8.9z"/></symbol>"##,
    r##"<symbol id="lock" viewBox="0 0 16 16"><rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2"/></symbol>"##,
    r##"<symbol id="key" viewBox="0 0 16 16"><circle cx="5" cy="11" r="3"/><path d="M7.2 8.8L13 3M10.6 5.4l2 2"/></symbol>"##,
    r##"<symbol id="find" viewBox="0 0 16 16"><circle cx="7" cy="7" r="4.6"/><path d="M10.5 10.5L14 14"/></symbol>"##,
    r##"<symbol id="chev" viewBox="0 0 16 16"><path d="M4 6l4 4 4-4"/></symbol>"##,
    r##"<symbol id="chr" viewBox="0 0 16 16"><path d="M6 4l4 4-4 4"/></symbol>"##,
    r##"<symbol id="star" viewBox="0 0 16 16"><path d="M8 1.8l1.9 4 4.3.6-3.1 3 .8 4.3L8 11.6l-3.9 2.1.8-4.3-3.1-3 4.3-.6z"/></symbol>"##,
    r##"<symbol id="starf" viewBox="0 0 16 16"><path class="f" d="M8 1.8l1.9 4 4.3.6-3.1 3 .8 4.3L8 11.6l-3.9 2.1.8-4.3-3.1-3 4.3-.6z"/></symbol>"##,
    r##"<symbol id="more" viewBox="0 0 16 16"><circle class="f" cx="3.5" cy="8" r="1.3"/><circle class="f" cx="8" cy="8" r="1.3"/><circle class="f" cx="12.5" cy="8" r="1.3"/></symbol>"##,
    r##"<symbol id="copy" viewBox="0 0 16 16"><rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 2.5H4A1.5 1.5 0 0 0 2.5 4v6.5"/></symbol>"##,
    r##"<symbol id="arr" viewBox="0 0 16 16"><path d="M2.5 8h10.6M9.2 4.2L13 8l-3.8 3.8"/></symbol>"##,
    r##"<symbol id="down" viewBox="0 0 16 16"><path d="M8 2.5v10.6M4.2 9.2L8 13l3.8-3.8"/></symbol>"##,
    r##"<symbol id="up" viewBox="0 0 16 16"><path d="M8 13.5V2.9M4.2 6.8L8 3l3.8 3.8"/></symbol>"##,
    r##"<symbol id="dot" viewBox="0 0 16 16"><circle class="f" cx="8" cy="8" r="3"/></symbol>"##,
    r##"<symbol id="shield" viewBox="0 0 16 16"><path d="M8 1.6l5.4 2v4.1c0 3.2-2.2 5.4-5.4 6.7-3.2-1.3-5.4-3.5-5.4-6.7V3.6z"/></symbol>"##,
    "</defs></svg>",
);

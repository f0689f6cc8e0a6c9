//! What people see: pages from view models with public fields, as text.
//!
//! Pure: no clock, no store, no HTTP. A page shows what it is given and nothing else; it never asks, decides or
//! invents. All that comes from outside is escaped by type (maud); nothing here is pre-escaped data.
//!
//! - [`shell`]: the document around each page.
//! - [`page`]: one module a page: its view model, its markup, and its [`Fragment`]s that live events replace.
//! - [`icon`], [`status`], [`words`]: shapes, states and the way numbers and times are written, once for all pages.
//! - [`ansi`]: lines of logs with their colours.
//! - [`bars`]: the last runs of something.
//! - [`graph`]: where the nodes of a graph lie.
//! - [`chart`]: where the lines and marks of a chart lie.
//! - [`markdown`]: what others wrote for people, by a strict list.
//! - [`asset`]: the style sheet and the script modules, embedded.

pub mod ansi;
pub mod asset;
pub mod bars;
pub mod chart;
pub mod graph;
pub mod icon;
pub mod markdown;
pub mod page;
pub mod shell;
pub mod status;
pub mod words;

use maud::Markup;

/// A part of a page that changes while the page is open: the one element with this id, whole.
///
/// The page itself is built of the same parts, so what arrives by event equals what a reload would show.
pub struct Fragment {
    pub id: String,
    pub html: String,
}

impl Fragment {
    /// `html` is one element whose `id` is `id`.
    pub fn new(id: impl Into<String>, html: Markup) -> Self {
        Self {
            id: id.into(),
            html: words::straight(html.into_string()),
        }
    }
}

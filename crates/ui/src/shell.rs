//! The document around each page: head, header, navigation, and what the scripts need to know.

use crate::asset;
use crate::icon::{Icon, icon, sprite};
use crate::words;
use maud::{DOCTYPE, Markup, html};

/// Who looks.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub name: String,
    /// Goes with each form: [`csrf_field`].
    pub csrf: String,
    /// Sees what belongs to the whole server: runners, the audit log, tokens.
    pub admin: bool,
}

/// Light or dark, where the reader chose; otherwise the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        }
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }
}

/// Where the page lies: which navigation it has, and which entry is the present one.
#[derive(Clone, Debug)]
pub enum Place {
    /// Before anybody signed in.
    Outside,
    /// Of the whole server.
    Server(ServerTab),
    Project {
        owner: String,
        name: String,
        tab: ProjectTab,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTab {
    Overview,
    Runs,
    Environments,
    Runners,
    Audit,
    Settings,
    /// None of them.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectTab {
    Runs,
    Workflows,
    Environments,
    Settings,
    /// None of them.
    Other,
}

/// All that a document has beside its body.
#[derive(Clone, Debug)]
pub struct Shell {
    /// Without the product's name: `Overview`.
    pub title: String,
    pub place: Place,
    pub viewer: Option<Viewer>,
    pub theme: Theme,
    /// Which live events the page wants, as the server's `/-/events` takes them; none for a page that stands still.
    pub topics: Vec<String>,
    /// As wide as the window, as logs are.
    pub wide: bool,
}

impl Shell {
    #[must_use]
    pub fn new(title: impl Into<String>, place: Place) -> Self {
        Self {
            title: title.into(),
            place,
            viewer: None,
            theme: Theme::System,
            topics: Vec::new(),
            wide: false,
        }
    }
}

/// The hidden field of each form that changes something.
#[must_use]
pub fn csrf_field(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf); }
}

/// A whole document. `main` is what stands in the `main` element; it begins with the page's one `h1`.
#[must_use]
pub fn document(shell: &Shell, main: &Markup) -> String {
    let theme = (shell.theme != Theme::System).then(|| shell.theme.word());
    let page = html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shell.title) " · Pilotage" }
                link rel="icon" href=(asset::path("mark.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(asset::path("style.css"));
                script type="module" src=(asset::path("app.js")) {}
            }
            body
                class=[shell.wide.then_some("full")]
                data-topics=[(!shell.topics.is_empty()).then(|| shell.topics.join("\n"))]
                data-csrf=[shell.viewer.as_ref().map(|viewer| viewer.csrf.as_str())]
            {
                (sprite())
                a class="skip" href="#main" { "Skip to the content" }
                (header(shell))
                // Filled by `live.js` where the line is lost.
                div id="offline" role="status" {}
                main id="main" class=[shell.wide.then_some("logp")] { (main) }
                div id="toasts" aria-live="polite" {}
            }
        }
    };
    words::straight(page.into_string())
}

fn header(shell: &Shell) -> Markup {
    html! {
        header class="top" {
            a class="mark" href="/" aria-label="Pilotage, overview" {
                svg width="20" height="16" viewBox="0 0 20 16" aria-hidden="true" {
                    path fill="none" stroke="currentColor" stroke-width="1.5" d="M1 .75h9v14.5H1z" {}
                    path class="a" fill="currentColor" stroke="currentColor" stroke-width="1.5" d="M10 .75h9v14.5h-9z" {}
                }
                @if !matches!(shell.place, Place::Project { .. }) { span { "Pilotage" } }
            }
            @match &shell.place {
                Place::Outside => { span class="crumb only-s" { b { "Pilotage" } } }
                Place::Server(tab) => {
                    span class="crumb only-s" { b { "Pilotage" } }
                    (server_navigation(*tab, shell.viewer.as_ref().is_some_and(|viewer| viewer.admin)))
                }
                Place::Project { owner, name, tab } => {
                    nav class="crumb" aria-label="Project" {
                        span { (owner) } span { "/" } b { a href={ "/" (owner) "/" (name) } { (name) } }
                    }
                    (project_navigation(owner, name, *tab))
                }
            }
            @if let Some(viewer) = &shell.viewer {
                // A link for those without scripts; `palette.js` opens in its place.
                a class="find" href="/search" data-palette {
                    (icon(Icon::Find)) span { "Find or do" } kbd { "Ctrl K" }
                }
                a class="me" href="/me" aria-label={ "Signed in as " (viewer.name) } {
                    (viewer.name.chars().next().unwrap_or('?'))
                }
            }
        }
    }
}

fn server_navigation(current: ServerTab, admin: bool) -> Markup {
    let all = [
        (ServerTab::Overview, "/", "Overview", false, false),
        (ServerTab::Runs, "/runs", "Runs", false, false),
        (
            ServerTab::Environments,
            "/environments",
            "Environments",
            false,
            false,
        ),
        (ServerTab::Runners, "/runners", "Runners", true, false),
        (ServerTab::Audit, "/audit", "Audit", true, true),
        (ServerTab::Settings, "/settings", "Settings", true, true),
    ];
    html! {
        nav class="nav" aria-label="Pilotage" {
            @for (tab, href, word, small_hidden, for_admin) in all {
                @if admin || !for_admin {
                    a href=(href) class=[small_hidden.then_some("xs")] aria-current=[(tab == current).then_some("page")] { (word) }
                }
            }
        }
    }
}

fn project_navigation(owner: &str, name: &str, current: ProjectTab) -> Markup {
    let all = [
        (ProjectTab::Runs, "runs", "Runs"),
        (ProjectTab::Workflows, "workflows", "Workflows"),
        (ProjectTab::Environments, "environments", "Environments"),
        (ProjectTab::Settings, "settings", "Settings"),
    ];
    html! {
        nav class="nav" aria-label="Sections" {
            @for (tab, path, word) in all {
                a href={ "/" (owner) "/" (name) "/" (path) } aria-current=[(tab == current).then_some("page")] { (word) }
            }
        }
    }
}

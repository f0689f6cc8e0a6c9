//! The reader's own page: who is signed in, how the pages look, the way out.

use crate::shell::{Theme, Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

pub struct Me {
    pub viewer: Viewer,
    pub theme: Theme,
    /// What the token may do, in the words of scopes.
    pub scopes: Vec<String>,
    pub sessions: Vec<Session>,
    pub now: i64,
}

/// A browser that is signed in by the same token.
pub struct Session {
    /// By which it is ended.
    pub name: String,
    pub agent: String,
    pub address: String,
    pub created_at: i64,
    pub expires_at: i64,
    /// The one that looks.
    pub present: bool,
}

impl Me {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="title" {
                div {
                    h1 { (self.viewer.name) }
                    p class="meta s" { span { "signed in by a token that may: " b { (self.scopes.join(", ")) } } }
                }
                form class="acts" method="post" action="/logout" {
                    (csrf_field(&self.viewer))
                    button class="btn" type="submit" { "Sign out" }
                }
            }
            section aria-labelledby="look" {
                div class="head" { h2 id="look" { "Look" } }
                form class="frm" method="post" action="/me/theme" {
                    (csrf_field(&self.viewer))
                    label {
                        span { "Colours" }
                        select name="theme" {
                            @for theme in [Theme::System, Theme::Light, Theme::Dark] {
                                option value=(theme.word()) selected[theme == self.theme] { (theme.word()) }
                            }
                        }
                    }
                    button class="btn" type="submit" { "Set colours" }
                }
            }
            (self.sessions())
            p class="s" { a class="a" href="/help/keys" aria-keyshortcuts="?" { "Keys" } }
            @if self.viewer.admin {
                // On phones the navigation has no room for them.
                p class="s only-s" { a class="a" href="/runners" { "Runners" } " · " a class="a" href="/audit" { "Audit" } " · " a class="a" href="/settings" { "Settings" } }
            }
        }
    }

    fn sessions(&self) -> Markup {
        html! {
            section aria-labelledby="se" {
                div class="head" { h2 id="se" { "Sessions" } span class="m" { "of this token" } }
                table class="sx" {
                    thead { tr {
                        th scope="col" class="full" { "Browser" } th scope="col" { "From" } th scope="col" class="r" { "Began" }
                        th scope="col" class="ht" { "Ends" } th scope="col" { span class="vh" { "Do" } }
                    } }
                    tbody { @for session in &self.sessions { tr {
                        td class="w full" title=(session.agent) { @if session.agent.is_empty() { "unnamed" } @else { (session.agent) } }
                        td class="m" { (session.address) }
                        td class="r m" { (words::ago(session.created_at, self.now)) }
                        td class="m ht" { (words::date(session.expires_at)) }
                        td class="r" {
                            @if session.present { span class="m" { "this one" } }
                            @else {
                                form method="post" action="/me/sessions/end" {
                                    (csrf_field(&self.viewer))
                                    input type="hidden" name="session" value=(session.name);
                                    button class="btn sm" type="submit" aria-label={ "End the session of " (session.address) } { "End" }
                                }
                            }
                        }
                    } } }
                }
                @if self.sessions.len() > 1 {
                    form class="ad" method="post" action="/me/sessions/end" {
                        (csrf_field(&self.viewer))
                        button class="btn" type="submit" { "End all other sessions" }
                    }
                }
            }
        }
    }
}

//! The reader's own page: who is signed in, how the pages look, the way out.

use crate::shell::{Theme, Viewer, csrf_field};
use maud::{Markup, html};

pub struct Me {
    pub viewer: Viewer,
    pub theme: Theme,
    /// What the token may do, in the words of scopes.
    pub scopes: Vec<String>,
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
        }
    }
}

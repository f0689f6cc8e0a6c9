//! The way in: by a token.

use maud::{Markup, html};

pub struct Login {
    /// Where to go afterwards: a path of ours.
    pub to: String,
    /// Why the last try failed.
    pub refused: Option<String>,
}

impl Login {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="login" {
                h1 { "Sign in" }
                p class="m" { "With a token. The administrator's own lies in the server's data directory, in " code { "admin-token" } "." }
                @if let Some(refused) = &self.refused {
                    p class="note refused" role="alert" { (refused) }
                }
                form method="post" action="/login" {
                    input type="hidden" name="to" value=(self.to);
                    label class="fl" for="token" { b { "Token" } }
                    input id="token" type="password" name="token" autocomplete="current-password" required autofocus;
                    button class="btn pri" type="submit" { "Sign in" }
                }
            }
        }
    }
}

//! What stands where a page cannot: what is wrong, and the next step. What is not there and what may not be seen look
//! the same.

use crate::icon::{Icon, coloured};
use crate::page::runners::quoted;
use maud::{Markup, html};

#[derive(Clone)]
pub struct Problem {
    /// `Page not found`
    pub title: String,
    pub detail: String,
    pub advice: Option<String>,
    /// Who is signed in.
    pub name: Option<String>,
}

impl Problem {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="problem" {
                h1 { (coloured(Icon::Bad, "bad")) (self.title) }
                p { (quoted(&self.detail)) @if let Some(name) = &self.name { " Signed in as " (name) "." } }
                @if let Some(advice) = &self.advice { p class="m" { (advice) } }
                p class="acts ad" {
                    a class="btn" href="/" { "Overview" }
                    @if self.name.is_some() { a class="btn no" href="/me" { "Sign in as another" } }
                    @else { a class="btn no" href="/login" { "Sign in" } }
                }
            }
        }
    }
}

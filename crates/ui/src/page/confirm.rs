//! Where somebody who signed in a while ago shows the token again, before secrets, tokens and rules may be changed.

use crate::shell::{Viewer, csrf_field};
use maud::{Markup, html};

pub struct Confirm {
    pub viewer: Viewer,
    /// Where to go afterwards: a path of ours.
    pub to: String,
    /// What was refused.
    pub problem: Option<String>,
}

impl Confirm {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="login" {
                h1 { "Confirm that it is you" }
                p class="m" { (WHY) }
                @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (problem) } }
                (form(&self.viewer, &self.to, ""))
                p class="ad" { a class="a" href=(self.to) { "Back without it" } }
            }
        }
    }
}

const WHY: &str = "You signed in more than 10 minutes ago. Whoever finds your browser open could change secrets, tokens and rules: show your token again.";

/// What stands in the place of a form until then.
#[must_use]
pub fn instead(viewer: &Viewer, to: &str) -> Markup {
    html! {
        h3 class="ad" { "Confirm that it is you" }
        p class="m s" { (WHY) }
        (form(viewer, to, "frm"))
    }
}

/// The way there, in the place of a button and looking like it.
#[must_use]
pub fn link(class: &str, to: &str, word: &str, name: &str) -> Markup {
    html! { a class=(class) href=(path(to)) aria-label=(name) { (word) } }
}

/// The page, which leads on to `to`.
#[must_use]
pub fn path(to: &str) -> String {
    let mut path = String::from("/me/confirm?to=");
    for byte in to.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

fn form(viewer: &Viewer, to: &str, class: &str) -> Markup {
    html! {
        form class=[(!class.is_empty()).then_some(class)] method="post" action="/me/confirm" {
            (csrf_field(viewer))
            input type="hidden" name="to" value=(to);
            // Password managers need to know whose it is.
            input type="text" value=(viewer.name) autocomplete="username" hidden;
            label { span { "Token of " (viewer.name) } input type="password" name="token" autocomplete="current-password" required; }
            button class="btn pri" type="submit" { "Confirm" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_one_parameter() {
        assert_eq!(
            path("/o/p/settings?secret=A&scope=é#secret-form"),
            "/me/confirm?to=/o/p/settings%3Fsecret%3DA%26scope%3D%C3%A9%23secret-form"
        );
    }
}

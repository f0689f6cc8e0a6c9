//! The settings of the server: a new project, and tokens.

use crate::page::confirm;
use crate::shell::{Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

pub struct Server {
    pub viewer: Viewer,
    /// Whether the viewer's token was shown a short while ago; tokens need it.
    pub confirmed: bool,
    pub now: i64,
    pub tokens: Vec<Token>,
    /// `owner/name`, for the choice of a token's project.
    pub projects: Vec<String>,
    /// All scopes there are.
    pub scopes: Vec<&'static str>,
    pub problem: Option<String>,
    pub form: TokenForm,
    /// Owner and name of the project that was refused.
    pub project_form: (String, String),
    /// The token just made: its holder's name, and its text. Shown this once.
    pub made: Option<(String, String)>,
}

pub struct Token {
    pub id: i64,
    pub name: String,
    pub kind: String,
    pub scopes: Vec<String>,
    pub project: Option<String>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked: bool,
}

/// What the form of a new token holds.
#[derive(Default)]
pub struct TokenForm {
    pub name: String,
    pub scopes: Vec<String>,
    pub project: String,
}

impl Server {
    #[must_use]
    pub fn main(&self) -> Markup {
        html! {
            div class="set" {
                nav aria-label="Settings" class="hs" {
                    ol class="steps" {
                        li { a href="#to" { "Tokens" } } li { a href="#np" { "New project" } } li { a href="/runners" { "Runners" } }
                    }
                }
                div {
                    div class="title" { div { h1 { "Settings" } p class="m" { "of the whole server" } } }
                    @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (problem) } }
                    @if let Some((name, text)) = &self.made {
                        div class="note once" role="status" {
                            p { "The token of " b { (name) } ". It is shown this once: copy it now." }
                            pre class="one" { code { (text) } }
                        }
                    }
                    (self.tokens())
                    (self.new_project())
                }
            }
        }
    }

    fn tokens(&self) -> Markup {
        let good = self.tokens.iter().filter(|token| token.good(self.now));
        html! {
            section class="sec1" aria-labelledby="to" {
                div class="head" { h2 id="to" { "Tokens" } span class="m" { (good.count()) " good" } }
                table class="sx" {
                    thead { tr {
                        th scope="col" { "Holder" } th scope="col" { "May" } th scope="col" class="ht" { "Project" }
                        th scope="col" class="r ht" { "Made" } th scope="col" class="ht" { "Ends" }
                        th scope="col" { span class="vh" { "Do" } }
                    } }
                    tbody { @for token in &self.tokens { (self.token(token)) } }
                }
                @if self.confirmed { (self.new_token()) } @else { (confirm::instead(&self.viewer, "/settings#to")) }
            }
        }
    }

    fn new_token(&self) -> Markup {
        html! {
                h3 class="ad" { "New token" }
                form class="frm" method="post" action="/settings/tokens" {
                    (csrf_field(&self.viewer))
                    label { span { "Holder" } input name="name" value=(self.form.name) required maxlength="100" autocomplete="off"; }
                    label { span { "For" } select name="kind" { option value="person" { "a person or program" } option value="runner" { "a runner" } } }
                    label { span { "Project" }
                        select name="project" {
                            option value="" { "all projects" }
                            @for project in &self.projects { option value=(project) selected[*project == self.form.project] { (project) } }
                        }
                    }
                    label { span { "Ends" }
                        select name="days" { option value="30" { "in 30 days" } option value="7" { "in 7 days" } option value="90" { "in 90 days" } option value="365" { "in a year" } option value="" { "never" } }
                    }
                    fieldset class="ticks" { legend { "It may" }
                        @for scope in &self.scopes {
                            label class="tick" {
                                input type="checkbox" name={ "scope_" (scope) } value="yes" checked[self.form.scopes.iter().any(|ticked| ticked == scope)];
                                " " (scope)
                            }
                        }
                    }
                    button class="btn" type="submit" { "Make token" }
                }
                p class="m s ad" { "A runner's token has neither scopes nor a project." }
        }
    }

    fn token(&self, token: &Token) -> Markup {
        html! {
            tr {
                td { b { (token.name) } " " span class="m" { "token " (token.id) } }
                td class="w full" { @if token.kind == "runner" { "run jobs" } @else { (token.scopes.join(", ")) } }
                td class="m ht" { (token.project.as_deref().unwrap_or("all")) }
                td class="r m ht" { @if token.created_at > 0 { (words::ago(token.created_at, self.now)) } @else { "at first start" } }
                td class="m ht" { @match token.expires_at { Some(at) => (words::date(at)), None => "never" } }
                td class="r" {
                    @if token.revoked { span class="m" { "revoked" } }
                    @else if !token.good(self.now) { span class="m" { "over" } }
                    @else if !self.confirmed {
                        (confirm::link("btn sm", "/settings#to", "Revoke", &format!("Revoke token {} of {}: confirm first", token.id, token.name)))
                    }
                    @else {
                        form method="post" action={ "/settings/tokens/" (token.id) "/revoke" } {
                            (csrf_field(&self.viewer))
                            button class="btn sm" type="submit" aria-label={ "Revoke token " (token.id) " of " (token.name) } { "Revoke" }
                        }
                    }
                }
            }
        }
    }

    fn new_project(&self) -> Markup {
        html! {
            section aria-labelledby="np" {
                div class="head" { h2 id="np" { "New project" } }
                (project_form(&self.viewer, &self.project_form.0, &self.project_form.1))
            }
        }
    }
}

impl Token {
    fn good(&self, now: i64) -> bool {
        !self.revoked && self.expires_at.is_none_or(|at| at > now)
    }
}

/// The form that makes a project.
#[must_use]
pub fn project_form(viewer: &Viewer, owner: &str, name: &str) -> Markup {
    html! {
        form class="frm" method="post" action="/settings/projects" {
            (csrf_field(viewer))
            label { span { "Owner" } input name="owner" value=(owner) required maxlength="100" autocomplete="off" spellcheck="false"; }
            label { span { "Name" } input name="name" value=(name) required maxlength="100" autocomplete="off" spellcheck="false"; }
            label { span { "Default branch" } input name="branch" value="main" required maxlength="200" autocomplete="off" spellcheck="false"; }
            button class="btn" type="submit" { "Make project" }
        }
    }
}

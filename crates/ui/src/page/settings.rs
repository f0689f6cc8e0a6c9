//! The settings of a project: secrets (set, never shown), variables, and the rules of its environments.

use crate::icon::{Icon, coloured};
use crate::page::confirm;
use crate::shell::{Viewer, csrf_field};
use crate::words;
use maud::{Markup, html};

/// After so long a secret wants to be set anew, in milliseconds: 90 days.
pub const OLD: i64 = 90 * 24 * 3600 * 1000;
/// A secret of fewer characters is not masked well.
pub const CHARS_MIN: usize = 6;

pub struct Settings {
    /// `owner/name`
    pub project: String,
    pub viewer: Viewer,
    /// Why the viewer may change nothing here; none if they may.
    pub refusal: Option<String>,
    /// Whether the viewer's token was shown a short while ago; secrets and rules need it.
    pub confirmed: bool,
    pub now: i64,
    pub secrets: Vec<Secret>,
    pub variables: Vec<Variable>,
    pub environments: Vec<Environment>,
    /// What was refused, and its fields.
    pub problem: Option<String>,
    pub secret_form: Entry,
    pub variable_form: Entry,
}

/// The fields of the form that sets a secret or a variable.
#[derive(Default)]
pub struct Entry {
    pub name: String,
    /// Empty for the whole project.
    pub environment: String,
    /// Never a secret's.
    pub value: String,
}

pub struct Secret {
    pub name: String,
    /// Empty for the whole project.
    pub environment: String,
    pub updated_at: i64,
    /// Known to those who may set it.
    pub short: bool,
    /// The last time that something was given it; none where that was not seen.
    pub used: Option<(i64, GivenTo)>,
}

/// What was given a secret.
pub enum GivenTo {
    Job { run: i64, job: i64 },
    Deployment(i64),
    Notification,
}

pub struct Variable {
    pub name: String,
    pub environment: String,
    pub value: String,
    pub updated_at: i64,
}

#[derive(Default)]
pub struct Environment {
    pub name: String,
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub reviewers: Vec<String>,
    pub approvals: u32,
    pub self_approval: bool,
    pub wait_timer_s: u64,
    pub guard_required: bool,
    /// Who set the rules, and when.
    pub set: Option<(String, i64)>,
}

impl Settings {
    #[must_use]
    pub fn main(&self) -> Markup {
        let sections = [("se", "Secrets"), ("va", "Variables"), ("en", "Environments")];
        html! {
            div class="set" {
                nav aria-label="Settings" class="hs" {
                    ol class="steps" { @for (id, word) in sections { li { a href={ "#" (id) } { (word) } } } }
                }
                div {
                    div class="title" {
                        div { h1 { "Settings" } p class="m" { (self.project) } }
                    }
                    @if let Some(problem) = &self.problem { p class="note refused" role="alert" { (problem) } }
                    @if let Some(refusal) = &self.refusal {
                        p class="note" { "You see what is set and can change nothing: " (crate::page::runners::quoted(refusal)) "." }
                    }
                    (self.secrets())
                    (self.variables())
                    (self.environments())
                }
            }
        }
    }

    fn action(&self, path: &str) -> String {
        format!("/{}/settings/{path}", self.project)
    }

    fn secrets(&self) -> Markup {
        let looks = self
            .secrets
            .iter()
            .filter(|secret| secret.short || self.is_old(secret))
            .count();
        html! {
            section class="sec1" aria-labelledby="se" {
                div class="head" {
                    h2 id="se" { "Secrets" }
                    span class="m" { (self.secrets.len()) @if looks > 0 { ", of which " (looks) " want a look" } }
                }
                @if self.secrets.is_empty() {
                    p class="m s" { "None yet. A workflow reads one as " code { "${{ secrets.NAME }}" } "; here it is never shown again." }
                } @else {
                    table class="sx" {
                        thead { tr {
                            th scope="col" { "Name" } th scope="col" { "Scope" } th scope="col" class="ht" { "Usable by" }
                            th scope="col" { "Last used" } th scope="col" class="r" { "Rotated" } th scope="col" { "State" } th scope="col" { span class="vh" { "Do" } }
                        } }
                        tbody { @for secret in &self.secrets { (self.secret(secret)) } }
                    }
                }
                @if self.refusal.is_none() {
                    @if self.confirmed { (self.entry_form("secrets", "add", &self.secret_form)) }
                    @else {
                        div id="secret-form" { (confirm::instead(&self.viewer, &self.chosen(&self.secret_form))) }
                    }
                }
            }
        }
    }

    /// The way to this page with an entry in the form of secrets.
    fn chosen(&self, entry: &Entry) -> String {
        let page = format!("/{}/settings", self.project);
        if entry.name.is_empty() {
            return format!("{page}#secret-form");
        }
        format!(
            "{page}?secret={}&scope={}#secret-form",
            entry.name, entry.environment
        )
    }

    fn is_old(&self, secret: &Secret) -> bool {
        self.now - secret.updated_at > OLD
    }

    fn secret(&self, secret: &Secret) -> Markup {
        html! {
            tr {
                td { code { (secret.name) } }
                td class="pr m" { (self.scope(&secret.environment)) }
                td class="m ht" { (self.usable_by(&secret.environment)) }
                td data-l=[secret.used.as_ref().map(|_| "used")] { (self.last_used(secret)) }
                td class="r" data-l="rotated" { (words::ago(secret.updated_at, self.now)) }
                td {
                    @if secret.short { span class="st run" { (coloured(Icon::Key, "run")) "too short to be masked" } }
                    @else if self.is_old(secret) { span class="st run" { (coloured(Icon::Key, "run")) "older than 90 d" } }
                    @else { span class="st q" { (coloured(Icon::Ok, "q")) "fine" } }
                }
                td class="r" {
                    @if self.refusal.is_none() { (self.row_actions("secrets", "secret", "Rotate", &secret.name, &secret.environment)) }
                }
            }
        }
    }

    /// Who is given it, if they name it.
    fn usable_by(&self, scope: &str) -> String {
        let Some(environment) = self.environments.iter().find(|found| found.name == scope) else {
            return "every branch".to_owned();
        };
        let refs = [&environment.branches, &environment.tags];
        let refs: Vec<&str> = refs.into_iter().flatten().map(String::as_str).collect();
        if refs.is_empty() {
            "every branch".to_owned()
        } else {
            refs.join(", ")
        }
    }

    fn last_used(&self, secret: &Secret) -> Markup {
        let Some((at, to)) = &secret.used else {
            return html! { span class="m" { "no use seen yet" } };
        };
        let project = &self.project;
        html! {
            @match to {
                GivenTo::Job { run, job } => { a href={ "/" (project) "/runs/" (run) "/jobs/" (job) } { "run #" (run) } }
                GivenTo::Deployment(id) => { a href={ "/" (project) "/deployments/" (id) } { "deployment #" (id) } }
                GivenTo::Notification => { "notification" }
            }
            ", " (words::ago(*at, self.now))
        }
    }

    /// The way to the filled form, and deleting after a second look.
    fn row_actions(&self, path: &str, field: &str, change: &str, name: &str, environment: &str) -> Markup {
        let whose = self.scope(environment);
        html! {
            div class="acts rowacts" {
                a class="btn sm" href={ "?" (field) "=" (name) "&scope=" (environment) "#" (field) "-form" }
                    aria-label={ (change) " " (name) " of " (whose) } { (change) }
                @if field == "secret" && !self.confirmed {
                    (confirm::link("btn sm no", &format!("/{}/settings#se", self.project), "Delete", &format!("Delete {name} of {whose}: confirm first")))
                } @else { details class="ask" {
                    summary class="btn sm no" aria-label={ "Delete " (name) " of " (whose) } { "Delete" }
                    form method="post" action=(self.action(&format!("{path}/delete"))) {
                        (csrf_field(&self.viewer))
                        input type="hidden" name="name" value=(name);
                        input type="hidden" name="environment" value=(environment);
                        button class="btn sm" type="submit" { "Delete " (name) " for good" }
                    }
                } }
            }
        }
    }

    fn scope<'a>(&'a self, environment: &'a str) -> &'a str {
        if environment.is_empty() {
            "project"
        } else {
            environment
        }
    }

    fn entry_form(&self, path: &str, id: &str, entry: &Entry) -> Markup {
        let secret = path == "secrets";
        let (one, form) = if secret {
            ("secret", "secret-form")
        } else {
            ("variable", "variable-form")
        };
        html! {
            h3 id=(form) class="ad" {
                @if entry.name.is_empty() { "Add a " (one) } @else { "Set " (entry.name) }
            }
            form class="frm" method="post" action=(self.action(path)) {
                (csrf_field(&self.viewer))
                label { span { "Name" }
                    input name="name" id=(id) value=(entry.name) required maxlength="100" pattern="[A-Za-z_][A-Za-z0-9_]*" autocomplete="off" spellcheck="false"; }
                label { span { "Value" }
                    @if secret { input name="value" type="password" required autocomplete="off"; }
                    @else { input name="value" value=(entry.value) autocomplete="off"; }
                }
                label { span { "Scope" }
                    select name="environment" {
                        option value="" selected[entry.environment.is_empty()] { "project" }
                        @for environment in &self.environments {
                            option value=(environment.name) selected[environment.name == entry.environment] { (environment.name) }
                        }
                    }
                }
                button class="btn" type="submit" { "Save " (one) }
            }
            @if secret {
                p class="m s ad" { "Fewer than 6 characters cannot be masked in logs." }
            }
        }
    }

    fn variables(&self) -> Markup {
        html! {
            section aria-labelledby="va" {
                div class="head" { h2 id="va" { "Variables" } span class="m" { "shown to everyone who may see the project" } }
                @if self.variables.is_empty() {
                    p class="m s" { "None yet. A workflow reads one as " code { "${{ vars.NAME }}" } "." }
                } @else {
                    table {
                        thead { tr {
                            th scope="col" { "Name" } th scope="col" { "Scope" } th scope="col" { "Value" }
                            th scope="col" class="r ht" { "Changed" } th scope="col" { span class="vh" { "Do" } }
                        } }
                        tbody { @for variable in &self.variables { tr {
                            td { code { (variable.name) } }
                            td class="pr m" { (self.scope(&variable.environment)) }
                            td class="w full" { code { (variable.value) } }
                            td class="r m ht" { (words::ago(variable.updated_at, self.now)) }
                            td class="r" {
                                @if self.refusal.is_none() {
                                    (self.row_actions("variables", "variable", "Change", &variable.name, &variable.environment))
                                }
                            }
                        } } }
                    }
                }
                @if self.refusal.is_none() { (self.entry_form("variables", "addv", &self.variable_form)) }
            }
        }
    }

    fn environments(&self) -> Markup {
        html! {
            section aria-labelledby="en" {
                div class="head" { h2 id="en" { "Environments" } span class="m" { "rules that no commit can lower" } }
                @if self.environments.is_empty() { p class="m s" { "None yet. The first deployment makes its own, or you do here." } }
                @for environment in &self.environments {
                    details class="fold" {
                        summary { b { (environment.name) } " " span class="m" { (environment.summary()) } }
                        @if let Some((by, at)) = &environment.set {
                            p class="m s" { "set by " (by) " " (words::ago(*at, self.now)) }
                        }
                        @if self.refusal.is_none() && self.confirmed { (self.rules(environment)) }
                    }
                }
                @if self.refusal.is_none() && !self.confirmed {
                    p class="acts ad" { (confirm::link("btn", &format!("/{}/settings#en", self.project), "Change rules", "Change rules of environments: confirm first")) }
                } @else if self.refusal.is_none() {
                    details class="fold" { summary { "Add an environment" } (self.rules(&Environment::default())) }
                }
            }
        }
    }

    fn rules(&self, environment: &Environment) -> Markup {
        let lists = [
            ("branches", "Branches that may come here", &environment.branches),
            ("tags", "Tags that may come here", &environment.tags),
            (
                "reviewers",
                "Tokens whose holders may approve",
                &environment.reviewers,
            ),
        ];
        html! {
            form class="frm rules" method="post" action=(self.action("environments")) {
                (csrf_field(&self.viewer))
                @if environment.name.is_empty() {
                    input type="hidden" name="new" value="yes";
                    label { span { "Name" } input name="environment" required maxlength="100" autocomplete="off"; }
                } @else { input type="hidden" name="environment" value=(environment.name); }
                @for (name, word, list) in lists {
                    label { span { (word) ", one a line" } textarea name=(name) rows="2" { (list.join("\n")) } }
                }
                label { span { "Approvals needed" } input type="number" name="approvals" min="0" max="100" value=(environment.approvals); }
                label { span { "Wait before going on, seconds" } input type="number" name="wait_timer_s" min="0" value=(environment.wait_timer_s); }
                label class="tick" { input type="checkbox" name="self_approval" value="yes" checked[environment.self_approval]; " who started a run may approve it" }
                label class="tick" { input type="checkbox" name="guard_required" value="yes" checked[environment.guard_required]; " a guard is required" }
                button class="btn" type="submit" {
                    @if environment.name.is_empty() { "Add environment" } @else { "Save rules of " (environment.name) }
                }
            }
        }
    }
}

impl Environment {
    fn summary(&self) -> String {
        let mut parts = Vec::new();
        if !self.branches.is_empty() {
            parts.push(format!("only from {}", self.branches.join(", ")));
        }
        if !self.tags.is_empty() {
            parts.push(format!("tags {}", self.tags.join(", ")));
        }
        if !self.reviewers.is_empty() {
            let needed = words::counted(u64::from(self.approvals.max(1)), "approval", "approvals");
            parts.push(format!("{needed} of {}", self.reviewers.join(", ")));
        }
        if self.wait_timer_s > 0 {
            parts.push(format!("waits {} s", self.wait_timer_s));
        }
        if self.guard_required {
            parts.push("guard required".to_owned());
        }
        if parts.is_empty() {
            "no rules".to_owned()
        } else {
            parts.join("; ")
        }
    }
}

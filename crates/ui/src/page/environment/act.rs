//! The buttons and forms of an environment.

use super::model::{Back, Environment};
use crate::page::runners::quoted;
use crate::shell::csrf_field;
use crate::words;
use maud::{Markup, html};

/// How long a lock may be meant to last, in minutes.
const LOCKS: [(u32, &str); 6] = [
    (0, "until somebody unlocks it"),
    (60, "1 hour"),
    (4 * 60, "4 hours"),
    (24 * 60, "1 day"),
    (3 * 24 * 60, "3 days"),
    (7 * 24 * 60, "7 days"),
];

impl Environment {
    pub(super) fn buttons(&self) -> Markup {
        html! {
            @match (&self.refusal, &self.back) {
                (Some(refusal), _) => { span class="m s" { (quoted(&super::sentence(refusal))) } }
                (None, Back::To { revision }) => {
                    a class="btn pri" href={ (self.path()) "/rollback" } { "Roll back to " (revision) }
                }
                (None, Back::Not(why)) => { span class="m s" { "No rollback: " (why) } }
            }
            @if self.refusal.is_none() {
                @if !self.choices.is_empty() { a class="btn" href="#deploy" { "Deploy" } }
                @if self.lock.is_none() { a class="btn" href="#lock-form" { "Lock" } }
            }
        }
    }

    /// Outside the fragments: nobody's half-written reason is lost.
    pub(super) fn forms(&self) -> Markup {
        html! {
            @if let Some(problem) = &self.problem {
                div class="note refused" role="alert" { p { (problem) } }
            }
            @if self.refusal.is_none() {
                div class="forms" {
                    @if !self.choices.is_empty() {
                        details id="deploy" class="fold" open[self.filled.form == "deploy"] {
                            summary { b { "Deploy a release to " (self.environment) } }
                            (self.deploy_form())
                        }
                    }
                    @if self.lock.is_none() {
                        details id="lock-form" class="fold" open[self.filled.form == "lock"] {
                            summary { b { "Lock " (self.environment) } }
                            (self.lock_form())
                        }
                    }
                }
            }
        }
    }

    /// The reason that stood in a form when it was refused.
    fn filled(&self, form: &str) -> Option<&str> {
        (self.filled.form == form).then_some(self.filled.reason.as_str())
    }

    fn deploy_form(&self) -> Markup {
        html! {
            p class="m s" { "It is not built again. The environment's rules and its guard hold as for every deployment." }
            form class="frm ad" method="post" action={ (self.path()) "/deploy" } {
                (csrf_field(&self.viewer))
                label {
                    span { "Release" }
                    select id="deploy-release" name="release" {
                        @for choice in &self.choices {
                            option value=(choice.digest) disabled[choice.quarantined] selected[choice.digest == self.filled.release] {
                                (words::short(&choice.sha)) " " (choice.title) " (" (choice.branch) ")"
                                @if choice.quarantined { ", quarantined" }
                            }
                        }
                    }
                }
                label { span { "Reason" } input id="deploy-reason" name="reason" maxlength="1000" value=[self.filled("deploy")]; }
                button class="btn pri" type="submit" { "Deploy to " (self.environment) }
                a class="btn no" href="#head" { "Not now" }
            }
        }
    }

    fn lock_form(&self) -> Markup {
        html! {
            p class="m s" { "Deployments wait while it is locked, those of runs too. A rollback is always possible." }
            form class="frm ad" method="post" action={ (self.path()) "/lock" } {
                (csrf_field(&self.viewer))
                label { span { "Reason" } input id="lock-reason" name="reason" required minlength="5" maxlength="1000" value=[self.filled("lock")]; }
                label {
                    span { "For" }
                    select id="lock-minutes" name="minutes" {
                        @for (minutes, word) in LOCKS { option value=(minutes) { (word) } }
                    }
                }
                button class="btn pri" type="submit" { "Lock " (self.environment) }
                a class="btn no" href="#head" { "Not now" }
            }
        }
    }
}

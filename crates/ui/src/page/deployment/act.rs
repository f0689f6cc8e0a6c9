//! What a person can do with a deployment, what each button does, and who may.

use super::model::{Approve, Deployment};
use crate::icon::Icon;
use crate::page::runners::quoted;
use crate::shell::csrf_field;
use crate::words;
use maud::{Markup, html};

impl Deployment {
    /// Whether it can still be taken back.
    fn can_abort(&self) -> bool {
        self.ended_at.is_none()
            && !matches!(
                self.state.as_str(),
                "live" | "rolling-back" | "verifying-rollback"
            )
    }

    pub(super) fn buttons(&self) -> Markup {
        html! {
            @if self.refusal.is_none() {
                @if self.quarantine.is_some() {
                    form method="post" action={ (self.path()) "/release" } {
                        (csrf_field(&self.viewer))
                        button class="btn" type="submit" { "Release from quarantine" }
                    }
                }
                @if self.can_abort() { a class="btn" href="#acts" { "Abort" } }
                @if self.serves && self.old.is_some() && self.ended_at.is_some() {
                    a class="btn" href={ (self.environment_path()) "/rollback" } { "Roll back" }
                }
            }
        }
    }

    /// Asks for the approval that it waits for.
    pub(super) fn approval(&self) -> Markup {
        html! {
            section id="approval" class="sec1" aria-label="Approval" {
                @if let Some(approve) = &self.approve { (self.ask(approve)) }
            }
        }
    }

    fn ask(&self, approve: &Approve) -> Markup {
        html! {
            div class="note w1" {
                (crate::icon::coloured(Icon::Wait, "wait"))
                p {
                    b { "It waits for " (either(&approve.reviewers)) "." }
                    " What is approved is " code { (words::digest(&self.release.digest)) } " of " code { (words::short(&self.release.sha)) } ", and nothing else."
                    @if let Some(refusal) = &approve.refusal { br; (quoted(&super::lead::sentence(refusal))) }
                }
                @if approve.refusal.is_none() {
                    form class="frm full" method="post" action={ (self.path()) "/approval" } {
                        (csrf_field(&self.viewer))
                        input type="hidden" name="digest" value=(self.release.digest);
                        label { span { "Reason, if there is one to give" } input id="approval-reason" name="reason" maxlength="1000"; }
                        button class="btn pri" type="submit" name="verdict" value="approved" { "Approve " (self.release.revision) }
                        button class="btn" type="submit" name="verdict" value="rejected" { "Reject" }
                    }
                }
            }
        }
    }

    pub(super) fn acts(&self) -> Markup {
        html! {
            section id="acts" aria-labelledby=[self.can_abort().then_some("yo")] {
                @if self.can_abort() {
                    div class="head" { h2 id="yo" { "What you can do" } }
                    @match &self.refusal {
                        Some(refusal) => { p class="m s" { (quoted(&super::lead::sentence(refusal))) } }
                        None => { (self.abort_form()) }
                    }
                }
            }
        }
    }

    fn abort_form(&self) -> Markup {
        html! {
            p class="s" {
                b { "Abort" } " "
                @match &self.old {
                    Some(old) if self.had_traffic() => { "sends all traffic back to " code { (old) } " within milliseconds, which is then verified." }
                    Some(old) => { "ends it. " code { (old) } " keeps all traffic." }
                    None => { "ends it. There is no release before it to go back to." }
                }
                " " span class="m" { "Whoever may deploy." }
            }
            form class="frm ad" method="post" action={ (self.path()) "/abort" } {
                (csrf_field(&self.viewer))
                label { span { "Reason" } input id="abort-reason" name="reason" required minlength="5" maxlength="1000"; }
                label class="ck" {
                    input id="abort-quarantine" type="checkbox" name="quarantine" value="yes";
                    b { "Quarantine " code { (self.release.revision) } ": it goes nowhere until someone releases it" }
                }
                button class="btn" type="submit" { "Abort " (self.release.revision) }
            }
        }
    }
}

/// `ana`, `ana or bo`, `ana, bo or kim`.
fn either(names: &[String]) -> String {
    match names {
        [] => "someone".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

//! Who is waited for: the environments whose reviewers have to say whether jobs of this run may go there.

use super::Run;
use crate::icon::{Icon, coloured};
use crate::shell::csrf_field;
use crate::words;
use maud::{Markup, html};

/// One environment for which jobs of the run wait.
pub struct Approval {
    pub environment: String,
    /// Their names.
    pub jobs: Vec<String>,
    /// For what they wait: `waits for the approval of bo`, `production is locked by ana: sale`.
    pub why: String,
    pub asked_at: i64,
    pub decision: Decision,
}

/// What the viewer may do about it.
pub enum Decision {
    /// It goes on by itself: a timer, or a lock that is taken away.
    Nobody,
    /// Why this viewer may not, in a sentence.
    Refused(String),
    Allowed,
}

impl Run {
    pub(super) fn approvals(&self) -> Markup {
        html! {
            section id="run-approvals" class=[(!self.approvals.is_empty()).then_some("first")] aria-label="Approvals" {
                @for approval in &self.approvals { (self.approval(approval)) }
                @if let Some(problem) = &self.problem { p class="bad" role="alert" { (problem) } }
            }
        }
    }

    fn approval(&self, approval: &Approval) -> Markup {
        html! {
            div class="note w1" {
                (coloured(Icon::Wait, "wait"))
                p {
                    b { (approval.jobs.join(", ")) ": " (approval.why) }
                    ", for " (words::since(approval.asked_at, self.now)) ". "
                    "It would go to " a class="a" href={ (self.project) "/environments/" (approval.environment) } { (approval.environment) }
                    " with commit " code { (words::short(&self.sha)) } ", and nothing else is approved."
                    @if let Decision::Refused(reason) = &approval.decision { br; span class="m" { (reason) } }
                }
                @if matches!(approval.decision, Decision::Allowed) {
                    form class="acts" method="post" action={ (self.path()) "/approval" } {
                        (csrf_field(&self.viewer))
                        input type="hidden" name="environment" value=(approval.environment);
                        input type="hidden" name="sha" value=(self.sha);
                        label class="vh" for={ "why-" (approval.environment) } { "Reason, if there is one to give" }
                        input id={ "why-" (approval.environment) } name="reason" maxlength="1000" placeholder="Reason, if there is one";
                        button class="btn sm" type="submit" name="verdict" value="rejected" { "Reject" }
                        button class="btn sm pri" type="submit" name="verdict" value="approved" { "Approve " (words::short(&self.sha)) }
                    }
                }
            }
        }
    }
}

//! `pilotage deployment view`: what a deployment did, when, and on which evidence.

use crate::error::CommandResult;
use crate::render::deployment::DeploymentModel;
use crate::render::page::{Page, json, result};
use crate::render::style::{Sign, Style, fit};
use crate::render::table::facts;
use crate::render::text::{moment, short, thousands};
use crate::session::Session;
use clap::Args;
use pilotage_api::deployment::{DeploymentDetail, Replay};
use std::process::ExitCode;

/// Show a deployment and its history.
#[derive(Args)]
pub(crate) struct View {
    deployment: i64,
    /// Reach its verdicts again from the evidence that is stored. Exits with 1 when one comes out otherwise.
    #[arg(long)]
    replay: bool,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl View {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        let page = Page::out(style);
        if self.replay {
            let replays = session.wait(session.client.replay(self.deployment))?;
            if self.json {
                json(&replays)?;
            } else {
                result(&replay(&replays, &page));
            }
            return Ok(ExitCode::from(u8::from(replays.iter().any(|r| !r.same))));
        }
        let detail = session.wait(session.client.deployment(self.deployment))?;
        if self.json {
            json(&detail)?;
        } else {
            result(&text(detail, &page));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(detail: DeploymentDetail, page: &Page) -> String {
    let deployment = &detail.deployment;
    let about = facts(
        page,
        &[
            ("release", deployment.release.clone()),
            (
                "commit",
                format!("{} {}", short(&deployment.sha), deployment.r#ref),
            ),
            (
                "run",
                deployment.run.map(|run| run.to_string()).unwrap_or_default(),
            ),
            ("by", deployment.actor.clone()),
            ("url", deployment.url.clone()),
        ],
    );
    let mut history = String::from("\nhistory, UTC\n");
    for event in &detail.moments {
        let text = fit(&event.text, page.width.saturating_sub(23));
        history.push_str(&format!("  {}  {text}\n", moment(event.at)));
    }
    let decided = detail.services.iter().any(|s| s.verdict.is_some());
    let next = match decided {
        true => format!("\npilotage deployment view {} --replay\n", deployment.id),
        false => String::new(),
    };
    let mut model = DeploymentModel::default();
    let mut lines = {
        model.take(detail);
        model.lines(page)
    };
    // Its last line is this very command.
    if lines
        .last()
        .is_some_and(|line| line.contains("pilotage deployment view "))
    {
        lines.pop();
        lines.pop();
    }
    format!("{}\n\n{about}{history}{next}", lines.join("\n"))
}

fn replay(replays: &[Replay], page: &Page) -> String {
    if replays.is_empty() {
        return "no guard of this deployment came to a verdict\n".to_owned();
    }
    let mut text = String::new();
    for replay in replays {
        let (sign, word) = match replay.same {
            true => (Sign::Success, "the same verdict again"),
            false => (Sign::Failed, "another verdict"),
        };
        text.push_str(&format!(
            "{} {}  {word}, from {} answers of the new and {} of the old revision\n",
            page.style.sign(sign),
            fit(&replay.service, 60),
            thousands(replay.new_answers),
            thousands(replay.old_answers)
        ));
        let none = "none".to_owned();
        text.push_str(&format!(
            "  told      {}\n",
            fit(replay.told.as_ref().unwrap_or(&none), 1_000)
        ));
        text.push_str(&format!(
            "  replayed  {}\n",
            fit(replay.replayed.as_ref().unwrap_or(&none), 1_000)
        ));
    }
    text
}

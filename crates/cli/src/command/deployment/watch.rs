//! `pilotage deployment watch`: a deployment until it ends.

use crate::error::CommandResult;
use crate::render::deployment::{DeploymentModel, is_noise};
use crate::render::live::{Block, clock};
use crate::render::page::{Page, advice};
use crate::render::style::{Style, fit, width};
use crate::session::{Session, ticking};
use clap::Args;
use pilotage_api::client::{ClientError, Streamed};
use pilotage_api::deployment::DeploymentDetail;
use std::process::ExitCode;

/// Watch a deployment until it ends. Exits with 1 when it did not go live.
#[derive(Args)]
pub(crate) struct Watch {
    deployment: i64,
    /// One object a line: where it stands, at each change.
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        watch(session, self.deployment, &["live"], self.json, style)
    }
}

/// `good`: the outcomes that were asked for.
pub(crate) fn watch(
    session: &Session,
    deployment: i64,
    good: &[&str],
    as_json: bool,
    style: &Style,
) -> CommandResult {
    let mut view = View {
        style: *style,
        model: DeploymentModel::default(),
        block: Block::new(),
        said: 0,
        state: String::new(),
        json: as_json,
    };
    let outcome = session.wait(follow(session, deployment, &mut view))?;
    if as_json {
        return Ok(ExitCode::from(u8::from(!good.contains(&outcome.as_str()))));
    }
    view.end();
    Ok(ExitCode::from(u8::from(!good.contains(&outcome.as_str()))))
}

async fn follow(session: &Session, deployment: i64, view: &mut View) -> Result<String, ClientError> {
    // The stream says nothing of a deployment that is not there; the call does.
    let mut detail = session.client.deployment(deployment).await?;
    let mut events = session.client.deployment_events(deployment);
    loop {
        let outcome = detail.deployment.outcome.clone();
        view.take(detail);
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        detail = loop {
            match ticking(events.next(), || view.draw()).await? {
                Streamed::Event(detail) => break detail,
                Streamed::Lost(error) => view.tell(&format!("{error}: asking again for two minutes\n")),
                Streamed::Back => view.tell("the server is there again\n"),
            }
        };
    }
}

/// A block that is drawn anew, or a line for each thing that happened.
struct View {
    style: Style,
    model: DeploymentModel,
    block: Block,
    /// Moments that were said already, and the state.
    said: usize,
    state: String,
    json: bool,
}

impl View {
    fn take(&mut self, detail: DeploymentDetail) {
        if self.json {
            // One object a line; a failure to write it would be one of the type.
            if let Ok(line) = serde_json::to_string(&detail) {
                crate::render::page::result(&format!("{line}\n"));
            }
        } else if !self.block.is_live() {
            self.say(&detail);
        }
        self.model.take(detail);
        self.draw();
    }

    /// Plain lines: one for each moment, one for each state.
    fn say(&mut self, detail: &DeploymentDetail) {
        let deployment = &detail.deployment;
        let name = format!("{} #{}", deployment.environment, deployment.id);
        let mut text = String::new();
        let new = detail.moments.get(self.said..).unwrap_or_default();
        for moment in new.iter().filter(|moment| !is_noise(&moment.text)) {
            text.push_str(&format!(
                "{}  {name}  {}\n",
                clock(moment.at),
                fit(&moment.text, 500)
            ));
        }
        self.said = detail.moments.len();
        if self.state != deployment.state && deployment.outcome.is_none() {
            self.state.clone_from(&deployment.state);
            let state = deployment.state.replace('-', " ");
            text.push_str(&format!(
                "{}  {name}  {state}\n",
                clock(crate::exec::driver::now().0)
            ));
        }
        advice(&text);
    }

    fn tell(&mut self, text: &str) {
        self.block.leave();
        advice(text);
    }

    fn page(&self) -> Page {
        Page {
            style: self.style,
            width: width(),
            now: crate::exec::driver::now().0,
        }
    }

    fn draw(&mut self) {
        if self.block.is_live() && !self.json {
            let lines = self.model.lines(&self.page());
            self.block.draw(&lines);
        }
    }

    fn end(&mut self) {
        if self.block.is_live() {
            return self.draw();
        }
        let lines = self.model.end_lines(&self.page());
        advice(&format!("\n{}\n", lines.join("\n")));
    }
}

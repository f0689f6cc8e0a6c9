//! `pilotage run watch`: what `exec` shows, of a run on the server.

use crate::error::{CommandError, CommandResult};
use crate::exec::driver::Observer;
use crate::render::json::JsonLines;
use crate::render::live::RunView;
use crate::render::page::advice;
use crate::render::style::Style;
use crate::session::{Session, ticking};
use clap::Args;
use pilotage_api::client::{ClientError, Streamed};
use pilotage_api::rest::RunEvent;
use pilotage_api::runner::Conclusion;
use std::process::ExitCode;

/// Watch a run until it ends. Exits with 1 when it is red.
#[derive(Args)]
pub(crate) struct Watch {
    run: i64,
    /// This attempt; the latest unless told otherwise.
    #[arg(short, long, value_name = "N")]
    attempt: Option<u32>,
    /// One object a line, as `exec --json` gives them.
    #[arg(long)]
    json: bool,
}

impl Watch {
    pub(super) fn run(self, session: &Session, style: &Style) -> CommandResult {
        watch(session, self.run, self.attempt, self.json, style)
    }
}

pub(crate) fn watch(
    session: &Session,
    run: i64,
    attempt: Option<u32>,
    json: bool,
    style: &Style,
) -> CommandResult {
    let conclusion = if json {
        session.wait(follow(session, run, attempt, &mut JsonLines::new()))?
    } else {
        let mut view = RunView::new(*style, false, Some(format!("pilotage run rerun {run} --failed")));
        let conclusion = session.wait(follow(session, run, attempt, &mut view))?;
        view.end();
        conclusion
    };
    match conclusion {
        Some(Conclusion::Success | Conclusion::Skipped) => Ok(ExitCode::SUCCESS),
        Some(Conclusion::Failure | Conclusion::Cancelled) => Ok(ExitCode::from(1)),
        None => Err(CommandError::unreachable(format!(
            "the events of run {run} broke off"
        ))),
    }
}

async fn follow(
    session: &Session,
    run: i64,
    attempt: Option<u32>,
    view: &mut impl Observer,
) -> Result<Option<Conclusion>, ClientError> {
    let mut events = session.client.run_events(run, attempt);
    let mut conclusion = None;
    while let Some(streamed) = ticking(events.next(), || view.tick()).await? {
        match streamed {
            Streamed::Event(event) => {
                if let RunEvent::Run { conclusion: how, .. } = &event {
                    conclusion = Some(*how);
                }
                view.told(&event);
            }
            Streamed::Lost(error) => advice(&format!("{error}: asking again for two minutes\n")),
            Streamed::Back => advice("the server is there again\n"),
        }
    }
    Ok(conclusion)
}

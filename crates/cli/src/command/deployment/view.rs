//! `pilotage deployment view`: what a deployment did, when, and on which evidence.

use crate::error::CommandResult;
use crate::render::deployment::DeploymentModel;
use crate::render::page::{Page, json, result};
use crate::render::style::{Sign, Style, duration, fit};
use crate::render::table::{Cell, facts, table};
use crate::render::text::{moment, plural, short, thousands};
use crate::session::Session;
use clap::Args;
use pilotage_api::deployment::{DeploymentDetail, Notification, Replay};
use std::process::ExitCode;
use std::time::Duration;

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
    let told = told(&detail.notifications, page);
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
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
    }
    format!("{}\n\n{about}{history}{told}{next}", lines.join("\n"))
}

/// Who was told of it outside of Pilotage, or why not yet.
fn told(notifications: &[Notification], page: &Page) -> String {
    if notifications.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = notifications
        .iter()
        .map(|notification| {
            let (sign, text) = how_told(notification, page.now);
            vec![
                Cell::text(format!("  {}", moment(notification.at))),
                Cell::text(notification.event.replace('-', " ")),
                Cell::state(sign, text),
            ]
        })
        .collect();
    format!("\ntold, UTC\n{}", table(page, &rows))
}

fn how_told(notification: &Notification, now: i64) -> (Sign, String) {
    let channel = match (notification.channel.as_str(), notification.host.as_str()) {
        ("slack", _) => "Slack".to_owned(),
        ("pagerduty", _) => "PagerDuty".to_owned(),
        (channel, "") => channel.to_owned(),
        (channel, host) => format!("{channel} {host}"),
    };
    let error = &notification.error;
    match (notification.state.as_str(), notification.next_at) {
        ("told", _) => (Sign::Success, format!("{channel} told")),
        ("given-up", _) => {
            let tries = plural(u64::from(notification.tries), "try").replace("trys", "tries");
            (Sign::Failed, format!("{channel} {error}; given up after {tries}"))
        }
        (_, Some(next)) if !error.is_empty() => {
            let wait = Duration::from_millis(u64::try_from(next - now).unwrap_or(0));
            (
                Sign::Failed,
                format!("{channel} {error}, next try in {}", duration(wait)),
            )
        }
        _ => (Sign::Running, format!("{channel} is being told")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(notification: Notification, expected: &str) {
        assert_eq!(how_told(&notification, 1_000).1, expected);
    }

    #[test]
    fn who_was_told_and_who_not_yet() {
        let of = |channel: &str, state: &str, error: &str| Notification {
            channel: channel.to_owned(),
            host: "hooks.example.org".to_owned(),
            event: "live".to_owned(),
            state: state.to_owned(),
            at: 900,
            tries: 1,
            next_at: (state == "pending").then_some(11_000),
            error: error.to_owned(),
        };
        check(of("slack", "told", ""), "Slack told");
        check(
            of("slack", "pending", "refused: 404 no_service"),
            "Slack refused: 404 no_service, next try in 10.0 s",
        );
        check(of("pagerduty", "pending", ""), "PagerDuty is being told");
        let given_up = Notification {
            tries: 29,
            ..of("webhook", "given-up", "refused: 500")
        };
        check(
            given_up,
            "webhook hooks.example.org refused: 500; given up after 29 tries",
        );
    }
}

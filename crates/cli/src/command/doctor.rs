//! `pilotage doctor`: what is wrong with the server, this machine, and the way between them.

use crate::error::CommandResult;
use crate::render::page::{Page, json, result};
use crate::render::style::{Sign, Style, fit};
use crate::session::ServerArguments;
use clap::Args;
use pilotage_api::rest::Fact;
use std::process::{Command, ExitCode};

/// Check the server, and what this program needs. Exits with 1 when something is wrong.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    server: ServerArguments,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.server.connect()?;
        let mut facts = vec![git()];
        let status = session.wait(session.client.status(None))?;
        facts.push(version(&status.version, session.client.url()));
        facts.extend(session.wait(session.client.doctor())?);
        if self.json {
            json(&facts)?;
        } else {
            result(&text(&facts, &Page::out(style)));
        }
        Ok(ExitCode::from(u8::from(facts.iter().any(|fact| !fact.ok))))
    }
}

fn git() -> Fact {
    let version = Command::new("git").arg("--version").output();
    let version = version.ok().filter(|output| output.status.success());
    Fact {
        name: "git here".to_owned(),
        ok: version.is_some(),
        detail: version.map_or_else(
            || "this machine has no git".to_owned(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        ),
        advice: Some("install git".to_owned()),
    }
}

fn version(server: &str, url: &str) -> Fact {
    let own = env!("CARGO_PKG_VERSION");
    Fact {
        name: "versions".to_owned(),
        ok: server == own,
        detail: match server == own {
            true => format!("{own}, here and at {url}"),
            false => format!("{own} here, {server} at {url}"),
        },
        advice: Some("use the same version here and there".to_owned()),
    }
}

fn text(facts: &[Fact], page: &Page) -> String {
    let names = facts
        .iter()
        .map(|fact| fact.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(30);
    let mut text = String::new();
    for fact in facts {
        let (sign, word) = if fact.ok {
            (Sign::Success, "ok")
        } else {
            (Sign::Failed, "wrong")
        };
        text.push_str(&format!(
            "{} {word:<5}  {:<names$}  {}\n",
            page.style.sign(sign),
            fit(&fact.name, names),
            fit(&fact.detail, page.width.saturating_sub(names + 12))
        ));
        if let Some(advice) = fact.advice.as_ref().filter(|_| !fact.ok) {
            text.push_str(&format!("{:<w$}{}\n", "", fit(advice, 1_000), w = names + 11));
        }
    }
    text
}

//! `pilotage audit`: who did what, as a chain that shows when somebody changed it.

use crate::error::CommandResult;
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style, fit};
use crate::render::table::{Cell, table};
use crate::render::text::{moment, plural};
use crate::session::{ServerArguments, Session};
use clap::{Args, Subcommand};
use pilotage_api::client::ClientError;
use pilotage_api::rest::{AuditEntry, AuditProof};
use std::process::ExitCode;

/// List, verify and export the audit log.
#[derive(Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// List entries, the oldest first.
    List {
        /// Only entries after this number.
        #[arg(long, value_name = "N", default_value_t = 0)]
        after: i64,
        /// How many, 1,000 at most.
        #[arg(short = 'L', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Check that no entry was changed or taken out. Exits with 1 when one was.
    Verify {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Print all entries, one object a line.
    Export,
}

impl Audit {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.server.connect()?;
        match self.command {
            AuditCommand::List {
                after,
                limit,
                json: as_json,
            } => {
                let entries = session.wait(session.client.audit(after, limit))?;
                if as_json {
                    json(&entries)?;
                } else {
                    list(&entries, limit, &Page::out(style));
                }
                Ok(ExitCode::SUCCESS)
            }
            AuditCommand::Verify { json: as_json } => {
                let proof = session.wait(session.client.verify_audit())?;
                if as_json {
                    json(&proof)?;
                } else {
                    result(&verdict(&proof, &Page::out(style)));
                }
                Ok(ExitCode::from(u8::from(!proof.holds)))
            }
            AuditCommand::Export => {
                session.wait(export(&session))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

async fn export(session: &Session) -> Result<(), ClientError> {
    let mut lines = session.client.export_audit().await?;
    while let Some(text) = lines.next().await? {
        result(&text);
    }
    Ok(())
}

fn list(entries: &[AuditEntry], limit: u32, page: &Page) {
    let row = |entry: &AuditEntry| {
        let detail = match &entry.detail {
            serde_json::Value::Object(map) if map.is_empty() => String::new(),
            serde_json::Value::Null => String::new(),
            detail => detail.to_string(),
        };
        vec![
            Cell::number(entry.seq),
            Cell::text(moment(entry.at)),
            Cell::text(&entry.actor),
            Cell::text(&entry.action),
            Cell::text(&entry.subject),
            Cell::text(detail),
        ]
    };
    result(&table(page, &entries.iter().map(row).collect::<Vec<_>>()));
    if let Some(last) = entries.last().filter(|_| entries.len() == limit as usize) {
        advice(&format!("later ones: --after {}\n", last.seq));
    }
}

fn verdict(proof: &AuditProof, page: &Page) -> String {
    let entries = plural(u64::try_from(proof.entries).unwrap_or(0), "entry").replace("entrys", "entries");
    match (proof.holds, &proof.broken) {
        (true, _) => format!(
            "{} holds  {entries}, the last one's hash is {}\n",
            page.style.sign(Sign::Success),
            fit(&proof.head, 200)
        ),
        (false, broken) => format!(
            "{} broken  {}\n",
            page.style.sign(Sign::Failed),
            fit(broken.as_deref().unwrap_or("somebody changed it"), 500)
        ),
    }
}

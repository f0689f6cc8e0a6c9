//! `pilotage logs`: what a service writes, from all its replicas.

use crate::error::CommandResult;
use crate::render::page::{advice, result};
use crate::render::style::{Style, fit};
use crate::render::text::harmless;
use crate::session::ProjectArguments;
use clap::Args;
use pilotage_api::client::ClientError;
use pilotage_api::deployment::{ServiceLogQuery, Standing};
use std::process::ExitCode;

/// Print what the replicas of a service write.
#[derive(Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    project: ProjectArguments,
    service: String,
    /// Where they run.
    #[arg(short, long, value_name = "NAME")]
    environment: String,
    /// Only of this revision; of all that stand there unless told otherwise.
    #[arg(long)]
    revision: Option<String>,
    /// Go on with what is written from here on.
    #[arg(short, long)]
    follow: bool,
    /// How many bytes of each replica's past come first.
    #[arg(long, value_name = "BYTES")]
    past: Option<u64>,
    /// Print lines as they were written, with all that they do to a terminal.
    #[arg(long)]
    raw: bool,
}

impl Logs {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.project.connect()?;
        let project = self.project.name(&session)?;
        let query = ServiceLogQuery {
            revision: self.revision,
            follow: self.follow,
            past_bytes: self.past,
        };
        let mut silent = true;
        session.wait(async {
            let client = &session.client;
            let mut lines = client
                .service_log(&project, &self.environment, &self.service, &query)
                .await?;
            while let Some(text) = lines.next().await? {
                silent = false;
                if self.raw {
                    result(&text);
                } else {
                    let lines = text.lines().map(|line| harmless(line, *style) + "\n");
                    result(&lines.collect::<String>());
                }
            }
            Ok::<(), ClientError>(())
        })?;
        if silent {
            let standings = session.wait(session.client.standings(&project))?;
            advice(&silence(&standings, &self.environment, &self.service));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Why there was not a line: a name may be wrong, or nothing was written.
fn silence(standings: &[Standing], environment: &str, service: &str) -> String {
    let (environment_shown, service_shown) = (fit(environment, 100), fit(service, 100));
    let Some(standing) = standings.iter().find(|s| s.environment == environment) else {
        return format!("nothing stands in {environment_shown}\n");
    };
    let names: Vec<String> = standing.services.iter().map(|s| fit(&s.name, 100)).collect();
    if standing.services.iter().any(|s| s.name == service) {
        return format!("{service_shown} has written nothing in {environment_shown}\n");
    }
    format!(
        "there is no {service_shown} in {environment_shown}, but {}\n",
        names.join(", ")
    )
}

//! `pilotage token`: who may ask the server what.

use crate::error::{CommandError, CommandResult};
use crate::render::page::{Page, advice, json, result};
use crate::render::style::{Sign, Style};
use crate::render::table::{Cell, table};
use crate::render::text::age;
use crate::session::ServerArguments;
use clap::{Args, Subcommand, ValueEnum};
use pilotage_api::rest;
use std::process::ExitCode;

/// Create, list and revoke tokens.
#[derive(Args)]
pub(crate) struct Token {
    #[command(flatten)]
    server: ServerArguments,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token, and print it: it is shown this once.
    Create {
        /// Its holder's name, as the audit log and approvals show it.
        name: String,
        /// What it may do. May be given more than once.
        #[arg(short, long = "scope", value_enum)]
        scopes: Vec<Scope>,
        /// A runner's token: it may take jobs, and nothing else.
        #[arg(long, conflicts_with = "scopes")]
        runner: bool,
        /// Only for this project.
        #[arg(long, value_name = "OWNER/NAME")]
        only: Option<String>,
        /// Days until it ends.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3_650))]
        expires_in: Option<u64>,
    },
    /// List tokens, without what they are.
    List {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Let a token open nothing any more.
    Revoke {
        /// Its number, as `token list` shows it.
        token: i64,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    Admin,
    Read,
    Write,
    Deploy,
    Secrets,
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Scope::Admin => "admin",
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Deploy => "deploy",
            Scope::Secrets => "secrets",
        }
    }
}

impl Token {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        let session = self.server.connect()?;
        let client = &session.client;
        match self.command {
            TokenCommand::Create {
                name,
                scopes,
                runner,
                only,
                expires_in,
            } => {
                if scopes.is_empty() && !runner {
                    return Err(CommandError::invalid("the token may do nothing")
                        .hint("say what it may: --scope read, or --runner"));
                }
                let new = rest::NewToken {
                    name,
                    kind: if runner { "runner" } else { "person" }.to_owned(),
                    scopes: scopes.iter().map(|scope| scope.word().to_owned()).collect(),
                    project: only,
                    expires_in_s: expires_in.map(|days| days * 86_400),
                };
                let token = session.wait(client.create_token(&new))?;
                result(&format!("{}\n", token.token));
                advice("keep it now: it is not shown again\n");
            }
            TokenCommand::List { json: as_json } => {
                let tokens = session.wait(client.tokens())?;
                if as_json {
                    json(&tokens)?;
                } else {
                    let page = Page::out(style);
                    let rows: Vec<Vec<Cell>> = tokens.iter().map(|token| row(token, &page)).collect();
                    result(&table(&page, &rows));
                }
            }
            TokenCommand::Revoke { token } => session.wait(client.revoke_token(token))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(token: &rest::Token, page: &Page) -> Vec<Cell> {
    let state = match (token.revoked, token.expires_at) {
        (true, _) => Cell::state(Sign::Cancelled, "revoked"),
        (false, Some(at)) if at <= page.now => Cell::state(Sign::Cancelled, "ended"),
        (false, Some(at)) => Cell::state(Sign::Success, format!("{} left", age(at, page.now))),
        (false, None) => Cell::state(Sign::Success, "open"),
    };
    vec![
        Cell::number(token.id),
        state,
        Cell::text(&token.name),
        Cell::text(&token.kind),
        Cell::text(token.scopes.join(", ")),
        Cell::text(token.project.clone().unwrap_or_else(|| "all projects".to_owned())),
        Cell::number(match token.created_at {
            // The administrator's is as old as the server.
            0 => String::new(),
            at => format!("{} ago", age(page.now, at)),
        }),
    ]
}

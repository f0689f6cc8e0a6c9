//! One file per subcommand. A subcommand reads its arguments, calls one library, and shows what came of it.

mod audit;
mod completion;
mod debug;
mod deploy;
mod deployment;
mod doctor;
mod env;
mod exec;
mod init;
mod keep;
mod lint;
mod logs;
mod project;
mod proxy;
mod release;
mod rollback;
mod run;
mod runner;
mod serve;
mod simulate;
mod status;
mod token;
mod value;
mod workflow;

use crate::error::CommandResult;
use crate::render::style::Style;
use clap::Subcommand;

/// In the order of the help: what people do most comes first.
#[derive(Subcommand)]
pub(crate) enum Command {
    Status(status::Status),
    Run(run::Run),
    Workflow(workflow::Workflow),
    Deploy(deploy::Deploy),
    Rollback(rollback::Rollback),
    Deployment(deployment::Deployment),
    Release(release::Release),
    Env(env::Env),
    Logs(logs::Logs),
    Secret(value::Secret),
    Variable(value::Variable),
    Project(project::Project),
    Token(token::Token),
    Audit(audit::Audit),
    Doctor(doctor::Doctor),
    Init(init::Init),
    Lint(lint::Lint),
    Exec(exec::Exec),
    Simulate(simulate::Simulate),
    #[command(subcommand)]
    Debug(debug::Debug),
    Serve(serve::Serve),
    #[command(subcommand)]
    Runner(runner::Runner),
    Proxy(proxy::Proxy),
    Keep(keep::Keep),
    Completion(completion::Completion),
}

impl Command {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        match self {
            Command::Status(command) => command.run(style),
            Command::Run(command) => command.run(style),
            Command::Workflow(command) => command.run(style),
            Command::Deploy(command) => command.run(style),
            Command::Rollback(command) => command.run(style),
            Command::Deployment(command) => command.run(style),
            Command::Release(command) => command.run(style),
            Command::Env(command) => command.run(style),
            Command::Logs(command) => command.run(style),
            Command::Secret(command) => command.run(style),
            Command::Variable(command) => command.run(style),
            Command::Project(command) => command.run(style),
            Command::Token(command) => command.run(style),
            Command::Audit(command) => command.run(style),
            Command::Doctor(command) => command.run(style),
            Command::Init(command) => command.run(),
            Command::Lint(command) => command.run(style),
            Command::Exec(command) => command.run(style),
            Command::Simulate(command) => command.run(),
            Command::Debug(command) => command.run(style),
            Command::Serve(command) => command.run(),
            Command::Runner(command) => command.run(style),
            Command::Proxy(command) => command.run(),
            Command::Keep(command) => command.run(),
            Command::Completion(command) => command.run(),
        }
    }
}

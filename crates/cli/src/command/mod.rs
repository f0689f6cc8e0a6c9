//! One file per subcommand. A subcommand reads its arguments, calls one library, and shows what came of it.

mod completion;
mod debug;
mod exec;
mod keep;
mod lint;
mod proxy;
mod runner;
mod serve;
mod simulate;

use crate::error::CommandResult;
use crate::render::style::Style;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    Exec(exec::Exec),
    Lint(lint::Lint),
    Simulate(simulate::Simulate),
    Serve(serve::Serve),
    #[command(subcommand)]
    Runner(runner::Runner),
    Proxy(proxy::Proxy),
    Keep(keep::Keep),
    #[command(subcommand)]
    Debug(debug::Debug),
    Completion(completion::Completion),
}

impl Command {
    pub(crate) fn run(self, style: &Style) -> CommandResult {
        match self {
            Command::Exec(command) => command.run(style),
            Command::Lint(command) => command.run(style),
            Command::Simulate(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Runner(command) => command.run(),
            Command::Proxy(command) => command.run(),
            Command::Keep(command) => command.run(),
            Command::Completion(command) => command.run(),
            Command::Debug(command) => command.run(style),
        }
    }
}

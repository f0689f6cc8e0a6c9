//! The binary `pilotage`. Picks the subcommand, prints its error if it has one, and ends with its exit code.

mod command;
mod error;
mod exec;
mod render;
mod session;
mod supported;
mod workflows;

use clap::Parser;
use std::process::ExitCode;

/// Takes a push and sees it safely to its users.
#[derive(Parser)]
#[command(name = "pilotage", version, max_term_width = 100)]
struct Arguments {
    /// When to colour: always, never, or where a terminal shows it.
    #[arg(long, global = true, value_enum, default_value_t = render::style::ColorChoice::Auto)]
    color: render::style::ColorChoice,
    #[command(subcommand)]
    command: command::Command,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results; a wrong use is an error with exit code 2.
            let code = u8::from(error.use_stderr()) * 2;
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let style = render::style::Style::new(arguments.color);
    match arguments.command.run(&style) {
        Ok(code) => code,
        Err(error) => {
            error.print(&style);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    /// What `--help` of every command says, so that each change of it is seen.
    #[test]
    fn the_reference_of_all_commands() {
        let mut text = String::new();
        let mut command = Arguments::command().term_width(100);
        command.build();
        describe(&mut command, &mut text);
        insta::assert_snapshot!("reference", text);
    }

    fn describe(command: &mut clap::Command, text: &mut String) {
        let name = command.get_bin_name().unwrap_or("pilotage").to_owned();
        let help = command.render_help().to_string();
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!("# {name}\n\n{}\n\n", lines.join("\n").trim_end()));
        for command in command
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
        {
            describe(command, text);
        }
    }
}

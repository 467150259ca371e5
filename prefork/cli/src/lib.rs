//! The command `prefork`, for those who run a daemon rather than write one.
//!
//! It reads a daemon's scoreboard (`status`, `top`, `metrics`), and steers the daemon by its pid
//! file (`stop`, `reload` and the like). What it reads is believed only as far as it is shown; whom
//! it signals, the kernel says. `docs/command.md` is its manual.

#![forbid(unsafe_code)]

mod check;
mod cli;
mod daemon;
mod exit;
mod failure;
mod look;
mod output;
mod pages;
mod table;
mod top;

use std::{env, process::ExitCode};

use clap::Parser;
use prefork_core::one_line;
use prefork_view::{Format, Shown, Slots, metrics, pretty};

use cli::{Cli, Command};
use exit::Exit;
use failure::Failure;
use look::read;

/// Does what the arguments of this process ask for; returns how it is to exit.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    let exit = run(cli.command).unwrap_or_else(|failure| {
        output::complain(&failure);
        failure.exit()
    });
    exit.into()
}

/// Prints what is wrong with the arguments, or the help that was asked for, and ends.
///
/// Arguments are shown in such texts. So they are read once more with everything escaped that would move
/// the terminal.
fn refuse(error: &clap::Error) -> ! {
    let shown = env::args_os().map(|argument| one_line(&argument).to_string());
    Cli::try_parse_from(shown).err().as_ref().unwrap_or(error).exit()
}

fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Status { board, json, all } => {
            let (view, slots) = (read(&board)?, if all { Slots::All } else { Slots::Taken });
            output::print(&match json {
                true => pretty(&Shown::new(&view, slots)),
                false => table::table(&view, slots),
            })?;
            Ok(look::exit(&view))
        }
        Command::Top { board, interval } => top::run(&board, interval),
        Command::Metrics { board, openmetrics } => {
            let format = if openmetrics { Format::OpenMetrics } else { Format::Classic };
            let view = read(&board)?;
            output::print(&metrics::text(&view, format))?;
            if view.is_left_behind() {
                return Err(Failure::LeftBehind { summary: view.summary() });
            }
            Ok(Exit::Done)
        }
        Command::Check { files } => check::run(&files),
        Command::Running { pid_file } => daemon::running(&pid_file),
        Command::Stop { pid_file, patience } => daemon::stop(&pid_file, &patience.into()),
        Command::Reload { pid_file, wait } => daemon::reload(&pid_file, &wait.into()),
        Command::Upgrade { pid_file, wait } => daemon::upgrade(&pid_file, &wait.into()),
        Command::Reopen { pid_file, wait } => daemon::reopen(&pid_file, &wait.into()),
        Command::Signal { signal, pid_file } => daemon::signal(&pid_file, signal),
        Command::Completions { shell } => output::print(&pages::completions(shell)),
        Command::Man { command } => output::print(&pages::man(command.as_deref())?),
    }
}

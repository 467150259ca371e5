//! The command `prefork`, for those who run a daemon rather than write one.
//!
//! It reads a daemon's scoreboard (`status`, `top`, `why`, `metrics`), and steers the daemon by its pid
//! file (`stop`, `reload` and the like). What it reads is believed only as far as it is shown; whom
//! it signals, the kernel says. `docs/command.md` is its manual.

#![forbid(unsafe_code)]

mod amounts;
mod check;
mod cli;
mod daemon;
mod exit;
mod failure;
mod find;
mod init;
mod list;
mod look;
mod manual;
mod output;
mod pages;
mod plan;
mod pools;
mod run;
mod table;
mod top;
mod why;

use std::{env, path::PathBuf, process::ExitCode};

use clap::Parser;
use prefork_core::one_line;
use prefork_view::{Format, Shown, Slots, metrics, pretty};

use cli::{Cli, Command, Handle};
use exit::Exit;
use failure::Failure;
use find::Found;
use look::{read, read_all, warn_of_missing};
use output::Voice;

/// Does what the arguments of this process ask for; returns how it is to exit.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse(&error));
    let exit = perform(cli.command, Voice::of(cli.verbose)).unwrap_or_else(|failure| {
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

fn perform(command: Command, voice: Voice) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => Ok(run::run(*args)),
        Command::Init(args) => init::run(args),
        Command::Plan(args) => plan::run(&args),
        Command::Status { daemon, json, all } => {
            let slots = if all { Slots::All } else { Slots::Taken };
            let found = find(&daemon)?;
            if let Some(daemon) = found.pooled() {
                return pools::status(&daemon, json, slots);
            }
            if let Some(daemon) = found.sleeping_pool() {
                return pools::status_of_one(&daemon, json, slots);
            }
            let path = found.into_board()?;
            let view = if json { read_all(&path)? } else { read(&path)? };
            output::print(&match json {
                true => pretty(&Shown::new(&view, slots)),
                false => table::table(&view, slots),
            })?;
            Ok(look::exit(&view))
        }
        Command::Top { daemon, interval } => top::run(find(&daemon)?, interval),
        Command::Why { daemon, pid, json } => why::run(&find::find(daemon.as_deref())?, pid, json),
        Command::Metrics { daemon, openmetrics } => {
            let format = if openmetrics { Format::OpenMetrics } else { Format::Classic };
            let found = find(&daemon)?;
            if let Some(daemon) = found.pooled() {
                return pools::metrics(&daemon, format);
            }
            let view = read_all(&found.into_board()?)?;
            warn_of_missing(&view);
            output::print(&metrics::text(&view, format))?;
            if view.is_left_behind() {
                return Err(Failure::LeftBehind { summary: view.summary() });
            }
            Ok(Exit::Done)
        }
        Command::List => list::run(),
        Command::Check { daemons } => check::run(&daemons),
        Command::Running { daemon } => daemon::running(&pid_file(&daemon)?),
        Command::Stop { daemon, patience } => daemon::stop(find(&daemon)?, patience, voice),
        Command::Reload { daemon, wait } => daemon::reload(find(&daemon)?, wait.into(), voice),
        Command::Upgrade { daemon, wait } => daemon::upgrade(find(&daemon)?, wait.into(), voice),
        Command::Reopen { daemon, wait } => daemon::reopen(find(&daemon)?, wait.into(), voice),
        Command::Scale { daemon, children } => {
            daemon::scale(find::find(Some(&daemon))?, children, voice)
        }
        Command::Signal { signal, daemon } => daemon::signal(&pid_file(&daemon)?, signal, voice),
        Command::Completions { shell } => output::print(&pages::completions(shell)),
        Command::Man { install: Some(directory), .. } => pages::install(&directory, voice),
        Command::Man { command, install: None } => output::print(&pages::man(command.as_deref())?),
    }
}

fn find(daemon: &Handle) -> Result<Found, Failure> {
    find::find(daemon.daemon.as_deref())
}

fn pid_file(daemon: &Handle) -> Result<PathBuf, Failure> {
    find(daemon)?.into_pid_file()
}

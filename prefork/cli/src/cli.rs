//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use prefork_daemonize::{self as daemonize, StopOptions};

use crate::{daemon::Wait, exit::Exit, init::InitArgs, plan::PlanArgs, run::RunArgs};

/// Shows what a preforking daemon does, and steers it
///
/// A DAEMON is named by its board, the file that it was given as `scoreboard_path`; by its pid file, given as `pid_path`; by
/// its name, if it is found in /run, in $XDG_RUNTIME_DIR or among the files that processes hold; or not at all, where only
/// one is found. The process to signal is the one that holds the pid file, as the kernel reports it, and never a number read
/// from a file. One of several pools is named as app/web, or web where no other is called so.
#[derive(Debug, Parser)]
#[command(name = "prefork", version, after_help = Exit::HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Report what was done even where no terminal shows it: cron mails whatever is printed
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run any program in the children of a daemon
    ///
    /// The program is started in each child, unchanged, and inherits the sockets at which it listens. The daemon has as many
    /// children as are needed, replaces those that end, hang or grow old, and reloads without losing a request. Each flag
    /// has a key of the file and a variable, as --max-children, max_children and PREFORK_RUN_MAX_CHILDREN; flags go before
    /// variables, and those before the file. Times are written as 5s, 0.5, 5 min or 1d, amounts of memory as 200M or 1.5GiB.
    #[command(override_usage = "prefork run [OPTIONS] [FILE] [-- PROGRAM [ARGUMENT]...]")]
    Run(Box<RunArgs>),
    /// Print a file that others need for a daemon of `prefork run`, with its paths and times
    ///
    /// A unit for systemd, a Dockerfile, a manifest for Kubernetes, what logrotate and systemd-tmpfiles read. It begins with
    /// where it belongs. The settings are checked first, as by `prefork run --check`.
    Init(InitArgs),
    /// Find out how many children a load takes
    ///
    /// A pool serves the load in a simulation, looked after by the code that does so in a daemon: how long requests wait, how
    /// many children and how much memory that takes, what is lost in an overload. What forks, the scheduler and too few
    /// processors add is not in it.
    Plan(Box<PlanArgs>),
    /// Show what each child is doing
    Status {
        #[command(flatten)]
        daemon: Handle,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
        /// Show empty slots too
        #[arg(long)]
        all: bool,
    },
    /// Watch what the children are doing
    Top {
        #[command(flatten)]
        daemon: Handle,
        /// Seconds between two looks, 0.1 at least
        #[arg(
            long, short, value_name = "SECONDS", default_value = "1", value_parser = interval,
            allow_negative_numbers = true
        )]
        interval: Duration,
    },
    /// Show what children that are at work wait for
    ///
    /// Of each child that has a request in hand, the one that has had it longest first: what it is doing and for whom, and for
    /// each of its threads the system call in which it is, with what that waits for: the peer of a connection, a file, who has
    /// its lock, who has the other end of a pipe. Nothing is stopped, traced or signalled for that. Of another user's
    /// processes the kernel shows it to root alone.
    Why {
        /// Board, pid file or name of the daemon; not needed where only one is found
        #[arg(value_hint = ValueHint::FilePath)]
        daemon: Option<OsString>,
        /// Look at this child alone, at work or not
        pid: Option<u32>,
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print metrics, for Prometheus
    ///
    /// These are gauges, of what the board says. What is counted since the start (requests, deaths, reloads) is not on the
    /// board: the daemon itself serves that, as /metrics where it was given status_listen.
    Metrics {
        #[command(flatten)]
        daemon: Handle,
        /// Print OpenMetrics rather than the text format that every reader knows
        #[arg(long)]
        openmetrics: bool,
    },
    /// List the daemons that are found
    List,
    /// Report what pid files and boards are, and whether all is well
    Check {
        /// Boards, pid files, names of daemons; none where only one is found
        #[arg(value_name = "DAEMON", value_hint = ValueHint::FilePath)]
        daemons: Vec<OsString>,
    },
    /// Print the pid of the daemon if it runs
    Running {
        #[command(flatten)]
        daemon: Handle,
    },
    /// Stop the daemon, and wait until it is gone
    ///
    /// Sends SIGTERM, on which the daemon finishes the requests in hand, then SIGKILL. A daemon that stops already is waited
    /// for, and not hurried: a second SIGTERM would do that.
    Stop {
        #[command(flatten)]
        daemon: Handle,
        #[command(flatten)]
        patience: PatienceArgs,
    },
    /// Replace the children by new ones (SIGHUP)
    ///
    /// With --wait it ends when all children that take new requests are new. Old ones may still finish what they have in
    /// hand: that is no failure, and is reported where a terminal shows it, or with --verbose; `prefork status` shows which.
    Reload {
        #[command(flatten)]
        daemon: Handle,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Replace the program by the new one (SIGUSR2)
    Upgrade {
        #[command(flatten)]
        daemon: Handle,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Open the logs again, after a rotation (SIGUSR1)
    Reopen {
        #[command(flatten)]
        daemon: Handle,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Set how many children there are at rest (SIGTTIN, SIGTTOU)
    ///
    /// So many there are while there is little to do, 1 to max_children. That stays until the next start, or until a reload
    /// reads another number from its settings.
    Scale {
        /// Board, pid file or name of the daemon; app/web for one of several pools
        #[arg(value_hint = ValueHint::FilePath)]
        daemon: OsString,
        /// How many children
        children: u32,
    },
    /// Send the daemon a signal
    Signal {
        /// Name of the signal, with or without SIG
        #[arg(value_enum, ignore_case = true)]
        signal: Signal,
        #[command(flatten)]
        daemon: Handle,
    },
    /// Print the script by which a shell completes this command
    Completions {
        /// The shell for which it is
        shell: Shell,
    },
    /// Print the manual page, for man(1) to show
    Man {
        /// Page of this command rather than of all
        command: Option<String>,
        /// Write the pages of all commands into this directory, as /usr/local/share/man/man1
        #[arg(long, value_name = "DIR", conflicts_with = "command", value_hint = ValueHint::DirPath)]
        install: Option<PathBuf>,
    },
}

/// The daemon that is meant.
#[derive(Debug, Args)]
pub(crate) struct Handle {
    /// Board, pid file or name of the daemon; not needed where only one is found
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) daemon: Option<OsString>,
}

/// How long a daemon may take to stop, and what happens then.
#[derive(Debug, Args)]
pub(crate) struct PatienceArgs {
    /// Seconds that it may take before it is sent SIGKILL; more than its graceful_timeout and 6 s
    #[arg(
        long, value_name = "SECONDS", default_value = "40", value_parser = seconds,
        allow_negative_numbers = true
    )]
    timeout: Duration,
    /// Fail rather than send SIGKILL
    #[arg(long)]
    no_kill: bool,
    /// Have it stop at once (SIGINT): requests in hand are not finished
    #[arg(long)]
    now: bool,
}

impl PatienceArgs {
    /// Whether it is to stop at once.
    pub(crate) const fn hurries(&self) -> bool {
        self.now
    }
}

impl From<PatienceArgs> for StopOptions {
    fn from(args: PatienceArgs) -> Self {
        let options = Self::new().grace(args.timeout);
        let options = if args.now { options.now() } else { options };
        if args.no_kill { options.never_kill() } else { options }
    }
}

/// Waiting for all children.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until that is done, refused or given up, and report which, with the reason
    #[arg(long)]
    wait: bool,
    /// Scoreboard of the daemon, where another than its own is to be looked at
    #[arg(long, requires = "wait", hide = true, value_hint = ValueHint::FilePath)]
    board: Option<PathBuf>,
    /// Seconds to wait
    #[arg(
        long, requires = "wait", value_name = "SECONDS", default_value = "60",
        value_parser = seconds, allow_negative_numbers = true
    )]
    timeout: Duration,
}

impl From<WaitArgs> for Wait {
    fn from(args: WaitArgs) -> Self {
        match args.wait {
            true => Self::UntilAll { board: args.board, timeout: args.timeout },
            false => Self::No,
        }
    }
}

/// The signals that a daemon answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Signal {
    /// Stop: finish the requests in hand, then end
    #[value(name = "TERM", alias = "SIGTERM")]
    Term,
    /// Stop now
    #[value(name = "INT", alias = "SIGINT")]
    Int,
    /// Stop now
    #[value(name = "QUIT", alias = "SIGQUIT")]
    Quit,
    /// Reload
    #[value(name = "HUP", alias = "SIGHUP")]
    Hup,
    /// Open the logs again
    #[value(name = "USR1", alias = "SIGUSR1")]
    Usr1,
    /// Upgrade
    #[value(name = "USR2", alias = "SIGUSR2")]
    Usr2,
    /// One child more
    #[value(name = "TTIN", alias = "SIGTTIN")]
    Ttin,
    /// One child fewer
    #[value(name = "TTOU", alias = "SIGTTOU")]
    Ttou,
    /// What the program makes of it
    #[value(name = "WINCH", alias = "SIGWINCH")]
    Winch,
    /// Go on after a stop by SIGSTOP
    #[value(name = "CONT", alias = "SIGCONT")]
    Cont,
    /// End without a chance to clear up
    #[value(name = "KILL", alias = "SIGKILL")]
    Kill,
}

impl From<Signal> for daemonize::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Term => Self::Term,
            Signal::Int => Self::Int,
            Signal::Quit => Self::Quit,
            Signal::Hup => Self::Hup,
            Signal::Usr1 => Self::Usr1,
            Signal::Usr2 => Self::Usr2,
            Signal::Ttin => Self::Ttin,
            Signal::Ttou => Self::Ttou,
            Signal::Winch => Self::Winch,
            Signal::Cont => Self::Cont,
            Signal::Kill => Self::Kill,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or("must be a number of seconds, such as 30 or 0.5")
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    let interval = seconds(text)?;
    let is_sensible = (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval);
    if is_sensible { Ok(interval) } else { Err("must be 0.1 to 3600 seconds") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        let words = words.split_ascii_whitespace().map(OsString::from);
        Cli::try_parse_from([OsString::from("prefork")].into_iter().chain(words))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn signals_are_known_by_both_names_in_any_case() {
        for name in ["HUP", "hup", "SIGHUP", "sighup"] {
            let cli = parse(&format!("signal {name} /run/x.pid")).expect(name);
            assert!(matches!(cli.command, Command::Signal { signal: Signal::Hup, .. }), "{name}");
        }
        assert!(parse("signal 1 /run/x.pid").is_err());
    }

    #[test]
    fn a_board_is_for_waiting_and_need_not_be_named() {
        assert!(parse("reload x --wait").is_ok());
        assert!(parse("reload --wait").is_ok());
        assert!(parse("reload x --board y").is_err());
        assert!(parse("upgrade x --wait --board y --timeout 0.5").is_ok());
        assert!(parse("reload x").is_ok());
    }

    /// A daemon with defaults takes up to 36 s: 30 for requests in hand, and 6 for harder measures.
    #[test]
    fn a_stop_waits_as_long_as_a_daemon_takes_by_default() {
        let Command::Stop { patience, .. } = parse("stop x").expect("parsed").command else {
            panic!("another command");
        };
        assert!(patience.timeout > Duration::from_secs(36));
    }

    #[test]
    fn times_are_seconds_within_reason() {
        for bad in ["-1", "x", "inf", "1e30"] {
            let error = parse(&format!("stop x --timeout {bad}")).expect_err(bad).to_string();
            assert!(error.contains("must be a number of seconds, such as 30 or 0.5"), "{error}");
        }
        assert!(parse("top x -i -1").is_err_and(|it| it.to_string().contains("seconds")));
        for bad in ["0", "0.01", "86400"] {
            assert!(parse(&format!("top x --interval={bad}")).is_err(), "{bad}");
        }
        assert!(parse("top x -i 0.5").is_ok());
    }
}

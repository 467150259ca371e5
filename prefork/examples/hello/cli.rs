//! The command line: the documented arguments, in kebab case.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use prefork::Args;

/// A preforked HTTP server that says hello.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    /// Address to listen on; repeatable
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Go to the background; needs the paths below
    #[arg(long)]
    daemonize: bool,
    /// File that holds the parent's pid
    #[arg(long, value_name = "FILE")]
    pid_path: Option<PathBuf>,
    /// File for the daemon's own messages
    #[arg(long, value_name = "FILE")]
    error_log_path: Option<PathBuf>,
    /// File for one line a request
    #[arg(long, value_name = "FILE")]
    access_log_path: Option<PathBuf>,
    /// File in which children tell what they are doing
    #[arg(long, value_name = "FILE")]
    scoreboard_path: Option<PathBuf>,
    /// Number of children; 0 serves from the parent itself
    #[arg(long, value_name = "N", default_value_t = 3)]
    prefork: u32,
    /// Number of children that is never exceeded; to grow, the pool needs a scoreboard [default: 150]
    #[arg(long, value_name = "N")]
    max_children: Option<u32>,
    /// Number of children that should be waiting for work [default: 1]
    #[arg(long, value_name = "N")]
    min_spare: Option<u32>,
    /// Number of waiting children that are not too many [default: any, for 10 s]
    #[arg(long, value_name = "N")]
    max_spare: Option<u32>,
    /// Refuse to start when not root
    #[arg(long)]
    require_root: bool,
    /// Seconds that children may take to finish their requests when stopping
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    graceful_timeout: Duration,
    /// Seconds that the start may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    start_timeout: Duration,
}

impl Cli {
    /// Hands what was given over to the daemon's arguments.
    pub(crate) fn apply(self, mut args: Args) -> Args {
        args = args
            .daemonize(self.daemonize)
            .prefork(self.prefork)
            .require_root(self.require_root)
            .graceful_timeout(self.graceful_timeout)
            .start_timeout(self.start_timeout);
        if let Some(children) = self.max_children {
            args = args.max_children(children);
        }
        if let Some(children) = self.min_spare {
            args = args.min_spare(children);
        }
        if let Some(children) = self.max_spare {
            args = args.max_spare(children);
        }
        if let Some(path) = self.scoreboard_path {
            args = args.scoreboard_path(path);
        }
        if let Some(path) = self.pid_path {
            args = args.pid_path(path);
        }
        if let Some(path) = self.error_log_path {
            args = args.error_log_path(path);
        }
        if let Some(path) = self.access_log_path {
            args = args.access_log_path(path);
        }
        args
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Prints what a user can do with a server at this address.
pub(crate) fn print_what_to_try(address: SocketAddr) {
    println!("Serving http://{address}/ (pid {}). Try:", std::process::id());
    println!("  curl http://{address}/           says hello");
    println!("  curl http://{address}/pid        says which child answered");
    println!("  curl http://{address}/sleep      says hello after a second");
    println!("  kill -TERM {}        finishes the requests in hand and stops", std::process::id());
}

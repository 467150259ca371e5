//! The command line: the documented arguments, in kebab case, over those of a file.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use prefork::{Args, LogLevel, OnChange, OnDisconnect, Settings, SettingsError, read_settings};
use serde::Deserialize;

/// A preforked HTTP server that says hello.
#[derive(Debug, Parser)]
#[command(name = "hello", version)]
pub(crate) struct Cli {
    /// File of settings; flags go before its values
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; repeatable [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,
    /// Go to the background; needs the paths below
    #[arg(long)]
    daemonize: bool,
    /// File that holds the parent's pid
    #[arg(long, value_name = "FILE")]
    pid_path: Option<PathBuf>,
    /// File for the daemon's own messages
    #[arg(long, value_name = "FILE")]
    error_log_path: Option<PathBuf>,
    /// Which of the daemon's own messages are logged: error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// File for one line a request
    #[arg(long, value_name = "FILE")]
    access_log_path: Option<PathBuf>,
    /// File in which children report what they are doing
    #[arg(long, value_name = "FILE")]
    scoreboard_path: Option<PathBuf>,
    /// Where to show what the daemon does: a loopback ADDR:PORT, or the path of a socket
    #[arg(long, value_name = "ADDR")]
    status_listen: Option<String>,
    /// Number of children; 0 serves from the parent itself [default: 3]
    #[arg(long, value_name = "N")]
    prefork: Option<u32>,
    /// Number of children that is never exceeded; to grow, the pool needs a scoreboard [default: 150]
    #[arg(long, value_name = "N")]
    max_children: Option<u32>,
    /// Number of children that should be waiting for work [default: 1]
    #[arg(long, value_name = "N")]
    min_spare: Option<u32>,
    /// Number of waiting children that are not too many [default: any, for 10 s]
    #[arg(long, value_name = "N")]
    max_spare: Option<u32>,
    /// Number of children that may be replaced at a time [default: a quarter of --prefork]
    #[arg(long, value_name = "N")]
    max_unavailable: Option<u32>,
    /// Number of requests after which a child is replaced, about
    #[arg(long, value_name = "N")]
    max_requests: Option<u64>,
    /// Seconds after which a child is replaced, about
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_lifetime: Option<Duration>,
    /// Bytes of resident memory above which a child is replaced
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<u64>,
    /// Seconds after which a child that is at one request is ended; needs a scoreboard
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    request_timeout: Option<Duration>,
    /// Seconds between two looks at the program file; when it has changed, hello becomes it, unless the file
    /// of settings has another handler
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    auto_reload_check_every: Option<Duration>,
    /// Give up requests whose clients have gone; needs a scoreboard, in memory if no file is given
    #[arg(long)]
    cancel_on_disconnect: bool,
    /// Seconds between two looks at clients [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    netwatch_interval: Option<Duration>,
    /// User that the children run as
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Group that the children run as [default: that of the user]
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Keep the children from gaining privileges by executing programs
    #[arg(long)]
    no_new_privs: bool,
    /// Number of descriptors that a child may have
    #[arg(long, value_name = "N")]
    rlimit_nofile: Option<u64>,
    /// Refuse to start when not root
    #[arg(long)]
    require_root: bool,
    /// Seconds that children may take to finish their requests when stopping [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    graceful_timeout: Option<Duration>,
    /// Seconds that a child may take to finish its request when it is replaced [default: as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    reload_timeout: Option<Duration>,
    /// Seconds that the start may take [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    start_timeout: Option<Duration>,
}

/// The file: what is hello's own, and what every daemon has.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    listen: Vec<SocketAddr>,
    #[serde(default)]
    daemon: Settings,
}

impl Cli {
    /// Reads the file, if one was given.
    pub(crate) fn config(&self) -> Result<Config, SettingsError> {
        let Some(path) = &self.config else { return Ok(Config::default()) };
        read_settings(path, |text| toml::from_str(text))
    }

    /// Returns where to listen.
    pub(crate) fn addresses(&self, config: &Config) -> Vec<SocketAddr> {
        let given = [&self.listen, &config.listen].into_iter().find(|given| !given.is_empty());
        given.cloned().unwrap_or_else(|| vec![([127, 0, 0, 1], 8080).into()])
    }

    /// Hands what was given over to the daemon's arguments.
    pub(crate) fn apply(self, args: Args, config: Config) -> Args {
        let file = &config.daemon;
        let has_board = self.scoreboard_path.is_some()
            || file.scoreboard_path.is_some()
            || file.scoreboard_in_memory == Some(true);
        let on_change = file.auto_reload_handler.unwrap_or(OnChange::Upgrade);
        let mut args = args.daemonize(false).settings(config.daemon);
        args = given(args, self.daemonize.then_some(true), Args::daemonize);
        args = given(args, self.require_root.then_some(true), Args::require_root);
        args = given(args, self.no_new_privs.then_some(true), Args::no_new_privs);
        args = given(args, self.prefork, Args::prefork);
        args = given(args, self.graceful_timeout, Args::graceful_timeout);
        args = given(args, self.reload_timeout, Args::reload_timeout);
        args = given(args, self.start_timeout, Args::start_timeout);
        args = given(args, self.max_children, Args::max_children);
        args = given(args, self.min_spare, Args::min_spare);
        args = given(args, self.max_spare, Args::max_spare);
        args = given(args, self.max_unavailable, Args::max_unavailable);
        args = given(args, self.max_requests, Args::max_requests);
        args = given(args, self.max_lifetime, Args::max_lifetime);
        args = given(args, self.max_memory, Args::max_memory);
        args = given(args, self.request_timeout, Args::request_timeout);
        args = given(args, self.rlimit_nofile, Args::rlimit_nofile);
        if let Some(interval) = self.auto_reload_check_every {
            args = args.auto_reload_check_every(interval).auto_reload_handler(on_change);
        }
        if self.cancel_on_disconnect {
            args = args.on_client_disconnect(OnDisconnect::Cancel);
            args = if has_board { args } else { args.scoreboard_in_memory(true) };
        }
        args = given(args, self.netwatch_interval, Args::netwatch_interval);
        args = given(args, self.user, Args::user);
        args = given(args, self.group, Args::group);
        args = given(args, self.status_listen, Args::status_listen);
        if let Some(path) = self.scoreboard_path {
            // It goes before a board in memory that the file asks for.
            args = args.scoreboard_in_memory(false).scoreboard_path(path);
        }
        args = given(args, self.pid_path, Args::pid_path);
        args = given(args, self.error_log_path, Args::error_log_path);
        args = given(args, self.log_level, Args::log_level);
        args = given(args, self.access_log_path, Args::access_log_path);
        args
    }
}

/// Sets an argument that was given; the others keep their defaults.
fn given<T>(args: Args, value: Option<T>, set: impl FnOnce(Args, T) -> Args) -> Args {
    match value {
        Some(value) => set(args, value),
        None => args,
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or("must be a number of seconds, such as 30 or 0.5")
}

/// Prints what a user can do with a server at this address; where nobody reads that, it does not matter.
pub(crate) fn print_what_to_try(address: SocketAddr) {
    let pid = std::process::id();
    let text = format!(
        "Serving http://{address}/ (pid {pid}). Try:
  curl http://{address}/           says hello
  curl http://{address}/pid        says which child answered
  curl http://{address}/sleep      says hello after a second
  kill -TERM {pid}        finishes the requests in hand and stops
"
    );
    let _ = io::stdout().write_all(text.as_bytes());
}

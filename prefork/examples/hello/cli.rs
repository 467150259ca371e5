//! The command line: the documented arguments, in kebab case, over those of a file.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args as _, CommandFactory, FromArgMatches, Parser, parser::ValueSource};
use prefork::{
    AnyAddr, Args, BoxError, Init, Inspect, OnChange, OnDisconnect, Settings, SettingsError,
    read_settings,
};
use serde::Deserialize;

const EXIT_CODES: &str = "\
Exit codes:
  0  the daemon serves in the background, or has stopped in order; the settings are right
  1  it could not start, or was not able to stop in order
  2  wrong usage
 78  the settings are wrong";

/// A preforked HTTP server that says hello.
///
/// Each flag that sets something for the daemon has a variable of the environment and a key of the file, as --max-memory,
/// HELLO_MAX_MEMORY and max_memory; what is given by a flag goes before a variable, and that before the file. Times are
/// written as 5s, 0.5, 5 min or 1d, amounts of memory as 200M or 1.5GiB.
#[derive(Debug, Parser)]
#[command(name = "hello", version, allow_negative_numbers = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// File of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check all settings, and serve nothing
    #[arg(long)]
    check: bool,
    /// Print all settings, each with where it comes from, and serve nothing
    #[arg(long, conflicts_with = "check")]
    print_settings: bool,
    /// Address to listen on, as 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock; repeatable; or
    /// HELLO_LISTEN, separated by commas [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Give up requests whose clients have closed the connection, or their side of it; needs a scoreboard, in memory if no
    /// file is given
    #[arg(long)]
    cancel_on_disconnect: bool,
    #[command(flatten)]
    settings: Flags,
    #[arg(skip)]
    given: Vec<(String, OsString)>,
}

/// The flags that are settings of every daemon. The library reads them.
#[derive(Debug, clap::Args)]
struct Flags {
    /// Go to the background; needs the paths below
    #[arg(long)]
    daemonize: bool,
    /// File that holds the parent's pid
    #[arg(long, value_name = "FILE")]
    pid_path: Option<OsString>,
    /// File for the daemon's own messages
    #[arg(long, value_name = "FILE")]
    error_log_path: Option<OsString>,
    /// Which of the daemon's own messages are logged: error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<OsString>,
    /// File for one line a request
    #[arg(long, value_name = "FILE")]
    access_log_path: Option<OsString>,
    /// File in which children report what they are doing
    #[arg(long, value_name = "FILE")]
    scoreboard_path: Option<OsString>,
    /// Where to show what the daemon does: a loopback ADDR:PORT, or the path of a socket
    #[arg(long, value_name = "ADDR")]
    status_listen: Option<OsString>,
    /// Number of children; 0 serves from the parent itself [default: 3]
    #[arg(long, value_name = "N")]
    prefork: Option<OsString>,
    /// Number of children that is never exceeded; to grow, the pool needs a scoreboard [default: 150]
    #[arg(long, value_name = "N")]
    max_children: Option<OsString>,
    /// Number of children that should be waiting for work [default: 1]
    #[arg(long, value_name = "N")]
    min_spare: Option<OsString>,
    /// Number of waiting children that are not too many [default: any, for 10 s]
    #[arg(long, value_name = "N")]
    max_spare: Option<OsString>,
    /// Number of children that may be started at once [default: 64]
    #[arg(long, value_name = "N")]
    spawn_step: Option<OsString>,
    /// Time after which children that were not needed are retired [default: 10s]
    #[arg(long, value_name = "TIME")]
    calm_time: Option<OsString>,
    /// Time between two steps of a pool that shrinks [default: 1s]
    #[arg(long, value_name = "TIME")]
    retire_pace: Option<OsString>,
    /// Number of children that may be replaced at a time [default: a quarter of --prefork]
    #[arg(long, value_name = "N")]
    max_surge: Option<OsString>,
    /// Number of requests after which a child is replaced, about
    #[arg(long, value_name = "N")]
    max_requests: Option<OsString>,
    /// Time after which a child is replaced, about
    #[arg(long, value_name = "TIME")]
    max_lifetime: Option<OsString>,
    /// Resident memory above which a child is replaced
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<OsString>,
    /// Time after which a child that is at one request is ended; needs a scoreboard
    #[arg(long, value_name = "TIME")]
    request_timeout: Option<OsString>,
    /// Time between two looks at the program file; when it has changed, hello becomes it, unless the file
    /// of settings has another handler
    #[arg(long, value_name = "TIME")]
    auto_reload_check_every: Option<OsString>,
    /// Time between two looks at clients [default: 2s]
    #[arg(long, value_name = "TIME")]
    netwatch_interval: Option<OsString>,
    /// User that the children run as
    #[arg(long, value_name = "USER")]
    user: Option<OsString>,
    /// Group that the children run as [default: that of the user]
    #[arg(long, value_name = "GROUP")]
    group: Option<OsString>,
    /// Keep the children from gaining privileges by executing programs
    #[arg(long)]
    no_new_privs: bool,
    /// Number of descriptors that a child may have
    #[arg(long, value_name = "N")]
    rlimit_nofile: Option<OsString>,
    /// Refuse to start when not root
    #[arg(long)]
    require_root: bool,
    /// Time that children may take to finish their requests when stopping [default: 30s]
    #[arg(long, value_name = "TIME")]
    graceful_timeout: Option<OsString>,
    /// Time that a child may take to finish its request when it is replaced [default: as long as it takes]
    #[arg(long, value_name = "TIME")]
    reload_timeout: Option<OsString>,
    /// Time that the start may take [default: 60s]
    #[arg(long, value_name = "TIME")]
    start_timeout: Option<OsString>,
}

/// The file: what is hello's own, and what every daemon has.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    daemon: Settings,
}

impl Cli {
    /// Reads the command line.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.given = given(&matches);
        cli
    }

    /// Reads the file, if one was given.
    pub(crate) fn config(&self) -> Result<Config, SettingsError> {
        let Some(path) = &self.config else { return Ok(Config::default()) };
        read_settings(path, |text| toml::from_str(text))
    }

    /// Returns what is to be done instead of serving, if anything.
    pub(crate) fn inspect(&self) -> Option<Inspect> {
        let asked = [(self.check, Inspect::Check), (self.print_settings, Inspect::Print)];
        asked.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, inspect)| inspect)
    }

    /// Returns where to listen, and what says so: flags, else a variable, else the file.
    pub(crate) fn addresses(&self, config: &Config) -> (Vec<String>, String) {
        let variable = env::var("HELLO_LISTEN").unwrap_or_default();
        let variable = variable.split(',').filter(|address| !address.is_empty());
        let file = format!("{:?}", self.config.as_deref().unwrap_or(Path::new("")));
        let given = [
            (self.listen.clone(), "--listen".to_owned()),
            (variable.map(str::to_owned).collect(), "HELLO_LISTEN".to_owned()),
            (config.listen.clone(), file),
        ];
        let default = || (vec!["127.0.0.1:8080".to_owned()], "default".to_owned());
        given.into_iter().find(|(given, _)| !given.is_empty()).unwrap_or_else(default)
    }

    /// Hands what was given over to the daemon's arguments: flags go before variables, and those before the file.
    pub(crate) fn apply(self, args: Args, config: Config) -> Args {
        let Config { daemon: file, .. } = config;
        let variables = Settings::from_environment("hello");
        let mut flags = Settings::from_flags(self.given);
        let has = |test: fn(&Settings) -> bool| [&file, &variables, &flags].into_iter().any(test);
        let has_board =
            has(|it| it.scoreboard_path.is_some() || it.scoreboard_in_memory == Some(true));
        if flags.auto_reload_check_every.is_some() && !has(|it| it.auto_reload_handler.is_some()) {
            flags.auto_reload_handler = Some(OnChange::Upgrade);
        }
        if self.cancel_on_disconnect {
            flags.on_client_disconnect = Some(OnDisconnect::Cancel);
            flags.scoreboard_in_memory = (!has_board).then_some(true);
        }
        if flags.scoreboard_path.is_some() {
            // It goes before a board in memory that the file asks for.
            flags.scoreboard_in_memory = Some(false);
        }
        args.daemonize(false).settings(file).settings(variables).settings(flags)
    }
}

/// Returns the flags that were given of those that are settings, with their values as they were given.
fn given(matches: &ArgMatches) -> Vec<(String, OsString)> {
    let flags = Flags::augment_args(clap::Command::new("flags"));
    let names = flags.get_arguments().map(|flag| flag.get_id().to_string());
    let is_given = |name: &String| matches.value_source(name) == Some(ValueSource::CommandLine);
    let value = |name: String| {
        let value = matches.get_raw(&name)?.next_back().map(OsStr::to_owned);
        value.map(|value| (name, value))
    };
    names.filter(is_given).filter_map(value).collect()
}

/// Finds out whether these can be addresses, each once; names what has given them.
pub(crate) fn check_addresses(addresses: &[String], origin: &str) -> Result<(), BoxError> {
    let mut faults = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        if let Err(error) = Init::check_address(address) {
            faults.push(format!("{origin}: {error}"));
        }
        if addresses[..index].contains(address) {
            faults.push(format!("{origin}: {address} is given twice"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n").into()) }
}

/// Prints hello's own settings, as they stand in a file before the daemon's.
pub(crate) fn print_own(addresses: &[String], origin: &str) {
    let listen = format!("listen = {addresses:?}");
    let _ = io::stdout().write_all(format!("{listen:48} # {origin}\n[daemon]\n").as_bytes());
}

/// Prints what a user can do with a server at this address; where nobody reads that, it does not matter.
pub(crate) fn print_what_to_try(address: &AnyAddr) {
    let pid = std::process::id();
    let curl = match address {
        AnyAddr::Tcp(address) => format!("curl http://{address}"),
        AnyAddr::Unix(address) => {
            let path = address.as_pathname().unwrap_or(Path::new(""));
            format!("curl --unix-socket {path:?} http://localhost")
        }
        _ => return,
    };
    let text = format!(
        "Serving at {address} (pid {pid}). Try:
  {curl}/           says hello
  {curl}/pid        says which child answered
  {curl}/sleep      says hello after a second
  kill -TERM {pid}        finishes the requests in hand and stops
"
    );
    let _ = io::stdout().write_all(text.as_bytes());
}

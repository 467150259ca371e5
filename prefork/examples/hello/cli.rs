//! The command line: the documented arguments, in kebab case, over those of a file.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Command, FromArgMatches, Parser, value_parser};
use prefork::{
    AnyAddr, Args, BoxError, Init, Inspect, OnChange, OnDisconnect, Setting, Settings,
    SettingsError, read_settings,
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
}

/// The flags that are settings of every daemon, with what was given: the library knows them, and reads their values.
#[derive(Debug)]
struct Flags(Vec<(String, OsString)>);

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(Settings::list().iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| {
            let value = matches.get_one::<OsString>(setting.name)?;
            Some((setting.name.to_owned(), value.clone()))
        };
        Ok(Self(Settings::list().iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a setting. One that is true or false needs no value.
fn flag(setting: &Setting) -> Arg {
    let flag = Arg::new(setting.name)
        .long(setting.flag())
        .help(setting.help)
        .value_parser(value_parser!(OsString));
    match setting.value {
        Some(value) => flag.value_name(value),
        None => flag
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
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
        Self::parse()
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
        let mut flags = Settings::from_flags(self.settings.0);
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

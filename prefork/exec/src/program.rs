//! What is to be run, as given.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use nix::sys::{resource::Resource, signal::Signal};

use crate::Demand;

/// A program that each child runs, as it is to be run.
///
/// In arguments, in values of the environment, in [`directory`](Self::directory), and in addresses of [`Ready`], `{fd}`, `{path}`,
/// `{slot}` and `{pid}` stand for what the child has. Of several sockets `{fd}` and `{path}` are the first, `{fd:http}` that of
/// this name, and `{fd:1}` the second. `{{fd}}` is the text `{fd}`; braces around anything but a word of small letters, as in
/// `{print $1}` and `${HOME}`, stay as they are.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program, found by `PATH` if there is no slash in it, and its arguments.
    pub command: Vec<OsString>,
    /// Where it listens, in the order in which it is handed the sockets, from descriptor 3 on; none for programs that do not
    /// listen.
    pub listen: Vec<Listen>,
    /// Variables set for it, over those that the daemon has.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory; that of the daemon's start if none.
    pub directory: Option<PathBuf>,
    /// What it has as its standard input.
    pub stdin: Stdin,
    /// How it shows that it is ready.
    pub ready: Ready,
    /// Where what it prints goes.
    pub output: Output,
    /// What it is sent to stop. Default `SIGTERM`.
    pub stop_signal: Signal,
    /// What is run, with the same placeholders, instead of sending that signal.
    pub stop_command: Option<Vec<OsString>>,
    /// What reports how many jobs wait for it elsewhere than at its sockets; see [`Args::demand`](prefork::Args::demand).
    pub demand: Option<Demand>,
    /// Memory, of all its processes together, above which it is replaced, in bytes.
    pub max_memory: Option<u64>,
    /// How much it may write to its client, in bytes, where it is started for each ([`Stdin::Connection`]), over TCP. It is
    /// ended when it has written more, and the connection reset. What it has written between two looks, 5 to 160 ms apart, is
    /// beyond that. Default: any amount.
    pub max_output: Option<u64>,
    /// Limits for its resources, soft and hard alike.
    pub limits: Vec<(Resource, u64)>,
    /// Where the fields come from, by their names, for messages: `--listen`, `/etc/app.toml:3:1: listen`. A field of which
    /// nothing is said is called by its name.
    pub origins: BTreeMap<&'static str, String>,
}

/// A socket at which the program listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// As [`Init::listen_any`](prefork::Init::listen_any) takes it.
    pub address: String,
    /// Its name in `LISTEN_FDNAMES`.
    pub name: Option<String>,
    /// The permissions of the file of a UNIX socket.
    pub mode: Option<u32>,
}

/// The standard input of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// The first listening socket, as FastCGI programs have it.
    Socket,
    /// A connection, which is its standard output as well: the program is started for each client, as `inetd(8)` does, and ends
    /// when it has served it. It has no listening socket, and who its client is in `REMOTE_ADDR` and `REMOTE_PORT`, over TCP.
    Connection,
}

/// How the program shows that it is ready to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ready {
    /// By `READY=1`, or by waiting at its socket, whichever is seen first; one without a socket once it has run for 100 ms or
    /// has said `READY=1`.
    #[default]
    Auto,
    /// By `READY=1` alone, see `sd_notify(3)`.
    Notify,
    /// By waiting at its socket alone.
    Accept,
    /// By taking a connection at this address of its own.
    Tcp(String),
    /// By answering a request for this address of its own, `http://127.0.0.1:900{slot}/live`, with a status below 400.
    Http(String),
    /// By running for so long.
    After(Duration),
}

/// Where goes what the program prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// To the daemon's logs, line by line, each with the slot and the pid before it: standard output to the access log
    /// where there is one, else, as standard error, to the error log.
    #[default]
    Log,
    /// To the daemon's own standard error, as it is.
    Inherit,
    /// Nowhere.
    Discard,
}

impl Program {
    /// Makes one with the documented defaults.
    #[must_use]
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            listen: Vec::new(),
            env: Vec::new(),
            directory: None,
            stdin: Stdin::default(),
            ready: Ready::default(),
            output: Output::default(),
            stop_signal: Signal::SIGTERM,
            stop_command: None,
            demand: None,
            max_memory: None,
            max_output: None,
            limits: Vec::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Returns the names of the sockets that it has, in their order.
    pub(crate) fn socket_names(&self) -> Vec<String> {
        if self.stdin == Stdin::Connection {
            return Vec::new();
        }
        self.listen.iter().enumerate().map(|(index, listen)| listen.name_at(index)).collect()
    }
}

impl Listen {
    /// Makes one at this address, as [`Init::listen_any`](prefork::Init::listen_any) takes it.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), name: None, mode: None }
    }

    /// Returns its name for the program, where it has none of its own.
    pub(crate) fn name_at(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("socket{index}"))
    }

    /// Returns whether it is a UNIX socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.address.starts_with("unix:") || self.address.contains('/')
    }

    /// Returns where it listens, as far as that is known before it does.
    pub(crate) fn place(&self) -> &str {
        self.address.strip_prefix("unix:").unwrap_or(&self.address)
    }
}

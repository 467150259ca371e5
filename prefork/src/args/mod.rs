//! The arguments of `new`, as documented.

pub(crate) mod check;
mod child_hooks;
mod data;
mod declare;
pub(crate) mod defaults;
mod hooks;
mod list;
mod listen;
pub(crate) mod settings;

pub use list::Settings;
#[cfg(feature = "serde")]
pub use settings::Setting;
pub use settings::SettingsError;
use std::{fmt, io::Write, os::fd::OwnedFd, path::PathBuf};

use prefork_core::Reread;
use prefork_reload::WatchList;
use prefork_scoreboard::metrics::Metrics;

use crate::{
    Init, Result,
    child::{Body, OwnSetting},
    hooks::ParentHooks,
};
use declare::fingerprint;
pub(crate) use declare::{Applied, Argument, Need, number_of};

pub(crate) type BeforeDaemonize = Box<dyn FnOnce() -> Result>;
pub(crate) type AfterInit<S> = Box<dyn FnOnce(&mut Init) -> Result<S>>;

/// The arguments of a daemon, under their documented names and with their documented defaults.
///
/// `S` is what [`after_init`](Self::after_init) returns and every
/// [`main_loop`](Self::main_loop) is handed: a listener, a pool, settings.
///
/// Setters take what they are given; [`Prefork::new`](crate::Prefork::new) checks it all at once.
///
/// # Examples
///
/// ```
/// use prefork::{Args, Prefork};
///
/// let args = Args::new()
///     .daemonize(false)
///     .prefork(4)
///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
///     .main_loop(|child, listener| {
///         while let Some((_connection, _peer)) = child.accept(listener)? {
///             // serve it
///         }
///         Ok(())
///     });
/// let daemon = Prefork::new(args)?;
/// # drop(daemon);
/// # Ok::<(), prefork::ArgsError>(())
/// ```
#[must_use]
pub struct Args<S = ()> {
    pub(crate) data: Data,
    pub(crate) before_daemonize: Option<BeforeDaemonize>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) parent_hooks: ParentHooks,
    pub(crate) body: Body<S>,
}

/// The arguments that are data.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) settings: Settings,
    /// Of the program.
    pub(crate) version: Option<String>,
    /// What children count.
    pub(crate) metrics: Option<Metrics>,
    /// The pools to which children hand connections.
    pub(crate) hands_to: Vec<String>,
    /// What the children run, where that is another program.
    pub(crate) runs: Option<String>,
    /// Whether any of them was set by [`Args::settings`], and so may be of a file.
    pub(crate) has_settings: bool,
    pub(crate) error_log_handle: Option<OwnedFd>,
    pub(crate) access_log_handle: Option<Box<dyn Write>>,
    pub(crate) auto_reload_watch: Option<WatchList>,
    /// Settings of the program's own.
    pub(crate) own: Vec<OwnSetting>,
    /// The addresses of `listen`.
    pub(crate) listen: Vec<String>,
    /// The permissions of the files of those that are UNIX sockets.
    pub(crate) listen_mode: Option<u32>,
    /// Whether the program has set that, or `listen`, which is one.
    pub(crate) has_after_init: bool,
    pub(crate) pool: PoolKind,
}

impl Data {
    /// Whether there is anything that a reload could read again.
    pub(crate) fn reread(&self) -> Reread {
        let is_read = self.has_settings || !settings::files_read().is_empty();
        if is_read { Reread::AtReload } else { Reread::Never }
    }
}

/// What these are the arguments of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum PoolKind {
    /// A daemon of one pool.
    #[default]
    Daemon,
    /// The arbiter of several.
    Arbiter,
    /// One of several.
    Member,
    /// One of several that sleeps while there is nothing to do.
    OnDemand,
    /// A role, with the file of its lock.
    Role { lock: Option<PathBuf> },
}

impl Args {
    /// Makes arguments with the documented defaults; [`main_loop`](Self::main_loop) is still
    /// required, and with [`daemonize`](Self::daemonize) on, which it is by default, so are the
    /// paths.
    pub fn new() -> Self {
        Self {
            data: Data::default(),
            before_daemonize: None,
            after_init: Box::new(|_| Ok(())),
            parent_hooks: ParentHooks::default(),
            body: Body::default(),
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Args<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("settings", &self.data.settings).finish_non_exhaustive()
    }
}

//! The arguments of `new`, as documented.

pub(crate) mod check;
mod data;
mod hooks;
mod privileges;
pub(crate) mod settings;

pub use settings::{Settings, SettingsError};
use std::{fmt, io::Write, os::fd::OwnedFd, path::PathBuf, time::Duration};

use prefork_daemonize::WantedPrivileges;
use prefork_reload::WatchList;

use crate::{Init, LogLevel, Result, child::Body, hooks::ParentHooks};

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
    /// What was set before `after_init`, whose result it is to be handed.
    pub(crate) too_early: Vec<&'static str>,
}

/// The arguments that are plain data.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) name: Option<String>,
    pub(crate) require_root: bool,
    pub(crate) daemonize: Option<bool>,
    pub(crate) error_log_path: Option<PathBuf>,
    pub(crate) error_log_handle: Option<OwnedFd>,
    pub(crate) access_log_path: Option<PathBuf>,
    pub(crate) access_log_handle: Option<Box<dyn Write>>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) pid_path: Option<PathBuf>,
    pub(crate) scoreboard_path: Option<PathBuf>,
    pub(crate) scoreboard_in_memory: bool,
    pub(crate) prefork: Option<u32>,
    pub(crate) max_children: Option<u32>,
    pub(crate) min_spare: Option<u32>,
    pub(crate) max_spare: Option<u32>,
    pub(crate) max_unavailable: Option<u32>,
    pub(crate) max_requests: Option<u64>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_memory: Option<u64>,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) start_timeout: Option<Duration>,
    pub(crate) graceful_timeout: Option<Duration>,
    pub(crate) reload_timeout: Option<Duration>,
    pub(crate) hook_timeout: Option<Duration>,
    pub(crate) privileges: WantedPrivileges,
    pub(crate) drop_parent: bool,
    pub(crate) keep_descendants: bool,
    pub(crate) auto_reload_check_every: Option<Duration>,
    pub(crate) auto_reload_watch: Option<WatchList>,
    pub(crate) netwatch_interval: Option<Duration>,
    pub(crate) status_listen: Option<crate::StatusAddress>,
    /// Whether any of it was set by [`Settings`](crate::Settings), which may be of a file.
    pub(crate) has_settings: bool,
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
            too_early: Vec::new(),
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
        f.debug_struct("Args")
            .field("name", &self.data.name)
            .field("daemonize", &self.data.daemonize)
            .field("pid_path", &self.data.pid_path)
            .field("error_log_path", &self.data.error_log_path)
            .field("access_log_path", &self.data.access_log_path)
            .field("scoreboard_path", &self.data.scoreboard_path)
            .field("prefork", &self.data.prefork)
            .field("max_children", &self.data.max_children)
            .finish_non_exhaustive()
    }
}

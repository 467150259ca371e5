//! The arguments of `new`, as documented.

use std::{fmt, io::Write, os::fd::OwnedFd, path::PathBuf, time::Duration};

use crate::{Child, Init, Result};

pub(crate) type BeforeDaemonize = Box<dyn FnOnce() -> Result>;
pub(crate) type AfterInit<S> = Box<dyn FnOnce(&mut Init) -> Result<S>>;
pub(crate) type MainLoop<S> = Box<dyn FnMut(&mut Child, &S) -> Result>;
pub(crate) type BeforeShutdown = Box<dyn FnOnce() -> Result + Send>;

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
/// use std::net::TcpListener;
///
/// let args = Args::new()
///     .daemonize(false)
///     .prefork(4)
///     .after_init(|_init| Ok(TcpListener::bind("127.0.0.1:0")?))
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
    pub(crate) name: Option<String>,
    pub(crate) require_root: bool,
    pub(crate) daemonize: bool,
    pub(crate) error_log_path: Option<PathBuf>,
    pub(crate) error_log_handle: Option<OwnedFd>,
    pub(crate) access_log_path: Option<PathBuf>,
    pub(crate) access_log_handle: Option<Box<dyn Write>>,
    pub(crate) pid_path: Option<PathBuf>,
    pub(crate) scoreboard_path: Option<PathBuf>,
    pub(crate) scoreboard_in_memory: bool,
    pub(crate) prefork: u32,
    pub(crate) max_children: Option<u32>,
    pub(crate) min_spare: u32,
    pub(crate) max_spare: Option<u32>,
    pub(crate) start_timeout: Duration,
    pub(crate) graceful_timeout: Duration,
    pub(crate) before_daemonize: Option<BeforeDaemonize>,
    pub(crate) after_init: AfterInit<S>,
    pub(crate) main_loop: Option<MainLoop<S>>,
    pub(crate) main_loop_came_first: bool,
    pub(crate) before_shutdown: Option<BeforeShutdown>,
}

impl Args {
    /// Makes arguments with the documented defaults; [`main_loop`](Self::main_loop) is still
    /// required, and with [`daemonize`](Self::daemonize) on, which it is by default, so are the
    /// paths.
    pub fn new() -> Self {
        Self {
            name: None,
            require_root: false,
            daemonize: true,
            error_log_path: None,
            error_log_handle: None,
            access_log_path: None,
            access_log_handle: None,
            pid_path: None,
            scoreboard_path: None,
            scoreboard_in_memory: false,
            prefork: 3,
            max_children: None,
            min_spare: 1,
            max_spare: None,
            start_timeout: Duration::from_secs(60),
            graceful_timeout: Duration::from_secs(30),
            before_daemonize: None,
            after_init: Box::new(|_| Ok(())),
            main_loop: None,
            main_loop_came_first: false,
            before_shutdown: None,
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Args<S> {
    /// Sets the name of the daemon, shown in `ps` and in its log. Default: the file name of the
    /// program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Refuses to start when not running as root. Default off.
    pub fn require_root(mut self, require_root: bool) -> Self {
        self.require_root = require_root;
        self
    }

    /// Goes to the background, off the terminal. Default on.
    ///
    /// The program that was started returns from [`run`](crate::Prefork::run) once the daemon
    /// serves, or has failed to. With this off the caller becomes the parent, as container runtimes
    /// and service managers want it.
    pub fn daemonize(mut self, daemonize: bool) -> Self {
        self.daemonize = daemonize;
        self
    }

    /// Sets the file to which standard error goes, and with it the daemon's own messages. Required
    /// with [`daemonize`](Self::daemonize), unless [`error_log_handle`](Self::error_log_handle) is
    /// given.
    ///
    /// It is created with mode 0640 if it does not exist. A daemon's standard output goes there as
    /// well. A relative path is taken from the directory in which [`Prefork::new`] was called.
    ///
    /// [`Prefork::new`]: crate::Prefork::new
    pub fn error_log_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.error_log_path = Some(path.into());
        self
    }

    /// Sets an open file, pipe or socket in the place of [`error_log_path`](Self::error_log_path).
    pub fn error_log_handle(mut self, handle: impl Into<OwnedFd>) -> Self {
        self.error_log_handle = Some(handle.into());
        self
    }

    /// Sets the file to which [`Child::access_log`](crate::Child::access_log) writes. Required with
    /// [`daemonize`](Self::daemonize), unless [`access_log_handle`](Self::access_log_handle) is
    /// given. Without either, the lines go nowhere.
    ///
    /// It is created with mode 0640 if it does not exist.
    pub fn access_log_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.access_log_path = Some(path.into());
        self
    }

    /// Sets a writer in the place of [`access_log_path`](Self::access_log_path). Each child has its
    /// own copy; every line is written and flushed at once.
    pub fn access_log_handle(mut self, handle: impl Write + 'static) -> Self {
        self.access_log_handle = Some(Box::new(handle));
        self
    }

    /// Sets the file that holds the pid of the parent while it runs, and that keeps a second daemon
    /// from starting. Required with [`daemonize`](Self::daemonize).
    ///
    /// It is written with mode 0644 and removed on an orderly stop.
    pub fn pid_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_path = Some(path.into());
        self
    }

    /// Sets the file in which children tell the parent, and whoever may read it, what they are
    /// doing. Default none: then nothing is told, and the number of children stays at
    /// [`prefork`](Self::prefork).
    ///
    /// The format is that of the crate [`scoreboard`](crate::scoreboard). The file has mode 0600 and
    /// is removed on an orderly stop; choose a directory in memory, such as `/run`, that only the
    /// parent's user may write.
    pub fn scoreboard_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.scoreboard_path = Some(path.into());
        self
    }

    /// Keeps the scoreboard in memory, where nobody else can read it, instead of in a file. Default
    /// off.
    ///
    /// For pools that are to follow their load without a file.
    pub fn scoreboard_in_memory(mut self, in_memory: bool) -> Self {
        self.scoreboard_in_memory = in_memory;
        self
    }

    /// Sets the number of children that the pool starts with and comes back to, 0 to
    /// [`max_children`](Self::max_children). Default 3.
    ///
    /// With 0, [`main_loop`](Self::main_loop) runs in the parent itself: nothing is forked (see
    /// [`Prefork::run`](crate::Prefork::run)).
    pub fn prefork(mut self, children: u32) -> Self {
        self.prefork = children;
        self
    }

    /// Sets the number of children that is never exceeded, up to 65,536. Default 150.
    ///
    /// With a scoreboard the pool grows towards it when all children are busy, at once by as many as
    /// connections wait at the sockets of [`Init::listen`], and by doubling where that is not known.
    /// Children that were not needed for 10 s are retired, idle ones only, in growing steps a second
    /// apart, until there are [`prefork`](Self::prefork) again: from 150 to 3 in at most 20 s.
    /// Without a scoreboard the pool keeps its size; that is said at the start if this was set to
    /// more.
    pub fn max_children(mut self, children: u32) -> Self {
        self.max_children = Some(children);
        self
    }

    /// Sets how many children should be waiting for work at any time, up to
    /// [`max_children`](Self::max_children), as `MinSpareServers` does in Apache. Default 1: the pool
    /// grows when all are busy. Needs a scoreboard.
    pub fn min_spare(mut self, children: u32) -> Self {
        self.min_spare = children;
        self
    }

    /// Sets how many waiting children are not too many, at least [`min_spare`](Self::min_spare), as
    /// `MaxSpareServers` does in Apache. More are retired without waiting for calm, but never below
    /// [`prefork`](Self::prefork). Default none. Needs a scoreboard.
    pub fn max_spare(mut self, children: u32) -> Self {
        self.max_spare = Some(children);
        self
    }

    /// Sets how long the start may take, until every child is in its main loop. Default 60 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_timeout = limit;
        self
    }

    /// Sets how long children may take to finish the requests in hand when the daemon stops.
    /// Default 30 s.
    pub fn graceful_timeout(mut self, limit: Duration) -> Self {
        self.graceful_timeout = limit;
        self
    }

    /// Runs `hook` in the caller, before anything is opened or forked. Default none.
    ///
    /// If it fails, [`run`](crate::Prefork::run) fails.
    pub fn before_daemonize(mut self, hook: impl FnOnce() -> Result + 'static) -> Self {
        self.before_daemonize = Some(Box::new(hook));
        self
    }

    /// Runs `hook` in the parent, after the daemon has initialized itself (gone to the background,
    /// written its pid file, opened its logs), before children are started. This is the place to
    /// bind to sockets. Default none.
    ///
    /// What it returns is handed to every [`main_loop`](Self::main_loop). If it fails or panics, the
    /// start fails. Set it before `main_loop`, whose type depends on it.
    ///
    /// # Signals
    ///
    /// `SIGTERM`, `SIGINT`, `SIGQUIT` and `SIGCHLD` are blocked in the parent, and acted upon when
    /// the hook has returned. A program that the hook starts inherits that mask.
    pub fn after_init<T>(self, hook: impl FnOnce(&mut Init) -> Result<T> + 'static) -> Args<T> {
        Args {
            name: self.name,
            require_root: self.require_root,
            daemonize: self.daemonize,
            error_log_path: self.error_log_path,
            error_log_handle: self.error_log_handle,
            access_log_path: self.access_log_path,
            access_log_handle: self.access_log_handle,
            pid_path: self.pid_path,
            scoreboard_path: self.scoreboard_path,
            scoreboard_in_memory: self.scoreboard_in_memory,
            prefork: self.prefork,
            max_children: self.max_children,
            min_spare: self.min_spare,
            max_spare: self.max_spare,
            start_timeout: self.start_timeout,
            graceful_timeout: self.graceful_timeout,
            before_daemonize: self.before_daemonize,
            after_init: Box::new(hook),
            main_loop: None,
            main_loop_came_first: self.main_loop_came_first || self.main_loop.is_some(),
            before_shutdown: self.before_shutdown,
        }
    }

    /// Sets what each child does. Required.
    ///
    /// It runs once in each child, at its beginning; when it returns, the child ends, and another
    /// takes its place. An error or a panic is logged, and the child's exit status is 1 or 101.
    ///
    /// # Signals
    ///
    /// A loop that uses [`Child::accept`](crate::Child::accept) or another of the stopping methods
    /// is asked to leave, and leaves when it has finished what it has in hand. One that uses none
    /// of them is ended by `SIGTERM` wherever it is.
    ///
    /// # Fork
    ///
    /// Every child begins as a copy of the parent: with a copy of its random state too. Seed random
    /// generators here and not in `after_init`, or all children draw the same numbers; the order of
    /// a `HashMap` made with the standard hasher is the same in all of them. What `after_init`
    /// returned is not dropped in a child.
    pub fn main_loop(mut self, main_loop: impl FnMut(&mut Child, &S) -> Result + 'static) -> Self {
        self.main_loop = Some(Box::new(main_loop));
        self
    }

    /// Runs `hook` in the parent, once, before the children are asked to leave and the daemon shuts
    /// down, whatever the reason. Default none.
    ///
    /// An error or a panic is logged, and the daemon shuts down. With [`prefork`](Self::prefork) 0
    /// it runs on a thread beside the main loop, which is why it must be `Send`.
    pub fn before_shutdown(mut self, hook: impl FnOnce() -> Result + Send + 'static) -> Self {
        self.before_shutdown = Some(Box::new(hook));
        self
    }
}

impl<S> fmt::Debug for Args<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args")
            .field("name", &self.name)
            .field("require_root", &self.require_root)
            .field("daemonize", &self.daemonize)
            .field("error_log_path", &self.error_log_path)
            .field("access_log_path", &self.access_log_path)
            .field("pid_path", &self.pid_path)
            .field("prefork", &self.prefork)
            .field("max_children", &self.max_children)
            .finish_non_exhaustive()
    }
}

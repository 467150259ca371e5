//! The arguments that are plain data.

use std::{io::Write, os::fd::OwnedFd, path::PathBuf, time::Duration};

use prefork_reload::WatchList;

use super::Args;
use crate::LogLevel;

impl<S> Args<S> {
    /// Sets the name of the daemon, shown in `ps` and in its log. Default: the file name of the
    /// program.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.data.name = Some(name.into());
        self
    }

    /// Refuses to start when not running as root. Default off.
    pub fn require_root(mut self, require_root: bool) -> Self {
        self.data.require_root = require_root;
        self
    }

    /// Goes to the background, off the terminal. Default on.
    ///
    /// The program that was started returns from [`run`](crate::Prefork::run) once the daemon
    /// serves, or has failed to. With this off the caller becomes the parent, as container runtimes
    /// and service managers want it.
    pub fn daemonize(mut self, daemonize: bool) -> Self {
        self.data.daemonize = Some(daemonize);
        self
    }

    /// Sets the file to which standard error goes, and with it the daemon's own messages. Required
    /// with [`daemonize`](Self::daemonize), unless [`error_log_handle`](Self::error_log_handle) is
    /// given.
    ///
    /// It is created with mode 0640 if it does not exist. As root, it must be where nobody else can put a file
    /// in its place: see [security](crate::docs::security). A daemon's standard output goes there as
    /// well. A relative path is taken from the directory in which [`Prefork::new`] was called.
    ///
    /// `SIGUSR1` has all processes go over to a new file at this path: see [logs](crate::docs::logs).
    ///
    /// In the foreground it is standard error from then on: where a start fails after that, a program
    /// that prints the reason to standard error writes to this file, and not to the terminal.
    ///
    /// [`Prefork::new`]: crate::Prefork::new
    pub fn error_log_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.data.error_log_path = Some(path.into());
        self
    }

    /// Sets an open file, pipe or socket in the place of [`error_log_path`](Self::error_log_path).
    pub fn error_log_handle(mut self, handle: impl Into<OwnedFd>) -> Self {
        self.data.error_log_handle = Some(handle.into());
        self
    }

    /// Sets which of the daemon's own messages are logged: those that matter as much as `level`, or more. Default
    /// [`LogLevel::Info`].
    ///
    /// With the feature `tracing`, and a subscriber, that decides instead. All messages, with their levels: see
    /// [logs](crate::docs::logs#messages).
    pub const fn log_level(mut self, level: LogLevel) -> Self {
        self.data.log_level = Some(level);
        self
    }

    /// Sets the file to which [`Child::access_log`](crate::Child::access_log) writes. Required with
    /// [`daemonize`](Self::daemonize), unless [`access_log_handle`](Self::access_log_handle) is
    /// given. Without either, the lines go nowhere.
    ///
    /// It is created with mode 0640 if it does not exist. As root, it must be where nobody else can put a file
    /// in its place: see [security](crate::docs::security). `SIGUSR1` has each child go over to a new file at this path
    /// with its next line, though its user may not open it: see [logs](crate::docs::logs).
    pub fn access_log_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.data.access_log_path = Some(path.into());
        self
    }

    /// Sets a writer in the place of [`access_log_path`](Self::access_log_path). Each child has its
    /// own copy; every line is written and flushed at once.
    pub fn access_log_handle(mut self, handle: impl Write + 'static) -> Self {
        self.data.access_log_handle = Some(Box::new(handle));
        self
    }

    /// Sets the file that holds the pid of the parent while it runs, and that keeps a second daemon
    /// from starting. Required with [`daemonize`](Self::daemonize).
    ///
    /// It is written with mode 0644 and removed on an orderly stop. When somebody removes, replaces or
    /// overwrites it before, it is made again within a second. As root, in a directory of root's alone: see
    /// [security](crate::docs::security).
    pub fn pid_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.data.pid_path = Some(path.into());
        self
    }

    /// Sets the file in which children report to the parent, and to all who may read it, what they are
    /// doing. Default none: then nothing is reported, and the number of children stays at
    /// [`prefork`](Self::prefork).
    ///
    /// The format is that of the crate [`scoreboard`](crate::scoreboard). The file has mode 0600 and
    /// is removed on an orderly stop. Truncating it ends every child at its next report, and the
    /// parent lives on and replaces them. With [`prefork`](Self::prefork) 0 the daemon itself writes to the
    /// file through memory, and would be ended too. Choose a directory in memory, such as `/run`, that only the
    /// parent's user may write; as root, no other is taken.
    pub fn scoreboard_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.data.scoreboard_path = Some(path.into());
        self
    }

    /// Keeps the scoreboard in memory, where nobody else can read it, instead of in a file. Default
    /// off.
    ///
    /// For pools that are to follow their load without a file.
    pub fn scoreboard_in_memory(mut self, in_memory: bool) -> Self {
        self.data.scoreboard_in_memory = in_memory;
        self
    }

    /// Serves a page of what the daemon does at this address: `127.0.0.1:9000`, or the path of a UNIX socket.
    /// Default none.
    ///
    /// `/status` is for people, `/status.json` for programs (as is `/status` for those who accept only
    /// JSON), `/metrics` for Prometheus, in the OpenMetrics format; see [the crate's
    /// documentation](crate#the-status-page). What children do is on it with a
    /// [scoreboard](Self::scoreboard_path) only.
    ///
    /// Only loopback addresses are taken, as there is neither encryption nor a password: all who can
    /// connect can read. A UNIX socket has mode 0600 unless [`StatusAddress::mode`] says otherwise, and is
    /// removed at an orderly stop. A process of its own serves the page, as the user of the children; it
    /// is replaced when it ends.
    ///
    /// With [`prefork`](Self::prefork) 0 this is refused: where the main loop may start threads, no process
    /// can be forked. Without the feature `status` of this crate it is refused too.
    ///
    /// [`StatusAddress::mode`]: crate::StatusAddress::mode
    pub fn status_listen(mut self, address: impl Into<crate::StatusAddress>) -> Self {
        self.data.status_listen = Some(address.into());
        self
    }

    /// Sets the number of children that the pool starts with and comes back to, 0 to
    /// [`max_children`](Self::max_children). Default 3.
    ///
    /// With 0, [`main_loop`](Self::main_loop) runs in the parent itself: nothing is forked (see
    /// [`Prefork::run`](crate::Prefork::run)). Arguments that are about children would do nothing then, and are
    /// refused unless they only repeat their default: the other numbers of children, the limits for a child,
    /// [`request_timeout`](Self::request_timeout) with [`on_timeout`](Self::on_timeout),
    /// [`on_child_exit`](Self::on_child_exit), [`on_client_disconnect`](Self::on_client_disconnect),
    /// [`auto_reload_check_every`](Self::auto_reload_check_every) and `status_listen`.
    pub fn prefork(mut self, children: u32) -> Self {
        self.data.prefork = Some(children);
        self
    }

    /// Lets the processes that children start live on when these have ended. Default off.
    ///
    /// Off, all that a child has started is killed within a second of its end, whether it crashed, was retired or
    /// replaced: its children, theirs, those in sessions of their own, and those that have forked away from it
    /// (see [the guide to signals](crate::docs::signals#what-children-start)). The daemon's end waits for theirs, so
    /// that none of them keeps a port or a lock from the next start. Turn it on if children start programs on
    /// purpose that are to outlive them.
    pub fn keep_descendants(mut self, keep_descendants: bool) -> Self {
        self.data.keep_descendants = keep_descendants;
        self
    }

    /// Sets the number of children that is never exceeded, up to 65,536, but for those that stand in
    /// for others that are being replaced ([`max_unavailable`](Self::max_unavailable)). Default 150.
    ///
    /// With a scoreboard the pool grows towards it when all children are busy, at once by as many as
    /// connections wait at the sockets of [`Init::listen`](crate::Init::listen), and by doubling where that is not known.
    /// Children that were not needed for 10 s are retired, idle ones only, in growing steps a second
    /// apart, until there are [`prefork`](Self::prefork) again: from 150 to 3 in at most 20 s.
    /// Children say what they do by [`Child::accept`](crate::Child::accept), or by
    /// [`busy`](crate::Child::busy) and [`idle`](crate::Child::idle); those that never say anything
    /// count as waiting. Without a scoreboard the pool keeps its size; that is said at the start if this was set to
    /// more.
    pub fn max_children(mut self, children: u32) -> Self {
        self.data.max_children = Some(children);
        self
    }

    /// Sets how many children should be waiting for work at any time, up to
    /// [`max_children`](Self::max_children), as `MinSpareServers` does in Apache. Default 1: the pool
    /// grows when all are busy. Needs a scoreboard.
    pub fn min_spare(mut self, children: u32) -> Self {
        self.data.min_spare = Some(children);
        self
    }

    /// Sets how many waiting children are not too many, at least [`min_spare`](Self::min_spare), as
    /// `MaxSpareServers` does in Apache. More are retired without waiting for calm, but never below
    /// [`prefork`](Self::prefork). Default none. Needs a scoreboard.
    pub fn max_spare(mut self, children: u32) -> Self {
        self.data.max_spare = Some(children);
        self
    }

    /// Sets how long the start may take, until every child is in its main loop; longer than 0. Default 60 s.
    ///
    /// As long may each child take that is started later, a new program to show that it works, and a reload to read the
    /// settings.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.data.start_timeout = Some(limit);
        self
    }

    /// Sets how long children may take to finish the requests in hand when the daemon stops, whether or not they were
    /// being replaced. Default 30 s.
    ///
    /// Those that take longer are named in the log, interrupted, and then killed. While the daemon serves on,
    /// [`reload_timeout`](Self::reload_timeout) is what counts.
    pub fn graceful_timeout(mut self, limit: Duration) -> Self {
        self.data.graceful_timeout = Some(limit);
        self
    }

    /// Sets how long a child that is replaced may take to finish the request in hand while the daemon serves on; longer
    /// than 0. Default none: as long as it takes, so that a reload loses nothing.
    ///
    /// It is about reloads, upgrades, and children that are too old, too large or too many. One that takes longer is
    /// named in the log with its request and client, interrupted, and then killed. Without it an old child may be
    /// there for long, beside its successor; [`request_timeout`](Self::request_timeout) holds for it as for others, and
    /// nobody waits for it.
    pub fn reload_timeout(mut self, limit: Duration) -> Self {
        self.data.reload_timeout = Some(limit);
        self
    }

    /// Sets how long each call of a hook may take that is made while there are children; longer than 0. Default
    /// 30 s.
    ///
    /// It is about [`ready`](Self::ready), [`on_child_exit`](Self::on_child_exit),
    /// [`on_timeout`](Self::on_timeout), [`auto_reload_handler`](Self::auto_reload_handler),
    /// [`on_client_disconnect`](Self::on_client_disconnect) and [`before_shutdown`](Self::before_shutdown). A call
    /// that takes longer is ended by `SIGKILL`, that is logged, and the daemon goes on as if it had returned. A stop
    /// takes up to this time longer for `before_shutdown`, and as much for `on_child_exit` after the last child.
    pub fn hook_timeout(mut self, limit: Duration) -> Self {
        self.data.hook_timeout = Some(limit);
        self
    }

    /// Sets how many successors may be started at a time for children that are to be replaced, 1 to
    /// [`max_children`](Self::max_children): so many more than that there can be meanwhile. Default: a
    /// quarter of [`prefork`](Self::prefork), at least 1.
    ///
    /// On a reload, and when a child is to be replaced for any other reason while it still serves, a
    /// new child must be in its main loop before the old one is asked to leave. With a scoreboard those that have nothing
    /// to do are asked first. An old one that is asked finishes its request, and holds up nobody else. Where there is
    /// no room for a successor, as old children at work have taken it all, or the system gives no more processes, an
    /// old child leaves first.
    pub fn max_unavailable(mut self, children: u32) -> Self {
        self.data.max_unavailable = Some(children);
        self
    }

    /// Replaces a child once it has served about so many requests, at least 1, give or take a
    /// tenth so that children of one age do not all go at once. Default none.
    ///
    /// Requests are counted by [`Child::accept`](crate::Child::accept) and
    /// [`Child::busy`](crate::Child::busy). The child goes on serving until its successor does.
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.data.max_requests = Some(requests);
        self
    }

    /// Replaces a child once it is about so old, give or take a tenth. Default none.
    pub fn max_lifetime(mut self, limit: Duration) -> Self {
        self.data.max_lifetime = Some(limit);
        self
    }

    /// Replaces a child once it has more than so many bytes of memory resident, shared memory
    /// included, at the end of a request. Default none.
    ///
    /// See `resident` in `proc_pid_statm(5)`.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.data.max_memory = Some(bytes);
        self
    }

    /// Looks so often whether watched files have changed, and has
    /// [`auto_reload_handler`](Self::auto_reload_handler) see to it when they have. Default never.
    ///
    /// What is watched is the program, or what [`auto_reload_watch`](Self::auto_reload_watch) says. Where the
    /// kernel reports changes (`inotify(7)`) they are noticed at once, and the interval is for the rest, such
    /// as network file systems. Files must have been at rest for 200 ms.
    pub fn auto_reload_check_every(mut self, interval: Duration) -> Self {
        self.data.auto_reload_check_every = Some(interval);
        self
    }

    /// Sets which files are watched, in the place of the program: see
    /// [`WatchList`]. Needs
    /// [`auto_reload_check_every`](Self::auto_reload_check_every).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, OnChange, WatchList};
    /// use std::time::Duration;
    ///
    /// let mut list = WatchList::new();
    /// list.file("/etc/hello.conf")?.glob("/etc/hello.d/*.conf")?;
    /// let args = Args::new()
    ///     .auto_reload_check_every(Duration::from_secs(5))
    ///     .auto_reload_watch(list)
    ///     .auto_reload_handler(OnChange::Reload);
    /// # drop(args);
    /// # Ok::<(), prefork::reload::WatchError>(())
    /// ```
    pub fn auto_reload_watch(mut self, list: WatchList) -> Self {
        self.data.auto_reload_watch = Some(list);
        self
    }

    /// Sets within what time it is noticed that the client of a child at work has gone, at least 50 ms.
    /// Default 2 s. Needs [`on_client_disconnect`](Self::on_client_disconnect).
    ///
    /// A look costs the parent one question to the kernel for each child at work, as long as all of them say which connection they have in
    /// hand; else as much as it takes to read all TCP connections of the host. The parent spends a fifth of its time on it
    /// at most: where that is not enough, clients are noticed later, and a warning says how much.
    pub fn netwatch_interval(mut self, interval: Duration) -> Self {
        self.data.netwatch_interval = Some(interval);
        self
    }

    /// Ends a child that is at work on one request for longer than this. Default never. Needs a
    /// scoreboard.
    ///
    /// What it was doing is logged, [`on_timeout`](Self::on_timeout) is run, the child is sent
    /// `SIGABRT`, which leaves a core dump where those are enabled, and a second later `SIGKILL`. Its
    /// successor is started at once. [`Child::extend_deadline`](crate::Child::extend_deadline) asks
    /// for more time. A parent that was stopped itself gives everybody the whole time again.
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.data.request_timeout = Some(limit);
        self
    }
}

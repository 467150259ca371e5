//! The arguments that are code.

use super::Args;
use crate::{AutoReloadHandler, ChildExit, DisconnectHandler, HungChild, Init, Result};

impl Args {
    /// Runs `hook` in the parent, after the daemon has initialized itself (gone to the background,
    /// written its pid file, opened its logs), before children are started. This is the place to
    /// bind to sockets. Default none.
    ///
    /// What it returns is handed to the [`main_loop`](Self::main_loop), `child_init` and `child_exit` that are set after it. (Those
    /// that are set before are handed `()`, as they take nothing else.) If it fails or panics, the start fails.
    ///
    /// # Signals
    ///
    /// The signals that the parent answers to are blocked in it, and acted upon when the hook has
    /// returned. A program that the hook starts inherits that mask.
    ///
    /// # Examples
    ///
    /// A main loop that takes what the hook returns comes after it, or the program does not compile:
    ///
    /// ```compile_fail,E0631
    /// use prefork::{Args, Listener};
    ///
    /// let args = Args::new()
    ///     .main_loop(|child, listener: &Listener| Ok(()))
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?));
    /// ```
    pub fn after_init<T>(mut self, hook: impl FnOnce(&mut Init) -> Result<T> + 'static) -> Args<T> {
        self.data.has_after_init = true;
        Args {
            data: self.data,
            before_daemonize: self.before_daemonize,
            after_init: Box::new(hook),
            parent_hooks: self.parent_hooks,
            body: self.body.whatever_is_returned(),
        }
    }
}

impl<S> Args<S> {
    /// Says which permissions the files of UNIX sockets among the addresses of [`listens_at`](Self::listens_at) are to have, as
    /// [`Init::listen_unix_with_mode`](crate::Init::listen_unix_with_mode) takes them. Default: those that the mask of the process leaves.
    pub const fn listens_with_mode(mut self, mode: u32) -> Self {
        self.data.listen_mode = Some(mode);
        self
    }

    /// Runs `hook` in the caller, before anything is opened or forked. Default none.
    ///
    /// If it fails, [`run`](crate::Prefork::run) fails.
    pub fn before_daemonize(mut self, hook: impl FnOnce() -> Result + 'static) -> Self {
        self.before_daemonize = Some(Box::new(hook));
        self
    }

    /// Runs `hook` once, when every first child is in its main loop, before the launcher and the service
    /// manager learn of it. Default none.
    ///
    /// An error or a panic is logged, and the daemon serves; so it does after
    /// [`hook_timeout`](Self::hook_timeout).
    ///
    /// # Fork
    ///
    /// It runs in a process of its own, forked from the parent and with its rights: what it changes in memory is lost
    /// with that. With [`prefork`](Self::prefork) 0 it runs before the main loop, on its thread and without a limit.
    pub fn ready(mut self, hook: impl FnOnce() -> Result + 'static) -> Self {
        self.parent_hooks.ready = Some(Box::new(hook));
        self
    }

    /// Runs `hook` whenever a child has ended and was reaped. Default none.
    ///
    /// An error or a panic is logged. The last calls delay the end of the daemon, and an upgrade, by up to
    /// [`hook_timeout`](Self::hook_timeout) altogether. If 1000 calls wait, as the hook is too slow, further ones are
    /// left out, and that is logged.
    ///
    /// # Fork
    ///
    /// It runs in a process of its own, forked from the parent and with its rights, one call after the other: what it
    /// changes in memory is lost with that process, perhaps not before the next call. The parent goes on meanwhile and
    /// replaces the child, but not in the same slot before the call is over, for
    /// [`hook_timeout`](Self::hook_timeout) at most: what is found by the slot is that child's.
    pub fn on_child_exit(mut self, hook: impl FnMut(&ChildExit) -> Result + 'static) -> Self {
        self.parent_hooks.on_child_exit = Some(Box::new(hook));
        self
    }

    /// Runs `hook` when a child was at work on one request for longer than
    /// [`request_timeout`](Self::request_timeout), before the child is ended. Default none. Needs that limit.
    ///
    /// What the child waits for was logged before, as without a hook. It still lives and can be examined. It is ended when the hook has returned, failed or panicked, or after
    /// [`hook_timeout`](Self::hook_timeout), if it is still at the same request.
    ///
    /// # Fork
    ///
    /// It runs in a process of its own, forked from the parent and with its rights: what it changes in memory is lost
    /// with that.
    pub fn on_timeout(mut self, hook: impl FnMut(&HungChild) -> Result + 'static) -> Self {
        self.parent_hooks.on_timeout = Some(Box::new(hook));
        self
    }

    /// Sets what the daemon does when watched files have changed and come to rest. Required with
    /// [`auto_reload_check_every`](Self::auto_reload_check_every).
    ///
    /// [`OnChange::Upgrade`](crate::OnChange::Upgrade) becomes the new program,
    /// [`OnChange::Reload`](crate::OnChange::Reload) replaces the children. A closure gets what has
    /// changed, and returns one of these; an error or a panic is logged, and nothing is done, as when it takes longer
    /// than [`hook_timeout`](Self::hook_timeout).
    ///
    /// # Fork
    ///
    /// A closure runs in a process of its own, forked from the parent and with its rights: what it changes in memory is
    /// lost with that.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Changes, OnChange};
    /// use std::time::Duration;
    ///
    /// let every = Duration::from_secs(1);
    /// let args = Args::new()
    ///     .auto_reload_check_every(every)
    ///     .auto_reload_handler(OnChange::Upgrade);
    /// # drop(args);
    /// // Or, to look at what has changed first:
    /// let args = Args::new().auto_reload_check_every(every).auto_reload_handler(
    ///     |changes: &Changes| {
    ///         let is_settings = changes.concern("/etc/hello.toml".as_ref());
    ///         Ok(if is_settings { OnChange::Reload } else { OnChange::Upgrade })
    ///     },
    /// );
    /// # drop(args);
    /// ```
    pub fn auto_reload_handler(mut self, handler: impl AutoReloadHandler) -> Self {
        self.parent_hooks.auto_reload_handler = Some(handler.into_handler());
        self.data.settings.auto_reload_handler = None;
        self.data.settings.origins.remove("auto_reload_handler");
        self
    }

    /// Sets what is done when a client has gone while a child works for it. Default nothing. Needs a
    /// scoreboard, which says who is at work, and sockets of [`Init::listen`](crate::Init::listen) or
    /// [`Init::listen_unix`](crate::Init::listen_unix).
    ///
    /// [`OnDisconnect::Cancel`](crate::OnDisconnect::Cancel) cancels the job in the child. A closure is given
    /// the client and returns what is to be done; an error or a panic is logged, and nothing is done.
    ///
    /// That a client has gone is noticed within a [`netwatch_interval`](Self::netwatch_interval), whenever it goes: the parent
    /// looks while children are at work, and not at all while none is. Each connection is reported once:
    ///
    /// - [`Seen::PeerClosed`](crate::Seen::PeerClosed): the client sends no more. It has closed the
    ///   connection, or only its own side of it and still waits for the answer: TCP does not show which.
    ///   Leave such clients alone where they are to be expected.
    /// - [`Seen::Gone`](crate::Seen::Gone): the connection is no more, by a reset for example.
    ///
    /// Which client a child works for depends on how the connection was accepted:
    ///
    /// | accepted | the client is that of |
    /// | --- | --- |
    /// | by [`Child::accept`](crate::Child::accept) | the last connection that it has returned, until [`Child::idle`](crate::Child::idle) or the next call |
    /// | otherwise, with [`Child::busy`](crate::Child::busy) when a request begins | the only connection that the process holds then of those that were accepted from its listening sockets. Looking for it costs each request a reading of `/proc/self/fd` |
    /// | otherwise, where it holds several, has more than 128 descriptors open, or has closed the listening socket | any connection that it holds. Over TCP, one that is reset before the parent has seen it is not noticed |
    ///
    /// A connection that the child itself has closed is not reported, nor one that it has shut down before its client went.
    /// The parent must be allowed to look at
    /// the descriptors of its children: as root, with `CAP_SYS_PTRACE` where they have another
    /// [`user`](Self::user) and a container limits the capabilities; else that is logged.
    ///
    /// # Fork
    ///
    /// A closure runs in a process of its own, forked from the parent and with its rights, so that the
    /// parent goes on however long it takes; after [`hook_timeout`](Self::hook_timeout) it is killed. What it changes in
    /// memory is lost with it. Clients that go meanwhile wait their turn.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Disconnect, OnDisconnect, Seen};
    ///
    /// let args = Args::new()
    ///     .scoreboard_path("/run/hello.board")
    ///     .on_client_disconnect(OnDisconnect::Cancel);
    /// # drop(args);
    /// // Or, to leave those alone who may still wait for the answer:
    /// let args = Args::new().scoreboard_path("/run/hello.board").on_client_disconnect(
    ///     |client: &Disconnect| {
    ///         let is_gone = client.seen == Seen::Gone;
    ///         Ok(if is_gone { OnDisconnect::Cancel } else { OnDisconnect::Nothing })
    ///     },
    /// );
    /// # drop(args);
    /// ```
    pub fn on_client_disconnect(mut self, handler: impl DisconnectHandler) -> Self {
        self.parent_hooks.on_client_disconnect = Some(handler.into_handler());
        self.data.settings.on_client_disconnect = None;
        self.data.settings.origins.remove("on_client_disconnect");
        self
    }

    /// Has `hook` report how many jobs wait elsewhere than at a socket, and that no child has taken yet: the length of a
    /// queue. Default none. Needs a scoreboard.
    ///
    /// The pool grows for jobs that wait as it does for connections ([`max_children`](Self::max_children)), together with
    /// those: by as many as are missing, divided by [`concurrency`](Self::concurrency). It shrinks as always, when children
    /// were not needed for the [`calm_time`](Self::calm_time). So it is for workers that fetch their jobs from a database or
    /// a broker, where it is not known otherwise what waits. Jobs in hand are not to be counted.
    ///
    /// It is asked every [`demand_every`](Self::demand_every) while the daemon serves. In between, jobs that children have
    /// taken since count as taken, as they report it ([`Child::busy`](crate::Child::busy)). Where no child reports what it
    /// does, all count as busy while jobs wait, and the pool shrinks only if they look whether they are to leave
    /// ([`Child::should_stop`](crate::Child::should_stop)).
    ///
    /// An error or a panic is logged, once until it works again, as is a call that takes longer than
    /// [`hook_timeout`](Self::hook_timeout) or ends its process. The last number counts for three intervals, and then it is
    /// not known how many jobs wait. The number is on the scoreboard and on the page of
    /// [`status_listen`](Self::status_listen).
    ///
    /// # Fork
    ///
    /// It runs in a process of its own, forked from the parent and with the rights of a child, for all calls: connections
    /// that it opens and keeps stay open from call to call. What was opened before the fork is shared with the parent and
    /// all children. A process that has ended, or was ended for taking too long, is forked again with the next call, and so
    /// it is when logs are opened again or a reload has read settings. What it has started is killed with it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new()
    ///     .scoreboard_in_memory(true)
    ///     .max_children(20)
    ///     .demand(|| Ok(u32::try_from(std::fs::read_dir("/var/spool/jobs")?.count())?));
    /// # drop(args);
    /// ```
    pub fn demand(mut self, hook: impl FnMut() -> Result<u32> + 'static) -> Self {
        self.parent_hooks.demand = Some(Box::new(hook));
        self
    }

    /// Runs `hook` once, before the children are asked to leave and the daemon shuts down, whatever the reason.
    /// Default none.
    ///
    /// The children serve meanwhile. An error or a panic is logged, and the daemon shuts down, as it does after
    /// [`hook_timeout`](Self::hook_timeout). The log says when the stop waits for it; `SIGINT` or `SIGQUIT` ends that.
    ///
    /// # Fork
    ///
    /// It runs in a process of its own, forked from the parent and with its rights: what it changes in memory is lost
    /// with that. With [`prefork`](Self::prefork) 0 it runs on a thread beside the main loop, which is why it must be
    /// `Send`; one that takes too long is left behind, and ends with the process.
    pub fn before_shutdown(mut self, hook: impl FnOnce() -> Result + Send + 'static) -> Self {
        self.parent_hooks.before_shutdown = Some(Box::new(hook));
        self
    }
}

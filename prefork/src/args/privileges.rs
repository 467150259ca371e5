//! The arguments for the user of the children, and for what they may use.

use super::Args;

impl<S> Args<S> {
    /// Sets the user that children run as, by name or by number. Default: the one of the parent.
    ///
    /// The parent stays root: it opens the logs, writes the pid file and the scoreboard and runs
    /// [`after_init`](Self::after_init), where a socket below port 1024 can be bound, and all that
    /// keeps its owner. A child changes its user before any code of the program runs in it. It takes
    /// the user's primary [`group`](Self::group) and
    /// [`supplementary_groups`](Self::supplementary_groups) too, unless others are given. What the
    /// kernel then says the child is gets compared with what was asked for, and a user other than
    /// root must not be able to become root again; a child of which anything of that is not true
    /// ends before it serves, and the reason is in the error log.
    ///
    /// Users and groups are looked up once, in [`Prefork::new`](crate::Prefork::new). It fails if
    /// there is no such user, and unless this process is root, with the capabilities `CAP_SETUID`,
    /// `CAP_SETGID` and `CAP_KILL` where a container or service limits them (see
    /// `capabilities(7)`); without the last one the parent could not stop its children, nor would
    /// they end with it. Nobody needs root to ask for what the process is already. A number that
    /// has no entry in the user database needs an explicit `group`. `root` is allowed, and changes
    /// nothing for a root that has its usual groups. In a user namespace the ids must be mapped (see
    /// `user_namespaces(7)`).
    ///
    /// With [`prefork`](Self::prefork) 0 it is the daemon's one process that changes, when
    /// `after_init` has returned. It may then not be able to remove its pid file; a stale one does
    /// not hinder the next start.
    ///
    /// # Fork
    ///
    /// A child inherits what is open and in memory: close and overwrite in `after_init` what only
    /// root may know. Its environment stays as well, `HOME` included. A child that has changed its
    /// user is not dumpable (see `PR_SET_DUMPABLE` in `prctl(2)`), so that nobody but root can trace
    /// it, read its memory or list its descriptors; it leaves no core dump unless `fs.suid_dumpable`
    /// allows one, and cannot open the log by `/dev/stderr`, but only write to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    ///
    /// let args = Args::new()
    ///     .user("www-data")
    ///     .umask(0o027)
    ///     .no_new_privs(true)
    ///     .after_init(|init| Ok(init.listen("0.0.0.0:80")?));
    /// # drop(args);
    /// ```
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.data.privileges.user = Some(user.into());
        self
    }

    /// Sets the group that children run as, by name or by number. Default: the primary group of
    /// [`user`](Self::user), or that of the parent if no user is given.
    ///
    /// [`Prefork::new`](crate::Prefork::new) fails if there is no such group, and unless this
    /// process is root with the capability `CAP_SETGID`. A user that stays root can take any group
    /// again: a group alone confines nobody.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.data.privileges.group = Some(group.into());
        self
    }

    /// Sets the supplementary groups that children have, by name or by number; none if the list is
    /// empty. Default: with [`user`](Self::user), the groups of that user in the group database, as
    /// `initgroups(3)` sets them; without, those of the parent.
    ///
    /// [`Prefork::new`](crate::Prefork::new) fails if there is no such group, and unless this
    /// process is root with the capability `CAP_SETGID`. The database is asked once, when the daemon
    /// starts: later changes of its members count from the next start on.
    pub fn supplementary_groups<G: Into<String>>(
        mut self,
        groups: impl IntoIterator<Item = G>,
    ) -> Self {
        self.data.privileges.supplementary_groups =
            Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the file mode creation mask of children, 0 to 0o777, in octal: `0o027` keeps files that
    /// children make from everybody else. Default: that of the parent, which is `0o022` with
    /// [`daemonize`](Self::daemonize), and without it the one that the program was started with.
    ///
    /// The files of the daemon itself have the modes that are documented with them, whatever the
    /// mask (see `umask(2)`).
    pub fn umask(mut self, mask: u32) -> Self {
        self.data.privileges.umask = Some(mask);
        self
    }

    /// Keeps children, and all that they start, from gaining privileges by executing set-user-ID
    /// programs and files with capabilities, for good (see `PR_SET_NO_NEW_PRIVS` in `prctl(2)`).
    /// Default off.
    ///
    /// Needs no root. `sudo`, `su` and an old-style `ping` do not work in the children any more.
    pub fn no_new_privs(mut self, no_new_privs: bool) -> Self {
        self.data.privileges.no_new_privs = no_new_privs;
        self
    }

    /// Sets how many descriptors each child may have open, as both the soft and the hard limit
    /// (`RLIMIT_NOFILE`, see `getrlimit(2)`); 16 to the system's `fs.nr_open`, which is 1,048,576
    /// unless changed. Default: the limits that the daemon was started with.
    ///
    /// It is set before the change of [`user`](Self::user). [`Prefork::new`](crate::Prefork::new)
    /// fails if it is above the hard limit of this process, unless that is root with the capability
    /// `CAP_SYS_RESOURCE`. Code that uses `select(2)` breaks with descriptors above 1,023.
    pub fn rlimit_nofile(mut self, descriptors: u64) -> Self {
        self.data.privileges.rlimit_nofile = Some(descriptors);
        self
    }

    /// Makes the parent what its children are, once it has written its pid file and
    /// [`after_init`](Self::after_init) has bound its sockets. Default off. Needs [`user`](Self::user),
    /// [`group`](Self::group) or [`supplementary_groups`](Self::supplementary_groups).
    ///
    /// A parent that has done so can no longer remove its files from directories that its new user
    /// may not write, nor make its pid file again or reopen logs there; and a daemon that is started as
    /// root refuses directories that it may write. Nothing keeps a child that was taken over from
    /// harming it. Without it the parent keeps its rights and shares nothing with its children that
    /// it trusts.
    pub fn drop_parent(mut self, drop_parent: bool) -> Self {
        self.data.drop_parent = drop_parent;
        self
    }
}

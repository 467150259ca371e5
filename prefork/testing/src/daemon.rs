//! A daemon that runs.

use std::{
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    Change, Chaos, Child, Clients, End, Launch, Load, LogLine, PATIENCE, Reply, Signal,
    SilentClients, child, http, launch, notices::Notices, places::Places, proc, reaper, report,
    signal::for_kernel, wait::holds_within, wait_until,
};

/// A daemon that was started, a process of its own.
///
/// When it is dropped, it is killed with all that it has started, and all of it is reaped; so it is if the test
/// panics, and then what its processes were and the end of its log are printed first, and its directory is kept. When the test program
/// itself is killed, the kernel kills a daemon in the foreground.
#[derive(Debug)]
pub struct Daemon {
    places: Places,
    notices: Notices,
    /// What all its processes have in their environment.
    mark: String,
    command: String,
    /// The processes that are to be reaped; the last one is the daemon.
    pids: Vec<u32>,
    /// Children that a reload or an upgrade has replaced, as long as they are there.
    outgoing: Mutex<Vec<u32>>,
}

impl Daemon {
    /// Starts a program with arguments, and waits until it is ready: [`Launch`] says what arguments can have.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be started, ends, or is not ready within 20 s.
    #[must_use]
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Launch::new(program).args(args).start()
    }

    pub(crate) fn new(places: Places, notices: Notices, mark: String, command: String) -> Self {
        Self { places, notices, mark, command, pids: Vec::new(), outgoing: Mutex::default() }
    }

    pub(crate) fn set_pid(&mut self, pid: u32) {
        self.pids.push(pid);
    }

    /// Takes in the daemon that a launcher has left.
    pub(crate) fn adopt(&mut self, pid: u32) {
        reaper::adopt(pid);
        self.pids.push(pid);
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Returns the pid of its parent process.
    ///
    /// # Panics
    ///
    /// Never for a daemon that [`Launch`] has returned.
    #[must_use]
    pub fn pid(&self) -> u32 {
        *self.pids.last().expect("it was started")
    }

    /// Returns the address that `{address}` has become.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_of("")
    }

    /// Returns the address that `{address:NAME}` has become.
    ///
    /// # Panics
    ///
    /// Panics if the name is new and there is no port left.
    #[must_use]
    pub fn address_of(&self, name: &str) -> SocketAddr {
        self.places.address(name)
    }

    /// Returns the path that `{path:NAME}` has become.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.places.path(name)
    }

    /// Returns its children that are alive, by slot; by pid where `{board}` was not used. Those that leave come last.
    ///
    /// The processes of hooks and of the status page are none. Of a daemon of several pools, all are listed that its pools
    /// have, by pid.
    #[must_use]
    pub fn children(&self) -> Vec<Child> {
        child::children(self.pid(), &self.places.path("board"), &mut self.outgoing())
    }

    fn outgoing(&self) -> MutexGuard<'_, Vec<u32>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which children a change has replaced.
    pub(crate) fn have_left(&self, children: Vec<u32>) {
        self.outgoing().extend(children);
    }

    /// Waits until it has exactly so many children.
    ///
    /// # Panics
    ///
    /// Panics after 20 s.
    #[track_caller]
    pub fn wait_for_children(&self, count: usize) {
        wait_until(PATIENCE, &format!("there are {count} children"), || {
            self.children().len() == count
        });
    }

    /// Waits until a child has gone, and there are as many children as when it was looked at, or more. Children that leave
    /// do not count.
    ///
    /// # Panics
    ///
    /// Panics after 20 s.
    #[track_caller]
    pub fn wait_for_replacement(&self, child: &Child) {
        wait_until(PATIENCE, &format!("child {} is replaced", child.pid), || {
            let children = self.children();
            let staying = children.iter().filter(|other| !other.is_leaving()).count();
            staying >= child.among && children.iter().all(|other| other.pid != child.pid)
        });
    }

    /// Kills the `n`-th of its [`children`](Self::children), counted from 0, and returns which it was.
    ///
    /// # Panics
    ///
    /// Panics if it has no such child.
    #[track_caller]
    pub fn kill(&self, n: usize) -> Child {
        let child = self.child(n);
        assert!(self.signal_child(&child, Signal::Kill), "child {} has gone by itself", child.pid);
        child
    }

    /// Stops the `n`-th of its children by `SIGSTOP`, so that it does nothing any more, and returns which it was.
    /// [`resume`](Self::resume) lets it go on.
    ///
    /// # Panics
    ///
    /// Panics if it has no such child.
    #[track_caller]
    pub fn hang(&self, n: usize) -> Child {
        let child = self.child(n);
        assert!(self.signal_child(&child, Signal::Stop), "child {} has gone by itself", child.pid);
        let is_stopped =
            || proc::find(child.pid).is_none_or(|it| !matches!(it.state, 'R' | 'S' | 'D'));
        wait_until(PATIENCE, &format!("child {} is stopped", child.pid), is_stopped);
        child
    }

    /// Lets a child go on that hangs; returns whether it was still there.
    pub fn resume(&self, child: &Child) -> bool {
        self.signal_child(child, Signal::Cont)
    }

    /// Sends a signal to a child; returns whether it is still a child of this daemon.
    pub fn signal_child(&self, child: &Child, signal: Signal) -> bool {
        let is_ours = || {
            proc::find(child.pid).is_some_and(|process| {
                !process.is_zombie() && child::parents(self.pid()).contains(&process.parent)
            })
        };
        reaper::signal_if(child.pid, for_kernel(signal), is_ours)
    }

    #[track_caller]
    fn child(&self, n: usize) -> Child {
        let mut children = self.children();
        assert!(n < children.len(), "there is no child {n}, but {} children", children.len());
        children.swap_remove(n)
    }

    /// Lets `n` clients ask for `path` and read nothing of the answer, until what is returned is dropped. A long answer then
    /// fills what the kernel keeps of it, and the child waits.
    ///
    /// # Panics
    ///
    /// Panics if they cannot connect.
    #[track_caller]
    pub fn stop_reading(&self, n: usize, path: &str) -> SilentClients {
        SilentClients::ask(n, self.address(), path, PATIENCE)
    }

    /// Sends its parent process a signal.
    ///
    /// # Panics
    ///
    /// Panics if it has ended.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(self.try_signal(signal), "the daemon has ended: {:?}", self.end());
    }

    /// Our own child, not reaped by anybody else: nobody can have its pid.
    fn try_signal(&self, signal: Signal) -> bool {
        self.end().is_none() && reaper::signal_if(self.pid(), for_kernel(signal), || true)
    }

    /// Asks it to reload, as `SIGHUP` does: to read its settings again, and to replace all children.
    ///
    /// # Panics
    ///
    /// Panics if it has ended, or a reload or an upgrade goes on.
    #[track_caller]
    pub fn reload(&self) -> Change<'_> {
        self.change("the reload", Signal::Hup)
    }

    /// Puts another program in the place of its own, and asks it to become that, as `SIGUSR2` does.
    ///
    /// # Panics
    ///
    /// Panics if there is no such program, the daemon has ended, or a reload or an upgrade goes on.
    #[track_caller]
    pub fn upgrade(&self, to: impl AsRef<Path>) -> Change<'_> {
        let to = to.as_ref();
        if let Err(error) = launch::link(to, &self.places) {
            panic!("cannot put {} in place: {error}", to.display());
        }
        self.change("the upgrade", Signal::Usr2)
    }

    #[track_caller]
    fn change(&self, what: &'static str, signal: Signal) -> Change<'_> {
        // The answer to one that goes on already would be taken for the answer to this one.
        assert!(!self.notices.is_changing(), "{what} is asked for while another change goes on");
        let before = self.notices.count();
        let outgoing = self.children().iter().map(|child| child.pid).collect();
        self.signal(signal);
        Change { daemon: self, what, before, outgoing }
    }

    /// Stops it, as `SIGTERM` does, and asserts that it ends with status 0, and that no process, board or pid
    /// file of it is left.
    ///
    /// # Panics
    ///
    /// Panics otherwise, or if that takes more than 20 s.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::Term);
        let end = self.wait_for_end(PATIENCE);
        assert!(end.is_success(), "the daemon {end} when it was stopped");
        for file in ["pid", "board"] {
            assert!(!self.path(file).exists(), "the daemon has left its {file}");
        }
        // What a process holds it gives back after its parent has seen its end.
        let is_deserted = holds_within(PATIENCE, || self.is_deserted());
        assert!(is_deserted, "the daemon has left processes: {:?}", reaper::marked(&self.mark));
    }

    /// Returns how its parent process has ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        reaper::end_of(self.pid())
    }

    /// Waits for its end, and returns how it ended.
    ///
    /// # Panics
    ///
    /// Panics after `limit`.
    #[track_caller]
    pub fn wait_for_end(&self, limit: Duration) -> End {
        wait_until(limit, "the daemon ends", || self.end().is_some());
        self.end().expect("it has ended")
    }

    /// Returns the lines of its error log; of its standard error where `{error_log}` was not used.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        let log = self.log();
        // The last line may not be whole yet.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(LogLine::read).collect()
    }

    /// Returns its log as it is.
    fn log(&self) -> String {
        let log = self.read("error.log");
        if log.is_empty() { self.read("stderr") } else { log }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn last_lines(&self) -> String {
        report::last_lines(&self.log())
    }

    /// Waits for a line of its log whose text contains this, and returns the first one.
    ///
    /// # Panics
    ///
    /// Panics after 20 s.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> LogLine {
        let find = || self.logs().into_iter().find(|line| line.text.contains(text));
        wait_until(PATIENCE, &format!("the log says {text:?}"), || find().is_some());
        find().expect("lines stay")
    }

    /// Asks for `path` by HTTP.
    ///
    /// # Errors
    ///
    /// Those of [`get`](crate::get), with 20 s.
    pub fn get(&self, path: &str) -> io::Result<Reply> {
        http::get(self.address(), path, PATIENCE)
    }

    /// Prepares so many clients of `{address}`.
    pub fn clients(&self, count: usize) -> Clients {
        Clients::of(self.address(), count)
    }

    /// Starts so many clients that ask for `path` without end: [`Clients`] can do more.
    #[must_use]
    pub fn load(&self, clients: usize, path: &str) -> Load {
        self.clients(clients).ask(path)
    }

    /// Prepares a sequence of kills, hangs and reloads that is the same for the same seed.
    pub fn chaos(&self, seed: u64) -> Chaos<'_> {
        Chaos::new(self, seed)
    }

    /// Returns whether nothing that it has started is alive.
    pub(crate) fn is_deserted(&self) -> bool {
        reaper::marked(&self.mark).is_empty()
    }

    /// Prints what there is to know about a failure.
    fn report(&self) {
        report::print(&self.command, &self.mark, self.places.directory());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let failed = thread::panicking();
        if failed {
            self.report();
        }
        if let Some(pid) = self.pids.last()
            && reaper::end_of(*pid).is_none()
        {
            // Its children end with it, those too whose environment this user may not read.
            reaper::signal_if(*pid, for_kernel(Signal::Kill), || true);
        }
        let all_ended = reaper::end_all(&self.mark, &self.pids);
        self.pids.iter().for_each(|pid| reaper::forget(*pid));
        if !failed {
            let _ = fs::remove_dir_all(self.places.directory());
            assert!(all_ended, "processes of the daemon cannot be killed: {}", self.command);
        }
    }
}

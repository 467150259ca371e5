//! A daemon that serves.

use std::{io, mem, thread, time::Duration};

use prefork::daemonize::{Holder, running};
use rustix::process::Signal;

use crate::{
    End, PATIENCE, Process, Reply, Scene, children, find_process, get, listening_ports, reaper,
    turns, wait_until,
};

/// A daemon: its parent process, found by the lock of its pid file.
#[derive(Clone, Copy, Debug)]
pub struct Daemon<'a> {
    scene: &'a Scene,
    pid: u32,
}

impl<'a> Daemon<'a> {
    /// Finds the daemon of a scene.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[must_use]
    #[track_caller]
    pub fn of_pid_file(scene: &'a Scene) -> Self {
        match running(scene.path("pid")) {
            Ok(Holder::Owner { pid }) => Self { scene, pid: pid.as_raw().unsigned_abs() },
            other => panic!("no daemon holds the pid file: {other:?}"),
        }
    }

    /// Returns the pid of its parent process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends its parent a signal.
    ///
    /// # Panics
    ///
    /// Panics if it is not there.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        assert!(self.try_signal(signal), "{signal:?} cannot be sent to the parent {}", self.pid);
    }

    /// Sends its parent a signal if it is there, and returns whether it was.
    #[must_use]
    pub fn try_signal(&self, signal: Signal) -> bool {
        crate::kill(self.pid, signal)
    }

    /// Asks for `path`.
    ///
    /// # Errors
    ///
    /// Those of [`get`].
    pub fn get(&self, path: &str) -> io::Result<Reply> {
        get(self.scene.address(), path)
    }

    /// Returns its children, zombies too, but not the processes in which hooks are run and settings are read.
    #[must_use]
    pub fn children(&self) -> Vec<Process> {
        let mut children = children(self.pid);
        // One that still shows the title of its parent has just been forked, and may be either.
        let others = ["[hook]", "[demand]", "[parent]"];
        let is_child = |title: &str| !others.iter().any(|other| title.contains(other));
        // One that ends has no title any more.
        let is_child = |title: &str| !title.is_empty() && is_child(title);
        children.retain(|child| {
            child.is_zombie() || (is_child(&child.command_line()) && !child.reads_settings())
        });
        children
    }

    /// Returns the pids of its children that are alive, in order.
    #[must_use]
    pub fn living(&self) -> Vec<u32> {
        let alive = self.children().into_iter().filter(|child| !child.is_zombie());
        let mut pids: Vec<u32> = alive.map(|child| child.pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Waits until it has exactly `count` children, none of which is a zombie or one of `others`.
    ///
    /// # Panics
    ///
    /// Panics after `limit`.
    #[track_caller]
    pub fn wait_for_children(&self, limit: Duration, count: usize, others: &[u32]) {
        wait_until(limit, &format!("there are {count} living children, all new"), || {
            let children = self.children();
            children.len() == count
                && children.iter().all(|child| !child.is_zombie() && !others.contains(&child.pid))
        });
    }

    /// Returns the CPU time that the parent has used.
    ///
    /// # Panics
    ///
    /// Panics if it is gone.
    #[must_use]
    #[track_caller]
    pub fn cpu(&self) -> Duration {
        find_process(self.pid).expect("the parent is there").cpu
    }

    /// Waits until the parent is stopped, as after a `SIGSTOP`.
    ///
    /// # Panics
    ///
    /// Panics if it is not within [`PATIENCE`].
    #[track_caller]
    pub fn wait_until_stopped(&self) {
        // A small letter where somebody traces it.
        let is_stopped = |process: Process| matches!(process.state, 'T' | 't');
        wait_until(PATIENCE, "the parent is stopped", || {
            find_process(self.pid).is_some_and(is_stopped)
        });
    }

    /// Waits until the parent sleeps: until it has, for half a second.
    ///
    /// # Panics
    ///
    /// Panics if it does not within [`PATIENCE`].
    #[track_caller]
    pub fn wait_for_rest(&self) {
        let mut last = turns(self.pid);
        wait_until(PATIENCE, "the parent is at rest", || {
            thread::sleep(Duration::from_millis(500));
            mem::replace(&mut last, turns(self.pid)) == last
        });
    }

    /// Returns the ports at which it listens for TCP, in order.
    ///
    /// # Panics
    ///
    /// Panics if it is gone.
    #[must_use]
    #[track_caller]
    pub fn listening_ports(&self) -> Vec<u16> {
        listening_ports(self.pid)
    }

    /// Waits for the end of the parent, and returns how it ended.
    ///
    /// # Panics
    ///
    /// Panics after `limit`.
    #[track_caller]
    pub fn wait_for_end(&self, limit: Duration) -> End {
        let what = format!("the parent {} ends", self.pid);
        wait_until(limit, &what, || reaper::end_of(self.pid).is_some());
        reaper::end_of(self.pid).expect("it has ended")
    }

    /// Sends SIGTERM and asserts that everything goes in order: status 0, no files, no process.
    ///
    /// # Panics
    ///
    /// Panics if anything does not, or it takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn stop_in_order(&self) {
        self.signal(Signal::TERM);
        self.assert_ends_in_order(PATIENCE);
    }

    /// Asserts that everything goes in order: status 0, no files, no process.
    ///
    /// # Panics
    ///
    /// Panics if anything does not, or it takes longer than `limit`.
    #[track_caller]
    pub fn assert_ends_in_order(&self, limit: Duration) {
        let end = self.wait_for_end(limit);
        assert!(end.is_success(), "the parent {end}");
        self.scene.assert_nothing_is_left();
    }
}

//! A daemon that serves.

use std::{io, time::Duration};

use prefork::daemonize::{Holder, running};
use rustix::process::Signal;

use crate::{
    End, PATIENCE, Process, Reply, Scene, children, find_process, get, reaper, wait_until,
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
    pub fn signal(&self, signal: Signal) {
        crate::kill(self.pid, signal);
    }

    /// Asks for `path`.
    ///
    /// # Errors
    ///
    /// Those of [`get`].
    pub fn get(&self, path: &str) -> io::Result<Reply> {
        get(self.scene.address(), path)
    }

    /// Returns its children, zombies too.
    #[must_use]
    pub fn children(&self) -> Vec<Process> {
        children(self.pid)
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

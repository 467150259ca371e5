//! Holding the threads of a program when they are about to accept, see `ptrace(2)`.
//!
//! A thread that is held at the entry of `accept(2)` has taken no connection, and takes none. Each thread of the program is traced from one
//! system call to the next until then: some microseconds a call, for one request.
//!
//! A thread is held only where it may wait anyway, as others may need what it has locked. One of several that asks a socket that
//! does not block, as Ruby's do without letting others run, is answered instead that nobody is there, as if another process
//! had taken the connection; so it comes to where it waits.

mod next;
mod thread;

use std::{
    io,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use prefork_core::program::Holding;

use self::{
    next::Scene,
    thread::{State, Thread},
};
use crate::look::{Held, Listeners, Process, Tree};

/// The threads of a program that are traced. All go on untraced when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Trace {
    threads: Vec<Thread>,
    /// Whether there are too many threads, or tracing is not allowed.
    is_refused: bool,
    /// Whether its processes were killed: nothing is held any more, and what is traced is to be reaped.
    is_over: bool,
}

/// A program with more threads is not traced.
const MOST: usize = 64;
/// For how long one step may wait for threads to come further.
const STEP: Duration = Duration::from_millis(3);
/// For how long it waits when nothing happens.
const PAUSE: Duration = Duration::from_micros(50);
/// After so many pauses without an event a step is over.
const PAUSES: u32 = 4;
/// The longest that threads are waited for, at the end, which are to go on untraced.
const LAST: Duration = Duration::from_secs(1);

impl Trace {
    /// Returns whether threads run that are stopped at times, and go on only by [`step`](Self::step).
    pub(super) fn has_running(&self) -> bool {
        self.threads.iter().any(|thread| thread.state == State::Running)
    }

    /// Returns whether threads are to go on untraced that have not stopped for that yet: see [`see_off`](Self::see_off).
    pub(super) fn has_leaving(&self) -> bool {
        self.threads.iter().any(|thread| thread.state == State::Leaving)
    }

    /// Traces what is not traced yet, and has all come as far as they do within some milliseconds.
    ///
    /// # Errors
    ///
    /// If the connections of the program cannot be seen.
    pub(super) fn step(
        &mut self,
        tree: &mut Tree,
        listeners: &Listeners,
        held: &mut Held,
    ) -> io::Result<Holding> {
        tree.refresh();
        // Elsewhere it is not known whether a thread enters a call or leaves it.
        self.is_refused |= cfg!(not(target_env = "gnu"));
        if !self.is_refused && self.seize(tree).is_err() {
            self.is_refused = true;
            self.let_go();
        }
        self.see_off();
        if self.is_refused {
            return Ok(Holding::Refused);
        }
        let mut scene = Scene { tree, listeners, held };
        let (begun, mut has_moved, mut pauses) = (Instant::now(), false, 0);
        while pauses < PAUSES && begun.elapsed() < STEP && self.has_running() {
            if self.take_events(&mut scene)? {
                (has_moved, pauses) = (true, 0);
            } else {
                pauses += 1;
                std::thread::sleep(PAUSE);
            }
        }
        Ok(self.holding(tree, has_moved))
    }

    fn holding(&self, tree: &mut Tree, has_moved: bool) -> Holding {
        let held = self.threads.iter().filter(|thread| thread.state == State::Held).count();
        if held == 1 && self.threads.len() == 1 && is_single(tree) {
            Holding::Everything
        } else if held > 0 {
            Holding::Acceptors
        } else if has_moved {
            Holding::Moving
        } else {
            Holding::Waiting
        }
    }

    /// Begins to trace all threads that are not traced.
    fn seize(&mut self, tree: &Tree) -> nix::Result<()> {
        for process in tree.processes() {
            let is_first = process.pid() == tree.first().pid();
            for id in process.threads().unwrap_or_default() {
                if self.threads.iter().any(|thread| thread.id == id) {
                    continue;
                }
                if self.threads.len() == MOST {
                    return Err(Errno::E2BIG);
                }
                let is_awaited = is_first && id == process.pid();
                match Thread::seize(id, process.pid(), is_awaited) {
                    Ok(thread) => self.threads.push(thread),
                    Err(Errno::ESRCH) => {}
                    // A zombie cannot be traced, and is not asked to.
                    Err(Errno::EPERM) if is_dead(process) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Ok(())
    }

    /// Takes in what has happened to the threads, and returns whether something has.
    fn take_events(&mut self, scene: &mut Scene<'_>) -> io::Result<bool> {
        let (mut has_moved, mut problem) = (false, None);
        for thread in &mut self.threads {
            while thread.state == State::Running {
                match thread.attend(scene) {
                    Ok(true) => has_moved = true,
                    Ok(false) => break,
                    Err(error) => problem = Some(error),
                }
            }
        }
        self.threads.retain(|thread| thread.state != State::Gone);
        problem.map_or(Ok(has_moved), Err)
    }

    /// Reaps what was killed, and returns whether nothing remains to be.
    pub(super) fn reap(&mut self) -> bool {
        self.is_over = true;
        self.each(Thread::reap)
    }

    /// Has those stop that run, until the next [`step`](Self::step).
    pub(super) fn stop_running(&self) {
        let running = self.threads.iter().filter(|thread| thread.state == State::Running);
        running.for_each(Thread::stop);
    }

    /// Traces none any more that are not held, from their next stop on.
    pub(super) fn let_running_go(&mut self) {
        let running = self.threads.iter_mut().filter(|thread| thread.state == State::Running);
        running.for_each(Thread::leave);
    }

    /// Has those that are held go on whose process has got a signal, as if that had interrupted the call at whose entry they
    /// are: they take no connection before they take the signal. Where `others_have`, that was taken by another thread of the
    /// process, if there is one. Returns whether nothing is traced any more.
    pub(super) fn interrupt(&mut self, tree: &Tree, others_have: bool) -> bool {
        let has_got = |process: &Process| {
            let has_others = || process.threads().is_ok_and(|threads| threads.len() > 1);
            process.is_signalled() || (others_have && has_others())
        };
        let held = self.threads.iter_mut().filter(|thread| thread.state == State::Held);
        for thread in held {
            let process = tree.processes().iter().find(|process| process.pid() == thread.pid);
            if process.is_none_or(has_got) {
                // Where that is not possible it accepts once more at most, before the signal.
                let _ = thread.return_from_call(Errno::EINTR);
                thread.leave();
            }
        }
        self.see_off()
    }

    /// Has all go on untraced: those that are held at once, others from their next stop on.
    pub(super) fn let_go(&mut self) {
        self.each(Thread::leave);
    }

    /// Has those go on untraced that are to and have stopped. Returns whether nothing is traced any more.
    pub(super) fn see_off(&mut self) -> bool {
        self.each(Thread::see_off)
    }

    fn each(&mut self, act: impl FnMut(&mut Thread)) -> bool {
        self.threads.iter_mut().for_each(act);
        self.threads.retain(|thread| thread.state != State::Gone);
        self.threads.is_empty()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.let_go();
        let begun = Instant::now();
        // What does not stop in time, as it waits for a disk, the kernel lets go when this process ends.
        while !self.see_off() && begun.elapsed() < LAST {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Returns whether the program is one thread now. It may have started others on its way to where it is held, with what it has
/// accepted; from there it starts none.
fn is_single(tree: &mut Tree) -> bool {
    tree.refresh();
    let is_single = |process: &Process| process.threads().is_ok_and(|threads| threads.len() == 1);
    tree.processes().len() == 1 && is_single(tree.first())
}

fn is_dead(process: &Process) -> bool {
    let mut dead = true;
    let read = process.states(|state| dead &= matches!(state, b'Z' | b'X'));
    dead || read.is_err()
}

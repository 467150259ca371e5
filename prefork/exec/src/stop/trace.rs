//! Holding the threads of a program when they are about to accept, see `ptrace(2)`.
//!
//! A thread that is held at the entry of `accept(2)` has taken no connection, and takes none. Each thread of the program is traced from one
//! system call to the next until then: some microseconds a call, for one request.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Options},
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd,
};
use prefork_core::program::{Holding, Judgement};
use rustix::process::Pid;

use crate::look::{Call, Connection, Held, Listeners, Process, Target, Tree};

/// The threads of a program that are traced. Those that are held go on when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Trace {
    threads: Vec<Thread>,
    /// Whether its processes were killed: nothing is held any more, and what is traced is to be reaped.
    is_over: bool,
}

#[derive(Debug)]
struct Thread {
    id: Pid,
    /// Its process.
    pid: Pid,
    /// Whether others wait for it: the main loop, which has started this process.
    is_awaited: bool,
    state: State,
    /// Where it was when it was stopped first, which it may go on with by `restart_syscall(2)`.
    was_in: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// At the entry of a call.
    Held,
    Gone,
}

/// A program with more threads is not traced.
const MOST: usize = 64;
/// For how long one step may wait for threads to come further.
const STEP: Duration = Duration::from_millis(3);
/// For how long it waits when nothing happens.
const PAUSE: Duration = Duration::from_micros(50);
/// After so many pauses without an event a step is over.
const PAUSES: u32 = 4;
/// See `PTRACE_EVENT_STOP` in `ptrace(2)`.
const EVENT_STOP: i32 = 128;

/// What is needed to decide whether a thread can be held.
struct Scene<'a> {
    tree: &'a Tree,
    listeners: &'a Listeners,
    held: &'a mut Held,
}

impl Trace {
    /// Returns whether threads run under trace, which stand still at each call until the next step.
    pub(super) fn has_running(&self) -> bool {
        self.threads.iter().any(|thread| thread.state == State::Running)
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
        if cfg!(not(target_env = "gnu")) || self.seize(tree).is_err() {
            // Too many, or not allowed.
            self.let_go();
            return Ok(Holding::Refused);
        }
        let mut scene = Scene { tree, listeners, held };
        let (begun, mut has_moved, mut pauses) = (Instant::now(), false, 0);
        while pauses < PAUSES && begun.elapsed() < STEP && self.has_running() {
            if self.take_events(&mut scene)? {
                (has_moved, pauses) = (true, 0);
            } else {
                pauses += 1;
                thread::sleep(PAUSE);
            }
        }
        Ok(self.holding(tree, has_moved))
    }

    fn holding(&self, tree: &Tree, has_moved: bool) -> Holding {
        let held = self.threads.iter().filter(|thread| thread.state == State::Held).count();
        if held > 0 && held == self.threads.len() && tree.processes().len() == 1 && held == 1 {
            Holding::Everything
        } else if held > 0 {
            Holding::Acceptors
        } else if has_moved {
            Holding::Moving
        } else {
            Holding::Waiting
        }
    }

    /// Begins to trace all threads that are not traced, and stops each for a moment.
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
                match ptrace::seize(nix_pid(id), Options::PTRACE_O_TRACESYSGOOD) {
                    Ok(()) => {}
                    Err(Errno::ESRCH) => continue,
                    // A zombie cannot be traced, and is not asked to.
                    Err(Errno::EPERM) if is_dead(process) => continue,
                    Err(errno) => return Err(errno),
                }
                let (pid, state, was_in) = (process.pid(), State::Running, Call::None);
                let is_awaited = is_first && id == pid;
                self.threads.push(Thread { id, pid, is_awaited, state, was_in });
                // One that has ended meanwhile is found to have.
                let _ = ptrace::interrupt(nix_pid(id));
            }
        }
        Ok(())
    }

    /// Takes in what has happened to the threads, and returns whether something has.
    fn take_events(&mut self, scene: &mut Scene<'_>) -> io::Result<bool> {
        let mut has_moved = false;
        for thread in self.threads.iter_mut().filter(|thread| thread.state == State::Running) {
            while let Some(event) = thread.event() {
                has_moved = true;
                thread.answer(event, scene)?;
                if thread.state != State::Running {
                    break;
                }
            }
        }
        self.threads.retain(|thread| thread.state != State::Gone);
        Ok(has_moved)
    }

    /// Reaps what was killed, and returns whether nothing remains to be.
    pub(super) fn reap(&mut self) -> bool {
        self.is_over = true;
        for thread in &mut self.threads {
            let (id, flags) =
                (Id::Pid(nix_pid(thread.id)), WaitPidFlag::__WALL | WaitPidFlag::WNOHANG);
            if thread.is_awaited {
                // It is reaped by whoever waits for it.
                thread.state = State::Gone;
            } else if !matches!(
                waitid(id, flags | WaitPidFlag::WEXITED),
                Ok(WaitStatus::StillAlive)
            ) {
                thread.state = State::Gone;
            }
        }
        self.threads.retain(|thread| thread.state != State::Gone);
        self.threads.is_empty()
    }

    /// Traces none any more that are not held.
    pub(super) fn let_running_go(&mut self) {
        let (held, running) = std::mem::take(&mut self.threads)
            .into_iter()
            .partition(|thread| thread.state == State::Held);
        self.threads = running;
        self.let_go();
        self.threads = held;
    }

    /// Has those that are held go on whose process has got a signal, as if that had interrupted the call at whose entry they
    /// are: they take no connection before they take the signal. Returns whether none is held any more.
    pub(super) fn interrupt(&mut self, tree: &Tree) -> bool {
        self.threads.retain(|thread| {
            let process = tree.processes().iter().find(|process| process.pid() == thread.pid);
            if process.is_some_and(|process| !process.is_signalled()) {
                return true;
            }
            // Where that is not possible it accepts once more at most, before the signal.
            let _ = cancel_call(thread.id);
            ptrace::detach(nix_pid(thread.id), None).is_err_and(is_busy)
        });
        self.threads.is_empty()
    }

    /// Has all go on, and traces them no more.
    fn let_go(&mut self) {
        for thread in &self.threads {
            if thread.state == State::Running {
                let _ = ptrace::interrupt(nix_pid(thread.id));
            }
        }
        let begun = Instant::now();
        while !self.threads.is_empty() && begun.elapsed() < 10 * STEP {
            self.threads.retain(|thread| match thread.state {
                State::Held => ptrace::detach(nix_pid(thread.id), None).is_err_and(is_busy),
                State::Running => match thread.event() {
                    Some(WaitStatus::PtraceEvent(id, signal, 0)) => {
                        ptrace::detach(id, signal).is_err_and(is_busy)
                    }
                    Some(_) => ptrace::detach(nix_pid(thread.id), None).is_err_and(is_busy),
                    None => true,
                },
                State::Gone => false,
            });
            thread::sleep(PAUSE);
        }
        // Of what could not be stopped, a call that lasts, the kernel lets go when this process ends.
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if !self.is_over {
            self.let_go();
        }
    }
}

/// Whether a thread was not stopped, so that it can be let go later.
fn is_busy(errno: Errno) -> bool {
    errno != Errno::ESRCH
}

impl Thread {
    /// Returns what has happened to it.
    fn event(&self) -> Option<WaitStatus> {
        let mut flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG | WaitPidFlag::WSTOPPED;
        if !self.is_awaited {
            // Nobody else is reported its end while it is traced.
            flags |= WaitPidFlag::WEXITED;
        }
        match waitid(Id::Pid(nix_pid(self.id)), flags) {
            Ok(WaitStatus::StillAlive) => None,
            Ok(status) => Some(status),
            // Gone, or reaped by whoever waited for it.
            Err(_) => Some(WaitStatus::Exited(nix_pid(self.id), 0)),
        }
    }

    fn answer(&mut self, event: WaitStatus, scene: &mut Scene<'_>) -> io::Result<()> {
        match event {
            WaitStatus::PtraceSyscall(_) => {
                if self.is_entry() && self.can_be_held(scene)? {
                    self.state = State::Held;
                } else {
                    self.go_on(None);
                }
            }
            WaitStatus::PtraceEvent(_, _, EVENT_STOP) => {
                if self.was_in == Call::None
                    && let Some(process) = scene.process(self.pid)
                {
                    self.was_in = process.call(self.id)?;
                }
                self.go_on(None);
            }
            // It is about to be delivered a signal.
            WaitStatus::PtraceEvent(_, signal, _) | WaitStatus::Stopped(_, signal) => {
                self.go_on(Some(signal));
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => self.state = State::Gone,
            WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
        }
        Ok(())
    }

    /// Has it run to the next system call.
    fn go_on(&mut self, signal: Option<Signal>) {
        // The only error is that it was killed meanwhile.
        if ptrace::syscall(nix_pid(self.id), signal).is_err() && !self.is_awaited {
            self.state = State::Gone;
        }
    }

    #[cfg(target_env = "gnu")]
    fn is_entry(&self) -> bool {
        let info = ptrace::syscall_info(nix_pid(self.id));
        info.is_ok_and(|info| info.op == nix::libc::PTRACE_SYSCALL_INFO_ENTRY)
    }

    #[cfg(not(target_env = "gnu"))]
    const fn is_entry(&self) -> bool {
        false
    }

    /// Whether it would accept with its next step, and can be kept from it without harm to what is in hand.
    fn can_be_held(&self, scene: &mut Scene<'_>) -> io::Result<bool> {
        let Some(process) = scene.process(self.pid) else { return Ok(false) };
        let call = match process.call(self.id)? {
            Call::Restarted => self.was_in.clone(),
            call => call,
        };
        let is_single = process.threads().is_ok_and(|threads| threads.len() == 1);
        let is_alone = is_single && scene.tree.processes().len() == 1;
        let listens = |fd: &i32| process.is_listener(*fd, scene.listeners);
        let may_accept = match &call {
            Call::Accept(fd) => listens(fd),
            // One that waits for something else may work for another process of the program, which has the connection.
            Call::Poll(_) | Call::Epoll(_) if is_alone => true,
            Call::Poll(fds) if is_single => fds.iter().any(listens),
            // What is polled beside the socket may be connections in hand, unless it is no socket: a pipe that wakes.
            Call::Poll(fds) => {
                let may_be = |fd: &i32| match process.descriptor(*fd) {
                    Some(Target::Socket(_)) => listens(fd),
                    Some(Target::Epoll | Target::Other) | None => true,
                };
                fds.iter().any(listens) && fds.iter().all(may_be)
            }
            Call::Epoll(fd) if is_single => {
                process.registered(scene.listeners)?.iter().any(|(epoll, ..)| epoll == fd)
            }
            Call::Epoll(_) | Call::Read(_) | Call::Restarted | Call::Other | Call::None => false,
        };
        if !may_accept || !is_single {
            return Ok(may_accept);
        }
        // The one thread of a process does all that is in hand there.
        let connections = scene.held.look(scene.tree, scene.listeners)?;
        Ok(!connections
            .iter()
            .any(|connection| connection.pid == self.pid && is_in_hand(connection)))
    }
}

impl<'a> Scene<'a> {
    fn process(&self, pid: Pid) -> Option<&'a Process> {
        self.tree.processes().iter().find(|process| process.pid() == pid)
    }
}

fn is_in_hand(connection: &Connection) -> bool {
    match connection.facts.judge(Duration::ZERO) {
        Judgement::AtWork | Judgement::Silent => true,
        Judgement::Answered | Judgement::KeptAlive => false,
    }
}

fn is_dead(process: &Process) -> bool {
    let mut dead = true;
    let read = process.states(|state| dead &= matches!(state, b'Z' | b'X'));
    dead || read.is_err()
}

/// Has a thread that is held at the entry of a call return from it with `EINTR`.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn cancel_call(thread: Pid) -> nix::Result<()> {
    let mut registers = ptrace::getregs(nix_pid(thread))?;
    // No call has this number, and what it would return is there already.
    registers.orig_rax = u64::MAX;
    registers.rax = (-i64::from(nix::libc::EINTR)).cast_unsigned();
    ptrace::setregs(nix_pid(thread), registers)
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
fn cancel_call(_: Pid) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

fn nix_pid(pid: Pid) -> unistd::Pid {
    unistd::Pid::from_raw(pid.as_raw_nonzero().get())
}

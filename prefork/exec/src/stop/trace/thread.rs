//! A thread that is traced.
//!
//! Each time that it stops it goes on, unless it is held: nothing else would have it go on.

use std::io;

#[cfg(target_env = "gnu")]
use nix::libc;
use nix::{errno::Errno, sys::ptrace, unistd};
use rustix::process::{Pid, Signal};

use super::next::{Next, Scene};
use crate::{
    look::Call,
    sys::tracing::{self, Event, Onward},
};

#[derive(Debug)]
pub(super) struct Thread {
    pub(super) id: Pid,
    /// Its process.
    pub(super) pid: Pid,
    /// Whether others wait for it: the main loop, which has started this process.
    pub(super) is_awaited: bool,
    pub(super) state: State,
    /// Where it was when it was stopped first, which it may go on with by `restart_syscall(2)`.
    pub(super) was_in: Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// At the entry of a call.
    Held,
    /// It runs, and goes on untraced when it stops next.
    Leaving,
    /// It is not traced any more, or has ended.
    Gone,
}

const STOP: i32 = Signal::STOP.as_raw();

impl Thread {
    /// Begins to trace a thread, and stops it for a moment.
    pub(super) fn seize(id: Pid, pid: Pid, is_awaited: bool) -> nix::Result<Self> {
        ptrace::seize(nix_pid(id), ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
        // One that has ended meanwhile is found to have.
        let _ = ptrace::interrupt(nix_pid(id));
        Ok(Self { id, pid, is_awaited, state: State::Running, was_in: Call::None })
    }

    /// Takes in what has happened to it, and has it go on or holds it. Returns whether anything has.
    pub(super) fn attend(&mut self, scene: &mut Scene<'_>) -> io::Result<bool> {
        let Some(event) = self.event() else { return Ok(false) };
        let (mut problem, mut signal) = (None, 0);
        match event {
            Event::Call => match self.next(scene) {
                Ok(Next::Accepts) => {
                    self.state = State::Held;
                    return Ok(true);
                }
                // Where that is not possible it accepts once more.
                Ok(Next::AsksForOne) => drop(self.return_from_call(Errno::EAGAIN)),
                Ok(Next::Other) => {}
                Err(error) => problem = Some(error),
            },
            Event::Stop if self.was_in == Call::None => {
                match scene.process_of(self).map(|process| process.call(self.id)) {
                    Some(Ok(call)) => self.was_in = call,
                    Some(Err(error)) => problem = Some(error),
                    None => {}
                }
            }
            // It is of a freeze, which is over.
            Event::Stop | Event::Signal(STOP) => {}
            Event::Signal(number) => signal = number,
            Event::End => {
                self.state = State::Gone;
                return Ok(true);
            }
        }
        // The only error is that it was killed meanwhile.
        if tracing::go_on(self.id, Onward::ToNextCall, signal).is_err() && !self.is_awaited {
            self.state = State::Gone;
        }
        problem.map_or(Ok(true), Err)
    }

    /// Has it stop, if it runs.
    pub(super) fn stop(&self) {
        let _ = ptrace::interrupt(nix_pid(self.id));
    }

    /// Has it go on untraced, as soon as it has stopped.
    pub(super) fn leave(&mut self) {
        match self.state {
            State::Held => {
                // The only error is that it was killed meanwhile, of which there is an event.
                let gone = tracing::go_on(self.id, Onward::Untraced, 0);
                self.state = if gone.is_ok() { State::Gone } else { State::Leaving };
            }
            State::Running => {
                let _ = ptrace::interrupt(nix_pid(self.id));
                self.state = State::Leaving;
            }
            State::Leaving | State::Gone => {}
        }
    }

    /// Has it go on untraced, if it is to and has stopped.
    pub(super) fn see_off(&mut self) {
        while self.state == State::Leaving
            && let Some(event) = self.event()
        {
            let signal = match event {
                Event::Call | Event::Stop | Event::Signal(STOP) => 0,
                Event::Signal(number) => number,
                Event::End => {
                    self.state = State::Gone;
                    return;
                }
            };
            if tracing::go_on(self.id, Onward::Untraced, signal).is_ok() || self.is_awaited {
                self.state = State::Gone;
            }
        }
    }

    /// Takes in the end of one that was killed.
    pub(super) fn reap(&mut self) {
        // One that others wait for is reaped by them.
        while self.state != State::Gone
            && let Some(event) = if self.is_awaited { Some(Event::End) } else { self.event() }
        {
            if event == Event::End {
                self.state = State::Gone;
            }
        }
    }

    fn event(&self) -> Option<Event> {
        // Nobody else is reported the end of others while they are traced.
        tracing::event(self.id, !self.is_awaited)
    }

    fn next(&self, scene: &mut Scene<'_>) -> io::Result<Next> {
        if self.is_entry() { scene.next(self) } else { Ok(Next::Other) }
    }

    #[cfg(target_env = "gnu")]
    fn is_entry(&self) -> bool {
        let info = ptrace::syscall_info(nix_pid(self.id));
        info.is_ok_and(|info| info.op == libc::PTRACE_SYSCALL_INFO_ENTRY)
    }

    #[cfg(not(target_env = "gnu"))]
    const fn is_entry(&self) -> bool {
        false
    }

    /// Has it, at the entry of a call, return from that with an error, without doing it.
    #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
    pub(super) fn return_from_call(&self, errno: Errno) -> nix::Result<()> {
        let mut registers = ptrace::getregs(nix_pid(self.id))?;
        // No call has this number, and what it would return is there already.
        registers.orig_rax = u64::MAX;
        registers.rax = (-i64::from(errno as i32)).cast_unsigned();
        ptrace::setregs(nix_pid(self.id), registers)
    }

    #[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
    pub(super) fn return_from_call(&self, _: Errno) -> nix::Result<()> {
        Err(Errno::ENOSYS)
    }
}

fn nix_pid(pid: Pid) -> unistd::Pid {
    unistd::Pid::from_raw(pid.as_raw_nonzero().get())
}
